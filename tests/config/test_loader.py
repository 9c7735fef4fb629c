"""Files to settings: every mistake at once, each with its place and the nearest name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tpop3d_py.config import ConfigError, load
from tpop3d_py.config.documents import reference_page, sample_file
from tpop3d_py.settings import BOOLEAN, PATH, TEXT, choice, integer, seconds, setting, words_of


@dataclass(frozen=True, slots=True)
class Sea:
    """The sea.

    More words that are not the heading.
    """

    depth: int = setting("sea-depth", integer(1, 100, "m"), default=7, summary="How deep it is.")
    salt: bool = setting("sea-salt", BOOLEAN, default=True, summary="Whether it is salty.")
    key: str = setting("sea-key", TEXT, default=None, summary="A secret.", example="abc", secret=True)
    tide: float = setting("sea-tide", seconds(0, 10), default=1.5, summary="Its period.")
    color: str = setting("sea-color", choice("blue", "gray"), default="blue", summary="What it looks like.")
    chart: str = setting("sea-chart", PATH, default=None, summary="Where its chart is.")
    fish: tuple[str, ...] = setting(
        "sea-fish", words_of("names", str), default=(), summary="Who lives there."
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if not self.salt and self.color == "gray":
            yield "sea-color", "sweet water is not gray"


def write(tmp_path: Path, text: str) -> str:
    file = tmp_path / "sea.conf"
    file.write_text(text)
    file.chmod(0o600)
    return str(file)


def test_a_directive_about_perl_names_what_came_after(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"auth-perl-pass: .*auth-other.*auth-python"):
        load(write(tmp_path, "auth-perl-pass: check\n"), [Sea])


def test_defaults_and_values(tmp_path: Path) -> None:
    sea = load(
        write(tmp_path, "sea-depth: 9\nsea-fish: cod  eel\nsea-salt: no\nsea-tide: 0.25\n"), [Sea]
    ).get(Sea)
    assert (sea.depth, sea.fish, sea.salt, sea.tide, sea.color) == (9, ("cod", "eel"), False, 0.25, "blue")


def test_all_mistakes_at_once_in_order(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "sea-depht: 3\nsea-depth: 101\nsea-salt: Yes\nnonsense\nsea-tide: nan\nsea-color: red\nsea-chart: x\n"
        "drac-server: localhost\n",
    )
    with pytest.raises(ConfigError) as caught:
        load(path, [Sea])
    lines = str(caught.value).splitlines()
    assert [line.split(":")[1] for line in lines] == list("12345678")
    assert "did you mean sea-depth?" in lines[0]
    assert "between 1 and 100" in lines[1]
    assert "yes or no" in lines[2]
    assert "blue, gray" in lines[5]
    assert "not supported by this version" in lines[7]


def test_a_rule_between_directives_is_reported_at_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sea.conf:2: sea-color: sweet water"):
        load(write(tmp_path, "sea-salt: no\nsea-color: gray\n"), [Sea])


def test_the_first_of_two_wins_with_a_warning(tmp_path: Path) -> None:
    conf = load(write(tmp_path, "sea-depth: 1\nsea-depth: 2\n"), [Sea])
    assert conf.get(Sea).depth == 1
    assert "sea.conf:2: sea-depth was set at" in conf.warnings[0]


def test_a_secret_that_everybody_can_read_is_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path, "sea-key: xyzzy\n")
    Path(path).chmod(0o644)
    (warning,) = load(path, [Sea]).warnings
    assert "sea-key" in warning
    assert "xyzzy" not in warning


def test_foreign_directives_are_checked_and_dropped(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Moon:
        """The moon."""

        phase: int = setting("moon-phase", integer(0, 3), default=0, summary="Its phase.")

    path = write(tmp_path, "sea-depth: 2\nmoon-phase: 1\n")
    assert load(path, [Moon], foreign=[Sea]).get(Moon).phase == 1
    with pytest.raises(ConfigError, match="moon-phase: must be between 0 and 3"):
        load(write(tmp_path, "moon-phase: 4\n"), [Sea], foreign=[Moon])


def test_what_a_bad_value_breaks_is_reported_once(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Ship:
        """A ship."""

        mast: int = setting("ship-mast", integer(1, 5), default=None, summary="How many.")

        def conflicts(self) -> Iterator[tuple[str, str]]:
            if not self.mast:
                yield "ship-mast", "is required"

    for text, words in (
        ("ship-mast: x\n", "whole number"),
        ("include: no.conf\n", "cannot read"),
        ("", "required"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            load(write(tmp_path, text), [Ship])
        assert len(caught.value.problems) == 1


def test_a_missing_file() -> None:
    with pytest.raises(
        ConfigError, match=r"^/nonexistent/x\.conf: cannot be read: No such file or directory$"
    ):
        load("/nonexistent/x.conf", [Sea])


def test_the_sample_file_with_comments_removed_gives_the_defaults(tmp_path: Path) -> None:
    text = sample_file("Sea", [Sea])
    directives = [
        line[1:] for line in text.splitlines() if line.startswith("#sea-") and not line.endswith(":")
    ]
    assert len(directives) == 5
    sea = load(write(tmp_path, "\n".join(directives)), [Sea]).get(Sea)
    assert (sea.depth, sea.key) == (7, "abc")


def test_the_reference_page_names_everything() -> None:
    page = reference_page("Directives", "Words.", [Sea])
    assert "## The sea\n" in page
    assert "### `sea-depth`\n\nHow deep it is.\n\nValue: whole number of m, 1 to 100. Default: `7`.\n" in page
    assert "Default: none. Example: `sea-key: abc`." in page
