"""The loop of a text that is learned while it is coded: predict a symbol, code it, learn it.

With numba the loop is compiled, without it the same lines run as they are, several times slower: all numbers are
integers that 64 bits hold, so the result is the same.

The n-gram counts what came after the last 0 to 6 symbols. The distribution after a context is that after the shorter
one, of which some is left, plus the counts, each less a discount (interpolated absolute discounting). Weights of the
mixture are the sum of two: one set by how long the longest known context is and how sure the networks are, one set by
the last symbol, which also has a bias for each symbol that may come next.

Shape legend: I predictions and that of the text itself, B streams, S symbols and the one that never comes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from charnet.compression import counts, learned_tables, rans
from charnet.compression.learned_tables import BIAS_BITS, LAST, LONGEST, SURE, WEIGHT_BITS, Int32s, Int64s, Learned
from charnet.engines import exact, registry

HAS_NUMBA = registry.available("compiled") == "compiled"


def njit(function: Any) -> Any:
    """Marks a function that the loop calls."""
    if not HAS_NUMBA:
        return function
    import numba

    return numba.njit(nogil=True, error_model="numpy")(function)


def compiled(function: Any) -> Any:
    """Compiles the loop at its first call, with a cache on disk."""
    if not HAS_NUMBA:
        return function
    from charnet.engines.kernels_cache import cached_njit

    return cached_njit(
        function, [Path(__file__), *(Path(str(each.__file__)) for each in (counts, exact, learned_tables, rans))]
    )


CHECK, FIRST, SEEN, DISTINCT = 0, 1, 2, 3  # columns of a context
NEXT, SYMBOL, COUNT = 0, 1, 2  # columns of a node
LARGEST_COUNT = 30  # then all counts of the context are halved: what came lately counts more
PRIME, SLOT_FACTOR, HASH = 1_000_003, 0x1E3779B97F4A7C15, (1 << 62) - 1
DISCOUNT = np.array([0, 8, 8, 8, 10, 11, 13], np.int64)  # sixteenths of a count, by the length of the context
PRIOR = 2  # sixteenths of a count that the shorter context has in any case
BITS_OF_ONE, UNIT = 30, 16  # of a probability, of what is left of it
ONE, SMALLEST = 1 << BITS_OF_ONE, 1 << 10

HALVING, MOST_HALVINGS = exact.HALVING, exact.MOST_HALVINGS
HALVING_BITS = HALVING.bit_length() - 1
POWERS, LOG2, LOG2_BITS = exact.POWERS, counts.LOG2, counts.LOG2_BITS
TOTAL, BITS, LOWEST, WORD = rans.TOTAL, rans.BITS, rans.LOWEST, rans.WORD

LARGEST_WEIGHT, LARGEST_BIAS = 1 << 24, 1 << 26
RATE_BITS, RATE, RATE_OF_LAST, RATE_OF_BIAS = 10, 182, 545, 45383  # how fast weights learn; the bias, of 2**24


@njit
def find(contexts: Int32s, history: Int64s, slots: Int64s) -> int:
    """Finds the slots of all contexts that end with the last symbols, the shortest first; returns the longest known.

    A slot is that of the context, or a free one.
    """
    key, longest, last_slot = 1, 0, len(contexts) - 1
    for order in range(LONGEST + 1):
        if order:
            key = (key * PRIME + int(history[order - 1]) + 1) & HASH
        mixed = ((key + order) * SLOT_FACTOR) & HASH
        slot, check = (mixed >> 20) & last_slot, (mixed >> 42) + 1
        while contexts[slot, CHECK] != 0 and contexts[slot, CHECK] != check:
            slot = (slot + 1) & last_slot
        slots[order, 0], slots[order, 1] = slot, check
        if contexts[slot, SEEN] > 0:
            longest = order
    return longest


@njit
def predict(learned: Learned, slots: Int64s, p_S: Int64s, logs_S: Int64s) -> None:
    """Computes the logarithms of the n-gram of the text so far.

    Args:
        p_S: memory for its probabilities.
        logs_S: takes the result.
    """
    contexts, nodes, size = learned.contexts, learned.nodes, len(p_S)
    p_S[:] = ONE // size
    for order in range(LONGEST + 1):
        slot = slots[order, 0]
        seen = int(contexts[slot, SEEN])
        if seen == 0:
            continue
        discount, whole = int(DISCOUNT[order]), 16 * seen + PRIOR
        left = ((PRIOR + discount * int(contexts[slot, DISTINCT])) << UNIT) // whole
        for i in range(size):
            p_S[i] = (p_S[i] * left) >> UNIT
        node = contexts[slot, FIRST]
        while node:
            p_S[nodes[node, SYMBOL]] += ((16 * int(nodes[node, COUNT]) - discount) * ONE) // whole
            node = nodes[node, NEXT]
    floats_S = np.maximum(p_S, SMALLEST).astype(np.float64)
    bits_S = floats_S.view(np.int64)
    for i in range(size):
        fraction = (bits_S[i] >> (52 - LOG2_BITS)) & ((1 << LOG2_BITS) - 1)
        logs_S[i] = ((bits_S[i] >> 52) - (1023 + BITS_OF_ONE)) * HALVING + LOG2[fraction]


@njit
def learn(learned: Learned, slots: Int64s, symbol: int) -> None:
    """Counts a symbol after all contexts. When there is no room for more nodes, counting begins anew."""
    contexts, nodes, used = learned.contexts, learned.nodes, learned.used
    if used[0] + LONGEST + 1 > len(nodes):
        contexts[:] = 0
        used[0] = 1
    for order in range(LONGEST + 1):
        slot, check = slots[order, 0], slots[order, 1]
        while contexts[slot, CHECK] != 0 and contexts[slot, CHECK] != check:  # a shorter one has just taken the slot
            slot = (slot + 1) & (len(contexts) - 1)
        contexts[slot, CHECK] = check
        contexts[slot, SEEN] += 1
        node = contexts[slot, FIRST]
        while node and nodes[node, SYMBOL] != symbol:
            node = nodes[node, NEXT]
        if node:
            nodes[node, COUNT] += 1
        else:
            node = used[0]
            used[0] += 1
            nodes[node, NEXT], nodes[node, SYMBOL], nodes[node, COUNT] = contexts[slot, FIRST], symbol, 1
            contexts[slot, FIRST] = node
            contexts[slot, DISTINCT] += 1
        if order and contexts[slot, SEEN] > LARGEST_COUNT:
            total, node = 0, contexts[slot, FIRST]
            while node:
                nodes[node, COUNT] = (nodes[node, COUNT] + 1) >> 1
                total += nodes[node, COUNT]
                node = nodes[node, NEXT]
            contexts[slot, SEEN] = total


@njit
def mix(logs_IS: Int64s, weights_I: Int64s, of_last_I: Int64s, bias_S: Int32s, floor: int, counts_S: Int64s) -> None:
    """Computes the counts of a mixture. The last symbol gets the rest."""
    inputs, size = logs_IS.shape
    largest, total, rest = -(1 << 60), 0, TOTAL
    for s in range(size - 1):
        score = int(bias_S[s]) >> BIAS_BITS
        for i in range(inputs):
            score += (logs_IS[i, s] * (weights_I[i] + of_last_I[i])) >> WEIGHT_BITS
        counts_S[s] = score
        largest = max(largest, score)
    for s in range(size - 1):
        steps = min(largest - counts_S[s], MOST_HALVINGS * HALVING)
        counts_S[s] = POWERS[steps & (HALVING - 1)] >> (steps >> HALVING_BITS)
        total += counts_S[s]
    for s in range(size - 1):
        counts_S[s] = floor + counts_S[s] * (TOTAL - floor * size) // total
        rest -= counts_S[s]
    counts_S[size - 1] = rest


@njit
def adapt(logs_IS: Int64s, counts_S: Int64s, symbol: int, weights_I: Int64s, of_last_I: Int64s, bias_S: Int32s) -> None:
    """Moves the weights and the bias so that the symbol would have been more probable."""
    inputs, size = logs_IS.shape
    for i in range(inputs):
        expected = 0
        for s in range(size):
            expected += counts_S[s] * logs_IS[i, s]
        gradient = logs_IS[i, symbol] - (expected >> BITS)
        weight, of_last = weights_I[i] + (gradient * RATE >> RATE_BITS), of_last_I[i]
        weights_I[i] = min(max(weight, -LARGEST_WEIGHT), LARGEST_WEIGHT)
        of_last += gradient * RATE_OF_LAST >> RATE_BITS
        of_last_I[i] = min(max(of_last, -LARGEST_WEIGHT), LARGEST_WEIGHT)
    bias_S[symbol] += RATE_OF_BIAS
    for s in range(size):
        bias = int(bias_S[s]) - (counts_S[s] * RATE_OF_BIAS >> BITS)
        bias_S[s] = min(max(bias, -LARGEST_BIAS), LARGEST_BIAS)


@njit
def remember(history: Int64s, symbol: int) -> None:
    """Puts a symbol before the last ones of its stream."""
    for at in range(LONGEST - 1, 0, -1):
        history[at] = history[at - 1]
    history[0] = symbol


@compiled
def code(
    learned: Learned,
    floor: int,
    history: Int64s,
    inputs_IBS: Int64s,
    ids_B: Int64s,
    starts_B: Int64s,
    counts_B: Int64s,
    coder: Int64s,
    words: Int64s,
) -> bool:
    """Codes a symbol of each stream, one after the other, and learns it.

    Args:
        floor: the least count of a symbol.
        history: (B, LONGEST): the last symbols of each stream, the last one first.
        inputs_IBS: logarithms of the predictions; those of the text itself come behind them.
        ids_B: the symbols; when there are words, they are decoded into it.
        starts_B, counts_B: take what the encoder needs.
        coder: the state of the decoder and the place of the next word.
        words: all words to decode; none to encode.

    Returns:
        False if the words stand for no text.
    """
    inputs, size = inputs_IBS.shape[0], inputs_IBS.shape[2]
    slots = np.zeros((LONGEST + 1, 2), np.int64)
    logs_IS, p_S, counts_S = np.zeros((inputs + 1, size), np.int64), np.zeros(size, np.int64), np.zeros(size, np.int64)
    for b in range(len(ids_B)):
        longest = find(learned.contexts, history[b], slots)
        logs_IS[:inputs] = inputs_IBS[:, b]
        predict(learned, slots, p_S, logs_IS[inputs])
        top = logs_IS[0].max() - BITS * HALVING
        sure = 3 if top > -1700 else 2 if top > -HALVING else 1 if top > -2 * HALVING else 0
        weights_I = learned.weights[longest * SURE + sure]
        last = history[b, 0] & (LAST - 1)
        of_last_I, bias_S = learned.weights_of_last[last], learned.bias[last]
        mix(logs_IS, weights_I, of_last_I, bias_S, floor, counts_S)
        if len(words):
            low, symbol, start = int(coder[0]) & (TOTAL - 1), 0, 0
            while start + counts_S[symbol] <= low:
                start += counts_S[symbol]
                symbol += 1
            state = int(counts_S[symbol]) * (int(coder[0]) >> BITS) + low - int(start)
            if state < LOWEST:
                if coder[1] == len(words):
                    return False
                state = (state << WORD) | int(words[coder[1]])
                coder[1] += 1
            coder[0] = state
            ids_B[b] = symbol
            if symbol == size - 1:
                return False
        else:
            symbol = int(ids_B[b])
            starts_B[b], counts_B[b] = counts_S[:symbol].sum(), counts_S[symbol]
        adapt(logs_IS, counts_S, symbol, weights_I, of_last_I, bias_S)
        learn(learned, slots, symbol)
        remember(history[b], symbol)
    return True
