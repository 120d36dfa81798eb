"""`charnet eval`"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charnet.cli import console, mixing, showing, tables
from charnet.cli.newest import names_model, newest
from charnet.cli.options import SEPARATORS, option, setting, unescaped_settings
from charnet.config import DYNAMIC_RATE
from charnet.errors import ConfigError, plural, symbol_noun
from charnet.overlay import check_rate

if TYPE_CHECKING:
    from charnet.evaluation.line_scores import LineScore
    from charnet.storage.checkpoint import Checkpoint

COLUMNS = "{:>9} {:>11} {:>9} {:>11}"
MODELS, TEXT, LEARNING, OUTPUT = "Models", "The text", "Learning", "Output"
AS_TRAINED = ("encoding", "encoding_errors", "glob", "strip", "documents", "field")
as_trained = functools.partial(setting, group=TEXT, shown_default="as in the training text")


def eval_(
    checkpoint: Annotated[
        str | None,
        typer.Argument(help="A run or a checkpoint; without one, the newest run."),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Argument(help="Files, folders, - for standard input, or names from `charnet corpus list`."),
    ] = None,
    mix: Annotated[
        list[str] | None,
        option(
            "--mix",
            metavar="CHECKPOINT[:WEIGHT]|auto",
            help="evaluate several models as one, each with its --mix in place of CHECKPOINT; --mix auto beside them "
            "finds the weights",
            group=MODELS,
        ),
    ] = None,
    encoding: Annotated[str | None, as_trained("data.encoding")] = None,
    encoding_errors: Annotated[str | None, as_trained("data.encoding_errors")] = None,
    glob: Annotated[
        str, option("--glob", help="read the files of a folder that match this pattern", group=TEXT)
    ] = "*.txt",
    strip: Annotated[str | None, as_trained("data.strip")] = None,
    documents: Annotated[str | None, as_trained("data.documents", metavar=SEPARATORS)] = None,
    field: Annotated[str | None, as_trained("data.field", metavar="NAME|NUMBER")] = None,
    quantize: Annotated[
        str | None, option("--quantize", help="evaluate with 8-bit weights", group=TEXT, metavar="int8")
    ] = None,
    threads: Annotated[int, option("--threads", help="processor threads; 0 = one per free core", group=TEXT)] = 0,
    dynamic: Annotated[
        bool,
        option("--dynamic", help="also the loss of a copy of the model that learns while it reads", group=LEARNING),
    ] = False,
    dynamic_rate: Annotated[
        float | None, option("--dynamic-rate", help=f"how fast it learns [default: {DYNAMIC_RATE:g}]", group=LEARNING)
    ] = None,
    per_line: Annotated[
        bool,
        option(
            "--per-line",
            help="a result for each line of the text, or for each document if the model learned documents",
            group=OUTPUT,
        ),
    ] = False,
    show: Annotated[
        bool, option("--show", help="color the text by surprise: expected, surprising, very surprising", group=OUTPUT)
    ] = False,
    out: Annotated[
        Path | None, option("--out", "-o", metavar="FILE", help="with --show: write a page (HTML)", group=OUTPUT)
    ] = None,
    force: Annotated[bool, option("--force", help="replace an existing file", group=OUTPUT)] = False,
    json: Annotated[
        bool, option("--json", help="print the results as JSON, with --per-line an object a line", group=OUTPUT)
    ] = False,
) -> None:
    """Evaluate a model on a text: nats and bits per character, perplexity."""
    of_text = {name: value for name, value in locals().items() if name in AS_TRAINED and value is not None}
    given = None if mix or checkpoint is None else Path(checkpoint)
    if given is not None and not names_model(given):  # the newest run, and a text
        given, checkpoint, text = None, "", [str(given), *(text or ())]
    _check(checkpoint, text, mix, dynamic, dynamic_rate, quantize=quantize, per_line=per_line)
    others = {"--mix": mix, "--per-line": per_line, "--dynamic": dynamic}
    showing.check(show=show, out=out, others=[name for name, value in others.items() if value])
    changes = unescaped_settings(of_text)
    if mix:
        _judge(mix, [str(checkpoint), *(text or ())], changes, quantize=quantize, threads=threads, json=json)
        return
    assert text

    from charnet.cli import output
    from charnet.storage import runs
    from charnet.storage.checkpoint import Checkpoint

    path = runs.find(given)
    if out is not None:
        output.check_free(out, replace=force, advice=", or replace it with --force", reads=[path, *map(Path, text)])
    if given is None:
        console.note(f"{path}: {newest()}")
    model = Checkpoint.load(path, weights_only=True)
    if quantize is not None:
        model = model.quantize(quantize)

    symbol = symbol_noun(model.vocab.of_bytes)
    from charnet.evaluation import judge
    from charnet.evaluation.evaluate_checkpoint import evaluate_each, evaluate_files

    if per_line:
        _show_lines(model, text, changes, threads, json=json)
        return
    rate = (DYNAMIC_RATE if dynamic_rate is None else dynamic_rate) if dynamic else None
    found: list[tuple[str, float]] = []
    if show:
        evaluation, ids, nats_N, places = evaluate_each(model, text, changes, threads=threads)
        found = list(showing.characters(model.vocab, ids.tolist(), nats_N.tolist(), places))
    else:
        evaluation = evaluate_files(model, text, changes, threads=threads, dynamic_rate=rate)
    for note in evaluation.notes:
        console.note(note)
    judged = judge.of_text(model, evaluation)
    if out is not None:
        said = [showing.figures(evaluation, symbol), *([f"The model {judged.sentence}."] if judged else [])]
        showing.as_page(out, f"{Path(text[0]).name} as {path.parent.name} reads it", said, found)
    elif show and not json:
        showing.on_terminal(found)
    if json:
        more = {"verdict": judged.as_dict() if judged else None, **(showing.as_json(found) if show else {})}
        console.write_json({"checkpoint": str(path), "precision": model.precision, **evaluation.as_dict(), **more})
    else:
        tables.show_evaluation(evaluation, judged.sentence if judged else "", symbol=symbol)
    if evaluation.dynamic and evaluation.dynamic.is_worse_than(evaluation):
        console.note("learning while reading made it worse: try a smaller --dynamic-rate")


def _check(
    checkpoint: str | None,
    text: Sequence[str] | None,
    mix: Sequence[str] | None,
    dynamic: bool,
    dynamic_rate: float | None,
    *,
    quantize: str | None,
    per_line: bool,
) -> None:
    """Raises ConfigError if an argument is missing or options contradict each other."""
    if dynamic_rate is not None and not dynamic:
        raise ConfigError("--dynamic-rate: expected --dynamic beside it")
    if dynamic_rate is not None:
        check_rate("--dynamic-rate", dynamic_rate)
    if dynamic and per_line:
        raise ConfigError("--dynamic and --per-line: each line is read by itself, so nothing is learned; leave one out")
    if dynamic and quantize:
        raise ConfigError("--dynamic and --quantize: 8-bit weights cannot learn; leave out one of them")
    if checkpoint is None and not mix:
        raise ConfigError("Missing argument 'TEXT...': name the files to evaluate the newest run on, or RUN and files")
    if checkpoint is None or not (text or mix):
        raise ConfigError(
            "Missing argument 'TEXT...': name the files to evaluate the model on, or - for standard input"
        )
    if mix and per_line:
        raise ConfigError("--per-line and --mix: lines are evaluated with one model; leave one of them out")
    if mix and dynamic:
        raise ConfigError("--dynamic and --mix: several models cannot learn together; leave one of them out")


def _judge(
    values: Sequence[str],
    text: Sequence[str],
    changes: Mapping[str, str],
    *,
    quantize: str | None,
    threads: int,
    json: bool,
) -> None:
    """Evaluates a mixture of models."""
    mixed = mixing.load(values, can_find=True, quantize=quantize)

    from charnet.evaluation.evaluate_mixture import evaluate_mixture

    found = evaluate_mixture(mixed.checkpoints, mixed.names, mixed.weights, text, changes, threads=threads)
    for note in found.mixture.notes:
        console.note(note)
    given = [value for value in values if value != mixing.AUTO] if mixed.weights is None else mixed.names
    flags = mixing.flags(given, found.weights) if mixed.weights is None else ""
    if json:
        models = zip(mixed.names, mixed.checkpoints, found.weights, found.parts, strict=True)
        console.write_json(
            {
                "mix": [
                    {
                        "checkpoint": name,
                        "sha256": checkpoint.sha256,
                        "precision": checkpoint.precision,
                        "weight": weight,
                        "nats_per_char": part.nats_per_char if part else None,
                        "characters": part.characters if part else 0,
                    }
                    for name, checkpoint, weight, part in models
                ],
                **found.mixture.as_dict(),
                "fitted_characters": found.fitted,
                "flags": flags or None,
            }
        )
        return
    symbol = symbol_noun(mixed.checkpoints[0].vocab.of_bytes)
    tables.show_evaluation(found.mixture, symbol=symbol)
    tables.show_mixture(mixed.names, found.weights, found.parts, found.mixture.characters, symbol=symbol)
    if flags:
        console.note(
            f"the weights were found on every other stretch of the text ({plural(found.fitted, symbol)}); "
            "the losses are those of the stretches between"
        )
        if found.weights.count(0) == len(found.weights) - 1:
            console.note("the others add nothing to this model:")
        console.write_line(flags)


def _show_lines(model: Checkpoint, paths: list[str], changes: dict[str, str], threads: int, *, json: bool) -> None:
    """Writes the score of each line as soon as its block is read: as JSON, or in columns."""
    from charnet.evaluation.line_scores import score_lines

    notes, unknown, nats, characters, file = list[str](), 0, 0.0, 0, ""
    symbol = symbol_noun(model.vocab.of_bytes)
    has_files = len(paths) > 1 or Path(paths[0]).is_dir()
    for score in score_lines(model, paths, changes, threads=threads, notes=notes):
        unknown, nats, characters = unknown + score.unknown, nats + score.nats, characters + score.characters
        if json:
            console.write(console.as_json(_as_dict(score, has_file=has_files)))
            continue
        if file != score.file:
            file = score.file
            if has_files:
                console.write_line(f"{file}:")
            console.write_line(
                COLUMNS.format(
                    "document" if model.vocab.has_documents else "line", "nats", f"per {symbol[:4]}", f"{symbol}s"
                )
            )
        per_char = "-" if score.nats_per_char is None else f"{score.nats_per_char:.3f}"
        console.write_line(COLUMNS.format(f"{score.number:,}", f"{score.nats:.2f}", per_char, f"{score.characters:,}"))
    for note in notes:
        console.note(note)
    if unknown:
        console.note(f"left out {plural(unknown, symbol)} that the model does not know; --json tells where")
    if characters:
        console.note(f"all together: {nats / characters:.4f} nats per {symbol}")


def _as_dict(score: LineScore, *, has_file: bool) -> dict[str, Any]:
    return {
        **({"file": score.file} if has_file else {}),
        "id": score.number,
        "nats": score.nats,
        "nats_per_char": score.nats_per_char,
        "characters": score.characters,
        "unknown_characters": score.unknown,
    }
