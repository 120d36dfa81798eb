"""Real clients: the `openai` package, `llm` through its file of models and through the plug-in, and `curl`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_server import Running, serving

pytestmark = pytest.mark.slow
REQUEST = {"prompt": "the ", "max_tokens": 40, "seed": 3, "temperature": 0.7}


@pytest.fixture(scope="module")
def server(tiny_run: Path) -> Iterator[Running]:
    with serving(tiny_run / "best.safetensors") as running:
        yield running


@pytest.fixture(scope="module")
def text(server: Running) -> str:
    return str(server.post(REQUEST).json["choices"][0]["text"])


def test_the_openai_package(server: Running, text: str) -> None:
    openai = pytest.importorskip("openai", reason="needs pip install 'charnet[clients]'")
    with openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["pets"]
        assert client.completions.create(model="pets", **REQUEST).choices[0].text == text
        pieces = client.completions.create(model="pets", stream=True, stream_options={"include_usage": True}, **REQUEST)
        found = list(pieces)
        assert "".join(each.choices[0].text for each in found if each.choices) == text
        assert found[-1].usage.completion_tokens == 40
        messages = [{"role": "user", "content": "the "}]
        chat = {"model": "pets", "messages": messages, "max_tokens": 40, "seed": 3, "temperature": 0.7}
        assert client.chat.completions.create(**chat).choices[0].message.content == text
        chunks = client.chat.completions.create(stream=True, **chat)
        assert "".join(each.choices[0].delta.content or "" for each in chunks) == text
        scored = client.completions.create(model="pets", prompt="the", max_tokens=0, echo=True, logprobs=2)
        assert scored.choices[0].logprobs.tokens == list("the")
        own = client.completions.create(model="pets", extra_body={"until": "line", "top_k": 3}, **REQUEST)
        assert "\n" not in own.choices[0].text
        with pytest.raises(openai.NotFoundError):
            client.completions.create(model="cats", prompt="")
        with pytest.raises(openai.BadRequestError, match="suffix: not supported"):
            client.completions.create(model="pets", prompt="", suffix="end")


def llm(folder: Path, *arguments: str) -> str:
    pytest.importorskip("llm", reason="needs pip install 'charnet[clients]'")
    environment = {**os.environ, "LLM_USER_PATH": str(folder / "llm"), "OPENAI_API_KEY": "none"}
    done = subprocess.run(
        [sys.executable, "-m", "llm", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_llm_through_its_file_of_models(server: Running, text: str, tmp_path: Path) -> None:
    (tmp_path / "llm").mkdir()
    (tmp_path / "llm" / "extra-openai-models.yaml").write_text(
        f"- model_id: served\n  model_name: pets\n  api_base: http://127.0.0.1:{server.port}/v1\n  completion: true\n"
    )
    options = [("temperature", "0.7"), ("max_tokens", "40"), ("seed", "3")]
    found = llm(tmp_path, "-m", "served", "the ", *(word for pair in options for word in ("-o", *pair)))
    assert found.rstrip("\n") == text.rstrip("\n")


def test_llm_through_the_plug_in_needs_no_server(tiny_run: Path, tmp_path: Path) -> None:
    from charnet.api import load

    shutil.copytree(tiny_run, tmp_path / "checkpoints" / "pets")
    assert "charnet/pets" in llm(tmp_path, "models")
    options = ("-o", "temperature", "0.7", "-o", "length", "40", "-o", "seed", "3")
    expected = "".join(load(tiny_run).stream("the ", temperature=0.7, length=40, seed=3))
    for more in ((), ("--no-stream",)):
        assert llm(tmp_path, "-m", "charnet/pets", "the ", *options, *more).rstrip("\n") == expected.rstrip("\n")


def test_curl_shows_a_stream(server: Running, text: str) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("needs curl")
    url = f"http://127.0.0.1:{server.port}/v1/completions"
    body = json.dumps({**REQUEST, "stream": True})
    command = [curl, "-sN", url, "-H", "Content-Type: application/json", "-d", body]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    events = [line[6:] for line in shown.split("\n\n") if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    assert "".join(json.loads(event)["choices"][0]["text"] for event in events[:-1]) == text
