"""Writing text: prompt in, characters out, one at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charnet import endings, sampling
from charnet.engines import Engine
from charnet.errors import ConfigError, did_you_mean
from charnet.vocab import Utf8Guard, Vocabulary

LARGEST_BIAS = 1000.0


@dataclass(frozen=True)
class Options:
    """How to write.

    `length` counts characters (bytes for a model of bytes) after the prompt. Writing ends before that where one of the
    `stop` texts would come (it is not written), after `max_lines` lines, or after the first sentence, line or paragraph
    (`until`).

    The temperature goes in a straight line from `temperature` to `temperature_end` over the length. Whatever was among
    the last `repetition_window` characters has its probability divided by `repetition_penalty`. `ban` lists characters
    that are never written; `logit_bias` adds to the logits of others: at temperature 1, +1 makes one 2.7 times as
    likely.

    Raises:
        ConfigError: an option is out of its range.
    """

    length: int = 1000
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    temperature_end: float | None = None
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    repetition_window: int = 64
    max_lines: int = 0
    until: str = ""
    ban: str = ""
    logit_bias: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        for temperature in (self.temperature, self.last_temperature):
            sampling.check(
                temperature=temperature,
                top_k=self.top_k,
                top_p=self.top_p,
                min_p=self.min_p,
                typical_p=self.typical_p,
                repetition_penalty=self.repetition_penalty,
                repetition_window=self.repetition_window,
            )
        for name, value in (("-n", self.length), ("--seed", self.seed), ("--max-lines", self.max_lines)):
            if value < 0:
                raise ConfigError(f"{name}: expected a number at least 0, found {value}")
        if isinstance(self.stop, str):
            raise ConfigError("stop: expected several texts, found one; put it in a list")
        if "" in self.stop:
            raise ConfigError("--stop: expected a text, found an empty one")
        if self.until and self.until not in endings.UNTIL:
            near = did_you_mean(self.until, endings.UNTIL)
            raise ConfigError(f'--until: expected one of {", ".join(endings.UNTIL)}, found "{self.until}"{near}')
        if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in self.logit_bias):
            raise ConfigError('logit_bias: expected pairs of a character and a number, as in (("e", -2.0),)')
        for character, bias in self.logit_bias:
            if len(character) != 1 or not abs(bias) <= LARGEST_BIAS:
                raise ConfigError(
                    f"--logit-bias: expected CHARACTER=NUMBER with a number between {-LARGEST_BIAS:g} and "
                    f"{LARGEST_BIAS:g}, found {character[:20]!r}={bias}"
                )

    @property
    def last_temperature(self) -> float:
        return self.temperature if self.temperature_end is None else self.temperature_end

    def temperature_at(self, place: int) -> float:
        """The temperature of a character, counted from 0.

        >>> [Options(length=5, temperature=0.5, temperature_end=1.5).temperature_at(i) for i in range(5)]
        [0.5, 0.75, 1.0, 1.25, 1.5]
        """
        share = place / max(1, self.length - 1)
        return self.temperature + (self.last_temperature - self.temperature) * share


def stream(
    engine: Engine, vocab: Vocabulary, prompt_ids: Sequence[int], options: Options, *, index: int = 0
) -> Iterator[str]:
    """Continues a prompt, character by character; the prompt itself is not repeated.

    Args:
        prompt_ids: what to continue; nothing stands for the start of a line.
        index: which of several texts of the same seed this is; each has its own random numbers.

    Raises:
        ConfigError: `ban` leaves nothing to write, or a bias is for a character that the model does not know.
    """
    choose = _Choice(vocab, options, prompt_ids)
    read = prompt_ids if len(prompt_ids) else [vocab.start_id()]
    pieces = _decoded(vocab, _ids(engine, read, options, index, choose))
    if options.stop:
        pieces = endings.before(options.stop, pieces)
    if options.max_lines:
        pieces = endings.first_lines(options.max_lines, pieces)
    return endings.until(options.until, pieces)


def _decoded(vocab: Vocabulary, ids: Iterator[int]) -> Iterator[str]:
    decoder = vocab.decoder()
    for i in ids:
        yield decoder.push(i)
    yield decoder.finish()


def _ids(engine: Engine, prompt_ids: Sequence[int], options: Options, index: int, choose: _Choice) -> Iterator[int]:
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(options.seed, spawn_key=(index,)))).random
    state = engine.start(1)
    for i in prompt_ids:
        logits, state = engine.advance([int(i)], state)
    for place in range(options.length):
        chosen = choose(logits[0], place, random())
        yield chosen
        if place + 1 < options.length:
            logits, state = engine.advance([chosen], state)


class _Choice:
    """Draws one symbol after the other as the options say, by the shortest way that they leave."""

    def __init__(self, vocab: Vocabulary, options: Options, prompt_ids: Sequence[int]) -> None:
        self._options, self._bias_V = options, _bias(vocab, options)
        self._symbols, self._guard = vocab.symbols, Utf8Guard(vocab) if vocab.is_utf8 else None
        for i in prompt_ids if self._guard else ():
            self._passed(int(i))
        self._penalised = options.repetition_penalty != 1 and options.repetition_window > 0
        self._recent = deque(map(int, prompt_ids), maxlen=options.repetition_window)
        self._filtered = bool(options.top_k or options.top_p < 1 or options.min_p > 0 or options.typical_p < 1)

    def __call__(self, logits_V: sampling.Floats, place: int, u: float) -> int:
        o = self._options
        if self._bias_V is not None:
            logits_V = logits_V + self._bias_V
        if self._guard is not None:
            logits_V = np.where(self._guard.forbidden(o.length - place), -np.inf, logits_V)
            if np.isneginf(logits_V).all():
                raise ConfigError("--ban: expected a byte to be left for the rest of a character, found all banned")
        if self._penalised:
            logits_V = sampling.less_likely(logits_V, self._recent, o.repetition_penalty)
        temperature = o.temperature if o.temperature_end is None else o.temperature_at(place)
        if self._filtered:
            p = sampling.probabilities(
                logits_V,
                temperature=temperature,
                top_k=o.top_k,
                top_p=o.top_p,
                min_p=o.min_p,
                typical_p=o.typical_p,
            )
            chosen = sampling.draw(p, u)
        else:
            chosen = sampling.draw_at(logits_V, temperature, u)
        if self._penalised:
            self._recent.append(chosen)
        self._passed(chosen)
        return chosen

    def _passed(self, chosen: int) -> None:
        if self._guard is not None:
            self._guard.push(self._symbols[chosen])


def _bias(vocab: Vocabulary, options: Options) -> npt.NDArray[np.float64] | None:
    """What is added to the logits (V): the biases, and minus infinity for what is banned."""
    if not options.ban and not options.logit_bias and vocab.rare_id is None:
        return None
    bias_V = np.zeros(len(vocab))
    if vocab.rare_id is not None:  # it stands for many: none of them can be written
        bias_V[vocab.rare_id] = -np.inf
    for character, bias in options.logit_bias:
        bias_V[_id(vocab, character, "--logit-bias")] += bias
    for character in options.ban:
        codes = vocab.codes(character)
        if len(codes) > 1 or vocab.lookup(codes)[0] not in (
            -1,
            vocab.rare_id,
        ):  # what the model never writes is banned already
            bias_V[_id(vocab, character, "--ban")] = -np.inf
    if np.isneginf(bias_V).all():
        raise ConfigError("--ban: expected at least one character to be left, found all of the model's banned")
    return bias_V


def _id(vocab: Vocabulary, character: str, option: str) -> int:
    codes = vocab.codes(character)
    found = vocab.lookup(codes)
    if len(codes) > 1:
        raise ConfigError(f"{option}: the model knows bytes: expected characters of one byte, found {character!r}")
    if found[0] < 0 or found[0] == vocab.rare_id:
        known = ", ".join(vocab.nearest(int(codes[0])))
        raise ConfigError(
            f"{option}: the model does not know {vocab.name(int(codes[0]))}; the nearest it knows: {known}"
        )
    return int(found[0])
