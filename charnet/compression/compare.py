"""What common compressors make of the same text: alone, and after they have read the model's training text.

xz and bzip2 come with Python. PPMd and zstd need the packages `pyppmd` and `zstandard` (charnet[compare]); without them
they are left out.
"""

from __future__ import annotations

import bz2
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from charnet import regular_file
from charnet.data import bundled, datasets
from charnet.errors import CharnetError, ConfigError
from charnet.evaluation.baselines import ppmd_size, xz_size
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.config_file import read_yaml
from charnet.storage.runs import SETTINGS

MOST_BYTES = 64 << 20  # of a text; PPMd reads about a megabyte a second, xz a third of that
ZSTD_LEVEL = 22


@dataclass(frozen=True)
class Other:
    """A compressor's bits per character of a text; `primed` = after the training text, None if that is not at hand."""

    name: str
    bits_per_char: float
    primed_bits_per_char: float | None


def check(path: Path) -> None:
    """Raises ConfigError if a text is too large to be compared."""
    found = regular_file.status(path)
    if found and found.st_size > MOST_BYTES:
        raise ConfigError(f"--compare: reads texts of at most {MOST_BYTES >> 20} MB; leave it out")


def compare(path: Path, checkpoint: Checkpoint, characters: int) -> list[Other]:
    """Compresses a text with other compressors.

    Args:
        characters: of the text, as the model counts them.

    Raises:
        StorageError: the system refused to read it.
    """
    try:
        text = regular_file.read(path, MOST_BYTES)
    except OSError as error:
        raise regular_file.read_error(path, error) from None
    learned = training_text(checkpoint)
    found = []
    for name, size, reach in COMPRESSORS:
        with contextlib.suppress(ImportError):
            alone, primed = size(text), None
            if learned is not None and len(text) < reach:
                # A compressor reads one text and then both: what it adds for the second is what it makes of it.
                before = learned[len(text) - reach :]
                primed = 8 * (size(before + text) - size(before)) / max(1, characters)
            found.append(Other(name, 8 * alone / max(1, characters), primed))
    return found


def _zstd_size(text: bytes) -> int:
    import zstandard

    parameters = zstandard.ZstdCompressionParameters.from_level(
        ZSTD_LEVEL, source_size=len(text), window_log=27, enable_ldm=True
    )
    return len(zstandard.ZstdCompressor(compression_params=parameters).compress(text))


# The size of a text, and how many bytes back the compressor sees. bzip2 sees its block, zstd and xz all that is read.
COMPRESSORS: tuple[tuple[str, Callable[[bytes], int], int], ...] = (
    ("xz -9e", xz_size, 2 * MOST_BYTES),
    ("bzip2 -9", lambda text: len(bz2.compress(text, 9)), 900_000),
    ("zstd 22 ultra long", _zstd_size, 2 * MOST_BYTES),
    ("PPMd order 8", ppmd_size, 2 * MOST_BYTES),
)


def training_text(checkpoint: Checkpoint) -> bytes | None:
    """Returns the part of the training text that the model learned from, or None if it is not at hand.

    A run's folder says where its text is. It has to be one file of which the last part was held out.
    """
    data = checkpoint.config.data
    paths: tuple[str, ...] = data.paths  # names without folders: a checkpoint may be given away
    with contextlib.suppress(CharnetError, AttributeError):
        paths = read_yaml(checkpoint.path.parent / SETTINGS)["data.paths"]  # type: ignore[union-attr]
    paths = paths or (bundled.DEFAULT,)
    if len(paths) != 1 or data.document_end:
        return None
    with contextlib.suppress(OSError, UnicodeError):
        raw = regular_file.read(datasets.cached(paths[0]) or Path(paths[0]), MOST_BYTES)
        if len(raw) == checkpoint.corpus.size_bytes:
            encoding = "latin-1" if data.bytes else data.encoding
            text = raw.decode(encoding)
            held_out = data.num_held_out(len(text)) + int(len(text) * data.test_fraction)
            return text[: len(text) - held_out].encode(encoding)
    return None
