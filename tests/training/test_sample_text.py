"""Where a sample begins: with a sentence, else with a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from charnet.config import SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.training import sample_text
from charnet.training.sample_text import Opening


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("and then. She said no. He went", "She said no. He went"),
        ('he said.\n\n"Come in," said', '"Come in," said'),
        ('as is?" said the cat. So it went', "So it went"),
        ("The cat sat on", "The cat sat on"),
        ("\n The cat sat", "The cat sat"),
        ("to Mr. Smith of it. They went", "They went"),
        ("and so\nwent\nHome we came", "Home we came"),
        ("and so on", "and so on"),
        (", he said. The dog", "The dog"),
        ("在山上。他说 A 很好", "他说 A 很好"),
        ("\n— Да, я", "— Да, я"),
    ],
)
def test_a_text_begins_with_its_first_sentence_else_with_a_line(text: str, begins: str) -> None:
    opening = Opening()
    for character in text:
        opening.push(character)
    assert opening.text == text
    assert text[opening.place :] == begins


@pytest.mark.parametrize(
    ("text", "begins"), [("在山上。他说今天很好", "他说今天很好"), ("and then. she said. so", "she said. so")]
)
def test_without_capitals_only_the_end_of_a_sentence_shows_where_one_begins(text: str, begins: str) -> None:
    opening = Opening(cased=False)
    for character in text:
        opening.push(character)
    assert text[opening.place :] == begins


@pytest.mark.parametrize(("has_documents", "written"), [(False, "They went"), (True, "and so. They we")])
def test_a_sample_is_as_long_as_asked_from_its_beginning_on(
    has_documents: bool, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stream(_engine: Any, _vocab: Vocabulary, _prompt: list[int], options: SamplingOptions) -> Iterator[str]:
        yield from ("and so. They went home and slept" * 9)[: options.length]

    monkeypatch.setattr(sample_text, "stream", stream)
    vocab = Vocabulary(tuple(sorted(set(map(ord, "and so. They wlm")))), has_documents=has_documents)
    length = 15 if has_documents else 9
    assert sample_text.write(None, vocab, SamplingOptions(length=length)) == written  # type: ignore[arg-type]


def test_a_sentence_that_ends_late_makes_a_sample_no_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    late = "and so it went on " * 14 + "to the end. It was late."  # behind all that may come before the beginning

    def stream(_engine: Any, _vocab: Vocabulary, _prompt: list[int], options: SamplingOptions) -> Iterator[str]:
        yield from late[: options.length]

    monkeypatch.setattr(sample_text, "stream", stream)
    vocab = Vocabulary.of_text(late)
    assert len(late) < sample_text.MOST_BEFORE + 40
    assert len(sample_text.write(None, vocab, SamplingOptions(length=40))) >= 40  # type: ignore[arg-type]
