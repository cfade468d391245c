"""Your parts together: they load trained weights, write, and answer.

Nothing to do here. The package reads the files; all that computes is yours: your model, your
tokenizer, your probabilities.
"""

import json

import torch

from llama_tutorial import BPETokenizer, ModelConfig, load_model
from llama_tutorial.hub import find

from .gpt import probabilities
from .model import Llama, load_weights
from .swiglu import hidden_dim
from .tokenizer import EOS, Tokenizer


def load(source="tales"):
    """Your model with trained weights, and your tokenizer.

    Args:
        source: "tales", "tales-small" or "tales-chat", which come with the package; the path of a
            file or folder; for one in Meta's format (params.json, consolidated.00.pth) nothing but
            your own code and torch.load reads the weights.
    """
    path, pieces = find(source)
    config, tensors = read_meta(path) if (path / "params.json").exists() else read_any(path)
    model = Llama(config)
    load_weights(model, tensors)
    return model, read_tokenizer(pieces)


def read_any(path):
    """The config and the tensors of a file that the package knows."""
    theirs = load_model(path, dtype=torch.float32)
    tensors = dict(theirs.state_dict())
    tensors.setdefault("output.weight", tensors["tok_embeddings.weight"])  # it may be tied
    return theirs.config, tensors


def read_meta(folder):
    """The config and the tensors of a folder in Meta's format, in one file."""
    params = json.loads((folder / "params.json").read_text())
    tensors = torch.load(folder / "consolidated.00.pth", map_location="cpu", weights_only=True)
    tensors.pop("rope.freqs", None)  # can be computed, and is no weight
    dim, n_heads = params["dim"], params["n_heads"]
    width = hidden_dim(dim, params["multiple_of"], params.get("ffn_dim_multiplier"))
    config = ModelConfig(
        dim=dim,
        n_layers=params["n_layers"],
        n_heads=n_heads,
        n_kv_heads=params.get("n_kv_heads", n_heads),
        hidden_dim=width,
        vocab_size=len(tensors["tok_embeddings.weight"]),  # params.json may say -1
        max_seq_len=params.get("max_seq_len", 2048),
        norm_eps=params["norm_eps"],
        rope_theta=params.get("rope_theta", 10000.0),
    )
    return config, tensors


def read_tokenizer(path):
    """Your tokenizer with the pieces and scores of a file."""
    table = BPETokenizer.from_file(path).vocabulary
    pieces = [piece.replace(table.space, "▁") for piece in table.pieces]
    ordinary = [i for i, kind in enumerate(table.types) if kind.name == "NORMAL"]
    return Tokenizer(pieces, {pieces[i]: table.scores[i] for i in ordinary})


@torch.no_grad()
def write(model, ids, n_new, temperature=0.0, seed=0):
    """The new ids: the text is read once, and then one token at a time, with your caches."""
    chance, caches, new = torch.Generator().manual_seed(seed), model.new_caches(), []
    logits = model(torch.tensor([ids]), caches)  # (1, T, V)
    while len(new) < n_new:
        p = probabilities(logits[0, -1], temperature)  # (V,)
        token = int(torch.multinomial(p, 1, generator=chance))
        if token == EOS:
            break
        start = len(ids) + len(new)
        new.append(token)
        if len(new) < n_new:
            logits = model(torch.tensor([[token]]), caches, start)
    return new


def tell(model, tokenizer, beginning="Once upon a time", n_new=100, temperature=0.0, seed=0):
    """A text that goes on from a beginning."""
    ids = tokenizer.encode(beginning, bos=True)
    return tokenizer.decode(ids + write(model, ids, n_new, temperature, seed))


def answer(model, tokenizer, question, n_new=100):
    """What a chat model answers; the tags are those that Llama 2's were trained with."""
    ids = tokenizer.encode(f"[INST] {question.strip()} [/INST]", bos=True)
    return tokenizer.decode(write(model, ids, n_new)).strip()
