"""What all listeners obey together: certificates by name, proxies, reverse DNS."""

from __future__ import annotations

from dataclasses import dataclass

from tpop3d_py.server.networks import NETWORKS, Networks
from tpop3d_py.settings import BOOLEAN, PATH, seconds, setting, words_of


def _absolute(word: str) -> str:
    if not word.startswith("/"):
        raise ValueError(f"{word!r} is not an absolute path")
    return word


def _label(word: str) -> str:
    if not word.isascii() or not word.replace("-", "x").isalnum():
        raise ValueError(f"{word!r} is not the first part of a host name")
    return word.lower()


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """Certificates by name, proxies, reverse DNS."""

    tls_certificates: tuple[str, ...] = setting(
        "tls-certificates",
        words_of("folders", _absolute),
        default=(),
        summary="Folders with certificates for clients that ask for one of their names in TLS (SNI); others "
        "get the listener's. In them, NAME.pem holds a chain and its key, or NAME.crt the chain and "
        "NAME.key the key, or the folder NAME fullchain.pem and privkey.pem. The name also says whose domain "
        "login names without one belong to. Files that change are read again.",
        example="/etc/letsencrypt/live",
    )
    sni_hosts: tuple[str, ...] = setting(
        "sni-hosts",
        words_of("first parts of host names", _label),
        default=("mail", "pop", "pop3", "pop3s", "imap", "imaps", "smtp", "mx", "poczta"),
        summary="Names of hosts that stand before a mail domain in names of tls-certificates: "
        "mail.klient1.pl stands for klient1.pl, biuro.klient1.pl for itself.",
    )
    tls_no_bug_workarounds: bool = setting(
        "tls-no-bug-workarounds",
        BOOLEAN,
        default=False,
        summary="Do without OpenSSL's workarounds for mistakes in old clients (SSL_OP_ALL).",
    )
    proxy_networks: Networks = setting(
        "proxy-networks",
        NETWORKS,
        default=Networks(),
        summary="Proxies whose PROXY header is believed on listeners with proxy=yes; nobody else is served "
        "there.",
        example="10.0.0.5 fd00::/8",
    )
    xclient_networks: Networks = setting(
        "xclient-networks",
        NETWORKS,
        default=Networks(),
        summary="Proxies that may say whom they speak for with XCLIENT, as Dovecot's do; others do not see "
        "that it exists.",
        example="10.0.0.6",
    )
    hosts_file: str | None = setting(
        "hosts-file",
        PATH,
        default=None,
        summary="A file in the form of /etc/hosts with names of this machine's addresses, for listeners "
        "without a domain; what is in it is not asked of DNS.",
        example="/etc/pypop3d/hosts",
    )
    reverse_dns_timeout: float = setting(
        "reverse-dns-timeout-seconds",
        seconds(0.1, 30),
        default=2.0,
        summary="How long the first connections to an address wait for its name; then they get the domain of "
        "an address without one.",
    )
