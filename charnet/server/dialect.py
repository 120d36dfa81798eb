"""OpenAI's completions: what a request may say, checked field by field."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from charnet.config import SamplingOptions
from charnet.errors import CharnetError, did_you_mean, quoted, short_repr
from charnet.server.http import ApiError
from charnet.storage.strict_json import strict_json

LONGEST_PROMPT, MOST_TOKENS, MOST_CHOICES, MOST_STOPS, MOST_LOGPROBS = 1 << 16, 100_000, 16, 4, 20
DEFAULT_TOKENS = 256  # characters
LARGEST_BIAS, LONGEST_STOP = 100.0, 1000
MOST_TEXTS = 64  # of one request
MOST_ALTERNATIVES = 1 << 16  # of all its symbols together: a whole answer waits in memory
# Fields of OpenAI's that do nothing here, with the values that ask for nothing.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "suffix": (None, ""), "best_of": (None, 1), "frequency_penalty": (None, 0, 0.0), "presence_penalty": (None, 0, 0.0),
    "logprobs": (None, False), "top_logprobs": (None, 0), "tools": (None, []), "tool_choice": (None, "none"),
    "response_format": (None, {"type": "text"}), "store": (None, False), "metadata": (None, {}),
    "parallel_tool_calls": (None, False, True),
}  # fmt: skip
OWN = ("top_k", "min_p", "typical_p", "repetition_penalty", "match", "until")
COMMON = ("model", "temperature", "top_p", "n", "stop", "seed", "stream", "stream_options", "logit_bias", "user",
          "max_tokens", "receipt", "unknown", *OWN)  # fmt: skip
COMPLETION = ("prompt", "echo", "logprobs", *COMMON)
CHAT = ("messages", "max_completion_tokens", *COMMON)
_FLAG = re.compile(  # an option of the command line in a message, or a quotation, in which nothing is one
    r"""(?<![\w-])(?:--(?=[a-z])|-(?=n\b))(?P<flag>[a-z-]+)|"(?:[^"\\]|\\.)*"|(?<!\w)'(?:[^'\\]|\\.)*'"""
)


@dataclass(frozen=True)
class CompletionRequest:
    """A checked request.

    `options` are those of each text; the i-th of `n` texts of a prompt has the number i among those of the seed.
    `unknown` says what is done with characters of a prompt that the alphabet lacks: `error` or `skip`.
    """

    model: str
    prompts: tuple[str, ...]
    options: SamplingOptions
    n: int = 1
    stream: bool = False
    include_usage: bool = False
    echo: bool = False
    logprobs: int | None = None
    receipt: bool = False
    unknown: str = "error"
    is_chat: bool = False
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))


def parse(body: bytes, *, is_chat: bool) -> CompletionRequest:
    """Reads the body of a request.

    Raises:
        ApiError: it is not JSON, has an unknown field, or a field with another value than it may have.
    """
    given = _json(body)
    known = CHAT if is_chat else COMPLETION
    for name, value in given.items():
        if name in known:
            continue
        if name not in NEUTRAL:
            hint = did_you_mean(name, known)
            raise ApiError(400, f"unknown field {quoted(name)}{hint}", param=name[:100], code="unknown_field")
        if not any(value is each or (value == each and type(value) is type(each)) for each in NEUTRAL[name]):
            raise ApiError(400, f"{name}: not supported; leave it out", param=name, code="unsupported_field")
    values = {name: value for name, value in given.items() if value is not None and name in known}
    options = _options(values, is_chat=is_chat)
    stream_options = _of_type(values, "stream_options", dict, {})
    if unknown := set(stream_options) - {"include_usage", "include_obfuscation"}:
        raise ApiError(400, f"stream_options: unknown field {quoted(min(unknown))}", param="stream_options")
    _of_type(values, "user", str, "")
    request = CompletionRequest(
        model=_of_type(values, "model", str, ""),
        prompts=(_last_message(values),) if is_chat else _prompts(values),
        options=options,
        n=_number(values, "n", 1, 1, MOST_CHOICES),
        stream=_of_type(values, "stream", bool, False),
        include_usage=_of_type(stream_options, "include_usage", bool, False),
        echo=_of_type(values, "echo", bool, False),
        logprobs=None if is_chat else _number(values, "logprobs", None, 0, MOST_LOGPROBS),
        receipt=_of_type(values, "receipt", bool, False),
        unknown=_unknown(values),
        is_chat=is_chat,
    )
    _check_size(request)
    return request


def _check_size(request: CompletionRequest) -> None:
    count, length = len(request.prompts) * request.n, request.options.length
    if count > MOST_TEXTS:
        raise ApiError(400, f"n: at most {MOST_TEXTS} texts of all prompts together, found {count:,}", param="n")
    if request.logprobs is None:
        return
    symbols = count * length + request.echo * request.n * sum(map(len, request.prompts))
    if symbols * (request.logprobs + 1) > MOST_ALTERNATIVES:
        most = MOST_ALTERNATIVES // (request.logprobs + 1)
        message = f"logprobs: at most {most:,} characters of all texts together if {request.logprobs} are asked for"
        raise ApiError(400, f"{message}, found {symbols:,}; see max_tokens", param="logprobs")


def _json(body: bytes) -> dict[str, Any]:
    try:
        given = strict_json(body.decode())
    except (ValueError, RecursionError):  # also what is not UTF-8
        raise ApiError(400, "the body is not JSON: names are unique, numbers finite, text is UTF-8") from None
    if not isinstance(given, dict):
        raise ApiError(400, "the body is not a JSON object")
    return given


def _options(values: Mapping[str, Any], *, is_chat: bool) -> SamplingOptions:
    length = _number(values, "max_tokens", DEFAULT_TOKENS, 0, MOST_TOKENS)
    chosen: dict[str, Any] = {"length": _number(values, "max_completion_tokens", length, 0, MOST_TOKENS)}
    for name in ("temperature", "top_p", *OWN):
        if name in values:
            chosen[name] = value = values[name]
            if (name not in ("match", "until") and isinstance(value, str)) or isinstance(value, bool):
                raise ApiError(400, f"{name}: expected a number, found {short_repr(value)}", param=name)
    chosen.setdefault("temperature", 1.0 if not is_chat else 0.8)
    chosen["seed"] = _number(values, "seed", secrets.randbelow(1 << 31), -(1 << 63), (1 << 63) - 1) % (1 << 63)
    chosen["stop"] = _stops(values)
    chosen["logit_bias"] = _biases(values)
    try:
        return SamplingOptions(**chosen)
    except CharnetError as error:
        raise refusal(error) from None


def refusal(error: CharnetError) -> ApiError:
    """Returns the error of a request for one that names options of the command line: it names fields instead."""
    message = _FLAG.sub(lambda found: _field(found["flag"]) if found["flag"] else found[0], str(error))
    named = _FLAG.match(str(error))
    return ApiError(400, message, param=_field(named["flag"]) if named and named["flag"] else None)


def _field(flag: str) -> str:
    return {"temp": "temperature", "n": "max_tokens", "length": "max_tokens"}.get(flag, flag.replace("-", "_"))


def _of_type(values: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = values.get(name, default)
    if value is None:
        return default
    if type(value) is not kind and value is not default:
        word = {bool: "true or false", str: "a string", dict: "an object"}[kind]
        raise ApiError(400, f"{name}: expected {word}, found {short_repr(value)}", param=name)
    return value


def _unknown(values: Mapping[str, Any]) -> str:
    value = _of_type(values, "unknown", str, "error")
    if value not in ("error", "skip"):
        raise ApiError(400, f"unknown: expected error or skip, found {quoted(value)}", param="unknown")
    return str(value)


def _number(values: Mapping[str, Any], name: str, default: Any, low: int, high: int) -> Any:
    value = values.get(name, default)
    if value is not default and (type(value) is not int or not low <= value <= high):
        message = f"{name}: expected a whole number from {low:,} to {high:,}, found {short_repr(value)}"
        raise ApiError(400, message, param=name)
    return value


def _prompts(values: Mapping[str, Any]) -> tuple[str, ...]:
    given = values.get("prompt", "")
    prompts = [given] if isinstance(given, str) else given
    if not isinstance(prompts, list) or not all(isinstance(each, str) for each in prompts) or not prompts:
        raise ApiError(
            400, f"prompt: expected a string or a list of strings, found {short_repr(given)} (no numbers of tokens)",
            param="prompt",
        )  # fmt: skip
    if len(prompts) > MOST_CHOICES:
        raise ApiError(400, f"prompt: at most {MOST_CHOICES} prompts, found {len(prompts):,}", param="prompt")
    for prompt in prompts:
        _check_text(prompt, "prompt")
    return tuple(prompts)


def _check_text(text: str, name: str) -> None:
    if len(text) > LONGEST_PROMPT:
        message = f"{name}: at most {LONGEST_PROMPT:,} characters, found {len(text):,}"
        raise ApiError(400, message, param=name, code="context_length_exceeded")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ApiError(400, f"{name}: found half of a character (a lone surrogate)", param=name) from None


def _last_message(values: Mapping[str, Any]) -> str:
    """Returns the last message of the user: it is continued."""
    messages = values.get("messages")
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
        raise ApiError(400, f"messages: expected a list of messages, found {short_repr(messages)}", param="messages")
    of_user = [each.get("content") for each in messages if each.get("role") == "user"]
    if not of_user:
        raise ApiError(400, "messages: there is none of the role user, whose last one is continued", param="messages")
    content = of_user[-1]
    if isinstance(content, list):
        parts = [
            each.get("text") if isinstance(each, dict) and each.get("type") == "text" else None for each in content
        ]
        content = "".join(parts) if all(isinstance(part, str) for part in parts) else None  # type: ignore[arg-type]
    if not isinstance(content, str):
        raise ApiError(400, "messages: the content of a message is a string, or a list of text parts", param="messages")
    _check_text(content, "messages")
    return content


def _stops(values: Mapping[str, Any]) -> tuple[str, ...]:
    given = values.get("stop", "")
    stops = ([given] if given else []) if isinstance(given, str) else given
    if not isinstance(stops, list) or not all(isinstance(each, str) and each for each in stops):
        raise ApiError(400, f"stop: expected a text or a list of texts, found {short_repr(given)}", param="stop")
    if len(stops) > MOST_STOPS:
        raise ApiError(400, f"stop: at most {MOST_STOPS} texts, found {len(stops):,}", param="stop")
    for stop in stops:
        _check_text(stop, "stop")
        if len(stop) > LONGEST_STOP:
            raise ApiError(400, f"stop: at most {LONGEST_STOP:,} characters each, found {len(stop):,}", param="stop")
    return tuple(stops)


def _biases(values: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    given = values.get("logit_bias", {})
    if not isinstance(given, dict):
        raise ApiError(400, f"logit_bias: expected an object, found {short_repr(given)}", param="logit_bias")
    for character, bias in given.items():
        is_number = type(bias) in (int, float) and abs(bias) <= LARGEST_BIAS
        if len(character) != 1 or not is_number:
            raise ApiError(
                400, "logit_bias: expected characters with numbers from -100 to 100, as in {\"e\": -2.5}, found "
                f"{quoted(character)}: {short_repr(bias)}", param="logit_bias",
            )  # fmt: skip
        _check_text(character, "logit_bias")
    return tuple((character, float(bias)) for character, bias in given.items())
