"""Runs the guide's notebook, and writes it with its new outputs: python tests/bench/first_hour.py [FILE]

Without a FILE the notebook of the guide itself is written. Needs pip install '.[notebook]'.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import charnet

NOTEBOOK = Path(charnet.__file__).parent / "guide" / "first-hour.ipynb"
LONGEST_CELL = 300  # seconds


def executed(notebook: Any, folder: Path) -> Any:
    """Returns the notebook after all its cells have run in a folder."""
    from nbclient import NotebookClient

    NotebookClient(notebook, timeout=LONGEST_CELL, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def stripped(notebook: Any, folder: Path) -> Any:
    """Returns the notebook without times and paths of this machine."""
    for number, cell in enumerate(notebook.cells, 1):
        cell.id, cell.metadata = f"cell-{number}", {}
        for output in cell.get("outputs", []):
            output.get("metadata", {}).clear()
            output.pop("transient", None)
            for kind, text in output.get("data", {}).items():
                output.data[kind] = text.replace(str(folder), ".")
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def main(target: Path) -> None:
    import nbformat

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["CHARNET_CACHE"] = str(folder / "cache")
        notebook = executed(nbformat.read(NOTEBOOK, as_version=4), folder)
        nbformat.write(stripped(notebook, folder), target)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else NOTEBOOK)
