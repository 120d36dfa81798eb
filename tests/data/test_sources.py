"""Which files are read, how packed ones are opened, and how the notes describe the others."""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import io
import lzma
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zstandard

from charnet.cli.app import run
from charnet.config import DataSettings
from charnet.data import corpus, encode, readers, sources, workers
from charnet.data.cache import cache_folder, open_copy
from charnet.data.sources import Source
from charnet.data.vocab import Vocabulary, id_dtype
from charnet.errors import ConfigError, CorpusError, StorageError

PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard.compress}
TEXT = "a name, ein Name, 名字 😀\n" * 300


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHARNET_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "texts"
    folder.mkdir()
    return folder


def text_of(found: corpus.Corpus) -> str:
    return found.vocab.decode(found.ids.tolist())


def read(*paths: Path | str, **options: Any) -> corpus.Corpus:
    return corpus.read([str(path) for path in paths], DataSettings(**options))


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_packed_texts_are_read_as_what_is_in_them(
    folder: Path, suffix: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "CHUNK_BYTES", chunk)
    path = folder / f"a.txt{suffix}"
    path.write_bytes(PACKERS[suffix]((TEXT[:300]).encode()))
    found = read(path)
    assert (text_of(found), found.name) == (TEXT[:300], "a")
    assert found.fingerprint == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("suffix", PACKERS)
def test_two_packed_texts_one_behind_the_other_are_both_read(folder: Path, suffix: str) -> None:
    path = folder / f"a{suffix}"
    path.write_bytes(PACKERS[suffix](b"first ") + PACKERS[suffix](b"second"))
    assert text_of(read(path)) == "first second"


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_packed_text_that_is_cut_at_any_byte_is_refused_and_a_whole_one_read(folder: Path, suffix: str) -> None:
    path, text = folder / f"a{suffix}", bytes(number * number % 251 for number in range(300))
    whole = PACKERS[suffix](text) * 2

    def unpacked(raw: bytes) -> bytes:
        path.write_bytes(raw)
        return b"".join(readers.chunks(Source(path.name, path), readers.FileDigest()))

    assert unpacked(whole) == 2 * text
    for end in range(suffix == ".gz", len(whole)):  # an empty .gz is one of nothing
        if end != len(whole) // 2:  # where the second of the two begins
            with pytest.raises(CorpusError, match=rf"a\{suffix}: expected a whole \{suffix} file, .*pack it again"):
                unpacked(whole[:end])


def skippable(content: bytes) -> bytes:
    """A frame of .zst whose content is for other programs."""
    return b"\x50\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content


ONE = {suffix: pack(b"first ") for suffix, pack in PACKERS.items()}
TWO = {suffix: pack(b"second") for suffix, pack in PACKERS.items()}
ZEROS = {".gz": [1, 3, 4, 4099, 10240], ".xz": [4, 8, 4096, 10240]}  # any number behind .gz, as on tapes


@pytest.mark.parametrize(
    ("suffix", "raw", "text"),
    [
        *((s, ONE[s] + bytes(n), "first ") for s in ZEROS for n in ZEROS[s]),
        *((s, ONE[s] + bytes(n) + TWO[s], "first second") for s in ZEROS for n in ZEROS[s]),
        *((s, ONE[s] + TWO[s] + bytes(n), "first second") for s in ZEROS for n in ZEROS[s]),
        (".zst", skippable(b"for others") + ONE[".zst"] + skippable(b"") + TWO[".zst"], "first second"),
        (".zst", ONE[".zst"] + TWO[".zst"] + skippable(b"an index, as at the end of a seekable file"), "first second"),
    ],
    ids=lambda value: None if isinstance(value, str) else len(value),
)
def test_padding_and_what_is_for_other_programs_are_no_part_of_a_packed_text(
    folder: Path, suffix: str, raw: bytes, text: str
) -> None:
    path = folder / f"a{suffix}"
    path.write_bytes(raw)
    found = read(path)
    assert text_of(found) == text
    assert found.fingerprint == hashlib.sha256(raw).hexdigest()


def without_a_bit(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 0x10]) + raw[at + 1 :]


@pytest.mark.parametrize(
    ("suffix", "raw"),
    [
        *((s, ONE[s] + without_a_bit(TWO[s], len(TWO[s]) // 2)) for s in PACKERS),
        *((s, ONE[s] + without_a_bit(TWO[s], 0)) for s in PACKERS),
        *((s, without_a_bit(ONE[s], len(ONE[s]) // 2) + TWO[s]) for s in PACKERS),
        *((s, ONE[s] + b"more") for s in PACKERS),
        *((s, bytes(4) + ONE[s]) for s in PACKERS),
        *((".xz", ONE[".xz"] + bytes(n)) for n in (1, 2, 3, 5, 4099)),
        *((".xz", ONE[".xz"] + bytes(n) + TWO[".xz"]) for n in (1, 2, 3, 5, 4099)),
        *((s, ONE[s] + bytes(4)) for s in (".bz2", ".zst")),
        (".zst", ONE[".zst"] + skippable(b"for others")[:-1]),
    ],
    ids=lambda value: None if isinstance(value, str) else len(value),
)
def test_a_packed_text_with_anything_else_behind_it_is_refused_not_read_in_part(
    folder: Path, suffix: str, raw: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / f"a{suffix}"
    path.write_bytes(raw)
    assert run(["corpus", "info", str(path)]) == 3
    assert f"a{suffix}: expected a whole {suffix} file" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="this system has no /proc")
def test_a_file_whose_size_the_system_gives_as_0_is_read() -> None:
    found = read("/proc/cpuinfo")
    assert Path("/proc/cpuinfo").stat().st_size == 0
    assert "processor" in text_of(found)
    assert found.size_bytes > 100


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("damage", ["cut", "no such file"])
def test_a_damaged_packed_text_is_refused_by_its_name(folder: Path, suffix: str, damage: str) -> None:
    path, raw = folder / f"a{suffix}", PACKERS[suffix](TEXT.encode())
    path.write_bytes(raw[: len(raw) // 2] if damage == "cut" else b"plain text")
    with pytest.raises(CorpusError, match=rf"a\{suffix}: expected a whole \{suffix} file"):
        read(path)


def test_zst_without_its_package_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "a.zst"
    path.write_bytes(zstandard.compress(b"text"))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(ConfigError, match=r"pip install 'charnet\[zst\]'"):
        read(path)


def test_hidden_and_binary_files_of_a_folder_are_left_out_and_counted(folder: Path) -> None:
    for name in ("a.txt", ".hidden.txt", ".git/c.txt", "sub/d.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name[0])
    (folder / "image.txt").write_bytes(b"\x89PNG\0\0")
    found = read(folder, glob="**/*.txt")
    assert text_of(found) == "as"
    assert found.notes == ("reading 2 files; left out: 1 binary, 2 hidden",)


def test_what_a_folder_holds_beside_the_texts_is_counted(folder: Path) -> None:
    for name in ("a.txt", "UPPER.TXT", "notes.md", "more.md", "README", "sub/deep.txt", ".hidden.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    (folder / "dead.txt").symlink_to("nowhere.txt")
    (folder / "self.txt").symlink_to("self.txt")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.txt")
    said = "2 dangling links, 1 file without a suffix, 1 linked folder, 1 special file"
    assert read(folder).notes == (f"reading 1 file; left out: {said}, 1 sub-folder, 1 .TXT file and 1 other kind",)
    found = read(folder, glob="**/*.txt")
    assert found.notes == (f"reading 2 files; left out: {said}, 1 .TXT file, 2 .md files",)
    assert corpus.encode_for(found.vocab, [str(folder)], DataSettings(glob="**/*.txt"))[2] == list(found.notes)
    for path in folder.glob("*.*"):
        path.unlink()
    with pytest.raises(CorpusError, match=r"1 linked folder and 1 sub-folder: --glob '\*\*/\*.txt' reads sub-folders"):
        read(folder)


def test_files_of_a_folder_are_read_in_natural_order(folder: Path) -> None:
    for name in ("chapter10", "chapter2", "chapter1", "part10/a", "part9/b"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / f"{name}.txt").write_text(f"{name}\n")
    assert text_of(read(folder, glob="**/*.txt")).split() == [
        "chapter1",
        "chapter2",
        "chapter10",
        "part9/b",
        "part10/a",
    ]


def test_standard_input_is_refused_the_second_time(folder: Path) -> None:
    (folder / "a.txt").write_text("text")
    with pytest.raises(CorpusError, match="-: standard input is named twice"):
        read("-", folder / "a.txt", "-")


@pytest.fixture
def device_as_input(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Standard input is a device, as a terminal is; what is typed is "typed"."""
    kept, null = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"typed")))
    yield
    os.dup2(kept, 0)
    os.close(kept)
    os.close(null)


@pytest.mark.usefixtures("device_as_input")
@pytest.mark.parametrize("name", ["-", "/dev/stdin", "/dev/fd/0"])
def test_standard_input_is_read_by_each_of_its_names_once_though_it_is_a_device(name: str) -> None:
    assert text_of(read(name)) == "typed"
    with pytest.raises(CorpusError, match=f"{name}: standard input is named twice"):
        read("-", name)


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null"])
def test_a_device_is_refused(name: str) -> None:
    with pytest.raises(CorpusError, match=f"{name}: a device"):
        read(name)


def test_a_pipe_is_read_by_its_number() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"from a pipe")
    os.close(writing)
    assert text_of(read(f"/dev/fd/{reading}")) == "from a pipe"
    os.close(reading)


def test_an_address_is_answered_with_what_to_do() -> None:
    with pytest.raises(
        CorpusError, match=r"^https://example.org/a.txt: an address, not a file: save it first, or pipe it"
    ):
        read("https://example.org/a.txt")


def test_a_link_that_leads_nowhere_is_never_proposed(folder: Path) -> None:
    (folder / "book.txt").symlink_to("nowhere")
    (folder / "books.txt").write_text("text")
    with pytest.raises(CorpusError, match=r"no such file or folder \(did you mean [^ ]*/books\.txt\?\)"):
        read(folder / "bok.txt")


def test_wide_text_with_a_mark_is_no_binary_file(folder: Path) -> None:
    (folder / "a.txt").write_bytes("wide".encode("utf-16"))
    found = read(folder)
    assert text_of(found) == "wide"
    assert found.notes == ("read as utf-16, because of the byte order mark at the start",)


def test_binary_files_are_read_as_bytes_and_when_they_are_named(folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"a\0b")
    assert len(read(folder, bytes=True).ids) == len(read(folder / "a.txt").ids) == 3


def test_a_folder_of_nothing_but_left_out_files_says_so(folder: Path) -> None:
    (folder / ".a.txt").write_text("x")
    with pytest.raises(CorpusError, match="but 1 hidden, left out: name"):
        read(folder)


def test_a_separator_stands_between_files_and_nowhere_else(folder: Path) -> None:
    for name in "abc":
        (folder / f"{name}.txt").write_text(name)
    assert text_of(read(folder, document_separator="\n--\n")) == "a\n--\nb\n--\nc"
    assert text_of(read(folder / "a.txt", document_separator="x")) == "a"


def test_half_a_character_is_no_separator_of_texts_but_one_of_bytes(folder: Path) -> None:
    for name in "ab":
        (folder / f"{name}.txt").write_text(name)
    with pytest.raises(CorpusError, match="--document-separator: expected whole characters"):
        read(folder, document_separator="\udcff")
    found = read(folder, bytes=True, document_separator="\udcff")
    assert [found.vocab.symbols[i] for i in found.ids] == [ord("a"), 0xFF, ord("b")]


@pytest.mark.parametrize("first", ["only ascii ", "é", "名字", "😀"])
def test_ids_of_pieces_of_any_width_come_to_their_places(
    folder: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    monkeypatch.setattr(encode, "MAX_SEGMENT", 30)
    monkeypatch.setattr(encode, "SEGMENTS_AT_ONCE", 2)
    monkeypatch.setattr("charnet.machine.processor_cores", lambda: 2)
    parts = [[first * 9, "abc" * 7, "é" * 5, "x", "名字" * 11, "y" * 40], ["😀" * 8, "z", "名"], ["plain", "é"]]
    counted, files = [], []
    for number, pieces in enumerate(parts):
        for at, piece in enumerate(pieces):
            (folder / f"{number}{at}.txt").write_text(piece)
        files.append(folder / f"{number}.symbols")
        files[-1].touch()
        counted.append(encode.SymbolCounts())
        sources = [Source(path.name, path) for path in sorted(folder.glob(f"{number}?.txt"))]
        encode.count(sources, [""] * len(sources), DataSettings(), files[-1], counted[-1], lambda _: None)
    whole = "".join("".join(pieces) for pieces in parts)
    vocab = Vocabulary.of_text(whole)

    def new_file() -> Path:
        (folder / "new").touch()
        return folder / "new"

    path = encode.write_ids(vocab, counted, files, new_file)
    assert (path == files[0]) == (first == "only ascii " and all(width == 1 for width, _ in counted[0].segments))
    ids = np.fromfile(path, id_dtype(len(vocab)), sum(part.length for part in counted))
    assert vocab.decode(ids.tolist()) == whole
    assert sum(len(part.segments) for part in counted) > 2 * encode.SEGMENTS_AT_ONCE


@pytest.mark.slow
@pytest.mark.parametrize("shape", [{}, {"bytes": True}, {"lines": True}, {"min_count": 3}])
def test_several_processes_read_what_one_reads(
    folder: Path, monkeypatch: pytest.MonkeyPatch, shape: dict[str, Any]
) -> None:
    for number in range(7):
        (folder / f"{number}.txt").write_text(chr(0x3B1 + number) * number + TEXT[: 50 * number])
    one = read(folder, document_separator="|", **shape)
    monkeypatch.setattr(workers, "MIN_PARALLEL_BYTES", 1)
    monkeypatch.setattr("charnet.machine.processor_cores", lambda: 3)
    monkeypatch.setenv("CHARNET_CACHE", str(folder / "other"))
    several = read(folder, document_separator="|", **shape)
    assert (several.key, several.vocab, several.fingerprint) == (one.key, one.vocab, one.fingerprint)
    assert text_of(several) == text_of(one)


def test_a_process_takes_no_module_from_the_folder_it_is_started_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.txt", "b.txt", "numpy.py", "charnet.py"):
        (folder / name).write_text("text")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(workers, "MIN_PARALLEL_BYTES", 1)
    monkeypatch.setattr("charnet.machine.processor_cores", lambda: 2)
    assert text_of(read(folder)) == "texttext"


def test_an_error_in_a_process_is_an_error_of_the_text(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.txt").write_text("good")
    (folder / "b.txt").write_bytes(b"a\nb\xff")
    monkeypatch.setattr(workers, "MIN_PARALLEL_BYTES", 1)
    monkeypatch.setattr("charnet.machine.processor_cores", lambda: 2)
    with pytest.raises(CorpusError, match=r"b\.txt, line 2, column 2, byte offset 3"):
        read(folder)
    assert not list(cache_folder().glob("*"))


IN_A_PROCESS = """
from charnet.data import workers
def fail(*_):
    raise {}
workers.count = fail
workers.work()
"""


@pytest.mark.parametrize(
    ("error", "raised", "said"),
    [
        ("OSError(28, 'No space left')", StorageError, "cannot be stored here: No space left"),
        ("MemoryError", MemoryError, "^$"),
    ],
)
def test_a_process_that_the_system_refuses_ends_as_one_process_does(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    error: str,
    raised: type[Exception],
    said: str,
) -> None:
    for name in "ab":
        (folder / f"{name}.txt").write_text(name)
    monkeypatch.setattr(workers, "MIN_PARALLEL_BYTES", 1)
    monkeypatch.setattr("charnet.machine.processor_cores", lambda: 2)
    monkeypatch.setattr(workers, "COMMAND", IN_A_PROCESS.format(error))
    with pytest.raises(raised, match=said):
        read(folder)
    assert capfd.readouterr().err == ""


def test_a_process_that_starts_while_the_others_are_ended_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, starting, processes = workers._Workers(1), threading.Event(), []
    start = subprocess.Popen

    def slow(_: object, **options: Any) -> Any:
        starting.set()
        while not pool._ended:
            time.sleep(0.01)
        processes.append(start([sys.executable, "-c", "import time; time.sleep(20)"], **options))
        return processes[0]

    monkeypatch.setattr(subprocess, "Popen", slow)
    pool.submit("", lambda _: None)
    assert starting.wait(20)
    pool.end()
    assert processes[0].returncode == -signal.SIGKILL


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows sends Ctrl-C to all")
def test_ctrl_c_reaches_no_process_however_early_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = (
        "import signal; print('{\"held\":', int(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])), '}')"
    )
    monkeypatch.setattr(workers, "COMMAND", asked)
    pool = workers._Workers(1)
    try:
        assert pool.submit("", lambda _: None).result() == {"held": 1}
    finally:
        pool.end()


@pytest.mark.parametrize("output", ["", "5\\n", '5\\n{"symbols": [1, '])
def test_a_process_that_is_killed_is_an_error_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    for name in "ab":
        (folder / f"{name}.txt").write_text(name)
    monkeypatch.setattr(workers, "MIN_PARALLEL_BYTES", 1)
    monkeypatch.setattr("charnet.machine.processor_cores", lambda: 2)
    killed = f"import os; os.write(1, b'{output}'); os.kill(os.getpid(), 9)"
    monkeypatch.setattr(workers, "COMMAND", killed)
    assert run(["corpus", "info", str(folder)]) == 6
    assert capsys.readouterr().err.startswith(
        "charnet: a process that read the text was killed from outside; start again"
    )
    assert not list(cache_folder().glob("*"))


def test_a_worker_whose_parent_has_ended_ends_without_a_message() -> None:
    ended = subprocess.run([sys.executable, "-c", workers.COMMAND], input=b'{"sou', capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, b"", b"")


def may_not_list(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The system refuses to list folders of that name."""
    scandir = os.scandir

    def refuse(path: Any = ".") -> Any:
        if Path(path).name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)


def test_a_folder_that_may_not_be_listed_is_an_error_of_the_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_not_list(monkeypatch, folder.name)
    with pytest.raises(StorageError, match=r"texts: cannot be read: Permission denied$"):
        read(folder)


def test_a_folder_within_that_may_not_be_listed_is_named_not_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("open/a.txt", "closed/b.txt", "open/closed/c.txt", "open/.hidden/closed/d.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    may_not_list(monkeypatch, "closed")
    found = read(folder, glob="**/*.txt")
    assert text_of(found) == "open/a.txt"
    assert found.notes[0] == f"{folder}/closed: cannot be read: Permission denied; left out, and 1 folder more"
    with pytest.raises(StorageError, match=r"closed: cannot be read: Permission denied$"):
        read(folder / "open", glob="*/*.txt")
    assert read(folder, glob="open/*.txt").notes == ("reading 1 file; left out: 2 sub-folders",)


def test_a_wrong_limit_of_the_cache_is_refused_before_anything_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.txt").write_text("text")
    monkeypatch.setenv("CHARNET_CACHE_LIMIT", "abc")
    monkeypatch.setattr(corpus, "count_all", lambda *_: pytest.fail("read"))
    with pytest.raises(ConfigError, match="CHARNET_CACHE_LIMIT: expected a size"):
        read(folder)


@pytest.mark.parametrize(
    ("errors", "text", "said"),
    [("replace", "a\ufffdb\ufffd", "replaced"), ("ignore", "ab", "left out")],
)
def test_invalid_bytes_may_be_replaced_or_left_out_and_are_counted(
    folder: Path, errors: str, text: str, said: str
) -> None:
    (folder / "a.txt").write_bytes(b"a\xffb\xc3")
    for _ in range(2):  # the second time from the encoded copy
        found = read(folder / "a.txt", encoding_errors=errors)
        assert (text_of(found), found.notes) == (text, (f"invalid utf-8 in 2 places, {said}",))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_mark_at_the_start_tells_the_encoding(folder: Path, encoding: str) -> None:
    (folder / "a.txt").write_bytes(TEXT.encode(encoding))
    assert text_of(read(folder / "a.txt")) == TEXT


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Все счастливые семьи похожи друг на друга. " * 20),
        ("gb18030", "幸福的家庭都是相似的，不幸的家庭各有各的不幸。" * 20),
    ],
)
def test_the_message_about_a_wrong_byte_suggests_an_encoding_that_reads_it(
    folder: Path, encoding: str, text: str
) -> None:
    (folder / "a.txt").write_bytes(text.encode(encoding))
    with pytest.raises(CorpusError, match="--encoding ") as caught:
        read(folder / "a.txt")
    suggested = str(caught.value).split("try --encoding ")[1].split(";")[0]
    assert text_of(read(folder / "a.txt", encoding=suggested)) == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("before", [0, 40_000])
def test_the_message_about_a_wrong_byte_suggests_utf16_where_a_mark_is_missing(
    folder: Path, encoding: str, before: int
) -> None:
    (folder / "a.txt").write_bytes(("a" * before + "caf\xe9 " * 40).encode(encoding))
    with pytest.raises(CorpusError, match=f"try --encoding {encoding}$"):
        read(folder / "a.txt")


@pytest.mark.parametrize("chunk", range(1, 40))
def test_chunks_may_end_at_every_byte_of_a_mixed_text(
    folder: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    text = "aé\r\n字😀e\u0301ﬁ\r가\n"
    monkeypatch.setattr(readers, "CHUNK_BYTES", chunk)
    (folder / "a.txt").write_text(text, newline="", encoding="utf-8")
    monkeypatch.setenv("CHARNET_CACHE", str(folder / "another"))
    assert text_of(read(folder / "a.txt")) == text


def test_standard_input_is_read_once_and_found_again_by_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(TEXT.encode())))
    found = read("-")
    copy = open_copy(found.key, found.fingerprint, found.size_bytes)
    assert copy is not None
    assert (copy.ids == found.ids).all()


def test_a_pattern_does_not_look_into_a_folder_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c.txt").write_text("c")
    asked: list[str] = []
    whole = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: asked.append(pattern) or whole(self, pattern))
    assert len(sources.find([str(tmp_path)], "**/" * 40 + "*.txt").sources) == 1
    assert asked == ["**/*.txt"]
    with pytest.raises(ConfigError, match=r"is not a pattern for files in .*: it has more than 4 parts"):
        sources.find([str(tmp_path)], "**/*/" * 40 + "*.txt")


def test_folders_that_are_nested_too_deeply_are_an_error_of_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_deep(*_: object) -> Iterator[Path]:
        raise RecursionError

    monkeypatch.setattr(Path, "glob", too_deep)
    with pytest.raises(StorageError, match="nested too deeply"):
        sources.find([str(tmp_path)])


def test_a_folder_without_permission_is_not_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "lstat", denied)
    with pytest.raises(StorageError, match=r"^closed/a\.txt: cannot be read: Permission denied$"):
        sources.find(["closed/a.txt"])
