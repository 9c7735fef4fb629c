"""Lists of networks as they are written and asked."""

from __future__ import annotations

import pytest

from tpop3d_py.server.networks import NETWORKS, Networks, plain


@pytest.mark.parametrize(
    ("networks", "host", "inside"),
    [
        ("10.0.0.0/8", "10.255.0.1", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.0.0.0/8 ::1", "::1", True),
        ("::1", "::2", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("::ffff:10.1.2.3", "10.1.2.3", True),
        ("2001:db8::/32", "2001:db8:ffff::1", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("0.0.0.0/0", "::1", False),
        ("", "127.0.0.1", False),
        ("127.0.0.0/8", "localhost", False),
        ("127.0.0.0/8", "", False),
    ],
)
def test_who_is_inside(networks: str, host: str, inside: bool) -> None:
    assert NETWORKS.parse(networks).contains(host) is inside
    assert NETWORKS.parse(networks).contains(host) is inside


def test_a_list_is_shown_as_it_is_written() -> None:
    assert NETWORKS.show(NETWORKS.parse(" 10.0.0.0/8  ::1 ")) == "10.0.0.0/8 ::1/128"
    assert NETWORKS.parse("10.0.0.1")
    assert not NETWORKS.parse("")
    assert not Networks()


@pytest.mark.parametrize(
    "text", ["10.0.0.0/33", "localhost", "10.0.0.1/8", "10.0.0.0/8,::1", "10.0.0", "::g", "/8"]
)
def test_mistakes(text: str) -> None:
    with pytest.raises(ValueError, match="is not a network"):
        NETWORKS.parse(text)


def test_addresses_in_one_form() -> None:
    assert plain("::ffff:192.0.2.1") == "192.0.2.1"
    assert plain("2001:DB8:0::1") == "2001:db8::1"
    assert plain("192.0.2.1") == "192.0.2.1"
