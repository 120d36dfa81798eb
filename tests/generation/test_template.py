"""Templates: fixed text with holes, and those that have names."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnet.data.vocab import Vocabulary
from charnet.errors import ConfigError
from charnet.generation import template
from charnet.generation.regex_compiler import compile_pattern
from charnet.generation.template import NAMED, WITH_ARGUMENT

PRINTABLE = Vocabulary.of_text("".join(map(chr, range(32, 127))) + "\n")
EVERY_NAME = [*NAMED, *(example for example, _, _ in WITH_ARGUMENT.values())]


def matches(text: str, written: str) -> bool:
    return bool(re.fullmatch("".join(template.stages(text)), written))


def shortest(name: str) -> str:
    """A shortest text of a template: that of its automata, one after the other."""
    ids = []
    for stage in template.stages(name):
        automaton, state = compile_pattern(stage, PRINTABLE), 0
        while automaton.fewest_S[state]:
            ids.append(int(automaton.allowed(state, int(automaton.fewest_S[state])).argmax()))
            state = automaton.after(state, ids[-1])
    return PRINTABLE.decode(ids)


@pytest.mark.parametrize("name", EVERY_NAME)
def test_every_template_with_a_name_has_few_states_and_matches_what_it_says(name):
    assert matches(name, shortest(name))
    assert sum(len(compile_pattern(stage, PRINTABLE).fewest_S) for stage in template.stages(name)) < 20_000


def test_a_sonnet_has_fourteen_lines_and_a_haiku_three():
    assert shortest("sonnet").count("\n") == 14
    assert matches("haiku", "an old silent pond\nfrogs jump into the pond\nsplash a silent night\n") is False
    assert matches("haiku", "the bird in the rain\nwe sat at the stream in sun\nfar from us all now\n")
    assert shortest("acrostic:AB C").split("\n")[2].startswith("C")
    assert shortest("dialogue:A, B").startswith("A:\n")


@pytest.mark.parametrize("names", ["甲,乙", "甲，乙", "甲、 乙"])
def test_speakers_are_separated_and_their_lines_ended_as_chinese_is_written(names):
    parts = [part for part, _ in template.parse(template.named(f"dialogue:{names}"))]
    assert parts[::2] == ["甲：\n", "\n\n乙：\n", "\n"]
    assert re.fullmatch(parts[1], "今天的天气真的是非常好。")


@pytest.mark.parametrize(
    "text",
    ["{}", '{"a": 1}', '{"a": [true, {"b": [null, -1.5]}], "c": "d e"}', '{"a": {"b": {"c": {"d": 1}}}}'],
)
def test_an_object_of_json_matches_to_its_depth(text):
    json.loads(text)
    assert matches("json-object", text)


def test_an_object_of_json_five_deep_does_not_match():
    assert not matches("json-object", '{"a": {"b": {"c": {"d": {"e": 1}}}}}')


@given(st.text("ab{}\\[]^", max_size=12))
def test_any_text_is_a_template_or_refused(text):
    try:
        parts = template.parse(text)
    except ConfigError:
        return
    again = "".join(f"{{{part}}}" if is_hole else part.replace("{", "{{").replace("}", "}}") for part, is_hole in parts)
    assert template.parse(again) == parts


def test_only_the_fixed_text_of_a_template_is_changed():
    assert template.with_fixed(r"a{\w{2}}a{...}{{", str.upper) == r"A{\w{2}}A{...}{{"
    assert template.with_fixed("sonnet", str.upper) == "sonnet"
    assert template.with_fixed("acrostic:rose", str.upper) == "acrostic:ROSE"
