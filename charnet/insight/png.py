"""Draws figures as PNG with matplotlib, for papers and slides."""

from __future__ import annotations

from io import BytesIO

from charnet.errors import ConfigError
from charnet.insight.figures import Figure
from charnet.insight.svg import Line, Panel, color

INCHES, DOTS_PER_INCH = (5.0, 3.4), 160  # of a panel


def check_installed() -> None:
    """Raises ConfigError if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ConfigError("--png needs matplotlib: pip install 'charnet[plot]', or write a page with -o") from None


def to_png(figure: Figure) -> bytes:
    """Returns a figure as PNG, its panels side by side."""
    from matplotlib.figure import Figure as Canvas  # without pyplot: no window, no state

    width, height = INCHES
    canvas = Canvas(figsize=(width * len(figure.panels), height), dpi=DOTS_PER_INCH, layout="constrained")
    for axes, panel in zip(canvas.subplots(1, len(figure.panels), squeeze=False)[0], figure.panels, strict=True):
        _draw(axes, panel, figure.y_label)
    content = BytesIO()
    canvas.savefig(content, format="png", metadata={"Description": figure.description})
    return content.getvalue()


def _draw(axes: object, panel: Panel, y_label: str) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    for number, line in enumerate(panel.lines):
        shade = color(line, number)
        if panel.bars:
            _bars(axes, panel, line, number, shade)
        else:
            axes.plot(line.x, line.y, color=shade, label=line.name)
            if line.low and line.high:
                axes.fill_between(line.x, line.low, line.high, color=shade, alpha=0.15, linewidth=0)
    axes.set(title=panel.title, xlabel=panel.x_label, ylabel=y_label)
    if panel.log_x:
        axes.set_xscale("log", base=panel.log_x)
        axes.xaxis.set_major_formatter("{x:g}")
    if panel.log_y:
        axes.set_yscale("log", base=panel.log_y)
    if panel.range_y:
        axes.set_ylim(*panel.range_y)
    if panel.names:
        axes.set_xticks(range(1, len(panel.names) + 1), panel.names)
    if len(panel.lines) > 1:
        axes.legend()


def _bars(axes: object, panel: Panel, line: Line, number: int, shade: str) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    share = 0.8 / len(panel.lines)
    shift = (number - (len(panel.lines) - 1) / 2) * share
    step = line.x[1] / line.x[0] if panel.log_x and len(line.x) > 1 else 2.0
    at = [x * step**shift if panel.log_x else x + shift for x in line.x]
    widths = [x * (step ** (share / 2) - step ** (-share / 2)) if panel.log_x else share for x in at]
    axes.bar(at, line.y, widths, color=shade, label=line.name)
