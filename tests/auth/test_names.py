"""How one login name becomes the names that drivers are asked about."""

from __future__ import annotations

import pytest

from tpop3d_py.auth.names import Attempt, NameSettings, attempts

PLAIN = NameSettings()
APPEND = NameSettings(append_domain=True)
STRIP = NameSettings(strip_domain=True)


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("luser@klient1.pl", PLAIN, [("luser@klient1.pl", "luser", "klient1.pl")]),
        ("luser!klient1.pl", APPEND, [("luser!klient1.pl", "luser", "klient1.pl")]),
        ("luser%a@b", PLAIN, [("luser%a@b", "luser", "a@b")]),
        ("luser", PLAIN, [("luser", None, "here.pl")]),
        ("luser", APPEND, [("luser", None, "here.pl"), ("luser", "luser", "here.pl")]),
        ("luser", STRIP, [("luser", None, "here.pl")]),
        ("jan@x.pl", STRIP, [("jan@x.pl", "jan", "x.pl"), ("jan", None, None)]),
        ("@x.pl", APPEND, [("@x.pl", None, "here.pl"), ("@x.pl", "@x.pl", "here.pl")]),
        ("jan@", PLAIN, [("jan@", None, "here.pl")]),
        ("JAN@X.pl", NameSettings(lowercase=True), [("jan@x.pl", "jan", "x.pl")]),
        ("jan@x.pl", NameSettings(separators="!"), [("jan@x.pl", None, "here.pl")]),
    ],
)
def test_attempts_in_order(
    name: str, settings: NameSettings, expected: list[tuple[str, str | None, str | None]]
) -> None:
    assert list(attempts(name, "here.pl", settings)) == [Attempt(*row) for row in expected]


def test_append_and_strip_exclude_each_other() -> None:
    assert [name for name, _ in NameSettings(append_domain=True, strip_domain=True).conflicts()] == [
        "strip-domain"
    ]
    assert list(APPEND.conflicts()) == []
