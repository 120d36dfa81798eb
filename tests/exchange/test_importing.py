"""Models of other programs become checkpoints that expect what they expected."""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import old_models
import pytest
from checkpoint_files import tiny
from old_models import LETTERS, TEXT, LuaObject, LuaTensor, listed, random, t7

from charnet.cli.app import run
from charnet.data.vocab import RARE, Vocabulary
from charnet.exchange.convert import Given, convert
from charnet.storage.checkpoint import Checkpoint

IDS = [LETTERS.index(character.encode()) for character in TEXT]
BEFORE = LETTERS.index(b"\n")  # the line end stands before a text without a prompt
ALPHABET = "".join(token.decode() for token in LETTERS)

Import = Callable[..., Path]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder has a text and an alphabet."""
    monkeypatch.chdir(tmp_path)
    old_models.write_text(tmp_path)
    (tmp_path / "alphabet.txt").write_text(ALPHABET, encoding="utf-8", newline="")


def charnet(line: str, capsys: pytest.CaptureFixture[str], code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert run(line.split()) == code
    found = capsys.readouterr()
    return found.out, found.err


def measured(capsys: pytest.CaptureFixture[str], run_of: str) -> float:
    """The loss that `charnet eval` measures on the text."""
    return float(json.loads(charnet(f"eval {run_of} text.txt --json", capsys)[0])["nats_per_char"])


def write(name: str, content: bytes | str) -> None:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize(("cell", "layers"), [("lstm", 1), ("lstm", 2), ("rnn", 1), ("rnn", 3)])
def test_torch_rnn_expects_what_it_expected(
    capsys: pytest.CaptureFixture[str], cell: str, layers: int, normalized: bool
) -> None:
    model = old_models.torch_rnn(cell, layers, normalized=normalized)
    write("lm.t7", t7(model))
    out, err = charnet("import lm.t7", capsys)
    assert out == "checkpoints/lm/best.safetensors\n"
    assert measured(capsys, "lm") == pytest.approx(old_models.torch_rnn_loss(model, IDS, BEFORE), abs=1e-5)
    shown = "rnn (tanh)" if cell == "rnn" else "lstm"
    layer = "1 layer" if layers == 1 else f"{layers} layers"
    assert f"torch-rnn: {shown}, {layer} of 4 units, embedding 3, alphabet of 5 characters" in err
    assert "left out: gradients, history of losses" in err
    assert Checkpoint.load(Path(out.strip())).config.model.dropout == 0.25


@pytest.mark.parametrize("of", ["Float", "Double", "Cuda"])
@pytest.mark.parametrize(("cell", "layers"), [("lstm", 1), ("lstm", 3), ("rnn", 2)])
def test_char_rnn_expects_what_it_expected(capsys: pytest.CaptureFixture[str], cell: str, layers: int, of: str) -> None:
    model = old_models.char_rnn(cell, layers, of=of)
    write("lm.t7", t7(model))
    _, err = charnet("import lm.t7 -o small", capsys)
    assert measured(capsys, "small") == pytest.approx(old_models.char_rnn_loss(model, IDS, BEFORE), abs=1e-5)
    assert "of 3 units" in err
    assert Checkpoint.load(Path("checkpoints/small/best.safetensors")).config.model.dropout == 0.5


def test_a_gru_of_char_rnn_is_refused_and_told_why(capsys: pytest.CaptureFixture[str]) -> None:
    write("lm.t7", t7(old_models.char_rnn() | {"opt": {"model": "gru"}}))
    _, err = charnet("import lm.t7", capsys, 4)
    assert "whose reset gate is applied before the recurrent product; such a model cannot be imported" in err
    assert not Path("checkpoints").exists()


def test_nodes_of_a_graph_cannot_share_a_table_so_long_that_it_takes_hours(capsys: pytest.CaptureFixture[str]) -> None:
    model = old_models.char_rnn()
    for node in model["protos"]["rnn"].fields["forwardnodes"].values():
        if getattr(node.fields["data"].get("module"), "name", "") == "nn.CAddTable":
            node.fields["data"]["mapindex"] |= dict.fromkeys(range(3, 1003), 5)
    write("lm.t7", t7(model))
    assert "0 pairs of which make a layer" in charnet("import lm.t7", capsys, 4)[1]


KINDS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}


def torch_model(
    cell: str, layers: int, *, embedding: str = "embed", head: str = "fc", width: int = 3, bias: bool = True
) -> dict[str, Any]:
    """The state_dict of the usual model of tutorials, with 4 units; without an embedding the input is one-hot."""
    import torch

    torch.manual_seed(11)
    inputs = width if embedding else len(LETTERS)
    parts = {"rnn": getattr(torch.nn, KINDS[cell])(inputs, 4, layers, bias=bias)}
    parts[head] = torch.nn.Linear(4, len(LETTERS))
    if embedding:
        parts[embedding] = torch.nn.Embedding(len(LETTERS), width)
    return dict(torch.nn.ModuleDict(parts).state_dict())


def torch_loss(state: dict[str, Any], cell: str, layers: int, embedding: str, head: str) -> float:
    """The loss of such a model, computed by PyTorch's own modules."""
    import torch

    weight = state.get(f"{embedding}.weight", torch.eye(len(LETTERS)))
    rnn = getattr(torch.nn, KINDS[cell])(weight.shape[1], 4, layers, bias="rnn.bias_ih_l0" in state)
    rnn.load_state_dict({name.removeprefix("rnn."): t for name, t in state.items() if name.startswith("rnn.")})
    with torch.no_grad():
        h, _ = rnn(weight[[BEFORE, *IDS[:-1]]])
        logits = h @ state[f"{head}.weight"].T + state[f"{head}.bias"]
        return float(torch.nn.functional.cross_entropy(logits, torch.tensor(IDS)))


@pytest.mark.parametrize("names", [("encoder", "decoder", 3), ("emb", "linear", 4), ("", "fc", 0)])
@pytest.mark.parametrize(
    ("cell", "layers", "bias"), [("lstm", 2, True), ("gru", 1, True), ("gru", 2, False), ("rnn", 1, True)]
)
def test_a_state_dict_of_pytorch_expects_what_it_expected(
    capsys: pytest.CaptureFixture[str], cell: str, layers: int, bias: bool, names: tuple[str, str, int]
) -> None:
    from safetensors.torch import save_file

    embedding, head, width = names
    state = torch_model(cell, layers, embedding=embedding, head=head, width=width, bias=bias)
    save_file(state, "old.safetensors")
    _, err = charnet("import old.safetensors --from torch --alphabet alphabet.txt", capsys)
    expected = torch_loss(state, cell, layers, embedding, head)
    assert measured(capsys, "old") == pytest.approx(expected, abs=1e-5)
    assert ("assumed: activation tanh" in err) == (cell == "rnn")


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_weights_of_any_type_of_float_are_read(capsys: pytest.CaptureFixture[str], dtype: str) -> None:
    import torch
    from safetensors.torch import save_file

    state = {name: t.to(getattr(torch, dtype)) for name, t in torch_model("gru", 1).items()}
    save_file(state, "old.safetensors")
    charnet("import old.safetensors --alphabet alphabet.txt", capsys)
    expected = torch_loss({name: t.float() for name, t in state.items()}, "gru", 1, "embed", "fc")
    assert measured(capsys, "old") == pytest.approx(expected, abs=1e-5)


def test_tied_weights_are_embedding_and_head(capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.torch import save_file

    state = torch_model("lstm", 1, width=4)
    state["fc.weight"] = state["embed.weight"]
    saved = {name: t for name, t in state.items() if name != "fc.weight"}
    save_file(saved, "old.safetensors")
    charnet("import old.safetensors --alphabet alphabet.txt", capsys)
    assert measured(capsys, "old") == pytest.approx(torch_loss(state, "lstm", 1, "embed", "fc"), abs=1e-5)


@pytest.mark.parametrize("name", ["out.weight", "table.weight", "embed.weight"])
def test_a_lone_matrix_that_may_be_input_or_output_is_not_guessed(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """As many units as characters: one-hot input and an output, or an embedding that is the output too."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(5)
    rnn, matrix = torch.nn.LSTM(5, 5), torch.randn(5, 5)
    save_file({f"rnn.{key}": t.detach() for key, t in rnn.state_dict().items()} | {name: matrix}, "old.safetensors")
    line = "import old.safetensors --alphabet alphabet.txt"
    assumed = "assumed: that the embedding is the output matrix too"
    if name == "embed.weight":
        assert assumed in charnet(line, capsys)[1]
        return
    _, err = charnet(line, capsys, 4)
    assert f'found "{name}" of shape (5, 5) alone' in err
    for ours, weight in {"embedding.weight": matrix, "head.weight": torch.eye(5)}.items():
        run_of = ours.partition(".")[0]
        _, err = charnet(f"{line} --map {name}={ours} -o {run_of}", capsys)
        assert (assumed in err) == (run_of == "embedding")
        with torch.no_grad():
            logits = rnn(weight[[BEFORE, *IDS[:-1]]])[0] @ matrix.T
        expected = float(torch.nn.functional.cross_entropy(logits, torch.tensor(IDS)))
        assert measured(capsys, run_of) == pytest.approx(expected, abs=1e-5)


def test_a_model_in_single_precision_takes_little_more_memory_than_its_file() -> None:
    from safetensors.numpy import save_file

    shapes = {"rnn.weight_ih_l0": (1024, 256), "rnn.weight_hh_l0": (1024, 256), "embed.weight": (5, 256)}
    save_file({name: random(*shape) for name, shape in shapes.items()}, "old.safetensors")
    tracemalloc.start()
    convert(Path("old.safetensors"), Given(alphabet=Path("alphabet.txt")))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * Path("old.safetensors").stat().st_size


def test_names_that_say_nothing_are_mapped(capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.torch import save_file

    state = torch_model("lstm", 1, width=4)
    save_file({"a": state["fc.weight"], "b": state["embed.weight"]}
              | {name.replace("rnn.", "net.x."): t for name, t in state.items() if name.startswith("rnn.")}
              | {"c": state["fc.bias"]}, "old.safetensors")  # fmt: skip
    line = "import old.safetensors --alphabet alphabet.txt"
    charnet(f"{line} --map a=head.weight --map b=embedding.weight -o mapped", capsys)
    assert measured(capsys, "mapped") == pytest.approx(torch_loss(state, "lstm", 1, "embed", "fc"), abs=1e-5)
    for more, code, found in [
        ("", 4, "found no embedding of shape (5, 4)"),
        ("--map d=head.weight", 2, 'has no tensor "d"'),
        ("--map a=head", 2, "expected embedding.weight, head.weight, head.bias or rnn.weight_ih_l0"),
        ("--map a=head.weight --map b=head.weight", 2, "found one twice"),
        ("--map a", 2, "--map: expected NAME=OURS"),
    ]:
        assert found in charnet(f"{line} {more}", capsys, code)[1]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"rnn.weight_ih_l0_reverse": (16, 3)}, "a bidirectional network"),
        ({"rnn.weight_hr_l0": (2, 4)}, "proj_size"),
        ({"members.1.rnn.weight_hh_l0": (16, 4)}, "an ensemble that charnet exported"),
        ({"norm.weight": (4,)}, 'no place for: "norm.weight" (4,)'),
        ({"rnn.weight_hh_l1": (24, 6), "rnn.weight_ih_l1": (24, 4)}, "layers of different sizes (4, 6)"),
        ({"rnn.weight_hh_l2": (16, 4), "rnn.weight_ih_l2": (16, 4)}, "found no whole layer 1"),
        ({"other.weight_hh_l0": (16, 4)}, "expected one recurrent network, found 2"),
        ({"rnn.weight_hh_l0": (20, 4), "rnn.weight_ih_l0": (20, 3)}, "a bias of layer 0 of another size"),
        ({"rnn.weight_hh_l1": (16, 4), "rnn.weight_ih_l1": (16, 7)}, "layers.1.weight_ih of shape (16, 7)"),
    ],
)
def test_models_of_pytorch_that_do_not_fit_are_refused_with_the_reason(
    capsys: pytest.CaptureFixture[str], made: dict[str, tuple[int, ...]], reason: str
) -> None:
    from safetensors.numpy import save_file

    state = {name: t.numpy() for name, t in torch_model("lstm", 1).items()}
    save_file(state | {name: random(*shape) for name, shape in made.items()}, "old.safetensors")
    assert reason in charnet("import old.safetensors --alphabet alphabet.txt", capsys, 4)[1]
    assert not Path("checkpoints").exists()


def test_advice_is_given_only_where_it_helps(capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.numpy import save_file

    save_file({"a": random(5, 4)}, "none.safetensors")
    _, err = charnet("import none.safetensors --alphabet alphabet.txt", capsys, 4)
    assert "found no recurrent network; name its tensors, as in --map NAME=rnn.weight_ih_l0" in err
    assert "cannot be imported" not in err
    save_file({f"{name}.weight_hh_l0": random(16, 4) for name in "ab"}, "two.safetensors")
    _, err = charnet("import two.safetensors --alphabet alphabet.txt", capsys, 4)
    assert "expected one recurrent network, found 2; such a model cannot be imported" in err


def test_relu_is_said_by_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.torch import save_file

    save_file(torch_model("rnn", 1), "old.safetensors")
    out, _ = charnet("import old.safetensors --alphabet alphabet.txt --activation relu", capsys)
    assert Checkpoint.load(Path(out.strip())).config.model.activation == "relu"


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_an_activation_that_no_cell_has_is_refused(capsys: pytest.CaptureFixture[str], cell: str) -> None:
    from safetensors.torch import save_file

    save_file(torch_model(cell, 1), "old.safetensors")
    _, err = charnet("import old.safetensors --alphabet alphabet.txt --activation relu", capsys, 2)
    assert f"--activation is for an nn.RNN, and old.safetensors has layers of the {cell}; leave it out" in err


def test_tensors_without_floats_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    import torch
    from safetensors.torch import save_file

    state = torch_model("lstm", 1) | {"mask": torch.ones(2, 2, dtype=torch.bool), "\x1bsteps": torch.tensor([3])}
    save_file(state, "old.safetensors")
    _, err = charnet("import old.safetensors --alphabet alphabet.txt", capsys)
    left_out = next(line for line in err.splitlines() if line.startswith("left out: "))
    assert '"mask"' in left_out
    assert 'steps"' in left_out
    save_file(state | {f"count{number}": torch.tensor([number]) for number in range(11)}, "old.safetensors")
    assert "5 more without floats" in charnet("import old.safetensors --alphabet alphabet.txt", capsys)[1]


def numpy_gru(kernel: Any, recurrent: Any, bias: Any) -> Any:
    """A step of the GRU of Keras with reset_after, from its documentation: z, r, h."""

    def step(x: Any, state: Any) -> tuple[Any, Any]:
        h = np.zeros(len(recurrent)) if state is None else state
        (x_z, x_r, x_h), (h_z, h_r, h_h) = np.split(x @ kernel + bias[0], 3), np.split(h @ recurrent + bias[1], 3)
        z, r = old_models.sigmoid(x_z + h_z), old_models.sigmoid(x_r + h_r)
        h = z * h + (1 - z) * np.tanh(x_h + r * h_h)
        return h, h

    return step


def keras_model(
    kind: str, layers: int, embedding: bool
) -> tuple[dict[str, Any], dict[str, Sequence[Any]], Callable[[], float]]:
    """The config and the variables of a model with 4 units, and its loss."""
    gates, group = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}[kind], {"SimpleRNN": "simple_rnn"}.get(kind, kind.lower())
    alphabet, width = len(LETTERS), 3 if embedding else len(LETTERS)
    listed_layers = [old_models.keras_layer("InputLayer")]
    variables: dict[str, Sequence[Any]] = {}
    table = np.eye(alphabet)
    if embedding:
        listed_layers.append(old_models.keras_layer("Embedding"))
        variables["embedding"] = [table := random(alphabet, width)]
    steps = []
    for number in range(layers):
        bias = random(2, 3 * 4) if kind == "GRU" else random(4 * gates)
        found = [random(4 if number else width, 4 * gates), random(4, 4 * gates), bias]
        variables[f"{group}_{number}/cell".replace("_0/", "/")] = found
        name = list(variables)[-1].removesuffix("/cell")
        settings = {"name": name, "activation": "tanh", "return_sequences": True}
        if kind != "SimpleRNN":
            settings |= {"recurrent_activation": "sigmoid"} | ({"reset_after": True} if kind == "GRU" else {})
        listed_layers += [old_models.keras_layer(kind, **settings), old_models.keras_layer("Dropout", rate=0.2)]
        steps.append(numpy_gru(*found) if kind == "GRU" else old_models.rnn_step(*found) if kind == "SimpleRNN"
                     else old_models.lstm_step(*found, "ifgo"))  # fmt: skip
    weight, bias = variables["dense"] = [random(4, alphabet), random(alphabet)]
    listed_layers.append(old_models.keras_layer("Dense", activation="softmax"))
    return (
        old_models.sequential(*listed_layers),
        variables,
        lambda: old_models.loss(table.__getitem__, steps, lambda h: h @ weight + bias, IDS, BEFORE),
    )


@pytest.mark.parametrize("form", ["keras", "weights.h5", "h5"])
@pytest.mark.parametrize(
    ("kind", "layers", "embedding"),
    [("LSTM", 2, True), ("LSTM", 1, False), ("GRU", 2, True), ("GRU", 1, False), ("SimpleRNN", 3, True)],
)
def test_keras_expects_what_it_expected(
    capsys: pytest.CaptureFixture[str], kind: str, layers: int, embedding: bool, form: str
) -> None:
    pytest.importorskip("h5py")
    config, variables, loss = keras_model(kind, layers, embedding)
    weights = old_models.keras_variables(variables)
    forms = {"keras": old_models.keras_archive(config, weights), "weights.h5": weights}
    write(f"old.{form}", forms.get(form) or old_models.keras_2_file(config, variables))
    _, err = charnet(f"import old.{form} --alphabet alphabet.txt", capsys)
    assert measured(capsys, "old") == pytest.approx(loss(), abs=1e-5)
    assert ("does not name" in err) == (form == "weights.h5")


@pytest.mark.parametrize("masks", [False, True])
def test_padding_of_keras_is_said(capsys: pytest.CaptureFixture[str], masks: bool) -> None:
    pytest.importorskip("h5py")
    config, variables, _ = keras_model("LSTM", 1, True)
    embedding = next(each for each in config["config"]["layers"] if each["class_name"] == "Embedding")
    embedding["config"]["mask_zero"] = masks
    write("old.keras", old_models.keras_archive(config, old_models.keras_variables(variables)))
    _, err = charnet("import old.keras --alphabet alphabet.txt", capsys)
    assert ("assumed: that no text holds the symbol of id 0: it is padding" in err) == masks


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"recurrent_activation": "hard_sigmoid"}, 'found recurrent_activation "hard_sigmoid"'),
        ({"activation": "relu"}, 'found the activation "relu"'),
        ({"go_backwards": True}, 'found go_backwards "True"'),
        ({"reset_after": False}, 'found reset_after "False"'),
    ],
)
def test_settings_of_keras_without_a_counterpart_are_refused(
    capsys: pytest.CaptureFixture[str], change: dict[str, Any], reason: str
) -> None:
    pytest.importorskip("h5py")
    config, variables, _ = keras_model("GRU", 1, True)
    config["config"]["layers"][2]["config"] |= change
    write("old.keras", old_models.keras_archive(config, old_models.keras_variables(variables)))
    assert reason in charnet("import old.keras --alphabet alphabet.txt", capsys, 4)[1]


@pytest.mark.parametrize("kind", ["Bidirectional", "Conv1D", "LayerNormalization"])
def test_layers_of_keras_without_a_counterpart_are_refused(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    pytest.importorskip("h5py")
    config, variables, _ = keras_model("LSTM", 1, True)
    config["config"]["layers"].insert(2, old_models.keras_layer(kind))
    write("old.keras", old_models.keras_archive(config, old_models.keras_variables(variables)))
    assert f'found a layer of the class "{kind}"' in charnet("import old.keras --alphabet alphabet.txt", capsys, 4)[1]


@pytest.mark.parametrize("group", ["layer_normalization", "bidirectional", "conv1d_1", "lambda"])
def test_weights_of_keras_with_other_layers_are_refused(capsys: pytest.CaptureFixture[str], group: str) -> None:
    pytest.importorskip("h5py")
    _, variables, _ = keras_model("LSTM", 1, True)
    weights = old_models.keras_variables({**variables, "dropout": [], group: [random(4), random(4)]})
    write("old.weights.h5", weights)
    _, err = charnet("import old.weights.h5 --alphabet alphabet.txt", capsys, 4)
    assert f'found a layer "{group}"; such a model cannot be imported' in err


@pytest.mark.parametrize("config", ["x", 1, [1], None])
def test_a_layer_within_a_layer_of_keras_may_be_damaged(capsys: pytest.CaptureFixture[str], config: Any) -> None:
    pytest.importorskip("h5py")
    model, variables, _ = keras_model("LSTM", 1, True)
    inner = {"class_name": "Dense", "config": config}
    model["config"]["layers"][-1] = old_models.keras_layer("TimeDistributed", layer=inner)
    write("old.keras", old_models.keras_archive(model, old_models.keras_variables(variables)))
    assert "with an invalid layer" in charnet("import old.keras --alphabet alphabet.txt", capsys, 4)[1]


def test_a_gru_of_keras_2_is_refused_if_it_says_nothing_of_reset_after(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("h5py")
    config, variables, _ = keras_model("GRU", 1, True)
    config["config"]["layers"][2]["config"].pop("reset_after")
    write("old.h5", old_models.keras_2_file(config, variables))
    assert 'found reset_after "False"' in charnet("import old.h5 --alphabet alphabet.txt", capsys, 4)[1]


def test_other_models_of_keras_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("h5py")
    config, variables, _ = keras_model("LSTM", 1, True)
    chained = json.loads(json.dumps(config))
    chained["class_name"] = "Functional"
    for before, layer in zip(["", *chained["config"]["layers"]], chained["config"]["layers"], strict=False):
        if before:
            history = {"config": {"keras_history": [before["config"]["name"], 0, 0]}}
            layer["inbound_nodes"] = [{"args": [history], "kwargs": {}}]
    branched = json.loads(json.dumps(chained))
    branched["config"]["layers"][3]["inbound_nodes"] *= 2
    of_keras_2 = json.loads(json.dumps(chained))
    for layer in of_keras_2["config"]["layers"][1:]:
        history = layer["inbound_nodes"][0]["args"][0]["config"]["keras_history"]
        layer["inbound_nodes"] = [[[*history, {}]]]
    weights = old_models.keras_variables(variables)
    for number, (content, reason) in enumerate([
        (old_models.keras_archive(chained, weights), ""),
        (old_models.keras_2_file(of_keras_2, variables), ""),
        (old_models.keras_variables({}), "found HDF5 without layers"),
        (old_models.keras_archive(branched, weights), "layers that are not a chain"),
        (old_models.keras_archive(config | {"class_name": "My"}, weights), 'a model of the class "My"'),
        (old_models.keras_archive(config, old_models.keras_variables(variables | {"dense": [random(4)]})),
         'found variables of shapes (4,) in "layers/dense/vars"'),
        (old_models.keras_variables({"embedding": variables["embedding"], "dense": variables["dense"]}),
         "expected LSTM, GRU or SimpleRNN layers"),
        (old_models.keras_variables(variables | {"gru/cell": [random(3, 9), random(3, 9), random(9)]}),
         "expected LSTM, GRU or SimpleRNN layers"),
    ]):  # fmt: skip
        write("old.keras", content)
        line = f"import old.keras --alphabet alphabet.txt -o {number}"
        assert reason in charnet(line, capsys, 4 if reason else 0)[1]


def test_bytes_become_an_alphabet_of_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    for number, tokens in enumerate(
        [[b"b", b"\xc3", b" ", b"a", b"\n", b"\xa9"], [b"b", b"[195]", b" ", b"a", b"\n", b"[169]"]]
    ):
        model = old_models.torch_rnn(tokens=tokens)
        write("lm.t7", t7(model))
        out, err = charnet(f"import lm.t7 -o {number}", capsys)
        ids = [[b"b", b"\xc3", b" ", b"a", b"\n", b"\xa9"].index(bytes([each])) for each in TEXT.encode()]
        found = json.loads(charnet(f"eval {number} text.txt --json", capsys)[0])
        assert old_models.torch_rnn_loss(model, ids, 4) == pytest.approx(found["nats_per_char"], abs=1e-5)
        assert "alphabet of 6 bytes" in err
        assert Checkpoint.load(Path(out.strip())).vocab.of_bytes


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        ([b"a", b"cat"], 'an alphabet with "cat", which is not one character'),
        ([b"a", b"b", b"a"], 'an alphabet with "a" twice'),
        ([b"a", b"\xff\xfe"], "which is not one character"),
        ([b"a", b""], "which is not one character"),
        ([b"a", b"\xed\xa0\x80"], "which is not one character"),
    ],
)
def test_alphabets_that_are_none_of_characters_are_refused(
    capsys: pytest.CaptureFixture[str], tokens: list[bytes], reason: str
) -> None:
    write("lm.t7", t7(old_models.torch_rnn(tokens=tokens)))
    assert reason in charnet("import lm.t7", capsys, 4)[1]


def test_one_symbol_may_stand_for_unknown_characters(capsys: pytest.CaptureFixture[str]) -> None:
    write("lm.t7", t7(old_models.torch_rnn(tokens=[b"<unk>", b"b", b"\xc3\xa9"])))
    out, _ = charnet("import lm.t7", capsys)
    assert Checkpoint.load(Path(out.strip())).vocab.symbols == (0x62, 0xE9, RARE)


ALPHABETS = {
    "with an added line end.txt": ALPHABET + "\n",
    "with a byte order mark.txt": "\ufeff" + ALPHABET,
    "with both.txt": "\ufeff" + ALPHABET + "\n",
    "with a byte order mark.json": "\ufeff" + json.dumps(list(ALPHABET)),
    "list.json": list(ALPHABET),
    "from 1.json": {str(number): character for number, character in enumerate(ALPHABET, 1)},
    "from characters.json": {character: number for number, character in enumerate(ALPHABET)},
    "itos.json": {"itos": {str(number): character for number, character in enumerate(ALPHABET)}, "vocab_size": 5},
    "stoi.json": {"stoi": {character: number for number, character in enumerate(ALPHABET)}, "x": [1]},
    "idx_to_token.json": {"idx_to_token": {str(number): each for number, each in enumerate(ALPHABET, 1)}},
}


@pytest.mark.parametrize("name", ALPHABETS)
def test_an_alphabet_has_several_forms(capsys: pytest.CaptureFixture[str], name: str) -> None:
    from safetensors.torch import save_file

    state, found = torch_model("lstm", 1), ALPHABETS[name]
    save_file(state, "old.safetensors")
    name = name.replace(" ", "_")
    write(name, found if isinstance(found, str) else json.dumps(found))
    charnet(f"import old.safetensors --alphabet {name}", capsys)
    assert measured(capsys, "old") == pytest.approx(torch_loss(state, "lstm", 1, "embed", "fc"), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", "abc", "expected 5 characters, as the model has, found 3"),
        ("a.txt", b"\xff\xfe", "expected an alphabet in UTF-8"),
        ("a.txt", "aabcd", 'an alphabet with "a" twice'),
        ("a.json", "abcde", "found Expecting value"),
        ("a.json", '{"a": 0, "a": 1}', "duplicate name"),
        ("a.json", '{"a": 0, "b": 0, "c": 2, "d": 3, "e": 4}', "an id twice"),
        ("a.json", '{"a": 0, "b": 1, "c": 2, "d": 3, "e": 7}', "without the id 4"),
        ("a.json", "[1, 2, 3, 4, 5]", "found other JSON"),
        ("a.json", "5", "found other JSON"),
        ("a.json", "[" * 3000, "found"),
        ("a.json", '{"itos": {"itos": {"itos": []}}}', "expected 5 characters"),
        ("a.json", '["a", "b", "c", "d", "\\ud800"]', "in UTF-8"),
    ],
)
def test_a_wrong_alphabet_is_refused(
    capsys: pytest.CaptureFixture[str], name: str, content: str | bytes, reason: str
) -> None:
    from safetensors.torch import save_file

    save_file(torch_model("lstm", 1), "old.safetensors")
    write(name, content)
    assert reason in charnet(f"import old.safetensors --alphabet {name}", capsys, 4)[1]


def test_the_way_out_of_a_pickle_is_said_and_works(capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    state = torch_model("gru", 1)
    torch.save({"state_dict": state}, "old.pt")
    _, err = charnet("import old.pt --alphabet alphabet.txt", capsys, 4)
    assert "a pickle can run any program when it is loaded" in err
    program = err[err.index("import torch") :].replace("\n", " ").strip()
    exec(program, {})
    charnet("import model.safetensors --alphabet alphabet.txt", capsys)
    assert measured(capsys, "model") == pytest.approx(torch_loss(state, "gru", 1, "embed", "fc"), abs=1e-5)
    write("old.pkl", b"\x80\x04\x95junk")
    assert "a pickle can run" in charnet("import old.pkl", capsys, 4)[1]


class Trap:
    """Unpickling this makes the folder `executed`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_pickle_is_loaded_under_any_name(capsys: pytest.CaptureFixture[str], protocol: int) -> None:
    import torch

    torch.save(Trap(), "zip", pickle_protocol=max(2, protocol))
    torch.save(Trap(), "old", _use_new_zipfile_serialization=False, pickle_protocol=max(2, protocol))
    trap = pickle.dumps(Trap(), protocol)
    for content in (trap, Path("zip").read_bytes(), Path("old").read_bytes()):
        for name in ("a.t7", "a.pt"):
            write(name, content)
            charnet(f"import {name} --alphabet alphabet.txt", capsys, 4)
    assert not Path("executed").exists()


def test_the_command_knows_the_programs_that_are_converted() -> None:
    from charnet.cli import importing
    from charnet.exchange import convert

    assert importing.SOURCES == convert.SOURCES


def test_importing_loads_no_torch() -> None:
    write("lm.t7", t7(old_models.torch_rnn()))
    code = "import sys; from charnet.cli.app import run; run(['import', 'lm.t7']); assert 'torch' not in sys.modules"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (result.returncode, result.stdout) == (0, "checkpoints/lm/best.safetensors\n"), result.stderr


@pytest.mark.parametrize(
    ("line", "code", "reason"),
    [
        ("import none.t7", 4, "none.t7: there is no such file"),
        ("import .", 6, "cannot be read: Is a directory"),
        ("import text.txt", 4, "expected a model of torch-rnn or char-rnn (.t7), PyTorch (.safetensors) or Keras"),
        ("import lm.t7 --from keras", 4, "expected a file of keras, found one of torch-rnn"),
        ("import lm.t7 --from char-rnn", 4, "expected a checkpoint of torch-rnn or char-rnn"),
        ("import lm.t7 --from chainer", 2, "--from: expected auto, torch-rnn, char-rnn, torch, keras"),
        ("import lm.t7 --activation swish", 2, "--activation: expected tanh, relu"),
        ("import lm.t7 --activation relu", 2, "are for weights of PyTorch alone"),
        ("import lm.t7 --map a=head.weight", 2, "are for weights of PyTorch alone"),
        ("import lm.t7 --alphabet alphabet.txt", 2, "has its own; leave it out"),
        ("import lm.t7 -o a/b", 2, "--out names its folder"),
        ("import lm.t7 -o ..", 2, "expected the name of a run"),
        ("import own.safetensors --alphabet alphabet.txt", 4, "found a checkpoint of charnet"),
        ("import old.safetensors", 2, "--alphabet alphabet.txt"),
        ("import old.safetensors --alphabet none.txt", 4, "none.txt: there is no such file"),
    ],
)
def test_refusals_say_what_to_do(capsys: pytest.CaptureFixture[str], line: str, code: int, reason: str) -> None:
    from safetensors.torch import save_file

    write("lm.t7", t7(old_models.torch_rnn()))
    save_file(torch_model("lstm", 1), "old.safetensors")
    charnet("import lm.t7 --out runs", capsys)
    Path("runs/lm/best.safetensors").rename("own.safetensors")
    out, err = charnet(line, capsys, code)
    assert reason in err
    assert (out, err.count("\n")) == ("", 1)
    assert not Path("checkpoints").exists()


def numbered(tokens: Any, **fields: Any) -> dict[str, Any]:
    """A checkpoint of torch-rnn with another alphabet, and other fields of its model."""
    model = old_models.torch_rnn()
    model["model"].fields |= {"idx_to_token": tokens, **fields}
    return model


def without(name: str, field: str, value: Any = None) -> dict[str, Any]:
    """A checkpoint of torch-rnn with another value of a field of the modules of a class."""
    model = old_models.torch_rnn(layers=1)
    for module in model["model"].fields["net"].fields["modules"].values():
        if module.name == name:
            module.fields[field] = value
    return model


def normalized(layers: int) -> dict[str, Any]:
    """A checkpoint of torch-rnn with batch normalization of too few units."""
    model = old_models.torch_rnn(layers=layers, normalized=True)
    for module in model["model"].fields["net"].fields["modules"].values():
        if module.name == "nn.BatchNormalization":
            module.fields |= {n: LuaTensor(random(3) ** 2) for n in ("running_mean", "running_var", "weight", "bias")}
    return model


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"model": 5}, "found other data"),
        ({"model": LuaObject("nn.Sequential")}, "found other data"),
        (LuaObject("nn.Other"), 'found an object "nn.Other"'),
        ({"model": LuaObject("nn.LanguageModel")}, "found other modules than"),
        (numbered(None, net=LuaObject("nn.Sequential", modules={1: 2})), "modules that are none"),
        (numbered(None), "no alphabet"),
        (numbered(listed([b"a", 5])), "no alphabet"),
        (numbered({1: b"a", 3: b"c"}), "without the id 2"),
        (numbered(listed([b"a", b"b"])), "embedding.weight of shape (5, 3) where the others call for (2, 3)"),
        (normalized(layers=1), "batch normalization or a bias of other shapes"),
        (normalized(layers=2), "batch normalization of other shapes"),
        (without("nn.LSTM", "bias"), 'no bias of 1 dimensions in "nn.LSTM"'),
        (without("nn.LSTM", "weight", 5), 'no weight of 2 dimensions in "nn.LSTM"'),
        (without("nn.LSTM", "weight", LuaTensor(random(4, 16))), "weights of shape (4, 16)"),
        (without("nn.LSTM", "weight", LuaTensor(random(7, 15))), "weights of shape (7, 15)"),
        (without("nn.Linear", "weight", LuaTensor(random(5, 3))), "head.weight of shape (5, 3)"),
        (without("nn.LookupTable", "weight", LuaTensor(random(5, 2))), "layers.0.weight_ih of shape (16, 3)"),
        (without("nn.Linear", "bias", LuaTensor(random(5) * np.inf)), "numbers in head.bias that are not finite"),
        (without("nn.Linear", "bias", LuaTensor(np.full(5, 1e300), "Double")), "that are not finite"),
    ],
)  # fmt: skip
def test_whole_files_with_other_content_are_refused(
    capsys: pytest.CaptureFixture[str], content: Any, reason: str
) -> None:
    write("lm.t7", t7(content))
    _, err = charnet("import lm.t7", capsys, 4)
    assert reason in err
    assert err.count("\n") == 1
    assert not Path("checkpoints").exists()


def test_weights_that_overlap_are_refused() -> None:
    """A few bytes could make a huge model."""
    from charnet.errors import CheckpointError
    from charnet.exchange import t7 as reader
    from charnet.exchange.torch_rnn import check_sizes

    numbers = np.zeros(6, np.float32)
    module = reader.Instance("nn.LSTM")
    module.fields[b"weight"] = reader.Tensor((2, 3), (3, 1), 0, numbers)
    check_sizes(Path("a"), [module])
    with pytest.raises(CheckpointError, match="weights that overlap"):
        check_sizes(Path("a"), [module, module])


def test_an_imported_run_is_shown_sampled_quantized_and_learned_from_but_not_resumed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write("lm.t7", t7(old_models.torch_rnn()))
    charnet("import lm.t7", capsys)
    shown, _ = charnet("inspect lm", capsys)
    assert "not known: imported from torch-rnn: lm.t7" in shown
    assert "step" not in shown
    assert "nats" not in shown
    listed_, _ = charnet("runs", capsys)
    assert "imported" in listed_
    assert "trained" not in listed_
    assert len(charnet("sample lm -n 20 -s 1 -q", capsys)[0].strip("\n")) > 0
    charnet("quantize lm", capsys)
    assert len(charnet("sample checkpoints/lm/best.int8.safetensors -n 20 -s 1 -q", capsys)[0]) > 0
    assert (
        "an imported model, without its text, and cannot be resumed; try --init-from"
        in charnet("train --resume lm", capsys, 4)[1]
    )
    assert "is not known: it was imported from torch-rnn" in charnet("sample lm --copies -n 5", capsys, 3)[1]
    Path("long.txt").write_text("ab é" * 100, encoding="utf-8")
    charnet("train long.txt --init-from lm --steps 2 --batch-size 2 --window 5 --name after", capsys)
    assert Checkpoint.load(Path("checkpoints/after/last.safetensors")).config.model.hidden_size == 4


def test_a_name_that_is_taken_gets_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    write("lm.t7", t7(old_models.torch_rnn()))
    first, _ = charnet("import lm.t7 -o old", capsys)
    second, _ = charnet("import lm.t7 -o old", capsys)
    assert (first, second) == ("checkpoints/old/best.safetensors\n", "checkpoints/old-2/best.safetensors\n")
    assert (
        Checkpoint.load(Path(first.strip())).weights_sha256() == Checkpoint.load(Path(second.strip())).weights_sha256()
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda h: h["fc.bias"].update(dtype="F32", shape=[6]), "does not match the shape"),
        (lambda h: h["fc.bias"].update(data_offsets=[0, 20]), "overlap"),
        (lambda h: h["fc.bias"].update(data_offsets=[1 << 40, (1 << 40) + 20]), "behind the end"),
        (lambda h: h["fc.bias"].update(data_offsets=[20, 0]), "behind the end"),
        (lambda h: h["fc.bias"].update(shape=[-5]), "an invalid description"),
        (lambda h: h["fc.bias"].pop("shape"), "an invalid description"),
        (lambda h: h.update({"x" * 300: {}}), "a tensor"),
        (lambda h: h.update(fc=5), 'a tensor "fc"'),
    ],
)
def test_damaged_safetensors_are_refused(
    capsys: pytest.CaptureFixture[str], change: Callable[[Any], object], reason: str
) -> None:
    from safetensors.torch import save

    raw = save(torch_model("lstm", 1))
    (length,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    write("old.safetensors", struct.pack("<Q", len(text)) + text + raw[8 + length :])
    assert reason in charnet("import old.safetensors --alphabet alphabet.txt", capsys, 4)[1]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("twice.txt", ALPHABET[:-1] + ALPHABET[0], 'found an alphabet with "'),
        ("words.json", json.dumps([*ALPHABET[:-1], "cat"]), 'found an alphabet with "cat", which is not one character'),
    ],
)
def test_a_wrong_alphabet_is_blamed_on_its_own_file(
    capsys: pytest.CaptureFixture[str], name: str, content: str, reason: str
) -> None:
    from safetensors.torch import save_file

    save_file(torch_model("gru", 1), "old.safetensors")
    write(name, content)
    err = charnet(f"import old.safetensors --alphabet {name}", capsys, 4)[1]
    assert err.startswith(f"charnet: {name}: {reason}")
    assert "cannot be imported" not in err


@pytest.mark.parametrize("kind", ["lstm tanh", "cifg tanh", "gru tanh", "rnn tanh", "rnn relu", "of bytes", "rare"])
def test_weights_that_charnet_exported_come_back_with_their_alphabet(
    capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    rare = Vocabulary((*sorted(map(ord, ALPHABET)), RARE))
    utf8 = Vocabulary(tuple(sorted(set(TEXT.encode()) | {0xA9, 0xC3})), of_bytes=True, is_utf8=True)
    of_text = Vocabulary.of_text(ALPHABET)
    cell, _, activation = kind.partition(" ") if kind[:2] not in ("of", "ra") else ("lstm", "", "tanh")
    vocab = {"of bytes": utf8, "rare": rare}.get(kind, of_text)
    settings = {"model.activation": activation, "data.bytes": vocab.of_bytes}
    tiny(cell, vocab, **settings).save(Path("own.safetensors"))
    charnet("export own.safetensors --safetensors -o plain.safetensors", capsys)
    out, err = charnet("import plain.safetensors -o back", capsys)
    assert "does not say" not in err
    assert Checkpoint.load(Path(out.strip())).vocab.symbols == vocab.symbols
    assert measured(capsys, "back") == pytest.approx(measured(capsys, "own.safetensors"), abs=1e-5)


def test_a_checkpoint_of_charnet_needs_no_import_and_no_alphabet(capsys: pytest.CaptureFixture[str]) -> None:
    tiny().save(Path("own.safetensors"))
    assert "a checkpoint of charnet, which every command reads" in charnet("import own.safetensors", capsys, 4)[1]
    tiny("rnn", **{"model.activation": "sigmoid"}).save(Path("sigmoid.safetensors"))
    charnet("export sigmoid.safetensors --safetensors -o plain.safetensors", capsys)
    assert "whose state begins at -1" in charnet("import plain.safetensors", capsys, 4)[1]
    whole = (
        Path("plain.safetensors").read_bytes().replace(b"sigmoid", b"tanh").replace(b'"alphabet":"[', b'"alphabet":"{')
    )
    length = struct.unpack_from("<Q", whole)[0] - 3
    Path("bad.safetensors").write_bytes(struct.pack("<Q", length) + whole[8:])
    assert "a header without the alphabet" in charnet("import bad.safetensors", capsys, 4)[1]
