"""`--mix`: several models that write, or are judged, as one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet.cli import console
from charnet.errors import ConfigError, quoted

if TYPE_CHECKING:
    from charnet.cli.opening import Opened
    from charnet.config import SamplingOptions
    from charnet.storage.checkpoint import Checkpoint

MIX = "--mix"
AUTO = "auto"  # in place of a model: find the weights
WEIGHT = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Mix:
    """Several checkpoints and their weights, which are divided by their sum; None leaves them to be found."""

    paths: tuple[Path, ...]
    checkpoints: tuple[Checkpoint, ...]
    weights: tuple[float, ...] | None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(map(str, self.paths))

    def reader(self) -> Checkpoint:
        """Returns what reads a prompt: a checkpoint without weights, with the settings of the first model and the
        alphabet of all.

        Raises:
            ConfigError: the models cannot be mixed.
        """
        from charnet.engines.model_mixture import union_of

        union = union_of([each.vocab for each in self.checkpoints], self.names)
        return replace(self.checkpoints[0], vocab=union, tensors={})


def check_options(given: Mapping[str, Any]) -> None:
    """Raises ConfigError if options of `sample` contradict --mix."""
    if not given["mix"]:
        return
    if given["checkpoint"] is not None:
        raise ConfigError(
            f"{MIX}: names the models; leave out {quoted(str(given['checkpoint']))}, or give it with {MIX}"
        )
    if given["adapt"] or given["adapt_to"] is not None:
        raise ConfigError(
            f"{MIX}: several models cannot learn together; adapt each with --save-as first, and mix those"
        )
    if given["receipt"] is not None:
        raise ConfigError(f"--receipt and {MIX}: a receipt names one checkpoint; leave one of them out")


def parse(values: Sequence[str], *, can_find: bool = False) -> tuple[tuple[Path, ...], tuple[float, ...] | None]:
    """Parses models and their weights; without weights all are equal. What exists by its whole name has no weight.

    Args:
        can_find: whether `auto` may stand among them, which leaves the weights to be found.

    Raises:
        ConfigError: there are fewer than two, a weight is out of range, or only some have one.

    >>> parse(["a:0.7", "runs/b:0.3"])[1], parse(["a", "b"])[1], parse(["a", "auto", "b"], can_find=True)[1]
    ((0.7, 0.3), (1.0, 1.0), None)
    """
    from charnet.storage import runs

    finds = can_find and AUTO in values
    paths, weights = list[Path](), list[float]()
    for value in values:
        if finds and value == AUTO:
            continue
        name, colon, number = value.rpartition(":")
        has_weight = bool(colon and WEIGHT.fullmatch(number)) and not runs.exists(Path(value))
        name = name if has_weight else value
        if not name:
            raise ConfigError(f"{MIX}: expected a run or a checkpoint, found {quoted(value)}")
        paths.append(Path(name))
        weights += [_weight(value, number)] if has_weight else []
    if len(paths) < 2:
        found = f"only {quoted(str(paths[0]))}" if paths else "none"
        raise ConfigError(f"{MIX}: expected at least two models, as in {MIX} a:0.7 {MIX} b:0.3; found {found}")
    if finds and weights:
        raise ConfigError(f"{MIX} {AUTO}: finds the weights; leave out those of the models")
    if weights and len(weights) < len(paths):
        raise ConfigError(f"{MIX}: expected a weight for every model or for none, found {len(weights)} of {len(paths)}")
    return tuple(paths), None if finds else tuple(weights) or (1.0,) * len(paths)


def _weight(value: str, number: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        weight = 0.0
    if not 1e-9 <= weight <= 1e9:  # of two such weights neither is 0 when they are divided by their sum
        raise ConfigError(f"{MIX}: expected a weight from 1e-9 to 1e9 behind the colon, found {quoted(value)}")
    return weight


def load(values: Sequence[str], *, can_find: bool = False, quantize: str | None = None) -> Mix:
    """Loads the checkpoints of a mixture.

    Args:
        can_find: as for `parse`.
        quantize: the precision of `--quantize`.
    """
    from charnet.storage import runs
    from charnet.storage.checkpoint import Checkpoint

    given, weights = parse(values, can_find=can_find)
    paths = tuple(map(runs.find, given))
    loaded = [Checkpoint.load(path, weights_only=True) for path in paths]
    checkpoints = loaded if quantize is None else [each.quantize(quantize) for each in loaded]
    return Mix(paths, tuple(map(_with_sha256, checkpoints, loaded)), weights)


def _with_sha256(checkpoint: Checkpoint, loaded: Checkpoint) -> Checkpoint:
    """Returns a checkpoint that says from which file it was made."""
    return replace(checkpoint, sha256=loaded.sha256)


def flags(names: Sequence[str], weights: Sequence[float]) -> str:
    """Returns the options that name models with a weight above 0; a model that is left alone is the argument.

    >>> flags(["a", "my run"], [0.25, 0.75]), flags(["a", "b"], [0.0, 1.0])
    ("--mix a:0.25 --mix 'my run:0.75'", 'b')
    """
    left = [(name, weight) for name, weight in zip(names, weights, strict=True) if weight]
    if len(left) == 1:
        return shlex.quote(left[0][0])
    return " ".join(f"{MIX} {shlex.quote(f'{name}:{weight:g}')}" for name, weight in left)


def open_models(mix: Mix, options: SamplingOptions, given: Mapping[str, Any]) -> Opened:
    """Opens the engine of a mixture: for every model NumPy's, if no other one was asked for.

    Args:
        given: the values of all options by the names of their parameters.
    """
    from charnet.cli import opening
    from charnet.engines.model_mixture import normalized, open_mixture, unknown_notes

    reader = mix.reader()
    assert mix.weights is not None
    vocab, weights, json = reader.vocab, normalized(mix.weights), given["json"]
    if not given["quiet"]:
        for note in unknown_notes([each.vocab for each in mix.checkpoints], mix.names, vocab):
            console.note(note)
    opening.say_pattern(vocab, options, quiet=given["quiet"])
    name = given["engine"] or "numpy"
    engine = open_mixture(mix.checkpoints, weights, vocab, name, threads=given["threads"])
    models = tuple(
        opening.MixedModel(path, each.sha256, each.precision, each.weights_sha256() if json else "", weight)
        for path, each, weight in zip(mix.names, mix.checkpoints, weights, strict=True)
    )
    precision = "int8" if engine.is_exact else "fp32" if all(each.precision == "fp32" for each in models) else "mixed"
    return opening.Opened(
        mix.paths[0], vocab, reader.config, engine, name, name, precision, "", "", adaptation=None, mix=models
    )
