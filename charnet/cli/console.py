"""Everything that reaches the screen; the only module that imports rich, and only where something is drawn.

stdout is the product: text or JSON. Everything else goes to stderr. In a pipe text is exact; on a terminal characters
that would command it (control characters, changes of direction) are shown as visible symbols.
"""

from __future__ import annotations

import contextlib
import json as json_format
import math
import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from charnet.bench import Result
    from charnet.describe import Description
    from charnet.evaluate import Evaluation
    from charnet.training import Evaluated, Finished, Metrics, Report, Started

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_FLUSHES = 0.05
BARS = "▁▂▃▄▅▆▇█"
CURVE_WIDTH = 40


class ReaderGone(Exception):  # noqa: N818 - not an error: `charnet sample | head` is how pipes are used
    """Whoever read our stdout has closed it."""


# ------------------------------------------------------------------------------------------------- plain output


def prepare() -> None:
    """stdout takes any text byte for byte, stderr shows what it cannot print as escapes."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape", newline="")
    if hasattr(sys.stderr, "reconfigure"):
        sys.stderr.reconfigure(errors="backslashreplace")


def write(text: str) -> None:
    """Writes to stdout.

    Raises:
        ReaderGone: the other end of the pipe is closed.
        StorageError: the text could not be written, as on a full disk.
    """
    _guarded(lambda: sys.stdout.write(text))


def flush() -> None:
    """Hands to the system what was written; raises as `write` does."""
    _guarded(lambda: sys.stdout.flush())


def _guarded(action: Any) -> None:
    from charnet.errors import StorageError

    try:
        action()
    except BrokenPipeError:
        raise ReaderGone from None
    except OSError as error:
        raise StorageError(f"standard output: cannot be written: {error.strerror}") from None


def write_text(text: str) -> None:
    """Writes a text of a model or a user: exact in a pipe, harmless on a terminal."""
    write(visible(text, keep="\n\t") if sys.stdout.isatty() else text)


def stream_text(pieces: Iterable[str]) -> None:
    """Writes a text as it comes, and ends its last line on a terminal."""
    last, held, flushed = "\n", "", time.monotonic()
    try:
        for piece in pieces:
            held += piece
            if (now := time.monotonic()) - flushed > SECONDS_BETWEEN_FLUSHES:
                write_text(held)
                flush()
                last, held, flushed = held or last, "", now
    finally:  # what was written when Ctrl-C or an error came is shown too
        write_text(held)
        last = held or last
    if sys.stdout.isatty() and not last.endswith("\n"):
        write("\n")
    flush()


def write_json(value: Any) -> None:
    """One JSON value on one line of stdout, in ASCII."""
    write(json_format.dumps(value) + "\n")
    flush()


def error(message: str) -> None:
    """One line on stderr, without control characters."""
    note(f"charnet: {message}")


def note(message: str, keep: str = "") -> None:
    """A line on stderr that is not about an error. A stderr that cannot be written is no reason to stop working."""
    with contextlib.suppress(OSError):
        print(visible(message, keep), file=sys.stderr, flush=True)  # noqa: T201


# Changes of direction can make a line read other than it is.
_DIRECTIONS = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_SYMBOLS = (
    {code: chr(0x2400 + code) for code in range(0x20)}
    | {0x7F: "\u2421"}
    | {code: f"<{code:02X}>" for code in range(0x80, 0xA0)}
    | {code: f"<U+{code:04X}>" for code in [0x2028, 0x2029, *_DIRECTIONS]}
    | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
)


def visible(text: str, keep: str = "") -> str:
    """The text with control characters and changes of direction as symbols, except those in `keep`.

    >>> visible("a\\x1b[2Jb")
    'a␛[2Jb'
    """
    if text.isprintable():
        return text
    return text.translate({code: symbol for code, symbol in _SYMBOLS.items() if chr(code) not in keep})


# ------------------------------------------------------------------------------------------------- drawing


def _console(file: IO[str]) -> Console:
    from rich.console import Console

    return Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=False)


def curve(values: Sequence[float], width: int = CURVE_WIDTH) -> str:
    """Values as a line of bars, the largest highest; longer series are thinned to the width.

    >>> curve([3.0, 2.0, 1.5, 1.0])
    '█▅▃▁'
    """
    if not values:
        return ""
    if len(values) > width:
        values = [values[round(i * (len(values) - 1) / (width - 1))] for i in range(width)]
    low, high = min(values), max(values)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0
    return "".join(BARS[round((value - low) * scale)] for value in values)


def loss(nats: float | None) -> str:
    """A loss as people compare it: nats and bits per character."""
    return "-" if nats is None else f"{nats:.4f} nats ({nats / math.log(2):.4f} bits)"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> duration(75.4), duration(3700)
    ('1:15', '1:01:40')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def size(count: float) -> str:
    """A number of bytes.

    >>> size(1_115_394)
    '1.1 MB'
    """
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def show_description(d: Description) -> None:
    """`inspect` for people."""
    t = d.config.training
    rows = [
        ("checkpoint", f"{d.path}, {size(d.size_bytes)}, written {d.created}"),
        ("checksum", f"verified, SHA-256 {d.sha256}"),
        ("weights", f"SHA-256 {d.weights_sha256}"),
        ("model", d.model_line),
        ("parameters", f"{d.parameters:,}: " + ", ".join(f"{part} {n:,}" for part, n in d.parameters_by_part.items())),
        ("alphabet", f"{d.alphabet_size:,} {'bytes' if d.of_bytes else 'characters'}: {d.alphabet_shown}"),
        ("text", f"{d.corpus.name}: {d.corpus.characters:,} characters, {size(d.corpus.size_bytes)} in {d.files_line}"),
        ("", f"SHA-256 {d.corpus.fingerprint}, last {d.config.data.val_fraction:.0%} held out"),
        ("trained", f"{d.progress.step:,} of {t.steps:,} steps, {d.progress.chars_seen:,} characters "
                    f"({d.passes:.1f} passes) in {duration(d.progress.seconds)}"),
        ("best", f"{loss(d.progress.best_nats_per_char)} at step {d.progress.best_step:,}"),
        ("last", loss(d.last_nats_per_char)),
        ("history", f"{d.curve[0]:.2f} {curve(d.curve)} {d.curve[-1]:.2f}" if d.curve else "-"),
        ("settings", d.settings_line),
        ("versions", ", ".join(f"{name} {version}" for name, version in d.versions.items())),
    ]  # fmt: skip
    for label, value in rows:
        write(_row(label, visible(value)))
    flush()


def _row(label: str, value: str) -> str:
    """A labelled line; folded to the width of a terminal, whole in a pipe."""
    if not sys.stdout.isatty():
        return f"{label:12}{value}\n"
    width = max(20, shutil.get_terminal_size().columns)
    return textwrap.fill(value, width, initial_indent=f"{label:12}", subsequent_indent=" " * 12) + "\n"


def show_evaluation(e: Evaluation) -> None:
    """`eval` for people."""
    unknown = sum(e.unknown.values())
    lines = [
        f"{e.nats_per_char:.4f} nats per character",
        f"{e.bits_per_char:.4f} bits per character",
        f"{e.perplexity:.3f} perplexity",
        f"{e.characters:,} characters, every one predicted from those before it",
    ]
    if unknown:
        common = sorted(e.unknown.items(), key=lambda pair: -pair[1])[:5]
        names = ", ".join(f"{name} x {count:,}" for name, count in common)
        count = "1 character more is" if unknown == 1 else f"{unknown:,} characters more are"
        lines.append(f"{count} unknown to the model and not counted: {names}")
    for line in lines:
        write(visible(line) + "\n")


def show_results(results: Iterable[Result]) -> None:
    """`bench` for people, a line as soon as it is measured."""
    header = f"{'what':44} {'median':>12} {'lowest':>12} {'highest':>12}  unit"
    write(header + "\n")
    for r in results:
        share = f"  {r.share_of_limit:.0%} of {r.limit}" if r.share_of_limit is not None else ""
        write(f"{r.what:44} {r.median:12,.0f} {r.lowest:12,.0f} {r.highest:12,.0f}  {r.unit}{share}\n")
        flush()


# ------------------------------------------------------------------------------------------------- training


class TrainingView(Protocol):
    """Shows a training as it goes on; a context manager."""

    def __enter__(self) -> TrainingView: ...
    def __exit__(self, *exception: object) -> None: ...
    def starting(self) -> None:
        """The text is being read, torch is being loaded."""
        ...

    def show(self, report: Report) -> None:
        """Shows one report."""
        ...


def training_view(*, quiet: bool, json: bool) -> TrainingView:
    """The view that fits: JSON lines, nothing, a live display on a terminal, plain lines elsewhere."""
    if json:
        return _JsonLines(quiet=quiet)
    if quiet:
        return _Silence()
    if sys.stderr.isatty():
        console = _console(sys.stderr)
        if not console.is_dumb_terminal:
            return _LiveDisplay(console)
    return _PlainLines()


class _Silence:
    def __enter__(self) -> _Silence:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def starting(self) -> None:
        pass

    def show(self, report: Report) -> None:
        pass


class _Reading(_Silence):
    """Hands each report to the method for its kind, and keeps what a display needs of the past."""

    def __init__(self) -> None:
        self.begun: Started | None = None
        self.latest: Metrics | None = None
        self.val: list[float] = []
        self.best: tuple[float | None, int] | None = None
        self.sample = ""

    def show(self, report: Report) -> None:
        from charnet.training import Evaluated, Finished, Metrics, Started

        match report:
            case Started():
                self.begun = report
                self.val = [line["val_nats_per_char"] for line in report.history if "val_nats_per_char" in line]
                self.on_start(report)
            case Metrics():
                self.latest = report
                if report.val_nats_per_char is not None:
                    self.val.append(report.val_nats_per_char)
                self.on_metrics(report)
            case Evaluated():
                self.best = (report.best_nats_per_char, report.best_step)
                self.sample = report.sample
                self.on_evaluation(report)
            case Finished():
                self.on_finish(report)

    def on_start(self, report: Started) -> None: ...
    def on_metrics(self, report: Metrics) -> None: ...
    def on_evaluation(self, report: Evaluated) -> None: ...
    def on_finish(self, report: Finished) -> None: ...

    def seconds_left(self) -> float:
        begun, latest = self.begun, self.latest
        if begun is None or latest is None or not latest.chars_per_second:
            return 0.0
        t = begun.config.training
        return (t.steps - latest.step) * t.batch_size * t.window / latest.chars_per_second


def _opening(report: Started) -> list[str]:
    """What is trained, on what, where: the first lines of every view."""
    config, corpus = report.config, report.corpus
    model, t = config.model, config.training
    cell = f"{model.cell} ({model.activation})" if model.cell == "rnn" else model.cell
    symbols = "bytes" if config.data.bytes else "characters"
    lines = [
        f"text: {corpus.name}, {corpus.characters:,} {symbols}, alphabet of {report.alphabet_size:,}, "
        f"last {config.data.val_fraction:.0%} held out",
        f"model: {cell} {model.num_layers}x{model.hidden_size}, {report.parameters:,} parameters; "
        f"{t.steps:,} steps of {t.batch_size} x {t.window} characters with {t.optimizer}",
        f"computing on {report.device} in {report.precision} with {report.threads} thread{'s' * (report.threads > 1)}; "
        f"the run is {report.run}",
    ]
    if report.step:
        lines.append(f"going on from step {report.step:,}")
    if report.carried is not None:
        new = report.alphabet_size - report.carried
        lines.append(f"weights carried over: {report.carried:,} characters known, {new:,} new")
    return lines


def _closing(report: Finished) -> list[str]:
    """How it ended and how to go on: the last lines of every view."""
    lines = []
    if report.best_nats_per_char is not None:
        lines.append(f"best: {loss(report.best_nats_per_char)} per character at step {report.best_step:,}")
    if report.reason == "interrupted":
        lines.append(f"interrupted at step {report.step:,}, everything is saved; go on with:")
        lines.append(f"  charnet train --resume {_quoted(str(report.run))}")
    else:
        why = {"complete": "done", "stopped early": "stopped early, it no longer improves"}[report.reason]
        lines.append(f"{why}; write with:")
        lines.append(f"  charnet sample {_quoted(str(report.run))} --temp 0.8")
    return lines


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(path)


class _Lines(_Reading):
    """What is trained and how it ended, in plain lines on stderr."""

    def on_start(self, report: Started) -> None:
        for line in _opening(report):
            note(line)

    def on_finish(self, report: Finished) -> None:
        for line in _closing(report):
            note(line)


class _JsonLines(_Lines):
    """For a program: the metrics on stdout, and only they where `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__()
        self.quiet = quiet

    def show(self, report: Report) -> None:
        from charnet.training import Metrics

        if not self.quiet or isinstance(report, Metrics):
            super().show(report)

    def on_metrics(self, report: Metrics) -> None:
        write_json(report.as_dict())


class _PlainLines(_Lines):
    """For a pipe or a log: no escape codes, a line at most every ten seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.printed_at = time.monotonic()

    def on_metrics(self, report: Metrics) -> None:
        if time.monotonic() - self.printed_at < SECONDS_BETWEEN_LINES or self.begun is None:
            return
        self.printed_at = time.monotonic()
        val = f", val {loss(self.val[-1])}" if self.val else ""
        note(
            f"step {report.step:,}/{self.begun.config.training.steps:,}, {report.chars_per_second:,.0f} chars/s, "
            f"{duration(self.seconds_left())} left, train {loss(report.train_nats_per_char)}{val}"
        )


class _LiveDisplay(_Reading):
    """For a terminal: a bar, the figures, a curve and what the model writes now."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        super().__init__()
        self.console = console
        self.live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> _LiveDisplay:
        self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.live.stop()

    def starting(self) -> None:
        self.live.update("reading the text ...", refresh=True)

    def on_start(self, report: Started) -> None:
        self._print(_opening(report))
        self.live.update("", refresh=True)

    def on_metrics(self, report: Metrics) -> None:  # noqa: ARG002
        self.live.update(self._drawn(), refresh=True)

    def on_evaluation(self, report: Evaluated) -> None:  # noqa: ARG002
        self.live.update(self._drawn(), refresh=True)

    def on_finish(self, report: Finished) -> None:
        final = self._drawn() if self.latest else None
        self.live.update("", refresh=True)
        if final is not None:
            self.console.print(final)
        self._print(_closing(report))

    def _print(self, lines: list[str]) -> None:
        for line in lines:
            self.console.print(visible(line), soft_wrap=True)

    def _drawn(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        assert self.latest is not None
        assert self.begun is not None
        latest, steps = self.latest, self.begun.config.training.steps
        bar = Table.grid(padding=(0, 1), expand=False)
        bar.add_row(
            ProgressBar(total=steps, completed=latest.step, width=min(40, max(8, self.console.width - 44))),
            Text(f"{latest.step:,}/{steps:,}", no_wrap=True),
            Text(f"{latest.chars_per_second:,.0f} chars/s", no_wrap=True),
            Text(f"{duration(self.seconds_left())} left", no_wrap=True),
        )
        figures = Table.grid(padding=(0, 2))
        figures.add_row(Text("train", "dim"), Text(loss(latest.train_nats_per_char)))
        if self.val:
            figures.add_row(Text("validation", "dim"), Text(loss(self.val[-1])))
        if self.best:
            figures.add_row(Text("best", "dim"), Text(f"{loss(self.best[0])} at step {self.best[1]:,}"))
        if len(self.val) > 1:
            figures.add_row(Text("curve", "dim"), Text(curve(self.val, max(8, min(40, self.console.width - 16)))))
        parts: list[Any] = [bar, figures]
        if self.sample:
            parts.append(Text(visible(self.sample, keep="\n").expandtabs(), style="italic cyan"))
        return Group(*parts)
