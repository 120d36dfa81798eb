"""A run uses fewer threads while other programs compute, and its weights stay the same to the bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from charnet import machine
from charnet.config import Config
from charnet.overlay import overlay
from charnet.training import thread_count
from charnet.training.thread_count import ThreadCount, agrees

SECOND = 1.0


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """The number of free cores; change its only element."""
    found: list[float | None] = [2.0]
    monkeypatch.setattr(machine, "free_cores", lambda: found[0])
    return found


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def wait(count: ThreadCount, clock: Clock, seconds: float = SECOND) -> int:
    """Lets time pass while steps are taken; the number of threads after it."""
    for _ in range(round(seconds / 0.01)):
        clock.seconds += 0.01
        count.adjust()
    return torch.get_num_threads()


def build(most: int, agree: Callable[[int], bool] = lambda _: True) -> tuple[ThreadCount, Clock]:
    clock = Clock()
    torch.set_num_threads(most)
    return ThreadCount(most, agree, clock), clock


def test_threads_become_fewer_while_another_program_computes_and_more_after_it(free: list[float | None]) -> None:
    count, clock = build(2)
    assert wait(count, clock) == 2
    free[0] = 1
    assert wait(count, clock) == 1
    free[0] = 2
    assert wait(count, clock) == 2


def test_a_program_that_computes_for_a_moment_changes_nothing(free: list[float | None]) -> None:
    count, clock = build(2)
    free[0] = 0
    assert wait(count, clock, 0.11) == 2


def test_there_is_always_one_thread(free: list[float | None]) -> None:
    count, clock = build(3)
    free[0] = 0
    assert wait(count, clock) == 1


def test_threads_stay_where_their_number_would_change_the_weights(free: list[float | None]) -> None:
    asked: list[int] = []
    count, clock = build(2, lambda threads: bool(asked.append(threads)))
    free[0] = 0
    assert wait(count, clock) == 2
    assert asked == [1]


def test_threads_stay_where_the_system_does_not_say_what_is_free(free: list[float | None]) -> None:
    count, clock = build(2)
    free[0] = None
    assert wait(count, clock) == 2


def test_a_run_on_one_thread_never_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "free_cores", lambda: pytest.fail("it looked"))
    count, clock = build(1)
    assert wait(count, clock) == 1


@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_the_same_number_of_threads_agrees_with_itself_and_another_does_as_its_bits_say(cell: str) -> None:
    sizes = {"hidden_size": 16, "cell": cell, "embedding_size": 8}
    config = overlay(Config(), {f"model.{name}": value for name, value in sizes.items()})
    config = overlay(config, {"training.threads": 1, "training.precision": "fp32", "training.batch_size": 2})
    assert agrees(config, 11, 1)
    before = torch.get_num_threads()
    agrees(config, 11, 2)
    assert torch.get_num_threads() == before


def test_without_memory_to_compare_the_threads_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(thread_count, "TrainingStep", fail)
    assert not agrees(overlay(Config(), {"training.threads": 1}), 11, 2)


def test_a_difference_in_one_bit_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Step:
        def __init__(self, *_: object) -> None:
            self.value = torch.ones(3)

        def run(self, *_: object) -> None:
            if torch.get_num_threads() == 2:
                self.value[1] = torch.nextafter(self.value[1], torch.tensor(2.0))

        def result(self) -> list[torch.Tensor]:
            return [torch.zeros(2), self.value]

    monkeypatch.setattr(thread_count, "TrainingStep", Step)
    config = overlay(Config(), {"training.threads": 1})
    assert agrees(config, 11, 1)
    assert not agrees(config, 11, 2)
