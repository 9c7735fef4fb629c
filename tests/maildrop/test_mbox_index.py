from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.maildrop.kit import FaultyFiles, Killed, bodies, identity, mail, mbox, mbox_driver
from tpop3d_py.contracts import MaildropError
from tpop3d_py.maildrop import checked, mbox_index, mbox_memory, mbox_scan
from tpop3d_py.maildrop.files import Files
from tpop3d_py.maildrop.mbox import Mbox
from tpop3d_py.maildrop.mbox_index import BESIDE, IndexPattern
from tpop3d_py.maildrop.mbox_scan import scan
from tpop3d_py.maildrop.mbox_snapshot import MboxSnapshot
from tpop3d_py.maildrop.uidl import Style
from tpop3d_py.maildrop.wire import to_wire

MESSAGES = [mail(n, 1 + n % 7) for n in range(12)]


class Scans:
    """Notes from where mailboxes are read."""

    def __init__(self) -> None:
        self.origins: list[int] = []

    def __call__(self, fd: int, length: int, held: MboxSnapshot | None, style: Style) -> MboxSnapshot:
        self.origins.append(held.starts[-1] if held is not None else 0)
        return scan(fd, length, held, style)


@pytest.fixture(autouse=True)
def scans(monkeypatch: pytest.MonkeyPatch) -> Scans:
    """Let every mailbox be large, and every change long ago."""
    monkeypatch.setattr(mbox_index, "WORTH_OCTETS", 1)
    monkeypatch.setattr(mbox_memory, "RACY_NS", -1)
    watching = Scans()
    monkeypatch.setattr(mbox_memory, "scan", watching)
    return watching


@pytest.fixture
def box(tmp_path: Path) -> Path:
    path = tmp_path / "luser"
    path.write_bytes(mbox(MESSAGES))
    return path


def look(box: Path, *, files: Files | None = None, **options: object) -> tuple[list[int], list[bytes]]:
    """Open in a new process, so to say; return sizes and identifiers."""
    drop = mbox_driver(files, **options).open(str(box), identity())  # type: ignore[arg-type]
    found = list(drop.sizes), list(drop.uids)
    assert [len(body) for body in bodies(drop)] == found[0]
    drop.close()
    return found


def index_of(box: Path) -> Path:
    return box.parent / ".luser.pypop3d-index"


def test_a_later_process_reads_nothing_again(box: Path, scans: Scans) -> None:
    found = look(box)
    assert index_of(box).stat().st_mode & 0o777 == 0o600
    scans.origins.clear()

    class Unread(Files):
        pass

    assert look(box, files=Unread()) == found
    assert scans.origins == []


def test_identifiers_come_out_of_the_index(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, uids = look(box)
    monkeypatch.setattr(mbox_scan, "mbox_digest", None)
    drop = mbox_driver().open(str(box), identity())
    assert list(drop.uids) == uids
    drop.close()


def test_identifiers_of_another_style_do_not(box: Path) -> None:
    _, stable = look(box)
    _, classic = look(box, style=Style.TPOP3D)
    assert not set(stable) & set(classic)
    assert look(box)[1] == stable


def test_of_a_box_that_grew_only_the_end_is_read(box: Path, scans: Scans) -> None:
    sizes, uids = look(box)
    scans.origins.clear()
    with box.open("ab") as file:
        file.write(mbox([mail(90), mail(91)]))
    grown_sizes, grown_uids = look(box)
    assert scans.origins == [len(mbox(MESSAGES[:-1]))]
    assert (grown_sizes[:12], grown_uids[:12]) == (sizes, uids)
    index_of(box).unlink()
    assert look(box) == (grown_sizes, grown_uids)


def test_what_an_update_leaves_is_known(box: Path, scans: Scans) -> None:
    _, uids = look(box)
    drop = mbox_driver().open(str(box), identity())
    drop.commit([0, 5, 11], ())
    drop.close()
    scans.origins.clear()
    kept = [uid for index, uid in enumerate(uids) if index not in (0, 5, 11)]
    assert look(box)[1] == kept
    assert scans.origins == []
    index_of(box).unlink()
    assert look(box)[1] == kept


def test_an_update_of_a_box_that_grew(box: Path) -> None:
    look(box)
    drop = mbox_driver().open(str(box), identity())
    with box.open("ab") as file:
        file.write(mbox([mail(90)]))
    drop.commit([1, 2], ())
    drop.close()
    found = look(box)
    index_of(box).unlink()
    assert look(box) == found
    assert len(found[0]) == 11


def test_after_everything_is_deleted_there_is_no_index(box: Path) -> None:
    look(box)
    drop = mbox_driver().open(str(box), identity())
    drop.commit(range(12), ())
    drop.close()
    assert not index_of(box).exists()
    with box.open("ab") as file:
        file.write(mbox([mail(90)]))
    assert len(look(box)[0]) == 1


def test_no_flipped_octet_and_no_cut_changes_what_is_seen(box: Path, scans: Scans) -> None:
    found = look(box)
    good = index_of(box).read_bytes()
    for at in range(0, len(good), 3):
        index_of(box).write_bytes(good[:at] + bytes([good[at] ^ 0x40]) + good[at + 1 :])
        assert look(box) == found
    for length in range(0, len(good), 41):
        index_of(box).write_bytes(good[:length])
        assert look(box) == found
    scans.origins.clear()
    index_of(box).write_bytes(good)
    assert look(box) == found
    assert scans.origins == []


@pytest.mark.parametrize("what", ["symlink", "fifo", "directory", "other version", "foreign"])
def test_an_index_that_is_none(box: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = look(box)
    index, good = index_of(box), index_of(box).read_bytes()
    index.unlink()
    target = box.parent / "target"
    target.write_bytes(good)
    if what == "symlink":
        index.symlink_to(target)
    elif what == "fifo":
        os.mkfifo(index)
    elif what == "directory":
        index.mkdir()
    elif what == "foreign":
        monkeypatch.setattr(checked, "is_owner", lambda found, uid: False)
        index.write_bytes(good)
    else:
        index.write_bytes(good.replace(b"index 2", b"index 9"))
    assert look(box) == found
    assert target.read_bytes() == good


def status(octets: bytes) -> bytes:
    return octets.replace(b"Subject: 3\n", b"Status: RO\nSubject: 3\n")


def swapped(octets: bytes) -> bytes:
    return mbox([MESSAGES[1], MESSAGES[0], *MESSAGES[2:]])


def shorter(octets: bytes) -> bytes:
    return mbox(MESSAGES[:-2])


def front(octets: bytes) -> bytes:
    return mbox([mail(77), *MESSAGES])


def other(octets: bytes) -> bytes:
    return mbox([mail(n + 20, 1 + n % 7) for n in range(12)])


@pytest.mark.parametrize("change", [status, swapped, shorter, front, other])
def test_a_rewritten_box_is_read_again(box: Path, change: Callable[[bytes], bytes]) -> None:
    look(box)
    box.write_bytes(change(box.read_bytes()))
    with_index = look(box)
    index_of(box).unlink()
    assert look(box) == with_index


def test_an_internal_message_stays_hidden(box: Path) -> None:
    internal = mbox([b"X-IMAP: 1 2\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n\ntext\n"])
    box.write_bytes(internal + mbox(MESSAGES))
    found = look(box)
    assert len(found[0]) == 12
    with box.open("ab") as file:
        file.write(mbox([mail(90)]))
    assert len(look(box)[0]) == 13
    drop = mbox_driver().open(str(box), identity())
    drop.commit([0, 12], ())
    drop.close()
    assert box.read_bytes() == internal + mbox(MESSAGES[1:])
    assert look(box)[1] == found[1][1:]
    box.write_bytes(internal.replace(b"X-IMAP", b"X-IMUP") + mbox(MESSAGES[1:]))
    assert len(look(box)[0]) == 12


@pytest.mark.parametrize("error", [0, 28, 30])
def test_an_index_that_cannot_be_written_harms_nobody(box: Path, error: int) -> None:
    look(box)
    found = look(box)
    for at in range(1, 14):
        index_of(box).unlink(missing_ok=True)
        files = FaultyFiles()
        files.arm(at, error=error, torn=True, sticky=bool(error))
        try:
            assert look(box, files=files) == found
        except Killed:
            assert not error
        except MaildropError:
            assert error == 30  # a read-only disk has no room for locks either
        files.bury()
        assert look(box) == found


def opened(box: Path) -> Mbox:
    return mbox_driver().open(str(box), identity())


def test_a_box_rewritten_under_a_session_is_forgotten(box: Path) -> None:
    look(box)
    drop = opened(box)
    box.write_bytes(other(b""))
    with pytest.raises(MaildropError):
        drop.open(0)
    assert not index_of(box).exists()
    drop.close()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    (tmp_path / "indexes").mkdir()
    return tmp_path / "indexes"


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("$(escaped_name)", "{escaped}"),
        ("$(file).idx", "luser.idx"),
        ("$(file[0])-$(file[-1])/$(file)", "l-r/luser"),
    ],
)
def test_an_index_elsewhere(box: Path, elsewhere: Path, pattern: str, name: str) -> None:
    (elsewhere / "l-r").mkdir()
    where = IndexPattern.parse(f"{elsewhere}/{pattern}")
    assert where is not None
    look(box, index=where)
    escaped = str(box).replace("/", "%2f")
    assert (elsewhere / name.format(escaped=escaped)).exists()
    assert not index_of(box).exists()


def test_no_index_at_all(box: Path) -> None:
    look(box, index=None)
    assert sorted(os.listdir(box.parent)) == [".luser.pypop3d-lock", "luser"]


def test_an_index_folder_that_is_missing(box: Path) -> None:
    where = IndexPattern.parse(f"{box.parent}/nowhere/$(file)")
    assert look(box, index=where) == look(box)


def test_names_with_odd_characters() -> None:
    where = IndexPattern.parse("/i/$(escaped_name)")
    assert where is not None
    assert where.expand("/var/mail/a%b") == "/i/%2fvar%2fmail%2fa%25b"
    beside = IndexPattern.parse("$(path)/.$(file)-$(name[1])")
    assert beside is not None
    assert beside.expand("/m/x") == "/m/.x-m"
    wrong = IndexPattern.parse("$(path)/$(file[9])")
    assert wrong is not None
    with pytest.raises(MaildropError):
        wrong.expand("/m/x")


@pytest.mark.parametrize(
    "word", ["relative/$(file)", "/i/fixed", "/i/$(path)", "/i/$(user)", "/i/../$(file)", "/i/$(file"]
)
def test_patterns_that_are_refused(word: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        IndexPattern.parse(word)


def test_patterns_are_shown_as_they_were_written() -> None:
    kind = IndexPattern.KIND
    for text in ("none", BESIDE.text, "/i/$(escaped_name)"):
        assert kind.show(kind.parse(text)) == text


def test_bodies_through_a_grown_index(box: Path) -> None:
    look(box)
    with box.open("ab") as file:
        file.write(mbox([mail(90)]))
    drop = opened(box)
    assert bodies(drop) == [to_wire(message) for message in [*MESSAGES, mail(90)]]
    drop.close()


@pytest.mark.parametrize(
    ("column", "value"), [("starts", 1 << 63), ("ends", 5), ("heads", 60000), ("tails", 200)]
)
def test_a_forged_index_that_no_mailbox_can_have(box: Path, column: str, value: int) -> None:
    found = look(box)
    index = str(index_of(box))
    forged = mbox_index.load(Files(), index, identity(), Style.STABLE)
    assert forged is not None
    getattr(forged, column)[3] = value
    mbox_index.save(Files(), index, forged, identity(), Style.STABLE)
    assert mbox_index.load(Files(), index, identity(), Style.STABLE) is None
    assert look(box) == found
