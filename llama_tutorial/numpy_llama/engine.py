r"""Llama 2 in NumPy: weights, cache, and one token after the other.

The network of :mod:`llama_tutorial.model` and its logits, without torch: one row of tokens, no
gradients. The weights are views of a checkpoint that is mapped into memory, so a model of any size
is there at once.

Decoding is bound by memory: every weight is read once for a token, and nothing else is large.
float32 throughout is what keeps it so (see :mod:`llama_tutorial.numpy_llama.layers`), and the
cache, which holds the keys and values of all positions before. The forward pass is in
:mod:`llama_tutorial.numpy_llama.layers`; the weights come from
:mod:`llama_tutorial.numpy_llama.llama2c`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np

from llama_tutorial._util.generation_settings import (
    Sampling,
    check_sampling,
    check_start,
    plain,
    read_rows,
)
from llama_tutorial._util.not_finite import not_finite
from llama_tutorial._util.progress import progress as progress_bar
from llama_tutorial._util.shapes import Float, Int
from llama_tutorial._util.tensor_check import check_names
from llama_tutorial.config import ModelConfig
from llama_tutorial.numpy_llama.layers import (
    Layer,
    attention,
    feed_forward,
    log_softmax,
    rms_norm,
    rotations,
)
from llama_tutorial.numpy_llama.llama2c import ForeignFileError, read
from llama_tutorial.numpy_llama.sampling import (
    draw,
    next_probabilities,
    repetition_penalty,
    uniforms,
)
from llama_tutorial.quantization import Int4Tensor, QuantizedTensor, fitting_group
from llama_tutorial.quantization.packed import LARGE, FloatMatrix, PackedMatrix, has_kernels
from llama_tutorial.shipped import SHIPPED

Ids = Sequence[int] | Int[np.ndarray, " T"]


class Cache:
    """Keys and values of one row, for every layer: slot = position.

    Args:
        config: The model's configuration.
        max_seq_len: How many positions there is room for.

    Attributes:
        k: Keys, ``(n_layers, K, S_max, h)``, float32.
        v: Values, likewise.
        length: How many positions are filled.

    Raises:
        ValueError: ``max_seq_len`` is not a whole number, or below 1, or above the model's context.
    """

    def __init__(self, config: ModelConfig, max_seq_len: int) -> None:
        max_seq_len = plain(max_seq_len)
        if type(max_seq_len) is not int or not 1 <= max_seq_len <= config.max_seq_len:
            raise ValueError(
                f"max_seq_len={max_seq_len!r}: must be between 1 and the model's context of "
                f"{config.max_seq_len}"
            )
        slots = (config.n_layers, config.n_kv_heads, max_seq_len, config.head_dim)
        self.k = np.zeros(slots, np.float32)
        self.v = np.zeros(slots, np.float32)
        self.length = 0


_LAYER = (  # what Meta calls the fields of Layer
    *("attention_norm", "attention.wq", "attention.wk", "attention.wv", "attention.wo"),
    *("ffn_norm", "feed_forward.w1", "feed_forward.w2", "feed_forward.w3"),
)


class NumpyLlama:
    """A Llama in NumPy.

    Args:
        config: Its sizes; norm, feed-forward layer and positions must be Llama's, without biases.
        tensors: Meta's parameter names to float32 arrays, which are not copied. Those that are
            int8 or int4 stay so in a large model, if numba is installed, and else become float32
            once. Each is asked for once, in the mapping's order.
        quantize: ``"int8"`` or ``"int4"``: pack the matrices of the blocks so, and the embedding
            and the output head into int8; each as it is asked for.

    Raises:
        ValueError: The configuration is not a Llama's, a tensor is missing or unexpected, or there
            is no such ``quantize``.
    """

    def __init__(
        self,
        config: ModelConfig,
        tensors: Mapping[str, np.ndarray | QuantizedTensor | Int4Tensor],
        quantize: Literal["int8", "int4"] | None = None,
    ) -> None:
        _check_llama(config)
        if quantize not in (None, "int8", "int4"):
            raise ValueError(f"quantize={quantize!r:.50}: must be 'int8' or 'int4', or None")
        layers = [[f"layers.{i}.{name}.weight" for name in _LAYER] for i in range(config.n_layers)]
        table = "tok_embeddings.weight"
        head = table if config.tie_embeddings else "output.weight"
        names = {table, "norm.weight", head, *chain.from_iterable(layers)}
        check_names(tensors, sorted(names), "the tensors do not fit the configuration")
        is_large = config.n_params >= LARGE and has_kernels()
        weights: dict[str, Any] = {}
        for name, tensor in tensors.items():
            # An embedding of four bits stays so: eight would not make it any better.
            stays = name == table and isinstance(tensor, Int4Tensor)
            bits = 4 if quantize == "int4" and (stays or name not in (table, head)) else 8
            weights[name] = _weight(name, tensor, is_large, bits if quantize else None)
        output = weights[head]
        if isinstance(output, np.ndarray) and config.tie_embeddings:  # the same, for products
            output = _weight("output.weight", output, is_large, None)

        self.config = config
        self.numbers = {  # to be looked through where logits are not finite
            name: getattr(weight, "scales", getattr(weight, "array", weight))
            for name, weight in weights.items()
        }
        self.tok_embeddings = weights[table]  # (V, D)
        self.layers = [Layer(*(weights[name] for name in layer)) for layer in layers]
        self.norm = weights["norm.weight"]  # (D,)
        self.output = output  # (V, D)
        self.rotations = rotations(config.head_dim, config.max_seq_len, config.rope_theta)

    def __repr__(self) -> str:
        c = self.config
        sizes = f"dim={c.dim}, n_layers={c.n_layers}, n_heads={c.n_heads}"
        sizes += f", n_kv_heads={c.n_kv_heads}, hidden_dim={c.hidden_dim}"
        sizes += f", vocab_size={c.vocab_size}, max_seq_len={c.max_seq_len}"
        matrix = self.layers[0].wq
        kind = f"int{matrix.bits}" if isinstance(matrix, PackedMatrix) else "float32"
        return f"NumpyLlama({sizes}; {c.n_params:,} parameters in {kind})"

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], quantize: Literal["int8", "int4"] | None = None
    ) -> NumpyLlama:
        """Open a llama2.c file of version 0, 1 or 2, or by its name a model of this package.

        Args:
            path: The file, or the name.
            quantize: Pack the matrices into integers of 8 or 4 bits, one after the other.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is something else, truncated or damaged, or there is no such `quantize`.
        """
        name = os.fspath(path)
        try:
            file = read(SHIPPED[name].llama2c if name in SHIPPED else path)
        except ForeignFileError as error:
            raise ValueError(
                f"{error}; the NumPy engine reads llama2.c's files: write one with "
                'save_model(model, path, "llama2c"); llama.cpp\'s GGUF files are read by '
                "load(..., engine='numpy')"
            ) from None
        return cls(file.config, file.tensors, quantize)

    def forward(self, ids: Ids, cache: Cache | None = None) -> Float[np.ndarray, "T V"]:
        """Logits of the next token at every position, float32.

        Args:
            ids: Token ids of one row.
            cache: Keys and values of the positions before; those of ``ids`` are added.

        Raises:
            ValueError: There are no ids, more than fit, or ids outside the vocabulary.
        """
        return self.logits(self.hidden_states(ids, cache))

    def hidden_states(self, ids: Ids, cache: Cache | None = None) -> Float[np.ndarray, "T D"]:
        """The residual stream after the last norm; arguments and errors as in :meth:`forward`."""
        tokens, eps = self._checked(ids, cache), self.config.norm_eps  # (T,)
        cache = Cache(self.config, len(tokens)) if cache is None else cache
        stop = cache.length + len(tokens)
        rotation = self.rotations[cache.length : stop, None]  # (T, 1, h/2)

        x = self.tok_embeddings[tokens]  # (T, D)
        for layer, keys, values in zip(self.layers, cache.k, cache.v, strict=True):
            normed = rms_norm(x, layer.attention_norm, eps)
            x = x + attention(normed, layer, rotation, keys, values, cache.length)
            x = x + feed_forward(rms_norm(x, layer.ffn_norm, eps), layer)
        cache.length = stop
        return rms_norm(x, self.norm, eps)

    def logits(self, hidden: Float[np.ndarray, "*T D"]) -> Float[np.ndarray, "*T V"]:
        """The output head on :meth:`hidden_states`, or on those positions that are needed."""
        return hidden @ self.output.T  # (..., V)

    def generate(
        self,
        prompts: Sequence[Ids] | np.ndarray,
        max_new_tokens: int,
        *,
        temperature: float | int = 0.6,
        top_k: int | None = None,
        top_p: float | int = 0.9,
        min_p: float | int = 0.0,
        repetition_penalty: float | int = 1.0,
        seed: int | None = None,
        stop_ids: Collection[int] | None = (),
        logprobs: bool = False,
        progress: bool = False,
    ) -> list[list[int]] | tuple[list[list[int]], list[list[float]]]:
        """Continue every prompt, one after the other.

        Arguments, errors and ids are those of :func:`llama_tutorial.generation.generate`, drawn
        ids as well: the same seed gives the same draws in both engines, and where the weights are
        the same, the same text. ("tales" is int8 here and float32 there; "tales-small" is int8 in
        both.)

        Returns:
            The new ids of each prompt, and with ``logprobs`` the natural logarithms of their
            probabilities under the model as it is, in a second list.

        Raises:
            ValueError: As :func:`llama_tutorial.generation.generate`.
        """
        sampling = check_sampling(
            temperature, top_k, top_p, min_p, repetition_penalty, max_new_tokens, stop_ids
        )
        rows = read_rows(self.config, prompts, sampling.max_new_tokens, seed)
        bar = {"total": len(rows), "unit": "prompt"}
        ids: list[list[int]] = []
        logs: list[list[float]] = []
        for number, row in enumerate(progress_bar(rows, "generating", **bar) if progress else rows):
            ids.append([])
            logs.append([])
            for token, logits in self._steps(row, sampling, number=number):
                if token in sampling.stop_ids:
                    break
                ids[-1].append(token)
                if logprobs:
                    logs[-1].append(float(log_softmax(logits)[token]))
        return (ids, logs) if logprobs else ids

    def stream(
        self,
        prompt: Ids,
        max_new_tokens: int,
        *,
        temperature: float | int = 0.6,
        top_k: int | None = None,
        top_p: float | int = 0.9,
        min_p: float | int = 0.0,
        repetition_penalty: float | int = 1.0,
        seed: int | None = None,
        stop_ids: Collection[int] | None = (),
        cache: Cache | None = None,
        start: int = 0,
    ) -> Iterator[int]:
        """Continue one prompt, and yield each id as soon as it is there.

        Arguments, errors and ids are those of :func:`llama_tutorial.generation.stream`; errors
        come at the call, not at the first id.

        Raises:
            ValueError: As `generate`; or ``start`` is not in the cache, or leaves no id to compute;
                or, at an id, something else has written to the cache since the id before.
        """
        sampling = check_sampling(
            temperature, top_k, top_p, min_p, repetition_penalty, max_new_tokens, stop_ids
        )
        [row] = read_rows(self.config, [prompt], sampling.max_new_tokens, seed)
        room = (0, self.config.max_seq_len) if cache is None else (cache.length, cache.k.shape[2])
        start = check_start(row[0], start, sampling.max_new_tokens, *room)
        return _until(self._steps(row, sampling, cache, start), sampling.stop_ids)

    def _steps(
        self,
        row: tuple[list[int], int],
        sampling: Sampling,
        cache: Cache | None = None,
        start: int = 0,
        number: int = 0,
    ) -> Iterator[tuple[int, Float[np.ndarray, " V"]]]:
        """Each new id, and the logits that the model gave for it; ``number`` is the row's."""
        prompt, seed = row
        cache = cache or Cache(self.config, len(prompt) + sampling.max_new_tokens)
        cache.length, ids, numbers = start, prompt[start:], uniforms(seed)
        end, history = start, prompt[:start]
        for _ in range(sampling.max_new_tokens):
            if cache.length != end:
                raise ValueError(
                    f"the cache holds {cache.length} positions where this stream left {end}: each "
                    "stream that is not at its end needs a cache of its own"
                )
            with np.errstate(over="ignore", invalid="ignore"):  # one check here, of the logits
                hidden = self.hidden_states(ids, cache)  # (T, D): the prompt, then token by token
                logits = self.logits(hidden[-1])  # (V,)
            end = cache.length
            token = int(logits.argmax())  # the place of a NaN, if there is one
            if not math.isfinite(best := float(logits[token])):
                raise not_finite([best], self.numbers.items(), "float32", number)
            scores = logits
            if sampling.repetition_penalty != 1:
                history = history + ids
                scores = repetition_penalty(logits, history, sampling.repetition_penalty)
                token = int(scores.argmax())
            if sampling.temperature > 0:
                chances = next_probabilities(scores, *sampling[:4])
                token = draw(chances, next(numbers))
            yield token, logits
            ids = [token]

    def _checked(self, ids: Ids, cache: Cache | None) -> Int[np.ndarray, " T"]:
        """The ids as an array; a ValueError where the model cannot take them."""
        tokens, context = np.asarray(ids), self.config.max_seq_len
        if tokens.ndim != 1 or tokens.size == 0 or tokens.dtype.kind not in "iu":
            raise ValueError(f"ids={ids!r}: must be one row of token ids, and at least one")
        start, room = (0, len(tokens)) if cache is None else (cache.length, cache.k.shape[2])
        if (stop := start + len(tokens)) > min(room, context):
            raise ValueError(
                f"{len(tokens)} tokens at position {start} need {stop} positions; the "
                f"cache has {room}, the model's context {context}: shorten the input"
            )
        if tokens.min() < 0 or tokens.max() >= self.config.vocab_size:
            raise ValueError(
                f"ids hold {tokens.min()} to {tokens.max()}: the model's ids are 0 to "
                f"{self.config.vocab_size - 1}; was it made by another tokenizer?"
            )
        shape = (self.config.n_layers, self.config.n_kv_heads, room, self.config.head_dim)
        if cache is not None and cache.k.shape != shape:
            raise ValueError(
                f"the cache is for another model: its keys are {cache.k.shape}, must be {shape}; "
                "make one with Cache(model.config, ...)"
            )
        return tokens


def _until(steps: Iterator[tuple[int, np.ndarray]], stop_ids: Collection[int]) -> Iterator[int]:
    for token, _ in steps:
        if token in stop_ids:
            return
        yield token


def _check_llama(config: ModelConfig) -> None:
    llama = {"norm": "rmsnorm", "feed_forward": "swiglu", "positions": "rope", "bias": False}
    wrong = [
        f"{name}={getattr(config, name)!r} (must be {value!r})"
        for name, value in llama.items()
        if getattr(config, name) != value
    ]
    if wrong:
        raise ValueError(
            f"NumpyLlama computes Llamas only, not {', '.join(wrong)}; use Transformer"
        )


def _weight(
    name: str,
    tensor: np.ndarray | QuantizedTensor | Int4Tensor,
    is_large: bool,
    bits: int | None,
) -> Any:
    """A tensor as the layers take it: an array, or a matrix that stands for one.

    The token embedding is looked up in: as an array, if it is not packed.
    """
    is_embedding = name == "tok_embeddings.weight"
    if isinstance(tensor, QuantizedTensor | Int4Tensor):
        own = 8 if isinstance(tensor, QuantizedTensor) else 4
        if is_large if bits is None else bits == own:
            return PackedMatrix.pack(tensor)
        tensor = tensor.dequantize()
    tensor = np.asarray(tensor, np.float32)
    if tensor.ndim == 1:
        return tensor
    if bits is not None and (group := fitting_group(tensor.shape[1])) is not None:
        try:
            return PackedMatrix.of(tensor, bits, group)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
    return FloatMatrix(tensor) if is_large and not is_embedding else tensor
