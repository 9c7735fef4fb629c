"""Which stored forms allow SCRAM, and what the server says next in its exchange.

When things fail: `scram.BadForm` for a stored form that is damaged.
"""

from __future__ import annotations

from tpop3d_py.auth import passwords, scram
from tpop3d_py.auth.scram import Keys, Salts
from tpop3d_py.contracts import Credentials


class Exchanges:
    """Takes both steps of exchanges.

    Args:
        salts: for passwords that are stored as they are, and for names that do not exist.
    """

    def __init__(self, salts: Salts) -> None:
        self._salts = salts

    def answer(self, credentials: Credentials, stored: str, name: str) -> bytes | None:
        """Return the server's message to the client's last one.

        Args:
            credentials: with everything that was said.
            stored: the stored password.
            name: the account's, in the form that `for_nobody` is given too.

        Returns:
            None if the proof is wrong, or if the stored form allows no SCRAM.

        Raises:
            scram.BadForm: the stored form is damaged.
        """
        scheme, rest = passwords.split_scheme(stored)
        plain = passwords.plain_text(stored)
        keys = scram.read_stored(rest) if scheme == passwords.SCRAM else None
        if scram.is_first_step(credentials):
            if keys is not None:
                return scram.first_message(credentials, keys.salt, keys.iterations)
            return self.for_nobody(credentials, name) if plain else None
        return scram.final_message(credentials, self._known(credentials, keys, plain, name))

    def for_nobody(self, credentials: Credentials, name: str) -> bytes:
        """Return a first message that looks like everybody's."""
        return scram.first_message(credentials, self._salts.of(name))

    def _known(self, credentials: Credentials, keys: Keys | None, plain: bytes | None, name: str) -> Keys:
        """Return the keys to compare with, at the same cost for all; nobody's if there are none."""
        if plain and keys is None:
            return scram.derive(plain, self._salts.of(name), scram.ITERATIONS)
        scram.spend(credentials)
        return keys if keys is not None else scram.NOBODY
