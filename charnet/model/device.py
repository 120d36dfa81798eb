"""The device, the number format and the threads of the processor: decided here and nowhere else."""

from __future__ import annotations

import functools
from collections.abc import Collection

import torch

from charnet.config import Config
from charnet.errors import ConfigError
from charnet.machine import processor_cores, tune_malloc

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}  # by the words of the setting
FEWEST_UNITS_IN_BF16 = 128  # of a layer that gains from it


def choose_device(name: str) -> torch.device:
    """Returns the device that a setting means; "auto" is CUDA, else Metal, else the processor.

    Raises:
        ConfigError: the device is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
    if not there[name]:
        found = ", ".join(kind for kind, present in there.items() if present)
        raise ConfigError(f'training.device: "{name}" is not there; found: {found}; choose one with --device')
    if name == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32: the matrix units' own form of fp32
    return torch.device(name)


def choose_precision(config: Config, capabilities: Collection[str]) -> str:
    """Returns what "auto" means: bf16 where the processor multiplies in it and the shape gains from it, else fp32.

    Ratios of time, fp32 / bf16, of whole steps with T = 64 and E = H. Two cores of Zen 4: LSTM (B=16, H=128) 1.0,
    (64, 128) 1.2, (16, 256) 1.3, (64, 512) 1.4, (64, 1024) 1.5; GRU and CIFG 1.1, 1.3, 1.3, 1.6, 1.8; RNN 1.05, 1.2,
    1.0, 1.5, 1.8. Two cores with AMX, LSTM: (16, 128) 1.1, (16, 256) 1.6, (64, 256) 2.3, (64, 512) 2.5; the other cells
    were not measured there with their present scans.

    Args:
        capabilities: of the processor, by the names that torch gives them.
    """
    if config.training.precision != "auto":
        return config.training.precision
    gains = config.model.hidden_size >= FEWEST_UNITS_IN_BF16
    return "bf16" if gains and {"avx512_bf16", "amx_bf16"}.intersection(capabilities) else "fp32"


@functools.cache
def matmul_dtype(device: torch.device) -> torch.dtype:
    """Returns the number format of Muon's iteration: bf16 where the machine has arithmetic for it, else fp32.

    The direction of a step needs no more than bf16's three digits, and its products are a third of a step's work.
    """
    in_bf16 = device.type == "cuda" or "avx512_bf16" in cpu_capabilities(device)
    return torch.bfloat16 if in_bf16 else torch.float32


def cpu_capabilities(device: torch.device) -> list[str]:
    """Lists the instruction sets of the processor by the names that torch gives them; none for other devices."""
    known = torch.cpu.get_capabilities() if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities") else {}
    return [name for name, there in known.items() if there is True]


def set_threads(threads: int) -> None:
    """Sets how many threads of the processor compute, 0 for one a core, and has freed memory reused.

    MKL's vector functions choose their code at their first call. If two threads make that call at once, one of them may
    take other code, with other rounding, for that call: one start in twenty gave other weights, in the last digit. So
    the first call is made here, by one thread.
    """
    tune_malloc()
    torch.set_num_threads(threads or processor_cores())
    torch.ones(1).sqrt().exp().log().tanh()
