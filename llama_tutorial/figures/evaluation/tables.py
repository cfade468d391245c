"""The tables of the evaluation chapter, and the published numbers that it reads.

Sources: Llama 2's scores are those of the model card and of table 3 of Touvron et al. (2023),
"Llama 2"; MMLU's number of test questions is that of Hendrycks et al. (2021). The three MMLU scores
of one model are those of Fourrier et al. (2023), "What's going on with the Open LLM Leaderboard?".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from llama_tutorial.figures.evaluation.live import Z
from llama_tutorial.figures.kit.table import Table, table

SPACE = "\N{NO-BREAK SPACE}"
MMLU_QUESTIONS = 14_079

# In percent, by the columns of the model card.
LLAMA_2 = {
    "Llama 1 7B": {"MMLU": 35.1, "commonsense": 60.8, "code": 14.1},
    "Llama 2 7B": {"MMLU": 45.3, "commonsense": 63.9, "code": 16.8},
    "Llama 2 13B": {"MMLU": 54.8, "commonsense": 66.9, "code": 24.5},
    "Llama 2 70B": {"MMLU": 68.9, "commonsense": 71.9, "code": 37.5},
}

# MMLU by three programs: HELM, lm-evaluation-harness (of January 2023), the benchmark's own.
MMLU_BY_PROGRAM = {
    "LLaMA 65B": (63.7, 48.8, 63.6),
    "Falcon 40B": (57.1, 52.7, 55.8),
    "LLaMA 7B": (33.9, 34.2, 35.1),
}


def units(rows: Mapping[str, tuple[float, float]]) -> Table:
    """Perplexity and bits per byte of a text, by model and spelling."""
    cells = [[name, f"{ppl:.2f}", f"{bits:.3f}"] for name, (ppl, bits) in rows.items()]
    header = ["model, and how it reads", "perplexity", "bits per byte"]
    return table(cells, header, "The same text, by two models in two spellings.")


def kinds(scores: Mapping[str, tuple[int, int]], words: Mapping[str, str]) -> Table:
    """Right answers by the kind of question.

    Args:
        scores: Right answers and questions, by the kind.
        words: What the kinds that are shown ask, in order.
    """
    rows = [
        [text, f"{scores[kind][0]}{SPACE}of{SPACE}{scores[kind][1]}", _percent(scores[kind])]
        for kind, text in words.items()
    ]
    return table(rows, ["question", "right", "share"], "tales-chat on twelve new tales.")


def templates(found: Mapping[str, Mapping[str, int]], n: int) -> Table:
    """Right answers to ``n`` questions, by the template and by how the answer is taken."""
    columns = list(next(iter(found.values())))
    rows = [[name, *(counts[column] for column in columns)] for name, counts in found.items()]
    caption = f"The same model and the same {n} questions in each template: right answers."
    return table(rows, ["asked in", *columns], caption)


def llama_2() -> Table:
    """Published scores of Llama 2, and how far from each an exam of that size may be by luck."""
    rows = []
    for name, scores in LLAMA_2.items():
        p = scores["MMLU"] / 100
        half = 100 * Z * math.sqrt(p * (1 - p) / MMLU_QUESTIONS)
        others = [f"{scores[column]:.1f}" for column in ("commonsense", "code")]
        rows.append([name, f"{scores['MMLU']:.1f}{SPACE}±{SPACE}{half:.1f}", *others])
    header = ["model", "MMLU", "common sense", "code"]
    caption = "In percent, from the model card; the interval is computed here."
    return table(rows, header, caption)


def leaderboard() -> Table:
    """One benchmark by three programs."""
    header = ["model", "HELM", "the harness", "original"]
    rows: list[Sequence[str]] = [
        [name, *(f"{score:.1f}" for score in scores)] for name, scores in MMLU_BY_PROGRAM.items()
    ]
    return table(rows, header, "MMLU in percent, published: the same questions by three programs.")


def _percent(score: tuple[int, int]) -> str:
    return f"{100 * score[0] / score[1]:.0f}{SPACE}%"
