"""Settings files: strict YAML, in which the type of a setting decides how its value is read."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from charnet import regular_file
from charnet.config import Config
from charnet.errors import ConfigError, quoted
from charnet.overlay import as_dict, current_name, default, limits, list_depth, overlay, section_fields

LARGEST_SETTINGS_FILE = 1 << 20  # bytes; a larger file is refused
DEEPEST_NESTING = 8  # settings need three levels: sections, names, lists
MOST_NAMES = 1000  # sections and settings in a file


def to_yaml(config: Config) -> str:
    """Writes all settings as YAML, each with its help text as a comment."""
    import yaml

    lines = []
    for section, values in as_dict(config).items():
        lines.append(f"{section}:")
        for key, value in values.items():
            # Quotes keep any text on one line. Words of letters and digits need none.
            quotes = None if isinstance(value, int | float) or (isinstance(value, str) and value.isalnum()) else '"'
            is_nested = isinstance(value, list) and not all(isinstance(each, str) for each in value)
            written = str(value)
            if not is_nested:
                written = yaml.safe_dump(value, default_flow_style=True, default_style=quotes, width=math.inf)
                written = written.split("\n")[0]
            lines.append(f"  {key}: {written}  # {limits(f'{section}.{key}').text}")
    return "\n".join(lines) + "\n"


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a settings file into values for `overlay`.

    The YAML is composed but never constructed: tags, aliases and duplicate keys are refused, and every scalar stays
    text until it is parsed by the type of its field.

    Raises:
        ConfigError: not YAML, or not settings; the message names file, line and column.
        StorageError: the file cannot be read.
    """
    import yaml
    from yaml.reader import ReaderError

    try:
        raw = regular_file.read(path, LARGEST_SETTINGS_FILE, or_open=True)
    except regular_file.NotRegularError:
        raise ConfigError(f"{path}: expected settings, found a pipe or a device") from None
    except OSError as error:
        if error.errno == errno.EFBIG:
            most = f"more than {LARGEST_SETTINGS_FILE:,} bytes"
            raise ConfigError(f"{path}: expected settings, found a file of {most}") from None
        raise regular_file.read_error(path, error) from None
    try:
        text = raw.decode("utf-8-sig")
        _refuse_unsafe_yaml(path, text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        at, data = error.start, bytes(error.object)  # without the byte order mark, if any
        where = _position(path, data[:at].decode())
        raise ConfigError(f"{where}: expected UTF-8 text, byte {at} is {data[at]:#04x}") from None
    except ReaderError as error:
        where = _position(path, text[: error.position])
        raise ConfigError(f"{where}: not YAML: U+{ord(text[error.position]):04X} is not allowed") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = _at(path, mark) if mark else str(path)
        raise ConfigError(f"{where}: not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the last two come from an escape of no character
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    return {} if node is None else _settings_in(path, node)


def _refuse_unsafe_yaml(path: Path, text: str) -> None:
    """Refuses anchors, aliases, tags and deep nesting before YAML builds anything from them."""
    import yaml

    starts = (yaml.BlockMappingStartToken, yaml.BlockSequenceStartToken, yaml.FlowMappingStartToken,
              yaml.FlowSequenceStartToken)  # fmt: skip
    ends = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)
    depth = named = 0
    for token in yaml.scan(text):
        depth += isinstance(token, starts) - isinstance(token, ends)
        if depth > DEEPEST_NESTING:
            raise ConfigError(f"{_at(path, token.start_mark)}: nested too deeply for a settings file")
        named += isinstance(token, yaml.KeyToken)
        if named > MOST_NAMES:
            raise ConfigError(f"{_at(path, token.start_mark)}: more names than there are settings")
        if isinstance(token, yaml.AliasToken | yaml.AnchorToken | yaml.TagToken):
            raise ConfigError(f"{_at(path, token.start_mark)}: anchors, aliases and tags are not allowed in settings")


def _at(path: Path, mark: Any) -> str:
    return f"{path}, line {mark.line + 1}, column {mark.column + 1}"


def _position(path: Path, before: str) -> str:
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
            continue  # an empty section
        for key, mark, node in _pairs(path, body):
            name = current_name(f"{section}.{key}")
            try:
                default(name)  # raises ConfigError if there is no such setting
                value = _plain(name, node, list_depth(name))
                overlay(Config(), {name: value})
            except ConfigError as error:
                raise ConfigError(f"{_at(path, mark)}: {error}") from None
            values[name] = value
    return values


def _plain(name: str, node: Any, depth: int) -> Any:
    """Returns a node as a string, or as lists of strings nested no deeper than `depth`."""
    import yaml

    if isinstance(node, yaml.ScalarNode):
        return node.value
    if isinstance(node, yaml.SequenceNode) and depth:
        return [_plain(name, each, depth - 1) for each in node.value]
    raise ConfigError(f"{name}: expected one value")


def _pairs(path: Path, node: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yields key, position and value of each entry of a mapping; refuses duplicate keys."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        found = quoted(node.value) if isinstance(node, yaml.ScalarNode) else "a list"
        raise ConfigError(f"{_at(path, node.start_mark)}: expected `name: value` lines, found {found}")
    seen = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{_at(path, key.start_mark)}: expected a name")
        if key.value in seen:
            raise ConfigError(f"{_at(path, key.start_mark)}: {quoted(key.value)} appears twice")
        seen.add(key.value)
        yield key.value, key.start_mark, value
