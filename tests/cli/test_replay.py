"""`charnet sample --receipt` and `charnet replay`: the same bytes again, or what differs."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from receipt_files import change, small

import charnet
from charnet.cli.app import run
from charnet.cli.receipts import stored_name
from charnet.engines import exact
from charnet.storage.receipt import read

CHECKPOINT = "runs/best.safetensors"
RECEIPT = Path("receipt.json")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: with checkpoints of each kind in `runs`."""
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    return tmp_path


def save(kind: str = "lstm", *, precision: str = "int8", path: str = CHECKPOINT) -> None:
    checkpoint = small(kind)
    (checkpoint.quantize() if precision == "int8" else checkpoint).save(Path(path))


def sample(*options: str, capsys: Capture) -> str:
    """Writes a text with its receipt."""
    assert run(["sample", CHECKPOINT, "--receipt", str(RECEIPT), "--force", *options]) == 0
    return capsys.readouterr().out


def refused(capsys: Capture, *line: str, code: int = 4) -> str:
    """The message of a command that writes nothing to stdout."""
    assert run(list(line)) == code
    out, err = capsys.readouterr()
    assert out == ""
    return err


LINES = {
    "plain": "-n 200",
    "a prompt": "-n 50 -p abc",
    "no echo": "-n 50 -p abc --no-echo",
    "several": "-n 60 --samples 3 -p ab",
    "many": "-n 9 --samples 70 --seed 4",
    "filters": "-n 90 --top-k 5 --top-p 0.9 --min-p 0.01 --typical-p 0.9",
    "history": "-n 90 --repetition-penalty 1.3 --repetition-window 9 --until line --max-lines 3",
    "bias": "-n 90 --ban a --logit-bias b=1.5 --temp 1.5:0.3 --samples 2",
    "stop": "-n 400 --stop hc --stop a --samples 2",
    "unknown": "-n 40 -p aXbY --unknown skip",
    "a file": "-n 40 --prompt-file prompt",
    "stdin": "-n 40 -p -",
    "nothing": "-n 0 -p abc",
    "private": "-n 40 --receipt-private",
    "numpy": "-n 200 --engine numpy",
    "compiled": "-n 200 --engine compiled",
}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", LINES)
def test_replay_writes_what_sample_wrote(
    name: str, precision: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    save(precision=precision)
    Path("prompt").write_text("abc\n")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"cab"), isatty=lambda: False))
    written = sample(*LINES[name].split(), capsys=capsys)
    receipt = read(RECEIPT)
    assert receipt.exact == (precision == "int8")
    assert bool(receipt.machine) == (precision == "fp32")
    assert run(["replay", str(RECEIPT)]) == 0
    out, err = capsys.readouterr()
    assert out == written
    assert err.splitlines()[-1].startswith(f"{CHECKPOINT}: ")


KINDS = {
    "lines": ["--lines 4", "-n 90", "--until line --samples 3"],
    "documents": ["--samples 3", "--lines 2 -p ab", "-n 40 --temp 1:0.5"],
    "bytes": ["-n 50 --samples 2", "-n 30 --prompt-file raw"],
    "mixture": ["-n 50 --samples 2", "-n 50 --quantize int8"],
    "gru": ["-n 50 --quantize int8 --until sentence"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_replay_writes_the_texts_of_every_kind_of_model(kind: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    save(kind, precision="fp32")
    Path("raw").write_bytes(b"a\xff\xc3")
    for options in KINDS[kind]:
        assert run(["sample", CHECKPOINT, "--receipt", str(RECEIPT), "--force", *options.split()]) == 0
        written = capfdbinary.readouterr().out
        assert run(["replay", str(RECEIPT), "-q"]) == 0
        assert capfdbinary.readouterr() == (written, b"")


@pytest.mark.parametrize("kind", ["lstm", "lines", "bytes"])
def test_the_receipt_has_the_digest_of_each_file(kind: str) -> None:
    save(kind)
    count = "--lines" if kind == "lines" else "--samples"
    line = ["sample", CHECKPOINT, "-n", "40", count, "3", "--out-dir", "texts", "--receipt", "texts/receipt.json"]
    assert run(line) == 0
    Path("texts/receipt.json").rename(RECEIPT)
    files = sorted(Path("texts").iterdir())
    digests = [(hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size) for path in files]
    assert [tuple(text) for text in read(RECEIPT).texts] == digests
    assert run(["replay", str(RECEIPT), "--out-dir", "again"]) == 0
    assert [path.read_bytes() for path in sorted(Path("again").iterdir())] == [path.read_bytes() for path in files]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_receipt_in_json_is_that_of_its_text_alone(precision: str, capsys: Capture) -> None:
    save(precision=precision)
    assert run(["sample", CHECKPOINT, "-n", "30", "--samples", "70", "-p", "ab", "--json"]) == 0
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for each in (objects[0], objects[42], objects[69]):
        RECEIPT.write_text(json.dumps(each["receipt"]))
        assert run(["replay", str(RECEIPT)]) == 0
        assert capsys.readouterr().out == each["text"]


def test_json_with_a_receipt_has_the_same_receipt_as_the_text(capsys: Capture) -> None:
    save()
    sample("-n", "30", "--seed", "3", capsys=capsys)
    alone = read(RECEIPT)
    sample("-n", "30", "--seed", "3", "--json", "--out", "text.json", capsys=capsys)
    assert read(RECEIPT) == alone


def test_json_has_no_receipt_where_none_could_be_read_again(capsys: Capture) -> None:
    save()
    assert run(["sample", CHECKPOINT, "-n", "1", "--json", "--seed", "1" + "0" * 200]) == 0
    assert "receipt" not in json.loads(capsys.readouterr().out)
    line = ["sample", CHECKPOINT, "-n", "1", "--seed", "1" + "0" * 200, "--receipt", str(RECEIPT)]
    assert "too large for it" in refused(capsys, *line, code=2)


def test_a_private_receipt_needs_its_prompt_again(capsys: Capture) -> None:
    save()
    Path("secret").write_text("cabXage\n")
    written = sample("-n", "30", "--prompt-file", "secret", "--unknown", "skip", "--receipt-private", capsys=capsys)
    for secret in ("cabX", "cabage"):  # "cab" alone may stand in a digest
        assert secret not in RECEIPT.read_text()
    assert "--prompt-file" in refused(capsys, "replay", str(RECEIPT), code=2)
    for other in ("cab", "", "cabX", "\x1b"):
        assert "the prompt differs" in refused(capsys, "replay", str(RECEIPT), "-q", "--prompt", other)
    for given in (["--prompt-file", "secret"], ["--prompt", "cabXage"]):
        assert run(["replay", str(RECEIPT), *given]) == 0
        assert capsys.readouterr().out == written


def test_python_replays_what_the_command_wrote(capsys: Capture) -> None:
    save(precision="fp32")
    for options in (["--samples", "2", "--quantize", "int8"], ["-p", "ab", "--receipt-private"]):
        written = sample("-n", "30", *options, capsys=capsys)
        prompt = "ab" if "-p" in options else None
        model = charnet.load(CHECKPOINT)
        assert "\n---\n".join(model.replay(RECEIPT, prompt=prompt)) == written
    with pytest.raises(charnet.CharnetError, match="prompt differs"):
        model.replay(RECEIPT, prompt="abc")


# ------------------------------------------------------------------------------------------------- what differs


def test_another_checkpoint_is_named(capsys: Capture) -> None:
    save()
    sample("-n", "30", capsys=capsys)
    save("gru", path="runs/other.safetensors")
    message = refused(capsys, "replay", str(RECEIPT), "runs/other.safetensors")
    assert message.startswith("charnet: runs/other.safetensors: the checkpoint differs: SHA-256 ")


def test_another_text_is_named_and_not_written(capsys: Capture) -> None:
    save()
    sample("-n", "30", capsys=capsys)
    change(RECEIPT, "texts/0/sha256", "0" * 64)
    message = refused(capsys, "replay", str(RECEIPT))
    assert "the text differs from the one of the receipt; checkpoint, version and options are" in message
    assert "differs" in refused(capsys, "replay", str(RECEIPT), "--out", "again.txt")
    assert not Path("again.txt").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 8),
        ("temperature", 0.1),
        ("length", 29),
        pytest.param("length", 10_000_000, marks=pytest.mark.exhaustive),
    ],
)
def test_a_text_of_other_options_differs(key: str, value: Any, capsys: Capture) -> None:
    save()
    sample("-n", "30", "--seed", "7", capsys=capsys)
    change(RECEIPT, f"options/{key}", value)
    assert "the text differs" in refused(capsys, "replay", str(RECEIPT))


def test_the_texts_before_one_that_differs_are_written(capsys: Capture) -> None:
    save()
    written = sample("-n", "30", "--samples", "3", capsys=capsys)
    change(RECEIPT, "texts/1/bytes", 29)
    assert run(["replay", str(RECEIPT)]) == 4
    out, err = capsys.readouterr()
    assert out == written[:30]
    assert "text 2 of 3 differs" in err


def test_another_version_of_the_arithmetic_is_named_before_and_where_the_text_differs(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    save()
    sample("-n", "30", capsys=capsys)
    monkeypatch.setattr(exact, "VERSION", 2)
    assert run(["replay", str(RECEIPT)]) == 0
    versions = "version 1 of the 8-bit arithmetic, here 2"
    assert f"it may differ: the receipt is for {versions}" in capsys.readouterr().err
    change(RECEIPT, "texts/0/sha256", "0" * 64)
    assert f"it was written with {versions}" in refused(capsys, "replay", str(RECEIPT)).splitlines()[-1]


def test_other_versions_are_named_where_the_text_differs(capsys: Capture) -> None:
    save()
    sample("-n", "30", capsys=capsys)
    for key, value in (("charnet", "0.0.7\x1b"), ("unicode", "1.0"), ("texts/0/sha256", "0" * 64)):
        change(RECEIPT, key, value)
    message = refused(capsys, "replay", str(RECEIPT))
    assert r'it was written with charnet "0.0.7\x1b", here "' in message
    assert 'Unicode "1.0", here "' in message


def test_a_receipt_of_another_kind_of_machine_is_tried(capsys: Capture) -> None:
    save(precision="fp32")
    written = sample("-n", "30", "--engine", "numpy", capsys=capsys)
    change(RECEIPT, "machine/numpy", "1.0")
    change(RECEIPT, "machine/engine", "abacus")
    assert run(["replay", str(RECEIPT)]) == 0
    out, err = capsys.readouterr()
    assert out == written
    assert 'it may differ: the receipt is for numpy "1.0", here ' in err
    assert 'engine "abacus", here "numpy"' in err
    change(RECEIPT, "texts/0/sha256", "0" * 64)
    assert 'it was written with numpy "1.0"' in refused(capsys, "replay", str(RECEIPT))


def test_fp32_that_differs_on_this_kind_of_machine_is_said_to_promise_no_more(capsys: Capture) -> None:
    save(precision="fp32")
    sample("-n", "30", capsys=capsys)
    change(RECEIPT, "texts/0/sha256", "0" * 64)
    assert "fp32 promises the same text only on this kind of machine" in refused(capsys, "replay", str(RECEIPT))


def test_a_receipt_of_fp32_does_not_fit_weights_of_8_bits(capsys: Capture) -> None:
    save()
    sample("-n", "30", capsys=capsys)
    fields = json.loads(RECEIPT.read_text())
    change(RECEIPT, "exact", False)
    change(RECEIPT, "precision", "fp32")
    assert fields["exact"]
    assert "the receipt is for weights in fp32" in refused(capsys, "replay", str(RECEIPT))


@pytest.mark.parametrize(
    ("key", "value"), [("options/ban", "X"), ("options/stop", ["X"]), ("options/ban", "abcdefghijk")]
)
def test_options_that_the_model_cannot_have_are_refused(key: str, value: Any, capsys: Capture) -> None:
    save()
    sample("-n", "30", capsys=capsys)
    change(RECEIPT, key, value)
    assert "an option of the receipt cannot be of this model" in refused(capsys, "replay", str(RECEIPT))


# ------------------------------------------------------------------------------------------- where things are


@pytest.mark.parametrize("place", [".", "mail", "checkpoints"])
def test_the_checkpoint_is_found_below_the_current_folder_the_receipt_and_the_runs(place: str, capsys: Capture) -> None:
    save()
    written = sample("-n", "30", capsys=capsys)
    for name in ("mail", "checkpoints"):
        Path(name).mkdir()
    Path("runs").rename(Path(place) / "moved")
    change(RECEIPT, "checkpoint", "moved/best.safetensors")
    RECEIPT.rename("mail/receipt.json")
    assert run(["replay", "mail/receipt.json"]) == 0
    assert capsys.readouterr().out == written


def test_a_checkpoint_that_is_not_here_is_to_be_named(capsys: Capture) -> None:
    save()
    written = sample("-n", "30", capsys=capsys)
    Path("runs").rename("moved")
    message = refused(capsys, "replay", str(RECEIPT))
    assert message.endswith('"runs/best.safetensors", is not here; name it: charnet replay receipt.json CHECKPOINT\n')
    assert run(["replay", str(RECEIPT), "moved"]) == 0
    assert capsys.readouterr().out == written


def test_of_a_run_the_file_that_the_receipt_names_is_taken(capsys: Capture) -> None:
    save()
    save("gru", path="runs/last.safetensors")
    assert run(["sample", "runs/last.safetensors", "-n", "20", "--receipt", str(RECEIPT)]) == 0
    written = capsys.readouterr().out
    assert run(["replay", str(RECEIPT), "runs"]) == 0
    assert capsys.readouterr().out == written


@pytest.mark.parametrize("name", ["/etc/passwd", "../runs/best.safetensors", "C:\\a", "\\\\server\\a", "a/../../b", ""])
def test_a_receipt_that_leads_elsewhere_is_refused(name: str, capsys: Capture) -> None:
    save()
    sample("-n", "3", capsys=capsys)
    change(RECEIPT, "checkpoint", name)
    assert "another value of checkpoint" in refused(capsys, "replay", str(RECEIPT))


def test_the_name_of_a_checkpoint_elsewhere_is_without_the_folders_above_it(folder: Path) -> None:
    assert stored_name(Path("runs/a/best.safetensors")) == "runs/a/best.safetensors"
    assert stored_name(folder / "runs" / "best.safetensors") == "runs/best.safetensors"
    assert stored_name(folder.parent / "secret" / "a" / "best.safetensors") == "a/best.safetensors"


# ---------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        ("-i --receipt r", 2, "--receipt and -i: "),
        ("--adapt -p abc --receipt r", 2, "--receipt: a model that learns"),
        ("--adapt-to prompt --receipt r", 2, "--receipt: a model that learns"),
        ("--receipt-private", 2, "--receipt-private: expected --receipt or --json"),
        ("--out text --receipt text", 2, "--receipt: expected a file beside the texts"),
        ("--out-dir t --receipt t/001.txt", 2, "--receipt: expected a file beside the texts"),
        ("--samples 10001 --receipt r", 2, "at most 10,000 texts fit in a receipt"),
        ("-n 100000001 --receipt r", 2, "of at most 100,000,000 characters"),
        ("--receipt runs", 6, "runs: is a folder"),
        ("--receipt missing/r", 6, "missing/r: cannot be written: the folder missing does not exist"),
        ("--receipt prompt", 6, "prompt: already exists"),
        ("-p X --receipt r", 3, "the model does not know 'X'"),
    ],
)
def test_what_no_receipt_can_be_of_is_refused_before_anything_is_written(
    options: str, code: int, expected: str, capsys: Capture
) -> None:
    save(precision="fp32")
    Path("prompt").write_text("abc")
    assert expected in refused(capsys, "sample", CHECKPOINT, *options.split(), code=code)
    assert sorted(path.name for path in Path().iterdir()) == ["prompt", "runs"]


def test_without_a_receipt_nothing_of_receipts_is_loaded() -> None:
    save()
    code = (
        "import sys; from charnet.cli.app import run; run(sys.argv[1:]);"
        "print([name for name in sys.modules if name.endswith(('.receipt', '.generation.receipts', '.rounding'))])"
    )
    line = [sys.executable, "-c", code, "sample", CHECKPOINT, "-n", "0"]
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout.splitlines()[-1] == "[]"
