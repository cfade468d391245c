r"""Evaluation: how well a model predicts a text, and which of several answers it finds likeliest.

.. math::
    & \mathrm{loss} = -\frac{1}{N} \sum_{i} \ln p(x_i \mid x_1 \dots x_{i-1}) \\
    & \mathrm{perplexity} = e^{\mathrm{loss}}

The mean is over the :math:`N` tokens that are predicted: each once, and never the first, which
nothing predicts. A text that is longer than the context is read in **windows**. A window feeds
``context`` tokens, and each predicts the one after it. The next window begins ``stride`` tokens
later, and of its predictions only those count that no window before it has made: the last
``stride``. So with ``stride = context`` (the default, and what pre-training reports as its
validation loss) a token right after a window's beginning is predicted from few tokens; with a
smaller stride, from at least ``context - stride + 1``, at ``context / stride`` times the cost. The
last window is moved back to where it is full.

Loss and perplexity are by token, so models with different tokenizers cannot be compared by them.
They can by bits per byte: the whole loss in bits, divided by the text's bytes in UTF-8.

Both engines are measured in the same way; with a
:class:`~llama_tutorial.numpy_llama.engine.NumpyLlama`, nothing here needs torch.

Source: the windows are those of the Hugging Face guide "Perplexity of fixed-length models", the
last one and `choose` those of EleutherAI's lm-evaluation-harness.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from llama_tutorial._util.generation_settings import plain
from llama_tutorial._util.labels import IGNORE
from llama_tutorial._util.not_finite import not_finite
from llama_tutorial._util.progress import progress as progress_bar
from llama_tutorial._util.shapes import Int
from llama_tutorial.checkpoints.folders import AnyTokenizer
from llama_tutorial.config import ModelConfig
from llama_tutorial.numpy_llama.engine import NumpyLlama
from llama_tutorial.numpy_llama.layers import log_softmax

if TYPE_CHECKING:
    from llama_tutorial.model import Transformer

BATCH_SIZE = 8
NORMALIZATIONS = ("none", "tokens", "bytes")


class Loss(NamedTuple):
    """What the predictions of some tokens cost.

    Attributes:
        total: The sum of -ln p over the tokens, in nats.
        n_tokens: How many were predicted.
    """

    total: float
    n_tokens: int

    @property
    def mean(self) -> float:
        """Nats per token."""
        return self.total / self.n_tokens

    @property
    def perplexity(self) -> float:
        """E to the mean; infinite where that is more than a float holds."""
        return math.exp(self.mean) if self.mean < 700 else math.inf

    def bits_per_byte(self, n_bytes: int) -> float:
        """Bits for each of the ``n_bytes`` bytes of the text that the tokens stand for."""
        return self.total / math.log(2) / n_bytes


class _Row(NamedTuple):
    """Tokens to feed, what each should predict (-100: nothing), and each one's document."""

    inputs: Int[np.ndarray, " T"]
    targets: Int[np.ndarray, " T"]
    documents: Int[np.ndarray, " T"]


def perplexity(
    model: Transformer | NumpyLlama,
    ids: Any,
    *,
    context: int | None = None,
    stride: int | None = None,
    batch_size: int = BATCH_SIZE,
    bos_id: int | None = None,
) -> float:
    """The perplexity of a text: e to the mean of -ln p over the tokens that are predicted.

    Arguments and errors are those of :func:`text_loss`; the module's docstring has the definition.
    """
    settings: dict[str, Any] = {"context": context, "stride": stride, "batch_size": batch_size}
    return text_loss(model, ids, **settings, bos_id=bos_id).perplexity


def text_loss(
    model: Transformer | NumpyLlama,
    ids: Any,
    *,
    context: int | None = None,
    stride: int | None = None,
    batch_size: int = BATCH_SIZE,
    bos_id: int | None = None,
    progress: bool = False,
) -> Loss:
    """What it costs to predict each token of a text but the first.

    The model runs in evaluation mode, and each of its modules has its own mode back afterwards. No
    random number is drawn.

    Args:
        model: The model, of either engine; it computes in its own dtype, and the logarithms are
            added up in float64.
        ids: The text's tokens, BOS included where the model wants one: a list, array or tensor.
        context: Tokens that a window feeds; None for the model's own context.
        stride: Tokens from one window's beginning to the next; None for ``context``.
        batch_size: Windows that torch computes together.
        bos_id: For a text of several documents one after the other, each between BOS and EOS: the
            BOS that begins each. Nothing is then predicted from another document, and BOS itself
            is not predicted. If the text ends with BOS, as GPT-2's do, it is the EOS too; that
            is predicted where it ends a document.
        progress: Whether a terminal shows how far it is.

    Raises:
        ValueError: There are fewer than two ids, or one that the model does not know; ``context``,
            ``stride`` or ``batch_size`` is out of range; or logits are not finite.
    """
    context, stride = check_windows(model.config, context, stride)
    tokens = _checked_ids(ids, model.config)
    rows = _windows(tokens, context, stride, bos_id)
    n_windows = 1 + max(0, -(-(len(tokens) - 1 - context) // stride))
    return _measure(model, rows, batch_size, n_windows if progress else None)


def check_windows(
    config: ModelConfig, context: int | None = None, stride: int | None = None
) -> tuple[int, int]:
    """The windows that :func:`text_loss` takes: their tokens, and from one to the next.

    Raises:
        ValueError: One of the two is out of range.
    """
    own = config.max_seq_len
    context = _between("context", own if context is None else context, own, "the model's context")
    return context, _between(
        "stride", context if stride is None else stride, context, "the context"
    )


def example_loss(
    model: Transformer | NumpyLlama,
    examples: Sequence[tuple[Sequence[int], Sequence[int]]],
    *,
    batch_size: int = BATCH_SIZE,
    progress: bool = False,
) -> Loss:
    """What it costs to predict the labelled tokens of examples: of dialogs, the answers.

    This is the loss that fine-tuning minimises. Each example is computed by itself.

    Args:
        model: As for :func:`text_loss`.
        examples: Ids, and as many labels, -100 where nothing is to be predicted; not shifted. From
            :func:`llama_tutorial.finetuning.examples.encode_example`.
        batch_size: Examples that torch computes together.
        progress: Whether a terminal shows how far it is.

    Raises:
        ValueError: An example has not as many labels as ids, is longer than the model's context, or
            holds an id that the model does not know; none has a label; ``batch_size`` is out of
            range; or logits are not finite.
    """
    rows = [
        _example_row(ids, labels, model.config, f"example {number}")
        for number, (ids, labels) in enumerate(examples)
    ]
    rows.sort(key=lambda row: len(row.inputs))  # little padding
    return _measure(model, rows, batch_size, len(rows) if progress else None)


def choose(
    model: Transformer | NumpyLlama,
    tokenizer: AnyTokenizer,
    question: str,
    answers: Sequence[str],
    *,
    normalization: Literal["none", "tokens", "bytes"] = "none",
    batch_size: int = BATCH_SIZE,
) -> tuple[int, list[float]]:
    """The answer that a model finds likeliest after a question, and the score of each.

    An answer's score is the natural logarithm of its probability given the question: the sum over
    its tokens. EOS is not one of them. A longer answer is less likely, all else being equal, so
    the scores may be divided by a length. ``"none"`` is lm-evaluation-harness's ``acc``;
    ``"bytes"`` is its ``acc_norm`` where every character is a byte.

    Question and answer are encoded as one text, so an answer must begin with the space that
    separates it from the question (``" Paris"``). White space at the end of the question counts to
    the answer, since tokenizers put it there. The answer's tokens are those after the tokens of the
    question alone; one that covers the question's end and the answer's beginning is the answer's.

    Args:
        model: As for :func:`text_loss`.
        tokenizer: The model's own.
        question: What comes before; may be empty.
        answers: What may follow.
        normalization: What the sums are divided by: ``"none"``, nothing; ``"tokens"``, the number
            of the answer's tokens; ``"bytes"``, that of its bytes in UTF-8.
        batch_size: Answers that torch computes together.

    Returns:
        The index of the highest score, of the first one where two are equal, and all scores.

    Raises:
        ValueError: There is no answer, one is empty, or with the question it is longer than the
            context; there is no such normalization; ``batch_size`` is out of range; or logits are
            not finite.
    """
    if normalization not in NORMALIZATIONS:
        names = ", ".join(map(repr, NORMALIZATIONS))
        raise ValueError(f"normalization={normalization!r}: must be one of {names}")
    if isinstance(answers, str) or not answers:
        raise ValueError(f"answers={answers!r}: must be a list of one text or more")
    stem = question.rstrip()
    spaces, prompt = question[len(stem) :], tokenizer.encode(stem, bos=True)
    rows, lengths = [], []
    for number, answer in enumerate(answers):
        if not answer:
            raise ValueError(f"answer {number} is empty: there is nothing to score")
        ids = tokenizer.encode(stem + spaces + answer, bos=True)
        # BOS is never the answer's, whatever the question is.
        first = max(next(_differences(prompt, ids), len(prompt)), 1)
        labels = [*[IGNORE] * first, *ids[first:]]
        if len(ids) == first:
            raise ValueError(f"answer {number}, {answer!r}, adds no token to the question")
        rows.append(_example_row(ids, labels, model.config, f"the question with answer {number}"))
        n_bytes = len(answer.encode())
        lengths.append({"none": 1, "tokens": len(ids) - first, "bytes": n_bytes}[normalization])
    losses = _losses(model, rows, _between("batch_size", batch_size))
    scores = [-loss / n for loss, n in zip(losses, lengths, strict=True)]
    return int(np.argmax(scores)), scores


# Rows


def _windows(tokens: np.ndarray, context: int, stride: int, bos_id: int | None) -> Iterator[_Row]:
    """The windows of a text; a target counts in the first one that holds it."""
    n_targets, done, start = len(tokens) - 1, 0, 0
    bos_is_eos = bos_id is not None and int(tokens[-1]) == bos_id
    while done < n_targets:
        first = max(0, min(start, n_targets - context))
        window = tokens[first : first + context + 1].astype(np.int64)
        inputs, targets = window[:-1], window[1:].copy()
        documents = np.zeros_like(inputs)
        if bos_id is not None:
            begins, boundary = inputs == bos_id, targets == bos_id
            targets[boundary & begins if bos_is_eos else boundary] = IGNORE
            documents = begins.cumsum()
        targets[: done - first] = IGNORE
        yield _Row(inputs, targets, documents)
        done, start = first + len(inputs), start + stride


def _example_row(ids: Sequence[int], labels: Sequence[int], config: ModelConfig, what: str) -> _Row:
    if len(ids) != len(labels):
        raise ValueError(f"{what} has {len(ids)} ids and {len(labels)} labels: one for each id")
    if len(ids) - 1 > config.max_seq_len:
        raise ValueError(
            f"{what} has {len(ids)} tokens, more than the context of {config.max_seq_len} and the "
            "one that it predicts: shorten it"
        )
    inputs = _checked_ids(ids, config)[:-1]
    return _Row(inputs, np.array(labels[1:], np.int64), np.zeros_like(inputs))


def _checked_ids(ids: Any, config: ModelConfig) -> np.ndarray:
    tokens = np.asarray(ids.cpu() if hasattr(ids, "cpu") else ids)
    if tokens.ndim != 1 or tokens.dtype.kind not in "iu" or len(tokens) < 2:
        raise ValueError(
            f"the ids have shape {tokens.shape} and type {tokens.dtype}: they must be one row of "
            "whole numbers, at least two, since nothing predicts the first"
        )
    least, most = int(tokens.min()), int(tokens.max())
    if least < 0 or most >= config.vocab_size:
        raise ValueError(
            f"the ids go from {least} to {most}: the model's are 0 to {config.vocab_size - 1}; "
            "were they made by another tokenizer?"
        )
    return tokens if tokens.dtype == np.uint16 else tokens.astype(np.int64)


def _between(name: str, value: Any, most: int | None = None, what: str = "") -> int:
    number = plain(value)
    if type(number) is not int or number < 1 or (most is not None and number > most):
        bound = "at least 1" if most is None else f"between 1 and {what}, {most}"
        raise ValueError(f"{name}={value!r}: must be a whole number, {bound}")
    return number


def _differences(left: Sequence[int], right: Sequence[int]) -> Iterator[int]:
    """The places where two sequences differ, as far as both go."""
    return (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)


# Their losses


def _measure(
    model: Transformer | NumpyLlama, rows: Iterable[_Row], batch_size: int, total: int | None
) -> Loss:
    """The loss of all rows; with their number ``total``, a terminal shows how far it is."""
    batch_size, n_tokens = _between("batch_size", batch_size), 0

    def counted() -> Iterator[_Row]:
        nonlocal n_tokens
        for row in rows if total is None else progress_bar(rows, "evaluating", total=total):
            n_tokens += int((row.targets != IGNORE).sum())
            yield row

    cost = math.fsum(_losses(model, counted(), batch_size))
    if n_tokens == 0:
        raise ValueError("no token is to be predicted: there is nothing to evaluate")
    return Loss(cost, n_tokens)


def _losses(
    model: Transformer | NumpyLlama, rows: Iterable[_Row], batch_size: int
) -> Iterator[float]:
    """The sum of -ln p of each row's targets, in nats."""
    remaining = iter(rows)
    while batch := list(islice(remaining, batch_size)):
        if isinstance(model, NumpyLlama):
            with np.errstate(over="ignore", invalid="ignore"):  # one check here, of the losses
                losses = [_numpy_loss(model, row) for row in batch]
        else:
            losses = _torch_losses(model, batch)
        if any(map(math.isnan, losses)):  # an infinite one is right where a logit is -inf
            if isinstance(model, NumpyLlama):
                raise not_finite([math.nan], model.numbers.items(), "float32")
            raise not_finite([math.nan], model.state_dict().items(), str(model.dtype))
        yield from losses


def _torch_losses(model: Transformer, rows: Sequence[_Row]) -> list[float]:
    import torch
    from torch.nn import functional as F

    from llama_tutorial._util.eval_mode import eval_mode

    # Padding on the right is seen by no token before it, and predicts nothing.
    longest, parts = max(len(row.inputs) for row in rows), []
    for part, padding in zip(zip(*rows, strict=True), (0, IGNORE, -1), strict=True):
        padded = [np.pad(x, (0, longest - len(x)), constant_values=padding) for x in part]
        parts.append(torch.from_numpy(np.stack(padded)).to(model.device))  # (B, T)
    inputs, targets, documents = parts
    packed = any(row.documents[0] != row.documents[-1] for row in rows)
    with torch.inference_mode(), eval_mode(model):
        logits = model(inputs, documents=documents if packed else None)  # (B, T, V)
        each = F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="none"
        )
    return each.cpu().double().unflatten(0, targets.shape).sum(1).tolist()


def _numpy_loss(model: NumpyLlama, row: _Row) -> float:
    loss = 0.0
    ends = np.flatnonzero(np.diff(row.documents, append=row.documents[-1] + 1)) + 1
    for start, end in zip([0, *ends], ends, strict=False):
        wanted = np.flatnonzero(row.targets[start:end] != IGNORE)
        if len(wanted):
            hidden = model.hidden_states(row.inputs[start:end])[wanted]  # (N, D)
            logs = log_softmax(model.logits(hidden))  # (N, V)
            picked = logs[np.arange(len(wanted)), row.targets[start:end][wanted]]
            loss -= float(picked.sum(dtype=np.float64))
    return loss
