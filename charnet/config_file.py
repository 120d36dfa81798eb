"""A file of settings: YAML, read strictly and without a guess at what its values mean."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from charnet.config import Config
from charnet.errors import ConfigError, StorageError, quoted
from charnet.overlay import OLD_NAMES, as_dict, default, limits, list_depth, overlay, section_fields

LARGEST_FILE_OF_SETTINGS = 1 << 20  # bytes; more is not a file of settings
DEEPEST_NESTING = 8  # sections, names, lists: three are enough
MOST_NAMES = 1000  # of sections and settings in a file


def to_yaml(config: Config) -> str:
    """All settings, each with its help text as a comment."""
    import yaml

    lines = []
    for section, values in as_dict(config).items():
        lines.append(f"{section}:")
        for key, value in values.items():
            # Quoted, any text stays on one line; a word that is nothing but letters needs no quotes.
            quotes = None if isinstance(value, int | float) or (isinstance(value, str) and value.isalnum()) else '"'
            dumped = yaml.safe_dump(value, default_flow_style=True, default_style=quotes, width=math.inf)
            is_of_pairs = isinstance(value, list) and not all(isinstance(each, str) for each in value)
            written = str(value) if is_of_pairs else dumped.split("\n")[0]
            lines.append(f"  {key}: {written}  # {limits(f'{section}.{key}').text}")
    return "\n".join(lines) + "\n"


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a file of settings into values for `overlay`.

    The YAML is only composed, never constructed: no tags, no aliases, no duplicate keys, and every scalar stays text
    until the type of its field reads it.

    Raises:
        ConfigError: not YAML, or not settings; the message says file, line and column.
        StorageError: the file cannot be read.
    """
    import yaml
    from yaml.reader import ReaderError

    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE_OF_SETTINGS + 1)
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise StorageError(f"{str(path)!r}: cannot be read: no file has such a name") from None
    if len(raw) > LARGEST_FILE_OF_SETTINGS:
        raise ConfigError(f"{path}: expected settings, found a file of more than {LARGEST_FILE_OF_SETTINGS:,} bytes")
    try:
        text = raw.decode("utf-8-sig")
        _refuse_what_settings_never_hold(path, text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        at, read = error.start, bytes(error.object)  # without the mark that the file may begin with
        where = _place(path, read[:at].decode())
        raise ConfigError(f"{where}: expected UTF-8 text, byte {at} is {read[at]:#04x}") from None
    except ReaderError as error:
        where = _place(path, text[: error.position])
        raise ConfigError(f"{where}: not YAML: U+{ord(text[error.position]):04X} has no place in it") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = _at(path, mark) if mark else str(path)
        raise ConfigError(f"{where}: not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # an escape of no character is one of the latter two
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    return {} if node is None else _settings_in(path, node)


def _refuse_what_settings_never_hold(path: Path, text: str) -> None:
    """Anchors, aliases, tags and deep nesting, all before YAML builds anything of them."""
    import yaml

    starts = (yaml.BlockMappingStartToken, yaml.BlockSequenceStartToken, yaml.FlowMappingStartToken,
              yaml.FlowSequenceStartToken)  # fmt: skip
    ends = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)
    depth = named = 0
    for token in yaml.scan(text):
        depth += isinstance(token, starts) - isinstance(token, ends)
        if depth > DEEPEST_NESTING:
            raise ConfigError(f"{_at(path, token.start_mark)}: nested too deeply for a file of settings")
        named += isinstance(token, yaml.KeyToken)
        if named > MOST_NAMES:
            raise ConfigError(f"{_at(path, token.start_mark)}: more names than there are settings")
        if isinstance(token, yaml.AliasToken | yaml.AnchorToken | yaml.TagToken):
            raise ConfigError(f"{_at(path, token.start_mark)}: anchors, aliases and tags have no place in settings")


def _at(path: Path, mark: Any) -> str:
    return f"{path}, line {mark.line + 1}, column {mark.column + 1}"


def _place(path: Path, before: str) -> str:
    return f"{path}, line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"


def _settings_in(path: Path, root: Any) -> dict[str, Any]:
    import yaml

    values: dict[str, Any] = {}
    for section, at, body in _pairs(path, root):
        try:
            section_fields(section)
        except ConfigError as error:
            raise ConfigError(f"{_at(path, at)}: {error}") from None
        if isinstance(body, yaml.ScalarNode) and body.value == "":
            continue  # a section with nothing in it
        for key, mark, node in _pairs(path, body):
            name = OLD_NAMES.get(f"{section}.{key}", f"{section}.{key}")
            try:
                default(name)  # or there is none of that name
                value = _plain(name, node, list_depth(name))
                overlay(Config(), {name: value})
            except ConfigError as error:
                raise ConfigError(f"{_at(path, mark)}: {error}") from None
            values[name] = value
    return values


def _plain(name: str, node: Any, depth: int) -> Any:
    """A node as a text, or as lists of texts, nested no deeper than `depth`."""
    import yaml

    if isinstance(node, yaml.ScalarNode):
        return node.value
    if isinstance(node, yaml.SequenceNode) and depth:
        return [_plain(name, each, depth - 1) for each in node.value]
    raise ConfigError(f"{name}: expected one value")


def _pairs(path: Path, node: Any) -> Iterator[tuple[str, Any, Any]]:
    """Key, position and value of each entry of a mapping; a key that comes twice is refused."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        found = quoted(node.value) if isinstance(node, yaml.ScalarNode) else "a list"
        raise ConfigError(f"{_at(path, node.start_mark)}: expected `name: value` lines, found {found}")
    seen = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{_at(path, key.start_mark)}: expected a name")
        if key.value in seen:
            raise ConfigError(f"{_at(path, key.start_mark)}: {quoted(key.value)} stands here twice")
        seen.add(key.value)
        yield key.value, key.start_mark, value
