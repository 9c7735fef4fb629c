"""From the listening addresses in the settings to bound listeners with all that their sessions obey.

When things fail: `ListenError`, or `StartError` about a certificate.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from tpop3d_py.assemble.groups import StartError
from tpop3d_py.auth.tokens import TokenSettings
from tpop3d_py.config import Configuration
from tpop3d_py.pop3.languages import CATALOGS
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.pop3.settings import ProtocolSettings
from tpop3d_py.server import binding
from tpop3d_py.server.door import Door
from tpop3d_py.server.endpoint import end_point
from tpop3d_py.server.listeners import Listener
from tpop3d_py.server.naming import machine_domain
from tpop3d_py.server.settings import ServerSettings
from tpop3d_py.server.sockets import Claims, key_of
from tpop3d_py.server.transport import server_context


def open_doors(conf: Configuration, claims: Claims) -> list[Door]:
    """Bind every listening address, or take its socket over.

    Raises:
        ListenError: an address cannot be listened on.
        StartError: a certificate cannot be used.
    """
    return [
        door for listener in conf.get(ServerSettings).listen_address for door in _open(listener, conf, claims)
    ]


def _open(listener: Listener, conf: Configuration, claims: Claims) -> Iterator[Door]:
    tls, profile = tls_of(listener), profile_of(listener, conf)
    domain = listener.domain or machine_domain()
    buffer = conf.get(ServerSettings).tcp_send_buffer
    for family, address in binding.addresses_of(listener):
        opened = partial(binding.bind_address, listener, family, address, buffer)
        sock = claims.claim(key_of(family, address), opened)
        binding.set_up(sock, buffer)
        yield Door(sock, domain, profile, tls, listener.stls)


def profile_of(listener: Listener, conf: Configuration) -> Profile:
    """Gather what the sessions of a listener obey."""
    protocol = conf.get(ProtocolSettings)
    return Profile(
        texts=CATALOGS[listener.texts or protocol.texts],
        stls=listener.stls,
        apop_only=protocol.apop_only,
        password_tls_only=protocol.password_tls_only,
        mechanisms=protocol.sasl_mechanisms,
        token_check=bool(conf.get(TokenSettings).check),
        binding=end_point(listener.certificate) if listener.certificate else b"",
        permit_empty_password=protocol.empty_passwords,
        commit_on_early_close=not protocol.no_commit_on_early_close,
    )


def tls_of(listener: Listener) -> Any:
    """Make the TLS context of a listener; None on a plain one.

    Raises:
        StartError: certificate or key cannot be used.
    """
    if not listener.certificate:
        return None
    try:
        return server_context(listener.certificate, listener.key)
    except OSError as error:
        raise StartError(
            f"listen-address {listener}: certificate or key: {error.strerror or error}"
        ) from None
