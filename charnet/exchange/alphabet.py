"""The alphabet of an old model: the symbols of its ids, as its own file says or as a file beside it.

An alphabet file is one of

    alphabet.txt     UTF-8, the characters in the order of their ids, nothing between them
    alphabet.json    a list of them, or an object: from characters to ids, from ids to characters, or with such an
                     object or list as `itos`, `stoi`, `idx_to_token`, `token_to_idx`, `idx_to_char` or `char_to_idx`

Ids count from 0 or from 1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from charnet.data.vocab import RARE, RARE_BYTE, Vocabulary
from charnet.errors import CheckpointError, quoted
from charnet.exchange import old_file
from charnet.storage.strict_json import strict_json

LARGEST_FILE = 16 << 20  # bytes; all of Unicode takes 4.4 MB, and thrice that as JSON
NESTED = ("itos", "idx_to_token", "idx_to_char", "stoi", "token_to_idx", "char_to_idx", "vocab")
UNKNOWN = (b"<unk>", b"<UNK>", b"[UNK]", b"UNK")  # one symbol for all characters that are not in the alphabet
MARK = "\ufeff"  # byte order mark
BYTE = re.compile(rb"\[(\d{3})\]")  # so the preprocessing of torch-rnn writes bytes that are not ASCII


def vocabulary(tokens: Sequence[bytes]) -> tuple[Vocabulary, list[int]]:
    """Makes the alphabet of tokens, which are single characters in UTF-8 or single bytes.

    Args:
        tokens: in the order of their ids.

    Returns:
        The alphabet, and of each of its symbols the id that it had.

    Raises:
        ValueError: a token is a word, or occurs twice.

    >>> vocab, order = vocabulary([b"b", b"\\xc3\\xa9", b"a"])
    >>> "".join(map(chr, vocab.symbols)), order
    ('abé', [2, 0, 1])
    """
    if bytes_of := _as_bytes(tokens):
        symbols, of_bytes = bytes_of, any(symbol > 0x7F for symbol in bytes_of)
    else:
        symbols, of_bytes = [_code_point(token) for token in tokens], False
    unknown = RARE_BYTE if of_bytes else RARE
    symbols = [unknown if symbol < 0 else symbol for symbol in symbols]
    if len(set(symbols)) < len(symbols):
        counts = Counter(symbols)
        twice = next(token for token, symbol in zip(tokens, symbols, strict=True) if counts[symbol] > 1)
        raise ValueError(f"an alphabet with {_shown(twice)} twice")
    order = sorted(range(len(symbols)), key=symbols.__getitem__)
    return Vocabulary(tuple(symbols[index] for index in order), of_bytes), order


def _as_bytes(tokens: Sequence[bytes]) -> list[int] | None:
    """Returns the values of tokens that are single bytes, -1 for an unknown one; None if there are others."""
    values = []
    for token in tokens:
        spelled = BYTE.fullmatch(token)
        if len(token) != 1 and not (spelled and 0x7F < int(spelled[1]) < 0x100) and token not in UNKNOWN:
            return None
        values.append(-1 if token in UNKNOWN else int(spelled[1]) if spelled else token[0])
    return values


def _code_point(token: bytes) -> int:
    if token in UNKNOWN:
        return -1
    try:
        character = token.decode()
    except UnicodeDecodeError:
        character = ""
    if len(character) != 1:
        raise ValueError(f"an alphabet with {_shown(token)}, which is not one character")
    return ord(character)


def _shown(token: bytes) -> str:
    return quoted(token[:200].decode("utf-8", "backslashreplace"))


def in_order(table: Mapping[Any, Any]) -> list[Any]:
    """Returns the values of a table whose keys are ids from 0 or from 1.

    Raises:
        ValueError: an id is missing.
    """
    first = 0 if 0 in table else 1
    try:
        return [table[number] for number in range(first, first + len(table))]
    except KeyError as error:
        raise ValueError(f"an alphabet without the id {error.args[0]:,}") from None


def read(path: Path, counts: Collection[int]) -> list[bytes]:
    """Reads an alphabet file.

    Args:
        counts: the numbers of symbols that the model may have, mostly one.

    Raises:
        CheckpointError: it is missing, of another form, or of another number of characters.
        StorageError: the operating system refused to read it.
    """
    raw = old_file.read(path, LARGEST_FILE).raw
    try:
        text = raw.decode()
        is_json = path.suffix == ".json"
        tokens = _from_json(strict_json(text.removeprefix(MARK))) if is_json else _from_text(text, counts)
        encoded = [token.encode() for token in tokens]
    except UnicodeError:
        raise CheckpointError(f"{path}: expected an alphabet in UTF-8, found other bytes") from None
    except RecursionError:
        raise CheckpointError(f"{path}: expected an alphabet, found other JSON") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: expected an alphabet, found {str(error)[:200]}") from None
    if len(encoded) not in counts:
        wanted = " or ".join(f"{count:,}" for count in sorted(counts)[:4])
        raise CheckpointError(f"{path}: expected {wanted} characters, as the model has, found {len(encoded):,}")
    try:
        vocabulary(encoded)
    except ValueError as error:
        raise CheckpointError(f"{path}: found {error}") from None
    return encoded


def exported(path: Path, metadata: Mapping[str, object]) -> list[bytes]:
    """Returns the alphabet in the header of weights that charnet exported (`charnet.exchange.about`).

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        numbers = strict_json(str(metadata["alphabet"]))
        tokens = [bytes([each]) if metadata["alphabet_unit"] == "bytes" else chr(each).encode() for each in numbers]
        if metadata["rare_id"]:
            tokens[int(str(metadata["rare_id"]))] = UNKNOWN[0]
    except (KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError):
        raise old_file.damaged(path, "a header without the alphabet") from None
    return tokens


def _from_text(text: str, counts: Collection[int]) -> list[str]:
    """Returns the characters of a text, without the byte order mark and the line end that an editor has added: where
    their number would not be right with them."""
    without_end, without_mark = text.removesuffix("\n"), text.removeprefix(MARK)
    kept = (text, without_mark, without_end, without_mark.removesuffix("\n"))
    return list(next((each for each in kept if len(each) in counts), text))


def _from_json(found: Any) -> list[str]:
    for name in NESTED:
        if isinstance(found, dict) and isinstance(found.get(name), dict | list):
            return _from_json(found[name])
    if isinstance(found, dict):
        found = _from_object(found)
    if not isinstance(found, list) or not all(isinstance(token, str) for token in found):
        raise ValueError("other JSON")
    return found


def _from_object(found: dict[str, Any]) -> list[Any]:
    if all(type(value) is int for value in found.values()):
        if len(set(found.values())) < len(found):
            raise ValueError("an alphabet with an id twice")
        return in_order({value: token for token, value in found.items()})
    if all(key.isdecimal() and len(key) < 8 for key in found):
        return in_order({int(key): token for key, token in found.items()})
    raise ValueError("other JSON")
