"""Which units follow a property: found on one half of the text, measured on the other."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from test_reach import trained

from charnet.data.documents import Documents
from charnet.data.split import Excerpt, Part
from charnet.data.vocab import Vocabulary
from charnet.errors import ConfigError
from charnet.insight import passages, properties, units
from charnet.insight.properties import Property
from charnet.insight.study import study
from charnet.insight.trace import Place


def described(text: str, *patterns: str, vocab: Vocabulary | None = None) -> dict[str, np.ndarray]:
    vocab = vocab or Vocabulary.of_text(text)
    part = passages.first(Part(vocab.encode(text).astype(np.uint16)), 10_000)
    found = properties.of_passages(part, vocab, properties.compile_patterns(patterns))
    return {each.name: each.values_N for each in found}


def test_places_of_a_text_are_described() -> None:
    text = 'HAM:\n  "To (be) 7" x.\n'
    found = described(text, "be")

    def marked(name: str) -> str:
        return "".join("x" if value else "." for value in found[name])

    assert marked("upper case") == "".join("x" if c.isupper() else "." for c in text)
    assert marked("inside quotes") == ".......xxxxxxxxxx....."
    assert marked("inside brackets") == "...........xxx........"
    assert marked("inside a speaker's name") == "xxxx.................."
    assert marked("inside a match of be") == "............xx........"
    assert marked("digit") == "................x....."
    assert found["column in the line"][4:9].tolist() == [0, 1, 2, 3, 4]
    assert found["indentation"][4:9].tolist() == [0, 1, 2, 2, 2]
    assert found["place in the word"][:5].tolist() == [1, 2, 3, 0, 0]


def test_a_place_in_bytes_is_described_as_its_character_is() -> None:
    text = "a「中」b\n"
    vocab = Vocabulary(tuple(sorted(set(text.encode()))), of_bytes=True, is_utf8=True)
    found = described(text, vocab=vocab)
    assert found["Chinese character"].tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0]
    assert found["inside quotes"].tolist() == [0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]


def test_a_pattern_that_is_wrong_or_endless_is_refused() -> None:
    with pytest.raises(ConfigError, match="not a regular expression"):
        properties.compile_patterns(["("])
    with pytest.raises(ConfigError, match="nothing to find"):
        properties.compile_patterns([""])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(properties, "SECONDS", 0.05)
        with pytest.raises(ConfigError, match="takes too long on this text"):
            described("a" * 60 + "b", r"(?:a|aa)+$")


def record_of(signals: np.ndarray) -> units.StateRecord:
    """A record of two passages, each half of the places, whose units have these values (N, H)."""
    record = units.StateRecord(np.ones((2, len(signals) // 2), bool))
    record.states[(Place(0, 0), "h")] = signals.reshape(2, -1, signals.shape[1]).astype(np.float32)
    return record


def test_a_unit_that_follows_a_property_is_found_and_one_by_chance_is_not_clear() -> None:
    chance = np.random.default_rng(0)
    flag = (chance.random(4000) < 0.3).astype(np.float32)
    signals = chance.standard_normal((4000, 50))
    signals[:, 17] -= 2 * flag
    found = units.followers(record_of(signals), [Property("flag", True, flag)])["flag"]
    best, second = found[:2]
    assert best.unit == units.Unit(Place(0, 0), 17)
    assert best.correlation < -0.6
    assert best.auc > 0.9
    assert best.is_clear
    assert abs(second.correlation) < 0.08  # on the other half: chosen among 49 by chance
    assert 0.05 < second.chance < 0.08


def test_chance_knows_that_neighbors_are_alike() -> None:
    chance = np.random.default_rng(1)
    slow, other = (np.repeat(chance.standard_normal(60), 100).astype(np.float32) for _ in range(2))
    assert 30 < units.effective_places(slow, other) < 150
    quick = chance.standard_normal(6000).astype(np.float32)
    assert 4000 < units.effective_places(quick, chance.standard_normal(6000).astype(np.float32)) <= 6000


def test_correlation_and_area_are_those_of_their_definitions() -> None:
    chance = np.random.default_rng(2)
    scores, flags = chance.integers(9, size=200).astype(np.float32), chance.random(200) < 0.4
    pairs = [(1.0 if a > b else 0.5 if a == b else 0.0) for a in scores[flags] for b in scores[~flags]]
    assert units.area_under_curve(scores, flags) == pytest.approx(np.mean(pairs))
    found = units._correlations(scores[:, None], [flags.astype(np.float32)])
    assert found[0, 0] == pytest.approx(np.corrcoef(scores, flags)[0, 1], abs=1e-5)


def test_properties_that_hold_nowhere_are_left_out() -> None:
    signals = np.random.default_rng(3).standard_normal((400, 4))
    nowhere = Property("nowhere", True, np.zeros(400, np.float32))
    rarely = Property("rarely", True, (np.arange(400) < 19).astype(np.float32))
    assert units.followers(record_of(signals), [nowhere, rarely]) == {}


def test_where_two_pieces_of_text_meet_is_no_surprise_of_the_model(tmp_path: Path) -> None:
    model = trained(tmp_path, "abcdefgh" * 400, steps=25, hidden_size=16, window=16)
    torch.set_num_threads(1)
    ids = model.vocab.encode("abcdefgh" * 90).astype(np.uint8)
    pieces = Excerpt(ids, Documents(np.array([0, 403]), np.array([300, 703])))
    as_one, as_two = (study(model, each, name="a", text_name="a") for each in (Part(pieces[:]), Part(pieces)))
    of_one, of_two = ([each.at for each in found.worst if 300 <= each.at < 310] for found in (as_one, as_two))
    assert of_one, "read as one text, the break surprises"
    assert not of_two
    assert (as_one.notes, len(as_two.notes)) == ([], 1)


@pytest.mark.slow
def test_a_network_of_a_bracket_language_has_a_unit_for_the_depth(tmp_path: Path) -> None:
    chance, text, depth = random.Random(1), [], 0
    for _ in range(60_000):
        if depth and chance.random() < (0.45 if depth < 4 else 1):
            text.append(")")
            depth -= 1
        elif chance.random() < 0.5 and depth < 4:
            text.append("(")
            depth += 1
        else:
            text.append(chance.choice("ab"))
    model = trained(tmp_path, "".join(text), steps=250, hidden_size=24, window=32)
    torch.set_num_threads(1)
    ids = model.vocab.encode("".join(text[-6000:])).astype(np.uint8)
    found = study(model, Part(ids), name="brackets", text_name="brackets", patterns=[r"\([ab]*"])
    assert found.followers["depth of brackets"][0].auc > 0.95
    assert abs(found.followers["depth of brackets"][0].correlation) > 0.9
    assert r"inside a match of \([ab]*" in found.followers
