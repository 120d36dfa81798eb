"""The folder of a run in a process that writes nothing: another one of its group does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from charnet.storage.checkpoint import Checkpoint
from charnet.storage.runs import RunFolder


class NoFolder(RunFolder):
    """Takes what a `RunFolder` takes, and leaves it to the process that has that folder."""

    def __init__(self, path: Path) -> None:
        self.path, self.notes = path, ()

    def check_space(self, needed_bytes: int, *, damage: str = "") -> None: ...
    def close(self) -> None: ...
    def save(self, name: str, checkpoint: Checkpoint) -> None: ...
    def write(self, name: str, content: bytes) -> None: ...
    def append_metrics(self, values: Mapping[str, Any]) -> None: ...
    def sync_metrics(self) -> None: ...
    def metrics(self) -> list[bytes]:
        return []

    def quarantine(self, name: str) -> None: ...
    def drop_previous(self) -> None: ...
    def discard(self, *, begun_by_another: bool = False) -> None: ...
