"""Damage: whatever a disk, a cable or a cut power supply does to a checkpoint, it is noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from checkpoint_files import Refusals, of_size, packed
from files import LONG, in_memory

from charnet.storage import tensorfile

PAGE = 4096
PLACES = None if LONG else 2000  # of damage to a small checkpoint; all of them in the long form
Damaged = Iterable[tuple[str, bytes]]


@pytest.fixture(scope="module")
def small() -> tuple[bytes, bytes]:
    """Two checkpoints of some 20 KB that differ in their weights alone."""
    first, second = (packed(of_size(32, seed)) for seed in (1, 2))
    assert len(first) == len(second)
    assert 15_000 < len(first) < 25_000
    return first, second


@pytest.fixture(scope="module")
def large() -> tuple[bytes, bytes]:
    """Two checkpoints of some 14 MB that differ in their weights alone."""
    first, second = (packed(of_size(930, seed)) for seed in (1, 2))
    assert len(first) == len(second)
    assert 13_000_000 < len(first) < 15_000_000
    return first, second


@pytest.fixture
def refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Refusals]:
    monkeypatch.setattr(tensorfile, "memory", lambda: 1 << 36)  # asked for every file, a third of the time
    with in_memory(tmp_path) as path:
        yield Refusals(path)


def sample(below: int, count: int | None) -> list[int]:
    """All numbers below one, or some of them; the same ones each time."""
    if count is None:
        return list(range(below))
    ends = [0, 1, 7, 8, 9, below - 2, below - 1]
    return sorted({*ends, *np.random.default_rng(3).integers(0, below, count).tolist()})


def cut(first: bytes, _: bytes, count: int | None) -> Damaged:
    for length in sample(len(first), count):
        yield f"cut to {length} bytes", first[:length]


def flipped(first: bytes, _: bytes, count: int | None) -> Damaged:
    for bit in sample(8 * len(first), count):
        damaged = bytearray(first)
        damaged[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit}", damaged


def zeroed(first: bytes, _: bytes, count: int | None) -> Damaged:
    for page in sample((len(first) - 1) // PAGE + 1, count):
        at = page * PAGE
        if 0 <= at < len(first):
            yield f"page {page}", first[:at] + bytes(len(first[at : at + PAGE])) + first[at + PAGE :]


def mixed(first: bytes, second: bytes, count: int | None) -> Damaged:
    for at in sample(len(first), count)[:: 1 if count else 4]:
        for halves in (first[:at] + second[at:], second[:at] + first[at:]):
            if halves not in (first, second):
                yield f"halves of two at {at}", halves


def strange_page(first: bytes, second: bytes, count: int | None) -> Damaged:
    for page in sample((len(first) - 1) // PAGE + 1, count):
        at = page * PAGE
        other = first[:at] + second[at : at + PAGE] + first[at + PAGE :]
        if other != first:
            yield f"page {page} of another", other


def longer(first: bytes, second: bytes, count: int | None) -> Damaged:
    for number in range(1, (count or 4 * PAGE) + 1):
        yield f"{number} bytes more", first + second[-number:]
    yield "zeros after it", first + bytes(PAGE)
    yield "itself after it", first + first


def swapped(first: bytes, _: bytes, count: int | None) -> Damaged:
    for page in sample(len(first) // PAGE - 1, count):
        at, then, after = page * PAGE, (page + 1) * PAGE, (page + 2) * PAGE
        if at >= 0 and after <= len(first):
            yield f"page {page} after the next", first[:at] + first[then:after] + first[at:then] + first[after:]


KINDS = [cut, flipped, zeroed, mixed, strange_page, longer, swapped]
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
Kind = Callable[[bytes, bytes, int | None], Damaged]


@kinds
def test_damage_is_noticed(kind: Kind, small: tuple[bytes, bytes], refusals: Refusals) -> None:
    for what, damaged in kind(*small, 60):
        refusals.of_bytes(damaged, what)
    assert refusals.count > 2


@pytest.mark.faults
@kinds
def test_damage_to_a_small_checkpoint_is_noticed_at_many_places(
    kind: Kind, small: tuple[bytes, bytes], refusals: Refusals, record_property: Callable[[str, object], None]
) -> None:
    for what, damaged in kind(*small, PLACES):
        refusals.of_bytes(damaged, what)
    record_property("refused", (refusals.count, refusals.slowest, refusals.which))


@pytest.mark.faults
def test_a_flipped_bit_of_a_checkpoint_of_8_bits_is_noticed(refusals: Refusals) -> None:
    whole = packed(of_size(16).quantize())
    for what, damaged in flipped(whole, whole, PLACES):
        refusals.of_bytes(damaged, what)
    assert refusals.count == len(sample(8 * len(whole), PLACES)) > 1000


@pytest.mark.faults
@kinds
def test_damage_to_a_large_checkpoint_is_noticed(
    kind: Kind, large: tuple[bytes, bytes], refusals: Refusals, record_property: Callable[[str, object], None]
) -> None:
    for what, damaged in kind(*large, 50 if LONG else 12):
        refusals.of_bytes(damaged, what)
    record_property("refused", (refusals.count, refusals.slowest, refusals.which))
