"""Downloads a file of known size from a server that may send anything: not a byte beyond that size is kept.

No redirect is followed before its kind is known, no packed content is unpacked, and no more is read than is expected.
"""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Callable, Iterator
from typing import IO, Any
from urllib.parse import urljoin

from charnet.errors import StorageError, quoted, shortened
from charnet.signals import time_limit

CHUNK_BYTES = 1 << 18
TIMEOUT_SECONDS = 30  # without a byte from the server
STEP_SECONDS = 300  # for an answer, or for the next chunk: a server may send what is neither, without end
MOST_REDIRECTS = 10
MOST_DIGITS = 18  # of a length

OnRead = Callable[[int, int], object]  # called with the bytes that are there and their total, 0 if that is unknown


def append(file: IO[bytes], url: str, size: int, progress: OnRead) -> None:
    """Downloads the bytes that a file lacks, or all if the server cannot resume.

    Args:
        file: an open file with the bytes of an earlier try; size: the most that it may have at the end.

    Raises:
        StorageError: the server cannot be reached or sends too much. Bytes that may be right stay in the file.
        OSError: the disk refused.
    """
    read = file.seek(0, 2)
    if read > size:
        file.truncate(read := file.seek(0))
    with _response(url, read) as response:
        status = response.status_code
        if status == 416 or (status == 206 and not _starts_at(response, read)):
            file.truncate(0)
            raise StorageError(f"{url}: the file on the server changed after a part was downloaded; try again")
        if status not in (200, 206):
            raise _failure(url, f"the server answers {status}")
        if status == 200:
            file.truncate(read := file.seek(0))  # the server cannot resume and sends the whole file
        expected = _length(response)
        _check_size(file, url, read + expected, size)
        progress(read, total := read + expected if expected else 0)
        for chunk in _chunks(response, url):
            _check_size(file, url, read + len(chunk), size)
            read += file.write(chunk)
            progress(read, total)
    file.flush()


def _check_size(file: IO[bytes], url: str, sent: int, size: int) -> None:
    if sent > size:
        file.truncate(0)
        raise _failure(url, f"the server sends more than the {size:,} bytes of the text")


def _failure(url: str, why: str) -> StorageError:
    return StorageError(f"{url}: cannot be downloaded: {why}; try again, or download it by other means")


@contextlib.contextmanager
def _network(url: str) -> Iterator[None]:
    """Turns every error that a server can cause into a StorageError."""
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    try:
        with time_limit(STEP_SECONDS, idle=True):
            yield
    except (RequestException, HTTPError, http.client.HTTPException, ValueError, TimeoutError) as error:
        raise _failure(url, type(error).__name__) from None


@contextlib.contextmanager
def _response(url: str, read: int) -> Iterator[Any]:
    """Yields the answer to a request for a file from byte `read` on."""
    import requests

    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={read}-"} if read else {})
    with requests.Session() as session:
        # Of a redirect, `requests` would read the whole body, which may have no end.
        session.get_redirect_target = lambda _: None  # type: ignore[assignment, method-assign]
        at = url
        for _ in range(MOST_REDIRECTS):
            with _network(url):
                response = session.get(at, headers=headers, stream=True, timeout=TIMEOUT_SECONDS)
            with contextlib.closing(response):
                if not response.is_redirect:
                    encoding = response.headers.get("Content-Encoding", "identity")
                    if encoding.strip().lower() not in ("identity", ""):
                        raise _failure(url, f"the server packs it, as {quoted(encoding)}, which was not asked for")
                    yield response
                    return
                with _network(url):
                    at = urljoin(at, response.headers["Location"])
        raise _failure(url, f"more than {MOST_REDIRECTS} redirects, the last one to {shortened(at)}")


def _chunks(response: Any, url: str) -> Iterator[bytes]:
    chunks = response.iter_content(CHUNK_BYTES)
    while True:
        with _network(url):
            chunk = next(chunks, b"")
        if not chunk:
            return
        yield chunk


def _starts_at(response: Any, read: int) -> bool:
    """Returns whether a part of the file follows the bytes that were read."""
    return bool(response.headers.get("Content-Range", "").startswith(f"bytes {read}-"))


def _length(response: Any) -> int:
    """Returns the bytes that the server announces; 0 if it does not, or not with a plain number."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else 0
