"""Who may import whom: the table of wings, which CONTRIBUTING.md prints, held against every import of the package."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

import charnet

PACKAGE = Path(charnet.__file__).parent
TABLE = """
0  ground      errors version machine regular_file durable signals limits config synonyms overlay
1  data        printable hanzi variants vocab utf8 file_kinds encodings decoding normalize prompts segment
               text_settings footer encoded_copy cache download bundled datasets globs streams passed_over sources
               fields tables readers refusals gutenberg source_notes encode fingerprints workers corpus lines widen
               batches documents split suffix_array anchors copy_index
1  model       shapes ngram ngram_counts cells.packed_linear cells.base cells.fused_scan cells.rnn cells.lstm
               cells.cifg cells.gru cells device network ensemble loss
2  storage     config_file strict_json tensorfile quantize document ngram_tensors checkpoint learned_text result
               place runs no_folder run_list capacity describe verify receipt
3  engines     base exact rounding sampling numpy_engine exact_engine mixture kernels_cache kernels_llvm kernels_layer
               kernels_exact kernels_ngram kernels_pattern kernels kernels_rows packing compiled_engine torch_engine
               registry model_mixture agreement
4  generation  pace graphemes sentences stopping regex automaton regex_compiler template constraints detokenizer sampler
               samplers random_numbers particles conditional generate origin copy_guard guarded rows running scheduler
               batch best selection receipts
4  evaluation  baselines unicode_blocks line_stats character_advice corpus_stats losses mixing evaluate dynamic
               exact_model evaluate_checkpoint line_scores evaluate_mixture adapt forecast verdict judge copies
5  training    meeting group torch_group communication agreement optim resolve elastic sizes planner events run_state
               background event_file loggers throughput time_budget thread_count sharded train_state division
               trained_ngram saver sample_text recorder conclusion divergence trainer together start dry_run resume
               setup trials sweep_file sweep_plan sweep_events sweep_pace sweep
5  compression rans counts layout symbols network container learned_tables kernels_adaptive adaptive compress compare
6  insight     numbers svg html surprises passages trace memory gradients properties units gates expectation
               excerpt study verdicts figures page png
               curves live_page runs_page surprise_page reprs training_lines notebook states
6  bench       bench
7  lesson      plan runs explosion temperatures results teach english chinese words verdicts figures equations page
7  exchange    about plain plain_files torch_code onnx_cells onnx_graph wasm page_text page_language page_facts page
               old_file t7 alphabet imported torch_rnn char_rnn weights_file state_dict keras_file keras convert
7  api         api
8  server      prefixes jobs mailbox prompt_reader side_by_side engine_room http access dialect answers models
               connection completions patterns page app llm_plugin
9  cli         console newest examples command_list help_text usage help options tables messages surprise wrap
               keyboard output showing whole_lines sample_options prompting adapting opening context mixing copying
               receipts history chart screen live progress typed voices turns session_options interactive talk many
               following launch dry_running train sweep_words sweep sample replay inspect insight_text insight lesson
               serve removing runs eval quantize export_page export importing markdown guide doctor bench cache corpus
               compress completing completion commands app
10 root        __init__ __main__
"""
LOADS = {
    "torch": "model.cells model.cells.* model.device model.network model.ensemble model.loss engines.torch_engine "
    "evaluation.evaluate evaluation.dynamic evaluation.exact_model evaluation.evaluate_checkpoint "
    "evaluation.line_scores evaluation.evaluate_mixture "
    "evaluation.adapt training.optim training.throughput training.thread_count training.sharded training.train_state "
    "training.division training.trained_ngram training.saver training.recorder training.conclusion training.trainer "
    "bench insight.trace "
    "insight.memory "
    "insight.gradients insight.units insight.gates insight.expectation insight.excerpt insight.study insight.verdicts "
    "insight.figures insight.page insight.png insight.states cli.insight_text lesson.runs lesson.explosion "
    "lesson.temperatures lesson.results lesson.teach lesson.words lesson.verdicts lesson.figures lesson.equations "
    "lesson.page",
    "numba": "engines.kernels_cache engines.kernels_llvm engines.kernels_layer engines.kernels_exact "
    "engines.kernels_ngram engines.kernels_pattern engines.kernels engines.kernels_rows engines.packing "
    "engines.compiled_engine compression.kernels_adaptive compression.adaptive",
    "rich": "cli.live cli.markdown",
    "onnx": "exchange.onnx_cells exchange.onnx_graph",
}
SOURCES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def wings() -> dict[str, tuple[int, int]]:
    """Of each module its floor, and its place in its wing."""
    places: dict[str, tuple[int, int]] = {}
    floor, wing, place = 0, "", 0
    for line in TABLE.strip().splitlines():
        words = line.split()
        if not line.startswith(" "):
            floor, wing, place, words = int(words[0]), words[1], 0, words[2:]
        folder = "" if wing in ("ground", "bench", "api", "root") else wing + "."
        for word in words:
            places[folder + word] = (floor, place := place + 1)
    return places


PLACES = wings()


def wing_of(module: str) -> str:
    return module.partition(".")[0] if "." in module else f"{PLACES[module][0]}"


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imported(path: Path, *, only_at_import: bool = False) -> list[str]:
    """Full names of what a file imports, anywhere in it or only when it is itself imported."""
    tree, found = parsed(path), list[str]()
    nodes = tree.body if only_at_import else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it leads"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def own_modules(path: Path, *, only_at_import: bool = False) -> Iterator[str]:
    """Those of charnet's modules that a file imports."""
    for name in imported(path, only_at_import=only_at_import):
        package, _, rest = name.partition(".")
        if package == "charnet":
            yield rest if rest in SOURCES else rest.rpartition(".")[0] or "__init__"


def may_load(module: str, library: str) -> bool:
    return any(module == each or (module.startswith(each.removesuffix("*")) and "*" in each)
               for each in LOADS[library].split())  # fmt: skip


def is_docstring_of_a_wing(module: str) -> bool:
    return SOURCES[module].name == "__init__.py" and module not in PLACES


def test_every_module_has_its_place_in_a_wing() -> None:
    assert {module for module in SOURCES if not is_docstring_of_a_wing(module)} == set(PLACES)


def test_contributing_prints_the_table() -> None:
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    printed = {line.strip() for line in text.splitlines()}
    assert {line.strip() for line in TABLE.splitlines()} <= printed


def test_the_package_has_few_names_at_its_top() -> None:
    top = [path for path in PACKAGE.iterdir() if path.name not in ("__pycache__", "py.typed")]
    assert sum(path.is_file() for path in top) <= 14
    assert sum(path.is_dir() for path in top) <= 14


@pytest.mark.parametrize("module", [module for module in SOURCES if is_docstring_of_a_wing(module)])
def test_the_init_of_a_wing_is_its_docstring(module: str) -> None:
    (only,) = ast.parse(SOURCES[module].read_text(encoding="utf-8")).body
    assert isinstance(only, ast.Expr)


def test_a_module_imports_only_from_lower_wings_and_from_those_before_it_in_its_own() -> None:
    for module, other in [(each, other) for each in PLACES for other in own_modules(SOURCES[each])]:
        if "__init__" in (module, other):  # `import charnet`, for the version
            continue
        assert other in PLACES, f"{module} imports {other}, which holds a docstring"
        same_wing = wing_of(other) == wing_of(module)
        allowed = PLACES[other] < PLACES[module] if same_wing else PLACES[other][0] < PLACES[module][0]
        assert allowed, f"{module} {PLACES[module]} imports {other} {PLACES[other]}"


@pytest.mark.parametrize("library", LOADS)
def test_a_library_is_loaded_only_where_it_is_needed(library: str) -> None:
    for module in SOURCES:
        if may_load(module, library):
            continue
        loaded = {name.partition(".")[0] for name in imported(SOURCES[module], only_at_import=True)}
        assert library not in loaded, f"{module} loads {library}"
        for other in own_modules(SOURCES[module], only_at_import=True):
            assert not may_load(other, library), f"{module} loads {other}, and that {library}"


def test_the_command_line_loads_no_numpy_until_a_command_needs_it() -> None:
    """A refused command line answers in a third of the time."""
    by_name = set(own_modules(SOURCES["cli.commands"]))  # each is loaded when it is called
    reached, waiting = {"cli.app", *by_name}, ["cli.app", *by_name]
    while waiting:
        module = waiting.pop()
        loaded = {name.partition(".")[0] for name in imported(SOURCES[module], only_at_import=True)}
        assert "numpy" not in loaded, f"{module} loads NumPy"
        new = {other for other in own_modules(SOURCES[module], only_at_import=True) if other in SOURCES} - reached
        reached |= new
        waiting += new
    assert {"cli.train", "config"} <= reached


def test_only_the_live_display_imports_rich() -> None:
    users = {module for module, path in SOURCES.items() for name in imported(path) if name.partition(".")[0] == "rich"}
    assert users == set(LOADS["rich"].split())


def test_only_the_console_prints() -> None:
    for module, path in SOURCES.items():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "print",
                "typer.echo",
                "typer.secho",
                "sys.stdout.write",
                "sys.stderr.write",
            ):
                assert module == "cli.console", f"{path}, line {node.lineno}"
