"""An Arbiter from a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantum_trader.agents.arbiter_folder import load_arbiter
from quantum_trader.envs.errors import ModelFolderError
from tests.agents.fakes import bar, bars


@pytest.mark.parametrize("strict", [False, True])
def test_a_slip_of_the_pen_is_no_arbiter(tmp_path: Path, strict: bool) -> None:
    """A folder that is not there is refused and named."""
    with pytest.raises(ModelFolderError, match="nope: expected the folder of a finished run, found no such"):
        load_arbiter(tmp_path / "nope", strict=strict)


@pytest.mark.parametrize("left", [("tft", "xgboost"), ()])
def test_a_run_whose_models_are_all_damaged_still_answers(tmp_path: Path, left: tuple[str, ...]) -> None:
    """A bot that starts again after its disk has failed gets HOLD and the reasons, unless it is strict."""
    (tmp_path / "models").mkdir()
    for name in left:
        (tmp_path / "models" / name).mkdir()
    arbiter = load_arbiter(tmp_path)
    assert [problem.split(":")[0] for problem in arbiter.problems] == ["tft", "ppo", "xgboost", "arbiter"]
    arbiter.warmup({"A": bars(60)})
    decision = arbiter.decide("A", bar(60))
    assert (decision.action.name, decision.source) == ("HOLD", "none")
    assert arbiter.health().status == "failing"
    with pytest.raises(ModelFolderError):
        load_arbiter(tmp_path, strict=True)
