"""What is taken as a request, and who may ask: strictly by the grammar, Host first."""

from __future__ import annotations

import pytest

from charnet.errors import ConfigError
from charnet.server.access import Access, check_allowed
from charnet.server.http import LARGEST_HEAD, ApiError, check_beginning, parse_head

GOOD = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12"


def status_of(raw: bytes) -> int:
    with pytest.raises(ApiError) as caught:
        parse_head(raw)
    assert caught.value.ends
    return caught.value.status


def test_a_head_is_parsed() -> None:
    head = parse_head(GOOD + b"\r\nX-Odd:  two words \t\r\nx-odd: three\r\nExpect: 100-continue")
    assert (head.method, head.path, head.length) == ("POST", "/v1/completions", 12)
    assert head.headers["x-odd"] == "two words, three"
    assert head.keeps_alive
    assert head.expects_continue
    assert not parse_head(GOOD.replace(b"1.1", b"1.0")).keeps_alive
    assert not parse_head(GOOD + b"\r\nConnection: Close").keeps_alive
    assert parse_head(b"GET /a?b=c HTTP/1.1\r\nHost: x").path == "/a"


MALFORMED = [
    (b"", 400),
    (b"GET", 400),
    (b"GET /", 400),
    (b"GET / HTTP/1.1 ", 400),
    (b" GET / HTTP/1.1", 400),
    (b"GET  / HTTP/1.1", 400),
    (b"get / HTTP/1.1", 400),
    (b"GET / http/1.1", 400),
    (b"GET / HTTP/2", 400),
    (b"GET / HTTP/1.2", 400),
    (b"GET / HTTP/0.9", 400),
    (b"GET http://localhost/ HTTP/1.1", 400),
    (b"CONNECT localhost:80 HTTP/1.1", 400),
    (b"GET /\x00 HTTP/1.1", 400),
    (b"GET /\xc3\xa9 HTTP/1.1", 400),
    (b"GET /" + b"a" * 9000 + b" HTTP/1.1", 400),
    (b"\x16\x03\x01\x02\x00", 400),
    (b"A" * 17 + b" / HTTP/1.1", 400),
    *(
        (GOOD + more, status)
        for more, status in [
            (b"\r\nContent-Length: 12", 400),
            (b"\r\nContent-Length: 13", 400),
            (b"\r\nTransfer-Encoding: chunked", 400),
            (b"\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip", 400),
            (b"\r\nHost: evil.com", 400),
            (b"\r\n folded: x", 400),
            (b"\r\n\tfolded", 400),
            (b"\r\nno colon", 400),
            (b"\r\n: empty", 400),
            (b"\r\nA B: x", 400),
            (b"\r\nA : x", 400),
            (b"\r\nA\x00: x", 400),
            (b"\r\nA: x\x00", 400),
            (b"\r\nA: \x7f", 400),
            (b"\nA: bare", 400),
            (b"\r\nA: x\ny", 400),
            (b"\r\nA: x\ry", 400),
            (b"\r\nA\xe9: x", 400),
            (b"\r\nExpect: 200-ok", 417),
            (b"".join(b"\r\nA%d: x" % n for n in range(70)), 431),
            (b"\r\nA: " + b"x" * LARGEST_HEAD, 431),
            (b"\r\nOrigin: a\r\nOrigin: b", 400),
            (b"\r\nAuthorization: a\r\nAuthorization: b", 400),
            (b"\r\nContent-Type: a\r\ncontent-type: b", 400),
        ]
    ),
    *(
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + length, status)
        for length, status in [
            (b"-1", 400),
            (b"+1", 400),
            (b"1e3", 400),
            (b"0x10", 400),
            (b"1 2", 400),
            (b"", 400),
            (b"1,1", 400),
            (b"9" * 18, 413),
            (b"9" * 30, 400),
            (b"1048577", 413),
            ("１".encode(), 400),
        ]
    ),
    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked", 411),
    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity", 411),
]


@pytest.mark.parametrize(("raw", "status"), MALFORMED)
def test_a_malformed_head_is_refused(raw: bytes, status: int) -> None:
    assert status_of(raw) == status


@pytest.mark.parametrize(
    "raw", [b"GET / HTTP/1.1\nHost: x\n\n", b"GET /\x00", b"\x80" * 9 + b"\x01", b"G\rE", b"x" * 20_000]
)
def test_what_can_no_longer_become_a_head_is_refused_before_its_end(raw: bytes) -> None:
    with pytest.raises(ApiError):
        check_beginning(raw)
    check_beginning(GOOD + b"\r")  # half of a line end


HOSTS = {
    200: [
        "localhost",
        "LOCALHOST",
        "localhost:8765",
        "localhost:1",
        "127.0.0.1",
        "127.0.0.1:8765",
        "[::1]",
        "[::1]:8765",
    ],
    421: [
        "evil.com",
        "evil.com:8765",
        "localhost.evil.com",
        "evil.localhost",
        "127.0.0.1.nip.io",
        "127.0.0.2",
        "127.1",
        "0.0.0.0",
        "0",
        "2130706433",
        "0x7f000001",
        "localhost.",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[0:0:0:0:0:0:0:1]",
        "127.0.0.1.",
        "_",
    ],
    400: [
        "",
        " ",
        "localhost:",
        "localhost:99999999",
        "localhost:http",
        "localhost:8765:1",
        "user@localhost",
        "localhost/x",
        "localhost,evil.com",
        "localhost evil.com",
        "::1",
        "[::1",
        "http://localhost",
        "l\u00f6calhost",
        "localhost\t",
        "localhost#",
        "*",
    ],
}


@pytest.mark.parametrize(("host", "status"), [(host, status) for status, hosts in HOSTS.items() for host in hosts])
def test_only_names_of_loopback_are_served(host: str, status: int) -> None:
    assert answer_to({"host": host}) == status


def answer_to(headers: dict[str, str], access: Access | None = None, *, needs_key: bool = True) -> int:
    try:
        (access or Access()).check(headers, needs_key=needs_key)
    except ApiError as error:
        return error.status
    return 200


ORIGINS = {
    200: [None, "http://localhost:8765", "HTTP://LOCALHOST:8765"],
    403: [
        "",
        "null",
        "http://evil.com",
        "http://localhost",
        "http://localhost:80",
        "https://localhost:8765",
        "http://localhost:8765.evil.com",
        "http://localhost:8765/",
        "http://127.0.0.1:8765",
        "file://",
        "*",
        "http://localhost:8765, http://evil.com",
        "chrome-extension://x",
    ],
}


@pytest.mark.parametrize(("origin", "status"), [(each, status) for status, all_ in ORIGINS.items() for each in all_])
def test_pages_of_other_origins_may_not_ask(origin: str | None, status: int) -> None:
    headers = {"host": "localhost:8765"} | ({} if origin is None else {"origin": origin})
    assert answer_to(headers) == status
    assert answer_to(headers | {"host": "evil.com"}) == 421  # Host comes first


def test_what_no_client_could_ever_send_cannot_be_allowed() -> None:
    check_allowed(["a.org", "[fd00::1]"], ["https://a.org", "http://a.org:8080", "vscode-webview://1a"])
    for host in ("a.org:80", "http://a.org", "", "*", "a b"):
        with pytest.raises(ConfigError, match="--allow-host: expected a name without a port"):
            check_allowed([host], [])
    for origin in ("https://a.org/", "*", "null", "a.org", "https://A.org", "https://a.org/b", ""):
        with pytest.raises(ConfigError, match="--allow-origin: expected one as"):
            check_allowed([], [origin])


def test_an_allowed_origin_may_read_the_answer() -> None:
    access = Access(origins=("https://a.org",))
    assert answer_to({"host": "localhost", "origin": "https://a.org"}, access) == 200
    assert access.cross_origin({"origin": "https://a.org"})["Access-Control-Allow-Origin"] == "https://a.org"
    assert access.cross_origin({"origin": "https://b.org"}) == {}


KEY = "0123456789abcdef"


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("", 401),
        (KEY, 401),
        (f"Bearer {KEY}", 200),
        (f"bearer {KEY}", 200),
        (f"Basic {KEY}", 401),
        (f"Bearer {KEY}x", 401),
        (f"Bearer {KEY[:-1]}", 401),
        ("Bearer ", 401),
        ("Bearer \xe9", 401),
    ],
)
def test_a_key_is_asked_for(header: str | None, status: int) -> None:
    headers = {"host": "localhost"} | ({} if header is None else {"authorization": header})
    assert answer_to(headers, Access(key=KEY)) == status
    assert answer_to(headers, Access(key=KEY), needs_key=False) == 200
    assert answer_to(headers) == 200
