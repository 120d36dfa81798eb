"""Texts become ids: which files are read, what they hold, what is wrong with them, and the encoded copy."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charnet.config import DataSettings
from charnet.data import bundled, corpus, readers
from charnet.data.cache import cache_folder
from charnet.data.readers import FileDigest
from charnet.data.sources import Source, name_of
from charnet.data.vocab import Vocabulary
from charnet.errors import CharnetError, ConfigError, CorpusError, StorageError

CHUNKS = [1, 2, 3, 5, 1 << 22]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has an empty cache folder of its own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CHARNET_CACHE", str(folder))
    return folder


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files, empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    return folder


def put(path: Path, content: str | bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def text_of(found: corpus.Corpus) -> str:
    return found.vocab.decode(found.ids.tolist())


def read(paths: Sequence[str], **options: Any) -> corpus.Corpus:
    return corpus.read(paths, DataSettings(**options))


def read_text(*paths: str, **options: Any) -> str:
    return text_of(read(paths, **options))


# --------------------------------------------------------------------------------------------------- what is read


def test_one_file_is_read_whole(folder: Path) -> None:
    path = put(folder / "a.txt", "to be\nor not\n")
    found = corpus.read([path])
    assert text_of(found) == "to be\nor not\n"
    assert (found.name, found.files, found.size_bytes) == ("a", 1, 13)


def test_several_files_are_read_in_the_order_given(folder: Path) -> None:
    z, a = put(folder / "z.txt", "first "), put(folder / "a.txt", "then")
    assert read_text(z, a) == "first then"
    assert read_text(a, z) == "thenfirst "


def test_a_file_named_twice_is_read_twice(folder: Path) -> None:
    path = put(folder / "a.txt", "la ")
    assert read_text(path, path) == "la la "


def test_the_files_of_a_folder_are_read_in_the_order_of_their_names(folder: Path) -> None:
    for name in ("c.txt", "a.txt", "b.txt"):
        put(folder / name, name[0])
    found = corpus.read([str(folder)])
    assert text_of(found) == "abc"
    assert (found.name, found.files) == ("texts", 3)


def test_only_files_that_match_are_read(folder: Path) -> None:
    put(folder / "a.txt", "a")
    put(folder / "b.md", "b")
    put(folder / "sub" / "c.txt", "c")
    (folder / "d.txt").mkdir()
    assert read_text(str(folder)) == "a"
    assert read_text(str(folder), glob="*.md") == "b"


def test_two_stars_look_into_all_sub_folders(folder: Path) -> None:
    for name in ("b.txt", "a/z.md", "a/deep/y.txt"):
        put(folder / name, Path(name).stem)
    assert sorted(read_text(str(folder), glob="**/*")) == ["b", "y", "z"]
    assert sorted(read_text(str(folder), glob="**/*.txt")) == ["b", "y"]


def test_a_hidden_file_of_another_suffix_is_not_read(folder: Path) -> None:
    put(folder / "a.txt", "a")
    put(folder / ".DS_Store", b"\0\xff")
    assert read_text(str(folder)) == "a"


@pytest.mark.parametrize("name", ["a b.txt", "-x.txt", "[x].txt", "ü😀.txt", "x;rm -rf.txt", "a\nb.txt", "%s{0}.txt"])
def test_a_file_of_any_name_is_read(folder: Path, name: str) -> None:
    path = put(folder / name, "text")
    assert read_text(path) == read_text(str(folder)) == "text"


def test_a_file_whose_name_is_not_utf8_is_read(folder: Path) -> None:
    try:
        path = put(folder / os.fsdecode(b"caf\xe9.txt"), "text")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    assert read_text(path) == "text"


def test_a_link_to_a_file_is_read(folder: Path) -> None:
    put(folder / "a.txt", "text")
    (folder / "b.txt").symlink_to(folder / "a.txt")
    assert read_text(str(folder / "b.txt")) == "text"


def test_no_path_at_all_is_the_text_that_comes_with_charnet() -> None:
    found = corpus.read([])
    assert found.size_bytes == bundled.path_of().stat().st_size
    assert found.name == bundled.path_of().stem


# ------------------------------------------------------------------------------------------------- what is missing


def test_a_missing_file_is_refused_with_names_like_it(folder: Path) -> None:
    put(folder / "tempest.txt", "x")
    with pytest.raises(
        CorpusError, match=r"tempets\.txt: there is no such file or folder .did you mean .*tempest\.txt"
    ):
        corpus.read([str(folder / "tempets.txt")])


def test_a_missing_file_unlike_all_others_is_refused_without_a_hint(folder: Path) -> None:
    put(folder / "tempest.txt", "x")
    with pytest.raises(CorpusError, match=r"there is no such file or folder$"):
        corpus.read([str(folder / "q")])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("tinyshakespeare", "the known text tiny-shakespeare or shakespeare"),
        ("ferry_book", "the known text ferry-book"),
    ],
)
def test_a_known_text_is_named_where_its_name_is_nearly_typed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, typed: str, meant: str
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(CorpusError, match=rf"no such file or folder \(did you mean {meant}\?\)$"):
        corpus.read([typed])


def test_a_missing_folder_is_named(folder: Path) -> None:
    with pytest.raises(CorpusError, match=r"the folder .*none does not exist either"):
        corpus.read([str(folder / "none" / "a.txt")])


def test_a_file_in_place_of_a_folder_is_refused(folder: Path) -> None:
    path = put(folder / "a.txt", "x")
    with pytest.raises(CorpusError):
        corpus.read([f"{path}/b.txt"])


def test_a_dangling_link_is_refused(folder: Path) -> None:
    (folder / "a.txt").symlink_to(folder / "none")
    with pytest.raises(CorpusError, match=r"a\.txt: a link that leads nowhere, to .*none$"):
        corpus.read([str(folder / "a.txt")])


@pytest.mark.parametrize("path", ["a" * 300, "a\0b", "a\0b/c", "x/" * 3000, "\ud800"])
def test_a_path_that_no_system_allows_is_an_error_of_the_user(path: str) -> None:
    with pytest.raises(CharnetError):
        corpus.read([path])


def test_where_nothing_matches_the_other_suffixes_are_named(folder: Path) -> None:
    put(folder / "a.md", "x")
    put(folder / "b.py", "x")
    with pytest.raises(CorpusError, match=r'no file here matches "\*\.txt"; it holds \.md, \.py files: .*--glob'):
        corpus.read([str(folder)])


def test_an_empty_folder_is_refused(folder: Path) -> None:
    with pytest.raises(CorpusError, match=r'no file here matches "\*\.txt"; name another folder'):
        corpus.read([str(folder)])


@pytest.mark.parametrize("glob", ["", "/etc/*", "**x"])
def test_what_is_no_pattern_is_an_error_in_the_settings(folder: Path, glob: str) -> None:
    put(folder / "a.txt", "x")
    with pytest.raises(ConfigError, match=r"^data\.glob: "):
        read([str(folder)], glob=glob)


@pytest.mark.parametrize("glob", ["[", "\0", "*.none", "x" * 5000])
def test_a_pattern_that_matches_nothing_is_an_error_of_the_user(folder: Path, glob: str) -> None:
    put(folder / "a.txt", "x")
    with pytest.raises(CharnetError):
        read([str(folder)], glob=glob)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_a_text_without_a_character_is_refused(folder: Path, content: bytes) -> None:
    with pytest.raises(CorpusError, match="the text is empty"):
        corpus.read([put(folder / "a.txt", content)])


def test_an_empty_file_among_others_does_no_harm(folder: Path) -> None:
    paths = [put(folder / "a.txt", "x"), put(folder / "b.txt", ""), put(folder / "c.txt", "y")]
    assert read_text(*paths) == "xy"


def test_an_empty_file_of_bytes_is_refused(folder: Path) -> None:
    with pytest.raises(CorpusError, match="the text is empty"):
        read([put(folder / "a.bin", b"")], bytes=True)


def test_a_file_that_cannot_be_opened_is_an_error_of_storage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(folder / "a.txt", "x")
    whole = os.open

    def denied(name: Any, *args: Any, **kwargs: Any) -> Any:
        if str(name) == path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return whole(name, *args, **kwargs)

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(StorageError, match=r"a\.txt: cannot be read: Permission denied"):
        corpus.read([path])


# ------------------------------------------------------------------------------------------------ characters


def test_a_byte_order_mark_at_the_start_of_each_file_is_dropped(folder: Path) -> None:
    paths = [put(folder / name, "\ufeffab") for name in ("1.txt", "2.txt")]
    assert read_text(*paths) == "abab"


def test_a_byte_order_mark_elsewhere_is_a_character(folder: Path) -> None:
    assert read_text(put(folder / "a.txt", "a\ufeffb")) == "a\ufeffb"


def test_line_ends_stay_as_they_are(folder: Path) -> None:
    assert read_text(put(folder / "a.txt", b"a\r\nb\rc\nd\x0b\x0c\xc2\x85\0")) == "a\r\nb\rc\nd\x0b\x0c\x85\0"


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030", "shift_jisx0213", "utf-7"],
)
def test_text_in_any_encoding_is_the_same_text(
    folder: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, chunk: int
) -> None:
    text = "añ\n日本" + ("" if encoding == "shift_jisx0213" else "😀é")
    monkeypatch.setattr(readers, "CHUNK_BYTES", chunk)
    assert read_text(put(folder / "a.txt", text.encode(encoding)), encoding=encoding) == text


@pytest.mark.parametrize("encoding", ["cp1252", "CP1252", "windows-1252"])
def test_the_letters_of_old_windows_are_read(folder: Path, encoding: str) -> None:
    assert read_text(put(folder / "a.txt", b"\x93caf\xe9\x94 \x80"), encoding=encoding) == "“café” €"


@pytest.mark.parametrize(
    "encoding",
    ["", "utf-9", "rot13", "hex", "base64", "zlib", "undefined", "idna", "punycode", "\0", "a\nb", "é", "../os"],
)
def test_what_is_no_encoding_of_text_is_an_error_in_the_settings(folder: Path, encoding: str) -> None:
    with pytest.raises(ConfigError, match=r"^data\.encoding: "):
        read([put(folder / "a.txt", "x")], encoding=encoding)


@pytest.mark.parametrize(("encoding", "raw"), [("utf-7", b"a +2AA- b"), ("unicode_escape", rb"a \ud800 b")])
def test_a_lone_surrogate_from_an_odd_encoding_is_an_error_in_the_text(folder: Path, encoding: str, raw: bytes) -> None:
    with pytest.raises(CorpusError):
        read([put(folder / "a.txt", raw)], encoding=encoding)


# ----------------------------------------------------------------------------------------------- invalid bytes

INVALID = [
    # content, line, column, byte offset, the bytes
    (b"\xff", 1, 1, 0, "ff"),
    (b"ab\xff", 1, 3, 2, "ff"),
    (b"ab\n\xff", 2, 1, 3, "ff"),
    (b"ab\ncd\xffe", 2, 3, 5, "ff"),
    (b"\n\n\n\x80", 4, 1, 3, "80"),
    ("é€😀".encode() + b"\xfe", 1, 4, 9, "fe"),
    ("é\n€😀".encode() + b"\xfe\n", 2, 3, 10, "fe"),
    (b"a\r\nb\xc0", 2, 2, 4, "c0"),
    (b"ab\xc3", 1, 3, 2, "c3"),
    (b"ab\n\xe2\x82", 2, 1, 3, "e2 82"),
    (b"ab\xf0\x9f\x98", 1, 3, 2, "f0 9f 98"),
    (b"a\xe2\x82b", 1, 2, 1, "e2 82"),
    (b"a\xed\xa0\x80", 1, 2, 1, "ed"),
    (b"a\xc0\xaf", 1, 2, 1, "c0"),
    (b"a\xf4\x90\x80\x80", 1, 2, 1, "f4"),
]


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize(("raw", "line", "column", "offset", "found"), INVALID)
def test_bytes_that_are_not_utf8_are_named_with_their_place(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    chunk: int,
    raw: bytes,
    line: int,
    column: int,
    offset: int,
    found: str,
) -> None:
    monkeypatch.setattr(readers, "CHUNK_BYTES", chunk)
    with pytest.raises(CorpusError) as caught:
        corpus.read([put(folder / "a.txt", raw)])
    message = str(caught.value)
    assert (
        f"a.txt, line {line}, column {column}, byte offset {offset}: expected utf-8, found the bytes {found}; "
        in message
    )


def test_a_byte_order_mark_does_not_count_as_a_column(folder: Path) -> None:
    with pytest.raises(CorpusError, match=r"line 1, column 3, byte offset 5:"):
        corpus.read([put(folder / "a.txt", b"\xef\xbb\xbfab\xff")])


@given(st.text(st.characters(exclude_categories=("Cs",))), st.text(max_size=3), st.sampled_from(CHUNKS))
@settings(max_examples=20, deadline=None)
def test_the_place_of_an_invalid_byte_is_exact(
    tmp_path_factory: pytest.TempPathFactory, before: str, after: str, chunk: int
) -> None:
    before = before.lstrip("\ufeff")
    path = tmp_path_factory.getbasetemp() / "wrong.txt"
    path.write_bytes(before.encode() + b"\xff" + after.encode("utf-8", "replace"))
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "CHUNK_BYTES", chunk)
        with pytest.raises(CorpusError, match=rf"line {line}, column {column}, byte offset {len(before.encode())}: "):
            corpus.read([str(path)])


def test_the_file_with_the_invalid_byte_is_named_among_several(folder: Path) -> None:
    good, bad = put(folder / "good.txt", "x" * 10), put(folder / "bad.txt", b"\nx\xff")
    with pytest.raises(CorpusError, match=r"bad\.txt, line 2, column 2, byte offset 2:"):
        corpus.read([good, bad])


def test_a_character_is_not_completed_by_the_next_file(folder: Path) -> None:
    halves = [put(folder / "1.txt", b"a\xc3"), put(folder / "2.txt", b"\xa9")]
    with pytest.raises(CorpusError, match=r"^2 of 2 files are not utf-8: .*1\.txt \(line 1\), .*2\.txt \(line 1\)"):
        corpus.read(halves)


@pytest.mark.parametrize(
    ("raw", "advice"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", "--bytes"),
        (b"caf\xe9", "try --encoding cp1252"),
    ],
)
def test_the_advice_fits_the_file(folder: Path, raw: bytes, advice: str) -> None:
    with pytest.raises(CorpusError) as caught:
        corpus.read([put(folder / "a.txt", raw)])
    assert str(caught.value).endswith(advice) or advice in str(caught.value)


def test_the_advice_is_not_the_encoding_that_just_failed(folder: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        read([put(folder / "a.txt", b"a\x81")], encoding="cp1252")
    assert "try --encoding cp1252" not in str(caught.value)


@pytest.mark.parametrize("chunk", CHUNKS)
def test_utf16_without_a_mark_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(readers, "CHUNK_BYTES", chunk)
    with pytest.raises(CorpusError, match="utf-16"):
        read([put(folder / "a.txt", "text".encode("utf-16-le"))], encoding="utf-16")


@pytest.mark.parametrize("chunk", CHUNKS)
def test_utf16_cut_in_the_middle_of_a_character_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(readers, "CHUNK_BYTES", chunk)
    with pytest.raises(CorpusError, match="line 2, column 1, byte offset 4"):
        read([put(folder / "a.txt", "é\n😀".encode("utf-16-le")[:-1])], encoding="utf-16-le")


# ---------------------------------------------------------------------------------------------- bytes and widths


@given(st.binary(min_size=1, max_size=300))
@settings(max_examples=10, deadline=None)
def test_any_bytes_at_all_can_be_learned(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.bin"
    path.write_bytes(raw)
    found = read([str(path)], bytes=True)
    assert bytes(found.vocab.symbols[i] for i in found.ids) == raw


def test_all_256_bytes_can_be_learned(folder: Path) -> None:
    raw = bytes(range(256)) * 2
    found = read([put(folder / "a.bin", raw)], bytes=True)
    assert (len(found.vocab), found.ids.dtype) == (256, np.uint8)
    assert found.ids.tobytes() == raw


def test_a_mark_is_three_bytes_like_any_others(folder: Path) -> None:
    assert len(read([put(folder / "a.bin", b"\xef\xbb\xbfa")], bytes=True).ids) == 4


@pytest.mark.parametrize(
    ("symbols", "dtype"), [(1, "u1"), (256, "u1"), (257, "u2"), (65536, "u2"), (65537, "u4"), (70000, "u4")]
)
def test_ids_are_as_wide_as_the_alphabet_needs(folder: Path, symbols: int, dtype: str) -> None:
    text = "".join(map(chr, range(0x10000, 0x10000 + symbols)))
    found = corpus.read([put(folder / "a.txt", text)])
    assert found.ids.dtype == np.dtype(dtype)
    assert found.ids.tolist() == list(range(symbols))


def test_ids_cannot_be_written(folder: Path) -> None:
    ids = corpus.read([put(folder / "a.txt", "abc")]).ids
    with pytest.raises(ValueError, match="read-only"):
        ids[0] = 1


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1), st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_the_result_does_not_depend_on_the_size_of_the_chunks(
    tmp_path_factory: pytest.TempPathFactory, text: str, chunk: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "chunks.txt"
    path.write_text("x" + text, encoding="utf-8", newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(readers, "CHUNK_BYTES", chunk)
        found = corpus.read([str(path)])
    assert text_of(found) == "x" + text
    assert found.vocab == Vocabulary.of_text("x" + text)


# ----------------------------------------------------------------------------------------------- streams and pipes


def feed_stdin(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(raw)))


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    feed_stdin(monkeypatch, "from a pipe é".encode())
    found = corpus.read(["-"])
    assert (text_of(found), found.name) == ("from a pipe é", "stdin")
    assert found.fingerprint == hashlib.sha256("from a pipe é".encode()).hexdigest()


def test_standard_input_may_stand_between_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed_stdin(monkeypatch, b"2")
    assert read_text(put(folder / "a.txt", "1"), "-", put(folder / "b.txt", "3")) == "123"


def test_empty_standard_input_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    feed_stdin(monkeypatch, b"")
    with pytest.raises(CorpusError, match="standard input: the text is empty"):
        corpus.read(["-"])


def test_invalid_bytes_on_standard_input_are_named_with_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    feed_stdin(monkeypatch, b"a\nb\xff")
    with pytest.raises(CorpusError, match=r"^standard input, line 2, column 2, byte offset 3:"):
        corpus.read(["-"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_read_though_it_can_be_read_only_once(folder: Path) -> None:
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(("é" * 70_000).encode(),))
    writer.start()
    found = corpus.read([str(pipe)])
    writer.join()
    assert text_of(found) == "é" * 70_000


# ------------------------------------------------------------------------------------------- the encoded copy


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*")) if folder.is_dir() else []


def test_the_fingerprint_of_a_file_is_what_sha256sum_prints(folder: Path) -> None:
    raw = "\ufefftext é\r\n".encode()
    assert corpus.read([put(folder / "a.txt", raw)]).fingerprint == hashlib.sha256(raw).hexdigest()


def test_the_fingerprint_of_several_files_is_that_of_their_fingerprints(folder: Path) -> None:
    found = corpus.read([put(folder / "b.txt", "one"), put(folder / "a.txt", "two")])
    each = [hashlib.sha256(raw).hexdigest() for raw in (b"one", b"two")]
    assert found.fingerprint == hashlib.sha256("".join(each).encode()).hexdigest()
    assert found.size_bytes == 6


def test_the_encoded_copy_and_its_mark_are_the_only_things_left_in_the_cache(
    folder: Path, cache: Path, temporary: Path
) -> None:
    found = corpus.read([put(folder / "a.txt", "abc")])
    assert files_in(cache) == [f"{found.key}.checked", f"{found.key}.ids"]
    assert files_in(temporary) == []


def test_the_encoded_copy_is_used_again_and_not_written_again(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(folder / "a.txt", "abc")
    first = corpus.read([path])
    before = (cache / f"{first.key}.ids").stat()
    monkeypatch.setattr(corpus, "count_all", lambda *_: pytest.fail("written again"))
    second = corpus.read([path])
    after = (cache / f"{first.key}.ids").stat()
    assert second.ids.tolist() == first.ids.tolist()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_changed_file_gets_new_ids(folder: Path) -> None:
    path = put(folder / "a.txt", "abc")
    first = corpus.read([path])
    put(folder / "a.txt", "xyzx")
    assert read_text(path) == "xyzx"
    assert text_of(first) == "abc"


def test_a_file_of_the_same_length_and_time_is_known_by_its_content(folder: Path) -> None:
    path = put(folder / "a.txt", "abca")
    corpus.read([path])
    time = Path(path).stat()
    put(folder / "a.txt", "xyyx")
    os.utime(path, ns=(time.st_atime_ns, time.st_mtime_ns))
    assert read_text(path) == "xyyx"


def test_one_file_and_the_same_bytes_in_two_are_kept_apart(folder: Path) -> None:
    whole = corpus.read([put(folder / "ab.txt", "\ufeffa\ufeffb")])
    halves = corpus.read([put(folder / "a.txt", "\ufeffa"), put(folder / "b.txt", "\ufeffb")])
    assert whole.key != halves.key
    assert (text_of(whole), text_of(halves)) == ("a\ufeffb", "ab")


def test_the_same_bytes_in_two_encodings_are_kept_apart(folder: Path) -> None:
    path = put(folder / "a.txt", "é")
    assert read_text(path) == "é"
    assert read_text(path, encoding="cp1252") == "Ã©"
    assert read_text(path, bytes=True) == "é"
    assert len(read([path], bytes=True).ids) == 2


def test_two_names_of_an_encoding_share_the_encoded_copy(folder: Path) -> None:
    path = put(folder / "a.txt", "é")
    assert read([path]).key == read([path], encoding="UTF8").key


@pytest.mark.parametrize("damage", ["shorter", "longer", "empty", "gone"])
def test_an_encoded_copy_that_cannot_be_right_is_written_again(folder: Path, cache: Path, damage: str) -> None:
    path = put(folder / "a.txt", "abc")
    copy = cache / f"{corpus.read([path]).key}.ids"
    if damage == "gone":
        copy.unlink()
    else:
        copy.write_bytes({"shorter": b"\0", "longer": bytes(9), "empty": b""}[damage])
    assert read_text(path) == "abc"
    assert copy.read_bytes()[:3] == b"\0\1\2"


def test_a_cache_that_cannot_be_written_does_no_harm(
    folder: Path, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = put(tmp_path / "in-the-way", "a file where the folder should be")
    for name in (in_the_way, f"{in_the_way}/deeper"):
        monkeypatch.setenv("CHARNET_CACHE", name)
        assert read_text(put(folder / "a.txt", "abc")) == "abc"
    assert files_in(temporary) == []


def test_standard_input_is_read_where_the_cache_cannot_be_written(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARNET_CACHE", put(tmp_path / "in-the-way", ""))
    feed_stdin(monkeypatch, b"text")
    assert read_text("-") == "text"
    assert files_in(temporary) == []


@pytest.mark.parametrize("raw", [b"ab\xff", b"", b"ab\xc3"])
def test_nothing_is_left_behind_after_a_bad_text(
    folder: Path, cache: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, raw: bytes
) -> None:
    feed_stdin(monkeypatch, raw)
    for paths in (["-"], [put(folder / "a.txt", raw)]):
        with pytest.raises(CorpusError):
            corpus.read(paths)
        with pytest.raises(CorpusError):
            corpus.encode_for(Vocabulary.of_text("ab"), paths)
    assert files_in(cache) == files_in(temporary) == []


@pytest.mark.parametrize("later", [b"xyz", b"ab", b"abcabc", b"a\xffc"])
def test_a_text_that_changes_while_it_is_read_is_refused(
    folder: Path, cache: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, later: bytes
) -> None:
    path = put(folder / "a.txt", "abc")
    unpacked = readers._unpack
    monkeypatch.setattr(readers, "_unpack", lambda *given: put(folder / "a.txt", later) and unpacked(*given))
    with pytest.raises(CorpusError, match=r"changed while it was read|expected utf-8"):
        corpus.read([path])
    assert files_in(cache) == files_in(temporary) == []


def test_a_text_that_becomes_a_pipe_after_it_was_found_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "a.txt")
    with pytest.raises(StorageError, match="it is a pipe or a device"):
        list(readers.chunks(Source("a.txt", folder / "a.txt"), FileDigest()))


def test_a_file_that_waits_for_the_system_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting, writer = os.pipe()
    os.set_blocking(waiting, False)
    monkeypatch.setattr(readers, "_open", lambda _: contextlib.nullcontext(io.FileIO(waiting, closefd=False)))
    with pytest.raises(StorageError, match="cannot be read: Resource temporarily unavailable"):
        readers.fingerprint(Source("a.txt", folder / "a.txt"))
    os.close(waiting)
    os.close(writer)


def test_a_full_disk_is_an_error_of_storage_and_leaves_nothing(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(corpus, "write_ids", full)
    with pytest.raises(StorageError, match=r"No space left on device; free some space or name .* CHARNET_CACHE"):
        corpus.read([put(folder / "a.txt", "abc")])
    assert files_in(cache) == []


def test_a_failing_rename_is_an_error_of_storage_and_leaves_nothing(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StorageError):
        corpus.read([put(folder / "a.txt", "abc")])
    assert files_in(cache) == []


def test_the_cache_is_where_the_variables_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHARNET_CACHE", "/some/place")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == Path("/some/place")
    monkeypatch.delenv("CHARNET_CACHE")
    assert cache_folder() == tmp_path / "charnet"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "charnet"


# -------------------------------------------------------------------------------------- for a model that exists


def test_unknown_characters_are_counted_and_the_others_keep_their_order(folder: Path) -> None:
    vocab = Vocabulary.of_text("abc")
    ids, unknown, _ = corpus.encode_for(vocab, [put(folder / "a.txt", "cxa😀bxc\n")])
    assert vocab.decode(ids.tolist()) == "cabc"
    assert unknown == {ord("x"): 2, ord("😀"): 1, ord("\n"): 1}


@pytest.mark.parametrize("chunk", CHUNKS)
def test_unknown_characters_add_up_over_files_and_chunks(
    folder: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(readers, "CHUNK_BYTES", chunk)
    paths = [put(folder / "a.txt", "éaé"), put(folder / "b.txt", "bé")]
    ids, unknown, _ = corpus.encode_for(Vocabulary.of_text("ab"), paths)
    assert (ids.tolist(), unknown) == ([0, 1], {ord("é"): 3})


def test_a_text_of_unknown_characters_only_has_no_ids(folder: Path) -> None:
    ids, unknown, _ = corpus.encode_for(Vocabulary.of_text("ab"), [put(folder / "a.txt", "xyx")])
    assert (len(ids), unknown) == (0, {ord("x"): 2, ord("y"): 1})


def test_an_empty_text_cannot_be_evaluated(folder: Path) -> None:
    with pytest.raises(CorpusError, match="empty"):
        corpus.encode_for(Vocabulary.of_text("ab"), [put(folder / "a.txt", "")])


def test_a_model_of_bytes_evaluates_the_bytes_of_any_file(folder: Path) -> None:
    vocab = Vocabulary(tuple(range(128)), of_bytes=True)
    ids, unknown, _ = corpus.encode_for(vocab, [put(folder / "a.bin", b"a\xff\0\xff")], DataSettings(bytes=True))
    assert (ids.tolist(), unknown) == ([97, 0], {255: 2})


def test_a_model_of_all_bytes_evaluates_any_file(folder: Path) -> None:
    vocab = Vocabulary(tuple(range(256)), of_bytes=True)
    ids, unknown, _ = corpus.encode_for(vocab, [put(folder / "a.bin", b"a\xff\0")], DataSettings(bytes=True))
    assert (ids.tolist(), unknown) == ([97, 255, 0], {})


def test_evaluating_leaves_nothing_in_the_cache(folder: Path, cache: Path, temporary: Path) -> None:
    ids, _, _ = corpus.encode_for(Vocabulary.of_text("ab"), [put(folder / "a.txt", "abx")])
    assert ids.tolist() == [0, 1]
    assert files_in(cache) == files_in(temporary) == []


def test_a_full_disk_while_evaluating_is_an_error_of_storage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(corpus, "symbols_of", full)
    with pytest.raises(StorageError):
        corpus.encode_for(Vocabulary.of_text("ab"), [put(folder / "a.txt", "ab")])


# ------------------------------------------------------------------------------------------------ names and parts


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.txt", "a"),
        ("x/War & Peace.txt", "War-Peace"),
        ("-", "stdin"),
        (".txt", "txt"),
        ("---", "run"),
        ("$(rm -rf ~)", "rm-rf"),
        ("a\nb\x1b[2J.txt", "a-b-2J"),
        ("ü.txt", "ü"),
        ("x" * 200, "x" * 60),
        ("a.tar.gz", "a"),
        ("a.txt.bz2", "a"),
        ("/dev/fd/63", "pipe"),
    ],
)
def test_a_run_is_named_after_its_first_text(path: str, name: str) -> None:
    assert name_of([path, "other.txt"]) == name


def test_a_folder_named_by_a_dot_gives_its_real_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert name_of(["."]) == "texts"


@given(st.text(st.characters(exclude_characters="\0"), min_size=1))
@settings(max_examples=200, deadline=None)
def test_any_path_gives_a_name_that_is_safe_as_a_folder(path: str) -> None:
    name = name_of(["none/" + path])
    assert name
    assert name not in (".", "..")
    assert name.isprintable()
    assert not set(name) & set('/\\:*?"<>| ')
    assert not name.startswith(("-", "."))
    assert len(name.encode()) <= 255


@pytest.mark.parametrize(
    ("characters", "fraction", "held_out"), [(10, 0.1, 1), (9, 0.1, 0), (10, 0.0, 0), (10, 0.9, 9)]
)
def test_the_end_of_the_text_is_held_out(characters: int, fraction: float, held_out: int) -> None:
    assert DataSettings(val_fraction=fraction).num_held_out(characters) == held_out


def test_line_ends_of_two_characters_are_noted_unless_they_are_made_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\r\ntwo\r\n" * 9)
    (note,) = corpus.read([str(path)]).notes
    assert note == r"line ends are two characters each (\r\n): charnet train --newlines lf makes them one"
    assert corpus.read([str(path)], DataSettings(newlines="lf")).notes == ()
    assert corpus.read([str(path)], DataSettings(bytes=True)).notes == ()
