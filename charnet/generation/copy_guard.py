"""Keeps a text from copying: no run of N symbols of it stands verbatim in the text that the model learned from.

Before a run would reach N symbols, those that would continue it are banned. A run of L symbols cannot reach N within
N - L symbols, so most places need no look into the index. A run consists of symbols that were written: those of the
prompt are the user's and belong to none.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from charnet.config import SamplingOptions
from charnet.engines import sampling
from charnet.errors import ConfigError
from charnet.generation import constraints
from charnet.generation.sampler import END, Sampler

if TYPE_CHECKING:
    from charnet.data.copy_index import CopyIndex
    from charnet.generation.generate import GenerationState
    from charnet.storage.checkpoint import Checkpoint

NONE: frozenset[int] = frozenset()
SPARE = 1 << 12  # symbols that are kept beyond those of a run, since the last ones may be given back


class NothingLeftError(ConfigError):
    """Every symbol that may come next would continue a run that is too long."""


class CopyGuard:
    """The rule for many texts. `num_banned` counts the places where it put another symbol in place of one.

    Args:
        index: of the learned text.
        length: of the shortest run that is not allowed, N.

    Raises:
        ConfigError: the index does not find runs that are so short.
    """

    def __init__(self, index: CopyIndex, length: int) -> None:
        if length <= index.shortest:
            why = "" if index.shortest == 1 else ": in so long a text only longer runs are found"
            raise ConfigError(f"--max-copy: expected at least {index.shortest + 1}, found {length}{why}")
        self.index, self.length, self.num_banned = index, length, 0

    def written(self, state: GenerationState) -> WrittenText:
        """Returns what was written of a text up to a state."""
        return WrittenText(self, state.recent[len(state.recent) - state.written :])


def open_guard(checkpoint: Checkpoint, options: SamplingOptions, opened: dict[int, CopyGuard]) -> CopyGuard | None:
    """Returns the guard that the options ask for.

    Args:
        opened: those that were opened before, by their length; takes the new one.

    Raises:
        ConfigError: they ask for one that is not possible.
        CorpusError: the text that the model learned from is gone, or another one.
    """
    if options.max_copy and options.max_copy not in opened:
        from charnet.storage.learned_text import open_learned

        opened[options.max_copy] = CopyGuard(open_learned(checkpoint).index, options.max_copy)
    return opened.get(options.max_copy)


def check_guard(options: SamplingOptions, guard: CopyGuard | None) -> None:
    """Raises ConfigError if the options ask for a guard and there is none, or one in texts that are not sampled symbol
    by symbol."""
    if options.max_copy and constraints.is_conditional(options):
        raise ConfigError("--max-copy: leave out --exact, --template, --min-length and --max-length, or use --match")
    if options.max_copy and guard is None:
        raise ConfigError("--max-copy: needs the text that the model learned from")


class WrittenText:
    """What was written of one text, and what may not come next. `facts` tell how often another symbol was chosen.

    Args:
        symbols: that were written before, without anything in between that was given.
    """

    def __init__(self, guard: CopyGuard, symbols: Sequence[int] = ()) -> None:
        self.guard, self._context = guard, guard.length - 1
        self._symbols, self._due, self._banned = list(symbols), 0, NONE
        self._count, self._places = 0, list[int]()  # of the symbols since then, and of those chosen in place of another

    @property
    def facts(self) -> tuple[tuple[str, int], ...]:
        """What `--json` tells of the text."""
        return (("runs_avoided", len(self._places)),)

    def banned(self) -> frozenset[int]:
        """Returns the symbols that would complete a run of N."""
        if self._due > 0 or self._banned:
            return self._banned
        last = self._symbols[-self._context :]
        length = len(last) if len(last) < self._context else self.guard.index.longest(last, self._context)
        self._due = self._context - length
        if not self._due:
            self._banned = self.guard.index.next_symbols(last)
            self._due = 0 if self._banned else 1
        return self._banned

    @property
    def free(self) -> int:
        """The number of symbols that may come next whatever they are, as far as `banned` knows."""
        return max(0, self._due)

    def append(self, symbol: int) -> None:
        """Takes the next symbol."""
        self._symbols.append(symbol)
        self._count += 1
        self._due, self._banned = self._due - 1, NONE
        if len(self._symbols) > 2 * SPARE + self._context:
            del self._symbols[: -SPARE - self._context]

    def extend(self, symbols: Sequence[int]) -> None:
        """Takes several symbols, none of which is refused."""
        self._symbols.extend(symbols[:-1])
        self._due = 0
        if symbols:
            self._count += len(symbols) - 1
            self.append(symbols[-1])

    def pop(self, count: int) -> None:
        """Gives the last symbols back."""
        if count:
            del self._symbols[-count:]
            self._count -= count
            self._due, self._banned = 0, NONE
            while self._places and self._places[-1] >= self._count:
                self._places.pop()
                self.guard.num_banned -= 1

    def first_refused(self, symbols: Sequence[int]) -> int | None:
        """Returns the index of the first of the next symbols that would complete a run of N, or None."""
        before = self._symbols[-self._context :]
        text, at, context = [*before, *symbols], 0, self._context
        while (found := self.guard.index.first(text[at:], context)) is not None:
            behind = at + found + 1
            if behind >= len(text):
                return None
            if text[behind] in self.guard.index.next_symbols(text[behind - context : behind]):
                return behind - len(before)
            at = behind - context + 1
        return None

    def choose(
        self,
        symbol: int,
        sampler: Sampler,
        logits_V: sampling.Floats,
        position: int,
        u: float,
        recent: Sequence[int],
        matched: int,
        refused: Collection[int] = (),
    ) -> int:
        """Appends the symbol that was sampled, or the one that the same random number gives without what is banned.

        A symbol after which nothing would be left is banned too.

        Args:
            symbol: that was sampled with all options but the guard.
            refused: is banned as well.

        Returns:
            The symbol, or `END`.

        Raises:
            NothingLeftError: nothing may come next.
        """
        if self._due > 1 and not refused:
            if symbol != END:
                self.append(symbol)
            return symbol
        banned = self.banned().union(refused)
        sampled = symbol
        while True:
            if symbol in banned:
                if not sampler.can_go_on(position, recent, matched, banned):
                    raise NothingLeftError(
                        f"--max-copy {self.guard.length}: all that could come next here stands in the learned text; "
                        "give a larger number"
                    )
                symbol = sampler.sample(logits_V, position, u, recent, matched, banned)
            if symbol != END:
                self.append(symbol)
                after = matched if sampler.pattern is None else sampler.pattern.after(matched, symbol)
                if self._due <= 0 and self.is_dead_end(sampler, position + 1, [*recent, symbol], after):
                    self.pop(1)
                    banned = banned.union([symbol])
                    continue
            if symbol != sampled:
                self._places.append(self._count - (symbol != END))
                self.guard.num_banned += 1
            return symbol

    def is_dead_end(self, sampler: Sampler, position: int, recent: Sequence[int], matched: int) -> bool:
        """Returns whether nothing may come next.

        Args:
            position, recent, matched: of the next symbol, as `Sampler.sample` takes them.
        """
        banned = self.banned()
        return bool(banned) and not sampler.can_go_on(position, recent, matched, banned)
