"""The names that programs may use: `charnet.load` and `charnet.train`, what they take, and what a model can do."""

from __future__ import annotations

import inspect
import subprocess
import sys
from inspect import Parameter
from pathlib import Path

import pytest

import charnet
from charnet.api import TextModel

# name of the function: its parameters in their order; * and ** as in a definition, a default after the name
LOAD = {"path": None, "engine": "auto"}
TRAIN = {"texts": Parameter.empty, "out": "checkpoints", "name": "", "seconds": None, "on_event": None,
         "resume": None, "init_from": None, "continue_text": False, "progress": None}  # fmt: skip
METHODS = {
    "generate": ["self", "prompt", "index", "options"],
    "stream": ["self", "prompt", "index", "options"],
    "texts": ["self", "prompt", "count", "options"],
    "answers": ["self", "prompts", "options"],
    "replay": ["self", "path", "prompt"],
    "evaluate": ["self", "text"],
    "states": ["self", "text"],
    "adapt": ["self", "text", "rate"],
    "compress": ["self", "text", "adaptive"],
    "decompress": ["self", "data"],
    "start": ["self", "prompt", "num_sampled"],
    "extend": ["self", "state", "text"],
    "write": ["self", "state", "index", "options"],
}


def parameters_of(function: object) -> dict[str, Parameter]:
    assert callable(function)
    return dict(inspect.signature(function).parameters)


def test_the_package_has_these_names_and_no_others() -> None:
    assert sorted(charnet.__all__) == ["CharnetError", "Evaluation", "TextModel", "__version__", "load", "train"]
    for name in charnet.__all__:
        assert getattr(charnet, name) is not None


def test_the_names_are_listed() -> None:
    assert set(charnet.__all__) <= set(dir(charnet))


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="lod"):
        _ = charnet.lod


def test_the_version_is_a_number_of_three_parts() -> None:
    assert [part.isdecimal() for part in charnet.__version__.split(".")] == [True] * 3


def test_what_the_caller_can_correct_is_a_charnet_error() -> None:
    assert issubclass(charnet.CharnetError, Exception)


def test_load_takes_a_path_and_the_name_of_an_engine() -> None:
    found = parameters_of(charnet.load)
    assert {name: parameter.default for name, parameter in found.items()} == LOAD
    assert found["path"].kind is Parameter.POSITIONAL_OR_KEYWORD
    assert found["engine"].kind is Parameter.KEYWORD_ONLY


def test_train_takes_texts_and_any_setting() -> None:
    found = parameters_of(charnet.train)
    assert found.pop("settings").kind is Parameter.VAR_KEYWORD
    assert {name: parameter.default for name, parameter in found.items()} == TRAIN
    assert found.pop("texts").kind is Parameter.VAR_POSITIONAL
    assert {parameter.kind for parameter in found.values()} == {Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_a_model_takes_these_parameters(name: str) -> None:
    found = parameters_of(getattr(TextModel, name))
    assert list(found) == METHODS[name]
    if "options" in found:
        assert found["options"].kind is Parameter.VAR_KEYWORD
    first = METHODS[name][1]
    for other in found.values():
        if other.name not in ("self", first, "options"):
            assert other.kind is (Parameter.POSITIONAL_OR_KEYWORD if name == "extend" else Parameter.KEYWORD_ONLY)


def test_a_model_has_no_other_public_methods() -> None:
    assert {name for name in vars(TextModel) if not name.startswith("_")} == set(METHODS)


def test_a_model_gives_its_checkpoint() -> None:
    assert next(iter(inspect.signature(TextModel).parameters)) == "checkpoint"


def test_the_classes_are_those_that_are_returned(tiny_run: Path) -> None:
    model = charnet.load(tiny_run)
    assert type(model) is charnet.TextModel is TextModel
    assert type(model.evaluate("the")) is charnet.Evaluation


def test_importing_the_package_loads_neither_torch_nor_numpy() -> None:
    code = "import charnet, sys; dir(charnet); print(sorted({'torch', 'numpy'} & set(sys.modules)), charnet.__all__)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.startswith("[] [")
