"""`charnet replay`"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charnet import regular_file
from charnet.cli import console, prompting, sample_options
from charnet.cli.options import option
from charnet.config import RUNS
from charnet.errors import ReceiptError, plural, quoted

MANY_BYTES = 200_000  # a few seconds

if TYPE_CHECKING:
    from charnet.storage.receipt import Receipt


def replay(
    receipt: Annotated[Path, typer.Argument(readable=False, help="A receipt, written by `charnet sample --receipt`.")],
    checkpoint: Annotated[
        Path | None, typer.Argument(readable=False, help="The run or the checkpoint; none = where the receipt says.")
    ] = None,
    prompt: Annotated[
        str | None,
        option("--prompt", "-p", help="the prompt, if the receipt does not tell it; - is stdin", group="The prompt"),
    ] = None,
    prompt_file: Annotated[
        Path | None, option("--prompt-file", help="the file with the prompt; - is stdin", group="The prompt")
    ] = None,
    out: sample_options.Out = None,
    out_dir: sample_options.OutDir = None,
    force: sample_options.Force = False,
    threads: sample_options.Threads = 0,
    quiet: sample_options.Quiet = False,
) -> None:
    """Write the texts of a receipt again. If a text is not the same to the byte, end with exit code 4."""
    sample_options.limit_threads(threads)

    from charnet.cli.output import Destination
    from charnet.generation import receipts
    from charnet.storage import receipt as receipt_file
    from charnet.storage.checkpoint import Checkpoint

    found = receipt_file.read(receipt)
    count = len(found.texts)
    destination = Destination(out, out_dir)
    destination.check(count, force=force)
    path = _find(found, checkpoint, receipt)
    model = Checkpoint.load(path, weights_only=True)
    receipts.check_checkpoint(found, model)
    if prompt is not None or prompt_file is not None:
        given, notes = prompting.decode(*prompting.prompt_bytes(prompt, prompt_file), model)
        found = receipts.with_prompt(found, model, given)
        for note in () if quiet else notes:
            console.note(note)
    destination = destination.of_model(model, lines=found.lines)
    engine = receipts.open_engine(found, model, threads=threads)
    doubts = receipts.doubts(found, engine)
    if doubts and not quiet:
        console.note(f"it may differ: the receipt is for {'; '.join(doubts)}")
    if (size := sum(text.bytes for text in found.texts)) > MANY_BYTES and not quiet:
        console.note(f"writes {plural(size, 'byte')}, and shows each text only when it has proved to be equal")
    echoed, texts = receipts.replay(found, engine, model.vocab)
    destination.write_texts(texts, echoed, count, quiet=quiet, color=False)
    if not quiet:
        are = "text is" if count == 1 else "texts are"
        console.note(f"{path}: {count:,} {are} equal, to the byte")


def _find(found: Receipt, given: Path | None, receipt: Path) -> Path:
    """Finds the checkpoint of a receipt: the one that is given, or a file of its name, which leads to no place outside
    the current folder, the folder of the receipt and that of the runs.

    Raises:
        ReceiptError: there is no such file.
        CheckpointError: there is no checkpoint where one is given.
    """
    from charnet.storage import runs

    name = Path(found.checkpoint)
    if given is not None:
        same = (name.name,) if name.name in runs.SAMPLE_ORDER else ()
        return runs.find(given, order=(*same, *runs.SAMPLE_ORDER))
    for folder in (Path(), receipt.parent, RUNS):
        if os.path.isfile(folder / name) and not regular_file.is_of_system(folder / name):
            return folder / name
    command = f"charnet replay {receipt} CHECKPOINT"
    raise ReceiptError(f"{receipt}: its checkpoint, {quoted(found.checkpoint)}, is not here; name it: {command}")
