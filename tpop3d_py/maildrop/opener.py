"""Finding and opening the maildrop of a login.

A path that came with the login is taken; if nothing is there, the maildrop is empty: no mail has come
yet. Without one, the patterns of the `mailbox` directive are tried from left to right.  The first that
exists is it: one that exists but cannot be used stops the search, so that nobody ever sees the wrong
mailbox.  If none exists, the maildrop is empty, and the log warns.

``lowercase-mailbox`` is for paths that came with a login, whole, as tpop3d has it.

Type: as given (``bsd``, ``maildir``, ``empty``); else a path with a final slash, or an existing folder,
is a maildir; else an mbox.

When things fail: `MaildropError`, and nothing is held.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Mapping, Sequence

from tpop3d_py import libc
from tpop3d_py.contracts import Identity, Maildrop, MaildropError, Reason
from tpop3d_py.log import Log, printable, quoted
from tpop3d_py.maildrop.columns import Cache
from tpop3d_py.maildrop.directives import MaildropSettings
from tpop3d_py.maildrop.empty import Empty
from tpop3d_py.maildrop.files import Files, unusable
from tpop3d_py.maildrop.maildir import MaildirDriver
from tpop3d_py.maildrop.mbox import MboxDriver
from tpop3d_py.maildrop.mbox_memory import MboxOptions
from tpop3d_py.maildrop.patterns import KINDS, Pattern, check_path
from tpop3d_py.maildrop.reserve import Reserve

__all__ = ["MaildropSettings", "Opener"]


class Opener:
    """Opens maildrops; one per process, safe for several threads.

    Args:
        settings: as read from the configuration.
        log: for warnings about mailboxes.
        files: the system's file calls; tests put a faulty one here.
        own: patterns that are tried before the settings', by the driver that vouched for a login.
    """

    def __init__(
        self,
        settings: MaildropSettings,
        log: Log,
        files: Files | None = None,
        own: Mapping[str, Sequence[Pattern]] | None = None,
    ) -> None:
        libc.keep_heap()  # this process will read large messages
        self._settings = settings
        self._own = own or {}
        self._log = log
        self._files = files = files or Files()
        capacity = settings.cache_kilobytes * 1024
        options = MboxOptions(
            methods=settings.methods,
            timeout=settings.lock_timeout,
            style=settings.uidl_style,
            index=settings.index,
            reserve=settings.reserve_kilobytes * 1024,
        )
        self._drivers: dict[str, Callable[[str, Identity], Maildrop]] = {
            "bsd": MboxDriver(files, log, Cache(capacity), options).open,
            "maildir": MaildirDriver(files, log, Cache(capacity), settings.maildir).open,
            "empty": lambda path, identity: Empty(),
        }

    def set_aside(self, folder: str) -> None:
        """Make the reserve in a folder above those of mboxes, if that is possible; for a daemon's start."""
        size = self._settings.reserve_kilobytes * 1024
        with contextlib.suppress(OSError):
            st = os.stat(folder)
            owner = Identity("", "", st.st_uid, st.st_gid)
            Reserve(self._files, f"{folder}/", owner, size).make()

    def open(self, identity: Identity) -> Maildrop:
        """Open the maildrop of a login.

        Raises:
            MaildropError: it exists and cannot be used, or the login does not say plainly where it is.
        """
        kind = identity.mailbox_type
        if kind and kind not in KINDS:
            raise MaildropError(Reason.MAILBOX, f"unknown mailbox type {printable(kind)}")
        if kind == "empty":
            return Empty()
        if identity.mailbox:
            path = identity.mailbox.lower() if self._settings.lowercase else identity.mailbox
            return self._try(path, kind, identity) or Empty()
        return self._search(identity)

    def _search(self, identity: Identity) -> Maildrop:
        for pattern in (*self._own.get(identity.driver, ()), *self._settings.mailbox):
            if pattern.kind == "empty":
                return Empty()
            kind = pattern.kind or identity.mailbox_type
            found = self._try(pattern.expand(identity), kind, identity)
            if found is not None:
                return found
        self._log.warning(f"no mailbox found for {quoted(identity.user)}; serving an empty one")
        return Empty()

    def _try(self, path: str, kind: str, identity: Identity) -> Maildrop | None:
        """Open what lies at a path; None if nothing does."""
        check_path(path)
        plain = path.rstrip("/")
        try:
            st = os.lstat(plain)
            is_maildir = path.endswith("/") or stat.S_ISDIR(st.st_mode)
            return self._drivers[kind or ("maildir" if is_maildir else "bsd")](plain, identity)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unusable(error, path, "looking for mailbox") from error
