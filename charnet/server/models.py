"""The models that are served, by name. A file that is replaced is loaded beside the old model, which first ends its
texts; one that is damaged or gone changes nothing."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from charnet.errors import CharnetError, did_you_mean, quoted, shortened
from charnet.server.engine_room import EngineRoom
from charnet.server.http import ApiError
from charnet.storage.checkpoint import Checkpoint

SECONDS_BETWEEN_LOOKS = 2.0  # at the file of a model

Stamp = tuple[int, int, int]


def _stamp(path: Path) -> Stamp | None:
    """Returns what changes when a file is replaced; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


@dataclass
class Served:
    """A model that is served."""

    name: str
    path: Path
    room: EngineRoom
    stamp: Stamp | None
    looked_at: float = field(default_factory=time.monotonic)
    is_loading: bool = False
    compiling: asyncio.Lock = field(default_factory=asyncio.Lock)  # one pattern at a time
    patterns: int = 0  # that are compiled or wait for it


class Models:
    """Opens checkpoints and serves them.

    Args:
        paths: of their files.
        quantize: serve them with 8-bit weights: then a request has the same answer on every machine, however many
            others there are.
        log: called with a line when a file was replaced.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        quantize: bool = False,
        log: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._quantize, self._compiles, self._log = quantize, False, log
        self._served: dict[str, Served] = {}
        self._leaving = weakref.WeakSet[EngineRoom]()
        for path in dict.fromkeys(paths):
            run = path.parent.name or path.stem
            name = next(each for each in (run, f"{run}/{path.stem}", str(path)) if each not in self._served)
            stamp = _stamp(path)
            self._served[name] = Served(name, path, self._open(path), stamp)

    def _open(self, path: Path) -> EngineRoom:
        checkpoint = Checkpoint.load(path, weights_only=True)
        served = checkpoint.quantize() if self._quantize else checkpoint
        room = EngineRoom(served, sha256=checkpoint.sha256, log=self._log)
        room.start()
        if self._compiles:
            room.compile()
        return room

    def compile(self) -> None:
        """Opens the compiled engines in the background: what the first client would wait for."""
        self._compiles = True
        for served in self._served.values():
            served.room.compile()

    @property
    def all(self) -> list[Served]:
        """The models in the order in which they were given."""
        return list(self._served.values())

    def find(self, name: str) -> Served:
        """Returns the model of a name; the first one for no name.

        Raises:
            ApiError: there is none of this name.
        """
        found = self._served.get(name) if name else next(iter(self._served.values()))
        if found is None:
            hint = did_you_mean(name, self._served)
            message = f"there is no model {quoted(name)}{hint}; GET /v1/models lists them"
            raise ApiError(404, message, param="model", code="model_not_found")
        self._look(found)
        return found

    def _look(self, served: Served) -> None:
        """Loads a model again, in a thread of its own, if its file was replaced."""
        now = time.monotonic()
        if served.is_loading or now - served.looked_at < SECONDS_BETWEEN_LOOKS:
            return
        served.looked_at = now
        stamp = _stamp(served.path)
        if stamp is not None and stamp != served.stamp:
            served.is_loading = True
            threading.Thread(target=self._replace, args=(served, stamp), daemon=True).start()

    def _replace(self, served: Served, stamp: Stamp) -> None:
        try:
            room = self._open(served.path)
        except CharnetError as error:
            self._log(f"{served.name}: the new file cannot be used, the old model goes on: {shortened(str(error))}")
        else:
            old, served.room = served.room, room
            self._log(f"{served.name}: the new file is served now")
            self._leaving.add(old)
            old.close_when_idle()
        finally:
            served.stamp, served.is_loading = stamp, False

    def close(self) -> None:
        """Ends all texts."""
        for room in [*self._leaving, *(served.room for served in self._served.values())]:
            room.close()


def paths_of(given: Sequence[str]) -> list[Path]:
    """Returns the files of checkpoints; none = that of the newest run."""
    from charnet.storage import runs

    return [runs.find(Path(each)) for each in given] if given else [runs.find(None)]
