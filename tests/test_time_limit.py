"""What signals do to a program that uses charnet."""

from __future__ import annotations

import signal

import pytest

from charnet.signals import time_limit


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers")
def test_a_limit_of_time_leaves_the_timer_of_the_program_running() -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: rung.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 100.0)
        with time_limit(50.0, idle=True):
            pass
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 50 < left <= 100
        signal.raise_signal(signal.SIGALRM)
        assert rung == [signal.SIGALRM]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers")
def test_a_limit_of_time_leaves_no_timer_behind() -> None:
    with time_limit(50.0, idle=True):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
