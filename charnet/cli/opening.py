"""Opens the model that writes: its checkpoint, what it learns first, its number format, its engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet.cli import adapting, console
from charnet.cli.newest import newest
from charnet.config import Config, SamplingOptions
from charnet.engines import registry
from charnet.errors import CheckpointError, ConfigError
from charnet.generation import batch
from charnet.generation.constraints import option_name
from charnet.generation.sampler import Sampler
from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint

if TYPE_CHECKING:
    from charnet.data.encoded_copy import Ids
    from charnet.data.vocab import Vocabulary
    from charnet.engines.base import Engine
    from charnet.evaluation.adapt import Adaptation
    from charnet.storage.learned_text import LearnedText

LONGEST_SHOWN = 60  # characters of a text in a message


@dataclass(frozen=True)
class MixedModel:
    """What `--json` tells of a model of a mixture."""

    checkpoint: str
    sha256: str
    precision: str
    weights_sha256: str
    weight: float


@dataclass(frozen=True)
class Opened:
    """A model that is ready to write.

    Attributes:
        path: of its checkpoint.
        opened_as: the name of the engine.
        fastest: the name of the one that would finish first, which may not be installed.
        precision: of the weights: `fp32` or `int8`, of a mixture perhaps `mixed`.
        sha256: of the checkpoint's file.
        weights_sha256: of the weights that write, "" where nobody asks for it.
        adaptation: what it has learned for this command.
        learned: the text that it was trained on, where an option needs it.
        mix: the models of a mixture; `path` is that of the first.
    """

    path: Path
    vocab: Vocabulary
    config: Config
    engine: Engine
    opened_as: str
    fastest: str
    precision: str
    sha256: str
    weights_sha256: str
    adaptation: Adaptation | None
    learned: LearnedText | None = None
    mix: tuple[MixedModel, ...] = ()

    def metadata(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what `--json` tells of the model.

        Args:
            given: the values of all options by the names of their parameters.
        """
        learned = {name: given[name] for name in ("adapt", "adapt_to")} if self.adaptation else {}
        of_one = {"checkpoint": str(self.path), "weights_sha256": self.weights_sha256}
        return {
            "engine": self.engine.name,
            "precision": self.precision,
            **({"mix": list(map(vars, self.mix))} if self.mix else of_one),
            **learned,
        }

    def say(self, options: SamplingOptions, engine: str | None, *, is_newest: bool = False) -> None:
        """Says on stderr which model writes how, and how to get a faster engine if there is one and none was asked for.

        Args:
            engine: the one that was asked for.
            is_newest: no model was named.
        """
        weights = {"int8": "8-bit weights", "mixed": "8-bit weights and fp32"}.get(self.precision, self.precision)
        end = "" if options.temperature_end is None else f":{options.temperature_end:g}"
        temperature = f"temperature {options.temperature:g}{end}"
        name = " + ".join(f"{each.checkpoint}:{each.weight:.3g}" for each in self.mix) or self.path
        name = f"{name} ({newest()})" if is_newest and not self.mix else name
        console.note(f"{name}: {self.engine.name} engine, {weights}, {temperature}, seed {options.seed}")
        if engine is None and self.opened_as != self.fastest:
            advice = "--engine compiled says why not here" if registry.has_numba() else "pip install 'charnet[fast]'"
            console.note(f"an engine for long texts is several times as fast: {advice}")


def load(given: Path | None, *, may_be_text: bool = False) -> tuple[Path, Checkpoint]:
    """Loads a checkpoint, by default the newest.

    Args:
        may_be_text: if there is none of this name, the error says how to continue it as a text.
    """
    try:
        path = runs.find(given)
    except CheckpointError as error:
        if not may_be_text or given is None or runs.exists(given) or given.suffix == ".safetensors":
            raise
        raise CheckpointError(f"{error}; to continue it as a text: -p {_in_quotes(str(given))}") from None
    return path, Checkpoint.load(path, weights_only=True)


def _in_quotes(text: str) -> str:
    """Returns a text as it is typed into a shell, or a word for one that is long or not so simple.

    >>> _in_quotes("Once upon"), _in_quotes('say "a"')
    ('"Once upon"', 'TEXT')
    """
    is_simple = len(text) <= LONGEST_SHOWN and text.isprintable() and not set(text) & set('"$`\\!')
    return f'"{text}"' if is_simple else "TEXT"


def open_model(
    path: Path,
    held: list[Checkpoint],
    options: SamplingOptions,
    given: Mapping[str, Any],
    *,
    count: int,
    prompt: Ids | None = None,
    before: int = 0,
) -> Opened:
    """Lets a model learn what it has to, and opens its engine.

    Args:
        held: its checkpoint, which is taken out: only the engine keeps weights in memory.
        given: the values of all options by the names of their parameters.
        count: how many texts it will write; 0 for turns.
        prompt: the ids of what it learns with `--adapt`, unless it learns from turns.
        before: the number of symbols that it reads first.
    """
    model = held.pop()
    quantize, threads, quiet = given["quantize"], given["threads"], given["quiet"]
    vocab, config = model.vocab, model.config
    adaptation, learned_text = None, _open_learned(model, options, given)
    if given["adapt"] or given["adapt_to"] is not None:
        if quantize is not None:
            model.quantize(quantize)  # raises errors before the model learns
        learned = prompt if given["adapt"] else None
        skips = given["unknown"] == "skip"
        adaptation = adapting.start(model, given["adapt_to"], learned, skip_unknown=skips, threads=threads, quiet=quiet)
        if given["save_as"] and count:
            adapting.save(adaptation, given["save_as"], quiet=quiet)
        model = adaptation.checkpoint
    sha256 = model.sha256
    model = model if quantize is None else model.quantize(quantize)
    precision, ngram = model.precision, adaptation.ngram if adaptation else model.ngram
    weights, weights_sha256 = model.stored_weights, model.weights_sha256() if given["json"] else ""
    del model
    say_pattern(vocab, options, quiet=quiet)
    fastest = given["engine"] or batch.fastest_engine(config.model, vocab, weights, options, count, before=before)
    name = registry.available(fastest) if given["engine"] is None else given["engine"]
    engine = registry.engine_of(config.model, weights, name, threads=threads, ngram=ngram)
    return Opened(
        path, vocab, config, engine, name, fastest, precision, sha256, weights_sha256, adaptation, learned_text
    )


def _open_learned(checkpoint: Checkpoint, options: SamplingOptions, given: Mapping[str, Any]) -> LearnedText | None:
    """Opens the text that a model learned from, if an option needs it.

    Raises:
        ConfigError: the options do not fit the model.
        CorpusError: the text is gone, or another one.
    """
    if given["new"] and not checkpoint.vocab.has_documents:
        raise ConfigError("--new: the model was not trained on lines or documents; try --max-copy 40")
    if given["new"] and not given["lines"] and checkpoint.vocab.document_end is None:
        raise ConfigError("--new: expected --lines, for texts that are lines")
    if not (options.max_copy or given["copies"] or given["new"] or given["best_by"] == "copies"):
        return None
    from charnet.storage import learned_text

    if not given["quiet"] and (given["adapt"] or given["adapt_to"]):
        console.note("looking for copies of what was trained on, not of what was learned since")
    return learned_text.open_learned(checkpoint)


def learned_text_of(path: Path) -> LearnedText:
    """Opens the text that the model of a checkpoint learned from.

    Raises:
        CorpusError: the text is gone, or another one.
    """
    from charnet.storage import learned_text

    return learned_text.open_learned(Checkpoint.load(path, weights_only=True))


def say_pattern(vocab: Vocabulary, options: SamplingOptions, *, quiet: bool) -> None:
    """Says on stderr which characters of the pattern the alphabet lacks.

    Raises:
        ConfigError: the options do not fit the alphabet.
    """
    constraint = Sampler(vocab, options).constraint
    for note in constraint.automaton.notes if constraint and not quiet else ():
        console.note(f"{option_name(options)}: {note}")


def reopen(adaptation: Adaptation, engine: str, quantize: str | None, threads: int) -> Engine:
    """Opens an engine with a model that has learned more."""
    model = adaptation.checkpoint if quantize is None else adaptation.checkpoint.quantize(quantize)
    return registry.engine_of(model.config.model, model.stored_weights, engine, threads=threads, ngram=adaptation.ngram)
