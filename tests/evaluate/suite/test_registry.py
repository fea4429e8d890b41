"""How agents are found without running their code."""

from __future__ import annotations

import pickle
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from quantum_trader.evaluate.suite import registry
from quantum_trader.evaluate.suite.contestant import ContestantError
from quantum_trader.evaluate.suite.registry import entry_point_names, find_contestant, source_digest

AGENT = """
import helper_of_mine
class Mine:
    name = helper_of_mine.NAME
    def fit(self, train, validation, seed): ...
    def signals(self, inputs): ...
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with an agent in a file, and in a package."""
    (tmp_path / "mine.py").write_text(AGENT)
    (tmp_path / "helper_of_mine.py").write_text("NAME = 'mine'\n")
    package = tmp_path / "package_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "agent.py").write_text(AGENT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("mine", "helper_of_mine"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.mark.parametrize("spec", ["mine.py:Mine", "mine:Mine"])
def test_a_file_and_a_module_of_the_current_folder_are_found(spec: str, folder: Path) -> None:
    """What lies beside them can be imported; the recipe survives pickling; each call makes a fresh agent."""
    make = pickle.loads(pickle.dumps(find_contestant(spec)))
    assert make().name == "mine"
    assert make() is not make()


def test_an_entry_point_is_found_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed agents are listed, and named when another is asked for."""
    points = EntryPoints([EntryPoint("theirs", "mine:Mine", registry.GROUP)])
    monkeypatch.setattr(registry, "entry_points", lambda group: points.select(group=group))
    assert entry_point_names() == ("theirs",)
    assert find_contestant("theirs")().name == "mine"
    with pytest.raises(ContestantError, match=r"'their' is no agent: .*module:Class.*\(theirs\)"):
        find_contestant("their")


def test_nothing_is_imported_until_the_agent_is_made(folder: Path) -> None:
    """A package that raises on import is found all the same, and its code hashed."""
    make = find_contestant("package_of_mine.agent:Mine")
    assert len(source_digest("package_of_mine.agent:Mine")) == 64
    with pytest.raises(RuntimeError, match="imported"):
        make()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("mine", "'mine' is no agent"),
        ("mine:", "'mine:' is no agent"),
        ("absent.py:Mine", "absent.py: no such file"),
        ("mine.py:Yours", "holds no 'Yours'; it defines Mine"),
        ("package_of_mine.absent:Mine", "found no 'package_of_mine.absent'"),
        ("no such:Mine", "found no 'no such'"),
        ("broken.py:Mine", "expected Python code"),
    ],
)
def test_what_cannot_be_found_is_said(spec: str, said: str, folder: Path) -> None:
    """The sentence names what was looked for."""
    (folder / "broken.py").write_text("class Mine(:\n")
    with pytest.raises(ContestantError, match=said):
        find_contestant(spec)


def test_the_digest_follows_the_code(folder: Path) -> None:
    """It changes with the file, with any file of a package, and with the class; else it stays."""
    for spec, file in (("mine.py:Mine", "mine.py"), ("package_of_mine.agent:Mine", "package_of_mine/x.py")):
        before = source_digest(spec)
        assert source_digest(spec) == before
        with (folder / file).open("a") as stream:
            stream.write("MORE = 1\n")
        assert source_digest(spec) != before
    assert source_digest("mine:Mine") != source_digest("mine:MORE")
