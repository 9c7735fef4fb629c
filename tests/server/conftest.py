"""Starts the runtime as a program and talks to it over sockets."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ROOT = Path(__file__).parents[2]


class Client:
    """A client that reads replies line by line."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.file = sock.makefile("rb")

    def line(self) -> bytes:
        return self.file.readline()

    def send(self, *commands: bytes) -> None:
        self.sock.sendall(b"".join(command + b"\r\n" for command in commands))

    def ask(self, command: bytes) -> bytes:
        self.send(command)
        return self.line()

    def log_in(self, user: str) -> bytes:
        self.ask(b"USER " + user.encode())
        return self.ask(b"PASS " + user.encode())

    def start_tls(self) -> None:
        """Shake hands on the connection as it is."""
        self.file.close()
        self.sock = tls_context().wrap_socket(self.sock, suppress_ragged_eofs=False)
        self.file = self.sock.makefile("rb")

    def close(self) -> None:
        self.file.close()
        self.sock.close()


def tls_context() -> ssl.SSLContext:
    """A context that believes everybody."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@dataclass
class Harness:
    """A running server."""

    process: subprocess.Popen[str]
    ports: list[int]
    errors: Path
    clients: list[Client] = field(default_factory=list)

    def connect(self) -> Client:
        """Connect to the plain listener and read the greeting."""
        client = Client(socket.create_connection(("127.0.0.1", self.ports[0]), 10))
        self.clients.append(client)
        assert client.line().startswith(b"+OK <")
        return client

    def connect_tls(self) -> Client:
        """Connect to the listener with implicit TLS and read the greeting."""
        sock = socket.create_connection(("127.0.0.1", self.ports[1]), 10)
        client = Client(tls_context().wrap_socket(sock, suppress_ragged_eofs=False))
        self.clients.append(client)
        assert client.line().startswith(b"+OK <")
        return client

    def connect_stls(self) -> Client:
        """Connect to the listener with STLS and read the greeting; nothing is encrypted yet."""
        client = Client(socket.create_connection(("127.0.0.1", self.ports[2]), 10))
        self.clients.append(client)
        assert client.line().startswith(b"+OK <")
        return client

    def workers(self) -> list[int]:
        """Processes that serve connections: those with more than one thread."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids = [int(pid) for pid in path.read_text().split()]
        return [pid for pid in pids if len(list(Path(f"/proc/{pid}/task").iterdir())) > 1]

    def log(self) -> str:
        """What the server has written to standard error so far."""
        return self.errors.read_text()

    def stop(self) -> int:
        """Ask the server to stop and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A throw-away certificate with its key in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "klient1.pl")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    cert = builder.sign(key, hashes.SHA256())
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + cert.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Harness]]:
    """Start servers; all are stopped at the end of the test."""
    running: list[Harness] = []

    def run(
        certificate: str = "", idle: float = 60, login: float = 60, most: int = 100, strict: bool = False
    ) -> Harness:
        errors = tmp_path / f"errors{len(running)}"
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.server.harness", certificate),
                    *(str(idle), str(login), str(most), "strict" if strict else ""),
                ],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        assert process.stdout is not None
        harness = Harness(process, [int(port) for port in process.stdout.readline().split()], errors)
        running.append(harness)
        return harness

    yield run
    for harness in running:
        for client in harness.clients:
            with contextlib.suppress(OSError):
                client.close()
        if harness.process.poll() is None:
            harness.process.terminate()
            harness.process.wait(20)
        if harness.process.stdout is not None:
            harness.process.stdout.close()


@pytest.fixture
def server(start: Callable[..., Harness]) -> Harness:
    """A server with the usual settings."""
    return start()
