"""Settings: their defaults, files of settings, and everything that is no setting."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charnet import config
from charnet import overlay as settings_overlay
from charnet.cli.app import run
from charnet.config import AUTO, Config, SamplingOptions, flags_of
from charnet.errors import ConfigError, StorageError
from charnet.limits import options_of
from charnet.overlay import as_dict, assignments, from_dict, overlay
from charnet.storage import config_file
from charnet.storage.config_file import read_yaml, to_yaml

NAMES = list(settings_overlay.setting_names())


def value(of: Config, name: str) -> Any:
    section, _, key = name.partition(".")
    return getattr(getattr(of, section), key)


def kind(name: str) -> type:
    section, _, key = name.partition(".")
    return settings_overlay.section_fields(section)[key][1]


NUMBERS = [name for name in NAMES if kind(name) in (int, float)]
WHOLE = [name for name in NAMES if kind(name) is int]


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Writes a file of settings and gives its path."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "settings.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return path

    return write


def refused(path: Path) -> str:
    """The message with which a file of settings is refused."""
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


# --------------------------------------------------------------------------------------------------- defaults


@pytest.mark.parametrize("name", NAMES)
def test_every_default_is_within_its_own_limits(name: str) -> None:
    assert overlay(Config(), {name: settings_overlay.default(name)}) == Config()


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_has_a_help_text(name: str) -> None:
    text = settings_overlay.limits(name).text
    assert len(text) > 8
    assert text.isprintable()
    assert not text.endswith(".")


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_limits_on_both_sides(name: str) -> None:
    allowed = settings_overlay.limits(name)
    assert math.isfinite(allowed.low)
    assert math.isfinite(allowed.high)


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().model.hidden_size = 3  # type: ignore[misc]


def test_no_field_name_stands_in_two_sections() -> None:
    fields = [name.partition(".")[2] for name in NAMES]
    assert len(set(fields)) == len(fields)


def test_every_cell_has_its_number_of_gates() -> None:
    assert set(settings_overlay.limits("model.cell").choices) == set(config.GATES)


# ------------------------------------------------------------------------------------------- values that are text


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("training.learning_rate", "1e-3", 0.001),
        ("training.learning_rate", "0.01", 0.01),
        ("training.learning_rate", ".5", 0.5),
        ("training.learning_rate", "2", 2.0),
        ("training.weight_decay", "1E-1", 0.1),
        ("model.hidden_size", "64", 64),
        ("model.hidden_size", "+64", 64),
        ("model.hidden_size", " 64 ", 64),
        ("training.seed", str(2**63 - 1), 2**63 - 1),
        ("data.bytes", "yes", True),
        ("data.bytes", "True", True),
        ("data.bytes", "1", True),
        ("data.bytes", "off", False),
        ("data.bytes", "NO", False),
        ("data.glob", "no", "no"),
        ("data.glob", "1e-3", "1e-3"),
        ("data.glob", "null", "null"),
        ("data.paths", "a b.txt", ("a b.txt",)),
    ],
)
def test_text_is_read_by_the_type_of_its_setting(name: str, text: str, expected: object) -> None:
    found = value(overlay(Config(), {name: text}), name)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    "text", ["", " ", "x", "1.5", "1e3", "0x10", "1_000", "٣", "６４", "1,000", "NaN", "--1", "1 2"]
)
def test_text_that_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^model.hidden_size: expected a whole number"):
        overlay(Config(), {"model.hidden_size": text})


@pytest.mark.parametrize("text", ["", "x", "1,5", "1_0.0", "٣", "0x1p3", "1e", "one", "½"])
def test_text_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^model.dropout: expected a number"):
        overlay(Config(), {"model.dropout": text})


@pytest.mark.parametrize("text", ["nan", "NaN", "-nan", "inf", "-inf", "Infinity", "1e999", "-1e999"])
def test_text_that_is_no_finite_number_is_refused(text: str) -> None:
    for name in NUMBERS:
        with pytest.raises(ConfigError, match=name):
            overlay(Config(), {name: text})


@pytest.mark.parametrize("text", ["", "2", "maybe", "y", "tru"])
def test_text_that_is_neither_yes_nor_no_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^data\.bytes: expected true or false"):
        overlay(Config(), {"data.bytes": text})


def test_a_number_of_ten_thousand_digits_is_refused() -> None:
    with pytest.raises(ConfigError):
        overlay(Config(), {"training.seed": "9" * 10_000})


# -------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize("name", NUMBERS)
def test_both_ends_of_a_range_are_allowed(name: str) -> None:
    allowed = settings_overlay.limits(name)
    for end in (allowed.low, allowed.high):
        assert value(overlay(Config(), {name: kind(name)(end)}), name) == end


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_beyond_its_range_is_refused_with_the_range(name: str) -> None:
    allowed = settings_overlay.limits(name)
    step = 1 if kind(name) is int else 0.001
    for wrong in (allowed.low - step, allowed.high + step):
        with pytest.raises(ConfigError, match=rf"^{name}: expected a number between"):
            overlay(Config(), {name: wrong})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused(number: float) -> None:
    for name in NUMBERS:
        with pytest.raises(ConfigError, match=name):
            overlay(Config(), {name: number})


def test_a_whole_number_too_large_for_a_float_is_refused() -> None:
    for number in (10**400, -(10**400)):
        with pytest.raises(ConfigError, match=r"^model\.dropout: "):
            overlay(Config(), {"model.dropout": number})


@pytest.mark.parametrize(
    ("name", "wrong", "near"),
    [("model.cell", "lsmt", "lstm"), ("training.optimizer", "adam", "adamw"), ("training.device", "cudda", "cuda")],
)
def test_a_misspelled_word_is_refused_with_the_nearest(name: str, wrong: str, near: str) -> None:
    with pytest.raises(ConfigError, match=rf'^{name}: expected one of .* found "{wrong}" \(did you mean "{near}"\?\)'):
        overlay(Config(), {name: wrong})


def test_a_word_in_capitals_is_not_the_word() -> None:
    with pytest.raises(ConfigError):
        overlay(Config(), {"model.cell": "LSTM"})


# ------------------------------------------------------------------------------------------------ unknown names


def test_an_unknown_name_that_is_like_none_is_refused_with_the_list() -> None:
    for name in ("model.foo", "foo"):
        with pytest.raises(ConfigError, match=r"; charnet guide settings lists them$"):
            overlay(Config(), {name: "1"})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("model.hiden_size", "hidden_size"),
        ("modle.hidden_size", "model"),
        ("training.lerning_rate", "learning_rate"),
        ("data.path", "paths"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=rf'\(did you mean "{hint}"\?\)'):
        overlay(Config(), {name: "1"})


def test_a_name_without_its_section_is_refused_with_the_whole_name() -> None:
    with pytest.raises(ConfigError, match=r'"hidden_size" is no setting: .*"model\.hidden_size"'):
        overlay(Config(), {"hidden_size": "1"})


@pytest.mark.parametrize(
    "name",
    ["", ".", "model", "model.", ".cell", "model.cell.x", "model..cell", "Model.cell", "model. cell", "__class__.x"],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        overlay(Config(), {name: "1"})
    with pytest.raises(ConfigError):
        settings_overlay.limits(name)


@pytest.mark.parametrize(
    ("name", "text"),
    [("model.cell", "a\nb"), ("model.hidden_size", "a\nb"), ("mo\ndel.cell", "lstm"), ("model.ce\nll", "lstm")],
)
def test_a_message_is_one_line_whatever_was_given(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        overlay(Config(), {name: text})
    assert "\n" not in str(caught.value)


def test_a_message_does_not_repeat_a_long_value_whole() -> None:
    with pytest.raises(ConfigError) as caught:
        overlay(Config(), {"model.hidden_size": "9" * 100_000})
    assert len(str(caught.value)) < 1000


# --------------------------------------------------------------------------------------------------------- --set


def test_set_takes_all_after_the_first_equals_sign() -> None:
    assert assignments(["data.glob=a=b", "model.hidden_size=64"]) == {"data.glob": "a=b", "model.hidden_size": "64"}


def test_the_last_of_two_equal_assignments_counts() -> None:
    assert assignments(["model.cell=gru", "model.cell=rnn"]) == {"model.cell": "rnn"}


def test_set_may_give_an_empty_word() -> None:
    assert assignments(["data.glob="]) == {"data.glob": ""}


@pytest.mark.parametrize("pair", ["", "model.cell", "=", "=gru", "model=gru", "model.cel=gru", "hidden_size=3"])
def test_what_is_no_assignment_is_refused(pair: str) -> None:
    with pytest.raises(ConfigError):
        assignments([pair])


@given(st.text())
@settings(deadline=None)
def test_any_text_after_set_is_an_assignment_or_a_config_error(pair: str) -> None:
    with contextlib.suppress(ConfigError):
        overlay(Config(), assignments([pair]))


@pytest.mark.parametrize("name", NAMES)
@given(text=st.text())
@settings(max_examples=20, deadline=None)
def test_any_text_as_a_value_is_that_value_or_a_config_error(name: str, text: str) -> None:
    try:
        found = overlay(Config(), assignments([f"{name}={text}"]))
    except ConfigError:
        return
    assert from_dict(as_dict(found)) == found


# ------------------------------------------------------------------------------------------------- round trips


def any_value(name: str) -> st.SearchStrategy[Any]:
    allowed = settings_overlay.limits(name)
    if allowed.choices:
        return st.sampled_from(allowed.choices)
    if name == "training.length_changes":
        return st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), max_size=3).map(tuple)
    by_kind: dict[Any, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        int: st.integers(int(allowed.low), int(allowed.high)) if math.isfinite(allowed.low) else st.nothing(),
        float: st.floats(allowed.low, allowed.high),
        str: st.text(),
    }
    return by_kind.get(kind(name), st.lists(st.text(), max_size=3).map(tuple))


any_config = st.fixed_dictionaries({}, optional={name: any_value(name) for name in NAMES}).map(
    lambda values: overlay(Config(), values)
)


@given(any_config)
@settings(deadline=None, max_examples=30)
def test_settings_come_back_from_plain_values(of: Config) -> None:
    assert from_dict(as_dict(of)) == of


@given(any_config)
@settings(deadline=None, max_examples=20)
def test_settings_come_back_from_yaml(tmp_path_factory: pytest.TempPathFactory, of: Config) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.yaml"
    path.write_bytes(to_yaml(of).encode())
    assert overlay(Config(), read_yaml(path)) == of


AWKWARD = [
    "a\nb",
    "a\n",
    "\n",
    "x\r\ny",
    "\x85",
    "\u2028",
    "# x",
    "a: b",
    "no",
    "null",
    "~",
    "",
    " x ",
    "'",
    '"',
    "\x1b",
]


@pytest.mark.parametrize(
    "word", [*AWKWARD, "\udcff", "1e-3", "---", "...", "[a", "&a", "*a", "!x", "é", "😀", "\ufeff"]
)
def test_an_awkward_file_name_comes_back_from_yaml(written: Any, word: str) -> None:
    of = overlay(Config(), {"data.paths": [word, "b"], "data.glob": word})
    assert overlay(Config(), read_yaml(written(to_yaml(of)))) == of


@pytest.mark.parametrize("name", NAMES)
def test_the_yaml_explains_every_setting(name: str) -> None:
    line = next(line for line in to_yaml(Config()).splitlines() if line.startswith(f"  {name.partition('.')[2]}: "))
    assert line.endswith(f"# {settings_overlay.limits(name).text}")


def test_other_programs_read_the_same_settings_from_the_yaml() -> None:
    import yaml

    assert yaml.safe_load(to_yaml(Config())) == as_dict(Config())


# ------------------------------------------------------------------------------------------------ plain values


def test_plain_values_are_fit_for_json() -> None:
    import json

    assert from_dict(json.loads(json.dumps(as_dict(Config())))) == Config()


@pytest.mark.parametrize("values", [{}, {"model": {}}, {"model": {}, "data": {}}])
def test_missing_settings_keep_their_defaults(values: dict[str, Any]) -> None:
    assert from_dict(values) == Config()


@pytest.mark.parametrize("values", [None, [], "model", 3, {"model": None}, {"model": []}, {"model": "gru"}, [{}]])
def test_values_that_are_no_sections_are_refused(values: object) -> None:
    with pytest.raises(ConfigError):
        from_dict(values)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("model.hidden_size", True),
        ("model.hidden_size", 64.0),
        ("model.hidden_size", "64"),
        ("model.hidden_size", None),
        ("model.hidden_size", [64]),
        ("model.dropout", False),
        ("model.dropout", "0.1"),
        ("model.dropout", None),
        ("model.dropout", math.nan),
        ("model.cell", 1),
        ("model.cell", None),
        ("model.cell", ["lstm"]),
        ("data.bytes", 1),
        ("data.bytes", "true"),
        ("data.bytes", None),
        ("data.glob", 3),
        ("data.paths", "a.txt"),
        ("data.paths", [1]),
        ("data.paths", [["a"]]),
        ("data.paths", {"a": 1}),
        ("data.paths", None),
        ("training.seed", 2**63),
        ("training.seed", -1),
        ("training.seed", True),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, wrong: object) -> None:
    section, _, key = name.partition(".")
    with pytest.raises(ConfigError, match=f"^{name}: "):
        from_dict({section: {key: wrong}})


@pytest.mark.parametrize("values", [{"modle": {"cell": "gru"}}, {"model": {"cel": "gru"}}, {1: {2: 3}}, {"": {"": 0}}])
def test_unknown_plain_settings_are_refused(values: dict[Any, Any]) -> None:
    with pytest.raises(ConfigError):
        from_dict(values)


def test_an_unknown_section_is_refused_even_when_it_is_empty() -> None:
    with pytest.raises(ConfigError, match="section"):
        from_dict({"modle": {}})


def test_a_whole_number_where_a_number_may_be_becomes_a_float() -> None:
    found = from_dict({"model": {"dropout": 0}}).model.dropout
    assert found == 0
    assert type(found) is float


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
sections = st.sampled_from(["model", "data", "training"]) | st.text()
keys = st.sampled_from([name.partition(".")[2] for name in NAMES]) | st.text()


@given(json_values | st.dictionaries(sections, st.dictionaries(keys, json_values, max_size=3), max_size=3))
@settings(deadline=None)
def test_any_plain_values_are_settings_or_a_config_error(values: object) -> None:
    try:
        found = from_dict(values)
    except ConfigError:
        return
    assert from_dict(as_dict(found)) == found


# --------------------------------------------------------------------------------------------- files of settings


def test_a_file_of_settings_is_laid_over_the_defaults(written: Any) -> None:
    path = written("model:\n  cell: gru\n  hidden_size: 64\ntraining:\n  learning_rate: 1e-3\ndata:\n  glob: no\n")
    found = overlay(Config(), read_yaml(path))
    assert (found.model.cell, found.model.hidden_size) == ("gru", 64)
    assert found.training.learning_rate == 0.001
    assert found.data.glob == "no"


def test_a_list_of_files_stays_words(written: Any) -> None:
    path = written("data:\n  paths: [1, no, 1e-3, null, 'a b', 2024-01-01]\n")
    assert overlay(Config(), read_yaml(path)).data.paths == ("1", "no", "1e-3", "null", "a b", "2024-01-01")


@pytest.mark.parametrize("content", ["", "\n", "# nothing\n", "\ufeff", "model:\n", "model:\ndata:\n"])
def test_a_file_without_settings_has_none(written: Any, content: str) -> None:
    assert read_yaml(written(content)) == {}


@pytest.mark.parametrize("before", ["\ufeff", "---\n", "# a comment\n", "\r\n"])
def test_a_mark_a_document_start_a_comment_and_windows_lines_do_no_harm(written: Any, before: str) -> None:
    assert read_yaml(written(f"{before}model:\r\n  cell: gru\r\n")) == {"model.cell": "gru"}


@pytest.mark.parametrize(
    ("content", "where", "what"),
    [
        (
            "model:\n  cell: gru\n  hiden_size: 3\n",
            "line 3, column 3",
            'no setting "hiden_size" (did you mean "hidden_size"?)',
        ),
        ("data:\n  glob: x\nmodle:\n  cell: gru\n", "line 3, column 1", 'no section "modle" (did you mean "model"?)'),
        ("model:\n    hidden_size: big\n", "line 2, column 5", 'expected a whole number, found "big"'),
        ("model:\n  dropout: 2\n", "line 2, column 3", "between 0 and 0.95, found 2"),
        ("model:\n  cell: lsmt\n", "line 2, column 3", 'did you mean "lstm"?'),
        ("model:\n  cell: gru\n  cell: rnn\n", "line 3, column 3", '"cell" appears twice'),
        ("model:\n  cell: gru\nmodel:\n  cell: rnn\n", "line 3, column 1", '"model" appears twice'),
        ("model: {cell: gru, cell: gru}\n", "line 1, column 20", "twice"),
        ('model:\n  cell: gru\n  "cell": gru\n', "line 3, column 3", "twice"),
        ("model: &m\n  cell: gru\n", "line 1, column 8", "anchors, aliases and tags"),
        ("model: *m\n", "line 1, column 8", "anchors, aliases and tags"),
        ("model: !!map {}\n", "line 1, column 8", "anchors, aliases and tags"),
        ("model:\n  cell: !!python/object/apply:os.system [id]\n", "line 2, column 9", "tags"),
        ("!!python/name:os.system x\n", "line 1, column 1", "tags"),
        ("model:\n\tcell: gru\n", "line 2, column 1", "not YAML"),
        ("model: [1,\n", "line 2, column 1", "not YAML"),
        ("model:\n  cell: 'gru\n", "line 3, column 1", "not YAML"),
        ("--- \nmodel:\n--- \ndata:\n", "line 3, column 1", "another document"),
        ("model:\n  cell: {a: b}\n", "line 2, column 3", "expected one value"),
        ("model:\n  cell: [[gru]]\n", "line 2, column 3", "expected one value"),
        ("data:\n  paths:\n    - [a]\n", "line 2, column 3", "expected one value"),
        ("model:\n  hidden_size: [3]\n", "line 2, column 3", "model.hidden_size: expected"),
        ("? [a]\n: b\n", "line 1, column 3", "expected a name"),
        ("- model\n", "line 1, column 1", "expected `name: value` lines"),
        ("model\n", "line 1, column 1", "expected `name: value` lines"),
        ("model: gru\n", "line 1, column 8", "expected `name: value` lines"),
        ("model:\n  - cell\n", "line 2, column 3", "expected `name: value` lines"),
        ("model: 3\n", "line 1, column 8", "expected `name: value` lines"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_column(written: Any, content: str, where: str, what: str) -> None:
    message = refused(written(content))
    assert f"settings.yaml, {where}: " in message
    assert what in message
    assert "\n" not in message


def test_merge_keys_are_no_settings(written: Any) -> None:
    refused(written("model:\n  <<: {cell: gru}\n"))


def test_an_unknown_section_with_nothing_in_it_is_refused(written: Any) -> None:
    assert 'did you mean "model"?' in refused(written("modle:\ndata:\n  glob: x\n"))


@pytest.mark.parametrize(
    "content", ['"a\\nb":\n  x: 1\n', 'model:\n  "a\\nb": 1\n', 'data: {"a\\nb": 1, "a\\nb": 2}\n']
)
def test_a_line_break_in_a_name_does_not_break_the_message(written: Any, content: str) -> None:
    assert "\n" not in refused(written(content))


@pytest.mark.parametrize("escape", ["\\UFFFFFFFF", "\\U00110000", "\\x8", "\\q", "\\u12"])
def test_an_escape_that_is_no_character_is_refused(written: Any, escape: str) -> None:
    refused(written(f'data:\n  glob: "{escape}"\n'))


def test_an_alias_bomb_is_refused_at_once(written: Any) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    begun = time.process_time()
    assert "aliases" in refused(written("\n".join(lines)))
    assert time.process_time() - begun < 5  # the names that it stands for would take years


@pytest.mark.parametrize("opening", ["[", "{", "- ", "? ", "[{a: ", "model: {x: "])
def test_deep_nesting_is_refused(written: Any, opening: str) -> None:
    refused(written(opening * 1000))


@pytest.mark.parametrize("opening", ["[", "{", "- ", "? "])
def test_very_deep_nesting_is_refused_in_seconds(written: Any, opening: str) -> None:
    # Scanning takes half a minute and more where nothing limits the depth.
    path = written(opening * 10_000)
    begun = time.process_time()
    refused(path)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "content",
    [
        b"\x00",
        b"model:\n  cell: \x00gru\n",
        b"\xff\xfe\x00\x00",
        "model:\n  cell: gru\n".encode("utf-16"),
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"\x7fELF\x02\x01\x01" + bytes(100),
        b"PK\x03\x04" + bytes(range(256)),
        b"\xed\xa0\x80",
        b"\xc3",
    ],
)
def test_a_file_that_is_not_text_is_refused(written: Any, content: bytes) -> None:
    assert "\n" not in refused(written(content))


def test_the_byte_that_is_not_utf8_is_named(written: Any) -> None:
    assert "byte 15 is 0xe9" in refused(written(b"data:\n  glob: c\xe9\n"))


def test_a_huge_file_is_refused_by_its_size(written: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_file, "LARGEST_SETTINGS_FILE", 100)
    assert read_yaml(written("#" * 99 + "\n")) == {}
    assert "more than 100 bytes" in refused(written("#" * 100 + "\n"))


def test_an_endless_file_is_not_read_to_its_end() -> None:
    zero = Path("/dev/zero")
    if not zero.exists():
        pytest.skip("no endless file on this system")
    refused(zero)


def test_a_missing_file_and_a_folder_are_errors_of_storage(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path, tmp_path / "none" / "x.yaml"):
        with pytest.raises(StorageError, match="cannot be read"):
            read_yaml(path)


@given(st.text() | st.text("[]{}:,-?&*!|>'\"%@`#\n\t ab1~", max_size=40))
@settings(deadline=None, max_examples=50)
def test_any_text_is_a_file_of_settings_or_a_config_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(ConfigError):
        overlay(Config(), read_yaml(path))


@given(st.binary())
@settings(deadline=None, max_examples=50)
def test_any_bytes_are_a_file_of_settings_or_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(raw)
    with contextlib.suppress(ConfigError):
        overlay(Config(), read_yaml(path))


@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.text("0123456789.e-+_ abclnostruxy'\"\\[]{}#", max_size=12)), max_size=3
    )
)
@settings(deadline=None, max_examples=50)
def test_any_value_of_a_known_setting_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text("".join("{}:\n  {}: {}\n".format(*name.split("."), text) for name, text in pairs))
    try:
        found = overlay(Config(), read_yaml(path))
    except ConfigError:
        return
    assert from_dict(as_dict(found)) == found


@pytest.mark.parametrize(
    ("name", "value", "option"),
    [
        ("temperature", -0.1, "--temp"),
        ("temperature", 100 * 1.01, "--temp"),
        ("temperature", math.nan, "--temp"),
        ("temperature", math.inf, "--temp"),
        ("top_k", -1, "--top-k"),
        ("top_p", 1.01, "--top-p"),
        ("top_p", -0.01, "--top-p"),
        ("top_p", math.nan, "--top-p"),
        ("min_p", 1.01, "--min-p"),
        ("min_p", -0.01, "--min-p"),
    ],
)
def test_a_sampling_option_out_of_its_range_is_refused_by_its_flag(name: str, value: Any, option: str) -> None:
    with pytest.raises(ConfigError, match=f"^{option}: expected a number .*, found {value}$"):
        SamplingOptions(**{name: value})


def test_the_ends_of_every_range_of_sampling_are_allowed() -> None:
    SamplingOptions(temperature=0, top_k=0, top_p=0, min_p=0)
    SamplingOptions(temperature=100, top_k=10**9, top_p=1, min_p=1)


@pytest.mark.parametrize(
    ("option", "value", "found"),
    [
        ("length", np.int64(-5), "-5"),
        ("top_p", np.float32(1.5), "1.5"),
        ("temperature", np.float32(math.nan), "nan"),
        ("temperature_end", np.float64(200), "200.0"),
        ("seed", None, "None"),
        ("max_lines", "2", "'2'"),
        ("length", math.inf, "inf"),
        ("until", ("line",), "('line',)"),
        ("ban", 7, "7"),
    ],
)
def test_a_sampling_option_of_another_type_is_refused_by_its_flag(option: str, value: Any, found: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{flags_of(option)[0]}: expected .*, found {re.escape(found)}$"):
        SamplingOptions(**{option: value})


def test_numbers_of_numpy_become_those_of_python() -> None:
    options = SamplingOptions(length=np.int32(7), top_p=np.float64(0.5), temperature=1)
    assert [type(value) for value in (options.length, options.top_p, options.temperature)] == [int, float, float]


def test_every_flag_that_a_message_names_exists(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sample", "--help-all"]) == 0
    shown = capsys.readouterr().out
    for option in options_of(SamplingOptions):
        assert all(re.search(rf"[ ,]{flag}\b", shown) for flag in flags_of(option)), option


def test_a_number_beyond_all_floats_is_out_of_range() -> None:
    floats = [name for name, (_, kind) in options_of(SamplingOptions).items() if kind in (float, float | None)]
    assert len(floats) > 5
    for name in floats:
        for huge in (10**400, -(10**400), Fraction(10**400)):
            with pytest.raises(ConfigError, match=rf"^{flags_of(name)[0]}: expected a number between .* found -?inf$"):
                SamplingOptions(**{name: huge})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["stop", "logit_bias"])
@pytest.mark.parametrize(
    "value", [None, 5, "e", b"ab", [1], [None], [""], {"": 1}, [("e",)], [("e", "x")], [(1, 2)], [("e", 10**5000)]]
)
def test_lists_of_something_else_are_refused_in_one_short_line(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^(--)?{name.replace('_', '.')}: expected ") as caught:
        SamplingOptions(**{name: value})
    assert len(str(caught.value)) < 200


def test_several_texts_may_be_in_any_collection() -> None:
    pairs = (("e", -2.0), ("f", 1.0))
    for make in (list, tuple, iter, dict.fromkeys):
        assert SamplingOptions(stop=make(("a", "b"))).stop == ("a", "b")
        assert SamplingOptions(logit_bias=make(pairs)).logit_bias == pairs


def test_a_number_that_charnet_may_choose_is_written_auto() -> None:
    assert overlay(Config(), {"model.ngram": "auto"}).model.ngram == AUTO
    with pytest.raises(ConfigError, match=r'model\.ngram: expected a whole number or auto, found "x"'):
        overlay(Config(), {"model.ngram": "x"})
    with pytest.raises(ConfigError, match="expected a number between 0 and 16, or auto, found 17"):
        overlay(Config(), {"model.ngram": 17})
    with pytest.raises(ConfigError, match=r'model\.members: expected a whole number, found "auto"'):
        overlay(Config(), {"model.members": "auto"})
