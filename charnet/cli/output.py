"""Sends generated texts to the screen while they are generated, or to files when they are complete."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet import durable, regular_file
from charnet.cli import console, surprise
from charnet.cli.surprise import Wrap
from charnet.cli.wrap import broken
from charnet.errors import ConfigError, StorageError, plural
from charnet.generation.detokenizer import Chunk, line_end

if TYPE_CHECKING:
    from charnet.generation.receipts import Recorder
    from charnet.storage.checkpoint import Checkpoint

BETWEEN = "\n---\n"  # two texts
LINE_END = 0x0A


@dataclass(frozen=True)
class Destination:
    """Where texts go: one file, a folder with a file for each text, or the screen.

    Args:
        end: what is written behind each text.
        between: what is written between two texts.

    Raises:
        ConfigError: a file and a folder are given.
    """

    file: Path | None = None
    folder: Path | None = None
    suffix: str = ".txt"
    end: str = ""
    between: str = BETWEEN

    def __post_init__(self) -> None:
        if self.file is not None and self.folder is not None:
            raise ConfigError("--out and --out-dir: two places to write to; leave one out")

    def of_model(self, model: Checkpoint, *, lines: bool) -> Destination:
        """Returns the same place with what separates the texts of a model: documents, or whole lines, end lines."""
        if not (end := line_end(model.vocab, lines=lines)):
            return self
        has_lines = model.vocab.document_end is not None and LINE_END in model.vocab.symbols
        return replace(self, end=end, between="\n" if has_lines else "")

    @property
    def is_on_disk(self) -> bool:
        return self.file is not None or self.folder is not None

    def names(self, count: int) -> Iterator[Path]:
        """Yields the files for `count` texts; none for the screen."""
        if self.folder is None:
            yield from [self.file] if self.file else []
        else:
            yield from (self._name(number, count) for number in range(1, count + 1))

    def _name(self, number: int, count: int) -> Path:
        assert self.folder is not None
        return self.folder / f"{number:0{max(3, len(str(count)))}}{self.suffix}"

    def check(self, count: int, *, force: bool) -> None:
        """Raises StorageError if `count` texts cannot be written, or would replace files and `force` is not given."""
        if self.folder is not None and os.path.lexists(self.folder) and not self.folder.is_dir():
            raise StorageError(f"{self.folder}: is no folder; name another one, or write one file with --out")
        for path in self._taken(count):
            check_free(path, replace=force, advice=", or replace it with --force", is_sample=True)

    def _taken(self, count: int) -> Iterator[Path]:
        """Yields the files for `count` texts that may exist: of a folder with few files, few, however many texts."""
        if self.folder is None:
            yield from self.names(count)
            return
        try:
            found = {path.name.partition(".")[0] for path in self.folder.iterdir()}
        except FileNotFoundError:
            found = set()
        except OSError as error:
            raise regular_file.write_error(self.folder, error) from None
        numbers = sorted(int(name) for name in found if name.isascii() and name.isdigit())
        yield from (self._name(number, count) for number in numbers if 1 <= number <= count)

    def write_texts(
        self,
        texts: Iterable[Iterable[Chunk]],
        echoed: str,
        count: int,
        *,
        quiet: bool,
        color: bool,
        columns: int = 0,
        colored: Callable[[Iterable[Chunk], Wrap], Iterator[str]] = surprise.colored,
    ) -> None:
        """Shows each text after its prompt while it is generated, or saves it when it is complete.

        Args:
            count: the number of texts at most.
            columns: of the screen, after which lines are broken at spaces; 0 = never.
        """
        if self.is_on_disk:
            complete = (echoed + "".join(chunk.text for chunk in chunks) + self.end for chunks in texts)
            self._save(complete, count, between=self.between, quiet=quiet)
            return
        for index, chunks in enumerate(texts):
            console.write_text(self.between if index else "")
            before = "".join(chunk.text for chunk in broken([Chunk(echoed)], columns))
            console.write_text(before)
            wrap = functools.partial(broken, columns=columns, before=before)
            shown = colored(chunks, wrap) if color else (chunk.text for chunk in wrap(chunks))
            console.stream_text(itertools.chain(shown, self.end), harmless=color)

    def write_objects(self, objects: Iterable[dict[str, Any]], count: int, *, quiet: bool, noun: str = "text") -> None:
        """Writes each object, which is a text or what the `noun` says, as a line of JSON, to the screen or to files."""
        if self.is_on_disk:
            self._save(map(console.as_json, objects), count, between="", quiet=quiet, noun=noun)
        else:
            for each in objects:
                console.write_json(each)

    def _save(self, contents: Iterable[str], count: int, *, between: str, quiet: bool, noun: str = "text") -> None:
        if self.file is not None:
            saved = len(found := list(contents))
            save(self.file, between.join(found))
        else:
            assert self.folder is not None
            try:
                durable.make_folders(self.folder)
            except OSError as error:
                raise regular_file.write_error(self.folder, error) from None
            saved = 0
            for path, content in zip(self.names(count), contents, strict=False):
                save(path, content)
                saved += 1
        if not quiet:
            console.note(f"{plural(saved, noun)} in {self.file or self.folder}")


def note_share(facts: Mapping[str, Any]) -> None:
    """Says how many texts of the model match by themselves, if that is known."""
    if (share := facts.get("matching_share")) is not None:
        console.note(f"of the model's own texts, {_share(share)} match")


def _share(share: float) -> str:
    """Formats a share of 1: two digits, or three near all.

    >>> [_share(share) for share in (1.0, 0.997, 0.5, 0.094, 0.0001, 0.0)]
    ['100 %', '99.7 %', '50 %', '9.4 %', 'one in 10,000', 'hardly any']
    """
    if share < 0.001:
        return f"one in {1 / share:,.0f}" if share > 1e-12 else "hardly any"
    digits = 1 if share < 0.0995 or 0.985 <= share < 0.9995 else 0
    return f"{100 * share:.{digits}f} %"


def note_colors(given: Mapping[str, Any], *, color: bool) -> None:
    """Says what the colors of --surprise mean, or why there are none."""
    if given["surprise"] and not given["json"]:
        console.note(surprise.legend() if color else surprise.COLORS_REFUSED, keep="\x1b")


def watch_facts(chunks: Iterable[Chunk], facts: dict[str, Any]) -> Iterator[Chunk]:
    """Yields the chunks of a text, and puts what is known of it into `facts`."""
    for chunk in chunks:
        facts.update(chunk.facts)
        yield chunk


def check_free(
    path: Path,
    *,
    replace: bool = False,
    advice: str = "",
    is_sample: bool = False,
    reads: Iterable[Path] = (),
    makes: Iterable[Path] = (),
) -> None:
    """Checks that a file may be written to a path.

    Args:
        replace: a regular file may be replaced.
        advice: what to say after "choose another name".
        is_sample: the command has --out-dir, and can write to stdout.
        reads: files that the command reads; none of them may be replaced.
        makes: folders that the command makes where they are missing.

    Raises:
        StorageError: the path is a folder, a device or a link, or a file that may not be replaced, or its folder is
            missing or closed.
    """
    if str(path) == "-":  # elsewhere it is a stream; here it would be a file of this name
        raise StorageError(
            f"-: is not the name of a file; {'without --out the text is on stdout' if is_sample else 'name one'}"
        )
    try:
        if path.is_dir():
            raise StorageError(f"{path}: is a folder; give the name of a file{', or use --out-dir' * is_sample}")
        stdout = f", or use > {path}" * is_sample
        if path.is_symlink():
            raise StorageError(f"{path}: is a link; name the file that it leads to{stdout}")
        if path.exists() and not path.is_file():
            raise StorageError(f"{path}: is not a regular file; give another name{stdout}")
        if path.exists() and any(each.exists() and path.samefile(each) for each in reads):
            raise StorageError(f"{path}: this command reads that file; choose another name{advice.partition(',')[0]}")
        if os.path.lexists(path) and not replace:
            raise StorageError(f"{path}: already exists; choose another name{advice}")
        if path.parent.exists() or path.parent.absolute() not in [each.absolute() for each in makes]:
            regular_file.check_folder(path)
    except OSError as error:
        raise regular_file.write_error(path, error) from None
    except ValueError:
        raise StorageError(f"{str(path)!r}: cannot be written: not a valid file name") from None


def save(path: Path, text: str) -> None:
    """Writes a text to a file, all of it or nothing. Escaped bytes (surrogates) become bytes again."""
    durable.write(path, text.encode("utf-8", "surrogateescape"))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Callable[[bytes], object]]:
    """Gives a function that writes the next part of a file. The file replaces the old one, or appears, at the end of
    the block; after an exception there is nothing of it.

    Raises:
        StorageError: the system refused to write; the old file is unchanged.
    """
    folder = durable.Folder(path.parent)
    with contextlib.ExitStack() as stack:
        with _explained(path):
            file, aside = stack.enter_context(folder.writing_aside(f".{path.name}"))

        def write(part: bytes) -> None:
            with _explained(path):
                file.write(part)

        yield write
        with _explained(path):
            file.flush()
            os.fsync(file.fileno())
            folder.move(aside.name, path.name)
            durable.sync_folder(path.parent)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise regular_file.write_error(path, error) from None


def objects(
    texts: Iterable[Iterable[Chunk]],
    echoed: str,
    metadata: dict[str, Any],
    recorder: Recorder | None = None,
    *,
    each: bool,
) -> Iterator[dict[str, Any]]:
    """Describes each text: everything that is needed to generate it again, and how unexpected it was.

    Args:
        metadata: the same for all texts.
        recorder: of the receipts, which it adds.
        each: adds the nats of each generated character; those of the prompt are not known.
    """
    for index, chunks in enumerate(texts):
        text, losses = described(chunks, each=each)
        if recorder:
            losses["receipt"] = recorder.receipt_of(index).to_json()
        yield {"text": echoed + text, "index": index, **metadata, **losses}


def described(chunks: Iterable[Chunk], *, each: bool) -> tuple[str, dict[str, Any]]:
    """Returns a text, and what is known of it: how unexpected it was, with `each` every character, and its facts."""
    complete = list(chunks)
    nats = [n for chunk in complete for n in chunk.nats]
    losses: dict[str, Any] = {"nats_per_char": sum(nats) / len(nats) if nats else None}
    if each:
        losses["nats"] = [round(n, 6) for n in nats]
    facts = {name: fact for chunk in complete for name, fact in chunk.facts}
    return "".join(chunk.text for chunk in complete), losses | facts
