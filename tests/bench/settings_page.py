"""Writes the guide's page of all settings from `charnet/config.py`: python tests/bench/settings_page.py"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import charnet
from charnet.config import DataSettings, ModelSettings, SamplingOptions, TrainingSettings, flags_of
from charnet.limits import options_of

PAGE = Path(charnet.__file__).parent / "guide" / "settings.md"
HEAD = """# Settings

Every setting with its default. On the command line the settings of training are flags (`--hidden-size 512`). In a file
for `--config` and in `config.yaml` they stand in three sections, and `--set model.dropout=0.1` sets any of them. In
Python they are keyword arguments: `charnet.train("book.txt", hidden_size=512)`.
"""
SECTIONS = {
    "model": ("The model", ModelSettings),
    "data": ("The text", DataSettings),
    "training": ("Training", TrainingSettings),
}
SAMPLING = """## Writing

Keyword arguments of `model.generate`, and flags of `charnet sample`. The page Serving lists those that a request to
`charnet serve` may have.
"""


def page() -> str:
    parts = [HEAD]
    for section, (heading, kind) in SECTIONS.items():
        rows = [_row(f"{section}.{name}", *described) for name, described in options_of(kind).items()]
        parts.append(f"## {heading}\n\n| setting | default | what it is |\n|---|---|---|\n" + "".join(rows))
    sampling = options_of(SamplingOptions).items()
    rows = [_row(f"{name}` | `{flags_of(name)[0]}", *described) for name, described in sampling]
    parts.append(f"{SAMPLING}\n| argument | flag | default | what it is |\n|---|---|---|---|\n" + "".join(rows))
    return "\n".join(parts)


def _row(name: str, field: Any, _kind: Any) -> str:
    limits = field.metadata["limits"]
    shown = "auto" if limits.auto and field.default == -1 else field.default
    shown = {(): "none", "": "none"}.get(shown, shown) if isinstance(shown, str | tuple) else shown
    default = f"{shown:,}" if isinstance(shown, int) and not isinstance(shown, bool) else str(shown).lower()
    bounds = f"; {limits}" if limits.choices or limits.high < 1e9 else ""
    what = f"{limits.text}{bounds}".replace("|", "\\|").replace("<", "&lt;")
    return f"| `{name}` | {default} | {what} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
