"""The directives that mailboxes obey.

When things fail: the configuration reader reports what a `Kind` refuses, with file and line.
"""

from __future__ import annotations

from dataclasses import dataclass

from tpop3d_py.maildrop.locking import METHODS
from tpop3d_py.maildrop.maildir_options import FolderPattern, MaildirOptions
from tpop3d_py.maildrop.mbox_index import BESIDE, IndexPattern
from tpop3d_py.maildrop.patterns import Pattern
from tpop3d_py.maildrop.uidl import Style
from tpop3d_py.settings import BOOLEAN, TEXT, Kind, choice, integer, seconds, setting, words_of

_LOCK = choice(*METHODS)


def _style(word: str) -> Style:
    return Style(choice(*(style.value for style in Style)).parse(word))


_STYLE: Kind[Style] = Kind(
    " or ".join(style.value for style in Style), _style, lambda style: str(style.value)
)


@dataclass(frozen=True, slots=True)
class MaildropSettings:
    """The directives that mailboxes obey."""

    mailbox: tuple[Pattern, ...] = setting(
        "mailbox",
        words_of("list of [DRIVER:]PATH patterns", Pattern.parse),
        default=(),
        summary="Where mail lies when the login does not say: tried from left to right, with $(user),"
        " $(local_part), $(domain), $(home); DRIVER is bsd, maildir or empty.",
        example="/var/mail/$(user) maildir:$(home)/Maildir",
    )
    lowercase: bool = setting(
        "lowercase-mailbox",
        BOOLEAN,
        default=False,
        summary="Turn the whole path that a login's driver gave for its mailbox into lower case.",
    )
    uidl_style: Style = setting(
        "uidl-style",
        _STYLE,
        default=Style.STABLE,
        summary="How unique identifiers are made: stable is unique and outlives Status changes; tpop3d"
        " repeats what tpop3d told clients; qmail is a maildir's file name, and tpop3d for an mbox.",
    )
    locks: tuple[str, ...] = setting(
        "mailspool-locks",
        words_of(f"list of {', '.join(METHODS)}", _LOCK.parse),
        default=("dotlock", "fcntl"),
        summary="How to lock an mbox against its MTA while it is indexed or updated; always taken in the"
        " order dotlock, fcntl, flock, c-client.",
    )
    no_dotlock: bool = setting(
        "mailspool-no-dotfile-locking",
        BOOLEAN,
        default=False,
        summary="Do without the dotlock MAILBOX.lock, whatever mailspool-locks says.",
    )
    # A delivery holds its locks for milliseconds.  While we wait, a session thread waits: two seconds outlast
    # a slow disk, and a mail program that gets [IN-USE] tries again by itself.
    lock_timeout: float = setting(
        "mailspool-lock-timeout",
        seconds(0, 30),
        default=2.0,
        summary="How long to wait for the MTA's locks on an mbox before the client is told it is in use.",
    )
    index: IndexPattern | None = setting(
        "mailspool-index",
        IndexPattern.KIND,
        default=BESIDE,
        summary="Where the index of a large mbox lies: a path with $(name), the mailbox's path,"
        " $(path), its folder, $(file), its name, or $(escaped_name), its path with / as %2f and % as %25;"
        " none for no index.",
        example="/var/spool/pypop3d/$(escaped_name)",
    )
    reserve_kilobytes: int = setting(
        "mailspool-reserve-kilobytes",
        integer(0, 64 * 1024, "kilobytes"),
        default=256,
        summary="Disk space kept in a hidden file in each folder of mboxes, so that messages can be deleted"
        " when the disk is full; 0 for none.",
    )
    recursion: bool = setting(
        "maildir-recursion",
        BOOLEAN,
        default=False,
        summary="Show the messages of all subfolders of a maildir as if they lay in it.",
    )
    ignored_folders: tuple[FolderPattern, ...] = setting(
        "maildir-ignore-folders",
        words_of("list of folder names or ^regular expressions", FolderPattern.parse),
        default=(FolderPattern.parse("Trash"), FolderPattern.parse("Sent")),
        summary="Subfolders that maildir-recursion leaves out, without their leading dot; may be empty.",
    )
    trusts_names: bool = setting(
        "maildir-evaluate-filename",
        BOOLEAN,
        default=False,
        summary="Do not examine a message again if the size in its name is the one that was counted before.",
    )
    size_string: str = setting(
        "maildir-size-string",
        TEXT,
        default=",S=",
        summary="What stands before the size in the names of a maildir's messages.",
    )
    poplock: bool = setting(
        "maildir-exclusive-lock",
        BOOLEAN,
        default=False,
        summary="Allow one session per maildir at a time, by the folder .poplock.",
    )
    cache_kilobytes: int = setting(
        "mailbox-cache-kilobytes",
        integer(0, 4 * 1024 * 1024, "kilobytes"),
        default=32 * 1024,
        summary="Memory per process and format for what is known of mailboxes that were open before.",
    )

    @property
    def methods(self) -> tuple[str, ...]:
        """The lock methods in the order in which they are taken."""
        left_out = {"dotlock"} if self.no_dotlock else set()
        return tuple(name for name in METHODS if name in self.locks and name not in left_out)

    @property
    def maildir(self) -> MaildirOptions:
        """What concerns maildirs."""
        return MaildirOptions(
            recursion=self.recursion,
            ignored=self.ignored_folders,
            trusts_names=self.trusts_names,
            size_string=self.size_string.encode(),
            exclusive=self.poplock,
            style=self.uidl_style,
        )
