"""A cache or a run folder into which somebody put what charnet never wrote: it counts as missing, and nothing waits."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from files import at_most

from charnet import durable, regular_file
from charnet.cli.app import run
from charnet.config import DataSettings
from charnet.data import cache, corpus, datasets, fingerprints, sources
from charnet.errors import CharnetError, ConfigError, CorpusError, StorageError
from charnet.storage import runs, verify
from charnet.storage.config_file import read_yaml
from charnet.storage.runs import RunFolder
from charnet.training import setup

TEXT = "some text,\nof three lines\nabcdefgh\n"
LINES = DataSettings(lines=True)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHARNET_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "a.txt").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


def read(data: DataSettings = LINES) -> corpus.Corpus:
    with at_most(60):
        return corpus.read(["a.txt"], data)


def assert_text(found: corpus.Corpus) -> None:
    assert found.vocab.decode(found.ids.tolist()) == TEXT


def assert_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int) -> str:
    with at_most(60):
        assert run(arguments) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1), err
    return err


# ------------------------------------------------------------------------------------------- what is no regular file

NO_FILES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a link to a pipe": lambda path: (os.mkfifo("pipe"), path.symlink_to(Path("pipe").absolute())),
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path: path.symlink_to("none"),
    "a link to itself": lambda path: path.symlink_to(path.name),
}
no_file = pytest.mark.parametrize("kind", NO_FILES)


@no_file
@pytest.mark.parametrize("suffix", [".ids", ".checked", ".seal"])
def test_what_is_no_file_in_the_cache_is_not_waited_for_and_is_cleared(
    folder: Path, kind: str, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key = read().key
    for path in (folder / f"{key}{suffix}", folder / f"y{suffix}"):
        path.unlink(missing_ok=True)
        NO_FILES[kind](path) if path.stem != "y" or kind != "a link to a pipe" else os.mkfifo(path)
    assert_text(read())
    with at_most(60):
        assert [entry.key for entry in cache.entries()] == [key]
        assert run(["cache", "list"]) == run(["cache", "clear"]) == 0
    assert not list(folder.iterdir())
    capsys.readouterr()


@no_file
def test_a_pipe_in_place_of_fingerprints_is_not_waited_for(
    folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprints, "READ_EACH_TIME", 0)
    read()
    (path,) = folder.glob("*.fingerprints")
    path.unlink()
    NO_FILES[kind](path)
    assert_text(read())
    assert regular_file.status(path)


@pytest.mark.parametrize(
    "values",
    [None, 5, "ab", [5], [[1, 2]], [["x", "y"]], [[[1.5], "0" * 64]], [[[], 5]], [], [[[], "0" * 63]], {"ab": 1}],
)
def test_forged_fingerprints_are_not_believed(folder: Path, values: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "READ_EACH_TIME", 0)
    read()
    (path,) = folder.glob("*.fingerprints")
    for raw in (json.dumps(values), "[" * 100, " " * 10**6):
        path.write_text(raw)
        assert_text(read())


def test_temporary_files_that_are_none_are_removed_and_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "charnet-x.part")
    (folder / "charnet-y.part").symlink_to(Path("a.txt").absolute())
    read()
    assert sorted(path.suffix for path in folder.iterdir()) == [".checked", ".ids"]
    assert Path("a.txt").read_text() == TEXT


# ------------------------------------------------------------------------------------------------ forged documents


def forge(folder: Path, key: str, change: Callable[[dict[str, Any]], Any], data: bytes | None = None) -> None:
    """Writes a copy whose footer has a right SHA-256 over other metadata, and with other `data` right checksums."""
    path = folder / f"{key}.ids"
    raw = path.read_bytes()
    length = int.from_bytes(raw[-40:-32], "little")
    metadata = json.loads(raw[-40 - length : -40])
    data = raw[: -40 - length] if data is None else data
    found = change(metadata)
    changed = found if isinstance(found, bytes) else json.dumps(metadata if found is None else found[0]).encode()
    path.write_bytes(data + changed + len(changed).to_bytes(8, "little") + hashlib.sha256(changed).digest())
    path.with_suffix(".checked").unlink()


def field(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda metadata: metadata.__setitem__(name, value)


def without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda metadata: metadata.__delitem__(name)


ODD: list[object] = [None, -1, 1.5, True, "x", [], [None], {}, 2**63 - 1, 10**30, [[1]], "\ud800", float("nan")]
VALID: dict[str, list[object]] = {  # of these
    "name": ["x", "\ud800"], "notes": [[]], "file_ends": [[]], "is_utf8": [True], "by_lines": [True],
    "document_end": [None], "rare": [True],
}  # fmt: skip
NAMES = ["key", "size_bytes", "fingerprint", "length", "symbols", "documents", "sums", *VALID]
KINDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a list": lambda _: [[1, 2]],
    "a number": lambda _: [5],
    "null": lambda _: [None],
    "a string": lambda _: ["x"],
    "deep lists": lambda _: b"[" * 900,
    "deeper lists": lambda _: b"[" * 100_000,
    "deep tables": lambda _: b'{"a":' * 100_000,
    "many tables": lambda _: b"[" + b'{"a":1},' * 1000 + b"1]",
    "names twice": lambda metadata: json.dumps(metadata).replace("{", '{"key": 1, ', 1).encode(),
    "not UTF-8": lambda _: b"\xff\xfe",
    "nothing": lambda _: b"",
    "5,000 digits": lambda metadata: json.dumps(metadata).replace('"length": 3', '"length": ' + "3" * 5000).encode(),
    "symbols that are not sorted": field("symbols", "ba"),
    "the symbol of rare bytes": field("symbols", [256]),
    "more symbols than there are": field("symbols", "a" * 0x110000),
    "ends of files that are not in order": field("file_ends", [35, 3, 35]),
    "ends of files beyond the text": field("file_ends", [3, 99]),
    "paths without a digest": lambda metadata: metadata.update(paths="a.txt"),
    "a checksum too many": lambda metadata: metadata["sums"].append(1),
    "another key": field("key", "0" * 64),
    "another text": field("fingerprint", "0" * 64),
}


def assert_counts_as_missing(folder: Path, key: str, change: Callable[[dict[str, Any]], Any]) -> None:
    forge(folder, key, change)
    forged = (folder / f"{key}.ids").read_bytes()
    with at_most(60):
        assert [entry.size_bytes for entry in cache.entries()] == [len(forged)]
    assert_text(read())
    assert (folder / f"{key}.ids").read_bytes() != forged


@pytest.mark.parametrize("kind", KINDS)
def test_a_forged_document_counts_as_missing_and_is_cleared(
    folder: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key = read().key
    assert_counts_as_missing(folder, key, KINDS[kind])
    forge(folder, key, KINDS[kind])
    with at_most(60):
        assert run(["cache", "clear"]) == 0
    assert "removed 1 encoded copy" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_a_document_with_a_part_of_another_type_counts_as_missing(folder: Path, name: str) -> None:
    key = read().key
    for value in ODD:
        if repr(value) not in map(repr, VALID.get(name, ())):
            assert_counts_as_missing(folder, key, field(name, value))
    if name not in ("file_ends", "document_end"):  # older copies lack them
        assert_counts_as_missing(folder, key, without(name))


def test_a_copy_forged_without_a_change_is_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forge(folder, read().key, lambda _: None)
    monkeypatch.setattr(corpus, "count_all", lambda *_: pytest.fail("encoded again"))
    assert_text(read())


def with_sums(data: bytes) -> Callable[[dict[str, Any]], None]:
    import zlib

    return field("sums", [zlib.crc32(data)])


@pytest.mark.parametrize("ends", [[11, 26, 26], [26, 11, 35], [0, 11, 35], [11, 26, 36], [11, 26, 2**64 - 1]])
def test_ends_of_lines_that_are_not_in_order_are_not_believed(folder: Path, ends: list[int]) -> None:
    key = read().key
    ids = (folder / f"{key}.ids").read_bytes()[: len(TEXT)]
    data = ids + np.array(ends, "<u8").tobytes()
    forge(folder, key, with_sums(data), data)
    found = read()
    assert found.ends is not None
    assert found.ends.tolist() == [11, 26, 35]


def test_ids_beyond_the_alphabet_are_not_believed(folder: Path) -> None:
    key = read(DataSettings()).key
    data = bytes([255]) * len(TEXT)
    forge(folder, key, with_sums(data), data)
    assert_text(read(DataSettings()))


# -------------------------------------------------------------------------------------------- the folder of the cache


def test_clear_says_what_it_could_not_remove(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        said = assert_one_line(capsys, ["cache", "clear"], 6)
    assert "Read-only file system; 0 of 1 file with encoded copies removed" in said
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("length", [300, 5000])
def test_a_cache_folder_of_an_impossible_name_ends_in_a_line(
    length: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARNET_CACHE", "x" * length)
    monkeypatch.setattr("charnet.engines.agreement.SECONDS", -1.0)  # doctor compares no models
    for command in (["cache", "list"], ["cache", "list", "--json"], ["cache", "clear"]):
        assert "File name too long; name another folder" in assert_one_line(capsys, command, 6)
    assert "xxx...: the text cannot be stored here: File name too long" in assert_one_line(
        capsys, ["train", "--quiet", "names"], 6
    )
    assert run(["corpus", "get", "names"]) == 6
    assert run(["corpus", "list"]) == run(["corpus", "info", "a.txt"]) == run(["doctor"]) == 0
    found = read()
    assert_text(found)
    assert found.notes[-1].endswith(
        "xxx...: cannot be written, so the encoded text is not kept; name another folder in CHARNET_CACHE"
    )
    out = capsys.readouterr().out
    assert "so the encoded text is not kept" in out
    assert "xxx... (cannot be used: File name too long)" in out
    with pytest.raises(StorageError, match="cannot be stored here"):
        datasets.fetch("names")


def test_a_cache_that_is_a_file_ends_in_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARNET_CACHE", "a.txt")
    assert "Not a directory" in assert_one_line(capsys, ["cache", "list"], 6)


# ------------------------------------------------------------------------------------------------- runs and settings


@pytest.fixture
def copied_run(tiny_run: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


@no_file
@pytest.mark.parametrize("name", [runs.METRICS, runs.SETTINGS])
def test_a_pipe_in_a_run_is_not_waited_for(copied_run: Path, kind: str, name: str) -> None:
    (copied_run / name).unlink()
    NO_FILES[kind](copied_run / name)
    with at_most(60):
        checks = verify.verify(copied_run)
        assert [check.what.split()[0] for check in checks if check.passed is False] == [name]
        folder = RunFolder(copied_run)
        with pytest.raises((StorageError, ConfigError)):
            folder.metrics() if name == runs.METRICS else read_yaml(copied_run / name)
        folder.close()


def test_metrics_are_not_appended_to_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "metrics.jsonl")
    reader = os.open(tmp_path / "metrics.jsonl", os.O_RDONLY | os.O_NONBLOCK)
    with at_most(60), pytest.raises(StorageError, match="it is a pipe or a device"):
        durable.Folder(tmp_path).append("metrics.jsonl", "x")
    os.close(reader)


def test_metrics_with_a_second_name_become_a_file_of_their_own(copied_run: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.hardlink_to(copied_run / runs.METRICS)
    before = outside.read_bytes()
    folder = RunFolder(copied_run)
    assert b"".join(folder.metrics()) == before
    folder.append_metrics({})
    folder.close()
    assert outside.read_bytes() == before
    assert (copied_run / runs.METRICS).read_bytes() == before + b"{}\n"


def test_a_run_whose_best_is_a_pipe_is_not_the_newest(copied_run: Path, tmp_path: Path) -> None:
    (tmp_path / "newer").mkdir()
    os.mkfifo(tmp_path / "newer" / runs.BEST)
    assert runs.newest_first(tmp_path) == [copied_run]


def name_text(run_folder: Path, name: str) -> None:
    """Names another text in the settings of a run."""
    lines = (run_folder / runs.SETTINGS).read_text().splitlines()
    named = [f"  paths: {json.dumps([name])}" if line.startswith("  paths:") else line for line in lines]
    (run_folder / runs.SETTINGS).write_text("\n".join(named))


def test_a_text_that_became_a_pipe_is_not_waited_for_by_a_run(
    copied_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo("pipe")
    name_text(copied_run, name := str(Path("pipe").absolute()))
    said = assert_one_line(capsys, ["train", "--resume", str(copied_run), "--steps", "130", "-q"], 3)
    assert "nor in the cache" in said
    with at_most(60):
        checks = verify.verify(copied_run)
    assert [check.found for check in checks if check.passed is None] == [
        f"{name} is a pipe, a device or a file of the system"
    ]


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="the system shows no state in files")
@pytest.mark.parametrize("as_link", [False, True])
def test_a_file_of_the_system_is_no_text_unless_the_user_names_it(
    copied_run: Path, as_link: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "/proc/version"
    if as_link:
        Path("link.txt").symlink_to(name)
        name = str(Path("link.txt").absolute())
    name_text(copied_run, name)
    said = assert_one_line(capsys, ["train", "--resume", str(copied_run), "--steps", "130", "-q"], 3)
    assert "nor in the cache" in said
    assert f"{name} is a pipe, a device or a file of the system" in [each.found for each in verify.verify(copied_run)]
    with pytest.raises(CorpusError, match="no file here matches"):
        sources.find(["/proc"], "version")
    assert sources.find([name]).sources[0].path == Path(name)


@pytest.mark.parametrize("name", ["loop", "a\0b", "x" * 300, "x/" * 2500])
def test_a_text_of_an_impossible_name_counts_as_gone(
    copied_run: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("loop").symlink_to("loop")
    name_text(copied_run, name)
    assert "nor in the cache" in assert_one_line(capsys, ["train", "--resume", str(copied_run), "-q"], 3)
    assert verify.verify(copied_run)


def test_settings_name_no_pipe_as_a_text_and_are_none(tmp_path: Path) -> None:
    os.mkfifo("pipe")
    with at_most(60):
        with pytest.raises(
            CorpusError, match="is a pipe, a device or a file of the system; name it on the command line"
        ):
            setup.new_run({"training.steps": 1}, file_values={"data.paths": ["pipe"]})
        with pytest.raises(ConfigError, match="found a pipe or a device"):
            read_yaml(tmp_path / "pipe")
        for command in (["sample", "--prompt-file", "pipe"], ["train", "--config", "pipe"], ["eval", "pipe", "a.txt"]):
            assert run(command) in (2, 4, 6)


def test_a_pipe_that_is_named_on_the_command_line_is_read() -> None:
    for content, use in ((b"training: {steps: 7}", read_yaml), (TEXT.encode(), lambda path: corpus.read([str(path)]))):
        end, start = os.pipe()
        os.write(start, content)
        os.close(start)
        with at_most(60):
            found: Any = use(Path(f"/dev/fd/{end}"))
        os.close(end)
        assert found == {"training.steps": "7"} if isinstance(found, dict) else found.size_bytes == len(TEXT)


# ------------------------------------------------------------------------------------------------------- regular_file


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe"])
def test_a_file_of_ones_own_takes_the_place_of_what_has_its_name(tmp_path: Path, kind: str) -> None:
    path, outside = tmp_path / "own", tmp_path / "a.txt"
    {"link": path.symlink_to, "hard link": path.hardlink_to, "pipe": lambda _: os.mkfifo(path)}[kind](outside)
    with at_most(60), regular_file.open_own(path) as file:
        file.write(b"x")
    assert (outside.read_text(), path.read_bytes()) == (TEXT, b"x")


def test_reads_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"123")
    assert regular_file.read(tmp_path / "large", 3) == b"123"
    with pytest.raises(OSError, match="more than 2 bytes"):
        regular_file.read(tmp_path / "large", 2)
    assert issubclass(regular_file.NotRegularError, OSError)
    assert isinstance(regular_file.read_error(tmp_path, OSError(1, "x")), CharnetError)
