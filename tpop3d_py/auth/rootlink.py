"""Asks the process that does what only root may: see `rootside`.

`launch` runs in an authentication process that is still root; then one question at a time.

When things fail: `Unanswered` for one question.  `HelperLost` when it never can be answered: whoever asks has
to end, and be replaced by a process that may start another.  That is also what comes of an answer that does
not come: it could be taken for the next login's.
"""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from tpop3d_py.auth import rootside
from tpop3d_py.auth.coprocess import HelperLost, Unanswered
from tpop3d_py.log import printable

#: Seconds for a question where nobody has set an alarm.
_LONGEST = 10.0
#: Seconds that an answer may be late.
_GRACE = 0.2
#: Octets of what a question holds, each with its final NUL.
_SIZES = {"name": 256, "password": 512, "address": 64}
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


class TooLong(ValueError):
    """A name or password that nobody has."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a job has to say.

    Args:
        phase: of PAM.
        result: of PAM.
        name: whom the client was taken for.
        text: what the result means, or the line that was asked for.
    """

    phase: int
    result: int
    name: str
    text: str


class RootLink:
    """One such process, for one that authenticates.

    Args:
        job: ``pam`` or ``shadow``.
        argument: the job's.
        patience: returns how many seconds there are for a question.
    """

    def __init__(self, job: str, argument: str, patience: Callable[[], float]) -> None:
        self._words = job, argument
        self._patience = patience
        self._control: socket.socket | None = None
        self._helper: subprocess.Popen[bytes] | None = None
        self._number = 0

    def launch(self) -> None:
        """Start the process.

        Raises:
            OSError: there is no room for another.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # -I -S: nothing but Python itself is loaded.  It ends when its socket does.
            self._helper = subprocess.Popen(  # noqa: S603 - arguments of ours
                [sys.executable, "-I", "-S", rootside.__file__, str(theirs.fileno()), *self._words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                cwd="/",
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._control = ours

    def ask(self, name: str, password: bytes | None = None, address: str = "") -> Answer:
        """Ask one question.

        Args:
            name: of the user; never contains NUL.
            password: the same; None: there is none to be checked.
            address: where the client is.

        Raises:
            TooLong: name or password.
            Unanswered: there is no answer.
        """
        words = name.encode(), password or b"", address.encode()
        for word, (what, most) in zip(words, _SIZES.items(), strict=True):
            if len(word) >= most:
                raise TooLong(f"the {what} is too long")
        left = min(self._patience(), _LONGEST)
        self._number = (self._number + 1) % 2**32
        packet = rootside.QUESTION.pack(self._number, math.ceil(left * 1000), password is not None, *words)
        number, outcome, phase, result, found, text = rootside.ANSWER.unpack(self._exchange(packet, left))
        if number != self._number:
            raise HelperLost("what came was the answer to another question")
        if outcome != rootside.DONE:
            raise Unanswered(printable(_text(text)))
        return Answer(phase, result, _text(found), _text(text))

    def close(self) -> None:
        """End the process; whoever just ends need not call this."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._helper is not None:
            self._helper.wait()
            self._helper = None

    def _exchange(self, packet: bytes, left: float) -> bytes:
        if self._control is None:
            raise HelperLost("there is no process that could be asked")
        try:
            self._control.settimeout(left + _GRACE)
            self._control.send(packet)
            answer = self._control.recv(rootside.ANSWER.size + 1)
        except OSError as error:
            raise HelperLost(f"the process that could be asked is gone: {error}") from None
        if len(answer) != rootside.ANSWER.size:
            raise HelperLost("the process that could be asked has ended")
        return answer


def _text(octets: bytes) -> str:
    return os.fsdecode(octets.rstrip(b"\0"))
