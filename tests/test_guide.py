"""What the pages of the guide say can be done as they say."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml
from conftest import sentences

import charnet
from charnet.cli.app import run
from charnet.storage import run_list

PAGES = sorted((Path(charnet.__file__).parent / "guide").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_every_option_in_a_page_exists(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = re.findall(r"(?:^    |`)(charnet [^`\n]*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    for line in lines:
        words = line.split()[1:]
        assert run([words[0], "--help"]) == 0, line
        shown = capsys.readouterr().out
        for option in (word.partition("=")[0] for word in words if re.match("--?[a-z]", word)):
            assert re.search(rf"(^|[ ,]){re.escape(option)}\b", shown, re.MULTILINE), line


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


def test_the_scripts_for_clusters_are_valid() -> None:
    page = next(page for page in PAGES if page.stem == "more-than-one-machine").read_text(encoding="utf-8")
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
