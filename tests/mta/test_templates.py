"""Templates: strict about names, strict about line ends, found beside the package."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest

import tpop3d_py
from tpop3d_py.mta import templates


def fill(text: str, **values: object) -> str:
    loader = jinja2.DictLoader({"t": text})
    return templates.environment(loader).get_template("t").render(values)


def test_braces_are_left_to_exim() -> None:
    text = "${if match{${extract{a}{$b}}}{/\\$}{{x}}{#y}}{% z %} << name >>\n"
    assert fill(text, name="N") == text.replace("<< name >>", "N")


@pytest.mark.parametrize("text", ["<<nobody>>", "<<given.nothing>>", "<% for x in nobody %><% endfor %>"])
def test_unknown_names_fail(text: str) -> None:
    with pytest.raises(jinja2.UndefinedError):
        fill(text, given=object())


@pytest.mark.parametrize("value", ["a\nb", "\n", "a\r", "a\x00", "\x1b[1m", "a\x7f", "tab\t"])
def test_values_with_controls_are_refused(value: str) -> None:
    with pytest.raises(templates.UnsafeValue) as refusal:
        fill("x = <<value>>\n", value=value)
    assert str(refusal.value).isprintable()


def test_values_are_not_templates_themselves() -> None:
    assert fill("<<value>>", value="<<other>><% x %>") == "<<other>><% x %>"


def test_folder_of_this_checkout() -> None:
    assert (templates.folder("exim") / "routers.j2").is_file()


def test_folder_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tpop3d_py" / "data" / "exim").mkdir(parents=True)
    (tmp_path / "exim").mkdir()  # somebody else's, beside the package in site-packages
    monkeypatch.setattr(tpop3d_py, "__file__", str(tmp_path / "tpop3d_py" / "__init__.py"))
    assert templates.folder("exim") == tmp_path / "tpop3d_py" / "data" / "exim"
