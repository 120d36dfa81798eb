"""The texts that come with charnet, each under a name that every command takes for a text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from charnet.errors import CorpusError


@dataclass(frozen=True)
class BundledText:
    """A text of the folder `corpora`."""

    file: str
    about: str


DEFAULT = "ferry-book"  # where no text is named
TEXTS = {
    DEFAULT: BundledText("ferry-book.txt", "sixty fables in English, read where no text is named"),
    "zh": BundledText("tang-poems.txt", "2,627 Tang poems in Chinese, with five characters to a line"),
}


def path_of(name: str = DEFAULT) -> Path:
    """Returns the path of a bundled text: inside the installed package, or beside it in a source checkout.

    Raises:
        CorpusError: it is missing.
    """
    package = Path(__file__).parent.parent
    for folder in (package / "corpora", package.parent / "corpora"):
        if (path := folder / TEXTS[name].file).is_file():
            return path
    missing = "the text that comes with charnet" if name == DEFAULT else f"{name}, a text that comes with charnet,"
    raise CorpusError(f"{missing} is missing from this installation: name a file instead")


def size_of(name: str) -> int:
    """Returns the bytes of a bundled text."""
    return path_of(name).stat().st_size
