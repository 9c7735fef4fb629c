"""Generated documents are what the declarations say, and samples are good configurations."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tpop3d_py import assemble
from tpop3d_py.config import load
from tpop3d_py.settings import declarations

ROOT = Path(__file__).parents[1]


def test_generated_documents_are_not_stale() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/generate-docs", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_directive_is_named_once() -> None:
    names = [
        d.name for group in (*assemble.POP3_GROUPS, *assemble.DIRECTORY_GROUPS) for d in declarations(group)
    ]
    assert len(names) == len(set(names))
    page = (ROOT / "docs/configuration.md").read_text()
    assert all(page.count(f"### `{name}`\n") == 1 for name in names)


def test_the_samples_load_with_every_default_switched_on(tmp_path: Path) -> None:
    for name, groups in (("tpop3d.conf", assemble.POP3_GROUPS), ("vmail.conf", assemble.DIRECTORY_GROUPS)):
        text = (ROOT / "docs/samples" / name).read_text()
        file = tmp_path / name
        # A directive whose default is nothing, or only an example, stays a comment.
        file.write_text(re.sub(r"^#(?=[a-z-]+: \S)", "", text, flags=re.MULTILINE))
        assert load(str(file), groups).warnings == ()


def test_every_directive_in_the_readme_and_the_docs_exists() -> None:
    names = {
        d.name for group in (*assemble.POP3_GROUPS, *assemble.DIRECTORY_GROUPS) for d in declarations(group)
    }
    for page in (ROOT / "README.md", *ROOT.glob("docs/*.md")):
        for block in re.findall(r"```conf\n(.*?)```", page.read_text(), flags=re.DOTALL):
            written = re.findall(r"^([a-z][a-z-]+):", block, flags=re.MULTILINE)
            assert not set(written) - names - {"include"}, page
