r"""Removing messages from an mbox in place, safe against kill -9, errors, power cuts and full disks.

The inode stays, as MTAs hold the mailbox open while they wait for its lock, and a renamed copy would
strand their mail. All locks are held.  What stays is moved down in windows; before a window is written to
the mailbox it is in the journal, and on the disk; before the journal goes on, the mailbox is on the
disk.  A window's target never reaches the source of a later one, so only the window in the journal can be
half written.

Then the octets behind the final length are overwritten with LF, and cut off.  Mail never begins with LF,
so a recovery can tell "not cut yet" from "cut, and new mail came".  If nothing stays behind the first
deleted message, one `ftruncate` does it all, and no journal is needed.

Mail that is appended meanwhile, also between a crash and its recovery, is part of what stays.

On a disk without room for a journal the reserve serves as one; a deletion with more ranges than fit into it
is done in several updates, from the end of the mailbox to its start.

When things fail: before the first record the mailbox is untouched and the journal is removed; afterwards
the journal stays and `recover` completes the work when the mailbox is next opened.  In both cases
`OSError` goes up.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator, Sequence

from tpop3d_py.contracts import Identity
from tpop3d_py.log import Log, printable
from tpop3d_py.maildrop.files import Files, beside, read_all, sync_folder, write_all
from tpop3d_py.maildrop.journal import Journal, Plan, Record, State, capacity
from tpop3d_py.maildrop.reserve import Reserve

_LARGEST_WINDOW = 4 * 1024 * 1024
_SMALLEST_WINDOW = 4 * 1024
_FILL = 1024 * 1024
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class Mailbox:
    """An mbox that is open, verified and locked.

    Args:
        path: its absolute path.
        fd: open for reading and writing.
        identity: its owner.
        reserve: for a full disk.
    """

    def __init__(self, files: Files, path: str, fd: int, identity: Identity, reserve: Reserve) -> None:
        self.files = files
        self.path = path
        self.fd = fd
        self.identity = identity
        self.reserve = reserve
        #: Whether anything of it may have been changed.
        self.touched = False

    @property
    def journal(self) -> str:
        """The path of the journal."""
        return beside(self.path, "journal")

    def write(self, data: bytes, offset: int) -> None:
        """Write octets; they are on the disk after `sync`."""
        self.touched = True
        write_all(self.files, self.fd, data, offset)

    def sync(self) -> None:
        """Return when everything written is on the disk."""
        self.files.fsync(self.fd)

    def cut(self, length: int) -> None:
        """Cut the mailbox; return when that is on the disk."""
        self.touched = True
        self.files.ftruncate(self.fd, length)
        self.sync()


def expunge(mailbox: Mailbox, doomed: Sequence[tuple[int, int]], window: int | None = None) -> None:
    """Remove ranges of octets; return when that is on the disk.

    Args:
        mailbox: all its locks are held.
        doomed: (start, end) offsets, ascending, at least one.
        window: octets per step; by default as many as the disk has room for, within reason.

    Raises:
        OSError: see the module.
    """
    try:
        _expunge(mailbox, doomed, window, None)
    except OSError as error:
        # Offsets are those of before: doing it again in a mailbox that was touched would remove other mail.
        # A journal that exists could not even be removed.
        if error.errno not in _NO_ROOM or mailbox.touched or os.path.lexists(mailbox.journal):
            raise
        most = capacity(mailbox.reserve.size, _SMALLEST_WINDOW)
        if not most:
            raise
        for end in range(len(doomed), 0, -most):
            _expunge(mailbox, doomed[max(0, end - most) : end], window, error)


def _expunge(
    mailbox: Mailbox, doomed: Sequence[tuple[int, int]], window: int | None, no_room: OSError | None
) -> None:
    """Remove ranges in one update; with a journal on the reserve if there is no room for another."""
    st = os.fstat(mailbox.fd)
    first = doomed[0][0]
    ranges = tuple(_between(doomed, st.st_size))
    kept = sum(end - start for start, end in ranges)
    if not kept:
        mailbox.cut(first)
        return
    nonce, files = os.urandom(16), mailbox.files
    if no_room is None:
        plan = Plan(window or _window(mailbox.path, kept), st.st_size, ranges, nonce)
        journal = Journal.create(files, mailbox.path, mailbox.identity, plan)
    else:
        plan = Plan(window or _SMALLEST_WINDOW, st.st_size, ranges, nonce)
        journal = Journal.on_reserve(mailbox.reserve, files, mailbox.path, plan, no_room)
    try:
        _Run(mailbox, journal).move(source=ranges[0][0], target=first, length=st.st_size)
    finally:
        journal.close()


def recover(mailbox: Mailbox, log: Log) -> None:
    """Complete an expunge that was interrupted; return when that is on the disk.

    Args:
        mailbox: all its locks are held.
        log: is told what was found.

    Raises:
        OSError: the mailbox must not be used before this has succeeded.
    """
    name = printable(mailbox.path)
    journal = Journal.load(mailbox.files, mailbox.path, mailbox.identity)
    record = journal.latest() if journal is not None else None
    try:
        if journal is None or record is None:
            mailbox.reserve.release(mailbox.journal)
            log.notice(f"{name}: removed a journal under which nothing had been done")
        elif _was_replaced(os.fstat(mailbox.fd), record):
            saved = _put_aside(mailbox)
            log.error(f"{name}: rewritten by another program during an update; journal kept as {saved}")
        else:
            _Run(mailbox, journal).resume(record)
            log.notice(f"{name}: completed an interrupted update")
    finally:
        if journal is not None:
            journal.close()


class _Run:
    """The execution of one plan."""

    def __init__(self, mailbox: Mailbox, journal: Journal) -> None:
        self._mailbox = mailbox
        self._journal = journal
        self._inode = os.fstat(mailbox.fd).st_ino
        self._begun = False

    def resume(self, record: Record) -> None:
        """Go on from the newest record."""
        self._begun = True
        length = os.fstat(self._mailbox.fd).st_size
        if record.state is State.TRUNCATE and not self._is_uncut(record, length):
            self._mailbox.reserve.release(self._mailbox.journal)
            return
        source, target = record.source, record.final
        if record.state is State.WINDOW:
            self._mailbox.write(record.data, record.target)
            self._mailbox.sync()
            target = record.target + len(record.data)
        self.move(source, target, length)

    def move(self, source: int, target: int, length: int) -> None:
        """Move all that stays from `source` on down to `target`, then finish.

        Args:
            source: first offset not moved yet.
            target: where it goes.
            length: octets of the mailbox now.
        """
        rest = list(self._journal.plan.rest(source, length))
        final = target + sum(end - start for start, end in rest)
        for data, after in _windows(self._mailbox.fd, rest, self._journal.plan.window):
            self._put(Record(State.WINDOW, self._inode, length, final, target, after, data))
            self._mailbox.write(data, target)
            self._mailbox.sync()
            target += len(data)
        self._finish(length, final)

    def _finish(self, length: int, final: int) -> None:
        self._put(Record(State.NEWLINES, self._inode, length, final, source=length))
        for offset in range(final, length, _FILL):
            self._mailbox.write(b"\n" * min(_FILL, length - offset), offset)
        self._mailbox.sync()
        self._put(Record(State.TRUNCATE, self._inode, length, final, source=length))
        self._mailbox.cut(final)
        self._mailbox.reserve.release(self._mailbox.journal)

    def _put(self, record: Record) -> None:
        try:
            self._journal.put(record)
        except OSError:
            if not self._begun:
                # The record may be torn or whole; without its file nothing was promised and nothing done.
                with contextlib.suppress(OSError):
                    self._mailbox.reserve.release(self._mailbox.journal)
            raise
        self._begun = True

    def _is_uncut(self, record: Record, length: int) -> bool:
        """Tell whether the cut is still to be made: then what it will remove is all LF."""
        return length >= record.length and all(
            chunk.count(b"\n") == len(chunk)
            for offset in range(record.final, record.length, _FILL)
            if (chunk := read_all(self._mailbox.fd, min(_FILL, record.length - offset), offset))
        )


def _between(doomed: Sequence[tuple[int, int]], length: int) -> Iterator[tuple[int, int]]:
    """Yield what lies between doomed ranges and behind the last, up to the end of the mailbox."""
    cursor = doomed[0][1]
    for start, end in (*doomed[1:], (length, length)):
        if cursor < start:
            yield cursor, start
        cursor = end


def _windows(fd: int, rest: Sequence[tuple[int, int]], size: int) -> Iterator[tuple[bytes, int]]:
    """Yield windows of up to `size` octets, each with the offset of the first octet that comes after."""
    parts: list[bytes] = []
    room, after = size, 0
    for start, end in rest:
        while start < end:
            part = read_all(fd, min(room, end - start), start)
            if not part:
                raise OSError(5, "mailbox became shorter while it was updated")
            parts.append(part)
            start += len(part)  # noqa: PLW2901 - a range is consumed in steps
            room, after = room - len(part), start
            if not room:
                yield b"".join(parts), after
                parts, room = [], size
    if parts:
        yield b"".join(parts), after


def _window(path: str, kept: int) -> int:
    """Choose a window: large ones need fewer waits for the disk, small ones fit a full one."""
    disk = os.statvfs(os.path.dirname(path))
    room = disk.f_bavail * disk.f_frsize // 4
    return max(_SMALLEST_WINDOW, min(_LARGEST_WINDOW, room, kept))


def _was_replaced(st: os.stat_result, record: Record) -> bool:
    if st.st_ino != record.inode:
        return True
    return record.state is not State.TRUNCATE and st.st_size < record.length


def _put_aside(mailbox: Mailbox) -> str:
    """Keep a journal that does not fit its mailbox for a human being, under a name of its own."""
    saved = beside(mailbox.path, f"salvage-{time.time_ns()}")
    mailbox.files.rename(mailbox.journal, saved)
    sync_folder(mailbox.files, os.path.dirname(saved))
    return saved
