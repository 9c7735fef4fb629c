"""What a stored password may ask for when it is checked.

Whoever can write a row of the directory, an administrator with a typing error or a domain's owner with a
grudge, decides by its parameters what every login of that box costs.  A check holds an authentication
process, so forms that ask for more than a busy server can give are refused before the first octet is hashed.

The bounds: bcrypt cost 12 and 1,000,000 iterations are about a quarter of a second each, 64 MiB and 4 passes
of argon2id a fifth.  New passwords of ours ask for far less (see `passwords`).

When things fail: `TooCostly`, which is a fault of the account and not a wrong password.
"""

from __future__ import annotations

BCRYPT_COST = 12
ITERATIONS = 1_000_000
MEMORY_KIB = 65_536
PASSES = 4
LANES = 4


class UnknownScheme(ValueError):
    """A stored password has a form that cannot be checked here."""


class TooCostly(ValueError):
    """A stored password asks for more than checking one may cost."""


def at_most(scheme: str, asked: int, most: int, what: str) -> None:
    """Refuse a parameter above its bound.

    Raises:
        TooCostly: `asked` is more than `most`.
    """
    if asked > most:
        raise TooCostly(f"a stored {scheme} password asks for {asked} {what}; at most {most} are allowed")
