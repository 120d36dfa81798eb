"""What a training would do, without doing it: its text, settings, memory and time, on one process and on several.

It trains nothing and writes no folder. Seconds follow from a step that is measured on this machine; those of several
processes from the part of it that each would compute, and from the model of `communication`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet import machine
from charnet.config import Config
from charnet.errors import ConfigError
from charnet.model.shapes import num_weights
from charnet.overlay import overlay
from charnet.storage import place, runs
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.document import CorpusInfo
from charnet.training import resolve, start
from charnet.training.communication import Imagined, Network, of_sum
from charnet.training.planner import EVALUATION_SPEED

if TYPE_CHECKING:
    import torch

    from charnet.data.corpus import OnRead

BYTES_OF_NUMBER = 4


@dataclass(frozen=True)
class Share:
    """What each of some processes does in a step, and how fast they are together.

    Attributes:
        streams: that each process computes, one after the other in `shards` parts.
        networks: of an ensemble, that each process trains.
        threads: of each process.
        bytes_sent: by each process in a step; it receives as many.
        seconds: of a step.
        seconds_sending: the part of them that is communication.
        chars_per_second: of all together.
        speedup: beside one process.
        memory: the peak bytes of each process.
    """

    processes: int
    streams: int
    networks: int
    threads: int
    bytes_sent: int
    seconds: float
    seconds_sending: float
    chars_per_second: float
    speedup: float
    memory: int


@dataclass(frozen=True)
class DryRun:
    """A training that was not done.

    Attributes:
        config: a value for every setting.
        parameters: of all networks.
        passes: over the text to train on.
        seconds: of all steps and evaluations, with the last of `shares`.
        memory, free_memory, disk: bytes; the disk at most.
        shares: of one process, of two, of four, up to the number that was asked for.
        network: between the processes, if there are several.
        notes: sentences about the text.
    """

    config: Config
    corpus: CorpusInfo
    alphabet_size: int
    held_out: int
    parameters: int
    passes: float
    seconds: float
    memory: int
    free_memory: int
    disk: int
    shares: tuple[Share, ...]
    network: Network | None
    notes: tuple[str, ...]


class Estimator:
    """Reckons the seconds of a step.

    Args:
        network: joins processes that have a machine like this one each; None if they share this machine.
    """

    def __init__(self, alphabet_size: int, device: torch.device, network: Network | None) -> None:
        self._alphabet_size, self._device = alphabet_size, device
        self._apart, self._network = network is not None, network

    def network(self) -> Network:
        """Returns the network between the processes, that of this machine measured once.

        Raises:
            ConfigError: it is one of GPUs, which is not measured.
        """
        if self._network is None:
            from charnet.training import throughput

            if self._device.type != "cpu":
                raise ConfigError(
                    "--dry-run: the links between GPUs are not measured; add --network, as in --network 20us,200Gbit"
                )
            self._network = throughput.loopback()
        return self._network

    def step(self, config: Config, processes: int) -> tuple[float, float, int, int]:
        """Returns the seconds of a step, those of communication in it, and the bytes and the threads of a process."""
        from charnet.model.device import set_threads
        from charnet.training import throughput

        threads = resolve.threads_of(config, 1 if self._apart else processes)
        set_threads(threads if processes > 1 else machine.threads_beside_others(threads))
        group = Imagined(processes)
        taken = throughput.TrainingStep(config, self._alphabet_size, self._device, group)
        taken.run(1)
        shared = num_weights(config, self._alphabet_size) * (not resolve.is_by_network(config, processes))
        traffic = group.traffic + of_sum(BYTES_OF_NUMBER * shared, processes)
        seconds = throughput.median_seconds(taken)
        sending = self.network().seconds(traffic) if processes > 1 else 0.0
        if self._device.type == "cpu" and not self._apart:  # more threads than cores take turns
            seconds *= max(1.0, processes * threads / machine.processor_cores())
            sending *= max(1.0, processes / max(2, machine.processor_cores()))
        return seconds + sending, sending, round(traffic.bytes), threads

    def shares(self, config: Config, processes: int, fill: float) -> Iterator[Share]:
        """Yields what happens on one process, on two, on four, up to so many, where the streams can be divided.

        Args:
            fill: how much of a window is text.
        """
        from charnet.training import throughput

        alone = 0.0
        for count in sorted({processes, *(1 << power for power in range((processes - 1).bit_length()))}):
            try:
                resolve.check_shards(config, count)
            except ConfigError:
                if count == processes:
                    raise
                continue
            seconds, sending, sent, threads = self.step(config, count)
            alone = alone or seconds
            part, shards, _ = throughput.part_of(config, count)
            characters = config.training.batch_size * config.training.window * fill
            memory = resolve.memory_needed(config, self._alphabet_size, count)
            yield Share(
                count, part.training.batch_size * shards, part.model.members, threads, sent, seconds, sending,
                characters / seconds, alone / seconds, memory,
            )  # fmt: skip


def dry_run(
    values: Mapping[str, Any],
    seconds: float | None,
    *,
    out: Path,
    name: str,
    init_from: Path | None,
    processes: int,
    network: Network | None,
    on_read: OnRead,
) -> DryRun:
    """See `setup.dry_run`, which has checked `values` and decided on `seconds`."""
    place.check(out)
    weights = Checkpoint.load(runs.find(init_from, out), weights_only=True) if init_from else None
    config, corpus, text = start.read(values, seconds, weights, name, on_read)

    from charnet.model import device

    alphabet_size, where = len(corpus.vocab), device.choose_device(config.training.device)
    estimator = Estimator(alphabet_size, where, network)

    def pace(candidate: Config, _alphabet_size: int, _device: torch.device) -> float:
        return estimator.step(candidate, processes)[0]

    given = set(values) | (start.INHERITED if weights else set())
    config, _, _ = start.settle(config, given, text, alphabet_size, seconds, pace)
    config = overlay(config, {"training.threads": values.get("training.threads", 0)})
    shares = tuple(estimator.shares(config, processes, text.train.fill(config.training.window)))
    config = overlay(config, {"training.threads": shares[-1].threads})
    t = config.training
    read = min(len(text.val), config.data.val_chars or len(text.val))
    evaluations = -(-t.steps // max(1, t.eval_every)) * read + (len(text.val) if read < len(text.val) else 0)
    return DryRun(
        config=config,
        corpus=start.info_of(corpus),
        alphabet_size=alphabet_size,
        held_out=len(text.val),
        parameters=num_weights(config, alphabet_size),
        passes=t.steps * t.batch_size * t.window / max(1, text.train.padded_length(t.window)),
        seconds=t.steps * shares[-1].seconds + evaluations / (shares[0].chars_per_second * EVALUATION_SPEED),
        memory=shares[-1].memory,
        free_memory=machine.free_memory(),
        disk=resolve.bytes_on_disk(config, alphabet_size),
        shares=shares,
        network=estimator.network() if processes > 1 else None,
        notes=(*corpus.notes, *text.notes()),
    )
