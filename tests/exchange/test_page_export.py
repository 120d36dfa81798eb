"""A page holds its model and nothing else: it is small, asks for nothing, and what it could not use is refused."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_files import of_size, tiny
from test_engines import build, with_ngram

from charnet.cli.app import run
from charnet.compression import container
from charnet.compression.compress import Compressor
from charnet.data.vocab import Vocabulary
from charnet.engines import exact
from charnet.errors import CompressedFileError, DivergedError
from charnet.exchange import page, wasm
from charnet.model.ngram import PROBABILITIES
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.document import CorpusInfo

ROOM = 60_000  # bytes: script, style and what is said of the model
HOSTILE = "</script><script>window.hit = 1</script><b>&amp;"
CHINESE = Vocabulary(tuple(range(0x4E00, 0x4E00 + 3000)))


def written(checkpoint: Checkpoint, folder: Path, **more: Any) -> str:
    page.write(checkpoint, folder / "page.html", **more)
    return (folder / "page.html").read_text(encoding="utf-8")


def data_of(text: str) -> Any:
    (stored,) = re.findall('<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(stored)


def test_the_policy_lets_nothing_run_but_the_script_of_the_page_and_webassembly(tmp_path: Path) -> None:
    text = written(tiny(), tmp_path)
    (script,) = re.findall("<script>(.*?)</script>", text, re.DOTALL)
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (script, style)]
    (policy,) = re.findall('http-equiv="Content-Security-Policy" content="(.*?)"', text)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("script-src") == f"'wasm-unsafe-eval' 'sha256-{hashes[0]}'"
    assert rules.pop("style-src") == f"'sha256-{hashes[1]}'"
    assert rules == {"img-src": "data:", "base-uri": "'none'", "form-action": "'none'"}


def test_a_page_refers_to_nothing_outside_it(tmp_path: Path) -> None:
    text = written(tiny(), tmp_path)
    assert not re.findall(r"https?:|\bsrc=|\bhref=|@import|url\(|fetch\(|XMLHttpRequest|WebSocket|import\(", text)
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    "checkpoint",
    [of_size(90), with_ngram(build(members=3)), tiny(vocab=CHINESE), of_size(90).quantize()],
    ids=["network", "ensemble with an n-gram", "Chinese", "8 bits"],
)
def test_a_page_is_a_third_larger_than_a_file_in_8_bits_and_60_kb(checkpoint: Checkpoint, tmp_path: Path) -> None:
    made = page.write(checkpoint, tmp_path / "page.html", name="a model")
    model = checkpoint.quantize()
    assert made.size == (tmp_path / "page.html").stat().st_size
    assert made.networks + made.ngram <= sum(tensor.nbytes for tensor in model.tensors.values())
    assert made.size <= len(model.pack()) * 4 / 3 + ROOM


def test_the_weights_of_a_page_are_those_of_8_bits(tmp_path: Path) -> None:
    checkpoint = tiny()
    weights = base64.b64decode(data_of(written(checkpoint, tmp_path))["weights"])
    stored = checkpoint.quantize().stored_weights
    for name in ("embedding.weight", "head.weight"):
        assert stored[name].values.tobytes() in weights
    assert len(checkpoint.vocab.symbols) < len(weights) < 4 * sum(t.size for t in checkpoint.weights.values())


def test_a_model_gives_the_same_page_each_time_and_a_file_in_8_bits_too(tmp_path: Path) -> None:
    first = written(tiny(), tmp_path, name="a", stored_name="a/best.safetensors")
    assert first == written(tiny(), tmp_path, name="a", stored_name="a/best.safetensors")
    assert first == written(tiny().quantize(), tmp_path, name="a", stored_name="a/best.safetensors")


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        ("春眠不觉晓处处闻啼鸟 a", "zh", "zh"),
        ("".join(map(chr, range(0x3042, 0x3060))) + "春眠不觉晓", "ja", "en"),
        ("Μῆνιν ἄειδε θεὰ Πηληϊάδεω", "el", "en"),
        ("Мороз и солнце день чудесный, vous", "ru", "en"),
        ("dew and rain", "", "en"),
        ("1 2", "", "en"),
    ],
)
def test_a_page_says_the_language_of_its_text_and_has_chinese_words_for_a_chinese_one(
    text: str, language: str, words: str, tmp_path: Path
) -> None:
    found = written(tiny(vocab=Vocabulary.of_text(text)), tmp_path)
    assert f'<html lang="{words}">' in found
    assert re.findall('lang="([^"]*)"', found.partition("<body>")[2]) == [language] * 4
    assert (">写</button>" in found) == (words == "zh")
    assert ("a great surprise (under 1 %)" in found) == (words == "en")
    body = re.sub("<script.*</script>|<code>.*?</code>|<[^>]*>", "", found.partition("<body>")[2], flags=re.DOTALL)
    assert (set(re.findall("[A-Za-z]{2,}", body)) <= {"top", "min"}) == (words == "zh")
    assert all(isinstance(each, str) for row in data_of(found)["facts"] for each in row)


def test_no_name_becomes_markup(tmp_path: Path) -> None:
    corpus = dataclasses.replace(tiny().corpus, name=HOSTILE)
    text = written(dataclasses.replace(tiny(), corpus=corpus), tmp_path, name=HOSTILE, stored_name=HOSTILE)
    assert "<b>" not in text
    assert text.count("<script") == text.count("</script>") == 2
    assert data_of(text)["name"] == HOSTILE


def test_a_model_that_has_diverged_makes_no_page(tmp_path: Path) -> None:
    tensors = tiny().tensors | {"model.head.bias": np.full(6, np.nan, np.float32)}
    with pytest.raises(DivergedError, match="not finite"):
        page.write(dataclasses.replace(tiny(), tensors=tensors), tmp_path / "page.html")
    assert not [*tmp_path.iterdir()]


def test_the_module_is_small_and_says_what_it_is() -> None:
    module = wasm.module()
    assert module.startswith(b"\0asm\x01\0\0\0")
    assert len(module) < 500
    assert wasm._leb(300) == b"\xac\x02"


def test_no_number_of_a_table_is_so_near_the_middle_of_two_that_a_last_bit_decides() -> None:
    steps = np.arange(1, exact.REACH + 1) / exact.STEPS
    halvings = 2.0 ** (exact.MOST_HALVINGS - np.arange(exact.HALVING) / exact.HALVING)
    logarithms = np.log2(0.5 + np.arange(exact.HALVING // 2 + 1) / exact.HALVING) * exact.HALVING
    for numbers, error in ((np.tanh(steps) * 2**15, 1e-9), (halvings, 2e-5), (logarithms, 1e-9)):
        assert np.abs(numbers % 1 - 0.5).min() > error
    doubles = 2.0 ** (-np.arange(16) / 16)
    middles = (PROBABILITIES[:16].astype(np.float64) + np.nextafter(PROBABILITIES[:16], 2).astype(np.float64)) / 2
    assert np.abs(doubles - middles).min() > 1e-12


def packed(raw: bytes, model: Checkpoint, folder: Path, *, adaptive: bool = False) -> Path:
    path = folder / "story.txt.cnz"
    path.write_bytes(b"".join(Compressor(model, adaptive=adaptive).compress(BytesIO(raw).read)))
    return path


def test_a_compressed_text_is_in_the_page_with_the_name_of_the_text(tmp_path: Path) -> None:
    compressed = packed("ab é\n😀 of\n".encode() * 5, tiny(), tmp_path)
    made = page.write(tiny(), tmp_path / "page.html", compressed=compressed)
    data = data_of((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert base64.b64decode(data["compressed"]) == compressed.read_bytes()
    assert (data["textName"], made.characters, made.compressed) == ("story.txt", 50, compressed.stat().st_size)


def damage(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "is cut off"),
        (lambda path: damage(path, container.FINGERPRINT + 12), "is damaged"),
        (lambda path: damage(path, 7), "was compressed with the model"),
        (lambda path: path.write_bytes(b"a text"), "is no text that `charnet compress` wrote"),
        (lambda path: path.unlink(), "there is no such file"),
    ],
    ids=["cut", "damaged", "another model", "a text", "missing"],
)
def test_what_the_page_could_not_restore_is_refused(make: Any, message: str, tmp_path: Path) -> None:
    compressed = packed(b"a b a b " * 9, tiny(), tmp_path)
    make(compressed)
    with pytest.raises(CompressedFileError, match=message):
        page.write(tiny(), tmp_path / "page.html", compressed=compressed)
    assert not (tmp_path / "page.html").exists()


def test_a_text_that_was_learned_from_is_refused(tmp_path: Path) -> None:
    compressed = tmp_path / "a.cnz"
    header = container.Header(Compressor(tiny()).fingerprint, adaptive=True)
    compressed.write_bytes(container.Writer().header(header))
    with pytest.raises(CompressedFileError, match="--adaptive"):
        page.write(tiny(), tmp_path / "page.html", compressed=compressed)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("pets", "birds"):
        Path(name).mkdir()
        tiny("lstm" if name == "pets" else "gru").save(Path(name) / "best.safetensors")
    return tmp_path


def test_the_command_writes_a_page_and_says_what_is_in_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataclasses.replace(with_ngram(build(members=2)), corpus=tiny().corpus).save(here / "two.safetensors")
    assert run(["export", "--html", "pets"]) == 0
    assert run(["export", "--html", "two.safetensors", "-o", "two.html"]) == 0
    out, err = capsys.readouterr()
    assert out == "pets.html\ntwo.html\n"
    assert "weights" in err
    assert "2 networks" in err
    assert "the n-gram in it holds pieces of the training text" in err
    receipt = data_of((here / "pets.html").read_text(encoding="utf-8"))["receipt"]
    assert receipt["checkpoint"] == "pets/best.safetensors"
    assert receipt["checkpoint_sha256"] == Checkpoint.load(here / "pets" / "best.safetensors").sha256


def test_the_page_of_an_imported_model_tells_no_length_of_a_text_that_nobody_knows(tmp_path: Path) -> None:
    imported = dataclasses.replace(tiny(), corpus=CorpusInfo("imported from Keras: a.h5", 0, 0, 0, "", ""))
    page.write(imported, tmp_path / "page.html")
    facts = data_of((tmp_path / "page.html").read_text(encoding="utf-8"))["facts"]
    assert dict(facts)["Training text"] == "not known: imported from Keras: a.h5"


def test_a_page_of_documents_begins_with_the_length_of_the_command(here: Path) -> None:
    tiny(vocab=Vocabulary.of_text("\n ab\x1e"), **{"data.documents": "file"}).save(here / "tales.safetensors")
    assert run(["export", "--html", "tales.safetensors", "-o", "tales.html"]) == 0
    assert data_of((here / "tales.html").read_text(encoding="utf-8"))["receipt"]["options"]["length"] == 20_000


def test_the_command_replaces_no_file_and_refuses_the_text_of_another_model(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "pets.html").write_text("mine")
    assert run(["export", "--html", "pets"]) == 6
    assert (here / "pets.html").read_text() == "mine"
    compressed = packed(b"a b", Checkpoint.load(here / "birds" / "best.safetensors"), here)
    assert run(["export", "--html", "pets", "-o", "new.html", "--with-decompress", str(compressed)]) == 4
    assert run(["export", "--onnx", "pets", "-o", "new.onnx", "--with-decompress", str(compressed)]) == 2
    assert "--with-decompress goes with --html alone" in capsys.readouterr().err
    assert not (here / "new.html").exists()
