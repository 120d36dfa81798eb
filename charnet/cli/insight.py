"""`charnet insight`: what is inside a model, as a page, in the terminal, or as numbers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charnet.cli import console
from charnet.cli.options import option, setting
from charnet.errors import ConfigError, plural, quoted

if TYPE_CHECKING:
    from charnet.data.split import Part
    from charnet.insight.study import Study
    from charnet.storage.checkpoint import Checkpoint

TEXT, LOOK, OUTPUT = "The text", "What to look at", "Output"
AS_TRAINED = ("encoding", "encoding_errors", "glob")
MOST_MODELS = 8


def insight(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CHECKPOINT]... [TEXT]...",
            help="A run or a checkpoint [default: the newest run], or several to compare; then files to read "
            "[default: the held-out part of the model's own text].",
        ),
    ] = None,
    encoding: Annotated[
        str | None, setting("data.encoding", group=TEXT, shown_default="as in the training text")
    ] = None,
    encoding_errors: Annotated[
        str | None, setting("data.encoding_errors", group=TEXT, shown_default="as in the training text")
    ] = None,
    glob: Annotated[str | None, setting("data.glob", group=TEXT)] = None,
    find: Annotated[
        list[str] | None,
        option(
            "--find",
            metavar="REGEX",
            help="find the units that know whether a place is inside a match; may be repeated",
            group=LOOK,
        ),
    ] = None,
    unit: Annotated[
        list[str] | None,
        option(
            "--unit", metavar="[LAYER.]UNIT", help="show this unit too, as 231 or 2.231; may be repeated", group=LOOK
        ),
    ] = None,
    threads: Annotated[int, option("--threads", help="processor threads; 0 = one per free core", group=LOOK)] = 0,
    out: Annotated[
        Path | None,
        option(
            "--out", "-o", metavar="FILE", help="write everything as one HTML page that opens offline", group=OUTPUT
        ),
    ] = None,
    png: Annotated[
        Path | None,
        option("--png", metavar="DIR", help="write each figure as PNG to a folder; needs charnet[plot]", group=OUTPUT),
    ] = None,
    force: Annotated[bool, option("--force", help="replace existing files", group=OUTPUT)] = False,
    json: Annotated[bool, option("--json", help="print all numbers as JSON", group=OUTPUT)] = False,
) -> None:
    """Look into a model: its expectations, its units and gates, and how far memory and gradient reach."""
    from charnet.cli import output
    from charnet.storage import runs

    checkpoints, texts = _sorted_out(names or [])
    if len(checkpoints) > 1 and (find or unit):
        raise ConfigError("--find, --unit: they show the units of one model; name one checkpoint")
    given = {"encoding": encoding, "encoding_errors": encoding_errors, "glob": glob}
    changes = {name: value for name, value in given.items() if value is not None}
    if out is not None:
        output.check_free(out, replace=force, advice=", or replace it with --force")
    paths = [runs.find(path) for path in checkpoints]
    if png is not None:
        from charnet.insight.png import check_installed

        check_installed()
    studies = _studies(paths, texts, changes, find or [], unit or [], threads)
    _tell(studies, out, png, force=force, json=json)


def _tell(studies: Sequence[Study], out: Path | None, png: Path | None, *, force: bool, json: bool) -> None:
    """Writes the page and the figures, and what else was asked for to stdout."""
    from charnet.cli import insight_text, output

    if out is not None:
        from charnet.insight.page import to_page

        output.save(out, to_page(studies))
        console.note(f"the page is in {out}: open it in a browser")
    if png is not None:
        _write_png(png, studies, force=force)
    if json:
        console.write_json([each.as_dict() for each in studies] if len(studies) > 1 else studies[0].as_dict())
    elif out is None and png is None:
        insight_text.show(studies)


def _sorted_out(names: Sequence[str]) -> tuple[list[Path | None], list[str]]:
    """Tells checkpoints from texts: the former come first, and a file is one if it looks like one.

    Raises:
        ConfigError: a checkpoint stands behind a text, or there are too many.
    """
    from charnet.config import RUNS
    from charnet.storage import runs, tensorfile

    def is_checkpoint(name: str) -> bool:
        path = Path(name)
        if os.path.isfile(path):
            return tensorfile.looks_like_one(path)
        return any(runs.is_there(folder / each) for folder in (path, RUNS / path) for each in runs.RESUME_ORDER)

    flags = [is_checkpoint(name) for name in names]
    count = flags.index(False) if False in flags else len(flags)
    if not count and names and not os.path.exists(names[0]):
        from charnet.data.datasets import is_known

        count = 0 if is_known(names[0]) else 1  # an unknown name: the error about checkpoints lists the known runs
    if True in flags[count:]:
        late = names[flags.index(True, count)]
        raise ConfigError(f"{quoted(late)}: is a checkpoint; name checkpoints first, and then the texts")
    if len({*names[:count]}) > MOST_MODELS:
        raise ConfigError(f"{count} checkpoints: at most {MOST_MODELS} can be compared; name fewer")
    checkpoints: list[Path | None] = [Path(name) for name in dict.fromkeys(names[:count])]
    return checkpoints or [None], list(names[count:])


def _studies(
    paths: Sequence[Path],
    texts: list[str],
    changes: dict[str, Any],
    patterns: Sequence[str],
    chosen: Sequence[str],
    threads: int,
) -> list[Study]:
    from charnet.storage.checkpoint import Checkpoint

    if changes and not texts:
        raise ConfigError(f"--{next(iter(changes)).replace('_', '-')}: expected a text beside it")
    models = [Checkpoint.load(path, weights_only=True) for path in paths]

    from charnet.evaluation.evaluate_checkpoint import limit_threads
    from charnet.insight.study import study

    limit_threads(threads)
    if len(models) > 1:
        _check_comparable(models, has_text=bool(texts))
    found, lengths = [], set[int]()
    for model, name in zip(models, _names(paths), strict=True):
        text, text_name = _text(model, texts, changes, name if len(models) > 1 else "the model")
        lengths.add(len(text))
        if len(lengths) > 1:
            raise ConfigError(
                "the models do not know the same characters of this text, so their losses cannot be compared: name a "
                "text that all of them know"
            )
        more: dict[str, Any] = {"patterns": patterns, "chosen": chosen, "is_whole": len(models) == 1}
        found.append(study(model, text, name=name, text_name=text_name, **more))
    return found


def _names(paths: Sequence[Path]) -> list[str]:
    """Returns short names of models that differ: of their runs, or of their files where several are of one run."""
    names = [path.parent.name or path.stem for path in paths]
    return [name if names.count(name) == 1 else f"{name}/{path.stem}" for name, path in zip(names, paths, strict=True)]


def _check_comparable(models: Sequence[Checkpoint], *, has_text: bool) -> None:
    """Raises ConfigError if models cannot be compared on one text."""
    if len({model.vocab.of_bytes for model in models}) > 1:
        raise ConfigError("some of the models read bytes and some characters: their losses cannot be compared")
    if has_text:
        return
    parts = {(model.corpus.fingerprint, model.config.data.val, model.config.data.document_end) for model in models}
    if len(parts) > 1:
        raise ConfigError("the models have different held-out texts: name a text that all of them shall read")


def _text(model: Checkpoint, texts: list[str], changes: dict[str, Any], name: str) -> tuple[Part, str]:
    """Returns the text that a model reads, and its name."""
    if not texts:
        from charnet.storage.learned_text import held_out

        part = held_out(model)
        return part, f"the held-out part of {model.corpus.name}"
    from charnet.errors import plural, shortened
    from charnet.evaluation.evaluate_checkpoint import changed, encode_files, part_of

    ids, unknown, notes = encode_files(model.vocab, texts, changed(model.config.data, changes))
    for note in notes:
        console.note(note)
    if unknown:
        console.note(f"left out {plural(sum(unknown.values()), 'character')} that {name} does not know")
    return part_of(model, ids), shortened(", ".join(texts))


def _write_png(folder: Path, studies: Sequence[Study], *, force: bool) -> None:
    from charnet import durable, regular_file
    from charnet.cli import output
    from charnet.insight.figures import figures
    from charnet.insight.png import to_png

    found = figures(studies)
    paths = [folder / f"{figure.name}.png" for figure in found]
    for path in paths:
        output.check_free(path, replace=force, advice=", or replace it with --force", makes=[folder])
    try:
        durable.make_folders(folder)
    except OSError as error:
        raise regular_file.write_error(folder, error) from None
    for path, figure in zip(paths, found, strict=True):
        durable.write(path, to_png(figure))
    console.note(f"{plural(len(paths), 'figure')} in {folder}")
