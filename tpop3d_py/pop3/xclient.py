"""XCLIENT: a proxy says who its client is, as Dovecot's proxies do before a login.

``XCLIENT ADDR=192.0.2.7 PORT=50123 SESSION=... TTL=... FORWARD=...``, answered ``+OK Updated``.  Such a
proxy looks for ``[XCLIENT]`` in the greeting.  Who may say it is decided elsewhere; for everybody else the
command does not exist.

Rules: ADDR and PORT are the client's, DESTADDR and DESTPORT where it connected to; an address may be written
as Postfix writes it, ``IPV6:`` before one of those.  What else a proxy has to tell is taken and not used.

When things fail: None for a line that is not of that form, or whose addresses and ports are none; nothing
is changed then.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Callable

from tpop3d_py.contracts import Peer
from tpop3d_py.pop3.commands import Command
from tpop3d_py.pop3.replies import Reply

CAPABILITY = b"XCLIENT"
#: Stands in the greeting of those who may say it.
MARK = b"[XCLIENT] "
_WORD = re.compile(rb"([A-Za-z][A-Za-z0-9_-]*)=([!-~]+)")
_PORT = re.compile(r"[1-9][0-9]{0,4}")


def introduced(peer: Peer, command: Command) -> Peer | None:
    """Return the client that the command introduces; None if it makes no sense.

    Args:
        peer: as it was known so far.
        command: the proxy's.
    """
    told: dict[str, str | int] = {}
    for word in command.words:
        found = _WORD.fullmatch(word)
        if found is None:
            return None
        name, value = found[1].upper(), found[2].decode("ascii")
        if name not in _FIELDS:
            continue
        field, read = _FIELDS[name]
        try:
            told[field] = read(value)
        except ValueError:
            return None
    return dataclasses.replace(peer, **told) if command.words else None  # type: ignore[arg-type]


def updated() -> Reply:
    """Make the answer."""
    return Reply(True, b"Updated")


def _address(text: str) -> str:
    if text.upper().startswith("IPV6:"):
        text = text[5:]
    if "%" in text:
        raise ValueError("a zone means nothing here")
    address = ipaddress.ip_address(text)
    return str(getattr(address, "ipv4_mapped", None) or address)


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise ValueError("no port")
    return int(text)


_FIELDS: dict[bytes, tuple[str, Callable[[str], str | int]]] = {
    b"ADDR": ("client_host", _address),
    b"PORT": ("client_port", _port),
    b"DESTADDR": ("server_host", _address),
    b"DESTPORT": ("server_port", _port),
}
