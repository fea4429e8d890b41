from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.agents.arbiter_settings import ArbiterSettings, GateSettings
from quantum_trader.envs.actions import Action
from quantum_trader.envs.bars import Bar
from quantum_trader.envs.errors import ConfigError, DataError
from quantum_trader.envs.scaler import REFERENCE_SCALER
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars
from quantum_trader.serve.desk import Answer, Desk
from quantum_trader.serve.desk_config import DeskConfig
from quantum_trader.serve.journal.config import JournalConfig
from quantum_trader.serve.journal.errors import JournalError
from quantum_trader.serve.journal.journal import Journal
from quantum_trader.serve.journal.records import JournalRow, Shadow
from quantum_trader.serve.journal.retention import prune

from ..agents.fakes import HOUR, FakeAgent, FakePPO, FakeTFT, bar, bars

OPEN = GateSettings(hold_threshold=0.9, confidence_threshold=0.5)
SETTINGS = ArbiterSettings(
    forecast_weight=0.5,
    ppo_weight=0.5,
    primary=OPEN,
    tft_alone=OPEN,
    fallback=OPEN,
    latency_budget_ms=0.0,
)
SOON_S = 300.0
"""Seconds to wait for what comes at once on a machine, and a disk, that is not busy."""
DECIDED_MS = 123_456


def arbiter(
    tft: Any = None,
    *,
    fallback: Any = None,
    model_hash: str = "first",
    settings: ArbiterSettings = SETTINGS,
    clock: Callable[[], int] | None = None,
) -> Arbiter:
    return Arbiter(
        tft=FakeTFT() if tft is None else tft,
        ppo=FakePPO(),
        fallback=FakeAgent() if fallback is None else fallback,
        settings=settings,
        scaler=REFERENCE_SCALER,
        model_hash=model_hash,
        clock=clock,
    )


def desk_in(folder: Path, judge: Arbiter | None = None, *, busy_s: float = SOON_S, **config: Any) -> Desk:
    journal = Journal(folder / "j.db", JournalConfig(busy_s=busy_s))
    chosen = DeskConfig(**{"commit_wait_s": SOON_S, **config})
    return Desk(judge or arbiter(), journal, clock=lambda: DECIDED_MS, config=chosen)


def wait_until(reached: Callable[[], bool]) -> None:
    """Look until what the desk or the journal does by itself is done."""
    deadline = time.monotonic() + SOON_S
    while not reached():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


def rows_of(desk: Desk, **chosen: Any) -> list[JournalRow]:
    assert desk.journal is not None
    return desk.journal.reader.rows(**chosen)


def feed(desk: Desk, steps: range, symbols: str = "A") -> list[Mapping[str, Answer]]:
    return [desk.decide({symbol: bar(step) for symbol in symbols}) for step in steps]


def test_a_decision_that_is_given_out_is_on_disk(tmp_path: Path) -> None:
    """Each answer says that it is journaled, and stands in the journal with its bar, as it was decided."""
    with desk_in(tmp_path) as desk:
        desk.warmup({"A": bars(59), "B": bars(59)})
        answers = desk.decide({"A": bar(59), "B": bar(59)})
        rows = rows_of(desk)
        assert [row.entry.symbol for row in rows] == ["A", "B"]
        for row in rows:
            answer, entry = answers[row.entry.symbol], row.entry
            assert (answer.journaled, answer.fault) == (True, "")
            decision = answer.decision
            assert (entry.action, entry.confidence) == (Action.BUY, decision.confidence)
            assert (entry.probabilities, entry.votes) == (decision.probabilities, decision.votes)
            assert (entry.bar_ms, entry.decided_ms) == (59 * HOUR, DECIDED_MS)
            assert (entry.close, entry.atr) == (bar(59).close, decision.atr)
            assert (entry.source, entry.model_hash) == ("tft+ppo", "first")
            assert entry.attention == tuple(np.full(60, 1 / 60, dtype=np.float32).tolist())
            assert (entry.horizon_bars, entry.barrier_atr) == (6, 1.5)
        assert desk.journal is not None
        assert [b.close for b in desk.journal.reader.bars("B")] == [b.close for b in bars(60)]


def test_the_shadow_is_xgboost_through_its_own_bias_and_gate(tmp_path: Path) -> None:
    """(0.2, 0.2, 0.6) with a bias of ln 6 on BUY: 1.2 of 2.0 is BUY, where TFT and PPO decide."""
    biased = GateSettings(bias=(0.0, float(np.log(6.0)), 0.0), hold_threshold=0.9, confidence_threshold=0.5)
    quiet = replace(biased, confidence_threshold=0.7)
    for gate, action in ((biased, Action.BUY), (quiet, Action.HOLD)):
        folder = tmp_path / action.name
        with desk_in(folder, arbiter(settings=replace(SETTINGS, fallback=gate))) as desk:
            desk.warmup({"A": bars(59)})
            desk.decide({"A": bar(59)})
            (row,) = rows_of(desk)
            assert row.entry.source == "tft+ppo"
            shadow = row.entry.shadow
            assert shadow is not None
            assert shadow.action is action
            assert shadow.probabilities == pytest.approx((0.1, 0.6, 0.3))
            assert shadow.confidence == pytest.approx(2 / 3)


def test_where_xgboost_decides_the_shadow_is_the_decision(tmp_path: Path) -> None:
    """A failing TFT leaves the decision to XGBoost: what it would have decided alone is the same."""
    failing = arbiter(FakeTFT(error=RuntimeError("boom")))
    with desk_in(tmp_path, failing) as desk:
        desk.warmup({"A": bars(59)})
        desk.decide({"A": bar(59)})
        entry = rows_of(desk)[0].entry
        assert entry.source == "xgboost"
        expected = Shadow(action=entry.action, confidence=entry.confidence, probabilities=entry.probabilities)
        assert entry.shadow == expected


def test_without_xgboost_there_is_no_shadow(tmp_path: Path) -> None:
    """A fallback that fails gives no vote, and the decision none to compare with."""
    with desk_in(tmp_path, arbiter(fallback=FakeAgent(error=RuntimeError("boom")))) as desk:
        desk.warmup({"A": bars(59)})
        desk.decide({"A": bar(59)})
        assert rows_of(desk)[0].entry.shadow is None


def test_refused_bars_are_noted_and_not_taken_for_market_data(tmp_path: Path) -> None:
    """Malformed and repeated bars are rows of their own; only sound, closed bars enter the bars."""
    with desk_in(tmp_path) as desk:
        desk.warmup({"A": bars(60)})
        bad = replace(bar(60), high=1.0)
        answers = [desk.decide({"A": each})["A"] for each in (bad, bar(60), bar(60), bar(3), {"close": 1})]
        assert all(answer.journaled for answer in answers)
        entries = [row.entry for row in rows_of(desk, since_ms=0)]
        kinds = {(entry.bar_ms, entry.reason.split(":")[0], entry.refused) for entry in entries}
        assert kinds == {
            (60 * HOUR, "bad bar", True),
            (60 * HOUR, "confidence 0.625", False),
            (60 * HOUR, "duplicate bar", True),
            (3 * HOUR, "out-of-order bar", True),
            (DECIDED_MS, "bad bar", True),
        }
        assert all(entry.close is None for entry in entries if entry.refused)
        assert desk.journal is not None
        assert desk.journal.reader.bars("A", last=1)[0].high == bar(60).high


def test_without_a_journal_nothing_is_kept() -> None:
    """Decisions come all the same, and nothing pretends to be written."""
    with Desk(arbiter()) as desk:
        desk.warmup({"A": bars(59)})
        answer = desk.decide({"A": bar(59)})["A"]
        assert (answer.decision.action, answer.journaled, answer.fault) == (Action.BUY, False, "")
        assert (desk.restore(), desk.resolve()) == ({}, 0)


def test_a_journal_that_cannot_be_written_withholds_no_decision(tmp_path: Path) -> None:
    """The answer comes with the fault; when writing works again the decision is on disk."""
    with desk_in(tmp_path, busy_s=0.2) as desk:
        desk.warmup({"A": bars(59)})
        other = sqlite3.connect(tmp_path / "j.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        answer = desk.decide({"A": bar(59)})["A"]
        assert (answer.decision.action, answer.journaled) == (Action.BUY, False)
        assert "another program keeps the journal" in answer.fault
        other.execute("ROLLBACK")
        other.close()
        journal = desk.journal
        assert journal is not None
        wait_until(lambda: not journal.state().pending)
        assert rows_of(desk)[0].entry.bar_ms == 59 * HOUR


def test_a_slow_disk_holds_a_decision_up_only_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that takes longer than the wait is reported as not confirmed, and written all the same."""
    with desk_in(tmp_path, commit_wait_s=0.05) as desk:
        assert desk.journal is not None
        desk.warmup({"A": bars(59)})
        writer = desk.journal._writer
        commit, go_on = writer._commit, threading.Event()

        def slow(jobs: Any) -> None:
            assert go_on.wait(SOON_S)
            commit(jobs)

        monkeypatch.setattr(writer, "_commit", slow)
        answer = desk.decide({"A": bar(59)})["A"]
        assert not answer.journaled
        assert "not confirmed within 0.05 s" in answer.fault
        go_on.set()
        desk.journal.record([], {}).result(SOON_S)
        assert len(rows_of(desk)) == 1


def test_outcomes_appear_by_themselves(tmp_path: Path) -> None:
    """After enough bars the first decisions have outcomes, without anybody asking for them."""
    with desk_in(tmp_path) as desk:
        desk.warmup({"A": bars(60)})
        feed(desk, range(60, 70))
        wait_until(lambda: rows_of(desk)[2].outcome is not None)
        assert [row.outcome is not None for row in rows_of(desk)] == [True] * 3 + [False] * 7
        assert desk.resolve() == 0


def test_a_restart_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """A new desk on the same journal decides as the old one would have, to the bit, and refuses old bars."""
    seen: dict[str, Bar] = {symbol: bar(400) for symbol in "AB"}
    with desk_in(tmp_path) as desk:
        desk.warmup({symbol: bars(380) for symbol in "AB"})
        feed(desk, range(380, 400), "AB")
        windows = {symbol: desk.arbiter.histories[symbol].window() for symbol in "AB"}
    with desk_in(tmp_path) as desk:
        assert desk.restore(["B"]) == {"B": 60}
        assert desk.restore() == {"A": 60, "B": 60}
        for symbol in "AB":
            np.testing.assert_array_equal(desk.arbiter.histories[symbol].window(), windows[symbol])
        assert desk.decide({"A": bar(399)})["A"].decision.reason == "duplicate bar"
        assert {answer.decision.source for answer in desk.decide(seen).values()} == {"tft+ppo"}


def test_a_long_session_goes_on_to_the_bit(tmp_path: Path) -> None:
    """A history that has forgotten its oldest bars begins at the same bar after a restart, also where the
    journal was shortened meanwhile: snapshots, with which all further decisions agree, are equal."""
    past = synthetic_bars(SyntheticConfig(bars=5_310, symbol="A"))
    path = tmp_path / "j.db"
    with desk_in(tmp_path) as desk:
        desk.warmup({"A": past[:4_900]})
        desk.warmup({"A": [past.bar(row) for row in range(4_900, 5_300)]})  # one by one, as in a session
        for row in range(5_300, 5_310):
            desk.decide({"A": past.bar(row)})
        uninterrupted = desk.arbiter.snapshot()
    for known in (5_310, 4_310):
        with desk_in(tmp_path) as desk:
            assert desk.journal is not None
            assert desk.journal.reader.bar_count("A") == known
            assert desk.restore() == {"A": 60}
            assert desk.arbiter.snapshot() == uninterrupted
        prune(path, keep_days=1, now_ms=2**42)


def test_a_warm_up_may_end_with_the_open_bar(tmp_path: Path) -> None:
    """Neither the history nor the journal keeps it: closed, it is taken in and decided on as any other."""
    judge = arbiter(clock=lambda: 60 * HOUR + 1_000)
    with desk_in(tmp_path, judge) as desk:
        unfinished = replace(bar(60), close=bar(60).open)
        assert desk.warmup({"A": [*bars(60), unfinished]}) == {"A": 60}
        judge.clock = lambda: 61 * HOUR
        assert desk.decide({"A": bar(60)})["A"].decision.source == "tft+ppo"
        assert desk.journal is not None
        assert [known.close for known in desk.journal.reader.bars("A", last=1)] == [bar(60).close]


def test_a_warm_up_may_be_a_frame_with_a_date_column(tmp_path: Path) -> None:
    """As some bots keep their candles: the dates are the bars' times, not the numbers of the rows."""
    with desk_in(tmp_path) as desk:
        past = synthetic_bars(SyntheticConfig(bars=80))
        frame = past.to_frame().rename(columns={"timestamp": "date"})
        assert desk.warmup({"A": frame}) == {"A": 60}
        assert desk.journal is not None
        kept = desk.journal.reader.bars("A")
        assert [bar.timestamp for bar in kept] == past.timestamp.tolist()


def test_a_clock_that_is_behind_loses_no_bar_at_a_restart(tmp_path: Path) -> None:
    """What the journal has closed bars of has closed: a machine that starts with a wrong clock still goes on
    with all of them."""
    with desk_in(tmp_path) as desk:
        desk.warmup({"A": bars(65)})
    with desk_in(tmp_path, arbiter(clock=lambda: 60 * HOUR)) as desk:
        assert desk.restore() == {"A": 60}
        assert desk.arbiter.histories["A"].last_timestamp == 64 * HOUR


def test_outcomes_of_before_a_restart_are_found_after_it(tmp_path: Path) -> None:
    """Decisions whose horizon passed while nothing ran are resolved from bars that are filled in later."""
    with desk_in(tmp_path) as desk:
        desk.warmup({"A": bars(60)})
        feed(desk, range(60, 62))
    with desk_in(tmp_path) as desk:
        desk.restore()
        desk.warmup({"A": bars(20, start=62)})
        desk.resolve()
        assert all(row.outcome is not None for row in rows_of(desk))


def test_a_malformed_warm_up_leaves_everything_as_it_was(tmp_path: Path) -> None:
    """The error names the symbol; neither history nor journal has taken in a part of it."""
    with desk_in(tmp_path) as desk:
        with pytest.raises(DataError, match="B:"):
            desk.warmup({"A": bars(60), "B": [bar(0), replace(bar(1), low=float("nan"))]})
        assert "A" not in desk.arbiter.histories
        assert desk.journal is not None
        assert desk.journal.state().bars == 0


def test_swapping_under_load_loses_and_mixes_nothing(tmp_path: Path) -> None:
    """While threads decide, models are swapped again and again: each call is answered by one of them, whole,
    every bar exactly once, all on disk, and the histories go on without a break."""
    symbols = [f"S{number}" for number in range(8)]
    hashes: list[set[str]] = []
    failures: list[BaseException] = []
    swaps, swapped = [0], threading.Condition()
    with desk_in(tmp_path) as desk:
        desk.warmup({symbol: bars(60) for symbol in symbols})

        def wait_for_a_swap() -> None:
            with swapped:
                so_far = swaps[0]
                assert swapped.wait_for(lambda: swaps[0] > so_far, SOON_S)

        def work(mine: list[str]) -> None:
            try:
                for step in range(60, 120):
                    if step in (80, 100):  # models are swapped twice under each, however fast it is
                        wait_for_a_swap()
                    answers = desk.decide({symbol: bar(step) for symbol in mine})
                    assert all(answer.journaled for answer in answers.values())
                    assert {answer.decision.source for answer in answers.values()} == {"tft+ppo"}
                    hashes.append({answer.decision.model_hash for answer in answers.values()})
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(symbols[k : k + 2],)) for k in range(0, 8, 2)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            desk.swap(arbiter(model_hash=f"swap {swaps[0] + 1}"))
            with swapped:
                swaps[0] += 1
                swapped.notify_all()
            time.sleep(0.01)
        for thread in threads:
            thread.join()
        assert not failures
        assert all(len(one) == 1 for one in hashes)
        assert len(set().union(*hashes)) > 2  # before, between and after the two pauses
        rows = rows_of(desk)
        assert sorted((row.entry.symbol, row.entry.bar_ms) for row in rows) == sorted(
            (symbol, step * HOUR) for symbol in symbols for step in range(60, 120)
        )
        assert all(row.entry.shadow is not None for row in rows)
        assert desk.arbiter.model_hash == f"swap {swaps[0]}"


def test_old_rows_leave_the_journal_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `keep_days` the desk prunes now and then; decisions that wait for their outcome stay."""
    monkeypatch.setattr("quantum_trader.serve.desk._PRUNE_EVERY_S", 0.0)
    with desk_in(tmp_path, keep_days=1.0) as desk:
        desk._clock = lambda: 30 * 24 * HOUR
        desk.warmup({"A": bars(60)})
        feed(desk, range(60, 80))
        wait_until(lambda: len(rows_of(desk)) == 7)
        assert [row.entry.bar_ms // HOUR for row in rows_of(desk)] == list(range(73, 80))


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    """After closing, decisions still come, unjournaled, with the reason."""
    desk = desk_in(tmp_path)
    desk.close()
    desk.close()
    answer = desk.decide({"A": bar(0)})["A"]
    assert (answer.journaled, "closed" in answer.fault) == (False, True)
    with pytest.raises(JournalError, match="closed"):
        desk.resolve()


def test_settings_out_of_range_are_refused() -> None:
    """Each names its field and what was found."""
    for changes in ({"commit_wait_s": 0.0}, {"keep_days": -1.0}):
        with pytest.raises(ConfigError, match=next(iter(changes))):
            DeskConfig(**changes)  # type: ignore[arg-type]
