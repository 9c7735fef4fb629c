"""Every way to log in, with a real pypop3d on a real directory: STLS, SCRAM, tokens, languages."""

from __future__ import annotations

import base64
import poplib
import pwd
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scramclient import ScramClient
from tests.system.support.pop3d import Telnet
from tests.system.support.processes import program
from tests.system.support.small import SmallSite
from tpop3d_py.auth import scram
from tpop3d_py.contracts import Verdict
from tpop3d_py.server.endpoint import end_point

SENTENCE = "zażółć gęślą jaźń"

#: Made by Dovecot 2.3: doveadm pw -s SCRAM-SHA-256.
FROM_DOVEADM = (
    "{SCRAM-SHA-256}4096,+8geDRBpNwteWLopugQsYw==,"
    "IumLTa+7xV/0EK23G9M5aW6RLPGDurb6cndBuRsNnVM=,BxuQEWlIg6KT49juMqGDbSo3QyPHUCpnSn1U/7utkgo="
)


class Issuer:
    """Knows one token for each user: ``token-of-NAME``, without the domain."""

    def check(self, user: str, token: bytes) -> Verdict:
        return Verdict.GRANTED if token == b"token-of-" + user.partition("@")[0].encode() else Verdict.REFUSED


@pytest.fixture(scope="module")
def site(area: Path, vmail: pwd.struct_passwd) -> Iterator[SmallSite]:
    boxes = dict.fromkeys(("luser", "keys", "open", "dovecot", "none"), "maildir")
    more = (
        "sasl-mechanisms: SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN\n"
        f"auth-token-check: {__name__}:Issuer\n"
        "permit-empty-password: yes\n"
    )
    site = SmallSite(area / "logins", vmail, boxes, more)
    site.store("keys", scram.make_stored(SENTENCE))
    site.store("open", "{plaintext}otwarte")
    site.store("dovecot", FROM_DOVEADM)
    site.store("none", "{plaintext}")
    yield site
    site.stop()


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    """Let pypop3d import this module, for the token check, as an operator's PYTHONPATH would."""
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    yield
    patch.undo()


def trusting(site: SmallSite) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(site.certificate))


def inside_tls(site: SmallSite) -> poplib.POP3:
    client = poplib.POP3("127.0.0.1", site.stls_port, timeout=20)
    client.stls(trusting(site))
    return client


def exchange(client: poplib.POP3, user: str, password: str, binding: bytes = b"") -> bytes:
    """Log in by SCRAM; return the server's last line."""
    scram = ScramClient(user.encode(), password.encode(), binding)
    name = "SCRAM-SHA-256-PLUS" if binding else "SCRAM-SHA-256"
    client._putcmd(f"AUTH {name} {base64.b64encode(scram.first()).decode()}")  # type: ignore[attr-defined]
    try:
        first = base64.b64decode(client._getline()[0][2:])  # type: ignore[attr-defined]
        client._putline(base64.b64encode(scram.final(first)))  # type: ignore[attr-defined]
        answer: bytes = client._getline()[0]  # type: ignore[attr-defined]
        if answer.startswith(b"+ "):
            assert base64.b64decode(answer[2:]) == scram.server_proof
            client._putline(b"")  # type: ignore[attr-defined]
            answer = client._getline()[0]  # type: ignore[attr-defined]
        return answer
    finally:
        client.close()


def first_message(site: SmallSite, user: str) -> tuple[bytes, bytes]:
    """Return salt and iterations that a name is answered with."""
    client = Telnet(site.port)
    client.read()
    first = base64.b64encode(ScramClient(user.encode(), b"").first()).decode()
    _, salt, iterations = base64.b64decode(client.type(f"AUTH SCRAM-SHA-256 {first}")[2:]).split(b",")
    client.close()
    return salt, iterations


def test_poplib_after_stls(site: SmallSite) -> None:
    client = poplib.POP3("127.0.0.1", site.stls_port, timeout=20)
    assert "STLS" in client.capa()
    client.stls(trusting(site))
    inside = client.capa()
    assert "STLS" not in inside
    assert inside["SASL"] == [
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-256",
        "OAUTHBEARER",
        "XOAUTH2",
        "PLAIN",
        "LOGIN",
    ]
    client.utf8()
    client.user("luser")
    assert client.pass_(site.password("luser")) == b"+OK Welcome aboard! You have no messages at all."
    assert "STLS" not in client.capa()
    client.quit()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("initial", ["--sasl-ir", ""])
def test_curl_after_stls(site: SmallSite, mechanism: str, initial: str) -> None:
    command = ["curl", "-sSv", "--ssl-reqd", "--cacert", str(site.certificate)]
    command += ["--login-options", f"AUTH={mechanism}", "-u", f"luser@klient1.pl:{site.password('luser')}"]
    command += [*([initial] if initial else []), f"pop3://127.0.0.1:{site.stls_port}/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert f"AUTH {mechanism}" in done.stderr
    assert "SSL connection using TLSv1.3" in done.stderr


@pytest.mark.parametrize(("box", "password"), [("keys", SENTENCE), ("open", "otwarte")])
def test_scram_with_either_stored_form(site: SmallSite, box: str, password: str) -> None:
    plain = poplib.POP3("127.0.0.1", site.port, timeout=20)
    assert exchange(plain, site.user(box), password).startswith(b"+OK Welcome")
    binding = end_point(str(site.certificate))
    assert exchange(inside_tls(site), site.user(box), password, binding).startswith(b"+OK Welcome")
    assert exchange(inside_tls(site), site.user(box), password, b"\0" * 32).startswith(b"-ERR [AUTH]")
    plain = poplib.POP3("127.0.0.1", site.port, timeout=20)
    assert exchange(plain, site.user(box), password + "x").startswith(b"-ERR [AUTH]")


def test_the_same_password_sent_as_it_is(site: SmallSite) -> None:
    client = Telnet(site.port)
    client.read()
    client.type("USER keys")
    assert client.type(f"PASS {SENTENCE}").startswith("+OK Welcome")
    client.close()


def test_a_form_without_scram_and_a_user_that_does_not_exist_look_like_the_others(site: SmallSite) -> None:
    names = [site.user(box) for box in ("luser", "keys", "open", "nobody")]
    before = {name: first_message(site, name) for name in names}
    assert len({salt for salt, _ in before.values()}) == 4
    assert {len(salt) for salt, _ in before.values()} == {len(before[names[0]][0])}
    assert {iterations for _, iterations in before.values()} == {b"i=4096"}
    assert first_message(site, "nobody") == first_message(site, "NoBody!klient1.pl") == before[names[3]]
    site.restart()
    assert {name: first_message(site, name) for name in names} == before
    for user in ("luser", "nobody"):
        plain = poplib.POP3("127.0.0.1", site.port, timeout=20)
        answer = exchange(plain, site.user(user), site.password("luser"))
        assert answer == b"-ERR [AUTH] Lies! Try again!"


def test_a_token_that_somebody_checks(site: SmallSite) -> None:
    for user, token, answer in (
        ("luser@klient1.pl", "token-of-luser", b"+OK Welcome"),
        ("luser@klient1.pl", "token-of-keys", b"-ERR [AUTH]"),
        ("nobody@klient1.pl", "token-of-nobody", b"-ERR [AUTH]"),
    ):
        client = poplib.POP3_SSL("127.0.0.1", site.tls_port, timeout=20, context=trusting(site))
        response = base64.b64encode(f"n,a={user},\1auth=Bearer {token}\1\1".encode())
        client._putline(b"AUTH OAUTHBEARER " + response)  # type: ignore[attr-defined]
        line = client._getline()[0]  # type: ignore[attr-defined]
        if line.startswith(b"+ "):
            assert base64.b64decode(line[2:]) == b'{"status":"invalid_token"}'
            client._putline(b"AQ==")  # type: ignore[attr-defined]
            line = client._getline()[0]  # type: ignore[attr-defined]
        assert line.startswith(answer)
        client.close()


def test_an_empty_password_where_one_is_stored(site: SmallSite) -> None:
    for box, answer in (("none", "+OK Welcome"), ("luser", "-ERR [AUTH]")):
        client = Telnet(site.port)
        client.read()
        client.type(f"USER {box}")
        assert client.type("PASS ").startswith(answer)
        client.close()


MPOP = (
    ("user", "luser", "haslo-luser"),
    ("plain", "luser", "haslo-luser"),
    ("login", "luser", "haslo-luser"),
    ("apop", "open", "otwarte"),
    ("scram-sha-256", "open", "otwarte"),
    ("scram-sha-256", "keys", SENTENCE),
    ("scram-sha-256", "dovecot", SENTENCE),
    ("oauthbearer", "luser", "token-of-luser"),
    ("xoauth2", "luser", "token-of-luser"),
)


def mpop(site: SmallSite, folder: Path, security: str, login: tuple[str, str, str]) -> subprocess.Popen[str]:
    """Start mpop to log in and do no more."""
    method, box, secret = login
    ports = {"plain": site.port, "stls": site.stls_port, "immediate": site.tls_port}
    lines = [
        "account test",
        f"host 127.0.0.1\nport {ports[security]}\nuser {site.user(box)}\nauth {method}",
        f"passwordeval \"printf %s '{secret}'\"",
        f"delivery maildir {folder}",
        # Each with its own, or all at once would make the same folder in the home directory.
        f"uidls_file {folder}/{'-'.join(login)}.ids",
    ]
    if security == "plain":
        lines.append("tls off")
    else:
        lines.append(f"tls on\ntls_trust_file {site.certificate}")
        lines.append(f"tls_starttls {'on' if security == 'stls' else 'off'}")
    config = folder / "-".join(login)
    config.write_text("\n".join(lines) + "\n")
    config.chmod(0o600)
    command = [program("mpop"), "-C", str(config), "--auth-only", "test"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("security", ["plain", "stls", "immediate"])
def test_mpop(site: SmallSite, tmp_path: Path, security: str) -> None:
    """An independent client of every mechanism (SCRAM by GNU SASL), with right secrets and wrong ones.

    All at once, since wrong logins take their time.
    """
    running = {}
    for method, box, secret in MPOP:
        if security == "plain" and secret.startswith("token"):
            continue
        for sent, code in ((secret, 0), (f"{secret}x", 77)):  # EX_NOPERM
            login = method, box, sent
            running[login, code] = mpop(site, tmp_path, security, login)
    for (login, code), process in running.items():
        output, _ = process.communicate(timeout=60)
        assert (login, process.returncode) == (login, code), output


def test_polish(site: SmallSite) -> None:
    client = Telnet(site.polish_port)
    client.read()
    assert client.type("USER luser") == "+OK Prosze podac haslo."
    assert client.type(f"PASS {site.password('luser')}") == "+OK Witamy! W skrzynce nie ma wiadomosci."
    assert client.type("LANG pl") == "+OK pl Odtąd mówię po polsku."
    assert client.type("RETR 1") == "-ERR Nie ma wiadomości o takim numerze."
    client.close()


def test_nothing_secret_is_in_the_log(site: SmallSite) -> None:
    log = site.pop3d.child.output()
    for secret in (SENTENCE, "otwarte", "token-of", site.password("luser")):
        assert secret not in log
        assert base64.b64encode(secret.encode()).decode().rstrip("=") not in log


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("listen-address: 127.0.0.1:1;tls=stls,/nonexistent.pem", "No such file"),
        ("listen-address: 127.0.0.1:1;texts=klingon", "texts is one of classic, polite, polish"),
        (
            "listen-address: 127.0.0.1:1\nauth-token-check: nosuch.module:X",
            "auth-token-check: nosuch.module:X",
        ),
        ("listen-address: 127.0.0.1:1\nsasl-mechanisms: CRAM-MD5", "must be some of: SCRAM-SHA-256-PLUS"),
        ("listen-address: 127.0.0.1:1\ntexts: rude", "must be one of: classic, polite, polish"),
    ],
)
def test_mistakes_are_found_before_anything_starts(site: SmallSite, lines: str, words: str) -> None:
    config = site.config.with_name("mistaken.conf")
    config.write_text(f"include: vmail.conf\nauth-directory-enable: yes\nrun-as: vmail\n{lines}\n")
    pypop3d = Path(sys.executable).parent / "pypop3d"
    done = subprocess.run([pypop3d, "--check", "-f", config], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert words in done.stderr
