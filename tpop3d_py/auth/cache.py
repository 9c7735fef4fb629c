"""The login cache: who gave the right password a moment ago need not be looked up again.

Rules: it lives in each worker, so that a known login costs no hop to another process and no query.
Only passwords are remembered (PASS, AUTH PLAIN and LOGIN), and only as a keyed hash over all that the answer
depends on: user, listener's domain, server address, password, and the client's address where that is asked
for.  The key is random and never leaves the process; a cache that forgot the domain once gave everybody
the first user's mail (CVE-2025-30189, in another server).  A right login is kept for
``authcache-entry-lifetime``, counted from the check, so that a changed password bites after that time at the
latest; a wrong one for a few seconds, so that a client that repeats it costs no hash.  What
could not be decided is never kept.  A database that is down therefore keeps nobody out who is known.

What is remembered is the driver's own decision, its identity untouched: the mailbox is the one an
uncached login gets.  (The ancestor wrote ``+cache`` into the driver's name and then looked for
another mailbox; here only the log says so.)

When things fail: nothing can; a full cache forgets what was used least recently.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import NamedTuple

from tpop3d_py.contracts import Credentials, Decision, Mechanism, Verdict
from tpop3d_py.settings import BOOLEAN, integer, setting

#: Seconds for which a wrong password is known to be wrong.
_WRONG_SECONDS = 5.0
#: Part of the room that wrong passwords may take: whoever guesses must not push out who is known.
_WRONG_SHARE = 10
_KEY_OCTETS = 32
_DIGEST_OCTETS = 16


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """The cache of logins."""

    enable: bool = setting(
        "authcache-enable",
        BOOLEAN,
        default=False,
        summary="Remember logins that succeeded, so that the next one of the same user with the same "
        "password asks no database and hashes nothing. Each worker process has its own memory of them.",
    )
    lifetime: int = setting(
        "authcache-entry-lifetime",
        integer(1, 86_400, "seconds"),
        default=300,
        summary="How long a login is remembered after it was checked. As long may an old password, or a box "
        "that was removed, still let somebody in. (tpop3d's default was 3600.)",
    )
    use_client_host: bool = setting(
        "authcache-use-client-host",
        BOOLEAN,
        default=False,
        summary="Remember logins for the client address they came from and no other.",
    )
    entries: int = setting(
        "authcache-entries",
        integer(100, 1_000_000),
        default=10_000,
        summary="How many logins each worker process remembers, about 1 KB each; the least recently used "
        "goes first.",
    )


class _Entry(NamedTuple):
    expires: float
    decision: Decision


class LoginCache:
    """Remembers decisions about passwords; safe for several threads.

    Args:
        settings: as read from the configuration.
        clock: seconds, never set back.
    """

    def __init__(self, settings: CacheSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetime = float(settings.lifetime)
        self._with_client = settings.use_client_host
        self._clock = clock
        self._key = os.urandom(_KEY_OCTETS)
        self._lock = threading.Lock()
        self._right = _Shelf(settings.entries)
        self._wrong = _Shelf(max(1, settings.entries // _WRONG_SHARE))
        self._forgotten = float("-inf")

    def recall(self, credentials: Credentials) -> Decision | None:
        """Return what is known of a login; None if it has to be checked."""
        if credentials.mechanism is not Mechanism.PASSWORD:
            return None
        key, now = self._hash(credentials), self._clock()
        with self._lock:
            return self._right.find(key, now) or self._wrong.find(key, now)

    def learn(self, credentials: Credentials, decision: Decision, asked: float) -> None:
        """Remember a decision, if it is of a kind that is remembered.

        Args:
            credentials: what was checked.
            decision: what came out.
            asked: when the check was asked for, by the clock: what `forget` overtook is not kept.
        """
        if credentials.mechanism is not Mechanism.PASSWORD:
            return
        now = self._clock()
        if decision.verdict is Verdict.GRANTED:
            shelf, entry = self._right, _Entry(now + self._lifetime, replace(decision, cached=True))
        elif decision.verdict is Verdict.REFUSED:
            shelf, entry = self._wrong, _Entry(now + _WRONG_SECONDS, replace(decision, cached=True))
        else:
            return
        key = self._hash(credentials)
        with self._lock:
            if asked > self._forgotten:
                shelf.put(key, entry)

    def forget(self, user: str) -> None:
        """Drop what is known of an account, in any spelling, and checks of it that are under way.

        Args:
            user: the account's name as logs have it.
        """
        name = user.lower()
        with self._lock:
            self._forgotten = self._clock()
            self._right.drop_if(lambda entry: _account(entry.decision) == name)
            self._wrong.clear()  # there the account is not known; a few seconds' worth is no loss

    def __len__(self) -> int:
        """How many logins are remembered, stale ones included."""
        return len(self._right) + len(self._wrong)

    def _hash(self, credentials: Credentials) -> bytes:
        # NUL is in none of the fields: neither commands nor SASL let it through.
        peer = credentials.peer
        host = peer.client_host if self._with_client else ""
        names = f"{credentials.user}\0{peer.domain}\0{peer.server_host}\0{host}\0"
        octets = names.encode("utf-8", "surrogateescape") + credentials.secret
        return blake2b(octets, digest_size=_DIGEST_OCTETS, key=self._key).digest()


class _Shelf:
    """Entries by key, the least recently used first; not locked."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()

    def find(self, key: bytes, now: float) -> Decision | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires <= now:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry.decision

    def put(self, key: bytes, entry: _Entry) -> None:
        self._entries[key] = entry
        self._entries.move_to_end(key)
        if len(self._entries) > self._room:
            self._entries.popitem(last=False)

    def drop_if(self, unwanted: Callable[[_Entry], bool]) -> None:
        for key in [key for key, entry in self._entries.items() if unwanted(entry)]:
            del self._entries[key]

    def clear(self) -> None:
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


def _account(decision: Decision) -> str:
    return decision.identity.user.lower() if decision.identity is not None else ""
