"""The compiled loops beside the products of many texts, which the engines leave to NumPy.

Shape legend: B texts, H units of a layer, G = gates x H, V characters in the alphabet.
"""

from __future__ import annotations

from charnet.engines import kernels_exact
from charnet.engines.kernels_cache import cached_njit
from charnet.engines.kernels_layer import GRU, Floats, Ints, update
from charnet.engines.kernels_ngram import Table, probabilities, step


@cached_njit
def update_rows(
    cell: int, a_BG: Floats, x: Floats, rows_B: Ints, before: Floats, after: Floats, memory: Floats
) -> None:
    """Computes the new states (B, H) of many texts; the input product of text b is in row `rows_B[b]` of `x`."""
    for b in range(len(a_BG)):
        update(cell, a_BG[b], x[rows_B[b]], before[b], after[b], memory[b], 0, before.shape[1])


@cached_njit
def update_exact_rows(
    cell: int, a_BG: Floats, x_BG: Floats, inner_bias_G: Floats, before: Floats, after: Floats, memory: Floats
) -> None:
    """Computes the same of 8-bit weights; the bias that stands inside a gate is added to the recurrent products."""
    for b in range(len(a_BG)):
        if cell == GRU:
            for i in range(len(inner_bias_G)):
                a_BG[b, i] += inner_bias_G[i]
        kernels_exact.update(cell, a_BG[b], x_BG[b], before[b], after[b], memory[b], 0, before.shape[1])


@cached_njit
def step_rows(table: Table, nodes_B: Ints, ids_B: Ints, after_B: Ints, p_BV: Floats) -> None:
    """Computes the state and the distribution of an n-gram after one more character of each text."""
    for b in range(len(ids_B)):
        after_B[b] = step(table, nodes_B[b], ids_B[b])
        probabilities(table, after_B[b], p_BV[b])
