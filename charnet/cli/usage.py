"""What charnet says about a command line that it does not understand: what it found, and what to type."""

from __future__ import annotations

import itertools
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from charnet import synonyms
from charnet.cli.command_list import SUMMARIES
from charnet.cli.examples import EXAMPLES
from charnet.cli.help_text import is_argument, metavar, whole_line
from charnet.config import RUNS
from charnet.errors import ConfigError, did_you_mean, nearest, quoted, shortened
from charnet.overlay import DURATION_NUMBER, SECONDS_OF, setting_names

NUMBERS = (  # how a type refuses a value, and what it takes
    (r"(.*) is not a valid int(?:eger)?(?: range)?\.?", "a whole number"),
    (r"(.*) is not a valid float(?: range)?\.?", "a number"),
)
OUT_OF_RANGE = r"(\S+) is not in the range (\d+)<=x<=(\d+)\.?"
NUMERIC = ("int", "float")  # the names of their types begin so
BELOW = r"(\S+) is not in the range x>=(\d+)\.?"
SETTING = re.compile(r"\"[^\"]*\"|(?<![\w./])(?:model|data|training)\.[a-z_]+\b(?![./]\w)")  # or a quotation


def explained(error: Any) -> str:
    """Returns an error of the parser as a sentence of ours.

    Args:
        error: one of click, which some releases of typer import and others contain a copy of.
    """
    kind, context = type(error).__name__, getattr(error, "ctx", None)
    path = context.command_path if context else "charnet"
    if kind == "NoSuchOption" and context:
        return no_such_option(error.option_name, context)
    if kind == "MissingParameter" and error.param is not None:
        return _missing(error.param, path)
    if kind == "BadParameter" and error.param is not None:
        return _bad_value(_name(error.param), str(error.message))
    if kind == "BadOptionUsage":
        takes_none = "does not take" in str(error.message)
        return f"{error.option_name}: expected {'no value, found one' if takes_none else 'a value, found none'}"
    return " ".join(error.format_message().split()).rstrip(".")


def see(path: str) -> str:
    """Returns where to read on.

    >>> see("charnet train")
    '; see charnet train --help'
    """
    return f"; see {path} --help"


def no_such_option(word: str, context: Any) -> str:
    """Says that a command has no such option, and which one is meant."""
    path = context.command_path
    command = path.partition(" ")[2]
    flags = {flag for param in context.command.get_params(context) for flag in param.opts}
    says = f"{path} has no option {_shown(word)}"
    if not command and (meant := synonyms.command_here(word)):
        return f"{says}; it is charnet {meant} here"
    if not command:
        return f"{says}; options stand behind a command, as in charnet train --for 5m{see(path)}"
    here = synonyms.option_here(word, command, flags) if len(word) > 2 else ""
    if here.startswith("charnet "):
        return f"{says}; give it without an option, as in {here}"
    if here:
        return f"{says}; it is {here} here"
    names = {flag.lstrip("-"): flag for flag in flags if flag.startswith("--")}
    if near := nearest(synonyms.plain(word), names):
        return f"{says} (did you mean --{near}?){see(path)}"
    return says + (_of_another(word, command, context) or see(path))


def _of_another(word: str, command: str, context: Any) -> str:
    """Says which of the two large commands has an option of that name, or one that is meant."""
    for other in ("train", "sample"):
        found = context.find_root().command.get_command(context, other)
        flags = {flag for param in found.params for flag in param.opts}
        here = synonyms.option_here(word, other, flags) if len(word) > 2 and other != command else ""
        if here.startswith("--"):
            return f"; {here.partition(',')[0]} belongs to charnet {other}"
    return ""


def check_dashes(context: Any, arguments: Sequence[str]) -> None:
    """Raises ConfigError for a long option with one dash: it would be read as several short ones, or as a value. So
    would a file whose name begins with a dash.

    Args:
        arguments: of the command.
    """
    params = context.command.get_params(context)
    flags = {flag for param in params for flag in param.opts}
    valued = {flag for param in params if not is_argument(param) and not param.is_flag for flag in param.opts}
    numbers = {flag for param in params if getattr(param.type, "name", "").startswith(NUMERIC) for flag in param.opts}
    command = context.command_path.partition(" ")[2]
    for before, word in zip(("", *arguments), arguments, strict=False):
        if word == "--":
            return
        if before in valued:
            continue
        if re.match(r"-[^-].", word) and word[:2] not in flags and os.path.isfile(word):
            raise ConfigError(f"{_shown(word)} is a file here: give it as {_shown(shlex.quote(f'./{word}'))}")
        if not re.match(r"-[A-Za-z][A-Za-z_-]{2}", word):
            continue
        typed = word.partition("=")[0]
        if here := synonyms.option_here(word, command, flags):
            says = f"{_shown(typed)} has one dash in front, and long options have two"
            raise ConfigError(f"{says}: " + (f"give it as in {here}" if here.startswith("charnet ") else here))
        if word[:2] not in flags or word[:2] in numbers:
            raise ConfigError(no_such_option(typed, context))


def check_units(context: Any, arguments: Sequence[str]) -> None:
    """Raises ConfigError for a time of several words, as in --for 20 seconds: its unit would be read as a text."""
    times = {flag for param in context.command.params if param.metavar == "TIME" for flag in param.opts}
    for at, word in enumerate(arguments):
        flag, equals, value = word.partition("=")
        if word == "--":
            return
        if flag not in times:
            continue
        words = list(itertools.takewhile(_is_of_time, [*[value] * bool(equals), *arguments[at + 1 :]]))
        time = re.match(rf"(?:{DURATION_NUMBER} ?[a-z]+ ?)+", given := " ".join(words), re.ASCII | re.IGNORECASE)
        if time and len(shown := given[: time.end()].rstrip()) > len(words[0]) and not os.path.exists(words[1]):
            joined = re.sub("([a-z])[a-z]*| ", r"\1", shown.lower())
            raise ConfigError(f"{flag} {shown}: a time is one word: give it as in {flag} {joined}")


def _is_of_time(word: str) -> bool:
    """Returns whether a word is a number, a unit of time, or both."""
    found = re.fullmatch(f"(?:{DURATION_NUMBER})?([a-z]*)", word.lower(), re.ASCII)
    return found is not None and bool(word) and (not found[1] or found[1] in SECONDS_OF)


def as_typed(message: str, arguments: Sequence[str]) -> str:
    """Returns a message that begins with the flag that was typed where it began with the name of its setting.

    What was quoted stays, and so does a name that was itself typed, be it as a setting or as that of a file. What
    stands in a file keeps its name too: the message begins with that of the file.

    >>> as_typed("training.device: there is no cuda", ["train", "--device=cuda"])
    '--device: there is no cuda'
    >>> as_typed("model.onnx: already exists", ["export", "--onnx", "-o", "model.onnx"])
    'model.onnx: already exists'
    """
    typed = {word.partition("=")[0] for word in arguments}
    settings = {name for name in setting_names() if not any(name in word for word in arguments)}
    first = SETTING.match(message)
    if not (message.startswith("-") or (first and first[0] in settings)):
        return message

    def flag(found: re.Match[str]) -> str:
        name = "--" + found[0].partition(".")[2].replace("_", "-")
        return name if found[0] in settings and name in typed else found[0]

    return SETTING.sub(flag, message)


def too_many(context: Any, words: Sequence[str]) -> ConfigError:
    """Returns the error of arguments too many."""
    path = context.command_path
    takes = sum(is_argument(param) for param in context.command.params)
    expected = {0: "no argument", 1: "one argument"}.get(takes, f"{takes} arguments")
    hint = "; a text with spaces needs quotation marks" if len(words) > 1 else ""
    return ConfigError(f"{path} takes {expected}, found {quoted(' '.join(words))} beyond{hint}{see(path)}")


def no_such_command(context: Any, words: Sequence[str]) -> ConfigError:
    """Returns the error of a command that does not exist, with the one that is meant."""
    word, path = words[0], context.command_path
    known = list(context.command.commands)
    if path == "charnet corpus" and _is_text(word):
        typed = shortened(_shown(word))
        return ConfigError(f"{typed} is a text, no command of {path}; to describe it: {path} info {typed}")
    if path != "charnet":
        near = did_you_mean(word, known) or f"; it has {', '.join(known)}"
        return ConfigError(f"{path} has no command {quoted(word)}{near}{see(path)}")
    says = f"there is no command {quoted(word)}"
    if here := _file_or_run(word):
        return ConfigError(here)
    if near := did_you_mean(word, known):
        return ConfigError(f"{says}{near}{see(path)}")
    if command := synonyms.command_here(word):
        follows = words[1] if command == "--help" and words[1:2] and words[1] in SUMMARIES else ""
        return ConfigError(f"{says}; it is {' '.join(filter(None, ('charnet', follows, command)))} here")
    return ConfigError(f"{says}{see(path)}")


def _file_or_run(word: str) -> str:
    """Returns what to do with a file, a run or a known text that was given in place of a command, or ""."""
    typed = shortened(_shown(word))
    if word.endswith(".cnz"):
        return f"{typed} is no command; to restore it: charnet decompress {typed}"
    if word.endswith(".safetensors") or _is_run(word):
        return f"{typed} is a run, no command; to write with it: charnet sample {typed}"
    if not _is_text(word):
        return ""
    known = "" if _is_file(word) else "known "
    return f"{typed} is a {known}text, no command; to train on it: charnet train {typed}"


def _is_text(word: str) -> bool:
    """Returns whether a word is the name of a file, or of a known text."""
    if _is_file(word):
        return True
    from charnet.data import datasets

    return datasets.is_known(word)


def _is_file(word: str) -> bool:
    ending = word.endswith((".txt", ".md", ".csv", ".tsv", ".jsonl", ".gz", ".zst"))
    return not word.startswith("-") and (ending or os.path.exists(word))


def _is_run(word: str) -> bool:
    places = (word, os.path.join(str(RUNS), word))  # noqa: PTH118 - a name may be anything, and no path
    return any(os.path.exists(os.path.join(place, "last.safetensors")) for place in places)  # noqa: PTH118


def _missing(param: Any, path: str) -> str:
    lines = EXAMPLES.get(path.partition(" ")[2], {})
    example = f", as in: {whole_line(next(iter(lines)))}" if lines else see(path)
    return f"{path} needs {metavar(param) if is_argument(param) else _name(param)}{example}"


def _bad_value(name: str, message: str) -> str:
    for pattern, expected in NUMBERS:
        if found := re.fullmatch(pattern, message, re.DOTALL):
            return f"{name}: expected {expected}, found {quoted(_unquoted(found[1]))}"
    if found := re.fullmatch(OUT_OF_RANGE, message):
        return f"{name}: expected a number between {int(found[2]):,} and {int(found[3]):,}, found {found[1]}"
    if found := re.fullmatch(BELOW, message):
        return f"{name}: expected a number, at least {int(found[2]):,}, found {found[1]}"
    return f"{name}: {' '.join(message.split()).rstrip('.')}"


def _unquoted(shown: str) -> str:
    return shown[1:-1] if len(shown) > 1 and shown[0] == shown[-1] and shown[0] in "'\"" else shown


def _name(param: Any) -> str:
    """Returns the name of an option, or of an argument."""
    return metavar(param) if is_argument(param) else _longest(param.opts)


def _longest(flags: Iterable[str]) -> str:
    return max(flags, key=len)


def _shown(word: str) -> str:
    """Returns a word that was typed, on one line."""
    return quoted(word)[1:-1]
