"""Receipts by chance: replay writes the text that the receipt is of, or ends with exit code 4 and writes nothing."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from files import LONG, at_most, mutated
from receipt_files import right, signed, small

from charnet.cli.app import run
from charnet.errors import ReceiptError
from charnet.storage.receipt import parse

ODD: list[Any] = [None, True, -1, 0, 1, 1.5, 2**63, 10**199, 10**8, "", "\x1b", "\ud800", "abc", "ab" * 32, [], [[]]]
ODD += [{}, {"a": 1}, "runs", "/dev/zero", "line", "fp32", "\udcff", 0.01, 10**12]
SECONDS = 20  # for what takes some milliseconds


def with_odd_values(text: str, chance: random.Random) -> bytes:
    """A receipt with one to three odd values, mostly with a right checksum."""
    fields = json.loads(text)
    for _ in range(chance.randint(1, 3)):
        table: Any = fields
        while True:
            key = chance.choice(list(table) if isinstance(table, dict) else range(len(table)))
            if not isinstance(table[key], dict | list) or not table[key] or chance.random() < 0.2:
                break
            table = table[key]
        table[key] = copy.deepcopy(chance.choice(ODD))
    return (signed(fields) if chance.random() < 0.9 else json.dumps(fields)).encode()


def with_odd_bytes(text: str, chance: random.Random) -> bytes:
    """A receipt with changed, inserted or missing bytes, or cut; often with a right checksum."""
    raw = mutated(text.encode(), chance)
    raw = raw[: chance.randrange(len(raw) + 1)] if chance.random() < 0.1 else raw
    try:
        return signed(json.loads(raw)).encode() if chance.random() < 0.5 else raw
    except (ValueError, TypeError, RecursionError, AttributeError):
        return raw


SOURCES = (with_odd_values, with_odd_bytes)
sources = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)


def fuzz_parser(source: Any, cases: int) -> Counter[str]:
    chance, found = random.Random(source.__name__), Counter[str]()
    for _ in range(cases):
        raw = source(right().to_text(), chance)
        try:
            receipt = parse(Path("r"), raw.decode("utf-8", "replace"))
        except ReceiptError as error:
            message = str(error)
            assert message.isprintable(), raw
            assert len(message) < 500, raw
            found["refused"] += 1
        else:
            assert parse(Path("r"), receipt.to_text()) == receipt
            found["read"] += 1
    return found


def fuzz_replay(source: Any, cases: int, capfd: pytest.CaptureFixture[str]) -> Counter[int]:
    """Replays mutated receipts of three texts in the current folder."""
    checkpoint, receipt, chance = Path("runs/best.safetensors"), Path("receipt"), random.Random(source.__name__)
    checkpoint.parent.mkdir()
    small("mixture").quantize().save(checkpoint)
    assert run(["sample", str(checkpoint), "-n30", "--samples=3", "-pab", "--seed=5", "--receipt", str(receipt)]) == 0
    written, original, found = capfd.readouterr().out, receipt.read_text(), Counter[int]()
    for _ in range(cases):
        receipt.write_bytes(raw := source(original, chance))
        with at_most(SECONDS):
            code = run(["replay", str(receipt)])
        found[code] += 1
        out, err = capfd.readouterr()
        needs_prompt = code == 2 and "tells only the SHA-256 of its prompt" in err
        assert code in (0, 4) or needs_prompt, (raw, err)
        assert err.count("\n") in (1, 2, 3), (raw, err)  # a doubt, the size, and the end
        assert err.replace("\n", "").isprintable(), (raw, err)
        if code == 0:
            assert all(text in written for text in out.split("\n---\n")), raw
        else:
            assert written.startswith(out), (raw, out)  # the texts before one that differs
    return found


@sources
def test_a_receipt_by_chance_is_read_or_refused(source: Any) -> None:
    assert fuzz_parser(source, 300)["refused"] > 100


@sources
def test_a_receipt_by_chance_is_replayed_or_refused(
    source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fuzz_replay(source, 40, capfd)[4] > 10


@pytest.mark.faults
@sources
def test_many_receipts_by_chance_are_read_or_refused(source: Any) -> None:
    count = 50_000 if LONG else 10_000
    found = fuzz_parser(source, count)
    assert found["refused"] > count // 5
    assert found["read"] > count // 50


@pytest.mark.faults
@sources
def test_many_receipts_by_chance_are_replayed_or_refused(
    source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    count = 4000 if LONG else 200
    found = fuzz_replay(source, count, capfd)
    assert found[0] > 1
    assert found[4] > count // 3
