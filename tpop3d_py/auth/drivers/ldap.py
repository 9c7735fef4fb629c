"""``auth-ldap``: users are entries of an LDAP server, which checks their passwords itself.

A filter of the operator's finds the one entry that is meant; then the password is right if the server lets
that entry in with it (RFC 4513 section 5.1).  An empty password never is: to many servers that is no login at
all, and succeeds.

It needs ldap3, an optional part of this package (``tpop3d-py[ldap]``).

When things fail: a server that is away, several entries, and attributes that make no sense are UNAVAILABLE.
A server that has just failed is asked once a second (`breaker`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tpop3d_py.auth.accounts import Owner
from tpop3d_py.auth.breaker import Breaker
from tpop3d_py.auth.drivers import sqlserver
from tpop3d_py.auth.names import Attempt
from tpop3d_py.auth.plugin import (
    Driver,
    DriverError,
    Plugin,
    Tools,
    enable_setting,
    mail_group_setting,
    mailbox_setting,
)
from tpop3d_py.contracts import Credentials, Decision, Identity, MaildropError, Mechanism, Verdict
from tpop3d_py.directory.errors import DirectoryError
from tpop3d_py.log import ERR, Log, printable
from tpop3d_py.maildrop.patterns import Pattern, Place, read_parts
from tpop3d_py.settings import BOOLEAN, TEXT, Kind, choice, setting

if TYPE_CHECKING:
    from tpop3d_py.auth.ldapclient import Found, Question

NAME = "ldap"
_VARIABLES = ("user", "local_part", "domain")
_URL = re.compile(r"(ldaps?)://(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?/([^?]*)")
_PORTS = {"ldap": 389, "ldaps": 636}
_NOT_MINE = Decision(Verdict.NOT_MINE)
#: Seconds between two lines about the same fault.
_QUIET = 10.0


@dataclass(frozen=True, slots=True)
class Template:
    """A text with variables.

    Args:
        text: as written.
        parts: literal text and variables in turn.
    """

    text: str
    parts: tuple[str | Place, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read it; `ValueError` says what is wrong."""
        return cls(text, tuple(read_parts(text, text, _VARIABLES)))

    @property
    def varies(self) -> bool:
        """Whether there are any variables."""
        return any(isinstance(part, Place) for part in self.parts)

    def fill(self, values: Mapping[str, str], escape: Callable[[str], str]) -> str:
        """Return the text for one login.

        Raises:
            KeyError, MaildropError: the login lacks something.
        """
        return "".join(
            part if isinstance(part, str) else escape(part.pick(values[part.name])) for part in self.parts
        )

    def __str__(self) -> str:
        return self.text


def _filter(text: str) -> Template:
    if not text.startswith("(") or not text.endswith(")"):
        raise ValueError("must stand in brackets, like (mail=$(user))")
    return Template.parse(text)


@dataclass(frozen=True, slots=True)
class Url:
    """Where the server is, and where in it the users are.

    Args:
        text: as written.
        tls: whether TLS comes first.
        host: name or address.
        port: of TCP.
        base: distinguished name below which users are.
    """

    text: str
    tls: bool
    host: str
    port: int
    base: Template

    @classmethod
    def parse(cls, text: str) -> Url:
        """Read an LDAP URL (RFC 4516) of a server and a name."""
        found = _URL.fullmatch(text)
        if found is None or not 0 <= int(found[4] or 0) <= 65535:
            raise ValueError("must be ldap://HOST[:PORT]/NAME or ldaps://HOST[:PORT]/NAME")
        base = Template.parse(unquote(found[5], errors="strict"))
        port = int(found[4] or 0) or _PORTS[found[1]]
        return cls(text, found[1] == "ldaps", found[2] or found[3], port, base)

    def __str__(self) -> str:
        return self.text


def _attribute(directive: str, what: str) -> Any:
    return setting(
        f"auth-ldap-{directive}-attr",
        TEXT,
        default=None,
        summary=f"Attribute of the user's entry that says {what}.",
    )


@dataclass(frozen=True, slots=True)
class LdapSettings:
    """Logins from an LDAP server (auth-ldap)."""

    enable: bool = enable_setting(NAME, "Have an LDAP server check passwords.")
    url: Url = setting(
        "auth-ldap-url",
        Kind("ldap:// or ldaps:// URL with $(variables)", Url.parse),
        default=None,
        summary="The server, and the name below which its users are: ldap://HOST/NAME, or ldaps:// for TLS "
        "from the start. The name may contain $(domain), $(local_part) and $(user).",
        example="ldap://ldap.example.net/ou=people,dc=example,dc=net",
    )
    searchdn: str = setting(
        "auth-ldap-searchdn",
        TEXT,
        default=None,
        summary="Name of the entry that users are looked for as; it need only be able to find them.",
        example="cn=pop3,dc=example,dc=net",
    )
    password: str = setting(
        "auth-ldap-password",
        TEXT,
        default=None,
        summary="Its password, in double quotes if it contains #; keep the file unreadable for others.",
        secret=True,
    )
    use_tls: bool = setting(
        "auth-ldap-use-tls",
        BOOLEAN,
        default=False,
        summary="Begin TLS on the ordinary port (StartTLS) before anything else is said, and go no further "
        "without it.",
    )
    tls_verify: bool = setting(
        "auth-ldap-tls-verify",
        BOOLEAN,
        default=True,
        summary="With TLS, demand a certificate that a known authority has issued for the name of the "
        "server. Without it, whoever stands in the middle reads every password.",
    )
    tls_ca: str | None = sqlserver.tls_file_setting(NAME, "ca", sqlserver.TLS_CA)
    filter: Template = setting(
        "auth-ldap-filter",
        Kind("LDAP filter with $(variables)", _filter),
        default=Template.parse("(mail=$(local_part)@$(domain))"),
        summary="Finds the entry of a user; a login for which it finds several is refused until that is "
        "mended. Variables: $(user), $(local_part), $(domain).",
    )
    scope: str = setting(
        "auth-ldap-scope",
        choice("subtree", "onelevel", "base"),
        default="subtree",
        summary="Where the entry is looked for: anywhere below the name in auth-ldap-url, directly below it, "
        "or in it. (tpop3d took every word for subtree.)",
    )
    mailbox: tuple[Pattern, ...] = mailbox_setting(NAME)
    mailbox_attr: str | None = _attribute("mailbox", "where his mailbox is")
    mboxtype_attr: str | None = _attribute("mboxtype", "of which type his mailbox is")
    mail_user: str | None = setting(
        "auth-ldap-mail-user",
        TEXT,
        default=None,
        summary="Unix user that owns all mail of the users in LDAP.",
        example="vmail",
    )
    mail_user_attr: str | None = _attribute("mail-user", "which Unix user owns his mail, by name or number")
    mail_group: str | None = mail_group_setting(NAME)
    mail_group_attr: str | None = _attribute(
        "mail-group", "with which group sessions work, by name or number"
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield what is missing when the driver is on, and what contradicts itself."""
        if not self.enable:
            return
        given = {"url": self.url, "searchdn": self.searchdn, "password": self.password}
        for directive, value in given.items():
            if not value:
                yield f"auth-ldap-{directive}", "required when auth-ldap-enable is on"
        if not self.mail_user and not self.mail_user_attr:
            yield "auth-ldap-mail-user", "this or auth-ldap-mail-user-attr is required"
        for name in ("mail_user", "mail_group", "mailbox"):
            if getattr(self, name) and getattr(self, f"{name}_attr"):
                directive = f"auth-ldap-{name.replace('_', '-')}"
                yield f"{directive}-attr", f"excludes {directive}"
        if self.mboxtype_attr and not self.mailbox_attr:
            yield "auth-ldap-mboxtype-attr", "needs auth-ldap-mailbox-attr"
        if self.url and self.url.tls and self.use_tls:
            yield "auth-ldap-use-tls", "ldaps:// in auth-ldap-url is TLS already"

    @property
    def attributes(self) -> tuple[str, ...]:
        """Which attributes are wanted."""
        named = (self.mailbox_attr, self.mboxtype_attr, self.mail_user_attr, self.mail_group_attr)
        return tuple(name for name in named if name)


class BadEntry(Exception):
    """An entry says nothing that could be obeyed."""


class Ldap:
    """The driver.

    Args:
        settings: its directives.
        find: asks the server, as `ldapclient.Client.find`.
        ask: makes the question for one login; None if it lacks something that is needed for that.
        owner: finds the ids of mailboxes.
        log: for entries that make no sense.
    """

    name = NAME

    def __init__(
        self,
        settings: LdapSettings,
        find: Callable[[Question, bytes | None], Found | None],
        ask: Callable[[Attempt], Question | None],
        owner: Owner,
        log: Log,
    ) -> None:
        self._settings = settings
        self._find = find
        self._ask = ask
        self._owner = owner
        self._log = log

    def check(self, attempt: Attempt, credentials: Credentials) -> Decision:
        """Answer one reading of a login."""
        if credentials.mechanism not in (Mechanism.PASSWORD, Mechanism.BEARER):
            return _NOT_MINE
        password = credentials.secret if credentials.mechanism is Mechanism.PASSWORD else None
        if password == b"":
            return Decision(Verdict.REFUSED, detail=f"auth-{NAME}: an empty password is no password")
        question = self._ask(attempt)
        return _NOT_MINE if question is None else self._decide(attempt, question, password)

    def _decide(self, attempt: Attempt, question: Question, password: bytes | None) -> Decision:
        try:
            found = self._find(question, password)
        except DirectoryError as error:
            return Decision(Verdict.UNAVAILABLE, detail=f"auth-{NAME}: {error}")
        if found is None:
            return _NOT_MINE
        if found.refusal:
            return Decision(Verdict.REFUSED, detail=f"auth-{NAME}: {found.refusal}")
        try:
            return Decision(Verdict.GRANTED, self._identity(attempt, found))
        except BadEntry as error:
            text = f"auth-{NAME}: {printable(found.name)}: {error}"
            self._log.once(text, _QUIET, ERR, text)
            return Decision(Verdict.UNAVAILABLE, detail=text)

    def _identity(self, attempt: Attempt, found: Found) -> Identity:
        wanted = self._settings
        user = wanted.mail_user or _one(found, wanted.mail_user_attr)
        if not user:
            raise BadEntry(f"it has no {wanted.mail_user_attr}")
        try:
            account = self._owner.of(user, _one(found, wanted.mail_group_attr))
        except KeyError as error:
            raise BadEntry(error.args[0]) from None
        local_part, domain = attempt.local_part or "", attempt.domain or ""
        return Identity(
            user=f"{local_part}@{domain}" if local_part else attempt.user,
            driver=NAME,
            uid=account.uid,
            gid=account.gid,
            mailbox=_one(found, wanted.mailbox_attr),
            mailbox_type=_one(found, wanted.mboxtype_attr),
            local_part=local_part,
            domain=domain,
            home=account.home,
        )


def _one(found: Found, attribute: str | None) -> str:
    """Return the value of an attribute; empty if it has none."""
    values = found.values.get(attribute.lower(), ()) if attribute else ()
    if len(values) > 1:
        raise BadEntry(f"it has several {attribute}")
    return values[0].decode("utf-8", "surrogateescape") if values else ""


def make(settings: LdapSettings, tools: Tools) -> Driver:
    """Make the driver; no server is asked yet.

    Raises:
        DriverError: the library is not installed, or cannot read the filter or the certificates.
        KeyError: there is no such account or group.
    """
    try:
        from tpop3d_py.auth import ldapclient  # noqa: PLC0415 - ldap3 need not be there
    except ImportError as error:
        raise DriverError(f"auth-ldap-enable: needs ldap3 (tpop3d-py[ldap]): {error}") from None
    example = dict.fromkeys(_VARIABLES, "x")
    try:
        ldapclient.check_filter(settings.filter.fill(example, ldapclient.escape_in_filter))
    except (ValueError, MaildropError) as error:
        raise DriverError(f"auth-ldap-filter: {error}") from None
    secured = settings.url.tls or settings.use_tls
    sqlserver.tls_context(NAME, sqlserver.Tls(secured, settings.tls_verify, settings.tls_ca))
    owner = tools.owner(settings.mail_group)
    if settings.mail_user:
        owner.of(settings.mail_user)

    def ask(attempt: Attempt) -> Question | None:
        values = {"user": attempt.user, "local_part": attempt.local_part, "domain": attempt.domain}
        given = {name: value for name, value in values.items() if value}
        try:
            return ldapclient.Question(
                settings.url.base.fill(given, ldapclient.escape_in_dn),
                settings.url.base.varies,
                settings.scope,
                settings.filter.fill(given, ldapclient.escape_in_filter),
                settings.attributes,
            )
        except (KeyError, MaildropError):
            return None

    breaker = Breaker(ldapclient.Client(_site(settings, ldapclient.Site)), NAME, tools.log)
    return Ldap(settings, breaker.find, ask, owner, tools.log)


def _site(settings: LdapSettings, kind: Callable[..., Any]) -> Any:
    url = settings.url
    tls = "ldaps" if url.tls else "starttls" if settings.use_tls else ""
    # Read now: later there may be no right to.  `tls_context` has found nothing wrong with it.
    ca = (
        Path(settings.tls_ca).read_text(encoding="ascii", errors="replace")
        if tls and settings.tls_ca
        else None
    )
    return kind(url.host, url.port, tls, settings.tls_verify, ca, settings.searchdn, settings.password)


PLUGIN = Plugin(NAME, LdapSettings, make)
