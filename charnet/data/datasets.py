"""Texts that are known by name: those that come with charnet, and well-known ones that are downloaded.

Each of the latter has a URL and a SHA-256, which is checked before use.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import zipfile
from dataclasses import dataclass
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import IO, TYPE_CHECKING

from charnet import durable, regular_file
from charnet.data import bundled
from charnet.errors import ConfigError, CorpusError, StorageError, did_you_mean

if TYPE_CHECKING:
    from charnet.data.download import OnRead

ZIP_BYTES = 1 << 16  # that a zip may be larger than the text in it


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
    from charnet.data.cache import TEXTS, cache_folder  # imported here: the names of the texts need no NumPy

    return cache_folder() / TEXTS


def names() -> list[str]:
    """Returns the names of all known texts, those that come with charnet first."""
    return [*bundled.TEXTS, *DATASETS]


def is_known(name: str) -> bool:
    """Returns whether there is a known text of that name."""
    return name in bundled.TEXTS or name in DATASETS


def cached(name: str) -> Path | None:
    """Returns the path of a known text that comes with charnet or was downloaded before, else None.

    The SHA-256 of a download is checked, unless it came in a zip: then its size.

    Raises:
        CorpusError: a text that comes with charnet is missing.
    """
    if name in bundled.TEXTS:
        return bundled.path_of(name)
    path, dataset = folder() / f"{name}.txt", DATASETS.get(name)
    status = regular_file.status(path)
    if dataset is None or status is None or status.st_size != dataset.size_bytes:
        return None
    with contextlib.suppress(OSError), regular_file.open_regular(path, follow=False) as file:
        return path if dataset.member or _digest(file) == dataset.sha256 else None
    return None


def _digest(file: BufferedReader | BufferedRandom) -> str:
    """Returns the SHA-256 of a whole file."""
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


def file_of(name: str) -> str:
    """Returns the path of a known text that is here, unless there is a file of that name; else the name itself."""
    return name if os.path.exists(name) else str(cached(name) or name)


def fetch(name: str, progress: OnRead = lambda *_: None) -> Path | None:
    """Returns the path of a known text, downloaded if need be, or None if there is none of that name.

    Args:
        progress: called now and then with the bytes that are there, and with their total (0 if it is unknown).

    Raises:
        CorpusError: the download is another text; it is deleted. Or a text that comes with charnet is missing.
        StorageError: the server cannot be reached or sends too much, or the disk refused. The next call resumes the
            download, if the server supports that.
    """
    if name not in DATASETS:
        return cached(name)
    from charnet.data import download
    from charnet.data.cache import cache_folder, writing

    dataset, path, part = DATASETS[name], folder() / f"{name}.txt", folder() / f"{name}.fetching"
    if cached(name):
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)  # of a process that was killed at its end
        return path
    with writing(cache_folder()):
        durable.make_folders(folder())
        with regular_file.open_own(part) as file:
            if durable.try_lock(file.fileno()) is False:
                raise StorageError(f"{part}: another charnet is downloading this; wait for it")
            if _digest(file) != dataset.sha256:  # else a process was killed that had read all
                most = dataset.size_bytes + (ZIP_BYTES if dataset.member else 0)
                download.append(file, dataset.url, most, progress)
            if _digest(file) != dataset.sha256:
                part.unlink(missing_ok=True)
                raise CorpusError(
                    f"{dataset.url}: expected the text with SHA-256 {dataset.sha256[:12]}..., found another; it was "
                    "deleted: try again later, or train on a file of your own"
                )
            if dataset.member:
                _unzip(file, part, dataset, path)
            else:
                os.fsync(file.fileno())
                part.replace(path)
        durable.sync_folder(folder())
    return path


def check_name(name: str) -> None:
    """Raises ConfigError unless there is a known text of that name."""
    if not is_known(name):
        raise ConfigError(
            f'there is no known text "{name[:40]}"{did_you_mean(name[:40], names())}; '
            f"the known texts are {', '.join(names())}; download any other text yourself and train on its file"
        )


def _unzip(packed: IO[bytes], part: Path, dataset: Dataset, to: Path) -> None:
    """Takes the text out of a zip, which is deleted."""
    from charnet.data.download import CHUNK_BYTES

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
        raise CorpusError(
            f"{dataset.url}: expected a zip with {dataset.member} in it, found {error}; it was deleted: try again later"
        ) from None
    finally:
        part.unlink(missing_ok=True)
