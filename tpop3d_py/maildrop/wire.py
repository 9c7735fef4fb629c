r"""The wire filter: stored octets become the canonical octets that POP3 sends.

One rule, obeyed by `to_wire`, `WireFilter`, `wire_size` and `SizeCounter` alike:

- every LF, with at most one CR before it, becomes CRLF;
- a CR that no LF follows stays as it is;
- stored octets that do not end with LF get a final CRLF, because RFC 1939 section 3
  ends every line of a multi-line reply with CRLF (so a final lone CR becomes ``CR CRLF``);
- an empty message stays empty: zero octets, and RETR sends nothing before the final dot.

RFC 1939 section 11 wants sizes as octets in this form, so STAT and LIST count it and not the file.
Dot-stuffing and the final dot belong to the protocol.  All work is done by bytes
operations at C speed; there is no Python loop per line or per octet.

When things fail: nothing can; any octets have a canonical form.
"""

from __future__ import annotations


class WireFilter:
    """Turns stored octets into canonical octets, chunk by chunk."""

    __slots__ = ("_held", "_open")

    def __init__(self) -> None:
        self._held = b""  # a CR at the end of a chunk waits: the next octet may be its LF
        self._open = False  # the octets so far end within a line

    def feed(self, stored: bytes) -> bytes:
        """Return the canonical octets of the next chunk; a CR at its end is held back."""
        if not stored:
            return b""
        data = self._held + stored if self._held else stored
        self._open = not data.endswith(b"\n")
        self._held = b"\r" if data.endswith(b"\r") else b""
        if self._held:
            data = data[:-1]
        return _crlf(data)

    def finish(self) -> bytes:
        """Return what the end of the message still needs: a held CR, a missing final CRLF."""
        rest = self._held + (b"\r\n" if self._open else b"")
        self._held, self._open = b"", False
        return rest


class SizeCounter:
    """Counts the octets that `WireFilter` would make, chunk by chunk."""

    __slots__ = ("_last", "_octets")

    def __init__(self) -> None:
        self._octets = 0
        self._last = b"\n"

    def feed(self, stored: bytes) -> None:
        """Count one more chunk of stored octets."""
        if not stored:
            return
        self._octets += _crlf_length(stored)
        if self._last == b"\r" and stored.startswith(b"\n"):
            self._octets -= 1  # a CRLF that was cut between two chunks
        self._last = stored[-1:]

    def total(self) -> int:
        """Return the size on the wire, in octets, if the message ends here."""
        return self._octets + (0 if self._last == b"\n" else 2)


def to_wire(stored: bytes) -> bytes:
    """Return the canonical octets of a whole message."""
    if stored.endswith(b"\n") and b"\r" not in stored:  # as nearly all mail is stored
        return stored.replace(b"\n", b"\r\n")
    wire = WireFilter()
    return wire.feed(stored) + wire.finish()


def wire_size(stored: bytes) -> int:
    """Return ``len(to_wire(stored))`` without making it."""
    octets = _crlf_length(stored)
    return octets if not stored or stored.endswith(b"\n") else octets + 2


def _crlf_length(data: bytes) -> int:
    # To make the octets and drop them is twice as fast as to count line ends: `bytes.replace` looks for them
    # with memchr, `bytes.count` goes octet by octet.
    octets = len(data.replace(b"\n", b"\r\n"))
    if b"\r" in data:  # memchr again; most mail has none, and counting pairs costs more
        octets -= data.count(b"\r\n")
    return octets


def _crlf(data: bytes) -> bytes:
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    return data.replace(b"\n", b"\r\n")
