"""A receipt: one JSON file that says how texts were written, so that they can be written again and compared.

It holds the prompt, or only its SHA-256; of the texts it holds the SHA-256. A checksum over all of it tells a receipt
that was damaged or changed from a text that is another one now. A receipt may come from anywhere, so every part is
checked before any part is used, and no part is shown as it is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from charnet import durable, regular_file
from charnet.config import LARGEST_COUNT, SamplingOptions
from charnet.errors import ConfigError, ReceiptError, quoted
from charnet.overlay import sampling_options
from charnet.storage.strict_json import MOST_CHARACTERS, is_too_large, strict_json
from charnet.storage.tensorfile import DIGEST

FORMAT = 1
MOST_TEXTS = 10_000
LONGEST_TEXT = 100_000_000  # characters: a text is in memory until it is compared
LONGEST_NAME = 1000  # characters
MOST_PARTS = 20  # of a kind of machine
CHECKSUM = "receipt_sha256"
HALVES = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # the others stand for bytes that are no UTF-8
UNKNOWN = ("error", "skip")
PRECISIONS = ("fp32", "int8")


class TextDigest(NamedTuple):
    """Of the bytes of a text: SHA-256 and number."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Receipt:
    """How texts were written.

    Attributes:
        charnet: the version of the program.
        arithmetic: the version of the arithmetic of 8-bit weights.
        exact: whether the texts are the same on every machine.
        checkpoint: the name of the file, without the folders above the current one.
        checkpoint_sha256: the checksum of the file, as `Checkpoint.sha256`.
        precision: of the weights that wrote: `fp32` or `int8`.
        unicode: the version of Unicode's tables, which say where a symbol of several characters ends.
        machine: the kind of machine, if the texts are not exact; see `engines.rounding`.
        prompt: as the model has read it; None if only its SHA-256 is told.
        echo: whether each text begins with the prompt.
        unknown: what was done with characters of the prompt that the alphabet lacks: `error` or `skip`.
        lines: whether whole lines or documents were asked for.
        samples: how many texts were computed together.
        index: which of them is the first of `texts`.
        texts: of each text as it is in a file.
    """

    charnet: str
    arithmetic: int
    exact: bool
    checkpoint: str
    checkpoint_sha256: str
    precision: str
    unicode: str
    machine: dict[str, str]
    prompt: str | None
    prompt_sha256: str
    echo: bool
    unknown: str
    lines: bool
    samples: int
    options: SamplingOptions
    index: int = 0
    texts: tuple[TextDigest, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns the receipt as it is stored, with its checksum."""
        fields = {"receipt": FORMAT, **vars(self)}
        fields |= {"options": vars(self.options), "texts": [text._asdict() for text in self.texts]}
        return {**fields, CHECKSUM: _checksum(fields)}

    def to_text(self) -> str:
        """Returns the text of the file, in ASCII."""
        return json.dumps(self.to_json(), indent=2, allow_nan=False).replace("\x7f", "\\u007f") + "\n"

    def excess(self, texts: int) -> str:
        """Returns why this receipt could not be read again with the digests of so many texts in it, or ""."""
        if texts > MOST_TEXTS:
            return f"at most {MOST_TEXTS:,} texts fit in it, found {texts:,}"
        if self.options.length > LONGEST_TEXT:
            return f"it is for texts of at most {LONGEST_TEXT:,} characters, found {self.options.length:,}"
        digests = (TextDigest("0" * 64, LARGEST_COUNT),) * texts
        try:
            parse(Path("receipt"), replace(self, texts=digests, samples=max(1, self.samples)).to_text())
        except (ReceiptError, ValueError):
            advice = "" if self.prompt is None else "; --receipt-private leaves the prompt out"
            return f"the prompt or an option is too large for it{advice}"
        return ""

    def write(self, path: Path) -> None:
        """Writes the receipt so that the file is at any instant the old one or the new one.

        Raises:
            StorageError: the system refused to write.
        """
        durable.write(path, self.to_text().encode("ascii"))


def sha256(text: str) -> str:
    """Returns the SHA-256 of a text, in UTF-8; of bytes that are not, as they are."""
    return hashlib.sha256(encode(text)).hexdigest()


def encode(text: str) -> bytes:
    """Returns the bytes of a text as they are in a file."""
    return text.encode("utf-8", "surrogateescape")


def read(path: Path) -> Receipt:
    """Reads and checks a receipt.

    Raises:
        ReceiptError: it is missing, damaged, or was not written by charnet.
        StorageError: the operating system refused to read it.
    """
    try:
        raw = regular_file.read(path, MOST_CHARACTERS, or_open=True)
    except FileNotFoundError:
        raise ReceiptError(f"{path}: there is no such receipt") from None
    except regular_file.NotRegularError:
        raise _invalid(path, "a pipe or a device") from None
    except OSError as error:
        raise regular_file.read_error(path, error) from None
    try:
        return parse(path, raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise _invalid(path, "bytes that are not UTF-8") from None


def parse(path: Path, text: str) -> Receipt:
    """Builds a receipt from its text, after a check of every part.

    Args:
        path: the file, for messages.

    Raises:
        ReceiptError: it is damaged, was changed, or is in a newer format.
    """
    try:
        fields = strict_json(text)
    except (ValueError, RecursionError):
        what = "a file that is too large" if is_too_large(text) else "no JSON of its kind"
        raise _invalid(path, what) from None
    if not isinstance(fields, dict) or type(fields.get("receipt")) is not int or fields["receipt"] < 1:
        raise _invalid(path, "no number of its format")
    if (version := fields.pop("receipt")) > FORMAT:
        raise ReceiptError(f"{path}: a receipt of format {version:.3g}, this charnet reads up to {FORMAT}: update it")
    checksum = fields.pop(CHECKSUM, None)
    odd = sorted(set(fields) ^ set(_FITS))
    if odd:
        raise _invalid(path, f"{'an unknown' if odd[0] in fields else 'no'} field {quoted(odd[0])}")
    for name, fits in _FITS.items():
        if not fits(fields[name]):
            raise _invalid(path, f"another value of {name} than there can be")
    is_same = checksum == _checksum({"receipt": version, **fields})
    changed = ReceiptError(f"{path}: the receipt was changed or is damaged: its checksum does not match its content")
    texts = tuple(TextDigest(**each) for each in fields["texts"])
    try:
        receipt = Receipt(**fields | {"options": _options(fields["options"]), "texts": texts})
    except (ConfigError, UnicodeEncodeError) as error:
        if not is_same:
            raise changed from None
        reason = error if isinstance(error, ConfigError) else "halves of characters"
        raise _invalid(path, f"invalid options ({reason})") from None
    if not is_same and checksum != receipt.to_json()[CHECKSUM]:  # see _as_browsers
        raise changed
    if found := _contradiction(receipt):
        raise _invalid(path, found)
    return receipt


def _checksum(fields: dict[str, Any]) -> str:
    """Returns the SHA-256 of the fields, however they are laid out in a file."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()


def _invalid(path: Path, found: str) -> ReceiptError:
    return ReceiptError(f"{path}: expected a receipt of charnet, found {found}; the file is damaged or foreign")


def _is_text(value: Any) -> bool:
    """Checks that a value is a text that can be written to a file: halves of characters cannot."""
    return isinstance(value, str) and not HALVES.search(value)


def _is_name(value: Any) -> bool:
    return _is_text(value) and len(value) <= LONGEST_NAME and "\0" not in value


def is_relative(name: str) -> bool:
    """Returns whether the name of a file leads to no place outside a folder, on any system.

    >>> [is_relative(name) for name in ("runs/a.safetensors", "../a", "/dev/zero", "C:a", "")]
    [True, False, False, False, False]
    """
    path, windows = PurePosixPath(name), PureWindowsPath(name)
    return bool(name) and not (path.is_absolute() or windows.anchor or ".." in path.parts or ".." in windows.parts)


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and bool(DIGEST.fullmatch(value))


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_COUNT


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_machine(value: Any) -> bool:
    is_small = isinstance(value, dict) and len(value) <= MOST_PARTS
    return is_small and all(map(_is_name, value.keys())) and all(map(_is_name, value.values()))


def _is_digests(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, dict) and set(each) == {"sha256", "bytes"} and _is_digest(each["sha256"])
        and _is_count(each["bytes"]) for each in value
    )  # fmt: skip


_FITS: dict[str, Callable[[Any], bool]] = {
    "charnet": _is_name,
    "arithmetic": _is_count,
    "exact": _is_bool,
    "checkpoint": lambda value: _is_name(value) and is_relative(value),
    "checkpoint_sha256": _is_digest,
    "precision": PRECISIONS.__contains__,
    "unicode": _is_name,
    "machine": _is_machine,
    "prompt": lambda value: value is None or _is_text(value),
    "prompt_sha256": _is_digest,
    "echo": _is_bool,
    "unknown": UNKNOWN.__contains__,
    "lines": _is_bool,
    "samples": _is_count,
    "options": lambda value: isinstance(value, dict),
    "index": _is_count,
    "texts": _is_digests,
}


def _options(values: dict[str, Any]) -> SamplingOptions:
    """Parses sampling options. One that is missing, as in a receipt of an earlier version, gets its default.

    Raises:
        ConfigError: one is unknown, of another type, or out of its range.
        UnicodeEncodeError: a text in one is no text.
    """
    json.dumps(values, ensure_ascii=False).encode()
    lists = {
        name: tuple(tuple(each) if isinstance(each, list) else each for each in value)
        for name, value in values.items()
        if isinstance(value, list)
    }
    options = sampling_options(values | lists)
    for name, value in values.items():
        if json.dumps(_as_browsers(value)) != json.dumps(_as_browsers(getattr(options, name))):  # True is no 1
            raise ConfigError(f"{name} is of another type")
    return options


def _as_browsers(value: Any) -> Any:
    """Returns a value with 1 in place of 1.0, as browsers and other programs write it: they have one kind of number."""
    if isinstance(value, list | tuple):
        return [_as_browsers(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _contradiction(receipt: Receipt) -> str:
    """Returns what cannot be true at once, or ""."""
    if receipt.exact != (receipt.precision == "int8"):
        return "weights that are exact and are not"
    if receipt.prompt is not None and sha256(receipt.prompt) != receipt.prompt_sha256:
        return "a prompt that has another SHA-256"
    if not 0 < len(receipt.texts) <= min(MOST_TEXTS, receipt.samples - receipt.index):
        return "another number of texts than there can be"
    if receipt.options.length > LONGEST_TEXT:
        return "texts longer than there can be"
    return ""
