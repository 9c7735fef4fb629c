"""The pages of the monitor over HTTP: metrics, health, readiness.

``/healthz`` and ``/readyz`` answer 200 ``ok``, or 503 with a sentence that says what is missing.

When things fail: what is no GET of a known page is refused.
"""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple, cast

from tpop3d_py.server.desk import DEADLINE, hear_out

#: What ends the head of a request (RFC 9112 section 2.1), and the octets after which it is long enough.
_END = re.compile(rb"\n\r?\n")
_LONGEST = 1 << 17


class Page(NamedTuple):
    """What is answered."""

    status: HTTPStatus
    body: bytes
    content_type: str


#: Pages by path; a page is made with the request's Accept header.
Pages = Mapping[str, Callable[[str], Page]]


def pages(
    exposition: Callable[[str], tuple[bytes, str]], ailment: Callable[[], str], obstacle: Callable[[], str]
) -> Pages:
    """Make the pages.

    Args:
        exposition: makes the text of metrics in the format that an Accept header asks for.
        ailment: says why the daemon is not healthy, or nothing.
        obstacle: says why it is not ready, or nothing.
    """
    return {
        "/metrics": lambda accept: Page(HTTPStatus.OK, *exposition(accept)),
        "/healthz": lambda _accept: _verdict(ailment()),
        "/readyz": lambda _accept: _verdict(obstacle()),
    }


def _verdict(trouble: str) -> Page:
    status = HTTPStatus.SERVICE_UNAVAILABLE if trouble else HTTPStatus.OK
    return Page(status, f"{trouble or 'ok'}\n".encode(), "text/plain; charset=utf-8")


def answer(client: socket.socket, known: Pages) -> None:
    """Answer the one request of a connection."""
    _Handler(client, known)


class _Handler(BaseHTTPRequestHandler):
    server_version = "pypop3d"
    sys_version = ""
    timeout = DEADLINE

    def __init__(self, client: socket.socket, known: Pages) -> None:
        self._known = known
        # The library wants a server only to hand it on, and an address only to log it.
        super().__init__(client, ("", 0), cast("Any", None))

    def setup(self) -> None:
        """Read the request before the library does, which gives each octet the time of all."""
        super().setup()
        self.rfile.close()
        self.rfile = io.BytesIO(hear_out(self.request, _END.search, _LONGEST))

    def do_GET(self) -> None:
        """Answer a request."""
        make = self._known.get(self.path.partition("?")[0])
        if make is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        page = make(self.headers.get("Accept", ""))
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        self.wfile.write(page.body)

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: scrapes are not worth a line."""
