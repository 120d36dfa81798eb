"""What a lesson says: the same in both languages, and only what the numbers support."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace
from html import escape
from pathlib import Path
from string import Formatter

import pytest
from lessons import cells, curve, explosion_of, full, lesson, reach, renamed, run

import charnet
from charnet.data import bundled
from charnet.lesson import chinese, english, figures, verdicts
from charnet.lesson.explosion import Descent
from charnet.lesson.page import to_page
from charnet.lesson.plan import PARTS, Plan
from charnet.lesson.results import Lesson, Text
from charnet.lesson.temperatures import Written
from charnet.lesson.words import LANGUAGES, Words


class Keys(Words):
    """Says the name of the sentence and keeps the values."""

    def __init__(self) -> None:
        super().__init__("en")
        self.values: dict[str, dict[str, object]] = {}

    def say(self, key: str, **values: object) -> str:
        self.values[key] = values
        super().say(key, **values)
        return key if not key.startswith("list.") else super().say(key, **values)


def said(lesson: Lesson, part: str) -> list[str]:
    return verdicts.answers(lesson, Keys())[part]


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


def test_both_languages_say_the_same_with_the_same_numbers() -> None:
    assert list(english.SENTENCES) == list(chinese.SENTENCES)
    for key, sentence in english.SENTENCES.items():
        assert placeholders(sentence) == placeholders(chinese.SENTENCES[key]), key


def test_every_sentence_is_used() -> None:
    folder = Path(charnet.__file__).parent / "lesson"
    code = "".join(path.read_text() for path in folder.glob("*.py") if path.stem not in ("english", "chinese"))
    made = {"part", "gate", "cell", "column", "question", "text"}
    for key in english.SENTENCES:
        head, _, tail = key.partition(".")
        is_made = head in made or tail in ("ask", "answer")
        assert is_made or f'"{key}"' in code or f"'{key}'" in code, key


def test_every_column_is_used() -> None:
    code = (Path(charnet.__file__).parent / "lesson" / "page.py").read_text()
    for key in english.SENTENCES:
        head, _, tail = key.partition(".")
        assert head != "column" or f'"{tail}"' in code, key


def test_chinese_sentences_are_chinese() -> None:
    symbols = {key for key, sentence in chinese.SENTENCES.items() if not re.search("[一-鿿]", sentence)}
    assert symbols == {"line.after", "list.and", "list.comma", "share", "text", "text.ferry-book"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_whole_lesson_is_said_in_each_language(language: str) -> None:
    found = verdicts.answers(full(), Words(language))
    assert all(found.values())
    assert "{" not in str(list(found.values()))


def test_a_cell_is_called_best_only_beyond_chance() -> None:
    seed = run("lstm-other-seed", "noise", 1.54, training__seed=1)  # chance explains 0.08
    assert said(lesson(*cells(lstm=1.5, cifg=1.59), seed), "cells")[0] == "cells.clear"
    assert said(lesson(*cells(lstm=1.5, cifg=1.57), seed), "cells")[0] == "cells.tied"
    near = [renamed(seed, nats=1.501)]  # chance explains 0.01 at least
    assert said(lesson(*cells(lstm=1.5, cifg=1.515), *near), "cells")[0] == "cells.clear"
    assert said(lesson(*cells(lstm=1.5, cifg=1.505), *near), "cells")[0] == "cells.tied"


def test_no_cell_is_called_best_where_no_run_was_repeated() -> None:
    assert said(lesson(*cells(lstm=1.5, cifg=1.54)), "cells")[0] == "cells.tied"
    assert said(lesson(*cells(lstm=1.5, cifg=1.56)), "cells")[0] == "cells.ahead"


def test_a_text_that_comes_with_charnet_is_called_by_its_title() -> None:
    def called(language: str, name: str, is_bundled: bool) -> str:
        return Words(language).title(Text(name, 1000, 100, 20, is_bundled))

    assert [called(language, "zh", True) for language in LANGUAGES] == ["Tang poems", "《全唐诗》五言诗选"]
    assert [called(language, "zh", False) for language in LANGUAGES] == ["zh", "《zh》"]
    for name in bundled.TEXTS:
        assert called("en", name, True) != name


def test_a_share_is_in_percent_however_small() -> None:
    for small in (2e-20, 0.0, float("nan")):
        assert [Words(language).share(small) for language in LANGUAGES] == ["less than 0.001 %", "0.001% 以下"]


def test_chance_is_a_guess_where_no_run_was_repeated() -> None:
    assert "chance.unknown" in said(lesson(*cells()), "head")
    assert "chance" in said(full(), "head")


def test_the_tied_are_named_and_the_last_is_not_among_them() -> None:
    words = Keys()
    found = verdicts.of_cells(lesson(*cells(1.5, 1.5, 1.5, 1.5, 1.5)), words)
    assert found[0] == "cells.tied"
    assert "cells.last" not in found
    assert words.values["cells.tied"]["names"] == "RNN (tanh), RNN (ReLU), LSTM, CIFG and GRU"


def test_speed_is_spoken_of_only_where_time_was_equal_and_speeds_differ() -> None:
    slow = [renamed(each, characters=500 if each.name == "gru" else 1000) for each in cells()]
    assert "cells.speed" in said(lesson(*slow), "cells")
    even = [renamed(each, characters=990 if each.name == "gru" else 1000) for each in cells()]
    assert "cells.speed.even" in said(lesson(*even), "cells")
    assert not [key for key in said(lesson(*slow, seconds=None), "cells") if "speed" in key]


def test_runs_that_all_end_at_the_same_step_before_their_time_are_said_to_have_equal_steps() -> None:
    assert not [key for key in said(lesson(*cells()), "cells") if "speed" in key]
    assert "equal.steps" in verdicts.head(lesson(*cells()), Keys())
    slow = [renamed(each, characters=500 if each.name == "gru" else 1000) for each in cells()]
    assert "equal.seconds" in verdicts.head(lesson(*slow), Keys())


@pytest.mark.parametrize(
    ("large", "characters", "key"),
    [
        (1.3, 300, "units.more"),
        (1.6, 300, "units.slow"),
        (1.6, 990, "units.enough"),
        (1.501, 300, "units.tied"),
    ],
)
def test_the_verdict_on_units_follows_losses_and_speeds(large: float, characters: int, key: str) -> None:
    units = [
        run("lstm-16-units", "units", 2.0, model__hidden_size=16),
        run("lstm-256-units", "units", large, characters=characters, model__hidden_size=256),
    ]
    assert said(lesson(*cells(), *units), "units") == [key, "units.small"]


@pytest.mark.parametrize(("two", "key"), [(1.4, "layers.better"), (1.6, "layers.worse"), (1.505, "layers.tied")])
def test_the_verdict_on_layers_follows_their_losses(two: float, key: str) -> None:
    layers = run("lstm-2-layers", "layers", two, characters=990, model__num_layers=2)
    assert said(lesson(*cells(), layers), "layers") == [key, "layers.speed"]


def test_the_verdict_on_memory_follows_the_horizons() -> None:
    def of(tanh: int, lstm: int, longest: int = 1024) -> list[str]:
        memory = {"rnn-tanh": curve(tanh, longest), "lstm": curve(lstm, longest)}
        return verdicts.of_memory(lesson(*cells(), memory=memory), Keys())

    assert of(7, 32) == ["memory.range", "memory.window"]
    assert of(30, 32) == ["memory.same", "memory.window"]
    assert of(7, 64) == ["memory.range", "memory.beyond"]
    assert of(7, 16, longest=16) == ["memory.range"]  # a text too short to see beyond the window


def test_the_memory_of_an_exploding_network_is_not_called_the_longest() -> None:
    unstable = replace(curve(32), nats=[1.0] * 9 + [1e23, 1.0])
    memory = {"rnn-relu": unstable, "lstm": curve(12), "gru": curve(5)}
    found = verdicts.of_memory(lesson(*cells(), memory=memory), Words("en"))
    assert found[0].startswith("The memory of the LSTM reaches furthest, 12 characters")
    assert found[-1].startswith("The state of the RNN (ReLU) grows without a limit here")
    assert verdicts.of_memory(lesson(*cells(), memory={"rnn-relu": unstable}), Words("en")) == found[-1:]
    assert figures.memory({"RNN (ReLU)": unstable}, Words("en")) == ""


def test_the_gradient_of_the_lstm_is_called_longer_only_where_it_is() -> None:
    def of(tanh: float, **lstm: float) -> list[str]:
        reaches = {"rnn-tanh": reach(h=tanh), "lstm": reach(**lstm)}
        return verdicts.of_gradient(lesson(*cells(), reach=reaches), Keys())

    assert of(0.5, h=0.7, c=0.9) == ["gradient.lstm"]
    assert of(0.7, h=0.5, c=0.6) == ["gradient.rnn"]
    assert of(0.7, h=0.5, c=0.71) == ["gradient.rnn"]


def test_the_verdict_on_clipping_follows_what_happened() -> None:
    clipped = Descent([500.0, 400.0], [2.0, 2.1])

    def of(free: Descent) -> list[str]:
        return verdicts.of_explosion(lesson(*cells(), explosion=explosion_of(free, clipped)), Keys())

    assert of(Descent([500.0, math.nan], [2.0, math.inf]))[-1] == "explosion.broke"
    assert of(Descent([500.0, 1.0, 1.0], [2.0, 4.0, 3.0]))[-2:] == ["explosion.worse", "explosion.stays"]
    assert of(Descent([500.0, 450.0], [2.0, 4.0]))[-1] == "explosion.worse"
    assert of(Descent([500.0, 1.0, 1.0], [2.0, 4.0, 0.1]))[-2:] == ["explosion.worse", "explosion.escaped"]
    assert of(Descent([500.0, 1.0], [2.0, 2.1]))[-1] == "explosion.mild"
    assert of(Descent([5.0, 1.0], [2.0, 2.1])) == ["explosion.none"]


def test_the_verdict_on_windows_follows_losses_and_memories() -> None:
    def of(short: float, memory: dict[str, int]) -> list[str]:
        windows = [
            run("lstm-window-8", "windows", short, training__window=8),
            run("lstm-window-128", "windows", 1.8, training__window=128),
        ]
        curves = {name: curve(n) for name, n in memory.items()}
        return said(lesson(*cells(), *windows, memory=curves), "windows")

    assert of(1.6, {"lstm-window-8": 8, "lstm": 20, "lstm-window-128": 40}) == ["windows.clear", "windows.grows"]
    assert of(1.501, {"lstm-window-8": 8, "lstm": 20, "lstm-window-128": 11}) == ["windows.tied", "windows.mixed"]


@pytest.mark.parametrize(("sgd", "key"), [(1.9, "optimizers.clear"), (1.503, "optimizers.tied")])
def test_the_verdict_on_optimizers_follows_their_losses(sgd: float, key: str) -> None:
    other = run("lstm-sgd", "optimizers", sgd, training__optimizer="sgd")
    assert said(lesson(*cells(), other), "optimizers") == [key]


def test_the_verdict_on_temperature_follows_what_was_measured() -> None:
    low, high = Written(0.2, "a", 0.5, 1.0), Written(1.5, "b", 3.0, 0.2)
    assert said(lesson(*cells(), written=[low, high]), "temperature") == ["temperature.rises"]
    assert said(lesson(*cells(), written=[high, low]), "temperature") == ["temperature.mixed"]


def test_what_was_left_out_disturbed_or_diverged_is_said() -> None:
    runs = [replace(each, busy=0.5 if each.name == "gru" else 1.0) for each in cells()]
    runs[0] = replace(runs[0], diverged=True, nats=None)
    found = said(lesson(*runs, plan=Plan((), 2.0, 0, PARTS[1:])), "head")
    assert {"left_out", "disturbed", "diverged"} <= set(found)
    assert not {"left_out", "disturbed", "diverged"} & set(said(full(), "head"))


def busy(given: Lesson, *names: str) -> Lesson:
    """Other programs got half of the processor while these runs trained."""
    given.runs = [replace(each, busy=0.5 if each.name in names else 1.0) for each in given.runs]
    return given


def test_no_run_is_called_best_beside_one_that_was_disturbed() -> None:
    parts = {"units": "lstm-16-units", "layers": "lstm-2-layers", "windows": "lstm-window-8", "optimizers": "lstm-sgd"}
    found = verdicts.answers(busy(full(), *parts.values()), Keys())
    assert [found[part] for part in parts] == [["compared.disturbed"]] * 4
    assert found["cells"][0] == "cells.clear"  # the cells trained undisturbed
    found = verdicts.answers(busy(full(), "lstm"), Keys())  # the one that is compared in all parts
    assert [found[part] for part in ("cells", *parts)] == [["compared.disturbed"]] * 5
    assert "chance.disturbed" in found["head"]
    assert "chance.disturbed" not in said(full(), "head")


def test_runs_of_equal_steps_are_not_disturbed_however_long_they_take() -> None:
    found = verdicts.answers(busy(full(seconds=None), "lstm", "lstm-sgd"), Keys())
    assert "disturbed" not in found["head"]
    assert found["optimizers"] == ["optimizers.clear"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_star_and_a_note_mark_what_was_disturbed_in_tables(language: str) -> None:
    shown = to_page(busy(full(), "lstm-sgd", "gru"), language)
    assert [name for name in ("GRU", "SGD", "LSTM", "Muon") if f"<td>{name} *</td>" in shown] == ["GRU", "SGD"]
    assert shown.count(escape(Words(language).say("star", star="*"))) == 3  # cells, optimizers, all runs
    assert " *" not in to_page(full(), language).partition("</style>")[2]


def test_latin_letters_and_digits_have_spaces_in_chinese() -> None:
    given = busy(full(), "lstm-2-layers", "lstm-sgd", "rnn-tanh")
    head = " ".join(verdicts.head(given, Words("zh")))
    assert "训练 RNN (tanh)、2 层（每层 128 个单元）、SGD 时，" in head
    for sentence in itertools.chain.from_iterable(verdicts.answers(given, Words("zh")).values()):
        assert not re.search("[一-鿿][A-Za-z0-9]|[A-Za-z0-9][一-鿿]", sentence), sentence


def test_a_part_without_runs_says_nothing() -> None:
    found = verdicts.answers(lesson(*cells()), Keys())
    assert [part for part, sentences in found.items() if sentences] == ["head", "cells"]
