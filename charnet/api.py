"""charnet from Python: `charnet.load` and `charnet.train`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet.config import DYNAMIC_RATE, RUNS, SamplingOptions
from charnet.data import prompts
from charnet.data.printable import in_python
from charnet.data.prompts import checked_list
from charnet.data.segment import as_training_text
from charnet.engines import registry
from charnet.engines.base import Engine
from charnet.errors import ConfigError, CorpusError, rewording, rewording_class
from charnet.generation import batch, copy_guard, generate, origin
from charnet.generation.generate import Generation, GenerationState
from charnet.generation.guarded import generation
from charnet.generation.running import Request
from charnet.generation.sampler import Sampler
from charnet.insight import notebook
from charnet.insight.reprs import RunPath, model_repr
from charnet.limits import converted, path_text
from charnet.overlay import check_count, named_settings, sampling_options
from charnet.signals import SignalGuard, keyboard_interrupt
from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint

if TYPE_CHECKING:
    from charnet.evaluation.losses import Evaluation
    from charnet.insight.states import States
    from charnet.training.events import Event


@rewording_class(in_python)  # errors name arguments, not flags
class TextModel:
    """A trained model that writes text and evaluates texts. `charnet.load` makes one. Threads may use it at once.

    Methods that write take the fields of `charnet.config.SamplingOptions` as keyword arguments, with the defaults
    there: `length=200, temperature=0.7, stop=("\\n",)`.

    Attributes:
        checkpoint: what is in the file: settings, alphabet, history, weights.
    """

    _repr_html_, __repr__ = notebook.model_html, model_repr

    def __init__(self, checkpoint: Checkpoint, *, engine: str = "auto") -> None:
        self.checkpoint, self._origin = checkpoint, origin.origin(checkpoint, engine)
        self._engine_name, self._engines, self._characters = engine, dict[str, Engine](), 0
        self._guards = dict[int, copy_guard.CopyGuard]()
        if engine != "auto":
            self._open(engine)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(TextModel, engine=self._engine_name), (self.checkpoint,)  # a copy opens its own engines

    def stream(self, prompt: str = "", *, index: int = 0, **options: Any) -> Iterator[str]:
        """Continues a prompt, and yields the text as it is written, mostly a character at a time, without the prompt.

        Args:
            index: which of several texts of the same seed this is.

        Raises:
            PromptError: the prompt holds a character that the alphabet lacks.
            ConfigError: an option is unknown or out of its range.
        """
        return (chunk.text for chunk in self._write(None, self._encode(prompt), options, index, nats=False))

    def generate(self, prompt: str = "", *, index: int = 0, **options: Any) -> str:
        """Returns the prompt and what `stream` writes after it, with the same options."""
        return prompt + "".join(self.stream(prompt, index=index, **options))

    def texts(self, prompt: str = "", *, count: int, **options: Any) -> Iterator[str]:
        """Continues a prompt in several ways, computed together. The i-th text is what `generate` gives with `index=i`,
        except where rounding decides between two characters."""
        check_count("count", count)
        chosen, ids = sampling_options(options), self._encode(prompt)
        engine, guard = self._engine(chosen, count), copy_guard.open_guard(self.checkpoint, chosen, self._guards)
        written = batch.texts(engine, self.checkpoint.vocab, ids, chosen, count, guard=guard)
        return (prompt + "".join(chunk.text for chunk in chunks) for chunks in written)

    def answers(self, prompts: Sequence[str], **options: Any) -> Iterator[str]:
        """Continues each of many prompts, of any lengths, computed together. The i-th text is what `generate` gives
        with `seed + i`, except where rounding decides between two characters."""
        chosen, texts = sampling_options(options), checked_list(prompts)
        ids, vocab = [self._encode(text) for text in texts], self.checkpoint.vocab
        engine, guard = self._engine(chosen, len(ids)), copy_guard.open_guard(self.checkpoint, chosen, self._guards)
        seeded = (replace(chosen, seed=chosen.seed + i) for i in range(len(ids)))
        states = (generate.start(engine, vocab, i) for i in ids)
        written = batch.answers(engine, vocab, (Request(*r, guard=guard) for r in zip(states, seeded, strict=True)))
        return (p + "".join(chunk.text for chunk in each) for p, each in zip(texts, written, strict=True))

    def start(self, prompt: str = "", *, num_sampled: int = 0) -> GenerationState:
        """Reads a prompt and returns the state after it, for `write`. With `num_sampled`, the number of its characters
        that this model wrote, the same seed continues a saved text."""
        check_count("num_sampled", num_sampled)
        engine = next(iter([*self._engines.values()]), None) or self._open("numpy")  # another thread may open one
        state = generate.start(engine, self.checkpoint.vocab, self._encode(prompt))
        return replace(state, num_sampled=num_sampled, origin=self._origin)

    def extend(self, state: GenerationState, text: str) -> GenerationState:
        """Returns the state after more text by the caller, from a state of this model."""
        return origin.checked(state, self._origin).extend(self._encode(text, "text"))

    def write(self, state: GenerationState, *, index: int = 0, **options: Any) -> Generation:
        """Continues a state of this model: iterate for chunks of `.text` and `.nats`; `.state` is that after them."""
        written = self._write(origin.checked(state, self._origin), [], options, index, nats=True)
        written.reword = in_python
        return written

    def replay(self, path: str | PathLike[str], *, prompt: str | None = None) -> Iterator[str]:
        """Writes the texts of a receipt again, as `charnet replay` does; yields each when it has proved to be equal.

        Args:
            path: what `charnet sample --receipt` has written with this checkpoint.
            prompt: that of the receipt, if it tells only its SHA-256.

        Raises:
            ReceiptError: a text, the prompt or the checkpoint is another one, or the file is no receipt.
            ConfigError: the prompt is needed.
        """
        from charnet.generation import receipts

        return receipts.replayed(Path(path_text("path", path)), self.checkpoint, prompt)

    def evaluate(self, text: str) -> Evaluation:
        """Measures how well the model predicts a text: `.nats_per_char`, `.bits_per_char`, `.perplexity`, `.verdict`.
        Loads torch. CorpusError if the text is empty, or the alphabet has none of its characters."""
        from charnet.evaluation import judge
        from charnet.evaluation.evaluate_checkpoint import evaluate_text

        return judge.judged(self.checkpoint, evaluate_text(self.checkpoint, self._as_training_text(text)))

    def states(self, text: str) -> States:
        """Reads a text as a prompt; returns the states and gates of all layers after each character, (T, H), by name:
        `["layers.0.h"][-1]` is the hidden state after the text. Loads torch.

        Raises:
            CorpusError: the text is empty, or holds a character that the alphabet lacks.
        """
        from charnet.insight.states import states_of

        if not (ids := self._encode(text, "text")):
            raise CorpusError("the text is empty")
        return states_of(self.checkpoint, ids, self.checkpoint.vocab)

    def adapt(self, text: str, *, rate: float = DYNAMIC_RATE) -> TextModel:
        """Returns a model that has learned from a text in one pass, each window of which moved the weights as far as
        `rate` says; this one stays as it is. `.checkpoint.save(path)` keeps it. Loads torch.

        Raises:
            PromptError: the text holds a character that the alphabet lacks.
            CorpusError: the text is empty.
            ConfigError: the model has 8-bit weights, or the rate is out of its range.
            DivergedError: the rate is too large.
        """
        from charnet.evaluation.adapt import Adaptation

        ids = self.checkpoint.vocab.encode(self._as_training_text(text)).astype("u4")
        if not len(ids):
            raise CorpusError("the text is empty")
        return TextModel(Adaptation(self.checkpoint, rate=rate).learn(ids).checkpoint, engine=self._engine_name)

    def compress(self, text: str | bytes, *, adaptive: bool = False) -> bytes:
        """Compresses a text, as `charnet compress` does. The model's weights are used with 8 bits.

        Args:
            text: bytes of any kind, or a text, in UTF-8; `adaptive` learns from it too.

        Raises:
            CorpusError: the text has half of a character, which no encoding can hold.
        """
        from charnet.compression.compress import Compressor, as_bytes

        compressor = Compressor(self.checkpoint, adaptive=converted("adaptive", adaptive, bool))
        return b"".join(compressor.compress(BytesIO(as_bytes(text)).read))

    def decompress(self, data: bytes) -> bytes:
        """Returns the bytes of a text that was compressed with this model; CheckpointError if they are damaged."""
        from charnet.compression.compress import checked_data, decompress

        return b"".join(decompress(self.checkpoint, BytesIO(checked_data(data)).read))

    def _as_training_text(self, text: str) -> str:
        return as_training_text(text, self.checkpoint.vocab, self.checkpoint.config.data)

    def _write(
        self, state: GenerationState | None, ids: list[int], options: dict[str, Any], index: int, *, nats: bool
    ) -> Generation:
        chosen, vocab = sampling_options(options), self.checkpoint.vocab
        engine, guard = self._engine(chosen), copy_guard.open_guard(self.checkpoint, chosen, self._guards)
        state = generate.start(engine, vocab, ids) if state is None else state
        return generation(engine, vocab, state, chosen, guard, index=index, nats=nats)

    def _engine(self, options: SamplingOptions, texts: int = 1) -> Engine:
        """Returns the engine that finishes this and all earlier texts first. An open compiled engine starts at once.

        The NumPy and the compiled engine have the same states, so a text can change from one to the other.
        """
        name, model = self._engine_name, self.checkpoint.config.model
        if name == "auto":
            name, texts = "numpy", max(1, texts)
            if Sampler(self.checkpoint.vocab, options).temperature_only:  # others need Python for each symbol
                self._characters += options.expected_length * texts
                if texts == 1 and "compiled" in self._engines:
                    return self._engines["compiled"]
                weights = self.checkpoint.stored_weights
                name = registry.available(registry.fastest(model, weights, self._characters // texts, texts=texts))
        return self._engines.get(name) or self._open(name)

    def _open(self, name: str) -> Engine:
        return self._engines.setdefault(name, registry.open_engine(self.checkpoint, name))

    def _encode(self, text: str, name: str = "prompt") -> list[int]:
        return prompts.ids_of(text, self.checkpoint.vocab, self.checkpoint.config.data, name)


def load(path: str | PathLike[str] | None = None, *, engine: str = "auto") -> TextModel:
    """Loads a trained model.

    Args:
        path: a run's folder or a checkpoint file; none = the newest run under `checkpoints/`.
        engine: "numpy", "compiled", or "torch" for the reference; "auto" = for each text the one that finishes first.

    Raises:
        CheckpointError: it is missing, damaged, or not one of charnet's.
        ConfigError: there is no such engine, or what it needs is not installed.
    """
    found = runs.find(None if path is None else Path(path_text("path", path)))
    return TextModel(Checkpoint.load(found, weights_only=True), engine=engine)


def train(
    *texts: str | PathLike[str],
    out: str | PathLike[str] = str(RUNS),
    name: str = "",
    seconds: float | str | None = None,
    resume: str | PathLike[str] | None = None,
    init_from: str | PathLike[str] | None = None,
    continue_text: bool = False,
    on_event: Callable[[Event], None] | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> Path:
    """Trains a model on texts and returns the folder of the run, a path whose repr says what was learned. Several
    threads may train at once; torch's number of processor threads is that of the last one.

    Args:
        texts: files and folders; none = the text that comes with charnet.
        out, name: the folder of runs, and the name of the run in it, by default that of the text.
        seconds: how long training may take, also as text like "5m"; settings that are not given are chosen to fit, as
            `charnet train --for` does. Without this and without `steps` or `epochs`, five minutes.
        resume: the folder of a run to resume, or its name below `out`: to the bit, unless `settings` change it.
        init_from: a run or a checkpoint whose weights a new run starts from.
        continue_text: the resumed run goes on with a changed text, such as a longer one.
        on_event: called with each event (`charnet.training.events`).
        progress: show curves in a notebook, lines on stderr elsewhere; by default in a notebook without `on_event`.
        settings: any setting by its field name: `steps=500, hidden_size=128`; `charnet train --help` lists them.

    Raises:
        CharnetError: the caller has to change something; the message says what.
        KeyboardInterrupt: Ctrl-C, SIGTERM or SIGHUP, after the run was saved; `charnet train --resume` resumes it.
    """
    from charnet.training import events, setup

    paths = [path_text("texts", text) for text in texts]
    values: dict[str, object] = {"data.paths": paths} if texts or resume is None else {}
    if resume is None and continue_text:
        raise ConfigError("continue_text: only a resumed run has a text to continue: give resume=RUN, or leave it out")
    if resume is not None and (name or init_from is not None):
        raise ConfigError("resume cannot change the name or the start of a run: leave out init_from and name")
    values |= named_settings(settings, beside=("out", "seconds", "resume", "init_from", "progress", "on_event"))
    display = notebook.training_display(False if progress is None and on_event else progress)
    listeners = [each for each in (display, on_event) if each]
    with SignalGuard() as signals, keyboard_interrupt():
        more: dict[str, Any] = {"out": Path(path_text("out", out)), "seconds": seconds, "on_start": signals.defer}
        if resume is None:
            given = Path(path_text("init_from", init_from)) if init_from is not None else None
            run = setup.new_run(values, name=converted("name", name, str), init_from=given, **more)
        else:
            run = setup.resume_run(Path(path_text("resume", resume)), values, continue_text=continue_text, **more)
        with closing(run.events(lambda: signals.received)) as happened:
            for event in happened:
                if isinstance(event, events.Finished):
                    run.conclude(event, stop=lambda: signals.received)
                for listener in listeners:
                    listener(event)
    if signals.received:
        raise KeyboardInterrupt
    return RunPath(run.folder.path)


load, train = rewording(in_python, load), rewording(in_python, train)
