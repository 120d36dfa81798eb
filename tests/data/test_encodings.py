"""The advice about a text in another encoding fits the text: which one it is, how much is wrong, or that it was cut."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import pytest

from charnet.cli.app import run
from charnet.config import DataSettings
from charnet.data import corpus, readers, workers
from charnet.data.encodings import guess, wide_without_mark, within_ascii
from charnet.errors import CorpusError

PASSWORDS = "password\n123456\ncontraseña\nseñora1\nmañana\n"
FRENCH = "Il était une fois, près de la forêt, un garçon très curieux qui aimait les étoiles.\n"
SURNAMES = "Müller\nGarcía\nPérez\nNuñez\nÅberg\nBjörk\nSørensen\nGonçalves\nD’Angelo\nRené\nJosé\nFrançois\n"
CZECH = "Novák\nNovotný\nDvořák\nČerný\nProcházka\nKučera\nVeselý\nKrejčí\nNěmec\nRůžička\nŠťastný\nKříž\n"
POLISH = "Kto cię stracił. Dziś piękność twą w całej ozdobie widzę i opisuję, bo tęsknię po tobie.\n"
HUNGARIAN = "Őszi éjben zúgó szél fúj, és a hűvös víz tükrén megcsillan a fény. A kisfiú örült.\n"
TURKISH = "Bugün hava çok güzel, ağaçların altında oturuyoruz. Öğrenci kırmızı şapkasını kaybetti.\n"
RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.\n"
RUSSIAN_NAMES = "Иванов\nСмирнов\nКузнецов\nПопов\nВасильев\nПетров\nСоколов\nМихайлов\nНовиков\nФёдоров\n"
GREEK = "Στην αρχή ο Θεός δημιούργησε τον ουρανό και τη γη. Η γη όμως ήταν έρημη και ασχημάτιστη.\n"
CHINESE = "今天天气很好，我们一起去公园散步。他说他不喜欢吃苹果，但是很喜欢香蕉。\n"
TRADITIONAL = "今天天氣很好，我們一起去公園散步。他說他不喜歡吃蘋果，但是很喜歡香蕉。\n"
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。ニャーニャー泣いていた。\n"
KOREAN = "옛날 옛적에 호랑이가 담배를 피우던 시절에 한 나무꾼이 살았습니다. 그는 산에 올라갔습니다.\n"
WRITTEN_IN = [
    *((PASSWORDS, "cp1252"), (FRENCH, "cp1252"), (SURNAMES, "cp1252"), ("“quoted” – so …\n", "cp1252")),
    *((CZECH, "cp1250"), (CZECH, "iso8859-2"), (POLISH, "cp1250"), (POLISH, "iso8859-2"), (HUNGARIAN, "cp1250")),
    *((TURKISH, "cp1254"), (FRENCH, "cp850"), (FRENCH, "mac-roman")),
    *((RUSSIAN, "cp1251"), (RUSSIAN, "koi8-r"), (RUSSIAN, "cp866"), (RUSSIAN, "iso8859-5")),
    *((RUSSIAN_NAMES, "cp1251"), (RUSSIAN_NAMES, "koi8-r"), (RUSSIAN_NAMES, "cp866"), (GREEK, "cp1253")),
    *((CHINESE, "gb18030"), (TRADITIONAL, "big5"), (TRADITIONAL, "gb18030"), (KOREAN, "cp949")),
    *((JAPANESE, "cp932"), (JAPANESE, "euc-jp")),
]


def refusal(folder: Path, raw: bytes, **options: Any) -> str:
    path = folder / "a.txt"
    path.write_bytes(raw)
    with pytest.raises(CorpusError) as caught:
        corpus.read([str(path)], DataSettings(**options))
    return str(caught.value)


@pytest.mark.parametrize(("text", "encoding"), WRITTEN_IN)
@pytest.mark.parametrize("times", [1, 30])
def test_the_encoding_of_a_line_and_of_a_long_text_is_recognized(text: str, encoding: str, times: int) -> None:
    assert guess(text.encode(encoding) * times, "utf-8") == encoding


@pytest.mark.parametrize("end", range(200, 204))
@pytest.mark.parametrize("line_end", ["", "\n"])
def test_a_sample_may_end_inside_a_character(line_end: str, end: int) -> None:
    assert guess((CHINESE.strip() + line_end).encode("gb18030")[:66] * 9, "utf-8") == "gb18030"
    assert guess(((CHINESE.strip() + line_end) * 5).encode("gb18030")[:end], "utf-8") == "gb18030"


def test_the_encoding_is_found_where_letters_beyond_ascii_are_rare_and_late(tmp_path: Path) -> None:
    rare = "a plain line of a list\n" * 3000 + CZECH * 3
    assert refusal(tmp_path, rare.encode("cp1250")).endswith("it looks like cp1250: try --encoding cp1250")


def test_the_encoding_of_a_text_that_has_a_flaw_too_is_recognized(tmp_path: Path) -> None:
    message = refusal(tmp_path, CHINESE.encode("gb18030") * 60 + b"\xff\n" + CHINESE.encode("gb18030") * 60)
    assert message.endswith("it looks like GBK or GB18030: try --encoding gb18030")


@pytest.mark.parametrize(
    "text",
    [
        "½ tsp salt\n¼ cup sugar\n1½ cups, 20°C ±5\n",
        "20 m² and 3.0 ± 0.5\n",
        "ÉCOLE\nGARÇON\nÜBER\nSEÑOR\n",
        "¥500 or 20¢\n",
    ],
)
def test_signs_beside_numbers_and_capitals_are_cp1252(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text.encode("cp1252")).endswith("it looks like cp1252: try --encoding cp1252")


def test_text_that_is_utf8_under_another_name_is_recognized(tmp_path: Path) -> None:
    assert refusal(tmp_path, CHINESE.encode(), encoding="ascii").endswith("try --encoding utf-8")
    assert refusal(tmp_path, FRENCH.encode(), encoding="utf-16").endswith("try --encoding utf-8")


@pytest.mark.parametrize("text", [FRENCH, RUSSIAN, GREEK, CHINESE, TRADITIONAL, JAPANESE, KOREAN, "a plain text\n"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_text_without_a_mark_is_recognized_in_every_script(text: str, encoding: str, tmp_path: Path) -> None:
    assert wide_without_mark(text.encode(encoding)) == encoding
    assert wide_without_mark(b"?" + text.encode(encoding), odd=1) == encoding
    assert refusal(tmp_path, (text * 9).encode(encoding)).endswith(f"try --encoding {encoding}")


@pytest.mark.parametrize(("text", "encoding"), [*WRITTEN_IN, ("a plain text\n", "ascii"), (CHINESE, "utf-8")])
def test_other_text_is_not_taken_for_wide_text(text: str, encoding: str) -> None:
    assert wide_without_mark(text.encode(encoding)) == ""


@pytest.mark.parametrize("chunk", [50, 1 << 20])
@pytest.mark.parametrize("before", [0, 1100])
def test_utf8_with_a_few_wrong_places_is_utf8(
    chunk: int, before: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "CHUNK_BYTES", chunk)
    message = refusal(tmp_path, FRENCH.encode() * before + "José été\n".encode("cp1252") + FRENCH.encode() * 300)
    assert f"line {before + 1}, " in message
    assert "this is UTF-8 but for 3 places: " in message
    assert message.endswith("--encoding-errors replace")
    assert "--encoding " not in message


@pytest.mark.parametrize("chunk", [4, 1 << 20])
@pytest.mark.parametrize(
    ("text", "encoding"), [(FRENCH + "é", "utf-8"), (CHINESE + "字", "gb18030"), ("😀", "utf-16-le")]
)
def test_a_text_that_was_cut_is_called_cut(
    text: str, encoding: str, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "CHUNK_BYTES", chunk)
    message = refusal(tmp_path, text.encode(encoding)[:-1], encoding=encoding)
    assert "the text ends in the middle of a character" in message
    assert "--encoding-errors ignore" in message
    assert "--encoding " not in message


def test_a_wrong_byte_at_the_end_is_no_cut(tmp_path: Path) -> None:
    assert "UTF-8 but for 1 place:" in refusal(tmp_path, FRENCH.encode() + b"\xff")


def test_halves_of_characters_are_called_cesu8(tmp_path: Path) -> None:
    halves = "".join(map(chr, (0xD83D, 0xDE00))).encode("utf-8", "surrogatepass")
    message = refusal(tmp_path, CHINESE.encode() * 50 + halves + b"\n")
    assert "this is CESU-8" in message
    assert "uconv -f CESU-8" in message


def test_the_encoding_that_failed_is_not_suggested(tmp_path: Path) -> None:
    for encoding in ("cp1252", "gb18030", "utf-16-le"):
        assert f"try --encoding {encoding}" not in refusal(tmp_path, b"a\x81\xff\n\xff", encoding=encoding)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("今天天气很好，我们去散步", "hz"), ("今日はいい天気です", "iso2022_jp"), ("안녕하세요", "iso2022_kr")],
)
def test_an_encoding_that_is_written_in_ascii_gets_a_warning(text: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(f"{text} ~ $B(B\n".encode(encoding) * 20)
    note = f"{path}: read as utf-8, but it is {encoding}: try --encoding {encoding}"
    assert corpus.read([str(path)]).notes == (note,)
    right = corpus.read([str(path)], DataSettings(encoding=encoding))
    assert right.notes == ()
    assert right.vocab.decode(right.ids.tolist()).startswith(text)


def test_signs_that_switch_no_encoding_are_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("~{ in a template ~} and \x1b[1mbold\x1b(B and $B\n" * 20)
    assert corpus.read([str(tmp_path / "a.txt")]).notes == ()


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "koi8-r", "gb18030"])
def test_utf8_that_decodes_in_another_encoding_gets_a_warning(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(("é" * 20 + "\n").encode())
    for _ in range(2):  # the second time from the encoded copy
        note = f"{path}: read as {encoding}, but it is utf-8: try --encoding utf-8"
        assert corpus.read([str(path)], DataSettings(encoding=encoding)).notes == (note,)
    path.write_bytes(codecs.BOM_UTF16_LE + "é\n".encode("utf-16-le"))
    found = corpus.read([str(path)], DataSettings(encoding=encoding, encoding_errors="replace"))
    assert f"{path}: read as {encoding}, but it is utf-16: try --encoding utf-16" in found.notes


@pytest.mark.parametrize(
    ("text", "encoding"), [*WRITTEN_IN, ("plain\n", "cp1252"), (FRENCH, "utf-8"), (FRENCH, "utf-16")]
)
def test_text_in_the_encoding_that_was_named_gets_no_warning(text: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    assert corpus.read([str(tmp_path / "a.txt")], DataSettings(encoding=encoding)).notes == ()


# ----------------------------------------------------------------------------------------------- several files


def folder_of(folder: Path, *raws: bytes) -> str:
    for number, raw in enumerate(raws):
        (folder / f"{number:02}.txt").write_bytes(raw)
    return str(folder)


@pytest.mark.parametrize("cores", [1, 3])
def test_all_files_of_a_folder_that_cannot_be_read_are_named_at_once(
    cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "MIN_PARALLEL_BYTES", 1)
    monkeypatch.setattr("charnet.machine.processor_cores", lambda: cores)
    good, latin = FRENCH.encode(), ("plain\n" + FRENCH).encode("cp1252")
    folder = folder_of(tmp_path, good, latin, good, RUSSIAN.encode("koi8-r"), latin, b"%PDF-1.7", good + b"\xff")
    with pytest.raises(CorpusError) as caught:
        corpus.read([folder])
    pdf, latin_files, russian, flaw = str(caught.value).split(" | ")
    assert pdf.startswith(f"{folder}/05.txt: this is a PDF document")
    assert latin_files.startswith(f"2 of 7 files are not utf-8: {folder}/01.txt (line 2), {folder}/04.txt (line 2); ")
    assert latin_files.endswith(f"iconv -f cp1252 -t utf-8 {folder}/01.txt > NEW")
    assert russian.startswith(f"{folder}/03.txt, line 1, column 1, byte offset 0: ")
    assert russian.endswith(f"convert it: iconv -f koi8-r -t utf-8 {folder}/03.txt > NEW")
    assert flaw.startswith(f"{folder}/06.txt, line 2, column 1, ")
    assert flaw.endswith("--encoding-errors replace")


def test_files_that_all_fit_another_encoding_are_answered_with_its_option(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, FRENCH.encode("cp1252"), b"plain\n", SURNAMES.encode("cp1252"))
    with pytest.raises(CorpusError, match=r"^2 of 3 files .*; they look like cp1252: try --encoding cp1252$"):
        corpus.read([folder])
    assert corpus.read([folder], DataSettings(encoding="cp1252")).files == 3


def test_beside_one_file_in_another_encoding_that_of_the_other_files_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, FRENCH.encode("cp1252"), FRENCH.encode())
    with pytest.raises(CorpusError, match=r"it looks like cp1252, and the other files are utf-8: convert it: iconv"):
        corpus.read([folder])


def test_hundreds_of_files_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, *[b"caf\xe9\n"] * 60, *[b"%PDF-1.7"] * 30)
    with pytest.raises(CorpusError, match=r"23\.txt|and 6 more .*60 of 90 files .*23\.txt \(line 1\) and 36 more; "):
        corpus.read([folder])


# ------------------------------------------------------------------------------------------------ other commands


def test_an_evaluation_reads_a_flawed_text_and_warns_of_another_encoding(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"the cat sat on a mat and the dog ran\n" * 5 + "é".encode() * 9 + b"\xff\n")
    assert run(["eval", str(tiny_run), str(path)]) == 3
    assert "--encoding-errors replace" in capsys.readouterr().err
    assert run(["eval", str(tiny_run), str(path), "--encoding-errors", "replace"]) == 0
    assert capsys.readouterr().err == "invalid utf-8 in 1 place, replaced\n"
    path.write_bytes(path.read_bytes().replace(b"\xff", b""))
    assert run(["eval", str(tiny_run), str(path), "--encoding", "cp1252", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == f"{path}: read as cp1252, but it is utf-8: try --encoding utf-8\n"
    assert '"notes": ["' in out
    assert run(["eval", str(tiny_run), str(path), "--encoding-errors", "drop"]) == 2


def test_corpus_info_shows_the_text_as_the_options_of_train_change_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("Ab é\r\n".encode() * 20)
    for options, characters in (
        ([], 120),
        (["--bytes"], 140),
        (["--newlines", "lf"], 100),
        (["--lowercase", "--min-count", "20"], 120),
    ):
        assert run(["corpus", "info", str(path), *options]) == 0
        assert f"{characters} characters" in capsys.readouterr().out
    for options in (["--bytes", "--lowercase"], ["--min-count", "21"]):
        assert run(["corpus", "info", str(path), *options]) == 2


@pytest.mark.parametrize("program", ['(format t "~{name~}" list)', "print(x ~{ab~}, y);", "a ~{~a~^, ~} b"])
def test_a_program_is_not_taken_for_chinese_in_hz(program: str) -> None:
    assert within_ascii((program + "\n").encode() * 9) == ""
    assert within_ascii("今天天气很好，我们去公园。\n".encode("hz")) == "hz"
