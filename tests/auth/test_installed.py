"""Drivers of other packages, and the order of all."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from tpop3d_py.auth import installed
from tpop3d_py.auth.installed import BUILT_IN, arranged, load
from tpop3d_py.auth.names import Attempt
from tpop3d_py.auth.plugin import Driver, DriverError, Plugin, Tools, enable_setting
from tpop3d_py.contracts import Credentials, Decision, Verdict
from tpop3d_py.settings import TEXT, setting


@dataclass(frozen=True, slots=True)
class PaperSettings:
    """Logins from a paper list (auth-paper)."""

    enable: bool = enable_setting("paper", "Log in who is on the list.")
    drawer: str = setting("auth-paper-drawer", TEXT, default="top", summary="Where it is.")


@dataclass(frozen=True, slots=True)
class GreedySettings:
    """Takes what is not its own."""

    enable: bool = enable_setting("greedy", "On.")
    domain: str = setting("append-domain", TEXT, default="", summary="Not its own.")


@dataclass(frozen=True, slots=True)
class EternalSettings:
    """Cannot be switched off."""

    drawer: str = setting("auth-eternal-drawer", TEXT, default="top", summary="Where it is.")


class Paper:
    name = "paper"

    def check(self, attempt: Attempt, credentials: Credentials) -> Decision:
        return Decision(Verdict.NOT_MINE)


def make(_settings: Any, _tools: Tools) -> Driver:
    return Paper()


paper = Plugin("paper", PaperSettings, make)
greedy = Plugin("greedy", GreedySettings, make)
eternal = Plugin("eternal", EternalSettings, make)
classless = Plugin("classless", int, make)
mysql = Plugin("mysql", PaperSettings, make)


def entry(name: str, attribute: str = "") -> EntryPoint:
    return EntryPoint(name, f"{__name__}:{attribute or name}", installed.ENTRY_POINTS)


def test_a_driver_of_another_package() -> None:
    assert load([entry("paper")]) == [paper]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([EntryPoint("x", "nosuch_module:x", "g")], "authentication driver x .*ModuleNotFoundError"),
        ([entry("nosuch")], "AttributeError"),
        ([entry("make")], "is no Plugin"),
        ([entry("papers", "paper")], "must have one name"),
        ([entry("mysql")], "there is another driver of this name"),
        ([entry("paper"), entry("paper")], "there is another driver of this name"),
        ([entry("greedy")], "directives must begin with auth-greedy-: append-domain"),
        ([entry("eternal")], "has no directive auth-eternal-enable"),
        ([entry("classless")], "its settings are no group of settings"),
    ],
)
def test_what_is_no_driver_is_named(found: list[EntryPoint], words: str) -> None:
    with pytest.raises(DriverError, match=words):
        load(found)


def test_the_order_that_is_asked_for_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "drivers", lambda: (*BUILT_IN, paper))
    usual = [plugin.name for plugin in BUILT_IN]
    assert [plugin.name for plugin in arranged(())] == [*usual, "paper"]
    last = usual[-1]
    assert [plugin.name for plugin in arranged(("paper", last))] == ["paper", last, *usual[:-1]]


@pytest.mark.parametrize(
    ("text", "words"),
    [("mysql nosuch", "nosuch: no such driver; there are .*mysql"), ("mysql mysql", "names a driver twice")],
)
def test_orders_that_are_none(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        installed._order(text)


def test_a_real_package_and_its_directives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an operator does: install a package, name its directives."""
    info = tmp_path / "paperlist-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: paperlist\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{installed.ENTRY_POINTS}]\npaper = {__name__}:paper\n")
    monkeypatch.syspath_prepend(tmp_path)
    installed.drivers.cache_clear()
    try:
        assert installed.drivers() == (*BUILT_IN, paper)
    finally:
        installed.drivers.cache_clear()
