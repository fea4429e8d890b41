from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import ConfigError
from quantum_trader.serve.journal.config import JournalConfig
from quantum_trader.serve.journal.errors import JournalError
from quantum_trader.serve.journal.journal import Journal
from quantum_trader.serve.journal.pending import SLICE_BARS, Job
from quantum_trader.serve.journal.reader import JournalReader
from quantum_trader.serve.journal.records import Entry

from .made import HOUR, SOON_S, bar, bars, entry, full_entry


def read_entries(path: Path) -> list[Entry]:
    with JournalReader(path) as reader:
        return [row.entry for row in reader.rows()]


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    """Entries with all fields and with few, and bars with and without funding, come back equal."""
    refused = entry(
        "ETHUSDT", 3, refused=True, source="none", reason="bad bar: high 1 below 2", close=None, atr=None
    )
    given = [full_entry(step=0), entry("ETHUSDT", 1), entry(step=2, close=None, atr=None), refused]
    settled = bar(1, funding_rate=0.0001)
    with Journal(tmp_path / "deep" / "er" / "j.db") as journal:
        journal.record(given, {"BTCUSDT": [bar(0), settled]}).result(SOON_S)
        assert [row.entry for row in journal.reader.rows()] == given
        first, second = journal.reader.bars("BTCUSDT")
        assert math.isnan(first.funding_rate)
        assert (replace(first, funding_rate=0.0), second) == (bar(0, funding_rate=0.0), settled)
        assert journal.reader.symbols() == ["BTCUSDT", "ETHUSDT"]


def test_numpy_numbers_are_kept_as_numbers(tmp_path: Path) -> None:
    """float32, int64 and bool of NumPy are read back as the same Python numbers."""
    made = entry(
        confidence=np.float32(0.625),
        bar_ms=np.int64(HOUR),
        probabilities=tuple(np.array([0.25, 0.5, 0.25], dtype=np.float32)),
        warming_up=np.bool_(True),
        action=np.int8(2),
    )
    with Journal(tmp_path / "j.db") as journal:
        journal.record(
            [made], {"BTCUSDT": [bar(1, open=np.float32(100.5), timestamp=np.int64(HOUR))]}
        ).result(SOON_S)
        (row,) = journal.reader.rows()
    assert row.entry == entry(
        step=1,
        decided_ms=HOUR + 250,
        close=100.0,
        warming_up=True,
        action=Action.SELL,
        probabilities=(0.25, 0.5, 0.25),
    )


def test_a_future_is_done_only_when_others_can_read_it(tmp_path: Path) -> None:
    """Whatever a future has acknowledged stands in the file at that moment, for any other connection."""
    with Journal(tmp_path / "j.db") as journal, JournalReader(tmp_path / "j.db") as reader:
        for step in range(50):
            journal.record([entry(step=step)], {}).result(SOON_S)
            assert reader.rows(newest_first=True, limit=1)[0].entry == entry(step=step)


def test_the_first_decision_on_a_bar_stays(tmp_path: Path) -> None:
    """A second one is acknowledged and counted, as differing where it says something else; never written."""
    with Journal(tmp_path / "j.db") as journal:
        journal.record([entry()], {}).result(SOON_S)
        journal.record([entry(decided_ms=7, reason="said again")], {}).result(SOON_S)
        journal.record([entry(action=Action.SELL)], {}).result(SOON_S)
        assert [row.entry for row in journal.reader.rows()] == [entry()]
        state = journal.state()
        assert (state.decisions, state.extra["repeated_decisions"]) == (1, 2)
        assert state.extra["differing_decisions"] == 1


def test_a_refusal_never_stands_in_a_decisions_way(tmp_path: Path) -> None:
    """An open bar that is sent again when closed gets its decision; each kind of refusal is kept once."""
    early = entry(refused=True, source="none", reason="bar still open", close=None, atr=None)
    again = replace(early, reason="duplicate bar")
    with Journal(tmp_path / "j.db") as journal:
        for each in (early, early, entry(), again, again):
            journal.record([each], {}).result(SOON_S)
        assert [row.entry for row in journal.reader.rows()] == [early, entry(), again]


def test_a_known_bar_stays_as_it_is(tmp_path: Path) -> None:
    """Bars are kept once, in any order; one that differs is counted and not written."""
    with Journal(tmp_path / "j.db") as journal:
        journal.record([], {"BTCUSDT": [bar(2), bar(0)]}).result(SOON_S)
        journal.record([], {"BTCUSDT": [bar(1), bar(2), bar(0, volume=5.0)]}).result(SOON_S)
        assert [b.timestamp // HOUR for b in journal.reader.bars("BTCUSDT")] == [0, 1, 2]
        assert journal.reader.bars("BTCUSDT")[0].volume == 10.0
        state = journal.state()
        assert (state.bars, state.extra["repeated_bars"], state.extra["differing_bars"]) == (3, 2, 1)


@pytest.mark.parametrize(
    "broken",
    [
        entry(confidence=math.nan),
        entry(probabilities=(0.5, math.inf, 0.0)),
        entry(probabilities=(0.5, 0.5)),
        entry(bar_ms=2**70),
        entry(latency_ms="soon"),
        entry(action=7),
    ],
)
def test_a_decision_that_cannot_be_kept_fails_alone(tmp_path: Path, broken: Entry) -> None:
    """Its own future says why; those beside it are written as ever."""
    with Journal(tmp_path / "j.db") as journal:
        futures = [journal.record([item], {}) for item in (entry(step=1), broken, entry(step=2))]
        with pytest.raises(JournalError, match="cannot be kept"):
            futures[1].result(SOON_S)
        for future in (futures[0], futures[2]):
            future.result(SOON_S)
        assert [row.entry.bar_ms // HOUR for row in journal.reader.rows()] == [1, 2]
        assert journal.state().fault == ""


def test_a_bar_that_cannot_be_kept_fails_alone(tmp_path: Path) -> None:
    """The call that brought it fails, decisions of others waiting beside it do not."""
    with Journal(tmp_path / "j.db") as journal:
        futures = [
            journal.record(
                [entry(step=step)], {"BTCUSDT": [bar(step, open=math.nan if step == 5 else 100.0)]}
            )
            for step in range(10)
        ]
        assert [future.exception(SOON_S) is None for future in futures] == [step != 5 for step in range(10)]
        assert len(journal.reader.rows()) == 9


class Held:
    """Counts a writer's transactions; each begins only when the test lets it."""

    def __init__(self, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.go_on = 0, threading.Event()
        commit = journal._writer._commit

        def held(jobs: Sequence[Job]) -> None:
            self.count += 1
            assert self.go_on.wait(SOON_S)
            commit(jobs)

        monkeypatch.setattr(journal._writer, "_commit", held)


def test_many_threads_share_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen threads record a thousand decisions while one is written: all others share the next two."""
    with Journal(tmp_path / "j.db") as journal:
        held = Held(journal, monkeypatch)
        recorded = threading.Barrier(17)

        def work(number: int) -> None:
            futures = [
                journal.record([entry(f"S{number}", step)], {f"S{number}": [bar(step)]}) for step in range(64)
            ]
            recorded.wait(SOON_S)
            for future in futures:
                future.result(SOON_S)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        recorded.wait(SOON_S)
        held.go_on.set()
        for thread in threads:
            thread.join()
        assert journal.state().decisions == journal.state().bars == 16 * 64
        assert held.count <= 3


def test_decisions_overtake_a_long_warm_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warm-up of many bars is written in parts: a decision that comes later is on disk before it."""
    order: list[str] = []
    told = threading.Barrier(2)

    def tell(what: str) -> None:
        order.append(what)
        if len(order) == 2:  # whoever waits for a future may go on before its callbacks have been called
            told.wait(SOON_S)

    with Journal(tmp_path / "j.db") as journal:
        held = Held(journal, monkeypatch)
        long = journal.record([], {f"S{k}": bars(SLICE_BARS) for k in range(3)})
        long.add_done_callback(lambda _: tell("warm-up"))
        quick = journal.record([entry()], {})
        quick.add_done_callback(lambda _: tell("decision"))
        held.go_on.set()
        told.wait(SOON_S)
        assert order == ["decision", "warm-up"]
        assert journal.state().bars == 3 * SLICE_BARS


def test_closing_writes_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open futures are acknowledged, the log is emptied into the file, and later calls say it is closed."""
    monkeypatch.setattr("quantum_trader.serve.journal.journal._CLOSE_S", SOON_S)
    journal = Journal(tmp_path / "j.db")
    futures = [journal.record([entry(step=step)], {}) for step in range(200)]
    journal.close()
    assert all(future.done() and future.exception() is None for future in futures)
    assert [path.name for path in tmp_path.iterdir()] == ["j.db"]
    assert len(read_entries(tmp_path / "j.db")) == 200
    with pytest.raises(JournalError, match="closed"):
        journal.record([entry(step=300)], {}).result(SOON_S)
    journal.close()


def test_a_cancelled_future_is_written_all_the_same(tmp_path: Path) -> None:
    """Cancelling is refused: what has been taken on is written, and the writer does not stumble over it."""
    with Journal(tmp_path / "j.db") as journal:
        future: Future[None] = journal.record([entry()], {})
        assert not future.cancel()
        future.result(SOON_S)
        journal.record([entry(step=1)], {}).result(SOON_S)


def test_a_forked_process_is_told_to_open_its_own(tmp_path: Path) -> None:
    """The writer's thread does not exist after a fork: recording fails there at once and harms nothing."""
    with Journal(tmp_path / "j.db") as journal:
        journal._process = os.getpid() + 1
        with pytest.raises(JournalError, match="forked"):
            journal.record([entry()], {}).result(1)
        journal._process = os.getpid()
        journal.record([entry()], {}).result(SOON_S)


def test_settings_out_of_range_are_refused() -> None:
    """Limits must leave room for something."""
    with pytest.raises(ConfigError, match="max_pending"):
        JournalConfig(max_pending=0)
    with pytest.raises(ConfigError, match="busy_s"):
        JournalConfig(busy_s=0.0)
