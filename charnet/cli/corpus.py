"""`charnet corpus`"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from charnet.cli import console
from charnet.cli.help import GroupedCommand, HelpGroup
from charnet.cli.options import SEPARATORS, given_settings, option, setting, unescaped_settings
from charnet.cli.progress import training_view
from charnet.cli.tables import format_size

TEXT, OUTPUT = "The text", "Output"

corpus = typer.Typer(
    help="Show statistics of a text, list the known ones, or fetch one.",
    cls=HelpGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@corpus.command("info", cls=GroupedCommand)
def info(
    text: Annotated[
        list[str], typer.Argument(help="Files, folders, - for standard input, or names from `charnet corpus list`.")
    ],
    encoding: Annotated[str | None, setting("data.encoding", group=TEXT)] = None,
    encoding_errors: Annotated[str | None, setting("data.encoding_errors", group=TEXT)] = None,
    as_bytes: Annotated[bool, setting("data.bytes", "--bytes", group=TEXT)] = False,
    glob: Annotated[str | None, setting("data.glob", group=TEXT)] = None,
    strip: Annotated[str | None, setting("data.strip", group=TEXT)] = None,
    documents: Annotated[str | None, setting("data.documents", group=TEXT, metavar=SEPARATORS)] = None,
    field: Annotated[str | None, setting("data.field", group=TEXT, metavar="NAME|NUMBER")] = None,
    newlines: Annotated[str | None, setting("data.newlines", group=TEXT)] = None,
    normalize: Annotated[str | None, setting("data.normalize", group=TEXT)] = None,
    lowercase: Annotated[bool, setting("data.lowercase", "--lowercase", group=TEXT)] = False,
    min_count: Annotated[int | None, setting("data.min_count", group=TEXT)] = None,
    max_alphabet: Annotated[int | None, setting("data.max_alphabet", group=TEXT)] = None,
    json: Annotated[bool, option("--json", help="print everything as JSON", group=OUTPUT)] = False,
) -> None:
    """Show statistics of a text: characters, lines, entropy, and what to change before training on it."""
    given = dict(locals())  # first of all: each option that is a setting has the name of its field
    from charnet.cli.tables import show_corpus_stats
    from charnet.config import Config
    from charnet.data.corpus import read
    from charnet.evaluation.corpus_stats import describe
    from charnet.overlay import overlay
    from charnet.training import resolve

    config = overlay(Config(), unescaped_settings(given_settings(given)))
    resolve.check(config)
    with training_view(quiet=False, json=False) as view:
        view.starting()
        found = read(text, config.data, progress=view.reading)
    stats = describe(found)
    if json:
        console.write_json(stats.as_dict())
    else:
        show_corpus_stats(stats)


@corpus.command("list", cls=GroupedCommand)
def list_(json: Annotated[bool, option("--json", help="print the list as JSON", group=OUTPUT)] = False) -> None:
    """List the texts that are known by name: those that come with charnet, and those that it fetches."""
    from charnet.data import bundled, datasets

    come_along = {
        name: {"size_bytes": bundled.size_of(name), "about": text.about} for name, text in bundled.TEXTS.items()
    }
    known: dict[str, dict[str, Any]] = come_along | {name: vars(text) for name, text in datasets.DATASETS.items()}
    if json:
        console.write_json(
            [{"name": name, **about, "kept": datasets.cached(name) is not None} for name, about in known.items()]
        )
        return
    for name, about in known.items():
        here = "here" if datasets.cached(name) else ""
        console.write_line(f"{name:<18}{format_size(about['size_bytes']):>9}  {here:<5} {about['about']}")


@corpus.command("get", cls=GroupedCommand)
def get(name: Annotated[str, typer.Argument(help="A name from `charnet corpus list`.")]) -> None:
    """Print the path of a known text; it is first fetched into the cache folder if it did not come with charnet."""
    from charnet.data import datasets

    datasets.check_name(name)
    with training_view(quiet=False, json=False, reading=f"fetching {name}") as view:
        view.starting()
        path = datasets.fetch(name, view.reading)
    console.write_line(str(path))
