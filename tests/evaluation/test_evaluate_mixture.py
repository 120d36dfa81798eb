"""A mixture is judged by what it would write: the weighted mean of the probabilities of its models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_files import tiny
from test_engines import with_ngram

from charnet.data.vocab import Vocabulary
from charnet.engines import sampling
from charnet.engines.model_mixture import open_mixture, union_of
from charnet.errors import ConfigError, CorpusError
from charnet.evaluation.evaluate_checkpoint import evaluate_files
from charnet.evaluation.evaluate_mixture import evaluate_mixture
from charnet.evaluation.mixing import fit_weights
from charnet.storage.checkpoint import Checkpoint

FIRST, SECOND = Vocabulary.of_text("\n abcé"), Vocabulary.of_text("\n bcdß")
NAMES = ("a", "b")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """conftest sets them back."""
    torch.set_num_threads(1)


def written(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8")
    return [str(path)]


def nats_by_hand(checkpoints: Sequence[Checkpoint], weights: Sequence[float], text: str) -> float:
    """The loss of the text under the engine that writes."""
    union = union_of([each.vocab for each in checkpoints], NAMES)
    engine = open_mixture(checkpoints, weights, union, "numpy")
    documents = [line + "\n" for line in text.split("\n")[:-1]] if union.has_documents else [text]
    nats = 0.0
    for document in documents:
        state, before = engine.start(1), union.start_id()
        for i in union.encode(document).tolist():
            logits_1V, state = engine.advance([before], state)
            nats -= math.log(sampling.softmax(logits_1V[0])[i])
            before = i
    return nats


def pair(*, int8: bool = False, ngram: bool = False) -> list[Checkpoint]:
    found = [tiny("lstm", FIRST), tiny("gru", SECOND)]
    if ngram:
        found[1] = with_ngram(found[1])
    return [each.quantize() for each in found] if int8 else found


@pytest.mark.parametrize("kind", ["fp32", "int8", "ngram"])
def test_the_loss_of_a_mixture_is_that_of_the_engine_that_writes(tmp_path: Path, kind: str) -> None:
    text = "ab éß\nddc a\nbß cé"
    checkpoints = pair(int8=kind == "int8", ngram=kind == "ngram")
    found = evaluate_mixture(checkpoints, NAMES, (3, 1), written(tmp_path, text), threads=1)
    assert found.weights == (0.75, 0.25)
    assert found.mixture.characters == len(text)
    assert found.mixture.nats == pytest.approx(nats_by_hand(checkpoints, (3, 1), text), rel=1e-4)


@pytest.mark.parametrize("longest", [5, pytest.param(9000, marks=pytest.mark.exhaustive)])  # long: in streams
def test_a_mixture_of_models_of_lines_reads_each_line_from_its_start(tmp_path: Path, longest: int) -> None:
    chance = np.random.default_rng(3)
    text = "".join("".join(chance.choice(list("abcdéß "), size=n)) + "\n" for n in (3, longest, 4))
    checkpoints = pair()
    config = replace(checkpoints[0].config, data=replace(checkpoints[0].config.data, lines=True))
    checkpoints = [
        replace(each, config=replace(each.config, data=config.data), vocab=replace(each.vocab, has_documents=True))
        for each in checkpoints
    ]
    found = evaluate_mixture(checkpoints, NAMES, (1, 1), written(tmp_path, text), threads=1)
    assert found.mixture.nats == pytest.approx(nats_by_hand(checkpoints, (1, 1), text), rel=1e-4)


def test_each_model_is_judged_on_the_characters_that_it_knows_as_alone(tmp_path: Path) -> None:
    paths = written(tmp_path, "ab éß\nddc a☃")
    checkpoints = pair()
    found = evaluate_mixture(checkpoints, NAMES, (1, 1), paths, threads=1)
    for checkpoint, part in zip(checkpoints, found.parts, strict=True):
        alone = evaluate_files(checkpoint, paths, threads=1)
        assert part is not None
        assert part.characters == alone.characters
        assert part.nats == pytest.approx(alone.nats, rel=1e-5)
    assert list(found.mixture.unknown.values()) == [1]  # the snowman, which neither knows
    assert any("a does not read" in note for note in found.mixture.notes)


@pytest.mark.exhaustive
def test_found_weights_come_from_one_half_of_the_text_and_the_losses_from_the_other(tmp_path: Path) -> None:
    chance = np.random.default_rng(4)
    text = "".join(chance.choice(list("abc d"), size=4300))
    checkpoints = pair()
    found = evaluate_mixture(checkpoints, NAMES, None, written(tmp_path, text), threads=1)
    assert (found.fitted, found.mixture.characters) == (2300, 2000)
    assert sum(found.weights) == pytest.approx(1)
    fitted = "".join(text[at : at + 1000] for at in range(0, len(text), 2000))
    losses = [
        evaluate_mixture(checkpoints, NAMES, weights, written(tmp_path, fitted), threads=1).mixture.nats
        for weights in [found.weights, *((share, 1 - share) for share in (0.2, 0.5, 0.8))]
    ]
    assert losses[0] <= min(losses) * 1.001  # the states at the seams are others


def test_a_model_that_predicts_nothing_better_gets_no_weight() -> None:
    p_NK = np.array([[0.5, 0.4, 0.1], [0.6, 0.5, 0.2], [0.3, 0.2, 0.1]])
    assert fit_weights(p_NK).round(3).tolist() == [1, 0, 0]


def test_the_weights_of_models_are_the_best_of_a_grid() -> None:
    p_NK = np.random.default_rng(5).dirichlet(np.ones(3), 400) * np.array([1.0, 0.7, 0.8])
    loss = -np.log(p_NK @ fit_weights(p_NK)).mean()
    grid = [(i / 20, j / 20, 1 - (i + j) / 20) for i in range(21) for j in range(21 - i)]
    assert loss <= min(-np.log(p_NK @ np.array(weights)).mean() for weights in grid) + 1e-5


def test_one_character_is_too_little_to_find_weights(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="too little to find weights"):
        evaluate_mixture(pair(), NAMES, None, written(tmp_path, "a"), threads=1)


def test_models_of_bytes_and_of_characters_are_not_judged_together(tmp_path: Path) -> None:
    of_bytes = tiny("lstm", Vocabulary((10, 97), of_bytes=True))
    with pytest.raises(ConfigError, match="a knows characters, b bytes"):
        evaluate_mixture([pair()[0], of_bytes], NAMES, (1, 1), written(tmp_path, "a"), threads=1)
