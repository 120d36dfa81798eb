"""What a live training looks like on a terminal of any size: lines of styled pieces, none wider than the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from charnet.cli import chart
from charnet.cli.chart import Line, Series
from charnet.cli.console import cells, folded, visible
from charnet.cli.history import RunHistory
from charnet.cli.tables import format_duration
from charnet.errors import plural

PAGE, CHINESE_PAGE = 1800, 600  # characters on a printed page
MANY_CHARACTERS = 1000  # of an alphabet: the text is Chinese, or written like it
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
LONGEST_WORD = 20
ANOTHER_TIME = 0.25  # of the time that was planned for: further from it, the time of a resumed run is another one
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
        lines += _chart(history, seconds, width, rows)
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


def _progress(history: RunHistory, seconds: float) -> tuple[float, list[str]]:
    """Returns how much of a training is done, of its time or of its steps, and the same in words, long and short."""
    if history.planned_seconds:
        now, total = spent(history, seconds)
        return now / total, [f"{format_duration(now)} of {format_duration(total)}", format_duration(now)]
    step = history.latest.step if history.latest else 0
    of_steps, left = f"step {step:,} of {history.steps:,}", history.seconds_left()
    words = [*[f"{of_steps}, {format_duration(left)} left"] * bool(left), of_steps, f"step {step:,}", f"{step:,}"]
    return step / max(1, history.steps), words


def spent(history: RunHistory, seconds: float) -> tuple[float, float]:
    """Returns the seconds that a training planned for a time has taken, and those that it takes in all.

    A resumed one has a number of steps and no time to keep: where these clearly need another time, that one counts.

    Args:
        seconds: since it began, or was resumed.
    """
    total, now = history.planned_seconds, history.seconds_before + seconds
    if history.started and history.started.plan:
        return min(now, total), total
    if history.finished and history.finished.reason == "complete":
        return now, max(now, 1e-9)
    expected = now + history.seconds_left()
    if history.seconds_left() and abs(expected - total) > ANOTHER_TIME * total:
        total = expected
    return now, max(now, total)


def _bar(history: RunHistory, seconds: float, width: int) -> Line:
    share, said = _progress(history, seconds)
    words = next((each for each in said if len(each) <= width), "")
    room = min(WIDEST_BAR, width - len(words) - 1)
    if room < 4:
        return [(words, "plain")]
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
    pieces.append(("", f"{now.chars_per_second:,.0f} {history.short_symbol}s/s", "plain"))
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
    length = "less than a page" if pages < 1 else plural(pages, "page")
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


def _chart(history: RunHistory, seconds: float, width: int, height: int) -> list[Line]:
    """Draws both losses over the time or the steps of the whole training, and names them."""
    timed = bool(history.planned_seconds)
    end, label = (spent(history, seconds)[1], format_duration) if timed else (float(history.steps), "{:,.0f}".format)
    series = [
        Series(*history.curve(name, timed=timed), style, joined=True)
        for name, style in (("train_nats_per_char", "train"), ("val_nats_per_char", "held out"))
    ]
    labels = ["0", *(label(end * share) for share in (0.5, 1.0))]
    drawn = chart.draw(series, end, labels, width, height - 1) if width >= 24 else []
    alone, both = (" (networks alone)", " (with the n-gram)") if history.has_ngram and width >= 76 else ("", "")
    named: Line = [
        (f"nats per {history.symbol}: ", "name"),
        (f"⠒ train{alone}", "train"),
        ("  ", "name"),
        (f"⠤ held out{both}", "held out"),
    ]
    return [named if width >= 40 else named[1:], *drawn] if drawn else []


def _sample(text: str, width: int) -> Iterator[str]:
    # Folded here, counting the widest that a character can be: rich and terminals disagree on joined emoji.
    for line in visible(whole_words(text), keep="\n").expandtabs().split("\n"):
        for part in folded(line, width):
            if cells(part) <= width:
                yield part.rstrip()


def whole_words(text: str) -> str:
    """Returns a text without a last word that may be cut off.

    >>> whole_words("The cat sat o"), whole_words("The"), whole_words("one\\ntwo")
    ('The cat sat', 'The', 'one')
    """
    text = text.strip()
    if not text[-1:].isalnum() or cells(text[-1:]) > 1:
        return text
    last = max(text.rfind(" "), text.rfind("\n"))
    return text[:last].rstrip() if last > 0 and len(text) - last <= LONGEST_WORD else text
