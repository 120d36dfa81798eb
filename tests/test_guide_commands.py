"""Every command and every piece of Python in the pages of the guide and the READMEs runs, in the order of its page.

They run in a folder with the files that the pages name. Long trainings are made short (`shortened`). What cannot run in
a test stands in NOT_RUN with the reason. The commands of the lessons run in test_lessons.py.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import guide_folder
import pytest
from conftest import accept_signals
from markdown_it import MarkdownIt

import charnet
from charnet import bench
from charnet.cli.app import run
from charnet.lesson import explosion, plan, teach
from charnet.training import throughput

ROOT = Path(__file__).parent.parent
GUIDE = sorted((Path(charnet.__file__).parent / "guide").glob("*.md"))
PAGES = {page.name.removesuffix(".md"): page for page in [ROOT / "README.md", ROOT / "README.zh.md", *GUIDE]}
FIRST_WORDS = ("charnet", "torchrun", "curl", "uv", "pip", "pipx", "python", "python3", "import", "await", "source")
NOT_RUN = {  # the beginning of a command or a piece of code, and why it does not run here
    "python3 -m venv .venv": "makes an environment; CI does it with this very line",
    ".venv/bin/pip install": "installs from the network; CI does it with this very line",
    ".venv/bin/python -m pytest": "these tests themselves; CI runs this very line",
    "pip install": "installs from the network",
    "uv tool install": "installs for the user",
    "pipx install": "installs for the user",
    "source .venv/bin/activate": "changes a shell",
    "torchrun --nnodes 1:4": "several hosts, in tests/training/test_hosts.py",
    "torchrun --nnodes 2": "several hosts, in tests/training/test_hosts.py",
    "#!/bin/bash\n#SBATCH": "needs SLURM; its syntax is checked in test_guide.py",
    "apiVersion: v1": "needs Kubernetes; its syntax is checked in test_guide.py",
    "await charnet.write(": "runs in a browser, in tests/exchange/test_page_in_browser.py",
    "import safetensors.torch, torch": "needs a model of its sizes, in tests/exchange/test_plain_export.py",
    "import optuna": "runs with a stand-in for optuna, in test_guide.py",
}
SPOKEN_OF = {  # a command in a sentence, and why it does not run here; bare names of commands are not run either
    "charnet eval --show TEXT": "needs a terminal, in tests/cli/test_showing.py",
    "charnet replay receipt.json checkpoints/book": "a receipt of a browser, in tests/exchange/test_page_in_browser.py",
    "charnet sample --quantize int8 --receipt": "has no file for the receipt",
    "charnet sweep --resume": "has no folder; with one it runs",
    "charnet train --for 5m": "stands for the settings that it chooses",
    "charnet train --resume": "has no run; with one it runs",
    "charnet train --resume checkpoints/corpus": "needs an interrupted run, in tests/training/test_resume.py",
    "charnet train --resume trial-3": "needs an interrupted run, in test_guide.py",
    "charnet train tiny-shakespeare": "fetches a text, in tests/data/test_datasets.py from a local server",
    "charnet train names --lines": "fetches a text, in tests/data/test_datasets.py from a local server",
}
SPOKEN = r"(?:\w+ [\w.]+ \| )?charnet \w+ .|(?:uv tool|pipx|pip) install .|source ."
NOT_OF_SAMPLE = {  # an option in the page about writing, and why `sample` does not run with it
    "--match ... --exact": "has no pattern; tests/generation/test_conditional.py",
    "--encoding-errors replace": "an option of training",
}
BESIDE = {"--best-by": ["--best-of", "2"], "--new": ["people"]}  # options that need another one, or a model of lines
PLACEHOLDERS = {"RUN": "corpus", "FILE": "story.txt", "TEXT": "story.txt", "A": "corpus", "B": "book", "C": "fables"}
PLACEHOLDERS |= {"NAME": "fables", "TIME": "2s"}
LACKED = {"--onnx": "onnx", "import onnxruntime": "onnxruntime", ".keras": "h5py", ".h5 ": "h5py"}  # extras
TINY = guide_folder.TINY
SHORT_STEPS = {"20000": "70", "10000": "30", "2000": "30"}
GIVEN: dict[str, tuple[str, ...]] = {"promises": ("old.txt", "storm.txt", "checkpoints")}  # a message names the others


@dataclass
class Step:
    """A command or a piece of Python, and the lines that stand behind it in its block. It may stand in a sentence."""

    text: str
    is_python: bool = False
    is_spoken: bool = False
    behind: list[str] = field(default_factory=list)


def steps_of(page: Path) -> Iterator[Step]:
    """Yields everything in a page that can be run, in its order."""
    for token in MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8")):
        if token.type == "fence" and token.info == "python":
            yield Step(token.content, is_python=True)
        elif token.type == "fence":
            yield Step(token.content)
        elif token.type == "code_block":
            yield from commands_of(token.content)
        for child in token.children or []:
            if child.type == "code_inline" and re.match(SPOKEN, child.content):
                yield Step(child.content, is_spoken=True)


def commands_of(block: str) -> Iterator[Step]:
    """Yields the commands of a block: lines after "$ ", or if the first line begins with a program all that do."""
    lines = block.replace("\\\n", " ").splitlines()
    prompted = any(line.startswith("$ ") for line in lines)
    if not prompted and not begins_with_a_program(lines[0]):
        return
    steps: list[Step] = []
    for line in lines:
        if line.startswith("$ ") or (not prompted and begins_with_a_program(line)):
            steps.append(Step(line.removeprefix("$ ")))
        elif steps:
            steps[-1].behind.append(line)
    yield from steps


def begins_with_a_program(line: str) -> bool:
    return line.removeprefix(".venv/bin/").split(" ")[0] in FIRST_WORDS


def parts_of(step: Step) -> Iterator[Step]:
    """Yields the commands that are joined by && one by one, without comments."""
    if step.is_python or "\n" in step.text:
        yield step
        return
    for part in re.sub(r"\s+# .*", "", step.text).split(" && "):
        yield replace(step, text=part)


def is_left_out(step: Step) -> bool:
    return (
        (step.is_spoken and step.text in SPOKEN_OF)
        or any(step.text.startswith(beginning) for beginning in NOT_RUN)
        or any(part in f"{step.text} " and not importlib.util.find_spec(package) for part, package in LACKED.items())
    )


def shortened(words: list[str]) -> list[str]:
    """The same command for some seconds: a small network and few steps in place of a time or of many steps."""
    if words[0] not in ("train", "sweep", "lesson") or "--help" in words or words[:2] == ["sweep", "--resume"]:
        return words
    at = words.index("--for") if "--for" in words else None
    rest = words if at is None else [*words[:at], *words[at + 2 :]]
    pairs = zip(["", *rest], rest, strict=False)
    rest = [SHORT_STEPS.get(word, word) if before == "--steps" else word for before, word in pairs]
    if words[0] == "lesson":
        return [*rest, "--steps", "2", "--threads", "1"]
    if words[0] == "sweep":
        small = (
            "model.hidden_size=4",
            "model.ngram=0",
            "training.threads=1",
            "training.batch_size=8",
            "training.window=16",
        )
        return [*rest, "--for", "12s", *(f"--set={name}" for name in small)]
    new = [] if "--resume" in rest or "--init-from" in rest else TINY
    return [*rest, *new, *([] if "--steps" in rest or "--resume" in rest else ["--steps", "20"])]


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the pages name."""
    folder = tmp_path_factory.mktemp("guide")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("os.fsync", lambda _: None)
        guide_folder.fill(folder)
    return folder


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "LOGLEVEL": "CRITICAL"}


def call(command: list[str], **more: Any) -> None:
    """Runs a program of its own."""
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=240, **more)
    assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-3000:])


@contextlib.contextmanager
def typed(lines: list[str]) -> Iterator[None]:
    """Types lines into a conversation."""
    with pytest.MonkeyPatch.context() as patch:
        stream = io.TextIOWrapper(io.BytesIO("".join(f"{line}\n" for line in lines).encode()), encoding="utf-8")
        patch.setattr(sys, "stdin", stream)
        yield


class Session:
    """Runs the steps of a page one after the other."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys, self.address, self.steps = capsys, "", guide_folder.STEPS
        self.server: subprocess.Popen[str] | None = None
        self.names: dict[str, Any] = {"char_to_id": {each: n for n, each in enumerate(guide_folder.ALPHABET)}}

    def do(self, step: Step) -> None:
        if step.is_python:
            self.python(step.text)
            return
        before, _, command = step.text.rpartition(" | ")
        program, *words = [PLACEHOLDERS.get(word, word) for word in shlex.split(command.removeprefix(".venv/bin/"))]
        if before:
            piped = shlex.join([sys.executable, "-m", "charnet", *shortened(words)])
            call(["bash", "-o", "pipefail", "-c", f"{before} | {piped}"])
        elif program == "curl":
            self.ask(words)
        elif program == "torchrun":
            at = words.index("charnet") + 1
            call([str(Path(sys.executable).with_name("torchrun")), *words[:at], *shortened(words[at:])])
        elif words[0] == "serve":
            self.serve(words)
        elif "--processes" in words and "--dry-run" not in words:
            call([sys.executable, "-m", "charnet", *shortened(words)])
        else:
            assert program == "charnet", step.text
            self.charnet(words, step)

    def charnet(self, words: list[str], step: Step) -> None:
        """Runs a command in this process. Where the page shows a message of charnet it is this one."""
        if words[0] == "decompress":
            Path(words[1].removesuffix(".cnz")).unlink()  # as on another machine
        if words[:2] == ["replay", "story.json"]:
            assert run(["sample", "-n", "50", "--receipt", "story.json"]) == 0
        if words[0] == "export" and step.is_spoken:
            words = [*words, "-o", f"again{words[-1]}"]
        if "--remove" in words:
            words = [*words, "--yes"]
        if words[0] == "train" and "--resume" in words:  # each a little further than the one before
            self.steps += 10
            words = [*words, "--steps", str(self.steps)]
        if "--map" in words:
            Path("model.safetensors").write_bytes(guide_folder.of_pytorch("a", "b"))
        message = next((line for line in step.behind if line.startswith("charnet: ")), None)
        with typed([line.removeprefix("> ") for line in step.behind if line.startswith("> ")] or ["Once", ""]):
            code = run(shortened(words))
        shown = self.capsys.readouterr()
        assert (code == 0) == (message is None), (words, code, shown.err)
        assert message is None or shown.err.splitlines()[-1] == message

    def python(self, code: str) -> None:
        """Runs Python, with small networks in place of large ones."""
        small = "steps=12, hidden_size=8, batch_size=4, window=9, threads=1"
        for long in ("steps=2000, hidden_size=256", "steps=2000", 'seconds="5m"'):
            code = code.replace(long, small, 1) if small not in code else code
        exec(compile(code.replace("count=100", "count=3"), "page", "exec"), self.names)
        self.capsys.readouterr()

    def serve(self, words: list[str]) -> None:
        command = [sys.executable, "-m", "charnet", *words, "--port", "0"]
        self.server = subprocess.Popen(
            command, env=environment(), stderr=subprocess.PIPE, text=True, preexec_fn=accept_signals
        )
        for line in self.server.stderr:
            if found := re.search(r"http://(127\.0\.0\.1:\d+)/", line):
                self.address = found[1]
                return
        raise AssertionError("the server did not start")

    def ask(self, words: list[str]) -> None:
        assert self.address, "the page asks before it serves"
        if shutil.which("curl"):
            asked = [word.replace("127.0.0.1:8765", self.address) for word in words]
            done = subprocess.run(["curl", "-sS", "-f", *asked], capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
            assert done.stdout.rstrip().endswith("data: [DONE]")

    def end(self) -> None:
        if self.server:
            self.server.send_signal(signal.SIGINT)
            assert self.server.wait(30) in (0, 130)
            self.server.stderr.close()


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lessons and benchmarks of small networks: they have no options for them."""
    for name in ("SECONDS_PER_REPEAT", "PRODUCT"):
        monkeypatch.setattr(bench, name, {"SECONDS_PER_REPEAT": 0.002, "PRODUCT": 16}[name])
    monkeypatch.setattr(throughput, "SPINNING", 0)
    scenarios = (bench.Scenario("lstm", 2, 8, bench.BOTH, compare_torch=True),)
    monkeypatch.setattr(bench, "sample_benchmark", partial(bench.sample_benchmark, scenarios))
    monkeypatch.setattr(bench, "controls_benchmark", partial(bench.controls_benchmark, 8, 300))
    monkeypatch.setattr(bench, "train_benchmark", partial(bench.train_benchmark, (("lstm", "tanh", 8),), 2, 4))
    monkeypatch.setattr(plan, "UNITS", 12)
    monkeypatch.setattr(plan, "OTHER_UNITS", (4, 16))
    monkeypatch.setitem(plan.BASE, "model.hidden_size", 12)
    monkeypatch.setattr(teach, "PLACES", 8)
    monkeypatch.setattr(explosion, "PLACES", 8)


@pytest.mark.slow
@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_a_page_runs(
    name: str, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for each in GIVEN.get(name, [path.name for path in filled.iterdir()]):
        guide_folder.copy(filled / each, tmp_path / each)
    monkeypatch.chdir(tmp_path)
    session = Session(capsys)
    try:
        for step in steps_of(PAGES[name]):
            for part in parts_of(step):
                if not is_left_out(part):
                    session.do(part)
    finally:
        session.end()


@pytest.mark.slow
def test_every_option_with_a_value_in_the_page_about_writing_does_what_sample_does(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for each in filled.iterdir():
        guide_folder.copy(each, tmp_path / each.name)
    monkeypatch.chdir(tmp_path)
    tokens = MarkdownIt().enable("table").parse(PAGES["writing"].read_text(encoding="utf-8"))
    codes = {child.content for token in tokens for child in token.children or [] if child.type == "code_inline"}
    options = {code for code in codes if re.match("--[a-z].* ", code)} - set(NOT_OF_SAMPLE)
    assert len(options) > 30
    for option in sorted(options):
        words = [{"FILE": "prompts.txt", "1000": "3"}.get(word, word) for word in shlex.split(option)]
        with typed(["Once "]):
            code = run(["sample", *words, *BESIDE.get(words[0], []), *BESIDE.get(words[-1], [])])
        assert code == 0, (option, capsys.readouterr().err)
    assert set(NOT_OF_SAMPLE) <= codes


def test_what_does_not_run_is_still_in_a_page() -> None:
    every = [part.text for page in PAGES.values() for step in steps_of(page) for part in parts_of(step)]
    for beginning in NOT_RUN:
        assert any(text.startswith(beginning) for text in every), beginning
    assert set(every) >= set(SPOKEN_OF)


def test_every_line_of_a_block_that_begins_with_a_program_is_run() -> None:
    command = re.compile(r"^    (?:\$ )?(?:\.venv/bin/)?((?:charnet|torchrun|curl) [a-z-].*)$", re.MULTILINE)
    for name, page in PAGES.items():
        found = "\n".join(step.text for step in steps_of(page))
        for line in set(command.findall(page.read_text(encoding="utf-8"))) - {"charnet train --window 64."}:  # advice
            assert line.rstrip("\\").strip() in found, (name, line)
