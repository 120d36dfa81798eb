"""The text as streams and windows."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charnet.data.batches import StreamPosition, Streams, min_length, steps_for
from charnet.errors import CorpusError

B, T = 3, 5


def text(length: int) -> np.ndarray:
    """Every character its own place: where a window comes from can be read off it."""
    return np.arange(length, dtype=np.uint16)


def positions(streams: Streams, passes: int):
    """All positions of so many passes, in order."""
    position = StreamPosition()
    while position.passes < passes:
        yield position
        position = streams.after(position)


sizes = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(0, 200)).map(
    lambda s: (s[0], s[1], s[0] * s[1] + 1 + s[2])
)


@settings(deadline=None, max_examples=60)
@given(sizes)
def test_every_window_continues_the_one_before_it_in_its_stream(size):
    batch, window, length = size
    streams = Streams(text(length), batch, window)
    for before, after in itertools.pairwise(positions(streams, 3)):
        if after.passes == before.passes:
            assert (streams.read(after)[0][:, 0] == streams.read(before)[0][:, -1] + 1).all()
        else:
            assert after == (before.passes + 1, 0)


@settings(deadline=None, max_examples=60)
@given(sizes)
def test_targets_are_the_inputs_shifted_by_one(size):
    batch, window, length = size
    streams = Streams(text(length), batch, window)
    for position in positions(streams, 3):
        x_BT, y_BT = streams.read(position)
        assert x_BT.shape == y_BT.shape == (batch, window)
        assert x_BT.dtype == y_BT.dtype == np.int64
        assert (y_BT == x_BT + 1).all()
        assert (np.diff(x_BT, axis=1) == 1).all()


@settings(deadline=None, max_examples=60)
@given(sizes)
def test_no_character_is_learned_twice_in_a_pass(size):
    batch, window, length = size
    streams = Streams(text(length), batch, window)
    for passes in range(3):
        learned = [
            streams.read(StreamPosition(passes, window=k))[1].ravel() for k in range(streams.windows_in_pass(passes))
        ]
        assert len(np.unique(np.concatenate(learned))) == len(learned) * batch * window


@settings(deadline=None, max_examples=60)
@given(sizes, st.integers(0, 50))
def test_a_pass_leaves_out_less_than_a_window_at_the_start_and_at_the_end_of_each_stream(size, passes):
    batch, window, length = size
    streams = Streams(text(length), batch, window)
    learned = streams.windows_in_pass(passes) * batch * window
    left_out = length - 1 - learned
    assert 0 <= left_out < window + batch * window
    assert streams.read(StreamPosition(passes))[0][0, 0] < window


def test_streams_stand_side_by_side_each_in_its_own_part_of_the_text():
    streams = Streams(text(B * 20 + 1), B, T)
    assert streams.read(StreamPosition())[0][:, 0].tolist() == [0, 20, 40]
    assert streams.read(StreamPosition(window=1))[0][:, 0].tolist() == [5, 25, 45]
    assert streams.windows_in_pass(0) == 4


def test_each_pass_starts_at_another_place_and_over_many_passes_at_every_place_of_a_window():
    streams = Streams(text(1000), B, T)
    starts = [int(streams.read(StreamPosition(passes))[0][0, 0]) for passes in range(20)]
    assert starts[0] == 0
    assert all(a != b for a, b in itertools.pairwise(starts))
    assert set(starts) == set(range(T))


def test_a_position_written_down_and_read_again_goes_on_where_it_stopped():
    ids = text(100)
    walk = list(positions(Streams(ids, B, T), 3))
    at = walk[len(walk) // 2]
    fresh, resumed = Streams(ids, B, T), StreamPosition(*[int(number) for number in tuple(at)])
    for expected in walk[len(walk) // 2 :]:
        assert resumed == expected
        for a, b in zip(fresh.read(resumed), Streams(ids, B, T).read(expected), strict=True):
            assert (a == b).all()
        resumed = fresh.after(resumed)


@pytest.mark.parametrize("length", [0, 1, B * T])
def test_a_text_that_is_too_short_is_refused_with_the_length_it_needs(length):
    with pytest.raises(CorpusError, match=rf"has {length} characters?;.* need at least {B * T + 1}\b"):
        Streams(text(length), B, T)


def test_the_shortest_text_works_in_every_pass():
    streams = Streams(text(min_length(B, T)), B, T)
    assert min_length(B, T) == B * T + 1
    for passes in range(5):
        assert streams.windows_in_pass(passes) == 1
        x_BT, y_BT = streams.read(StreamPosition(passes))
        assert x_BT.ravel().tolist() == list(range(B * T))
        assert y_BT.ravel().tolist() == list(range(1, B * T + 1))
        assert streams.after(StreamPosition(passes)) == (passes + 1, 0)


def test_a_batch_is_a_copy_and_the_text_stays_as_it_is():
    ids = text(100)
    x_BT, _ = Streams(ids, B, T).read(StreamPosition())
    x_BT[:] = 7
    assert (ids == text(100)).all()


def test_steps_for_is_how_many_windows_the_passes_have():
    streams = Streams(text(1000), B, T)
    assert steps_for(1, 1000, B, T) == streams.windows_in_pass(0) == 66
    assert steps_for(2.5, 1000, B, T) == 165
    assert steps_for(0.001, 1000, B, T) == 1
