"""The texts that come with charnet."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from charnet.cli.app import run
from charnet.config import Config
from charnet.data import bundled, corpus, datasets
from charnet.errors import CorpusError
from charnet.evaluation.corpus_stats import describe

README = (Path(__file__).parent.parent.parent / "corpora" / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def raw() -> bytes:
    return bundled.path_of().read_bytes()


@pytest.fixture(scope="module")
def poems() -> str:
    return bundled.path_of("zh").read_bytes().decode()


def test_it_is_long_enough_to_learn_from(raw: bytes) -> None:
    assert len(raw) >= 120_000


def test_it_is_plain_ascii_with_plain_line_ends(raw: bytes) -> None:
    assert raw.isascii()
    assert {byte for byte in raw if byte < 0x20} == {0x0A}
    assert raw.endswith(b"\n")


@pytest.mark.parametrize("name", bundled.TEXTS)
def test_hardly_a_line_comes_twice(name: str) -> None:
    lines = [line for line in bundled.path_of(name).read_bytes().decode().splitlines() if line.strip()]
    once = sum(count == 1 for count in Counter(lines).values())
    assert once >= 0.95 * len(lines)


def test_it_is_read_where_no_text_is_named(raw: bytes) -> None:
    text = corpus.read([])
    assert (text.name, text.files, text.size_bytes) == ("ferry-book", 1, len(raw))
    assert text.vocab.decode(text.ids[:200].tolist()) == raw[:200].decode()


def test_every_poem_has_four_or_eight_lines_of_five_characters(poems: str) -> None:
    couplet = r"[\u4e00-\u9fff]{5}，[\u4e00-\u9fff]{5}。\n"
    found = poems.split("\n\n")
    assert all(re.fullmatch(f"({couplet}){{2}}|({couplet}){{4}}", poem.rstrip("\n") + "\n") for poem in found)
    assert f"{len(found):,} Tang poems" in bundled.TEXTS["zh"].about
    assert f"{len(found):,} Tang poems in Chinese, {len(poems):,} characters" in README
    assert f"an alphabet of {len(set(poems)):,} " in README


def test_the_chinese_text_is_simplified_and_needs_no_normal_form(poems: str) -> None:
    poems.encode("gb2312")
    assert not set("國為來無") & set(poems)
    assert unicodedata.normalize("NFKC", re.sub("[，。]", "", poems)) == re.sub("[，。]", "", poems)


@pytest.mark.parametrize("line", ["疑是地上霜", "白日依山尽", "千山鸟飞绝", "粒粒皆辛苦", "海上生明月"])
def test_poems_that_every_child_knows_are_there(poems: str, line: str) -> None:
    assert poems.count(line) == 1


def test_no_two_poems_share_half_of_their_lines(poems: str) -> None:
    seen = set[str]()
    for poem in poems.split("\n\n"):
        lines = re.findall(r"\w+", poem)
        assert 2 * sum(line in seen for line in lines) < len(lines), poem
        seen.update(lines)


@pytest.mark.parametrize("name", bundled.TEXTS)
def test_a_name_is_read_as_its_text(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found, file = corpus.read([name]), corpus.read([str(bundled.path_of(name))])
    assert (found.name, found.notes) == (name, file.notes)
    assert (found.fingerprint, found.key) == (file.fingerprint, file.key)


def test_the_name_of_the_default_gives_the_same_corpus_as_none() -> None:
    named, unnamed = corpus.read([bundled.DEFAULT]), corpus.read([])
    assert (named.name, named.key) == (unnamed.name, unnamed.key)


def test_a_file_of_the_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("zh").write_text("a file of mine\n")
    assert corpus.read(["zh"]).size_bytes == 15


def test_a_bundled_text_that_is_missing_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bundled.TEXTS, "zh", bundled.BundledText("gone.txt", "a text"))
    with pytest.raises(CorpusError, match=r"^zh, a text that comes with charnet, is missing"):
        corpus.read(["zh"])
    monkeypatch.setitem(bundled.TEXTS, bundled.DEFAULT, bundled.BundledText("gone.txt", "a text"))
    with pytest.raises(CorpusError, match=r"^the text that comes with charnet is missing"):
        corpus.read([])


def test_the_list_of_known_texts_begins_with_those_that_are_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["corpus", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found] == datasets.names()
    assert [each["name"] for each in found[:2]] == ["ferry-book", "zh"]
    assert [each["kept"] for each in found[:2]] == [True, True]
    assert found[1]["size_bytes"] == bundled.path_of("zh").stat().st_size
    assert run(["corpus", "list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == datasets.names()


def test_corpus_get_prints_the_path_of_a_bundled_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["corpus", "get", "zh"]) == 0
    assert Path(capsys.readouterr().out.strip()) == bundled.path_of("zh")


def test_every_command_that_takes_a_text_knows_the_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    poems = bundled.path_of("zh").read_bytes().decode().split("\n\n")[:60]
    (tmp_path / "poems.txt").write_bytes("\n\n".join(poems).encode())
    monkeypatch.setitem(bundled.TEXTS, "zh", bundled.BundledText(str(tmp_path / "poems.txt"), "some poems"))
    tiny = ["--hidden-size", "4", "--steps", "2", "--batch-size", "3", "--window", "7", "--val-chars", "50", "--quiet"]
    assert run(["train", "zh", "--threads", "1", *tiny]) == 0
    assert Path("checkpoints/zh/config.yaml").read_text(encoding="utf-8").count("zh") >= 1
    assert run(["train", "--resume", "zh", "--steps", "3", "--quiet"]) == 0
    for line in (
        "eval checkpoints/zh/last.safetensors zh",
        "inspect --verify checkpoints/zh",
        "sample checkpoints/zh -n 3 --adapt-to zh --quiet",
        "corpus info zh",
        "compress zh --model checkpoints/zh --quiet",
    ):
        assert run(line.split()) == 0, line
        assert "Traceback" not in capsys.readouterr().err
    assert Path("zh.cnz").stat().st_size > 0


def test_the_statistics_of_the_chinese_text_advise_nothing_about_its_encoding() -> None:
    found = describe(corpus.read(["zh"], Config().data))
    assert found.as_dict()["characters"] == 111_956


@pytest.mark.slow
def test_the_texts_are_inside_the_wheel_and_found_there(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent.parent
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(root)]
    subprocess.run(pip, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("charnet-*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        packed = {each.filename: each.compress_size for each in archive.infolist()}
        assert packed["charnet/corpora/tang-poems.txt"] < 200_000
        archive.extractall(installed)
    code = "from charnet.data import bundled; print(*map(bundled.path_of, bundled.TEXTS), sep='\\n')"
    environment = os.environ | {"PYTHONPATH": str(installed)}
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    ).stdout.split("\n")
    for path, text in zip(found, bundled.TEXTS.values(), strict=False):
        assert Path(path) == installed / "charnet/corpora" / text.file
        assert Path(path).read_bytes() == (root / "corpora" / text.file).read_bytes()
