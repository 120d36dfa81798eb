"""The compiled loops over whole texts: many characters in a call without Python, on one or several threads.

Threads divide the units of a layer among themselves and wait for each other at a barrier after each layer and after the
head. Each row is computed in the same order on any thread, so the text does not depend on the number of threads.

Shape legend: B texts, M networks of an ensemble, L layers of all of them, H units of a layer rounded up to whole
blocks, G = gates x H, R threads, V characters in the alphabet.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from charnet.engines import kernels_exact
from charnet.engines.kernels_cache import cached_njit
from charnet.engines.kernels_layer import Bytes, Doubles, Floats, Ints, Model, product, update
from charnet.engines.kernels_llvm import load_acquire, sched_yield, store_release
from charnet.engines.kernels_ngram import Table, mix, probabilities, step
from charnet.engines.kernels_pattern import DEAD, Pattern, following

DIVERGED, END = -1, -2
OfBytes = bool | None
SPINS = 2000  # of a waiting thread, before it lets other threads run on its core


class Arrays(NamedTuple):
    """What a text changes in an engine: the threads share it.

    Attributes:
        node: (1): the state of the n-gram.
        hidden: (2, L, H): the hidden states before and after a character, in turn.
        memory: (L, H): the cell states.
        logits_MV: of each network.
        mean_RV: for each thread a row in which it averages the networks and the n-gram.
    """

    node: Ints
    hidden: npt.NDArray[np.float32]
    memory: Floats
    logits_MV: Floats
    mean_RV: Floats


@njit(nogil=True, error_model="numpy")
def _barrier(arrived: Ints, thread: int, threads: int, epoch: int) -> None:
    """Waits until all threads have arrived at the barrier with the number `epoch`."""
    if threads == 1:
        return
    store_release(arrived.ctypes.data + 64 * thread, epoch)
    for other in range(threads):
        spins = 0
        while load_acquire(arrived.ctypes.data + 64 * other) < epoch:
            spins += 1
            if spins > SPINS:
                sched_yield()


@njit(nogil=True, error_model="numpy")
def _next(
    of_bytes: OfBytes,
    logits_V: Floats,
    bias_V: Doubles,
    inverse_temperature: float,
    u: float,
    pattern: Pattern,
    matched: int,
    left: int,
) -> int:
    """Samples as `Sampler.sample` does without filters; returns `END` where a pattern ends the text."""
    if len(pattern.fewest_S) == 0:
        return int(_sample(of_bytes, logits_V, bias_V, inverse_temperature, u))
    if pattern.fewest_S[matched] == 0:
        symbol = _sample(of_bytes, logits_V, bias_V, inverse_temperature, u)
        return symbol if symbol < 0 or following(pattern, matched, left, symbol) != DEAD else END
    only_V = bias_V.copy()
    for v in range(len(bias_V)):
        if following(pattern, matched, left, v) == DEAD:
            only_V[v] = -np.inf
    return int(_sample(of_bytes, logits_V, only_V, inverse_temperature, u))


@njit(nogil=True, error_model="numpy")
def _sample(of_bytes: OfBytes, logits_V: Floats, bias_V: Doubles, inverse_temperature: float, u: float) -> int:
    """Samples as `sampling.sample_logits` does from the biased logits; an inverse temperature of 0 is greedy."""
    alphabet = len(bias_V)
    best = 0
    for v in range(alphabet):
        if logits_V[v] + bias_V[v] > logits_V[best] + bias_V[best]:
            best = v
    largest = logits_V[best] + bias_V[best]
    if not np.isfinite(largest):
        return DIVERGED
    if inverse_temperature == 0:
        return best
    ends = np.empty(alphabet)
    total = 0.0
    for v in range(alphabet):
        score = (logits_V[v] + bias_V[v] - largest) * inverse_temperature
        if of_bytes is None:
            total += np.exp(score)
        else:
            total += kernels_exact.weight(score)
        ends[v] = total
    return min(int(np.searchsorted(ends, u * total, side="right")), alphabet - 1)


@njit(nogil=True, error_model="numpy")
def _logsumexp(logits_V: Floats, alphabet: int) -> float:
    """Computes the logarithm of the sum of the exponentials."""
    largest = np.float64(logits_V[:alphabet].max())
    total = 0.0
    for v in range(alphabet):
        total += np.exp(np.float64(logits_V[v]) - largest)
    return float(np.log(total) + largest)


@njit(nogil=True, error_model="numpy")
def _surprisal(logits_V: Floats, alphabet: int, symbol: int) -> float:
    """Computes the surprisal of a symbol in nats: minus the logarithm of its probability."""
    return float(_logsumexp(logits_V, alphabet) - np.float64(logits_V[symbol]))


@njit(nogil=True, error_model="numpy")
def _partition(blocks: int, thread: int, threads: int) -> tuple[int, int]:
    """Returns the first block of a thread and the first of the next thread."""
    return blocks * thread // threads, blocks * (thread + 1) // threads


@njit(nogil=True, error_model="numpy")
def _multiply(
    of_bytes: OfBytes, model: Model, p: int, x: Floats, first: int, last: int, out: Floats, high: Bytes, low: Bytes
) -> None:
    """Computes the rows in the blocks `first` to `last` of a product."""
    if of_bytes is None:
        product(model, p, x, first, last, out)
    else:
        kernels_exact.product(model, p, x, first, last, out, high, low)


@njit(nogil=True, error_model="numpy")
def _forward(
    of_bytes: OfBytes,
    model: Model,
    symbol: int,
    before: Floats,
    after: Floats,
    arrays: Arrays,
    scratch: tuple[Floats, Bytes, Bytes],
    arrived: Ints,
    thread: int,
    threads: int,
    epoch: int,
) -> int:
    """Reads one character: computes the states (L, H) after it and each network's logits for the next one.

    Returns:
        The number of the last barrier.
    """
    gates, high, low = scratch
    memory, logits_MV = arrays.memory, arrays.logits_MV
    products = 2 * model.layers + 1
    for layer in range(model.layers):
        for member in range(model.members):
            p, at = member * products + 2 * layer, member * model.layers + layer
            first, last = _partition(model.blocks_P[p + 1], thread, threads)
            _multiply(of_bytes, model, p + 1, before[at], first, last, gates[0], high, low)
            x = gates[1]
            if layer == 0:
                x = model.table_MVG[member, symbol]
            else:
                _multiply(of_bytes, model, p, after[at - 1], first, last, x, high, low)
            units = model.units // model.blocks_P[p + 1]
            begin, end = first * units, last * units
            if of_bytes is None:
                update(model.cell, gates[0], x, before[at], after[at], memory[at], begin, end)
            else:
                kernels_exact.update(model.cell, gates[0], x, before[at], after[at], memory[at], begin, end)
        _barrier(arrived, thread, threads, epoch + layer + 1)
    for member in range(model.members):
        head = (member + 1) * products - 1
        first, last = _partition(model.blocks_P[head], thread, threads)
        _multiply(
            of_bytes, model, head, after[(member + 1) * model.layers - 1], first, last, logits_MV[member], high, low
        )
    _barrier(arrived, thread, threads, epoch + model.layers + 1)
    return epoch + model.layers + 1


@njit(nogil=True, error_model="numpy")
def _log_mean_exp(logits_MV: Floats, mean_V: Floats, alphabet: int) -> None:
    """Computes the logarithms of the mean of the networks' probabilities, which are logits too."""
    members = len(logits_MV)
    totals = np.empty(members)
    for member in range(members):
        totals[member] = _logsumexp(logits_MV[member], alphabet)
    for v in range(alphabet):
        largest = logits_MV[0, v] - totals[0]
        for member in range(1, members):
            largest = max(largest, logits_MV[member, v] - totals[member])
        total = 0.0
        for member in range(members):
            total += np.exp(logits_MV[member, v] - totals[member] - largest)
        mean_V[v] = largest + np.log(total / members)


@njit(nogil=True, error_model="numpy")
def _mean(
    of_bytes: OfBytes, model: Model, ngram: Table, node: int, logits_MV: Floats, p_V: Floats, mean_V: Floats
) -> None:
    """Computes the logarithms of the mean probabilities of the networks and the n-gram.

    Args:
        node: the state of the n-gram.
        p_V: memory for the n-gram's probabilities.
    """
    if of_bytes is None:
        of_networks_V = logits_MV[0]
        if model.members > 1:
            _log_mean_exp(logits_MV, mean_V, model.alphabet)
            of_networks_V = mean_V
        if ngram.share > 0:
            mix(ngram, node, of_networks_V, _logsumexp(of_networks_V, model.alphabet), p_V, mean_V)
    else:
        if ngram.share > 0:
            probabilities(ngram, node, p_V)
        kernels_exact.mean(logits_MV, p_V, ngram.share, np.empty(model.alphabet), mean_V)


@njit(nogil=True, error_model="numpy")
def _scratch(model: Model) -> tuple[Floats, Bytes, Bytes]:
    """Returns memory for the products of a layer, and for its input in bytes."""
    gates = np.empty((2, model.table_MVG.shape[2]), np.float32)
    return gates, np.empty(model.units, np.uint8), np.empty(model.units, np.uint8)


@cached_njit
def run(
    of_bytes: OfBytes,
    model: Model,
    ngram: Table,
    arrays: Arrays,
    ids: Ints,
    num_given: int,
    uniforms: Doubles,
    inverse_temperatures: Doubles,
    bias_V: Doubles,
    pattern: Pattern,
    matched: Ints,
    nats: Doubles,
    arrived: Ints,
    thread: int,
    threads: int,
) -> int:
    """Reads the first `num_given` ids and samples the others after them; the last sampled one is not read.

    Returns how many ids there are in the end: fewer than `len(ids)` if a pattern ends the text, or if the logits are no
    longer finite. Those for the next symbol are in the first row of `mean_RV`, of a network alone in `logits_MV`.

    Args:
        of_bytes: None for weights of fp32, True for those of 8 bits: numba compiles what each needs, and no more.
        ids: of the whole text; the sampled ones are stored here.
        matched: (2): the state of the pattern, `END` where it ended, and how many more symbols the text may have.
        uniforms, inverse_temperatures, nats: of each sampled symbol; the last is its surprisal.
        arrived: (R, 8): for each thread the last barrier that it reached, in a cache line of its own.
    """
    scratch = _scratch(model)
    is_mixture = model.members > 1 or ngram.share > 0
    logits_V = arrays.mean_RV[thread] if is_mixture else arrays.logits_MV[0]
    p_V = np.empty(len(ngram.base_V), np.float32)
    state, left = matched
    epoch, symbol, at = np.int64(0), ids[0], arrays.node[0]  # of no literal type, which would compile `_forward` twice
    for position in range(max(num_given, len(ids) - 1)):
        before, after = arrays.hidden[position % 2], arrays.hidden[1 - position % 2]
        epoch = _forward(of_bytes, model, symbol, before, after, arrays, scratch, arrived, thread, threads, epoch)
        if ngram.share > 0:
            at = step(ngram, at, symbol)
        if is_mixture:
            _mean(of_bytes, model, ngram, at, arrays.logits_MV, p_V, logits_V)
        following = position + 1
        if following < num_given:
            symbol = ids[following]
        elif following < len(ids):
            t = following - num_given
            symbol = _next(of_bytes, logits_V, bias_V, inverse_temperatures[t], uniforms[t], pattern, state, left - t)
            if symbol < 0:
                matched[0] = symbol
                return following
            if len(pattern.fewest_S):
                state = pattern.next_SC[state, pattern.class_V[symbol]]
            if thread == 0:
                ids[following] = symbol
                nats[t] = _surprisal(logits_V, len(bias_V), symbol)
    if thread == 0:
        arrays.node[0], matched[0] = at, state
    return len(ids)
