"""What it costs that several processes train together: a model of messages, with a latency and a bandwidth.

A process needs `messages x latency + bytes / bandwidth` seconds. Only messages that wait for each other count: in a
ring each process passes on what it has received, N - 1 times; those to all others at once count as one. The model knows
nothing of other traffic, of a slow process that the others wait for, or of several processes behind one cable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from charnet.errors import ConfigError, quoted
from charnet.training.group import Group

if TYPE_CHECKING:
    from torch import Tensor

SECONDS_OF = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
BYTES_OF = {"Mbit": 1e6 / 8, "Gbit": 1e9 / 8, "MB": 1e6, "GB": 1e9}
NUMBER = r"(\d{1,9}(?:\.\d{1,9})?)"
NETWORK = re.compile(rf"{NUMBER} ?({'|'.join(SECONDS_OF)}), ?{NUMBER} ?({'|'.join(BYTES_OF)})(?:/s)?", re.ASCII)


@dataclass(frozen=True)
class Traffic:
    """What a process sends, and receives as much: messages that wait for each other, and all bytes."""

    messages: int = 0
    bytes: float = 0.0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.messages + other.messages, self.bytes + other.bytes)


@dataclass(frozen=True)
class Network:
    """Connects the processes: seconds that a message takes, and bytes that a process can send in a second."""

    latency: float
    bandwidth: float

    def seconds(self, traffic: Traffic) -> float:
        """Returns how long a process communicates.

        >>> Network(latency=0.001, bandwidth=1e6).seconds(of_sum(1_000_000, processes=2))
        1.002
        """
        return traffic.messages * self.latency + traffic.bytes / self.bandwidth


def of_sum(size: int, processes: int) -> Traffic:
    """Returns the traffic of a sum over all processes: an all_to_all of its parts, then an all_gather of their sums.

    >>> of_sum(1000, processes=4)
    Traffic(messages=4, bytes=1500.0)

    Args:
        size: bytes of the numbers of one process.
    """
    return Traffic(processes if processes > 1 else 0, 2 * (processes - 1) / processes * size)


def of_join(size: int, processes: int) -> Traffic:
    """Returns the traffic of an all_gather, in a ring.

    >>> of_join(1000, processes=4)
    Traffic(messages=3, bytes=3000.0)

    Args:
        size: bytes of the rows of one process.
    """
    return Traffic(processes - 1, (processes - 1) * float(size))


class Imagined(Group):
    """The first of several processes of which there is only this one. What it would send is counted, not sent.

    Attributes:
        traffic: so far.
    """

    def __init__(self, size: int) -> None:
        self.size, self.traffic = size, Traffic()

    def sum(self, numbers_N: Tensor) -> Tensor:
        self.traffic += of_sum(numbers_N.nbytes, self.size)
        return numbers_N

    def join(self, rows: Tensor) -> Tensor:
        self.traffic += of_join(rows.nbytes, self.size)
        return rows.expand(self.size, *rows.shape[1:])  # of one row, and without a copy


def parse_network(text: str) -> Network:
    """Reads a network: its latency and its bandwidth in bits or bytes a second.

    >>> parse_network("0.5ms,1Gbit")
    Network(latency=0.0005, bandwidth=125000000.0)

    Raises:
        ConfigError: it is none.
    """
    found = NETWORK.fullmatch(text.strip(" "))
    if not found or not float(found[3]):
        units = f"a latency in {', '.join(SECONDS_OF)} and a bandwidth in {', '.join(BYTES_OF)} a second"
        raise ConfigError(f"--network: expected {units}, as in 0.1ms,1Gbit; found {quoted(text)}")
    return Network(float(found[1]) * SECONDS_OF[found[2]], float(found[3]) * BYTES_OF[found[4]])
