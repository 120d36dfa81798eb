"""Files that are no text are known by their first bytes, under any name, and come with the command that helps."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import pickle
import quopri
import shlex
import sqlite3
import struct
import subprocess
import sys
import tarfile
import zipfile
from email.message import EmailMessage
from pathlib import Path

import numpy as np
import pytest
import torch
import zstandard
from safetensors.numpy import save

from charnet.cli.app import run
from charnet.config import DataSettings
from charnet.data import corpus, readers, sources
from charnet.data.file_kinds import kind_of
from charnet.errors import CorpusError

BOOK = b"A plain line of a plain book.\n" * 40


def zipped(*names: str, mimetype: str = "") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        if mimetype:
            archive.writestr("mimetype", mimetype, zipfile.ZIP_STORED)
        for name in names:
            archive.writestr(name, BOOK)
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("book.txt")
        info.size = len(BOOK)
        archive.addfile(info, io.BytesIO(BOOK))
    return file.getvalue()


def database() -> bytes:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE texts (text)")
        raw: bytes = connection.serialize()
    return raw


def of_torch(*, in_zip: bool) -> bytes:
    file = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, file, _use_new_zipfile_serialization=in_zip)
    return file.getvalue()


def of_numpy() -> bytes:
    file = io.BytesIO()
    np.savez(file, text=np.zeros(3))
    return file.getvalue()


OFFICE = ("[Content_Types].xml", "_rels/.rels")
KINDS = [
    # the bytes, what they are, a part of the advice
    (gzip.compress(BOOK), "packed by gzip", "gzip -dc"),
    (bz2.compress(BOOK), "packed by bzip2", "bzcat"),
    (bz2.compress(b""), "packed by bzip2", "bzcat"),
    (lzma.compress(BOOK), "packed by xz", "xzcat"),
    (zstandard.compress(BOOK), "packed by zstd", "zstdcat"),
    (zipped("chat.txt"), "zip archive", "unzip -p"),
    (zipped(*OFFICE, "word/document.xml"), "Word document", "pandoc -f docx"),
    (zipped(*OFFICE, "xl/workbook.xml"), "Excel", "CSV"),
    (zipped("META-INF/container.xml", mimetype="application/epub+zip"), "EPUB", "pandoc -f epub"),
    (zipped("content.xml", mimetype="application/vnd.oasis.opendocument.text"), "OpenDocument text", "pandoc -f odt"),
    (b"7z\xbc\xaf\x27\x1c\0\4", "7-Zip", "7z x -so"),
    (b"Rar!\x1a\x07\1\0", "RAR", "unrar p"),
    (tarred(), "tar archive", "tar -xOf"),
    (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", "PDF", "pdftotext"),
    (b"\xef\xbb\xbf%PDF-1.4\n", "PDF", "pdftotext"),
    (rb"{\rtf1\ansi\deff0 A plain line.\par}", "RTF", "pandoc -f rtf"),
    (b"%!PS-Adobe-3.0\n", "PostScript", "ps2ascii"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Office", "the program that made it"),
    (b"\x89PNG\r\n\x1a\n", "PNG", "tesseract"),
    (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG", "tesseract"),
    (b"GIF89a", "GIF", "tesseract"),
    (database(), "SQLite", "sqlite3"),
    (pickle.dumps(["a text"]), "pickle", "Python"),
    (b"\x89HDF\r\n\x1a\n", "HDF5", "the program that made it"),
    (of_numpy(), "arrays of NumPy", "Python"),
    (of_torch(in_zip=True), "checkpoint of PyTorch", "a model and no text"),
    (of_torch(in_zip=False), "checkpoint of PyTorch", "a model and no text"),
    (save({"weight": np.zeros(3)}), "safetensors", "a model and no text"),
    (b"\3\0\0\0\1\0\0\0\2\0\0\0", "Torch 7", "a model and no text"),
    (b"GGUF\3\0\0\0", "llama.cpp", "a model and no text"),
    (b"MThd\0\0\0\6\0\1", "MIDI", "midicsv"),
    (b"RIFF\x24\0\0\0WAVEfmt ", "sound", "whisper"),
    (b"ID3\3\0\0", "sound", "whisper"),
    (b"\x7fELF\2\1\1\0", "program", "give a text"),
    (b"MZ\x90\0\3\0", "program", "give a text"),
]


@pytest.mark.parametrize(("raw", "name", "advice"), KINDS, ids=[f"{n}-{name}" for n, (_, name, _) in enumerate(KINDS)])
def test_a_file_that_is_no_text_is_named_with_what_turns_it_into_text_and_learned_only_as_bytes(
    raw: bytes, name: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "CHUNK_BYTES", 300)
    path = tmp_path / "my book.txt"
    path.write_bytes(raw)
    with pytest.raises(CorpusError) as caught:
        corpus.read([str(path)])
    message = str(caught.value)
    assert message.startswith(f"{path}: this is ")
    assert name in message
    assert advice in message
    assert "\n" not in message
    assert len(corpus.read([str(path)], DataSettings(bytes=True)).ids) == len(raw)


def test_a_checkpoint_of_charnet_is_named_with_the_command_that_writes_with_it(whole: bytes) -> None:
    kind = kind_of(whole)
    assert kind is not None
    assert kind.name == "a checkpoint of charnet"
    assert "charnet sample a.safetensors" in kind.advice("a.safetensors")


@pytest.mark.parametrize(
    "text",
    [
        *("BM, a short name", "GIF is a format", "MZ and more\n", "PK\n", "RIFF: a short melody", "ID3 tags", "GGUF"),
        *(
            "%PDF is how they begin",
            r"\documentclass{rtf1}",
            r"{\rtfm}",
            "<3",
            "<h1>a heading",
            "<html5ever> is a name",
        ),
        *("SQLite format 3 is new", "MThd", "BZh9 is its mark", "7z x", "Rar!", "OggS", "ustar " * 90, "a <html> tag"),
        *('12345678{"a": 1}', "X:1\nT:a tune\nK:D\n", '{"json": 1}', "From a@b Mon\n", "\ufeffwith a mark", ""),
    ],
)
def test_a_text_that_begins_like_another_file_is_a_text(text: str) -> None:
    assert kind_of(text.encode()) is None


@pytest.mark.parametrize(
    "start", ["<!DOCTYPE html>", "\ufeff\n<html lang='en'>", "<?xml version='1.0'?>\n<!-- a page --><!doctype HTML>"]
)
def test_html_is_learned_with_its_tags_and_that_is_said_once_for_all_files(start: str, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text(f"{start}<p>text {number}</p>")
    one, three = corpus.read([str(tmp_path / "0.txt")]), corpus.read([str(tmp_path)])
    assert [note.partition(";")[0] for note in one.notes] == [
        f"{tmp_path / '0.txt'} is HTML: the model learns its tags too"
    ]
    assert [note.partition(";")[0] for note in three.notes] == [
        f"{tmp_path / '0.txt'} and 2 more files are HTML: the model learns its tags too"
    ]
    assert three.vocab.decode(three.ids.tolist()).count("<p>text") == 3


def test_other_markup_is_learned_with_its_tags_and_never_in_silence(tmp_path: Path) -> None:
    (tmp_path / "chat.xml").write_text('<?xml version="1.0"?>\n<chat><turn>hello there</turn></chat>\n')
    (tmp_path / "book.fb2").write_text('<?xml version="1.0"?>\n<FictionBook><p>hello there</p></FictionBook>\n')
    for name, kind, command in (
        ("chat.xml", "XML", "sed 's/<[^>]*>//g' "),
        ("book.fb2", "a FictionBook", "pandoc -f fb2"),
    ):
        (note,) = corpus.read([str(tmp_path / name)]).notes
        assert note.startswith(
            f"{tmp_path / name} is {kind}: the model learns its tags too; the text without its tags: "
        )
        assert f"{command}" in note


def test_a_long_row_of_comments_is_no_trap() -> None:
    assert kind_of(b"<!---->" * 10_000) is None


def test_what_a_packed_file_holds_is_named_too_and_the_command_takes_any_name(tmp_path: Path) -> None:
    path = tmp_path / "scan.gz"
    path.write_bytes(gzip.compress(b"%PDF-1.7\n" + bytes(range(256))))
    with pytest.raises(CorpusError, match=r"this is a PDF document; turn it into text: pdftotext FILE text\.txt"):
        corpus.read([str(path)])


@pytest.mark.parametrize("name", ["book.tar", "book.tar.gz", "book.tgz"])
def test_one_command_takes_the_texts_out_of_an_archive_that_is_packed_or_not(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(tarred() if name.endswith("tar") else gzip.compress(tarred()))
    with pytest.raises(CorpusError, match=rf"this is a tar archive; take the texts out: tar -xOf {path} > text\.txt"):
        corpus.read([str(path)])


SAID = "今天天气很好，我们去公园散步。 Café à la crème, déjà vu. \U0001f600\n" * 30


@pytest.mark.parametrize(
    ("written", "kind", "learned"),
    [
        (quopri.encodestring(SAID.encode()), "quoted-printable, as mail is", "its codes too"),
        (base64.encodebytes(SAID.encode()), "base64, as attachments are", "its codes"),
        (json.dumps(SAID * 2)[1:-1].replace("\\n", "\n").encode(), r"text in \u escapes", "those too"),
        (SAID.encode("ascii", "xmlcharrefreplace"), "text in HTML entities", "those too"),
    ],
)
def test_a_text_whose_characters_are_written_in_ascii_is_not_learned_in_silence(
    written: bytes, kind: str, learned: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(written)
    (note,) = corpus.read([str(path)]).notes
    assert note.startswith(f"{path} is {kind}: the model learns {learned}; ")
    assert note.endswith(f"{path} > text.txt")


@pytest.mark.parametrize(
    "text",
    [
        "ACGTTGCAAT" * 6 + "\n",
        "0123456789abcdef" * 4 + "\n",
        "x == 3 and y=ABC, see &#38; and \\u00e9 in a text of ordinary words that goes on for a while\n",
        "# headings ====\n\ntext text text\n",
        "CC(=O)OC1=CC=CC=C1C(=O)O\n",  # a molecule: =CC is no byte
        "https://example.org/?q=A1&id=BCF\n",
        "Xy9bQ" * 13 + "\n",  # no + and no /
        "Subject: what we receive\n\nA text about letters, with received: in it.\n",
        "From now on: 1\nReceived: nothing\n",
        "Received: one\nReceived: two\n",
        "WEBVTT is a format of subtitles.\n",
        "/home/user/a/path/that/is/long/and/has/Numbers/12345678/in/it\n/a/shorter/one/Which/is/of/sixty/characters/and/"
        "has/9/more\n",
        "1\nOne\n2\nTwo\n00:01 is one past midnight\n",
        '{ "cells": "in a prison" }\n',
    ],
)
def test_a_text_of_ascii_is_a_text(text: str) -> None:
    assert kind_of(text.encode() * 100) is None


LETTER = "今天天气很好，我们去公园散步。 Café à la crème, déjà vu.\n" * 30


def mailed(cte: str, attached: bool) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["Subject"] = "a@example.org", "Grüße"
    mail.set_content(LETTER, cte=cte)
    if attached:
        mail.add_attachment(bytes(range(256)) * 90, maintype="image", subtype="png", filename="a.png")
    return mail


NOTEBOOK = {"cells": [{"cell_type": "code", "source": ["x = 1\n", "y"], "outputs": [{"png": "iVBO" * 50}]}] * 2, "n": 4}
SUBTITLES = (
    "1\r\n00:00:01,000 --> 00:00:02,500\r\nIt rains.\r\n\r\n2\r\n00:00:03,000 --> 00:00:04,000\r\n3 birds!\r\n\r\n"
)


@pytest.mark.parametrize(
    ("name", "written", "kind", "text"),
    [
        ("a.eml", mailed("quoted-printable", True).as_bytes(), "mail as it was sent", LETTER),
        ("b.eml", mailed("base64", False).as_bytes(), "mail as it was sent", LETTER),
        (
            "a.mbox",
            b"".join(b"From a@b Mon Jan  1 10:00:00 2024\n" + mailed("base64", i > 0).as_bytes() for i in range(2)),
            "mail as it was sent",
            LETTER + "\n" + LETTER,
        ),
        ("a.srt", SUBTITLES.encode(), "text with times, as subtitles are", "It rains.\r\n3 birds!\r\n"),
        ("-a.srt", SUBTITLES.encode(), "text with times, as subtitles are", "It rains.\r\n3 birds!\r\n"),
    ],
)
def test_mail_and_subtitles_are_named_and_the_command_takes_the_words_out(
    name: str, written: bytes, kind: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(written)
    note = corpus.read([name]).notes[0]
    assert note.startswith(f"{name} is {kind}: the model learns ")
    command = note.split(": ", 2)[2].replace("python3 ", f"{shlex.quote(sys.executable)} ")
    subprocess.run(["bash", "-c", command], check=True, timeout=60)
    assert Path("text.txt").read_bytes().decode().rstrip("\n") == text.rstrip("\n")


def test_an_evaluation_does_not_say_that_a_model_learns_the_tags(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<?xml version='1'?><a>the cat sat on a mat</a>\n" * 9)
    assert run(["eval", str(tiny_run), str(path)]) == 0
    assert f"{path} is XML: all of it is read, its tags too; " in capsys.readouterr().err


def test_a_notebook_is_named_and_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(NOTEBOOK, indent=1))
    (note,) = corpus.read([str(path)]).notes
    assert note.startswith(f"{path} is Jupyter's JSON: the model learns its names, braces and outputs too; ")


def test_a_command_never_writes_over_the_file_that_it_reads() -> None:
    kind = kind_of(b"%PDF-1.7")
    assert kind is not None
    assert kind.advice("my text.txt").endswith("pdftotext 'my text.txt' text.txt")
    assert kind.advice("text.txt").endswith("pdftotext text.txt plain.txt")


def test_a_model_of_another_program_is_named_where_a_checkpoint_is_expected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.safetensors"
    for raw, name in ((of_torch(in_zip=True), "PyTorch"), (b"\3\0\0\0\1\0\0\0\2\0\0\0", "Torch 7")):
        path.write_bytes(raw)
        assert run(["sample", str(path)]) == 4
        assert name in capsys.readouterr().err


def test_a_header_of_any_length_is_examined() -> None:
    named = {length: kind_of(struct.pack("<Q", length) + b'{"a": 1}') for length in (2, 1 << 40, (1 << 64) - 1)}
    assert [length for length, kind in named.items() if kind] == [2]


@pytest.mark.parametrize("glob", ["*.txt", "*.*"])
@pytest.mark.parametrize(
    ("name", "content", "remedy"),
    [
        ("a.docx", zipped("word/document.xml"), "pandoc -f docx -t plain {}"),
        ("a.odt", zipped(mimetype="application/vnd.oasis.opendocument.text"), "pandoc -f odt -t plain {}"),
        ("a.epub", zipped(mimetype="application/epub+zip"), "pandoc -f epub -t plain {}"),
        ("a.pdf", b"%PDF-1.7\n\0", "pdftotext {}"),
        ("a.png", b"\x89PNG\r\n\x1a\n\0", "tesseract {}"),
    ],
)
def test_a_folder_of_documents_gets_the_advice_that_one_of_them_gets(
    tmp_path: Path, name: str, content: bytes, remedy: str, glob: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError) as caught:
        corpus.read([str(tmp_path)], DataSettings(glob=glob))
    assert remedy.format(tmp_path / name) in str(caught.value)
    assert "--glob" not in str(caught.value)


def test_a_folder_of_documents_gets_their_advice_from_beside_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("novel", ".hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.docx").write_bytes(zipped("word/document.xml"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name in ("../novel", "../.hidden"):
        for glob in ("*.txt", "*.docx"):
            with pytest.raises(CorpusError, match=r"a Word document.*pandoc -f docx"):
                sources.find([name], glob)


def test_beside_documents_the_suffix_of_a_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(zipped("word/document.xml"))
    (tmp_path / "b.md").write_bytes(BOOK)
    with pytest.raises(CorpusError, match=r"it holds \.docx, \.md files: name them with --glob '\*\.md'"):
        corpus.read([str(tmp_path)])
