"""A folder with everything that the pages of the guide name: texts, runs, models of other programs."""

from __future__ import annotations

import bz2
import gzip
import importlib.util
import shutil
from pathlib import Path

import old_models
import torch
from safetensors.numpy import save

from charnet.cli.app import run
from charnet.data import bundled

ALPHABET = b"".join(old_models.LETTERS).decode()  # of the models of other programs
STEPS = 60
TINY = ["--hidden-size", "12", "--batch-size", "8", "--window", "16", "--threads", "1"]
RUNS = ("book", "fables", "shakespeare", "ferry-book", "corpus")  # the last one is the newest


def text() -> str:
    """Some English and some Chinese, with all letters and no é."""
    fables = bundled.path_of().read_text(encoding="utf-8")[-9000:]
    poems = bundled.path_of("zh").read_text(encoding="utf-8")[:400]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz 0123456789 ;:\n春\n"
    return f"{poems}\n{letters}\nROMEO:\nThe heron waits.\nJULIET:\nThe cat is back.\n\n{fables}"


def fill(folder: Path) -> None:
    """Writes the texts and models into an empty folder, and trains the runs. The current folder must be that one."""
    book = text()
    for name in ("corpus", "novel", "book", "story", "new", "a", "b", "notes", "longer", "tiny-shakespeare"):
        (folder / f"{name}.txt").write_text(book * (2 if name == "longer" else 1), encoding="utf-8")
    for name in ("chapter8.txt", "chapter9.txt", "start.txt"):
        (folder / name).write_text("Once the heron said to the cat, ", encoding="utf-8")
    (folder / "names.txt").write_text(
        "".join(f"{one}{two}\n" for one in ("An", "Be", "Ma") for two in "abcdefghij" * 9)
    )
    (folder / "letters" / "of_may").mkdir(parents=True)
    for name in ("first.md", "of_may/second.md"):
        (folder / "letters" / name).write_text(book, encoding="utf-8")
    (folder / "storm.txt").write_text("The storm came from the sea — and nobody saw it. ", encoding="utf-8")
    (folder / "other.txt").write_text(old_models.TEXT, encoding="utf-8")
    (folder / "old.txt").write_bytes(b"Caf\xe9 " * 40)
    (folder / "book.txt.gz").write_bytes(gzip.compress(book.encode()))
    (folder / "dump.bz2").write_bytes(bz2.compress(book.encode()))
    (folder / "posts.csv").write_text("id,title\n" + "".join(f"{n},The cat of the sea {n}\n" for n in range(90)))
    (folder / "molecules.smi").write_text("".join(f"{'C' * (n % 7 + 1)}O mol{n}\n" for n in range(90)))
    (folder / "prompts.txt").write_text("Once\nThe\n")
    (folder / "folder").mkdir()
    (folder / "folder" / "a.py").write_text(book, encoding="utf-8")
    other_models(folder)
    assert run(["train", "names.txt", "--lines", "--name", "people", "--steps", "60", "--quiet", *TINY]) == 0
    for name in RUNS:
        assert run(["train", "corpus.txt", "--name", name, "--steps", str(STEPS), "--quiet", *TINY]) == 0


def other_models(folder: Path) -> None:
    """Writes models of char-rnn, torch-rnn, PyTorch and Keras."""
    (folder / "cv").mkdir()
    of_char_rnn, of_torch_rnn = (old_models.t7(make()) for make in (old_models.char_rnn, old_models.torch_rnn))
    for name in ("lm_lstm_epoch50.t7", "lm_lstm_epoch50.00_1.2345.t7", "cv/lm_lstm_epoch50.00_1.2345.t7"):
        (folder / name).write_bytes(of_char_rnn)
    (folder / "cv/checkpoint_10000.t7").write_bytes(of_torch_rnn)
    (folder / "alphabet.txt").write_text(ALPHABET, encoding="utf-8")
    (folder / "model.safetensors").write_bytes(of_pytorch("embedding", "fc"))
    torch.save(torch.nn.Linear(2, 3).state_dict(), folder / "model.pt")
    if importlib.util.find_spec("h5py"):
        from test_importing import keras_model

        config, variables, _ = keras_model("LSTM", 1, True)
        weights = old_models.keras_variables(variables)
        (folder / "model.keras").write_bytes(old_models.keras_archive(config, weights))
        (folder / "model.weights.h5").write_bytes(weights)


def of_pytorch(embedding: str, head: str) -> bytes:
    """Returns a model of PyTorch whose embedding and linear layer have these names, and one shape."""
    size, units = len(ALPHABET), 4
    rows = {f"rnn.{kind}_{of}_l0": old_models.random(*shape) for kind, of, shape in (
        ("weight", "ih", (4 * units, units)), ("weight", "hh", (4 * units, units)), ("bias", "ih", (4 * units,)),
        ("bias", "hh", (4 * units,)))}  # fmt: skip
    tables = {f"{name}.weight": old_models.random(size, units) for name in (embedding, head)}
    return bytes(save({**tables, **rows, f"{head}.bias": old_models.random(size)}))


def copy(path: Path, to: Path) -> None:
    """Copies a file or a folder, so that a page finds everything as it was."""
    if path.is_dir():
        shutil.copytree(path, to)
    else:
        shutil.copy(path, to)
