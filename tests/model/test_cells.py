"""The contract of every cell in `CELLS`. Shape legend as in `charnet.model.cells.base`."""

import weakref

import pytest
import torch
from torch import Tensor, nn

from charnet.config import ACTIVATIONS as NAMED_ACTIVATIONS
from charnet.config import GATES
from charnet.model.cells import CELLS, fused_scan, lstm, packed_linear
from charnet.model.cells.base import Cell, State
from charnet.model.cells.cifg import CIFG
from charnet.model.cells.gru import GRU
from charnet.model.cells.lstm import LSTM
from charnet.model.cells.rnn import ACTIVATIONS, RNN

B, T, E, H = 2, 7, 3, 5

BUILDERS = {name: cell_class for name, cell_class in CELLS.items() if cell_class is not RNN}
BUILDERS |= {f"rnn-{f}": (lambda e, h, f=f: RNN(e, h, f)) for f in ACTIVATIONS}


class LargeLSTM(LSTM):
    """An LSTM that always uses `fused_scan`, as large bf16 layers do."""

    def scan(self, x_BTE: Tensor, state: State) -> tuple[Tensor, State]:
        return fused_scan.scan(self, lstm._LSTMPointwise(), x_BTE, state)


BUILDERS["lstm-large"] = LargeLSTM
every_cell = pytest.mark.parametrize("name", BUILDERS)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Threads that wait for each other in sums this small cost seconds on a busy machine; conftest sets them back."""
    torch.set_num_threads(1)


def build(name: str, input_size: int = E, hidden_size: int = H) -> Cell:
    """Builds a cell in double precision with random parameters, biases included."""
    torch.manual_seed(1)
    cell = BUILDERS[name](input_size, hidden_size).double()
    for p in cell.parameters():
        nn.init.uniform_(p, -0.7, 0.7)
    return cell


def window(cell: Cell, length: int = T, batch: int = B) -> tuple[Tensor, State]:
    """Returns a random input and a random initial state, both with gradients."""
    torch.manual_seed(2)
    x_BTE = torch.randn(batch, length, E, dtype=torch.double, requires_grad=True)
    state = tuple(torch.rand(batch, H, dtype=torch.double, requires_grad=True) for _ in cell.state_names)
    return x_BTE, state


def step_by_step(cell: Cell, x_BTE: Tensor, state: State) -> tuple[Tensor, State]:
    outputs = []
    for x_BE in x_BTE.unbind(1):
        h_BH, state = cell.step(x_BE, state)
        outputs.append(h_BH)
    return torch.stack(outputs, 1), state


def total(outputs: tuple[Tensor, State]) -> Tensor:
    """Sums all outputs with random weights, so that swapped gradients are noticed."""
    torch.manual_seed(3)
    return sum((torch.randn(each.shape, dtype=torch.double) * each).sum() for each in (outputs[0], *outputs[1]))


def assert_same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@every_cell
def test_scan_gives_the_hidden_states_and_final_state_of_step(name):
    cell = build(name)
    x_BTE, state = window(cell)
    stepped, step_state = step_by_step(cell, x_BTE, state)
    scanned, scan_state = cell.scan(x_BTE, state)
    assert scanned.shape == (B, T, H)
    assert len(scan_state) == len(step_state) == len(cell.state_names)
    assert_same(scanned, stepped)
    for a, b in zip(scan_state, step_state, strict=True):
        assert_same(a, b)
    assert_same(scan_state[0], scanned[:, -1])


@every_cell
def test_scan_gives_the_gradients_of_step_to_input_state_and_every_parameter(name):
    cell = build(name)
    x_BTE, state = window(cell)
    wanted = [x_BTE, *state, *cell.parameters()]
    stepped = torch.autograd.grad(total(step_by_step(cell, x_BTE, state)), wanted)
    scanned = torch.autograd.grad(total(cell.scan(x_BTE, state)), wanted)
    for a, b in zip(scanned, stepped, strict=True):
        assert b.abs().max() > 0
        assert_same(a, b)


@every_cell
@pytest.mark.parametrize("part", ["hidden states", "final state"])
def test_scan_gives_the_gradients_of_step_when_only_one_output_is_used(name, part):
    cell = build(name)
    x_BTE, state = window(cell)
    wanted = [x_BTE, *state, *cell.parameters()]

    def chosen(outputs):
        return total((outputs[0], ())) if part == "hidden states" else total((outputs[0][:0], outputs[1]))

    stepped = torch.autograd.grad(chosen(step_by_step(cell, x_BTE, state)), wanted)
    scanned = torch.autograd.grad(chosen(cell.scan(x_BTE, state)), wanted)
    for a, b in zip(scanned, stepped, strict=True):
        assert_same(a, b)


@every_cell
@pytest.mark.parametrize("at", range(1, T))
def test_a_window_cut_anywhere_gives_the_same_hidden_states_final_state_and_gradients(name, at):
    cell = build(name)
    x_BTE, state = window(cell)
    whole = cell.scan(x_BTE, state)
    first, between = cell.scan(x_BTE[:, :at], state)
    second, after = cell.scan(x_BTE[:, at:], between)
    pieces = torch.cat([first, second], 1), after
    assert_same(pieces[0], whole[0])
    for a, b in zip(pieces[1], whole[1], strict=True):
        assert_same(a, b)
    wanted = [x_BTE, *state, *cell.parameters()]
    for a, b in zip(*(torch.autograd.grad(total(each), wanted) for each in (pieces, whole)), strict=True):
        assert_same(a, b)


@every_cell
def test_gradients_of_scan_are_finite_differences(name):
    cell = build(name)
    x_BTE, state = window(cell, length=4)

    def outputs(x_BTE, *rest):
        h_BTH, after = cell.scan(x_BTE, rest[: len(state)])
        return h_BTH, *after

    assert torch.autograd.gradcheck(outputs, (x_BTE, *state, *cell.parameters()), atol=1e-6)


@every_cell
def test_gradients_of_step_are_finite_differences(name):
    cell = build(name)
    x_BTE, state = window(cell, length=1)

    def outputs(x_BE, *rest):
        return cell.step(x_BE, rest[: len(state)])[1]

    x_BE = x_BTE.detach()[:, 0].clone().requires_grad_()
    assert torch.autograd.gradcheck(outputs, (x_BE, *state, *cell.parameters()), atol=1e-6)


@every_cell
def test_the_output_of_a_step_is_the_hidden_state(name):
    cell = build(name)
    x_BTE, state = window(cell)
    h_BH, after = cell.step(x_BTE[:, 0], state)
    assert cell.state_names[0] == "h"
    assert torch.equal(h_BH, after[0])


@every_cell
@pytest.mark.parametrize("form", ["step", "scan"])
def test_the_state_that_goes_in_is_not_changed(name, form):
    cell = build(name)
    x_BTE, state = window(cell)
    before = [each.detach().clone() for each in state]
    with torch.no_grad():
        cell.step(x_BTE[:, 0], state) if form == "step" else cell.scan(x_BTE, state)
    for a, b in zip(state, before, strict=True):
        assert torch.equal(a, b)


@every_cell
def test_scan_accepts_any_memory_layout_of_its_input(name):
    cell = build(name)
    x_BTE, state = window(cell)
    time_first = x_BTE.detach().transpose(0, 1).contiguous().transpose(0, 1)
    assert not time_first.is_contiguous()
    assert_same(cell.scan(time_first, state)[0], cell.scan(x_BTE, state)[0])


@every_cell
def test_streams_are_independent(name):
    cell = build(name)
    x_BTE, state = window(cell)
    together, _ = cell.scan(x_BTE, state)
    for b in range(B):
        alone, _ = cell.scan(x_BTE[b : b + 1], tuple(each[b : b + 1] for each in state))
        assert_same(alone[0], together[b])


@every_cell
def test_scan_gives_the_same_without_gradients(name):
    cell = build(name)
    x_BTE, state = window(cell)
    with torch.no_grad():
        without, after = cell.scan(x_BTE, state)
    assert not without.requires_grad
    assert not any(each.requires_grad for each in after)
    assert_same(without, cell.scan(x_BTE, state)[0].detach())


@every_cell
def test_saturated_gates_give_finite_numbers_and_gradients(name):
    cell = build(name)
    x_BTE, state = window(cell)
    outputs = cell.scan(x_BTE * 1e4, state)
    assert all(each.isfinite().all() for each in (outputs[0], *outputs[1]))
    wanted = [x_BTE, *state, *cell.parameters()]
    assert all(g.isfinite().all() for g in torch.autograd.grad(total(outputs), wanted))


@every_cell
def test_the_initial_state_is_zeros_one_for_each_state_name(name):
    cell = build(name)
    state = cell.initial_state(B)
    assert len(state) == len(cell.state_names)
    for each in state:
        assert each.shape == (B, H)
        assert each.dtype == torch.double
        assert not each.any()


PARAMETERS = {"rnn": H * (E + H + 1), "lstm": 4 * H * (E + H + 1), "cifg": 3 * H * (E + H + 1)}
PARAMETERS |= {"gru": 3 * H * (E + H + 1) + H}


@every_cell
def test_a_cell_has_as_many_parameters_as_its_docstring_says(name):
    cell_name = name.partition("-")[0]
    assert cell_name in PARAMETERS, "a new cell: add the formula of its docstring to PARAMETERS"
    assert sum(p.numel() for p in build(name).parameters()) == PARAMETERS[cell_name]


@every_cell
def test_the_weights_of_all_gates_are_stacked(name):
    cell = build(name)
    rows = len(cell.gates) * H
    assert cell.weight_ih.shape == (rows, E)
    assert cell.weight_hh.shape == (rows, H)
    assert cell.bias.shape == (rows,)


def test_the_settings_list_the_gates_of_every_cell_and_every_activation():
    assert {name: len(cell.gates) for name, cell in CELLS.items()} == GATES
    assert set(ACTIVATIONS) == set(NAMED_ACTIVATIONS)


def library_module(module_class: type[nn.RNNBase], cell: Cell, **kwargs: str) -> nn.RNNBase:
    library = module_class(E, H, batch_first=True, dtype=torch.double, **kwargs)
    with torch.no_grad():
        library.weight_ih_l0.copy_(cell.weight_ih)
        library.weight_hh_l0.copy_(cell.weight_hh)
        library.bias_ih_l0.copy_(cell.bias)
        library.bias_hh_l0.zero_()
    return library


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_rnn_is_the_rnn_of_torch(activation):
    cell = build(f"rnn-{activation}")
    x_BTE, (h_BH,) = window(cell)
    h_BTH, h_1BH = library_module(nn.RNN, cell, nonlinearity=activation)(x_BTE, h_BH[None])
    ours, (after,) = cell.scan(x_BTE, (h_BH,))
    assert_same(ours, h_BTH)
    assert_same(after, h_1BH[0])


def test_rnn_with_sigmoid_computes_its_equation():
    cell = build("rnn-sigmoid")
    x_BTE, (h_BH,) = window(cell)
    expected = 1 / (1 + torch.exp(-(x_BTE[:, 0] @ cell.weight_ih.T + cell.bias + h_BH @ cell.weight_hh.T)))
    assert_same(cell.step(x_BTE[:, 0], (h_BH,))[0], expected)


def test_lstm_is_the_lstm_of_torch():
    cell = build("lstm")
    x_BTE, (h_BH, c_BH) = window(cell)
    h_BTH, (h_1BH, c_1BH) = library_module(nn.LSTM, cell)(x_BTE, (h_BH[None], c_BH[None]))
    stepped, after = step_by_step(cell, x_BTE, (h_BH, c_BH))
    assert_same(stepped, h_BTH)
    assert_same(after[0], h_1BH[0])
    assert_same(after[1], c_1BH[0])


def test_gru_is_the_gru_of_torch():
    cell = build("gru")
    assert isinstance(cell, GRU)
    library = library_module(nn.GRU, cell)
    with torch.no_grad():
        library.bias_hh_l0[2 * H :] = cell.bias_hn
    x_BTE, (h_BH,) = window(cell)
    h_BTH, h_1BH = library(x_BTE, h_BH[None])
    ours, (after,) = cell.scan(x_BTE, (h_BH,))
    assert_same(ours, h_BTH)
    assert_same(after, h_1BH[0])


def test_cifg_is_an_lstm_whose_forget_weights_are_minus_its_input_weights():
    cell, lstm = build("cifg"), build("lstm")
    assert isinstance(cell, CIFG)
    assert isinstance(lstm, LSTM)
    with torch.no_grad():
        for name, p in lstm.named_parameters():
            i, g, o = getattr(cell, name).chunk(3)
            p.copy_(torch.cat([i, -i, g, o]))
    x_BTE, state = window(cell)
    ours, after = cell.scan(x_BTE, state)
    theirs, lstm_after = lstm.scan(x_BTE, state)
    assert_same(ours, theirs)
    for a, b in zip(after, lstm_after, strict=True):
        assert_same(a, b)


@pytest.mark.parametrize("cell_class", [each for each in CELLS.values() if each is not RNN])
def test_weights_start_within_one_over_the_root_of_the_hidden_size_and_biases_at_zero(cell_class):
    torch.manual_seed(0)
    for name, p in cell_class(30, 25).named_parameters():
        if name.startswith("bias"):
            assert not p.any()
        else:
            assert 0.19 < p.abs().max() <= 0.2


@pytest.mark.parametrize("gain", [1.0, 4.0])
def test_the_recurrent_matrix_of_rnn_starts_orthogonal(gain):
    cell = RNN(E, H, "tanh" if gain == 1 else "sigmoid")
    torch.testing.assert_close(cell.weight_hh @ cell.weight_hh.T, gain**2 * torch.eye(H), rtol=0, atol=1e-5)


def test_the_recurrent_matrix_of_relu_starts_as_half_the_identity():
    assert torch.equal(RNN(E, H, "relu").weight_hh, torch.eye(H) / 2)


def test_units_at_one_half_of_a_fresh_sigmoid_rnn_stay_there():
    cell = RNN(E, H, "sigmoid")
    h_BH, _ = cell.step(torch.zeros(B, E), (torch.full((B, H), 0.5),))
    torch.testing.assert_close(h_BH, torch.full((B, H), 0.5))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@every_cell
def test_scan_on_cuda_equals_step_on_the_cpu(name):
    cell = build(name)
    x_BTE, state = window(cell)
    expected = step_by_step(cell, x_BTE, state)
    wanted = [x_BTE, *state, *cell.parameters()]
    expected_grads = torch.autograd.grad(total(expected), wanted)
    torch.manual_seed(3)
    weights = [torch.randn(each.shape, dtype=torch.double).cuda() for each in (expected[0], *expected[1])]
    cell.cuda()
    moved = [x_BTE.detach().cuda().requires_grad_(), *(each.detach().cuda().requires_grad_() for each in state)]
    h_BTH, after = cell.scan(moved[0], tuple(moved[1:]))
    loss = sum((w * each).sum() for w, each in zip(weights, (h_BTH, *after), strict=True))
    assert_same(h_BTH.cpu(), expected[0])
    grads = torch.autograd.grad(loss, [*moved, *cell.parameters()])
    for a, b in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(a.cpu(), b, rtol=1e-8, atol=1e-10)


@every_cell
def test_a_window_frees_its_memory_after_backward(name):
    cell = build(name)
    x_BTE, state = window(cell)
    h_BTH, after = cell.scan(x_BTE, state)
    torch.autograd.backward(h_BTH.sum() + sum(each.sum() for each in after))
    outputs = [weakref.ref(each) for each in (h_BTH, *after)]
    del h_BTH, after
    assert [each() for each in outputs] == [None] * len(outputs)


def gradients(cell: Cell, x_BTE: Tensor, state: State, dtype: torch.dtype) -> dict[str, Tensor]:
    """Scans in a dtype; returns the output and the gradients of input and parameters, all in fp32."""
    x_BTE = x_BTE.clone().requires_grad_()
    h_BTH, after = cell.scan(x_BTE.to(dtype), state)
    assert all(each.dtype == torch.float32 for each in after)
    torch.manual_seed(3)
    (h_BTH.float() * torch.randn(h_BTH.shape)).sum().backward()
    results = {name: p.grad for name, p in cell.named_parameters()} | {
        "input": x_BTE.grad,
        "output": h_BTH.detach().float(),
    }
    cell.zero_grad()
    return results


@pytest.mark.parametrize("units", [33, 256, 1024])
@every_cell
@pytest.mark.covering(1)
def test_a_scan_in_bf16_equals_fp32_to_three_digits(name, units):
    """Also for layers too large for oneDNN: see `MAX_ONEDNN_BF16_UNITS`."""
    torch.manual_seed(1)
    cell = BUILDERS[name](24, units)
    x_BTE, state = torch.randn(4, 5, 24), cell.initial_state(4)
    full, half = (gradients(cell, x_BTE, state, dtype) for dtype in (torch.float32, torch.bfloat16))
    for part, exact in full.items():
        assert (half[part] - exact).norm() < 0.04 * exact.norm(), part


@every_cell
def test_three_layers_in_bf16_keep_two_digits_of_small_inputs(name):
    torch.manual_seed(1)
    layers = [BUILDERS[name](24 if i == 0 else 128, 128) for i in range(3)]
    outputs = []
    for dtype in (torch.float32, torch.bfloat16):
        h_BTH = 0.05 * torch.randn(4, 20, 24, generator=torch.Generator().manual_seed(2)).to(dtype)
        for layer in layers:
            h_BTH, _ = layer.scan(h_BTH, layer.initial_state(4))
        outputs.append(h_BTH.detach().float())
    exact, found = outputs
    assert (found - exact).norm() < 0.02 * exact.norm()


SCANNED = [name for name in BUILDERS if name != "lstm"]


@pytest.mark.parametrize("name", SCANNED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packed_weights_give_the_same_as_plain_products(name, dtype, monkeypatch):
    if not packed_linear.can_prepack(dtype):
        pytest.skip("this build of torch cannot prepack weights")
    runs = []
    for packed in (True, False):
        monkeypatch.setattr(packed_linear, "can_prepack", lambda _, packed=packed: packed)
        torch.manual_seed(1)
        cell = BUILDERS[name](48, 64)
        torch.manual_seed(2)
        x_BTE = torch.randn(B, T, 48, dtype=dtype, requires_grad=True)
        h_BTH, after = cell.scan(x_BTE, cell.initial_state(B))
        total = h_BTH.float().square().sum() + sum(each.sum() for each in after)
        runs.append([h_BTH.detach(), *torch.autograd.grad(total, [x_BTE, *cell.parameters()])])
    tolerance = 1e-5 if dtype is torch.float32 else 0.03
    for packed, plain in zip(*runs, strict=True):
        assert (packed - plain).norm() <= tolerance * plain.norm()


@pytest.mark.parametrize("weights", [(64, 48), (7, 5), (1, 1)])
def test_packed_linear_equals_linear(weights):
    torch.manual_seed(1)
    weight_GH, bias_G, x_BH, other_BG = (
        torch.randn(s) for s in (weights, weights[0], (3, weights[1]), (3, weights[0]))
    )
    product = packed_linear.PackedLinear(weight_GH, 3, bias_G)(x_BH)
    torch.testing.assert_close(product, torch.nn.functional.linear(x_BH, weight_GH, bias_G))
    added = packed_linear.PackedLinear(weight_GH, 3).addmm(x_BH, other_BG)
    torch.testing.assert_close(added, x_BH @ weight_GH.t() + other_BG)


def test_tanh_in_bf16_is_accurate_to_three_digits_for_small_numbers():
    x = torch.logspace(-4, 1, 200).bfloat16()
    exact = x.double().tanh()
    assert ((fused_scan.tanh(x, torch.empty_like(x)) - exact).abs() / exact).max() < 0.01


def test_tanh_in_fp32_is_accurate_and_saturates():
    x = torch.cat([torch.linspace(-20, 20, 4001), torch.tensor([-1e9, 1e9, 0.0])])
    y = x.clone()
    assert fused_scan.tanh(y, out=y) is y
    assert (y - x.double().tanh()).abs().max() < 2e-7
