"""The weights alone: PyTorch computes the same with them, by the lines that charnet prints."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

import exports
import numpy as np
import pytest
import torch
from exports import KINDS, SIZES, H, V, logits_of, model, some_ids
from safetensors import safe_open
from safetensors.torch import load_file
from test_engines import with_ngram

import charnet
from charnet.cli.app import run
from charnet.data.vocab import RARE, Vocabulary
from charnet.exchange import about, plain, plain_files
from charnet.storage.checkpoint import Checkpoint

GUIDE = Path(charnet.__file__).parent / "guide" / "export.md"

every_kind = pytest.mark.parametrize(("cell", "activation"), KINDS)
every_size = pytest.mark.parametrize(("layers", "members"), SIZES)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which all is done."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    return tmp_path


def export(checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[str, str]:
    """Saves a checkpoint and exports it; gives what the command wrote to stdout and to stderr."""
    checkpoint.save(Path("pets.safetensors"))
    assert run(["export", "pets.safetensors", *options]) == 0
    captured = capsys.readouterr()
    return captured.out, captured.err


def executed(err: str) -> dict[str, Any]:
    """Runs the indented lines of a note, and gives the names that they define."""
    names: dict[str, Any] = {}
    lines = re.findall("^    (.*)\n", err, re.MULTILINE)
    assert len(lines) == 5
    assert lines[0].endswith("# pip install safetensors torch")
    with torch.no_grad():
        exec("\n".join(lines), names)
    return names


def computed(names: dict[str, Any], checkpoint: Checkpoint, ids_BT: np.ndarray) -> np.ndarray:
    """The logits by the modules that the lines have loaded, of a window cut in two."""
    shape, ids = checkpoint.config.model, torch.from_numpy(ids_BT)
    begin = -1.0 if (shape.cell, shape.activation) == ("rnn", "sigmoid") else 0.0
    state: Any = torch.full((shape.num_layers, len(ids), shape.hidden_size), begin)
    logs = []
    with torch.no_grad():
        for net in names["net"]["members"] if shape.members > 1 else [names["net"]]:
            first, after = net["rnn"](net["embedding"](ids[:, :3]), None if begin == 0 else state)
            rest, _ = net["rnn"](net["embedding"](ids[:, 3:]), after)
            logs.append(net["head"](torch.cat([first, rest], 1)))
        if shape.members == 1:
            return logs[0].numpy()
        return (torch.stack([each.log_softmax(-1) for each in logs]).logsumexp(0) - np.log(shape.members)).numpy()


@every_size
@every_kind
def test_the_five_printed_lines_load_the_weights_into_pytorch_which_computes_the_same(
    cell: str, activation: str, layers: int, members: int, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, ids_BT = model(cell, activation, layers, members), some_ids(3, 7)
    out, err = export(checkpoint, capsys, "--safetensors", "-o", "weights.safetensors")
    assert out == "weights.safetensors\n"
    names = executed(err)
    start = np.array([[checkpoint.vocab.start_id()]])
    np.testing.assert_allclose(names["logits"], logits_of(checkpoint, start), atol=1e-5)
    np.testing.assert_allclose(computed(names, checkpoint, ids_BT), logits_of(checkpoint, ids_BT), atol=1e-5)


@every_kind
def test_npz_and_safetensors_hold_the_same_arrays_and_facts(cell: str, activation: str) -> None:
    checkpoint = model(cell, activation, 2, 2)
    Path("a.safetensors").write_bytes(plain_files.to_safetensors(checkpoint))
    Path("a.npz").write_bytes(plain_files.to_npz(checkpoint))
    file = np.load("a.npz", allow_pickle=False)
    tensors = load_file("a.safetensors")
    assert set(file) - {"alphabet", "metadata"} == set(tensors)
    for name, tensor in tensors.items():
        assert np.array_equal(file[name], tensor.numpy()), name
    with safe_open("a.safetensors", "pt") as opened:
        facts = opened.metadata()
    assert facts.pop("format") == "pt"
    assert json.loads(str(file["metadata"])) == facts == about.metadata(checkpoint)


def test_the_same_model_gives_the_same_bytes() -> None:
    for write in (plain_files.to_npz, plain_files.to_safetensors):
        assert write(model()) == write(model())


def test_the_facts_tell_the_alphabet_and_what_is_never_written() -> None:
    letters = dataclasses.replace(LETTERS_WITH_END, symbols=(*LETTERS_WITH_END.symbols, RARE))
    facts = about.metadata(model(vocab=letters, **{"data.lowercase": True}))
    assert json.loads(facts["alphabet"]) == [0x1E, 0x61, 0x62, 0xFFFD]
    assert (facts["start_id"], facts["document_end_id"], facts["rare_id"]) == ("0", "0", "3")
    assert facts["alphabet_unit"] == "code points"
    assert json.loads(facts["text"]) == {"lowercase": True, "newlines": "keep", "normalize": "none"}
    of_bytes = about.metadata(model(vocab=Vocabulary((10, 200), of_bytes=True), **{"data.bytes": True}))
    assert (of_bytes["alphabet"], of_bytes["alphabet_unit"], of_bytes["rare_id"]) == ("[10, 200]", "bytes", "")


LETTERS_WITH_END = Vocabulary((0x1E, 0x61, 0x62), document_end=0x1E)


def test_8_bit_weights_become_numbers_of_32_bits_and_the_note_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = model(layers=2).quantize()
    _, err = export(checkpoint, capsys, "--safetensors", "-o", "weights.safetensors")
    assert "8-bit weights as numbers of 32 bits" in err
    names, ids_BT = executed(err), some_ids(3, 7)
    whole = dataclasses.replace(
        checkpoint, tensors={f"model.{name}": tensor for name, tensor in checkpoint.weights.items()}
    )
    np.testing.assert_allclose(computed(names, checkpoint, ids_BT), logits_of(whole, ids_BT), atol=1e-5)


def test_an_n_gram_is_left_out_and_the_note_and_the_facts_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = with_ngram(model())
    for form in ("--safetensors", "--numpy"):
        _, err = export(checkpoint, capsys, form, "-o", f"weights{form}")
        assert "without the n-gram with a share of 0.4: the logits are those of the networks alone" in err
    with safe_open("weights--safetensors", "pt") as opened:
        assert opened.metadata()["left_out"] == "n-gram with a share of 0.4"
        assert not [name for name in opened.keys() if "ngram" in name]  # noqa: SIM118


def test_the_code_of_the_guide_is_the_code_that_is_printed_and_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = GUIDE.read_text(encoding="utf-8")
    five = "".join(
        line + "\n" for line in re.findall("^    (.*)\n", page.partition("## The weights alone")[2], re.MULTILINE)
    )
    numpy = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[-1]
    monkeypatch.setattr(exports, "E", 5)
    checkpoint = model(layers=2, units=7, vocab=Vocabulary.of_text("\n abcdefghij"))
    _, err = export(checkpoint, capsys, "--safetensors", "-o", "corpus.safetensors")
    assert five
    assert err.endswith("".join(f"    {line}\n" for line in five.splitlines()))
    executed(err)
    export(checkpoint, capsys, "--numpy", "-o", "corpus.npz")
    exec(numpy, {})
    assert capsys.readouterr().out == "lstm 7 \n abcdefghij\n"


# --------------------------------------------------------------------------------------------------- the command


def test_the_name_of_the_file_is_that_of_the_run_or_of_the_checkpoint(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", str(tiny_run), "--numpy"]) == 0
    assert run(["export", str(tiny_run / "last.safetensors"), "--safetensors"]) == 0
    model().save(Path("other.safetensors"))
    assert run(["export", "other.safetensors", "--numpy"]) == 0
    assert capsys.readouterr().out == "pets.npz\npets.safetensors\nother.npz\n"
    assert {path.name for path in Path().iterdir()} == {
        *("pets.npz", "pets.safetensors", "other.npz", "other.safetensors")
    }


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ("", 2, "expected one of --html, --onnx, --safetensors, --numpy, found none"),
        ("--onnx --numpy", 2, "found --onnx and --numpy"),
        ("--numpy --int8", 2, "--int8 goes with --onnx alone, found --numpy"),
        ("--numpy -o taken", 6, "taken: already exists; choose another name with --out, or replace it with --force"),
        ("--numpy -o nowhere/new", 6, "nowhere/new: "),
        ("--numpy --html --onnx", 2, "found --html and --onnx and --numpy"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    options: str, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model().save(Path("pets"))
    Path("taken").write_text("mine")
    assert run(["export", "pets", *options.split()]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert Path("taken").read_text() == "mine"
    assert {path.name for path in Path().iterdir()} == {"pets", "taken"}


def test_without_the_package_onnx_a_line_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    model().save(Path("pets"))
    assert run(["export", "pets", "--onnx"]) == 2
    assert "pip install 'charnet[onnx]'" in capsys.readouterr().err
    assert run(["export", "pets", "--numpy"]) == 0


def test_no_format_needs_torch() -> None:
    import subprocess

    model().save(Path("pets"))
    code = "import sys; from charnet.cli.app import run; code = run(sys.argv[1:]); assert 'torch' not in sys.modules"
    for form in ("--safetensors", "--numpy"):
        subprocess.run([sys.executable, "-c", code, "export", "pets", form, "-o", form], check=True, timeout=60)


def test_a_state_of_sigmoids_begins_at_minus_one_and_others_at_zero() -> None:
    assert plain.has_shifted_state(model("rnn", "sigmoid"))
    assert not plain.has_shifted_state(model("rnn", "relu"))
    bias = plain.tensors(model("gru"))["rnn.bias_hh_l0"]
    assert not bias[: 2 * H].any()
    assert bias[2 * H :].all()
    assert len(plain.tensors(model())["head.bias"]) == V
