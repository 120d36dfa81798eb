"""Who may ask: the Host is checked first, on every method, then the Origin, then the key.

A page of a stranger in the user's browser can send requests to loopback. By DNS rebinding it can do so under its own
name, which then stands in Host; otherwise its name stands in Origin. A missing Origin proves nothing, so Host decides.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from charnet.errors import ConfigError, ServerError, quoted
from charnet.server.http import ApiError

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?")
_HEADERS = re.compile(r"[A-Za-z0-9_, -]{1,1000}")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._:\[\]-]+")


def check_allowed(hosts: Sequence[str], origins: Sequence[str]) -> None:
    """Raises ConfigError if a name or an origin is of no form in which a client could ever send it."""
    for host in hosts:
        if (found := _HOST.fullmatch(host)) is None or found[2]:
            raise ConfigError(f"--allow-host: expected a name without a port, as a.org, found {quoted(host)}")
    for origin in origins:
        if _ORIGIN.fullmatch(origin) is None:
            raise ConfigError(
                f"--allow-origin: expected one as https://a.org or http://a.org:8080, found {quoted(origin)}"
            )


def host_name(host: str) -> str:
    """Returns an address as it stands in Host and in URLs."""
    return f"[{host}]" if ":" in host else host


def check_bind(host: str, key: str) -> None:
    """Raises ServerError if a server would be open to other machines without a key."""
    if host_name(host) not in LOOPBACK and not key:
        raise ServerError(f"{host}: others could use this address; give --key-file with a key that they must know")


def key_from(text: str, name: str) -> str:
    """Returns the key in a text.

    Args:
        name: where it stands, for the message.

    Raises:
        ServerError: it has none.
    """
    key = text.strip()
    if len(key) < 16 or not key.isascii() or not key.isprintable() or any(map(str.isspace, key)):
        raise ServerError(f"{name}: expected one key of at least 16 printable ASCII characters without spaces")
    return key


@dataclass(frozen=True)
class Access:
    """What is allowed.

    Args:
        hosts: names under which the server is asked, in lower case.
        origins: of pages, besides the server's own, that may ask, as in `https://example.org`.
        key: without it everybody who reaches the server may ask.
    """

    hosts: tuple[str, ...] = LOOPBACK
    origins: tuple[str, ...] = ()
    key: str = ""

    def check(self, headers: Mapping[str, str], *, needs_key: bool) -> None:
        """Raises ApiError if a request is refused."""
        host = headers.get("host")
        if host is None:
            raise ApiError(400, "the header Host is missing", ends=True)
        found = _HOST.fullmatch(host)
        if found is None:
            raise ApiError(400, "the header Host is not a name and a port", ends=True)
        if found[1].lower() not in self.hosts:
            raise ApiError(421, "the server is not known by this name: start it with --allow-host and the name")
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"http://{host.lower()}" and origin not in self.origins:
            raise ApiError(403, "pages of this origin may not ask; see --allow-origin")
        if needs_key and self.key and not self._has_key(headers):
            raise ApiError(401, "the key is missing or wrong: send Authorization: Bearer KEY", code="invalid_api_key")

    def _has_key(self, headers: Mapping[str, str]) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        given_bytes, key = given.strip().encode("latin-1"), self.key.encode()
        return hmac.compare_digest(given_bytes, key) and scheme.lower() == "bearer"

    def cross_origin(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Returns the headers with which a page of an allowed origin may read the answer."""
        origin, wanted = headers.get("origin"), headers.get("access-control-request-headers", "")
        if origin is None or origin not in self.origins:
            return {}
        allowed = wanted if _HEADERS.fullmatch(wanted) else "authorization, content-type"
        return {"Access-Control-Allow-Origin": origin, "Vary": "Origin", "Access-Control-Allow-Headers": allowed,
                "Access-Control-Expose-Headers": "retry-after",
                "Access-Control-Allow-Methods": "GET, POST, OPTIONS"}  # fmt: skip


def check_json(headers: Mapping[str, str]) -> None:
    """Raises ApiError if a body is not said to be JSON: forms of other pages can be sent without asking."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, "send JSON with Content-Type: application/json")
