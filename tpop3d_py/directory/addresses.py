"""Which names the directory accepts, and the one form in which it stores them.

Names become SQL values, file names, lines of MTA data and log text, so they are
checked once, here, and stored in one form: lower case, domains as A-labels.
The stored form is what Exim, Postfix and pypop3d look up.

Local parts are the ``dot-atom`` of RFC 5322 section 3.2.3 with all its
punctuation (``o'hara``, ``jan+praca``, ``a&b``), less what a file name, an MTA
or a login name cannot bear:

- ``/`` would leave the domain's directory; a leading dot would hide the file;
- a leading ``|`` is a command to an MTA that builds targets from it;
- a final ``.lock`` would be the dotlock of another box;
- capitals are folded; other scripts are refused, since MTAs fold them differently;
- ``_default_`` is the catch-all and never a box.

When things fail: `BadAddress` with one line that shows the name, escaped.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from tpop3d_py.directory.errors import BadAddress
from tpop3d_py.log import printable

#: The local part of a forwarder that takes what no box and no other forwarder takes.
CATCH_ALL = "_default_"

#: RFC 5321 section 4.5.3.1: octets of a local part, and of a whole address (a path less its brackets).
_LONGEST_LOCAL_PART = 64
_LONGEST_ADDRESS = 254
#: RFC 1035 section 2.3.4, less the length octet and the root.
_LONGEST_DOMAIN = 253
#: What the columns ``path`` and ``mbox_name`` hold.
_LONGEST_COLUMN = 255

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ATOM_TEXT = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+")


@dataclass(frozen=True, slots=True)
class Address:
    """A local part in a domain, both in stored form."""

    local_part: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local_part}@{self.domain}"


def domain_name(text: str) -> str:
    """Check a domain name and return its stored form: A-labels in lower case (RFC 5890 section 2.3.2.1).

    Raises:
        BadAddress: it cannot be a mail domain.
    """
    _refuse_controls(text, "domain")
    name = text.lower() if text.isascii() else _to_ascii(text)
    if len(name) > _LONGEST_DOMAIN:
        raise _bad("domain", text, f"is longer than {_LONGEST_DOMAIN} octets")
    labels = name.split(".")
    for label in labels:
        _check_label(label, text)
    if labels[-1].isdigit():
        raise _bad("domain", text, "looks like an IP address")
    return name


def _to_ascii(text: str) -> str:
    if len(text) > _LONGEST_DOMAIN:  # the codec takes time that grows with the square of the length
        raise _bad("domain", text, f"is longer than {_LONGEST_DOMAIN} octets")
    try:
        return text.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise _bad("domain", text, "has no form for the DNS (IDNA)") from None


def _check_label(label: str, text: str) -> None:
    if not label:
        raise _bad("domain", text, "has an empty part: mind its dots")
    if len(label) > 63:
        raise _bad("domain", text, "has a part longer than 63 octets")
    if not _LABEL.fullmatch(label):
        raise _bad("domain", text, "may have letters, digits, dots, and hyphens inside only")


def local_part(text: str) -> str:
    """Check the local part of a box or forwarder and return its stored form.

    Raises:
        BadAddress: it cannot name a box.
    """
    _check_dot_atom(text, text)
    if "/" in text:
        raise _bad("local part", text, "must not contain '/'")
    if text.startswith("|"):
        raise _bad("local part", text, "must not begin with '|'")
    name = text.lower()
    if name.startswith(CATCH_ALL):
        raise _bad("local part", text, f"begins with '{CATCH_ALL}', reserved for the catch-all")
    if name.endswith(".lock"):
        raise _bad("local part", text, "must not end with '.lock': that is another box's lock file")
    return name


def forwarder_local_part(text: str) -> str:
    """Like `local_part`, but the catch-all is allowed too."""
    return CATCH_ALL if text == CATCH_ALL else local_part(text)


def address(text: str) -> Address:
    """Check ``LOCAL@DOMAIN`` of a box.

    Raises:
        BadAddress: one of its parts cannot be used, or it is too long.
    """
    return join(*_split(text))


def join(local: str, domain: str) -> Address:
    """Check the two parts of a box's address, and the length of the whole."""
    return _measured(Address(local_part(local), domain_name(domain)))


def forwarder(local: str, domain: str) -> Address:
    """Check the two parts of a forwarder's address: like `join`, but the catch-all is allowed."""
    return _measured(Address(forwarder_local_part(local), domain_name(domain)))


def target(text: str, domain: str) -> Address:
    """Check where a forwarder leads; a name without ``@`` is in the forwarder's own domain.

    Only an address can pass: no command, file, include or quoted string, which an MTA would obey.
    The local part keeps its case, because it may be somebody else's (RFC 5321 section 2.4).

    Raises:
        BadAddress: it is not an address, or too long.
    """
    if text.startswith(("|", "/", ":", '"')):
        raise _bad("target", text, "must be an address: no command, file, list or quoted text")
    if "@" not in text:
        text = f"{text}@{domain}"
    local, where = _split(text)
    _check_dot_atom(local, text)
    if "#" in local or "|" in local:
        raise _bad("target", text, "must not contain '#' or '|'")
    if local.lower().startswith(CATCH_ALL):
        raise _bad("target", text, f"begins with '{CATCH_ALL}', reserved for the catch-all")
    return _measured(Address(local, domain_name(where)))


def mbox_name(text: str) -> str:
    """Check the file name of a box: one path component, with a final slash for a maildir.

    Raises:
        BadAddress: it would leave or hide in the domain's directory.
    """
    _refuse_controls(text, "mailbox name")
    name = text.removesuffix("/")
    if not name or "/" in name:
        raise _bad("mailbox name", text, "must be one file name, with a final '/' for a maildir")
    if name.startswith(".") or ".." in name:
        raise _bad("mailbox name", text, "must not begin with a dot or contain '..'")
    if len(text) > _LONGEST_COLUMN:
        raise _bad("mailbox name", text, f"is longer than {_LONGEST_COLUMN} octets")
    return text


def directory_path(text: str) -> str:
    """Check the absolute path of a domain's directory and return it without doubled or final slashes.

    Raises:
        BadAddress: it is relative, has ``..``, controls or blanks, or does not fit the column.
    """
    _refuse_controls(text, "directory")
    if not text.startswith("/") or ".." in text.split("/"):
        raise _bad("directory", text, "must be an absolute path without '..'")
    path = "/" + posixpath.normpath(text).strip("/")
    if path == "/" or len(path) > _LONGEST_COLUMN:
        raise _bad("directory", text, f"must not be the root or longer than {_LONGEST_COLUMN} octets")
    return path


def _split(text: str) -> tuple[str, str]:
    _refuse_controls(text, "address")
    local, at, domain = text.rpartition("@")
    if not (at and local and domain) or "@" in local:
        raise _bad("address", text, "must look like user@domain")
    return local, domain


def _check_dot_atom(local: str, text: str) -> None:
    _refuse_controls(local, "local part")
    if not local.isascii():
        raise _bad("local part", text, "must be ASCII: mail servers fold other letters differently")
    if len(local) > _LONGEST_LOCAL_PART:
        raise _bad("local part", text, f"is longer than {_LONGEST_LOCAL_PART} octets")
    if not _ATOM_TEXT.fullmatch(local):
        raise _bad("local part", text, "contains a character that an address cannot have")
    if local.startswith(".") or local.endswith(".") or ".." in local:
        raise _bad("local part", text, "must not begin or end with a dot, or have two in a row")


def _refuse_controls(text: str, what: str) -> None:
    if not text:
        raise BadAddress(f"{what} must not be empty")
    if not text.isprintable():  # controls, line ends, surrogates of octets that are not UTF-8, odd blanks
        raise _bad(what, text, "contains a control character or octets that are not text")
    if " " in text:
        raise _bad(what, text, "contains a blank")


def _measured(whole: Address) -> Address:
    if len(str(whole)) > _LONGEST_ADDRESS:
        raise _bad("address", str(whole), f"is longer than {_LONGEST_ADDRESS} octets")
    return whole


def _bad(what: str, text: str, why: str) -> BadAddress:
    return BadAddress(f"{what} '{printable(text)}' {why}")
