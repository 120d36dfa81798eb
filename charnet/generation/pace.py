"""How many steps a call takes, so that whoever waits for the end of the call need not wait long."""

from __future__ import annotations


def paced(steps: int, took: float, seconds: float, most: int) -> int:
    """Returns the steps of the next call: twice as many after a quick call, half as many after a slow one.

    Args:
        took: the seconds of the call that took `steps`.
        seconds: what a call should take at most.
        most: steps of a call, however quick they are.

    >>> paced(8, 0.001, 0.02, 64), paced(8, 0.015, 0.02, 64), paced(8, 0.05, 0.02, 64), paced(48, 0.001, 0.02, 64)
    (16, 8, 4, 64)
    """
    if took < seconds / 2:
        return min(2 * steps, most)
    return max(1, steps // 2) if took > 2 * seconds else steps
