"""PROXY headers of both versions: whole, octet by octet, with TLS behind them, and broken in every way."""

from __future__ import annotations

import contextlib
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpop3d_py.server.proxy import NOBODY, BadHeader, HeaderReader, Introduction, _crc32c

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V4 = Introduction(("192.0.2.7", 50123), ("198.51.100.1", 110))
V6 = Introduction(("2001:db8::7", 50123), ("2001:db8::1", 995))


def packed(said: Introduction) -> bytes:
    assert said.client is not None
    assert said.server is not None
    family = socket.AF_INET6 if ":" in said.client[0] else socket.AF_INET
    hosts = b"".join(socket.inet_pton(family, host) for host, _ in (said.client, said.server))
    return hosts + struct.pack("!HH", said.client[1], said.server[1])


def binary(body: bytes, family: int = 0x11, command: int = 0x21) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def extra(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def checked(said: Introduction) -> bytes:
    blank = binary(packed(said) + extra(0x03, b"\0" * 4))
    return blank[:-4] + struct.pack("!I", _crc32c(blank))


SSL_YES = extra(0x20, b"\x01\0\0\0\0" + extra(0x21, b"TLSv1.3"))
SSL_NO = extra(0x20, b"\x00\0\0\0\0")
NAME = extra(0x02, b"Mail.Klient1.pl")

GOOD = [
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 50123 110\r\n", V4),
    (b"PROXY TCP6 2001:DB8::7 2001:db8:0::1 50123 995\r\n", V6),
    (b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 50123 110\r\n", V4),
    (b"PROXY UNKNOWN\r\n", NOBODY),
    (b"PROXY UNKNOWN ffff:: ffff:: 65535 65535\r\n", NOBODY),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 0 65535\r\n",
     Introduction(("255.255.255.255", 0), ("255.255.255.255", 65535))),
    (binary(packed(V4)), V4),
    (binary(packed(V6), 0x21), V6),
    (binary(b"", 0x00, 0x20), NOBODY),
    (binary(packed(V4), 0x11, 0x20), NOBODY),  # LOCAL: addresses are there and do not count
    (binary(b"anything", 0x00), NOBODY),
    (binary(b"\0" * 216, 0x31), NOBODY),
    (binary(b"\0" * 216 + NAME, 0x31), NOBODY._replace(name="mail.klient1.pl")),
    (binary(packed(V4) + SSL_YES), V4._replace(tls=True)),
    (binary(packed(V4) + SSL_NO), V4),
    (binary(packed(V4) + extra(0x20, b"\x01")), V4),
    (binary(packed(V4) + NAME + SSL_YES), V4._replace(tls=True, name="mail.klient1.pl")),
    (binary(packed(V4) + extra(0x02, b"a b\n")), V4),
    (binary(packed(V4) + extra(0x04, b"\0" * 30) + extra(0xEA, b"x")), V4),
    (checked(V4), V4),
    (binary(packed(V4) + extra(0x04, b"\0" * 4000)), V4),
]  # fmt: skip


@pytest.mark.parametrize(("header", "said"), GOOD)
@pytest.mark.parametrize("behind", [b"", b"\x16\x03\x01", b"CAPA\r\n", b"PROXY TCP4 "])
def test_a_whole_header_and_what_is_behind_it(header: bytes, said: Introduction, behind: bytes) -> None:
    assert HeaderReader().take(header + behind) == (len(header), said)


@pytest.mark.parametrize(("header", "said"), GOOD)
def test_octet_by_octet(header: bytes, said: Introduction) -> None:
    reader = HeaderReader()
    assert not reader.begun
    for octet in header[:-1]:
        assert reader.take(bytes([octet])) == (1, None)
        assert reader.begun
    assert reader.take(header[-1:] + b"CAPA\r\n") == (1, said)


@given(st.sampled_from(GOOD), st.lists(st.integers(1, 60), max_size=20), st.binary(max_size=20))
def test_in_any_pieces(good: tuple[bytes, Introduction], sizes: list[int], behind: bytes) -> None:
    header, said = good
    stream = header + behind
    reader, taken, result = HeaderReader(), 0, None
    for size in [*sizes, len(stream)]:
        count, result = reader.take(stream[taken : taken + size])
        taken += count
        if result is not None:
            break
    assert result == said
    assert taken == len(header)


BAD = [
    b"CAPA\r\n",
    b"\x16\x03\x01\x02\x00",
    b"proxy TCP4 192.0.2.7 198.51.100.1 50123 110\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 50123\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 50123 110 1\r\n",
    b"PROXY TCP4  192.0.2.7 198.51.100.1 50123 110\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 110\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 110\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 0110 110\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1_0 110\r\n",
    b"PROXY TCP4 192.0.2.7 localhost 50123 110\r\n",
    b"PROXY TCP4 2001:db8::7 2001:db8::1 50123 110\r\n",
    b"PROXY TCP6 192.0.2.7 198.51.100.1 50123 110\r\n",
    b"PROXY TCP6 fe80::1%x fe80::2 1 2\r\n",
    b"PROXY UDP4 192.0.2.7 198.51.100.1 50123 110\r\n",
    b"PROXY \r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 50123 110\n",
    b"PROXY " + b"x" * 200,
    b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    SIGNATURE[:-1] + b"X" + b"\x21\x11\0\0",
    binary(packed(V4), 0x11, 0x11),  # version 1 in a binary header
    binary(packed(V4), 0x11, 0x22),  # an unknown command
    binary(packed(V4), 0x12),  # UDP
    binary(packed(V4), 0x41),  # an unknown family
    binary(packed(V4)[:-1]),
    binary(packed(V4), 0x21),  # addresses of the other family
    binary(packed(V4) + b"\x04"),
    binary(packed(V4) + b"\x04\x00\x05abcd"),
    binary(packed(V4) + extra(0x03, b"\0\0\0\0")),
    binary(packed(V4) + extra(0x03, b"\0")),
    binary(packed(V4) + extra(0x04, b"\0" * 4096)),
]


@pytest.mark.parametrize("octets", BAD)
def test_what_is_no_header(octets: bytes) -> None:
    with pytest.raises(BadHeader, match=r"."):
        HeaderReader().take(octets)


@pytest.mark.parametrize("header", [header for header, _ in GOOD])
def test_a_header_that_is_cut_off_waits_for_more(header: bytes) -> None:
    for size in range(1, len(header)):
        assert HeaderReader().take(header[:size]) == (size, None)


@given(
    st.binary(min_size=1, max_size=300),
    st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21\x11\0"]),
)
def test_any_octets_give_an_answer(octets: bytes, start: bytes) -> None:
    count, said = 0, None
    with contextlib.suppress(BadHeader):
        count, said = HeaderReader().take(start + octets)
        assert 0 < count <= len(start + octets)
    assert said is None or isinstance(said, Introduction)


def test_the_checksum_is_the_standards() -> None:
    # RFC 3720 appendix B.4.
    assert _crc32c(b"\0" * 32) == 0x8A9136AA
    assert _crc32c(bytes(range(32))) == 0x46DD794E
