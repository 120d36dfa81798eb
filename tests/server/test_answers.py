"""What an answer looks like: OpenAI's shapes, whole and as a stream."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from checkpoint_files import of_size, tiny
from running_server import Running, serving

from charnet.cli.app import run
from charnet.data.vocab import Vocabulary
from charnet.server import dialect
from charnet.server.answers import token_of
from charnet.server.completions import Completion
from charnet.server.mailbox import Mailbox

BYTES = Vocabulary((10, 97, 0xA9, 0xC3), of_bytes=True)
ASKED = {"prompt": "ab", "max_tokens": 30, "seed": 1, "temperature": 0.9}
VARIANTS = [
    {}, {"n": 3}, {"prompt": ["ab", "é", ""]}, {"prompt": ["a", "b"], "n": 2}, {"echo": True}, {"logprobs": 0},
    {"logprobs": 3}, {"logprobs": 2, "echo": True}, {"stop": "a"}, {"max_tokens": 0}, {"max_tokens": 0, "echo": True},
    {"max_tokens": 0, "echo": True, "logprobs": 1}, {"prompt": "", "echo": True, "logprobs": 1}, {"until": "line"},
    {"match": "[ab]{5}"}, {"top_k": 2, "n": 2}, {"temperature": 0}, {"receipt": True}, {"receipt": True, "echo": True},
    {"max_tokens": 400, "n": 2, "logprobs": 1}, {"stop": ["a b", "bb"], "logprobs": 1},
    {"prompt": "ab é" * 500, "echo": True, "logprobs": 1},
]  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "pets"
    folder.mkdir()
    of_size(16).save(folder / "best.safetensors")
    return folder / "best.safetensors"


@pytest.fixture(scope="module")
def server(path: Path) -> Iterator[Running]:
    with serving(path) as running:
        yield running


def joined(events: list[Any]) -> dict[int, dict[str, Any]]:
    """The choices that the pieces of a stream make."""
    found: dict[int, dict[str, Any]] = {}
    for piece in (piece for event in events for piece in event["choices"]):
        whole = found.setdefault(piece["index"], piece | {"text": "", "logprobs": None, "finish_reason": None})
        assert whole["finish_reason"] is None
        logprobs, before = piece["logprobs"], whole["logprobs"]
        if before is not None:
            logprobs = {k: v if before[k] is None else before[k] + v for k, v in logprobs.items()}
        whole |= piece | {"text": whole["text"] + piece["text"], "logprobs": logprobs}
    return found


@pytest.mark.parametrize("fields", VARIANTS, ids=str)
def test_a_stream_is_the_whole_answer_in_pieces(server: Running, fields: dict[str, Any]) -> None:
    whole = server.post(ASKED | fields).json
    assert (whole["object"], whole["model"]) == ("text_completion", "pets")
    found = server.post(ASKED | fields | {"stream": True, "stream_options": {"include_usage": True}})
    *events, last, done = found.events
    assert done == "[DONE]"
    assert joined(events) == {choice["index"]: choice for choice in whole["choices"]}
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    assert len({(each["id"], each["created"], each["object"]) for each in (*events, last)}) == 1
    assert all(each["usage"] is None for each in events)


@pytest.mark.parametrize("fields", VARIANTS, ids=str)
def test_choices_and_usage_add_up(server: Running, fields: dict[str, Any]) -> None:
    asked: dict[str, Any] = ASKED | fields
    prompts = asked["prompt"] if isinstance(asked["prompt"], list) else [asked["prompt"]]
    whole, count, written = server.post(asked).json, asked.get("n", 1), 0
    assert [choice["index"] for choice in whole["choices"]] == list(range(len(prompts) * count))
    for choice in whole["choices"]:
        prompt = prompts[choice["index"] // count] if asked.get("echo") else ""
        assert choice["text"].startswith(prompt)
        length = len(choice["text"]) - len(prompt)
        written += length
        assert choice["finish_reason"] == ("length" if length == asked["max_tokens"] else "stop")
    read = sum(map(len, prompts))
    assert whole["usage"] == {
        "prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written,
    }  # fmt: skip


@pytest.mark.parametrize("echo", [False, True])
@pytest.mark.parametrize("count", [1, 5, 20])
def test_alternatives_are_the_likeliest_in_their_order(server: Running, count: int, echo: bool) -> None:
    found = server.post(ASKED | {"logprobs": count, "echo": echo}).json["choices"][0]
    text, given = found["text"], found["logprobs"]
    assert sorted(given) == ["text_offset", "token_logprobs", "tokens", "top_logprobs"]
    assert given["tokens"] == list(text)
    assert given["text_offset"] == list(range(len(text)))
    own, tops = given["token_logprobs"], given["top_logprobs"]
    assert [own[0] is None, tops[0] is None] == [echo, echo]  # the first of a prompt was not predicted
    for token, its_own, top in zip(text[echo:], own[echo:], tops[echo:], strict=True):
        assert len(top) == min(count, 6)
        assert list(top.values()) == sorted(top.values(), reverse=True)
        assert math.isclose(top.get(token, its_own), its_own)
        assert count < 6 or math.isclose(sum(map(math.exp, top.values())), 1, abs_tol=1e-6)


def test_bytes_are_tokens_too(tmp_path: Path) -> None:
    (tmp_path / "bytes").mkdir()
    tiny("rnn", BYTES, **{"data.bytes": True, "model.activation": "relu"}).save(tmp_path / "bytes" / "b")
    asked = {"prompt": "é", "max_tokens": 40, "logprobs": 2, "echo": True, "seed": 3, "temperature": 1.5}
    with serving(tmp_path / "bytes" / "b") as running:
        whole, events = running.post(asked).json, running.post(asked | {"stream": True}).events
    found = whole["choices"][0]
    assert whole["usage"] == {"prompt_tokens": 2, "completion_tokens": 40, "total_tokens": 42}
    assert joined(events[:-1]) == {0: found}
    tokens, offsets = found["logprobs"]["tokens"], found["logprobs"]["text_offset"]
    assert len(tokens) == len(offsets) == len(found["logprobs"]["token_logprobs"]) == 42
    assert tokens[:2] == ["bytes:\\xc3", "bytes:\\xa9"]
    assert set(tokens) <= {"a", "\n", "bytes:\\xc3", "bytes:\\xa9"}
    assert all(found["text"][at] == token for token, at in zip(tokens, offsets, strict=True) if len(token) == 1)


def test_a_byte_that_is_no_character_is_named() -> None:
    assert [token_of(BYTES, symbol) for symbol in range(4)] == ["\n", "a", "bytes:\\xa9", "bytes:\\xc3"]
    assert token_of(Vocabulary.of_text("é"), 0) == "é"


def test_several_texts_of_a_seed_are_those_of_the_command_line(
    server: Running, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["-p", "ab", "-n", "30", "--temp", "0.9", "--seed", "1", "--samples", "3", "--no-echo", "--json"]
    assert run(["sample", str(path), *arguments, "--quantize", "int8"]) == 0
    texts = [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]
    assert [each["text"] for each in server.post(ASKED | {"n": 3}).json["choices"]] == texts


@pytest.mark.parametrize("fields", [{"echo": True}, {"top_k": 3, "stop": ["a b"]}, {"n": 2}, {"prompt": "é\n"}])
def test_a_receipt_is_replayed_by_the_command_line(
    server: Running, path: Path, tmp_path: Path, fields: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for choice in server.post(ASKED | fields | {"receipt": True}).json["choices"]:
        (tmp_path / "r.json").write_text(json.dumps(choice["receipt"]))
        code = run(["replay", str(tmp_path / "r.json"), str(path), "--out", str(tmp_path / "again"), "--force"])
        assert code == 0, capsys.readouterr().err
        assert (tmp_path / "again").read_text() == choice["text"]


def test_of_a_model_of_documents_the_first_symbol_of_a_prompt_is_scored_and_no_prompt_is_needed(tmp_path: Path) -> None:
    model = of_size(16)
    data = replace(model.config.data, lines=True)
    vocab = replace(model.vocab, has_documents=True, document_end=10)
    replace(model, config=replace(model.config, data=data), vocab=vocab).save(tmp_path / "best.safetensors")
    with serving(tmp_path / "best.safetensors") as running:
        asked = {"prompt": "ab a", "echo": True, "logprobs": 0, "max_tokens": 5, "seed": 1}
        (choice,) = running.post(asked).json["choices"]
        without = running.post({"max_tokens": 5, "seed": 1})
        echoed = running.post({"echo": True, "logprobs": 0, "max_tokens": 5, "seed": 1})
    assert "".join(choice["logprobs"]["tokens"]) == choice["text"]
    assert None not in choice["logprobs"]["token_logprobs"]
    assert (without.status, echoed.status) == (200, 200)  # without a prompt, as a page begins
    assert echoed.json["choices"][0]["text"] == without.json["choices"][0]["text"]


@pytest.mark.parametrize("of_bytes", [False, True])
def test_a_stop_that_the_model_can_never_write_is_no_error(tmp_path: Path, of_bytes: bool) -> None:
    model = of_size(16)
    vocab = Vocabulary((10, 32, 97, 98, 0xA9, 0xC3), of_bytes=True, is_utf8=True) if of_bytes else model.vocab
    data = replace(model.config.data, bytes=of_bytes)
    replace(model, config=replace(model.config, data=data), vocab=vocab).save(tmp_path / "best.safetensors")
    asked = {"prompt": "ab", "max_tokens": 9, "seed": 1}
    with serving(tmp_path / "best.safetensors") as running:
        answer = running.post(asked | {"stop": ["\N{SNOWMAN}", "Q"]})
        assert answer.status == 200, answer
        assert answer.json["choices"] == running.post(asked).json["choices"]


def test_each_text_of_a_stream_ends_once_even_if_its_client_reads_slowly(server: Running) -> None:
    room = server.app.models.all[0].room

    async def read() -> list[int]:
        request = dialect.parse(
            json.dumps({"prompt": "ab", "n": 4, "max_tokens": 40, "stream": True}).encode(), is_chat=False
        )
        served = server.app.models.all[0]
        completion, ended = Completion(request, served, Mailbox(asyncio.get_running_loop())), []
        async for piece in completion.pieces():
            if piece.startswith(b"data: {"):
                ended += [each["index"] for each in json.loads(piece[6:])["choices"] if each["finish_reason"]]
            await asyncio.sleep(0.02)
        completion.cancel()
        return ended

    assert sorted(asyncio.run(read())) == [0, 1, 2, 3]
    assert room.running == 0
