"""A Llama 2 in NumPy alone: one file read, one pass, one token after the other.

``list(write(read_llama("tales.bin"), ids, 40))`` is what it is for. The file is one of llama2.c's,
version 0: ``llama-tutorial convert tales tales.bin --format llama2c`` writes it.
"""

import math
import struct
from types import SimpleNamespace

import numpy as np


def read_header(data):
    """Read the header of a llama2.c file, version 0.

    It is seven little-endian int32: dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size and
    max_seq_len. A negative vocabulary size says that the output head is a matrix of its own, not
    tied to the embedding; the size is then the number without its sign.

    Args:
        data: The file's bytes, uint8[n], n at least 28.

    Returns:
        A SimpleNamespace with the seven names, all of them positive, and two more: ``tied``, a
        bool, and ``head_dim``, the features of a query head.
    """
    names = "dim hidden_dim n_layers n_heads n_kv_heads vocab_size max_seq_len"
    sizes = struct.unpack("<7i", data[:28].tobytes())
    m = SimpleNamespace(**dict(zip(names.split(), sizes, strict=True)))
    m.tied, m.vocab_size = m.vocab_size > 0, abs(m.vocab_size)
    m.head_dim = m.dim // m.n_heads
    return m


def shapes_of(m):
    """The tensors that follow the header, in the order of the file.

    A tensor of the layers stands there for all layers in one, layer 0 first. The order is
    tok_embeddings, attention_norm, wq, wk, wv, wo, ffn_norm, w1 (gate), w2 (down), w3 (up), norm,
    rope_cos, rope_sin, and, if the head is not tied, output. A matrix is (out, in), the embedding
    (V, D). The tables of RoPE have a row for each position and a column for each pair of features
    of a head.

    Args:
        m: From read_header.

    Returns:
        A dict from these names to shapes, tuples of int, in this order.
    """
    L, D, F, V = m.n_layers, m.dim, m.hidden_dim, m.vocab_size
    kv_dim, table = m.n_kv_heads * m.head_dim, (m.max_seq_len, m.head_dim // 2)
    shapes = {"tok_embeddings": (V, D), "attention_norm": (L, D)}
    shapes |= {"wq": (L, D, D), "wk": (L, kv_dim, D), "wv": (L, kv_dim, D), "wo": (L, D, D)}
    shapes |= {"ffn_norm": (L, D), "w1": (L, F, D), "w2": (L, D, F), "w3": (L, F, D)}
    shapes |= {"norm": (D,), "rope_cos": table, "rope_sin": table}
    return shapes if m.tied else shapes | {"output": (V, D)}


def read_llama(path):
    """The model in a llama2.c file, version 0: sizes and weights, which are views of the file."""
    data = np.asarray(np.memmap(path, np.uint8, mode="c"))  # (bytes,)
    m, at = read_header(data), 28
    for name, shape in shapes_of(m).items():
        size = 4 * math.prod(shape)
        setattr(m, name, data[at : at + size].view("<f4").reshape(shape))
        at += size
    if m.tied:
        m.output = m.tok_embeddings
    m.turns = rotations(m)
    return m


def rotations(m):
    """RoPE's complex numbers of length 1 for all positions, complex64[S, h / 2]."""
    pairs = np.arange(0, m.head_dim, 2) / m.head_dim
    angles = np.outer(np.arange(m.max_seq_len), 10000.0**-pairs)
    return np.exp(1j * angles).astype(np.complex64)


def softmax(x):
    """Exponentials divided by their sum, over the last axis.

    It must be right for numbers of any size: exp(89) is more than a float32 holds.

    Args:
        x: float32[..., S]; some numbers may be minus infinity, but not all of a row.

    Returns:
        float32[..., S].
    """
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def rms_norm(x, weight, eps=1e-5):
    """Divide each vector by its root mean square, and multiply each feature by its weight.

    The root is of the mean square plus eps.

    Args:
        x: float32[T, D].
        weight: float32[D].
        eps: A Python number.

    Returns:
        float32[T, D].
    """
    mean_square = (x * x).sum(-1, keepdims=True) / x.shape[-1]  # (T, 1)
    return x / np.sqrt(mean_square + eps) * weight


def rotate(x, turns):
    """RoPE: turn each pair of neighbouring features by the angle of its position.

    Features 2j and 2j + 1 of a head are the real and the imaginary part of a complex number, and to
    turn it is to multiply it by a complex number of length 1.

    Args:
        x: float32[T, heads, h].
        turns: complex64[T, 1, h / 2]: of each position, the same for every head.

    Returns:
        float32[T, heads, h].
    """
    return (x.view(np.complex64) * turns).view(np.float32)


def attention_cached(x, m, i, turns, keys, values, start):
    """Grouped-query attention of T tokens, which follow those in the cache.

    The tokens stand at positions start, start + 1, and so on. Their keys, rotated, and their values
    are written into the cache, slot = position. Then each token attends to all positions up to and
    with its own. Query head j reads key head j // (H / K).

    Args:
        x: float32[T, D], after the norm.
        m: The model: ``wq``, ``wk``, ``wv``, ``wo`` hold a matrix for each layer.
        i: The layer.
        turns: complex64[T, 1, h / 2], of these positions, as rotate takes them.
        keys: float32[K, slots, h], this layer's, changed in place.
        values: float32[K, slots, h], likewise.
        start: How many positions are in the cache, an int.

    Returns:
        float32[T, D], multiplied with wo.
    """
    T, (K, _, h), stop = len(x), keys.shape, start + len(x)
    q = rotate((x @ m.wq[i].T).reshape(T, -1, h), turns)  # (T, H, h)
    k = rotate((x @ m.wk[i].T).reshape(T, K, h), turns)  # (T, K, h)
    v = (x @ m.wv[i].T).reshape(T, K, h)  # (T, K, h)
    keys[:, start:stop] = k.swapaxes(0, 1)
    values[:, start:stop] = v.swapaxes(0, 1)
    k, v = keys[:, None, :stop], values[:, None, :stop]  # (K, 1, S, h)
    q = q.reshape(T, K, -1, h).transpose(1, 2, 0, 3)  # (K, G, T, h)
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(h)  # (K, G, T, S)
    scores[..., ~np.tri(T, stop, start, dtype=bool)] = -math.inf
    y = softmax(scores) @ v  # (K, G, T, h)
    return y.transpose(2, 0, 1, 3).reshape(T, -1) @ m.wo[i].T  # (T, D)


def feed_forward(x, m, i):
    """SwiGLU of layer i: float32[T, D] to float32[T, D]."""
    gate = x @ m.w1[i].T  # (T, F)
    gate = gate * (1 + np.tanh(gate / 2)) / 2  # SiLU
    return (gate * (x @ m.w3[i].T)) @ m.w2[i].T  # (T, D)


def hidden(m, ids, kv, start):
    """The last norm's output for each of ids, which follow the ``start`` positions in the cache."""
    turns = m.turns[start : start + len(ids), None]  # (T, 1, h / 2)
    x = m.tok_embeddings[ids]  # (T, D)
    for i, (keys, values) in enumerate(zip(*kv, strict=True)):
        normed = rms_norm(x, m.attention_norm[i])
        x = x + attention_cached(normed, m, i, turns, keys, values, start)
        x = x + feed_forward(rms_norm(x, m.ffn_norm[i]), m, i)
    return rms_norm(x, m.norm)  # (T, D)


def write(m, ids, n, stop_ids=()):
    """Yield up to n new tokens after the prompt ids, the likeliest each time."""
    shape = (2, m.n_layers, m.n_kv_heads, len(ids) + n, m.head_dim)
    kv, start = np.zeros(shape, np.float32), 0
    for _ in range(n):
        logits = m.output @ hidden(m, ids, kv, start)[-1]  # (V,)
        start += len(ids)
        token = int(logits.argmax())
        if token in stop_ids:
            return
        yield token
        ids = [token]


def read_version_1(path):
    """The model in a llama2.c file, version 1.

    Its first 256 bytes are a header: the four letters ``24ka``; the version, an int32; the seven
    sizes of version 0, of which the vocabulary's is positive, tied or not; a byte that is 1 if the
    head is tied, else 0; and zeros. The tensors of shapes_of follow, in float32, but the three
    norms first (attention_norm, ffn_norm, norm), then the matrices in their order, and no tables of
    RoPE. Numbers are little-endian.

    Args:
        path: The file, a pathlib.Path.

    Returns:
        A SimpleNamespace as read_llama gives it: the names of read_header, ``tied`` and
        ``head_dim`` among them; the tensors; ``output``, which is the embedding if the head is
        tied; and ``turns`` (see rotations).

    Raises:
        ValueError: The file does not begin with these letters, is of another version, or is longer
            or shorter than its sizes say.
    """
    data = np.asarray(np.memmap(path, np.uint8, mode="c"))  # (bytes,)
    if data[:8].tobytes() != b"24ka" + struct.pack("<i", 1):
        raise ValueError(f"not a llama2.c file of version 1: {data[:8].tobytes()!r}")
    m, at = read_header(data[8:36]), 256
    m.tied = bool(data[36])
    shapes = {name: shape for name, shape in shapes_of(m).items() if "rope" not in name}
    for name in sorted(shapes, key=lambda name: "norm" not in name):
        size = 4 * math.prod(shapes[name])
        if at + size > len(data):
            raise ValueError(f"the file ends before {name} does")
        setattr(m, name, data[at : at + size].view("<f4").reshape(shapes[name]))
        at += size
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes are left over")
    if m.tied:
        m.output = m.tok_embeddings
    m.turns = rotations(m)
    return m


def product(x, tensor):
    """``x @ W.T`` for a matrix in int8, without ever making its float32 form.

    A row of W is cut into groups of equal size, one after the other. The weights of a group are its
    integers times its scale.

    Args:
        x: float32[T, D].
        tensor: The matrix, with ``values``, int8[F, D], and ``scales``, float32[F, groups].

    Returns:
        float32[T, F]. No array on the way is nearly as large as the matrix in float32.
    """
    F, groups = tensor.scales.shape
    values = tensor.values.reshape(F, groups, -1)  # (F, groups, size)
    x = x.reshape(len(x), groups, -1)  # (T, groups, size)
    sums = np.einsum("tgi,fgi->tfg", x, values)  # (T, F, groups)
    return (sums * tensor.scales).sum(-1)  # (T, F)
