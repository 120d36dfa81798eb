"""The compressed text of a page: checked before it goes in, as the page cannot ask for another one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

from charnet import regular_file
from charnet.compression.compress import Compressor
from charnet.compression.container import Parser
from charnet.errors import CompressedFileError
from charnet.storage.checkpoint import Checkpoint

MOST_BYTES = 1 << 26


class CompressedText(NamedTuple):
    """The bytes of a file of `charnet compress`, the name of the text, and how many characters it has."""

    raw: bytes
    name: str
    characters: int


def read(path: Path, model: Checkpoint) -> CompressedText:
    """Reads a compressed text, and checks that it is whole and was made with this model.

    Raises:
        CompressedFileError: it is missing, damaged, of another model, or learned from while it was compressed.
        StorageError: the system refused to read it.
    """
    try:
        raw = regular_file.read(path, MOST_BYTES)
    except FileNotFoundError:
        raise CompressedFileError(f"{path}: there is no such file; make it with `charnet compress`") from None
    except OSError as error:
        raise regular_file.read_error(path, error) from None
    parser = Parser(io.BytesIO(raw).read, str(path))
    header, compressor = parser.header(), Compressor(model)
    if header.adaptive:
        reason = "was compressed by `charnet compress --adaptive`, which no page restores"
        parser.refuse(reason, "compress the text without learning from it")
    if header.fingerprint != compressor.fingerprint:
        parser.refuse_model(header.fingerprint, compressor.fingerprint, compressor.name)
    return CompressedText(raw, path.name.removesuffix(".cnz"), _characters(parser))


def _characters(parser: Parser) -> int:
    """Reads all blocks, and with them the checksum of the file; returns how many characters they have."""
    new: list[int] = []
    characters = 0
    for block in parser.blocks(new.__len__):
        new += block.new
        characters += block.length
    return characters
