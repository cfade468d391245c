"""GPT and Llama on the characters of Shakespeare, in nanoGPT's setting for a processor.

    python benchmarks/shakespeare.py --data input.txt --runs runs/shakespeare --json FILE

The text is the million characters that nanoGPT calls ``shakespeare_char``; its first nine tenths
are learned from, its last tenth is measured with. The setting is that of nanoGPT's README for a
machine without a GPU: 4 layers, 4 heads, width 128, no biases, windows of 64 characters, 12 a step,
2,000 steps, a learning rate of 1e-3 with 100 steps of warm-up and a cosine down to a tenth, AdamW's
second beta at 0.99, no dropout, float32. Its published validation loss, 1.88, is the mean over 20
random batches; here it is the mean over the whole last tenth, in windows of 64 that do not overlap.
Other differences: batches come from a shuffled list of windows, not at random, and the tokenizer
knows three special tokens beside the 65 characters, of which BOS and EOS stand at the ends.

The Llama has RMSNorm, RoPE and SwiGLU, and the feed-forward width that comes nearest to the GPT's
number of parameters.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from recorded_runs import Run, record, run_once, summary
from swaps import fitted

from llama_tutorial import ModelConfig
from llama_tutorial.pretraining import TokenStream, load_corpus, tokenize
from llama_tutorial.tokenizer.bpe import BPETokenizer
from llama_tutorial.training.loop import TrainConfig

SETTINGS = TrainConfig(
    total_steps=2000, peak_lr=1e-3, warmup_steps=100, weight_decay=0.1, beta2=0.99, eps=1e-8
)
ROWS, CONTEXT, PUBLISHED = 12, 64, 1.88


def main() -> None:
    """Train both with each seed and write what there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the text")
    parser.add_argument("--runs", type=Path, required=True, help="the folder for the runs")
    parser.add_argument("--json", type=Path, required=True, help="the file for their results")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.runs.mkdir(parents=True, exist_ok=True)
    training, validation, vocab_size = streams(arguments.data, arguments.runs)
    results = []
    for seed in range(arguments.seeds):
        stream = TokenStream(training, ROWS, CONTEXT, seed=seed, separate_documents=False)
        for name, config in models(vocab_size).items():
            run = Run(name, config, SETTINGS, stream, validation, seed)
            results.append(run_once(run, arguments.runs))
            content = {"published": PUBLISHED, "models": summary(results)}
            sizes = {"characters": stream.info.n_tokens, "steps": SETTINGS.total_steps}
            sizes["tokens"] = SETTINGS.total_steps * ROWS * CONTEXT
            command = "python benchmarks/shakespeare.py --data TEXT --runs RUNS --json FILE"
            record(arguments.json, command, sizes | content)


def streams(data: str, runs: Path) -> tuple[Path, TokenStream, int]:
    """Tokens to learn from, tokens to measure with, and how many different ones there are."""
    corpus = load_corpus(data)
    tokenizer = BPETokenizer.of_characters([*corpus.training, *corpus.validation])
    training = tokenize(corpus.training, tokenizer, runs / "training.tokens", "training")
    last_tenth = tokenize(corpus.validation, tokenizer, runs / "validation.tokens", "validation")
    held_out = TokenStream(last_tenth, 1, CONTEXT, separate_documents=False)
    return training, held_out, tokenizer.vocab_size


def models(vocab_size: int) -> dict[str, ModelConfig]:
    """Both by name."""
    gpt = ModelConfig(
        dim=128,
        n_layers=4,
        n_heads=4,
        hidden_dim=512,
        vocab_size=vocab_size,
        max_seq_len=CONTEXT,
        norm="layernorm",
        feed_forward="gelu",
        positions="learned",
        bias=False,
        tie_embeddings=True,
    )
    llama = gpt.replace(norm="rmsnorm", positions="rope", feed_forward="swiglu")
    return {"GPT": gpt, "Llama": fitted(llama, gpt.n_params)}


if __name__ == "__main__":
    main()
