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

from typing import TYPE_CHECKING, Any

from charnet.errors import CharnetError
from charnet.version import __version__

if TYPE_CHECKING:
    from charnet.api import TextModel, load, train
    from charnet.evaluation.losses import Evaluation

__all__ = ["CharnetError", "Evaluation", "TextModel", "__version__", "load", "train"]


def __getattr__(name: str) -> Any:
    """The names that load NumPy, and `Evaluation`, which loads torch: when they are first asked for (PEP 562)."""
    if name in ("TextModel", "load", "train"):
        from charnet import api

        return getattr(api, name)
    if name == "Evaluation":
        from charnet.evaluation.losses import Evaluation

        return Evaluation
    raise AttributeError(f"module 'charnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
