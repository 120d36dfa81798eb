"""Every setting of charnet: its default, its limits and its help text, in one place that needs no torch.

A `Config` has three sections. `config.yaml`, `--set section.field=value` and the flags of `charnet train` are laid
over the defaults by `overlay`; a checkpoint carries the result. Values that come as text (YAML, `--set`) are read by
the declared type of their field, never by YAML's own guess: `1e-3` is a number, `no` in a file name stays a name.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import reprlib
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from charnet.errors import ConfigError, did_you_mean, shortened

GATES = {"rnn": 1, "lstm": 4, "cifg": 3, "gru": 3}  # blocks of H rows in the weights of each cell
SAMPLED_SOFTMAX_FROM = 8192  # characters, beyond which a window is learned from some of them
NUM_SAMPLED = 1024  # characters that stand for all that do not come in a window
ACTIVATIONS = ("tanh", "relu", "sigmoid")
OPTIMIZERS = ("muon", "adamw", "sgd")
PRECISIONS = ("auto", "fp32", "bf16")
ON_NAN = ("stop", "rollback")
DEVICES = ("auto", "cpu", "cuda", "mps")
ENCODING_ERRORS = ("strict", "replace", "ignore")
NEWLINES = ("keep", "lf")
NORMAL_FORMS = ("none", "nfc", "nfkc")

YES, NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class Limits:
    """What a setting may be: a closed range, or one of some words. `text` is what `--help` says about it."""

    text: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    pattern: str = ""  # of each word of a list

    def __str__(self) -> str:
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.high == math.inf:
            return f"at least {self.low}"
        return f"between {self.low} and {self.high}"


def setting(default: Any, text: str, **limits: Any) -> Any:
    return field(default=default, metadata={"limits": Limits(text, **limits)})


@dataclass(frozen=True)
class ModelSettings:
    """The shape of the network. All sizes are numbers of units."""

    cell: str = setting("lstm", "the recurrent cell", choices=tuple(GATES))
    activation: str = setting("tanh", "activation of the rnn cell; the others have their own", choices=ACTIVATIONS)
    hidden_size: int = setting(256, "units in each layer", low=1, high=32768)
    num_layers: int = setting(1, "recurrent layers, one on top of the other", low=1, high=64)
    members: int = setting(
        1, "networks of this shape, each learning by itself; the mean of what they say counts", low=1, high=64
    )
    embedding_size: int = setting(0, "numbers that stand for one character; 0 = hidden size", low=0, high=32768)
    dropout: float = setting(0.3, "share of units silenced between layers and before the output", low=0, high=0.95)
    weight_dropout: float = setting(0.0, "share of recurrent weights silenced in a window", low=0, high=0.95)


@dataclass(frozen=True)
class DataSettings:
    """Which text is read, and how."""

    paths: tuple[str, ...] = setting((), "files and folders, in this order; none = the text that comes with charnet")
    encoding: str = setting("utf-8", "encoding of the text")
    bytes: bool = setting(False, "learn raw bytes instead of characters: any file at all")
    glob: str = setting("*.txt", "which files of a folder are read ('**/*.py' looks into sub-folders)")
    encoding_errors: str = setting("strict", "what to do where bytes are not in the encoding", choices=ENCODING_ERRORS)
    newlines: str = setting("keep", "line ends as they are, or all alike", choices=NEWLINES)
    normalize: str = setting("none", "normal form of Unicode to put the text into", choices=NORMAL_FORMS)
    lowercase: bool = setting(False, "learn small letters only")
    lines: bool = setting(False, "every line is a text of its own: names, messages, recipes")
    document_separator: str = setting("", "what to put between two files, as in --document-separator '\\n\\n'")
    min_count: int = setting(0, "characters that come less often are folded into one", low=0, high=10**12)
    max_alphabet: int = setting(
        0, "the most frequent characters that are kept, the others are folded into one; 0 = all", low=0, high=10**6
    )
    val_fraction: float = setting(0.1, "share of the text, at its end, held out to judge the model", low=0, high=0.9)
    val_chars: int = setting(
        0, "characters of the held-out text, spread over it, that are read to judge; 0 = all", low=0, high=10**12
    )

    def num_held_out(self, characters: int) -> int:
        """How many characters at the end of a text of this length are held out."""
        return int(characters * self.val_fraction)


@dataclass(frozen=True)
class TrainingSettings:
    """How the network learns. Lengths are in steps of the optimiser, one window of all streams each."""

    batch_size: int = setting(16, "streams read side by side", low=1, high=65536)
    window: int = setting(64, "characters that the gradient flows back through", low=1, high=65536)
    steps: int = setting(2000, "length of the run in steps", low=1, high=10**9)
    epochs: float = setting(0.0, "length of the run in passes over the text; 0 = as --steps says", low=0, high=10**6)
    optimizer: str = setting("muon", "how gradients become steps", choices=OPTIMIZERS)
    learning_rate: float = setting(
        0.0, "largest step; 0 = the optimiser's own (muon 0.04, adamw 0.004, sgd 0.5)", low=0, high=1000
    )
    weight_decay: float = setting(0.0, "share of the matrices that fades away, times the learning rate", low=0, high=10)
    warmup: float = setting(0.05, "share of the run in which the learning rate rises", low=0, high=1)
    final_learning_rate: float = setting(0.01, "learning rate at the end, as a share of the largest", low=0, high=1)
    clip: float = setting(1.0, "largest norm of the gradient; 0 = never clipped", low=0, high=10**6)
    patience: int = setting(8, "evaluations without improvement before the run stops; 0 = never", low=0, high=10**6)
    eval_every: int = setting(0, "steps between evaluations; 0 = a twentieth of the run", low=0, high=10**9)
    report_every: int = setting(0, "steps between lines of metrics; 0 = a hundredth of the run", low=0, high=10**9)
    checkpoint_every: float = setting(30.0, "seconds between saves; more where they take 1 % of it", low=0, high=1e6)
    on_nan: str = setting("stop", "if the loss is no longer finite; rollback = go back, halve the rate", choices=ON_NAN)
    earlier_plans: tuple[str, ...] = setting(
        (), "lengths given up on the way, to end on time: step:planned", pattern=r"\d{1,10}:\d{1,10}"
    )
    seed: int = setting(0, "where the random numbers start", low=0, high=LARGEST_SEED)
    device: str = setting("auto", "where to compute; auto = the fastest one found", choices=DEVICES)
    precision: str = setting("auto", "what cells compute in; auto = bf16 where that is faster", choices=PRECISIONS)
    threads: int = setting(0, "processor threads; 0 = one for each core", low=0, high=4096)

    def plans_given_up(self) -> list[tuple[int, int]]:
        """`earlier_plans` as numbers: (until which step it held, how many steps it had)."""
        return [(int(until), int(steps)) for until, _, steps in (plan.partition(":") for plan in self.earlier_plans)]


@dataclass(frozen=True)
class Config:
    """All settings of one run.

    >>> Config().model.cell
    'lstm'
    >>> overlay(Config(), {"training.learning_rate": "1e-3"}).training.learning_rate
    0.001
    """

    model: ModelSettings = field(default_factory=ModelSettings)
    data: DataSettings = field(default_factory=DataSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)


@cache
def section_fields(section: str) -> dict[str, tuple[dataclasses.Field[Any], type]]:
    """The fields of one section by name, each with its type.

    Raises:
        ConfigError: there is no such section.
    """
    kinds = typing.get_type_hints(Config)
    if section not in kinds:
        raise ConfigError(f"there is no section {quoted(section)}{_near(section, kinds)}: {', '.join(kinds)}")
    hints = typing.get_type_hints(kinds[section])
    return {f.name: (f, hints[f.name]) for f in dataclasses.fields(kinds[section])}


def setting_names() -> Iterator[str]:
    """All settings as `section.field`, in their order."""
    for section in dataclasses.fields(Config):
        for name in section_fields(section.name):
            yield f"{section.name}.{name}"


def _find(name: str) -> tuple[dataclasses.Field[Any], type]:
    section, dot, key = name.partition(".")
    if not dot:
        near = difflib.get_close_matches(shortened(name), known := qualified_names(), n=1)
        hint = f' (did you mean "{known[near[0]]}"?)' if near else ""
        raise ConfigError(f"{quoted(name)} is no setting: say section.field{hint}")
    return _field(section, key)


def _field(section: str, key: str) -> tuple[dataclasses.Field[Any], type]:
    fields = section_fields(section)
    if key not in fields:
        raise ConfigError(f'section "{section}" has no setting {quoted(key)}{_near(key, fields)}')
    return fields[key]


def quoted(text: str) -> str:
    """A user's own word in a message: short, and on one line."""
    return '"' + shortened(repr(text[:200])[1:-1]) + '"'


def _near(wrong: str, known: Iterable[str]) -> str:
    return did_you_mean(shortened(wrong), known)  # a whole book is near to nothing, and compared for seconds


def _shown(value: Any) -> str:
    """A value of any kind in a message: short, and on one line."""
    try:
        return shortened(_SHORT.repr(value))
    except ValueError:
        return "a number of thousands of digits"


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxlong = 200


def qualified_names() -> dict[str, str]:
    """Full names of all settings by the name of their field alone."""
    return {name.partition(".")[2]: name for name in setting_names()}


def limits(name: str) -> Limits:
    """Limits and help text of the setting `section.field`."""
    return typing.cast(Limits, _find(name)[0].metadata["limits"])


def default(name: str) -> Any:
    """Default of the setting `section.field`."""
    return _find(name)[0].default


def _from_text(name: str, text: str) -> Any:
    """Reads a value by the declared type of its field."""
    _, kind = _find(name)
    if kind is bool:
        if text.lower() not in YES + NO:
            raise ConfigError(f"{name}: expected true or false, found {quoted(text)}")
        return text.lower() in YES
    if kind in (int, float):
        # Python also reads digits of other scripts and 1_000: a file of settings is stricter.
        try:
            if not text.isascii() or "_" in text:
                raise ValueError
            return kind(text)
        except ValueError:
            word = "a whole number" if kind is int else "a number"
            raise ConfigError(f"{name}: expected {word}, found {quoted(text)}") from None
    return text if kind is str else (text,)


def _checked(name: str, given: Any) -> Any:
    """The value itself, or ConfigError if it is of another type or out of range."""
    described, kind = _find(name)
    value: Any = given
    allowed: Limits = described.metadata["limits"]
    if kind is float and type(value) is int and abs(value) < LARGEST_SEED:
        value = float(value)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
            raise ConfigError(f"{name}: expected a list of words, found {_shown(value)}")
        for word in value:
            if allowed.pattern and not re.fullmatch(allowed.pattern, word, re.ASCII):
                raise ConfigError(f"{name}: expected {allowed.text.partition(': ')[2]}, found {quoted(word)}")
        return tuple(value)
    if type(value) is not kind:
        raise ConfigError(f"{name}: expected {kind.__name__}, found {_shown(value)}")
    if allowed.choices and value not in allowed.choices:
        raise ConfigError(f"{name}: expected {allowed}, found {quoted(str(value))}{_near(str(value), allowed.choices)}")
    if isinstance(value, int | float) and not allowed.low <= value <= allowed.high:
        raise ConfigError(f"{name}: expected a number {allowed}, found {_shown(value)}")
    return value


def overlay(config: Config, values: Mapping[str, Any]) -> Config:
    """Lays values over a config, each named `section.field`. Text is read by the type of its field.

    Raises:
        ConfigError: an unknown name, a wrong type or a value out of range.
    """
    if "training.steps" in values and "training.epochs" not in values:
        values = {**values, "training.epochs": 0.0}  # the length that was said last counts
    changes: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        _, kind = _find(name)
        if isinstance(value, str) and kind is not str:
            value = _from_text(name, value)
        section, _, key = name.partition(".")
        changes.setdefault(section, {})[key] = _checked(name, value)
    sections = {name: dataclasses.replace(getattr(config, name), **changed) for name, changed in changes.items()}
    return dataclasses.replace(config, **sections)


def assignments(pairs: list[str]) -> dict[str, str]:
    """Reads `--set section.field=value` options.

    >>> assignments(["model.hidden_size=64"])
    {'model.hidden_size': '64'}
    """
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--set: expected section.field=value, found {quoted(pair)}")
        _find(name)
        values[name] = value
    return values


def as_dict(config: Config) -> dict[str, dict[str, Any]]:
    """All settings as plain numbers, words and lists, for JSON."""
    return {
        section: {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
        for section, values in dataclasses.asdict(config).items()
    }


def from_dict(values: Any) -> Config:
    """The inverse of `as_dict`, every value checked; settings that are missing keep their defaults.

    Raises:
        ConfigError: anything that is not a valid set of settings.
    """
    if not isinstance(values, dict) or not all(isinstance(section, dict) for section in values.values()):
        raise ConfigError("settings: expected sections of settings")
    for section, keys in values.items():
        section_fields(str(section))
        for key in keys:
            _field(str(section), str(key))
    flat = {f"{section}.{key}": value for section, keys in values.items() for key, value in keys.items()}
    for name, value in flat.items():
        _checked(name, value)  # typed values only: text is not read as a number here
    return overlay(Config(), flat)
