"""`charnet sample --context`: a text that is read before the prompt and is not shown."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet.cli import console, prompting
from charnet.config import SamplingOptions
from charnet.data import prompts
from charnet.errors import reworded
from charnet.generation.generate import GenerationState, read, start

if TYPE_CHECKING:
    from charnet.cli.opening import Opened
    from charnet.storage.checkpoint import Checkpoint

MOST_READ = 1 << 14  # characters: of trained models the state was the same to rounding after 256
FEWEST_RECENT = 1 << 10  # symbols that a session remembers, to learn from the next turn


@dataclass(frozen=True)
class Context:
    """A text before the prompt: the ids that the model reads of it, and the file that it is from."""

    ids: tuple[int, ...] = ()
    file: str = ""
    sha256: str = ""

    def state(self, model: Opened, options: SamplingOptions) -> GenerationState | None:
        """Reads the text; returns the state after it, or None without a text."""
        if not self.file:
            return None
        state = read(model.engine, start(model.engine, model.vocab, self.ids))
        keep = max(options.repetition_window, FEWEST_RECENT)
        return GenerationState(state.state, state.pending, 0, state.recent[-keep:])

    def metadata(self) -> dict[str, Any]:
        """Returns what `--json` tells of it."""
        return {"context": self.file, "context_sha256": self.sha256} if self.file else {}


def load(given: Mapping[str, Any], checkpoint: Checkpoint) -> Context:
    """Reads the file of `--context`, if it is given, as a prompt file is read.

    Raises:
        PromptError: it is missing, in another encoding, or has a character that the model does not know.
        StorageError: it cannot be read.
    """
    file: Path | None = given["context"]
    if file is None:
        return Context()
    raw, name = prompting.file_bytes(file)
    text, notes = prompting.decode(raw, name, checkpoint)
    if len(text) > MOST_READ:
        notes.append(
            f"read its last {MOST_READ:,} of {len(text):,} characters; what is before them no longer changes the state"
        )
    skips = given["unknown"] == "skip"
    with reworded(lambda message: f"--context: {message.replace('the prompt', 'the text that is read')}"):
        _, ids, more = prompts.read(text[-MOST_READ:], checkpoint.vocab, checkpoint.config.data, skip_unknown=skips)
    for note in () if given["quiet"] else [*notes, *more]:
        console.note(f"--context: {note.replace('the prompt', 'the context')}")
    return Context(tuple(ids.tolist()), name, hashlib.sha256(raw).hexdigest())
