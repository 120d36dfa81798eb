"""A model with 8-bit weights is evaluated by the engine that writes with it."""

from __future__ import annotations

import numpy as np
import pytest
from test_engines import V, build, read, texts, with_ngram

from charnet.engines import sampling
from charnet.engines.registry import open_engine
from charnet.evaluation.evaluate_checkpoint import evaluate_checkpoint


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("ngram", [False, True])
@pytest.mark.parametrize("length", [40, 2500], ids=["one stream", "two streams"])
@pytest.mark.covering(1)
def test_the_loss_is_that_of_the_logits_of_the_exact_engine(members, ngram, length):
    checkpoint = build("gru", layers=2, members=members)
    checkpoint = (with_ngram(checkpoint) if ngram else checkpoint).quantize()
    ids_T = texts(1, length)[0].astype(np.uint8)
    start = checkpoint.vocab.start_id()
    logits_TV = read(open_engine(checkpoint), np.array([[start, *ids_T[:-1].tolist()]]))[0]
    expected = sampling.surprisal_rows(logits_TV, ids_T.astype(np.int64)).sum()
    found = evaluate_checkpoint(checkpoint, ids_T, {})
    assert found.characters == length
    assert found.nats == pytest.approx(expected, rel=2e-4)  # the mean with an n-gram is rounded in the engine
    assert abs(found.nats / length - np.log(V)) > 0.01
