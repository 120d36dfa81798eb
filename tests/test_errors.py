"""The exception tree, its exit codes, and the hint `did you mean`."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charnet import errors
from charnet.errors import CharnetError, CorpusError, PromptError, did_you_mean

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_the_one_root(kind: type[Exception]) -> None:
    assert issubclass(kind, CharnetError)


@pytest.mark.parametrize(
    ("name", "code"),
    [("Config", 2), ("Corpus", 3), ("Prompt", 3), ("Checkpoint", 4), ("Diverged", 5), ("Storage", 6)],
)
def test_each_error_ends_with_the_documented_exit_code(name: str, code: int) -> None:
    assert getattr(errors, f"{name}Error").exit_code == code


def test_exit_codes_of_different_branches_differ() -> None:
    branches = CharnetError.__subclasses__()
    assert len({kind.exit_code for kind in branches}) == len(branches)
    assert all(kind.exit_code > 1 for kind in branches)


def test_a_bad_prompt_is_a_bad_text() -> None:
    assert issubclass(PromptError, CorpusError)


@pytest.mark.parametrize("kind", KINDS)
def test_the_tree_in_the_documentation_names_every_error(kind: type[Exception]) -> None:
    assert errors.__doc__ is not None
    assert kind.__name__ in errors.__doc__


def test_the_nearest_word_is_offered() -> None:
    assert did_you_mean("hiden_size", ["hidden_size", "num_layers"]) == ' (did you mean "hidden_size"?)'


def test_a_word_unlike_all_others_gets_no_hint() -> None:
    assert did_you_mean("zzz", ["hidden_size"]) == ""


def test_without_known_words_there_is_no_hint() -> None:
    assert did_you_mean("anything", []) == ""


def test_known_words_may_come_from_an_iterator() -> None:
    assert "lstm" in did_you_mean("lsmt", iter(["rnn", "lstm"]))


@given(st.text())
@settings(deadline=None)
def test_any_word_at_all_gets_a_hint_or_nothing(word: str) -> None:
    assert isinstance(did_you_mean(word, ["rnn", "lstm", "gru"]), str)
