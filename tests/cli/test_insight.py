"""`charnet insight`: which models and texts are meant, and what is printed and written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import sentences

from charnet.cli.app import run


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charnet.machine.threads_beside_others", lambda _: 1)


@pytest.fixture
def text(tmp_path: Path) -> str:
    file = tmp_path / "other.txt"
    file.write_text(sentences(300, seed=9))
    return str(file)


def output(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> tuple[str, str]:
    assert run(["insight", *map(str, arguments)]) == code, capsys.readouterr().err
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_the_main_figures_are_shown_as_text(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = output(capsys, tiny_run)
    assert "characters of the held-out part of pets" in out
    for title in ("what units track", "how far it remembers", "how far the gradient reaches", "gates"):
        assert f"\n{title}\n" in out
    assert re.search(r"\n(Its memory ends at|More (context|than)) ", out)
    assert "charnet insight -o page.html" in err


def test_any_text_can_be_read_and_any_pattern_looked_for(
    tiny_run: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = output(capsys, tiny_run, text, "--json", "--find", "cat|dog", "--unit", "3")
    found = json.loads(out)
    assert found["text"] == text
    assert found["model"]["units"] == 16
    assert len(found["followers"]["inside a match of cat|dog"]) == 10
    assert found["nats_per_char"] == pytest.approx(1.0, abs=0.6)


def test_everything_is_written_as_one_page(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    out, err = output(capsys, tiny_run, "-o", page, "--unit", "3")
    assert out == ""
    assert str(page) in err
    assert "unit 3" in page.read_text()
    before = page.read_bytes()
    assert output(capsys, tiny_run, "-o", page, code=6)[1].count("\n") == 1
    assert page.read_bytes() == before


@pytest.mark.exhaustive
def test_models_are_compared_on_one_text(
    tiny_run: Path, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    output(capsys, tiny_run / "best.safetensors", tiny_run / "last.safetensors", text, "-o", page)
    assert "runs/best" not in page.read_text()
    found = json.loads(output(capsys, tiny_run / "best.safetensors", tiny_run / "last.safetensors", text, "--json")[0])
    assert [each["name"] for each in found] == ["pets/best", "pets/last"]
    out, _ = output(capsys, tiny_run / "best.safetensors", tiny_run / "last.safetensors", text)
    by_loss = sorted(found, key=lambda each: each["nats_per_char"])
    assert f"{by_loss[0]['nats_per_char']:.3f} nats" in out
    if by_loss[1]["nats_per_char"] - by_loss[0]["nats_per_char"] > 0.001:
        assert f"{by_loss[0]['name']} expects this text best" in out


@pytest.mark.exhaustive
def test_figures_are_written_as_png(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    output(capsys, tiny_run, "--png", tmp_path / "figures")
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert names == ["gates.png", "gradient.png", "half-lives.png", "memory.png", "states.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (tmp_path / "figures").iterdir())


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_each_curve_is_in_one_line_of_any_terminal(
    columns: int, tiny_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    out, _ = output(capsys, tiny_run)
    curves = [line for line in out.splitlines() if re.search("[▁▂▃▄▅▆▇█]", line)]
    assert len(curves) == 3, "memory, gradient and half-lives"
    assert max(map(len, curves)) <= columns


def test_without_matplotlib_a_line_says_what_to_install(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    _, err = output(capsys, tiny_run, "--png", tmp_path / "figures", code=2)
    assert "pip install 'charnet[plot]'" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["RUN", "--find", "("], 2, '--find "(": not a regular expression'),
        (
            ["RUN", "--unit", "99"],
            2,
            "--unit 99: there is no such unit: the model has units 0 to 15 in 1 layer of 1 network",
        ),
        (["RUN", "--unit", "x"], 2, "--unit: expected a number such as 231"),
        (["RUN", "short.txt"], 3, "short.txt: 9 characters, too few to look into a model: give 300"),
        (["RUN", "missing.txt"], 3, "missing.txt"),
        (["missing"], 4, "missing: there is no such checkpoint"),
        (["other.txt", "RUN"], 2, "is a checkpoint; name checkpoints first, and then the texts"),
        (["RUN", "RUN/last.safetensors", "--find", "a"], 2, "they show the units of one model"),
        ([*(f"RUN/{'./' * n}" for n in range(9))], 2, "9 checkpoints: at most 8 can be compared"),
        (["RUN", "--encoding", "latin-1"], 2, "--encoding: expected a text beside it"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_in_one_line(
    arguments: list[str],
    code: int,
    message: str,
    tiny_run: Path,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(Path(text).parent)
    Path("short.txt").write_text("the cat s")
    _, err = output(capsys, *(each.replace("RUN", str(tiny_run)) for each in arguments), code=code)
    assert message in err
    assert err.count("\n") == 1


def test_the_numbers_are_the_same_in_every_run(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (json.loads(output(capsys, tiny_run, "--json")[0]) for _ in range(2))
    assert first == second
