"""Documents of several lines: cut alike wherever the text is cut, learned, evaluated and written as wholes."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import charnet
from charnet.cli.app import run
from charnet.config import DOCUMENT_END, DataSettings
from charnet.data import corpus
from charnet.data import segment as module
from charnet.data.segment import LeftOut, segment
from charnet.errors import CheckpointError, ConfigError, CorpusError
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.document import parse
from charnet.training import setup

BLANK = r"\n(?:[^\S\n]*\n)+"
SEPARATORS = {"blank-line": BLANK, "%a": "%a", "/%+\n/": "%+\n", "/^(?=a:)/": "(?m)^(?=a:)", "file": "(?!)"}


def cut(text: str, documents: str, **more: object) -> list[str]:
    """The documents of a text."""
    found = "".join(segment([text], DataSettings(documents=documents, **more), {}))  # type: ignore[arg-type]
    assert not found or found[-1] == DOCUMENT_END
    return found.split(DOCUMENT_END)[:-1]


def without_blank_lines(document: str) -> str:
    lines = document.split("\n")
    visible = [number for number, line in enumerate(lines) if line.strip()]
    return "\n".join(lines[visible[0] : visible[-1] + 1]) if visible else ""


@given(st.lists(st.text("a:%\n \x1e", max_size=7), max_size=9), st.sampled_from(sorted(SEPARATORS)))
@settings(max_examples=200, deadline=None)
def test_a_text_has_the_same_documents_wherever_it_is_cut(pieces: list[str], documents: str) -> None:
    text, places, begin = "".join(pieces), [], 0
    for match in re.finditer(SEPARATORS[documents], text):
        places.append(text[begin : match.start()])
        begin = match.end()
    parts = [part for place in [*places, text[begin:]] for part in place.split(DOCUMENT_END)]
    expected = [kept for kept in map(without_blank_lines, parts) if kept]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LONGEST_SEPARATOR", 9)
        found = "".join(segment(pieces, DataSettings(documents=documents), {}))
    assert found == "".join(each + DOCUMENT_END for each in expected)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timers")
def test_a_pattern_that_would_search_for_ages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATTERN_SECONDS", 0.01)
    with pytest.raises(CorpusError, match=r"takes more than 0\.01 seconds for 5,000 characters"):
        cut("word " * 1000, r"/(\w+\s?)+\x00/")
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)
    assert signal.getsignal(signal.SIGVTALRM) == signal.SIG_DFL


def test_a_separator_on_the_border_of_two_pieces_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_SEPARATOR", 6)
    pieces = ["first document, END", "LESS second document", " ENDLESS third document"]
    found = "".join(segment(pieces, DataSettings(documents="ENDLESS"), {}))
    assert found.split(DOCUMENT_END) == ["first document, ", " second document ", " third document", ""]


def test_line_ends_of_all_systems_make_blank_lines() -> None:
    assert cut("a\r\nb\r\n\r\n c\r\rd\n \t\n\ne", "blank-line") == ["a\nb", " c", "d", "e"]


def test_a_separator_is_written_as_in_the_file_whatever_becomes_of_the_text() -> None:
    assert cut("One<END>Two", "<END>", lowercase=True) == ["one", "two"]
    assert cut("a.b", ".") == ["a", "b"]


def test_an_empty_match_is_a_place_to_cut() -> None:
    assert cut("X: 1\nabc\nX: 2\nX: 3\n", "/^(?=X:)/") == ["X: 1\nabc", "X: 2", "X: 3"]


def test_documents_that_are_left_out_are_counted() -> None:
    left_out: LeftOut = {}
    assert "".join(segment(["%%a%%%% \n%%b%%"], DataSettings(documents="%%"), left_out)) == "a\x1eb\x1e"
    assert left_out == {"empty documents": (2, "")}


def test_a_document_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_DOCUMENT", 100)
    monkeypatch.setattr(module, "LONGEST_SEPARATOR", 10)
    with pytest.raises(CorpusError, match="more than 100 characters"):
        list(segment(["some text " * 3] * 9, DataSettings(documents="%%"), {}))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"documents": "/(/"}, "not a regular expression"),
        ({"documents": "%%", "lines": True}, "two ways to separate documents"),
        ({"documents": "%%", "field": "text"}, "two ways to separate documents"),
        ({"documents": "%%", "document_separator": "-"}, "two ways to separate documents"),
        ({"field": "text", "bytes": True}, "does not apply to a model of bytes"),
    ],
)
def test_documents_are_separated_in_one_way(values: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        setup.new_run({f"data.{name}": value for name, value in values.items()}, out=tmp_path)


def test_each_file_ends_a_document(tmp_path: Path) -> None:
    for name, text in (("a.txt", "one\n\ntwo"), ("b.txt", "three")):
        (tmp_path / name).write_text(text)
    found = corpus.read([str(tmp_path)], DataSettings(documents="blank-line"))
    assert found.vocab.decode(found.ids.tolist()) == "one\x1etwo\x1ethree\x1e"
    assert found.ends is not None
    assert found.ends.tolist() == [4, 8, 14]
    by_file = corpus.read([str(tmp_path)], DataSettings(documents="file"))
    assert by_file.ends is not None
    assert by_file.ends.tolist() == [9, 15]


def test_a_separator_that_separates_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one two")
    with pytest.raises(CorpusError, match='only one document: "%%" separates nothing'):
        corpus.read([str(tmp_path / "a.txt")], DataSettings(documents="%%"))


def test_a_separator_that_is_a_slip_of_a_word_is_answered_with_the_word(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    with pytest.raises(CorpusError, match=r'"blankline" separates nothing in it \(did you mean "blank-line"\?\)'):
        corpus.read([str(tmp_path / "a.txt")], DataSettings(documents="blankline"))
    with pytest.raises(CorpusError, match="--documents file needs two files or more"):
        corpus.read([str(tmp_path / "a.txt")], DataSettings(documents="file"))


@pytest.mark.parametrize("rare", [{"min_count": 9}, {"max_alphabet": 1}])
def test_the_end_of_a_document_is_never_folded(rare: dict[str, int], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("aaaaaaaaab\n\naaaaaaaaac")
    found = corpus.read([str(tmp_path / "a.txt")], DataSettings(documents="blank-line", **rare))  # type: ignore[arg-type]
    assert found.vocab.start_id() == found.vocab.symbols.index(0x1E)
    assert found.ends is not None
    assert len(found.ends) == 2


def test_bytes_have_documents_and_lines(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\xe9t\xe9\r\n\r\n\xc3\xa0\n\xff")
    paths = [str(tmp_path / "a.bin")]
    of_lines = corpus.read(paths, DataSettings(bytes=True, lines=True))
    assert bytes(of_lines.vocab.symbols[i] for i in of_lines.ids) == b"\xe9t\xe9\n\xc3\xa0\n\xff\n"
    found = corpus.read(paths, DataSettings(bytes=True, documents="blank-line"))
    assert bytes(found.vocab.symbols[i] for i in found.ids) == b"\xe9t\xe9\x1e\xc3\xa0\n\xff\x1e"
    cut_at = corpus.read(paths, DataSettings(bytes=True, documents="à"))
    assert bytes(cut_at.vocab.symbols[i] for i in cut_at.ids) == b"\xe9t\xe9\x1e\xff\x1e"


def test_copies_without_documents_keep_their_key(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abc")
    found = corpus.read([str(tmp_path / "a.txt")])
    assert found.key == "83c36e4cb5e8d2e11efd4c25a1becf1e59d63bc7c5832b8ecf289d3aab27efa9"


POEMS = ["roses\nred", "violets\nblue", "sugar\nsweet"]


@pytest.fixture(scope="module")
def poems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that learned documents of two lines."""
    folder = tmp_path_factory.mktemp("poems")
    (folder / "poems.txt").write_text("\n\n\n".join(POEMS * 40) + "\n")
    values = {
        "data.paths": [str(folder / "poems.txt")], "data.documents": "blank-line", "model.hidden_size": 24,
        "model.dropout": 0.0, "training.steps": 200, "training.threads": 1, "training.seed": 3,
    }  # fmt: skip
    made = setup.new_run(values, out=folder)
    for _ in made.events():
        pass
    return made.folder.path


@pytest.mark.exhaustive
def test_a_checkpoint_knows_what_ends_its_documents(poems: Path) -> None:
    checkpoint = Checkpoint.load(poems / "best.safetensors")
    assert checkpoint.config.data.documents == "blank-line"
    assert checkpoint.vocab.document_end == ord(DOCUMENT_END)


def test_a_checkpoint_whose_alphabet_lacks_the_end_of_a_document_is_refused(poems: Path) -> None:
    raw = json.loads(json.dumps(Checkpoint.load(poems / "best.safetensors").document.to_json()))
    assert parse(poems, raw).vocab.document_end == ord(DOCUMENT_END)
    with pytest.raises(CheckpointError, match="the end of a document is not in the alphabet"):
        parse(poems, raw | {"alphabet": raw["alphabet"].replace(DOCUMENT_END, "\x1f")})


@pytest.mark.parametrize("how", [["--samples", "5"], ["--lines", "5"]])
def test_sample_writes_whole_documents_with_a_blank_line_between(
    poems: Path, how: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sample", str(poems), *how, "-q", "--seed", "1", "--temp", "0.2"]) == 0
    written = capsys.readouterr().out
    assert written.endswith("\n")
    documents = written.removesuffix("\n").split("\n\n")
    assert len(documents) == 5
    assert set(documents) <= set(POEMS)


def test_every_way_to_write_ends_with_the_document_and_never_shows_its_end(poems: Path) -> None:
    model = charnet.load(poems, engine="numpy")
    options = {"length": 500, "seed": 4, "temperature": 0.0}
    text = model.generate("ro", **options)
    assert text == "roses\nred"
    assert "ro" + "".join(model.stream("ro", **options)) == text
    assert text in set(model.texts("ro", count=3, **options))
    generation = model.write(model.start("ro"), **options)
    assert "ro" + "".join(chunk.text for chunk in generation) == text
    assert (generation.document_ended, generation.withheld) == (True, "")
    assert generation.state.pending == model.start().pending


def test_a_stop_text_ends_a_document_earlier(poems: Path) -> None:
    model = charnet.load(poems, engine="numpy")
    assert model.generate("ro", length=500, seed=4, temperature=0.0, until="line") == "roses"


def test_a_session_begins_a_new_document_when_one_has_ended(
    poems: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter(["ro", "vi", f"/save {tmp_path / 'saved.txt'}", "/quit"])
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    assert run(["sample", str(poems), "-i", "--temp", "0"]) == 0
    assert (tmp_path / "saved.txt").read_text() == "roses\nred\n\nviolets\nblue\n\n\n"
    assert DOCUMENT_END not in capsys.readouterr().out


def test_documents_are_evaluated_one_by_one(poems: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.txt").write_text("%%".join(POEMS))
    losses = []
    for text, more in ((poems.parent / "poems.txt", []), (tmp_path / "other.txt", ["--documents", "%%"])):
        assert run(["eval", str(poems), str(text), "--json", *more]) == 0
        evaluated = json.loads(capsys.readouterr().out)
        assert evaluated["unknown"] == {}
        losses.append(evaluated["nats_per_char"])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert charnet.load(poems).evaluate("\n\n".join(POEMS)).nats_per_char == pytest.approx(losses[0], abs=1e-5)


def test_a_list_of_lines_is_evaluated_line_by_line(
    poems: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("roses\n\nviolets")
    (tmp_path / "b.csv").write_text("id,text\n1,roses\n2,violets\n3,\n")
    for more in (["a.txt", "--documents", "line"], ["b.csv", "--field", "text"]):
        assert run(["eval", str(poems), str(tmp_path / more[0]), "--json", *more[1:]]) == 0
        evaluated = json.loads(capsys.readouterr().out)
        assert evaluated["characters"] == len("roses_violets_")
    assert evaluated["notes"] == [f'left out: 1 row whose "text" is empty (first: {tmp_path / "b.csv"}, line 4)']


def test_corpus_info_counts_documents(poems: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = str(poems.parent / "poems.txt")
    assert run(["corpus", "info", text, "--documents", "blank-line", "--json"]) == 0
    stats = json.loads(capsys.readouterr().out)
    assert stats["documents"] == 120
    assert stats["document_lengths"]["shortest"] == len("roses\nred")
    assert stats["odd"] == {}
    assert run(["corpus", "info", text, "--documents", "blank-line"]) == 0
    assert "documents 120; lengths: shortest 9, median" in " ".join(capsys.readouterr().out.split())


def test_only_a_model_of_documents_is_evaluated_on_documents(tiny_run: Path, poems: Path) -> None:
    assert run(["eval", str(tiny_run), str(poems.parent / "poems.txt"), "--documents", "blank-line"]) == 2
