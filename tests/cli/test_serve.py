"""`charnet serve`: it starts without torch, and does not start where others could use it unasked."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from charnet.cli.app import run


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run(["serve", *map(str, arguments)]) == 7
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


def test_others_than_this_machine_need_a_key(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.1", "example.org", ""):
        assert "give --key-file with a key" in refused(capsys, tiny_run, "--host", host)
    (tmp_path / "short").write_text("abc")
    assert "at least 16 printable ASCII characters" in refused(capsys, tiny_run, "--key-file", tmp_path / "short")
    assert "cannot be read" in refused(capsys, tiny_run, "--key-file", tmp_path / "missing")


def test_a_port_that_is_taken_is_named(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port}: cannot listen here" in refused(capsys, tiny_run, "--port", port)


def test_it_starts_and_answers_without_torch(tiny_run: Path) -> None:
    code = (
        "import sys, threading\n"
        "from charnet.cli.app import run\n"
        "from charnet.cli import console\n"
        "note, seen = console.note, []\n"
        "def end():\n"
        "    import os, signal\n"
        "    print('torch' in sys.modules, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "def watch(line, **more):\n"
        "    note(line, **more)\n"
        "    threading.Timer(0.3, end).start() if 'serving' in line else None\n"
        "console.note = watch\n"
        f"sys.exit(run(['serve', {str(tiny_run)!r}, '--port', '0']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr
    assert done.returncode == 143
    assert "a page to write in: http://127.0.0.1:" in done.stderr
