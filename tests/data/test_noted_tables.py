"""Tests of the tables that are recognized among texts: the note says what is read, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from charnet.config import DataSettings
from charnet.data import corpus, source_notes, tables
from charnet.data.refusals import SourceInfo

ALL, BRACES = "the model learns all of it", "its names, quotes and braces too"
COLUMN, FIRST = "--field takes one column, by its name or number", '(first row: "title", "score")'
FIELD, HAS = "--field NAME takes one field", '(it has "title", "score")'


@pytest.mark.parametrize(
    ("table", "name", "note"),
    [
        ("title,score\none,1\n", "a.csv", f"a table: {ALL}, its separators and quotes too; {COLUMN} {FIRST}"),
        ("题目;title\n一,1\n", "a.csv", f'{COLUMN} (first row: "题目", "title")'),
        ("title\tscore\n1\t2\n", "a.tsv", f"{COLUMN} {FIRST}"),
        ('{"title": "1", "score": 1}\n{"text": 2}\n', "a.jsonl", f"JSON lines: {ALL}, {BRACES}; {FIELD} {HAS}"),
        ('{"title": "2", "score": 1}\n{"text": 2}\n', "a.txt", f"JSON lines: {ALL}, {BRACES}; {FIELD} {HAS}"),
        (
            '[\n{"title": "\\u4eca\\u5929"},\n{"score": "two"}]',
            "a.json",
            f"JSON: {ALL}, {BRACES}; write one object a line, as with jq -c '.[]' FILE, then {FIELD} {HAS}",
        ),
        (
            '{"me": {"id": 1}, "people": [{"name": "A"}],\n'
            '"chat": [{"title": "[one", "score": [{"n": 1}, 2]}, {"title": "}"}]}',
            "a.json",
            f'as with jq -c \'.chat[]\' FILE, then {FIELD} (it has "title", "score", "n")',
        ),
        (
            '{\n "title": "one",\n "score": "two"}',
            "a",
            f"JSON: {ALL}, {BRACES}; jq -r '.. | strings' FILE writes all of its texts",
        ),
        ("title\tscore\none, two\t2\n" * 6, "a.txt", f"{COLUMN} {FIRST}"),
        ('"title","score","n"\n"one, two","2",\n' * 6, "a.txt", '(first row: "title", "score", "n")'),
        ("sep=;\ntitle;score\none;2\n", "a.csv", f"{COLUMN} {FIRST}"),
        ("CCO ethanol\nC1CC1 ring\n", "a.smi", f"a table: {ALL}; --field 1 takes the first column"),
    ],
)
def test_a_table_that_is_read_as_it_is_is_noted_with_the_fields_that_it_has(
    table: str, name: str, note: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(table)
    for _ in range(2):  # the second time from the encoded copy
        (found,) = corpus.read([str(path)]).notes
        assert found.startswith(f"{path} is ")
        assert found.endswith(note)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("one\ntwo, three\n", "a.csv"),  # no separator in its first line
        ("one, two\n", "a.txt"),
        ("{ in one\nline }\n", "a.txt"),
        ("CCO\nC1CC1\n", "a.smi"),
        ("one, two, and three.\nTwo, and so on, again.\nThree.\n" * 9, "a.txt"),
        ("\tif (a) {\n\t\tb(c, d, e);\n\t}\n" * 9, "a.c"),
        ("&lt; one &gt; two\n" * 19, "a.txt"),
        ("a\tb\n" * 8, "a.txt"),  # too few rows
        ("Last, First\n" * 19, "a.txt"),
        ("one, two, three\n" * 19, "a.txt"),
        ('{"Ann": hello}\n' * 19, "a.txt"),
        ("[10:02:11] Ann: yes, and no, too\n[10:02:15] Bo: no\n" * 9, "a.txt"),
    ],
)
def test_other_texts_are_no_tables(text: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert corpus.read([str(tmp_path / name)]).notes == ()


def test_several_tables_have_one_note_and_one_of_which_a_field_is_taken_has_none(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.csv").write_text("title,n\none,1\ntwo,2\n")
    (note,) = corpus.read([str(tmp_path)], DataSettings(glob="*.csv")).notes
    assert note.startswith(f"{tmp_path / 'a.csv'} and 2 more files are tables: {ALL}, ")
    assert corpus.read([str(tmp_path / "a.csv")], DataSettings(field="title")).notes == ()


def test_the_notes_of_a_text_that_was_read_under_another_name_are_those_of_this_name(tmp_path: Path) -> None:
    written = {name: tmp_path / name for name in ("a.txt", "b.csv", "c.csv")}
    for path in written.values():
        path.write_text("title,score\none,1\n")
    for _ in range(2):
        assert corpus.read([str(written["a.txt"])]).notes == ()
        for name in ("b.csv", "c.csv"):
            (note,) = corpus.read([str(written[name])]).notes
            assert note.startswith(f"{written[name]} is a table: ")
    assert len({corpus.read([str(path)]).key for path in written.values()}) == 1


def test_a_text_without_notes_is_not_read_again_under_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("one two\n")
    corpus.read([str(tmp_path / "a.txt")])
    monkeypatch.setattr(corpus, "_encode", None)
    assert corpus.read([str(tmp_path / "b.txt")]).size_bytes == 8


def test_the_escapes_of_json_are_gone_from_a_field_and_not_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "\\u4eca\\u5929\\u5929\\u6c14"}\n' * 9)
    found = corpus.read([str(path)], DataSettings(field="text", lines=True))
    assert (found.vocab.decode(found.ids.tolist()), found.notes) == ("今天天气\n" * 9, ())
    (tmp_path / "a.csv").write_text("text,n\n\\u4eca\\u5929\\u5929\\u6c14,1\n" * 9)
    (note,) = corpus.read([str(tmp_path / "a.csv")], DataSettings(field="text")).notes
    assert r"is text in \u escapes" in note


@settings(deadline=None, max_examples=300)
@given(
    start=st.sampled_from(["", '{"a": [{', '[{"a": "', 'a,"b']),
    rest=st.text('{}[]":,;\\ua1 \n\t', max_size=60),
    name=st.sampled_from(["a.json", "a.csv", "a.tsv", "a.jsonl", "a.smi", "a.txt"]),
)
@example('{"b\\q": [{"a": 1}]}', "\n", "a.json")
@example('a,"b', "\n", "a.csv")
def test_any_text_is_read_as_it_is_whatever_its_name_promises(start: str, rest: str, name: str) -> None:
    found: dict[str, list[str]] = {}
    assert "".join(tables.watched(iter([start, rest]), name, found)) == start + rest
    for kind, names in found.items():
        assert source_notes.of_tables([SourceInfo(name, tables={kind: names})])
