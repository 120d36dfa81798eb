"""What the pages of the guide say can be done as they say."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml
from conftest import sentences
from rich.cells import cell_len

import charnet
from charnet.cli import guide, markdown
from charnet.cli.app import run
from charnet.config import SamplingOptions
from charnet.storage import run_list

PAGES = sorted((Path(charnet.__file__).parent / "guide").glob("*.md"))


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["guide", *arguments]) == 0
    return capsys.readouterr().out


def test_the_guide_lists_every_page_with_its_title(capsys: pytest.CaptureFixture[str]) -> None:
    listed = shown(capsys)
    assert listed == shown(capsys, "--list")
    for page in PAGES:
        title = page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        assert re.search(rf"^  {re.escape(page.stem)} +{re.escape(title)}$", listed, re.MULTILINE)


def test_the_lessons_are_listed_by_themselves_and_the_list_says_how_to_read_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for word in ("lesson", "lessons"):
        listed = shown(capsys, word, "--language", "zh")
        names = [line.split()[0] for line in listed.splitlines()[1:-2]]
        assert names == sorted(page.name.removesuffix(".zh.md") for page in LESSONS if page.name.endswith(".zh.md"))
        assert "charnet guide NAME --language zh" in listed


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_page_goes_as_it_is_into_a_pipe_and_laid_out_on_a_terminal(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = page.read_text(encoding="utf-8")
    assert shown(capsys, page.stem) == text
    for columns in (40, 100):
        shown_as = re.sub("\x1b\\[[0-9;]*m", "", markdown.laid_out(text, columns))
        assert max(map(cell_len, shown_as.splitlines())) <= columns
        assert "```" not in shown_as
        for word in re.findall(r"^## (\S+)", text, re.MULTILINE):
            assert word.replace("`", "") in shown_as


def test_a_page_is_found_by_the_beginning_of_its_name_and_a_line_by_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "sett").startswith("# Settings\n")
    assert shown(capsys, "settings.md").startswith("# Settings\n")
    lines = shown(capsys, "--search", "HIDDEN_size").splitlines()
    assert any(line.startswith("settings: | `model.hidden_size`") for line in lines)
    assert all("hidden_size" in line.lower() for line in lines)
    assert all(line.startswith("settings: ") for line in shown(capsys, "settings", "-s", "the").splitlines())


LESSONS = sorted((Path(charnet.__file__).parent / "guide" / "lessons").glob("*.md"))
EVERY = [*PAGES, *LESSONS]


def plain(text: str, columns: int) -> list[str]:
    """The lines of a page on a terminal of that width, without its colors."""
    return re.sub("\x1b\\[[0-9;]*m", "", markdown.laid_out(text, columns)).splitlines()


@pytest.mark.parametrize("page", EVERY, ids=[page.name.removesuffix(".md") for page in EVERY])
def test_no_line_begins_with_a_comma_or_ends_with_an_opening_bracket(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for columns, line in [(width, line) for width in (24, 40, 60, 80) for line in plain(text, width)]:
        assert cell_len(line) <= columns, line
        assert not re.match(r"\s*[，。、！？；：）」』》]", line), line
        assert not re.search(r"[（「『《]$", line), line
        assert markdown.BREAK not in line


def test_a_line_of_chinese_is_filled_up_to_where_it_may_end() -> None:
    assert plain("他说：（好的）。再见，再见。", 10) == ["他说：（好", "的）。再", "见，再见。"]
    assert plain("甲乙丙丁戊，己。", 10) == ["甲乙丙丁", "戊，己。"]
    assert plain("看[温度](temperature.zh.md)。", 40) == ["看温度 (temperature.zh)。"]
    assert plain("用 `train`，再用 `sample`。", 12) == ["用 train，再", "用 sample。"]


def test_a_table_too_wide_becomes_lines_and_any_other_stays_a_table() -> None:
    rows = ("| units | loss, in nats | |", "|---|---|---|", f"| 16 | 3.1 | `{'a-long-word-' * 3}` |", "| many | | x |")
    table = "".join(f"{row}\n" for row in rows)
    assert ["units", "loss,", "in", "nats"] in [line.split() for line in plain(table, 80)]
    narrow = plain(table, 40)[1:]
    assert narrow == ["units: 16", "  loss, in nats: 3.1", "  a-long-word-a-long-word-a-long-word-", "", "many", "  x"]
    two = "| to | use |\n|---|---|\n| keep to the likelier characters | `--repetition-penalty 1.2` |\n"
    assert plain(two, 40)[1:] == ["keep to the likelier characters", "  --repetition-penalty 1.2"]
    assert any("units" in line for line in plain("| units | loss |\n|---|---|\n", 40))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("dropout",), 'lines with this word: charnet guide --search "dropout"'),
        (("梯度", "--language", "zh"), 'lines with this word: charnet guide --search "梯度" --language zh'),
        (("l",), "these begin so: layers, long-sequences, lstm-and-gru"),
        (("setings",), 'did you mean "settings"?'),
        (("zzz",), "charnet guide --list names the pages"),
        (("settings", "--list"), "leave out the name"),
        (("settings", "--search", "torchrun"), "the page does not hold it"),
        (("--search", "no such words"), "no page holds it"),
        (("--language", "fr"), "expected one of en, zh"),
    ],
)
def test_what_the_guide_does_not_have_is_told(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    assert run(["guide", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_pager_hears_ctrl_c_and_the_guide_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\nkill -INT $PPID\ncat >/dev/null\n")
    pager.chmod(0o755)
    monkeypatch.setenv("PAGER", str(pager))
    before = signal.getsignal(signal.SIGINT)
    assert guide._paged("a page")
    assert signal.getsignal(signal.SIGINT) is before


def test_the_page_of_settings_is_that_of_the_program() -> None:
    spec = importlib.util.spec_from_file_location("settings_page", Path(__file__).parent / "bench" / "settings_page.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run python tests/bench/settings_page.py"


def test_the_page_of_settings_names_the_arguments_that_a_model_writes_by() -> None:
    table = (PAGES[0].parent / "settings.md").read_text(encoding="utf-8").partition("## Writing")[2]
    assert re.findall(r"^\| `(\w+)` \| `-", table, re.MULTILINE) == [each.name for each in fields(SamplingOptions)]


class TrialPruned(Exception):  # noqa: N818 - optuna's name
    pass


class Trial:
    """As much of an optuna trial as the page needs; the second is pruned where it first may be."""

    def __init__(self, number: int) -> None:
        self.number, self.reports = number, list[tuple[float, int]]()

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        assert name in ("learning_rate", "dropout")
        assert log == (name == "learning_rate")
        return low + (high - low) / (2 + self.number)

    def report(self, value: float, step: int) -> None:
        self.reports.append((value, step))

    def should_prune(self) -> bool:
        return self.number == 1


def standing_in() -> ModuleType:
    """A module in the place of optuna, where that is not installed."""
    module: Any = ModuleType("optuna")

    class Study:
        def optimize(self, objective: Callable[[Trial], float], *, n_trials: int) -> None:
            assert n_trials == 2
            for number in range(n_trials):
                trial = Trial(number)
                try:
                    self.best_value, self.best_trial = objective(trial), trial
                except TrialPruned:
                    assert len(trial.reports) == 1

        best_params = ()

    module.TrialPruned, module.create_study = TrialPruned, lambda **_: Study()
    module.pruners = SimpleNamespace(SuccessiveHalvingPruner=lambda **_: None)
    return module


@pytest.mark.parametrize("which", ["stand-in", "installed"])
def test_the_recipe_for_optuna_trains_prunes_and_leaves_runs_that_can_be_resumed(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if which == "stand-in":
        monkeypatch.setitem(sys.modules, "optuna", standing_in())
    elif not importlib.util.find_spec("optuna"):
        pytest.skip("optuna is not installed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(sentences(300))
    page = next(page for page in PAGES if page.stem == "which-settings").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    small = "hidden_size=8, batch_size=4, window=8, threads=1, on_event=on_event"
    code = recipe.replace("STEPS = 2000", "STEPS = 20").replace("n_trials=20", "n_trials=2")
    code = code.replace("on_event=on_event", small)
    exec(compile(code, "which-settings.md", "exec"), {})
    assert capsys.readouterr().out
    found = {each.name: each.state for each in run_list.summaries(tmp_path / "checkpoints")}
    assert set(found) == {"trial-0", "trial-1"}
    assert found["trial-0"] == run_list.DONE
    for name, state in found.items():
        if state == run_list.INTERRUPTED:
            assert run(["train", "--resume", name, "--quiet"]) == 0
    assert which == "installed" or found["trial-1"] == run_list.INTERRUPTED


def test_the_examples_of_the_page_about_python_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "story.txt").write_text("Once upon a time, and once again. And then There was a cat.\n" * 40)
    page = next(page for page in PAGES if page.stem == "python").read_text(encoding="utf-8")
    small = "steps=12, hidden_size=8, batch_size=4, window=9, threads=1, eval_every=6"
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    for long, short in {
        'seconds="5m"': small, "steps=2000, hidden_size=256": small, "count=100": "count=3", "length=200": "length=9",
    }.items():  # fmt: skip
        assert long in code
        code = code.replace(long, short)
    names: dict[str, Any] = {}
    exec(compile(code, "python.md", "exec"), names)
    shown = capsys.readouterr()
    assert f'Run("checkpoints{os.sep}large": lstm 1x8' in shown.out
    assert "step 12 of 12" in shown.err
    for promised in re.findall(r"print\(error\)  # (.*)", page):
        assert promised in shown.out.splitlines()
    assert "b'Once upon a time'" in shown.out
    assert names["after"].shape == (8,)
    assert names["c"].shape == (len("Once upon a time"), 8)


def test_the_page_about_python_shows_what_the_readme_shows() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    page = next(page for page in PAGES if page.stem == "python").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    for method in set(re.findall(r"model\.(\w+)\(", shown)):
        assert f"model.{method}(" in page


NOTEBOOK = Path(charnet.__file__).parent / "guide" / "first-hour.ipynb"


def test_the_notebook_has_small_outputs_without_paths_times_and_errors() -> None:
    raw = NOTEBOOK.read_text(encoding="utf-8")
    assert len(raw) < 200_000
    for path in (str(Path.home()), tempfile.gettempdir(), os.sep + "work", "/usr/", str(Path(charnet.__file__).parent)):
        assert path not in raw
    cells = json.loads(raw)["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert {output["output_type"] for output in outputs} == {"display_data", "execute_result", "stream"}
    assert not any(cell["metadata"] for cell in cells)
    assert all(cell["outputs"] for cell in cells if cell["cell_type"] == "code")
    pictures = [kind for output in outputs for kind in output.get("data", {})]
    assert "image/svg+xml" in pictures


@pytest.mark.slow
def test_the_notebook_runs_from_its_first_cell_to_its_last(tmp_path: Path) -> None:
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    script, written = Path(__file__).parent / "bench" / "first_hour.py", tmp_path / "run.ipynb"
    command = [sys.executable, str(script), str(written)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=580)
    assert done.returncode == 0, done.stderr[-2000:]
    committed, new = (json.loads(path.read_text(encoding="utf-8"))["cells"] for path in (NOTEBOOK, written))
    assert [cell["source"] for cell in new] == [cell["source"] for cell in committed]
    for before, after in zip(committed, new, strict=True):
        kinds = [[output["output_type"] for output in cell.get("outputs", [])] for cell in (before, after)]
        assert set(kinds[0]) == set(kinds[1])


def test_the_scripts_for_clusters_are_valid() -> None:
    page = next(page for page in PAGES if page.stem == "machines").read_text(encoding="utf-8")
    (script,) = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    if bash := shutil.which("bash"):
        assert subprocess.run([bash, "-n"], input=script, text=True, capture_output=True, check=True).stderr == ""
    (manifest,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    service, job = yaml.safe_load_all(manifest)
    assert service["spec"]["selector"]["job-name"] == job["metadata"]["name"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert f"--nnodes={job['spec']['completions']}" in container["args"]
    endpoint = f"{job['metadata']['name']}-0.{service['metadata']['name']}:29400"
    assert f"--rdzv-endpoint={endpoint}" in container["args"]
