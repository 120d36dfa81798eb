"""`charnet export`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charnet.cli import console
from charnet.cli.options import option
from charnet.errors import ConfigError

if TYPE_CHECKING:
    from charnet.storage.checkpoint import Checkpoint

SUFFIXES = {"html": ".html", "onnx": ".onnx", "safetensors": ".safetensors", "numpy": ".npz"}  # of each format


def export(
    checkpoint: Annotated[
        Path | None, typer.Argument(readable=False, help="A run or a checkpoint; none = the newest run.")
    ] = None,
    html: Annotated[bool, option("--html", help="a page that writes in any browser, offline", group="Formats")] = False,
    onnx: Annotated[bool, option("--onnx", help="a graph for ONNX Runtime and others", group="Formats")] = False,
    safetensors: Annotated[
        bool, option("--safetensors", help="the weights alone, for PyTorch", group="Formats")
    ] = False,
    numpy: Annotated[bool, option("--numpy", help="the weights alone, as .npz", group="Formats")] = False,
    int8: Annotated[
        bool, option("--int8", help="with --onnx: weights of 8 bits, a quarter of the size", group="Formats")
    ] = False,
    with_decompress: Annotated[
        Path | None,
        option(
            "--with-decompress",
            help="with --html: add a text that `charnet compress` wrote; the page restores it",
            group="Formats",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        option("--out", "-o", help="path of the new file [default: the name of the run, here]", group="Output"),
    ] = None,
    force: Annotated[bool, option("--force", help="replace an existing file", group="Output")] = False,
) -> None:
    """Write a model as a file for other programs: a page for a browser, ONNX, or the weights alone."""
    form = _only_one({"html": html, "onnx": onnx, "safetensors": safetensors, "numpy": numpy})
    if int8 and form != "onnx":
        raise ConfigError(f"--int8 goes with --onnx alone, found --{form}; leave it out")
    if with_decompress and form != "html":
        raise ConfigError(f"--with-decompress goes with --html alone, found --{form}; leave it out")
    if form == "onnx":
        _check_onnx()
    from charnet.cli.output import check_free
    from charnet.storage import runs
    from charnet.storage.checkpoint import Checkpoint

    path = runs.find(checkpoint)
    name = _name(path)
    target = out or Path(name + SUFFIXES[form])
    check_free(target, replace=force, advice=" with --out, or replace it with --force", reads=[path])
    model = Checkpoint.load(path, weights_only=True)
    if form == "html":
        from charnet.cli.export_page import write_page

        write_page(model, name, path, target, with_decompress)
    else:
        _write(model, form, target, int8=int8)
    console.write_line(str(target))


def _check_onnx() -> None:
    """Raises ConfigError if the package onnx is missing."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise ConfigError("--onnx needs the package onnx: pip install 'charnet[onnx]', or use --safetensors") from None


def _only_one(asked: dict[str, bool]) -> str:
    """Returns the one format that is asked for."""
    chosen = [name for name, is_asked in asked.items() if is_asked]
    if len(chosen) != 1:
        found = " and ".join(f"--{name}" for name in chosen) or "none"
        raise ConfigError(f"expected one of {', '.join(f'--{name}' for name in asked)}, found {found}")
    return chosen[0]


def _name(path: Path) -> str:
    """Returns the name of a run, or that of a checkpoint by itself."""
    from charnet.storage.runs import RESUME_ORDER

    in_run = path.name in RESUME_ORDER and path.resolve().parent.name
    return in_run or path.stem


def _write(model: Checkpoint, form: str, target: Path, *, int8: bool) -> None:
    """Writes a file of the format; says how large it is and what it lacks."""
    from charnet import durable
    from charnet.exchange.plain import remarks

    durable.write(target, content := _content(model, form, int8=int8))
    facts = [
        f"{len(content):,} bytes",
        f"weights only in {'int8' if int8 else 'fp32'}",
        *remarks(model, as_torch=form != "onnx", int8=int8),
    ]
    name = model.path.name if model.path else "checkpoint"
    console.note(f"{name}: {model.size_bytes:,} bytes, {model.precision}; {target.name}: {', '.join(facts)}")
    if form == "safetensors":
        from charnet.exchange.torch_code import lines

        console.note("in PyTorch, without charnet:")
        for line in lines(model, str(target)):
            console.note(f"    {line}")


def _content(model: Checkpoint, form: str, *, int8: bool) -> bytes:
    if form == "onnx":
        from charnet.exchange import onnx_graph

        return onnx_graph.build(model, int8=int8)
    from charnet.exchange import plain_files

    return plain_files.to_safetensors(model) if form == "safetensors" else plain_files.to_npz(model)
