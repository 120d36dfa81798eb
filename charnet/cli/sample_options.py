"""Declares the options of `charnet sample` and parses their values. `config` defines the sampling options."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from charnet import machine
from charnet.cli import console, tables
from charnet.cli.options import option, sampling, unescaped
from charnet.config import Config
from charnet.errors import ConfigError
from charnet.overlay import overlay

ARGUMENT = "--prompt"
PROMPT, LEARNING, WRITING = "The prompt", "Learning", "Writing"
COMPUTATION, OUTPUT = "Computation", "Output"

Checkpoint = Annotated[
    Path | None, typer.Argument(readable=False, help="A run or a checkpoint; none = the newest run under checkpoints/.")
]
Start = Annotated[str | None, typer.Argument(metavar="[PROMPT]", help="The text to continue, as with --prompt.")]
Mix = Annotated[
    list[str] | None,
    option(
        "--mix",
        metavar="CHECKPOINT[:WEIGHT]",
        help="write with several models: the weighted mean of their probabilities; repeat it for each of them",
        group=COMPUTATION,
    ),
]
Prompt = Annotated[
    str | None,
    option(
        ARGUMENT,
        "-p",
        help="text to continue; - reads it from stdin; \\n is a line end, as in every option that takes text",
        group=PROMPT,
    ),
]
PromptFile = Annotated[Path | None, option("--prompt-file", help="file to continue; - is stdin", group=PROMPT)]
PromptsFile = Annotated[
    Path | None,
    option(
        "--prompts",
        metavar="FILE",
        help="a text for each line, as JSON lines in their order; a line is a prompt, or a JSON object with prompt, "
        "id and options of its own; one that cannot be answered gets an object with error, and the exit code is 3",
        group=PROMPT,
    ),
]
Context = Annotated[
    Path | None,
    option("--context", metavar="FILE", help="read this text before the prompt, without showing it", group=PROMPT),
]
NoEcho = Annotated[bool, option("--no-echo", help="do not repeat the prompt", group=PROMPT)]
Unknown = Annotated[
    str,
    option(
        "--unknown",
        metavar="error|skip",
        help="stop at characters that the alphabet lacks, or skip them, as -i does",
        group=PROMPT,
    ),
]
Adapt = Annotated[
    bool,
    option("--adapt", help="learn from the prompt, with -i from each turn, before continuing it", group=LEARNING),
]
AdaptTo = Annotated[
    str | None, option("--adapt-to", metavar="FILE", help="learn from a text first, for this command", group=LEARNING)
]
SaveAs = Annotated[
    Path | None,
    option("--save-as", metavar="FILE", help="write what it has learned as a new checkpoint", group=LEARNING),
]
Interactive = Annotated[
    bool, option("--interactive", "-i", help="write in turns: the model continues what you type", group=PROMPT)
]
Length = Annotated[int | None, sampling("length", group=WRITING, default="1000; with -i 200")]
Temperature = Annotated[str | None, sampling("temperature", group=WRITING, metavar="T or FROM:TO")]
TopK = Annotated[int | None, sampling("top_k", group=WRITING)]
TopP = Annotated[float | None, sampling("top_p", group=WRITING)]
MinP = Annotated[float | None, sampling("min_p", group=WRITING)]
TypicalP = Annotated[float | None, sampling("typical_p", group=WRITING)]
RepetitionPenalty = Annotated[float | None, sampling("repetition_penalty", group=WRITING)]
RepetitionWindow = Annotated[int | None, sampling("repetition_window", group=WRITING)]
Match = Annotated[str | None, sampling("match", group=WRITING, metavar="REGEX")]
Exact = Annotated[bool, sampling("exact", group=WRITING)]
Template = Annotated[str | None, sampling("template", group=WRITING, metavar="TEMPLATE")]
Templates = Annotated[
    bool, option("--templates", help="show the templates that come with charnet, and exit", group=OUTPUT)
]
MinLength = Annotated[int | None, sampling("min_length", group=WRITING)]
MaxLength = Annotated[int | None, sampling("max_length", group=WRITING)]
Width = Annotated[
    int | None,
    option(
        "--width",
        help="break lines at spaces after so many characters; 0 = never [default: the terminal's width; elsewhere 0]",
        group=OUTPUT,
        metavar="N",
    ),
]
Ban = Annotated[str | None, sampling("ban", group=WRITING, metavar="CHARACTERS")]
MaxCopy = Annotated[int | None, sampling("max_copy", group=WRITING, metavar="N")]
New = Annotated[
    bool,
    option(
        "--new", help="with a model of lines or documents: write none that it learned, and none twice", group=WRITING
    ),
]
Unique = Annotated[bool, option("--unique", help="with --samples or --lines: write no text twice", group=WRITING)]
LogitBias = Annotated[list[str] | None, sampling("logit_bias", group=WRITING, metavar="CHARACTER=NUMBER")]
Engine = Annotated[
    str | None,
    option(
        "--engine",
        metavar="numpy|compiled|torch",
        help="the engine; by default the one that finishes first",
        group=COMPUTATION,
    ),
]
Quantize = Annotated[
    str | None,
    option("--quantize", metavar="int8", help="8-bit weights: long texts are written faster", group=COMPUTATION),
]
Threads = Annotated[
    int, option("--threads", help="maximum number of processor threads; 0 = whatever is fastest", group=COMPUTATION)
]
Seed = Annotated[int | None, sampling("seed", group=WRITING, default="a new one")]
Stop = Annotated[list[str] | None, sampling("stop", group=WRITING)]
MaxLines = Annotated[int | None, sampling("max_lines", group=WRITING)]
Until = Annotated[str | None, sampling("until", group=WRITING)]
Lines = Annotated[
    int,
    option(
        "--lines",
        help="write this many whole lines; with a model of documents this many documents",
        group=WRITING,
    ),
]
Samples = Annotated[int, option("--samples", help="number of texts; they are computed together", group=WRITING)]
BestOf = Annotated[
    int, option("--best-of", help="write this many for each text, and keep the best", group=WRITING, metavar="N")
]
BestBy = Annotated[
    str,
    option(
        "--best-by",
        help="how to choose: the fewest nats per character, the shortest copy of the learned text, or the length "
        "nearest to K characters",
        group=WRITING,
        metavar="nats|copies|length:K",
    ),
]
Out = Annotated[Path | None, option("--out", metavar="FILE", help="write to a file, not to stdout", group=OUTPUT)]
OutDir = Annotated[
    Path | None,
    option("--out-dir", metavar="DIR", help="write each text to its own file: 001.txt, 002.txt, ...", group=OUTPUT),
]
Force = Annotated[bool, option("--force", help="replace existing files", group=OUTPUT)]
Receipt = Annotated[
    Path | None,
    option(
        "--receipt",
        metavar="FILE",
        help="write a receipt, with which the same text can be written again",
        group=OUTPUT,
    ),
]
ReceiptPrivate = Annotated[
    bool, option("--receipt-private", help="the receipt holds only the SHA-256 of the prompt", group=OUTPUT)
]
Quiet = Annotated[bool, option("--quiet", "-q", help="write only errors to stderr", group=OUTPUT)]
Json = Annotated[bool, option("--json", help="write one JSON object for each text", group=OUTPUT)]
Copies = Annotated[
    bool,
    option(
        "--copies",
        help="report the passages that are copied from the learned text, and color them; with --json, list each",
        group=OUTPUT,
    ),
]
Surprise = Annotated[
    bool,
    option(
        "--surprise", help="color characters by how unexpected they were; with --json, the nats of each", group=OUTPUT
    ),
]


def parse_temperature(text: str) -> tuple[float, float | None]:
    """Parses a temperature, or a first and a last one.

    >>> parse_temperature("0.8"), parse_temperature("0.5:1.2")
    ((0.8, None), (0.5, 1.2))
    """
    first, colon, last = text.partition(":")
    try:
        return float(first), float(last) if colon else None
    except ValueError:
        raise ConfigError(f"--temp: expected a number, or two as in 0.5:1.2, found {text[:40]!r}") from None


def parse_logit_bias(text: str) -> tuple[str, float]:
    """Parses a character and the number to add to its logit.

    >>> parse_logit_bias("e=-2")
    ('e', -2.0)
    """
    try:
        character, equals, number = unescaped(text, "--logit-bias").rpartition("=")
        if not equals:
            raise ValueError
        return character, float(number)
    except ValueError:
        raise ConfigError(f"--logit-bias: expected CHARACTER=NUMBER, as in e=-2, found {text[:40]!r}") from None


def parse_template(text: str) -> str:
    """Replaces the escapes in the fixed texts of a template; its holes have those of regular expressions."""
    from charnet.generation import template

    return template.with_fixed(text, lambda fixed: unescaped(fixed, template.OPTION))


def show_templates(*, json: bool) -> None:
    """Shows the templates that have a name."""
    from charnet.generation.template import NAMED, WITH_ARGUMENT

    described = {name: {"about": about, "template": template} for name, (about, template) in NAMED.items()}
    described |= {
        example: {"about": about, "template": make(example.partition(":")[2])}
        for example, about, make in WITH_ARGUMENT.values()
    }
    if json:
        console.write_json(described)
        return
    tables.show_rows((name, each["about"]) for name, each in described.items())
    console.note("a template of your own is text with holes: --template 'ROMEO:\\n{.{20,60}[.!?]}\\nJULIET:\\n{...}'")


def random_seed() -> int:
    """Returns a random seed that is short enough to type."""
    import secrets

    return secrets.randbelow(10**6)


def limit_threads(threads: int) -> None:
    """Limits the threads of libraries that are not loaded yet; 0 = to the cores on which no other program computes.

    The number does not change the text: each row of a product is summed in the same order.

    Raises:
        ConfigError: the number is out of range.
    """
    overlay(Config(), {"training.threads": threads})
    if threads or "OPENBLAS_NUM_THREADS" not in os.environ:
        threads = threads or machine.threads_beside_others(machine.processor_cores())
        os.environ["OPENBLAS_NUM_THREADS"] = str(threads)


def check_many(**given: Any) -> None:
    """Raises ConfigError if options contradict those that write one text of many, or many texts."""
    of_many = given["prompts_file"] is not None
    if of_many:
        refused = {
            "--prompt": given["prompt"] is not None or given["prompt_file"] is not None,
            "-i": given["interactive"],
            "--lines": given["lines"],
            "--samples": given["samples"] > 1,
            "--best-of": given["best_of"] > 1,
            "--new": given["new"],
            "--unique": given["unique"],
            "--adapt": given["adapt"],
            "--receipt": given["receipt"] or given["receipt_private"],
            "--out-dir": given["out_dir"],
            "--width": given["width"],
        }
        for name in (name for name, is_given in refused.items() if is_given):
            raise ConfigError(f"--prompts and {name}: a line of the file is one text; leave one out")
    sources = [given["prompt"], *(str(given[name]) for name in ("prompt_file", "prompts_file", "context"))]
    if given["context"] is not None and (given["interactive"] + sources.count("-")) > 1:
        raise ConfigError("--context: the prompt and the context cannot both be standard input; name a file")
    if given["best_of"] > 1 and given["interactive"]:
        raise ConfigError("--best-of and -i: a turn is shown while it is written; leave one out")
    for name, is_given in {"--best-of": given["best_of"] > 1, "--context": given["context"] is not None}.items():
        if given["receipt"] and is_given:
            raise ConfigError(f"--receipt and {name}: no receipt holds that; leave one out")
    if given["best_by"] != "nats":
        from charnet.generation.best import score_of

        score_of(given["best_by"])
        if given["best_of"] == 1:
            raise ConfigError("--best-by: expected --best-of beside it")
