from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.maildrop.kit import Recorder, age, bodies, identity, mail, make_maildir, mbox
from tpop3d_py.contracts import Identity, MaildropError, MessageGone, Reason
from tpop3d_py.maildrop.empty import Empty
from tpop3d_py.maildrop.opener import MaildropSettings, Opener
from tpop3d_py.maildrop.patterns import Pattern
from tpop3d_py.maildrop.wire import to_wire
from tpop3d_py.settings import build, declarations


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    (tmp_path / "box").write_bytes(mbox([mail(1), mail(2)]))
    age(tmp_path / "box")
    make_maildir(tmp_path / "dir", [mail(3)])
    return tmp_path


def opener(*patterns: str, log: Recorder | None = None) -> Opener:
    settings = MaildropSettings(mailbox=tuple(map(Pattern.parse, patterns)), lock_timeout=0.0)
    return Opener(settings, log or Recorder())


def count(where: Opener, who: Identity) -> int:
    drop = where.open(who)
    try:
        return len(drop.sizes)
    finally:
        drop.close()


@pytest.mark.parametrize(
    ("name", "kind", "messages"),
    [
        ("box", "", 2),
        ("box", "bsd", 2),
        ("dir", "", 1),
        ("dir/", "", 1),
        ("dir", "maildir", 1),
        ("dir/", "maildir", 1),
        ("box", "empty", 0),
        ("nothing", "", 0),
        ("nothing/", "", 0),
        ("nothing", "bsd", 0),
        ("no/such/folder", "maildir", 0),
    ],
)
def test_a_given_path(spool: Path, name: str, kind: str, messages: int) -> None:
    log = Recorder()
    who = identity(mailbox=f"{spool}/{name}", mailbox_type=kind)
    assert count(opener(log=log), who) == messages
    assert log.lines == []


def test_a_drivers_own_patterns_come_first_and_are_nobody_elses(spool: Path) -> None:
    def pattern(text: str) -> Pattern:
        return Pattern.parse(f"{spool}/{text}")

    settings = MaildropSettings(mailbox=(pattern("dir"),), lock_timeout=0.0)
    own = {"one": [pattern("nosuch"), pattern("box")], "two": [pattern("nosuch")]}
    where = Opener(settings, Recorder(), own=own)
    counts = [count(where, replace(identity(), driver=name)) for name in ("one", "two", "three")]
    assert counts == [2, 1, 1]


@pytest.mark.parametrize(("name", "kind"), [("box", "maildir"), ("box/", ""), ("dir", "bsd"), ("box", "mbx")])
def test_a_path_of_another_type_is_refused(spool: Path, name: str, kind: str) -> None:
    with pytest.raises(MaildropError) as caught:
        opener().open(identity(mailbox=f"{spool}/{name}", mailbox_type=kind))
    assert caught.value.reason is Reason.MAILBOX


@pytest.mark.parametrize(
    "path",
    [
        *("box", "../box", "/x/../box", "/x\0y", "/" + "x" * 300),
        *("/", "//", "/srv/.", "/srv/./", "/srv//", "/srv/./../x", "/srv/.."),
    ],
)
def test_a_path_that_is_not_plain_is_refused(path: str) -> None:
    with pytest.raises(MaildropError) as caught:
        opener().open(identity(mailbox=path))
    assert caught.value.reason is Reason.MAILBOX


def test_patterns_are_tried_from_left_to_right(spool: Path) -> None:
    who = identity(local_part="box")
    assert count(opener(f"{spool}/no/$(local_part)", f"bsd:{spool}/$(local_part)", f"{spool}/dir/"), who) == 2
    assert count(opener(f"{spool}/no", f"{spool}/dir/", f"{spool}/box"), who) == 1
    assert count(opener("empty:", f"{spool}/box"), who) == 0


def test_an_unusable_mailbox_stops_the_search(spool: Path) -> None:
    (spool / "bad").write_bytes(b"not an mbox\n")
    with pytest.raises(MaildropError):
        opener(f"{spool}/bad", f"{spool}/box").open(identity())
    taken = opener(f"{spool}/box").open(identity())
    with pytest.raises(MaildropError) as caught:
        opener(f"{spool}/box", f"{spool}/dir/").open(identity())
    assert caught.value.reason is Reason.LOCKED
    taken.close()


def test_a_dangerous_name_stops_the_search(spool: Path) -> None:
    with pytest.raises(MaildropError):
        opener(f"{spool}/$(local_part)", f"{spool}/box").open(identity(local_part="../box"))


def test_nothing_found_is_an_empty_maildrop_and_a_warning(spool: Path) -> None:
    log = Recorder()
    assert count(opener(f"{spool}/no", log=log), identity()) == 0
    assert count(opener(log=log), identity()) == 0
    assert [line.startswith("no mailbox found for luser@klient1.pl") for line in log.lines] == [True, True]


def test_the_type_given_with_the_login_holds_for_patterns(spool: Path) -> None:
    assert count(opener(f"{spool}/dir"), identity(mailbox_type="maildir")) == 1
    with pytest.raises(MaildropError):
        opener(f"{spool}/dir").open(identity(mailbox_type="bsd"))


def test_an_empty_maildrop_has_no_messages() -> None:
    drop = Empty()
    with pytest.raises(MessageGone):
        drop.open(0)
    drop.commit([], [])
    drop.close()


def test_threads_share_one_opener(spool: Path) -> None:
    shared, failures = opener(), []
    paths = [make_maildir(spool / f"m{n}", [mail(n), mail(n + 1)]) for n in range(4)]

    def work() -> None:
        for turn in range(40):
            n = turn % 4
            drop = shared.open(identity(mailbox=paths[n]))
            if bodies(drop) != [to_wire(mail(n)), to_wire(mail(n + 1))]:
                failures.append(n)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_settings_are_read_and_shown() -> None:
    by_name = {declared.name: declared for declared in declarations(MaildropSettings)}
    kind = by_name["mailbox"].kind
    text = "bsd:/var/mail/$(user) maildir:$(home)/Maildir"
    assert kind.show(kind.parse(text)) == text
    with pytest.raises(ValueError, match="unknown variable"):
        kind.parse("/var/mail/$(usr)")
    for declared in by_name.values():
        assert declared.kind.parse(declared.default_text) == declared.default
        if declared.example:
            declared.kind.parse(declared.example)
    built = build(MaildropSettings, {"mailspool-no-dotfile-locking": True, "other": 1})
    assert built == replace(MaildropSettings(), no_dotlock=True)


def test_without_dotlock(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (spool / "box.lock").write_text("")  # nobody looks at it
    settings = MaildropSettings(no_dotlock=True, lock_timeout=0.0)
    who = identity(mailbox=f"{spool}/box")
    assert count(Opener(settings, Recorder()), who) == 2
    with pytest.raises(MaildropError):
        count(Opener(replace(settings, no_dotlock=False), Recorder()), who)
    assert (spool / "box.lock").exists()


@pytest.mark.parametrize("name", ["box", "dir"])
def test_memory_can_be_switched_off(spool: Path, name: str) -> None:
    settings = MaildropSettings(cache_kilobytes=0)
    where, who = Opener(settings, Recorder()), identity(mailbox=f"{spool}/{name}")
    assert count(where, who) == count(where, who) > 0
    assert os.path.exists(spool / name)
