"""Well-known texts, fetched by name when somebody asks: a URL and a SHA-256 each, checked before anything is kept."""

from __future__ import annotations

import contextlib
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charnet import durable
from charnet.data.cache import cache_folder, writing
from charnet.errors import ConfigError, CorpusError, StorageError, did_you_mean

CHUNK_BYTES = 1 << 18
SECONDS_OF_SILENCE = 30  # until a server is given up

OnRead = Callable[[int, int], object]


@dataclass(frozen=True)
class Dataset:
    """A text that everybody knows. `sha256` is that of what the URL gives; `member` the file in it, if it is a zip."""

    url: str
    sha256: str
    size_bytes: int
    about: str
    member: str = ""


DATASETS = {
    "tiny-shakespeare": Dataset(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        1_115_394,
        "scenes of several plays, the usual small text of char-rnn",
    ),
    "names": Dataset(
        "https://raw.githubusercontent.com/karpathy/makemore/988aa59/names.txt",
        "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
        228_145,
        "32,033 first names, one a line: for --lines",
    ),
    "shakespeare": Dataset(
        "https://cs.stanford.edu/people/karpathy/char-rnn/shakespeare_input.txt",
        "59a0ad62833b2e15ec811c548618876359e902717431236e52699a0e2bc253ca",
        4_573_338,
        "all his plays and poems",
    ),
    "enwik8": Dataset(
        "https://mattmahoney.net/dc/enwik8.zip",
        "547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc",
        100_000_000,
        "English Wikipedia of 2006 as it is, with its markup",
        "enwik8",
    ),
    "text8": Dataset(
        "https://mattmahoney.net/dc/text8.zip",
        "a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
        100_000_000,
        "English Wikipedia of 2006 in nothing but a to z and spaces",
        "text8",
    ),
}


def folder() -> Path:
    """Where fetched texts are kept."""
    return cache_folder() / "texts"


def cached(name: str) -> Path | None:
    """The text of that name, if it was fetched before."""
    path = folder() / f"{name}.txt"
    text = DATASETS.get(name)
    return path if text and path.is_file() and path.stat().st_size == text.size_bytes else None


def fetch(name: str, progress: OnRead = lambda *_: None) -> Path | None:
    """Fetches a text, unless it is there; None if nobody knows it by that name.

    Args:
        progress: told now and then how many bytes are there, and of how many.

    Raises:
        CorpusError: what came is not the text; nothing of it is kept.
        StorageError: the server cannot be reached, or the disk refused. What came is kept, and gone on from next time
            if the server can do that.
    """
    if name not in DATASETS or (path := cached(name)):
        return path if name in DATASETS else None
    text, path = DATASETS[name], folder() / f"{name}.txt"
    with writing():
        durable.make_folders(folder())
        fetched = _fetched(name, text, progress)
        if text.member:
            _unzip(fetched, text, path)
            fetched.unlink()
        else:
            durable.sync(fetched)
            fetched.replace(path)
        durable.sync_folder(folder())
    return path


def check_name(name: str) -> None:
    """Raises ConfigError unless there is a known text of that name."""
    if name not in DATASETS:
        raise ConfigError(
            f'there is no known text "{name[:40]}"{did_you_mean(name[:40], DATASETS)}; '
            f"known are {', '.join(DATASETS)}; download any other text yourself and train on its file"
        )


def _fetched(name: str, text: Dataset, progress: OnRead) -> Path:
    """What the URL gives, checked, beside its place."""
    import pooch  # type: ignore[import-untyped]
    from requests import RequestException

    pooch.get_logger().setLevel("ERROR")

    def download(url: str, output_file: str, _: Any) -> None:
        _download(url, Path(output_file), folder() / f"{name}.fetching", progress)

    try:
        return Path(pooch.retrieve(text.url, f"sha256:{text.sha256}", f"{name}.fetched", folder(), downloader=download))
    except RequestException as error:
        why = type(error).__name__ if error.response is None else f"it says {error.response.status_code}"
        raise StorageError(f"{text.url}: cannot be fetched: {why}; try again, or fetch it by other means") from None
    except ValueError as error:
        if "hash" not in str(error):
            raise
        raise CorpusError(
            f"{text.url}: expected the text with SHA-256 {text.sha256[:12]}..., found another; nothing is kept"
        ) from None


def _download(url: str, to: Path, part: Path, progress: OnRead) -> None:
    """Fetches a file, going on from what an earlier try left in `part`."""
    import requests

    with part.open("ab") as file:
        if not durable.try_lock(file.fileno()):
            raise StorageError(f"{part}: another charnet is fetching this; wait for it")
        begun = file.tell()
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begun}-"} if begun else {})
        with requests.get(url, headers=headers, stream=True, timeout=SECONDS_OF_SILENCE) as response:
            if not _goes_on(response, begun):
                file.truncate(0)
                raise StorageError(f"{url}: what was fetched before does not fit any more; try again")
            response.raise_for_status()
            if response.status_code != requests.codes.partial_content:
                file.truncate(0)  # the server begins anew
                begun = 0
            expected = int(response.headers.get("Content-Length", 0))
            total = begun + expected if expected else 0
            progress(begun, total)
            for chunk in response.iter_content(CHUNK_BYTES):
                begun += file.write(chunk)
                progress(begun, total)
        file.flush()
        part.replace(to)


def _goes_on(response: Any, begun: int) -> bool:
    """Whether what a server sends, if it is a part, is the one that was asked for."""
    from requests import codes

    if response.status_code == codes.partial_content:
        return bool(response.headers.get("Content-Range", "").startswith(f"bytes {begun}-"))
    return bool(response.status_code != codes.requested_range_not_satisfiable)


def _unzip(packed: Path, text: Dataset, to: Path) -> None:
    try:
        with (
            zipfile.ZipFile(packed) as archive,
            archive.open(text.member) as member,
            durable.writing_aside(to.parent, to.name) as (file, aside),
        ):
            shutil.copyfileobj(member, file, CHUNK_BYTES)
            file.flush()
            os.fsync(file.fileno())
            aside.replace(to)
    except (zipfile.BadZipFile, KeyError) as error:
        with contextlib.suppress(OSError):
            packed.unlink()
        raise CorpusError(f"{text.url}: expected {text.member} in it, found {error}; nothing is kept") from None
