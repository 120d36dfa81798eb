"""One field of a table: which kind of table it is, which rows are left out, and what is said about them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from charnet.config import DOCUMENT_END, DataSettings
from charnet.data import corpus, fields, segment
from charnet.data.segment import LeftOut
from charnet.errors import CorpusError


def values(table: str, name: str, field: str, left_out: LeftOut | None = None, *, cut: int = 7) -> list[str]:
    """The documents of a table that is read in pieces."""
    pieces = [table[at : at + cut] for at in range(0, len(table), cut)]
    found = "".join(fields.documents(pieces, name, DataSettings(field=field), {} if left_out is None else left_out))
    return found.split(DOCUMENT_END)[:-1]


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ('id,text\r\n1,one\r\n2,"two, ""2""\r\n2"\r\n', "a.csv"),
        ('id;text\n1;one\n2;"two, ""2""\n2"\n', "a.csv"),
        ('id\ttext\n1\tone\n2\t"two, ""2""\n2"\n', "a.tsv"),
        ('id, text\n1, one\n2, "two, ""2""\n2"\n', "a.txt"),
        ('{"id": 1, "text": "one"}\n\n{"text": "two, \\"2\\"\\r\\n2"}\n', "a.jsonl"),
        ('{"text": "one"}\n{"text": "two, \\"2\\"\\n2"}', "standard input"),
    ],
)
@pytest.mark.parametrize("cut", [1, 5, 999])
def test_a_field_is_found_in_every_kind_of_table(table: str, name: str, cut: int) -> None:
    assert values(table, name, "text", cut=cut) == ["one", 'two, "2"\n2']


def test_a_number_takes_a_column_of_a_file_without_header() -> None:
    assert values("CCO 1\nC1=CC=CC=C1\t2 two\n", "a.smi", "1") == ["CCO", "C1=CC=CC=C1"]
    assert values("a,1\nb,2\n", "a.csv", "2") == ["1", "2"]


@pytest.mark.parametrize("table", ['{"title": "one", "n": 1}\n', "title,n\none,1\n"])
def test_a_missing_field_is_answered_with_those_there_are(table: str) -> None:
    with pytest.raises(CorpusError, match=r'no field "titel" \(did you mean "title"\?\); it has "title", "n"'):
        values(table, "a", "titel")


def test_rows_that_are_left_out_are_counted_by_reason_with_the_place_of_the_first() -> None:
    left_out: LeftOut = {}
    table = 'id,text\n1,one\n2\n3,a,b\n4,"a"b\n5,\n6,  \n7,two\n8,c,\n'
    assert values(table, "a.csv", "text", left_out) == ["one", "two", "c"]
    assert left_out == {
        'rows without "text"': (1, "a.csv, line 3"),
        "rows with more fields than the header": (1, "a.csv, line 4"),
        "lines with a quote in the wrong place": (1, "a.csv, line 5"),
        'rows whose "text" is empty': (2, "a.csv, line 6"),
    }
    left_out.clear()
    table = '{"text": "one"}\nno\n[]\n{"text": null}\n{"text": "\\ud83d"}\n{"text": 2}\n'
    assert values(table, "a.ndjson", "text", left_out) == ["one", "2"]
    assert left_out == {
        "lines without valid JSON": (1, "a.ndjson, line 2"),
        'rows without a text in "text"': (2, "a.ndjson, line 3"),
        "rows with half a character (a lone surrogate)": (1, "a.ndjson, line 5"),
    }


@pytest.mark.parametrize(
    ("table", "name", "message"),
    [
        ('text\none\n"two\nthree\n', "a.csv", r"a\.csv, line 3: a quote opens in this row and never closes"),
        ('[{"text": "one"}]', "a.json", "found a JSON list"),
        ("[\n {\n", "a.json", "found a JSON list"),
        ('{\n "name": "chat",\n', "result.json", r"one over several lines; jq -c \. FILE makes a line of each"),
        ('{"name": "chat", "messages": [\n', "result.json", "one over several lines"),
        ('{"id": 1, "notes": [{}]}\n', "a.json", r"""it has "id", "notes"; jq -c '\.notes\[\]' FILE makes a line"""),
        ('{"id": 1, "tags": ["a"], "none": []}\n', "a.json", 'it has "id", "tags", "none"$'),
        ('{"id": 1}\n', "a.json", 'it has "id"$'),
        (
            "[01.03.24, 10:00] Ada: one\n",
            "chat.txt",
            'it has "\\[01.03.24", "10:00\\] Ada: one"; a number from 1 to 2 takes',
        ),
        ("text,n\n,1\n", "a.csv", 'no row has a value for --field "text": 1 rows whose "text" is empty'),
        ("", "a.csv", 'no field "text"; it has none'),
    ],
)
def test_what_is_no_table_is_refused(table: str, name: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        values(table, name, "text")


def test_a_packed_table_is_read_and_its_notes_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "names.tsv.gz"
    path.write_bytes(gzip.compress("name\tn\nANNA, B.\t1\n\t2\nÉva\t3\n".encode()))
    for _ in range(2):  # the second time from the encoded copy
        found = corpus.read([str(path)], DataSettings(field="name", lowercase=True))
        assert found.vocab.decode(found.ids.tolist()) == "anna, b.\x1eéva\x1e"
        assert found.notes == (f'left out: 1 row whose "name" is empty (first: {path}, line 3)',)


def test_with_lines_a_field_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text\n"one\ntwo"\nthree\n')
    (tmp_path / "b.jsonl").write_text('{"text": "one\\rtwo\\r\\nthree"}\n')
    found = corpus.read([str(tmp_path / "a.csv")], DataSettings(field="text", lines=True))
    assert found.vocab.decode(found.ids.tolist()) == "one two\nthree\n"
    found = corpus.read([str(tmp_path / "b.jsonl")], DataSettings(field="text", lines=True))
    assert found.vocab.decode(found.ids.tolist()) == "one two three\n"


def test_the_suffix_is_part_of_what_is_read(tmp_path: Path) -> None:
    keys = set()
    for name in ("a.smi", "a.csv"):
        (tmp_path / name).write_text("CCO 1\nCC 2\n")
        keys.add(corpus.read([str(tmp_path / name)], DataSettings(field="1")).key)
    assert len(keys) == 2


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "LONGEST_DOCUMENT", 20)
    with pytest.raises(CorpusError, match="a line has more than 20 characters"):
        values("text\n" + "x" * 50, "a.csv", "text")
    assert segment.LONGEST_DOCUMENT > 20


def test_a_first_line_that_names_the_separator_for_excel_is_no_row() -> None:
    left_out: LeftOut = {}
    assert values("sep=|\nname|text\na,b|one,two;three\nc|\n", "a.csv", "text", left_out) == ["one,two;three"]
    assert left_out == {'rows whose "text" is empty': (1, "a.csv, line 4")}
    assert values("SEP=;\r\none;two\r\n", "a.csv", "2") == ["two"]


def test_what_databases_write_for_no_value_is_left_out() -> None:
    left_out: LeftOut = {}
    assert values("id\ttext\n1\t\\N\n2\tone\n3\t\\N\n", "a.tsv", "text", left_out) == ["one"]
    assert left_out == {'rows whose "text" is \\N, no value': (2, "a.tsv, line 2")}


def test_commas_in_a_table_with_tabs_are_text() -> None:
    assert values("Go on.\tWeiter, los, geh, ja.\nStop.\tHalt.\n", "a.txt", "1") == ["Go on.", "Stop."]
