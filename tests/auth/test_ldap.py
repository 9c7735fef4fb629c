"""The LDAP driver's directives, and what it makes of entries; the server is in tests/system/test_ldap.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.auth.kit import PEER, tools
from tests.maildrop.kit import Recorder
from tpop3d_py.auth import ldapclient
from tpop3d_py.auth.accounts import Accounts, Owner
from tpop3d_py.auth.drivers.ldap import Ldap, LdapSettings, Template, Url, _filter, make
from tpop3d_py.auth.ldapclient import Found, Question, Site, escape_in_dn, escape_in_filter
from tpop3d_py.auth.names import Attempt
from tpop3d_py.auth.plugin import DriverError
from tpop3d_py.contracts import Credentials, Decision, Mechanism, Verdict
from tpop3d_py.directory.errors import DirectoryDown, DirectoryInconsistent
from tpop3d_py.maildrop.patterns import Pattern

SETTINGS = LdapSettings(
    True, Url.parse("ldap://127.0.0.1:1/dc=x"), "cn=pop3,dc=x", "secret", mail_user="daemon"
)
NAME = "uid=jan,dc=x"


@pytest.mark.parametrize(
    ("text", "tls", "host", "port", "base"),
    [
        ("ldap://ldap.example.net/dc=x", False, "ldap.example.net", 389, "dc=x"),
        ("ldaps://h/", True, "h", 636, ""),
        ("ldap://[::1]:3389/ou=a%20b,dc=$(domain)", False, "::1", 3389, "ou=a b,dc=$(domain)"),
    ],
)
def test_urls(text: str, tls: bool, host: str, port: int, base: str) -> None:
    url = Url.parse(text)
    assert (url.tls, url.host, url.port, url.base.text, str(url)) == (tls, host, port, base, text)
    assert url.base.varies is ("$(" in base)


@pytest.mark.parametrize(
    "text",
    ["", "ldap:dc=x", "http://h/dc=x", "ldap://h", "ldap:///dc=x", "ldap://h:99999/x", "ldap://h/x?uid?sub"],
)
def test_urls_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="must be ldap://"):
        Url.parse(text)


@pytest.mark.parametrize("text", ["mail=$(user)", "(mail=$(home))", "(mail=$(user", "()$(x)"])
def test_filters_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"must stand in brackets|unknown variable|unfinished"):
        _filter(text)


@pytest.mark.parametrize("text", ["(mail=$(user)))", "(mail=$(user)", "((mail=x)", "(&mail=x)", "()"])
def test_filters_that_the_library_cannot_read(text: str) -> None:
    with pytest.raises(DriverError, match="auth-ldap-filter"):
        make(replace(SETTINGS, filter=_filter(text)), tools())


@pytest.mark.parametrize(
    ("value", "in_filter", "in_name"),
    [
        ("jan", "jan", "jan"),
        ("*", r"\2a", r"\2a"),
        ("x)(uid=*", r"x\29\28uid=\2a", r"x\29\28uid\3d\2a"),
        ("a\\b", r"a\5cb", r"a\5cb"),
        ("jan,dc=x", "jan,dc=x", r"jan\2cdc\3dx"),
        (" #", " #", r"\20\23"),
        ("ż", "ż", r"\c5\bc"),
    ],
)
def test_names_do_not_become_syntax(value: str, in_filter: str, in_name: str) -> None:
    template = Template.parse("(uid=$(user))")
    assert template.fill({"user": value}, escape_in_filter) == f"(uid={in_filter})"
    assert template.fill({"user": value}, escape_in_dn) == f"(uid={in_name})"


def test_what_is_required_and_what_excludes_what() -> None:
    assert [name for name, _ in LdapSettings(True).conflicts()] == [
        "auth-ldap-url",
        "auth-ldap-searchdn",
        "auth-ldap-password",
        "auth-ldap-mail-user",
    ]
    assert not list(LdapSettings().conflicts())
    assert not list(SETTINGS.conflicts())
    both = replace(
        SETTINGS,
        url=Url.parse("ldaps://h/"),
        use_tls=True,
        mail_user_attr="a",
        mail_group="b",
        mail_group_attr="c",
        mboxtype_attr="d",
    )
    assert [name for name, _ in both.conflicts()] == [
        "auth-ldap-mail-user-attr",
        "auth-ldap-mail-group-attr",
        "auth-ldap-mboxtype-attr",
        "auth-ldap-use-tls",
    ]
    mailboxes = replace(SETTINGS, mailbox=(Pattern.parse("/x/$(user)"),), mailbox_attr="e")
    assert [name for name, _ in mailboxes.conflicts()] == ["auth-ldap-mailbox-attr"]


class Server:
    def __init__(self, found: Found | Exception | None) -> None:
        self.found = found
        self.asked: list[tuple[Question, bytes | None]] = []

    def find(self, question: Question, password: bytes | None) -> Found | None:
        self.asked.append((question, password))
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def login(
    found: Found | Exception | None,
    settings: LdapSettings = SETTINGS,
    *,
    password: str = "haslo",
    mechanism: Mechanism = Mechanism.PASSWORD,
    log: Recorder | None = None,
) -> tuple[Decision, list[tuple[Question, bytes | None]]]:
    server = Server(found)
    question = Question("dc=x", False, "subtree", "(uid=jan)", settings.attributes)
    owner = Owner(Accounts())
    driver = Ldap(settings, server.find, lambda _attempt: question, owner, log or Recorder())
    credentials = Credentials(mechanism, "jan@klient1.pl", password.encode(), b"", PEER)
    return driver.check(Attempt("jan@klient1.pl", "jan", "klient1.pl"), credentials), server.asked


def test_an_owner_for_all() -> None:
    decision, asked = login(Found(NAME, {}))
    who = decision.identity
    assert who is not None
    assert (who.user, who.uid, who.gid, who.mailbox) == ("jan@klient1.pl", 1, 1, "")
    assert (who.local_part, who.domain) == ("jan", "klient1.pl")
    assert asked[0][1] == b"haslo"


def test_attributes() -> None:
    settings = replace(
        SETTINGS,
        mail_user=None,
        mail_user_attr="mailOwner",
        mail_group_attr="mailGroup",
        mailbox_attr="mailBox",
        mboxtype_attr="boxType",
    )
    values = {
        "mailowner": [b"daemon"],
        "mailgroup": [b"2"],
        "mailbox": [b"/srv/jan"],
        "boxtype": [b"maildir"],
    }
    who = login(Found(NAME, values), settings)[0].identity
    assert who is not None
    assert (who.uid, who.gid, who.mailbox, who.mailbox_type) == (1, 2, "/srv/jan", "maildir")
    who = login(Found(NAME, {"mailowner": [b"daemon"], "mailbox": []}), settings)[0].identity
    assert who is not None
    assert (who.gid, who.mailbox, who.mailbox_type) == (1, "", "")
    for wrong, words in (
        ({}, "it has no mailOwner"),
        ({"mailowner": [b"nosuchuser"]}, "no Unix account 'nosuchuser'"),
        ({"mailowner": [b"\xff"]}, "no Unix account"),
        ({**values, "mailbox": [b"/a", b"/b"]}, "it has several mailBox"),
        ({**values, "mailgroup": [b"nosuchgroup"]}, "no Unix group"),
    ):
        log = Recorder()
        decision, _ = login(Found(NAME, wrong), settings, log=log)
        assert decision.verdict is Verdict.UNAVAILABLE
        assert words in log.lines[0]
        assert NAME in log.lines[0]


def test_who_is_not_let_in() -> None:
    assert login(None)[0].verdict is Verdict.NOT_MINE
    assert login(Found(NAME, {}, "invalidCredentials (49)"))[0].verdict is Verdict.REFUSED
    down, _ = login(DirectoryDown("connect: timed out"))
    assert (down.verdict, down.detail) == (Verdict.UNAVAILABLE, "auth-ldap: connect: timed out")


def test_what_the_server_is_never_asked() -> None:
    decision, asked = login(Found(NAME, {}), password="")
    assert decision.verdict is Verdict.REFUSED
    assert asked == []
    for mechanism in (Mechanism.APOP, Mechanism.SCRAM, Mechanism.SCRAM_PLUS):
        decision, asked = login(Found(NAME, {}), mechanism=mechanism)
        assert decision.verdict is Verdict.NOT_MINE
        assert asked == []
    decision, asked = login(Found(NAME, {}), mechanism=Mechanism.BEARER)
    assert decision.verdict is Verdict.GRANTED
    assert asked[0][1] is None


@pytest.mark.parametrize(
    ("attempt", "base", "text"),
    [
        (Attempt("jan@kl*.pl", "jan", "kl*.pl"), r"dc=kl\2a\2epl", r"(mail=jan@kl\2a.pl)"),
        (Attempt("jan", None, "klient1.pl"), "", ""),
        (Attempt("jan", None, None), "", ""),
    ],
)
def test_the_question(monkeypatch: pytest.MonkeyPatch, attempt: Attempt, base: str, text: str) -> None:
    asked: list[Question] = []

    def find(_self: object, question: Question, _password: bytes | None) -> None:
        asked.append(question)

    monkeypatch.setattr(ldapclient.Client, "find", find)
    driver = make(replace(SETTINGS, url=Url.parse("ldap://h/dc=$(domain)")), tools())
    driver.check(attempt, Credentials(Mechanism.PASSWORD, attempt.user, b"x", b"", PEER))
    assert [(question.base, question.filter, question.chosen) for question in asked] == (
        [(base, text, True)] if text else []
    )


def test_files_and_accounts_that_are_not_there() -> None:
    with pytest.raises(DriverError, match="auth-ldap-tls"):
        make(replace(SETTINGS, use_tls=True, tls_ca="/nonexistent"), tools())
    with pytest.raises(KeyError, match="nosuchuser"):
        make(replace(SETTINGS, mail_user="nosuchuser"), tools())


class Line:
    """A connection to a server that shows nobody more than one entry."""

    def __init__(self, _site: Site) -> None:
        pass

    def is_ready(self) -> bool:
        return True

    def search(self, _question: Question) -> tuple[dict[str, object], list[Found]]:
        return {"result": 4, "description": "sizeLimitExceeded"}, [Found(NAME, {})]


def test_a_server_that_shows_one_of_several_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ldapclient, "_Line", Line)
    client = ldapclient.Client(Site("127.0.0.1", 1, "", False, None, "cn=pop3,dc=x", "secret"))
    with pytest.raises(DirectoryInconsistent, match=r"several entries are \(uid=jan\)"):
        client.find(Question("dc=x", False, "subtree", "(uid=jan)", ()), b"haslo")
