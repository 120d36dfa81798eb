"""Runs that stand in another text: found as brute force finds them, by both indexes, and again from the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charnet.config import DataSettings
from charnet.data import anchors, cache, copy_index, corpus
from charnet.data.anchors import SHORTEST, AnchorIndex
from charnet.data.copy_index import CopyIndex, LearnedPieces, open_index
from charnet.data.documents import Documents
from charnet.data.suffix_array import SuffixIndex, suffix_array

END = 2  # ends documents

symbols = st.lists(st.integers(0, 2), max_size=60)
texts = st.one_of(symbols, st.builds(lambda few, times: (few * times)[:300], symbols, st.integers(2, 40)))


def array(ids: list[int]) -> np.ndarray:
    return np.array(ids, np.uint8)


def pieces_of(bounds: list[int], length: int) -> Documents:
    """Every other part of a text that is cut at some bounds."""
    cuts = sorted(min(bound, length) for bound in bounds)
    begins, ends = np.array(cuts[::2][: len(cuts) // 2], np.int64), np.array(cuts[1::2], np.int64)
    return Documents(begins, ends).take(np.flatnonzero(begins < ends))


def strings(ids: list[int], pieces: Documents, end: int | None) -> list[str]:
    """What no run may cross: each piece, cut at the ends of documents."""
    found = ["".join(map(str, ids[begin:last])) for begin, last in zip(*map(list, pieces), strict=True)]
    return [part for each in found for part in (each.split(str(end)) if end is not None else [each])]


def brute_runs(learned: list[str], text: list[int]) -> list[int]:
    written, runs = "".join(map(str, text)), []
    for t in range(len(written)):
        run = runs[-1] + 1 if runs else 1
        while run and not any(written[t + 1 - run : t + 1] in each for each in learned):
            run -= 1
        runs.append(run)
    return runs


def check(index: CopyIndex, ids: list[int], learned: list[str], text: list[int]) -> None:
    """Compares all that an index says of a text with brute force."""
    expected = [run if run >= index.shortest else 0 for run in brute_runs(learned, text)]
    lengths, ends = index.runs(np.array(text, np.int64))
    assert lengths.tolist() == expected
    for t, (run, end) in enumerate(zip(expected, ends.tolist(), strict=True)):
        assert not run or ids[end - run : end] == text[t + 1 - run : t + 1]
    length = max(3, index.shortest)
    assert index.first(text, length) == next((t for t, run in enumerate(expected) if run >= length), None)
    for t in range(length, len(text), 5):
        assert index.longest(text[:t], length + 3) == max(index.shortest - 1, min(length + 3, expected[t - 1]))
        last = text[t - length : t]
        query = "".join(map(str, last))
        after = {
            each[at + length] for each in learned for at in range(len(each) - length) if each[at:].startswith(query)
        }
        assert index.next_symbols(last) == {int(symbol) for symbol in after}


@given(st.lists(st.integers(0, 3), max_size=200).map(lambda few: few * 3))
def test_suffixes_are_in_the_order_of_their_symbols(ids: list[int]) -> None:
    assert suffix_array(array(ids)).tolist() == sorted(range(len(ids)), key=lambda at: ids[at:])


@pytest.mark.parametrize("end", [None, END])
@settings(deadline=None)
@given(ids=texts, bounds=st.lists(st.integers(0, 300), max_size=6), text=symbols)
def test_every_run_is_found_and_none_over_the_end_of_a_piece_or_a_document(
    end: int | None, ids: list[int], bounds: list[int], text: list[int]
) -> None:
    pieces = pieces_of(bounds, len(ids))
    if len(pieces.ends):
        check(SuffixIndex(array(ids), pieces, 3, end), ids, strings(ids, pieces, end), text)


@pytest.mark.parametrize("end", [None, END])
@settings(deadline=None)
@given(
    ids=texts,
    bounds=st.lists(st.integers(0, 300), min_size=2, max_size=6),
    parts=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 80)), max_size=5),
)
def test_the_index_of_long_texts_finds_every_long_run(
    end: int | None, ids: list[int], bounds: list[int], parts: list[tuple[int, int]]
) -> None:
    pieces = pieces_of(bounds, len(ids))
    text = [symbol for begin, length in parts for symbol in ids[begin : begin + length]]
    if len(pieces.ends):
        check(AnchorIndex(array(ids), pieces, end), ids, strings(ids, pieces, end), text)


@pytest.mark.parametrize("end", [pytest.param(None, marks=pytest.mark.exhaustive), END])
@settings(deadline=None)
@given(
    begin=symbols,
    ids=texts,
    bounds=st.lists(st.integers(1, 299), max_size=4),
    parts=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 80)), max_size=5),
    frequent=st.integers(0, 2),
)
def test_no_run_of_frequent_blocks_is_missed_and_none_goes_into_the_next_piece(
    begin: list[int],
    end: int | None,
    ids: list[int],
    bounds: list[int],
    parts: list[tuple[int, int]],
    frequent: int,
) -> None:
    ids = [*begin, *ids, *[0] * 40, *begin, *[0] * 37, 1, *ids]
    cuts = np.unique([0, *(min(bound, len(ids)) for bound in bounds), len(ids)])
    pieces = Documents(cuts[:-1], cuts[1:])  # each begins where the one before it ends
    text = [symbol for begin, length in parts for symbol in ids[begin : begin + length]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anchors, "FREQUENT", frequent)
        patch.setattr(anchors, "AT_ONCE", 7)
        patch.setattr(anchors, "BLOCKS_AT_ONCE", 19)
        check(AnchorIndex(array(ids), pieces, end), ids, strings(ids, pieces, end), text)


@pytest.mark.parametrize("alphabet", [200, 255, 256, 70_000])
def test_large_alphabets_are_searched_as_small_ones(alphabet: int) -> None:
    random = np.random.default_rng(0)
    few = random.choice(alphabet, 3)
    ids = random.choice([*few, alphabet - 1], 400).astype(np.uint32)
    index = SuffixIndex(ids, Documents(np.array([0]), np.array([400])), alphabet, None)
    text = random.choice([*few, alphabet - 1], 60)
    lengths, ends = index.runs(text)
    for t, (run, end) in enumerate(zip(lengths.tolist(), ends.tolist(), strict=True)):
        assert ids[end - run : end].tolist() == text[t + 1 - run : t + 1].tolist()
        longer = text[t - run : t + 1].tolist() if t >= run else None
        windows = np.lib.stride_tricks.sliding_window_view(ids, run + 1)
        assert longer is None or not (windows == longer).all(axis=1).any()


@pytest.fixture
def learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[LearnedPieces, str]:
    monkeypatch.setenv("CHARNET_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a.txt").write_text("a text of some words, " * 50)
    text = corpus.read([str(tmp_path / "a.txt")], DataSettings())
    return LearnedPieces(text.ids, Documents(np.array([0]), np.array([900])), text.vocab.symbols, None), text.key


def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of the indexes that are built from here on."""
    found: list[str] = []

    def watch(name: str) -> None:
        real = getattr(copy_index, name)

        def note(*arguments: object) -> object:
            if arguments[-1] is None:
                found.append(name)
            return real(*arguments)

        monkeypatch.setattr(copy_index, name, note)

    watch("SuffixIndex")
    watch("AnchorIndex")
    return found


@pytest.mark.parametrize("most", [copy_index.MOST_SUFFIXES, 0])
def test_an_index_is_built_once_and_opened_from_the_cache(
    learned: tuple[LearnedPieces, str], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(copy_index, "MOST_SUFFIXES", most)
    found = built(monkeypatch)
    first, second = open_index(*learned), open_index(*learned)
    assert found == ["SuffixIndex" if most else "AnchorIndex"]
    text = np.asarray(learned[0].ids[100:200])
    assert first.runs(text)[0].tolist() == second.runs(text)[0].tolist()
    assert first.runs(text)[0][-1] == 100
    assert first.shortest == (1 if most else SHORTEST)


def test_an_index_of_another_part_of_the_text_is_not_used(
    learned: tuple[LearnedPieces, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = built(monkeypatch)
    open_index(*learned)
    other = learned[0]._replace(pieces=Documents(np.array([0]), np.array([30])))
    assert open_index(other, learned[1]).runs(np.asarray(other.ids[:60]))[0].max() == 30
    assert len(found) == 2


@pytest.mark.parametrize("most", [copy_index.MOST_SUFFIXES, 0])
def test_a_damaged_index_is_built_again(
    learned: tuple[LearnedPieces, str], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(copy_index, "MOST_SUFFIXES", most)
    found = built(monkeypatch)
    open_index(*learned)
    path = cache.cache_folder() / f"{learned[1]}{cache.INDEX_SUFFIX}"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    header, _, body = whole.partition(b"\n")
    damaged = [b"", whole[:-1], whole[: len(header)], bytes(flipped), whole + b"\0" * 8, b"[" * 5000, b"{}\n" + body]
    for number, raw in enumerate(damaged, 2):
        path.write_bytes(raw)
        assert open_index(*learned).runs(np.asarray(learned[0].ids[:60]))[0][-1] == 60
        assert len(found) == number
        assert path.read_bytes() == whole
    path.unlink()
    path.symlink_to(cache.cache_folder() / "elsewhere")
    open_index(*learned)
    assert not (cache.cache_folder() / "elsewhere").exists()


def test_an_index_that_names_places_outside_the_text_is_built_again(
    learned: tuple[LearnedPieces, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_index(*learned)
    found = built(monkeypatch)
    for most, dtype, forged in ((copy_index.MOST_SUFFIXES, "<i4", 10**6), (0, "<u8", 10**6)):
        monkeypatch.setattr(copy_index, "MOST_SUFFIXES", most)
        open_index(*learned)
        path = cache.cache_folder() / f"{learned[1]}{cache.INDEX_SUFFIX}"
        header, _, body = path.read_bytes().partition(b"\n")
        places = np.frombuffer(body, dtype).copy()
        places[0] = forged
        checksum = copy_index.json.loads(header) | {"sum": copy_index.zlib.crc32(places.data)}
        path.write_bytes(copy_index.json.dumps(checksum).encode() + b"\n" + places.tobytes())
        before = len(found)
        open_index(*learned)
        assert len(found) == before + 1


def test_an_index_counts_with_its_copy_and_goes_with_it(learned: tuple[LearnedPieces, str]) -> None:
    before = cache.entries()[0].size_bytes
    open_index(*learned)
    path = cache.cache_folder() / f"{learned[1]}{cache.INDEX_SUFFIX}"
    assert cache.entries()[0].size_bytes == before + path.stat().st_size
    cache.clear(down_to=1)
    assert not path.exists()
