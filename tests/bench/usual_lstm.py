"""Trains the LSTM that most tutorials train, in plain PyTorch: python tests/bench/usual_lstm.py TEXT SECONDS...

Two layers of 128 units in single precision, 50 streams in windows of 50 characters, Adam with a rate of 0.002,
gradients clipped at 5: the defaults of torch-rnn. The last tenth of the text is held out, and read whole with the
state carried through, as charnet does. Prints the loss in nats per character after so many seconds of the command.
Earlier evaluations are not counted.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

STARTED = time.monotonic()

import torch  # noqa: E402
from torch import nn  # noqa: E402

STREAMS, WINDOW, UNITS = 50, 50, 128  # B, T, H


class UsualLSTM(nn.Module):
    """Embedding, LSTM and output, as `nn` gives them."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, UNITS)
        self.lstm = nn.LSTM(UNITS, UNITS, num_layers=2, batch_first=True)
        self.output = nn.Linear(UNITS, vocab_size)

    def loss(self, ids_BT: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor] | None) -> tuple[torch.Tensor, tuple]:
        h_BTH, state = self.lstm(self.embedding(ids_BT[:, :-1]), state)
        logits_NV = self.output(h_BTH).flatten(0, 1)
        return nn.functional.cross_entropy(logits_NV, ids_BT[:, 1:].flatten()), tuple(part.detach() for part in state)


@torch.inference_mode()
def held_out_loss(model: UsualLSTM, ids_N: torch.Tensor) -> float:
    total, state = 0.0, None
    for at in range(0, len(ids_N) - 1, 10_000):
        piece_BT = ids_N[None, at : at + 10_001]
        loss, state = model.loss(piece_BT, state)
        total += loss.item() * (piece_BT.shape[1] - 1)
    return total / (len(ids_N) - 1)


def main() -> None:
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    moments = [float(word) for word in sys.argv[2:]]
    ids = {character: i for i, character in enumerate(sorted(set(text)))}
    ids_N = torch.tensor([ids[character] for character in text])
    held_out = len(text) - len(text) // 10
    streams_BN = ids_N[: held_out // STREAMS * STREAMS].view(STREAMS, -1)
    torch.manual_seed(1)
    model = UsualLSTM(len(ids))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    state, at, characters, spent_evaluating = None, 0, 0, 0.0
    while moments:
        if at + WINDOW + 1 > streams_BN.shape[1]:
            state, at = None, 0
        loss, state = model.loss(streams_BN[:, at : at + WINDOW + 1], state)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        at, characters = at + WINDOW, characters + STREAMS * WINDOW
        seconds = time.monotonic() - STARTED - spent_evaluating
        if seconds >= moments[0]:
            before = time.monotonic()
            nats = held_out_loss(model, ids_N[held_out:])
            spent_evaluating += time.monotonic() - before
            rate = characters / seconds
            print(f"{moments.pop(0):g} s: {nats:.4f} nats, training {loss.item():.4f}, {rate:,.0f} char/s", flush=True)


if __name__ == "__main__":
    main()
