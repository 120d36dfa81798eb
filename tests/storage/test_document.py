"""The document of a checkpoint: every part is checked, and a wrong one is refused though the checksum is right."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from checkpoint_files import drop, put, with_document, with_header

from charnet.storage.document import FORMAT

Refused = Callable[[bytes], str]
HUGE = 10**400
LONGEST = 10**199  # a number of as many digits as a document may have


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "3",
        '"x"',
        "{}",
        "{",
        "NaN",
        '{"format": NaN}',
        '{"format": 1, "format": 1}',
        "x",
        "\x1b",
    ],
)
def test_a_document_that_is_no_strict_json_table_is_refused(whole: bytes, refused: Refused, text: str) -> None:
    refused(with_document(whole, lambda _: text))


@pytest.mark.parametrize("missing", [None, 3, [], {}, {"format": 1}, ["{}"]])
def test_a_document_that_is_no_text_is_refused(whole: bytes, refused: Refused, missing: Any) -> None:
    refused(with_header(whole, lambda h: put(h, "__metadata__/charnet", missing)))
    refused(with_header(whole, lambda h: drop(h, "__metadata__/charnet")))


@pytest.mark.parametrize(
    "part", ["format", "created", "config", "alphabet", "corpus", "progress", "history", "versions"]
)
def test_a_missing_part_is_refused(whole: bytes, refused: Refused, part: str) -> None:
    refused(with_document(whole, lambda d: drop(d, part)))


@pytest.mark.parametrize("number", [None, "1", 1.0, True, [], -1, 0])
def test_what_is_no_format_number_is_refused(whole: bytes, refused: Refused, number: Any) -> None:
    refused(with_document(whole, lambda d: put(d, "format", number)))


@pytest.mark.parametrize("number", [FORMAT + 1, 10**100, LONGEST])
def test_a_newer_format_is_refused_with_the_advice_to_update(whole: bytes, refused: Refused, number: int) -> None:
    message = refused(with_document(whole, lambda d: put(d, "format", number)))
    assert f"this charnet reads up to {FORMAT}: install a newer one" in message


def test_a_newer_format_needs_no_other_part_to_be_refused_as_newer(whole: bytes, refused: Refused) -> None:
    assert "install a newer one" in refused(with_document(whole, lambda _: f'{{"format": {FORMAT + 1}}}'))


WRONG = [
    ("config", None),
    ("config", []),
    ("config/model", None),
    ("config/modle", {"cell": "gru"}),
    ("config/model\n", {"cell": "gru"}),
    ("config/model/hidden\n\x1b[2J", 3),
    ("config/model/cell", "transformer"),
    ("config/model/cell", "\x1b[2J\n"),
    ("config/model/cell", None),
    ("config/model/hidden_size", 0),
    ("config/model/hidden_size", -3),
    ("config/model/hidden_size", 32769),
    ("config/model/hidden_size", 2**63),
    ("config/model/hidden_size", HUGE),
    ("config/model/hidden_size", LONGEST),
    ("config/model/hidden_size", None),
    ("config/model/hidden_size", "3"),
    ("config/model/hidden_size", 3.0),
    ("config/model/hidden_size", True),
    ("config/model/num_layers", True),
    ("config/model/num_layers", 65),
    ("config/model/__class__", "os.system"),
    ("config/model/dropout", HUGE),
    ("config/model/dropout", 1.5),
    ("config/training/seed", -1),
    ("config/data/paths", "a.txt"),
    ("config/data/paths", [3]),
    ("config/data/bytes", 1),
    ("config/data/bytes", True),
    ("config/data", {"bytes": True, "normalize": "nfc"}),
    ("config/data", {"lines": True, "documents": "file"}),
    ("config/data", {"field": "text", "document_separator": "-"}),
    ("config/data", {"documents": "/(/"}),
    ("alphabet", None),
    ("alphabet", ""),
    ("alphabet", []),
    ("alphabet", 6),
    ("alphabet", {}),
    ("alphabet", [1, 2, 3, 4, 5, 6]),
    ("alphabet", "\n aabé"),
    ("alphabet", "b\n aé😀"),
    ("alphabet", "\n abé\ud800"),
    ("alphabet", "\n abé"),
    ("alphabet", [0, 1, 2, 3, 4, 256]),
    ("alphabet", [0, 1, 2, 3, 4, 2**62]),
    ("alphabet", [[0, 1, 2, 3, 4, 5]]),
    ("alphabet", [0, 1, 2, 3, 4, 4]),
    ("alphabet", [5, 4, 3, 2, 1, 0]),
    ("alphabet", [0, 1, 2, 3, 4, 5.0]),
    ("alphabet", [False, 1, 2, 3, 4, 5]),
    ("alphabet", [-1, 1, 2, 3, 4, 5]),
    ("alphabet", ["\n", " ", "a", "b", "é", "😀"]),
    ("corpus", None),
    ("corpus", []),
    ("corpus", {}),
    ("corpus/name", 3),
    ("corpus/name", None),
    ("corpus/characters", "1000"),
    ("corpus/characters", -1),
    ("corpus/characters", 1.5),
    ("corpus/characters", True),
    ("corpus/characters", 2**63),
    ("corpus/more", 1),
    ("corpus/\x1b[2J", 1),
    ("corpus/fingerprint", 12),
    ("corpus/key", "../../../etc/passwd"),
    ("corpus/key", "AB" * 32),
    ("corpus/key", "ab" * 32 + "\n"),
    ("progress", None),
    ("progress", []),
    ("progress/step", -1),
    ("progress/step", 1.0),
    ("progress/step", "40"),
    ("progress/step", True),
    ("progress/step", 40.5),
    ("progress/step", LONGEST),
    ("progress/step", HUGE),
    ("progress/steps", 1),
    ("progress/seconds", None),
    ("progress/seconds", "1"),
    ("progress/seconds", HUGE),
    ("progress/position", 3),
    ("progress/position", [1]),
    ("progress/position", [1, 2, 3]),
    ("progress/position", [1, -2]),
    ("progress/position", [1, 2.0]),
    ("progress/best_nats_per_char", "low"),
    ("progress/best_nats_per_char", False),
    ("progress/best_nats_per_char", HUGE),
    ("progress/__class__", 1),
    ("progress/\x1b[2J", 1),
    ("history", None),
    ("history", {}),
    ("history", [3]),
    ("history", [[]]),
    ("history", [None]),
    ("history/0/step", "20"),
    ("history/0/step", None),
    ("history/0/step", True),
    ("history/0/val_nats_per_char", "1.25"),
    ("history/0/val_nats_per_char", [1]),
    ("history/0/val_nats_per_char", HUGE),
    ("versions", None),
    ("versions", []),
    ("versions", {"torch": 2}),
    ("versions", {"torch": None}),
    ("created", None),
    ("created", 1735787045),
    ("created", {"a": 1}),
]


NUMBERS = ["progress/step", "progress/seconds", "progress/best_nats_per_char", "history/0/val_nats_per_char"]
NUMBERS += ["config/model/dropout"]
WRONG_IDS = [f"{keys!a}={str(value)[:20]!a}" for keys, value in WRONG]


@pytest.mark.parametrize(("keys", "value"), WRONG, ids=WRONG_IDS)
def test_a_wrong_part_is_refused_though_the_checksum_is_right(
    whole: bytes, refused: Refused, keys: str, value: Any
) -> None:
    refused(with_document(whole, lambda d: put(d, keys, value)))


@pytest.mark.parametrize("keys", NUMBERS)
@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity"])
def test_a_number_that_is_not_finite_is_refused_anywhere(
    whole: bytes, refused: Refused, keys: str, number: str
) -> None:
    def change(document: dict[str, Any]) -> str:
        put(document, keys, "NUMBER")
        return json.dumps(document).replace('"NUMBER"', number)

    refused(with_document(whole, change))
