"""What a request may say: every field within its limits, and nothing unknown."""

from __future__ import annotations

import json

import pytest

from charnet.errors import ConfigError
from charnet.server.dialect import parse, refusal
from charnet.server.http import ApiError


def refused(body: object, *, is_chat: bool = False) -> ApiError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(ApiError) as caught:
        parse(raw, is_chat=is_chat)
    assert caught.value.status == 400
    assert set(caught.value.to_json()["error"]) == {"message", "type", "param", "code"}
    return caught.value


def test_every_field_is_taken() -> None:
    request = parse(
        json.dumps(
            {
                "model": "m",
                "prompt": ["a", "b"],
                "max_tokens": 7,
                "temperature": 0.5,
                "top_p": 0.9,
                "n": 2,
                "stop": "x",
                "seed": 3,
                "echo": True,
                "logprobs": 2,
                "logit_bias": {"e": -2},
                "stream": True,
                "user": "me",
                "stream_options": {"include_usage": True},
                "top_k": 5,
                "min_p": 0.1,
                "typical_p": 0.8,
                "receipt": True,
                "repetition_penalty": 1.2,
                "until": "line",
                "best_of": 1,
                "suffix": None,
                "frequency_penalty": 0,
            }
        ).encode(),
        is_chat=False,
    )
    o = request.options
    assert (request.prompts, request.n, request.logprobs) == (("a", "b"), 2, 2)
    assert (o.length, o.temperature, o.top_p, o.seed, o.stop) == (7, 0.5, 0.9, 3, ("x",))
    assert (o.top_k, o.min_p, o.typical_p, o.repetition_penalty, o.until) == (5, 0.1, 0.8, 1.2, "line")
    assert o.logit_bias == (("e", -2.0),)
    assert request.stream and request.include_usage and request.echo and request.receipt  # noqa: PT018


def test_nothing_but_a_body_is_needed() -> None:
    request = parse(b"{}", is_chat=False)
    assert (request.prompts, request.options.length, request.options.temperature) == (("",), 256, 1.0)
    assert parse(b'{"seed": -1}', is_chat=False).options.seed >= 0
    assert parse(b'{"temperature": null, "stop": null}', is_chat=False).options.temperature == 1.0


def test_of_a_conversation_the_last_message_of_the_user_is_continued() -> None:
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": [{"type": "text", "text": "c"}, {"type": "text", "text": "d"}]},
    ]
    request = parse(json.dumps({"messages": messages, "max_completion_tokens": 5}).encode(), is_chat=True)
    assert request.prompts == ("cd",)
    assert request.options.length == 5


WRONG = [
    ("prompt", 1),
    ("prompt", []),
    ("prompt", [1, 2]),
    ("prompt", {}),
    ("prompt", ["a"] * 17),
    ("prompt", "x" * 65537),
    ("prompt", "\ud800"),
    ("max_tokens", -1),
    ("max_tokens", 100_001),
    ("max_tokens", 1.5),
    ("max_tokens", "9"),
    ("max_tokens", True),
    ("temperature", -1),
    ("temperature", "hot"),
    ("temperature", "0.5"),
    ("temperature", True),
    ("top_k", "1"),
    ("user", 5),
    ("temperature", 1e9),
    ("temperature", []),
    ("top_p", 2),
    ("n", 0),
    ("n", 17),
    ("n", 1.0),
    ("stop", [""]),
    ("stop", ["a"] * 5),
    ("stop", 5),
    ("stop", 0),
    ("stop", False),
    ("stop", {}),
    ("stop", [None]),
    ("seed", "x"),
    ("seed", 10**40),
    ("echo", 1),
    ("stream", "yes"),
    ("stream_options", []),
    ("logprobs", -1),
    ("logprobs", 21),
    ("logprobs", True),
    ("logit_bias", []),
    ("logit_bias", {"ab": 1}),
    ("logit_bias", {"a": 101}),
    ("logit_bias", {"a": "x"}),
    ("logit_bias", {"\ud800": 1}),
    ("suffix", "end"),
    ("best_of", 3),
    ("top_k", -1),
    ("top_k", 1.5),
    ("min_p", 2),
    ("typical_p", -1),
    ("repetition_penalty", 0),
    ("until", "page"),
    ("match", 5),
    ("receipt", 1),
    ("model", 3),
    ("stream_options", {"x": 1}),
    ("presence_penalty", 0.5),
    ("exact", True),
    ("length", 5),
    ("foo", None),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_refused_and_its_field_named(name: str, value: object) -> None:
    error = refused({name: value})
    assert error.param == name
    assert len(error.message) < 500


def test_an_unknown_field_is_named_with_the_nearest_known_one() -> None:
    assert refused({"temprature": 1}).message == 'unknown field "temprature" (did you mean "temperature"?)'
    assert refused({"messages": []}).param == "messages"
    assert refused({"messages": []}, is_chat=True).param == "messages"
    assert refused({"prompt": "x"}, is_chat=True).param == "prompt"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"null",
        b'"x"',
        b'{"n": NaN}',
        b'{"n": Infinity}',
        b'{"n": 1, "n": 2}',
        b"\xff",
        b"{'n': 1}",
        b'{"seed": 1' + b"0" * 400 + b"}",
        b'{"temperature": 1e400}',
        b"[" * 100_000,
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
        b'{"prompt": "\x00"}',
        b"\xef\xbb\xbf{}",
        b"{}x",
        b'{"prompt": "' + b"," * 200_000 + b'"}',
    ],
)
def test_what_is_not_strict_json_is_refused(body: bytes) -> None:
    refused(body)


@pytest.mark.parametrize(
    "messages",
    [
        None,
        "x",
        [1],
        [{"role": "user"}],
        [{"role": "user", "content": 5}],
        [{"role": "system", "content": "x"}],
        [{"role": "user", "content": [{"type": "image_url"}]}],
        [{"role": "user", "content": [{"type": "text", "text": 1}]}],
        [{"role": "user", "content": "\ud800"}],
    ],
)
def test_a_conversation_without_a_text_of_the_user_is_refused(messages: object) -> None:
    assert refused({"messages": messages}, is_chat=True).param == "messages"


def test_both_limits_of_a_conversation_are_checked() -> None:
    messages = [{"role": "user", "content": "a"}]
    error = refused({"messages": messages, "max_tokens": "many", "max_completion_tokens": 3}, is_chat=True)
    assert error.to_json()["error"]["param"] == "max_tokens"


@pytest.mark.parametrize(
    ("message", "shown", "param"),
    [
        ("--match and --stop: leave one out", "match and stop: leave one out", "match"),
        ("--match: 5 characters; -n 2 is too short", "match: 5 characters; max_tokens 2 is too short", "match"),
        ("--match: \"a --stop -n\" and '--top-k'", "match: \"a --stop -n\" and '--top-k'", "match"),
        ("--temp: found -inf, see --top-k", "temperature: found -inf, see top_k", "temperature"),
        ("the text is too long", "the text is too long", None),
    ],
)
def test_a_refusal_names_fields_and_no_options_of_the_command_line(message: str, shown: str, param: str | None) -> None:
    error = refusal(ConfigError(message)).to_json()["error"]
    assert (error["message"], error["param"]) == (shown, param)
