"""One engine thread, many texts: each is the one that it would be alone, and none waits for another."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from checkpoint_files import of_size
from running_server import until

from charnet.config import SamplingOptions
from charnet.engines.registry import available, open_engine
from charnet.errors import CharnetError, ConfigError
from charnet.generation import generate
from charnet.generation.generate import Generation
from charnet.generation.sampler import Sampler
from charnet.server import engine_room, jobs, side_by_side
from charnet.server.engine_room import EngineRoom
from charnet.server.jobs import BrokenError, BusyError, Job, StoppedError
from charnet.server.side_by_side import SideBySide

MODEL = of_size(16)
EXACT = MODEL.quantize()
PATIENCE = 30.0
OPTIONS = [
    {}, {"temperature": 0.0}, {"temperature": 1.3}, {"top_k": 3}, {"top_p": 0.8}, {"min_p": 0.1}, {"typical_p": 0.7},
    {"repetition_penalty": 1.4}, {"stop": ("a b",)}, {"until": "line"}, {"match": "[ab]{0,40}"}, {"max_lines": 2},
    {"logit_bias": (("b", 2.0),)},
]  # fmt: skip


@dataclass
class Reader:
    """What is delivered of a text."""

    job: Job
    text: str = ""
    pieces: int = 0
    error: CharnetError | None = None
    likely: list[Any] = field(default_factory=list)
    began: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    reads: bool = True

    def take(self, chunk: Any, alternatives: list[Any], error: CharnetError | None) -> None:
        self.error = error
        self.likely += alternatives
        if chunk is None:
            self.ended.set()
        else:
            self.text += chunk.text
            self.pieces += 1
            self.job.taken = len(self.text) if self.reads else 0
        self.began.set()

    def whole(self) -> str:
        assert self.ended.wait(PATIENCE)
        assert self.error is None
        return self.text


def ids_of(prompt: str) -> Any:
    return EXACT.vocab.encode(prompt).astype(np.int32)


def reader(prompt: str = "ab", number: int = 0, **options: Any) -> Reader:
    likely, scores = options.pop("likely", None), options.pop("scores", False)
    found = Reader(Job(ids_of(prompt), SamplingOptions(**options), lambda *_: None, number, likely, scores))
    found.job.deliver = found.take
    return found


def submitted(room: EngineRoom, *readers: Reader) -> Reader:
    room.submit(*(each.job for each in readers))
    return readers[0]


@pytest.fixture
def room() -> Iterator[EngineRoom]:
    opened = EngineRoom(EXACT)
    opened.start()
    yield opened
    opened.close()
    assert not opened._thread.is_alive()


def alone(prompt: str, number: int = 0, **options: Any) -> str:
    engine = open_engine(EXACT, "numpy")
    state = generate.start(engine, EXACT.vocab, ids_of(prompt).tolist())
    chunks = Generation(engine, EXACT.vocab, state, SamplingOptions(**options), index=number, nats=False)
    return "".join(chunk.text for chunk in chunks)


def various(count: int, seed: int) -> list[tuple[str, dict[str, Any]]]:
    choose = random.Random(seed)
    return [
        (
            "".join(choose.choices("ab é\n😀", k=choose.choice([0, 1, 5, 80, 300]))),
            choose.choice(OPTIONS) | {"length": choose.choice([1, 7, 40]), "seed": choose.randrange(99)},
        )
        for _ in range(count)
    ]


def test_a_text_is_the_same_alone_or_among_others_that_come_and_go(room: EngineRoom) -> None:
    asked = various(40, 1)
    readers = [reader(prompt, number=index % 3, **options) for index, (prompt, options) in enumerate(asked)]
    for each in readers:
        submitted(room, each)
        each.began.wait(0.002)
    for index, (each, (prompt, options)) in enumerate(zip(readers, asked, strict=True)):
        assert each.whole() == alone(prompt, number=index % 3, **options), (prompt, options)


@pytest.mark.slow
def test_a_text_is_the_same_alone_or_among_64_that_come_and_go() -> None:
    room = EngineRoom(EXACT)
    room.start()
    room.compile()
    wrong = []

    def client(seed: int) -> None:
        for prompt, options in various(50, seed):
            if submitted(room, each := reader(prompt, **options)).whole() != alone(prompt, **options):
                wrong.append((prompt, options, each.text))

    clients = [threading.Thread(target=client, args=(seed,)) for seed in range(64)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    room.close()
    assert not wrong


@pytest.mark.skipif(available("compiled") != "compiled", reason="needs numba")
@pytest.mark.parametrize(
    "options",
    [*OPTIONS[:2], {"top_k": 3}, {"match": "[ab]{0,40}"}]
    + [pytest.param(o, marks=pytest.mark.exhaustive) for o in OPTIONS[2:] if o.keys() not in ({"top_k"}, {"match"})],
    ids=str,
)
def test_the_compiled_engine_goes_on_with_texts_and_prompts_that_the_other_has_begun(options: dict[str, Any]) -> None:
    opened = EngineRoom(EXACT)
    opened.start()
    options = {"length": 1000, "seed": 3} | options
    early, other = reader("ab a", **options), reader("ab a", length=1500)
    submitted(opened, early, other)
    early.began.wait(PATIENCE)
    opened._open_compiled()
    late = submitted(opened, reader("ab a", **options))
    assert early.whole() == late.whole() == alone("ab a", **options)
    opened.close()


def test_a_prompt_that_was_read_before_gives_the_same_text(room: EngineRoom) -> None:
    prompt = "ab é" * 200
    expected = alone(prompt, length=20)
    assert [submitted(room, reader(prompt, length=20)).whole() for _ in range(3)] == [expected] * 3
    for end in (799, 801, 400):
        longer = (prompt + "a")[:end]
        assert submitted(room, reader(longer, length=20)).whole() == alone(longer, length=20)


def test_one_key_more_costs_one_step_whatever_the_length(room: EngineRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = generate.read

    def counted(engine: Any, state: Any) -> Any:
        read.append(len(state.pending) - 1)
        return real(engine, state)

    monkeypatch.setattr(generate, "read", counted)
    prompt = "ab" * 500
    submitted(room, reader(prompt, length=1)).whole()
    assert sum(read) == 999
    read.clear()
    submitted(room, reader(prompt + "a", length=1)).whole()
    assert sum(read) == 1


def test_a_long_text_delays_nobody(room: EngineRoom) -> None:
    long = submitted(room, reader("ab", length=100_000, top_k=3))
    for seed in range(5):
        submitted(room, reader("ab", length=5, seed=seed)).whole()
    assert not long.ended.is_set()
    long.job.is_cancelled = True


@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"likely": 2}], ids=str)
def test_a_cancelled_text_stops_and_frees_its_place(room: EngineRoom, options: dict[str, Any]) -> None:
    others = [submitted(room, reader("ab", length=100_000, **options)) for _ in range(6)]
    for each in others:
        each.began.wait(PATIENCE)
        each.job.is_cancelled = True
    assert submitted(room, reader("ab", length=5)).whole() == alone("ab", length=5)
    until(lambda: room.running == 0)
    written = room.characters
    pieces = [each.pieces for each in others]
    time.sleep(0.05)
    assert (room.characters, [each.pieces for each in others]) == (written, pieces)


def test_a_prompt_whose_client_has_left_is_not_read_to_its_end(room: EngineRoom) -> None:
    long = submitted(room, reader("ab é" * (1 << 14), length=1))
    until(lambda: room.running == 1)
    long.job.is_cancelled = True
    until(lambda: room.running == 0)
    assert not long.began.is_set()


def test_more_than_may_wait_are_refused_together_or_none(room: EngineRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_room, "MOST_RUNNING", 2)
    monkeypatch.setattr(engine_room, "MOST_WAITING", 3)
    running = [submitted(room, reader("ab", length=100_000, top_k=3)) for _ in range(2)]
    until(lambda: room.running == 2)
    submitted(room, reader(), reader())
    with pytest.raises(BusyError):
        submitted(room, reader(), reader())
    assert room.waiting == 2
    last = submitted(room, reader(length=4))
    with pytest.raises(BusyError):
        submitted(room, reader())
    for each in running:
        each.job.is_cancelled = True
    assert last.whole() == alone("ab", length=4)


def test_a_client_that_leaves_while_it_waits_keeps_no_place(room: EngineRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_room, "MOST_RUNNING", 1)
    monkeypatch.setattr(engine_room, "MOST_WAITING", 1)
    first, second = reader("ab", length=100_000, top_k=3), reader()
    submitted(room, first)
    until(lambda: room.running == 1)
    submitted(room, second)
    second.job.is_cancelled = True
    until(lambda: room.waiting == 0)
    third = submitted(room, reader(length=4))
    first.job.is_cancelled = True
    assert third.whole() == alone("ab", length=4)
    assert not second.began.is_set()


def test_a_text_whose_prompt_is_read_counts_as_running(room: EngineRoom) -> None:
    long = submitted(room, reader("ab é" * (1 << 14), length=1))
    until(lambda: room.waiting == 0)
    assert {room.running for _ in range(50) if not time.sleep(0.0001)} == {1}
    long.job.is_cancelled = True


def test_a_pattern_is_compiled_once_and_not_by_the_thread_of_the_engine(
    room: EngineRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    real = Sampler.__init__

    def counted(self: Sampler, *arguments: Any, **more: Any) -> None:
        made.append(threading.current_thread().name)
        real(self, *arguments, **more)

    monkeypatch.setattr(Sampler, "__init__", counted)
    room.engine = open_engine(EXACT, "compiled") if available("compiled") == "compiled" else room.engine
    for count in range(10, 22):
        for _ in range(2):
            submitted(room, reader("ab", match=f"[ab]{{{count}}}")).whole()
    assert made == ["MainThread"] * 12


def test_options_that_do_not_fit_the_model_are_refused_at_once(room: EngineRoom) -> None:
    with pytest.raises(ConfigError):
        submitted(room, reader(), reader(stop=("X",)))
    assert room.waiting == room.running == 0


def test_closing_ends_all_texts_with_an_error(room: EngineRoom) -> None:
    others = [submitted(room, reader("ab é" * n, length=100_000, **options)) for n, options in enumerate(OPTIONS[:8])]
    room.close()
    assert all(each.ended.wait(PATIENCE) for each in others)
    assert all(isinstance(each.error, StoppedError) for each in others)
    with pytest.raises(StoppedError):
        submitted(room, reader())


def test_closing_when_idle_lets_texts_end(room: EngineRoom) -> None:
    last = submitted(room, reader("ab", length=300, top_k=3))
    room.close_when_idle()
    assert last.whole() == alone("ab", length=300, top_k=3)
    until(lambda: not room._thread.is_alive())
    with pytest.raises(StoppedError):
        submitted(room, reader())


def test_a_bug_ends_the_texts_under_way_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    opened = EngineRoom(EXACT, log=log.append)
    with monkeypatch.context() as patch:
        patch.setattr(SideBySide, "write", lambda *_: 1 / 0)
        opened.start()
        text = submitted(opened, reader("ab", top_k=2))
        assert text.ended.wait(PATIENCE)
    assert isinstance(text.error, BrokenError)
    assert "ZeroDivisionError" in log[0]
    assert submitted(opened, reader("ab", length=9, top_k=2)).whole() == alone("ab", length=9, top_k=2)
    opened.close()


@pytest.mark.exhaustive
def test_a_short_text_is_written_before_long_ones_that_came_before_it(room: EngineRoom) -> None:
    long = [reader("ab", length=4000, seed=seed, top_k=3) for seed in range(8)]
    submitted(room, *long)
    long[-1].began.wait(PATIENCE)
    short = submitted(room, reader("ab", length=5, top_k=3))
    assert short.whole() == alone("ab", length=5, top_k=3)
    assert not any(each.ended.is_set() for each in long)
    assert long[3].whole() == alone("ab", length=4000, seed=3, top_k=3)


@pytest.mark.parametrize(
    ("compiled", "options"),
    [(True, {"top_k": 3}), *(pytest.param(*each, marks=pytest.mark.exhaustive) for each in ((False, {}), (True, {})))],
    ids=str,
)
@pytest.mark.exhaustive
def test_a_text_far_ahead_of_its_reader_waits_and_goes_on_as_if_it_had_not(
    room: EngineRoom, options: dict[str, Any], compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "MOST_AHEAD", 300)
    if compiled:
        room._open_compiled()
    slow = reader("ab", length=8000, **options)
    slow.reads = False
    submitted(room, slow)
    until(lambda: slow.job.is_ahead)
    other = submitted(room, reader("ab", length=1000, seed=2, **options))
    assert other.whole() == alone("ab", length=1000, seed=2, **options)
    assert len(slow.text) < 300 + 5000
    slow.reads = True
    slow.job.taken = len(slow.text)
    assert slow.whole() == alone("ab", length=8000, **options)


@pytest.mark.skipif(available("compiled") != "compiled", reason="needs numba")
@pytest.mark.parametrize("options", [{}, {"match": "[ab]{900}"}, {"stop": ("a b",)}, {"temperature_end": 2.0}], ids=str)
def test_texts_that_have_become_many_go_on_side_by_side_as_they_began(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "fewest", lambda engine: 3 if hasattr(engine, "generate") else 0)
    opened = EngineRoom(EXACT)
    opened._open_compiled()
    opened.start()
    asked = [{"length": 900, "seed": seed} | options for seed in range(4)]
    readers = [reader("ab", **each) for each in asked]
    for each in readers[:2]:
        submitted(opened, each)
        each.began.wait(PATIENCE)
    submitted(opened, *readers[2:])
    assert [each.whole() for each in readers] == [alone("ab", **each) for each in asked]
    opened.close()


def test_a_model_that_has_diverged_ends_its_texts_with_an_error() -> None:
    weights = {name: np.full_like(tensor, np.nan) for name, tensor in MODEL.tensors.items()}
    opened = EngineRoom(replace(MODEL, tensors=weights))
    opened.start()
    texts = [submitted(opened, reader("ab", **options)) for options in OPTIONS[:4]]
    assert all(each.ended.wait(PATIENCE) for each in texts)
    assert all(each.error is not None for each in texts)
    assert opened.running == 0
    opened.close()


def test_alternatives_are_those_of_every_symbol_the_prompts_too_if_they_are_asked_for(room: EngineRoom) -> None:
    some = submitted(room, reader("ab", length=9, likely=3))
    all_ = submitted(room, reader("ab", length=9, likely=3, scores=True))
    assert some.whole() == all_.whole() == alone("ab", length=9)
    assert (len(some.likely), len(all_.likely)) == (9, 10)
    assert [each.ids for each in all_.likely[1:]] == [each.ids for each in some.likely]
    assert [EXACT.vocab.decode([each.ids[-1]]) for each in some.likely] == list(some.text)
