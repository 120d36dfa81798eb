"""How far memory and gradient reach: the figures agree with plain loops, and with tasks whose answer is known."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_files import tiny
from torch.nn import functional as F

from charnet.data.documents import Documents
from charnet.data.split import Part
from charnet.errors import CorpusError
from charnet.insight import excerpt, gradients, memory, passages, trace
from charnet.storage.checkpoint import Checkpoint

CELLS = ["rnn", "lstm", "cifg", "gru"]


def ids_of(count: int, alphabet: int = 6) -> np.ndarray:
    return np.random.default_rng(6).integers(alphabet, size=count).astype(np.uint8)


def plain_loss(network, inputs, target, x_TE=None, state=None):
    """The loss of one target, by a loop of the cells' equations, from the embeddings `x_TE` of the inputs."""
    x_TE = network.embedding(torch.tensor(inputs)) if x_TE is None else x_TE
    states = [cell.initial_state(1) for cell in network.cells] if state is None else list(state)
    h = None
    for x_E in x_TE:
        h = x_E[None]
        for layer, cell in enumerate(network.cells):
            h, states[layer] = cell.step(h, states[layer])
    return F.cross_entropy(F.linear(h, network.head.weight, network.head.bias), torch.tensor([target]))


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_agree_with_autograd_of_a_plain_loop(cell: str) -> None:
    checkpoint, ids = tiny(cell), ids_of(60)
    (network,) = trace.networks_of(checkpoint)
    part = Part(ids, Documents(np.array([0]), np.array([60])))  # of a document nothing before its start is read
    found = gradients.gradient_reach(trace.networks_of(checkpoint), part, places=12, reach=16)
    assert found.distances == list(range(16))
    at_N, reach = gradients._places(part, 12, 16)
    sizes = []
    for at in at_N.tolist():
        inputs = ids[at - reach : at].astype(int).tolist()
        x_TE = network.embedding(torch.tensor(inputs)).detach().requires_grad_()
        (d_x_TE,) = torch.autograd.grad(plain_loss(network, inputs, int(ids[at]), x_TE), x_TE)
        sizes.append(d_x_TE.norm(dim=1).flip(0).numpy())
    sizes = np.array(sizes)
    np.testing.assert_allclose(found.loss.mean, sizes.mean(axis=0) / sizes[:, 0].mean(), rtol=1e-4)
    assert found.loss.mean[0] == pytest.approx(1.0)
    assert set(found.states) == {f"{s}, layer {n}" for s in network.cells[0].state_names for n in (1, 2)}


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_of_states_agree_with_differences_of_a_plain_loop(cell: str) -> None:
    """With one unit there is one direction, so the size is that of the derivative itself."""
    checkpoint = tiny(cell, **{"model.hidden_size": 1, "model.num_layers": 1})
    (network,) = trace.networks_of(checkpoint)
    layer, ids, step = network.double().cells[0], ids_of(30), 1e-5
    part = Part(ids, Documents(np.array([0]), np.array([30])))
    found = gradients.gradient_reach(trace.networks_of(checkpoint), part, places=5, reach=8)

    def last_h(inputs: list[int], changed_at: int, name: str, change: float) -> float:
        """h after the inputs, if a state was changed after one of them; h follows from c at that time too."""
        state = tuple(each.double() for each in layer.initial_state(1))
        for at, i in enumerate(inputs):
            gates = layer.gate_values(network.embedding(torch.tensor([i])), state[0])
            state = layer.update(gates, state)
            if at == changed_at and name == "h":
                state = (state[0] + change, *state[1:])
            elif at == changed_at:
                state = (gates[-1] * (state[1] + change).tanh(), state[1] + change)
        return state[0].item()

    at_N, reach = gradients._places(part, 5, 8)
    for name in layer.state_names:
        sizes = np.zeros(reach)
        for at in at_N.tolist():
            inputs = ids[at - reach : at].astype(int).tolist()
            for k in range(reach):
                ends = [last_h(inputs, reach - 1 - k, name, sign * step) for sign in (1, -1)]
                sizes[k] += abs(ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(found.states[name].mean, sizes / sizes[0], rtol=1e-3, atol=1e-6)


def test_the_gradient_of_a_linear_state_is_known() -> None:
    """With h_t = relu(h_(t-1) / 2 + something positive) every state depends half on the one before."""
    checkpoint = tiny("rnn", **{"model.activation": "relu", "model.num_layers": 1})
    weights = {name: np.abs(each) for name, each in checkpoint.tensors.items()}
    weights["model.layers.0.weight_hh"] = np.eye(3, dtype=np.float32) / 2
    weights["model.layers.0.bias"] = np.full(3, 9, np.float32)
    found = gradients.gradient_reach(
        trace.networks_of(Checkpoint(**{**vars(checkpoint), "tensors": weights})), ids_of(3000), reach=16
    )
    np.testing.assert_allclose(found.states["h"].mean, 0.5 ** np.arange(16), rtol=1e-4)
    assert found.places == 256


@pytest.mark.parametrize("cell", CELLS)
def test_influence_is_gradient_times_input_of_a_plain_loop(cell: str) -> None:
    checkpoint, ids = tiny(cell, **{"model.members": 1}), ids_of(30)
    networks = trace.networks_of(checkpoint)
    found = excerpt._influences(networks, passages.first(Part(ids), 30), 2)
    inputs = [2, *ids.astype(int).tolist()]
    for target in (1, 7, 29):
        x_TE = networks[0].embedding(torch.tensor(inputs[: target + 1])).detach().requires_grad_()
        (d_x_TE,) = torch.autograd.grad(plain_loss(networks[0], None, int(ids[target]), x_TE), x_TE)
        moved = (d_x_TE * x_TE).sum(1).abs().flip(0).detach().numpy()
        np.testing.assert_allclose(found[target], (moved / moved.max())[:target], rtol=1e-3, atol=1e-6)


def test_more_context_is_what_a_reading_from_an_empty_memory_has_seen() -> None:
    checkpoint, ids = tiny("lstm"), ids_of(4000)
    (network,) = trace.networks_of(checkpoint)
    losses = memory._losses([network], ids, np.array([1000, 2000]), 32, 4)
    for row, begin in enumerate((1000, 2000)):
        for k in (0, 5, 31):
            inputs = ids[begin + k - 4 : begin + k].astype(int).tolist()
            assert losses[row, k] == pytest.approx(plain_loss(network, inputs, int(ids[begin + k])).item(), abs=1e-5)


def test_documents_too_short_for_context_are_named() -> None:
    lines = Documents(np.arange(0, 100, 2), np.arange(2, 102, 2))
    with pytest.raises(CorpusError, match="too short to see how far gradients reach"):
        gradients.gradient_reach(trace.networks_of(tiny()), Part(ids_of(102), lines))
    with pytest.raises(CorpusError, match="too short to see how far the model remembers"):
        memory.context_losses(trace.networks_of(tiny()), ids_of(8))


def test_contexts_do_not_cross_the_start_of_a_document() -> None:
    checkpoint = tiny("gru")
    part = Part(ids_of(4000), Documents(np.arange(0, 4000, 40), np.arange(40, 4040, 40)))
    found = memory.context_losses(trace.networks_of(checkpoint), part)
    assert found.lengths[-1] == 32
    blocks, block, longest = memory._blocks(part, 64)
    assert (block, longest) == (1, 32)
    assert ((blocks % 40) >= 32).all()


def trained(folder: Path, text: str, **settings: object) -> Checkpoint:
    import charnet

    file = folder / "text.txt"
    file.write_text(text)
    run = charnet.train(file, out=folder / "runs", threads=1, ngram=0, batch_size=32, **settings)
    return Checkpoint.load(run / "best.safetensors", weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("lag", [4, 6])
def test_the_horizon_of_a_copy_task_is_its_lag(lag: int, tmp_path: Path) -> None:
    """Each character is mostly that of so many characters before."""
    chance = random.Random(3)
    text = [chance.choice("ab") for _ in range(lag)]
    for _ in range(60_000):
        text.append(text[-lag] if chance.random() < 0.9 else chance.choice("ab"))
    model = trained(tmp_path, "".join(text), steps=600, hidden_size=32, window=24)
    ids = model.vocab.encode("".join(text[-6000:])).astype(np.uint8)
    found = memory.context_losses(trace.networks_of(model), ids)
    assert found.horizon == lag
    assert not found.is_open
    by_length = dict(zip(found.lengths, found.nats, strict=True))
    assert by_length[2] > 0.6 > 0.3 > by_length[8]
