"""Which model a state is of: a caller may keep states of several models, and a state says nothing to another one."""

from __future__ import annotations

import hashlib

from charnet.errors import ConfigError, short_repr
from charnet.generation.generate import GenerationState
from charnet.storage.checkpoint import Checkpoint


def origin(checkpoint: Checkpoint, engine: str) -> str:
    """Returns what models have in common that understand each other's states: shape, alphabet, text, seed, the numbers
    of the weights, and whether the engine is that of torch. A model that learned more is still the same.
    """
    model, corpus, seed = checkpoint.config.model, checkpoint.corpus.fingerprint, checkpoint.config.training.seed
    parts = (model, checkpoint.vocab, corpus, seed, checkpoint.precision, engine == "torch")
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def checked(state: GenerationState, of_model: str) -> GenerationState:
    """Returns a state that a caller has given.

    Raises:
        ConfigError: it is no state, or one of another model.
    """
    if not isinstance(state, GenerationState):
        raise ConfigError(f"state: expected one that start or write gave, found {short_repr(state)}")
    if state.origin not in ("", of_model):
        raise ConfigError("state: it is of another model; read the text again with start")
    return state
