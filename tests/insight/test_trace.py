"""What is seen inside a network is what its definition, step by step, would show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from checkpoint_files import tiny
from torch.nn import functional as F

from charnet.data.documents import Documents
from charnet.data.split import Part
from charnet.insight import passages, trace
from charnet.insight.gates import GateRecord
from charnet.insight.units import StateRecord

CELLS = ["rnn", "lstm", "cifg", "gru"]


def ids_of(count: int, alphabet: int = 6) -> np.ndarray:
    return np.random.default_rng(5).integers(alphabet, size=count).astype(np.uint8)


def by_steps(network, inputs):
    """The states after each input of one text, and the logits after it, by the definition of the cells."""
    states, found = [cell.initial_state(1) for cell in network.cells], []
    for i in inputs:
        below = network.embedding(torch.tensor([i]))
        for layer, cell in enumerate(network.cells):
            below, states[layer] = cell.step(below, states[layer])
        found.append((list(states), F.linear(below, network.head.weight, network.head.bias)[0]))
    return found


def nats_of(step, target) -> float:
    return F.cross_entropy(step[1], torch.tensor(int(target))).item()


@pytest.mark.parametrize("cell", CELLS)
def test_states_and_losses_of_a_text_are_those_of_its_steps(cell: str) -> None:
    checkpoint, ids = tiny(cell), ids_of(40)
    (network,) = trace.networks_of(checkpoint)
    part = passages.first(Part(ids), 40)
    record = StateRecord(np.ones((1, 40), bool))
    start = checkpoint.vocab.start_id()
    seen = trace.observe([network], part, start, record.watch)
    expected = by_steps(network, [start, *ids.tolist()])
    nats = [nats_of(expected[i], ids[i]) for i in range(40)]
    np.testing.assert_allclose(seen.nats_ST[0], nats, atol=1e-5)
    for (place, name), values in record.states.items():
        number = network.cells[0].state_names.index(name)
        of_steps = np.array([expected[i + 1][0][place.layer][number][0].detach().numpy() for i in range(40)])
        np.testing.assert_allclose(values[0], of_steps, atol=1e-5)


def test_passages_of_a_text_are_read_with_what_comes_before_them() -> None:
    checkpoint, ids = tiny("gru"), ids_of(5000)
    (network,) = trace.networks_of(checkpoint)
    chosen = passages.spread(Part(ids), 1024)
    assert len(chosen.begins_S) == 4
    seen = trace.observe([network], chosen, 0)
    whole = by_steps(network, [0, *ids.tolist()[:3000]])
    for begin, nats_T in zip(chosen.begins_S.tolist(), seen.nats_ST, strict=True):
        if begin < 2500:
            expected = [nats_of(whole[begin + t], ids[begin + t]) for t in range(9)]
            np.testing.assert_allclose(nats_T[:9], expected, atol=1e-4)


def test_each_document_is_read_from_an_empty_memory() -> None:
    checkpoint, ids = tiny("lstm"), ids_of(60)
    (network,) = trace.networks_of(checkpoint)
    part = Part(ids, Documents(np.array([0, 20, 50]), np.array([20, 50, 60])))
    chosen = passages.spread(part, 100)
    seen = trace.observe([network], chosen, 3)
    for row, (begin, end) in enumerate(zip(chosen.begins_S.tolist(), chosen.ends_S.tolist(), strict=True)):
        alone = by_steps(network, [3, *ids[begin : end - 1].tolist()])
        nats = [nats_of(each, i) for each, i in zip(alone, ids[begin:end], strict=True)]
        np.testing.assert_allclose(seen.nats_ST[row][seen.counted_ST[row]], nats, atol=1e-5)


def test_the_loss_of_an_ensemble_is_that_of_the_mean_probability() -> None:
    checkpoint, ids = tiny("cifg", **{"model.members": 3}), ids_of(30)
    networks = trace.networks_of(checkpoint)
    part = passages.first(Part(ids), 30)
    alone = [trace.observe([network], part, 0).nats_ST for network in networks]
    together = trace.observe(networks, part, 0).nats_ST
    np.testing.assert_allclose(np.exp(-together), np.mean([np.exp(-each) for each in alone], axis=0), rtol=1e-5)


@pytest.mark.parametrize(("cell", "gate"), [("lstm", 1), ("cifg", 0), ("gru", 1)])
def test_half_lives_follow_from_the_forget_gate(cell: str, gate: int) -> None:
    checkpoint, ids = tiny(cell, **{"model.num_layers": 1}), ids_of(50)
    (network,) = trace.networks_of(checkpoint)
    kept = []

    def watch(place, values, span):
        record.watch(place, values, span)
        kept.append(values.gates[gate].numpy()[0])

    record = GateRecord(np.ones((1, 50), bool))
    trace.observe([network], passages.first(Part(ids), 50), 0, watch)
    (layer,) = record.layers()
    keeps = np.concatenate(kept).astype(np.float64)
    keeps = 1 - keeps if cell == "cifg" else keeps
    np.testing.assert_allclose(layer.half_lives, np.log(2) / -np.log(keeps).mean(axis=0), rtol=1e-4)
    for name, share in layer.open.items():
        assert 0 <= share + layer.shut[name] <= 1


def test_a_unit_that_never_changes_is_dead() -> None:
    checkpoint = tiny("rnn", **{"model.activation": "relu", "model.num_layers": 1})
    (network,) = trace.networks_of(checkpoint)
    with torch.no_grad():
        network.cells[0].bias[1] = -1000.0
    record = GateRecord(np.ones((1, 30), bool))
    trace.observe([network], passages.first(Part(ids_of(30)), 30), 0, record.watch)
    (layer,) = record.layers()
    assert layer.dead == [1]
    assert layer.half_lives == []
