"""`charnet sample --receipt`: what the receipt of a command holds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet.errors import ConfigError

if TYPE_CHECKING:
    from charnet.cli.opening import Opened
    from charnet.cli.output import Destination
    from charnet.config import SamplingOptions
    from charnet.generation.receipts import Recorder


def check_options(*, receipt: Path | None, receipt_private: bool, interactive: bool, **more: Any) -> None:
    """Raises ConfigError if options contradict a receipt."""
    if receipt_private and not (receipt or more["json"]):
        raise ConfigError("--receipt-private: expected --receipt or --json beside it")
    if receipt and interactive:
        raise ConfigError("--receipt and -i: a receipt is for texts that are written at once; leave one out")
    if receipt and (more["adapt"] or more["adapt_to"] is not None):
        command = "make a checkpoint with --save-as first, and sample from that"
        raise ConfigError(f"--receipt: a model that learns is in no file that a receipt could name; {command}")


def check(receipt: Path, destination: Destination, samples: int, *, force: bool) -> None:
    """Checks that the receipt may be written to its file.

    Raises:
        ConfigError: a text goes to the same file, or there are too many texts.
        StorageError: the file may not be written or replaced.
    """
    from charnet.cli.output import check_free
    from charnet.storage.receipt import MOST_TEXTS

    if samples > MOST_TEXTS:
        raise ConfigError(f"--receipt: at most {MOST_TEXTS:,} texts fit in a receipt, found {samples:,}")
    if any(path.absolute() == receipt.absolute() for path in destination.names(samples)):
        raise ConfigError("--receipt: expected a file beside the texts, found the name of one of them")
    folder = destination.folder
    check_free(receipt, replace=force, advice=", or replace it with --force", makes=[folder] if folder else [])


def recorder(
    model: Opened,
    options: SamplingOptions,
    given: Mapping[str, Any],
    *,
    prompt: str,
    echoed: str,
    samples: int,
    end: str,
) -> Recorder | None:
    """Returns what makes the receipts of a command; None for those of `--json` alone if they would be too large.

    Args:
        given: the values of all options by the names of their parameters.

    Raises:
        ConfigError: the receipt that was asked for would be too large.
    """
    from charnet.generation.receipts import Recorder, draft

    receipt = draft(
        model.engine,
        model.vocab,
        options,
        checkpoint=stored_name(model.path),
        checkpoint_sha256=model.sha256,
        prompt=prompt,
        is_private=given["receipt_private"],
        echo=not given["no_echo"],
        unknown=given["unknown"],
        lines=bool(given["lines"]),
        samples=samples,
    )
    if found := receipt.excess(samples if given["receipt"] else 1):
        if given["receipt"]:
            raise ConfigError(f"--receipt: {found}")
        return None
    return Recorder(receipt, echoed, end)


def stored_name(checkpoint: Path) -> str:
    """Returns the name of a checkpoint for a receipt: below the current folder its path from there, otherwise those of
    the file and its folder, as the folders above them are nobody else's business.

    >>> stored_name(Path("/home/ada/runs/book/best.safetensors"))
    'book/best.safetensors'
    """
    path = Path(os.path.abspath(checkpoint))  # noqa: PTH100 - without following links
    here = Path.cwd()
    return (path.relative_to(here) if path.is_relative_to(here) else Path(*path.parts[1:][-2:])).as_posix()
