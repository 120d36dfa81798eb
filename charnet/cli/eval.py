"""`charnet eval`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from charnet.cli import console, tables
from charnet.cli.options import SEPARATORS, option, unescaped_separator
from charnet.config import ENCODING_ERRORS

TEXT, OUTPUT = "The text", "Output"


def eval_(
    checkpoint: Annotated[Path, typer.Argument(help="A run or a checkpoint.")],
    text: Annotated[list[str], typer.Argument(help="Files, folders, or - for standard input.")],
    encoding: Annotated[
        str | None, option("--encoding", help="encoding of the text [default: that of the training text]", group=TEXT)
    ] = None,
    encoding_errors: Annotated[
        str | None,
        option(
            "--encoding-errors",
            metavar="|".join(ENCODING_ERRORS),
            help="what to do where bytes are not in the encoding [default: as in the training text]",
            group=TEXT,
        ),
    ] = None,
    glob: Annotated[
        str, option("--glob", help="read the files of a folder that match this pattern", group=TEXT)
    ] = "*.txt",
    strip: Annotated[
        str | None,
        option(
            "--strip",
            metavar="gutenberg",
            help="take the head and foot of Project Gutenberg off each text [default: as of the training text]",
            group=TEXT,
        ),
    ] = None,
    documents: Annotated[
        str | None,
        option(
            "--documents",
            metavar=SEPARATORS,
            help="what separates documents [default: as in the training text]",
            group=TEXT,
        ),
    ] = None,
    field: Annotated[
        str | None,
        option(
            "--field",
            metavar="NAME|NUMBER",
            help="the field of a table to evaluate [default: that of the training text; '' = the file is no table]",
            group=TEXT,
        ),
    ] = None,
    quantize: Annotated[
        str | None, option("--quantize", help="evaluate with 8-bit weights", group=TEXT, metavar="int8")
    ] = None,
    threads: Annotated[int, option("--threads", help="processor threads; 0 = one per core", group=TEXT)] = 0,
    json: Annotated[bool, option("--json", help="print the results as JSON", group=OUTPUT)] = False,
) -> None:
    """Evaluate a model on a text: nats and bits per character, perplexity."""
    from charnet.storage import runs
    from charnet.storage.checkpoint import Checkpoint

    path = runs.find(checkpoint)
    model = Checkpoint.load(path, weights_only=True)
    if quantize is not None:
        model = model.quantize(quantize)

    from charnet.evaluation.evaluate import evaluate_files

    given = {
        "encoding": encoding,
        "encoding_errors": encoding_errors,
        "glob": glob,
        "strip": strip,
        "documents": unescaped_separator(documents),
        "field": field,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    evaluation = evaluate_files(model, text, changes, threads=threads)
    for note in evaluation.notes:
        console.note(note)
    if json:
        console.write_json({"checkpoint": str(path), "precision": model.precision, **evaluation.as_dict()})
    else:
        tables.show_evaluation(evaluation)
