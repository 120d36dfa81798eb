"""`charnet sample --copies, --max-copy, --new, --unique`: what a text has in common with the text that was learned."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charnet.cli import console
from charnet.config import SamplingOptions
from charnet.errors import ConfigError, plural

if TYPE_CHECKING:
    from charnet.cli.opening import Opened
    from charnet.cli.surprise import Wrap
    from charnet.evaluation.copies import Copies
    from charnet.generation.copy_guard import CopyGuard
    from charnet.generation.detokenizer import Chunk
    from charnet.generation.selection import KnownDocuments

    Texts = Iterable[Iterable[Chunk]]

BANDS = (16, 32)  # characters: a run of so many has the next color
MOST_SHOWN = 10  # texts of which each is reported on stderr; with --json each object has its own report


def check(
    *,
    copies: bool,
    new: bool,
    unique: bool,
    max_copy: int | None,
    interactive: bool,
    receipt: Path | None,
    surprise: bool,
    json: bool,
    width: int | None,
    mix: Any,
    best_by: str,
    prompts_file: Path | None,
    **_: Any,
) -> None:
    """Raises ConfigError if options contradict each other."""
    chosen = [name for name, value in {"--copies": copies, "--new": new, "--unique": unique}.items() if value]
    if interactive and chosen:
        raise ConfigError(f"-i: leave out {chosen[0]}")
    if mix and (copies or new or max_copy or best_by == "copies"):
        raise ConfigError(
            "--mix: leave out --copies, --max-copy, --new, --best-by copies: each model learned from its own text"
        )
    depends = [name for name, value in {"--max-copy": max_copy, "--new": new}.items() if value]
    if receipt and depends:
        raise ConfigError(f"--receipt and {depends[0]}: the text depends on more than the checkpoint; leave one out")
    if receipt and unique:
        raise ConfigError("--receipt and --unique: no receipt holds which texts were left out; leave one out")
    if copies and surprise and not (json or prompts_file):
        raise ConfigError("--copies and --surprise: both color the text; leave one out")
    if copies and width:
        raise ConfigError("--copies and --width: line ends that the model did not write would end runs; leave one out")


def guard_of(model: Opened, options: SamplingOptions, opened: dict[int, CopyGuard]) -> CopyGuard | None:
    """Returns the guard that the options ask for.

    Args:
        opened: those that were opened before, by their length; takes the new one.

    Raises:
        ConfigError: they ask for one that is not possible.
    """
    from charnet.generation.copy_guard import CopyGuard, check_guard

    if options.max_copy and options.max_copy not in opened and model.learned:
        opened[options.max_copy] = CopyGuard(model.learned.index, options.max_copy)
    guard = opened.get(options.max_copy)
    check_guard(options, guard)
    return guard


def say_banned(opened: Mapping[int, CopyGuard], others: str = "") -> None:
    """Says how often each guard had to choose another character.

    Args:
        others: what was written beside the texts that are shown, and is counted too.
    """
    for guard in opened.values():
        places = f"another character in {plural(guard.num_banned, 'place')}{others}, where a run would have gone on"
        console.note(f"--max-copy {guard.length}: {places if guard.num_banned else 'no run would have been so long'}")


class Copying:
    """What a command does about copies.

    Args:
        prompt: what stands before each text.
    """

    def __init__(self, model: Opened, given: Mapping[str, Any], prompt: str = "") -> None:
        self._model, self._given, self._prompt = model, given, prompt
        self._guards: dict[int, CopyGuard] = {}
        learned = model.learned
        self._known: KnownDocuments | None = None
        self._reports, self._yardstick = learned if given["copies"] else None, None
        if learned and given["new"]:
            from charnet.generation.selection import KnownDocuments

            self._known = KnownDocuments(learned.pieces, model.vocab)
        if self._reports:
            from charnet.evaluation import copies

            self._yardstick = copies.yardstick(self._reports)
        self._written = list[str]()

    def guard(self, options: SamplingOptions) -> CopyGuard | None:
        """Returns the guard of texts with some options, as `guard_of` does."""
        return guard_of(self._model, options, self._guards)

    def score(self) -> dict[str, Any]:
        """Returns what `best_of` needs to know how much a text copies, if that is how the best is chosen."""
        if self._given["best_by"] != "copies" or self._model.learned is None:
            return {}
        from charnet.generation.best import longest_copy

        return {"copied": longest_copy(self._model.learned.index, self._model.vocab)}

    def texts(self, write: Callable[..., Texts], count: int) -> Texts:
        """Returns the texts that the options let through, up to `count`.

        Args:
            write: writes texts up to before an index, from `first` on.
        """
        if not (self._given["new"] or self._given["unique"]):
            return self._watched(write(count), None)
        from charnet.generation.selection import Selection

        chosen = Selection(lambda first, end: write(end, first=first), count, self._known, prompt=self._prompt)
        return self._watched(chosen, chosen)

    def _watched(self, texts: Texts, chosen: Any) -> Texts:
        for chunks in texts:
            facts = (("index", chosen.index),) if chosen else ()
            yield self.watch(chunks, facts)
        if chosen and not self._given["quiet"]:
            self._say_chosen(chosen)

    def watch(self, chunks: Iterable[Chunk], facts: tuple[tuple[str, Any], ...] = ()) -> Iterable[Chunk]:
        """Returns the chunks of a text, then one with what is known of it beside some facts."""
        return self._watch(chunks, facts) if self._reports or facts else chunks

    def _watch(self, chunks: Iterable[Chunk], facts: tuple[tuple[str, Any], ...]) -> Iterator[Chunk]:
        from charnet.generation.detokenizer import Chunk

        text = list[str]()
        for chunk in chunks:
            text.append(chunk.text)
            yield chunk
        if self._reports:
            self._written.append(complete := "".join(text))
            if self._given["json"]:
                facts = (*facts, ("copies", self._described(complete)))
        yield Chunk("", (), facts)

    def _described(self, text: str) -> dict[str, Any]:
        """Returns what `--json` tells of the runs of a text."""
        from charnet.evaluation import copies

        assert self._reports is not None
        ids = self._model.vocab.encode_known(text)[0]
        runs_T = copies.covering(self._reports.index.runs(ids)[0])
        found: dict[str, Any] = copies.count([ids], self._reports).to_json()
        found["runs"] = copies.of_characters(text, self._model.vocab, runs_T)
        found["shortest"] = self._reports.index.shortest
        found["held_out"] = self._yardstick.to_json() if self._yardstick else None
        return found

    def colored(self, chunks: Iterable[Chunk], wrap: Wrap) -> Iterator[str]:
        """Colors chunks for a terminal, each character by the longest run that it is part of; `wrap` breaks lines."""
        from charnet.cli import surprise
        from charnet.evaluation import copies
        from charnet.generation.detokenizer import Chunk

        assert self._reports is not None
        pieces = copies.follow((chunk.text for chunk in chunks), self._model.vocab, self._reports.index)
        rated = wrap(Chunk(character, (bisect_right(BANDS, run),)) for character, run in pieces)
        levels = (zip(chunk.text, map(int, chunk.nats), strict=True) for chunk in rated)
        return surprise.painted(pair for each in levels for pair in each)

    @property
    def coloring(self) -> dict[str, Any]:
        """How texts are colored, if that is by their runs."""
        return {"colored": self.colored} if self._reports else {}

    def say_legend(self) -> None:
        """Says what the colors mean."""
        if self._reports:
            from charnet.cli import surprise

            limits = [f"under {BANDS[0]} characters", *(f"{limit} or more" for limit in BANDS)]
            console.note(f"runs that stand in the learned text: {surprise.named(limits)}", keep="\x1b")

    def say(self) -> None:
        """Reports what was copied, and how often the guard and the choice had to act."""
        leaves_out = self._given["best_of"] > 1 or self._given["new"] or self._given["unique"]
        say_banned(self._guards, ", those in texts that were left out included" if leaves_out else "")
        if self._reports is None:
            return
        from charnet.evaluation import copies

        encoded = [self._model.vocab.encode_known(text)[0] for text in self._written]
        if 1 < len(encoded) <= MOST_SHOWN and not self._given["json"]:
            for number, ids in enumerate(encoded, 1):
                self._say(f"text {number}", copies.count([ids], self._reports))
        self._say("text" if len(encoded) == 1 else "all texts", copies.count(encoded, self._reports))
        if self._yardstick:
            self._say("the held-out text, for comparison", self._yardstick)
        if (shortest := self._reports.index.shortest) > 1:
            console.note(f"of so long a learned text, runs under {shortest} are not found and count as 0")

    def _say(self, what: str, found: Copies) -> None:
        console.note(f"{what}: {found}")

    def _say_chosen(self, chosen: Any) -> None:
        """Says how many texts were left out, and why there are fewer than were wanted."""
        from charnet.generation.selection import MOST_MISSES

        why = "known or written before" if self._known else "written before"
        console.note(f"{plural(chosen.found, 'text')}; {chosen.misses:,} left out: {why}")
        if not chosen.is_complete:
            last = f"the last {MOST_MISSES:,} were all {why}"
            console.note(f"the model has no more to say: {last}; try a higher --temp")
