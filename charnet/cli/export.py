"""`charnet export`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from charnet.cli import console
from charnet.cli.options import option
from charnet.errors import ConfigError, quoted

FORMATS = {"html": ".html", "onnx": ".onnx", "safetensors": ".safetensors", "numpy": ".npz"}


def export(
    checkpoint: Annotated[
        Path | None, typer.Argument(readable=False, help="A run or a checkpoint; none = the newest run.")
    ] = None,
    html: Annotated[
        bool, option("--html", help="a page that writes in any browser, without a network", group="Formats")
    ] = False,
    onnx: Annotated[bool, option("--onnx", help="a graph for ONNX Runtime and others", group="Formats")] = False,
    safetensors: Annotated[
        bool, option("--safetensors", help="the weights alone, for PyTorch", group="Formats")
    ] = False,
    numpy: Annotated[bool, option("--numpy", help="the weights alone, as .npz", group="Formats")] = False,
    out: Annotated[
        Path | None,
        option("--out", "-o", help="path of the new file [default: the name of the run, here]", group="Output"),
    ] = None,
) -> None:
    """Write a model as a file for other programs: a page for a browser, ONNX, or the weights alone."""
    from charnet.cli.output import check_free
    from charnet.storage import runs
    from charnet.storage.checkpoint import Checkpoint

    asked = {"html": html, "onnx": onnx, "safetensors": safetensors, "numpy": numpy}
    chosen = [name for name, is_asked in asked.items() if is_asked]
    if len(chosen) != 1:
        found = " and ".join(f"--{name}" for name in chosen) or "none"
        raise ConfigError(f"expected one of --html, --onnx, --safetensors, --numpy, found {found}")
    path = runs.find(checkpoint)
    target = out or Path(path.parent.resolve().name + FORMATS[chosen[0]])
    check_free(target, advice=" with --out")
    model = Checkpoint.load(path, weights_only=True)
    raise NotImplementedError(quoted(str(model)))
    console.write_line(str(target))
