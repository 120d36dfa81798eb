"""The character model: embedding, layers of one cell, a linear head; or several of them as an ensemble.

Shape legend: B streams, T characters, E numbers for a character, H units, G = gates x H, V characters in the alphabet,
C of them, U = V rounded up to a multiple of `ALIGNED`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from charnet.config import NUM_SAMPLED, SAMPLED_SOFTMAX_FROM, ModelSettings
from charnet.machine import tune_malloc
from charnet.model.cells import CELLS
from charnet.model.cells.base import Cell, State
from charnet.model.cells.rnn import RNN

ModelState = tuple[State, ...]
DROPOUT_LEVELS = 256  # of a random byte
ALIGNMENT = 8  # numbers: how wide a row is a multiple of, for the matrix units of a GPU


class CharModel(nn.Module):
    """Gives, after each character, the logits of the next.

    Args:
        alphabet_size: V.
        cell: a name in `CELLS`.
        activation: of the `rnn` cell.
        embedding_size: E; 0 stands for H.
        dropout: share of outputs silenced after each layer while training.
        weight_dropout: share of recurrent weights silenced while training, others in each window (Merity, Keskar &
            Socher 2018, "Regularizing and optimizing LSTM language models").
    """

    def __init__(
        self,
        alphabet_size: int,
        *,
        cell: str = "lstm",
        activation: str = "tanh",
        hidden_size: int = 256,
        num_layers: int = 1,
        embedding_size: int = 0,
        dropout: float = 0.0,
        weight_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        embedding_size = embedding_size or hidden_size
        self.dropout, self.weight_dropout = dropout, weight_dropout
        self.embedding = nn.Embedding(alphabet_size, embedding_size)
        self.layers = nn.ModuleList(
            _cell(cell, activation, hidden_size if layer else embedding_size, hidden_size)
            for layer in range(num_layers)
        )
        self.head = nn.Linear(hidden_size, alphabet_size)
        nn.init.zeros_(self.head.bias)

    def initial_state(self, batch_size: int) -> ModelState:
        """Zeros: what the model remembers before the first character."""
        return tuple(layer.initial_state(batch_size) for layer in self.cells)

    def forward(
        self,
        ids_BT: Tensor,
        state: ModelState,
        *,
        compute_dtype: torch.dtype | None = None,
        candidates_C: Tensor | None = None,
    ) -> tuple[Tensor, ModelState]:
        """Logits (B, T, V) of the character after each of ids_BT, and the state after the last.

        Args:
            compute_dtype: the number format in which cells and head multiply, by default that of the weights.
            candidates_C: the characters whose logits are wanted, (B, T, C); by default all.
        """
        h_BTH, table = self._lowest_input(ids_BT, compute_dtype or self.embedding.weight.dtype)
        after = []
        for layer, before in zip(self.cells, state, strict=True):
            h_BTH, layer_state = self._scan(layer, h_BTH, before, table)
            table = None
            if self.training and self.dropout:
                h_BTH = dropout(h_BTH.transpose(0, 1), self.dropout).transpose(0, 1)
            after.append(layer_state)
        wanted = (p if candidates_C is None else p.index_select(0, candidates_C) for p in self.head.parameters())
        weight, bias = (p.to(h_BTH.dtype) for p in wanted)
        logits_TBV = F.linear(h_BTH.transpose(0, 1), weight, bias).to(self.head.weight.dtype)
        return logits_TBV.transpose(0, 1), tuple(after)

    def _lowest_input(self, ids_BT: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """What the lowest cell reads, stored time first as it wants it, and the input weights for it where not its own.

        Of a small alphabet it reads a one in the place of the character and zeros elsewhere (B, T, U); its input
        weights are a table then (G, U), of what it would have made of each embedding. The result is the same to
        rounding. For each character U multiplications take the place of E; the table has to be made once a window.
        """
        ids_TB, weight_VE = ids_BT.t(), self.embedding.weight
        alphabet_size, size = weight_VE.shape
        width = -(-alphabet_size // ALIGNMENT) * ALIGNMENT
        if width * (ids_BT.numel() + size) >= size * ids_BT.numel():
            return self.embedding(ids_TB).to(dtype).transpose(0, 1), None
        one_of_VU = torch.eye(alphabet_size, width, dtype=dtype, device=weight_VE.device)
        padded_UE = F.pad(weight_VE, (0, 0, 0, width - alphabet_size)).to(dtype)
        return one_of_VU[ids_TB].transpose(0, 1), self.cells[0].weight_ih.to(dtype) @ padded_UE.t()

    def _scan(self, cell: Cell, x_BTE: Tensor, state: State, table_GU: Tensor | None) -> tuple[Tensor, State]:
        replaced = {} if table_GU is None else {"weight_ih": table_GU}
        if self.training and self.weight_dropout:
            replaced["weight_hh"] = dropout(cell.weight_hh, self.weight_dropout)
        return functional_call(cell, replaced, (x_BTE, state)) if replaced else cell.scan(x_BTE, state)

    @property
    def cells(self) -> list[Cell]:
        """The recurrent layers, the lowest first."""
        return list(self.layers)  # type: ignore[arg-type]

    @property
    def alphabet_size(self) -> int:
        return self.head.out_features

    @property
    def members(self) -> Sequence[CharModel]:
        """A model of one network is its own only member."""
        return [self]


class Ensemble(nn.Module):
    """Networks of one shape that read the same text and learn it each by itself; what they say is the mean of their
    probabilities (Hansen & Salamon 1990, "Neural network ensembles").

    Where a text is read so often that a network learns it by heart, each learns something else by heart, and the mean
    forgets it: three on a million characters are worth 0.03 to 0.04 nats a character over one.
    """

    def __init__(self, networks: Iterable[CharModel]) -> None:
        super().__init__()
        self.members: Sequence[CharModel] = nn.ModuleList(networks)  # type: ignore[assignment]

    @property
    def alphabet_size(self) -> int:
        return self.members[0].alphabet_size

    def initial_state(self, batch_size: int) -> ModelState:
        """Zeros, for the layers of the first network, then those of the second, and so on."""
        return tuple(layer for network in self.members for layer in network.initial_state(batch_size))

    def forward(self, ids_BT: Tensor, state: ModelState) -> tuple[Tensor, ModelState]:
        """Logarithms of the mean probabilities (B, T, V), which are logits too, and the state after the last. To learn,
        each network is asked by itself (`learn`)."""
        sum_BTV, after = self.members[0].head.weight.new_full((), -math.inf), []
        for network, before in split_state(self, state):
            logits_BTV, own = network(ids_BT, before)
            sum_BTV = torch.logaddexp(sum_BTV, logits_BTV.log_softmax(dim=-1))
            after += own
        return sum_BTV - math.log(len(self.members)), tuple(after)


Model = CharModel | Ensemble


def build(alphabet_size: int, settings: ModelSettings) -> Model:
    """A model as settings say, with weights that nothing was learned into."""
    shape = {name: value for name, value in vars(settings).items() if name != "members"}
    networks = [CharModel(alphabet_size, **shape) for _ in range(settings.members)]
    return networks[0] if settings.members == 1 else Ensemble(networks)


def split_state(model: Model, state: ModelState) -> Iterable[tuple[CharModel, ModelState]]:
    """Each network of a model, with its own part of the state."""
    begin = 0
    for network in model.members:
        end = begin + len(network.cells)
        yield network, state[begin:end]
        begin = end


def dropout(x: Tensor, rate: float) -> Tensor:
    """Dropout (Srivastava et al. 2014): a random share of the numbers is zero, the others grow to keep the mean.

    On the processor each draw of 64 random bits decides for eight numbers, so the share comes in steps of 1/256; the
    library's own draws once for each number, which took a fifth of the time of a training.
    """
    keep = round((1 - rate) * DROPOUT_LEVELS)
    if x.device.type != "cpu" or not 0 < keep < DROPOUT_LEVELS:
        return F.dropout(x, rate)
    draws = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
    kept = (draws.view(torch.uint8)[: x.numel()] < keep).view(x.shape)
    return x * kept.to(x.dtype) * (DROPOUT_LEVELS / keep)


def _cell(name: str, activation: str, input_size: int, hidden_size: int) -> Cell:
    if name == "rnn":
        return RNN(input_size, hidden_size, activation)
    return CELLS[name](input_size, hidden_size)


def nats_per_char(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Mean cross-entropy over all characters: a number, in nats."""
    # Logits are stored time first: in that order they flatten without a copy.
    return F.cross_entropy(logits_BTV.transpose(0, 1).flatten(0, 1), targets_BT.t().flatten())


def sampled_softmax_candidates(y_BT: Tensor, alphabet_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The characters that a window of a large alphabet is learned from: all that come in it, and some of the others.

    The cross-entropy sums over the whole alphabet, which for 20,000 characters costs seven times what an LSTM of 512
    units does. Here the others are a random sample without repeats, each of which counts for as many as it stands for:
    the sum is right in the mean (importance sampling, Bengio & Senécal 2003, in two strata), the loss a little below.
    On a GPU this waits for it: how many characters come is known only there.

    Args:
        y_BT: the characters that follow; those below 0 are not predicted.

    Returns:
        The characters (C), what to add to their logits (C), and y_BT as places among them.
    """
    comes_V = torch.zeros(alphabet_size, dtype=torch.bool, device=y_BT.device)
    comes_V[y_BT[y_BT >= 0]] = True
    coming, others = comes_V.nonzero().flatten(), (~comes_V).nonzero().flatten()
    sample = others[torch.randperm(len(others), device=y_BT.device)[:NUM_SAMPLED]]
    candidates_C = torch.cat([coming, sample])
    log_weight_C = torch.zeros(len(candidates_C), device=y_BT.device)
    log_weight_C[len(coming) :] = math.log(len(others) / max(1, len(sample))) if len(others) else 0.0
    place_V = torch.empty(alphabet_size, dtype=torch.int64, device=y_BT.device)
    place_V[candidates_C] = torch.arange(len(candidates_C), device=y_BT.device)
    return candidates_C, log_weight_C, torch.where(y_BT >= 0, place_V[y_BT.clamp(min=0)], y_BT)


def forward_backward(
    model: Model,
    x_BT: Tensor,
    y_BT: Tensor,
    state: ModelState,
    *,
    clip: float = math.inf,
    compute_dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor, ModelState]:
    """Reads one window of every stream and leaves the gradients in the parameters, ready for a step.

    Args:
        x_BT: characters read; y_BT: those that follow each of them.
        clip: largest norm that all gradients of a network together may have.

    Returns:
        The mean loss in nats per character (an estimate for large alphabets, see `drawn`), the norm of the gradient
        before it was clipped, the state after the window. Of several networks, loss and norm are the mean of theirs.
    """
    candidates_C = log_weight_C = None
    if model.alphabet_size > SAMPLED_SOFTMAX_FROM:
        candidates_C, log_weight_C, y_BT = sampled_softmax_candidates(y_BT, model.alphabet_size)
    losses, norms, after = [], [], []
    for network, before in split_state(model, detach(state)):
        logits_BTC, own = network(x_BT, before, compute_dtype=compute_dtype, candidates_C=candidates_C)
        loss = nats_per_char(logits_BTC if log_weight_C is None else logits_BTC + log_weight_C, y_BT)
        torch.autograd.backward(loss)  # one network after the other: only one keeps what its way back needs
        losses.append(loss.detach())
        norms.append(nn.utils.clip_grad_norm_(network.parameters(), clip))
        after += own
    return torch.stack(losses).mean(), torch.stack(norms).mean(), detach(tuple(after))


def from_weights(settings: ModelSettings, weights: Mapping[str, npt.NDArray[np.float32]]) -> Model:
    """A model with stored weights, on the processor."""
    alphabet_size = next(len(value) for name, value in weights.items() if name.endswith("head.bias"))
    model = build(alphabet_size, settings)
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    return model


def set_threads(threads: int) -> None:
    """Sets how many threads of the processor compute, and sees to it that they all compute alike, in memory that is
    kept.

    MKL's vector functions choose their code at their first call. Where two threads make that call at once, one of them
    may take other code, with other rounding, for that call: one start in twenty gave other weights, to the last digit.
    So the first call is made here, by one thread.
    """
    tune_malloc()
    torch.set_num_threads(threads)
    torch.ones(1).sqrt().exp().log().tanh()


def detach(state: ModelState) -> ModelState:
    """The same numbers, cut from the past: no gradient flows back through them."""
    return tuple(tuple(each.detach() for each in layer) for layer in state)
