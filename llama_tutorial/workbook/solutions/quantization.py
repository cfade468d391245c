"""Weights as integers of 8 and 4 bits, in NumPy alone.

``product(x, *quantize(w))`` is what a linear layer of a quantized model does, and
``pack_nibbles(q, 32)`` are the bytes of llama.cpp's Q4_0.
"""

import numpy as np


def quantize(w, group_size=32):
    """Round a matrix to int8: each group of neighbours in a row has one scale.

    A group's scale is its largest weight, whatever its sign, over 127, so that the integers run
    from -127 to 127. An integer is the weight over the scale, rounded to the nearest. A group of
    zeros has the scale 0 and the integers 0.

    Args:
        w: float32[rows, columns]; group_size divides columns.
        group_size: The neighbours that share a scale.

    Returns:
        The integers, int8[rows, columns], and the scales, float32[rows, columns / group_size].
    """
    grouped = w.reshape(len(w), -1, group_size)  # (rows, groups, group_size)
    scales = np.abs(grouped).max(-1) / 127  # (rows, groups)
    steps = np.where(scales == 0, np.float32(1), scales)[..., None]
    q = np.rint(grouped / steps).astype(np.int8)
    return q.reshape(w.shape), scales


def dequantize(q, scales):
    """The matrix again: each integer times the scale of its group.

    Args:
        q: int8[rows, columns].
        scales: float32[rows, groups]; a group is columns / groups neighbours in a row.

    Returns:
        float32[rows, columns].
    """
    rows, groups = scales.shape
    grouped = q.reshape(rows, groups, -1)  # (rows, groups, group_size)
    return (grouped * scales[..., None]).reshape(q.shape)


def pack_nibbles(q, group_size=32):
    """Put two integers of 4 bits into each byte, as llama.cpp's Q4_0 has them.

    A group of G integers becomes G / 2 bytes: byte j holds integer j in its low half and integer
    j + G / 2 in its high half. Each integer is stored with 8 added to it, as 0 to 15.

    Args:
        q: int8[rows, columns], -8 to 7.
        group_size: G: even, and divides columns.

    Returns:
        uint8[rows, columns / 2].
    """
    stored = (q + 8).astype(np.uint8).reshape(len(q), -1, group_size)  # (rows, groups, G)
    half = group_size // 2
    packed = stored[..., :half] | stored[..., half:] << 4  # (rows, groups, G / 2)
    return packed.reshape(len(q), -1)


def unpack_nibbles(packed, group_size=32):
    """The integers again: what pack_nibbles has packed.

    Args:
        packed: uint8[rows, columns / 2].
        group_size: G: G / 2 bytes are a group.

    Returns:
        int8[rows, columns], -8 to 7.
    """
    grouped = packed.reshape(len(packed), -1, group_size // 2)  # (rows, groups, G / 2)
    stored = np.concatenate((grouped & 15, grouped >> 4), -1)  # (rows, groups, G)
    return stored.reshape(len(packed), -1).astype(np.int8) - np.int8(8)


def quantize_zero_point(w, group_size=32):
    """Round a matrix to 4 bits with a zero point: as llama.cpp's Q4_1.

    A group's 16 levels span from its smallest weight to its largest. Its zero point is the weight
    that the integer 0 stands for, so a weight is read again as ``q * scale + zero``. In a group
    whose weights are all equal the scale is 0, and so are the integers.

    Args:
        w: float32[rows, columns]; group_size divides columns.
        group_size: The neighbours that share a scale and a zero point.

    Returns:
        The integers, uint8[rows, columns], 0 to 15; the scales and the zero points, both
        float32[rows, columns / group_size].
    """
    grouped = w.reshape(len(w), -1, group_size)  # (rows, groups, group_size)
    zeros = grouped.min(-1)  # (rows, groups)
    scales = (grouped.max(-1) - zeros) / 15
    steps = np.where(scales == 0, np.float32(1), scales)[..., None]
    q = np.rint((grouped - zeros[..., None]) / steps).astype(np.uint8)
    return q.reshape(w.shape), scales, zeros


def product(x, q, scales):
    """Multiply each vector by a matrix of int8, and never make the matrix float32.

    That is, ``x @ dequantize(q, scales).T``, group by group: a sum of inputs times integers, and
    then once times the group's scale. At any time only a small part of the integers may be float.

    Args:
        x: float32[T, columns].
        q: int8[rows, columns].
        scales: float32[rows, groups].

    Returns:
        float32[T, rows].
    """
    y = np.zeros((len(x), len(q)), np.float32)
    size = q.shape[1] // scales.shape[1]
    for g in range(scales.shape[1]):
        group = slice(g * size, (g + 1) * size)
        y += x[:, group] @ q[:, group].T.astype(np.float32) * scales[:, g]
    return y


def read_q4_0(block):
    """The 32 weights in one block of a GGUF file's Q4_0.

    The first two bytes are the scale, a float16, its lower byte first; it is often negative. The
    other 16 are the integers, packed as pack_nibbles packs a group of 32. A weight is its integer
    times the scale. Use your unpack_nibbles.

    Args:
        block: A bytes object of 18 bytes.

    Returns:
        float32[32].
    """
    data = np.frombuffer(block, np.uint8)  # (18,)
    scale = data[:2].view("<f2").astype(np.float32)  # (1,)
    return unpack_nibbles(data[None, 2:])[0] * scale
