"""A DNS server for reverse lookups, on a loopback address, that answers or hangs as it is told to."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Mapping

#: Nobody else uses port 53 there.
ADDRESS = "127.0.0.153"


class Nameserver:
    """Answers PTR questions about IPv4 addresses.

    Args:
        names: the name of each address; None: no answer ever comes.

    Attributes:
        asked: the addresses that were asked for.
    """

    def __init__(self, names: Mapping[str, str | None]) -> None:
        self._names = names
        self.asked: list[str] = []
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind((ADDRESS, 53))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", (ADDRESS, 53))
        self._thread.join()
        self._sock.close()

    def _serve(self) -> None:
        while True:
            question, client = self._sock.recvfrom(512)
            if not question:
                return
            labels = _labels(question)
            address = ".".join(reversed(labels[:4]))
            self.asked.append(address)
            name = self._names.get(address, "")
            if name is not None:
                self._sock.sendto(_answer(question, name), client)


def _labels(question: bytes) -> list[str]:
    """Read the name that is asked for (RFC 1035 section 4.1.2)."""
    found, at = [], 12
    while length := question[at]:
        found.append(question[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return found


def _answer(question: bytes, name: str) -> bytes:
    """Make an answer with one PTR record; NXDOMAIN for an empty name."""
    end = question.index(b"\0", 12) + 5
    asked = question[12:end]
    if not name:
        return question[:2] + struct.pack("!HHHHH", 0x8183, 1, 0, 0, 0) + asked
    data = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    record = struct.pack("!HHHIH", 0xC00C, 12, 1, 60, len(data)) + data
    return question[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + asked + record
