"""A fake disk between charnet and the operating system. It counts and records every call of a writer, and can refuse
one or end the process there. From a record it builds every state that a power cut can leave."""

from __future__ import annotations

import builtins
import contextlib
import io
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charnet.config import Config
from charnet.data.vocab import Vocabulary
from charnet.model.shapes import model_shapes
from charnet.overlay import overlay
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.document import CorpusInfo, TrainerState
from charnet.storage.runs import BEST, LAST, METRICS, SETTINGS, RunFolder

LONG = os.environ.get("CHARNET_FAULTS") == "long"
SMALL: dict[str, Any] = {
    "model.hidden_size": 8,
    "training.steps": 6,
    "training.batch_size": 3,
    "training.window": 5,
    "training.threads": 1,
    "training.eval_every": 3,
    "training.report_every": 1,
    "training.optimizer": "adamw",
}
FOLDER = -1  # in place of a file's number


class Killed(BaseException):
    """The end of the process, as seen by the process."""


@dataclass(frozen=True)
class Call:
    """One call: make, write, sync, rename, unlink, folder (made), remove (a folder), open, or a mark of the test."""

    kind: str
    path: Path
    file: int = 0
    to: Path | None = None
    content: bytes = b""
    at: int | None = None  # where in the file it is written, if not at its end


class Disk:
    """Records everything that is written below `root` while it is `watching`.

    Args:
        fault: called before each call with its number, from 1; it may raise an error in place of the call.
    """

    def __init__(self, root: Path, fault: Callable[[int, Call], None] = lambda *_: None) -> None:
        self.root, self.fault = root, fault
        self.calls: list[Call] = []
        self.count = 0
        self.dead = False
        self._files: dict[tuple[int, int], int] = {}
        self._numbers = itertools.count(1)

    @contextlib.contextmanager
    def watching(self) -> Iterator[Disk]:
        with pytest.MonkeyPatch.context() as patch:
            self._patch(patch)
            yield self

    def mark(self, what: str) -> None:
        """Adds a mark to the record."""
        self.calls.append(Call("mark", self.root, content=what.encode()))

    def call(self, call: Call, act: Callable[[], Any]) -> Any:
        if self.dead:
            raise Killed
        self.count += 1
        try:
            self.fault(self.count, call)
        except Killed:
            self.dead = True
            raise
        result = act()
        if call.kind == "make":
            status = os.fstat(result if isinstance(result, int) else result.fileno())
            call = replace(call, file=next(self._numbers))
            self._files[status.st_dev, status.st_ino] = call.file
        self.calls.append(call)
        return result

    def number(self, handle: int) -> int:
        status = os.fstat(handle)
        return self._files.setdefault((status.st_dev, status.st_ino), next(self._numbers))

    def _within(self, path: Any) -> bool:
        return not isinstance(path, int) and Path(os.fsdecode(path)).is_relative_to(self.root)

    def _patch(self, patch: pytest.MonkeyPatch) -> None:
        really: dict[str, Callable[..., Any]] = {
            name: getattr(os, name) for name in ("open", "fdopen", "fsync", "replace", "unlink", "mkdir", "rmdir")
        }
        open_file = io.open
        opened: dict[int, Path] = {}

        def placed(path: Any, folder: int | None) -> Any:
            """Returns the path of a name that is relative to an open folder."""
            return path if folder is None else Path(f"/proc/self/fd/{folder}").readlink() / path

        def file_opened(path: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if not self._within(path) or not set(mode) & set("wxa+"):
                return open_file(path, mode, *args, **kwargs)
            if "opener" in kwargs:  # it calls `os.open`, which is recorded
                return File(self, open_file(path, mode, 0, **kwargs), Path(path))
            kind = "open" if os.path.lexists(path) and "x" not in mode else "make"
            return File(self, self.call(Call(kind, Path(path)), lambda: open_file(path, mode, 0)), Path(path))

        def handle_opened(name: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            path = placed(name, kwargs.get("dir_fd"))
            if not self._within(path):
                return int(really["open"](name, flags, *args, **kwargs))
            kind = "make" if flags & os.O_CREAT and not os.path.lexists(path) else "open"
            handle = self.call(Call(kind, Path(path)), lambda: really["open"](name, flags, *args, **kwargs))
            opened[handle] = Path(path)
            return int(handle)

        def of_handle(handle: int, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if handle not in opened or not set(mode) & set("wxa+"):
                return really["fdopen"](handle, mode, *args, **kwargs)
            return File(self, really["fdopen"](handle, mode, 0), opened[handle])

        def synced(handle: int) -> None:
            path = Path(f"/proc/self/fd/{handle}").readlink()
            if self._within(path):
                self.call(Call("sync", path, 0 if path.is_dir() else self.number(handle)), lambda: None)
            really["fsync"](handle)

        def moved(source: Any, target: Any, **kwargs: Any) -> None:
            path = placed(source, kwargs.get("src_dir_fd"))
            if self._within(path):
                call = Call("rename", Path(path), to=Path(placed(target, kwargs.get("dst_dir_fd"))))
                self.call(call, lambda: really["replace"](source, target, **kwargs))
            else:
                really["replace"](source, target, **kwargs)

        def changed(name: str, kind: str) -> Callable[..., None]:
            def act(given: Any, *args: Any, **kwargs: Any) -> None:
                path = placed(given, kwargs.get("dir_fd"))
                if self._within(path):
                    self.call(Call(kind, Path(path)), lambda: really[name](given, *args, **kwargs))
                else:
                    really[name](given, *args, **kwargs)

            return act

        for module in (io, builtins):
            patch.setattr(module, "open", file_opened)
        for name, act in {
            "open": handle_opened,
            "fdopen": of_handle,
            "fsync": synced,
            "replace": moved,
            "unlink": changed("unlink", "unlink"),
            "mkdir": changed("mkdir", "folder"),
            "rmdir": changed("rmdir", "remove"),
        }.items():
            patch.setattr(os, name, act)


class File:
    """An open file whose content goes to the system in two pieces, each a call."""

    def __init__(self, disk: Disk, raw: Any, path: Path) -> None:
        self.disk, self.raw, self.path, self.name = disk, raw, path, raw.name

    def write(self, content: Any) -> int:
        content = bytes(content)
        half = (len(content) + 1) // 2
        for piece in (content[:half], content[half:]):
            if piece:
                at = self.raw.tell() if "+" in self.raw.mode else None
                call = Call("write", self.path, self.disk.number(self.raw.fileno()), content=piece, at=at)
                self.disk.call(call, lambda piece=piece: self.raw.write(piece))
        return len(content)

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        self.raw.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


def killed_at(number: int) -> Callable[[int, Call], None]:
    """A fault: the process ends before that call."""

    def fault(now: int, _: Call) -> None:
        if now == number:
            raise Killed

    return fault


def refused_at(number: int, code: int, *, from_then_on: bool = False) -> Callable[[int, Call], None]:
    """A fault: the system refuses that call and, with `from_then_on`, every later one except the removal of files."""

    def fault(now: int, call: Call) -> None:
        if now == number or (from_then_on and now > number and call.kind not in ("unlink", "remove")):
            raise OSError(code, os.strerror(code))

    return fault


def calls_of(root: Path, act: Callable[[], object]) -> list[Call]:
    """Returns the calls that a function makes."""
    with Disk(root).watching() as disk:
        act()
    return disk.calls


# ------------------------------------------------------------------------------------------------- power cuts


class State(dict[Path, bytes]):
    """The files on the disk when the power is back."""

    done: tuple[str, ...] = ()  # the marks before the cut


def after_power_cuts(calls: Sequence[Call], start: Mapping[Path, bytes], root: Path) -> Iterator[State]:
    """Every state after every prefix of a record, each once.

    What a file holds beyond its last sync is there, missing, cut or zeros. Changes of names since the last sync of
    their folder have happened or not, in any order.
    """
    seen = set()
    for count in range(len(calls) + 1):
        for state in _states(calls[:count], start, root):
            what = (state.done, frozenset(state.items()))
            if what not in seen:
                seen.add(what)
                yield state


def _states(calls: Sequence[Call], start: Mapping[Path, bytes], root: Path) -> Iterator[State]:
    names: dict[Path, int] = {path: -2 - i for i, path in enumerate(start)}  # on the disk for sure
    now: dict[Path, int] = dict(names)  # as the process saw them
    synced = {number: start[path] for path, number in names.items()}
    current = dict(synced)
    pending: list[list[tuple[Path, int | None]]] = []  # changes of names, each as a whole
    done = []
    for call in calls:
        change: list[tuple[Path, int | None]] = []
        file = call.file if call.file in current else now.get(call.path, 0)  # one that was there before
        if call.kind == "make":
            change = [(call.path, call.file)]
            synced[call.file] = current[call.file] = b""
        elif call.kind == "folder":
            change = [(call.path, FOLDER)]
        elif call.kind in ("unlink", "remove"):
            change = [(call.path, None)]
        elif call.kind == "rename" and call.to is not None:
            change = [(call.path, None), (call.to, now[call.path])]
        elif call.kind == "write":
            at = len(current[file]) if call.at is None else call.at
            current[file] = current[file][:at] + call.content + current[file][at + len(call.content) :]
        elif call.kind == "sync" and call.file:
            synced[file] = current[file]
        elif call.kind == "sync":
            for happened in [c for c in pending if c[0][0].parent == call.path]:
                _apply(names, happened)
            pending = [c for c in pending if c[0][0].parent != call.path]
        elif call.kind == "mark":
            done.append(call.content.decode())
        if change:
            _apply(now, change)
            pending.append(change)
    for size in range(len(pending) + 1):
        for order in itertools.permutations(pending, size):
            found = dict(names)
            for happened in order:
                _apply(found, happened)
            visible = {p: n for p, n in found.items() if n != FOLDER and _reachable(p, found, root)}
            versions = [_versions(synced[number], current[number]) for number in visible.values()]
            for contents in itertools.product(*versions):
                state = State(zip(visible, contents, strict=True))
                state.done = tuple(done)
                yield state


def _apply(names: dict[Path, int], change: list[tuple[Path, int | None]]) -> None:
    for path, number in change:
        if number is None:
            names.pop(path, None)
        else:
            names[path] = number


def _reachable(path: Path, names: dict[Path, int], root: Path) -> bool:
    above = itertools.takewhile(lambda folder: folder != root, path.parents)
    return all(names.get(folder) == FOLDER for folder in above)


def _versions(synced: bytes, current: bytes) -> set[bytes]:
    rest = current[len(synced) :]
    return {synced, current, synced + rest[: len(rest) // 2], synced + bytes(len(rest))}


def lay_out(state: Mapping[Path, bytes], root: Path, at: Path) -> None:
    """Writes a state of the files below a root into another folder."""
    for path, content in state.items():
        place = at / path.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


# ------------------------------------------------------------------------------------------------- what is written

TINY = overlay(Config(), {"model.hidden_size": 2, "model.embedding_size": 2, "data.paths": ["text"]})


def checkpoint(step: int) -> Checkpoint:
    """Makes a small complete checkpoint, identified by its step; all steps up to it are reported."""
    draw = np.random.default_rng(step)
    shapes = model_shapes(TINY, 2)
    return Checkpoint(
        config=TINY,
        vocab=Vocabulary((97, 98)),
        corpus=CorpusInfo("text", 9, 9, 1, "0" * 64, "1" * 64),
        trainer_state=TrainerState(step=step, reported_step=step),
        tensors={f"model.{name}": draw.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()},
    )


def settings(step: int) -> bytes:
    return f"step: {step}\n".encode() * 20


def line(step: int) -> str:
    return json.dumps({"step": step})


def all_lines(step: int) -> bytes:
    return b"".join(f"{line(number)}\n".encode() for number in range(1, step + 1))


WRITERS: dict[str, Callable[[RunFolder, int], None]] = {
    "last": lambda folder, step: folder.save(LAST, checkpoint(step)),
    "best": lambda folder, step: folder.save(BEST, checkpoint(step)),
    "settings": lambda folder, step: folder.write(SETTINGS, settings(step)),
    "metrics-line": lambda folder, step: folder.append_metrics({"step": step}),
    "metrics-synced": lambda folder, _: folder.sync_metrics(),
    "metrics": lambda folder, step: folder.write(METRICS, all_lines(step)),
}


def write_all(folder: RunFolder, step: int) -> None:
    """Writes everything that a training writes at an evaluation, in the same order."""
    for name in ("metrics-line", "best", "metrics-synced", "last", "settings"):
        WRITERS[name](folder, step)


def parts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.part")) + sorted(path.name for path in folder.glob(".*.part"))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
