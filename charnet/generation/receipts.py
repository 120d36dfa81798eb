"""Makes the receipt of texts while they are written, and writes the texts of a receipt again."""

from __future__ import annotations

import contextlib
import hashlib
import io
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from charnet.config import SamplingOptions
from charnet.data import prompts
from charnet.data.vocab import Vocabulary
from charnet.engines import exact, registry
from charnet.engines.base import Engine
from charnet.engines.rounding import kind_of_machine
from charnet.errors import ConfigError, PromptError, ReceiptError, quoted
from charnet.generation import batch, graphemes
from charnet.generation.detokenizer import Chunk, line_end
from charnet.storage import receipt
from charnet.storage.checkpoint import Checkpoint
from charnet.storage.receipt import MOST_TEXTS, Receipt, TextDigest, encode, sha256
from charnet.version import __version__


def draft(
    engine: Engine,
    vocab: Vocabulary,
    options: SamplingOptions,
    *,
    checkpoint: str,
    checkpoint_sha256: str,
    prompt: str,
    is_private: bool,
    echo: bool,
    unknown: str,
    lines: bool,
    samples: int,
) -> Receipt:
    """Returns a receipt without the digests of texts; its fields are those of `Receipt`.

    Args:
        is_private: tell only the SHA-256 of the prompt.
    """
    return Receipt(
        charnet=__version__,
        arithmetic=exact.VERSION,
        exact=engine.is_exact,
        checkpoint=checkpoint,
        checkpoint_sha256=checkpoint_sha256,
        precision="int8" if engine.is_exact else "fp32",
        unicode=_unicode(vocab, options),
        machine={} if engine.is_exact else kind_of_machine(engine.name),
        prompt=None if is_private else prompt,
        prompt_sha256=sha256(prompt),
        echo=echo,
        unknown=unknown,
        lines=lines,
        samples=samples,
        options=options,
    )


def _unicode(vocab: Vocabulary, options: SamplingOptions) -> str:
    """Returns which tables of Unicode are used: where a grapheme cluster or a sentence ends follows from them."""
    if not graphemes.may_join(vocab) and options.until != "sentence":
        return unicodedata.unidata_version
    import regex

    return f"{unicodedata.unidata_version}, regex {regex.__version__}"


class Recorder:
    """Takes the digest of each text while it is written.

    Args:
        receipt: without digests.
        echoed: what is written before each text: its prompt, or "".
        end: what is written behind each text.
    """

    def __init__(self, receipt: Receipt, echoed: str, end: str) -> None:
        self._receipt, self._echoed, self._end = receipt, echoed, end
        self._digests = deque[TextDigest](maxlen=MOST_TEXTS)

    def watch(self, texts: Iterable[Iterable[Chunk]]) -> Iterator[Iterator[Chunk]]:
        """Yields the texts as they are."""
        return map(self._watch_one, texts)

    def _watch_one(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        digest = _Digest(self._echoed)
        for chunk in chunks:
            digest.add(chunk.text)
            yield chunk
        digest.add(self._end)
        self._digests.append(digest.value)

    def receipt(self) -> Receipt:
        """Returns the receipt of all texts, when they have been read."""
        return replace(self._receipt, texts=tuple(self._digests))

    def receipt_of(self, index: int) -> Receipt:
        """Returns the receipt of the text that has been read last alone.

        Args:
            index: which of the texts it is.
        """
        return replace(self._receipt, index=index, texts=(self._digests[-1],))


class _Digest:
    """The SHA-256 and the number of the bytes of a text that comes in pieces."""

    def __init__(self, text: str) -> None:
        self._sha256, self.bytes = hashlib.sha256(), 0
        self.add(text)

    def add(self, text: str) -> None:
        raw = encode(text)
        self._sha256.update(raw)
        self.bytes += len(raw)

    @property
    def value(self) -> TextDigest:
        return TextDigest(self._sha256.hexdigest(), self.bytes)


def check_checkpoint(receipt: Receipt, checkpoint: Checkpoint) -> None:
    """Raises ReceiptError unless this is the checkpoint of the receipt."""
    if checkpoint.sha256 != receipt.checkpoint_sha256:
        raise ReceiptError(
            f"{checkpoint.path or 'model'}: the checkpoint differs: SHA-256 {checkpoint.sha256[:16] or 'none'}..., "
            f"in the receipt {receipt.checkpoint_sha256[:16]}...; name the file that wrote the text"
        )


def open_engine(receipt: Receipt, checkpoint: Checkpoint, *, threads: int = 0) -> Engine:
    """Opens an engine with the weights of a receipt: in fp32 the one that wrote the texts, if it is here.

    Args:
        checkpoint: that of the receipt, as it is in its file.
        threads: CPU threads; 0 for the fastest number.

    Raises:
        ReceiptError: the receipt cannot be of this model.
    """
    model = checkpoint.quantize() if receipt.exact else checkpoint
    if model.precision != receipt.precision:
        raise ReceiptError(f"the receipt is for weights in {receipt.precision}, the checkpoint has them in 8 bits")
    settings, weights, name = model.config.model, model.stored_weights, receipt.machine.get("engine", "")
    with _of_this_model():
        fastest = batch.fastest_engine(settings, model.vocab, weights, receipt.options, len(receipt.texts))
    name = fastest if receipt.exact else name if name in registry.ENGINES else "numpy"
    return registry.engine_of(settings, weights, registry.available(name), threads=threads, ngram=model.ngram)


@contextlib.contextmanager
def _of_this_model() -> Iterator[None]:
    """Turns the refusal of a prompt or an option into one of the receipt."""
    try:
        yield
    except (ConfigError, PromptError):
        raise ReceiptError("the prompt or an option of the receipt cannot be of this model") from None


def with_prompt(receipt: Receipt, checkpoint: Checkpoint, prompt: str) -> Receipt:
    """Returns the receipt with a prompt that is given again.

    Raises:
        ReceiptError: it is another one.
    """
    with contextlib.suppress(PromptError):  # one that the model does not know is another one
        skip, data = receipt.unknown == "skip", checkpoint.config.data
        text, _, _ = prompts.read(prompt, checkpoint.vocab, data, skip_unknown=skip)
        if sha256(text) == receipt.prompt_sha256:
            return replace(receipt, prompt=text)
    raise ReceiptError("the prompt differs from the one of the receipt: give the same again")


def replay(receipt: Receipt, engine: Engine, vocab: Vocabulary) -> tuple[str, Iterator[list[Chunk]]]:
    """Writes the texts of a receipt again.

    Args:
        engine: that of `open_engine`.

    Returns:
        What comes before each text, and the texts, each when it has proved to be equal.

    Raises:
        ConfigError: the receipt tells only the SHA-256 of its prompt.
        ReceiptError: a text is another one, or the receipt cannot be of this model.
    """
    prompt = receipt.prompt
    if prompt is None and receipt.prompt_sha256 == sha256(""):
        prompt = ""
    if prompt is None:
        advice = "give it again with --prompt or --prompt-file, or in Python as prompt"
        raise ConfigError(f"the receipt tells only the SHA-256 of its prompt: {advice}")
    echoed = prompt if receipt.echo else ""
    return echoed, _equal_texts(receipt, engine, vocab, prompt, echoed)


def _equal_texts(
    receipt: Receipt, engine: Engine, vocab: Vocabulary, prompt: str, echoed: str
) -> Iterator[list[Chunk]]:
    first, count = receipt.index, len(receipt.texts)
    together = first + count if engine.is_exact else receipt.samples
    end = line_end(vocab, lines=receipt.lines)
    with _of_this_model():
        ids = vocab.encode(prompt).tolist()
        texts = batch.texts(engine, vocab, ids, receipt.options, together, first=first)
        for number, (chunks, expected) in enumerate(zip(texts, receipt.texts, strict=False), 1):
            text = _read(chunks, expected, echoed, end)
            if text is None:
                which = f"text {number:,} of {count:,} differs" if count > 1 else "the text differs"
                raise ReceiptError(f"{which} from the one of the receipt; {_reason(receipt, engine, vocab)}")
            yield [Chunk(text)]


def _read(chunks: Iterable[Chunk], expected: TextDigest, echoed: str, end: str) -> str | None:
    """Returns a text, or None as soon as it cannot have the expected digest."""
    digest, text = _Digest(echoed), io.StringIO(newline="")
    for chunk in chunks:
        digest.add(chunk.text)
        text.write(chunk.text)
        if digest.bytes > expected.bytes:
            return None
    digest.add(end)
    return text.getvalue() if digest.value == expected else None


def doubts(receipt: Receipt, engine: Engine) -> Sequence[str]:
    """Returns why a text may be another one here than where the receipt was written; nothing if it may not."""
    if not receipt.exact:
        here = kind_of_machine(engine.name)
        names = [name for name in here | receipt.machine if receipt.machine.get(name) != here.get(name)]
        return [
            f"{name if name in here else quoted(name)} {quoted(receipt.machine.get(name, 'none'))}, "
            f"here {quoted(here.get(name, 'none'))}"
            for name in names
        ]
    if receipt.arithmetic != exact.VERSION:
        return [f"version {receipt.arithmetic:.6g} of the 8-bit arithmetic, here {exact.VERSION}"]
    return []


def _reason(receipt: Receipt, engine: Engine, vocab: Vocabulary) -> str:
    found = list(doubts(receipt, engine))
    if receipt.charnet != __version__:
        found.append(f"charnet {quoted(receipt.charnet)}, here {quoted(__version__)}")
    if receipt.unicode != (unicode := _unicode(vocab, receipt.options)):
        found.append(f"Unicode {quoted(receipt.unicode)}, here {quoted(unicode)}")
    if found:
        return f"it was written with {'; '.join(found)}"
    if receipt.exact:
        return "checkpoint, version and options are those of the receipt: see `charnet doctor`, and report this"
    return "fp32 promises the same text only on this kind of machine, and what is in the receipt of it is equal"


def replayed(path: Path, checkpoint: Checkpoint, prompt: str | None) -> Iterator[str]:
    """Returns the texts of a receipt, each with its prompt, and proves each to be equal; raises what `replay` does."""
    found = receipt.read(path)
    check_checkpoint(found, checkpoint)
    found = found if prompt is None else with_prompt(found, checkpoint, prompt)
    echoed, texts = replay(found, open_engine(found, checkpoint), checkpoint.vocab)
    return (echoed + "".join(chunk.text for chunk in chunks) for chunks in texts)
