"""`charnet compress` and `charnet decompress`: files appear whole or not at all, and stdout is bytes."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

import charnet
from charnet.cli.app import run

RAW = b"the cat sat on a mat\r\nand the d\xc3\xb6g ran \xff over to see it\n" * 9


class Stream(io.TextIOWrapper):
    """Standard input or output in a pipe."""

    def __init__(self, raw: bytes = b"") -> None:
        super().__init__(io.BytesIO(raw), encoding="utf-8", errors="surrogateescape", newline="")

    @property
    def raw(self) -> bytes:
        self.flush()
        held: io.BytesIO = self.buffer  # type: ignore[assignment]
        return held.getvalue()


@pytest.fixture
def here(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    Path("a.txt").write_bytes(RAW)
    Path("model").symlink_to(tiny_run)
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def ends(*words: str) -> int:
    return run([*words, "-m", "model"])


@pytest.mark.parametrize("more", [[], ["--adaptive"]], ids=["plain", "adaptive"])
def test_a_file_is_compressed_beside_itself_and_comes_back(here: Path, more: list[str]) -> None:
    assert ends("compress", "a.txt", *more) == 0
    assert Path("a.txt.cnz").stat().st_size < len(RAW) / 2
    Path("a.txt").unlink()
    assert ends("decompress", "a.txt.cnz") == 0
    assert Path("a.txt").read_bytes() == RAW
    assert names(here) == ["a.txt", "a.txt.cnz", "model"]


def test_standard_input_is_compressed_to_standard_output(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del here
    monkeypatch.setattr(sys, "stdin", Stream(RAW))
    monkeypatch.setattr(sys, "stdout", out := Stream())
    assert ends("compress", "-") == 0
    monkeypatch.setattr(sys, "stdin", Stream(out.raw))
    monkeypatch.setattr(sys, "stdout", back := Stream())
    assert ends("decompress", "-") == 0
    assert back.raw == RAW


def test_the_report_says_what_it_costs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del here
    assert ends("compress", "a.txt", "-o", "b.cnz") == 0
    shown = capsys.readouterr()
    assert "used with 8 bits" in shown.err
    assert ends("compress", "a.txt", "-o", "c.cnz", "--json", "--compare") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["text_bytes"] == len(RAW)
    assert found["compressed_bytes"] == Path("b.cnz").stat().st_size
    assert f"{found['compressed_bytes']:,} bytes of {len(RAW):,}" in shown.out
    assert f"{found['entropy_bits_per_char']:.4f}" in shown.out
    assert f"{found['model_bytes']:,} bytes" in shown.out
    assert found["entropy_bits_per_char"] < found["bits_per_char"]
    assert {"xz -9e", "bzip2 -9"} <= {each["name"] for each in found["others"]}
    for each in found["others"]:
        assert each["primed_bits_per_char"] < each["bits_per_char"], each["name"]  # it has read the same words


def test_after_a_refusal_there_is_no_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends("compress", "a.txt") == 0
    whole = Path("a.txt.cnz").read_bytes()
    Path("cut.cnz").write_bytes(whole[:-9])
    Path("other.cnz").write_bytes(RAW)
    capsys.readouterr()
    before = names(here)
    for words, code in (
        (["decompress", "cut.cnz"], 4),
        (["decompress", "other.cnz"], 4),
        (["decompress", "missing.cnz"], 4),
        (["decompress", "."], 6),
        (["compress", "missing.txt"], 3),
        (["compress", "."], 6),
        (["compress", "a.txt"], 6),
        (["decompress", "a.txt.cnz"], 6),
        (["compress", "a.txt", "-o", "missing/a.cnz"], 6),
        (["compress", "-", "--json"], 2),
        (["compress", "-", "--compare"], 2),
        (["compress", "a.txt", "-o", "x.cnz", "--threads", "-1"], 2),
    ):
        assert ends(*words) == code, words
        shown = capsys.readouterr()
        assert (shown.out, shown.err.count("\n"), shown.err[:9]) == ("", 1, "charnet: "), words
        assert names(here) == before, words
    assert Path("a.txt.cnz").read_bytes() == whole


def test_a_text_that_is_too_long_to_be_compared_is_refused_before_it_is_read(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del here
    with Path("long.txt").open("wb") as file:
        file.truncate((64 << 20) + 1)
    assert ends("compress", "long.txt", "--compare") == 2
    assert capsys.readouterr().err == "charnet: --compare: reads texts of at most 64 MB; leave it out\n"


def test_a_file_is_replaced_if_that_is_wanted(here: Path) -> None:
    del here
    Path("a.txt.cnz").write_bytes(b"old")
    assert ends("compress", "a.txt", "--force") == 0
    Path("a.txt").write_bytes(b"old")
    assert ends("decompress", "a.txt.cnz", "--force") == 0
    assert Path("a.txt").read_bytes() == RAW


def test_python_and_the_command_write_the_same(here: Path) -> None:
    del here
    assert ends("compress", "a.txt") == 0
    model = charnet.load("model")
    assert model.compress(RAW) == Path("a.txt.cnz").read_bytes()
    assert model.decompress(model.compress("the dög", adaptive=True)) == "the dög".encode()
    with pytest.raises(charnet.CharnetError, match="the data: is no text"):
        model.decompress(b"the cat")
