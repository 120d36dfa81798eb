"""Quantizes weights to 8 bits: each row of a matrix becomes integers from -127 to 127 and one scale.

The quantization is symmetric, with a scale for each output row, as in Jacob et al. (2018), "Quantization and training
of neural networks for efficient integer-arithmetic-only inference", equation 1 with the zero point 0. Biases are not
quantized.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LARGEST = 127
LARGEST_SCALE = 1e36  # a larger one could overflow single precision
SMALLEST = 1e-30  # rows without a larger weight become zeros


@dataclass(frozen=True)
class QuantizedMatrix:
    """A matrix (R, C): its rows are `values` (R, C), int8, times `scale` (R)."""

    values: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]

    def dequantize(self) -> npt.NDArray[np.float32]:
        """Returns the matrix in single precision."""
        return self.values * self.scale[:, None]


def quantize(weight: npt.NDArray[np.float32]) -> QuantizedMatrix:
    """Rounds a matrix to the nearest 8-bit one.

    >>> quantize(np.array([[1.0, -0.5], [0.0, 0.0]], np.float32)).values.tolist()
    [[127, -64], [0, 0]]
    """
    largest = np.abs(weight).max(axis=1)
    scale = np.where(largest > SMALLEST, largest / LARGEST, 1).astype(np.float32)
    return QuantizedMatrix(np.rint(weight / scale[:, None]).astype(np.int8), scale)


def dequantize_all(weights: Mapping[str, npt.NDArray[Any] | QuantizedMatrix]) -> dict[str, npt.NDArray[Any]]:
    """Converts all quantized matrices to single precision."""
    return {
        name: value.dequantize() if isinstance(value, QuantizedMatrix) else value for name, value in weights.items()
    }


def quantize_all(weights: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any] | QuantizedMatrix]:
    """Quantizes all matrices to 8 bits; biases stay as they are."""
    return {name: quantize(value) if value.ndim == 2 else value for name, value in weights.items()}
