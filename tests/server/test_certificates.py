"""Certificates as files: what an operator is told when something is wrong with them."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.server.pems import certificate_pem, key, key_pem, write_pair
from tpop3d_py.server import certificates
from tpop3d_py.server.certificates import CertificateError, Pair, Watch, load, pairs_in, read
from tpop3d_py.server.endpoint import end_point

CERTIFICATE = certificate_pem(key(), ["mail.klient1.pl"])
KEY = key_pem(key())


def pair_of(folder: Path, certificate: bytes, key: bytes | None = None) -> Pair:
    (folder / "c.pem").write_bytes(certificate)
    if key is not None:
        (folder / "k.pem").write_bytes(key)
    return Pair(str(folder / "c.pem"), str(folder / ("c.pem" if key is None else "k.pem")))


def use(pair: Pair) -> None:
    load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), read(pair))


def test_a_good_pair(tmp_path: Path) -> None:
    for files in ((KEY + CERTIFICATE, None), (CERTIFICATE, KEY)):
        pair = pair_of(tmp_path, *files)
        certificate = read(pair)
        use(pair)
        assert certificate.facts.names == ("mail.klient1.pl",)
        assert certificate.end_point == end_point(pair.certificate)


def der(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)


def request() -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("certificate", "private", "complaint"),
    [
        (b"", KEY, "c.pem: the file is empty"),
        (b"hello", KEY, "c.pem: there is no certificate in it"),
        (KEY, KEY, "c.pem: it holds a key and no certificate"),
        (request(), KEY, "c.pem: it holds a request for a certificate, not the certificate"),
        (der(certificate_pem(key(), ["a.pl"] * 40)), KEY, "c.pem: it is not in PEM form"),
        (CERTIFICATE[:200] + CERTIFICATE[-30:], KEY, "c.pem: the certificate is damaged"),
        (CERTIFICATE[:200], KEY, "c.pem: there is no certificate in it"),
        (CERTIFICATE, None, "c.pem: there is no private key in it"),
        (CERTIFICATE, CERTIFICATE, "k.pem: there is no private key in it"),
        (CERTIFICATE, KEY[:100], "c.pem and .*k.pem: certificate or key is damaged"),
        (CERTIFICATE, key_pem(key(1)), "c.pem and .*k.pem: the key does not belong to the certificate"),
        (CERTIFICATE, key_pem(rsa.generate_private_key(65537, 2048)), "the key does not belong"),
        (CERTIFICATE, key_pem(key(), b"secret"), "k.pem: the key is encrypted"),
        (CERTIFICATE, key_pem(key(), b"secret", old_form=True), "k.pem: the key is encrypted"),
    ],
)
def test_complaints(tmp_path: Path, certificate: bytes, private: bytes | None, complaint: str) -> None:
    with pytest.raises(CertificateError, match=complaint):
        use(pair_of(tmp_path, certificate, private))


def test_short_keys_are_refused_with_the_reason(tmp_path: Path) -> None:
    private = rsa.generate_private_key(65537, 1024)
    with pytest.raises(CertificateError, match="too short for today's TLS"):
        use(pair_of(tmp_path, key_pem(private) + certificate_pem(private, ["a.pl"])))


@pytest.mark.parametrize("missing", ["c.pem", "k.pem"])
def test_a_missing_file(tmp_path: Path, missing: str) -> None:
    pair = pair_of(tmp_path, CERTIFICATE, KEY)
    (tmp_path / missing).unlink()
    with pytest.raises(CertificateError, match=f"{missing}: No such file"):
        use(pair)


def test_a_file_that_changes_between_reading_and_loading(tmp_path: Path) -> None:
    pair = pair_of(tmp_path, CERTIFICATE, KEY)
    certificate = read(pair)
    (tmp_path / "c.pem").write_bytes(certificate_pem(key(), ["other.pl"]))
    with pytest.raises(CertificateError, match="changed while being read"):
        load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate)


@pytest.mark.parametrize(
    ("start", "end", "mode", "warning"),
    [
        (-1, 90, 0o600, None),
        (-30, -3, 0o600, "the certificate expired 3 days ago"),
        (-30, 0, 0o600, "the certificate expired less than a day ago"),
        (-30, 13, 0o600, "the certificate expires in 12 days"),
        (-30, 2, 0o600, "the certificate expires in 1 day"),
        (-30, 16, 0o600, None),
        (2, 90, 0o600, "the certificate is not valid yet, for another 1 day"),
        (-1, 90, 0o604, "everybody on this machine can read or change the private key"),
        (-1, 90, 0o640, None),
    ],
)
def test_warnings(tmp_path: Path, start: int, end: int, mode: int, warning: str | None) -> None:
    path = write_pair(tmp_path / "c.pem", "a.pl", start=start, end=end)
    path.chmod(mode)
    found = list(certificates.warnings(read(Pair(str(path), str(path))), time.time() + 1))
    assert [text.startswith(f"{path}: {warning}") for text in found] == ([True] if warning else [])


def test_a_folder_of_pairs(tmp_path: Path) -> None:
    for name in ("b.pl.pem", "a.pl.crt", "a.pl.key", "readme.txt", "c.pl.key", "live/x.pem"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "d.pl").mkdir()
    (tmp_path / "d.pl" / "fullchain.pem").touch()
    (tmp_path / "empty.pem").mkdir()
    assert pairs_in(str(tmp_path)) == [
        Pair(f"{tmp_path}/a.pl.crt", f"{tmp_path}/a.pl.key"),
        Pair(f"{tmp_path}/b.pl.pem", f"{tmp_path}/b.pl.pem"),
        Pair(f"{tmp_path}/d.pl/fullchain.pem", f"{tmp_path}/d.pl/privkey.pem"),
    ]
    with pytest.raises(CertificateError, match="nothing: No such file"):
        pairs_in(str(tmp_path / "nothing"))


def _touch(path: Path) -> None:
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


CHANGES: list[Callable[[Path], object]] = [
    lambda folder: (folder / "c.pem").write_bytes(b"longer than before"),
    lambda folder: _touch(folder / "c.pem"),
    lambda folder: (folder / "c.pem").unlink(),
    lambda folder: (folder / "new.pem").touch(),
    lambda folder: (folder / "live" / "x" / "fullchain.pem").write_bytes(b"new"),
    lambda folder: (folder / "other").replace(folder / "c.pem"),
    lambda folder: (folder / "live" / "x").rename(folder / "live" / "y"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_the_watch_tells_a_change_once_and_when_it_is_over(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    (tmp_path / "live" / "x").mkdir(parents=True)
    for name in ("c.pem", "other", "live/x/fullchain.pem"):
        (tmp_path / name).write_bytes(b"some octets")
    watch = Watch([str(tmp_path / "c.pem"), str(tmp_path), str(tmp_path / "live"), str(tmp_path / "none")])
    assert [watch.changed() for _ in range(2)] == [False, False]
    change(tmp_path)
    assert [watch.changed() for _ in range(4)] == [False, True, False, False]


def test_the_watch_waits_while_files_are_being_written(tmp_path: Path) -> None:
    path = tmp_path / "c.pem"
    path.touch()
    watch = Watch([str(path)])
    for size in (1, 2, 3):
        path.write_bytes(b"x" * size)
        assert not watch.changed()
    assert watch.changed()
    path.write_bytes(b"")
    assert [watch.changed() for _ in range(3)] == [False, True, False]


def test_the_watch_follows_links(tmp_path: Path) -> None:
    for name in ("c1.pem", "c2.pem"):
        (tmp_path / name).touch()
    link = tmp_path / "live.pem"
    link.symlink_to("c1.pem")
    watch = Watch([str(link)])
    link.unlink()
    link.symlink_to("c2.pem")
    assert [watch.changed() for _ in range(3)] == [False, True, False]
