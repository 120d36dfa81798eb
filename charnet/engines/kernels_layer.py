"""The compiled loops of one layer: products of the packed weights with a vector, and the update of the state.

To generate one character, every weight is read once, so the weights are laid out for reading. A matrix is stored in
blocks of a few 16-row vectors. The weights of a block lie in the order of use, one column after the other, and the
sums of the block stay in the processor's registers. Weights of 8 bits come in fours: four columns of 16 rows are one
64-byte vector, which one instruction of AVX-512 VNNI multiplies by four bytes of the input and adds up; see
`kernels_exact`.

Shape legend: M networks of an ensemble, H units of a layer rounded up to whole blocks, G = gates x H, V characters in
the alphabet, P products: for each network the input product and the recurrent product of each layer, then the head.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from charnet.engines.kernels_llvm import LANES, float_block_3, float_block_4

Floats: TypeAlias = npt.NDArray[np.float32]
Doubles: TypeAlias = npt.NDArray[np.float64]
Bytes: TypeAlias = npt.NDArray[np.uint8]
Ints: TypeAlias = npt.NDArray[np.int64]
Float32: TypeAlias = Any  # one number in single precision

LSTM, CIFG, GRU, RNN_TANH, RNN_RELU, RNN_SIGMOID = range(6)
# Sums may be computed in any order. Infinity and NaN keep their meaning, since they show that a model has diverged.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}


class Model(NamedTuple):
    """A model as the loops read it.

    The arrays over the P products say how many blocks, columns and vectors per block each has, how far apart the
    vectors of a block are in the result, and where its weights and its rows begin.
    """

    cell: int
    members: int
    layers: int  # of each network
    units: int
    alphabet: int
    blocks_P: Ints
    columns_P: Ints
    vectors_P: Ints
    stride_P: Ints
    weights_at_P: Ints
    rows_at_P: Ints
    weights: Bytes
    scale: Floats  # of each row: what its sums are multiplied with; 8-bit weights only
    zero: npt.NDArray[np.int32]  # of each row: what the sums of 8-bit weights begin with
    bias: Floats  # of each row
    table_MVG: Floats  # the input products of the lowest layers


@njit(nogil=True, fastmath=FASTMATH, error_model="numpy")
def tanh(x: Float32) -> Float32:
    """Computes the hyperbolic tangent in single precision, without a branch, so that LLVM can vectorize loops over it.

    This is the rational approximation of Eigen's `ptanh`, degree 13 over degree 6, within 4e-7 of the true value.
    """
    x = min(max(x, np.float32(-7.90531110763549805)), np.float32(7.90531110763549805))
    s = x * x
    p = np.float32(-2.76076847742355e-16)
    p = p * s + np.float32(2.00018790482477e-13)
    p = p * s + np.float32(-8.60467152213735e-11)
    p = p * s + np.float32(5.12229709037114e-08)
    p = p * s + np.float32(1.48572235717979e-05)
    p = p * s + np.float32(6.37261928875436e-04)
    p = p * s + np.float32(4.89352455891786e-03)
    q = np.float32(1.19825839466702e-06)
    q = q * s + np.float32(1.18534705686654e-04)
    q = q * s + np.float32(2.26843463243900e-03)
    q = q * s + np.float32(4.89352518554385e-03)
    return x * p / q


@njit(nogil=True, fastmath=FASTMATH, error_model="numpy")
def product(model: Model, p: int, x: Floats, first: int, last: int, out: Floats) -> None:
    """Computes the rows in the blocks `first` to `last` of a product of fp32 weights, and adds their bias."""
    columns, vectors, stride = model.columns_P[p], model.vectors_P[p], model.stride_P[p]
    row = model.rows_at_P[p]
    width = LANES if stride > LANES else LANES * vectors  # adjacent rows of a block in the result
    weights = model.weights.ctypes.data + model.weights_at_P[p]
    size = columns * vectors * LANES * 4
    for block in range(first, last):
        at = out.ctypes.data + 4 * block * width
        if vectors == 4:
            float_block_4(weights + block * size, x.ctypes.data, columns, at, stride)
        else:
            float_block_3(weights + block * size, x.ctypes.data, columns, at, stride)
    for part in range(LANES * vectors // width):
        begin, end = part * stride + first * width, part * stride + last * width
        sums, bias = out[begin:end], model.bias[row + begin : row + end]
        for i in range(end - begin):
            sums[i] += bias[i]


@njit(nogil=True, fastmath=FASTMATH, error_model="numpy")
def gate(number: int, a: Floats, x: Floats, units: int, first: int, last: int) -> tuple[Floats, Floats]:
    """Returns the recurrent and the input product of a gate for the units `first` to `last`.

    Loops over such slices start at 0, so LLVM sees that no index is negative, and vectorizes them.
    """
    begin, end = number * units + first, number * units + last
    return a[begin:end], x[begin:end]


@njit(nogil=True, fastmath=FASTMATH, error_model="numpy")
def _sigmoid(half_x: Float32) -> Float32:
    """Computes sigmoid(x) = tanh(x / 2) / 2 + 1 / 2 from x / 2: the weights of sigmoid gates are halved in advance."""
    return tanh(half_x) * np.float32(0.5) + np.float32(0.5)


@njit(nogil=True, fastmath=FASTMATH, error_model="numpy")
def update(cell: int, a: Floats, x: Floats, before: Floats, after: Floats, c: Floats, first: int, last: int) -> None:
    """Computes the new states of the units `first` to `last` from the recurrent products `a` and the input ones `x`."""
    units, count = len(before), last - first
    before, after, c = before[first:last], after[first:last], c[first:last]
    a0, x0 = gate(0, a, x, units, first, last)
    if cell == LSTM:
        a1, x1 = gate(1, a, x, units, first, last)
        a2, x2 = gate(2, a, x, units, first, last)
        a3, x3 = gate(3, a, x, units, first, last)
        for j in range(count):
            c[j] = _sigmoid(a1[j] + x1[j]) * c[j] + _sigmoid(a0[j] + x0[j]) * tanh(a3[j] + x3[j])
            after[j] = _sigmoid(a2[j] + x2[j]) * tanh(c[j])
    elif cell == CIFG:
        a1, x1 = gate(1, a, x, units, first, last)
        a2, x2 = gate(2, a, x, units, first, last)
        for j in range(count):
            c[j] += _sigmoid(a0[j] + x0[j]) * (tanh(a2[j] + x2[j]) - c[j])
            after[j] = _sigmoid(a1[j] + x1[j]) * tanh(c[j])
    elif cell == GRU:
        a1, x1 = gate(1, a, x, units, first, last)
        a2, x2 = gate(2, a, x, units, first, last)
        for j in range(count):
            n = tanh(a2[j] * _sigmoid(a0[j] + x0[j]) + x2[j])
            after[j] = n + _sigmoid(a1[j] + x1[j]) * (before[j] - n)
    elif cell == RNN_TANH:
        for j in range(count):
            after[j] = tanh(a0[j] + x0[j])
    elif cell == RNN_RELU:
        for j in range(count):
            after[j] = max(a0[j] + x0[j], np.float32(0))
    else:
        for j in range(count):
            after[j] = _sigmoid(a0[j] + x0[j])
