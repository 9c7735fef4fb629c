"""Reading GNU dbm files by the system's libgdbm.

Python's own module for that is often missing: distributions ship it as a package of its own, and a Python
that was built on a machine without the headers has none.  The library is there wherever Perl is.

A reader holds a shared lock while it has a file open, writers an exclusive one.

When things fail: `GdbmMissing` without the library; `GdbmBusy` while somebody writes; `GdbmError`
otherwise.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

_NAMES = ("libgdbm.so.6", "libgdbm.so.5", "libgdbm.so.4")
# gdbm.h
_READER = 0
_CLOEXEC = 0x100
_CANNOT_BE_READER = 9
_ITEM_NOT_FOUND = 15


class GdbmError(Exception):
    """A file cannot be read."""


class GdbmBusy(GdbmError):
    """Somebody is writing to a file."""


class GdbmMissing(Exception):
    """The library is not installed."""


class _Datum(ctypes.Structure):
    _fields_ = (("octets", ctypes.c_void_p), ("size", ctypes.c_int))


class Library:
    """libgdbm.

    Raises:
        GdbmMissing: it is not installed.
    """

    def __init__(self) -> None:
        self._gdbm = gdbm = _load()
        gdbm.gdbm_open.restype = ctypes.c_void_p
        gdbm.gdbm_open.argtypes = (ctypes.c_char_p, *(ctypes.c_int,) * 3, ctypes.c_void_p)
        gdbm.gdbm_fetch.restype = _Datum
        gdbm.gdbm_fetch.argtypes = (ctypes.c_void_p, _Datum)
        gdbm.gdbm_close.argtypes = (ctypes.c_void_p,)
        gdbm.gdbm_errno_location.restype = ctypes.POINTER(ctypes.c_int)
        gdbm.gdbm_strerror.restype = ctypes.c_char_p
        self._free = ctypes.CDLL(None).free
        self._free.argtypes = (ctypes.c_void_p,)

    def open(self, path: str) -> GdbmFile:
        """Open a file for reading.

        Raises:
            GdbmBusy: somebody is writing to it.
            GdbmError: it cannot be opened.
        """
        handle = self._gdbm.gdbm_open(path.encode(), 0, _READER | _CLOEXEC, 0, None)
        if not handle:
            raise self._error()
        return GdbmFile(self, handle)

    def fetch(self, handle: int, key: bytes) -> bytes | None:
        """Return a value; None if there is none.

        Raises:
            GdbmError: the file is damaged.
        """
        buffer = ctypes.create_string_buffer(key, len(key))
        found = self._gdbm.gdbm_fetch(handle, _Datum(ctypes.addressof(buffer), len(key)))
        if not found.octets:
            if self._number() == _ITEM_NOT_FOUND:
                return None
            raise self._error()
        try:
            return ctypes.string_at(found.octets, found.size)
        finally:
            self._free(found.octets)

    def close(self, handle: int) -> None:
        """Close a file."""
        self._gdbm.gdbm_close(handle)

    def _number(self) -> int:
        return int(self._gdbm.gdbm_errno_location()[0])

    def _error(self) -> GdbmError:
        number, system = self._number(), ctypes.get_errno()
        text = self._gdbm.gdbm_strerror(number).decode("utf-8", "replace")
        kind = GdbmBusy if number == _CANNOT_BE_READER else GdbmError
        return kind(f"{text} ({os.strerror(system)})" if system else text)


class GdbmFile:
    """An open file."""

    def __init__(self, library: Library, handle: int) -> None:
        self._library = library
        self._handle = handle

    def fetch(self, key: bytes) -> bytes | None:
        """Return a value; None if there is none."""
        return self._library.fetch(self._handle, key)

    def close(self) -> None:
        """Close it."""
        self._library.close(self._handle)


def _load() -> Any:
    for name in _NAMES:
        try:
            return ctypes.CDLL(name, use_errno=True)
        except OSError:
            continue
    raise GdbmMissing("there is no libgdbm on this machine (Debian: apt-get install libgdbm6)")
