"""The verdict: how good a model is, in one sentence, from what was measured when its run ended."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from charnet.evaluation import verdict
from charnet.evaluation.verdict import Verdict, of_run, of_text
from charnet.storage import result
from charnet.storage.result import RunResult

RESULT = RunResult(90, 80, 63, 1.31, 1.31, "complete", "time", 5, 1.57, 1.29, 1.35)


def said(**changes: object) -> Verdict:
    found = of_run(replace(RESULT, **changes))  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("changes", "kind", "sentence"),
    [
        ({"nats": 5.0, "step": 5}, "worse than guessing", "worse than guessing (4.14 nats): train longer"),
        ({"nats": 5.0}, "worse than guessing", "worse than guessing (4.14 nats): train with a smaller learning rate"),
        ({"nats": 5.0, "ngram_nats": 4.2}, "worse than guessing", "worse than guessing (4.14 nats): give it more text"),
        (
            {"nats": 1.71, "last_nats": 1.71},
            "worse than n-gram",
            "worse than counting strings of 5 characters (5-gram, 1.57 nats): train longer",
        ),
        (
            {"nats": 1.71, "last_nats": 1.95},
            "worse than n-gram",
            "worse than counting strings of 5 characters (5-gram, 1.57 nats): it began to overfit: "
            "give it more text, or more dropout",
        ),
        (
            {"nats": 1.56, "order": 2},
            "like n-gram",
            "no better than counting strings of 2 characters (2-gram, 1.57 nats): train longer",
        ),
        (
            {"nats": 1.56, "order": 1, "last_gain": 0.002},
            "like n-gram",
            "no better than counting characters (1-gram, 1.57 nats): it no longer improves: try a larger "
            "model, or more text",
        ),
        (
            {"nats": 1.43, "ngram_nats": 1.49, "train_nats": 1.21, "val_nats": 1.43},
            "by heart",
            "learned by heart: train 1.21, held out 1.43 nats: more text, or more dropout",
        ),
        (
            {"train_nats": 0.85},
            "by heart",
            "better than the best n-gram (5-gram 1.57) by 0.26 nats, but learned by heart: train 0.85, held out 1.35 "
            "nats: more text, or more dropout",
        ),
        (
            {"last_nats": 1.4},
            "overfits",
            "began to overfit: held out 1.31 nats at step 80, 1.40 at the end: more text, or more dropout",
        ),
        (
            {"nats": 1.52},
            "better",
            "better than the best n-gram (5-gram 1.57) by 0.05 nats: train longer",
        ),
        ({}, "good", "better than the best n-gram (5-gram 1.57) by 0.26 nats: good for a text of this size"),
    ],
)
def test_each_kind_of_model_has_its_sentence(changes: dict[str, object], kind: str, sentence: str) -> None:
    assert said(**changes) == Verdict(kind, sentence)


@pytest.mark.parametrize("limited", [{"reason": "stopped early"}, {"limit": "text"}])
@pytest.mark.parametrize("nats", [1.71, 1.56, 1.52, 1.31])
def test_where_the_text_is_the_limit_no_longer_training_is_advised(limited: dict[str, object], nats: float) -> None:
    sentence = said(nats=nats, last_nats=nats, **limited).sentence
    assert "more text" in sentence
    assert "train longer" not in sentence


@pytest.mark.parametrize("nats", [1.71, 1.56, 1.52])
@pytest.mark.parametrize(("val_nats", "advice"), [(1.35, "a larger model"), (1.6, "more dropout")])
def test_who_learned_nothing_in_the_last_third_is_not_told_to_train_longer(
    nats: float, val_nats: float, advice: str
) -> None:
    flat = said(nats=nats, last_nats=nats, last_gain=0.0, val_nats=val_nats).sentence
    assert "train longer" not in flat
    assert advice in flat
    assert "train longer" in said(nats=nats, last_nats=nats, last_gain=0.05).sentence


def test_before_all_of_the_text_was_read_nothing_is_known_by_heart_and_more_time_helps() -> None:
    early = {"nats": 1.52, "last_nats": 1.52, "val_nats": 1.72, "train_nats": 1.5, "last_gain": 0.0}
    assert said(**early, passes=0.7).sentence.endswith(": train longer")
    assert said(**early, passes=1.3).kind == "by heart"


def test_more_time_is_promised_only_where_the_verdict_does_not_ask_for_something_else() -> None:
    assert said().time_helps
    assert said(nats=1.52).time_helps
    assert not said(nats=5.0).time_helps
    assert not said(train_nats=0.85).time_helps
    assert not said(last_nats=1.4).time_helps


def test_a_loss_that_counts_an_n_gram_is_not_mixed_up_with_that_of_the_network() -> None:
    sentence = said(train_nats=1.1, val_nats=1.6, ngram_share=0.4).sentence
    assert "train 1.10, held out 1.60 nats by the network alone" in sentence


def test_nothing_is_said_where_too_little_is_known() -> None:
    assert of_run(None) is None
    assert of_run(replace(RESULT, nats=None)) is None
    assert of_run(replace(RESULT, ngram_nats=None)) is None
    assert of_text(1.5, 63, None) is None


@pytest.mark.parametrize(
    ("nats", "kind"), [(4.2, "worse than guessing"), (1.9, "unlike"), (1.36, "good"), (1.27, "good"), (0.4, "easier")]
)
def test_a_text_is_judged_by_the_held_out_text_of_the_run(nats: float, kind: str) -> None:
    found = of_text(nats, 63, 1.31, RESULT)
    assert found is not None
    assert found.kind == kind
    alone = of_text(nats, 63, 1.31)
    assert alone is not None
    assert alone.kind == ("like" if kind == "good" else kind)


@pytest.mark.parametrize("nats", [4.2, 1.9, 1.27, 0.4])
def test_so_short_a_text_that_its_loss_is_chance_is_not_compared(nats: float) -> None:
    found = of_text(nats, 63, 1.31, RESULT, characters=7)
    assert found == Verdict("too short", "so short a text tells little: give it 100 characters or more")
    assert found != of_text(nats, 63, 1.31, RESULT, characters=100)


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = replace(RESULT, sample="日本\n", ngram_share=0.3)
    (tmp_path / result.RESULT).write_bytes(written.to_json())
    assert result.read(tmp_path / "best.safetensors", 80) == written
    assert result.read(tmp_path / "best.safetensors", 81) is None  # better weights have been found since
    assert result.read(tmp_path / "other" / "best.safetensors", 80) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"best_step": 80}',
        json.dumps({**vars(RESULT), "nats": "1"}).encode(),
        json.dumps({**vars(RESULT), "step": -1}).encode(),
        json.dumps({**vars(RESULT), "step": True}).encode(),
        json.dumps({**vars(RESULT), "nats": float("nan")}).encode(),
        json.dumps({**vars(RESULT), "sample": "x" * (result.LONGEST_SAMPLE + 1)}).encode(),
        b" " * (result.LARGEST + 1),
        b'{"step": 1, "step": 2}',
    ],
)
def test_a_damaged_result_counts_as_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / result.RESULT).write_bytes(content)
    assert result.read(tmp_path / "best.safetensors", 80) is None


def test_a_field_of_a_newer_version_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / result.RESULT).write_bytes(json.dumps({**vars(RESULT), "new": [1]}).encode())
    assert result.read(tmp_path / "best.safetensors", 80) == RESULT


def test_the_thresholds_are_in_order() -> None:
    assert 0 < verdict.TIE < verdict.GOOD
