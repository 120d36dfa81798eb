"""States after prompts are kept within a limit, the least recently used dropped first."""

from __future__ import annotations

import numpy as np
import pytest

from charnet.generation.generate import GenerationState
from charnet.server.prefixes import Prefixes


def ids(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int32)


def state(size: int = 100, name: int = 0) -> GenerationState:
    return GenerationState((np.full(size // 4, name, dtype=np.float32),), pending=(), num_sampled=name)


def test_the_longest_prompt_that_begins_alike_is_found() -> None:
    kept = Prefixes()
    for count in (1, 3, 2):
        kept.keep(ids(*range(count)), state(name=count))
    for prompt, count in ((ids(0, 1, 2, 3, 4), 3), (ids(0, 1, 2), 3), (ids(0, 1), 2), (ids(0, 5, 2), 1)):
        found = kept.longest(prompt)
        assert found[0] == count
        assert found[1] is not None
        assert found[1].num_sampled == count
    assert kept.longest(ids(1, 2, 3)) == kept.longest(ids()) == (0, None)


def test_a_prompt_is_compared_by_symbols_and_not_by_bytes() -> None:
    kept = Prefixes()
    kept.keep(ids(1), state())
    assert kept.longest(ids(1 + (1 << 8), 0)) == (0, None)
    assert kept.longest(ids(1 << 8)) == (0, None)


@pytest.mark.parametrize("used", [False, True])
def test_the_least_recently_used_state_is_dropped_when_there_are_too_many(used: bool) -> None:
    kept = Prefixes(most_bytes=3 * 104)
    for first in (1, 2, 3):
        kept.keep(ids(first), state())
    if used:
        kept.longest(ids(1, 9))
    kept.keep(ids(4), state())
    assert len(kept) == 3
    assert [kept.longest(ids(first, 9))[0] for first in (1, 2, 3, 4)] == ([1, 0, 1, 1] if used else [0, 1, 1, 1])


def test_a_state_that_is_larger_than_all_may_be_drops_no_other() -> None:
    kept = Prefixes(most_bytes=1000)
    kept.keep(ids(1), state())
    kept.keep(ids(2), state(size=2000))
    assert (kept.longest(ids(1))[0], kept.longest(ids(2))[0], len(kept)) == (1, 0, 1)


def test_a_prompt_that_is_kept_twice_counts_once() -> None:
    kept = Prefixes(most_bytes=3 * 104)
    for _ in range(10):
        kept.keep(ids(1), state())
    kept.keep(ids(2), state())
    assert len(kept) == 2


def test_dropped_prompts_leave_nothing_behind() -> None:
    kept = Prefixes(most_bytes=1000)
    for count in range(1, 200):
        kept.keep(ids(*range(count)), state())
        assert len(kept) <= 9
        assert len(kept._lengths) == len(kept)
        assert kept._bytes <= 1000
