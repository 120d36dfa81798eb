"""The flags of `charnet sample`: what each is called and says, and how what it is given is read."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from charnet.cli.options import option
from charnet.config import Config, overlay
from charnet.errors import ConfigError, PromptError, StorageError

PROMPT, WRITING, KEPT, SHOWN = "The prompt", "Writing", "Where it goes", "What is shown"
COMPUTED = "How it is computed"

Checkpoint = Annotated[
    Path | None, typer.Argument(help="A run or a checkpoint; none = the newest run under checkpoints/.")
]
Prompt = Annotated[str | None, option("--prompt", "-p", help="text to continue; - reads it from stdin", group=PROMPT)]
PromptFile = Annotated[Path | None, option("--prompt-file", help="file to continue; - is stdin", group=PROMPT)]
NoEcho = Annotated[bool, option("--no-echo", help="do not repeat the prompt", group=PROMPT)]
Unknown = Annotated[
    str, option("--unknown", metavar="error|skip", help="what to do with characters the model lacks", group=PROMPT)
]
Interactive = Annotated[
    bool, option("--interactive", "-i", help="a prompt on the terminal: what you type is continued", group=PROMPT)
]
Length = Annotated[
    int | None, option("-n", "--length", help="characters to write [default: 1000; with -i 200]", group=WRITING)
]
Temperature = Annotated[
    str,
    option(
        "--temp",
        "--temperature",
        "-t",
        metavar="T or FROM:TO",
        help="0 = always the likeliest, 1 = as learned, more = wilder; 0.5:1.2 = from one to the other",
        group=WRITING,
    ),
]
TopK = Annotated[int, option("--top-k", help="only the K likeliest; 0 = all", group=WRITING)]
TopP = Annotated[float, option("--top-p", help="only the likeliest that together reach P; 1 = all", group=WRITING)]
MinP = Annotated[float, option("--min-p", help="only those at least P times as likely as the likeliest", group=WRITING)]
TypicalP = Annotated[
    float,
    option("--typical-p", help="only those as surprising as usual that together reach P; 1 = all", group=WRITING),
]
RepetitionPenalty = Annotated[
    float, option("--repetition-penalty", help="divides the chance of what was just written; 1 = not", group=WRITING)
]
RepetitionWindow = Annotated[
    int, option("--repetition-window", help="how many characters that counts for", group=WRITING)
]
Ban = Annotated[str, option("--ban", metavar="CHARACTERS", help="never write any of these", group=WRITING)]
LogitBias = Annotated[
    list[str] | None,
    option(
        "--logit-bias",
        metavar="CHARACTER=NUMBER",
        help="make a character likelier, or with a number below 0 less likely; may be repeated",
        group=WRITING,
    ),
]
Engine = Annotated[
    str | None,
    option("--engine", metavar="numpy|compiled|torch", help="else what writes this much soonest", group=COMPUTED),
]
Quantize = Annotated[
    str | None, option("--quantize", metavar="int8", help="weights of 8 bits; long texts come faster", group=COMPUTED)
]
Threads = Annotated[
    int, option("--threads", help="processor threads at most; 0 = as many as write fastest", group=COMPUTED)
]
Seed = Annotated[int | None, option("--seed", "-s", help="same seed, same text; none = a new one", group=WRITING)]
Stop = Annotated[list[str] | None, option("--stop", help="end before this text; may be repeated", group=WRITING)]
MaxLines = Annotated[int, option("--max-lines", help="end after so many lines; 0 = never", group=WRITING)]
Until = Annotated[
    str, option("--until", metavar="sentence|line|paragraph", help="end after the first of these", group=WRITING)
]
Lines = Annotated[
    int, option("--lines", help="so many whole lines, of a model that was trained with --lines", group=WRITING)
]
Samples = Annotated[int, option("--samples", help="how many texts; they are computed together", group=WRITING)]
Out = Annotated[Path | None, option("--out", metavar="FILE", help="write to a file, not to stdout", group=KEPT)]
OutDir = Annotated[
    Path | None, option("--out-dir", metavar="DIR", help="a file a text: 001.txt, 002.txt, ...", group=KEPT)
]
Force = Annotated[bool, option("--force", help="replace files that are there", group=KEPT)]
Quiet = Annotated[bool, option("--quiet", "-q", help="nothing on stderr but errors", group=SHOWN)]
Json = Annotated[bool, option("--json", help="one JSON object a text", group=SHOWN)]
Surprise = Annotated[
    bool,
    option("--surprise", help="colour characters by how unexpected they were; --json: each one's nats", group=SHOWN),
]


def parse_temperature(text: str) -> tuple[float, float | None]:
    """The first temperature, and the last where it changes on the way.

    >>> parse_temperature("0.8"), parse_temperature("0.5:1.2")
    ((0.8, None), (0.5, 1.2))
    """
    first, colon, last = text.partition(":")
    try:
        return float(first), float(last) if colon else None
    except ValueError:
        raise ConfigError(f"--temp: expected a number, or two as in 0.5:1.2, found {text[:40]!r}") from None


def parse_logit_bias(text: str) -> tuple[str, float]:
    """A character and what is added to its logit.

    >>> parse_logit_bias("e=-2")
    ('e', -2.0)
    """
    try:
        if text[1:2] != "=":
            raise ValueError
        return text[0], float(text[2:])
    except ValueError:
        raise ConfigError(f"--logit-bias: expected CHARACTER=NUMBER, as in e=-2, found {text[:40]!r}") from None


def random_seed() -> int:
    """A seed that nobody chose, short enough to be typed again."""
    import secrets

    return secrets.randbelow(10**6)


def prompt_text(prompt: str | None, prompt_file: Path | None) -> str:
    """The text to continue, from the command line, a file or standard input."""
    if prompt is not None and prompt_file is not None:
        raise ConfigError("--prompt and --prompt-file: expected one prompt, found two; leave one out")
    if prompt == "-" or str(prompt_file) == "-":
        name, raw = "standard input", sys.stdin.buffer.read()
    elif prompt_file is not None:
        name = str(prompt_file)
        try:
            raw = prompt_file.read_bytes()
        except FileNotFoundError:
            raise PromptError(f"{prompt_file}: there is no such file") from None
        except OSError as error:
            raise StorageError(f"{prompt_file}: cannot be read: {error.strerror}") from None
    else:
        return prompt or ""
    try:
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        found = f"byte {raw[error.start]:#04x} at offset {error.start}"
        raise PromptError(f"{name}: expected a prompt in UTF-8, found {found}; convert it first") from None


def limit_threads(threads: int) -> None:
    """Tells libraries that are not loaded yet how many threads they may have; 0 leaves that to them.

    Raises:
        ConfigError: so many cannot be.
    """
    overlay(Config(), {"training.threads": threads})
    if threads:
        os.environ["OPENBLAS_NUM_THREADS"] = str(threads)
