"""Every call that changes the disk below a mailbox, in one small object.

Whatever creates, writes, cuts, links, renames or removes goes through `Files`, so that a test can stop
or fail the k-th call and look at what is left.  Opening goes through it too, because opening may create.

Rules: no path is followed through a final symbolic link, and opening never waits (a FIFO in a mailbox
must not hang a thread) nor leaks a descriptor to a child.

When things fail: methods raise `OSError` as the system does; `unusable()` turns one into the
`MaildropError` that the client and the log should see.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat

from tpop3d_py.contracts import MaildropError, Reason
from tpop3d_py.log import printable

_ALWAYS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_LONGEST_NAME = 200  # of 255: leaves room for what `beside()` puts around it

#: Errors that say something of the machine at this moment and nothing of the mailbox.
_TEMPORARY = frozenset(
    {
        errno.EAGAIN,
        errno.EDQUOT,
        errno.EINTR,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOLCK,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)


class Files:
    """The system's file calls, one method each."""

    def open(
        self, path: str | bytes, flags: int = os.O_RDONLY, mode: int = 0o600, folder: int | None = None
    ) -> int:
        """Open or create a file, named from an open folder if there is one, and return its descriptor."""
        return os.open(path, flags | _ALWAYS, mode, dir_fd=folder)

    def close(self, fd: int) -> None:
        """Close a descriptor, and with it the locks of its open file description."""
        os.close(fd)

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """Write at an offset; return how many octets were taken."""
        return os.pwrite(fd, data, offset)

    def ftruncate(self, fd: int, length: int) -> None:
        """Cut a file to a length in octets."""
        os.ftruncate(fd, length)

    def fallocate(self, fd: int, length: int) -> None:
        """Reserve the first `length` octets of a file on the disk."""
        os.posix_fallocate(fd, 0, length)

    def fsync(self, fd: int) -> None:
        """Return when a file, or a folder's entries, are on the disk."""
        os.fsync(fd)

    def fchown(self, fd: int, uid: int, gid: int) -> None:
        """Give a file that we created to the mailbox's owner."""
        os.fchown(fd, uid, gid)

    def unlink(self, path: str) -> None:
        """Remove a name."""
        os.unlink(path)

    def rename(self, old: str, new: str) -> None:
        """Move a name within one file system."""
        os.rename(old, new)

    def link(self, old: str, new: str) -> None:
        """Make a second name; fails if it is taken, atomically, also on NFS."""
        os.link(old, new, follow_symlinks=False)

    def mkdir(self, path: str, mode: int = 0o700) -> None:
        """Make a folder; fails if the name is taken, atomically, also on NFS."""
        os.mkdir(path, mode)

    def rmdir(self, path: str) -> None:
        """Remove an empty folder."""
        os.rmdir(path)

    def utime(self, fd: int, ns: int) -> None:
        """Set a file's times, in nanoseconds since 1970."""
        os.utime(fd, ns=(ns, ns))


def write_all(files: Files, fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at an offset; a disk that fills up half way raises `OSError`."""
    view = memoryview(data)
    while view:
        taken = files.pwrite(fd, view, offset)
        view, offset = view[taken:], offset + taken


def read_all(fd: int, length: int, offset: int) -> bytes:
    """Read `length` octets at an offset; fewer only where the file ends."""
    data = os.pread(fd, length, offset)
    while len(data) < length:
        more = os.pread(fd, length - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


def sync_folder(files: Files, path: str) -> None:
    """Return when the entries of a folder are on the disk."""
    fd = files.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        files.fsync(fd)
    finally:
        files.close(fd)


def give_to(files: Files, fd: int, uid: int, gid: int) -> None:
    """Give a file just created to the mailbox's owner, if we are root; others create as themselves."""
    if os.geteuid() == 0 and uid != 0:
        files.fchown(fd, uid, gid)


def is_owner(found: int, uid: int) -> bool:
    """Tell whether one of our own helper files belongs to the mailbox's owner or to this process."""
    return found in (uid, os.geteuid())


def beside(path: str, purpose: str) -> str:
    """Name our hidden helper file beside a mailbox: ``/d/NAME`` gives ``/d/.NAME.pypop3d-PURPOSE``.

    A name too long to be extended is replaced by a digest of itself.
    """
    folder, name = os.path.split(path)
    octets = os.fsencode(name)
    if len(octets) > _LONGEST_NAME:
        name = hashlib.sha256(octets).hexdigest()
    return f"{folder}/.{name}.pypop3d-{purpose}"


def is_link_to_foreign(st: os.stat_result, uid: int) -> bool:
    """Tell whether a file has a second name somewhere and belongs to somebody else than `uid`.

    Deliveries may link one file into several maildirs of one owner; a link to another's file is a trick.
    """
    return st.st_nlink > 1 and st.st_uid != uid


def unusable(error: OSError, path: str, doing: str) -> MaildropError:
    """Say what an `OSError` means for the mailbox at `path`.

    Args:
        error: what the system said.
        path: the mailbox.
        doing: what we were about, for example ``opening``.
    """
    reason = Reason.UNAVAILABLE if error.errno in _TEMPORARY else Reason.MAILBOX
    return MaildropError(reason, f"{doing} {printable(path)}: {error.strerror or error}")


def check_owned_file(st: os.stat_result, path: str, uid: int) -> None:
    """Refuse a mailbox file that is not regular, has a second name, or belongs to somebody else.

    Args:
        st: what `lstat` or `fstat` said of it.
        path: the mailbox.
        uid: who must own it.

    Raises:
        MaildropError: MAILBOX; nothing was changed.
    """
    wrong = ""
    if not stat.S_ISREG(st.st_mode):
        wrong = "is not a regular file"
    elif st.st_nlink != 1:
        wrong = f"has {st.st_nlink} links"
    elif st.st_uid != uid:
        wrong = f"belongs to uid {st.st_uid}, not {uid}"
    if wrong:
        raise MaildropError(Reason.MAILBOX, f"mailbox {printable(path)} {wrong}")
