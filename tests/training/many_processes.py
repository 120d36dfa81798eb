"""Trains in several processes, for tests: `python many_processes.py FOLDER WHAT`, started by torchrun or alone.

Prints one line of JSON for each training, in the first process.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from charnet.errors import CharnetError
from charnet.model.ensemble import from_weights
from charnet.storage.checkpoint import Checkpoint
from charnet.training import group, recorder, setup, torch_group
from charnet.training.events import RolledBack
from charnet.training.trainer import Trainer

USUAL: dict[str, Any] = {
    "model.hidden_size": 12, "model.dropout": 0.2, "training.batch_size": 8, "training.window": 5, "training.steps": 6,
    "training.threads": 1, "training.shards": 4, "training.eval_every": 3, "data.val_chars": 50,
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "lstm": {},
    "gru": {"model.cell": "gru", "model.weight_dropout": 0.3},
    "cifg": {"model.cell": "cifg", "model.num_layers": 2},
    "rnn": {"model.cell": "rnn", "training.optimizer": "adamw"},
    "ensemble": {"model.members": 2, "model.weight_dropout": 0.2},
    "four layers": {"model.num_layers": 4},
    "lines": {"data.lines": True},
    "bytes": {"data.bytes": True},
    "large alphabet": {"data.paths": ["wide.txt"]},
    "ngram": {"model.ngram": 3},
    "bf16": {"training.precision": "bf16", "model.hidden_size": 128},
    "two threads": {"training.threads": 2},
}


def run_of(folder: Path, name: str, **changes: Any) -> Trainer:
    values = USUAL | {"data.paths": ["text.txt"]} | changes
    values["data.paths"] = [str(folder / each) for each in values["data.paths"]]
    return setup.new_run(values, out=folder / "runs", name=name)


def train(run: Trainer, stop_after: int = 1000) -> list[Any]:
    return list(run.events(lambda: run.state.step >= stop_after))


def tell(name: str, **values: Any) -> None:
    if group.rank() == 0:
        print(json.dumps({"name": name, **values}), flush=True)  # noqa: T201


def digest(run: Trainer) -> str:
    """Of the weights in this process, if they are the same in all."""
    run.train_state.gather()
    tensors = sorted(run.train_state.weights().items())
    found = hashlib.sha256(b"".join(tensor.numpy().tobytes() for _, tensor in tensors)).hexdigest()
    run.group.check_same({"weights": found})
    return found


def same(folder: Path) -> None:
    for name, changes in CASES.items():
        run = run_of(folder, f"{name}-{group.size()}", **changes)
        train(run)
        tell(name, digest=digest(run), val=[line["val_nats_per_char"] for line in run.recorder.history])


HALVES = ("lstm", "ensemble", "ngram")


def interrupted(folder: Path) -> None:
    """Stops after half of the steps; `resumed` goes on, perhaps in another number of processes."""
    for name in HALVES:
        events = train(run_of(folder, f"half-{name}", **CASES[name]), stop_after=3)
        tell(name, reason=events[-1].reason, step=events[-1].step)


def resumed(folder: Path) -> None:
    for name in HALVES:
        run = setup.resume_run(Path(f"half-{name}"), out=folder / "runs")
        train(run)
        tell(name, digest=digest(run), val=[line["val_nats_per_char"] for line in run.recorder.history])


def not_finite(folder: Path) -> None:
    """The streams of the last process alone become nan, once; then those of the first one are found so at a save."""
    changes = {"training.on_nan": "rollback", "training.steps": 12}
    run = run_of(folder, "nan", **changes)
    step, done = run._step, set[int]()

    def spoil() -> None:
        last = group.size() - 1
        for at, rank in ((4, last), (9, 0)):
            if run.state.step == at and at not in done:
                done.add(at)
                run.save_last()
                if group.rank() == rank:
                    for layer in run.train_state.state:
                        layer[0].fill_(float("nan"))
        step()

    run._step = spoil  # type: ignore[method-assign]
    back = [[each.from_step, each.step] for each in train(run) if isinstance(each, RolledBack)]
    tell("nan", back=back, digest=digest(run), step=run.state.step)


def different(folder: Path) -> None:
    """The last process has another setting, text or version."""
    from charnet.training import start

    is_last = group.rank() == group.size() - 1
    for what in ("training.seed", "data.paths", "version"):
        changes = {"training.seed": 7} if what == "training.seed" else {"data.paths": ["wide.txt"]}
        if what == "version" and is_last:
            start.__version__ = "0.0"
        try:
            run_of(folder, what, **(changes if is_last and what != "version" else {}))
            tell(what, error=None)
        except CharnetError as error:
            tell(what, error=str(error), code=error.exit_code)


def stopped(folder: Path) -> None:
    """The first process is asked to stop while all evaluate."""
    run = run_of(folder, "stopped")
    evaluate = run.recorder.evaluate
    asked: list[bool] = []

    def evaluate_and_stop(val_chars: int, stop: Any) -> Any:
        asked.extend([True] * (group.rank() == 0))
        return evaluate(val_chars, stop)

    run.recorder.evaluate = evaluate_and_stop  # type: ignore[method-assign]
    events = list(run.events(lambda: bool(asked)))
    tell("stopped", reason=events[-1].reason, step=events[-1].step)


def closed(folder: Path) -> None:
    """The first process stops to listen; the others hear of it."""
    run = run_of(folder, "closed", **{"training.report_every": 1})
    events = run.events()
    for _ in events:
        if group.rank() == 0 and run.state.step == 2:
            events.close()
    last = Checkpoint.load(folder / "runs" / "closed" / "last.safetensors").trainer_state.step
    run.group.check_same({"step": str(run.state.step)})
    tell("closed", saved=last, step=run.state.step)


def failing(folder: Path) -> None:
    """A process has too little memory for the last evaluation: the run is at its end all the same."""
    ends = []
    for rank in range(group.size()):
        run = run_of(folder, f"failing-{rank}", **{"data.val_fraction": 0.3, "training.steps": 2})
        recorder.from_weights = _without_memory if group.rank() == rank else from_weights
        ends.append(train(run)[-1])
        run.group.check_same({"end": repr(dataclasses.replace(ends[-1], run=folder))})
    tell("failing", reasons=[end.reason for end in ends], read=[end.read for end in ends])


def _without_memory(*_: Any) -> Any:
    raise MemoryError


def elsewhere(folder: Path) -> None:
    """The run of the job is where the last process looks, and not where the first one does."""
    run = run_of(folder, "begun")
    out = folder / "runs" if group.rank() else folder / "other"
    train(run, stop_after=3)
    try:
        setup.begun_before(out, {})
    except CharnetError as error:
        tell("elsewhere", error=str(error))


if __name__ == "__main__":
    globals()[sys.argv[2]](Path(sys.argv[1]))
    torch_group.current().close()
