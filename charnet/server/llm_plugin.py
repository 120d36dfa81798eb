"""The plug-in for `llm` (https://llm.datasette.io): each run below `checkpoints/` is a model `charnet/NAME`.

    llm -m charnet/corpus 'ROMEO:' -o temperature 0.7

`llm` imports this at every call, so nothing is loaded until a model writes. No server is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llm
from pydantic import Field

from charnet.config import RUNS, SamplingOptions

DEFAULTS = SamplingOptions()


@llm.hookimpl
def register_models(register: Callable[[llm.Model], object]) -> None:
    """Registers a model for each run, the newest first; no checkpoint is read."""
    from charnet.storage.runs import newest_first

    for run in newest_first(RUNS):
        register(Charnet(run))


class Charnet(llm.Model):
    """A run of charnet. A prompt is continued; a system prompt and earlier turns are not read."""

    can_stream = True

    class Options(llm.Options):
        """The options of a text; those of `charnet sample` by their names."""

        temperature: float = Field(
            DEFAULTS.temperature, ge=0, le=100, description="0 = always the most likely character"
        )
        length: int = Field(300, ge=0, le=1_000_000, description="characters to write")
        seed: int | None = Field(None, ge=0, description="same seed, same text; by default by chance")
        top_k: int = Field(DEFAULTS.top_k, ge=0, description="sample from the K most likely characters; 0 = from all")
        top_p: float = Field(DEFAULTS.top_p, ge=0, le=1, description="sample from the likeliest that together reach P")
        min_p: float = Field(DEFAULTS.min_p, ge=0, le=1, description="at least P times as likely as the top one")
        until: str = Field("", pattern="^(|sentence|line|paragraph)$", description="end after the first one of these")

    def __init__(self, run: Path) -> None:
        self.model_id, self._run = f"charnet/{run.name}", run
        self._model: Any = None

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Iterator[str]:  # noqa: ARG002
        """Yields the text as it is written."""
        import secrets

        from charnet.api import load
        from charnet.errors import CharnetError

        options = prompt.options.model_dump()
        if options["seed"] is None:
            options["seed"] = secrets.randbelow(1 << 31)
        try:
            self._model = self._model or load(self._run)
            yield from self._model.stream(prompt.prompt or "", **options)
        except CharnetError as error:
            raise llm.ModelError(str(error)) from None
        response.response_json = {"seed": options["seed"]}
