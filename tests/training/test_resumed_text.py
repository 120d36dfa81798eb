"""Which text a resumed run reads."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from charnet.config import Config, DataSettings
from charnet.data import corpus
from charnet.errors import CorpusError
from charnet.training import resume


@pytest.mark.parametrize(
    ("text", "is_same"), [("Plain Text\n" * 9, True), ("ΟΔΟΣ ς\n" * 9, False), ("İ i\n" * 9, False)]
)
def test_a_text_in_lower_case_is_resumed_from_an_older_version_unless_it_changed(
    text: str, is_same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text(text)
    data = DataSettings(paths=(str(tmp_path / "a.txt"),), lowercase=True)
    with monkeypatch.context() as older:
        older.setattr(corpus, "CASING_VERSION", 1)
        older.setattr("charnet.data.normalize._lower", lambda text: text.replace("Σ", "σ").lower())
        before = corpus.read(data.paths, data)
    run: Any = SimpleNamespace(vocab=before.vocab, corpus=before)
    if is_same:
        assert (
            resume._read(run, Config(data=data), lambda *_: None, continue_text=False, is_named=False).ids == before.ids
        ).all()
    else:
        with pytest.raises(CorpusError, match="this version writes ς and İ in lower case as Unicode does"):
            resume._read(run, Config(data=data), lambda *_: None, continue_text=False, is_named=False)
