"""A walk through all commands: a file name that would command the terminal does not, wherever a command shows it.

The program is called in this process, on a pseudo-terminal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import old_models
import pytest
import typer
from conftest import sentences
from safetensors.numpy import save

from charnet.cli.app import app, run
from charnet.data import datasets
from charnet.data.datasets import Dataset
from charnet.engines import agreement
from charnet.storage.checkpoint import Checkpoint

# Commands for a terminal: a title, a line end, a tab, another direction, an escape in one character, a byte not UTF-8.
NAME = "nameA\x1b]0;x\x07nameB\nnameC\t\u202enameD\x9b2J\udcff"
ON_ONE_LINE = NAME.replace("\n", "")  # as a user can type it
SHOWN = "nameC"  # the part of it that every message shows
BROKEN = re.compile(r"nameB\s*\nnameC")
FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")  # all controls but line ends
OUR_CODES = re.compile(r"\x1b\[(?:\?25[lh]|[0-9;]*m|[0-9]*[AGK])")  # of the live display
TINY = ["--steps", "2", "--hidden-size", "4", "--batch-size", "2", "--window", "8", "--threads", "1"]
QUICK = ["--set", "model.hidden_size=4", "--set", "training.threads=1", "--set", "model.ngram=0"]
QUICK += ["--set", "training.batch_size=8", "--set", "training.window=16"]


@dataclasses.dataclass(frozen=True)
class Screen:
    """How a command ended, and all that reached the terminal."""

    code: int
    raw: bytes

    def check(self, *, names: bool = True) -> None:
        """Asserts that the name commanded nothing, and that it was shown."""
        text = self.raw.decode()  # strictly: a byte that is not UTF-8 is an error
        assert "Traceback" not in text
        rest = OUR_CODES.sub("", text).replace("\r\n", "\n").replace("\r", "")
        assert not FORBIDDEN.findall(rest), rest
        assert not BROKEN.search(rest), rest
        assert (SHOWN in rest) or not names, rest


def on_terminal(arguments: list[str], typed: str = "\x04", kind: str = "xterm-256color") -> Screen:
    """Calls charnet on a pseudo-terminal on which this is typed."""
    master, slave = os.openpty()
    mode = termios.tcgetattr(slave)
    mode[3] &= ~termios.ECHO  # what the user types is not what the program writes
    termios.tcsetattr(slave, termios.TCSANOW, mode)
    received: list[bytes] = []

    def collect() -> None:
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while piece := os.read(master, 65536):
                received.append(piece)

    reader = threading.Thread(target=collect)
    reader.start()
    os.write(master, typed.encode("utf-8", "surrogateescape"))
    try:
        with (
            os.fdopen(slave, "w", encoding="utf-8") as out,
            os.fdopen(os.dup(slave), "w", encoding="utf-8") as err,
            os.fdopen(os.dup(slave), encoding="utf-8") as given,
            pytest.MonkeyPatch.context() as patch,
        ):
            for name in ("NO_COLOR", "FORCE_COLOR", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
                patch.delenv(name, raising=False)
            patch.setenv("TERM", kind)
            patch.setenv("COLUMNS", "9999")  # a name is not folded
            for stream, file in (("stdin", given), ("stdout", out), ("stderr", err)):
                patch.setattr(sys, stream, file)
            code = run(arguments)
    finally:
        reader.join(10)
        os.close(master)
    return Screen(code, b"".join(received))


FILES = {
    "NAME.txt": sentences(100).encode(),
    "NAME.key": b"0123456789abcdef",
    "NAME.long.txt": sentences(400).encode(),
    "NAME.html.txt": b"<!DOCTYPE html><html><body>" + sentences(100).encode(),
    "NAME.latin.txt": "café ".encode("latin-1") * 90,
    "NAME.cut.gz": b"\x1f\x8b",
    "NAME.zip": b"PK\x03\x04" + bytes(60),
    "NAME.yaml": b"data:\n  paths: [nowhere]\nmodel:\n  cell: 5\n",
    "NAME.prompt": b"the cat ",
    "NAME.t7": old_models.t7(old_models.torch_rnn()),
    "NAME.words.t7": old_models.t7(old_models.torch_rnn(tokens=[NAME.encode("utf-8", "replace")])),
    "NAME.layer.t7": old_models.t7(
        {"model": old_models.LuaObject("nn.LanguageModel", net=old_models.LuaObject(NAME[:-1]))}
    ),
    "NAME.pt": b"\x80\x02.",
    "NAME.weights": save({f"{NAME[:-1]}.weight": old_models.random(2, 3)}),
    "NAME.unknown": "ж".encode(),
    "texts_NAME/NAME.txt": sentences(100).encode(),
    "texts_NAME/NAME.bin.txt": bytes(9),
    "texts_NAME/NAME.md": b"of another kind",
    "cache_NAME/texts/known.txt": b"known",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of the name, with everything of that name in it. All commands run there."""
    folder = tmp_path_factory.mktemp("walk") / NAME
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CHARNET_CACHE", f"cache_{NAME}")
        patch.setattr("os.fsync", lambda _: None)
        patch.setattr(agreement, "SECONDS", -1.0)  # doctor compares no models
        patch.setitem(datasets.DATASETS, "known", Dataset("", hashlib.sha256(b"known").hexdigest(), 5, "a known text"))
        for name, content in FILES.items():
            path = Path(words_of(name)[0])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for name in (NAME, ON_ONE_LINE):
            Path(f"{name}.link").symlink_to(f"nowhere {name}")
            os.mkfifo(f"{name}.pipe")
        trained = on_terminal(["train", f"{NAME}.txt", "--out", "runs", *TINY])
        trained.check()
        assert trained.code == 0
        assert b"\x1b[?25l" in trained.raw  # the live display was there
        (run_folder,) = Path("runs").iterdir()
        run_folder.rename(NAME)
        whole = Checkpoint.load(Path(NAME) / "last.safetensors")
        boastful = dataclasses.replace(whole, created=NAME, versions={NAME: NAME})
        boastful.save(Path(f"{NAME}.boasts"))
        Path(f"{NAME}.damaged").write_bytes(Path(f"{NAME}.boasts").read_bytes()[:-1])
        yield folder


# Of every command: lines with their exit codes. NAME stands for the name. Those in NAMELESS show no name.
WALK: dict[str, list[tuple[str, int]]] = {
    "train": [
        ("train NAME.txt --out NAME.runs TINY", 0),
        ("train NAME.txt --out NAME.runs TINY --json", 0),
        ("train NAME.txt NAME.html.txt --out NAME.runs TINY", 0),
        ("train NAME.latin.txt --encoding latin-1 --out NAME.runs TINY", 0),
        ("train NAME.latin.txt --encoding-errors replace --out NAME.runs TINY", 0),
        ("train texts_NAME --out NAME.runs TINY", 0),
        ("train NAME.txt --out NAME.runs --init-from NAME TINY", 0),
        ("train NAME.txt --out NAME.runs --name taken TINY", 0),
        ("train NAME.txt --out NAME.runs --name taken TINY", 0),
        ("train NAME.txt --out NAME.runs --log tensorboard --open TINY", 0),
        ("train NAME.txt --dry-run TINY", 0),
        ("train NAME.txt --dry-run --network NAME TINY", 2),
        ("train --resume NAME --steps 3", 0),
        ("train --resume NAME/last.safetensors", 2),
        ("train NAME.html.txt --resume NAME --steps 4", 3),
        ("train NAME.html.txt --resume NAME --steps 4 --continue", 0),
        ("train --resume NAME.damaged", 4),
        ("train NAME.latin.txt", 3),
        ("train NAME.cut.gz", 3),
        ("train NAME.zip", 3),
        ("train NAME.link", 3),
        ("train texts_NAME --glob NAME", 3),
        ("train NAME.txt --config NAME.yaml", 2),
        ("train NAME.txt --config NAME", 6),
        ("train NAME.txt --config NAME.pipe", 2),
        ("train NAME.txt --out NAME.txt TINY", 6),
        ("train NAME.txt --out NAME.link/runs TINY", 6),
        ("train NAME.txt --init-from NAME.zip TINY", 4),
    ],
    "sample": [
        ("sample NAME -n 3", 0),
        ("sample NAME -n 3 --json", 0),
        ("sample NAME -n 3 --copies --max-copy 2", 0),
        ("sample NAME.boasts -n 3 --prompt-file NAME.prompt --surprise", 0),
        ("sample NAME -n 3 --out NAME.out", 0),
        ("sample NAME -n 3 --out NAME.out", 6),
        ("sample NAME -n 3 --out NAME.pipe --force", 6),
        ("sample NAME -n 3 --out NAME.link --force", 6),
        ("sample NAME -n 3 --out NAME", 6),
        ("sample NAME -n 3 --out-dir NAME.texts", 0),
        ("sample NAME -n 3 --out-dir NAME.txt", 6),
        ("sample --mix NAME:1 --mix NAME/last.safetensors:2 -n 3 --json", 0),
        ("sample --mix NAME --mix NAME.zip -n 3", 4),
        ("sample --prompt-file NAME --mix NAME --mix NAME", 6),
        ("sample NAME --prompt-file NAME", 6),
        ("sample NAME --prompt-file NAME.pipe", 6),
        ("sample NAME --prompt-file NAME.unknown", 3),
        ("sample NAME -n 3 --prompts NAME.unknown", 3),
        ("sample NAME --prompts NAME", 6),
        ("sample NAME -n 3 --context NAME.prompt", 0),
        ("sample NAME --context NAME.pipe", 6),
        ("sample NAME --lines 2", 0),
        ("sample NAME --match NAME", 2),
        ("sample NAME --template NAME", 2),
        ("sample NAME --template NAME{a}", 2),
        ("sample NAME.damaged", 4),
        ("sample NAME.zip", 4),
        ("sample NAME.link", 4),
        ("sample NAME.pipe", 4),
        ("sample texts_NAME", 4),
        ("sample NAME -i -n 3", 0),
        ("sample NAME -n 3 --receipt NAME.receipt", 0),
        ("sample NAME -n 3 --receipt NAME.receipt", 6),
        ("sample NAME -n 3 --receipt NAME.pipe --force", 6),
        ("sample NAME -n 3 --receipt NAME", 6),
        ("sample NAME.boasts -n 3 --prompt-file NAME.prompt --receipt NAME.private --receipt-private", 0),
    ],
    "replay": [
        ("replay NAME.receipt", 0),
        ("replay NAME.receipt NAME", 0),
        ("replay NAME.receipt --out NAME.again", 0),
        ("replay NAME.receipt --out NAME.again", 6),
        ("replay NAME.receipt --out-dir NAME.replayed", 0),
        ("replay NAME.receipt --prompt other", 4),
        ("replay NAME.private --prompt-file NAME.prompt", 0),
        ("replay NAME.private --prompt-file NAME.unknown", 4),
        ("replay NAME.private --prompt-file NAME.pipe", 6),
        ("replay NAME.receipt NAME.zip", 4),
        ("replay NAME.receipt texts_NAME", 4),
        ("replay NAME.zip", 4),
        ("replay NAME.pipe", 4),
        ("replay NAME.link", 4),
        ("replay NAME", 6),
    ],
    "inspect": [
        ("inspect NAME", 0),
        ("inspect NAME --json", 0),
        ("inspect NAME --verify", 0),
        ("inspect NAME --verify --json", 0),
        ("inspect NAME.boasts", 0),
        ("inspect NAME.damaged --verify", 4),
        ("inspect NAME.damaged", 4),
        ("inspect NAME.zip", 4),
        ("inspect texts_NAME", 4),
    ],
    "insight": [
        ("insight NAME NAME.long.txt --threads 1", 0),
        ("insight NAME NAME.long.txt --threads 1 --json", 0),
        ("insight NAME NAME.long.txt --threads 1 -o NAME.page.html --find NAME", 0),
        ("insight NAME NAME.long.txt -o NAME.page.html", 6),
        ("insight NAME NAME/last.safetensors NAME.long.txt --threads 1", 0),
        ("insight NAME NAME.missing.txt", 3),
        ("insight NAME.missing", 4),
        ("insight NAME NAME.zip", 3),
        ("insight NAME.damaged", 4),
        ("insight NAME.long.txt NAME", 2),
        ("insight NAME --unit NAME", 2),
    ],
    "lesson": [
        ("lesson NAME.missing.txt", 3),
        ("lesson NAME.zip", 3),
        ("lesson NAME.latin.txt", 3),
        ("lesson NAME.txt", 3),
        ("lesson NAME.txt -o NAME.zip", 6),
        ("lesson NAME.txt -o NAME", 6),
        ("lesson NAME.pipe", 3),
    ],
    "runs": [
        ("runs --in .", 0),
        ("runs --in . --json", 0),
        ("runs NAME NAME --in .", 0),
        ("runs NAME NAME --in . -o NAME.svg", 0),
        ("runs NAME NAME --in . -o NAME.svg", 6),
        ("runs NAME NAME --in . --html NAME.runs.html", 0),
        ("runs --in . --html NAME.runs.html", 6),
        ("runs --in . --html NAME.runs.html --force", 0),
        ("runs NAME NAME.missing --in .", 4),
        ("runs NAME", 2),
        ("runs --sort NAME", 2),
    ],
    "sweep": [
        ("sweep NAME.txt --out NAME.runs --name tried --for 5m --try dropout=0,0.3 QUICK", 0),
        ("sweep --resume NAME.runs/tried-sweep --for 1h", 0),
        ("sweep --resume NAME.runs/tried-sweep --json", 0),
        ("sweep --resume NAME", 4),
        ("sweep --resume NAME.missing", 4),
        ("sweep NAME.txt --try NAME=1,2", 2),
        ("sweep NAME.txt --try cell=NAME,lstm", 2),
        ("sweep NAME.txt --try dropout=0,0.3 --config NAME.yaml", 2),
        ("sweep NAME.txt --try dropout=0,0.3 --set NAME", 2),
        ("sweep NAME.txt --try dropout=0,0.3 --for NAME", 2),
        ("sweep NAME.txt --try dropout=0,0.3 --for 30s --out NAME.txt QUICK", 6),
        ("sweep NAME.pipe --try dropout=0,0.3", 3),
        ("sweep NAME.zip --try dropout=0,0.3", 3),
    ],
    "eval": [
        ("eval NAME NAME.txt", 0),
        ("eval NAME NAME.html.txt", 0),
        ("eval NAME NAME.txt --json", 0),
        ("eval NAME texts_NAME --per-line", 0),
        ("eval NAME NAME.txt --per-line --json", 0),
        ("eval NAME NAME.latin.txt --per-line", 3),
        ("eval --mix NAME --mix NAME/last.safetensors --mix auto NAME.txt", 0),
        ("eval --mix NAME --mix NAME.zip NAME.txt", 4),
        ("eval NAME texts_NAME", 0),
        ("eval NAME NAME.latin.txt", 3),
        ("eval NAME NAME.cut.gz", 3),
        ("eval NAME NAME.zip", 3),
        ("eval NAME NAME.link", 3),
    ],
    "serve": [
        ("serve NAME --key-file NAME.missing", 7),
        ("serve NAME --key-file NAME.zip", 7),
        ("serve NAME --host NAME --key-file NAME.key", 7),
        ("serve NAME.missing", 4),
        ("serve NAME.damaged", 4),
        ("serve NAME --quantize NAME", 2),
        ("serve NAME --allow-host NAME:80", 2),
        ("serve NAME --allow-origin NAME/", 2),
        ("serve NAME --port NAME", 2),
    ],
    "quantize": [
        ("quantize NAME", 0),
        ("quantize NAME", 6),
        ("quantize NAME --out NAME.small", 0),
        ("quantize NAME --out NAME.pipe", 6),
        ("quantize NAME --out NAME.link", 6),
        ("quantize NAME --out NAME", 6),
        ("quantize NAME --out missing/NAME", 6),
        ("quantize NAME.zip", 4),
    ],
    "export": [
        ("export NAME --numpy", 0),
        ("export NAME --numpy", 6),
        ("export NAME --safetensors", 0),
        ("export NAME --safetensors --out NAME.tensors", 0),
        ("export NAME --numpy --out NAME.pipe", 6),
        ("export NAME --numpy --out NAME.link", 6),
        ("export NAME --numpy --out NAME", 6),
        ("export NAME --safetensors --out missing/NAME", 6),
        ("export NAME.zip --numpy --out NAME.other", 4),
        ("export NAME.missing --numpy", 4),
        ("export NAME --html", 0),
        ("export NAME --html", 6),
        ("export NAME --html --out NAME.pipe", 6),
        ("export NAME --html --out NAME.link", 6),
        ("export NAME --html --out missing/NAME", 6),
        ("export NAME --html --with-decompress NAME.zip --out NAME.page", 4),
        ("export NAME --html --with-decompress NAME.missing --out NAME.page", 4),
        ("export NAME --html --with-decompress NAME.pipe --out NAME.page", 6),
        ("export NAME.damaged --html --out NAME.page", 4),
    ],
    "import": [
        ("import NAME.t7 --out NAME.runs", 0),
        ("import NAME.t7 --out NAME.runs --name taken", 0),
        ("import NAME.words.t7", 4),
        ("import NAME.layer.t7", 4),
        ("import NAME.zip", 4),
        ("import NAME.missing", 4),
        ("import NAME.pipe", 4),
        ("import NAME.txt", 4),
        ("import NAME.pt", 4),
        ("import NAME.weights", 2),
        ("import NAME.weights --alphabet NAME.txt", 4),
        ("import NAME.weights --alphabet NAME.missing", 4),
        ("import NAME.weights --alphabet NAME.txt --map NAME=head.weight", 2),
        ("import NAME.t7 --from NAME", 2),
        ("import NAME.t7 --name a/NAME", 2),
        ("import NAME.t7 --out NAME.txt", 6),
    ],
    "compress": [
        ("compress NAME.txt -m NAME", 0),
        ("compress NAME.txt -m NAME", 6),
        ("compress NAME.txt -m NAME --json -o NAME.json", 0),
        ("compress NAME.txt -m NAME -o NAME.pipe", 6),
        ("compress NAME.txt -m NAME -o NAME.link", 6),
        ("compress NAME.txt -m NAME.zip -o NAME.cnz", 4),
        ("compress NAME.pipe -m NAME", 6),
        ("compress NAME.missing -m NAME", 3),
        ("compress NAME -m NAME", 6),
    ],
    "decompress": [
        ("decompress NAME.txt.cnz -m NAME --force", 0),
        ("decompress NAME.txt.cnz -m NAME", 6),
        ("decompress NAME.txt.cnz -m NAME.damaged -o NAME.back", 4),
        ("decompress NAME.zip -m NAME -o NAME.back", 4),
        ("decompress NAME.missing -m NAME -o NAME.back", 4),
        ("decompress NAME.pipe -m NAME -o NAME.back", 6),
    ],
    "completion": [("completion NAME", 2), ("completion bash", 0), ("completion zsh -- sample NAME", 0)],
    "guide": [("guide NAME", 2), ("guide --search NAME", 2)],
    "doctor": [("doctor", 0), ("doctor --json", 0)],
    "bench sample": [("bench sample NAME", 2)],
    "bench controls": [("bench controls NAME", 2)],
    "bench train": [("bench train NAME", 2)],
    "cache list": [("corpus info NAME.txt", 0), ("cache list", 0), ("cache list --json", 0)],
    "cache clear": [("cache clear --down-to 1G", 0), ("cache clear --down-to NAME", 2)],
    "corpus info": [
        ("corpus info NAME.txt", 0),
        ("corpus info NAME.txt --json", 0),
        ("corpus info NAME.html.txt texts_NAME", 0),
        ("corpus info NAME.cut.gz", 3),
    ],
    "corpus list": [("corpus list", 0), ("corpus list --json", 0), ("corpus list NAME", 2)],
    "corpus get": [("corpus get known", 0), ("corpus get NAME", 2)],
}
NUMBERS = ("int", "integer", "integer range", "float", "float range")
NAMELESS = (
    *("eval NAME NAME.txt", "eval NAME texts_NAME", "sample NAME --prompt-file NAME.unknown"),
    *("sample NAME --template NAME", "sample NAME --template NAME{a}"),
    "eval NAME NAME.txt --per-line --json",
    *("replay NAME.receipt --prompt other", "replay NAME.private --prompt-file NAME.unknown"),
    *(
        "completion bash",
        "completion zsh -- sample NAME",
        "cache clear --down-to 1G",
        "corpus list",
        "corpus list --json",
    ),
)
TYPED = [
    *("", "/NAME", "/temp NAME", "/seed NAME", "/save NAME.saved", "/save NAME.saved", "/save NAME"),
    *("/save NAME.link", "/save NAME.pipe", "/save missing/NAME", "/save a\0b", "NAME", "/back"),
    *(
        "/load NAME",
        "/load missing/NAME",
        "/set NAME 1",
        "/set top_k NAME",
        "/set stop NAME",
        "/set match NAME",
        "/3 NAME",
    ),
    *("/2", "NAME", "/undo", "/show", "/quit"),
]


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yields all commands of the program, as they are called."""
    command = command or typer.main.get_command(app)
    if not hasattr(command, "commands"):
        yield " ".join(path), command
        return
    for name, each in command.commands.items():
        yield from commands(each, (*path, name))


def words_of(line: str) -> list[str]:
    words = [word for part in line.split() for word in {"TINY": TINY, "QUICK": QUICK}.get(part, [part])]
    return [word.replace("NAME", NAME) for word in words]


def test_the_walk_has_lines_of_every_command() -> None:
    assert {name for name, _ in commands()} == set(WALK)


@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize("command", WALK)
def test_a_hostile_name_never_commands_the_terminal(world: Path, command: str) -> None:
    del world
    typed = "".join(line.replace("NAME", ON_ONE_LINE) + "\n" for line in TYPED)
    for line, code in WALK[command]:
        screen = on_terminal(words_of(line), typed if " -i" in line else "\x04")
        assert screen.code == code, (line, screen.raw)
        screen.check(names=line not in NAMELESS)


def test_a_dumb_terminal_gets_no_name_raw_either(world: Path) -> None:
    del world
    screen = on_terminal(words_of("train NAME.txt --out NAME.dumb TINY"), kind="dumb")
    assert screen.code == 0
    screen.check()


@pytest.mark.parametrize("command", WALK)
def test_a_hostile_value_of_any_option_is_refused_and_never_commands_the_terminal(world: Path, command: str) -> None:
    """Together with a text and a checkpoint that are missing, so that nothing is done."""
    del world
    found = dict(commands())[command]
    given = [f"missing {NAME}" for each in found.params if each.param_type_name == "argument"]
    given = given[:1] if command == "sample" else given  # the second is a prompt, which some options go without
    given += ["--html"] * (command == "export")  # which wants to know a format first
    options = [each for each in found.params if each.param_type_name == "option" and not each.is_flag]
    # All numbers are refused by the same code: one of each type is enough.
    by_kind = {(each.type.name if each.type.name in NUMBERS else each.opts[0]): each.opts[0] for each in options}
    value = NAME.rstrip("\udcff")  # of a value that is not UTF-8, some options name nothing but the byte
    beside = {"--save-as": ["--adapt-to", "missing"]}  # what an option needs
    valued = ([*beside.get(option, []), option, value] for option in by_kind.values())
    for more in (*valued, [f"--{NAME}"], [NAME] * 9):
        screen = on_terminal([*command.split(), *given, *more])
        assert screen.code in (2, 3, 4, 6, 7), (more, screen.raw)
        screen.check()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        *(("cache list", 6), ("cache clear", 6), ("corpus get known", 6), ("train known TINY", 6)),
        *(("corpus info NAME.txt", 0), ("train NAME.txt --out NAME.runs TINY", 0), ("doctor", 0)),
    ],
)
def test_a_hostile_cache_folder_never_commands_the_terminal(
    world: Path, monkeypatch: pytest.MonkeyPatch, line: str, code: int
) -> None:
    """It is a file, so it cannot be used, and every command that needs it says so."""
    del world
    monkeypatch.setenv("CHARNET_CACHE", f"{NAME}.zip")
    screen = on_terminal(words_of(line))
    assert screen.code == code, screen.raw
    screen.check()
    if code == 0:
        assert b"cannot be " in screen.raw or b"is no folder" in screen.raw
