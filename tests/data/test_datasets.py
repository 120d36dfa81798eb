"""Known texts, fetched from a server on this machine."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import io
import os
import re
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from charnet.cli.app import run
from charnet.data import corpus, datasets, download
from charnet.data.sources import find
from charnet.errors import ConfigError, CorpusError, StorageError

TEXT = b"to be, or not to be\n" * 5000


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `files`; resumes where a client asks for it if `ranges`, or `shifted` from there; breaks off after so many
    bytes."""

    files: dict[str, bytes]
    asked: list[str]
    ranges, breaks_after, shifted = True, 10**9, 0

    def do_GET(self) -> None:
        raw = type(self).files.get(self.path)
        type(self).asked.append(self.headers.get("Range", ""))
        assert self.headers["Accept-Encoding"] == "identity"  # or a part would be one of another file
        if raw is None:
            self.send_error(404)
            return
        first = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if self.ranges else None
        begin = int(first[1]) if first else 0
        self.send_response(206 if first else 200)
        if first:
            begin += self.shifted
            self.send_header("Content-Range", f"bytes {begin}-{len(raw) - 1}/{len(raw)}")
        self.send_header("Content-Length", str(len(raw) - begin))
        self.end_headers()
        self.wfile.write(raw[begin : begin + self.breaks_after])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Server]]:
    monkeypatch.setenv("CHARNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    class Own(Server):
        files, asked = dict[str, bytes](), list[str]()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Own) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()

        def text(name: str, raw: bytes, member: str = "", sha256: str = "") -> None:
            Own.files[f"/{name}"] = raw
            digest = sha256 or hashlib.sha256(raw).hexdigest()
            url = f"http://127.0.0.1:{listening.server_port}/{name}"
            monkeypatch.setitem(datasets.DATASETS, name, datasets.Dataset(url, digest, len(TEXT), "a text", member))

        Own.text = staticmethod(text)  # type: ignore[attr-defined]
        text("play", TEXT)
        yield Own
        listening.shutdown()


def left() -> list[str]:
    return sorted(path.name for path in datasets.folder().iterdir())


def test_a_known_text_is_fetched_once(server: type[Server]) -> None:
    reported: list[tuple[int, int]] = []
    path = datasets.fetch("play", lambda *both: reported.append(both))
    assert path is not None
    assert path.read_bytes() == TEXT
    assert reported[-1] == (len(TEXT), len(TEXT))
    assert datasets.fetch("play") == path
    assert (len(server.asked), left()) == (1, ["play.txt"])


def test_another_text_is_refused_and_deleted(server: type[Server]) -> None:
    server.text("play", b"something else", sha256=hashlib.sha256(TEXT).hexdigest())  # type: ignore[attr-defined]
    with pytest.raises(CorpusError, match=r"expected the text with SHA-256 .* found another; it was deleted"):
        datasets.fetch("play")
    assert left() == []


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_was_broken_off_is_resumed_if_the_server_can(
    server: type[Server], monkeypatch: pytest.MonkeyPatch, ranges: bool
) -> None:
    monkeypatch.setattr(download, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(server, "ranges", ranges)
    monkeypatch.setattr(server, "breaks_after", 30_000)
    with pytest.raises(StorageError, match="cannot be downloaded"):
        datasets.fetch("play")
    assert left() == ["play.fetching"]
    monkeypatch.setattr(server, "breaks_after", 10**9)
    path = datasets.fetch("play")
    assert path is not None
    assert path.read_bytes() == TEXT
    assert server.asked[1] == "bytes=30000-"
    assert left() == ["play.txt"]


def test_a_part_that_was_not_asked_for_is_not_joined(server: type[Server], monkeypatch: pytest.MonkeyPatch) -> None:
    datasets.folder().mkdir(parents=True)
    (datasets.folder() / "play.fetching").write_bytes(TEXT[:30_000])
    monkeypatch.setattr(server, "shifted", 20)
    with pytest.raises(StorageError, match="changed after a part was downloaded; try again"):
        datasets.fetch("play")
    path = datasets.fetch("play")
    assert path is not None
    assert path.read_bytes() == TEXT
    assert server.asked == ["bytes=30000-", ""]


def test_what_was_fetched_outlasts_a_server_that_fails_for_a_while(server: type[Server]) -> None:
    datasets.folder().mkdir(parents=True)
    (datasets.folder() / "play.fetching").write_bytes(TEXT[:30_000])
    server.files.clear()
    with pytest.raises(StorageError, match="the server answers 404"):
        datasets.fetch("play")
    server.files["/play"] = TEXT
    datasets.fetch("play")
    assert server.asked == ["bytes=30000-"] * 2


def test_a_text_in_a_zip_is_taken_out_of_it(server: type[Server]) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("inside", TEXT)
    server.text("packed", packed.getvalue(), "inside")  # type: ignore[attr-defined]
    path = datasets.fetch("packed")
    assert path is not None
    assert (path.read_bytes(), left()) == (TEXT, ["packed.txt"])


def test_a_server_that_lacks_the_text_is_an_error_in_one_line(
    server: type[Server], capsys: pytest.CaptureFixture[str]
) -> None:
    server.files.clear()
    assert run(["corpus", "get", "play"]) == 6
    assert "cannot be downloaded: the server answers 404;" in capsys.readouterr().err


def test_an_unknown_name_is_refused_with_those_like_it(server: type[Server]) -> None:
    del server
    with pytest.raises(ConfigError, match=r'did you mean "tiny-shakespeare"'):
        datasets.check_name("tiny-shakespear")
    with pytest.raises(
        ConfigError, match=r'no known text "war-and-peace"; the known texts are ferry-book, zh, tiny-.* train on '
    ):
        datasets.check_name("war-and-peace")


def test_each_known_text_has_a_whole_sum_and_its_size() -> None:
    for text in datasets.DATASETS.values():
        assert re.fullmatch("[0-9a-f]{64}", text.sha256)
        assert text.size_bytes > 200_000
        assert text.url.startswith("https://")


def test_the_name_of_a_known_text_stands_for_it_where_there_is_no_such_file(server: type[Server]) -> None:
    found = corpus.read(["play"])
    assert found.size_bytes == len(TEXT)
    assert re.fullmatch(r"play is .*play\.txt, from http://.*/play", found.notes[0])
    Path("play").write_text("my own")
    assert corpus.read(["play"]).size_bytes == 6
    assert len(server.asked) == 1


def test_nothing_is_fetched_unless_it_is_asked_for(server: type[Server]) -> None:
    with pytest.raises(CorpusError, match="no such file"):
        find(["play"])
    assert run(["corpus", "list"]) == 0
    assert server.asked == []


def test_a_training_by_name_can_be_resumed(server: type[Server], capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--hidden-size", "4", "--batch-size", "2", "--window", "4", "--threads", "1", "-q"]
    assert run(["train", "play", "--steps", "2", *small]) == 0
    assert run(["train", "--resume", "checkpoints/play", "--steps", "3", "-q"]) == 0
    assert run(["inspect", "checkpoints/play", "--verify"]) == 0
    assert len(server.asked) == 1
    capsys.readouterr()


# ------------------------------------------------------------------------------------------------- a hostile server


class Hostile(http.server.BaseHTTPRequestHandler):
    """Answers with `status`, `headers` and `body` again and again, until the client has had enough or `most` bytes."""

    headers_sent: dict[str, str]
    status, body, most, sent = 200, b"", 1 << 24, 0

    def do_GET(self) -> None:
        own = type(self)
        self.wfile.write(f"HTTP/1.1 {own.status} x\r\n".encode())
        for name, value in own.headers_sent.items():
            self.wfile.write(f"{name}: {value}\r\n".encode())
        self.wfile.write(b"\r\n")
        with contextlib.suppress(OSError):
            while own.body and own.sent < own.most:
                own.sent += self.wfile.write(own.body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hostile]]:
    monkeypatch.setenv("CHARNET_CACHE", str(tmp_path / "cache"))

    class Own(Hostile):
        pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Own) as listening:
        monkeypatch.setattr(listening, "handle_error", lambda *_: None)  # the client hangs up
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{listening.server_port}/play"
        digest = hashlib.sha256(TEXT).hexdigest()
        monkeypatch.setitem(datasets.DATASETS, "play", datasets.Dataset(url, digest, len(TEXT), "a text"))
        yield Own
        listening.shutdown()


CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
HOSTILE: dict[str, tuple[int, dict[str, str], bytes, str]] = {
    "an endless body": (200, {}, bytes(1 << 16), "sends more than the 100,000 bytes"),
    "an endless body in chunks": (200, {"Transfer-Encoding": "chunked"}, CHUNK, "sends more than the 100,000 bytes"),
    "a large length": (200, {"Content-Length": "100001"}, b"x", "sends more than the 100,000 bytes"),
    "a length that is no number": (200, {"Content-Length": "abc"}, bytes(1 << 16), "sends more than"),
    "a negative length": (200, {"Content-Length": "-5"}, bytes(1 << 16), "sends more than"),
    "a length of 5,000 digits": (200, {"Content-Length": "9" * 5000}, bytes(1 << 16), "cannot be downloaded"),
    "two lengths": (200, {"Content-Length": "5, 6"}, bytes(1 << 16), "cannot be downloaded"),
    "a packed bomb": (200, {"Content-Encoding": "gzip"}, gzip.compress(bytes(1 << 20)), 'packs it, as "gzip"'),
    "a line of chunks without an end": (200, {"Transfer-Encoding": "chunked"}, b"1" * 100, "cannot be downloaded"),
    "an endless header": (200, {f"X-{i}": "x" for i in range(200)}, b"", "cannot be downloaded"),
    "a redirect to no address": (302, {"Location": "http://["}, b"", "cannot be downloaded: ValueError"),
    "a redirect to no port": (302, {"Location": "http://a:b/"}, b"", "cannot be downloaded"),
    "a redirect to a file": (302, {"Location": "file:///etc/passwd"}, b"", "cannot be downloaded: InvalidSchema"),
    "a redirect to itself": (302, {"Location": "/play"}, b"", "more than 10 redirects"),
    "a redirect with an endless body": (302, {"Location": "http://["}, bytes(1 << 16), "cannot be downloaded"),
    "a redirect of control characters": (302, {"Location": "\x1b]0;x\x07"}, b"", "cannot be downloaded"),
    "a redirect without a target": (302, {}, b"", "the server answers 302"),
    "a part that was not asked for": (206, {"Content-Range": "bytes 5-9/10"}, b"", "changed after a part"),
    "nothing more": (204, {}, b"", "the server answers 204"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_server_ends_in_a_line_and_little_is_read(
    hostile: type[Hostile], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile.status, hostile.headers_sent, hostile.body, said = HOSTILE[kind]
    assert run(["corpus", "get", "play"]) == 6
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert err.strip().isprintable()
    assert hostile.sent < hostile.most
    assert [path.stat().st_size for path in datasets.folder().iterdir()] == [0]


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "device"])
def test_a_download_writes_to_no_file_but_its_own(server: type[Server], tmp_path: Path, kind: str) -> None:
    outside, part = tmp_path / "outside", datasets.folder() / "play.fetching"
    outside.write_bytes(b"mine")
    part.parent.mkdir(parents=True)
    make: dict[str, Callable[[], object]] = {
        "link": lambda: part.symlink_to(outside),
        "hard link": lambda: part.hardlink_to(outside),
        "pipe": lambda: os.mkfifo(part),
        "device": lambda: part.symlink_to("/dev/full"),
    }
    make[kind]()
    path = datasets.fetch("play")
    assert path is not None
    assert (path.read_bytes(), outside.read_bytes(), left()) == (TEXT, b"mine", ["play.txt"])
    assert server.asked == [""]


@pytest.mark.parametrize("kind", ["another text", "link", "pipe"])
def test_what_only_has_the_name_of_a_dataset_is_fetched_again(server: type[Server], tmp_path: Path, kind: str) -> None:
    path = datasets.folder() / "play.txt"
    path.parent.mkdir(parents=True)
    (tmp_path / "outside").write_bytes(TEXT)
    make: dict[str, Callable[[], object]] = {
        "another text": lambda: path.write_bytes(bytes(len(TEXT))),
        "link": lambda: path.symlink_to(tmp_path / "outside"),
        "pipe": lambda: os.mkfifo(path),
    }
    make[kind]()
    assert datasets.cached("play") is None
    datasets.fetch("play")
    assert (path.read_bytes(), path.is_symlink(), len(server.asked)) == (TEXT, False, 1)


def test_what_a_killed_fetch_leaves_is_used_or_cleaned(server: type[Server]) -> None:
    datasets.folder().mkdir(parents=True)
    for name in ("play.fetching", "play.txt.0123abcd.part"):
        (datasets.folder() / name).write_bytes(TEXT)
    Path("own.txt").write_text("my own")
    corpus.read(["own.txt"])
    assert left() == ["play.fetching"]
    datasets.fetch("play")
    (datasets.folder() / "play.fetching").write_bytes(TEXT)
    datasets.fetch("play")
    assert (left(), server.asked) == (["play.txt"], [])


@pytest.mark.parametrize(
    ("head", "endless"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: a\r\n"),
    ],
    ids=["continue", "trailers"],
)
def test_a_server_that_sends_nothing_of_the_text_without_end_is_left(
    head: bytes, endless: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "STEP_SECONDS", 0.2)

    def answer(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(1 << 16)
            connection.sendall(head)
            while True:
                connection.sendall(endless * 1000)

    with socket.create_server(("127.0.0.1", 0)) as listening, (tmp_path / "part").open("wb+") as part:
        thread = threading.Thread(target=answer, args=(listening,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        with pytest.raises(StorageError, match="cannot be downloaded"):
            download.append(part, url, 100, lambda *_: None)
        thread.join()
