"""Every option of charnet: its default, its limits and its help text, in one place that needs no torch.

A `Config` holds the settings of a training in three sections; a checkpoint carries them. `SamplingOptions` are those
of writing. Flags, `config.yaml`, `--set` and the Python API take defaults, limits and help from here; `overlay` lays
values over them.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from charnet.errors import ConfigError, short_repr
from charnet.limits import converted, in_words_of, options_of, setting

GATES = {"rnn": 1, "lstm": 4, "cifg": 3, "gru": 3}  # blocks of H rows in the weights of each cell
ACTIVATIONS = ("tanh", "relu", "sigmoid")
OPTIMIZERS, PRECISIONS = ("muon", "adamw", "sgd"), ("auto", "fp32", "bf16")
ENCODING_ERRORS = ("strict", "replace", "ignore")
DEVICES = ("auto", "cpu", "cuda", "mps")
VAL, UNTIL = ("", "random", "last", "each"), ("", "sentence", "line", "paragraph")
LARGEST_SEED, LARGEST_COUNT, LARGEST_BIAS = 2**63 - 1, 10**12, 1000.0
RUNS = Path("checkpoints")  # the folder of runs, unless another is named
AUTO, SHORT_TEXT = -1, 1000  # charnet chooses; characters
DYNAMIC_RATE = 0.4  # how far a step of dynamic evaluation moves all weights together: the norm of the change
ARGUMENTS = {"--for": "seconds", "--samples": "count", "--name": "name", "--out": "out", "--resume": "resume",
             "--init-from": "init_from", "--continue": "continue_text",
             "--prompt": "prompt", "--engine": "engine"}  # of Python; the others are options  # fmt: skip
NOT_IN_PYTHON = ", or drop such characters with --unknown skip"  # of an error's advice
DOCUMENT_END = "\x1e"  # the record separator: ends each document that may hold several lines


@dataclass(frozen=True)
class ModelSettings:
    """The shape of the network. Sizes are numbers of hidden units."""

    cell: str = setting("lstm", "the recurrent cell", choices=tuple(GATES))
    activation: str = setting("tanh", "activation of the rnn cell; other cells have no choice", choices=ACTIVATIONS)
    hidden_size: int = setting(256, "hidden units in each layer", low=1, high=32768)
    num_layers: int = setting(1, "stacked recurrent layers", low=1, high=64)
    members: int = setting(1, "networks in the ensemble; their probabilities are averaged", low=1, high=64)
    embedding_size: int = setting(0, "size of the embedding of a character; 0 = hidden size", low=0, high=32768)
    dropout: float = setting(0.3, "dropout rate after every layer", low=0, high=0.95)
    weight_dropout: float = setting(0.0, "dropout rate of the recurrent weights, per window", low=0, high=0.95)
    ngram: int = setting(AUTO, "order of an n-gram beside the networks; 0 = none", low=AUTO, high=16, auto=True)
    ngram_megabytes: float = setting(0.0, "largest size of the n-gram in MB; 0 = by the weights", low=0, high=4000)


@dataclass(frozen=True)
class DataSettings:
    """Which text is read, and how."""

    paths: tuple[str, ...] = setting((), "files and folders, in this order; none = the text that comes with charnet")
    encoding: str = setting("utf-8", "encoding of the text")
    bytes: bool = setting(False, "train on raw bytes instead of characters: takes any file")
    glob: str = setting("*.txt", "which files of a folder to read ('**/*.py' includes sub-folders)")
    encoding_errors: str = setting(
        "strict", "how to treat bytes that are not in the encoding; U+FFFD is never written", choices=ENCODING_ERRORS
    )
    strip: str = setting("", "remove the header and the footer of Project Gutenberg", choices=("", "gutenberg"))
    newlines: str = setting("keep", "keep line ends as they are, or make all of them \\n", choices=("keep", "lf"))
    normalize: str = setting("none", "Unicode normal form of the text", choices=("none", "nfc", "nfkc"))
    lowercase: bool = setting(False, "convert the text to lower case")
    lines: bool = setting(False, "treat every line as a document of its own: names, messages, recipes")
    documents: str = setting(
        "", "what separates documents: blank-line, line, file, any text, or /REGEX/; an empty match is a place to cut"
    )
    field: str = setting("", "treat each value of a field of CSV, TSV or JSON lines as a document: its name or number")
    document_separator: str = setting("", "text to put between two files, as in --document-separator '\\n\\n'")
    min_count: int = setting(0, "fold characters that occur less often into one", low=0, high=LARGEST_COUNT)
    max_alphabet: int = setting(
        0, "keep only the most frequent characters, fold the others into one; 0 = keep all", low=0, high=10**6
    )
    val_fraction: float = setting(0.1, "fraction of the text held out for validation", low=0, high=0.9)
    val: str = setting(
        "", "which part is held out: documents drawn by the seed, the last part, or the last of each file", choices=VAL
    )
    test_fraction: float = setting(
        0.0, "fraction of the text held out for one test of the best weights, at the end; 0 = none", low=0, high=0.5
    )
    val_chars: int = setting(
        0, "held-out characters, spread evenly, that each evaluation reads; 0 = all", low=0, high=LARGEST_COUNT
    )

    @property
    def document_end(self) -> str:
        """The character that ends each document; "" for one running text."""
        by_lines = self.lines or self.documents == "line"
        return "\n" if by_lines else DOCUMENT_END if self.documents or self.field else ""

    def num_held_out(self, characters: int) -> int:
        """How many characters of a text of this length are held out for validation; of documents about as many."""
        return int(characters * self.val_fraction)


@dataclass(frozen=True)
class TrainingSettings:
    """How the network is trained. Lengths are in optimizer steps; a step reads one window of every stream."""

    batch_size: int = setting(16, "streams read in parallel", low=1, high=65536)
    window: int = setting(
        64, "characters per window: how far back the gradient reaches (truncated BPTT)", low=1, high=65536
    )
    steps: int = setting(2000, "length of the run in steps", low=1, high=10**9)
    epochs: float = setting(0.0, "length of the run in passes over the text; 0 = use --steps", low=0, high=10**6)
    optimizer: str = setting("muon", "the optimizer", choices=OPTIMIZERS)
    learning_rate: float = setting(
        0.0, "peak learning rate; 0 = the optimizer's own (muon 0.04, adamw 0.004, sgd 0.5)", low=0, high=1000
    )
    weight_decay: float = setting(0.0, "weight decay of the matrices, times the learning rate", low=0, high=10)
    warmup: float = setting(0.05, "fraction of the run in which the learning rate rises", low=0, high=1)
    final_learning_rate: float = setting(0.01, "final learning rate, as a fraction of the peak", low=0, high=1)
    clip: float = setting(1.0, "maximum gradient norm; 0 = no clipping", low=0, high=10**6)
    patience: int = setting(8, "evaluations without improvement before the run stops; 0 = never", low=0, high=10**6)
    eval_every: int = setting(0, "steps between evaluations; 0 = a twentieth of the run", low=0, high=10**9)
    report_every: int = setting(0, "steps between lines of metrics; 0 = a hundredth of the run", low=0, high=10**9)
    checkpoint_every: float = setting(
        30.0, "seconds between saves, or 5m; longer if saving takes over 1 % of time", low=0, high=1e6, duration=True
    )
    on_nan: str = setting(
        "stop",
        "if the loss is not finite: stop, or go back to the last save and halve the rate",
        choices=("stop", "rollback"),
    )
    length_changes: tuple[tuple[int, int], ...] = setting(
        (), "changes of the length on the way, to end on time: pairs of step and length until then"
    )
    resume_changes: tuple[str, ...] = setting((), "changes of the settings and the text where the run was resumed")
    seed: int = setting(0, "seed of the random numbers", low=0, high=LARGEST_SEED)
    device: str = setting("auto", "where to compute; auto = the fastest device found", choices=DEVICES)
    precision: str = setting("auto", "number format of the cells; auto = bf16 where it is faster", choices=PRECISIONS)
    threads: int = setting(0, "processor threads at most; 0 = one for each core", low=0, high=4096)
    shards: int = setting(
        1,
        "parts of the batch whose gradients are added in a fixed order: as many processes, or half or a quarter as "
        "many, give the same weights",
        low=1,
        high=1024,
    )
    timeout: float = setting(
        600.0, "with several processes: seconds without an answer after which one counts as hung",
        low=1, high=1e6, duration=True,
    )  # fmt: skip


@dataclass(frozen=True)
class Config:
    """All settings of one run."""

    model: ModelSettings = field(default_factory=ModelSettings)
    data: DataSettings = field(default_factory=DataSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)


@dataclass(frozen=True)
class SamplingOptions:
    """How a text is written.

    `length` counts characters (bytes for a byte-level model) after the prompt. No text ends within a grapheme cluster:
    it goes on until the last one is whole. `stop`, `max_lines` and `until` end the text earlier; a stop text is not
    written. The temperature changes linearly from `temperature` to `temperature_end`. `ban` lists characters that are
    never written, and clusters, which are banned as a whole; at temperature 1, a bias of +1 means 2.7 times as likely.

    Raises:
        ConfigError: an option is out of its range.
    """

    length: int = setting(1000, "how many characters to write", low=0, high=LARGEST_COUNT, flags=("-n", "--length"))
    temperature: float = setting(
        0.8,
        "0 = always the most likely character, 1 = as learned, higher = more random; 0.5:1.2 = from one to the other",
        low=0,
        high=100,
        flags=("--temp", "--temperature", "-t"),
    )
    top_k: int = setting(0, "sample from the K most likely characters; 0 = from all", low=0)
    top_p: float = setting(1.0, "sample from the most likely characters that together reach P; 1 = all", low=0, high=1)
    min_p: float = setting(0.0, "sample from characters at least P times as likely as the top one", low=0, high=1)
    seed: int = setting(0, "same seed, same text", low=0, flags=("--seed", "-s"))
    stop: tuple[str, ...] = setting((), "end before this text; may be repeated")
    temperature_end: float | None = setting(
        None, "temperature at the end of the length", low=0, high=100, flags=("--temp",)
    )
    typical_p: float = setting(
        1.0, "sample from the characters of most typical surprisal that together reach P; 1 = all", low=0, high=1
    )
    repetition_penalty: float = setting(
        1.0, "divide the probability of characters just written by this; 1 = off", low=0.01, high=100
    )
    repetition_window: int = setting(64, "how many characters back the penalty looks", low=0, high=1_000_000)
    max_lines: int = setting(0, "end after this many lines; 0 = never", low=0)
    until: str = setting("", "end after the first sentence, line or paragraph", choices=UNTIL)
    ban: str = setting("", "never write any of these characters; an emoji is banned as a whole")
    match: str = setting("", "write a text that matches this regular expression, from its first to its last character")
    max_copy: int = setting(0, "never copy N characters in a row from the learned text; 0 = off", low=0, high=1_000_000)
    exact: bool = setting(False, "with --match: draw each text with its exact probability among all that match")
    template: str = setting("", "fixed text with holes to fill, or a name; --templates shows those")
    min_length: int = setting(
        0, "fewest characters of each line or document, after the prompt; 0 = any number", low=0, high=50_000
    )
    max_length: int = setting(
        0, "most characters of each line or document, after the prompt, never cut; 0 = any number", low=0, high=50_000
    )
    logit_bias: tuple[tuple[str, float], ...] = setting(
        (), "make a character more likely, or with a negative number less likely; may be repeated"
    )

    def __post_init__(self) -> None:
        for name, (described, kind) in options_of(SamplingOptions).items():
            value = getattr(self, name)
            if typing.get_origin(kind) is not tuple and not (name == "temperature_end" and value is None):
                value = converted(flags_of(name)[0], value, kind)
                described.metadata["limits"].check(flags_of(name)[0], value)
                object.__setattr__(self, name, value)  # NumPy's numbers as Python's
        for name, example in (("stop", '["end"]'), ("logit_bias", '[("e", -2.0)]')):
            if isinstance(value := getattr(self, name), str) or not isinstance(value, Iterable):
                raise ConfigError(f"{name}: expected a list, as in {example}, found {short_repr(value)}")
            object.__setattr__(self, name, tuple(value))
        if not all(isinstance(text, str) and text for text in self.stop):
            raise ConfigError(f"--stop: expected texts that are not empty, found {short_repr(self.stop)}")
        for pair in self.logit_bias:
            match pair:
                case [str(text), bias] if len(text) == 1 and abs(converted("logit_bias", bias, float)) <= LARGEST_BIAS:
                    continue
            bounds = f"a number between {-LARGEST_BIAS:,g} and {LARGEST_BIAS:,g}"
            raise ConfigError(f"--logit-bias: expected a character and {bounds}, found {short_repr(pair)}")
        object.__setattr__(self, "logit_bias", tuple((text, float(bias)) for text, bias in self.logit_bias))

    @property
    def expected_length(self) -> int:
        """Estimates the characters of a text. If an option may end it early, it is assumed to be short."""
        ends_early = self.stop or self.max_lines or self.until
        return min(self.length, SHORT_TEXT) if ends_early else self.length

    def temperature_at(self, index: int) -> float:
        """The temperature of a character, counted from 0.

        >>> [SamplingOptions(length=5, temperature=0.5, temperature_end=1.5).temperature_at(i) for i in range(5)]
        [0.5, 0.75, 1.0, 1.25, 1.5]
        """
        if self.temperature_end is None:
            return self.temperature
        return self.temperature + (self.temperature_end - self.temperature) * min(1, index / max(1, self.length - 1))


def flags_of(name: str) -> tuple[str, ...]:
    """The flags of a sampling option on the command line, the one that messages name first.

    >>> flags_of("temperature"), flags_of("top_p")
    (('--temp', '--temperature', '-t'), ('--top-p',))
    """
    flags: tuple[str, ...] = options_of(SamplingOptions)[name][0].metadata["limits"].flags
    return flags or ("--" + name.replace("_", "-"),)


@cache
def _arguments() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Returns of each flag the argument of Python that does the same, and the words that it may be."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {flag: (name, ()) for flag, name in ARGUMENTS.items()}
    for section in (ModelSettings, DataSettings, TrainingSettings):
        for name, (described, _) in options_of(section).items():
            found["--" + name.replace("_", "-")] = name, described.metadata["limits"].choices
    for name, (described, _) in reversed(options_of(SamplingOptions).items()):
        found |= dict.fromkeys(flags_of(name), (name, described.metadata["limits"].choices))
    return found


def of_arguments(message: str) -> str:
    """Returns the message of an error for those who call from Python: it names arguments in place of flags.

    >>> of_arguments("--temp: expected a number between 0 and 100, found -1")
    'temperature: expected a number between 0 and 100, found -1'
    >>> of_arguments('--max-copy 40 and --val each: leave out "--val" or see charnet train --val')
    'max_copy=40 and val="each": leave out "--val" or see charnet train --val'
    """
    return in_words_of(message.replace(NOT_IN_PYTHON, ""), _arguments())
