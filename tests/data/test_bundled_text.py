"""The text that comes with charnet."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from charnet.data import corpus
from charnet.data.sources import bundled_text


@pytest.fixture(scope="module")
def raw() -> bytes:
    return bundled_text().read_bytes()


def test_it_is_long_enough_to_learn_from(raw: bytes) -> None:
    assert len(raw) >= 120_000


def test_it_is_plain_ascii_with_plain_line_ends(raw: bytes) -> None:
    assert raw.isascii()
    assert {byte for byte in raw if byte < 0x20} == {0x0A}
    assert raw.endswith(b"\n")


def test_hardly_a_line_comes_twice(raw: bytes) -> None:
    lines = [line for line in raw.decode().splitlines() if line.strip()]
    once = sum(count == 1 for count in Counter(lines).values())
    assert once >= 0.95 * len(lines)


def test_it_is_read_where_no_text_is_named(raw: bytes) -> None:
    text = corpus.read([])
    assert (text.name, text.files, text.size_bytes) == ("ferry-book", 1, len(raw))
    assert text.vocab.decode(text.ids[:200].tolist()) == raw[:200].decode()


@pytest.mark.slow
def test_the_text_is_inside_the_wheel_and_found_there(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent.parent
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(root)]
    subprocess.run(pip, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("charnet-*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    code = "from charnet.data.sources import bundled_text; print(bundled_text())"
    environment = os.environ | {"PYTHONPATH": str(installed)}
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()
    assert Path(found) == installed / "charnet/corpora/ferry-book.txt"
    assert Path(found).read_bytes() == (root / "corpora/ferry-book.txt").read_bytes()
