"""The character model. Shape legend as in `charnet.model.network`."""

import pytest
import torch
from torch import Tensor, nn

from charnet.config import Config, ModelSettings
from charnet.model import loss as loss_module
from charnet.model import network as network_module
from charnet.model.cells import CELLS
from charnet.model.cells.rnn import ACTIVATIONS
from charnet.model.ensemble import Ensemble, from_weights
from charnet.model.ensemble import build as build_model
from charnet.model.loss import detach, forward_backward, nats_per_char, sampled_softmax_candidates
from charnet.model.network import CharModel, ModelState, dropout
from charnet.model.shapes import model_shapes
from charnet.overlay import overlay

B, T, V, E, H = 2, 7, 11, 3, 5

KINDS = [(cell, f) for cell in CELLS for f in (ACTIVATIONS if cell == "rnn" else ("tanh",))]

every_kind = pytest.mark.parametrize(("cell", "activation"), KINDS)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Threads that wait for each other in sums this small cost seconds on a busy machine; conftest sets them back."""
    torch.set_num_threads(1)


def build(cell: str = "lstm", activation: str = "tanh", **kwargs: float) -> CharModel:
    torch.manual_seed(1)
    sizes = {"hidden_size": H, "embedding_size": E, "num_layers": 2} | kwargs
    return CharModel(V, cell=cell, activation=activation, **sizes).double()


def window(length: int = T) -> Tensor:
    torch.manual_seed(2)
    return torch.randint(V, (B, length))


def assert_same_state(a: ModelState, b: ModelState) -> None:
    for layer_a, layer_b in zip(a, b, strict=True):
        for each_a, each_b in zip(layer_a, layer_b, strict=True):
            torch.testing.assert_close(each_a, each_b)


@every_kind
def test_the_logits_are_embedding_then_the_steps_of_every_layer_then_head(cell, activation):
    model, ids_BT = build(cell, activation), window()
    state, expected = list(model.initial_state(B)), []
    for ids_B in ids_BT.unbind(1):
        h_BH = model.embedding.weight[ids_B]
        for i, layer in enumerate(model.cells):
            h_BH, state[i] = layer.step(h_BH, state[i])
        expected.append(h_BH @ model.head.weight.T + model.head.bias)
    logits_BTV, after = model(ids_BT, model.initial_state(B))
    assert logits_BTV.shape == (B, T, V)
    torch.testing.assert_close(logits_BTV, torch.stack(expected, 1))
    assert_same_state(after, tuple(state))


@every_kind
@pytest.mark.parametrize("at", [1, 4, T - 1])
def test_a_text_cut_anywhere_gives_the_same_logits(cell, activation, at):
    model, ids_BT = build(cell, activation), window()
    whole, end = model(ids_BT, model.initial_state(B))
    first, between = model(ids_BT[:, :at], model.initial_state(B))
    second, after = model(ids_BT[:, at:], between)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    assert_same_state(after, end)


@every_kind
def test_no_logits_depend_on_later_characters(cell, activation):
    model, ids_BT = build(cell, activation), window()
    changed = ids_BT.clone()
    changed[:, 4] = (changed[:, 4] + 1) % V
    (a, _), (b, _) = model(ids_BT, model.initial_state(B)), model(changed, model.initial_state(B))
    assert torch.equal(a[:, :4], b[:, :4])
    assert not torch.isclose(a[:, 4:], b[:, 4:]).all(dim=2).any()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("embedding_size", [0, E])
@pytest.mark.parametrize("members", [1, 2])
def test_parameters_have_the_names_and_shapes_that_a_checkpoint_expects(cell, embedding_size, members):
    values = {
        "cell": cell, "hidden_size": H, "embedding_size": embedding_size, "num_layers": 3, "members": members
    }  # fmt: skip
    config = overlay(Config(), {f"model.{key}": value for key, value in values.items()})
    model = build_model(V, config.model)
    assert {name: tuple(p.shape) for name, p in model.state_dict().items()} == model_shapes(config, V)


def test_an_embedding_of_size_zero_is_as_large_as_the_hidden_state():
    assert build(embedding_size=0).embedding.weight.shape == (V, H)


def test_the_bias_of_a_fresh_head_is_zero():
    assert not build().head.bias.any()


@pytest.mark.parametrize("cell", CELLS)
def test_the_initial_state_is_zeros_for_every_layer(cell):
    model = build(cell, num_layers=3)
    state = model.initial_state(B)
    assert [[tuple(each.shape) for each in layer] for layer in state] == [[(B, H)] * len(CELLS[cell].state_names)] * 3
    assert not any(each.any() for layer in state for each in layer)


def test_dropout_zeroes_that_rate_after_each_layer_but_only_in_training():
    model, ids_BT = build("rnn", "sigmoid", hidden_size=500, num_layers=1, dropout=0.25), window()
    model.head = nn.Linear(500, 500)
    nn.init.eye_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    trained = model.train()(ids_BT, model.initial_state(B))[0]
    evaluated = model.eval()(ids_BT, model.initial_state(B))[0]
    dropped = trained == 0
    assert 0.22 < dropped.double().mean() < 0.28
    assert (evaluated > 0).all()
    torch.testing.assert_close(trained[~dropped] * 0.75, evaluated[~dropped])


def test_dropout_does_not_reach_the_state_of_its_own_layer():
    model, ids_BT = build(num_layers=1, dropout=0.5), window()
    after_training = model.train()(ids_BT, model.initial_state(B))[1]
    assert_same_state(after_training, model.eval()(ids_BT, model.initial_state(B))[1])


def test_weight_dropout_drops_other_recurrent_weights_in_each_window_and_none_outside_training():
    model, ids_BT = build(num_layers=1, hidden_size=50, weight_dropout=0.5), window()
    before = [p.clone() for p in model.parameters()]
    trained = [model.train()(ids_BT, model.initial_state(B))[0] for _ in range(2)]
    assert not torch.equal(*trained)
    evaluated = [model.eval()(ids_BT, model.initial_state(B))[0] for _ in range(2)]
    assert torch.equal(*evaluated)
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))


def test_gradients_of_weights_that_weight_dropout_dropped_are_zero():
    model, ids_BT = build(num_layers=1, hidden_size=50, weight_dropout=0.5), window()
    logits_BTV, _ = model.train()(ids_BT, model.initial_state(B))
    logits_BTV.sum().backward()
    assert 0.45 < (model.cells[0].weight_hh.grad == 0).double().mean() < 0.55


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(7,), (300, 70), (5, 40, 101)])
def test_dropout_zeroes_that_rate_of_elements_and_preserves_the_mean(rate, shape):
    torch.manual_seed(1)
    result = dropout(torch.ones(shape), rate)
    mask = result != 0
    assert torch.equal(result[mask], torch.full_like(result[mask], result.max()))
    if result.numel() > 1000:
        assert mask.double().mean() == pytest.approx(1 - rate, abs=0.02)
        assert result.double().mean() == pytest.approx(1, abs=0.05)


@every_kind
@pytest.mark.parametrize("weight_dropout", [0.0, 0.5])
def test_a_table_of_a_small_alphabet_gives_the_same_as_its_embedding(cell, activation, weight_dropout, monkeypatch):
    found = []
    for alignment in (network_module.ALIGNMENT, 11, 1000):  # with 11 characters: a table, a table, no table
        monkeypatch.setattr(network_module, "ALIGNMENT", alignment)
        model, ids_BT = build(cell, activation, embedding_size=300, weight_dropout=weight_dropout), window(17)
        assert (model._lowest_input(ids_BT, torch.double)[1] is None) == (alignment == 1000)
        torch.manual_seed(4)
        logits_BTV, after = model(ids_BT, model.initial_state(B))
        nats_per_char(logits_BTV, ids_BT).backward()
        found.append((logits_BTV, after, [p.grad for p in model.parameters()]))
    *tables, expected = found
    for each in tables:
        torch.testing.assert_close(each, expected)


def test_a_table_is_used_only_if_it_saves_multiplications():
    def input_width(embedding_size: int, characters: int) -> int:
        model = build(num_layers=1, embedding_size=embedding_size)
        return model._lowest_input(torch.zeros(1, characters, dtype=torch.long), torch.double)[0].shape[-1]

    assert [input_width(size, 10_000) for size in (8, 16, 17, 500)] == [8, 16, 16, 16]
    assert [input_width(500, characters) for characters in (1, 16, 17, 100)] == [500, 500, 16, 16]


def test_an_id_outside_the_alphabet_is_an_error_with_a_table_too():
    model = build(embedding_size=300)
    with pytest.raises(IndexError):
        model(torch.full((B, 17), V), model.initial_state(B))


@every_kind
@pytest.mark.parametrize("embedding_size", [E, 300])
def test_bf16_gives_logits_and_gradients_in_the_dtype_of_the_weights_and_close_to_fp32(
    cell, activation, embedding_size
):
    found = []
    for compute_dtype in (None, torch.bfloat16):
        model, ids_BT = build(cell, activation, hidden_size=50, embedding_size=embedding_size).float(), window(17)
        logits_BTV, _ = model(ids_BT, model.initial_state(B), compute_dtype=compute_dtype)
        nats_per_char(logits_BTV, ids_BT).backward()
        assert all(p.grad.dtype == torch.float32 for p in model.parameters())
        found.append((logits_BTV, torch.cat([p.grad.flatten() for p in model.parameters()])))
    (exact, exact_gradient), (coarse, coarse_gradient) = found
    assert coarse.dtype == torch.float32
    torch.testing.assert_close(coarse, exact, atol=0.03, rtol=0.02)
    assert (coarse_gradient - exact_gradient).norm() < 0.03 * exact_gradient.norm()


def test_nats_per_char_is_the_mean_negative_log_likelihood_of_the_targets():
    torch.manual_seed(3)
    logits_BTV, targets_BT = torch.randn(B, T, V, dtype=torch.double), window()
    p = logits_BTV.exp() / logits_BTV.exp().sum(-1, keepdim=True)
    nats = [-p[b, t, targets_BT[b, t]].log() for b in range(B) for t in range(T)]
    torch.testing.assert_close(nats_per_char(logits_BTV, targets_BT), torch.stack(nats).mean())


def test_the_loss_of_equal_logits_is_the_log_of_the_alphabet_size():
    nats = nats_per_char(torch.zeros(B, T, V, dtype=torch.double), window())
    torch.testing.assert_close(nats, torch.tensor(float(V), dtype=torch.double).log())


def test_a_sampled_softmax_over_the_whole_alphabet_is_the_full_softmax(
    monkeypatch: pytest.MonkeyPatch,
):
    found = []
    y_BT = window()
    y_BT[0, 3] = -100  # nothing to predict
    for threshold in (V, V - 1):
        monkeypatch.setattr(loss_module, "SAMPLED_SOFTMAX_FROM", threshold)
        model = build()
        nn.init.normal_(model.head.bias)
        loss, norm, _ = forward_backward(model, window(), y_BT, model.initial_state(B))
        found.append([loss, norm, *(p.grad for p in model.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_sampled_candidates_estimate_the_sum_over_the_whole_alphabet(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loss_module, "NUM_SAMPLED", 40)
    torch.manual_seed(5)
    logits_V, y_BT = torch.randn(300, dtype=torch.double), torch.tensor([[7, 9, 7], [-100, 290, 8]])
    sums = []
    for _ in range(400):
        candidates_C, log_weight_C, indices_BT = sampled_softmax_candidates(y_BT, 300)
        assert len(candidates_C) == len(candidates_C.unique()) == 44
        assert (candidates_C[indices_BT[y_BT >= 0]] == y_BT[y_BT >= 0]).all()
        assert indices_BT[1, 0] == -100
        sums.append((logits_V[candidates_C] + log_weight_C).exp().sum())
    torch.testing.assert_close(torch.stack(sums).mean(), logits_V.exp().sum(), rtol=0.02, atol=0)


def test_no_gradient_flows_through_a_detached_state():
    model, ids_BT = build(), window()
    _, state = model(ids_BT, model.initial_state(B))
    detached = detach(state)
    assert_same_state(detached, state)
    assert all(each.requires_grad for layer in state for each in layer)
    assert not any(each.requires_grad for layer in detached for each in layer)


@every_kind
def test_a_model_rebuilt_from_its_weights_gives_the_same_logits(cell, activation):
    model, ids_BT = build(cell, activation).float(), window()
    settings = ModelSettings(
        cell=cell, activation=activation, hidden_size=H, num_layers=2, embedding_size=E, dropout=0.0
    )
    rebuilt = from_weights(settings, {name: p.detach().numpy() for name, p in model.named_parameters()})
    with torch.no_grad():
        a, b = (each(ids_BT, each.initial_state(B))[0] for each in (model, rebuilt))
    assert torch.equal(a, b)


def test_training_a_rebuilt_model_leaves_the_weights_it_came_from():
    weights = {name: p.detach().numpy() for name, p in build().float().named_parameters()}
    before = {name: value.copy() for name, value in weights.items()}
    rebuilt = from_weights(ModelSettings(hidden_size=H, num_layers=2, embedding_size=E), weights)
    with torch.no_grad():
        for p in rebuilt.parameters():
            p.add_(1)
    assert all((weights[name] == before[name]).all() for name in weights)


def ensemble(cell: str = "lstm", **kwargs: float) -> Ensemble:
    torch.manual_seed(1)
    sizes = {"hidden_size": H, "embedding_size": E, "num_layers": 2} | kwargs
    return Ensemble(CharModel(V, cell=cell, **sizes) for _ in range(3)).double()


@pytest.mark.parametrize("cell", CELLS)
def test_an_ensemble_predicts_the_mean_of_the_probabilities_of_its_members(cell):
    model, ids_BT = ensemble(cell), window()
    alone = [network(ids_BT, network.initial_state(B)) for network in model.members]
    mean_BTV = torch.stack([logits.softmax(-1) for logits, _ in alone]).mean(0)
    logits_BTV, after = model(ids_BT, model.initial_state(B))
    torch.testing.assert_close(logits_BTV.exp(), mean_BTV)
    assert_same_state(after, tuple(layer for _, state in alone for layer in state))
    first_BT, second_BT = ids_BT[:, :4], ids_BT[:, 4:]
    _, between = model(first_BT, model.initial_state(B))
    torch.testing.assert_close(model(second_BT, between)[0], logits_BTV[:, 4:])


@pytest.mark.parametrize("clip", [0.01, 1e9])
def test_each_network_of_an_ensemble_gets_the_gradients_that_it_gets_alone(clip):
    together, x_BT, y_BT = ensemble(dropout=0.0), window(), window().roll(1, 1)
    loss, norm, after = forward_backward(together, x_BT, y_BT, together.initial_state(B), clip=clip)
    apart = ensemble(dropout=0.0)
    alone = [forward_backward(n, x_BT, y_BT, n.initial_state(B), clip=clip) for n in apart.members]
    for p, own in zip(together.parameters(), apart.parameters(), strict=True):
        assert torch.equal(p.grad, own.grad)
    torch.testing.assert_close(loss, torch.stack([each[0] for each in alone]).mean())
    torch.testing.assert_close(norm, torch.stack([each[1] for each in alone]).mean())
    assert_same_state(after, tuple(layer for each in alone for layer in each[2]))


def test_the_networks_of_an_ensemble_begin_with_different_weights():
    first, second, third = (network.head.weight for network in ensemble().members)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


def test_an_ensemble_is_rebuilt_from_its_weights():
    model, ids_BT = ensemble().float(), window()
    settings = ModelSettings(hidden_size=H, num_layers=2, embedding_size=E, members=3)
    rebuilt = from_weights(settings, {name: p.detach().numpy() for name, p in model.named_parameters()})
    with torch.no_grad():
        a, b = (each.eval()(ids_BT, each.initial_state(B))[0] for each in (model, rebuilt))
    assert torch.equal(a, b)


def test_an_ensemble_on_a_large_alphabet_samples_the_same_candidates_for_all(monkeypatch):
    monkeypatch.setattr(loss_module, "SAMPLED_SOFTMAX_FROM", V - 1)
    monkeypatch.setattr(loss_module, "NUM_SAMPLED", V)
    model, x_BT, y_BT = ensemble(dropout=0.0), window(), window().roll(1, 1)
    loss, _, _ = forward_backward(model, x_BT, y_BT, model.initial_state(B))
    expected = [nats_per_char(n(x_BT, n.initial_state(B))[0], y_BT) for n in model.members]
    torch.testing.assert_close(loss, torch.stack(expected).mean().detach())
