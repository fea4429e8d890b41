"""The documentation: every Python block runs as written, and every link between files leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = tuple(sorted((ROOT / "docs").glob("*.md")))
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")

pytestmark = pytest.mark.xdist_group("finished_run")


def program(text: str) -> str:
    """A page's Python blocks, each at its own line number: a traceback names the line of the page."""
    lines, inside = [], False
    for line in text.splitlines():
        fence = line.startswith("```")
        lines.append(line if inside and not fence else "")
        inside = line == "```python" or (inside and not fence)
    return "\n".join(lines) + "\n"


def test_a_program_keeps_lines_and_leaves_out_other_blocks() -> None:
    """Only Python blocks are taken, and they stay on their lines."""
    page = "# Title\n```python\na = 1\n```\nwords\n```sh\nls\n```\n```python\nb = 2\n```\n"
    assert program(page).splitlines() == ["", "", "a = 1", *[""] * 6, "b = 2", ""]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_blocks_of_a_page_run_in_order(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """In one fresh process, in an empty folder; pages that mention runs/demo in a block find a run there."""
    code = program(page.read_text(encoding="utf-8"))
    assert code.strip()
    if "runs/demo" in code:
        (tmp_path / "runs").symlink_to(request.getfixturevalue("finished_run").parent)
    script = tmp_path / page.with_suffix(".py").name
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=1_800
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_relative_links_point_to_files(page: Path) -> None:
    """A link to another file of the repository names one that exists."""
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


def test_every_page_is_linked_from_somewhere() -> None:
    """A page that nothing leads to is not found."""
    texts = [page.read_text(encoding="utf-8") for page in (ROOT / "README.md", *PAGES)]
    linked = {Path(link).name for text in texts for link in LINK.findall(text)}
    assert {page.name for page in PAGES} <= linked
