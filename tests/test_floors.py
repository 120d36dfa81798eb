"""Who may import whom: modules import only from lower floors, and torch and rich only where they are needed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import charnet

PACKAGE = Path(charnet.__file__).parent
FLOORS = (
    "errors",
    "config vocab sampling shaping endings quantize machine durable signals",
    "corpus cells tensorfile yamlfile recipe timetable forecast controls pieces",
    "checkpoint baselines",
    "batches model runs reports textinfo",
    "optim evaluate engines",
    "plan pace generate describe verify",
    "learner",
    "training doctor together",
    "prepare bench",
    "api cli",
    "__init__ __main__",
)
FLOOR_OF = {module: number for number, modules in enumerate(FLOORS) for module in modules.split()}
FREE_OF_TORCH = (
    "__init__ errors config vocab sampling shaping endings machine durable signals tensorfile yamlfile "
    "checkpoint batches runs corpus/__init__ corpus/cachefolder corpus/known corpus/finding corpus/opening "
    "corpus/decoding corpus/numbering corpus/working corpus/storing corpus/remembering textinfo reports plan "
    "recipe timetable forecast baselines controls pieces generate together describe verify prepare api "
    "quantize engines/__init__ engines/base engines/numpy_engine engines/compiled_engine engines/packing "
    "engines/kernels"
)
SOURCES = sorted(PACKAGE.rglob("*.py"))


def place(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def imported(path: Path, *, only_at_import: bool = False) -> Iterator[str]:
    """Full names of what a file imports, anywhere in it or only when it is itself imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if only_at_import else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it leads"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_has_a_floor() -> None:
    assert {place(path).partition("/")[0] for path in SOURCES} == set(FLOOR_OF)


@pytest.mark.parametrize("path", SOURCES, ids=place)
def test_a_module_imports_only_from_lower_floors(path: Path) -> None:
    own = place(path).partition("/")[0]
    for name in imported(path):
        package, _, rest = name.partition(".")
        if package != "charnet" or not rest:  # `import charnet`, for the version
            continue
        module = rest.partition(".")[0]
        allowed = module == own or FLOOR_OF[module] < FLOOR_OF[own]
        assert allowed, f"{own} (floor {FLOOR_OF[own]}) imports {module} (floor {FLOOR_OF[module]})"


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if place(p) in FREE_OF_TORCH.split() or place(p).startswith("cli/")], ids=place
)
def test_modules_that_sample_and_inspect_need_do_not_load_torch(path: Path) -> None:
    loads_torch = {"bench", "cells", "evaluate", "learner", "model", "optim", "pace", "training"}
    for name in imported(path, only_at_import=True):
        parts = name.split(".")
        assert parts[0] != "torch"
        assert parts[0] != "charnet" or len(parts) == 1 or parts[1] not in loads_torch
        assert "torch_engine" not in parts


def test_only_the_view_of_a_training_imports_rich() -> None:
    users = {place(path) for path in SOURCES for name in imported(path) if name.split(".")[0] == "rich"}
    assert users == {"cli/progress"}


def test_only_the_console_prints() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "print",
                "typer.echo",
                "typer.secho",
                "sys.stdout.write",
                "sys.stderr.write",
            ):
                assert place(path) == "cli/console", f"{path}, line {node.lineno}"
