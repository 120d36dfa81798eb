"""`charnet export --html`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from charnet.cli import console
from charnet.cli.receipts import stored_name
from charnet.cli.whole_lines import for_documents
from charnet.config import SamplingOptions
from charnet.exchange import page
from charnet.storage.checkpoint import Checkpoint


def write_page(model: Checkpoint, name: str, path: Path, target: Path, compressed: Path | None) -> None:
    """Writes the page, and says what takes how many bytes in it.

    Args:
        name: of the run.
        path: of the checkpoint.
        compressed: a text that the page restores.

    Raises:
        CharnetError: as `page.write` says.
    """
    members, options = model.config.model.members, SamplingOptions()
    if model.vocab.document_end is not None:
        options = for_documents(options, 0, None)
    about: dict[str, Any] = {"name": name, "stored_name": stored_name(path), "options": options}
    made = page.write(model, target, compressed=compressed, **about)
    parts = {"weights": made.networks, "n-gram": made.ngram, "compressed text": made.compressed}
    kilobytes = {part: size * 4 / 3 / 1000 for part, size in parts.items() if size}  # in base64
    listed = ", ".join(f"{part} {size:,.0f} kB" for part, size in kilobytes.items())
    rest = made.size / 1000 - sum(kilobytes.values())
    console.note(f"{made.size / 1000:,.0f} kB: {listed}, the rest {rest:,.0f} kB; open it in any browser")
    if members > 1:
        console.note(f"{members} networks: {members} times the weights of one, and each character takes as much longer")
    if model.ngram_share:
        console.note("the n-gram in it holds pieces of the training text, word for word")
