"""charnet from Python: `charnet.load` and `charnet.train`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from charnet.config import qualified_names
from charnet.data.normalize import normalize, normalized_documents
from charnet.engines.registry import open_engine
from charnet.errors import ConfigError, CorpusError, did_you_mean
from charnet.generation import batch
from charnet.generation import generate as writing
from charnet.generation.generate import Generation, GenerationState
from charnet.signals import Interrupted, SignalGuard
from charnet.storage import runs
from charnet.storage.checkpoint import Checkpoint

if TYPE_CHECKING:
    from charnet.evaluation.evaluate import Evaluation
    from charnet.training.events import Event


class SamplingOptions(TypedDict, total=False):
    """The fields of `charnet.generate.Options`, each with its default there."""

    length: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    seed: int
    stop: tuple[str, ...]
    temperature_end: float | None
    typical_p: float
    repetition_penalty: float
    repetition_window: int
    max_lines: int
    until: str
    ban: str
    logit_bias: tuple[tuple[str, float], ...]


class TextModel:
    """A trained model, ready to write and to judge. `charnet.load` makes one.

    `checkpoint` holds what is in the file: settings, alphabet, history, weights.
    """

    def __init__(self, checkpoint: Checkpoint, *, engine: str = "numpy") -> None:
        self.checkpoint = checkpoint
        self._engine = open_engine(checkpoint, engine)

    def stream(self, prompt: str = "", *, index: int = 0, **options: Unpack[SamplingOptions]) -> Iterator[str]:
        """Continues a prompt, a piece of text at a time, mostly one character. The prompt is not repeated.

        Args:
            index: which of several texts of the same seed this is.

        Raises:
            PromptError: the prompt holds a character that the alphabet lacks.
            ConfigError: an option is out of its range.
        """
        chosen = writing.Options(**options)
        return writing.stream(self._engine, self.checkpoint.vocab, self._ids(prompt), chosen, index=index)

    def generate(self, prompt: str = "", *, index: int = 0, **options: Unpack[SamplingOptions]) -> str:
        """The prompt and what `stream` writes after it, with the same options."""
        return prompt + "".join(self.stream(prompt, index=index, **options))

    def texts(self, prompt: str = "", *, count: int, **options: Unpack[SamplingOptions]) -> Iterator[str]:
        """The prompt continued in several ways, computed together: the i-th is what `generate` gives with `index=i`,
        unless two characters are equally likely to rounding."""
        chosen, ids = writing.Options(**options), self._ids(prompt)
        written = batch.texts(self._engine, self.checkpoint.vocab, ids, chosen, count)
        return (prompt + "".join(piece.text for piece in pieces) for pieces in written)

    def start(self, prompt: str = "", *, num_sampled: int = 0) -> GenerationState:
        """The place after a prompt, for `write`.

        Args:
            drawn: how many of its characters this model has written: a text that was saved goes on as if it had not
                ended.
        """
        return replace(writing.start(self._engine, self._ids(prompt)), num_sampled=num_sampled)

    def extend(self, position: GenerationState, text: str) -> GenerationState:
        """The place after more text that is given, not written."""
        return position.extend(self._ids(text))

    def write(self, position: GenerationState, *, index: int = 0, **options: Unpack[SamplingOptions]) -> Generation:
        """Continues from a place: pieces with `.text` and `.nats`, and the `.position` after them, to go on from."""
        return Generation(self._engine, self.checkpoint.vocab, position, writing.Options(**options), index=index)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.checkpoint.vocab.encode(normalize(text, self.checkpoint.config.data)).tolist()
        return ids

    def evaluate(self, text: str) -> Evaluation:
        """How well the model knows a text: `.nats_per_char`, `.bits_per_char`, `.perplexity`. Imports torch.

        Raises:
            CorpusError: the text is empty, or the model knows none of its characters.
        """
        from charnet.data.documents import ends_of_lines
        from charnet.evaluation.evaluate import evaluate
        from charnet.model.network import from_weights

        vocab, data = self.checkpoint.vocab, self.checkpoint.config.data
        codes = vocab.codes("".join(normalized_documents([text], data)))
        ids = vocab.lookup(codes)
        if not (ids >= 0).any():
            raise CorpusError("the text is empty" if not len(ids) else "the model knows none of the text's characters")
        model = from_weights(self.checkpoint.config.model, self.checkpoint.weights)
        known, start_id = ids[ids >= 0].astype("u4"), vocab.start_id()
        evaluation = evaluate(model, known, start_id, ends_of_lines(known, start_id) if data.lines else None)
        for symbol in codes[ids < 0].tolist():
            name = vocab.name(symbol)
            evaluation.unknown[name] = evaluation.unknown.get(name, 0) + 1
        return evaluation


def load(path: str | PathLike[str] | None = None, *, engine: str = "numpy") -> TextModel:
    """See `charnet.load`."""
    return TextModel(Checkpoint.load(runs.find(None if path is None else Path(path)), weights_only=True), engine=engine)


@contextmanager
def _as_python_says_it() -> Iterator[None]:
    try:
        yield
    except Interrupted:
        raise KeyboardInterrupt from None


def train(
    *texts: str | PathLike[str],
    out: str | PathLike[str] = "checkpoints",
    name: str = "",
    seconds: float | None = None,
    on_report: Callable[[Event], None] | None = None,
    **settings: str | float | bool,
) -> Path:
    """See `charnet.train`."""
    from charnet.training import setup

    known = qualified_names()
    values: dict[str, object] = {"data.paths": [fspath(text) for text in texts]}
    for key, value in settings.items():
        if key == "paths":
            raise ConfigError("paths: expected the texts as plain arguments, as in charnet.train('a.txt', 'b.txt')")
        if key not in known:
            raise ConfigError(f'there is no setting "{key}"{did_you_mean(key, known)}')
        values[known[key]] = value
    with SignalGuard() as signals, _as_python_says_it():
        run = setup.new_run(values, out=Path(out), name=name, seconds=seconds, on_start=signals.defer)
        with closing(run.events(lambda: signals.received)) as reports:
            for report in reports:
                if on_report:
                    on_report(report)
    if signals.received:
        raise KeyboardInterrupt
    return run.folder.path
