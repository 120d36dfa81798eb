"""Dynamic evaluation: a window is scored before it is learned, and the weights move a little after it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from test_engines import LETTERS, build, with_ngram

from charnet.data.documents import Documents
from charnet.data.split import Part
from charnet.data.vocab import Vocabulary
from charnet.errors import ConfigError, DivergedError
from charnet.evaluation import dynamic
from charnet.evaluation.adapt import Adaptation
from charnet.evaluation.dynamic import WINDOW, Learner
from charnet.evaluation.evaluate import evaluate
from charnet.evaluation.evaluate_checkpoint import evaluate_checkpoint
from charnet.model.ensemble import Model, from_weights
from charnet.storage.checkpoint import Checkpoint

V, START = len(LETTERS), 4

every_number = pytest.mark.parametrize("members", [1, 3])  # of networks


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Threads that wait for each other in sums this small cost seconds on a busy machine; conftest sets them back."""
    torch.set_num_threads(1)


def text(length: int) -> np.ndarray:
    return np.random.default_rng(2).integers(V, size=length).astype(np.uint8)


def repeated(length: int) -> np.ndarray:
    return np.resize(np.array([1, 7, 3, 9, 2], np.uint8), length)


def model_of(checkpoint: Checkpoint) -> Model:
    return from_weights(checkpoint.config.model, checkpoint.weights)


def static_nats(model: Model, part: Part) -> float:
    return evaluate(model, part, START, streams=1).nats


def weights_of(learner: Learner) -> list[np.ndarray]:
    return [p.detach().numpy().copy() for p in learner.model.parameters()]


@every_number
def test_a_window_is_scored_before_it_is_learned(members: int) -> None:
    checkpoint, part = build(members=members), Part(text(WINDOW))
    learner = Learner(model_of(checkpoint))
    before = weights_of(learner)
    assert learner.read(part, START).nats == pytest.approx(static_nats(model_of(checkpoint), part), abs=1e-4)
    assert all(np.any(a != b) for a, b in zip(before, weights_of(learner), strict=True))


@every_number
def test_the_second_window_is_scored_with_what_the_first_has_taught(members: int) -> None:
    checkpoint, ids = build(members=members), repeated(2 * WINDOW)
    dynamic_nats = Learner(model_of(checkpoint)).read(Part(ids), START).nats
    learner = Learner(model_of(checkpoint))
    first = learner.read(Part(ids[:WINDOW]), START).nats
    second = learner.read(Part(ids), START, known=WINDOW)  # the state is that of other weights: a little off
    assert second.characters == WINDOW
    assert dynamic_nats == pytest.approx(first + second.nats, rel=0.02)
    assert dynamic_nats < static_nats(model_of(checkpoint), Part(ids)) - 1


@every_number
def test_at_rate_0_the_loss_is_the_static_one_and_nothing_changes(members: int) -> None:
    checkpoint, part = with_ngram(build(members=members)), Part(text(300))
    learner = Learner(model_of(checkpoint), checkpoint.ngram, rate=0.0)
    before = weights_of(learner)
    expected = evaluate_checkpoint(checkpoint, part.ids, {}).nats
    assert learner.read(part, LETTERS.start_id()).nats == pytest.approx(expected, abs=1e-3)
    assert all(np.array_equal(a, b) for a, b in zip(before, weights_of(learner), strict=True))
    assert learner.ngram == checkpoint.ngram


@every_number
def test_a_repeated_text_is_learned(members: int) -> None:
    checkpoint, ids = build(members=members), repeated(1500)
    adapted = Adaptation(checkpoint).learn(ids)
    assert adapted.last.nats_per_char < 0.8 * Adaptation(checkpoint).evaluate(ids).nats_per_char
    assert adapted.evaluate(ids).nats_per_char < 0.5 * Adaptation(checkpoint).evaluate(ids).nats_per_char


def test_an_ngram_of_another_text_loses_its_share() -> None:
    checkpoint = with_ngram(build(), share=0.9)
    after = Adaptation(checkpoint).learn(repeated(1500)).checkpoint
    assert 0 < after.ngram_share < 0.2
    assert after.ngram is not None
    assert after.ngram.share == after.ngram_share


def test_documents_begin_anew_and_the_weights_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamic, "WINDOW", 8)
    checkpoint, ids = build(), text(60)
    documents = Documents.up_to(np.array([3, 5, 30, 60]))  # two side by side, one and one
    together = Learner(model_of(checkpoint)).read(Part(ids, documents), START)
    learner = Learner(model_of(checkpoint))
    one_by_one = [learner.read(Part(ids, documents.take(slice(a, b))), START).nats for a, b in ((0, 2), (2, 3), (3, 4))]
    assert together.nats == pytest.approx(sum(one_by_one), abs=1e-4)
    assert together.characters == 60
    at_rest = Learner(model_of(checkpoint), rate=0.0).read(Part(ids, documents), START).nats
    assert at_rest == pytest.approx(evaluate(model_of(checkpoint), Part(ids, documents), START).nats, abs=1e-3)


def test_what_is_known_is_neither_scored_nor_learned() -> None:
    checkpoint, ids = build(), text(3 * WINDOW)
    learner = Learner(model_of(checkpoint))
    before = weights_of(learner)
    assert learner.read(Part(ids), START, known=len(ids)).characters == 0
    assert all(np.array_equal(a, b) for a, b in zip(before, weights_of(learner), strict=True))
    assert learner.read(Part(ids), START, known=len(ids) - 5).characters == 5


def test_learning_makes_a_new_value_and_repeats_to_the_bit() -> None:
    at_first = Adaptation(with_ngram(build(members=3)))
    before = at_first.checkpoint.weights_sha256()
    once, again = at_first.learn(text(200)), at_first.learn(text(200))
    assert at_first.checkpoint.weights_sha256() == before != once.checkpoint.weights_sha256()
    assert once.checkpoint.weights_sha256() == again.checkpoint.weights_sha256()
    assert once.learn(text(50)).characters == 250
    assert once.characters == 200


def test_the_number_of_threads_changes_nothing_and_stays() -> None:
    one = Adaptation(build()).learn(text(100)).checkpoint.weights_sha256()
    torch.set_num_threads(2)
    assert Adaptation(build()).learn(text(100)).checkpoint.weights_sha256() == one
    assert torch.get_num_threads() == 2


def test_an_adapted_checkpoint_holds_what_writing_needs_and_says_what_it_learned() -> None:
    trained = with_ngram(build())
    after = Adaptation(trained).learn(text(120)).checkpoint
    assert after.tensors.keys() == trained.tensors.keys()
    assert after.config.training.resume_changes == ("step 0: adapted to 120 characters",)
    assert dataclasses.replace(after.config, training=trained.config.training) == trained.config


@pytest.mark.parametrize("rate", [-0.1, 15, math.nan, math.inf])
def test_a_rate_out_of_its_range_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="rate: expected a number between 0 and 10, found"):
        Learner(model_of(build()), rate=rate)


def test_8_bit_weights_cannot_learn() -> None:
    with pytest.raises(ConfigError, match="8-bit weights cannot learn"):
        Adaptation(build().quantize())


@pytest.mark.parametrize("beside", [False, True])
def test_a_model_that_diverges_says_so(beside: bool) -> None:
    checkpoint = with_ngram(build()) if beside else build()
    checkpoint.tensors["model.head.weight"] *= np.float32(1e38)
    with pytest.raises(DivergedError, match="diverged while it learned"):
        Learner(model_of(checkpoint), checkpoint.ngram).read(Part(text(100)), START)


def test_a_model_of_lines_learns_each_by_itself() -> None:
    vocab = Vocabulary.of_text("ab\n")
    like = build(vocab=vocab)
    data = dataclasses.replace(like.config.data, lines=True)
    lines = dataclasses.replace(
        like, config=dataclasses.replace(like.config, data=data), vocab=dataclasses.replace(vocab, has_documents=True)
    )
    ids = vocab.encode("abab\nbaba\n" * 30).astype("u4")
    adapted = Adaptation(lines).learn(ids)
    assert adapted.last.characters == len(ids)
    assert adapted.evaluate(ids).nats < Adaptation(lines).evaluate(ids).nats
