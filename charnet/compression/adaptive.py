"""Codes a text by the model's predictions and by what the text itself has shown so far.

Beside the networks, and the n-gram of the training text if there is one, an n-gram is learned from the text while it is
coded. Their distributions are mixed in the logistic domain: the logarithms are added with weights and give a new
distribution, and the weights learn from each symbol what would have made it more probable (Mattern 2013, "Linear and
geometric mixtures"; PAQ8 mixes bits so). All numbers are integers.

Shape legend: I predictions, B streams, S symbols and the one that never comes, N symbols of a block.
"""

from __future__ import annotations

import numpy as np

from charnet.compression import kernels_adaptive as kernels
from charnet.compression import learned_tables, rans
from charnet.compression.counts import Int64s, Shares, ideal_bits, log2
from charnet.compression.layout import Layout
from charnet.compression.network import Predictor, Reader
from charnet.compression.rans import CodeError, Words


class AdaptiveCoder:
    """Codes blocks one after the other, and learns from each.

    Args:
        predictor: gives the predictions of the networks and of the n-gram separately.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._inputs, self._start_id = predictor.inputs(), predictor.vocab.start_id()
        self._learned: learned_tables.Learned | None = None

    def encode(self, ids_N: Int64s, shares: Shares, reader: Reader) -> tuple[Words, float]:
        layout = Layout(len(ids_N))
        starts_N, counts_N = np.empty(len(ids_N), np.int64), np.empty(len(ids_N), np.int64)
        learned, history, nothing = self._opened(shares, layout)
        coder = np.zeros(2, np.int64)
        for at, ids_B in layout.steps(ids_N):
            end = at + len(ids_B)
            inputs_IBS = self._read(shares, reader)
            kernels.code(
                learned, shares.floor, history, inputs_IBS, ids_B, starts_N[at:end], counts_N[at:end], coder, nothing
            )
            reader.read(layout.padded(ids_B))
        return rans.encode(starts_N, counts_N), ideal_bits(counts_N)

    def decode(self, words: Words, length: int, shares: Shares, reader: Reader) -> Int64s:
        layout, pieces = Layout(length), []
        learned, history, _ = self._opened(shares, layout)
        decoder = rans.Decoder(words)
        words_64 = words.astype(np.int64)
        coder = np.array([decoder.state, decoder.next], np.int64)
        unused = np.empty(layout.batch, np.int64)
        for size in layout.sizes():
            ids_B = np.empty(size, np.int64)
            inputs_IBS = self._read(shares, reader)
            if not kernels.code(learned, shares.floor, history, inputs_IBS, ids_B, unused, unused, coder, words_64):
                raise CodeError
            reader.read(layout.padded(ids_B))
            pieces.append(ids_B)
        decoder.state, decoder.next = coder.tolist()
        decoder.finish()
        return layout.join(np.concatenate(pieces))

    def _read(self, shares: Shares, reader: Reader) -> Int64s:
        """Returns the logarithms (I, B, S) of all predictions."""
        return np.stack([log2(shares.counts(weights_BA)) for weights_BA in reader.weights()])

    def _opened(self, shares: Shares, layout: Layout) -> tuple[learned_tables.Learned, Int64s, Int64s]:
        """Returns what was learned, with room for the symbols of a block, and what each stream has read."""
        learned = self._learned or learned_tables.new(self._inputs, layout.length)
        self._learned = learned_tables.widened(learned, shares.size)
        return self._learned, np.full((layout.batch, learned_tables.LONGEST), self._start_id), np.zeros(0, np.int64)
