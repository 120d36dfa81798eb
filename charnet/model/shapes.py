"""Names and shapes of a model's parameters, without torch."""

from __future__ import annotations

import math

from charnet.config import GATES, Config, ModelSettings

SAMPLED_SOFTMAX_FROM = 8192  # characters in the alphabet: from there on the loss is a sampled softmax
NUM_SAMPLED = 1024  # characters drawn for it, beside those that occur in the window


def model_shapes(config: Config, alphabet_size: int) -> dict[str, tuple[int, ...]]:
    """Returns the names and shapes of the parameters of a model with these settings."""
    model, rows = config.model, GATES[config.model.cell] * config.model.hidden_size
    width = model.embedding_size or model.hidden_size
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (alphabet_size, width)}
    for layer in range(model.num_layers):
        shapes[f"layers.{layer}.weight_ih"] = (rows, model.hidden_size if layer else width)
        shapes[f"layers.{layer}.weight_hh"] = (rows, model.hidden_size)
        shapes[f"layers.{layer}.bias"] = (rows,)
        if model.cell == "gru":
            shapes[f"layers.{layer}.bias_hn"] = (model.hidden_size,)
    shapes |= {"head.weight": (alphabet_size, model.hidden_size), "head.bias": (alphabet_size,)}
    return {prefix + name: shape for prefix in member_prefixes(model) for name, shape in shapes.items()}


def num_weights(config: Config, alphabet_size: int) -> int:
    """Returns the number of weights of a model with these settings."""
    return sum(math.prod(shape) for shape in model_shapes(config, alphabet_size).values())


def member_prefixes(model: ModelSettings) -> list[str]:
    """Returns the prefix of the parameters' names for each network of a model."""
    return [""] if model.members == 1 else [f"members.{index}." for index in range(model.members)]
