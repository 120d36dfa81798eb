"""What becomes of a process whose output cannot be written, and what never reaches a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from faults.processes import LONG, PATIENCE, SMALL, newest

from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint

pytestmark = pytest.mark.faults

TRAIN = " ".join(["train pets.txt", *SMALL, "--steps 30 --name new"])
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")


@pytest.fixture
def folder(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a text and a run; Python's output is buffered, as it is for users."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    shutil.copytree(tiny_run, tmp_path / "checkpoints" / "pets")
    shutil.copy(tiny_run.parent.parent / "pets.txt", tmp_path)
    return tmp_path


Shell = Callable[[str], tuple[int, str]]


@pytest.fixture
def shell(folder: Path) -> Shell:
    """Runs a line in which `charnet` stands for the command: its exit code, and what came to stderr."""

    def call(line: str) -> tuple[int, str]:
        (folder / "code").unlink(missing_ok=True)
        script = f'charnet() {{ "{sys.executable}" -m charnet "$@"; echo $? > code; }}\n{line}'
        done = subprocess.run(
            ["bash", "-c", script], cwd=folder, capture_output=True, check=False, timeout=PATIENCE, text=True
        )
        return int((folder / "code").read_text()), done.stderr

    return call


def assert_one_line_at_most(stderr: str) -> None:
    assert "Traceback" not in stderr
    assert "Exception" not in stderr
    assert stderr.count("charnet: ") <= 1


LOST = [
    ("charnet sample -q > /dev/full", 6),
    ("charnet inspect > /dev/full", 6),
    ("charnet sample -q -n 100000 | head -c 10", 141),
    ("charnet inspect >&-", 6),
    *((f"charnet {command} > /dev/full", 6) for command in ("sample -q -n 100000", "sample -q --json", "--version")),
    *((f"charnet {command} > /dev/full", 6) for command in ("inspect --json", "--help", "eval pets pets.txt")),
    *((f"charnet {command} > /dev/full 2>&1", 6) for command in ("inspect", "--help", "eval pets pets.txt --json")),
    *((f"charnet {command} | head -c 0", 141) for command in ("inspect", "inspect --json", "--help", "train --help")),
    *((f"charnet {command} >&-", 6) for command in ("sample -q", "--help", "--version", "eval pets pets.txt")),
    *((f"charnet {command} <&- >&- 2>&-", 6) for command in ("sample", "inspect", "--help", "--version")),
    *((f"charnet {command} 2> /dev/full", 0) for command in ("sample", "inspect")),
    *((f"charnet {command} 2>&-", 0) for command in ("sample", "inspect", "eval pets pets.txt")),
    *((f"charnet {command} <&-", 0) for command in ("sample", "inspect", "eval pets pets.txt")),
    ("charnet nonsense 2> /dev/full", 2),
    ("charnet sample nonsense 2> /dev/full", 4),
]


@pytest.mark.parametrize(
    ("line", "code"),
    [pytest.param(*case, marks=[FULL] if "full" in case[0] else []) for case in LOST if LONG or "eval" not in case[0]],
)
def test_a_lost_write_is_reported_by_the_exit_code_and_at_most_one_line(shell: Shell, line: str, code: int) -> None:
    found, said = shell(line)
    assert found == code, said
    assert_one_line_at_most(said)


LIKE_THESE = [
    pytest.param("--json > /dev/full 2>&1", 6, marks=FULL),
    ("--json >&-", 6),
    ("2>&-", 0),
    (">&-", 0),
    ("<&-", 0),
    ("<&- >&- 2>&-", 0),
]


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        ("--json | head -n 1", 141),
        pytest.param("--json > /dev/full", 6, marks=FULL),
        ("--json <&- >&- 2>&-", 6),
        pytest.param("2> /dev/full", 0, marks=FULL),
        ("2>&1 | head -c 10", 0),
        *(LIKE_THESE if LONG else ()),
    ],
)
def test_a_training_whose_output_is_lost_has_saved(shell: Shell, folder: Path, rest: str, code: int) -> None:
    """Where the metrics are lost it ends with that code; what it says on stderr is no part of its work."""
    found, said = shell(f"charnet {TRAIN} {rest}")
    assert found == code, said
    assert_one_line_at_most(said)
    new = folder / "checkpoints" / "new"
    assert 0 < newest(new).trainer_state.step <= 30
    if code == 0:
        assert newest(new).trainer_state.step == 30
        assert Checkpoint.load(new / runs.BEST).trainer_state.step > 0
    for line in (new / runs.METRICS).read_text().splitlines():
        json.loads(line)


# ------------------------------------------------------------------------------------------- terminals

CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]
DIRECTIONS = [chr(code) for code in (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))]
RISKY = CONTROLS + DIRECTIONS
ODD = "".join(RISKY) + "[bold]red[/bold] \x1b]0;title\x07\x1b[2J"
OUR_CODES = re.compile(r"\x1b\[(?:\?25[lh]|[0-9;]*m|[0-9]*[AGK]|2K|1A)")


def on_terminal(arguments: list[str], folder: Path, kind: str) -> tuple[int, str]:
    """Runs charnet on a pseudo-terminal: its exit code, and all that came out there."""
    master, slave = os.openpty()
    received: list[bytes] = []

    def collect() -> None:
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while piece := os.read(master, 65536):
                received.append(piece)

    reader = threading.Thread(target=collect)
    reader.start()
    try:
        command = [sys.executable, "-m", "charnet", *arguments]
        settings = os.environ | {"TERM": kind}
        with subprocess.Popen(command, cwd=folder, stdin=slave, stdout=slave, stderr=slave, env=settings) as process:
            os.close(slave)
            code = process.wait(PATIENCE)
    finally:
        reader.join(5)
        os.close(master)
    return code, b"".join(received).decode()


def assert_harmless(shown: str) -> None:
    """Nothing that commands a terminal came out but line ends, tabs and our own display's codes."""
    rest = OUR_CODES.sub("", shown).replace("\r\n", "\n").replace("\r", "")
    assert not (found := sorted(set(rest) & set(RISKY) - {"\n", "\t"})), [f"{ord(c):04X}" for c in found]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run on a text of characters that command terminals, and with a checkpoint that says such things
    of itself."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "odd.txt").write_text(ODD * 40, newline="")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "charnet",
            *["train", "odd.txt", "-q", "--steps", "20", "--threads", "1", "--window", "8", "--name", "odd"],
        ],
        cwd=folder,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0
    plain = Checkpoint.load(folder / "checkpoints/odd/last.safetensors")
    boastful = replace(
        plain, corpus=replace(plain.corpus, name=ODD), versions={ODD: ODD, "torch": ODD}, created="2026" + ODD
    )
    boastful.save(folder / "boastful.safetensors")
    return folder


NAME = ODD.replace("/", "").replace("\0", "")
LINES = [
    ["sample", "odd", "-n", "300", "--temp", "2", "-s", "1"],
    ["inspect", "boastful.safetensors"],
    ["inspect", "boastful.safetensors", "--all"],
    ["sample", "odd", "-n", "300", "--json"],
    ["sample", "odd", "-n", "20", "-p", ODD.replace("\0", "")],
    ["sample", "odd", "-n", "20", "--prompt-file", "odd.txt"],
    ["sample", "odd", "-n", "20", "--unknown", "skip", "-p", "äöü" + NAME],
    ["sample", "odd", "-p", "ä" + NAME],
    ["sample", NAME],
    ["sample", "--" + NAME],
    ["inspect", NAME],
    ["inspect", "odd", "--json"],
    ["inspect", "boastful.safetensors", "--json"],
    ["eval", "odd", "odd.txt"],
    ["eval", "odd", NAME],
    ["eval", "boastful.safetensors", "odd.txt", "--json"],
    ["train", NAME],
    ["train", "odd.txt", "--name", NAME],
    ["train", "--resume", NAME],
    ["train", "odd.txt", "--set", NAME],
    ["train", "odd.txt", "--cell", NAME],
    ["train", "odd.txt", "--config", NAME],
    ["train", "odd.txt", "--encoding", NAME],
    [NAME],
    ["train", "odd.txt", "--steps", "20", "--threads", "1", "--window", "8", "--out", NAME],
    ["train", "odd.txt", "--steps", "20", "--threads", "1", "--window", "8", "--init-from", "boastful.safetensors"],
]


DUMB_TOO = [line for line in LINES if line[0] == "train"][0 if LONG else -1 :]
CASES = [(line, kind) for line in LINES for kind in ["xterm-256color", *(["dumb"] if line in DUMB_TOO else [])]]


@pytest.mark.parametrize(("line", "kind"), CASES, ids=lambda value: ascii(value)[:60])
def test_no_character_of_a_text_a_name_or_a_checkpoint_commands_the_terminal(
    odd: Path, line: list[str], kind: str
) -> None:
    _, shown = on_terminal(line, odd, kind)
    assert shown
    assert "Traceback" not in shown
    assert_harmless(shown)
    if "boastful.safetensors" in line and line[0] == "inspect" and "--all" in line:
        assert "[bold]" in shown.replace("\r\n" + " " * 12, "")


def test_in_a_pipe_text_is_exact_to_the_byte(odd: Path) -> None:
    (odd / "prompt").write_text(ODD, newline="")
    command = [sys.executable, "-m", "charnet", "sample", "odd", "-q", "-n", "0", "--prompt-file", "prompt"]
    assert subprocess.run(command, cwd=odd, capture_output=True, check=True).stdout == ODD.encode()
