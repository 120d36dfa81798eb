"""`charnet compress` and `charnet decompress`"""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charnet import regular_file
from charnet.cli import console, tables
from charnet.cli.options import option
from charnet.cli.progress import training_view
from charnet.errors import CheckpointError, ConfigError, CorpusError, symbol_noun

if TYPE_CHECKING:
    from charnet.compression.compress import Compressor, Totals

MODEL, OUTPUT = "The model", "Output"
SUFFIX, STREAM = ".cnz", "-"
EIGHT_BITS = "its weights are used with 8 bits: so the same numbers come out on every machine"

ModelOption = Annotated[
    Path | None,
    option("--model", "-m", help="a run or a checkpoint [default: the newest run]", group=MODEL, metavar="CHECKPOINT"),
]
ThreadsOption = Annotated[int, option("--threads", help="processor threads; 0 = one per free core", group=MODEL)]
ForceOption = Annotated[bool, option("--force", help="replace an existing file", group=OUTPUT)]
QuietOption = Annotated[bool, option("--quiet", "-q", help="show only errors", group=OUTPUT)]


def compress(
    text: Annotated[str, typer.Argument(help="A file of any kind, a known text, or - for standard input.")],
    model: ModelOption = None,
    adaptive: Annotated[
        bool, option("--adaptive", help="learn from the text too: a smaller file, a little slower", group=MODEL)
    ] = False,
    threads: ThreadsOption = 0,
    out: Annotated[
        Path | None,
        option("--out", "-o", help="path of the new file, or - [default: TEXT.cnz; of standard input -]", group=OUTPUT),
    ] = None,
    force: ForceOption = False,
    compare: Annotated[
        bool, option("--compare", help="also show what xz, bzip2, zstd and PPMd make of the text", group=OUTPUT)
    ] = False,
    quiet: QuietOption = False,
    json: Annotated[bool, option("--json", help="print the results as JSON", group=OUTPUT)] = False,
) -> None:
    """Compress a text with a model: the better it predicts the text, the smaller the file. The same model restores it,
    on any machine, byte for byte."""
    from charnet.data.datasets import file_of

    target, source = out or Path(STREAM if text == STREAM else f"{text}{SUFFIX}"), file_of(text)
    if str(target) == STREAM and json:
        raise ConfigError("--json: the compressed text goes to standard output; name a file with --out")
    if compare and text == STREAM:
        raise ConfigError("--compare: the text has to be read again; give a file, or leave it out")
    if compare:
        from charnet.compression import compare as others

        others.check(Path(source))
    with _opened(source, CorpusError) as (read, size), _target(target, force=force, is_binary=True) as write:
        compressor = _compressor(model, adaptive=adaptive, threads=threads, quiet=quiet)
        from charnet.compression.compress import Totals

        totals = Totals()
        with training_view(quiet=quiet, json=json, reading="compressing") as view:
            for part in compressor.compress(read, totals, lambda done: view.reading(done, size)):
                write(part)
    if str(target) == STREAM:
        return
    found = _found(compressor, totals)
    if compare:
        found["others"] = [
            vars(each) for each in others.compare(Path(source), compressor.predictor.checkpoint, found["characters"])
        ]
    if json:
        console.write_json({"text": text, "file": str(target), **found})
    elif not quiet:
        tables.show_rows(_rows(str(target), found, symbol_noun(compressor.predictor.checkpoint.vocab.of_bytes)))


def decompress(
    file: Annotated[str, typer.Argument(help="A file that `charnet compress` wrote, or - for standard input.")],
    model: ModelOption = None,
    threads: ThreadsOption = 0,
    out: Annotated[
        Path | None,
        option("--out", "-o", help="path of the text, or - [default: FILE without .cnz; else -]", group=OUTPUT),
    ] = None,
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Restore a text that `charnet compress` wrote, with the same model."""
    named = file.endswith(SUFFIX) and Path(file).name != SUFFIX
    target = out or Path(file.removesuffix(SUFFIX) if named else STREAM)
    with _opened(file, CheckpointError) as (read, _), _target(target, force=force) as write:
        from charnet.compression.container import Parser

        header = (parser := Parser(read, "standard input" if file == STREAM else file)).header()
        compressor = _compressor(model, adaptive=header.adaptive, threads=threads, quiet=True)
        with training_view(quiet=quiet, json=False, reading="decompressing") as view:
            for part in compressor.blocks(parser, header, lambda done: view.reading(done, 0)):
                write(part)
    if str(target) != STREAM and not quiet:
        console.write_line(str(target))


def _compressor(model: Path | None, *, adaptive: bool, threads: int, quiet: bool) -> Compressor:
    from charnet.cli.sample_options import limit_threads

    limit_threads(threads)
    from charnet.compression.compress import Compressor
    from charnet.storage import runs
    from charnet.storage.checkpoint import Checkpoint

    checkpoint = Checkpoint.load(path := runs.find(model), weights_only=True)
    if checkpoint.precision != "int8" and not quiet:
        console.note(f"{path}: {EIGHT_BITS}")
    return Compressor(checkpoint, adaptive=adaptive)


@contextlib.contextmanager
def _opened(name: str, missing: type[Exception]) -> Iterator[tuple[Callable[[int], bytes], int]]:
    """Opens a file to read; gives a function that reads some bytes, and the size, 0 if it is unknown.

    Raises:
        StorageError: the system refused.
    """
    path = Path("standard input" if name == STREAM else name)
    with contextlib.ExitStack() as stack:
        try:
            file: Any = sys.stdin.buffer
            if name != STREAM:
                file = stack.enter_context(regular_file.open_regular(path, or_open=True))
        except FileNotFoundError:
            raise missing(f"{path}: there is no such file") from None
        except OSError as error:
            raise regular_file.read_error(path, error) from None

        def read(count: int) -> bytes:
            try:
                raw: bytes = file.read(count)
            except OSError as error:
                raise regular_file.read_error(path, error) from None
            return raw

        yield read, 0 if name == STREAM else os.fstat(file.fileno()).st_size


@contextlib.contextmanager
def _target(path: Path, *, force: bool, is_binary: bool = False) -> Iterator[Callable[[bytes], object]]:
    """Gives a function that writes the next bytes, to a file that appears when all are written, or to stdout."""
    if str(path) != STREAM:
        from charnet.cli.output import check_free, replacing

        check_free(path, replace=force, advice=" with --out, or replace it with --force")
        with replacing(path) as write:
            yield write
        return
    if is_binary and sys.stdout.isatty():
        raise ConfigError("--out: a compressed text is no text for a terminal; name a file")
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    yield lambda raw: console.write_text(decoder.decode(raw))
    console.write_text(decoder.decode(b"", final=True))
    console.flush()


def _found(compressor: Compressor, totals: Totals) -> dict[str, Any]:
    characters = max(1, totals.characters)
    checkpoint = compressor.predictor.checkpoint
    return {
        "model": compressor.fingerprint.hex(),
        "adaptive": compressor.adaptive,
        "text_bytes": totals.text_bytes,
        "characters": totals.characters,
        "compressed_bytes": totals.compressed_bytes,
        "bits_per_char": 8 * totals.compressed_bytes / characters,
        "entropy_bits_per_char": totals.entropy / characters,
        "model_bytes": len(checkpoint.pack()),
    }


def _rows(target: str, found: dict[str, Any], noun: str) -> Iterator[tuple[str, str]]:
    """Yields the labels and lines of a report."""
    before, after = found["text_bytes"], found["compressed_bytes"]
    ratio = f", {before / after:.2f} times smaller" if before > after else ""
    yield "file", f"{target}: {after:,} bytes of {before:,}{ratio}"
    if not before:
        return
    bits, entropy = found["bits_per_char"], found["entropy_bits_per_char"]
    yield "bits", f"{bits:.4f} per {noun}; the predictions call for {entropy:.4f}"
    yield "model", f"{found['model'][:12]}, {found['model_bytes']:,} bytes with 8-bit weights, needed to decompress"
    for other in found.get("others", []):
        primed = other["primed_bits_per_char"]
        after_text = f"; after the training text {primed:.4f}" if primed is not None else ""
        yield other["name"], f"{other['bits_per_char']:.4f} per {noun}{after_text}"
