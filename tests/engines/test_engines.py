"""All engines give the same logits and, for a seed, the same text. Shape legend as in `charnet.engines.base`."""

import dataclasses
import hashlib
import os
import re
import shutil
import subprocess
import sys
import types
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from distributions import probabilities

import charnet
from charnet.config import Config, SamplingOptions
from charnet.data.vocab import Vocabulary
from charnet.engines import compiled_engine, kernels, kernels_cache, mixture, registry, sampling
from charnet.engines.base import Engine
from charnet.engines.compiled_engine import Threads
from charnet.engines.numpy_engine import LAYOUTS
from charnet.engines.registry import ENGINES, available, engine_of, fastest, open_engine
from charnet.errors import ConfigError, DivergedError
from charnet.generation import batch
from charnet.generation.generate import stream
from charnet.model.cells import CELLS
from charnet.model.cells.rnn import ACTIVATIONS
from charnet.model.ensemble import from_weights
from charnet.model.ngram_counts import count, smooth
from charnet.model.shapes import model_shapes
from charnet.overlay import overlay
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.document import CorpusInfo, TrainerState
from charnet.storage.ngram_tensors import to_tensors
from charnet.storage.quantize import quantize_all

T, V, E, H = 7, 11, 3, 5
LETTERS = Vocabulary.of_text("abcdefghijk")

KINDS = [(cell, f) for cell in CELLS for f in (ACTIVATIONS if cell == "rnn" else ("tanh",))]

every_kind = pytest.mark.parametrize(("cell", "activation"), KINDS)
every_depth = pytest.mark.parametrize("layers", [1, 3])
every_number = pytest.mark.parametrize("members", [1, 3])  # of networks
every_engine = pytest.mark.parametrize("engine", ENGINES)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Threads that wait for each other in sums this small cost seconds on a busy machine; conftest sets them back."""
    torch.set_num_threads(1)


def build(
    cell: str = "lstm",
    activation: str = "tanh",
    layers: int = 2,
    embedding_size: int = E,
    vocab: Vocabulary = LETTERS,
    members: int = 1,
) -> Checkpoint:
    """A checkpoint whose every weight is random, biases too; recurrent ones small enough that relu stays bounded."""
    sizes = {"hidden_size": H, "embedding_size": embedding_size, "num_layers": layers, "members": members}
    values = {"cell": cell, "activation": activation, **sizes}
    config = overlay(Config(), {f"model.{key}": value for key, value in values.items()})
    random = np.random.default_rng(1)
    widths = {"weight_hh": 0.3, "head.weight": 2.0}
    tensors = {}
    for name, shape in model_shapes(config, len(vocab)).items():
        width = next((w for ending, w in widths.items() if name.endswith(ending)), 1.0)
        tensors[f"model.{name}"] = random.uniform(-width, width, shape).astype(np.float32)
    return Checkpoint(config, vocab, CorpusInfo("letters", 0, 0, 1, "", ""), TrainerState(), tensors)


def with_ngram(checkpoint: Checkpoint, share: float = 0.4, order: int = 4) -> Checkpoint:
    """The checkpoint with an n-gram of a random text beside its networks."""
    random, alphabet = np.random.default_rng(4), len(checkpoint.vocab)
    ids = random.choice(alphabet, p=random.dirichlet(np.full(alphabet, 0.3)), size=2000)
    counts = count(ids, np.array([0]), np.array([2000]), alphabet=alphabet, start_id=0, order=order)
    tensors = checkpoint.tensors | to_tensors(smooth(counts, 1e9))
    config = overlay(checkpoint.config, {"model.ngram": order})
    return dataclasses.replace(checkpoint, config=config, tensors=tensors, ngram_share=share)


def texts(batch: int, length: int = T) -> np.ndarray:
    return np.random.default_rng(2).integers(V, size=(batch, length))


def read(engine: Engine, ids_BT: np.ndarray) -> np.ndarray:
    """Logits (B, T, V) of a whole text; each is copied, as the next call may overwrite it."""
    state, logits = engine.start(len(ids_BT)), []
    for ids_B in ids_BT.T:
        logits_BV, state = engine.advance(ids_B.tolist(), state)
        logits.append(np.array(logits_BV))
    return np.stack(logits, 1)


def arrays_of(state: object) -> list[np.ndarray]:
    """Of a nested state."""
    return [each for part in state for each in arrays_of(part)] if isinstance(state, tuple) else [state]


def write(checkpoint: Checkpoint, engine: str, **options: float) -> str:
    return "".join(stream(open_engine(checkpoint, engine), LETTERS, [0, 1, 2], SamplingOptions(**options)))


@every_engine
@every_kind
@every_depth
@pytest.mark.parametrize("batch", [1, 3])
@every_number
@pytest.mark.covering(1)
def test_every_engine_gives_the_logits_of_the_model(engine, cell, activation, layers, batch, members):
    checkpoint, ids_BT = build(cell, activation, layers, members=members), texts(batch)
    model = from_weights(checkpoint.config.model, checkpoint.weights).eval()
    with torch.no_grad():
        expected = model(torch.from_numpy(ids_BT), model.initial_state(batch))[0].numpy()
    found = read(open_engine(checkpoint, engine), ids_BT)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert np.ptp(expected, axis=1).max() > 0.05, "the text makes no difference to these logits: the test is empty"


@every_engine
@pytest.mark.parametrize("batch", [1, 3])
@every_number
def test_with_an_ngram_every_engine_gives_the_mean_of_the_probabilities(engine, batch, members):
    alone = build(members=members)
    both, ids_BT = with_ngram(alone), texts(batch, 40)
    p_BTV = sampling.softmax(read(open_engine(alone, "torch"), ids_BT))
    nodes = np.zeros(batch, np.int64)
    for t, ids_B in enumerate(ids_BT.T):
        nodes = both.ngram.table.step(nodes, ids_B)
        p_BTV[:, t] = 0.6 * p_BTV[:, t] + 0.4 * probabilities(both.ngram.table, nodes)
    found = read(open_engine(both, engine), ids_BT)
    assert found.dtype == np.float32
    assert np.exp(found.astype(np.float64)).sum(-1) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(found, np.log(p_BTV), rtol=0, atol=1e-4)


@every_number
def test_with_an_ngram_all_engines_write_the_same_text_for_a_seed(members):
    checkpoint = with_ngram(build(members=members))
    first, *others = [write(checkpoint, engine, length=600, seed=5) for engine in ENGINES]
    assert len(set(first)) > 3
    assert others == [first] * len(others)
    assert first != write(build(members=members), "numpy", length=600, seed=5)


@every_engine
def test_with_an_ngram_a_state_may_be_kept_and_a_text_changes_between_engines(engine):
    checkpoint, ids_BT = with_ngram(build()), texts(1, 20)
    opened, numpy_engine = open_engine(checkpoint, engine), open_engine(checkpoint, "numpy")
    expected, state = read(numpy_engine, ids_BT)[0], opened.start(1)
    for i in ids_BT[0, :9].tolist():
        _, state = opened.advance([i], state)
    if engine != "torch":  # its states are tensors
        logits, _ = numpy_engine.advance([int(ids_BT[0, 9])], state)
        np.testing.assert_allclose(logits[0], expected[9], rtol=0, atol=1e-4)
    for i in [0, 1, 2]:
        opened.advance([i], state)
    logits, _ = opened.advance([int(ids_BT[0, 9])], state)
    np.testing.assert_allclose(logits[0], expected[9], rtol=0, atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2])
def test_with_an_ngram_the_number_of_threads_does_not_change_the_text(threads):
    checkpoint = with_ngram(build(layers=1, members=3))
    engine = open_engine(checkpoint, "compiled", threads=threads)
    text = "".join(stream(engine, LETTERS, [0], SamplingOptions(length=3000, seed=9)))
    assert text == "".join(stream(open_engine(checkpoint, "numpy"), LETTERS, [0], SamplingOptions(length=3000, seed=9)))


@every_kind
@every_number
@pytest.mark.covering(1)
def test_all_engines_write_the_same_text_for_a_seed(cell, activation, members):
    checkpoint = build(cell, activation, layers=3, members=members)
    first, *others = [write(checkpoint, engine, length=600, seed=5) for engine in ENGINES]
    assert len(first) == 600
    assert len(set(first)) > 3
    assert others == [first] * (len(ENGINES) - 1)


@pytest.mark.slow
@every_kind
@pytest.mark.parametrize("filters", [{}, {"top_k": 9, "top_p": 0.95, "min_p": 0.01}])
def test_all_engines_write_the_same_long_text_with_and_without_filters(cell, activation, filters):
    checkpoint = build(cell, activation, 3)
    options = {"length": 10_000, "seed": 6, "temperature": 1.1, **filters}
    first, *others = [write(checkpoint, engine, **options) for engine in ENGINES]
    assert others == [first] * (len(ENGINES) - 1)


@every_engine
@every_kind
def test_a_state_may_be_kept_and_gone_back_to(engine, cell, activation):
    opened, ids_BT = open_engine(build(cell, activation), engine), texts(2)
    state = opened.start(2)
    for ids_B in ids_BT[:, :3].T:
        _, state = opened.advance(ids_B.tolist(), state)
    kept, ends = state, []
    for _ in range(2):
        state = kept
        for ids_B in ids_BT[:, 3:].T:
            logits_BV, state = opened.advance(ids_B.tolist(), state)
        ends.append(np.array(logits_BV))
    assert (ends[0] == ends[1]).all()
    assert not np.allclose(ends[0], opened.advance(ids_BT[:, -1].tolist(), kept)[0], atol=1e-3)


@every_engine
@every_kind
@every_number
@pytest.mark.covering(1)
def test_texts_of_different_batches_may_take_turns(engine, cell, activation, members):
    opened, one, three = open_engine(build(cell, activation, members=members), engine), texts(1), texts(3)
    expected = [read(opened, one), read(opened, three)]
    states, found = [opened.start(1), opened.start(3)], ([], [])
    for t in range(T):
        for which, ids_BT in enumerate((one, three)):
            logits_BV, states[which] = opened.advance(ids_BT[:, t].tolist(), states[which])
            found[which].append(np.array(logits_BV))
    for which in (0, 1):
        np.testing.assert_allclose(np.stack(found[which], 1), expected[which], rtol=0, atol=1e-6)


@every_engine
@every_kind
def test_texts_of_a_batch_do_not_see_each_other(engine, cell, activation):
    opened, ids_BT = open_engine(build(cell, activation), engine), texts(3)
    together = read(opened, ids_BT)
    for b in range(3):
        np.testing.assert_allclose(read(opened, ids_BT[b : b + 1])[0], together[b], rtol=0, atol=1e-5)


@every_engine
@every_kind
@every_depth
@pytest.mark.covering(1)
def test_neither_opening_nor_running_an_engine_changes_the_weights(engine, cell, activation, layers):
    checkpoint = build(cell, activation, layers)
    before = {name: value.copy() for name, value in checkpoint.weights.items()}
    read(open_engine(checkpoint, engine), texts(2))
    assert all((checkpoint.weights[name] == value).all() for name, value in before.items())


@every_engine
def test_an_engine_runs_from_weights_that_may_not_be_written_to(engine):
    checkpoint = build("gru", layers=3)
    expected = read(open_engine(checkpoint, engine), texts(2))
    for value in checkpoint.tensors.values():
        value.flags.writeable = False
    assert (read(open_engine(checkpoint, engine), texts(2)) == expected).all()


@every_engine
def test_an_embedding_as_large_as_the_hidden_state_needs_no_size(engine):
    same, zero = (build("lstm", layers=3, embedding_size=size) for size in (H, 0))
    assert (read(open_engine(same, engine), texts(2)) == read(open_engine(zero, engine), texts(2))).all()


@every_engine
def test_an_alphabet_of_one_character_works(engine):
    checkpoint = build()
    for name in ("embedding.weight", "head.weight", "head.bias"):
        checkpoint.tensors[f"model.{name}"] = checkpoint.tensors[f"model.{name}"][:1]
    opened = open_engine(checkpoint, engine)
    assert read(opened, np.zeros((2, T), int)).shape == (2, T, 1)
    assert "".join(stream(opened, Vocabulary.of_text("a"), [], SamplingOptions(length=5))) == "aaaaa"


def test_the_numpy_engine_knows_every_cell_and_activation():
    assert set(LAYOUTS) == {f"rnn-{f}" if cell == "rnn" else cell for cell, f in KINDS}


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_says_its_name(name):
    assert open_engine(build(), name).name == name


def test_an_unknown_engine_is_refused_with_the_nearest_one():
    with pytest.raises(ConfigError, match=r"numpy, compiled, torch.*did you mean .numpy."):
        open_engine(build(), "nunpy")


@every_kind
@every_number
@pytest.mark.covering(1)
def test_the_number_of_threads_changes_nothing_in_a_text(cell, activation, members):
    checkpoint = build(cell, activation, layers=3, members=members)
    first, second = (
        "".join(
            stream(open_engine(checkpoint, "compiled", threads=n), LETTERS, [0], SamplingOptions(length=1000, seed=8))
        )
        for n in (1, 2)
    )
    assert first == second


@pytest.mark.parametrize("units", [1, 15, 16, 17, 63, 65])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_the_compiled_engine_knows_layers_that_do_not_fill_their_blocks(cell, units, monkeypatch):
    monkeypatch.setitem(globals(), "H", units)
    checkpoint = build(cell, layers=2)
    expected, found = (read(open_engine(checkpoint, name), texts(1, 30)) for name in ("numpy", "compiled"))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@every_number
def test_several_steps_in_a_call_give_what_single_steps_give(members):
    engine = open_engine(build(layers=3, members=members), "compiled")
    u_T, temperatures_T = np.random.default_rng(3).random(50), np.linspace(0.5, 1.5, 50)
    bias_V = np.zeros(V)
    bias_V[2], bias_V[3] = -np.inf, 2.0
    ids_T, nats_T, state = engine.generate([0, 1], engine.start(1), u_T, temperatures_T, bias_V)
    logits_1V, single = engine.advance([0], engine.start(1))
    following = [1, *ids_T.tolist()]
    for t in range(50):
        logits_1V, single = engine.advance([following[t]], single)
        assert ids_T[t] == sampling.sample_logits(logits_1V[0] + bias_V, temperatures_T[t], u_T[t])
        assert nats_T[t] == pytest.approx(sampling.surprisal(logits_1V[0], int(ids_T[t])), abs=1e-5)
    assert 2 not in ids_T
    for after, expected in zip(arrays_of(state), arrays_of(single), strict=True):
        np.testing.assert_array_equal(after, expected)


@every_engine
@pytest.mark.parametrize(("members", "one"), [(1, ""), (3, "members.1.")])
def test_a_model_whose_numbers_have_grown_beyond_all_bounds_is_said_to_have_diverged(engine, members, one):
    checkpoint = build("rnn", "relu", members=members)
    checkpoint.tensors[f"model.{one}layers.0.weight_hh"] = np.full((H, H), 1e30, np.float32)
    with pytest.raises(DivergedError):
        "".join(stream(open_engine(checkpoint, engine), LETTERS, [0], SamplingOptions(length=50)))


@pytest.fixture
def hasty_threads():
    """Threads that take turns after some ten bytecodes, and not after 5 ms."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@every_engine
@every_number
@pytest.mark.parametrize("options", [{}, {"top_k": 5}])
@pytest.mark.usefixtures("hasty_threads")
@pytest.mark.covering(1)
def test_eight_threads_that_use_one_engine_write_the_texts_that_one_would(engine, members, options):
    opened = open_engine(build(members=members), engine)

    def write(index: int) -> str:
        return "".join(stream(opened, LETTERS, [index % V], SamplingOptions(length=25, seed=index, **options)))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(write, range(24))) == list(map(write, range(24)))


@every_engine
@pytest.mark.usefixtures("hasty_threads")
def test_batches_in_several_threads_have_arrays_of_their_own(engine):
    opened = open_engine(build(), engine)

    def write(count: int) -> list[str]:
        written = batch.texts(opened, LETTERS, [0], SamplingOptions(length=20, top_k=5), count)
        return ["".join(chunk.text for chunk in chunks) for chunks in written]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(write, range(2, 10))) == list(map(write, range(2, 10)))


def test_a_forked_process_writes_with_the_engine_of_its_parent():
    engine = open_engine(build(layers=3), "compiled")
    expected = "".join(stream(engine, LETTERS, [0], SamplingOptions(length=3000)))
    child = os.fork()
    if child == 0:
        os._exit("".join(stream(engine, LETTERS, [0], SamplingOptions(length=3000))) != expected)
    assert os.waitpid(child, 0)[1] == 0


def test_temperature_zero_takes_the_first_of_the_likeliest():
    checkpoint = build()
    checkpoint.tensors["model.head.weight"][:] = 0
    checkpoint.tensors["model.head.bias"][:] = [0, 1, 1, *[0] * (V - 3)]
    for name in ENGINES:
        written = "".join(
            stream(open_engine(checkpoint, name), LETTERS, [0], SamplingOptions(length=20, temperature=0))
        )
        assert written == "b" * 20


@pytest.mark.slow
def test_without_a_folder_for_compiled_code_the_engine_works_all_the_same():
    code = """
from numba.core import caching
for locator in caching.CacheImpl._locator_classes: locator.from_function = classmethod(lambda *_: None)
import numpy as np
from charnet.engines.compiled_engine import CompiledEngine
from charnet.engines import kernels
weights = {"embedding.weight": np.eye(3, dtype="f4"), "layers.0.weight_ih": np.ones((2, 3), "f4"),
    "layers.0.weight_hh": np.ones((2, 2), "f4"), "layers.0.bias": np.zeros(2, "f4"),
    "head.weight": np.ones((3, 2), "f4"), "head.bias": np.zeros(3, "f4")}
CompiledEngine(weights, cell="rnn")
print(type(kernels.run._cache).__name__)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "NullCache\n", "")


def test_all_compiled_sources_are_in_the_name_of_the_cache_file():
    folder = Path(kernels.__file__).parent
    compiled = {name: (folder / name).read_text() for name in kernels_cache.SOURCES}
    imported = set()
    for text in compiled.values():
        for wing, name in re.findall(r"from charnet\.(engines|model|storage)\.(\w+) import", text):
            imported.add(f"{name}.py" if wing == "engines" else f"../{wing}/{name}.py")
        for names in re.findall(r"from charnet\.engines import ([\w, ]+)", text):
            imported |= {f"{name}.py" for name in names.split(", ")}
    assert imported - {"kernels_cache.py"} | {"kernels.py", "kernels_rows.py"} == set(compiled)
    digest = hashlib.sha256(b"".join(text.encode() for text in compiled.values())).hexdigest()
    assert kernels.run.py_func.__qualname__ == f"run_{digest[:16]}"


@pytest.mark.slow
def test_after_a_change_of_the_instructions_alone_nothing_compiled_before_is_used(tmp_path):
    shutil.copytree(Path(charnet.__file__).parent, tmp_path / "charnet", ignore=shutil.ignore_patterns("__pycache__"))
    code = """
import numpy as np
from charnet.engines.compiled_engine import CompiledEngine
weights = {"embedding.weight": np.eye(3, dtype="f4"), "layers.0.weight_ih": np.ones((2, 3), "f4"),
    "layers.0.weight_hh": np.ones((2, 2), "f4"), "layers.0.bias": np.zeros(2, "f4"),
    "head.weight": np.ones((3, 2), "f4"), "head.bias": np.zeros(3, "f4")}
engine = CompiledEngine(weights, cell="rnn")
print(engine.advance([0], engine.start(1))[0].round(3).tolist())
"""

    def logits() -> str:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
        ).stdout

    instructions = tmp_path / "charnet" / "engines" / "kernels_llvm.py"
    before, date = logits(), instructions.stat()
    changed = instructions.read_text().replace("[0.0] * LANES", "[0.5] * LANES")
    assert changed != instructions.read_text()
    instructions.write_text(changed)
    os.utime(instructions, ns=(date.st_atime_ns, date.st_mtime_ns + 1_000_000_000))  # or Python would use its old .pyc
    assert logits() != before


@pytest.mark.parametrize(("most", "cores", "possible"), [(0, 2, {1, 2}), (1, 2, {1}), (8, 64, {1, 2}), (2, 1, {1})])
def test_the_fastest_number_of_threads_is_used_and_the_other_tried_now_and_then(most, cores, possible, monkeypatch):
    monkeypatch.setattr(compiled_engine, "processor_cores", lambda: cores)
    threads, chosen = Threads(most), []
    for _ in range(100):
        chosen.append(threads.choose())
        threads.record(chosen[-1], 100, 1.0 if chosen[-1] == 1 else 0.5)
    assert set(chosen) == possible
    assert possible == {1} or chosen.count(1) <= 5


def test_the_numpy_engine_lets_go_of_the_weights_that_it_has_laid_out():
    checkpoint = build(layers=2)
    weights = checkpoint.stored_weights
    copies = {name: value.copy() for name, value in weights.items()}
    matrices = [weakref.ref(copies[name]) for name in copies if name.endswith(("weight_ih", "weight_hh"))]
    opened = engine_of(checkpoint.config.model, copies, "numpy")
    assert not copies
    assert not any(matrix() is not None for matrix in matrices)
    assert (read(opened, texts(2)) == read(open_engine(checkpoint), texts(2))).all()


def shape_and_weights(layers, hidden, precision="fp32"):
    config = overlay(Config(), {"model.num_layers": layers, "model.hidden_size": hidden, "model.members": 1})
    weights = {n: np.broadcast_to(np.float32(0), shape) for n, shape in model_shapes(config, 65).items()}
    return config.model, quantize_all(weights) if precision == "int8" else weights


@pytest.mark.parametrize(
    ("layers", "hidden", "precision", "numpy_up_to", "compiled_from"),
    [(2, 128, "fp32", 9_000, 26_000), (2, 512, "fp32", 2_500, 15_000), (2, 512, "int8", 1_200, 5_000)],
)
def test_the_engine_that_finishes_first_follows_from_the_size_of_the_weights_and_the_length(
    layers, hidden, precision, numpy_up_to, compiled_from
):
    model, weights = shape_and_weights(layers, hidden, precision)
    assert fastest(model, weights, numpy_up_to) == "numpy"
    assert fastest(model, weights, compiled_from) == "compiled"


def test_filtered_texts_are_left_to_the_numpy_engine():
    assert fastest(*shape_and_weights(1, 512), 10**9, temperature_only=False) == "numpy"


def test_without_numba_long_texts_are_left_to_the_numpy_engine_and_the_other_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "charnet.engines.compiled_engine", None)
    monkeypatch.setattr(registry, "_compiles", registry._compiles.__wrapped__)  # asked anew, and not remembered
    assert available("compiled") == "numpy"
    with pytest.raises(ConfigError, match=r"pip install -U 'charnet\[fast\]'"):
        open_engine(build(), "compiled")


@pytest.mark.parametrize("few", [1, 100], ids=["one by one", "at once"])
def test_texts_side_by_side_take_the_steps_of_texts_alone_in_an_ngram(monkeypatch, few):
    monkeypatch.setattr(mixture, "FEWEST_AT_ONCE", few)
    four = 4 * (4 * V + mixture.BYTES_OF_AN_ARRAY)  # distributions: they are dropped now and then
    monkeypatch.setattr(mixture, "KEPT_BYTES", four)
    table, ids_BT = with_ngram(build()).ngram.table, texts(3, 60)
    scored_BT = table.score(ids_BT)
    for engine in (mixture.NgramEngine(table), compiled_engine._NgramEngine(table)):
        state_B = engine.start(3)
        for t in range(59):
            p_BV, state_B = engine.probabilities(ids_BT[:, t].tolist(), state_B)
            assert p_BV[np.arange(3), ids_BT[:, t + 1]] == pytest.approx(scored_BT[:, t + 1], rel=1e-4)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "problem", [ValueError("threads must be > 0."), RuntimeWarning("Environment variable 'NUMBA_X' is\nTraceback")]
)
def test_what_numba_says_about_its_environment_is_one_line_or_leaves_the_numpy_engine(monkeypatch, problem):
    def import_name(name):
        if isinstance(problem, Warning):
            warnings.warn(problem, stacklevel=1)
        raise problem if isinstance(problem, ValueError) else AttributeError(name)

    module = types.ModuleType("charnet.engines.compiled_engine")
    module.__getattr__ = import_name
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(registry, "_compiles", registry._compiles.__wrapped__)
    monkeypatch.setenv("NUMBA_X", "0")
    assert available("compiled") == "numpy"
    first_line = str(problem).partition("\n")[0]
    with pytest.raises(ConfigError, match=rf"\({first_line}\).*'charnet\[fast\]', or unset NUMBA_X$"):
        open_engine(build(), "compiled")
