"""`charnet sample --adapt`: the model learns from a text before it continues one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from charnet.cli import console, tables
from charnet.errors import ConfigError, PromptError, plural, symbol_noun

if TYPE_CHECKING:
    from charnet.data.encoded_copy import Ids
    from charnet.evaluation.adapt import Adaptation
    from charnet.storage.checkpoint import Checkpoint


def check(
    *, adapt: bool, adapt_to: str | None, save_as: Path | None, out: Path | None, force: bool, reads_stdin: bool
) -> None:
    """Raises an error if these options contradict each other, or if the new checkpoint may not be written."""
    if adapt_to == "-" and reads_stdin:
        raise ConfigError("--adapt-to -: standard input is read already; name a file")
    if save_as is not None:
        if not adapt and adapt_to is None:
            raise ConfigError("--save-as: expected --adapt or --adapt-to beside it")
        if out is not None and save_as.absolute() == out.absolute():
            raise ConfigError("--save-as and --out: expected two files, found one")
        from charnet.cli.output import check_free  # imported here: it loads NumPy

        check_free(save_as, replace=force, advice=", or replace it with --force")


def start(
    model: Checkpoint, adapt_to: str | None, prompt: Ids | None, *, skip_unknown: bool, threads: int, quiet: bool
) -> Adaptation:
    """Lets a model learn from a file, and then from a prompt.

    Raises:
        PromptError: the file has characters that the model does not know, and they are not to be skipped.
        CorpusError: the file is missing, empty, in another encoding, or has no character of the alphabet.
        ConfigError: the model has 8-bit weights.
        DivergedError: the loss is no longer a finite number.
    """
    from charnet.evaluation.adapt import Adaptation
    from charnet.model.device import set_threads

    set_threads(threads or 1)  # learning takes one, and a prompt is too short for more
    adaptation, symbol = Adaptation(model), symbol_noun(model.vocab.of_bytes)
    if adapt_to is not None:
        ids = _encode_file(model, adapt_to, skip_unknown=skip_unknown, quiet=quiet)
        adaptation = _learn(adaptation, ids, adapt_to, symbol=symbol, quiet=quiet)
    if prompt is not None and len(prompt):
        adaptation = _learn(adaptation, prompt, "the prompt", symbol=symbol, quiet=quiet)
    return adaptation


def save(adaptation: Adaptation, path: Path, *, quiet: bool) -> None:
    """Writes an adapted model as a new checkpoint."""
    adaptation.checkpoint.save(path)
    if not quiet:
        console.note(f"the adapted model is in {path}")


def _learn(adaptation: Adaptation, ids: Ids, name: str, *, symbol: str, quiet: bool) -> Adaptation:
    """Learns from a text, and says what that changed."""
    without, after = adaptation.evaluate(ids), adaptation.learn(ids)
    loss = after.last
    if not quiet:
        console.note(
            f"learned from {name}: {plural(loss.characters, symbol)} in {loss.seconds:.1f} s, "
            f"{loss.nats_per_char:.4f} nats per {symbol} while learning, {without.nats_per_char:.4f} without"
        )
    if loss.is_worse_than(without) and not quiet:
        console.note("learning made the prediction worse: a longer text, or one in the manner of the first, may help")
    return after


def _encode_file(model: Checkpoint, path: str, *, skip_unknown: bool, quiet: bool) -> Ids:
    """Returns the ids of a text that is read as the training text was."""
    from charnet.evaluation.evaluate_checkpoint import encode_files

    ids, unknown, notes = encode_files(model.vocab, [path], model.config.data)
    if unknown and not skip_unknown:
        names = tables.most_frequent({model.vocab.name(symbol): count for symbol, count in unknown.items()})
        raise PromptError(f"--adapt-to: the model does not know {names}; leave them out with --unknown skip")
    for note in () if quiet else notes:
        console.note(note)
    if unknown and not quiet:
        left_out = plural(sum(unknown.values()), "character")
        console.note(f"left out {left_out} of --adapt-to that the model does not know")
    return ids
