"""`charnet sample`"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Annotated

import typer

from charnet.cli import console
from charnet.cli.options import plain
from charnet.errors import ConfigError, PromptError, StorageError

PROMPT, WRITING, SHOWN = "The prompt", "Writing", "What is shown"
BETWEEN_SAMPLES = "\n---\n"
LONGEST_LINE = 100_000  # characters, where whole lines are asked for


def sample(
    checkpoint: Annotated[
        Path | None, typer.Argument(help="A run or a checkpoint; none = the newest run under checkpoints/.")
    ] = None,
    prompt: Annotated[
        str | None, plain("--prompt", "-p", help="text to continue; - reads it from stdin", group=PROMPT)
    ] = None,
    prompt_file: Annotated[
        Path | None, plain("--prompt-file", help="file to continue; - is stdin", group=PROMPT)
    ] = None,
    no_echo: Annotated[bool, plain("--no-echo", help="do not repeat the prompt", group=PROMPT)] = False,
    unknown: Annotated[
        str, plain("--unknown", metavar="error|skip", help="what to do with characters the model lacks", group=PROMPT)
    ] = "error",
    length: Annotated[int, plain("-n", "--length", help="characters to write", group=WRITING)] = 1000,
    temperature: Annotated[
        str,
        plain(
            "--temp",
            "--temperature",
            "-t",
            metavar="T or FROM:TO",
            help="0 = always the likeliest, 1 = as learned, more = wilder; 0.5:1.2 = from one to the other",
            group=WRITING,
        ),
    ] = "0.8",
    top_k: Annotated[int, plain("--top-k", help="only the K likeliest; 0 = all", group=WRITING)] = 0,
    top_p: Annotated[
        float, plain("--top-p", help="only the likeliest that together reach P; 1 = all", group=WRITING)
    ] = 1.0,
    min_p: Annotated[
        float, plain("--min-p", help="only those at least P times as likely as the likeliest", group=WRITING)
    ] = 0.0,
    typical_p: Annotated[
        float,
        plain("--typical-p", help="only those as surprising as usual that together reach P; 1 = all", group=WRITING),
    ] = 1.0,
    repetition_penalty: Annotated[
        float, plain("--repetition-penalty", help="divides the chance of what was just written; 1 = not", group=WRITING)
    ] = 1.0,
    repetition_window: Annotated[
        int, plain("--repetition-window", help="how many characters that counts for", group=WRITING)
    ] = 64,
    ban: Annotated[str, plain("--ban", metavar="CHARACTERS", help="never write any of these", group=WRITING)] = "",
    logit_bias: Annotated[
        list[str] | None,
        plain(
            "--logit-bias",
            metavar="CHARACTER=NUMBER",
            help="make a character likelier, or with a number below 0 less likely; may be repeated",
            group=WRITING,
        ),
    ] = None,
    seed: Annotated[
        int | None, plain("--seed", "-s", help="same seed, same text; none = a new one", group=WRITING)
    ] = None,
    stop: Annotated[
        list[str] | None, plain("--stop", help="end before this text; may be repeated", group=WRITING)
    ] = None,
    max_lines: Annotated[int, plain("--max-lines", help="end after so many lines; 0 = never", group=WRITING)] = 0,
    until: Annotated[
        str, plain("--until", metavar="sentence|line|paragraph", help="end after the first of these", group=WRITING)
    ] = "",
    lines: Annotated[
        int, plain("--lines", help="so many whole lines, of a model that was trained with --lines", group=WRITING)
    ] = 0,
    samples: Annotated[int, plain("--samples", help="how many texts", group=WRITING)] = 1,
    quiet: Annotated[bool, plain("--quiet", "-q", help="nothing on stderr but errors", group=SHOWN)] = False,
    json: Annotated[bool, plain("--json", help="one JSON object a text", group=SHOWN)] = False,
) -> None:
    """Write new text with a trained model, by default the newest."""
    if samples < 1:
        raise ConfigError(f"--samples: expected a number at least 1, found {samples}")
    if unknown not in ("error", "skip"):
        raise ConfigError(f'--unknown: expected error or skip, found "{unknown}"')
    if prompt is not None and prompt_file is not None:
        raise ConfigError("--prompt and --prompt-file: expected one prompt, found two; leave one out")
    if lines:
        if lines < 0 or samples > 1 or until or max_lines:
            raise ConfigError("--lines: expected a number above 0, without --samples, --until and --max-lines")
        samples, until, length = lines, "line", max(length, LONGEST_LINE)
    from charnet.generate import Options

    first, last = _temperatures(temperature)
    options = Options(
        length=length,
        temperature=first,
        temperature_end=last,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        typical_p=typical_p,
        repetition_penalty=repetition_penalty,
        repetition_window=repetition_window,
        ban=ban,
        logit_bias=tuple(_bias(text) for text in logit_bias or ()),
        seed=_fresh_seed() if seed is None else seed,
        stop=tuple(stop or ()),
        max_lines=max_lines,
        until=until,
    )
    given = _prompt(prompt, prompt_file)

    from charnet import checkpoint as disk
    from charnet import runs
    from charnet.engines import open_engine
    from charnet.generate import stream

    path = runs.find(checkpoint)
    model = disk.load(path)
    if lines and not model.config.data.lines:
        raise ConfigError(f"--lines: {path} was not trained with --lines; end its texts with --max-lines {lines}")
    from charnet.shaping import shaped

    given = shaped(given, model.config.data)
    if unknown == "skip":
        ids, dropped = model.vocab.encode_known(given)
        if dropped and not quiet:
            console.note(f"prompt: left out what the model does not know: {dropped} character{'s' * (dropped > 1)}")
    else:
        ids, dropped = model.vocab.encode(given), 0
    engine = open_engine(model)
    first_text = stream(engine, model.vocab, ids.tolist(), options)  # refuses options that do not fit the model
    if not quiet:
        console.note(f"{path}: {engine.name} engine, fp32, temperature {temperature}, seed {options.seed}")
    echoed = "" if no_echo else given if not dropped else model.vocab.decode(ids.tolist())
    for index in range(samples):
        pieces = stream(engine, model.vocab, ids.tolist(), options, index=index) if index else first_text
        if json:
            console.write_json(
                {
                    "text": echoed + "".join(pieces),
                    "prompt": given,
                    "index": index,
                    **vars(options),
                    "engine": engine.name,
                    "checkpoint": str(path),
                    "weights_sha256": model.weights_sha256(),
                }
            )
        else:
            console.write_text(BETWEEN_SAMPLES if index and not lines else "")
            console.write_text(echoed)
            console.stream_text(itertools.chain(pieces, "\n") if lines else pieces)


def _temperatures(text: str) -> tuple[float, float | None]:
    """The first temperature, and the last where it changes on the way."""
    first, colon, last = text.partition(":")
    try:
        return float(first), float(last) if colon else None
    except ValueError:
        raise ConfigError(f"--temp: expected a number, or two as in 0.5:1.2, found {text[:40]!r}") from None


def _bias(text: str) -> tuple[str, float]:
    try:
        if text[1:2] != "=":
            raise ValueError
        return text[0], float(text[2:])
    except ValueError:
        raise ConfigError(f"--logit-bias: expected CHARACTER=NUMBER, as in e=-2, found {text[:40]!r}") from None


def _fresh_seed() -> int:
    import secrets

    return secrets.randbelow(10**6)


def _prompt(prompt: str | None, prompt_file: Path | None) -> str:
    """The text to continue, from the command line, a file or standard input."""
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
