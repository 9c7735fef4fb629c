"""TLS on the wire: STLS forgets, what is injected is never obeyed, and SCRAM binds to the channel."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scramclient import ScramClient
from tests.server.conftest import Client, Harness
from tpop3d_py.server.endpoint import end_point

Start = Callable[..., Harness]


@pytest.fixture
def server(start: Start, certificate: Path) -> Harness:
    return start(certificate=str(certificate))


def capabilities(client: Client) -> list[bytes]:
    client.send(b"CAPA")
    assert client.line().startswith(b"+OK")
    lines = []
    while (line := client.line()) != b".\r\n":
        lines.append(line.strip())
    return lines


def drain(client: Client) -> bytes:
    octets = b""
    with contextlib.suppress(OSError):
        while piece := client.sock.recv(4096):
            octets += piece
    return octets


def begin_tls(client: Client) -> None:
    assert client.ask(b"STLS") == b"+OK Begin TLS negotiation\r\n"
    client.start_tls()


def test_a_session_after_stls(server: Harness) -> None:
    client = server.connect_stls()
    assert b"STLS" in capabilities(client)
    begin_tls(client)
    inside = capabilities(client)
    assert b"STLS" not in inside
    assert any(line.startswith(b"SASL SCRAM-SHA-256-PLUS ") for line in inside)
    assert client.ask(b"STLS").startswith(b"-ERR")
    assert client.log_in("ok").startswith(b"+OK Welcome")
    client.send(b"RETR 1", b"DELE 1", b"QUIT")
    assert client.file.read().endswith(b"message 0\r\n.\r\n+OK Done.\r\n+OK Done\r\n")


def test_what_stands_behind_stls_in_one_segment_is_never_obeyed(server: Harness) -> None:
    client = server.connect_stls()
    client.send(b"STLS", b"USER ok", b"PASS ok", b"DELE 1", b"QUIT")
    assert client.line() == b"+OK Begin TLS negotiation\r\n"
    client.start_tls()
    assert client.ask(b"NOOP") == b"-ERR Not now. First log in.\r\n"
    assert client.ask(b"PASS ok") == b"-ERR What's your name?\r\n"
    assert "received `USER" not in server.log()


def test_half_a_line_behind_stls_does_not_begin_the_first_line_inside(server: Harness) -> None:
    client = server.connect_stls()
    client.sock.sendall(b"STLS\r\nUSER o")
    assert client.line() == b"+OK Begin TLS negotiation\r\n"
    client.start_tls()
    assert client.ask(b"k") == b"-ERR Do you actually know how to use this thing?\r\n"
    assert client.ask(b"PASS ok") == b"-ERR What's your name?\r\n"


def test_a_name_from_before_stls_is_forgotten(server: Harness) -> None:
    client = server.connect_stls()
    assert client.ask(b"USER ok").startswith(b"+OK")
    begin_tls(client)
    assert client.ask(b"PASS ok") == b"-ERR What's your name?\r\n"


def test_what_comes_in_the_clear_in_the_next_segment_ends_the_connection(server: Harness) -> None:
    client = server.connect_stls()
    assert client.ask(b"STLS").startswith(b"+OK")
    client.send(b"USER ok", b"PASS ok", b"QUIT")
    assert b"+OK" not in drain(client)
    assert "received `USER" not in server.log()
    assert "received `PASS" not in server.log()


def test_a_hello_sent_too_early_is_lost_and_the_server_goes_on(server: Harness) -> None:
    """A client that does not wait for the answer gets no TLS, and nobody else notices."""
    client = server.connect_stls()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    client.sock.sendall(b"STLS\r\n" + outgoing.read())
    assert client.line().startswith(b"+OK")
    client.sock.shutdown(socket.SHUT_WR)
    assert not drain(client).startswith(b"\x16")  # an alert at most, no handshake
    assert server.connect().log_in("ok").startswith(b"+OK")


def test_stls_with_an_answer_to_come_before_it(server: Harness) -> None:
    client = server.connect_stls()
    client.send(b"CAPA", b"STLS")
    while (line := client.line()) != b".\r\n":
        assert line
    assert client.line() == b"+OK Begin TLS negotiation\r\n"
    client.start_tls()
    assert client.log_in("ok").startswith(b"+OK")


def scram(client: Client, user: str, password: str, binding: bytes = b"") -> tuple[bytes, ScramClient]:
    """Log in; return the last line that the server sent."""
    scram = ScramClient(user.encode(), password.encode(), binding)
    name = b"SCRAM-SHA-256-PLUS" if binding else b"SCRAM-SHA-256"
    answer = client.ask(b"AUTH %b %b" % (name, base64.b64encode(scram.first())))
    assert answer.startswith(b"+ ")
    first = base64.b64decode(answer[2:])
    answer = client.ask(base64.b64encode(scram.final(first)))
    if answer.startswith(b"+ "):
        assert base64.b64decode(answer[2:]) == scram.server_proof
        answer = client.ask(b"")
    return answer, scram


def test_scram_outside_tls(server: Harness) -> None:
    assert scram(server.connect(), "ok", "ok")[0] == b"+OK Welcome aboard! You have 3 messages.\r\n"
    assert scram(server.connect(), "ok", "no")[0] == b"-ERR [AUTH] Lies! Try again!\r\n"
    assert scram(server.connect(), "locked", "locked")[0].startswith(b"-ERR [IN-USE]")


@pytest.mark.parametrize("implicit", [True, False])
def test_scram_bound_to_the_channel(server: Harness, certificate: Path, implicit: bool) -> None:
    clients = [server.connect_tls() if implicit else server.connect_stls() for _ in range(2)]
    if not implicit:
        for client in clients:
            begin_tls(client)
    sock = clients[0].sock
    assert isinstance(sock, ssl.SSLSocket)
    der = sock.getpeercert(binary_form=True)
    assert der is not None
    binding = end_point(str(certificate))
    assert binding == hashlib.sha256(der).digest()
    assert scram(clients[0], "ok", "ok", binding)[0].startswith(b"+OK Welcome")
    # Somebody in the middle has another certificate, and so another end point.
    assert scram(clients[1], "ok", "ok", b"\0" * 32)[0] == b"-ERR [AUTH] Lies! Try again!\r\n"


def test_a_proof_that_nobody_answers_opens_no_mailbox(server: Harness) -> None:
    client = server.connect()
    scram = ScramClient(b"locked", b"locked")
    first = client.ask(b"AUTH SCRAM-SHA-256 " + base64.b64encode(scram.first()))
    proof = client.ask(base64.b64encode(scram.final(base64.b64decode(first[2:]))))
    assert proof.startswith(b"+ ")
    assert client.ask(b"*") == b"-ERR Suit yourself.\r\n"
    # The login that was granted is forgotten: nothing but a new one lets the client in.
    assert client.ask(b"") == b"-ERR Do you actually know how to use this thing?\r\n"
    assert client.log_in("ok").startswith(b"+OK")


def test_exchanges_that_stop_half_way_count_as_no_session(start: Start) -> None:
    server = start(most=1)
    first = base64.b64encode(ScramClient(b"ok", b"ok").first())
    for _ in range(3):
        client = server.connect()
        assert client.ask(b"AUTH SCRAM-SHA-256 " + first).startswith(b"+ ")
        client.close()
    inside = server.connect()
    assert scram(inside, "ok", "ok")[0].startswith(b"+OK")
    assert scram(server.connect(), "ok", "ok")[0].startswith(b"-ERR [SYS/TEMP]")


def test_a_bearer_token_of_several_kilobytes(server: Harness) -> None:
    client = server.connect_tls()
    for one_line in (False, True):
        response = base64.b64encode(b"user=ok\1auth=Bearer " + b"x" * 5000 + b"\1\1")
        assert len(response) > 6000
        if one_line:
            answer = client.ask(b"AUTH XOAUTH2 " + response)
        else:
            assert client.ask(b"AUTH XOAUTH2") == b"+ \r\n"
            answer = client.ask(response)
        assert base64.b64decode(answer[2:]).startswith(b'{"status"')
        assert client.ask(b"") == b"-ERR [AUTH] Lies! Try again!\r\n"
    response = base64.b64encode(b"user=ok\1auth=Bearer ok\1\1")
    assert client.ask(b"AUTH XOAUTH2 " + response).startswith(b"+OK Welcome")


def test_no_secret_reaches_the_log(server: Harness) -> None:
    client = server.connect_tls()
    secrets = [b"s3cretPass", b"s3cretTab", b"s3cretWord", b"s3cretBase", b"s3cretToken", b"s3cretScram"]
    client.ask(b"USER ok")
    client.ask(b"PASS " + secrets[0])
    client.ask(b"PASS\t" + secrets[1])
    client.ask(secrets[2])
    plain = base64.b64encode(b"\0ok\0" + secrets[3])
    client.ask(b"AUTH PLAIN " + plain)
    client.ask(b"AUTH LOGIN")
    client.ask(base64.b64encode(b"ok"))
    client.ask(b"*")
    client = server.connect_tls()
    token = base64.b64encode(b"user=ok\1auth=Bearer " + secrets[4] + b"\1\1")
    client.ask(b"AUTH XOAUTH2")
    client.ask(token)
    client.ask(b"")
    _, exchange = scram(client, "ok", secrets[5].decode())
    log = server.log()
    for secret in secrets:
        assert secret.decode() not in log
    for hidden in (plain, token, base64.b64encode(exchange.first()), base64.b64encode(b"ok")):
        assert hidden.decode() not in log
    assert "received `AUTH (hidden)'" in log
    assert "received `(no command, 10 octets)'" in log
    assert "sent `+ (hidden)'" in log


def test_the_last_word_of_a_message_is_not_lost_at_quit_inside_tls(server: Harness) -> None:
    client = server.connect_tls()
    client.log_in("ok")
    client.send(b"RETR 1", b"QUIT")
    assert client.file.read().endswith(b".\r\n+OK Done\r\n")
