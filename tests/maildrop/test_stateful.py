"""A maildrop against the simplest model there is: a list of messages.

Random deliveries, deletions, sessions, retrievals, crashes, failures and losses of the index, in both
formats.  What the model says is there must be there, once, in order, octet for octet, with an identifier
that does not change and is never given to another message.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.maildrop.kit import (
    FROM,
    FaultyFiles,
    Killed,
    identity,
    maildir_driver,
    make_maildir,
    mbox_driver,
)
from tpop3d_py.contracts import Maildrop, MaildropError
from tpop3d_py.maildrop import maildir_index, mbox_index
from tpop3d_py.maildrop.maildir import MaildirDriver
from tpop3d_py.maildrop.mbox import MboxDriver
from tpop3d_py.maildrop.wire import to_wire

CONTENT = st.lists(
    st.sampled_from([b"text", b".", b"From here on", b">From x", b"", b"\r", b"Status: RO", b"x" * 300]),
    max_size=6,
)


class Box(ABC):
    """A mailbox of one format, as its MTA and its disk see it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "luser"

    @abstractmethod
    def deliver(self, number: int, content: bytes) -> None:
        """Deliver a message as an MTA does."""

    @abstractmethod
    def driver(self, files: FaultyFiles) -> MboxDriver | MaildirDriver:
        """Make the driver that opens it."""


class MboxBox(Box):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path.write_bytes(b"")

    def deliver(self, number: int, content: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(FROM + content + b"\n")

    def driver(self, files: FaultyFiles) -> MboxDriver:
        return mbox_driver(files, window=80, reserve=16 * 1024)


class MaildirBox(Box):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        make_maildir(self.path)

    def deliver(self, number: int, content: bytes) -> None:
        temporary = self.path / "tmp" / "x"
        temporary.write_bytes(content)
        temporary.rename(self.path / "new" / f"{1000 + number}.M{number}P1.host,S={len(content)}")

    def driver(self, files: FaultyFiles) -> MaildirDriver:
        return maildir_driver(files)


class Machine(RuleBasedStateMachine):
    make: ClassVar[type[Box]]

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="stateful"))
        self.box = type(self).make(self.folder)
        self.model: list[bytes] = []
        self.ids: dict[bytes, bytes] = {}
        self.delivered = 0
        self.drop: Maildrop | None = None
        self.shown: list[bytes] = []
        self.files = FaultyFiles()
        self.driver = self.box.driver(self.files)

    def teardown(self) -> None:
        self.leave()
        shutil.rmtree(self.folder, ignore_errors=True)

    def leave(self) -> None:
        if self.drop is not None:
            self.drop.close()
            self.drop = None

    @rule(lines=CONTENT)
    def deliver(self, lines: list[bytes]) -> None:
        self.delivered += 1
        content = b"Message-Id: <%d@x>\n\n" % self.delivered + b"".join(line + b"\n" for line in lines)
        self.box.deliver(self.delivered, content)
        self.model.append(content)

    @precondition(lambda self: self.drop is None)
    @rule(restarts=st.booleans())
    def open(self, restarts: bool) -> None:
        if restarts:
            self.driver = self.box.driver(self.files)
        self.drop = self.driver.open(str(self.box.path), identity())
        self.shown = list(self.model)
        assert list(self.drop.sizes) == [len(to_wire(message)) for message in self.shown]

    @precondition(lambda self: self.drop is not None)
    @rule()
    def list_identifiers(self) -> None:
        assert self.drop is not None
        uids = list(self.drop.uids)
        assert len(set(uids)) == len(uids) == len(self.shown)
        for uid, message in zip(uids, self.shown, strict=True):
            assert self.ids.setdefault(uid, message) == message
        assert len(set(self.ids.values())) == len(self.ids)

    @precondition(lambda self: self.drop is not None and self.shown)
    @rule(data=st.data())
    def retrieve(self, data: st.DataObject) -> None:
        assert self.drop is not None
        index = data.draw(st.integers(0, len(self.shown) - 1))
        body = self.drop.open(index)
        assert b"".join(body) == to_wire(self.shown[index])
        body.close()

    @precondition(lambda self: self.drop is not None)
    @rule(data=st.data())
    def quit(self, data: st.DataObject) -> None:
        assert self.drop is not None
        deleted, retrieved = self.choose(data), self.choose(data)
        self.drop.commit(deleted, retrieved)
        self.forget(deleted)
        self.leave()

    @precondition(lambda self: self.drop is not None)
    @rule()
    def hang_up(self) -> None:
        self.leave()

    @precondition(lambda self: self.drop is not None)
    @rule(data=st.data(), at=st.integers(1, 30), torn=st.booleans())
    def crash(self, data: st.DataObject, at: int, torn: bool) -> None:
        assert self.drop is not None
        deleted = self.choose(data)
        self.files.arm(at, torn=torn)
        try:
            self.drop.commit(deleted, self.choose(data))
            self.forget(deleted)
            self.files.arm()
            self.leave()
            return
        except Killed:
            self.files.bury()
        self.drop = None
        self.files = FaultyFiles()
        self.driver = self.box.driver(self.files)
        self.settle(deleted)

    @precondition(lambda self: self.drop is not None)
    @rule(
        data=st.data(),
        at=st.integers(1, 30),
        error=st.sampled_from([errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EMFILE]),
        sticky=st.booleans(),
    )
    def fail(self, data: st.DataObject, at: int, error: int, sticky: bool) -> None:
        assert self.drop is not None
        deleted = self.choose(data)
        self.files.arm(at, error=error, sticky=sticky, opens=error == errno.EMFILE)
        try:
            self.drop.commit(deleted, self.choose(data))
            done = True
        except MaildropError:
            done = False
        self.files.arm()
        self.leave()
        if done:
            self.forget(deleted)
        else:
            self.settle(deleted)

    @precondition(lambda self: self.drop is None)
    @rule(octet=st.integers(0, 4000))
    def damage_the_index(self, octet: int) -> None:
        for index in (self.folder / ".luser.pypop3d-index", self.box.path / maildir_index.NAME):
            if index.exists():
                octets = bytearray(index.read_bytes())
                octets[octet % len(octets)] ^= 0x10
                index.write_bytes(octets)

    @invariant()
    def no_descriptor_is_lost(self) -> None:
        assert len(os.listdir("/proc/self/fd")) < 200

    def choose(self, data: st.DataObject) -> list[int]:
        return sorted(data.draw(st.sets(st.integers(0, len(self.shown) - 1)))) if self.shown else []

    def forget(self, deleted: list[int]) -> None:
        for index in deleted:
            self.model.remove(self.shown[index])

    def settle(self, deleted: list[int]) -> None:
        """After an accident any of the deleted may be there or not; nothing else may have changed."""
        drop = self.box.driver(FaultyFiles()).open(str(self.box.path), identity())
        found = []
        for index in range(len(drop.sizes)):
            body = drop.open(index)
            found.append(b"".join(body))
            body.close()
        drop.close()
        doomed = {to_wire(self.shown[index]) for index in deleted}
        expected = [message for message in self.model if to_wire(message) in found]
        assert [to_wire(message) for message in expected] == found
        assert all(to_wire(message) in doomed for message in self.model if message not in expected)
        self.model = expected


class MboxMachine(Machine):
    make = MboxBox


class MaildirMachine(Machine):
    make = MaildirBox


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("machine", [MboxMachine, MaildirMachine])
def test_a_maildrop_is_a_list_of_messages(machine: type[Machine], is_large: bool) -> None:
    worth = 1 if is_large else 1 << 30
    with (
        mock.patch.object(mbox_index, "WORTH_OCTETS", worth),
        mock.patch.object(maildir_index, "_WORTH_MESSAGES", worth),
    ):
        machine.TestCase.settings = settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        machine.TestCase().runTest()
