"""Reads the text to continue: from the command line, a file or standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from charnet import regular_file
from charnet.cli.options import unescaped
from charnet.cli.sample_options import ARGUMENT
from charnet.errors import ConfigError, PromptError, StorageError, quoted

if TYPE_CHECKING:
    from charnet.storage.checkpoint import Checkpoint

LARGEST_PROMPT = 1 << 26  # bytes


def one_of(start: str | None, prompt: str | None) -> str | None:
    """Returns the prompt, which is the second argument or an option."""
    if start is not None and prompt is not None:
        raise ConfigError(
            f"{ARGUMENT} {quoted(prompt)} and a second argument: expected one prompt, found two; leave one out"
        )
    return prompt if start is None else start


def prompt_bytes(prompt: str | None, prompt_file: Path | None) -> tuple[bytes, str]:
    """Reads the text to continue from the command line, a file or standard input. Returns also its name."""
    if prompt is not None and prompt_file is not None:
        names = f"{ARGUMENT} {quoted(prompt)} and --prompt-file {quoted(str(prompt_file))}"
        raise ConfigError(f"{names}: expected one prompt, found two; leave one out")
    file = Path("-") if prompt == "-" else prompt_file
    if file is not None:
        return file_bytes(file)
    return unescaped(prompt or "", ARGUMENT, any_bytes=True).encode("utf-8", "surrogateescape"), ARGUMENT


def file_bytes(file: Path) -> tuple[bytes, str]:
    """Reads a text from a file, or from standard input for `-`. Returns also its name."""
    if str(file) == "-":
        name, raw = "standard input", sys.stdin.buffer.read(LARGEST_PROMPT + 1)
        if len(raw) > LARGEST_PROMPT:
            raise StorageError(f"{name}: cannot be read: it has more than {LARGEST_PROMPT:,} bytes")
        return raw, name
    try:
        return regular_file.read(file, LARGEST_PROMPT, or_open=True), str(file)
    except FileNotFoundError:
        raise PromptError(f"{file}: there is no such file") from None
    except OSError as error:
        raise StorageError(f"{file}: cannot be read: {error.strerror}") from None


def decode(raw: bytes, name: str, model: Checkpoint) -> tuple[str, list[str]]:
    """Decodes a prompt. The last line end of a file is no part of it: editors put one there, and so does `echo`.

    Args:
        name: of the prompt, as `prompt_bytes` returns it.

    Returns:
        The prompt, and sentences for the user about it.

    Raises:
        PromptError: it is in another encoding.
    """
    from charnet.data import prompts

    text = prompts.decode(raw, name, model.config.data.encoding, of_bytes=model.vocab.of_bytes)
    shorter = text if name == ARGUMENT else prompts.without_line_end(text)
    dropped = f"{name}: its last line end is not part of the prompt; to keep one, add another"
    return shorter, [dropped] if shorter != text else []
