"""Hostile files, made to take memory or time, to hang, or to run code: each is refused, by each command, in a line.

They are large or say that they are. Those that are wrong in small things are in `tests/storage`.
"""

from __future__ import annotations

import json
import os
import pickle
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from checkpoint_files import (
    Forge,
    Refusals,
    document_of,
    entry,
    header_text,
    of_size,
    packed,
    parts,
    put,
    signed_text,
    sparse,
    with_text,
)
from files import at_most

from charnet.cli.app import run
from charnet.errors import CheckpointError, StorageError
from charnet.storage import tensorfile
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.strict_json import MOST_CHARACTERS

MOST_MEMORY = 64 << 20  # bytes beyond those of a process that has read a checkpoint
LARGEST = tensorfile.LARGEST_HEADER


@pytest.fixture
def refusals(tmp_path: Path) -> Refusals:
    return Refusals(tmp_path / "c.safetensors")


# -------------------------------------------------------------------------------------- a right checksum over it all


def length(number: int) -> Forge:
    return lambda whole: struct.pack("<Q", number) + whole[8:]


def header(text: bytes) -> Forge:
    """A file of any header, with 8 bytes of data."""
    return lambda _: struct.pack("<Q", len(text)) + text + bytes(8)


def in_header(change: Callable[[dict[str, Any], int], Any]) -> Forge:
    """A changed header, given with the length of the data."""

    def forge(whole: bytes) -> bytes:
        table, data = parts(whole)
        change(table, len(data))
        return signed_text(header_text(table), data)

    return forge


def tensor(name: str = "state.x", **changes: Any) -> Forge:
    """One tensor more, empty and at the end unless it is changed."""

    def change(table: dict[str, Any], end: int) -> None:
        table[name] = entry(shape=[0], offsets=[end, end]) | changes

    return in_header(change)


def place(**changes: Any) -> Forge:
    """The first tensor with a changed description."""

    def change(table: dict[str, Any], _: int) -> None:
        table["model.embedding.weight"] |= changes

    return in_header(change)


def part(keys: str, value: Any) -> Forge:
    """A part of the document with another value."""

    def forge(whole: bytes) -> bytes:
        document = document_of(whole)
        put(document, keys, value)
        return with_text(whole, json.dumps(document, ensure_ascii=False))

    return forge


def literal(keys: str, text: str) -> Forge:
    """A part of the document with another value, as it stands in the text."""

    def forge(whole: bytes) -> bytes:
        document = document_of(whole)
        put(document, keys, "HERE")
        return with_text(whole, json.dumps(document).replace('"HERE"', text))

    return forge


def document(text: str) -> Forge:
    return lambda whole: with_text(whole, text)


def of_length(text: str, characters: int = MOST_CHARACTERS - 10_000) -> str:
    return text.ljust(characters, "x")


def many_tensors(count: int) -> Forge:
    def change(table: dict[str, Any], end: int) -> None:
        table |= {f"t{i}": entry(shape=[0], offsets=[end, end]) for i in range(count)}

    return in_header(change)


ALL_OF_UNICODE = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000))))
FACE = "\U0001f600"  # one of these makes a text take four bytes for each of its characters

HOSTILE: dict[str, Forge] = {
    "length of the largest": length(LARGEST),
    "length of 4 GB": length(2**32),
    "length 2^63": length(2**63),
    "length 2^64-1": length(2**64 - 1),
    "deep lists": header(b'{"a":' + b"[" * 900 + b"]" * 900 + b"}"),
    "deeper lists": header(b"[" * 150_000),
    "deep tables": header(b'{"a":' * 990 + b"1" + b"}" * 990),
    "deeper tables": header(b'{"a":' * 100_000),
    "closed deep tables": header(b'{"a":' * 60_000 + b"1" + b"}" * 60_000),
    "five million spaces": header(b" " * (LARGEST - 2) + b"{}"),
    "five million spaces at its end": header(b"{}" + b" " * (LARGEST - 2)),
    "one string": header(b'{"a":"' + b"x" * (LARGEST - 8) + b'"}'),
    "one string of wide characters": header(b'{"a":"' + of_length(FACE, LARGEST - 11).encode() + b'"}'),
    "one name of wide characters": header(b'{"' + of_length(FACE).encode() + b'":1}'),
    "one string of escapes": header(b'{"a":"' + b"\\u1234" * 330_000 + b'"}'),
    "one string of quotes": header(b'{"a":"' + b'\\"' * 990_000 + b'"}'),
    "many wide strings": header(json.dumps({FACE * i: FACE * i for i in range(900)}, ensure_ascii=False).encode()),
    "a string without an end": header(b'{"a":"' + b"x" * 1_999_990),
    "as many values as are allowed": header(b"[" + b"1," * 99_000 + b"1]"),
    "as many fractions as are allowed": header(b"[" + b"1.5," * 99_000 + b"1]"),
    "as many tables as are allowed": header(b"[" + b'{"a":1},' * 49_000 + b"1]"),
    "as many names as are allowed": header(b"{" + b",".join(b'"%d":1' % i for i in range(99_000)) + b"}"),
    "more values than are allowed": header(b"[" + b"1," * 2_000_000 + b"1]"),
    "a number of 10^4 digits": header(b'{"a":' + b"9" * 10_000 + b"}"),
    "thousands of numbers of 4000 digits": header(b"[" + b",".join([b"9" * 4000] * 1300) + b"]"),
    "a fraction of two million digits": header(b'{"a":0.' + b"9" * 1_999_990 + b"}"),
    "an exponent of a million digits": header(b'{"a":1e' + b"9" * 10**6 + b"}"),
    "a shape that overflows": place(shape=[2**33, 2**31]),
    "a shape that overflows to the right size": place(shape=[2**62 + 6, 4]),
    "a large shape behind a side of nothing": tensor("state.x", shape=[0, 999, 999, 999]),
    "a side of 190 digits": place(shape=[10**190, 0]),
    "offsets beyond the file": place(data_offsets=[2**40, 2**40 + 48]),
    "a type of 10^6 characters": place(dtype="F" * 10**6),
    "10^5 tensors": many_tensors(100_000),
    "a name of 10^6 characters": tensor("a" * 10**6),
    "a name of 10^6 dots": tensor("a." * 10**6 + "!"),
    "a name of two million wide characters": tensor(of_length(FACE)),
    "a deep document": document('{"a":' * 900 + "1" + "}" * 900),
    "a deeper document": document("[" * 150_000),
    "a document of many tables": document("[" + '{"a":1},' * 45_000 + "1]"),
    "a format of 10^4 digits": literal("format", "9" * 10_000),
    "an alphabet of one letter two million times": part("alphabet", of_length("")),
    "an alphabet of one wide letter a million times": part("alphabet", FACE * 10**6),
    "an alphabet of 90 000 bytes": part("alphabet", [7] * 90_000),
    "an alphabet of all of Unicode": part("alphabet", ALL_OF_UNICODE),
    "an alphabet of all of Unicode and its last once more": part("alphabet", ALL_OF_UNICODE + ALL_OF_UNICODE[-1]),
    "a cell of two million characters": part("config/model/cell", of_length("")),
    "a cell of wide characters": part("config/model/cell", of_length(FACE)),
    "a size of two million characters": part("config/model/hidden_size", of_length(FACE)),
    "a size of deep lists": literal("config/model/hidden_size", "[" * 900 + "]" * 900),
    "a size of many tables": literal("config/model/hidden_size", "[" + '{"a":1},' * 45_000 + "1]"),
    "a size out of range": part("config/model/hidden_size", 2**31),
    "a section of two million characters": part(f"config/{of_length('')}", {}),
    "a setting of two million characters": part(f"config/model/{of_length(FACE)}", 1),
    "paths of numbers": part("config/data/paths", ["a"] * 90_000 + [1]),
    "a key of two million characters in progress": part(f"progress/{of_length(FACE)}", 1),
    "a corpus' name of two million characters": part("corpus/name", of_length(FACE)),
    "a position of 90 000 numbers": part("progress/position", [1] * 90_000),
    "history of lists": part("history", [[["step", 1]]] * 20_000),
    "history whose last line is none": part("history", [{"step": 1}] * 40_000 + [3]),
    "history of 10^4 digits": literal("history/0/step", "9" * 10_000),
    "a version of two million characters": part("versions/torch", of_length(FACE)),
    "a program of two million characters": part(f"versions/{of_length(FACE)}", "1"),
    "a date of two million characters": part("created", of_length(FACE)),
}
hostile = pytest.mark.parametrize("kind", HOSTILE)


@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind != "10^5 tensors"])  # a second to build
def test_a_hostile_file_is_refused_in_a_line(kind: str, whole: bytes, refusals: Refusals) -> None:
    refusals.of_bytes(HOSTILE[kind](whole), kind)
    with pytest.raises(CheckpointError):
        Checkpoint.load(refusals.path, weights_only=True)


@pytest.mark.faults
@hostile
def test_a_hostile_file_is_refused_at_once(
    kind: str, whole: bytes, refusals: Refusals, record_property: Callable[[str, object], None]
) -> None:
    refusals.of_bytes(HOSTILE[kind](whole), kind)
    record_property("refused", (refusals.slowest, kind))


# The most memory that a process had which has read a checkpoint: what getrusage says begins with the most that its
# parent had.
MEASURED = """
import os, sys
from pathlib import Path
from charnet.storage.checkpoint import Checkpoint
from charnet.errors import CheckpointError
def most():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
for line in sys.stdin:
    if os.fork():
        os.wait()
        continue
    Checkpoint.load(Path(sys.argv[1]))
    Path("/proc/self/clear_refs").write_text("5")  # from now on
    base = most()
    try:
        Checkpoint.load(Path(line.rstrip()))
        print("accepted", flush=True)
    except CheckpointError:
        print(most() - base, flush=True)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def memory_taken(whole: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], int]]:
    """Bytes that refusing a file takes in a process that has read another one."""
    if not os.path.exists("/proc/self/clear_refs"):
        pytest.skip("this system does not say how much memory was in use at most")
    path = tmp_path_factory.mktemp("measured") / "whole"
    path.write_bytes(whole)
    command = [sys.executable, "-c", MEASURED, str(path)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        orders, answers = process.stdin, process.stdout
        assert orders is not None
        assert answers is not None

        def taken(hostile: Path) -> int:
            orders.write(f"{hostile}\n")
            return int(answers.readline())

        yield taken
        orders.close()


@pytest.mark.faults
def test_the_measure_of_memory_sees_what_a_large_file_takes(
    tmp_path: Path, memory_taken: Callable[[Path], int]
) -> None:
    (tmp_path / "large").write_bytes(packed(of_size(1500))[:-1] + b"?")
    assert 30 << 20 < memory_taken(tmp_path / "large") < 80 << 20


@pytest.mark.faults
@hostile
def test_a_hostile_file_takes_little_memory(
    kind: str,
    whole: bytes,
    tmp_path: Path,
    memory_taken: Callable[[Path], int],
    record_property: Callable[[str, object], None],
) -> None:
    (tmp_path / "hostile").write_bytes(HOSTILE[kind](whole))
    taken = memory_taken(tmp_path / "hostile")
    record_property("memory", (taken / 2**20, kind))
    assert taken < MOST_MEMORY, f"{taken / 2**20:.1f} MiB"


# --------------------------------------------------------------------------------------------------- monstrous files


def test_a_file_larger_than_the_memory_that_is_left_is_refused(refusals: Refusals) -> None:
    code = f"import resource, sys; resource.setrlimit(resource.RLIMIT_AS, ({1 << 32}, {1 << 32}))\n"
    code += f"from charnet.cli.app import run; sys.exit(run(['inspect', {str(refusals.path)!r}]))"
    sparse(refusals.path, (1 << 32) - (1 << 26))  # below the limit, but not beside all else
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == CheckpointError.exit_code, found.stderr
    assert "more than this machine has memory" in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.faults
def test_a_file_of_a_terabyte_takes_no_memory(tmp_path: Path, memory_taken: Callable[[Path], int]) -> None:
    if tensorfile.memory() > 1 << 39:
        pytest.skip("this machine could hold it")
    sparse(tmp_path / "sparse", 1 << 40)
    assert memory_taken(tmp_path / "sparse") < 8 << 20


# ----------------------------------------------------------------------------------------------- what is no file


def a_loop(path: Path) -> None:
    path.symlink_to(path.with_name("other"))
    path.with_name("other").symlink_to(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(os.path.relpath(path))


NO_FILES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a link to a pipe": lambda path: (os.mkfifo(path.with_name("pipe")), path.symlink_to("pipe")),
    "a socket": a_socket,
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "an empty device": lambda path: path.symlink_to("/dev/null"),
    "a full device": lambda path: path.symlink_to("/dev/full"),
    "an empty folder": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "links in a circle": a_loop,
    "a link to nothing": lambda path: path.symlink_to("none"),
    "a folder of a pipe": lambda path: (path.mkdir(), os.mkfifo(path / "best.safetensors")),
    "a folder of a folder": lambda path: (path / "best.safetensors").mkdir(parents=True),
    "a folder of a link to itself": lambda path: (
        path.mkdir(),
        (path / "last.safetensors").symlink_to("last.safetensors"),
    ),
}
COMMANDS = {
    "inspect": ["inspect", "X"],
    "sample": ["sample", "X", "-q"],
    "eval": ["eval", "X", "text.txt"],
    "init-from": ["train", "text.txt", "-q", "--init-from", "X"],
    "resume": ["train", "-q", "--resume", "X"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("a text to read " * 300)
    return tmp_path


def assert_refused(code: int, captured: tuple[str, str]) -> None:
    out, err = captured
    assert (code, out) == (CheckpointError.exit_code, ""), err
    assert err.startswith("charnet: ")
    assert err.endswith("\n")
    assert err[:-1].isprintable()


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_file_is_refused_and_never_waited_for(
    command: str, kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    NO_FILES[kind](folder / "X")
    with at_most(60):
        code = run(COMMANDS[command])
    assert_refused(code, capsys.readouterr())


class Trap:
    """Unpickling this makes the folder `executed`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_unpickles_a_file(command: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "X").write_bytes(pickle.dumps(Trap()))
    assert_refused(run(COMMANDS[command]), capsys.readouterr())
    assert not (folder / "executed").exists()


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/full", "/dev/stdin"])
@pytest.mark.usefixtures("folder")
def test_a_device_is_no_checkpoint(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    if not os.path.exists(device):
        pytest.skip(f"no {device} here")
    with at_most(60):
        code = run(["inspect", device])
    assert_refused(code, capsys.readouterr())


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("a link to nothing", CheckpointError),
        ("links in a circle", StorageError),
        ("an empty folder", StorageError),
        ("a pipe", CheckpointError),
    ],
)
def test_loading_what_is_no_file_raises_the_same_error(kind: str, error: type[Exception], tmp_path: Path) -> None:
    NO_FILES[kind](tmp_path / "X")
    with at_most(60), pytest.raises(error) as caught:
        Checkpoint.load(tmp_path / "X")
    assert str(caught.value).startswith(f"{tmp_path / 'X'}: ")
    assert str(caught.value).isprintable()


@pytest.mark.usefixtures("folder")
def test_what_a_file_says_of_itself_cannot_command_a_terminal(whole: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    odd = "\x1b]0;x\x07\x9b2J\u202e\r\n[red]"
    forged = document_of(whole)
    forged["versions"] = {odd: odd}
    forged["created"] = forged["corpus"]["name"] = odd
    forged["history"].append({odd: 1.0, "step": 3})
    forged["config"]["data"] |= {"glob": odd, "encoding": odd, "paths": [odd]}
    Path("X").write_bytes(with_text(whole, json.dumps(forged)))
    for command in (["inspect", "X"], ["inspect", "X", "--json"]):
        assert run(command) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert "".join(out.split("\n")).isprintable()
