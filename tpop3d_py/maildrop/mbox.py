"""An mbox as a maildrop.

Opening: session lock; completion of an update that a crash interrupted; then, under the MTA's locks, the
index, unless device, inode, size, mtime and ctime are those of an earlier session's snapshot, in memory or
in the index file.  Of a large mailbox that grew, and in which samples of what was indexed are where they
were, only the last message and what follows are read.  A snapshot is *proven* if all of the file was read
and its times say that it did not change since; one made within 50 ms of a change, or from samples, is not.

During the session no MTA lock is held and mail may be appended.  Before a message is opened the path must
still name the same file; after every read either the snapshot is proven and the file's times are those of
the snapshot, or the first octets of the message are where they were.  So a mailbox that others rewrite, cut
or replace gives `MessageGone` or an interrupted body, never wrong octets; and what was remembered of it is
forgotten.

UPDATE: under the MTA's locks the indexed part must be unchanged (if that is not proven, it is indexed again,
whole, and compared); then `expunge`.  A large mailbox then gets the present time, to the nanosecond, which
no later write by the clock's ticks will give it again: so what is left is proven at once.

When things fail: `MaildropError`: LOCKED, MAILBOX where somebody has to mend something (no From_ line at
the start, a symbolic or hard link, a foreign owner), UNAVAILABLE for what may pass.  A file that is no
mbox is never touched.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Callable, Sequence

from tpop3d_py.contracts import Body, Identity, MaildropError, MessageGone, Reason
from tpop3d_py.log import Log, printable
from tpop3d_py.maildrop.body import StoredBody
from tpop3d_py.maildrop.cclient import CClientLock
from tpop3d_py.maildrop.columns import Cache
from tpop3d_py.maildrop.expunge import Mailbox, expunge, recover
from tpop3d_py.maildrop.files import Files, beside, check_owned_file, read_all, unusable
from tpop3d_py.maildrop.locking import Dotlock, FcntlLock, FlockLock, Method, MtaLock
from tpop3d_py.maildrop.mbox_memory import MboxMemory, MboxOptions
from tpop3d_py.maildrop.mbox_scan import NotMboxError, scan
from tpop3d_py.maildrop.mbox_snapshot import Mark, MboxSnapshot
from tpop3d_py.maildrop.reserve import Reserve
from tpop3d_py.maildrop.session_lock import SessionLock
from tpop3d_py.maildrop.uidl import Style, mbox_uids


class MboxDriver:
    """Opens mboxes; one per process, shared by its threads."""

    def __init__(
        self, files: Files, log: Log, cache: Cache[MboxSnapshot], options: MboxOptions | None = None
    ) -> None:
        self.files = files
        self.log = log
        self.options = options or MboxOptions()
        self.memory = MboxMemory(files, cache, self.options)

    def open(self, path: str, identity: Identity) -> Mbox:
        """Open the mbox at `path`, which exists.

        Raises:
            MaildropError: see the module.
        """
        box = None
        try:
            box = Mbox(self, path, identity)
            box.prepare()
        except OSError as error:
            raise unusable(error, path, "opening mailbox") from error
        finally:
            if box is not None and not box.is_ready:
                box.close()
        return box


class Mbox:
    """One session's hold on an mbox; see `contracts.Maildrop`."""

    __slots__ = ("_driver", "_identity", "_mailbox", "_path", "_session", "_snapshot")

    def __init__(self, driver: MboxDriver, path: str, identity: Identity) -> None:
        self._driver = driver
        self._path = path
        self._identity = identity
        self._session: SessionLock | None = None
        self._snapshot: MboxSnapshot | None = None
        # A look at the name first: opening a device may do something.
        check_owned_file(os.lstat(path), path, identity.uid)
        reserve = Reserve(driver.files, path, identity, driver.options.reserve)
        self._mailbox = Mailbox(driver.files, path, driver.files.open(path, os.O_RDWR), identity, reserve)

    @property
    def is_ready(self) -> bool:
        """Whether `prepare` has succeeded."""
        return self._snapshot is not None

    @property
    def sizes(self) -> Sequence[int]:
        """Exact octets on the wire."""
        return self._index().sizes

    @property
    def uids(self) -> Sequence[bytes]:
        """Digests; where there are twins, numbered when first asked for."""
        snapshot = self._index()
        if snapshot.uids is None:
            twins = self._driver.options.style is Style.STABLE and not snapshot.are_unique
            snapshot.uids = mbox_uids(snapshot.digests) if twins else snapshot.digests
        return snapshot.uids

    def prepare(self) -> None:
        """Take the session lock, recover, index.

        Raises:
            OSError: something cannot be read or written.
            MaildropError: the mailbox is locked or unfit.
        """
        check_owned_file(os.fstat(self._mailbox.fd), self._path, self._identity.uid)
        driver = self._driver
        self._session = SessionLock(
            driver.files, self._path, self._mailbox.fd, self._identity, driver.options.timeout
        )
        if self._session.left_behind or os.path.lexists(beside(self._path, "journal")):
            self._recover()
        mark = Mark.of(self._mailbox.fd)
        held = driver.memory.recall(self._path, mark.size, self._identity)
        if held is not None and held.is_proven and held.mark == mark:
            self._snapshot = held
            return
        self._mailbox.reserve.make()
        with self._mta_lock():
            self._check_name()
            self._snapshot = self._scan(held)

    def open(self, index: int) -> Body:
        """Open one message."""
        snapshot = self._index()
        source = MboxSource(self, snapshot, index)
        try:
            self._check_name()
        except OSError as error:
            raise MessageGone(Reason.UNAVAILABLE, f"mailbox: {error.strerror}") from error
        return StoredBody(source, snapshot.content_length(index), snapshot.sizes[index])

    def commit(self, deleted: Sequence[int], retrieved: Sequence[int]) -> None:
        """Remove `deleted`; `retrieved` changes nothing, as Status fields are for mail readers to write."""
        if not deleted:
            return
        driver, box = self._driver, self._mailbox
        try:
            with self._mta_lock():
                snapshot = self._verified()
                doomed = [(snapshot.starts[i], snapshot.ends[i]) for i in deleted]
                driver.memory.drop(self._path)
                expunge(box, doomed, driver.options.window)
                driver.memory.update(box.fd, self._path, snapshot, deleted, self._identity)
        except OSError as error:
            raise self._incomplete(len(deleted), error) from error
        except NotMboxError as error:
            raise self._changed() from error

    def close(self) -> None:
        """Release the session lock and the file."""
        with contextlib.suppress(OSError):
            if self._mailbox.fd >= 0:
                fd, self._mailbox.fd = self._mailbox.fd, -1
                self._driver.files.close(fd)
        with contextlib.suppress(OSError):
            if self._session is not None:
                self._session.release()

    def read(self, offset: int, length: int) -> bytes:
        """Return stored octets of the mailbox; fewer where it ends."""
        return read_all(self._mailbox.fd, length, offset)

    def check_message(self, snapshot: MboxSnapshot, index: int) -> None:
        """Make sure that what was just read belongs to a message of the snapshot.

        Programs that rewrite an mbox in place write from its start towards its end.  So if the first
        octets of a message are intact after a read, what was read behind them was intact as well.

        Raises:
            MessageGone: it does not, or nobody can tell.
        """
        if snapshot.is_proven and Mark.of(self._mailbox.fd) == snapshot.mark:
            return
        sample = self.read(snapshot.starts[index], snapshot.sample_length(index))
        if zlib.crc32(sample) != snapshot.samples[index]:
            self._driver.memory.forget(self._path)
            raise MessageGone(Reason.UNAVAILABLE, "is not where it was: another program rewrote the mailbox")

    def _index(self) -> MboxSnapshot:
        if self._snapshot is None:
            raise RuntimeError("the mailbox has not been prepared")
        return self._snapshot

    def _mta_lock(self) -> MtaLock:
        driver, fd, session = self._driver, self._mailbox.fd, self._session
        if session is None:
            raise RuntimeError("the mailbox has not been prepared")
        table: dict[str, Callable[[], Method]] = {
            "dotlock": lambda: Dotlock(driver.files, driver.log, self._path, session),
            "fcntl": lambda: FcntlLock(fd),
            "flock": lambda: FlockLock(fd, session),
            "c-client": lambda: CClientLock(driver.files, driver.log, os.fstat(fd), self._identity.uid),
        }
        methods = [table[name]() for name in driver.options.methods]
        return MtaLock(driver.log, self._path, methods, driver.options.timeout)

    def _recover(self) -> None:
        """Complete what a killed session left; taking and releasing the locks also removes its dotlock."""
        with self._mta_lock():
            self._check_name()
            if os.path.lexists(beside(self._path, "journal")):
                recover(self._mailbox, self._driver.log)

    def _scan(self, held: MboxSnapshot | None) -> MboxSnapshot:
        try:
            return self._driver.memory.read(self._mailbox.fd, self._path, held, self._identity)
        except NotMboxError:
            detail = f"{printable(self._path)} does not begin with a From_ line"
            raise MaildropError(Reason.MAILBOX, detail) from None

    def _verified(self) -> MboxSnapshot:
        """Return an index of the mailbox as it is now, which begins with the session's; locks are held."""
        self._check_name()
        snapshot, mark = self._index(), Mark.of(self._mailbox.fd)
        if snapshot.is_proven and mark == snapshot.mark:
            return snapshot
        if mark.size < snapshot.length:
            raise self._changed()
        now = scan(self._mailbox.fd, mark.size, None, self._driver.options.style)
        if not now.begins_with(snapshot):
            raise self._changed()
        return now

    def _incomplete(self, count: int, error: OSError) -> MaildropError:
        """Say what an interrupted update means: what its journal holds will be completed."""
        begun = os.path.lexists(beside(self._path, "journal"))
        truth = "may yet be removed when it is next opened" if begun else "were not removed"
        detail = f"updating {printable(self._path)}: {error.strerror}; up to {count} messages {truth}"
        return MaildropError(Reason.UNAVAILABLE, detail)

    def _changed(self) -> MaildropError:
        detail = f"{printable(self._path)}: another program rewrote the mailbox; nothing was removed"
        return MaildropError(Reason.UNAVAILABLE, detail)

    def _check_name(self) -> None:
        """Make sure that the path still names the open file."""
        named, opened = os.lstat(self._path), os.fstat(self._mailbox.fd)
        if (named.st_dev, named.st_ino) != (opened.st_dev, opened.st_ino):
            raise MessageGone(Reason.UNAVAILABLE, f"{printable(self._path)} was replaced")


class MboxSource:
    """The content of one message of an mbox."""

    __slots__ = ("_box", "_index", "_snapshot", "_start")

    def __init__(self, box: Mbox, snapshot: MboxSnapshot, index: int) -> None:
        self._box = box
        self._snapshot = snapshot
        self._index = index
        self._start = snapshot.starts[index] + snapshot.heads[index]

    def read(self, offset: int, length: int) -> bytes:
        """Return octets of the content, known to be this message's."""
        stored = self._box.read(self._start + offset, length)
        self._box.check_message(self._snapshot, self._index)
        return stored

    def close(self) -> None:
        """Do nothing: the file belongs to the session."""
