"""The JSON document of a checkpoint: settings, alphabet, corpus, progress, history, versions.

Every part of a document is checked here before any part of it is used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

from charnet.config import DOCUMENT_END, Config
from charnet.data.text_settings import check_settings
from charnet.data.vocab import LAST_CODE_POINT, Vocabulary
from charnet.errors import ConfigError, NewerFormatError, shortened
from charnet.overlay import as_dict, from_dict
from charnet.storage.tensorfile import DIGEST, are_sizes, invalid

FORMAT = 3  # the newest; format 1 has no 8-bit weights, formats 1 and 2 have no n-gram
LONGEST_STRING = 10_000  # characters of a name, a version or a date
LONGEST_HISTORY = 1000  # evaluations; if there are more, every second one is dropped
WINDOWS_PER_GROUP = 1 << 24  # in checkpoints of earlier versions


@dataclass(frozen=True)
class CorpusInfo:
    """What a checkpoint says about its training text, which is not part of it.

    Of an imported model nothing is known of the text: `name` says where the model came from, `fingerprint` is the
    SHA-256 of its file, and the numbers are 0.
    """

    name: str
    characters: int
    size_bytes: int
    files: int
    fingerprint: str
    key: str

    @property
    def is_unknown(self) -> bool:
        """Whether nothing is known of the text: no model is trained on an empty one."""
        return not self.characters


@dataclass(frozen=True)
class TrainerState:
    """Where a training stands. `position` is a `StreamPosition`; losses are in nats per character. After each of the
    `rollbacks` the learning rate was halved."""

    step: int = 0
    chars_seen: int = 0
    seconds: float = 0.0
    position: tuple[int, int] = (0, 0)
    best_step: int = 0
    best_nats_per_char: float | None = None
    evaluations_without_improvement: int = 0
    reported_step: int = 0
    nats_since_report: float = 0.0
    grad_norm_since_report: float = 0.0
    seconds_at_report: float = 0.0
    rollbacks: int = 0
    chars_at_report: int = 0


@dataclass(frozen=True)
class Document:
    """The content of a checkpoint without its tensors.

    `ngram_share` is the weight of the n-gram in the mean of the probabilities, 0 without one. `format` is the version
    of the file format.
    """

    config: Config
    vocab: Vocabulary
    corpus: CorpusInfo
    trainer_state: TrainerState
    history: list[dict[str, float]]
    versions: dict[str, str]
    created: str
    ngram_share: float = 0.0
    format: int = FORMAT

    def to_json(self) -> dict[str, Any]:
        """Returns the document as it is stored."""
        vocab = self.vocab
        alphabet: Any = list(vocab.characters) if vocab.of_bytes else "".join(map(chr, vocab.characters))
        return {
            "format": self.format,
            "created": self.created,
            "config": as_dict(self.config),
            "alphabet": alphabet,
            "alphabet_has_rare": vocab.rare_id is not None,
            "alphabet_is_utf8": vocab.is_utf8,
            "corpus": vars(self.corpus),
            "progress": vars(self.trainer_state),
            "history": self.history,
            "versions": self.versions,
            **({"ngram_share": self.ngram_share} if self.ngram_share else {}),
        }


def _trainer_state(values: Any, config: Config) -> TrainerState:
    """Parses where a training stands.

    Earlier versions read lines in groups and stored the group times `WINDOWS_PER_GROUP` plus the window in it. Where
    most lines fit in a window, the group is the number of windows that each stream has read.
    """
    if isinstance(values, dict) and config.data.document_end and are_sizes(values.get("position")):
        passes, *windows = values["position"]
        windows = [window // WINDOWS_PER_GROUP if window >= WINDOWS_PER_GROUP else window for window in windows]
        values = values | {"position": [passes, *windows]}
    state: TrainerState = _parse_dataclass(TrainerState, values)
    return state


def parse(path: Path, raw: Any) -> Document:
    """Builds a document from parsed JSON, after a check of every part.

    Args:
        path: the file, for messages.

    Raises:
        CheckpointError: a part is missing or invalid.
        NewerFormatError: the format is newer than this version of charnet.
    """
    if not isinstance(raw, dict) or type(raw.get("format")) is not int or raw["format"] < 1:
        raise invalid(path, "metadata without a format number")
    if raw["format"] > FORMAT:
        raise NewerFormatError(
            f"{path}: written in format {raw['format']}, this charnet reads up to {FORMAT}: install a newer one"
        )
    try:
        config = from_dict(raw["config"])
        check_settings(config.data)
        if isinstance(raw["alphabet"], str) == config.data.bytes:
            raise ValueError("invalid alphabet")
        return Document(
            config=config,
            vocab=_alphabet(
                raw["alphabet"],
                _bool(raw.get("alphabet_has_rare", False)),
                _bool(raw.get("alphabet_is_utf8", False)),
                ord(DOCUMENT_END) if config.data.document_end == DOCUMENT_END else None,
                bool(config.data.document_end),
            ),
            corpus=_parse_dataclass(CorpusInfo, raw["corpus"]),
            trainer_state=_trainer_state(raw["progress"], config),
            history=_history(raw["history"]),
            versions=_string_map(raw["versions"]),
            created=_string(raw["created"]),
            ngram_share=_share(raw.get("ngram_share", 0.0)),
            format=raw["format"],
        )
    except ConfigError as error:
        raise invalid(path, f"invalid settings ({error})") from None
    except (KeyError, TypeError, ValueError) as error:
        raise invalid(path, f"invalid metadata ({error})") from None


def _alphabet(symbols: Any, has_rare: bool, is_utf8: bool, document_end: int | None, has_documents: bool) -> Vocabulary:
    if (isinstance(symbols, str) and len(symbols) <= LAST_CODE_POINT) or are_sizes(symbols):
        own = Vocabulary.from_stored(symbols, rare=has_rare, is_utf8=is_utf8, document_end=document_end)
        if own.characters and (own.rare_id is not None) == has_rare:
            return replace(own, has_documents=has_documents)
    raise ValueError("invalid alphabet")


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("invalid boolean")
    return value


def _share(value: Any) -> float:
    if not _is_number(value) or not 0 <= value < 1:
        raise ValueError("invalid share of the n-gram")
    return float(value)


def _parse_dataclass(kind: type[Any], values: Any) -> Any:
    """Parses a dataclass of strings and numbers. A missing field gets its default, an unknown one is refused."""
    if not isinstance(values, dict):
        raise ValueError(f"invalid {kind.__name__}")
    known = kind.__dataclass_fields__
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"unknown field {shortened(repr(name[:200]))} in {kind.__name__}")
        declared = known[name].type
        fits = {
            "str": _is_string(value) and (name not in ("key", "fingerprint") or bool(DIGEST.fullmatch(value))),
            "int": are_sizes([value]),
            "float": _is_number(value),
            "float | None": value is None or _is_number(value),
            "tuple[int, int]": are_sizes(value) and len(value) == 2,
        }
        if not fits[declared]:
            raise ValueError(f"invalid {name}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _history(lines: Any) -> list[dict[str, float]]:
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise ValueError("invalid history")
    for line in lines:
        if not all(_is_number(value) for value in line.values()):
            raise ValueError("invalid history")
    return lines


def _is_number(value: Any) -> bool:
    """Checks that a value is a finite number, small enough to calculate with."""
    return type(value) in (int, float) and -1e300 < value < 1e300


def _is_string(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= LONGEST_STRING


def _string(value: Any) -> str:
    if not _is_string(value):
        raise ValueError("invalid string")
    return value


def _string_map(table: Any) -> dict[str, str]:
    if not isinstance(table, dict) or not all(_is_string(text) for pair in table.items() for text in pair):
        raise ValueError("invalid versions")
    return table
