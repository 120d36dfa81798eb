"""The encoded copies: never stale, never used when damaged, opened at once, removed when there are many."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charnet.config import DataSettings
from charnet.data import corpus, encoded_copy, fingerprints, footer, readers
from charnet.data.cache import LIMIT_VARIABLE, cache_folder, clear, entries, parse_size
from charnet.data.sources import Source
from charnet.errors import ConfigError, StorageError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHARNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_text("some text, " * 50)
    return path


def text_of(found: corpus.Corpus) -> str:
    return found.vocab.decode(found.ids.tolist())


def read(path: Path, **options: Any) -> corpus.Corpus:
    return corpus.read([str(path)], DataSettings(**options))


def no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "count_all", lambda *_: pytest.fail("encoded again"))


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file counts as large: it is known by how the file system describes it."""
    monkeypatch.setattr(fingerprints, "READ_EACH_TIME", 0)
    monkeypatch.setattr(fingerprints, "SETTLED_SECONDS", -60.0)


def test_a_note_that_names_a_folder_of_brackets_can_be_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path.joinpath(*["[" * 250] * 5)
    folder.mkdir(parents=True)
    path = folder / "a.txt"
    path.write_text("<html>\n<body>\n" + "<p>some text</p>\n" * 50 + "</body></html>\n")
    (note,) = read(path).notes
    assert str(folder) in note
    no_reading(monkeypatch)
    assert read(path).notes == (note,)


@pytest.mark.usefixtures("large")
def test_a_large_file_is_not_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(path)
    no_reading(monkeypatch)
    monkeypatch.setattr(fingerprints, "fingerprint", lambda _: pytest.fail("read again"))
    assert text_of(read(path)) == path.read_text()


@pytest.mark.usefixtures("large")
def test_a_large_file_with_another_time_is_read_but_not_encoded_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(path)
    os.utime(path, (1, 1))
    no_reading(monkeypatch)
    assert text_of(read(path)) == path.read_text()


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("same_time", [True, False])
def test_a_large_file_that_changed_is_encoded_again(path: Path, same_time: bool) -> None:
    read(path)
    status = path.stat()
    path.write_text("more text, " * 50)
    if same_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert text_of(read(path)) == "more text, " * 50


def test_a_large_file_that_just_changed_is_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "READ_EACH_TIME", 0)
    read(path)
    stored = fingerprints._read([Source("a", path)])
    assert stored is not None
    assert [status for status, _ in stored] == [[]]


@pytest.mark.parametrize(
    "options",
    [
        {"encoding": "cp1252"},
        {"bytes": True},
        {"lowercase": True},
        {"lines": True},
        {"min_count": 60},
        {"max_alphabet": 3},
    ],
)
def test_other_settings_have_another_copy(path: Path, options: dict[str, Any]) -> None:
    assert read(path).key != read(path, **options).key
    assert read(path, **options).key == read(path, **options).key


@pytest.mark.parametrize("at", [0, 100, -1, -20, -50, -200])
def test_a_copy_with_one_wrong_byte_is_never_used(path: Path, cache: Path, at: int) -> None:
    copy = cache / f"{read(path).key}.ids"
    raw = bytearray(copy.read_bytes())
    raw[at] ^= 1
    copy.write_bytes(raw)
    assert text_of(read(path)) == path.read_text()
    assert copy.read_bytes() != raw


def test_a_copy_of_zeros_as_a_power_cut_leaves_is_never_used(path: Path, cache: Path) -> None:
    copy = cache / f"{read(path).key}.ids"
    status = copy.stat()
    copy.write_bytes(bytes(status.st_size))
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert text_of(read(path)) == path.read_text()


def test_a_copy_that_changed_since_it_was_checked_is_checked_block_by_block(
    path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footer, "BLOCK_BYTES", 8)
    monkeypatch.setattr(encoded_copy, "BLOCKS_CHECKED", 1)
    every: list[bool] = []
    is_whole = encoded_copy._is_whole

    def watched(*given: Any, every_block: bool) -> bool:
        every.append(every_block)
        return is_whole(*given, every_block=every_block)

    monkeypatch.setattr(encoded_copy, "_is_whole", watched)
    copy = cache / f"{read(path).key}.ids"
    read(path)
    os.utime(copy, (1, 1))
    read(path)
    read(path)
    assert every == [False, True, False]


def test_two_at_once_leave_one_whole_copy(path: Path, cache: Path) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(text_of(read(path)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [path.read_text()] * 4
    assert [each.suffix for each in sorted(cache.iterdir())] == [".checked", ".ids"]


def test_the_copies_not_used_for_longest_go_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = []
    for number in range(3):
        path.write_text(f"text {number} " * 50)
        keys.append(read(path).key)
        checked = cache_folder() / f"{keys[-1]}.checked"
        for each in (checked, checked.with_suffix(".ids")):
            os.utime(each, (1000 + number, 1000 + number))
    assert [entry.key for entry in entries()] == keys[::-1]
    size = entries()[0].size_bytes
    assert [entry.key for entry in clear(down_to=2 * size)] == keys[:1]
    monkeypatch.setenv(LIMIT_VARIABLE, "1")
    path.write_text("the newest " * 50)
    newest = read(path).key
    assert [entry.key for entry in entries()] == [newest]
    clear()
    assert not list(cache_folder().iterdir())


def test_clear_removes_the_files_of_older_versions_too(path: Path, cache: Path) -> None:
    key = read(path).key
    old = [cache / name for name in (f"{key}.seal", "gone.seal", f"{'0' * 64}.known", f"{'1' * 64}.fingerprints")]
    for each in old:
        each.write_text("[]")
    clear(down_to=10**9)
    assert (cache / f"{key}.ids").exists()
    clear()
    assert not list(cache.iterdir())


@pytest.mark.parametrize("size", ["", "much", "-1", "5 PB", "1e9"])
def test_what_is_no_size_is_an_error_in_the_settings(size: str) -> None:
    with pytest.raises(ConfigError, match="--down-to: expected a size"):
        parse_size(size, "--down-to")


# ------------------------------------------------------------------------------------------------- round trips

anything = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60)


def comes_back(folder: Path, raw: bytes, *, of_bytes: bool) -> None:
    path = folder / "any.txt"
    path.write_bytes(raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARNET_CACHE_LIMIT", "0")  # one copy at a time: thousands would make looking through them long
        found = read(path, bytes=of_bytes)
    expected = raw if of_bytes else raw.decode().removeprefix("\ufeff").encode()
    assert b"".join(found.vocab.pieces[i] for i in found.ids.tolist()) == expected


@pytest.mark.slow
@given(anything.filter(lambda text: text != "\ufeff"))
@settings(max_examples=10_000, deadline=None)
def test_any_text_comes_back_from_its_encoded_copy(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    comes_back(tmp_path_factory.getbasetemp(), text.encode(), of_bytes=False)


@pytest.mark.slow
@given(st.binary(min_size=1, max_size=60))
@settings(max_examples=10_000, deadline=None)
def test_any_bytes_come_back_from_their_encoded_copy(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    comes_back(tmp_path_factory.getbasetemp(), raw, of_bytes=True)


@given(st.lists(st.sampled_from(["a", "\n", "é", "字", "😀"]), min_size=1), st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_symbols_are_kept_whatever_their_width_until_they_are_numbered(
    tmp_path_factory: pytest.TempPathFactory, letters: list[str], chunk: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "widths.txt"
    path.write_bytes("".join(letters).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(readers, "CHUNK_BYTES", chunk)
        assert text_of(read(path)) == "".join(letters)


# ------------------------------------------------------------------------------------------------- rare characters


def test_rare_characters_are_folded_into_one(path: Path) -> None:
    path.write_text("aaaa bbb cc d é")
    found = read(path, min_count=2)
    assert text_of(found) == "aaaa bbb cc \ufffd \ufffd"
    assert found.notes == ("2 rare characters folded into one, 0.13 of the text",)
    assert text_of(read(path, max_alphabet=2)) == "aaaa \ufffd\ufffd\ufffd \ufffd\ufffd \ufffd \ufffd"


def test_nothing_is_folded_where_nothing_is_rare(path: Path) -> None:
    found = read(path, min_count=2, max_alphabet=100)
    assert (found.vocab.rare_id, found.notes) == (None, ())


def test_a_copy_that_another_process_cuts_while_it_is_written_is_an_error_of_storage(tmp_path: Path) -> None:
    with (tmp_path / "copy").open("wb+") as file, pytest.raises(StorageError, match="changed while it was written"):
        encoded_copy.map_new(file)
