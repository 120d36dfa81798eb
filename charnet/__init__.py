"""charnet: character-level text generation with recurrent networks.

>>> import charnet, tempfile, pathlib
>>> folder = pathlib.Path(tempfile.mkdtemp())
>>> _ = (folder / "song.txt").write_text("la la la, li li li, lo lo lo\\n" * 40)
>>> run = charnet.train(folder / "song.txt", out=folder, steps=60, hidden_size=16, batch_size=4, window=16, threads=1)
>>> model = charnet.load(run)
>>> model.generate("la ", length=5, temperature=0)
'la la la'
>>> len("".join(model.stream("li ", length=20, seed=7)))
20
>>> model.evaluate("lo lo lo\\n").bits_per_char < 3
True
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from charnet.errors import CharnetError

if TYPE_CHECKING:
    from charnet.api import TextModel
    from charnet.training.events import Event

__version__ = "0.1.0"
__all__ = ["CharnetError", "__version__", "load", "train"]


def load(path: str | PathLike[str] | None = None, *, engine: str = "numpy") -> TextModel:
    """Loads a trained model.

    Args:
        path: a run's folder or a checkpoint file; nothing is the newest run under `checkpoints/`.
        engine: "numpy", or "torch" for the reference.

    Raises:
        CheckpointError: it is missing, damaged, or not one of charnet's.
    """
    from charnet import api

    return api.load(path, engine=engine)


def train(
    *texts: str | PathLike[str],
    out: str | PathLike[str] = "checkpoints",
    name: str = "",
    seconds: float | None = None,
    on_report: Callable[[Event], None] | None = None,
    **settings: str | float | bool,
) -> Path:
    """Trains a model on texts and returns the folder of the run.

    Args:
        texts: files and folders; none is the text that comes with charnet.
        out: the folder of runs.
        name: of the run; else it is named after the text.
        seconds: how long it may take; settings that are not given are chosen to fit, as `charnet train --for` does.
            Without this and without `steps` or `epochs`, five minutes.
        on_report: called with every report of the training.
        settings: any setting by its field name: `steps=500, hidden_size=128`; `charnet train --help` lists them.

    Raises:
        CharnetError: what the caller can mend; its message says how.
        KeyboardInterrupt: Ctrl-C, SIGTERM or SIGHUP, after the run was saved; `charnet train --resume` goes on with it.
    """
    from charnet import api

    return api.train(*texts, out=out, name=name, seconds=seconds, on_report=on_report, **settings)
