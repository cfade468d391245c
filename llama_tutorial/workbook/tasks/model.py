"""The tasks of the chapter on the whole model."""

from __future__ import annotations

from operator import is_ as operator_is
from typing import Any

import torch

from llama_tutorial.config import PRESETS, ModelConfig
from llama_tutorial.workbook.solutions.model import Llama, folded
from llama_tutorial.workbook.solutions.rope import rope_table
from llama_tutorial.workbook.task import Bug, Case, Task
from llama_tutorial.workbook.tasks._models import SMALL, draw, filled, in_steps


@torch.no_grad()
def _use_block(block: Any, x: torch.Tensor, steps: tuple[int, ...] | None = None) -> torch.Tensor:
    from llama_tutorial.workbook.solutions.gqa import Cache

    layer = filled(block(SMALL))
    cos, sin = rope_table(4, SMALL.max_seq_len)
    if steps is None:
        return layer(x, cos, sin)
    cache = Cache(SMALL, len(x))
    return in_steps(lambda part, start: layer(part, cos, sin, cache, start), x, steps)


def _block_cases() -> list[Case]:
    x = 2 * draw(2, 5, 16)
    return [
        Case("one position", x[:1, :1]),
        Case("five positions", x),
        Case("with a cache: three positions, then one, then one", x, (3, 1, 1)),
    ]


@torch.no_grad()
def _use_model(
    llama: Any, tokens: torch.Tensor, steps: tuple[int, ...] | None = None
) -> torch.Tensor:
    model = filled(llama(SMALL))
    if steps is None:
        return model(tokens)
    caches = model.new_caches(len(tokens))
    return in_steps(lambda part, start: model(part, caches, start), tokens, steps)


def _model_cases() -> list[Case]:
    tokens = torch.randint(13, (2, 6), generator=torch.Generator().manual_seed(0))
    return [
        Case("one token", tokens[:1, :1]),
        Case("two texts of six tokens", tokens),
        Case("with caches: four tokens, then one, then one", tokens, (4, 1, 1)),
    ]


def _count_cases() -> list[Case]:
    seven = PRESETS["llama-2-7b"]
    return [
        Case("a small model with grouped heads", SMALL),
        Case("a small model with as many key heads as query heads", SMALL.replace(n_kv_heads=4)),
        Case("Llama 2 7B", seven),
        Case("Llama 2 70B", PRESETS["llama-2-70b"]),
    ]


def _use_loader(load: Any, tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> dict[str, Any]:
    """What a model holds after a call, or whether the call was refused and changed nothing."""
    model = filled(Llama(_ONE_LAYER)).to(dtype)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    error = "none"
    try:
        load(model, tensors)
    except NotImplementedError:  # a stub
        raise
    except (ValueError, RuntimeError, KeyError) as raised:
        error = "ValueError" if isinstance(raised, ValueError) else type(raised).__name__
    refused = error != "none"
    now = model.state_dict()
    kept = all(torch.equal(before[name], now[name]) for name in before)
    found: dict[str, Any] = {"error that is raised": error}
    if refused:
        return {**found, "“nothing has been changed”": kept}
    return {**found, "the model": {name: tensor.clone() for name, tensor in now.items()}}


_ONE_LAYER: ModelConfig = SMALL.replace(n_layers=1)


def _tensors() -> dict[str, torch.Tensor]:
    shapes = {name: tuple(t.shape) for name, t in Llama(_ONE_LAYER).state_dict().items()}
    return {name: draw(*shape, seed=i) for i, (name, shape) in enumerate(shapes.items())}


def _loader_cases() -> list[Case]:
    full = _tensors()
    missing = {name: tensor for name, tensor in full.items() if name != "layers.0.ffn_norm.weight"}
    unknown = {**full, "layers.1.ffn_norm.weight": torch.ones(16)}
    wide = {**full, "norm.weight": torch.ones(1)}  # copy_ would spread it
    in_16_bit = {name: tensor.bfloat16() for name, tensor in full.items()}
    return [
        Case("all tensors", full, torch.float32),
        Case("a file in bfloat16", in_16_bit, torch.float32),
        Case("one tensor is missing", missing, torch.float32),
        Case("one tensor too many", unknown, torch.float32),
        Case("one tensor has another shape", wide, torch.float32),
    ]


@torch.no_grad()
def _one_by_one(model: Any, tensors: dict[str, torch.Tensor]) -> None:
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        if name not in tensors or parameter.shape != tensors[name].shape:
            raise ValueError(name)
        parameter.copy_(tensors[name])
    if set(tensors) != set(parameters):
        raise ValueError("too many")


# The exercises


def _fold_cases() -> list[Case]:
    def state(n_layers: int, tied: bool = False) -> dict[str, torch.Tensor]:
        found = filled(Llama(SMALL.replace(n_layers=n_layers))).state_dict()
        return {n: tensor for n, tensor in found.items() if n != "output.weight" or not tied}

    double = {name: tensor.double() for name, tensor in state(1).items()}
    return [
        Case("one layer", state(1)),
        Case("eleven layers", state(11)),
        Case("a tied head", state(2, tied=True)),
        Case("float64", double),
    ]


def _embedding_scaled(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    state = folded(tensors)
    if "output.weight" not in tensors:
        state["tok_embeddings.weight"] = state["output.weight"]
    return state


def _in_order(order_of: Any, order: list[int], n_layers: int = 3) -> dict[str, Any]:
    """The loss, and what the model has afterwards."""
    model = filled(Llama(SMALL.replace(n_layers=n_layers)))
    before = list(model.layers)
    tokens = torch.randint(13, (2, 8), generator=torch.Generator().manual_seed(n_layers))
    loss = order_of(model, tokens, order)
    after = list(model.layers)
    whole = len(after) == n_layers and all(map(operator_is, after, before))
    return {"loss": loss, "“the model is as it was”": whole}


def _order_cases() -> list[Case]:
    return [
        Case("three layers in their order", [0, 1, 2]),
        Case("the first left out", [1, 2]),
        Case("two exchanged", [0, 2, 1]),
        Case("one of five, twice", [3, 3], 5),
    ]


def _kept(answer: Any, what: str) -> Any:
    """The answer on a forward pass, and on the weights in it."""
    x = draw(6, 4).requires_grad_()
    w = draw(3, 4, seed=1).requires_grad_()
    whole, ids = draw(100, 4, seed=2), torch.tensor([[1, 4, 2, 0, 1]])
    run, weights = {
        "exp": (lambda: x.exp().sum(), []),
        "square": (lambda: (x * x).sum(), []),
        "linear": (lambda: (x @ w.T).sum(), [w]),
        "view": (lambda: (whole[:6] * x).sum(), []),
        "double": (lambda: x.double().exp().sum(), []),
    }.get(what, (None, []))
    if run is None:
        model = filled(Llama(SMALL))
        run, weights = lambda: model(ids).logsumexp(-1).sum(), list(model.parameters())
    return answer(run, weights)


def _kept_cases() -> list[Case]:
    return [
        Case("e to the power of six rows of four", "exp"),
        Case("x * x", "square"),
        Case("a matrix, which is a weight", "linear"),
        Case("six rows of a hundred", "view"),
        Case("in float64", "double"),
        Case("a small Llama", "llama"),
    ]


def _counted(run: Any, pack: Any) -> None:
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()


def _whatever_comes_by(run: Any, _: Any) -> int:
    sizes: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.nbytes)
        return tensor

    _counted(run, pack)
    return sum(sizes)


def _objects(run: Any, weights: Any) -> int:
    before, kept = set(weights), set()

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.add(tensor)
        return tensor

    _counted(run, pack)
    return sum(tensor.nbytes for tensor in kept - before)


TASKS = [
    Task(
        "model.Block",
        cases=_block_cases,
        use=_use_block,
        bugs=[
            Bug(
                "norms_exchanged",
                edit=("self.attention(self.attention_norm(x)", "self.attention(self.ffn_norm(x)"),
                more=(
                    (
                        "self.feed_forward(self.ffn_norm(h))",
                        "self.feed_forward(self.attention_norm(h))",
                    ),
                ),
                says="The two norms are exchanged: attention_norm stands before attention.",
                effect="Both have D weights, so a checkpoint loads, and is a little wrong in every "
                "layer.",
                look="Which norm belongs to which part?",
            ),
            Bug(
                "no_residual",
                edit=(
                    "h = x + self.attention(self.attention_norm(x), cos, sin, cache, start)\n"
                    "        return h + self",
                    "h = self.attention(self.attention_norm(x), cos, sin, cache, start)\n"
                    "        return self",
                ),
                says="Nothing is added to the stream: each part replaces it.",
                look="Where are the two plus signs?",
            ),
            Bug(
                "attention_forgotten",
                edit=("return h + self", "return x + self"),
                says="At the end you add to x, and what attention had found is lost.",
                effect="The feed-forward layer reads it, and nobody else does.",
                look="Which stream is the second part added to?",
            ),
            Bug(
                "one_norm",
                edit=("self.ffn_norm(h)", "self.attention_norm(h)"),
                says="You use attention_norm twice. There are two norms.",
                effect="Each was trained for its own place: the text gets a little worse, and the "
                "mistake is hard to find.",
                look="What is ffn_norm for?",
            ),
            Bug(
                "post_norm",
                edit=(
                    "h = x + self.attention(self.attention_norm(x), cos, sin, cache, start)\n"
                    "        return h + self.feed_forward(self.ffn_norm(h))",
                    "h = self.attention_norm(x + self.attention(x, cos, sin, cache, start))\n"
                    "        return self.ffn_norm(h + self.feed_forward(h))",
                ),
                says="Your norms stand after the additions, on the stream itself, as in the first "
                "Transformer.",
                effect="Deep models of that kind are hard to train, and a Llama's weights do not "
                "fit them.",
                look="Does a norm stand on the stream, or on the way from it?",
            ),
            Bug(
                "adds_to_the_normed",
                edit=(
                    "h = x + self",
                    "x = self.attention_norm(x)\n        h = x + self",
                ),
                says="You add to the normed stream: the norm has overwritten x.",
                effect="The stream loses its size in every layer.",
                look="What is x when you add to it?",
            ),
            Bug(
                "feed_forward_first",
                edit=("self.feed_forward(self.ffn_norm(h))", "self.feed_forward(self.ffn_norm(x))"),
                says="Your feed-forward layer reads the stream as it was before attention.",
                effect="It cannot work on what attention has just found.",
                look="Which stream does the second norm read?",
            ),
            Bug(
                "no_norms",
                edit=("self.attention(self.attention_norm(x), cos", "self.attention(x, cos"),
                says="Attention reads the stream without its norm.",
                effect="The stream grows with depth, and so do all scores.",
                look="Two parts, two norms.",
            ),
            Bug(
                "cache_not_given",
                edit=("cos, sin, cache, start)", "cos, sin)"),
                says="Without a cache all is right. With one, attention does not get it.",
                effect="Each new token believes that it is alone.",
                look="What are cache and start for?",
            ),
        ],
        hints=[
            "Two lines, of one form: stream plus part of norm of stream.",
            "The second line reads what the first has made.",
            "Keep the stream and what goes into a part apart: never x = norm(x).",
        ],
        minutes=6,
        page="#llama-2-made-of-your-own-parts",
        teaches="Parts read the stream through a norm and add to it; none replaces it.",
    ),
    Task(
        "model.Llama",
        cases=_model_cases,
        use=_use_model,
        bugs=[
            Bug(
                "probabilities",
                edit=("self.output(self.norm(x))", "self.output(self.norm(x)).softmax(-1)"),
                says="You return probabilities. Logits are asked for: the softmax comes later.",
                effect="The loss takes a softmax of its own, and temperature and cuts want logits.",
                look="What does the docstring call the result?",
            ),
            Bug(
                "no_last_norm",
                edit=("self.output(self.norm(x))", "self.output(x)"),
                says="The last norm is missing.",
                look="What comes between the last layer and the output matrix?",
            ),
            Bug(
                "scaled_embedding",
                edit=(
                    "self.tok_embeddings(tokens)",
                    "self.tok_embeddings(tokens) * self.config.dim**0.5",
                ),
                says="You multiply the embeddings by the root of D.",
                look="Llama takes the row of the table as it is.",
            ),
            Bug(
                "one_cache",
                edit=("caches[n]", "caches[0]"),
                says="All layers share one cache. Each has its own keys.",
                effect="Each layer overwrites what the one before has kept. Without a cache all "
                "is right, and with one nothing is.",
                look="Which cache belongs to layer n?",
            ),
            Bug(
                "start_ignored",
                edit=("self.sin, cache, start)", "self.sin, cache, 0)"),
                says="Without caches all is right. With them, every call begins anew: the layers "
                "do not get start, or not their cache.",
                effect="Each new token believes that it is the first, and alone.",
                look="What are caches and start for?",
            ),
            Bug(
                "last_layer_left_out",
                edit=("enumerate(self.layers)", "enumerate(self.layers[:-1])"),
                says="The last layer is left out.",
                effect="The model writes, and less well.",
                look="How many layers does your loop run through?",
            ),
            Bug(
                "tied",
                edit=("self.output(self.norm(x))", "self.norm(x) @ self.tok_embeddings.weight.T"),
                says="You use the embedding's matrix for the output, as GPT-2 does. Llama has one "
                "of its own.",
                effect="The model's answers are read with the wrong table.",
                look="What is self.output?",
            ),
            Bug(
                "first_layer_only",
                edit=("x = layer(x,", "x = self.layers[0](x,"),
                says="You run the first layer again and again.",
                effect="The others were trained for nothing.",
                look="What does your loop call?",
            ),
        ],
        hints=[
            "Four parts that are there already, one after the other; the layers in a loop.",
            "enumerate, or zip, gives each layer its cache.",
            "tok_embeddings, layers, norm, output.",
        ],
        minutes=8,
        page="#llama-2-made-of-your-own-parts",
        teaches="A Llama is a loop over blocks between two tables.",
    ),
    Task(
        "model.count_parameters",
        cases=_count_cases,
        bugs=[
            Bug(
                "heads_not_grouped",
                edit=("2 * D * D + 2 * D * config.n_kv_heads * h", "4 * D * D"),
                says="You count wk and wv as wide as wq. With fewer key heads they are narrower.",
                effect="7B comes out right, and 70B more than nine billion too large.",
                look="What is the shape of wk?",
            ),
            Bug(
                "two_matrices",
                edit=("3 * D * config.hidden_dim", "2 * D * config.hidden_dim"),
                says="You count two matrices in the feed-forward layer. There is the gate, too.",
                effect="Two thirds of a large model are in these matrices: you lose a third of "
                "that.",
                look="w1, w2, w3.",
            ),
            Bug(
                "tied",
                edit=("2 * config.vocab_size * D", "config.vocab_size * D"),
                says="You count the embedding once. The output matrix is one of its own.",
                effect="131 million too few, for 7B.",
                look="How many tables of V rows are there?",
            ),
            Bug(
                "last_norm",
                edit=(" + norms) + D", " + norms)"),
                says="The last norm is missing.",
                effect="4096 too few for 7B: the number looks right.",
                look="What comes after the last layer?",
            ),
            Bug(
                "no_norms",
                edit=(" + norms)", ")"),
                says="The two norms in each layer are missing.",
                effect="The number looks right, and is not.",
                look="What else does a block hold than matrices?",
            ),
            Bug(
                "one_norm",
                edit=("norms = 2 * D", "norms = D"),
                says="You count one norm in each layer. There are two.",
                effect="The number looks right, and is not.",
                look="What does each of the two parts read the stream through?",
            ),
        ],
        hints=[
            "Three places: the two tables, the layers, the last norm.",
            "A layer: wq and wo of D by D, wk and wv of D by K · h; three matrices; two norms.",
            "Norms have D weights each.",
        ],
        minutes=6,
        page="#where-seven-billion-numbers-are",
        teaches="Of 7B's numbers, two thirds are in the feed-forward layers.",
    ),
    Task(
        "model.load_weights",
        cases=_loader_cases,
        use=_use_loader,
        changes=("model",),
        bugs=[
            Bug(
                "missing_passed",
                edit=(
                    "if missing := sorted(set(parameters) - set(tensors)):",
                    "missing = []\n    tensors = {**parameters, **tensors}\n    if missing:",
                ),
                says="A file in which a tensor is missing is taken: that parameter keeps its "
                "random numbers.",
                effect="The model runs and writes nonsense, and nothing says why.",
                look="Which names does the model have that the file lacks?",
            ),
            Bug(
                "unknown_passed",
                edit=(
                    "if unknown := sorted(set(tensors) - set(parameters)):",
                    "unknown = []\n    if unknown:",
                ),
                says="A file with a tensor that the model does not have is taken. It may well be "
                "another model's.",
                effect="A model of 32 layers loads into one of 16, and half of it is lost.",
                look="Which names does the file have that the model lacks?",
            ),
            Bug(
                "shapes_passed",
                edit=("if parameter.shape != tensors[name].shape:", "if False:"),
                says="A tensor of another shape is taken: copying spreads a single number over all "
                "of them.",
                effect="All weights of a norm are equal, and nothing says so.",
                look="What does copy_ do with a tensor of shape (1,)?",
            ),
            Bug(
                "half_loaded",
                wrong=_one_by_one,
                says="You refuse what does not fit, but only after part of it has been copied. A "
                "model that was refused must be as it was.",
                effect="Whoever catches the error goes on with a model that is half of each.",
                look="Check everything, then copy everything.",
            ),
            Bug(
                "nothing_copied",
                edit=(
                    "parameter.copy_(tensors[name])",
                    "parameter.data.clone().copy_(tensors[name])",
                ),
                says="The model's parameters are what they were before: you have changed something "
                "else.",
                effect="The model writes as if it had never been trained.",
                look="Which tensor do you write to?",
            ),
        ],
        hints=[
            "Compare two sets of names, both ways; then the shapes; then copy.",
            "dict(model.named_parameters()) has the names and the parameters themselves.",
            "Under torch.no_grad(), parameter.copy_(tensor) writes into it, and changes the dtype "
            "on the way.",
        ],
        minutes=8,
        page="#it-loads-a-trained-model-s-weights-and-writes",
        teaches="A wrong checkpoint is refused, not guessed at.",
        same_dtype=True,
        tolerance=1e-6,
    ),
    Task(
        "model.folded",
        cases=_fold_cases,
        extra=True,
        bugs=[
            Bug(
                "last_norm_forgotten",
                edit=('        "norm": ["output"],\n', ""),
                says="The last norm still has its weights. It is read as well: by the output "
                "matrix.",
                effect="None yet, but whoever drops the norms' weights afterwards has another "
                "model.",
                look="Which norm belongs to no layer?",
            ),
            Bug(
                "tied_head_unscaled",
                edit=(
                    "            for reader in readers[norm]:\n",
                    "            for reader in readers[norm]:\n"
                    '                if f"{reader}.weight" == "output.weight" not in tensors:\n'
                    "                    continue\n",
                ),
                says="A tied head gets its own matrix, as it should, but not the last norm's "
                "weights.",
                effect="The stream is right to its end, and the logits are those of another norm.",
                look="What does the output matrix read, tied or not?",
            ),
            Bug(
                "embedding_scaled",
                wrong=_embedding_scaled,
                says="The head is tied, and you scale the embedding. It is also what the tokens "
                "are looked up in.",
                effect="The stream begins with other vectors, and every layer reads them.",
                look="What else is done with the matrix of a tied head? Which name should the "
                "result have besides those that it was given?",
            ),
            Bug(
                "rows_scaled",
                edit=("state[matrix] * g", "(state[matrix].T * g[: len(state[matrix])]).T"),
                says="You scale rows. A row is an output; what the norm has scaled comes in, and "
                "goes to the columns.",
                effect="Square matrices get it wrong in silence, and the others do not fit at all.",
                look="A matrix is (out, in). Which axis has the features that the norm gives?",
            ),
            Bug(
                "values_forgotten",
                edit=(', "attention.wv"', ""),
                says="You have left out wv. Queries, keys and values are all made of the normed "
                "stream.",
                effect="Attention looks at the right places and fetches values of the wrong size.",
                look="Which three matrices read attention_norm's result?",
            ),
            Bug(
                "up_forgotten",
                edit=(', "feed_forward.w3"', ""),
                says="You have left out w3. Two matrices read ffn_norm's result.",
                effect="The gate is right and what it lets through is not.",
                look="Which two matrices of SwiGLU read x itself?",
            ),
            Bug(
                "writers_too",
                edit=('"attention.wv"]', '"attention.wv", "attention.wo"]'),
                says="You scale wo as well. It reads the heads' results, and no norm stands there.",
                effect="What attention writes is scaled twice, once by features that are not its "
                "own.",
                look="What does wo read?",
            ),
            Bug(
                "weights_kept",
                edit=("torch.ones_like(g)", "g"),
                says="The norms keep their weights, so now they are applied twice.",
                effect="Every feature is scaled by the square of what it should be.",
                look="What should the norms' weights be afterwards?",
            ),
            Bug(
                "divided",
                edit=("state[matrix] * g", "state[matrix] / g"),
                says="You divide the columns by the norm's weights. They have to do what the norm "
                "does no more.",
                effect="Large features come out small.",
                look="W (g y) is to be W' y. What is W'?",
            ),
        ],
        hints=[
            "List who reads which norm: three matrices, two matrices, one matrix.",
            "The name of a norm begins like those of its readers: `name.split('.')` takes it "
            "apart. A tied head has no name of its own, so give it one first.",
            "A matrix (out, in) times a vector (in,) scales column by column. Make new tensors: "
            "what was given must stay.",
        ],
        minutes=10,
        page="#ex-model-fold",
        teaches="A norm's weight is a scale of columns, and a tied head has none to spare.",
    ),
    Task(
        "model.loss_in_order",
        cases=_order_cases,
        use=_in_order,
        extra=True,
        bugs=[
            Bug(
                "order_ignored",
                edit=("layers[n] for n in order", "layer for layer in layers"),
                says="All layers run, and in their own order: yours is not used.",
                effect="No layer is missed, whichever you take out.",
                look="What does order do in your code?",
            ),
            Bug(
                "sorted",
                edit=("for n in order", "for n in sorted(order)"),
                says="The right layers run, but in ascending order. Theirs should be that of the "
                "list.",
                effect="An exchange of two layers seems to do no harm at all.",
                look="In which order does your loop meet them?",
            ),
            Bug(
                "left_out_those_named",
                edit=(
                    "layers[n] for n in order",
                    "layer for n, layer in enumerate(layers) if n not in order",
                ),
                says="You leave out the layers that are named. These are the ones that run.",
                effect="With one layer missing you measure a model that has only that one.",
                look="How many layers run if order has five numbers?",
            ),
            Bug(
                "not_as_it_was",
                edit=("    model.layers = layers\n", ""),
                says="The loss is right, but afterwards the model still has the layers of your "
                "experiment.",
                effect="Each further measurement begins with a model that has lost more.",
                look="What is model.layers when your function returns?",
            ),
            Bug(
                "not_shifted",
                edit=("logits[:, :-1]", "logits[:, :]"),
                more=(("tokens[:, 1:]", "tokens[:, :]"),),
                says="You compare the logits at each position with the token at that same "
                "position, which the model has just read.",
                effect="The loss says how well a model remembers what it reads.",
                look="Of which token do the logits at position 0 speak?",
            ),
            Bug(
                "a_sum",
                edit=(
                    "tokens[:, 1:].flatten())",
                    'tokens[:, 1:].flatten(), reduction="sum")',
                ),
                says="You add the losses up. The mean is asked for.",
                effect="None, but losses of two texts can no longer be compared.",
                look="Over how many predictions is the mean?",
            ),
        ],
        hints=[
            "A model's layers are a list like any other: for a while, let it have another.",
            "`nn.ModuleList` takes any iterable of modules, and one module may stand in two lists.",
            "Keep the old list, set the new one, run, and set the old one back. Then the loss: "
            "logits without the last position, tokens without the first.",
        ],
        minutes=6,
        page="#ex-model-skip",
        teaches="Layers only add, so a model runs without one, and you can measure who is missed.",
    ),
    Task(
        "model.bytes_kept",
        cases=_kept_cases,
        use=_kept,
        extra=True,
        bugs=[
            Bug(
                "weights_too",
                edit=("if storage.data_ptr() not in apart:", "if True:"),
                says="You count the weights. They are in memory anyway.",
                effect="You believe that a larger batch costs less than it does: a part that does "
                "not grow hides the part that does.",
                look="Which of the tensors that come by were there before?",
            ),
            Bug(
                "each_time",
                edit=("kept[storage.data_ptr()] = storage", "kept[len(kept)] = storage"),
                says="You count a storage as often as it is put away. In x * x it is put away "
                "twice, and is there once.",
                effect="Far more bytes than there are.",
                look="How do you notice that a storage has been there before?",
            ),
            Bug(
                "whatever_comes_by",
                wrong=_whatever_comes_by,
                says="You add up every tensor that comes by, the weights too, and what is put away "
                "twice counts twice.",
                effect="Far more bytes than there are.",
                look="What does x * x put away, and how much memory is that? What was in memory "
                "before?",
            ),
            Bug(
                "objects_for_storages",
                wrong=_objects,
                says="You tell tensors apart as objects. A view, such as the transposed matrix in "
                "x @ w.T, is another object, but its numbers are the same memory.",
                effect="Weights are counted as if they were activations, wherever a layer turns "
                "them round.",
                look="What do w and w.T have in common?",
            ),
            Bug(
                "numbers_for_bytes",
                edit=(
                    "storage.nbytes() for storage in",
                    "storage.nbytes() // 4 for storage in",
                ),
                says="You count numbers. A float32 has four bytes, a float64 eight.",
                effect="A quarter of what the card will have to hold.",
                look="How many bytes has a number of that dtype?",
            ),
            Bug(
                "of_the_view",
                edit=("kept[storage.data_ptr()] = storage", "kept[storage.data_ptr()] = tensor"),
                more=(
                    (
                        "storage.nbytes() for storage in",
                        "tensor.nbytes for tensor in",
                    ),
                ),
                says="You count the bytes of the tensor that is put away. If it is a view, all of "
                "its storage stays in memory.",
                effect="A slice of a large tensor looks small, and holds on to all of it.",
                look="What is `x[:2].untyped_storage().nbytes()`, if x has a hundred rows?",
            ),
            Bug(
                "floats_alone",
                edit=(
                    "if storage.data_ptr() not in apart:",
                    "if storage.data_ptr() not in apart and tensor.is_floating_point():",
                ),
                says="You leave out what is not a float. Token ids and masks are put away as well.",
                effect="A mask for each head is left out, which may be more than the rest.",
                look="What does an embedding need for its backward pass?",
            ),
        ],
        hints=[
            "`torch.autograd.graph.saved_tensors_hooks(pack, unpack)` is a context: every tensor "
            "that is put away goes through pack.",
            "pack gives the tensor back as it is; on the way, note its storage. "
            "`untyped_storage().data_ptr()` is a storage's address, the same for all its views.",
            "A dict from addresses to storages holds each once. Keep the weights' addresses in a "
            "set, and leave these out.",
        ],
        minutes=10,
        page="#ex-model-activations",
        teaches="Training keeps what the backward pass needs, and that is most of its memory.",
    ),
]
