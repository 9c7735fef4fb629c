"""What the server says: a catalog of texts, one field per event.

Rules: a catalog is complete, checked when it is made, and never filled from what a
client sent.  ``+OK``, ``-ERR`` and the response code come from the Reply and are not
part of a text.  The catalogs themselves are `texts_en` and `texts_pl`.

When things fail: making a catalog raises `ValueError` if a text could break a
status line (RFC 2449 section 4: at most 512 octets, one line).
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Callable

#: 512 octets less ``-ERR [LOGIN-DELAY] ``, CRLF and room for two numbers and a language tag.
LONGEST_TEXT = 400

#: Letters that Unicode does not take apart into a letter of ASCII and a mark.
_UNDIVIDED = str.maketrans({"ł": "l", "Ł": "L"})


@dataclasses.dataclass(frozen=True, slots=True)
class Counted:
    """A text about a number, in all forms that its language has.

    Args:
        forms: each with ``%d`` once, for the number.
        which: tells the index of the form that a number takes.
    """

    forms: tuple[bytes, ...]
    which: Callable[[int], int]

    def of(self, count: int) -> bytes:
        """Write the text with a number."""
        return self.forms[self.which(count)] % count


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """One catalog."""

    tag: bytes  #: the language (RFC 5646), as LANG lists it

    # Any state.
    unknown_command: bytes
    malformed_line: bytes
    line_too_long: bytes
    too_many_errors: bytes
    idle: bytes
    capabilities: bytes
    languages: bytes
    language_changed: bytes
    language_unknown: bytes

    # AUTHORIZATION.
    name_accepted: bytes
    name_wanted: bytes
    name_already_given: bytes
    wrong_words: bytes
    first_log_in: bytes
    digest_length: bytes
    digest_not_hex: bytes
    use_apop: bytes
    first_tls: bytes
    unknown_mechanism: bytes
    bad_response: bytes
    login_canceled: bytes
    begin_tls: bytes
    no_tls: bytes
    already_tls: bytes
    too_late_for_tls: bytes
    utf8_enabled: bytes
    too_late_for_utf8: bytes
    quit_before_login: bytes

    # The answer to a login.
    welcome: Counted  #: number of messages, one or more
    welcome_empty: bytes
    wrong_login: bytes
    too_many_logins: bytes
    login_unavailable: bytes
    busy: bytes
    mailbox_locked: bytes
    mailbox_broken: bytes
    forbidden: bytes

    # TRANSACTION.
    scan_list: bytes
    id_list: bytes
    message_follows: bytes
    done: bytes
    still_here: bytes
    last_removed: bytes
    which_to_retrieve: bytes
    which_to_top: bytes
    how_many_lines: bytes
    which_to_delete: bytes
    bad_line_count: bytes
    bad_number: bytes
    extra_argument: bytes
    too_many_arguments: bytes
    message_deleted: bytes
    message_gone: bytes
    cannot_send: bytes

    # UPDATE.
    goodbye: bytes
    update_failed: bytes

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Counted):
                for form in value.forms:
                    _check_number(field.name, form)
                    _check(field.name, form)
            else:
                _check(field.name, value)


def in_ascii(texts: Texts) -> Texts:
    """Write a catalog without its diacritical marks, for clients that did not ask for UTF-8 (RFC 6856)."""
    plain: dict[str, bytes | Counted] = {}
    for field in dataclasses.fields(texts):
        value = getattr(texts, field.name)
        if isinstance(value, Counted):
            plain[field.name] = Counted(tuple(map(_ascii, value.forms)), value.which)
        else:
            plain[field.name] = _ascii(value)
    return dataclasses.replace(texts, **plain)  # type: ignore[arg-type]


def _ascii(text: bytes) -> bytes:
    apart = unicodedata.normalize("NFD", text.decode().translate(_UNDIVIDED))
    return "".join(c for c in apart if not unicodedata.combining(c)).encode("ascii")


def _check(name: str, text: bytes) -> None:
    if not 0 < len(text) <= LONGEST_TEXT:
        raise ValueError(f"text {name}: must have 1 to {LONGEST_TEXT} octets")
    if not text.decode("utf-8").isprintable():
        raise ValueError(f"text {name}: must be one printable line")
    if text.startswith(b"["):
        raise ValueError(f"text {name}: would be taken for a response code (RFC 2449 section 8)")


def _check_number(name: str, text: bytes) -> None:
    if (text.count(b"%d"), text.count(b"%")) != (1, 1):
        raise ValueError(f"text {name}: must contain %d once, and no other %")
