"""What a listener takes from its clients, shown by handshakes in memory."""

from __future__ import annotations

import gc
import ssl
import sys
import warnings
from pathlib import Path

import pytest

from tests.server.pems import write_pair
from tpop3d_py.server import contexts
from tpop3d_py.server.certificates import Certificate, CertificateError, Pair, read
from tpop3d_py.server.contexts import VERSIONS, Contexts, Terms, check_ciphers, make_context


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    path = str(write_pair(tmp_path / "c.pem", "mail.klient1.pl"))
    return read(Pair(path, path))


def client(newest: str = "1.3", ciphers: str = "") -> ssl.SSLContext:
    """A client that knows TLS up to some version, however old."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers(f"{ciphers or 'ALL'}:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = VERSIONS[newest]
    return context


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> ssl.SSLObject:
    """Do a handshake in memory and return the client's side."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname="mail.klient1.pl"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    undone = list(sides)
    for _ in range(10):
        for side in list(undone):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            undone.remove(side)
    assert not undone
    return sides[0]


@pytest.mark.parametrize(
    ("oldest", "newest", "good"),
    [
        ("1.2", "1.3", True),
        ("1.2", "1.2", True),
        ("1.2", "1.1", False),
        ("1.2", "1.0", False),
        ("1.3", "1.3", True),
        ("1.3", "1.2", False),
        ("1.1", "1.1", True),
        ("1.1", "1.0", False),
        ("1.0", "1.0", True),
        ("1.0", "1.1", True),
        ("1.0", "1.3", True),
    ],
)
def test_versions(certificate: Certificate, oldest: str, newest: str, good: bool) -> None:
    server = make_context(certificate, Terms(oldest))
    if good:
        assert shake_hands(client(newest), server).version() == f"TLSv{newest}".removesuffix(".0")
    else:
        with pytest.raises(ssl.SSLError):
            shake_hands(client(newest), server)


def test_ciphers(certificate: Certificate) -> None:
    server = make_context(certificate, Terms(ciphers="ECDHE-ECDSA-AES256-GCM-SHA384"))
    agreed = shake_hands(client("1.2"), server).cipher()
    assert agreed is not None
    assert agreed[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"
    with pytest.raises(ssl.SSLError):
        shake_hands(client("1.2", "ECDHE-ECDSA-AES128-GCM-SHA256"), server)
    old = make_context(certificate, Terms("1.0", "ECDHE-ECDSA-AES128-SHA"))
    assert shake_hands(client("1.0"), old).version() == "TLSv1"
    with pytest.raises(CertificateError, match="no cipher in 'NONSENSE'"):
        make_context(certificate, Terms(ciphers="NONSENSE"))


def test_cipher_lists_are_checked_when_they_are_read() -> None:
    check_ciphers("ECDHE+AESGCM:!aNULL")
    with pytest.raises(ValueError, match="no cipher in 'NONSENSE'"):
        check_ciphers("NONSENSE")


def test_bug_workarounds(certificate: Certificate) -> None:
    assert make_context(certificate, Terms()).options & ssl.OP_ALL
    without = make_context(certificate, Terms(workarounds=False))
    assert not without.options & ssl.OP_ALL
    assert without.options & ssl.OP_NO_COMPRESSION
    assert shake_hands(client(), without).version() == "TLSv1.3"


def test_a_context_stays_as_long_as_its_files(certificate: Certificate, tmp_path: Path) -> None:
    contexts = Contexts()
    with contexts.reading() as first:
        one = first.context(certificate, Terms())
        assert first.context(certificate, Terms()) is one
        assert first.context(certificate, Terms("1.3")) is not one
    with contexts.reading() as second:
        assert second.context(read(certificate.pair), Terms()) is one
        assert second.former(certificate.pair) == certificate
        assert second.former(Pair("/none", "/none")) is None
    write_pair(tmp_path / "c.pem", "other.pl")
    with contexts.reading() as third:
        assert third.context(read(certificate.pair), Terms()) is not one
    with contexts.reading() as fourth:  # of what was in force only before, nothing is left
        assert fourth.former(certificate.pair) != certificate


def test_settings_that_fail_change_nothing(certificate: Certificate) -> None:
    contexts = Contexts()
    with contexts.reading() as first:
        context = first.context(certificate, Terms())
    called: list[str | None] = []

    def fail() -> None:
        with contexts.reading() as second:
            second.on_name(context, lambda _sock, name, _context: called.append(name))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    shake_hands(client(), context)
    assert called == []
    with contexts.reading() as third:
        third.on_name(third.context(certificate, Terms()), lambda _sock, name, _context: called.append(name))
    shake_hands(client(), context)
    assert called == ["mail.klient1.pl"]


def test_a_name_that_is_not_ascii_ends_the_handshake_without_a_word(
    certificate: Certificate, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # put back afterwards
    lasting = Contexts()
    with lasting.reading() as selection:
        server = selection.context(certificate, Terms())
        selection.on_name(server, lambda _sock, _name, _context: None)
    hello, nothing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        client().wrap_bio(nothing, hello, server_hostname="mail.klient1.pl").do_handshake()
    hello.write(hello.read().replace(b"mail.klient1.pl", b"mail.kl\xffent1.pl"))
    with pytest.raises(ssl.SSLError, match="CALLBACK_FAILED"):
        server.wrap_bio(hello, ssl.MemoryBIO(), server_side=True).do_handshake()
    assert capfd.readouterr().err == ""


def test_other_faults_that_nobody_can_catch_are_still_reported(capfd: pytest.CaptureFixture[str]) -> None:
    class Broken:
        def __del__(self) -> None:
            raise ZeroDivisionError("a bug")

    hook, sys.unraisablehook = sys.unraisablehook, contexts._unraisable
    try:
        Broken()
        gc.collect()
    finally:
        sys.unraisablehook = hook
    assert "ZeroDivisionError: a bug" in capfd.readouterr().err
