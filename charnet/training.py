"""Training by truncated back-propagation through time, as an iterator of small reports.

    for report in run(config, corpus, folder):
        ...                                     # Started, then Metrics after Metrics, then Finished

The state of the network is carried from window to window and cut from its past, so each gradient reaches back one
window while the memory reaches back to the start of the stream (Williams & Peng 1990). All that the rest of a run
depends on - weights, optimiser, random numbers, place in the text, state, sums since the last report - goes into
`last.safetensors`: a run that was interrupted and resumed is bit for bit the run that was not.

Shape legend: B streams, T characters in a window, V characters in the alphabet.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import platform
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import charnet
from charnet import checkpoint as disk
from charnet import corpus as texts
from charnet import optim, plan
from charnet.batches import Position, Streams
from charnet.checkpoint import Checkpoint, CorpusInfo, Progress
from charnet.config import GATES, Config, as_dict, overlay, read_yaml, to_yaml
from charnet.corpus import Corpus, Ids
from charnet.engines.numpy_engine import NumpyEngine
from charnet.errors import CheckpointError, ConfigError, CorpusError, DivergedError, StorageError
from charnet.evaluate import Stopped, evaluate
from charnet.generate import Options, stream
from charnet.model import CharModel, ModelState, detached, nats_per_char
from charnet.vocab import Vocabulary

SECONDS_BETWEEN_SAVES = 30.0
LONGEST_HISTORY = 1000  # evaluations kept inside a checkpoint; beyond that every second one is dropped
LENGTH = {"training.steps", "training.epochs"}


@dataclass(frozen=True)
class Started:
    """What is about to be trained, and where.

    `step` and `history` (the evaluations so far) are those of a run that goes on. `carried` counts the characters that
    the weights of `--init-from` know already.
    """

    run: Path
    config: Config
    corpus: CorpusInfo
    alphabet_size: int
    parameters: int
    device: str
    precision: str
    threads: int
    step: int
    history: tuple[dict[str, float], ...] = ()
    carried: int | None = None


@dataclass(frozen=True)
class Metrics:
    """One line of `metrics.jsonl`. `train_nats_per_char` and `grad_norm` are means since the line before."""

    step: int
    chars_seen: int
    seconds: float
    train_nats_per_char: float
    val_nats_per_char: float | None
    learning_rate: float
    grad_norm: float
    chars_per_second: float

    def as_dict(self) -> dict[str, float]:
        """The line as JSON holds it; without a validation loss where there was no evaluation."""
        return {key: value for key, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Evaluated:
    """Follows the metrics of an evaluation: was it the best so far, and a few lines that the model writes now."""

    step: int
    best: bool
    best_step: int
    best_nats_per_char: float | None
    sample: str


@dataclass(frozen=True)
class Finished:
    """Why training ended ("complete", "stopped early" or "interrupted") and the best it reached."""

    run: Path
    reason: str
    step: int
    best_step: int
    best_nats_per_char: float | None


Report = Started | Metrics | Evaluated | Finished


# ------------------------------------------------------------------------------------------- beginning a run


def start(
    values: Mapping[str, Any],
    *,
    out: Path = Path("checkpoints"),
    name: str = "",
    init_from: Path | None = None,
    sample_length: int = 0,
) -> Training:
    """Prepares a new run.

    Args:
        values: settings by `section.field`, laid over the defaults.
        out: the folder of runs; name: of this run, else it is named after the text.
        init_from: a checkpoint whose weights to start from; its model's settings become the defaults.
        sample_length: characters that the model writes after each evaluation.

    Raises:
        CharnetError: what the user can mend, before anything is written.
    """
    weights = disk.load(disk.find(init_from, out)) if init_from else None
    defaults = Config() if weights is None else _settings_of_model(weights)
    config = overlay(defaults, values)
    if weights is not None:
        _check_same_model(weights, config)
    plan.check(config, name)
    device = choose_device(config.training.device)
    corpus = texts.read(
        config.data.paths, encoding=config.data.encoding, as_bytes=config.data.bytes, glob=config.data.glob
    )
    train_ids, _ = corpus.split(config.data.val_fraction)
    config = plan.resolve(config, len(train_ids))
    config = overlay(config, {"data.paths": _absolute(config.data.paths), "training.device": device.type})
    Streams(train_ids, config.training.batch_size, config.training.window)  # long enough, before a folder is made
    if device.type == "cpu":
        plan.check_memory(config, len(corpus.vocab), plan.memory_of_machine())
    training = Training(config, corpus.vocab, _info(corpus), corpus.ids, device, sample_length)
    if weights is not None:
        training.carried = _transfer(weights, training.model, corpus.vocab)
    training.folder = disk.new_run(out, name or corpus.name)
    disk.write_durably(training.folder / disk.SETTINGS, to_yaml(config).encode())
    return training


def resume(
    given: Path, values: Mapping[str, Any] | None = None, *, out: Path = Path("checkpoints"), sample_length: int = 0
) -> Training:
    """Prepares to go on with a run, to the bit.

    Args:
        given: the folder of the run, or its name below `out`.
        values: settings that change; only the length, patience, device and threads may.

    Raises:
        ConfigError: a setting that a run cannot change on the way.
        CorpusError: the text is not what the run learned from so far.
        CheckpointError: there is nothing to go on from.
    """
    path = disk.find(given, out, prefer=disk.LAST)
    before = disk.load(path)
    if "optimizer" not in {name.partition(".")[0] for name in before.tensors} and before.progress.step:
        raise CheckpointError(f"{path}: expected a checkpoint to go on from, found weights only; try --init-from")
    values = dict(values or {})
    plan.check_resumable(values)
    settings = path.parent / disk.SETTINGS
    if "data.paths" not in values and settings.is_file():
        values["data.paths"] = read_yaml(settings).get("data.paths", [])
    config = overlay(before.config, values)
    config = overlay(config, {"data.paths": _absolute(config.data.paths)})
    ids = _same_text(before, config)
    train = len(ids) - int(len(ids) * config.data.val_fraction)
    config = plan.resolve(config, train)
    if LENGTH.intersection(values):
        fresh = dataclasses.replace(before.progress, evaluations_without_improvement=0)
        before = dataclasses.replace(before, progress=fresh)
    _check_unfinished(path.parent, before.progress, config)
    device = choose_device(config.training.device)
    training = Training(config, before.vocab, before.corpus, ids, device, sample_length)
    training.folder = path.parent
    training.restore(before)
    disk.write_durably(settings, to_yaml(config).encode())
    return training


def _check_unfinished(run: Path, progress: Progress, config: Config) -> None:
    settings = config.training
    if progress.reported_step < progress.step or progress.step == 0:
        return
    if progress.step >= settings.steps:
        raise ConfigError(
            f"{run}: all {settings.steps} steps of this run are done; "
            f"go on with --steps {2 * settings.steps}, or start a new run with --init-from"
        )
    if settings.patience and progress.evaluations_without_improvement >= settings.patience:
        raise ConfigError(
            f"{run}: it was stopped early, at step {progress.step}, as it no longer improved; "
            f"go on all the same with --patience 0, or start a new run with --init-from"
        )


def _absolute(paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(p if p == texts.STANDARD_INPUT else str(Path(p).resolve()) for p in paths)


def _settings_of_model(weights: Checkpoint) -> Config:
    return overlay(dataclasses.replace(Config(), model=weights.config.model), {"data.bytes": weights.config.data.bytes})


def _check_same_model(weights: Checkpoint, config: Config) -> None:
    theirs, ours = as_dict(weights.config), as_dict(config)
    for section, key in [("model", k) for k in theirs["model"] if k != "dropout"] + [("data", "bytes")]:
        if theirs[section][key] != ours[section][key]:
            raise ConfigError(
                f"--init-from: the weights were trained with {key} {theirs[section][key]}, "
                f"{ours[section][key]} was asked for; leave it out, or start without --init-from"
            )


def _transfer(weights: Checkpoint, model: CharModel, vocab: Vocabulary) -> int:
    """Copies trained weights; rows of characters that the old alphabet lacks stay as initialised. Returns the known."""
    rows = weights.vocab.lookup(np.array(vocab.symbols, dtype=np.uint32))
    known = torch.from_numpy(rows >= 0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            old = torch.from_numpy(np.array(weights.weights[name]))
            if name.startswith(("embedding.", "head.")):
                parameter[known] = old[torch.from_numpy(rows[rows >= 0]).long()].to(parameter.device)
            else:
                parameter.copy_(old)
    return int(known.sum())


def _info(corpus: Corpus) -> CorpusInfo:
    return CorpusInfo(corpus.name, len(corpus.ids), corpus.size_bytes, corpus.files, corpus.fingerprint, corpus.key)


def _same_text(before: Checkpoint, config: Config) -> Ids:
    """The encoded text of a run; from the cache where the files are gone.

    Raises:
        CorpusError: the text has changed, or is neither where it was nor in the cache.
    """
    data, info = config.data, before.corpus
    gone = any(p == texts.STANDARD_INPUT or not Path(p).exists() for p in data.paths)
    if gone:
        ids = texts.cached(info.key, info.characters, len(before.vocab))
        if ids is None:
            raise CorpusError(
                f"the text of this run ({info.name}) is neither at {', '.join(data.paths)} nor in the cache: "
                "name it again, as in charnet train TEXT --resume RUN"
            )
        return ids
    corpus = texts.read(data.paths, encoding=data.encoding, as_bytes=data.bytes, glob=data.glob)
    if corpus.fingerprint != info.fingerprint or corpus.key != info.key:
        raise CorpusError(
            f"{info.name}: the text has changed since this run began (SHA-256 {info.fingerprint[:12]}..., "
            f"now {corpus.fingerprint[:12]}...); restore it, or start a new run with --init-from"
        )
    return corpus.ids


def choose_device(name: str) -> torch.device:
    """The device that a setting means; "auto" is CUDA, else Metal, else the processor.

    Raises:
        ConfigError: the device is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
    if not there[name]:
        found = ", ".join(kind for kind, present in there.items() if present)
        raise ConfigError(f'training.device: "{name}" is not there; found: {found}')
    return torch.device(name)


# ------------------------------------------------------------------------------------------- the run itself


class Training:
    """A run in progress. `reports` does the work; everything else prepares, measures or saves."""

    def __init__(
        self, config: Config, vocab: Vocabulary, info: CorpusInfo, ids: Ids, device: torch.device, sample_length: int
    ) -> None:
        settings = config.training
        torch.set_num_threads(settings.threads)
        torch.manual_seed(settings.seed)
        if device.type == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32: the matrix units' own form of fp32
        self.config, self.vocab, self.info, self.device = config, vocab, info, device
        self.folder = Path()
        self.carried: int | None = None
        self.sample_length = sample_length
        cut = len(ids) - int(len(ids) * config.data.val_fraction)
        self.val_ids = ids[cut:]
        self.streams = Streams(ids[:cut], settings.batch_size, settings.window)
        self.model = CharModel(len(vocab), **vars(config.model)).to(device)
        self.optimizer = optim.Optimizer(
            self.model, settings.optimizer, blocks=GATES[config.model.cell], weight_decay=settings.weight_decay
        )
        self.progress = Progress()
        self.history: list[dict[str, float]] = []
        self.state: ModelState = self.model.initial_state(settings.batch_size)
        self.sums = torch.zeros(2, device=device)  # loss and gradient norm since the last report
        self.saved_at = time.monotonic()

    def started(self) -> Started:
        """What is about to be trained."""
        return Started(
            run=self.folder,
            config=self.config,
            corpus=self.info,
            alphabet_size=len(self.vocab),
            parameters=sum(p.numel() for p in self.model.parameters()),
            device=self.device.type,
            precision="tf32" if self.device.type == "cuda" else "fp32",
            threads=torch.get_num_threads(),
            step=self.progress.step,
            history=tuple(self.history),
            carried=self.carried,
        )

    def reports(self, stop: Callable[[], bool] = lambda: False) -> Generator[Report, None, None]:
        """Trains to the end, or until `stop` says so, which is asked after every step; saves before it returns.

        A consumer that leaves on the way, as when the pipe it writes to breaks, loses nothing: closing the iterator
        saves too.

        Raises:
            DivergedError: the loss or the gradient is no longer finite; the checkpoints hold the last good weights.
            StorageError: a checkpoint cannot be written.
        """
        try:
            yield from self._run(stop)
        except GeneratorExit:  # between two steps: all numbers belong together
            self.save_last()
            raise

    def _run(self, stop: Callable[[], bool]) -> Iterator[Report]:
        yield self.started()
        while True:
            try:
                if self._report_due():  # after a step, or owed by a run that was interrupted while it evaluated
                    yield from self._report(stop)
                reason = self._ended() or ("interrupted" if stop() else "")
            except Stopped:
                reason = "interrupted"
            if reason:
                break
            self._step()
            if time.monotonic() - self.saved_at > SECONDS_BETWEEN_SAVES:
                self.save_last()
        self.save_last()
        p = self.progress
        yield Finished(self.folder, reason, p.step, p.best_step, p.best_nats_per_char)

    def _ended(self) -> str:
        p, settings = self.progress, self.config.training
        if p.step >= settings.steps:
            return "complete"
        if settings.patience and p.evaluations_without_improvement >= settings.patience:
            return "stopped early"
        return ""

    def _step(self) -> None:
        """One window of every stream: forward, backward, clip, move."""
        began, p, settings = time.perf_counter(), self.progress, self.config.training
        position = Position(*p.position)
        x_BT, y_BT = (torch.from_numpy(ids).to(self.device) for ids in self.streams.read(position))
        if position.window == 0:
            self.state = self.model.initial_state(settings.batch_size)
        logits_BTV, state = self.model(x_BT, detached(self.state))
        loss = nats_per_char(logits_BTV, y_BT)
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip or math.inf)
        self.sums += torch.stack([loss.detach(), norm])
        if self.device.type == "cpu":  # elsewhere asking would make the processor wait: reports and saves ask there
            self._check_finite()
        self.optimizer.step(p.step, self._learning_rate(p.step))
        self.state = detached(state)
        self.progress = dataclasses.replace(
            p,
            step=p.step + 1,
            chars_seen=p.chars_seen + y_BT.numel(),
            seconds=p.seconds + time.perf_counter() - began,
            position=self.streams.after(position),
        )

    def _learning_rate(self, step: int) -> float:
        t = self.config.training
        return optim.learning_rate_at(
            step, t.steps, largest=t.learning_rate, warmup=t.warmup, final=t.final_learning_rate
        )

    def _check_finite(self) -> None:
        loss, norm = self.sums.tolist()
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise self._diverged("loss" if not math.isfinite(loss) else "gradient")

    def _diverged(self, what: str) -> DivergedError:
        saved = (self.folder / disk.LAST).exists()
        left = f"the checkpoints in {self.folder} hold the weights from before" if saved else "nothing is saved yet"
        return DivergedError(
            f"after step {self.progress.step} the {what} is no longer a finite number; {left}; "
            f"try a --learning-rate below {self.config.training.learning_rate:g}"
        )

    # ------------------------------------------------------------------------------------- reports

    def _report_due(self) -> bool:
        p, settings = self.progress, self.config.training
        if p.step in (0, p.reported_step):
            return False
        return p.step % settings.report_every == 0 or self._evaluation_due()

    def _evaluation_due(self) -> bool:
        step, settings = self.progress.step, self.config.training
        return step % settings.eval_every == 0 or step == settings.steps

    def _report(self, stop: Callable[[], bool]) -> Iterator[Report]:
        began, p, settings = time.perf_counter(), self.progress, self.config.training
        self._check_finite()
        steps = p.step - p.reported_step
        train, norm = (self.sums / steps).tolist()
        seconds = p.seconds + (time.perf_counter() - began if self.device.type != "cpu" else 0.0)
        val = self._validate(stop) if self._evaluation_due() and len(self.val_ids) else None
        metrics = Metrics(
            step=p.step,
            chars_seen=p.chars_seen,
            seconds=round(seconds, 3),
            train_nats_per_char=train,
            val_nats_per_char=val,
            learning_rate=self._learning_rate(p.step - 1),
            grad_norm=norm,
            chars_per_second=round(
                steps * settings.batch_size * settings.window / max(seconds - p.seconds_at_report, 1e-9), 1
            ),
        )
        self.sums.zero_()
        self.progress = dataclasses.replace(p, seconds=seconds, seconds_at_report=seconds, reported_step=p.step)
        better = self._judge(metrics) if self._evaluation_due() else False
        self._append(metrics)
        if self._evaluation_due():
            if better:
                self._save(disk.BEST, {})
            self.save_last()
        yield metrics
        if self._evaluation_due():
            p = self.progress
            yield Evaluated(p.step, better, p.best_step, p.best_nats_per_char, self._sample())

    def _validate(self, stop: Callable[[], bool]) -> float:
        loss = evaluate(self.model, self.val_ids, self.vocab.start_id(), stop=stop).nats_per_char
        if not math.isfinite(loss):
            raise self._diverged("validation loss")
        return loss

    def _judge(self, metrics: Metrics) -> bool:
        """Whether this evaluation is the best so far; without held-out text the training loss decides."""
        p = self.progress
        loss = metrics.train_nats_per_char if metrics.val_nats_per_char is None else metrics.val_nats_per_char
        better = math.isfinite(loss) and (p.best_nats_per_char is None or loss < p.best_nats_per_char)
        self.history.append(metrics.as_dict())
        if len(self.history) > LONGEST_HISTORY:
            self.history = self.history[::2]
        if better:
            self.progress = dataclasses.replace(
                p, best_step=p.step, best_nats_per_char=loss, evaluations_without_improvement=0
            )
        else:
            self.progress = dataclasses.replace(
                p, evaluations_without_improvement=p.evaluations_without_improvement + 1
            )
        return better

    def _append(self, metrics: Metrics) -> None:
        try:
            with (self.folder / disk.METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(metrics.as_dict()) + "\n")
        except OSError as error:
            raise StorageError(f"{self.folder / disk.METRICS}: cannot be written: {error.strerror}") from None

    def _sample(self) -> str:
        if not self.sample_length:
            return ""
        model = self.config.model
        engine = NumpyEngine(_arrays(self.model.state_dict()), cell=model.cell, activation=model.activation)
        return "".join(stream(engine, self.vocab, [], Options(length=self.sample_length)))

    # ------------------------------------------------------------------------------------- saving and restoring

    def save_last(self) -> None:
        """Writes all that the rest of the run depends on."""
        self._check_finite()
        if (lines := self.folder / disk.METRICS).is_file():
            disk.sync(lines)
        self._save(disk.LAST, self._own_tensors())
        self.saved_at = time.monotonic()

    def _own_tensors(self) -> dict[str, Tensor]:
        """What `last` holds beside the weights."""
        own = {f"optimizer.{key}": t for key, t in self.optimizer.state.items()}
        for i, layer in enumerate(self.state):
            own |= {f"state.{i}.{j}": t for j, t in enumerate(layer)}
        own["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            own["random.cuda"] = torch.cuda.get_rng_state()
        return own

    def _save(self, name: str, extra: dict[str, Tensor]) -> None:
        if not all(p.isfinite().all() for p in self.model.parameters()):
            raise self._diverged("largest weight")
        nats, norm = self.sums.tolist()
        names = tuple(Path(path).name for path in self.config.data.paths)  # where they lie is nobody's business
        tensors = {f"model.{key}": t for key, t in self.model.state_dict().items()} | extra
        disk.save(
            self.folder / name,
            Checkpoint(
                config=overlay(self.config, {"data.paths": names}),
                vocab=self.vocab,
                corpus=self.info,
                progress=dataclasses.replace(self.progress, nats_since_report=nats, grad_norm_since_report=norm),
                tensors=_arrays(tensors),
                history=self.history,
                versions={
                    "charnet": charnet.__version__,
                    "torch": torch.__version__,
                    "numpy": np.__version__,
                    "python": platform.python_version(),
                },
                created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            ),
        )

    def restore(self, before: Checkpoint) -> None:
        """Goes back to exactly where a checkpoint was written, and drops lines of metrics from after it."""
        self._check_fits(before)
        tensors = {name: torch.from_numpy(np.array(t)) for name, t in before.tensors.items()}

        def part(prefix: str) -> dict[str, Tensor]:
            return {k[len(prefix) :]: t.to(self.device) for k, t in tensors.items() if k.startswith(prefix)}

        self.model.load_state_dict(part("model."))
        self.optimizer.state |= part("optimizer.")
        self.state = tuple(
            tuple(tensors[f"state.{i}.{j}"].to(self.device) for j in range(len(layer)))
            for i, layer in enumerate(self.state)
        )
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"])
        self.progress, self.history = before.progress, list(before.history)
        self.sums = torch.tensor(
            [self.progress.nats_since_report, self.progress.grad_norm_since_report], device=self.device
        )
        self._forget_metrics_after(self.progress.reported_step)

    def _check_fits(self, before: Checkpoint) -> None:
        """Every tensor that training goes on from has the name, shape and type of the one that it replaces."""
        own = _arrays(self._own_tensors())
        for name, tensor in own.items():
            found = before.tensors.get(name)
            if found is None and name == "random.cuda":
                continue  # written where there was no GPU
            if found is None or found.shape != tensor.shape or found.dtype != tensor.dtype:
                raise CheckpointError(
                    f"{self.folder}: expected a checkpoint to go on from, found {name} missing or odd"
                )
        passes, window = before.progress.position
        if window >= self.streams.windows_in_pass(passes):
            raise CheckpointError(f"{self.folder}: expected a place in the text, found one beyond its end")

    def _forget_metrics_after(self, step: int) -> None:
        path = self.folder / disk.METRICS
        if not path.is_file():
            return
        kept = []
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (ValueError, KeyError, TypeError):
                continue  # a line that was cut when the run was
        disk.write_durably(path, b"".join(kept))


def _arrays(tensors: Mapping[str, Tensor]) -> disk.Tensors:
    return {key: t.detach().cpu().contiguous().numpy() for key, t in tensors.items()}
