"""The server from outside: answers, streams, refusals, models that change, and an orderly end."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from running_server import Running, read_answer, serving, until

from charnet.api import load
from charnet.config import SamplingOptions
from charnet.generation import receipts
from charnet.server import app, models
from charnet.server.access import Access
from charnet.server.engine_room import BusyError, EngineRoom, Job
from charnet.storage import receipt
from charnet.storage.checkpoint import Checkpoint

KEY = "0123456789abcdef"


@pytest.fixture(scope="module")
def server(tiny_run: Path) -> Iterator[Running]:
    with serving(tiny_run / "best.safetensors", page="<p>the page</p>") as running:
        yield running


def endless_stream() -> bytes:
    """The bytes of a request for more text than is ever written."""
    body = json.dumps({"prompt": "the ", "max_tokens": 100_000, "stream": True}).encode()
    lines = ["POST /v1/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def reaches(room: EngineRoom, count: int) -> bool:
    """Whether so many texts run, within some seconds."""
    until = time.monotonic() + 10
    while (room.running, room.waiting) != (count, 0) and time.monotonic() < until:
        time.sleep(0.01)
    return room.running == count


def expected(run: Path, prompt: str, **options: object) -> str:
    from charnet.api import TextModel

    model = TextModel(Checkpoint.load(run / "best.safetensors", weights_only=True).quantize())
    return model.generate(prompt, **options)[len(prompt) :]


def test_an_answer_is_what_the_library_writes(server: Running, tiny_run: Path) -> None:
    answer = server.post({"model": "pets", "prompt": "the c", "max_tokens": 40, "temperature": 0.7, "seed": 5, "n": 2})
    assert answer.status == 200
    found = answer.json
    assert found["object"] == "text_completion"
    for index, choice in enumerate(found["choices"]):
        text = expected(tiny_run, "the c", length=40, temperature=0.7, seed=5, index=index)
        assert choice == {"index": index, "text": text, "logprobs": None, "finish_reason": "length"}
    assert found["usage"] == {"prompt_tokens": 5, "completion_tokens": 80, "total_tokens": 85}


def test_several_prompts_have_their_choices_in_order(server: Running, tiny_run: Path) -> None:
    found = server.post({"prompt": ["the ", "a ", "the "], "max_tokens": 9, "seed": 1, "echo": True}).json
    texts = [choice["text"] for choice in found["choices"]]
    assert [choice["index"] for choice in found["choices"]] == [0, 1, 2]
    assert texts == [p + expected(tiny_run, p, length=9, temperature=1.0, seed=1) for p in ("the ", "a ", "the ")]


def test_a_text_that_ends_by_itself_says_so(server: Running) -> None:
    (choice,) = server.post({"prompt": "the", "max_tokens": 200, "seed": 2, "stop": [" "]}).json["choices"]
    assert choice["finish_reason"] == "stop"
    assert " " not in choice["text"]


def test_a_stream_is_the_same_text_in_pieces(server: Running) -> None:
    request = {"prompt": "the ", "max_tokens": 300, "seed": 3, "n": 2}
    whole = server.post(request).json
    events = server.post({**request, "stream": True, "stream_options": {"include_usage": True}}).events
    assert events[-1] == "[DONE]"
    assert events[-2]["usage"] == whole["usage"]
    assert events[-2]["choices"] == []
    for index in range(2):
        pieces = [each["choices"][0] for each in events[:-2] if each["choices"][0]["index"] == index]
        assert "".join(piece["text"] for piece in pieces) == whole["choices"][index]["text"]
        assert [piece["finish_reason"] for piece in pieces][-1] == "length"
        assert not any(piece["finish_reason"] for piece in pieces[:-1])


def test_a_conversation_is_answered_in_its_own_shape(server: Running) -> None:
    request = {"messages": [{"role": "user", "content": "the "}], "max_tokens": 20, "seed": 4, "temperature": 0.5}
    plain = server.post({"prompt": "the ", "max_tokens": 20, "seed": 4, "temperature": 0.5}).json["choices"][0]["text"]
    found = server.post(request, "/v1/chat/completions").json
    assert found["object"] == "chat.completion"
    assert found["choices"][0]["message"] == {"role": "assistant", "content": plain}
    events = server.post({**request, "stream": True}, "/v1/chat/completions").events
    assert "".join(each["choices"][0]["delta"]["content"] for each in events[:-1]) == plain
    assert events[0]["object"] == "chat.completion.chunk"


def test_logprobs_have_the_legacy_shape_and_the_prompt_is_scored_with_echo(server: Running) -> None:
    request = {"prompt": "the cat", "max_tokens": 5, "seed": 6, "logprobs": 3, "echo": True, "temperature": 0}
    choice = server.post(request).json["choices"][0]
    found = choice["logprobs"]
    assert "".join(found["tokens"]) == choice["text"]
    assert found["text_offset"] == list(range(12))
    assert found["token_logprobs"][0] is None
    assert all(len(top) == 3 for top in found["top_logprobs"][1:])
    for token, own, top in zip(
        found["tokens"][7:], found["token_logprobs"][7:], found["top_logprobs"][7:], strict=True
    ):
        assert max(top, key=top.__getitem__) == token  # the most likely, at temperature 0
        assert top[token] == pytest.approx(own)
    scored = server.post({**request, "max_tokens": 0}).json["choices"][0]["logprobs"]
    assert scored["token_logprobs"] == found["token_logprobs"][:7]
    assert server.post({**request, "echo": False, "logprobs": 0}).json["choices"][0]["logprobs"]["top_logprobs"] is None


def test_a_receipt_in_an_answer_is_replayed(server: Running, tiny_run: Path, tmp_path: Path) -> None:
    choice = server.post({"prompt": "the ", "max_tokens": 30, "seed": 7, "receipt": True}).json["choices"][0]
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(choice["receipt"]))
    found = receipt.read(file)
    checkpoint = Checkpoint.load(tiny_run / "best.safetensors", weights_only=True)
    receipts.check_checkpoint(found, checkpoint)
    assert list(load(tiny_run).replay(file)) == [choice["text"]]


@pytest.mark.parametrize("count", [64])
def test_the_same_request_has_the_same_answer_alone_or_among_many(server: Running, count: int) -> None:
    requests = [
        {"prompt": "the cat "[: 1 + i % 8], "max_tokens": 5 + i, "seed": i, "top_p": 1 - 0.3 * (i % 2)}
        for i in range(count)
    ]
    alone = [server.post(each).json["choices"] for each in requests[::16]]
    with ThreadPoolExecutor(count) as pool:
        together = list(pool.map(lambda each: server.post(each).json["choices"], requests))
    assert together[::16] == alone


def test_models_metrics_health_and_page_are_shown(server: Running) -> None:
    assert server.get("/v1/models").json["data"][0]["id"] == "pets"
    assert server.get("/health").json == {"status": "ok"}
    assert server.get("/").body == b"<p>the page</p>"
    text = server.get("/metrics").body.decode()
    assert 'charnet_requests_total{path="/health",status="200"}' in text
    assert 'charnet_characters_total{model="pets"}' in text


def test_what_cannot_be_answered_is_refused_in_openais_shape(server: Running) -> None:
    cases = [
        (server.post({"model": "cats"}), 404, "model"),
        (server.post({"prompt": "é"}), 400, "prompt"),
        (server.post({"logit_bias": {"é": 1}}), 400, "logit_bias"),
        (server.post({"match": "("}), 400, "match"),
        (server.post(b"{", "/v1/completions"), 400, None),
        (server.post({}, "/v1/completions", "Content-Type: text/plain"), 415, None),
        (server.post({}, "/v1/embeddings"), 404, None),
        (server.get("/v1/models/cats"), 404, "model"),
        (server.get("/v1/models/"), 404, None),
        (server.get("/v1/completions"), 405, None),
        (server.post({}, "/health"), 405, None),
        (server.get("/", method="BREW"), 405, None),
        (server.post({}, "/v1/completions", "Origin: http://evil.com"), 403, None),
        (server.raw(b"GET /health HTTP/1.1\r\nHost: evil.com\r\n\r\n"), 421, None),
        (server.raw(b"OPTIONS /v1/completions HTTP/1.1\r\nHost: evil.com\r\n\r\n"), 421, None),
        (server.raw(b"GET /health HTTP/1.1\r\n\r\n"), 400, None),
        (server.raw(b"\x16\x03\x01\x02\x00\x01"), 400, None),
    ]
    for answer, status, param in cases:
        assert (answer.status, answer.json["error"]["param"]) == (status, param), answer
        assert set(answer.json["error"]) == {"message", "type", "param", "code"}
        assert "--" not in answer.json["error"]["message"].replace("--allow", "")


def test_a_bug_ends_one_request_and_no_other(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(server.app, "_content", fail)
        answer = server.get("/health")
        assert answer.status == 500
        assert answer.json["error"]["type"] == "server_error"
    assert any("ZeroDivisionError" in line for line in server.log)
    assert server.get("/health").status == 200
    assert server.get("/health").headers["x-frame-options"] == "DENY"
    server.log[:] = [line for line in server.log if "Traceback" not in line]


def test_a_connection_takes_several_requests(server: Running) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with server.connect() as client:
        for _ in range(3):
            client.sendall(request)
            assert read_answer(client).status == 200
        client.sendall(request + request)  # the second waits for the first
        assert read_answer(client).status == 200


def test_a_key_is_needed_but_for_the_page(tiny_run: Path) -> None:
    with serving(tiny_run / "best.safetensors", access=Access(key=KEY), page="page") as running:
        assert running.post({}).status == 401
        assert running.get("/v1/models").status == 401
        assert running.get("/metrics").status == 401
        assert running.get("/").status == 200
        assert running.post({"max_tokens": 1}, "/v1/completions", f"Authorization: Bearer {KEY}").status == 200
        assert not any(KEY in line for line in running.log)


def test_runs_of_the_same_name_are_all_served_each_by_a_name_of_its_own(tiny_run: Path, tmp_path: Path) -> None:
    files = [tmp_path / folder / "pets" / "best.safetensors" for folder in "abcd"]
    for file in files:
        file.parent.mkdir(parents=True)
        shutil.copy(tiny_run / "best.safetensors", file)
    with serving(*files, files[1]) as running:
        named = {each.name: each.path for each in running.app.models.all}
        assert list(named.values()) == files
        assert list(named)[:2] == ["pets", "pets/best"]
        for name in named:
            assert running.post({"model": name, "max_tokens": 1}).json["model"] == name


def test_a_file_that_is_replaced_damaged_or_removed_disturbs_no_answer(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "SECONDS_BETWEEN_LOOKS", 0.0)
    run = tmp_path / "pets"
    shutil.copytree(tiny_run, run)
    file, request = run / "best.safetensors", {"prompt": "the ", "max_tokens": 30, "seed": 1}
    with serving(file, quantize=False) as running:
        first = running.post(request).json["choices"]
        whole = file.read_bytes()
        for content in (b"damaged", None):
            file.write_bytes(content) if content is not None else file.unlink()
            time.sleep(0.05)
            for _ in range(4):
                assert running.post(request).json["choices"] == first
                time.sleep(0.05)
        assert any("cannot be used" in line for line in running.log)
        assert not any("Traceback" in line for line in running.log)
        file.write_bytes(whole)
        until = time.monotonic() + 10
        while not any("is served now" in line for line in running.log) and time.monotonic() < until:
            assert running.post(request).json["choices"] == first
            time.sleep(0.05)
        assert any("is served now" in line for line in running.log)
        assert running.post(request).json["choices"] == first


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_file_that_cannot_be_loaded_for_want_of_memory_is_looked_at_again(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "SECONDS_BETWEEN_LOOKS", 0.0)
    file = Path(shutil.copy(tiny_run / "best.safetensors", tmp_path))
    served = models.Models([file])
    with monkeypatch.context() as patch:
        patch.setattr(served, "_open", lambda _: bytearray(1 << 62))
        file.touch()
        served.find("")
        until(lambda: not served.all[0].is_loading)
    before = served.all[0].room
    file.touch()
    served.find("")
    until(lambda: served.all[0].room is not before)
    served.close()


def test_a_client_that_leaves_frees_its_place(server: Running) -> None:
    room = server.app.models.all[0].room
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            client = stack.enter_context(server.connect())
            client.sendall(endless_stream())
            assert client.recv(100)
        assert reaches(room, 8)
    assert reaches(room, 0)


def test_streams_end_when_the_server_stops(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "ENDING_SECONDS", 0.3)
    with contextlib.ExitStack() as stack:
        with serving(tiny_run / "best.safetensors") as running:
            client, stuck = (stack.enter_context(running.connect()) for _ in range(2))
            client.sendall(endless_stream())
            assert client.recv(100)
            stuck.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{")
            began = time.monotonic()
        assert time.monotonic() - began < 8
        rest = b""
        while more := client.recv(65536):
            rest += more
    assert b"the server is stopping" in rest


def test_a_room_refuses_what_it_cannot_seat_and_ends_what_is_cancelled(tiny_run: Path) -> None:
    room = EngineRoom(Checkpoint.load(tiny_run / "best.safetensors", weights_only=True))
    done: list[object] = []
    ids = room.checkpoint.vocab.encode("the ")

    def job(length: int) -> Job:
        return Job(
            ids, SamplingOptions(length=length), lambda chunk, _, error: done.append(error) if chunk is None else None
        )

    jobs = [job(100_000) for _ in range(320)]
    room.submit(*jobs)  # it has not started, so all wait
    with pytest.raises(BusyError):
        room.submit(job(1))
    for each in jobs[1:]:
        each.is_cancelled = True
    room.start()
    assert reaches(room, 1)
    room.close()
    assert len(done) == 1
    assert "stopping" in str(done[0])


def test_a_long_prompt_keeps_no_other_waiting(tiny_run: Path) -> None:
    room = EngineRoom(Checkpoint.load(tiny_run / "best.safetensors", weights_only=True))
    order: list[str] = []
    ended = threading.Event()

    def deliver(name: str):
        def take(chunk, _alternatives, _error):
            if chunk is None:
                order.append(name)
                ended.set() if len(order) == 2 else None

        return take

    vocab = room.checkpoint.vocab
    room.submit(Job(vocab.encode("the cat " * 4000), SamplingOptions(length=1), deliver("long")))
    room.submit(Job(vocab.encode("the "), SamplingOptions(length=50), deliver("short")))
    room.start()
    assert ended.wait(60)
    assert order == ["short", "long"]
    assert len(room._reader._prefixes) == 2
    room.close()
