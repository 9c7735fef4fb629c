"""Every SQL statement that a mail server sends, rendered for its lookups and its quoting.

Rules: a value from the network stands between single quotes and inside the
server's own quoting operator, whose name depends on the lookup.  There is no
LIKE, because quoting leaves % and _ alone.  The statements need nothing beyond
the columns of the original four tables, so they work before and after
``vmail db upgrade``.

Two kinds of rows are left out by the statements themselves, so that their
addresses are refused as unknown instead of being accepted and bounced:

* a mailbox name that is not one component under the domain's path;
* a forwarding target that an MTA would take for a pipe, a file, a list to
  include or a special item.

When things fail: nothing here fails; a database that cannot answer makes the
mail server say "try again later", never "unknown user".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Sql = tuple[str, ...]

#: The local part of the row that catches all mail for a domain.
CATCH_ALL = "_default_"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one database differs from another in these statements.

    Args:
        lookup: Exim's name of the lookup type and of its quoting operator.
        characters: the function that counts characters.
        folds: the database's ``=`` may fold case, drop accents or ignore blanks at the end.
    """

    lookup: str
    characters: str
    folds: bool


MYSQL = Dialect(lookup="mysql", characters="CHAR_LENGTH", folds=True)
SQLITE = Dialect(lookup="sqlite", characters="LENGTH", folds=False)


@dataclass(frozen=True, slots=True)
class Queries:
    """The four statements, each as lines to be joined by blanks.

    Args:
        domain: one row, one column, if the domain is ours.
        box: one row of path, unix_user and mbox_name.
        forward: a row for each target of an address.
        catch_all: a row for each target of the domain's ``_default_``.
    """

    domain: Sql
    box: Sql
    forward: Sql
    catch_all: Sql


def exim_queries(dialect: Dialect) -> Queries:
    """Make the statements as Exim expands them."""
    domain = f"'${{quote_{dialect.lookup}:$domain}}'"
    local_part = f"'${{quote_{dialect.lookup}:$local_part}}'"
    return Queries(
        domain=_domain(dialect, domain),
        box=_box(dialect, domain, local_part),
        forward=_forward(dialect, domain, local_part),
        catch_all=_catch_all(dialect, domain),
    )


def _domain(dialect: Dialect, domain: str) -> Sql:
    return ("SELECT domain_name FROM domain", *_where(_same(dialect, "domain_name", domain)))


def _box(dialect: Dialect, domain: str, local_part: str) -> Sql:
    return (
        "SELECT d.path AS path, d.unix_user AS unix_user, p.mbox_name AS mbox_name",
        "FROM popbox p JOIN domain d ON d.domain_name = p.domain_name",
        *_where(
            [
                *_same(dialect, "p.domain_name", domain),
                *_same_local_part(dialect, "p.local_part", local_part),
                f"p.local_part <> '{CATCH_ALL}'",
                *_one_component(dialect, "p.mbox_name"),
            ]
        ),
        # An original database has no unique key on whole names; of two rows always take the same one.
        "ORDER BY p.mbox_name LIMIT 1",
    )


def _forward(dialect: Dialect, domain: str, local_part: str) -> Sql:
    return (
        "SELECT remote_name FROM forwarder",
        *_where(
            [
                *_same(dialect, "domain_name", domain),
                *_same_local_part(dialect, "local_part", local_part),
                f"local_part <> '{CATCH_ALL}'",
                *_plain_address("remote_name"),
            ]
        ),
    )


def _catch_all(dialect: Dialect, domain: str) -> Sql:
    return (
        "SELECT remote_name FROM forwarder",
        *_where(
            [
                *_same(dialect, "domain_name", domain),
                f"local_part = '{CATCH_ALL}'",
                *_plain_address("remote_name"),
            ]
        ),
    )


def _where(conditions: Iterable[str]) -> Sql:
    first, *others = conditions
    return (f"WHERE {first}", *(f"AND {condition}" for condition in others))


def _same(dialect: Dialect, column: str, value: str) -> list[str]:
    """Compare a column with a lower-case ASCII value, octet by octet.

    The first comparison uses the key.  With the usual collations it also takes ``"luser "`` and ``lúser``
    for ``luser``; the second one does not, yet still finds rows that were stored with capital letters.
    """
    plain = f"{column} = {value}"
    return [plain, f"CAST(LOWER({column}) AS BINARY) = {value}"] if dialect.folds else [plain]


def _same_local_part(dialect: Dialect, column: str, value: str) -> list[str]:
    """Like `_same`, for a value that need not be ASCII.

    An old table may be in latin1, and comparing it with a letter that latin1 has not is an error ("illegal
    mix of collations"), hence a deferral.  For such names only octets are compared, all over the domain.
    """
    if not dialect.folds:
        return _same(dialect, column, value)
    plain, octets = _same(dialect, column, value)
    return [r"${if match{$local_part}{\N^[ -~]*$\N}{" + plain + "}{TRUE}}", octets]


def _one_component(dialect: Dialect, column: str) -> list[str]:
    """Admit what the commands do: ``name`` and ``name/``, not empty, not hidden, without ``..``."""
    return [
        f"SUBSTR({column},1,1) NOT IN ('','.','/')",
        f"INSTR({column},'..') = 0",
        f"INSTR({column},'/') IN (0,{dialect.characters}({column}))",
    ]


def _plain_address(column: str) -> list[str]:
    """Admit addresses, also several with commas between them as Exim always allowed.

    Refused are `|command`, `/file`, `:include:` and its like, `"quoted"`, `#comment`, and `@domain`, on which
    Exim would defer for ever.  Control characters go too, because a line end begins another item.
    """
    return [
        f"SUBSTR(LTRIM({column}),1,1) NOT IN ('','/','#','@')",
        f"INSTR(REPLACE({column},' ',''),',/') = 0",
        *(f"INSTR({column},'{mark}') = 0" for mark in '|:"'),
        *(f"INSTR({column},CHAR({code})) = 0" for code in (9, 10, 13)),
    ]
