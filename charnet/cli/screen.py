"""What a live training looks like on a terminal of any size: lines of styled pieces, none wider than the terminal."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

from charnet.cli import chart
from charnet.cli.chart import Line, Series
from charnet.cli.console import cells, folded, visible
from charnet.cli.history import RunHistory
from charnet.cli.tables import format_duration

PAGE, CHINESE_PAGE = 1800, 600  # characters on a printed page
MANY_CHARACTERS = 1000  # of an alphabet: the text is Chinese, or written like it
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
SENTENCE_END = re.compile("[.!?…][\"'”’»)]*\\s+|[。！？][」』”]*|\\n+")
LONGEST_WORD = 20
WIDEST_BAR, LOWEST_CHART, LINES_OF_SAMPLE = 40, 6, 8
ROOM_FOR_WORDS, ROOM_FOR_CHART = 10, 15  # lines of the terminal


class Clock:
    """The time that a planned training has taken. The plan counts from the first network that is timed."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began: float | None = None

    def start(self) -> None:
        """Starts the clock, unless it runs."""
        self._began = self._now() if self._began is None else self._began

    @property
    def seconds(self) -> float:
        return 0.0 if self._began is None else self._now() - self._began


def draw(history: RunHistory, seconds: float, width: int, height: int, footnote: str = "") -> list[Line]:
    """Draws a training.

    Args:
        seconds: that it has taken, for one that was planned for a time.
        width, height: of the terminal; the lines leave its last one free.
    """
    lines = [_bar(history, seconds, width), *_figures(history, width)]
    if height >= ROOM_FOR_WORDS:
        lines += [[(line, "words")] for line in folded(reading(history), width)]
    last = [[(line, "footnote")] for line in folded(footnote, width)] if footnote else []
    room = max(1, height - 1 - len(lines) - len(last))
    sample = list(_sample(history.sample, width))
    shown = sample[: min(LINES_OF_SAMPLE, max(1, room // 3) if height >= ROOM_FOR_CHART else room)]
    if height >= ROOM_FOR_CHART and (rows := room - len(shown) - 2) >= LOWEST_CHART:
        lines += _chart(history, width, rows)
    lines += [[(line, "sample")] for line in shown]
    return [_cropped(line, width) for line in lines[: max(1, height - 1 - len(last))] + last]


def _cropped(line: Line, width: int) -> Line:
    """Returns as much of a line as fits."""
    found: Line = []
    for text, style in line:
        room = width - width_of(found)
        found.append((text if style == "sample" else text[: max(0, room)], style))
    return found


def width_of(line: Line) -> int:
    """Returns the cells of a line. Those of bars and axes take one each; of a text they are counted at their widest."""
    return sum(cells(text) if style == "sample" else len(text) for text, style in line)


def _share(history: RunHistory, seconds: float) -> tuple[float, str]:
    """Returns how much of a training is done, of its time or of its steps, and the same in words."""
    started, step = history.started, history.latest.step if history.latest else 0
    if started is not None and started.plan is not None:
        total = started.plan.seconds
        now = min(seconds, total)
        return now / total, f"{format_duration(now)} of {format_duration(total)}"
    left = f", {format_duration(history.seconds_left())} left" if history.seconds_left() else ""
    return step / max(1, history.steps), f"step {step:,} of {history.steps:,}{left}"


def _bar(history: RunHistory, seconds: float, width: int) -> Line:
    share, words = _share(history, seconds)
    room = min(WIDEST_BAR, width - len(words) - 1)
    if room < 4:
        return [(words[:width], "plain")]
    done = round(min(1.0, share) * room)
    return [("━" * done, "done"), ("━" * (room - done), "to do"), (f" {words}", "plain")]


def _figures(history: RunHistory, width: int) -> Iterator[Line]:
    """Yields the losses and the rate, in as many lines as they need."""
    now = history.latest
    if now is None:
        return
    pieces = [("train ", f"{now.train_nats_per_char:.2f}", "train")]
    if history.val:
        pieces.append(("held out ", f"{history.val[-1]:.2f}", "held out"))
    if history.best and history.best[0] is not None and width >= 40:
        pieces.append(("best ", f"{history.best[0]:.2f}", "plain"))
    pieces.append(("", f"{now.chars_per_second:,.0f} chars/s", "plain"))
    line: Line = []
    used = 0
    for name, value, style in pieces:
        size = len(name + value)
        if line and used + 2 + size > width:
            yield line
            line, used = [], 0
        gap = "  " if line else ""
        line += [(gap + name, "name"), (value[:width], style)]
        used += len(gap) + size
    yield line


def reading(history: RunHistory) -> str:
    """Says in plain words how long the text is and how often it has been read."""
    started, now = history.started, history.latest
    if started is None:
        return ""
    learned = max(1, started.corpus.characters - started.held_out - started.test)
    page = CHINESE_PAGE if started.alphabet_size > MANY_CHARACTERS else PAGE
    pages = round(started.corpus.characters / page)
    length = "less than a page" if pages < 1 else "1 page" if pages == 1 else f"{pages:,} pages"
    seen = history.characters_seen() if now else 0.0
    return f"your text, {length}, is read for the {ordinal(int(seen / learned) + 1)} time"


def ordinal(number: int) -> str:
    """Returns an ordinal number in words, a large one in digits.

    >>> ordinal(3), ordinal(11), ordinal(22), ordinal(113)
    ('third', '11th', '22nd', '113th')
    """
    if number <= len(ORDINALS):
        return ORDINALS[number - 1]
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 // 10 != 1 else "th"
    return f"{number:,}{ending}"


def _chart(history: RunHistory, width: int, height: int) -> list[Line]:
    """Draws both losses over the time or the steps of the whole training, and names them."""
    plan = history.started.plan if history.started else None
    over, end = ("seconds", plan.seconds) if plan else ("step", float(history.steps))
    label = format_duration if plan else "{:,.0f}".format
    series = [
        Series(*history.points("train_nats_per_char", over), "train", joined=True),
        Series(*history.points("val_nats_per_char", over), "held out", joined=True),
    ]
    labels = ["0", *(label(end * share) for share in (0.5, 1.0))]
    drawn = chart.draw(series, end, labels, width, height - 1) if width >= 24 else []
    named: Line = [("nats per character: ", "name"), ("⠒ train", "train"), ("  ", "name"), ("⠤ held out", "held out")]
    return [named if width >= 40 else named[1:], *drawn] if drawn else []


def _sample(text: str, width: int) -> Iterator[str]:
    # Folded here, counting the widest that a character can be: rich and terminals disagree on joined emoji.
    for line in visible(from_beginning(text), keep="\n").expandtabs().split("\n"):
        for part in folded(line, width):
            if cells(part) <= width:
                yield part.rstrip()


def from_beginning(text: str) -> str:
    """Returns a text from the beginning of a sentence on, else of a line, if one begins in its first half.

    A word at its end that may be cut off is left out.

    >>> from_beginning("and so on. The cat sat o"), from_beginning("The cat"), from_beginning("und so weiter")
    ('The cat sat', 'The', 'und so')
    """
    whole, space, last = text.strip().rpartition(" ")
    text = whole if space and len(last) < LONGEST_WORD and "\n" not in last else text.strip()
    ends = [found.end() for found in SENTENCE_END.finditer(text, 0, len(text) // 2 + 1)]
    begins = next((at for at in (0, *ends) if not text[at : at + 1].islower()), ends[0] if ends else 0)
    return text[begins:]
