"""The little of HTTP/1.1 that the server speaks, strictly: a head within its limits, a body whose length is known.

What is not in the grammar of RFC 9112 is refused with 400 as soon as it is seen: folded headers, bare line feeds, two
lengths, a target that is not a path. A body in chunks is refused with 411, so the end of a request is never in doubt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

LARGEST_HEAD, MOST_HEADERS, LARGEST_BODY = 16 << 10, 64, 1 << 20  # bytes, lines, bytes
END_OF_HEAD = b"\r\n\r\n"
_REQUEST = re.compile(rb"([A-Z]{1,16}) ([!-~]{1,8000}) HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_NEVER = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")  # in a head
_ONCE = (b"host", b"content-length", b"content-type", b"transfer-encoding", b"authorization", b"origin", b"expect")
REASONS = {
    100: "Continue", 200: "OK", 204: "No Content", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout", 411: "Length Required",
    413: "Content Too Large", 415: "Unsupported Media Type", 417: "Expectation Failed", 421: "Misdirected Request",
    429: "Too Many Requests", 431: "Request Header Fields Too Large", 500: "Internal Server Error",
    503: "Service Unavailable",
}  # fmt: skip


class ApiError(Exception):
    """A request that is refused, in the shape of OpenAI's errors.

    Args:
        param: the field that is wrong.
        code: a word for programs.
        headers: of the answer.
        ends: the connection is closed, since it is not known where the next request begins.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        ends: bool = False,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers, self.ends = dict(headers or {}), ends

    def to_json(self) -> dict[str, Any]:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        kind = {401: "authentication_error", 429: "rate_limit_error"}.get(self.status, kind)
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


class Head(NamedTuple):
    """The head of a request. Names of headers are in lower case; a header that came twice is joined by commas."""

    method: str
    path: str
    headers: dict[str, str]
    keeps_alive: bool
    length: int
    expects_continue: bool


def check_beginning(raw: bytes | bytearray) -> None:
    """Checks what has arrived of a head, which need not be complete.

    Raises:
        ApiError: it can no longer become one.
    """
    if _NEVER.search(raw):
        raise ApiError(400, "the head of the request holds a control character, or a line without CR LF", ends=True)
    if len(raw) > LARGEST_HEAD:
        raise ApiError(431, f"the head of the request is larger than {LARGEST_HEAD:,} bytes", ends=True)


def parse_head(raw: bytes | bytearray) -> Head:
    """Parses a head without the empty line at its end.

    Raises:
        ApiError: it is not one of the requests that this server takes.
    """
    check_beginning(raw)
    first, *lines = bytes(raw).split(b"\r\n")
    if (request := _REQUEST.fullmatch(first)) is None:
        raise ApiError(400, "the first line is not of the form METHOD /path HTTP/1.1", ends=True)
    if len(lines) > MOST_HEADERS:
        raise ApiError(431, f"more than {MOST_HEADERS} headers", ends=True)
    headers: dict[bytes, bytes] = {}
    for line in lines:
        if (found := _HEADER.fullmatch(line)) is None:
            raise ApiError(400, "a header is not of the form Name: value", ends=True)
        name, value = found[1].lower(), found[2].rstrip(b" \t")
        if name in headers and name in _ONCE:
            raise ApiError(400, f"the header {name.decode()} came twice", ends=True)
        headers[name] = headers[name] + b", " + value if name in headers else value
    target = request[2].decode()
    if not target.startswith("/") and target != "*":
        raise ApiError(400, "the target of a request is a path, as in GET /v1/models", ends=True)
    table = {name.decode(): value.decode("latin-1") for name, value in headers.items()}
    path = target.partition("?")[0]
    is_new = request[3] == b"1"
    wants = {word.strip() for word in table.get("connection", "").lower().split(",")}
    keeps_alive = is_new and "close" not in wants
    length = _length(table)
    expect = table.get("expect", "").lower()
    if expect not in ("", "100-continue"):
        raise ApiError(417, "Expect: only 100-continue is known", ends=True)
    return Head(request[1].decode(), path, table, keeps_alive, length, is_new and bool(expect))


def _length(headers: Mapping[str, str]) -> int:
    given = headers.get("content-length")
    if "transfer-encoding" in headers:
        both = given is not None
        message = "Content-Length and Transfer-Encoding contradict each other" if both else "send a Content-Length"
        raise ApiError(400 if both else 411, message, ends=True)
    if given is None:
        return 0
    if re.fullmatch(r"[0-9]{1,18}", given) is None:
        raise ApiError(400, "Content-Length is not a number", ends=True)
    if int(given) > LARGEST_BODY:
        raise ApiError(413, f"the body is larger than {LARGEST_BODY:,} bytes", ends=True)
    return int(given)


def response_head(status: int, headers: Mapping[str, str]) -> bytes:
    """Returns the head of an answer."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def as_json(value: Any) -> bytes:
    """Formats JSON as ASCII: half of a character, as of bytes that are not UTF-8, stays an escape."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
