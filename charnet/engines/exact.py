"""The arithmetic of models with 8-bit weights: each result is the same on every machine, to the last bit.

Floating-point sums depend on their order, and exp and tanh on the library that computes them. Here every sum is one of
integers that single precision holds exactly, in any order; functions are tables; all that remains are single additions
and multiplications, which IEEE 754 defines to the last bit. No product may be fused with a sum.

    h, weights   integers from -127 to 127: a sum of h x weight is exact below 2**24, and rounded once above
    gates        steps of 1/512, rounded to the nearest: the index into a table of tanh, in units of 2**-15; the biases
                 hold what has to be added to a number of steps so that it becomes an index
    c, and h of the gru: between the steps of time in units of 2**-20 (coarser beyond 4)
    logits       from there on in steps of 1/4096 of a halving: the index into a table of powers of 2

Jacob et al. (2018), "Quantization and training of neural networks for efficient integer-arithmetic-only inference",
compute networks with integers in the same way, with other functions.

Shape legend: B texts, C columns and R rows of a matrix, V characters in the alphabet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from charnet.storage.quantize import LARGEST, QuantizedMatrix

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

VERSION = 1  # of this arithmetic, sampling included; what changes a digest in `agreement` makes it another one

STEPS = 512  # of tanh's argument, in a unit of it
REACH = 8 * STEPS  # beyond it tanh is 1, to 2**-15
INDEX_OF_ZERO = np.float32(REACH + 0.5)  # an index is cut off at its point
TANH = (np.rint(np.tanh(np.arange(-REACH, REACH + 1) / STEPS) * 2**15) / 2**15).astype(np.float32)
TANH_OF_H = TANH * np.float32(LARGEST)
H_TANH, H_SIGMOID = np.rint(TANH_OF_H), np.rint((TANH * np.float32(0.5) + np.float32(0.5)) * np.float32(LARGEST))
GRID = np.float32(12)  # a number below 4 plus and minus this is a multiple of 2**-20
RELU_STEPS, RELU_LARGEST, RELU_BASE = 256, (1 << 14) - 1, 128  # of a unit of h; h has two digits there

HALVING = 4096  # steps
MOST_HALVINGS = 32  # a probability that is smaller, compared with the largest, is zero
POWERS = np.rint(2.0 ** (MOST_HALVINGS - np.arange(HALVING) / HALVING)).astype(np.int64)
LOG2 = np.rint(np.log2(0.5 + np.arange(HALVING // 2 + 1) / HALVING) * HALVING).astype(np.int64)  # of 0.5 to 1
STEPS_A_NAT = HALVING / math.log(2)
NATS_A_STEP = np.float32(math.log(2) / HALVING)
SMALLEST = 2.0**-60  # a mean probability
LARGEST_FACTOR = np.float32(2.0**36)  # keeps all products within the range of integers

EXACT_BELOW = 1 << 24  # integers in single precision
COLUMNS = 1040  # 127 * 127 * 1040 is just below


def is_exact(weights: Mapping[str, Any]) -> bool:
    """Returns whether weights have 8 bits, so that the model is computed in this way."""
    return any(isinstance(weight, QuantizedMatrix) for weight in weights.values())


def look_up(table: Floats, index: Floats) -> Floats:
    """Looks up tanh, or what a table of the same steps holds; an index beyond its ends stands for the end."""
    return np.asarray(table.take(index.astype(np.intp), mode="clip"))


def on_grid(x: Floats) -> Floats:
    """Rounds to the grid, in place. Without it small numbers would shrink until processors differ about them."""
    x += GRID
    x -= GRID
    return x


def factor(scale: Any) -> Floats:
    """Returns factors as the products use them: single precision, and not so large that a product overflows."""
    bounded: Floats = np.clip(np.asarray(scale, np.float64), -LARGEST_FACTOR, LARGEST_FACTOR).astype(np.float32)
    return bounded


class Product:
    """The product of a matrix (R, C) of 8 bits with rows of integers: sums of integers, times a factor for each row."""

    def __init__(self, values: npt.NDArray[np.int8], scale: Any) -> None:
        largest = np.abs(values.astype(np.int32)).sum(axis=1).max(initial=0) * LARGEST
        width = values.shape[1] if largest < EXACT_BELOW else COLUMNS
        matrix = values.T.astype(np.float32)
        self._parts = [matrix[at : at + width] for at in range(0, len(matrix), width)]
        self.factor_R = factor(scale)

    def __call__(self, h_BC: Floats) -> Floats:
        """Returns the products (B, R)."""
        a_BR = self.sums(h_BC)
        a_BR *= self.factor_R
        return a_BR

    def sums(self, h_BC: Floats) -> Floats:
        """Returns the sums (B, R), each rounded once."""
        if len(self._parts) == 1:
            return h_BC @ self._parts[0]
        total: Any = 0.0
        width = len(self._parts[0])
        for i, part in enumerate(self._parts):
            total = total + (h_BC[:, i * width : (i + 1) * width] @ part).astype(np.float64)
        sums: Floats = total.astype(np.float32)
        return sums


class TwoDigitProduct(Product):
    """The same for integers up to `RELU_LARGEST`, digit by digit."""

    def sums(self, h_BC: Floats) -> Floats:
        high = np.floor(h_BC * np.float32(1 / RELU_BASE))
        low = h_BC - high * RELU_BASE
        a_BR = super().sums(high)
        a_BR *= RELU_BASE
        a_BR += super().sums(low)
        return a_BR


def input_table(
    embedding: QuantizedMatrix, matrix: QuantizedMatrix, bias: npt.NDArray[Any], unit: Any, zero: float
) -> Floats:
    """Computes the input products of the lowest layer: the row (R) of each character, times `unit` (R), plus `zero`."""
    products = embedding.values.astype(np.float64) @ matrix.values.T.astype(np.float64)  # sums below 2**53
    products *= embedding.scale[:, None].astype(np.float64)
    products *= matrix.scale.astype(np.float64)
    products += bias
    products *= unit
    products += zero
    return factor(products)


def weights_of(scores: Doubles) -> Doubles:
    """Computes integers in proportion to exp(scores), from scores of at most 0; their sum is exact in any order.

    >>> (weights_of(np.array([0.0, -math.log(2), -50.0, -np.inf])) / 2**32).tolist()
    [1.0, 0.5, 0.0, 0.0]
    """
    steps = np.rint(np.minimum(scores * -STEPS_A_NAT, MOST_HALVINGS * HALVING + HALVING)).astype(np.int64)
    return (POWERS[steps % HALVING] >> (steps // HALVING)).astype(np.float64)


def probabilities(logits_BV: Floats) -> Doubles:
    """Computes the softmax of each row: fractions of integers."""
    scores_BV = logits_BV.astype(np.float64)
    scores_BV -= scores_BV.max(axis=1, keepdims=True)
    p_BV = weights_of(scores_BV)
    p_BV /= p_BV.sum(axis=1, keepdims=True)
    return p_BV


def log(p: Doubles) -> Floats:
    """Looks up logarithms of probabilities, in nats: multiples of a step.

    >>> log(np.array([1.0, 0.25])).round(3).tolist()
    [0.0, -1.3860000371932983]
    """
    mantissa, exponent = np.frexp(np.maximum(p, SMALLEST))
    index = np.rint((mantissa - 0.5) * HALVING).astype(np.int64)
    return np.asarray((LOG2[index] + exponent * HALVING).astype(np.float32) * NATS_A_STEP)
