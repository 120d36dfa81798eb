"""What `inspect` says about a checkpoint is what is in it."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charnet.config import Config
from charnet.data.vocab import Vocabulary
from charnet.errors import CheckpointError
from charnet.model.shapes import model_shapes
from charnet.overlay import as_dict, overlay
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.describe import ALPHABET_SHOWN, Description, describe, printable
from charnet.storage.document import CorpusInfo, TrainerState


def tiny(vocab: Vocabulary | None = None, **values: Any) -> Checkpoint:
    sizes = {"model.hidden_size": 3, "model.embedding_size": 2, "model.num_layers": 2}
    config = overlay(Config(), sizes | values)
    vocab = vocab or Vocabulary.of_text("\n abc")
    tensors = {
        f"model.{name}": np.full(shape, 0.5, dtype=np.float32)
        for name, shape in model_shapes(config, len(vocab)).items()
    }
    return Checkpoint(
        config=config,
        vocab=vocab,
        corpus=CorpusInfo("pets", 1000, 1234, 2, "ab" * 32, "cd" * 32),
        trainer_state=TrainerState(step=40, chars_seen=1800, best_nats_per_char=math.log(2)),
        tensors=tensors | {"optimizer.m": np.zeros(99, dtype=np.float32)},
        history=[{"val_nats_per_char": 1.5}, {"train_nats_per_char": 1.25}],
        versions={"charnet": "0.1.0"},
        created="2025-01-02",
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tiny().save(tmp_path / "c.safetensors")
    return tmp_path / "c.safetensors"


def described(folder: Path, checkpoint: Checkpoint) -> Description:
    checkpoint.save(folder / "c.safetensors")
    return describe(folder / "c.safetensors")


def test_a_description_repeats_what_is_in_the_checkpoint(path: Path) -> None:
    found, saved = describe(path), Checkpoint.load(path)
    for name in ("config", "corpus", "history", "versions", "created", "sha256"):
        assert getattr(found, name) == getattr(saved, name), name
    assert found.progress == saved.trainer_state
    assert found.weights_sha256 == saved.weights_sha256()
    assert (found.path, found.size_bytes) == (str(path), path.stat().st_size)
    assert (found.alphabet_size, found.of_bytes) == (5, False)


def test_the_checksum_shown_is_the_one_in_the_file(path: Path) -> None:
    found, raw = describe(path), path.read_bytes()
    assert hashlib.sha256(raw.replace(found.sha256.encode(), b"0" * 64)).hexdigest() == found.sha256


def test_parameters_are_counted_without_the_optimizer(path: Path) -> None:
    found = describe(path)
    assert found.parameters_by_part == {
        "embedding": 5 * 2,
        "layer 0": 12 * 2 + 12 * 3 + 12,
        "layer 1": 12 * 3 + 12 * 3 + 12,
        "head": 5 * 3 + 5,
    }
    assert found.parameters == sum(found.parameters_by_part.values())


def test_the_parts_of_all_networks_are_counted_together(path: Path, tmp_path: Path) -> None:
    of_one, of_three = describe(path), described(tmp_path, tiny(**{"model.members": 3}))
    assert list(of_three.parameters_by_part) == list(of_one.parameters_by_part)
    assert of_three.parameters_by_part == {part: 3 * size for part, size in of_one.parameters_by_part.items()}


def test_parts_stand_in_their_order_even_beyond_ten_layers(tmp_path: Path) -> None:
    found = described(tmp_path, tiny(**{"model.num_layers": 12}))
    assert list(found.parameters_by_part) == ["embedding", *(f"layer {i}" for i in range(12)), "head"]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({}, "lstm, 2 layers of 3 units, embedding 2, dropout 0.3"),
        ({"model.num_layers": 1}, "lstm, 1 layer of 3 units, embedding 2, dropout 0.3"),
        ({"model.cell": "rnn"}, "rnn (tanh), 2 layers of 3 units, embedding 2, dropout 0.3"),
        ({"model.embedding_size": 0, "model.dropout": 0}, "lstm, 2 layers of 3 units, embedding 3, dropout 0"),
        ({"model.members": 4}, "lstm, 4 networks of 2 layers of 3 units, embedding 2, dropout 0.3"),
    ],
)
def test_the_model_in_one_line(tmp_path: Path, values: dict[str, Any], line: str) -> None:
    assert described(tmp_path, tiny(**values)).model_line == line


def test_only_settings_that_are_not_the_default_are_listed(tmp_path: Path) -> None:
    assert described(tmp_path, tiny()).settings_line == ""
    found = described(tmp_path, tiny(**{"training.seed": 7, "data.glob": "*.md", "data.paths": ["a.txt"]}))
    assert found.settings_line == "glob *.md, seed 7"


def test_changes_of_the_length_are_counted_and_not_listed(tmp_path: Path) -> None:
    found = described(tmp_path, tiny(**{"training.length_changes": [[7, 40], [15, 33]]}))
    assert found.settings_line == "length changed 2 times to end on time"


def test_passes_are_counted_over_the_training_text(path: Path) -> None:
    assert describe(path).passes == 2.0  # 1800 characters seen, 900 of 1000 in the training text


def test_passes_over_an_empty_text_are_no_division_by_zero(tmp_path: Path) -> None:
    found = described(tmp_path, replace(tiny(), corpus=replace(tiny().corpus, characters=0)))
    assert math.isfinite(found.passes)


def test_the_curve_holds_validation_or_else_training_losses(path: Path) -> None:
    assert describe(path).curve == [1.5, 1.25]
    assert describe(path).last_nats_per_char == 1.25


def test_a_checkpoint_that_was_never_evaluated_has_no_losses(tmp_path: Path) -> None:
    found = described(tmp_path, replace(tiny(), history=[], trainer_state=TrainerState()))
    table = found.as_dict()
    for name in ("best_nats_per_char", "best_bits_per_char", "last_nats_per_char", "last_bits_per_char"):
        assert table[name] is None


def test_the_table_for_programs_is_strict_json_and_complete(path: Path) -> None:
    found = describe(path)
    table = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert table["config"] == as_dict(found.config)
    assert table["corpus"]["fingerprint"] == "ab" * 32
    assert table["progress"]["step"] == 40
    assert table["best_bits_per_char"] == pytest.approx(1.0)
    assert table["last_bits_per_char"] == pytest.approx(1.25 / math.log(2))
    assert table["checksum_verified"] is True


def test_a_history_without_losses_is_still_strict_json(tmp_path: Path) -> None:
    found = described(tmp_path, replace(tiny(), history=[{"step": 1}]))
    json.dumps(found.as_dict(), allow_nan=False)


def test_describing_changes_nothing_in_the_description(path: Path) -> None:
    found = describe(path)
    assert found.as_dict() == found.as_dict()
    assert isinstance(found.config, Config)


def test_a_damaged_file_is_not_described(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(CheckpointError, match="checksum"):
        describe(path)


def test_a_missing_file_is_not_described(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        describe(tmp_path / "none")


def test_describing_needs_no_torch(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from charnet.storage.describe import describe; "
        "print(describe(Path(sys.argv[1])).parameters); "
        "print([m for m in ('torch', 'typer', 'rich', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == [str(describe(path).parameters), "[]"]


# --------------------------------------------------------------------------------------------------- alphabets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("b\na", r"\n a b"),
        (" ab", "space a b"),
        ("\0\t\r\x1b\x7f", r"\x00 \t \r \x1b \x7f"),
        ("\x85\xa0\xad", r"\x85 \xa0 \xad"),
        ("\u2028\u202e\ufeff", r"\u2028 \u202e \ufeff"),
        ("\ue000\U0010ffff", r"\ue000 \U0010ffff"),
        ("é😀", "é 😀"),
        ("'\"\\", "\" ' \\"),
        ("[bold]", "[ ] b d l o"),
    ],
)
def test_characters_that_cannot_be_printed_are_shown_as_escapes(text: str, shown: str) -> None:
    assert printable(Vocabulary.of_text(text)) == shown


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
@settings(deadline=None)
def test_an_alphabet_is_always_one_printable_line(text: str) -> None:
    vocab = Vocabulary.of_text(text)
    shown = printable(vocab)
    assert shown.isprintable()
    assert len(shown.split(" ")) == len(vocab)


def test_bytes_are_shown_by_their_values() -> None:
    assert printable(Vocabulary((0, 10, 255), of_bytes=True)) == "00 0a ff"


@pytest.mark.parametrize("size", [ALPHABET_SHOWN, ALPHABET_SHOWN + 1])
def test_a_long_alphabet_is_cut_and_says_so(size: int) -> None:
    shown = printable(Vocabulary(tuple(range(0x4E00, 0x4E00 + size))))
    assert shown.endswith(" ...") == (size > ALPHABET_SHOWN)
    assert len(shown.removesuffix(" ...").split(" ")) == ALPHABET_SHOWN
