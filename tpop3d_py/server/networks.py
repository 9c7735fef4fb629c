"""Lists of networks: who is believed, who is spared.

Rules: ``10.0.0.0/8``, ``::1/128`` or a single address; an IPv4 address inside IPv6
(``::ffff:10.0.0.1``) is the IPv4 address that it stands for, in the list and in the question.

When things fail: a mistake in the text is a `ValueError` for the configuration reader; what is
no address is in no network.
"""

from __future__ import annotations

import functools
import ipaddress

from tpop3d_py.settings import Kind

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_ANSWERS_KEPT = 4096


class Networks:
    """Some networks.

    Args:
        networks: any number of them.
    """

    def __init__(self, networks: tuple[Network, ...] = ()) -> None:
        self._networks = networks
        #: Tells whether an address, given as text, is in one of the networks; the last answers are kept.
        self.contains = functools.lru_cache(_ANSWERS_KEPT)(self._contains)

    def __reduce__(self) -> tuple[type[Networks], tuple[tuple[Network, ...]]]:
        return Networks, (self._networks,)  # without the answers

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __str__(self) -> str:
        return " ".join(str(network) for network in self._networks)

    def _contains(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(plain(host))
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def plain(host: str) -> str:
    """Write an address without its zone, and an IPv4 address as such even where it came inside IPv6."""
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.partition("%")[0])
    return str(address.ipv4_mapped or address)


def _parse(text: str) -> Networks:
    return Networks(tuple(_parse_one(word) for word in text.split()))


def _parse_one(word: str) -> Network:
    try:
        if "/" not in word:
            return ipaddress.ip_network(plain(word))
        return ipaddress.ip_network(word)
    except ValueError as error:
        hint = "; bits behind the prefix must be 0" if "host bits" in str(error) else ""
        raise ValueError(f"{word!r} is not a network such as 10.0.0.0/8 or ::1{hint}") from None


#: A list of networks, split on blanks; may be empty.
NETWORKS: Kind[Networks] = Kind("networks, each ADDRESS or ADDRESS/BITS", _parse)
