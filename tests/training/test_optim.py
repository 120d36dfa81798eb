"""Optimizers and the learning rate."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from charnet.config import OPTIMIZERS
from charnet.model.cells import CELLS
from charnet.model.loss import nats_per_char
from charnet.model.network import CharModel
from charnet.training import optim
from charnet.training.optim import Optimizer, is_cell_matrix, learning_rate_at, orthogonalize
from charnet.training.resolve import DEFAULT_LEARNING_RATE

V, E, H = 11, 3, 5

every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Threads that wait for each other in sums this small cost seconds on a busy machine; conftest sets them back."""
    torch.set_num_threads(1)


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Newton-Schulz in double precision, so that equality can be asked for."""
    monkeypatch.setattr(optim, "matmul_dtype", lambda _: torch.double, raising=False)


def build(cell: str = "lstm") -> CharModel:
    torch.manual_seed(1)
    return CharModel(V, cell=cell, hidden_size=H, embedding_size=E, num_layers=2).double()


def gradients(model: CharModel, seed: int) -> None:
    """Gives every parameter the gradient of the loss on a random text."""
    torch.manual_seed(seed)
    ids_BT = torch.randint(V, (2, 8))
    logits_BTV, _ = model(ids_BT[:, :-1], model.initial_state(2))
    nats_per_char(logits_BTV, ids_BT[:, 1:]).backward()


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def moves(model: CharModel, optimizer: Optimizer, step: int, learning_rate: float) -> dict[str, Tensor]:
    """How far one step moves each parameter."""
    before = weights(model)
    optimizer.step(step, learning_rate)
    return {name: p.detach() - before[name] for name, p in model.named_parameters()}


@pytest.mark.parametrize("shape", [(1, 5, 3), (4, 5, 3), (4, 3, 5), (3, 7, 7), (3, 40, 17), (3, 17, 40)])
def test_singular_values_of_an_orthogonalised_matrix_are_about_one(shape):
    torch.manual_seed(4)
    update = torch.randn(shape)
    before, after = torch.linalg.svdvals(update), torch.linalg.svdvals(orthogonalize(update))
    large = before > 0.05 * before.norm(dim=1, keepdim=True)  # the rest a step would have to guess
    assert large.float().mean() > 0.9
    assert after[large].min() > 0.6
    assert after.max() < 1.3


@pytest.mark.usefixtures("exact")
def test_orthogonalising_keeps_the_singular_vectors():
    torch.manual_seed(4)
    update = torch.randn(2, 5, 3, dtype=torch.double)
    left, _, right = torch.linalg.svd(update, full_matrices=False)
    inner = left.mT @ orthogonalize(update) @ right.mT
    assert (inner - torch.diag_embed(inner.diagonal(dim1=1, dim2=2))).abs().max() < 1e-12
    assert (inner.diagonal(dim1=1, dim2=2) > 0.6).all()


@pytest.mark.usefixtures("exact")
def test_each_matrix_of_a_stack_is_orthogonalised_by_itself():
    torch.manual_seed(4)
    update = torch.randn(3, 5, 3, dtype=torch.double) * torch.tensor([1e-3, 1.0, 1e3])[:, None, None]
    together = orthogonalize(update)
    for n in range(3):
        torch.testing.assert_close(together[n], orthogonalize(update[n : n + 1])[0])


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize(("rows", "columns"), [(256, 300), (300, 256), (256, 256)])
def test_a_large_matrix_is_orthogonalised_in_blocks_of_its_shorter_side(rows, columns):
    torch.manual_seed(4)
    update = torch.randn(2, rows, columns, dtype=torch.double)
    blocks = update.chunk(2, dim=1) if rows <= columns else update.chunk(2, dim=2)
    expected = torch.cat([orthogonalize(block) for block in blocks], dim=1 if rows <= columns else 2)
    torch.testing.assert_close(orthogonalize(update), expected)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("length", [1e-3, 0.1, 30, 1e6])
def test_the_length_of_an_update_does_not_matter(length):
    torch.manual_seed(4)
    update = torch.randn(2, 5, 3, dtype=torch.double)
    torch.testing.assert_close(orthogonalize(update * length), orthogonalize(update), rtol=1e-3, atol=1e-3)


def test_nothing_to_do_stays_nothing():
    assert not orthogonalize(torch.zeros(2, 5, 3)).any()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.usefixtures("exact")
def test_the_first_muon_step_moves_each_gate_along_its_own_orthogonalised_gradient(cell):
    model, blocks = build(cell), len(CELLS[cell].gates)
    gradients(model, 2)
    grads = {name: p.grad.clone() for name, p in model.named_parameters()}
    moved = moves(model, Optimizer(model, "muon", blocks=blocks), 0, 0.1)
    matrices = [name for name in moved if is_cell_matrix(name)]
    assert len(matrices) == 4
    for name in matrices:
        for gate, grad in zip(moved[name].chunk(blocks), grads[name].chunk(blocks), strict=True):
            longer = max(1.0, grad.shape[0] / grad.shape[1]) ** 0.5
            ahead = 0.1 * grad + 0.9 * 0.1 * grad
            torch.testing.assert_close(gate, -0.1 * longer * orthogonalize(ahead[None])[0])


@pytest.mark.usefixtures("exact")
def test_muon_looks_ahead_along_its_momentum():
    model = build()
    optimizer = Optimizer(model, "muon", blocks=4)
    momentum = torch.zeros(4, H, H, dtype=torch.double)
    for step in range(3):
        gradients(model, step)
        grad = model.cells[0].weight_hh.grad.clone().view(4, H, H)
        momentum = 0.9 * momentum + 0.1 * grad
        expected = -0.1 * orthogonalize(0.1 * grad + 0.9 * momentum)
        moved = moves(model, optimizer, step, 0.1)["layers.0.weight_hh"]
        torch.testing.assert_close(moved.view(4, H, H), expected)


def test_muon_moves_everything_but_the_cell_matrices_with_adamw_at_a_quarter_of_its_step():
    (one, other), runs = (build(), build()), {}
    for name, model, rate in (("muon", one, 0.04), ("adamw", other, 0.01)):
        optimizer = Optimizer(model, name, blocks=4)
        gradients(model, 2)
        runs[name] = moves(model, optimizer, 0, rate)
    for name, moved in runs["muon"].items():
        alike = torch.allclose(moved, runs["adamw"][name], rtol=1e-9, atol=1e-12)
        assert alike == (not is_cell_matrix(name)), name


def in_step_with_torch(name: str, reference: type[torch.optim.Optimizer], **options: object) -> None:
    ours, theirs = build(), build()
    optimizer, torchs = Optimizer(ours, name, blocks=4), reference(theirs.parameters(), **options)
    for step in range(12):
        rate = 0.03 / (1 + step)
        for group in torchs.param_groups:
            group["lr"] = rate
        gradients(ours, step)
        gradients(theirs, step)
        optimizer.step(step, rate)
        torchs.step()
        torchs.zero_grad()
        for (key, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12, msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.exhaustive
def test_adamw_is_the_adamw_of_torch_step_by_step():
    in_step_with_torch("adamw", torch.optim.AdamW, lr=1.0, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0)


def test_sgd_is_the_sgd_of_torch_with_momentum_step_by_step():
    in_step_with_torch("sgd", torch.optim.SGD, lr=1.0, momentum=0.9)


@every_optimizer
def test_weight_decay_fades_the_cell_matrices_and_nothing_else(name):
    runs = []
    for decay in (0.0, 0.5):
        model = build()
        optimizer = Optimizer(model, name, blocks=4, weight_decay=decay)
        gradients(model, 2)
        runs.append(moves(model, optimizer, 0, 0.1))
    for key, before in weights(build()).items():
        fade = -0.1 * 0.5 * before if is_cell_matrix(key) else torch.zeros_like(before)
        torch.testing.assert_close(runs[1][key] - runs[0][key], fade)


@every_optimizer
def test_a_step_against_the_gradient_lowers_the_loss(name):
    model = build()
    optimizer = Optimizer(model, name, blocks=4)
    torch.manual_seed(2)
    ids_BT, losses = torch.randint(V, (2, 8)), []
    for step in range(30):
        logits_BTV, _ = model(ids_BT[:, :-1], model.initial_state(2))
        loss = nats_per_char(logits_BTV, ids_BT[:, 1:])
        loss.backward()
        losses.append(float(loss.detach()))
        optimizer.step(step, DEFAULT_LEARNING_RATE[name])
    assert losses[-1] < losses[0] - 0.1


@every_optimizer
def test_a_step_forgets_the_gradients_and_leaves_parameters_without_one_alone(name):
    model = build()
    optimizer = Optimizer(model, name, blocks=4, weight_decay=0.1)
    gradients(model, 2)
    model.cells[1].weight_hh.grad = None
    moved = moves(model, optimizer, 0, 0.1)
    assert not moved.pop("layers.1.weight_hh").any()
    assert all(each.any() for each in moved.values())
    assert all(p.grad is None for p in model.parameters())


@every_optimizer
def test_all_that_an_optimizer_remembers_is_in_its_state(name):
    model, again = build(), build()
    optimizer = Optimizer(model, name, blocks=4)
    for step in range(3):
        gradients(model, step)
        optimizer.step(step, 0.02)
    again.load_state_dict(model.state_dict())
    resumed = Optimizer(again, name, blocks=4)
    assert set(resumed.state) == set(optimizer.state)
    resumed.state |= {key: value.clone() for key, value in optimizer.state.items()}
    for step in range(3, 6):
        for each, mover in ((model, optimizer), (again, resumed)):
            gradients(each, step)
            mover.step(step, 0.02)
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


@every_optimizer
def test_the_state_is_named_by_parameter_and_has_its_shape(name):
    model = build()
    parameters = dict(model.named_parameters())
    state = Optimizer(model, name, blocks=4).state
    assert {key.rpartition(".")[0] for key in state} == set(parameters)
    for key, value in state.items():
        assert value.shape == parameters[key.rpartition(".")[0]].shape
        assert not value.requires_grad
        assert not value.any()


def test_only_input_and_recurrent_matrices_are_cell_matrices():
    names = [name for name in weights(build("gru")) if is_cell_matrix(name)]
    assert names == [f"layers.{i}.weight_{which}" for i in (0, 1) for which in ("ih", "hh")]


schedules = st.fixed_dictionaries({"largest": st.floats(1e-5, 10), "warmup": st.floats(0, 1), "final": st.floats(0, 1)})


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 300), schedules)
def test_the_learning_rate_rises_in_equal_steps_to_its_largest_then_never_rises_again(steps, schedule):
    rates = [learning_rate_at(s, steps, **schedule) for s in range(steps)]
    largest, rise = schedule["largest"], round(schedule["warmup"] * steps)
    for s in range(rise):
        assert rates[s] == pytest.approx(largest * (s + 1) / rise)
    assert max(rates) == pytest.approx(largest)
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(rates[rise:]))
    assert all(rate > 0 for rate in rates) or schedule["final"] < 1e-6
    assert min(rates[rise:], default=largest) >= largest * schedule["final"] * (1 - 1e-12)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 300), schedules)
def test_the_learning_rate_ends_at_its_final_share(steps, schedule):
    if round(schedule["warmup"] * steps) < steps:
        for at in (steps, steps + 10):
            assert learning_rate_at(at, steps, **schedule) == pytest.approx(schedule["largest"] * schedule["final"])


def test_the_learning_rate_falls_as_half_a_cosine():
    fallen = [learning_rate_at(100 + s, 500, largest=2, warmup=0.2, final=0.1) for s in (0, 100, 200, 300, 400)]
    expected = [2 * (0.1 + 0.9 * (1 + math.cos(math.pi * s)) / 2) for s in (0, 0.25, 0.5, 0.75, 1)]
    assert fallen == pytest.approx(expected)


def test_every_optimizer_has_a_learning_rate_of_its_own():
    assert set(DEFAULT_LEARNING_RATE) == set(OPTIMIZERS)


def share(step, steps, earlier):
    place, planned = optim.schedule_position(step, steps, earlier)
    return place / planned


def test_a_run_that_is_replanned_keeps_its_position_in_the_schedule():
    until, planned, steps = 40, 100, 70
    shares = [share(step, steps, [(until, planned)]) for step in range(steps + 1)]
    assert shares[: until + 1] == pytest.approx([step / planned for step in range(until + 1)])
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_steps_before_a_plan_was_given_up_are_what_they_were_under_it():
    for step in range(40):
        assert optim.schedule_position(step, 70, [(40, 100), (60, 90)]) == (step, 100)
    for step in range(40, 60):
        assert optim.schedule_position(step, 70, [(40, 100), (60, 90)]) == optim.schedule_position(
            step, 90, [(40, 100)]
        )


@given(
    st.integers(0, 1000),
    st.integers(1, 1000),
    st.lists(st.tuples(st.integers(0, 10**10), st.integers(1, 10**10)), max_size=4),
)
def test_whatever_plans_were_given_up_a_step_stands_between_start_and_end(step, steps, earlier):
    place, planned = optim.schedule_position(min(step, steps), steps, earlier)
    assert 0 <= place <= max(planned, min(step, steps)) * (1 + 1e-9)
    assert 0 <= learning_rate_at(place, planned, largest=0.3, warmup=0.4, final=0.01) <= 0.3
