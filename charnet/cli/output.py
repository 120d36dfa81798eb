"""Where written texts go: the screen as they come; a file, a folder or JSON when they are whole."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charnet import durable
from charnet.cli import console, surprise
from charnet.errors import ConfigError, StorageError, plural
from charnet.generation.detokenizer import Chunk
from charnet.generation.sampler import Options

SHORT = 1000  # characters
BETWEEN = "\n---\n"  # texts that follow each other


@dataclass(frozen=True)
class Destination:
    """One file, a file for each text in a folder, or neither: the screen. Texts that are `lines` follow each other, one
    a line.

    Raises:
        ConfigError: both were named.
    """

    file: Path | None = None
    folder: Path | None = None
    suffix: str = ".txt"
    lines: bool = False

    def __post_init__(self) -> None:
        if self.file is not None and self.folder is not None:
            raise ConfigError("--out and --out-dir: expected one place to write to, found two; leave one out")

    @property
    def is_on_disk(self) -> bool:
        return self.file is not None or self.folder is not None

    def names(self, count: int) -> list[Path]:
        """The files of so many texts."""
        if self.folder is None:
            return [self.file] if self.file else []
        digits = max(3, len(str(count)))
        return [self.folder / f"{number:0{digits}}{self.suffix}" for number in range(1, count + 1)]

    def check(self, count: int, *, force: bool) -> None:
        """Raises StorageError if so many texts would replace what nobody said to replace."""
        for path in self.names(count):
            check_free(path, replace=force, advice=", or replace it with --force")

    def take_texts(
        self, texts: Iterable[Iterable[Chunk]], echoed: str, count: int, *, quiet: bool, colours: bool
    ) -> None:
        """Shows texts as they come, each after its prompt, or keeps them when they are whole."""
        if self.is_on_disk:
            end = "\n" if self.lines else ""
            whole = (echoed + "".join(piece.text for piece in pieces) + end for pieces in texts)
            self._keep(whole, count, between="" if self.lines else BETWEEN, quiet=quiet)
            return
        for index, pieces in enumerate(texts):
            console.write_text(BETWEEN if index and not self.lines else "")
            console.write_text(echoed)
            shown = surprise.colored(pieces) if colours else (piece.text for piece in pieces)
            console.stream_text(itertools.chain(shown, "\n") if self.lines else shown, harmless=colours)

    def take_objects(self, objects: Iterable[dict[str, Any]], count: int, *, quiet: bool) -> None:
        """Writes or keeps each object as a line of JSON."""
        if self.is_on_disk:
            self._keep(map(console.as_json, objects), count, between="", quiet=quiet)
        else:
            for each in objects:
                console.write_json(each)

    def _keep(self, contents: Iterable[str], count: int, *, between: str, quiet: bool) -> None:
        names = self.names(count)
        if self.folder is None:
            save(names[0], between.join(contents))
        else:
            try:
                durable.make_folders(self.folder)
            except OSError as error:
                raise durable.write_error(self.folder, error) from None
            for path, content in zip(names, contents, strict=True):
                save(path, content)
        if not quiet:
            console.note(f"{plural(count, 'text')} in {self.file or self.folder}")


def likely_length(options: Options) -> int:
    """How many characters a text will have: where something may end it sooner, it is taken to be short."""
    ends_sooner = options.stop or options.max_lines or options.until
    return min(options.length, SHORT) if ends_sooner else options.length


def check_free(path: Path, *, replace: bool = False, advice: str = "") -> None:
    """Raises StorageError if something is at a path that may not be replaced: a folder, a device, a link, or without
    `replace` any file. `advice` follows "choose another name"."""
    try:
        if path.is_dir():
            raise StorageError(f"{path}: expected a file to write, found a folder; name a file, or use --out-dir")
        if path.exists() and not path.is_file():
            raise StorageError(f"{path}: expected a file to write, found none; leave --out away and use > {path}")
        if os.path.lexists(path) and not replace:
            raise StorageError(f"{path}: is there already; choose another name{advice}")
    except OSError as error:
        raise durable.write_error(path, error) from None
    except ValueError:
        raise StorageError(f"{str(path)!r}: cannot be written: no file has such a name") from None


def save(path: Path, text: str) -> None:
    """A file with this text, whole or not at all; bytes that were no characters are those bytes again."""
    durable.write(path, text.encode("utf-8", "surrogateescape"))


def objects(
    texts: Iterable[Iterable[Chunk]], echoed: str, facts: dict[str, Any], *, each: bool
) -> Iterator[dict[str, Any]]:
    """One object a text: all that is needed to write it again, and how unexpected it was.

    Args:
        facts: what is the same for all.
        each: whether to say the nats of each character too; those of the prompt are not known.
    """
    for index, pieces in enumerate(texts):
        whole = list(pieces)
        nats = [n for piece in whole for n in piece.nats]
        judged: dict[str, Any] = {"nats_per_char": sum(nats) / len(nats) if nats else None}
        if each:
            judged["nats"] = [round(n, 6) for n in nats]
        yield {"text": echoed + "".join(piece.text for piece in whole), "index": index, **facts, **judged}
