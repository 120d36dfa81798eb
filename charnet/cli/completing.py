"""What may follow on a command line that is being typed: commands, options, values, runs, texts, pages of the guide."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from charnet.cli.help_text import is_argument, metavar
from charnet.config import RUNS

FILES = ":files"  # the shell's own completion of file names
CHECKPOINTS = ("last.safetensors", "best.safetensors")
OF_RUNS = {"CHECKPOINT", "RUN", "RUNS", "CHECKPOINT[:WEIGHT]", "SWEEP"}
OF_FILES = {"FILE", "PATH", "DIR", "FOLDER", "FILE.YAML", "RECEIPT"}
WORD = re.compile(r"[a-z][a-z0-9-]*")


class Candidate(NamedTuple):
    """A word that may follow, and what it stands for."""

    word: str
    about: str = ""


def candidates(root: Any, words: Sequence[str]) -> list[Candidate]:
    """Returns what may stand in place of the last word; `FILES` among it stands for the names of files.

    Args:
        root: the command `charnet`.
        words: of the command line behind `charnet`; the last one is being typed and may be empty.
    """
    *before, typed = words or [""]
    command, path = root, list[str]()
    while before and hasattr(command, "commands"):
        if before[0] not in command.commands:
            return []
        path.append(before.pop(0))
        command = command.commands[path[-1]]
    if not hasattr(command, "commands"):
        found = _of_command(command, " ".join(path), before, typed)
    elif typed.startswith("-"):
        found = _options({flag: param for param in command.params for flag in param.opts}, set())
    else:
        found = [Candidate(*row) for part in command.summaries().values() for row in part.items()]
    return [each for each in found if each.word == FILES or each.word.startswith(typed)]


def _of_command(command: Any, path: str, before: Sequence[str], typed: str) -> list[Candidate]:
    options = {flag: param for param in command.params if not is_argument(param) for flag in param.opts}
    given, valued, arguments = set[str](), None, 0
    for word in before:
        if valued is not None:
            valued = None
        elif word in options:
            given.add(options[word].name)
            valued = None if options[word].is_flag else options[word]
        elif not word.startswith("-"):
            arguments += 1
    if valued is not None:
        return _values(metavar(valued), valued.name, typed)
    flag, equals, value = typed.partition("=")
    if equals and flag in options:
        found = _values(metavar(options[flag]), options[flag].name, value)
        return [each if each.word == FILES else Candidate(f"{flag}={each.word}", each.about) for each in found]
    if typed.startswith("-"):
        return _options(options, given)
    return _argument([param for param in command.params if is_argument(param)], arguments, path)


def _options(options: dict[str, Any], given: set[str]) -> list[Candidate]:
    """Returns the long options that were not given yet, or that may be repeated."""
    found = [
        Candidate(flag, param.help or "")
        for flag, param in options.items()
        if flag.startswith("--") and (param.name not in given or param.multiple)
    ]
    return [*found, Candidate("--help", "show this help")]


def _argument(params: Sequence[Any], place: int, path: str) -> list[Candidate]:
    """Returns what an argument of a command may be.

    Args:
        place: how many arguments stand before it.
        path: of the command.
    """
    param = params[min(place, len(params) - 1)] if params else None
    if param is None or (place >= len(params) and params[-1].nargs == 1):
        return []
    if path == "guide":
        return pages()
    if path == "corpus get":
        return texts()
    if path == "completion":
        return [Candidate(shell) for shell in ("bash", "zsh", "fish")]
    name = metavar(param)
    found = runs() if "CHECKPOINT" in name or "RUN" in name else []
    found += texts() if "TEXT" in name else []
    return [*found, Candidate(FILES)]


def _values(name: str, option: str, typed: str) -> list[Candidate]:
    """Returns the values of an option.

    Args:
        name: what `--help` calls them: words to choose from, or such as RUN.
        option: the name of its parameter.
    """
    upper = name.upper()
    if "VALUE" in upper and "=" in upper:
        return _settings(typed, is_full=upper.startswith("SECTION"))
    if upper in OF_RUNS or upper.startswith("CHECKPOINT[:WEIGHT]"):
        return [*runs(), Candidate(FILES)]
    if upper in OF_FILES:
        return [Candidate(FILES)]
    if option == "template":
        return templates()
    return [Candidate(word) for word in name.split("|") if WORD.fullmatch(word)]


def _settings(typed: str, *, is_full: bool) -> list[Candidate]:
    """Returns settings with a sign of equality, or the values of one."""
    from charnet.overlay import limits, qualified_names

    names = {full if is_full else name: full for name, full in qualified_names().items()}
    name, equals, _ = typed.partition("=")
    if equals and name in names:
        return [Candidate(f"{name}={word}") for word in limits(names[name]).choices if word]
    return [Candidate(f"{name}=", limits(full).text) for name, full in names.items()]


def runs() -> list[Candidate]:
    """Returns the names of the runs in the usual folder, the newest first."""
    found = list[tuple[float, str]]()
    with contextlib.suppress(OSError):
        for entry in os.scandir(RUNS):
            times = list(_times(Path(entry.path)))
            if times:
                found.append((max(times), entry.name))
    return [Candidate(name, "a run") for _, name in sorted(found, reverse=True)]


def _times(run: Path) -> Iterable[float]:
    for name in CHECKPOINTS:
        with contextlib.suppress(OSError):
            yield (run / name).stat().st_mtime


def texts() -> list[Candidate]:
    """Returns the texts that are known by name."""
    from charnet.data import bundled, datasets

    known = {name: text.about for name, text in bundled.TEXTS.items()}
    known |= {name: text.about for name, text in datasets.DATASETS.items()}
    return [Candidate(*row) for row in known.items()]


def pages() -> list[Candidate]:
    """Returns the pages of the guide."""
    from charnet.cli import guide

    return [Candidate(page.name, page.title) for page in guide.pages().values()]


def templates() -> list[Candidate]:
    """Returns the templates that have a name."""
    from charnet.generation.template import NAMED

    return [Candidate(name, about) for name, (about, _) in NAMED.items()]


def split_by_bash(words: Sequence[str]) -> tuple[list[str], str]:
    """Joins what bash has split at `=` and `:`, and returns the words with the part of the last one that stays.

    >>> split_by_bash(["train", "--cell", "=", "l"]), split_by_bash(["sample", "a:b", ":", ""])
    ((['train', '--cell=l'], '--cell='), (['sample', 'a:b:'], 'a:b:'))
    """
    joined, begin = list[str](), ""
    for word in words:
        if joined and (word in ("=", ":", "") or joined[-1][-1:] in ("=", ":")) and (begin or word):
            begin = joined[-1] + (word if word in ("=", ":") else "")
            joined[-1] += word
        else:
            joined.append(word)
            begin = ""
    return joined, begin


def unquoted(word: str) -> str:
    r"""Returns a word as the shell passes it on, though it may not be finished.

    >>> unquoted("my\\ run"), unquoted("'my run")
    ('my run', 'my run')
    """
    if word[:1] in ("'", '"'):
        return word[1:].removesuffix(word[0])
    return re.sub(r"\\(.)", r"\1", word)
