"""Files of another kind in a checkpoint's place: refused, and nothing of them is ever run."""

from __future__ import annotations

import ast
import bz2
import gzip
import io
import lzma
import marshal
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_files import Forge, built, put, tiny, with_document, with_header

import charnet
from charnet.storage.checkpoint import Checkpoint

Refused = Callable[[bytes], str]


# --------------------------------------------------------------------------------------------------- pickles and code


class Trap:
    """Unpickling this makes the folder `executed`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def of_torch(**options: Any) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save({"model": Trap()}, file, **options)
    return file.getvalue()


def of_numpy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Trap()], dtype=object), allow_pickle=True)
    return file.getvalue()


def of_numpy_zipped() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.array([Trap()], dtype=object))
    return file.getvalue()


def zipped(content: bytes, name: str = "archive/data.pkl") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def tarred(content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("pickle")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


TRAP = pickle.dumps(Trap())


SHELL = '!!python/object/apply:os.mkdir ["executed"]'


CODE = "__import__('os').mkdir('executed')"


DISGUISED: dict[str, Forge] = {
    **{f"a pickle of protocol {n}": lambda _, n=n: pickle.dumps(Trap(), n) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
    "torch.save": lambda _: of_torch(),
    "torch.save of old": lambda _: of_torch(_use_new_zipfile_serialization=False),
    "a pickle behind its length": lambda _: struct.pack("<Q", len(TRAP)) + TRAP,
    "a pickle as a header": lambda _: built(TRAP, bytes(8)),
    "a pickle as a header's string": lambda _: built({"a": TRAP.decode("latin1")}, bytes(8)),
    "a pickle as the document": lambda whole: with_document(whole, lambda _: pickle.dumps(Trap(), 0).decode()),
    "a pickle instead of the data": lambda whole: whole[: 8 + int.from_bytes(whole[:8], "little")] + TRAP,
    "a pickle before a checkpoint": lambda whole: TRAP + whole,
    "a pickle after a checkpoint": lambda whole: whole + TRAP,
    "torch.save after a checkpoint": lambda whole: whole + of_torch(),
    "an array of objects": lambda _: of_numpy(),
    "zipped arrays of objects": lambda _: of_numpy_zipped(),
    "a tensor of objects": lambda whole: with_header(whole, lambda h: put(h, "model.embedding.weight/dtype", "O")),
    "a zip bomb": lambda _: zipped(bytes(50_000_000)),
    "a zip with a way out": lambda _: zipped(TRAP, "../../executed"),
    "a tar": lambda _: tarred(TRAP),
    "gzip": lambda _: gzip.compress(TRAP),
    "bzip2": lambda _: bz2.compress(TRAP),
    "xz": lambda _: lzma.compress(TRAP),
    "byte code": lambda _: marshal.dumps(compile(CODE, "x", "exec")),
    "Python": lambda _: CODE.encode(),
    "a shell script": lambda _: b"#!/bin/sh\nmkdir executed\n",
    "YAML that calls": lambda _: SHELL.encode(),
    "YAML that calls as the document": lambda whole: with_document(whole, lambda _: SHELL),
    "code as a size": lambda whole: with_document(whole, lambda d: put(d, "config/model/hidden_size", CODE)),
    "code as a cell": lambda whole: with_document(whole, lambda d: put(d, "config/model/cell", CODE)),
    "a bomb of JSON": lambda _: built(b"[" * 2_500_000 + b"]" * 2_500_000, bytes(8)),
}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0",
        bytes(7),
        bytes(8),
        bytes(10_000),
        b"\xff" * 10_000,
        b"a text that is not a checkpoint\n" * 100,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n",
        b"<!DOCTYPE html><html><body>404</body></html>",
        b'{"a": 1}',
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"\x1f\x8b\x08" + bytes(100),
        b"GGUF" + bytes(100),
        b"\x7fELF" + bytes(100),
        zipped(pickle.dumps({"weight": [1.0]})),
    ],
)
def test_a_file_of_another_kind_is_refused(refused: Refused, raw: bytes) -> None:
    assert "damaged or foreign" in refused(raw)


def test_a_safetensors_file_of_another_program_is_refused(refused: Refused) -> None:
    import safetensors.numpy

    tensors = {"weight": np.zeros((2, 3), dtype=np.float32)}
    assert "charnet did not write" in refused(safetensors.numpy.save(tensors))
    assert "charnet did not write" in refused(safetensors.numpy.save(tensors, {"format": "pt"}))
    assert "no checksum" in refused(safetensors.numpy.save(tensors, {"format": "charnet"}))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where what is run makes the folder `executed`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", DISGUISED)
def test_nothing_of_a_disguised_file_is_ever_run(kind: str, whole: bytes, refused: Refused, folder: Path) -> None:
    refused(DISGUISED[kind](whole))
    assert not (folder / "executed").exists()


def test_a_pickle_that_is_a_tensor_stays_bytes(folder: Path) -> None:
    other = tiny()
    other.tensors["random.torch"] = np.frombuffer(TRAP, dtype=np.uint8)
    other.save(folder / "c.safetensors")
    assert Checkpoint.load(folder / "c.safetensors").tensors["random.torch"].tobytes() == TRAP
    assert not (folder / "executed").exists()


def test_the_trap_of_these_tests_works(folder: Path) -> None:
    pickle.loads(TRAP)
    assert (folder / "executed").is_dir()


# -------------------------------------------------------------------------------------- no module can run a file


LOADERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "dbm", "runpy"}


LOADING = {
    "torch.load",
    "torch.save",
    "torch.jit.load",
    "yaml.load",
    "yaml.load_all",
    "yaml.unsafe_load",
    "numpy.load",
    "np.load",
    "np.fromfile",
    "np.memmap.load",
    "imp.load_source",
}


RUNNING = {"eval", "exec", "compile", "__import__", "importlib.import_module", "importlib.__import__"}


def words_of(node: ast.AST) -> Iterator[str]:
    """What a piece of code imports or names, with the modules."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.module or ""
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Attribute):
        yield ast.unparse(node)
    elif isinstance(node, ast.Call):
        yield ast.unparse(node.func)
    elif isinstance(node, ast.keyword):
        yield f"{node.arg}="


def test_no_module_of_the_package_can_unpickle() -> None:
    modules = list(Path(charnet.__file__).parent.rglob("*.py"))
    assert len(modules) > 30
    for module in modules:
        for node in ast.walk(ast.parse(module.read_bytes())):
            for word in words_of(node):
                assert word not in LOADING | RUNNING | {"allow_pickle="}, f"{module.name}: {word}"
                assert word.split(".")[0] not in LOADERS, f"{module.name}: {word}"


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "import pickle as harmless",
        "from pickle import loads",
        "from torch import load",
        "import torch\nread = torch.load",
        "np.load('x')",
        "f(x, allow_pickle=True)",
        "importlib.import_module('pic' + 'kle')",
        "__import__('pickle')",
        "import dill.source",
        "import shelve, marshal",
        "eval('1')",
    ],
)
def test_the_search_for_what_unpickles_finds_it(code: str) -> None:
    words = {word for node in ast.walk(ast.parse(code)) for word in words_of(node)}
    banned = LOADING | RUNNING | {"allow_pickle="}
    assert words & banned or {word.split(".")[0] for word in words} & LOADERS
