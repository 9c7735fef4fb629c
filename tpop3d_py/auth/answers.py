"""What is asked of a site's own authentication code, and what its answers mean: the ancestor's keys.

They are the same for a program on pipes (`drivers.other`) and for Python (`drivers.python`).  A question
has `method` (PASS, APOP or ONLOGIN), `user`, `local_part` and `domain` (both or neither), `pass` or
`timestamp` and `digest`, `clienthost` and `serverhost`.  An answer has `result`, YES or NO; with YES `uid`
and `gid`, as names or numbers, and perhaps `mailbox`, `mboxtype` and `domain`; and in any case perhaps
`logmsg`, which goes to the log.

When things fail: `BadAnswer`.  The password may have been right, so it must not be taken for a NO.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tpop3d_py.auth.accounts import Owner
from tpop3d_py.auth.names import Attempt
from tpop3d_py.auth.plugin import LoggedIn
from tpop3d_py.contracts import Credentials, Decision, Identity, Mechanism, Verdict
from tpop3d_py.log import INFO, Log, printable

Words = Mapping[bytes, bytes]


class BadAnswer(ValueError):
    """An answer that lacks something, or names what does not exist."""


def question(attempt: Attempt, credentials: Credentials) -> dict[bytes, bytes] | None:
    """Write a question about one reading of a login; None if its mechanism cannot be asked for."""
    if credentials.mechanism is Mechanism.PASSWORD:
        method, secret = b"PASS", {b"pass": credentials.secret}
    elif credentials.mechanism is Mechanism.APOP:
        method = b"APOP"
        secret = {b"timestamp": credentials.timestamp, b"digest": credentials.secret.lower()}
    else:
        return None  # SCRAM needs the stored form, and of a token the code knows nothing
    words = {b"method": method, b"user": attempt.user.encode()}
    if attempt.local_part is not None and attempt.domain is not None:
        words |= {b"local_part": attempt.local_part.encode(), b"domain": attempt.domain.encode()}
    peer = credentials.peer
    return words | secret | _hosts(peer.client_host, peer.server_host)


def notice(login: LoggedIn) -> dict[bytes, bytes]:
    """Write what is said about a login that has succeeded."""
    names = {b"user": login.user, b"local_part": login.local_part, b"domain": login.domain}
    words = {b"method": b"ONLOGIN", **{key: name.encode() for key, name in names.items()}}
    return words | _hosts(login.client_host, login.server_host)


def _hosts(client: str, server: str) -> dict[bytes, bytes]:
    return {b"clienthost": client.encode(), b"serverhost": server.encode()}


@dataclass(frozen=True, slots=True)
class Reader:
    """Makes decisions of answers.

    Args:
        name: of the driver.
        owner: how a mailbox's ids are found.
        log: for `logmsg`.
    """

    name: str
    owner: Owner
    log: Log

    def decide(self, attempt: Attempt, answer: Words) -> Decision:
        """Return what an answer means.

        Raises:
            BadAnswer: nothing that could be obeyed.
        """
        self.repeat(answer)
        result = answer.get(b"result", b"")
        if result == b"NO":
            return Decision(Verdict.REFUSED, detail=f"auth-{self.name} says no")
        if result != b"YES":
            raise BadAnswer(f"result is {printable(result)!r}, not YES or NO")
        return Decision(Verdict.GRANTED, self._identity(attempt, answer))

    def repeat(self, answer: Words) -> None:
        """Log what an answer wants to have logged."""
        if text := answer.get(b"logmsg"):
            self.log.write(INFO, f"auth-{self.name}: {printable(text)}")

    def _identity(self, attempt: Attempt, answer: Words) -> Identity:
        local_part, domain = attempt.local_part or "", attempt.domain or ""
        uid, gid = (_text(answer, key) for key in (b"uid", b"gid"))
        if not uid or not gid:
            raise BadAnswer("YES without uid or gid")
        try:
            account = self.owner.of(uid, gid)
        except KeyError as error:
            raise BadAnswer(error.args[0]) from None
        return Identity(
            user=f"{local_part}@{domain}" if local_part else attempt.user,
            driver=self.name,
            uid=account.uid,
            gid=account.gid,
            mailbox=_text(answer, b"mailbox"),
            mailbox_type=_text(answer, b"mboxtype"),
            local_part=local_part,
            domain=_text(answer, b"domain") or domain,
            home=account.home,
        )


def _text(answer: Words, key: bytes) -> str:
    """Return a word of an answer as the file system and the log would have it."""
    return answer.get(key, b"").decode("utf-8", "surrogateescape")
