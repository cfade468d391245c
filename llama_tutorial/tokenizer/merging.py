"""The merge loop of byte-pair encoding, in time nearly linear in the text.

Among all neighbours whose join is a piece, merge the best; repeat until no join is a piece. The
naive loop looks at all n pairs for each of n merges. Here the pairs wait in a heap, best first, and
the symbols form a doubly linked list, so that a merge costs O(log n): it takes one pair from the
heap, unlinks one symbol, and puts the two new neighbour pairs in::

    before     ▁ ⇄ l ⇄ o ⇄ w ⇄ e ⇄ r        heap: er, lo, …
    merge er   ▁ ⇄ l ⇄ o ⇄ w ⇄ er           add w+er if "wer" is a piece

A pair in the heap may be stale, since one of its symbols has merged with the other neighbour: it
counts only if its two symbols, joined, are still that piece. Follows ``bpe_model.cc`` of
SentencePiece.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush


def merge_symbols(
    symbols: Sequence[str], ranks: Mapping[str, int], states: list[list[str]] | None = None
) -> list[str]:
    """Merge neighbours, the lowest rank first and the leftmost of equals, until none can.

    Args:
        symbols: the text in characters, or in pieces from an earlier call.
        ranks: the pieces that merges may make, and when: 0 is first.
        states: if given, the symbols after each merge are appended to it.
    """
    symbols = list(symbols)
    end = len(symbols)
    after, before = list(range(1, end + 1)), list(range(-1, end - 1))
    heap = []
    for left in range(end - 1):
        piece = symbols[left] + symbols[left + 1]
        if piece in ranks:
            heap.append((ranks[piece], left, piece))
    heapify(heap)
    while heap:
        _, left, piece = heappop(heap)
        right = after[left]
        # An empty symbol has been merged into the one before it.
        if not symbols[left] or right == end or symbols[left] + symbols[right] != piece:
            continue
        symbols[left], symbols[right] = piece, ""
        beyond = after[left] = after[right]
        if beyond < end:
            before[beyond] = left
            joined = piece + symbols[beyond]
            if joined in ranks:
                heappush(heap, (ranks[joined], left, joined))
        previous = before[left]
        if previous >= 0:
            joined = symbols[previous] + piece
            if joined in ranks:
                heappush(heap, (ranks[joined], previous, joined))
        if states is not None:
            states.append([symbol for symbol in symbols if symbol])
    return [symbol for symbol in symbols if symbol]
