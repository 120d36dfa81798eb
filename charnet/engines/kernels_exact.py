"""The compiled loops of models with 8-bit weights: to the last bit what `charnet.engines.exact` defines.

Nothing here may be computed with `fastmath`, and every constant has the type of what it meets: a product that is fused
with a sum, or a number in double precision, would be rounded otherwise.

Shape legend: H units of a layer, V characters in the alphabet, M networks.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from charnet.engines import exact
from charnet.engines.kernels_layer import (
    CIFG,
    GRU,
    LSTM,
    RNN_RELU,
    RNN_TANH,
    Bytes,
    Doubles,
    Float32,
    Floats,
    Model,
    gate,
)
from charnet.engines.kernels_llvm import LANES, byte_block_3, byte_block_4, two_digit_block_4
from charnet.storage.quantize import LARGEST

TANH, TANH_OF_H, H_TANH, H_SIGMOID = exact.TANH, exact.TANH_OF_H, exact.H_TANH, exact.H_SIGMOID
POWERS, LOG2 = exact.POWERS, exact.LOG2
FIRST, LAST, INDEX_OF_ZERO = np.float32(0), np.float32(2 * exact.REACH), exact.INDEX_OF_ZERO
HALF, WHOLE, GRID, STEPS = np.float32(0.5), np.float32(LARGEST), exact.GRID, np.float32(exact.STEPS)
RELU_LARGEST, DIGIT_BITS = np.float32(exact.RELU_LARGEST), exact.RELU_BASE.bit_length() - 1
MOST_STEPS = float((exact.MOST_HALVINGS + 1) * exact.HALVING)
HALVING, HALVING_BITS = exact.HALVING, exact.HALVING.bit_length() - 1
STEPS_A_NAT, NATS_A_STEP, SMALLEST = exact.STEPS_A_NAT, exact.NATS_A_STEP, exact.SMALLEST
OFFSET = 128  # of a byte that stands for an integer from -127 to 127


@njit(nogil=True, error_model="numpy")
def product(model: Model, p: int, x: Floats, first: int, last: int, out: Floats, high: Bytes, low: Bytes) -> None:
    """Computes the rows in the blocks `first` to `last` of a product, times their factors, and adds their bias."""
    columns, vectors, stride = model.columns_P[p], model.vectors_P[p], model.stride_P[p]
    row = model.rows_at_P[p]
    width = LANES if stride > LANES else LANES * vectors  # adjacent rows of a block in the result
    weights = model.weights.ctypes.data + model.weights_at_P[p]
    size = columns * vectors * LANES
    if model.cell == RNN_RELU:
        for i in range(len(x)):
            high[i] = np.int32(x[i]) >> DIGIT_BITS
            low[i] = np.int32(x[i]) & (exact.RELU_BASE - 1)
    else:
        for i in range(len(x)):
            high[i] = np.int32(x[i]) + OFFSET
    for block in range(first, last):
        at, zero = out.ctypes.data + 4 * block * width, model.zero.ctypes.data + 4 * (row + block * width)
        if model.cell == RNN_RELU:
            two_digit_block_4(weights + block * size, high.ctypes.data, low.ctypes.data, columns, at, stride)
        elif vectors == 4:
            byte_block_4(weights + block * size, high.ctypes.data, columns, zero, at, stride)
        else:
            byte_block_3(weights + block * size, high.ctypes.data, columns, zero, at, stride)
    for part in range(LANES * vectors // width):
        begin, end = part * stride + first * width, part * stride + last * width
        sums, bias, factor = out[begin:end], model.bias[row + begin : row + end], model.scale[row + begin : row + end]
        for i in range(end - begin):
            sums[i] = sums[i] * factor[i] + bias[i]


@njit(nogil=True, error_model="numpy")
def _look_up(table: Floats, index: Float32) -> Float32:
    """Looks up what a table holds; an index beyond its ends stands for the end."""
    return table[np.uint32(np.int32(min(max(index, FIRST), LAST)))]


@njit(nogil=True, error_model="numpy")
def _sigmoid(index: Float32) -> Float32:
    """Looks up sigmoid: the factors of its argument are halved already."""
    return _look_up(TANH, index) * HALF + HALF


@njit(nogil=True, error_model="numpy")
def _output(o: Float32, c: Float32) -> Float32:
    """Computes h = o tanh(c) as an integer."""
    return np.rint(_look_up(TANH_OF_H, c * STEPS + INDEX_OF_ZERO) * o)


@njit(nogil=True, error_model="numpy")
def update(cell: int, a: Floats, x: Floats, before: Floats, after: Floats, c: Floats, first: int, last: int) -> None:
    """Computes the new states of the units `first` to `last` from the recurrent products `a` and the input ones `x`.

    Args:
        before, after: (H): integers h.
        c: (H): of the gru, h before it is rounded.
    """
    units, count = len(before), last - first
    after, c = after[first:last], c[first:last]
    a0, x0 = gate(0, a, x, units, first, last)
    if cell == LSTM:
        a1, x1 = gate(1, a, x, units, first, last)
        a2, x2 = gate(2, a, x, units, first, last)
        a3, x3 = gate(3, a, x, units, first, last)
        for j in range(count):
            new = _sigmoid(a1[j] + x1[j]) * c[j] + _sigmoid(a0[j] + x0[j]) * _look_up(TANH, a3[j] + x3[j])
            c[j] = (new + GRID) - GRID
            after[j] = _output(_sigmoid(a2[j] + x2[j]), c[j])
    elif cell == CIFG:
        a1, x1 = gate(1, a, x, units, first, last)
        a2, x2 = gate(2, a, x, units, first, last)
        for j in range(count):
            new = (_look_up(TANH, a2[j] + x2[j]) - c[j]) * _sigmoid(a0[j] + x0[j]) + c[j]
            c[j] = (new + GRID) - GRID
            after[j] = _output(_sigmoid(a1[j] + x1[j]), c[j])
    elif cell == GRU:
        a1, x1 = gate(1, a, x, units, first, last)
        a2, x2 = gate(2, a, x, units, first, last)
        for j in range(count):
            n = _look_up(TANH, a2[j] * _sigmoid(a0[j] + x0[j]) + x2[j])
            new = (c[j] - n) * _sigmoid(a1[j] + x1[j]) + n
            c[j] = (new + GRID) - GRID
            after[j] = np.rint(c[j] * WHOLE)
    elif cell == RNN_TANH:
        for j in range(count):
            after[j] = _look_up(H_TANH, a0[j] + x0[j])
    elif cell == RNN_RELU:
        for j in range(count):
            after[j] = min(max(np.rint(a0[j] + x0[j]), np.float32(0)), RELU_LARGEST)
    else:
        for j in range(count):
            after[j] = _look_up(H_SIGMOID, a0[j] + x0[j])


@njit(nogil=True, error_model="numpy")
def weight(score: float) -> float:
    """Computes an integer in proportion to exp(score), for a score of at most 0."""
    steps = int(np.rint(min(score * -STEPS_A_NAT, MOST_STEPS)))
    return float(POWERS[steps & (HALVING - 1)] >> (steps >> HALVING_BITS))


@njit(nogil=True, error_model="numpy")
def _log(p: float) -> Float32:
    """Looks up the logarithm of a probability, in nats."""
    mantissa, exponent = math.frexp(max(p, SMALLEST))
    steps = LOG2[int(np.rint((mantissa - 0.5) * HALVING))] + exponent * HALVING
    return np.float32(steps) * NATS_A_STEP


@njit(nogil=True, error_model="numpy")
def mean(logits_MV: Floats, p_V: Floats, share: float, work_V: Doubles, mean_V: Floats) -> None:
    """Computes the logarithms of the mean of the networks' probabilities and an n-gram's, which are logits too.

    Args:
        p_V: of the n-gram, if its share is above 0.
        work_V: memory for the probabilities of one network.
    """
    members, alphabet = len(logits_MV), len(work_V)
    mean_p_V = np.zeros(alphabet)
    for member in range(members):
        largest, total = np.float64(logits_MV[member, :alphabet].max()), 0.0
        for v in range(alphabet):
            work_V[v] = weight(np.float64(logits_MV[member, v]) - largest)
            total += work_V[v]
        for v in range(alphabet):
            mean_p_V[v] += work_V[v] / total
    total = float(members)
    if share > 0:
        of_ngram = members * share / (1 - share)
        total += of_ngram
        for v in range(alphabet):
            mean_p_V[v] += of_ngram * np.float64(p_V[v])
    for v in range(alphabet):
        mean_V[v] = _log(mean_p_V[v] / total)
