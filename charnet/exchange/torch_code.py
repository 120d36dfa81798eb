"""The five lines of PyTorch that read the exported weights and compute the logits of a first character."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charnet.exchange import about, plain

if TYPE_CHECKING:
    from charnet.storage.checkpoint import Checkpoint


def lines(model: Checkpoint, file: str) -> list[str]:
    """Returns the lines: they define `net`, `logits` (1, 1, V), and `state` (for an ensemble `read`: output and state
    of each network). To go on, give the state to `net["rnn"]` after the input.

    Args:
        file: the name of the safetensors file.
    """
    shape, size = model.config.model, len(model.vocab)
    width, units = about.embedding_size(model), shape.hidden_size
    options = f"num_layers={shape.num_layers}, batch_first=True"
    if shape.cell == "rnn":
        options += f', nonlinearity="{"relu" if shape.activation == "relu" else "tanh"}"'
    rnn = f"torch.nn.{plain.CLASSES[shape.cell]}({width}, {units}, {options})"
    network = (
        f'torch.nn.ModuleDict({{"embedding": torch.nn.Embedding({size}, {width}), "rnn": {rnn}, '
        f'"head": torch.nn.Linear({units}, {size})}})'
    )
    begin = f", torch.full(({shape.num_layers}, 1, {units}), -1.0)" if plain.has_shifted_state(model) else ""
    ids = f"torch.tensor([[{model.vocab.start_id()}]])"
    load = f"net.load_state_dict(safetensors.torch.load_file({file!r}))"
    first = "import safetensors.torch, torch  # pip install safetensors torch"
    if shape.members == 1:
        read = f'h, state = net["rnn"](net["embedding"]({ids}){begin})'
        return [first, f"net = {network}", load, read, 'logits = net["head"](h)']
    many = f'torch.nn.ModuleDict({{"members": torch.nn.ModuleList({network} for _ in range({shape.members}))}})'
    read = f'read = [each["rnn"](each["embedding"]({ids}){begin}) for each in net["members"]]'
    heads = 'each["head"](h).log_softmax(-1) for each, (h, state) in zip(net["members"], read)'
    mean = f"logits = torch.stack([{heads}]).logsumexp(0) - torch.tensor({shape.members}.0).log()"
    return [first, f"net = {many}", load, read, mean]
