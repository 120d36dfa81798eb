"""Chooses the device, the dtype and the number of CPU threads. Nothing else decides these."""

from __future__ import annotations

import functools
from collections.abc import Collection

import torch

from charnet.config import Config
from charnet.errors import ConfigError
from charnet.machine import processor_cores, tune_malloc

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}  # by the values of the setting
FEWEST_UNITS_IN_BF16 = 128  # in a layer, for bf16 to be faster


def choose_device(name: str) -> torch.device:
    """Returns the device that a setting means; "auto" is CUDA, else Metal, else the CPU.

    Raises:
        ConfigError: the device is not available.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(each for each in ("cuda", "mps", "cpu") if available[each])
    if not available[name]:
        found = " or ".join(each for each, is_available in available.items() if is_available)
        raise ConfigError(
            f"training.device: this machine has no {name}, or torch cannot use it; choose {found}, or auto"
        )
    if name == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32: the matrix units' own form of fp32
    return torch.device(name)


def choose_precision(config: Config, capabilities: Collection[str]) -> str:
    """Returns the precision of a run; "auto" is bf16 if the CPU supports it and the model is faster in it, else fp32.

    Speedup of bf16 over fp32, in whole steps with T = 64 and E = H. Two cores of Zen 4: LSTM (B=16, H=128) 1.0,
    (64, 128) 1.2, (16, 256) 1.3, (64, 512) 1.4, (64, 1024) 1.5; GRU and CIFG 1.1, 1.3, 1.3, 1.6, 1.8; RNN 1.05, 1.2,
    1.0, 1.5, 1.8. Two cores with AMX, LSTM: (16, 128) 1.1, (16, 256) 1.6, (64, 256) 2.3, (64, 512) 2.5; the other cells
    were not measured there with their current scans.

    Args:
        capabilities: the instruction sets of the CPU, by torch's names.
    """
    if config.training.precision != "auto":
        return config.training.precision
    is_large = config.model.hidden_size >= FEWEST_UNITS_IN_BF16
    return "bf16" if is_large and {"avx512_bf16", "amx_bf16"}.intersection(capabilities) else "fp32"


@functools.cache
def matmul_dtype(device: torch.device) -> torch.dtype:
    """Returns the dtype of Muon's iteration: bf16 where the hardware multiplies in it, else fp32.

    The direction of a step needs no more than bf16's three digits. These products are a third of the work of a step.
    """
    in_bf16 = device.type == "cuda" or "avx512_bf16" in cpu_capabilities(device)
    return torch.bfloat16 if in_bf16 else torch.float32


def cpu_capabilities(device: torch.device) -> list[str]:
    """Returns the instruction sets of the CPU, by torch's names; none for other devices."""
    known = torch.cpu.get_capabilities() if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities") else {}
    return [name for name, is_supported in known.items() if is_supported is True]


def set_threads(threads: int) -> None:
    """Sets the number of CPU threads, 0 for one per core, and tunes malloc to reuse freed memory.

    MKL's vector functions choose their code path at the first call. If two threads make that call at once, one of them
    may take another path, with other rounding, for that call: one start in twenty gave weights that differed in the
    last digit. So the first call is made here, by one thread.
    """
    tune_malloc()
    torch.set_num_threads(threads or processor_cores())
    torch.ones(1).sqrt().exp().log().tanh()
