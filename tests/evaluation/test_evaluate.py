"""Evaluation: nats per character over every character of a text."""

import io
import math
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_engines import build as build_checkpoint
from torch import nn

from charnet.config import DataSettings
from charnet.data.documents import Documents
from charnet.data.split import Part
from charnet.data.vocab import Vocabulary
from charnet.errors import DivergedError
from charnet.evaluation import evaluate as module
from charnet.evaluation import evaluate_checkpoint, mixing
from charnet.evaluation.evaluate import MOST_STREAMS, SHORTEST_STREAM, Stopped
from charnet.evaluation.evaluate import evaluate as evaluate_part
from charnet.evaluation.evaluate_checkpoint import evaluate_files
from charnet.evaluation.losses import Evaluation
from charnet.model.cells import CELLS
from charnet.model.cells.rnn import ACTIVATIONS
from charnet.model.ensemble import Ensemble, Model
from charnet.model.network import CharModel
from charnet.model.ngram import Ngram, WeightedNgram
from charnet.model.ngram_counts import count, smooth

V, E, H = 11, 3, 5
START = 4

KINDS = [(cell, f) for cell in CELLS for f in (ACTIVATIONS if cell == "rnn" else ("tanh",))]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Threads that wait for each other in sums this small cost seconds on a busy machine; conftest sets them back."""
    torch.set_num_threads(1)


def build(cell: str = "lstm", activation: str = "tanh", **kwargs: float) -> CharModel:
    """Builds a model with fading memory, like a trained one, and with predictions far from uniform."""
    torch.manual_seed(1)
    model = CharModel(V, cell=cell, activation=activation, hidden_size=H, embedding_size=E, num_layers=2, **kwargs)
    for name, p in model.named_parameters():
        nn.init.uniform_(p, -0.3, 0.3) if name.endswith("_hh") else nn.init.uniform_(p, -1.5, 1.5)
    return model


def evaluate(model: Model, ids: np.ndarray, start_id: int, **how: Any) -> Evaluation:
    return evaluate_part(model, Part(ids), start_id, **how)


def text(length: int) -> np.ndarray:
    return np.random.default_rng(2).integers(V, size=length).astype(np.uint8)


@torch.no_grad()
def one_character_at_a_time(model: CharModel, ids: np.ndarray) -> float:
    """Computes the loss by its definition: each character is predicted from all before it, the first from START."""
    state, before, nats = model.initial_state(1), START, 0.0
    for i in ids.tolist():
        logits, state = model(torch.tensor([[before]]), state)
        nats -= float(logits[0, 0].double().log_softmax(0)[i])
        before = i
    return nats


@pytest.mark.parametrize(("cell", "activation"), KINDS)
def test_evaluation_is_the_sum_over_one_character_at_a_time(cell, activation):
    model, ids = build(cell, activation), text(100)
    evaluation = evaluate(model.eval(), ids, START)
    assert evaluation.nats_per_char == pytest.approx(one_character_at_a_time(model, ids) / len(ids), abs=1e-6)


@pytest.mark.exhaustive
def test_an_ensemble_is_read_in_as_much_smaller_chunks_as_it_has_networks() -> None:
    def num_chunks(model: Model) -> int:
        calls = [0]
        evaluate(model, text(200_000), START, stop=lambda: calls.append(0))
        return len(calls)

    alone, eight = build(), Ensemble(build() for _ in range(8))
    assert num_chunks(eight) > 6 * num_chunks(alone)
    assert evaluate(eight, text(3000), START).nats == pytest.approx(evaluate(alone, text(3000), START).nats)


@pytest.mark.parametrize(
    ("cell", "activation"),
    [("lstm", "tanh"), *(pytest.param(*kind, marks=pytest.mark.exhaustive) for kind in KINDS if kind[0] != "lstm")],
)
def test_the_number_of_streams_does_not_matter(cell, activation):
    model, ids = build(cell, activation), text(900)
    whole = evaluate(model, ids, START, streams=1)
    for streams in (3, 7):
        assert evaluate(model, ids, START, streams=streams).nats_per_char == pytest.approx(
            whole.nats_per_char, abs=1e-5
        )


def test_the_default_number_of_streams_does_not_matter():
    model, ids = build(), text(2 * SHORTEST_STREAM + 52)
    whole = evaluate(model, ids, START, streams=1).nats_per_char
    assert evaluate(model, ids, START).nats_per_char == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize("length", [1, 2, 255, 256, 257, 2 * SHORTEST_STREAM - 1, 2 * SHORTEST_STREAM])
def test_every_character_counts_whatever_the_length(length):
    model, ids = build("gru"), text(length)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.arange(V) / V) if name == "head.bias" else p.zero_()
    nats_V = -np.log(np.exp(np.arange(V) / V) / np.exp(np.arange(V) / V).sum())
    evaluation = evaluate(model, ids, START)
    assert evaluation.characters == length
    assert evaluation.nats == pytest.approx(nats_V[ids].sum(), rel=1e-6)


@pytest.mark.parametrize("streams", [2, 3, 5])
def test_streams_of_unequal_length_count_every_character_once(streams):
    model, ids = build("gru"), text(7)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    assert evaluate(model, ids, START, streams=streams).nats == pytest.approx(7 * math.log(V), rel=1e-6)


def test_a_text_of_one_character_is_predicted_from_the_start_alone():
    model = build()
    for i in range(V):
        ids = np.array([i], dtype=np.uint8)
        assert evaluate(model, ids, START).nats == pytest.approx(one_character_at_a_time(model, ids), abs=1e-6)
    assert evaluate(model, ids, START).nats != pytest.approx(evaluate(model, ids, START + 1).nats, abs=1e-4)


def test_evaluation_applies_no_dropout():
    model, ids = build(dropout=0.5).train(), text(50)
    assert evaluate(model, ids, START).nats == evaluate(build(), ids, START).nats


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_restores_the_mode_of_the_model(training):
    model = build(dropout=0.5).train(training)
    evaluate(model, text(50), START)
    assert model.training is training
    assert all(each.training is training for each in model.modules())


@pytest.mark.parametrize("training", [True, False])
def test_a_stop_raises_and_restores_the_mode_of_the_model(training):
    model = build().train(training)
    with pytest.raises(Stopped):
        evaluate(model, text(50), START, stop=lambda: True)
    assert model.training is training


def test_stop_is_called_before_every_chunk():
    calls = []

    def stop() -> bool:
        calls.append(True)
        return len(calls) == 3

    with pytest.raises(Stopped):
        evaluate(build(), text(2000), START, streams=1, stop=stop)
    assert len(calls) == 3


def test_evaluation_changes_no_weight_and_leaves_no_gradient():
    model = build()
    before = {name: p.clone() for name, p in model.named_parameters()}
    evaluate(model, text(3000), START)
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name])
        assert p.grad is None


def test_the_same_text_gives_the_same_number_twice():
    model, ids = build(), text(3000)
    assert evaluate(model, ids, START) == evaluate(model, ids, START)


def test_units_of_loss_agree():
    evaluation = Evaluation(nats=8 * math.log(2), characters=4)
    assert evaluation.nats_per_char == pytest.approx(2 * math.log(2))
    assert evaluation.bits_per_char == pytest.approx(2)
    assert evaluation.perplexity == pytest.approx(4)
    assert evaluation.as_dict()["bits_per_char"] == evaluation.bits_per_char


def test_a_perplexity_that_overflows_is_infinite():
    evaluation = Evaluation(nats=1e6, characters=1)
    assert evaluation.perplexity == math.inf
    assert evaluation.as_dict()["perplexity"] is None  # JSON has no infinity


def test_a_loss_that_is_not_finite_is_no_result():
    checkpoint = build_checkpoint()
    huge = {name: np.full_like(tensor, 3e38) for name, tensor in checkpoint.tensors.items()}
    with pytest.raises(DivergedError, match="its loss on 2 characters is not a finite number"):
        evaluate_checkpoint.evaluate_checkpoint(replace(checkpoint, tensors=huge), np.array([0, 1]), {})


def test_unknown_characters_are_summed_up_for_json():
    assert Evaluation(1.0, 1, {"'x'": 2, "'y'": 3}).as_dict()["unknown_characters"] == 5


@pytest.mark.slow
@pytest.mark.parametrize(("cell", "activation"), KINDS)
def test_a_long_text_gives_the_same_loss_in_the_most_streams_as_in_one(cell, activation):
    model, ids = build(cell, activation), text(MOST_STREAMS * SHORTEST_STREAM + 17)
    whole = evaluate(model, ids, START, streams=1).nats_per_char
    assert evaluate(model, ids, START).nats_per_char == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("streams", [1, 3])
def test_a_part_is_the_first_characters_of_each_stream(streams):
    model, ids = build("gru"), text(900)
    part = evaluate(model, ids, START, most=300, streams=streams)
    length = 900 // streams
    expected = 0.0
    for begin in range(0, 900, length):
        before = evaluate(model, ids[:begin], START, streams=1).nats if begin else 0.0
        expected += evaluate(model, ids[: begin + 300 // streams], START, streams=1).nats - before
    assert part.characters == 300
    assert part.nats == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("most", [700, *(pytest.param(most, marks=pytest.mark.exhaustive) for most in (701, 10**12))])
def test_a_part_as_long_as_the_text_is_all_of_it(most):
    model, ids = build("gru"), text(700)
    assert evaluate(model, ids, START, most=most) == evaluate(model, ids, START)


@pytest.mark.parametrize(
    ("text", "known"), [("cafe\u0301", "caf\xe9"), ("\u1112\u1161\u11ab", "\ud55c"), ("5 \u212b", "5 \xc5")]
)
def test_a_text_that_is_not_composed_is_composed_for_a_composed_alphabet_and_said(
    text: str, known: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, file = build_checkpoint(vocab=Vocabulary.of_text(known)), tmp_path / "text.txt"
    file.write_text(text, encoding="utf-8")
    found = evaluate_files(checkpoint, [str(file)], threads=1)
    assert (found.characters, found.unknown) == (len(known), {})
    assert found.notes[-1] == "the text was composed (NFC), as the alphabet is"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((known * 9 + text).encode())))
    assert "as a file it is composed" in evaluate_files(checkpoint, ["-"], threads=1).notes[-1]


def test_a_decomposed_text_from_a_pipe_is_read_once_with_its_accents_unknown() -> None:
    reading, writing = os.pipe()
    os.write(writing, "cafe\u0301".encode())
    os.close(writing)
    vocab = Vocabulary.of_text("caféeé")
    ids, unknown, _ = evaluate_checkpoint._encode(vocab, [f"/dev/fd/{reading}"], DataSettings())
    os.close(reading)
    assert (vocab.decode(ids.tolist()), unknown) == ("cafe", {0x301: 1})


def ngram(share: float, order: int = 3) -> WeightedNgram:
    ids = text(500)
    counts = count(ids, np.array([0]), np.array([500]), alphabet=V, start_id=START, order=order)
    return WeightedNgram(Ngram.from_stored(order, smooth(counts, 1e9)), share)


def probabilities_of(model: CharModel, ids: np.ndarray) -> np.ndarray:
    """The model's probability of each character, the first after START."""
    x = torch.from_numpy(np.append(START, ids[:-1]).astype(np.int64))[None]
    with torch.no_grad():
        logits_1TV, _ = model.eval()(x, model.initial_state(1))
    return logits_1TV[0].double().softmax(-1).numpy()[np.arange(len(ids)), ids]


@pytest.mark.parametrize("streams", [1, 3])
def test_the_loss_of_a_mixture_is_that_of_its_mean_probabilities(streams: int) -> None:
    model, ids, beside = build(), text(900), ngram(0.3)
    of_ngram = beside.table.score(np.append(START, ids)[None])[0, 1:]
    expected = -np.log(0.7 * probabilities_of(model, ids) + 0.3 * of_ngram).sum()
    total = mixing.Mixture(beside)
    assert evaluate(model, ids, START, streams=streams, total=total).nats == pytest.approx(expected, abs=1e-2)


def test_documents_are_evaluated_with_an_ngram_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONG_DOCUMENT", 300)
    model, ids, beside = build(), text(1000), ngram(0.4)
    documents = Documents.up_to(np.array([3, 10, 600, 601, 1000]))
    total = mixing.Mixture(beside)
    whole = evaluate_part(model, Part(ids, documents), START, total=total)
    alone = [evaluate(model, ids[a:b], START, total=total).nats for a, b in zip(*documents, strict=True)]
    assert whole.nats == pytest.approx(sum(alone), abs=1e-3)


def test_the_share_of_an_ngram_is_the_one_with_the_lowest_loss() -> None:
    model, ids, table = build(), text(2000), ngram(0.5).table
    fit = mixing.ShareFit(table)
    evaluate(model, ids, START, total=fit)
    found = fit.share(fit.found())
    losses = {
        share: evaluate(model, ids, START, total=mixing.Mixture(WeightedNgram(table, share))).nats
        for share in (found, 0.8 * found, min(0.99, 1.2 * found))
    }
    assert min(losses, key=losses.__getitem__) == found


def test_the_share_does_not_depend_on_the_order_in_which_chunks_come() -> None:
    """A second chunk of one document may begin where another document does."""
    random, fits = np.random.default_rng(5), []
    ids, counted_ST = text(2000), np.ones((1, 300), bool)
    chunks = [(random.uniform(1, 3, (1, 300)), np.array([begin]), np.array([first]))
              for begin, first in ((0, 0), (0, 300), (300, 300), (300, 600), (600, 600))]  # fmt: skip
    for order in ((0, 1, 2, 3, 4), (0, 2, 4, 1, 3)):
        fit = mixing.ShareFit(ngram(0.5).table)
        for nats_ST, begins_S, first_S in (chunks[number] for number in order):
            fit(nats_ST, mixing.Targets(ids, begins_S, first_S, START, counted_ST))
        fits.append(fit.found())
    first, second = map(mixing.ShareFit.share, fits)
    assert first == second
    assert not np.array_equal(*fits)


def test_a_network_that_has_diverged_leaves_a_share() -> None:
    model = build()
    with torch.no_grad():
        model.head.bias.fill_(math.nan)
    fit = mixing.ShareFit(ngram(0.5).table)
    evaluate(model, text(100), START, total=fit)
    assert 0 < fit.share(fit.found()) < 1
