from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpop3d_py.directory import addresses
from tpop3d_py.directory.errors import BadAddress

DOMAINS = [
    ("klient1.pl", "klient1.pl"),
    ("DRUGI.Klient.PL", "drugi.klient.pl"),
    ("żółw.pl", "xn--w-uga1v8h.pl"),
    ("ŻÓŁW.PL", "xn--w-uga1v8h.pl"),
    ("xn--w-uga1v8h.pl", "xn--w-uga1v8h.pl"),
    ("a-b.c1", "a-b.c1"),
    ("localhost", "localhost"),
    ("a" * 63 + ".pl", "a" * 63 + ".pl"),
    (".".join(["a" * 49] * 5) + ".pl", ".".join(["a" * 49] * 5) + ".pl"),  # 252
]

BAD_DOMAINS = [
    "",
    ".",
    "klient1.pl.",
    ".klient1.pl",
    "klient1..pl",
    "-a.pl",
    "a-.pl",
    "a_b.pl",
    "a b.pl",
    " klient1.pl",
    "klient1.pl ",
    "klient1.pl\n",
    "klient1\0.pl",
    "klient1.pl\x1b[31m",
    "../etc",
    "a/b.pl",
    "10.0.0.1",
    "[10.0.0.1]",
    "user@klient1.pl",
    "a" * 64 + ".pl",
    ".".join(["a" * 49] * 6),
    "ż" * 300,
    "klient\udcff.pl",
    "\u202eabc.pl",
    "a'b.pl",
]

LOCAL_PARTS = [
    ("luser", "luser"),
    ("LUser", "luser"),
    ("jan.kowalski", "jan.kowalski"),
    ("jan+praca", "jan+praca"),
    ("o'hara", "o'hara"),
    ("a&b", "a&b"),
    ("!#$%&'*+-=?^_`{|}~", "!#$%&'*+-=?^_`{|}~"),
    ("-f", "-f"),
    ("0", "0"),
    ("x" * 64, "x" * 64),
    ("default_", "default_"),
]

BAD_LOCAL_PARTS = [
    "",
    ".",
    "..",
    ".luser",
    "luser.",
    "lu..ser",
    "../luser",
    "a/b",
    "/",
    "lu ser",
    "luser ",
    "lu\tser",
    "luser\n",
    "luser\r\nx",
    "lu\0ser",
    "lu\x7fser",
    "żółw",
    "lúser",
    "\uff4cuser",
    "lu\udcffser",
    "a@b",
    '"luser"',
    "a\\b",
    "a,b",
    "a:b",
    "a;b",
    "(a)",
    "<a>",
    "[a]",
    "|cmd",
    "_default_",
    "_DEFAULT_",
    "_default_x",
    "luser.lock",
    "luser.LOCK",
    "x" * 65,
]

TARGETS = [
    ("luser", "luser@klient1.pl"),
    ("Other.User@Przyklad.PL", "Other.User@przyklad.pl"),
    ("user/dept@example.com", "user/dept@example.com"),
    ("a@żółw.pl", "a@xn--w-uga1v8h.pl"),
]

BAD_TARGETS = [
    "",
    "@przyklad.pl",
    "luser@",
    "a@b@c.pl",
    "|/bin/sh",
    "|cmd@klient1.pl",
    '"|cmd"@klient1.pl',
    "/etc/passwd",
    "/var/mail/x@klient1.pl",
    ":include:/etc/passwd",
    ":fail:",
    ":blackhole:",
    "#comment@klient1.pl",
    "a#b@klient1.pl",
    "a|b@klient1.pl",
    "a b@klient1.pl",
    "a@klient1.pl, b@klient1.pl",
    "a@klient1.pl\nb@klient1.pl",
    "a@klient1.pl\0",
    "żółw@klient1.pl",
    "_default_",
    "_default_@klient1.pl",
    "x" * 65 + "@klient1.pl",
    "x" * 64 + "@" + ".".join(["a" * 49] * 4),
]


@pytest.mark.parametrize(("text", "stored"), DOMAINS)
def test_a_domain_has_one_stored_form(text: str, stored: str) -> None:
    assert addresses.domain_name(text) == stored
    assert addresses.domain_name(stored) == stored


@pytest.mark.parametrize("text", BAD_DOMAINS)
def test_a_bad_domain_is_refused(text: str) -> None:
    _assert_one_line(text, addresses.domain_name)


@pytest.mark.parametrize(("text", "stored"), LOCAL_PARTS)
def test_a_local_part_may_have_any_punctuation_of_a_dot_atom(text: str, stored: str) -> None:
    assert addresses.local_part(text) == stored


@pytest.mark.parametrize("text", BAD_LOCAL_PARTS)
def test_a_bad_local_part_is_refused(text: str) -> None:
    _assert_one_line(text, addresses.local_part)


@pytest.mark.parametrize(("text", "stored"), TARGETS)
def test_a_target_is_an_address(text: str, stored: str) -> None:
    assert str(addresses.target(text, "klient1.pl")) == stored


@pytest.mark.parametrize("text", BAD_TARGETS)
def test_a_target_that_an_mta_would_obey_is_refused(text: str) -> None:
    _assert_one_line(text, lambda target: addresses.target(target, "klient1.pl"))


def test_only_a_forwarder_may_be_the_catch_all() -> None:
    assert str(addresses.forwarder("_default_", "klient1.pl")) == "_default_@klient1.pl"
    with pytest.raises(BadAddress, match="reserved"):
        addresses.forwarder("_default_2", "klient1.pl")


def test_an_address_is_measured_as_a_whole() -> None:
    domain = ".".join(["a" * 47] * 4)  # 191
    assert len(str(addresses.join("x" * 62, domain))) == 254
    with pytest.raises(BadAddress, match="254 octets"):
        addresses.join("x" * 63, domain)


@pytest.mark.parametrize("text", ["luser", "luser/", "x" * 255, "jan.k/"])
def test_a_mailbox_name_is_one_component(text: str) -> None:
    assert addresses.mbox_name(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "/", ".", "..", "../x", ".hidden", "a/b", "a//", "/abs", "a..b", "a\0b", "a\nb", "x" * 256, "a b"],
)
def test_a_mailbox_name_cannot_leave_its_directory(text: str) -> None:
    with pytest.raises(BadAddress):
        addresses.mbox_name(text)


def test_a_directory_is_absolute_and_normalized() -> None:
    assert addresses.directory_path("//srv//mail/./klient1.pl/") == "/srv/mail/klient1.pl"
    for bad in ("", "/", "//", "srv/mail", "/srv/../etc", "/srv/a b", "/srv/a\nb", "/" + "x" * 255):
        with pytest.raises(BadAddress):
            addresses.directory_path(bad)


@given(st.text())
def test_whatever_passes_is_a_safe_file_name(text: str) -> None:
    name = _stored(addresses.local_part, text)
    if name is None:
        return
    assert name == name.lower()
    assert name.isascii()
    assert name.isprintable()
    assert not set(name) & set('/ @"\\')
    assert not name.startswith((".", "|"))
    assert addresses.mbox_name(name) == name
    assert addresses.local_part(name) == name


@given(st.text())
def test_whatever_passes_is_a_domain_for_the_dns(text: str) -> None:
    name = _stored(addresses.domain_name, text)
    if name is None:
        return
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
    assert addresses.domain_name(name) == name


def _stored(check: Callable[[str], str], text: str) -> str | None:
    try:
        return check(text)
    except BadAddress as refusal:
        message = str(refusal)
    assert message.isprintable()
    return None


def _assert_one_line(text: str, check: Callable[[str], object]) -> None:
    with pytest.raises(BadAddress) as caught:
        check(text)
    message = str(caught.value)
    assert message.isprintable()
    if text and text.isprintable() and len(text) < 100:
        assert text in message or text.replace("\\", "\\\\") in message
