"""`LiveConfig.max_symbols` holds whichever way a symbol comes."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.agents.live_config import LiveConfig
from quantum_trader.envs.errors import DataError
from quantum_trader.serve.desk import Desk
from quantum_trader.serve.journal.journal import Journal
from tests.agents.fakes import FakeTFT

from .service.services import WARM, fake_arbiter, past


def arbiter(most: int) -> Arbiter:
    """One that keeps histories of so many symbols."""
    return fake_arbiter(live=LiveConfig(max_symbols=most))


def test_a_warm_up_with_too_many_symbols_is_refused_whole(tmp_path: Path) -> None:
    """The error names the limit; what is known still takes bars, and nothing of the rest is kept anywhere."""
    with Desk(arbiter(2), Journal(tmp_path / "j.db")) as desk:
        desk.warmup({"A": past()})
        with pytest.raises(DataError, match="2 new symbols besides the 1 known ones: at most 2"):
            desk.warmup({"B": past(), "C": past()})
        assert desk.arbiter.histories.symbols() == ["A"]
        assert desk.journal is not None
        assert desk.journal.reader.symbols() == ["A"]
        assert desk.warmup({"A": past(1, start=WARM), "B": past()}) == {"A": 60, "B": 60}
        assert desk.decide({"C": past()[0]})["C"].decision.reason == "too many symbols"


def test_a_restart_with_a_lower_limit_keeps_the_symbols_whose_bars_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The journal's symbols whose bars ended first are left out, and the log says how many."""
    path = tmp_path / "j.db"
    with Desk(arbiter(3), Journal(path)) as desk:
        desk.warmup({"A": past(60), "B": past(62), "C": past(61)})
        desk.decide({"NONE": past()[0]})  # in the journal, as a refused bar, but without bars
    with Desk(arbiter(2), Journal(path)) as desk, caplog.at_level(logging.WARNING):
        assert desk.restore(["A", "B"]) == {"A": 60, "B": 60}
    assert not caplog.records
    with Desk(arbiter(2), Journal(path)) as desk, caplog.at_level(logging.WARNING):
        assert desk.restore() == {"B": 60, "C": 60}
    assert ["1 of the journal's symbols" in record.getMessage() for record in caplog.records] == [True]


def test_a_warm_up_out_of_order_is_refused_whole(tmp_path: Path) -> None:
    """One symbol's newest-first bars keep the others' out, too: what was given was not what was meant."""
    with Desk(arbiter(9), Journal(tmp_path / "j.db")) as desk:
        with pytest.raises(DataError, match="B: bar 2 opens before the one ahead of it"):
            desk.warmup({"A": past(), "B": past()[::-1]})
        assert desk.arbiter.histories.symbols() == []
        assert desk.journal is not None
        assert desk.journal.reader.symbols() == []


def test_models_are_ready_for_as_many_symbols_as_there_are(tmp_path: Path) -> None:
    """After a warm-up, a restart and a reload: the first call would miss its budget else."""
    path = tmp_path / "j.db"
    with Desk(arbiter(9), Journal(path)) as desk:
        desk.warmup({"A": past(), "B": past()})
        assert prepared(desk) == 2
        desk.swap(arbiter(9))
        assert prepared(desk) == 2
    with Desk(arbiter(9), Journal(path)) as desk:
        assert prepared(desk) == 0
        desk.restore()
        assert prepared(desk) == 2


def prepared(desk: Desk) -> int:
    """Symbols that the desk's TFT was made ready for."""
    assert isinstance(desk.arbiter.tft, FakeTFT)
    return desk.arbiter.tft.prepared
