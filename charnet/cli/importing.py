"""`charnet import`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charnet.cli import console
from charnet.cli.options import option
from charnet.config import RUNS
from charnet.errors import ConfigError, did_you_mean, plural, quoted, symbol_noun

if TYPE_CHECKING:
    from charnet.exchange.imported import Imported
    from charnet.storage.checkpoint import Checkpoint

SOURCES = ("auto", "torch-rnn", "char-rnn", "torch", "keras")
ACTIVATIONS = ("tanh", "relu")


def import_(
    old: Annotated[
        Path,
        typer.Argument(readable=False, metavar="FILE", help="The file of the model: .t7, .safetensors, .keras, .h5."),
    ],
    name: Annotated[
        str, option("--name", "-o", help="name of the new run [default: the name of the file]", group="Output")
    ] = "",
    out: Annotated[Path, option("--out", help="folder of the new run", group="Output")] = RUNS,
    source: Annotated[
        str, option("--from", help="the program that made the file", metavar="|".join(SOURCES), group="The model")
    ] = "auto",
    alphabet: Annotated[
        Path | None,
        option("--alphabet", help="characters in the order of their ids, as .txt or .json", group="The model"),
    ] = None,
    map_: Annotated[
        list[str] | None,
        option(
            "--map", help="a tensor of PyTorch, as in fc.weight=head.weight", metavar="NAME=OURS", group="The model"
        ),
    ] = None,
    activation: Annotated[
        str,
        option(
            "--activation", help="activation of an nn.RNN of PyTorch", metavar="|".join(ACTIVATIONS), group="The model"
        ),
    ] = "tanh",
) -> None:
    """Turn a model of torch-rnn, char-rnn, PyTorch or Keras into a run of charnet."""
    for flag, value, known in (("--from", source, SOURCES), ("--activation", activation, ACTIVATIONS)):
        if value not in known:
            raise ConfigError(f"{flag}: expected {', '.join(known)}, found {quoted(value)}{did_you_mean(value, known)}")
    names = _names(map_ or [])
    name = name or _name_of(old)
    if name in (".", "..") or "/" in name or "\\" in name:
        raise ConfigError(f"--name: expected the name of a run, found {quoted(name)}; --out names its folder")

    from charnet.exchange.convert import Given, convert
    from charnet.storage import place

    place.check(out)
    model, checkpoint = convert(old, Given(source, alphabet, names, activation))
    path = _save(checkpoint, out, name)
    for line in _found(model, checkpoint):
        console.note(line)
    console.write_line(str(path))


def _names(pairs: list[str]) -> dict[str, str]:
    """Returns charnet's names of tensors by their own, of options such as `fc.weight=head.weight`."""
    named: dict[str, str] = {}
    for pair in pairs:
        theirs, _, ours = pair.rpartition("=")
        if not theirs or not ours or theirs in named:
            raise ConfigError(f"--map: expected NAME=OURS, as in fc.weight=head.weight, found {quoted(pair)}")
        named[theirs] = ours
    return named


def _name_of(old: Path) -> str:
    """Returns the name of a file without the endings that say what it is."""
    name = old.name
    for ending in (".t7", ".safetensors", ".keras", ".h5", ".weights"):
        name = name.removesuffix(ending)
    return name or "imported"


def _save(checkpoint: Checkpoint, out: Path, name: str) -> Path:
    """Writes a checkpoint as the best of a new run, and returns its path."""
    from charnet.storage.runs import BEST, RunFolder

    folder = RunFolder.new(out, name, len(checkpoint.pack()))
    try:
        folder.save(BEST, checkpoint)
    except BaseException:
        folder.discard()
        raise
    finally:
        folder.close()
    return folder.path / BEST


def _found(model: Imported, checkpoint: Checkpoint) -> list[str]:
    """Says what was found in a file, what was left out, and what was assumed."""
    shape, vocab = checkpoint.config.model, checkpoint.vocab
    cell = f"{shape.cell} ({shape.activation})" if shape.cell == "rnn" else shape.cell
    symbol = symbol_noun(vocab.of_bytes)
    lines = [
        f"{model.source}: {cell}, {plural(shape.num_layers, 'layer')} of {plural(shape.hidden_size, 'unit')}, "
        f"embedding {shape.embedding_size:,}, alphabet of {plural(len(vocab), symbol)}"
    ]
    if model.left_out:
        lines.append(f"left out: {', '.join(model.left_out)}")
    return [*lines, *(f"assumed: {each}" for each in model.assumed)]
