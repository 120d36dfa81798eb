"""What a training says when its numbers are no longer finite."""

from __future__ import annotations

from pathlib import Path

from charnet.config import Config
from charnet.errors import DivergedError
from charnet.storage.document import TrainerState


def diverged(what: str, state: TrainerState, config: Config, folder: Path | None) -> DivergedError:
    """Returns the error of a training whose numbers are no longer finite.

    Args:
        what: is not finite.
        folder: that holds earlier weights, if they were saved.
    """
    left = f"the checkpoints in {folder} hold earlier weights" if folder else "nothing was saved"
    rate = config.training.learning_rate * 0.5**state.rollbacks
    rollback = ", or --on-nan rollback" if config.training.on_nan == "stop" else ""
    return DivergedError(
        f"after step {state.step} the {what} is no longer a finite number; {left}; "
        f"try a new run with a --learning-rate below {rate:g}{rollback}"
    )
