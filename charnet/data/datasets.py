"""Well-known texts that can be downloaded by name. Each has a URL and a SHA-256, which is checked before use."""

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
TIMEOUT_SECONDS = 30  # without a byte from the server

OnRead = Callable[[int, int], object]


@dataclass(frozen=True)
class Dataset:
    """A well-known text. `sha256` is that of the file at the URL; if that is a zip, `member` is the text in it."""

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
        "32,033 first names, one a line: charnet train names --lines",
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
    """Returns the folder of the downloaded texts."""
    return cache_folder() / "texts"


def cached(name: str) -> Path | None:
    """Returns the path of a dataset that was downloaded before, else None."""
    path = folder() / f"{name}.txt"
    dataset = DATASETS.get(name)
    return path if dataset and path.is_file() and path.stat().st_size == dataset.size_bytes else None


def fetch(name: str, progress: OnRead = lambda *_: None) -> Path | None:
    """Downloads a dataset, unless the cache has it. Returns None if there is no dataset of that name.

    Args:
        progress: called now and then with the bytes that are there, and with their total (0 if it is unknown).

    Raises:
        CorpusError: the download is another text; it is deleted.
        StorageError: the server cannot be reached, or the disk refused. The next call resumes the download, if the
            server supports that.
    """
    if name not in DATASETS or (path := cached(name)):
        return path if name in DATASETS else None
    dataset, path = DATASETS[name], folder() / f"{name}.txt"
    with writing():
        durable.make_folders(folder())
        download = _retrieve(name, dataset, progress)
        if dataset.member:
            _unzip(download, dataset, path)
            download.unlink()
        else:
            durable.sync(download)
            download.replace(path)
        durable.sync_folder(folder())
    return path


def check_name(name: str) -> None:
    """Raises ConfigError unless there is a dataset of that name."""
    if name not in DATASETS:
        raise ConfigError(
            f'there is no known text "{name[:40]}"{did_you_mean(name[:40], DATASETS)}; '
            f"the known texts are {', '.join(DATASETS)}; download any other text yourself and train on its file"
        )


def _retrieve(name: str, dataset: Dataset, progress: OnRead) -> Path:
    """Downloads the file at the URL and checks its SHA-256. Returns its path."""
    import pooch  # type: ignore[import-untyped]
    from requests import RequestException

    pooch.get_logger().setLevel("ERROR")

    def download(url: str, output_file: str, _: Any) -> None:
        _download(url, Path(output_file), folder() / f"{name}.fetching", progress)

    try:
        known_hash, name_of_file = f"sha256:{dataset.sha256}", f"{name}.fetched"
        return Path(pooch.retrieve(dataset.url, known_hash, name_of_file, folder(), downloader=download))
    except RequestException as error:
        why = type(error).__name__ if error.response is None else f"the server answers {error.response.status_code}"
        raise StorageError(
            f"{dataset.url}: cannot be downloaded: {why}; try again, or download it by other means"
        ) from None
    except ValueError as error:
        if "hash" not in str(error):
            raise
        raise CorpusError(
            f"{dataset.url}: expected the text with SHA-256 {dataset.sha256[:12]}..., found another; it was deleted: "
            "try again later, or train on a file of your own"
        ) from None


def _download(url: str, to: Path, part: Path, progress: OnRead) -> None:
    """Downloads a file; resumes from the bytes that an earlier try left in `part`."""
    import requests

    with part.open("ab") as file:
        if not durable.try_lock(file.fileno()):
            raise StorageError(f"{part}: another charnet is downloading this; wait for it")
        read = file.tell()
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={read}-"} if read else {})
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
            if not _fits(response, read):
                file.truncate(0)
                raise StorageError(f"{url}: the file on the server changed after a part was downloaded; try again")
            response.raise_for_status()
            if response.status_code != requests.codes.partial_content:
                file.truncate(0)  # the server cannot resume and sends the whole file
                read = 0
            expected = int(response.headers.get("Content-Length", 0))
            total = read + expected if expected else 0
            progress(read, total)
            for chunk in response.iter_content(CHUNK_BYTES):
                read += file.write(chunk)
                progress(read, total)
        file.flush()
        part.replace(to)


def _fits(response: Any, read: int) -> bool:
    """Returns whether a response is the whole file, or the part that follows the bytes that were read."""
    from requests import codes

    if response.status_code == codes.partial_content:
        return bool(response.headers.get("Content-Range", "").startswith(f"bytes {read}-"))
    return bool(response.status_code != codes.requested_range_not_satisfiable)


def _unzip(packed: Path, dataset: Dataset, to: Path) -> None:
    try:
        with (
            zipfile.ZipFile(packed) as archive,
            archive.open(dataset.member) as member,
            durable.writing_aside(to.parent, to.name) as (file, aside),
        ):
            shutil.copyfileobj(member, file, CHUNK_BYTES)
            file.flush()
            os.fsync(file.fileno())
            aside.replace(to)
    except (zipfile.BadZipFile, KeyError) as error:
        with contextlib.suppress(OSError):
            packed.unlink()
        raise CorpusError(
            f"{dataset.url}: expected a zip with {dataset.member} in it, found {error}; it was deleted: try again later"
        ) from None
