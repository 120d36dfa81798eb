"""Weights of 8 bits: a row of a matrix as whole numbers from -127 to 127 and one factor for all of them.

Symmetric and by rows of the output, as in Jacob et al. (2018), "Quantization and training of neural networks for
efficient integer-arithmetic-only inference", equation 1 with the zero point at 0. Biases stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LARGEST = 127
LARGEST_SCALE = 1e36  # what is restored with it is a number in single precision
SMALLEST = 1e-30  # a row with nothing larger counts as zeros


@dataclass(frozen=True)
class QuantizedMatrix:
    """A matrix (R, C): `values` (R, C) are int8, `scale` (R) says what 1 of them is worth in each row."""

    values: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]

    def dequantize(self) -> npt.NDArray[np.float32]:
        """The matrix in single precision."""
        return self.values * self.scale[:, None]


def quantize(weight: npt.NDArray[np.float32]) -> QuantizedMatrix:
    """The nearest matrix of 8 bits a number.

    >>> quantize(np.array([[1.0, -0.5], [0.0, 0.0]], np.float32)).values.tolist()
    [[127, -64], [0, 0]]
    """
    largest = np.abs(weight).max(axis=1)
    scale = np.where(largest > SMALLEST, largest / LARGEST, 1).astype(np.float32)
    return QuantizedMatrix(np.rint(weight / scale[:, None]).astype(np.int8), scale)


def dequantize_all(weights: Mapping[str, npt.NDArray[Any] | QuantizedMatrix]) -> dict[str, npt.NDArray[Any]]:
    """The same parameters, every matrix in single precision."""
    return {
        name: value.dequantize() if isinstance(value, QuantizedMatrix) else value for name, value in weights.items()
    }


def quantize_all(weights: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any] | QuantizedMatrix]:
    """The same parameters, every matrix of 8 bits a number."""
    return {name: quantize(value) if value.ndim == 2 else value for name, value in weights.items()}
