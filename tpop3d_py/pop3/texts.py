"""What the server says: catalogs of texts, one field per event.

Rules: a catalog is complete, checked when it is made, and never filled from what a
client sent.  ``+OK``, ``-ERR`` and the response code come from the Reply and are not
part of a text.  `CLASSIC` has the words of the server we follow, so that users, help
pages and scripts find what they know.

When things fail: making a catalog raises `ValueError` if a text could break a
status line (RFC 2449 section 4: at most 512 octets, one line).
"""

from __future__ import annotations

import dataclasses

#: 512 octets less ``-ERR [LOGIN-DELAY] ``, CRLF and room for two numbers.
LONGEST_TEXT = 400


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """One catalog; ``%d`` stands for a number where the field says so."""

    # Any state.
    unknown_command: bytes
    malformed_line: bytes
    line_too_long: bytes
    too_many_errors: bytes
    idle: bytes
    capabilities: bytes

    # AUTHORIZATION.
    name_accepted: bytes
    name_wanted: bytes
    name_already_given: bytes
    wrong_words: bytes
    first_log_in: bytes
    digest_length: bytes
    digest_not_hex: bytes
    unknown_mechanism: bytes
    bad_response: bytes
    login_canceled: bytes
    no_tls: bytes
    too_late_for_tls: bytes
    quit_before_login: bytes

    # The answer to a login.
    welcome: bytes  #: %d: number of messages, one or more
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
            _check(field.name, getattr(self, field.name))


def _check(name: str, text: bytes) -> None:
    if not 0 < len(text) <= LONGEST_TEXT:
        raise ValueError(f"text {name}: must have 1 to {LONGEST_TEXT} octets")
    if not text.decode("utf-8").isprintable():
        raise ValueError(f"text {name}: must be one printable line")
    if text.startswith(b"["):
        raise ValueError(f"text {name}: would be taken for a response code (RFC 2449 section 8)")
    if name == "welcome" and (text.count(b"%d"), text.count(b"%")) != (1, 1):
        raise ValueError(f"text {name}: must contain %d once, and no other %")


CLASSIC = Texts(
    unknown_command=b"Do you actually know how to use this thing?",
    malformed_line=b"I can't read that. Plain printable ASCII, please.",
    line_too_long=b"That line was too long for me.",
    too_many_errors=b"That's quite enough nonsense for one day. I give up.",
    idle=b"You can hang around all day if you like. I have better things to do.",
    capabilities=b"Capability list follows",
    name_accepted=b"Tell me your password.",
    name_wanted=b"What's your name?",
    name_already_given=b"But you already said `USER'.",
    wrong_words=b"No, that's not right.",
    first_log_in=b"Not now. First log in.",
    digest_length=b"Try again, but get it right next time.",
    digest_not_hex=b"Clueless bunny!",
    unknown_mechanism=b"I don't know that way of logging in.",
    bad_response=b"Is that supposed to be an answer?",
    login_canceled=b"Suit yourself.",
    no_tls=b"Sorry, TLS not available",
    too_late_for_tls=b"It's a bit late for that now, isn't it?",
    quit_before_login=b"Fine. Be that way.",
    # Later ancestors said "You have exactly one message."; the paper's session, which we promise, did not.
    welcome=b"Welcome aboard! You have %d messages.",
    welcome_empty=b"Welcome aboard! You have no messages at all.",
    wrong_login=b"Lies! Try again!",
    too_many_logins=b"This is ridiculous. I give up.",
    login_unavailable=b"Sorry, I can't check who you are just now. Please come back later.",
    busy=b"Sorry, I'm too busy right now",
    mailbox_locked=b"Unable to open mailbox; it may be locked by another concurrent session.",
    mailbox_broken=b"Unable to open mailbox; it may be locked by another concurrent session.",
    forbidden=b"Everything's really bad",
    scan_list=b"Scan list follows:",
    id_list=b"ID list follows:",
    message_follows=b"Message follows",
    done=b"Done.",
    still_here=b"I'm still here.",
    last_removed=b"Sorry, the LAST command was removed in RFC1725.",
    which_to_retrieve=b"Which message do you want to see?",
    which_to_top=b"What do you want to see?",
    how_many_lines=b"But how much do you want to see?",
    which_to_delete=b"But which message do you want to delete?",
    bad_line_count=b"Can you actually count?",
    bad_number=b"That does not compute.",
    extra_argument=b"Nope, that doesn't sound right at all.",
    too_many_arguments=b"Already, you have told me too much.",
    message_deleted=b"That message is no more.",
    message_gone=b"Can't send that message; it may have been deleted by a concurrent session",
    cannot_send=b"Cannot send message",
    goodbye=b"Done",
    update_failed=b"Something went wrong.",
)
