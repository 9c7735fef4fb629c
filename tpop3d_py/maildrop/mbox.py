"""An mbox as a maildrop.

Opening: session lock; completion of an update that a crash interrupted; then, under the MTA's locks, the
index, unless device, inode, size, mtime and ctime are those of an earlier session's snapshot.  A mailbox
changed within the last 50 ms could change again within one tick of the clock, so such a snapshot is not
kept.

During the session no MTA lock is held and mail may be appended.  Before a message is opened the path must
still name the same file; after every read either the file's times are those of the snapshot, or the first
octets of the message are. So a mailbox that others rewrite, cut or replace gives `MessageGone` or an
interrupted body, never wrong octets.

UPDATE: under the MTA's locks the indexed part must be unchanged (if the file's times are not, it is
indexed again and compared); then `expunge`.

When things fail: `MaildropError`: LOCKED, MAILBOX where somebody has to mend something (no From_ line at
the start, a symbolic or hard link, a foreign owner), UNAVAILABLE for what may pass.  A file that is no
mbox is never touched.
"""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from collections.abc import Sequence

from tpop3d_py.contracts import Body, Identity, MaildropError, MessageGone, Reason
from tpop3d_py.log import Log, printable
from tpop3d_py.maildrop.body import StoredBody
from tpop3d_py.maildrop.columns import Cache, Octets
from tpop3d_py.maildrop.expunge import Mailbox, expunge, recover
from tpop3d_py.maildrop.files import Files, beside, check_owned_file, read_all, unusable
from tpop3d_py.maildrop.locking import Dotlock, FcntlLock, Method, MtaLock, SessionLock
from tpop3d_py.maildrop.mbox_scan import MboxSnapshot, NotMboxError, scan
from tpop3d_py.maildrop.uidl import mbox_digest, mbox_uids

RACY_NS = 50_000_000


class MboxDriver:
    """Opens mboxes; one per process, shared by its threads.

    Args:
        dotlock: take the dotlock as well as the fcntl lock.
        timeout: seconds to wait for the MTA's locks.
        window: octets per step of an update; for tests.
    """

    def __init__(
        self,
        files: Files,
        log: Log,
        cache: Cache[MboxSnapshot],
        *,
        dotlock: bool,
        timeout: float,
        window: int | None = None,
    ) -> None:
        self.files = files
        self.log = log
        self.cache = cache
        self.dotlock = dotlock
        self.timeout = timeout
        self.window = window

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
        self._mailbox = Mailbox(driver.files, path, driver.files.open(path, os.O_RDWR), identity)

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
        """Digests, made when first asked for, which reads the mailbox once.

        Raises:
            MaildropError: the mailbox changed or cannot be read.
        """
        snapshot = self._index()
        if snapshot.uids is None:
            known = list(snapshot.digests or ())
            try:
                known += [self._digest(snapshot, index) for index in range(len(known), len(snapshot))]
            except OSError as error:
                raise unusable(error, self._path, "reading") from error
            snapshot.digests = Octets(known)
            snapshot.uids = Octets(mbox_uids(known))
        return snapshot.uids

    def prepare(self) -> None:
        """Take the session lock, recover, index.

        Raises:
            OSError: something cannot be read or written.
            MaildropError: the mailbox is locked or unfit.
        """
        check_owned_file(os.fstat(self._mailbox.fd), self._path, self._identity.uid)
        files = self._driver.files
        self._session = SessionLock(files, self._path, self._mailbox.fd, self._identity)
        if self._session.left_behind or os.path.lexists(beside(self._path, "journal")):
            self._recover()
        mark = self._mark()
        held = self._driver.cache.get(self._path)
        if held is not None and held.signature == mark:
            self._snapshot = held
            return
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
        try:
            with self._mta_lock():
                snapshot = self._verified()
                doomed = [(snapshot.starts[i], snapshot.ends[i]) for i in deleted]
                self._driver.cache.drop(self._path)
                expunge(self._mailbox, doomed, self._driver.window)
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
        if snapshot.signature is not None and self._mark() == snapshot.signature:
            return
        sample = self.read(snapshot.starts[index], snapshot.sample_length(index))
        if zlib.crc32(sample) != snapshot.samples[index]:
            raise MessageGone(Reason.UNAVAILABLE, "is not where it was: another program rewrote the mailbox")

    def _index(self) -> MboxSnapshot:
        if self._snapshot is None:
            raise RuntimeError("the mailbox has not been prepared")
        return self._snapshot

    def _mark(self) -> tuple[int, ...]:
        st = os.fstat(self._mailbox.fd)
        return st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns

    def _mta_lock(self) -> MtaLock:
        driver = self._driver
        methods: list[Method] = []
        if driver.dotlock and self._session is not None:
            methods.append(Dotlock(driver.files, driver.log, self._path, self._session))
        methods.append(FcntlLock(self._mailbox.fd))
        return MtaLock(driver.log, self._path, methods, driver.timeout)

    def _recover(self) -> None:
        """Complete what a killed session left; taking and releasing the locks also removes its dotlock."""
        with self._mta_lock():
            self._check_name()
            if os.path.lexists(beside(self._path, "journal")):
                recover(self._mailbox, self._driver.log)

    def _scan(self, held: MboxSnapshot | None) -> MboxSnapshot:
        before, now_ns = self._mark(), time.time_ns()
        try:
            snapshot = scan(self._mailbox.fd, before[2])
        except NotMboxError:
            detail = f"{printable(self._path)} does not begin with a From_ line"
            raise MaildropError(Reason.MAILBOX, detail) from None
        if now_ns - max(before[3], before[4]) > RACY_NS and self._mark() == before:
            snapshot.signature = before
        if held is not None:
            snapshot.inherit(held)
        self._driver.cache.put(self._path, snapshot)
        return snapshot

    def _verified(self) -> MboxSnapshot:
        """Return an index of the mailbox as it is now, which begins with the session's; locks are held."""
        self._check_name()
        snapshot, mark = self._index(), self._mark()
        if snapshot.signature is not None and mark == snapshot.signature:
            return snapshot
        if mark[2] < snapshot.length:
            raise self._changed()
        now = scan(self._mailbox.fd, mark[2])
        if not now.begins_with(snapshot):
            raise self._changed()
        return now

    def _incomplete(self, count: int, error: OSError) -> MaildropError:
        """Say what an interrupted update means: what its journal holds will be completed."""
        begun = os.path.lexists(beside(self._path, "journal"))
        truth = "may yet be removed when it is next opened" if begun else "were not removed"
        detail = f"updating {printable(self._path)}: {error.strerror}; {count} messages {truth}"
        return MaildropError(Reason.UNAVAILABLE, detail)

    def _changed(self) -> MaildropError:
        detail = f"{printable(self._path)}: another program rewrote the mailbox; nothing was removed"
        return MaildropError(Reason.UNAVAILABLE, detail)

    def _check_name(self) -> None:
        """Make sure that the path still names the open file."""
        named, opened = os.lstat(self._path), os.fstat(self._mailbox.fd)
        if (named.st_dev, named.st_ino) != (opened.st_dev, opened.st_ino):
            raise MessageGone(Reason.UNAVAILABLE, f"{printable(self._path)} was replaced")

    def _digest(self, snapshot: MboxSnapshot, index: int) -> bytes:
        start = snapshot.starts[index]

        def read(offset: int, length: int) -> bytes:
            return self.read(start + offset, length)

        digest = mbox_digest(read, snapshot.heads[index], snapshot.content_length(index))
        self.check_message(snapshot, index)
        return digest


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
