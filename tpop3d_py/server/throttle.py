"""Slows down who guesses passwords, and spares who owns the account.

Counted are different wrong passwords of one user from one network, and different users with wrong logins
from one network.  The same wrong password counts once: a mail program that has an old one repeats it and is
not slowed down.  Beyond a number that is free, a login waits before it is checked, longer and longer; at ten
times that number it is refused unchecked.  All of it is the network's: the same user gets in from anywhere
else, so nobody can lock anybody out.  Where a user has logged in lately nothing of it applies to him.

Rules: who waits does so before the check, and whether it was remembered is not looked up sooner either: a
right password waits like a wrong one, and whoever hangs up has learned nothing.  A refusal waits as long as
the slowest check and has the words of a wrong password.  The listed networks (a webmail's, where everybody
comes from) are not counted as one, and a login from there waits at most.  Digests and proofs, of which
none is ever the same, all count as different.

Nothing can be tested against what is stored: of a password it is the place of one bit among sixty-four,
by a hash with a key that was made at the start and is told nobody.  Spellings of a name that lead to the same
account are different users here; each has its own free tries, and they count against the network.

When things fail: nothing here can; a full table forgets what has been quiet longest (see `wrongs`).
"""

from __future__ import annotations

import functools
import ipaddress
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from tpop3d_py.contracts import Credentials, Verdict
from tpop3d_py.log import Log, quoted
from tpop3d_py.server.networks import NETWORKS, Networks, plain
from tpop3d_py.server.wrongs import BITS, Wrongs, count
from tpop3d_py.settings import BOOLEAN, integer, setting

#: Seconds that logins wait at each step.
_DELAYS = (0.0, 2.0, 4.0, 8.0, 15.0)
#: How many times the free number it takes to be refused.
_REFUSED_AT = 10
_NETWORKS_KEPT = 4096
_LOOPBACK = Networks((ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")))


@dataclass(frozen=True, slots=True)
class ThrottleSettings:
    """Slowing down who guesses passwords."""

    enable: bool = setting(
        "throttle-enable",
        BOOLEAN,
        default=True,
        summary="Have logins wait, and in the end be refused, from networks that send many different wrong "
        "passwords. Other networks, and those where the same user has logged in lately, are not affected.",
    )
    passwords: int = setting(
        "throttle-passwords",
        integer(1, 20),
        default=5,
        summary="How many different wrong passwords of one user a network may send at full speed; beyond "
        "that its logins as this user wait 2, 4, 8 and 15 s, and at ten times as many they are refused.",
    )
    users: int = setting(
        "throttle-users",
        integer(1, 20),
        default=10,
        summary="How many different users with wrong logins a network may have at full speed; beyond that "
        "all its logins wait, and at ten times as many they are refused.",
    )
    seconds: int = setting(
        "throttle-seconds",
        integer(10, 86_400, "seconds"),
        default=900,
        summary="After how long without another wrong login everything is forgiven.",
    )
    known: int = setting(
        "throttle-known-seconds",
        integer(0, 31_536_000, "seconds"),
        default=1_209_600,
        summary="For how long after a login its network is not slowed down for the same user. It is known "
        "until the server is restarted; reading the settings again keeps it.",
    )
    ipv4: int = setting(
        "throttle-ipv4-prefix",
        integer(8, 32, "bits"),
        default=32,
        summary="How many bits of an IPv4 address make a network.",
    )
    ipv6: int = setting(
        "throttle-ipv6-prefix",
        integer(32, 128, "bits"),
        default=64,
        summary="How many bits of an IPv6 address make a network.",
    )
    shared: Networks = setting(
        "throttle-shared-networks",
        NETWORKS,
        default=_LOOPBACK,
        summary="Networks that many users share, such as that of a webmail server: they are not slowed down "
        "as a whole, and nobody is refused there; logins as a user whose password is guessed there wait.",
    )


class Step(NamedTuple):
    """What becomes of a login.

    Args:
        delay: seconds it waits before anything is looked up.
        refused: whether it is refused then.
    """

    delay: float
    refused: bool = False


_FREE = Step(0.0)


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known of users and networks; the master's, over all readings of the settings.

    Who has logged in is a table of its own, which guessing does not fill.
    """

    wrong: Wrongs = field(default_factory=Wrongs)
    known: Wrongs = field(default_factory=Wrongs)
    key: bytes = field(default_factory=lambda: os.urandom(32))

    def hash(self, *words: bytes) -> int:
        """Name something so that nobody can tell what it is; not 0."""
        text = b"\0".join(words)  # NUL is in none of the fields
        return int.from_bytes(blake2b(text, digest_size=8, key=self.key).digest(), "little") or 1


class _Who(NamedTuple):
    user: int
    network: int
    name: str
    shared: bool


class Throttle:
    """Judges logins, and learns from what became of them; all threads of all processes may at once.

    Args:
        settings: as read from the configuration.
        memory: what is known.
        log: told once at each step.
        clock: seconds, never set back.
    """

    def __init__(
        self,
        settings: ThrottleSettings,
        memory: Memory,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._memory = memory
        self._log = log
        self._clock = clock
        self._place = functools.lru_cache(_NETWORKS_KEPT)(self._place_of)

    def judge(self, credentials: Credentials) -> Step:
        """Tell what becomes of a login."""
        who, now = self._who(credentials), self._clock()
        if self._is_known(who, now):
            return _FREE
        settings, wrong, since = self._settings, self._memory.wrong, now - self._settings.seconds
        own = _level(wrong.bits(who.user, who.network, since), settings.passwords)
        if who.shared:
            return _step(own)._replace(refused=False)
        return _step(max(own, _level(wrong.bits(0, who.network, since), settings.users)))

    def learn(self, credentials: Credentials, verdict: Verdict) -> None:
        """Take note of what became of a login that was checked, or remembered."""
        if verdict not in (Verdict.GRANTED, Verdict.REFUSED):
            return
        who, now = self._who(credentials), self._clock()
        if verdict is Verdict.GRANTED:
            self._memory.known.touch(who.user, who.network, now)
            self._memory.wrong.clear(who.user, who.network)
        elif not self._is_known(who, now):
            self._blame(who, credentials, now)

    def forgive(self, whom: str) -> int:
        """Forget what is held against a network, given by one of its addresses, or a user, as he logs in.

        Returns:
            how many entries there were.
        """
        try:
            name, _ = self._network(whom.partition("/")[0])
        except ValueError:
            name = whom.lower()
        return self._memory.wrong.forgive(self._hash(name))

    def _blame(self, who: _Who, credentials: Credentials, now: float) -> None:
        settings, wrong, since = self._settings, self._memory.wrong, now - self._settings.seconds
        sent = (credentials.secret, credentials.timestamp, *credentials.exchange)
        password = 1 << self._memory.hash(who.user.to_bytes(8), *sent) % BITS
        bits = wrong.add(who.user, who.network, password, now, since)
        self._tell(
            bits, settings.passwords, who, credentials, f"as `{quoted(credentials.user)}' ", "passwords"
        )
        if not who.shared:
            bits = wrong.add(0, who.network, 1 << who.user % BITS, now, since)
            self._tell(bits, settings.users, who, credentials, "", "users")

    def _tell(
        self, bits: tuple[int, int], free: int, who: _Who, credentials: Credentials, whose: str, what: str
    ) -> None:
        before, after = (_level(each, free) for each in bits)
        if after == before:
            return
        step = _step(after)
        fate = "are refused" if step.refused and not who.shared else f"wait {step.delay:g} s"
        self._log.warning(
            f"throttle: client {credentials.peer.client_host}: network {who.name}: about {count(bits[1])} "
            f"different wrong {what}; logins {whose}from there {fate}"
        )

    def _is_known(self, who: _Who, now: float) -> bool:
        return bool(self._memory.known.bits(who.user, who.network, now - self._settings.known))

    def _who(self, credentials: Credentials) -> _Who:
        peer = credentials.peer
        name, shared = self._place(peer.client_host)
        user = credentials.user.lower()
        if "@" not in user and peer.domain:
            user = f"{user}@{peer.domain}"
        return _Who(self._hash(user), self._hash(name), name, shared)

    def _hash(self, text: str) -> int:
        return self._memory.hash(text.encode("utf-8", "surrogateescape"))

    def _place_of(self, host: str) -> tuple[str, bool]:
        try:
            return self._network(host)
        except ValueError:  # no address: whatever it is, it is a network of its own
            return host, False

    def _network(self, host: str) -> tuple[str, bool]:
        """Name the network of an address, and tell whether many users share it."""
        address = ipaddress.ip_address(plain(host))
        bits = self._settings.ipv4 if address.version == 4 else self._settings.ipv6
        return str(ipaddress.ip_network((address, bits), strict=False)), self._settings.shared.contains(host)


def _level(bits: int, free: int) -> int:
    """Tell how many times the free number was reached; at most what it takes to be refused."""
    wrong = count(bits)
    return min((wrong - 1) // free, _REFUSED_AT) if wrong > free else 0


def _step(level: int) -> Step:
    return Step(_DELAYS[min(level, len(_DELAYS) - 1)], level >= _REFUSED_AT)
