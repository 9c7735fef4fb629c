"""Does for auth-pam and auth-passwd what only root may; a process of its own, beside each that authenticates.

Started by `rootlink.RootLink` as ``python rootside.py CONTROL JOB ARGUMENT`` while the authentication process
is still root, and asked by packets of one size on the socket CONTROL.  It is small, has one thread, loads
nothing but Python's own library and libpam, has none of our memory, and ends when the other side closes.

Each question is answered in a process made for it, which ends with it: whatever a PAM module leaks, breaks or
leaves running is gone before the next login.  It is killed, and all that it has started, when its time is up
or nobody waits any more.

The jobs:

- ``pam SERVICE``: the authentication and account phases of pam(3), as root, which many modules need.
- ``shadow``: a line of the shadow passwords.  It is not root for that where the file's group may read it.

When things fail: an answer whose outcome is `FAILED`, with a sentence.  A question of another size ends the
process; nobody but us writes there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

#: Number, milliseconds, whether there is a password to check; then name, password, and where the client is.
QUESTION = struct.Struct("!II?256s512s64s")
#: Number, outcome, phase and result of the job; then a name and a text.
ANSWER = struct.Struct("!IBBi256s512s")
DONE, FAILED = 0, 1
#: The phases of PAM.
AUTHENTICATION, ACCOUNT = 0, 1

_RESULT = struct.Struct("!BBi256s512s")
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 4, 36, 38
_IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2)
_SHADOW = "/etc/shadow"

_prctl = ctypes.CDLL(None).prctl

#: Phase, result, name, text.
Result = tuple[int, int, bytes, bytes]
#: Is given whether there is a password to check, a name, the password, and where the client is.
Job = Callable[[bool, bytes, bytes, bytes], Result]


# --- one question -----------------------------------------------------------


def _attend(job: Job, control: socket.socket, seconds: float, words: tuple[Any, ...]) -> bytes | None:
    """Have a question answered by a process of its own; None: nobody waits for the answer."""
    deadline = time.monotonic() + seconds
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        _answer(job, words, tell, (control.fileno(), told))
    os.close(tell)
    try:
        return _await(told, control, deadline)
    finally:
        os.close(told)
        _kill(pid)
        while left := _children():  # what it has started is ours when it has ended, whatever session that has
            for child in left:
                _kill(child)


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)  # the number is its own until it has been waited for
    os.waitpid(pid, 0)


def _children() -> list[int]:
    with contextlib.suppress(OSError), open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
        return [int(word) for word in file.read().split()]
    return []


def _await(told: int, control: socket.socket, deadline: float) -> bytes | None:
    poll = select.poll()
    poll.register(told, select.POLLIN)
    poll.register(control, 0)  # which tells of its end all the same
    ready = dict(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))
    if control.fileno() in ready:
        return None
    if not ready:
        return _failure("it did not answer in time")
    result = os.read(told, _RESULT.size + 1)
    return result if len(result) == _RESULT.size else _failure("its process ended without an answer")


def _failure(text: str) -> bytes:
    return _RESULT.pack(FAILED, 0, 0, b"", text.encode())


def _answer(job: Job, words: tuple[Any, ...], tell: int, fds: tuple[int, ...]) -> NoReturn:
    """Be the process that answers."""
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        for fd in fds:
            os.close(fd)
        for number in _IGNORED:
            signal.signal(number, signal.SIG_DFL)  # as programs that modules start expect it
        checks, *texts = words
        os.write(tell, _run(job, checks, *(text.rstrip(b"\0") for text in texts)))
    finally:
        os._exit(0)


def _run(job: Job, checks: bool, *words: bytes) -> bytes:
    try:
        phase, result, name, text = job(checks, *words)
    except OSError as error:
        return _failure(str(error))
    if len(name) >= 256 or len(text) >= 512:
        return _failure("the answer is too long")
    return _RESULT.pack(DONE, phase, result, name, text)


# --- PAM --------------------------------------------------------------------

_SUCCESS, _BUFFER_ERROR, _CONVERSATION_ERROR = 0, 5, 19
_HIDDEN, _VISIBLE = 1, 2
_USER, _TTY, _RHOST, _FAIL_DELAY = 2, 3, 4, 10
_DISALLOW_NULL, _SILENT = 0x0001, 0x8000
_MOST_MESSAGES = 32


class _Message(ctypes.Structure):
    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


class _Response(ctypes.Structure):
    _fields_ = (("text", ctypes.c_void_p), ("code", ctypes.c_int))


_CONVERSE = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.POINTER(_Message)),
    ctypes.POINTER(ctypes.POINTER(_Response)),
    ctypes.c_void_p,
)
_DELAY = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)


class _Conversation(ctypes.Structure):
    _fields_ = (("converse", _CONVERSE), ("data", ctypes.c_void_p))


class Pam:
    """The job ``pam``.

    Args:
        service: name of the file in /etc/pam.d.
    """

    def __init__(self, service: str) -> None:
        self._service = service.encode()
        self._pam = ctypes.CDLL("libpam.so.0")
        self._pam.pam_strerror.restype = ctypes.c_char_p
        self._libc = ctypes.CDLL(None)
        self._libc.calloc.restype = self._libc.strdup.restype = ctypes.c_void_p
        # We answer wrong passwords late ourselves, and not here, where others would have to wait.
        self._no_delay = _DELAY(lambda _result, _microseconds, _data: None)

    def __call__(self, checks: bool, user: bytes, password: bytes, client: bytes) -> Result:
        """Ask about a login; without a password only whether the account may be used."""
        handle = ctypes.c_void_p()
        # Modules keep pointers to these.
        converse = _CONVERSE(self._answers(password))
        conversation = _Conversation(converse, None)
        result = self._pam.pam_start(self._service, user, ctypes.byref(conversation), ctypes.byref(handle))
        if result != _SUCCESS:
            return AUTHENTICATION, result, user, b"pam_start"
        phase, result = self._phases(handle, checks, client)
        name = self._name(handle) if result == _SUCCESS else user
        text = self._pam.pam_strerror(handle, result) or b""
        self._pam.pam_end(handle, result)
        return phase, result, name, text[:400]

    def _phases(self, handle: ctypes.c_void_p, checks: bool, client: bytes) -> tuple[int, int]:
        pam = self._pam
        pam.pam_set_item(handle, _FAIL_DELAY, self._no_delay)
        for item, text in ((_RHOST, client), (_TTY, b"pop3")):
            if (result := pam.pam_set_item(handle, item, text)) != _SUCCESS:
                return AUTHENTICATION, result
        flags = _SILENT | _DISALLOW_NULL
        if checks and (result := pam.pam_authenticate(handle, flags)) != _SUCCESS:
            return AUTHENTICATION, result
        return ACCOUNT, pam.pam_acct_mgmt(handle, flags)

    def _name(self, handle: ctypes.c_void_p) -> bytes:
        """Return whom the modules have taken the client for."""
        text = ctypes.c_char_p()
        self._pam.pam_get_item(handle, _USER, ctypes.byref(text))
        return text.value or b""

    def _answers(self, password: bytes) -> Callable[..., int]:
        """Make what answers every hidden prompt with the password, and no other."""

        def converse(count: int, messages: Any, responses: Any, _data: object) -> int:
            if not 0 < count <= _MOST_MESSAGES:
                return _CONVERSATION_ERROR
            memory = self._libc.calloc(ctypes.c_size_t(count), ctypes.c_size_t(ctypes.sizeof(_Response)))
            if not memory:
                return _BUFFER_ERROR
            answers = ctypes.cast(memory, ctypes.POINTER(_Response))
            for number in range(count):
                style = messages[number].contents.style
                if style == _VISIBLE:
                    return _CONVERSATION_ERROR
                if style == _HIDDEN:
                    answers[number].text = self._libc.strdup(password)
            responses[0] = answers
            return _SUCCESS

        return converse


# --- shadow passwords -------------------------------------------------------


class _Shadow(ctypes.Structure):
    """A struct spwd of shadow.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("password", ctypes.c_char_p),
        *((name, ctypes.c_long) for name in ("changed", "least", "most", "warn", "inactive", "expires")),
        ("flag", ctypes.c_ulong),
    )


def shadow(_checks: bool, user: bytes, _password: bytes, _client: bytes) -> Result:
    """The job ``shadow``: the text is ``CHANGED:MOST:EXPIRES:PASSWORD``, days as in shadow(5).

    Without an entry the name is empty.

    Raises:
        OSError: it may not be read.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.getspnam.restype = ctypes.POINTER(_Shadow)
    ctypes.set_errno(0)
    found = libc.getspnam(user)
    if found:
        entry = found.contents
        days = f"{entry.changed}:{entry.most}:{entry.expires}:".encode()
        return 0, 0, entry.name, days + (entry.password or b"")
    if (number := ctypes.get_errno()) and not os.access(_SHADOW, os.R_OK, effective_ids=True):
        raise OSError(number, os.strerror(number), _SHADOW)
    return 0, 0, b"", b""


def _be_no_more_than_a_reader() -> None:
    """Stop being root if the group of the file is enough."""
    info = os.stat(_SHADOW)
    if os.geteuid() != 0 or info.st_gid == 0 or not info.st_mode & stat.S_IRGRP:
        return
    nobody = 65534
    os.setgroups([info.st_gid])
    os.setresgid(info.st_gid, info.st_gid, info.st_gid)
    os.setresuid(nobody, nobody, nobody)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


# --- the process ------------------------------------------------------------


def serve(control: socket.socket, job: Job) -> None:
    """Answer questions until the other side closes."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    while packet := control.recv(QUESTION.size + 1):
        number, milliseconds, *words = QUESTION.unpack(packet)
        result = _attend(job, control, milliseconds / 1000, tuple(words))
        if result is None:
            return
        control.send(ANSWER.pack(number, *_RESULT.unpack(result)))


def _job(name: str, argument: str) -> Job:
    if name == "pam":
        return Pam(argument)
    _be_no_more_than_a_reader()
    return shadow


def _unable(error: OSError) -> Job:
    def fail(*_: object) -> Result:
        raise error

    return fail


def main(arguments: list[str]) -> None:
    """Be the process; see the module's description for the arguments."""
    control, name, argument = arguments
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    os.set_inheritable(int(control), False)
    # A crash must leave no passwords behind, and nobody may look into us.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    try:
        job = _job(name, argument)
    except OSError as error:
        job = _unable(error)
    serve(socket.socket(fileno=int(control)), job)


if __name__ == "__main__":
    main(sys.argv[1:])
