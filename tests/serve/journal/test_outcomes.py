from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from quantum_trader.envs.actions import Action
from quantum_trader.envs.backtest_kernel import run_actions
from quantum_trader.envs.bars import Bar, Bars
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import preset
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars
from quantum_trader.evaluate.backtest import BacktestConfig
from quantum_trader.serve.journal.journal import Journal
from quantum_trader.serve.journal.outcomes import Question, outcome_of
from quantum_trader.serve.journal.records import Entry, Outcome
from quantum_trader.serve.journal.resolving import resolve
from quantum_trader.train.data_config import LabelConfig
from quantum_trader.train.labels import triple_barrier

from .made import HOUR, SOON_S, bar, bars, entry

BTC = preset("binance-btc")
HORIZON, BARRIER = 6, 1.5


def market_of(seed: int, count: int = 400, contract: FuturesContract = BTC) -> Market:
    return Market.build(synthetic_bars(SyntheticConfig(bars=count, seed=seed, symbol="BTCUSDT")), contract)


def question(market: Market, row: int, horizon: int = HORIZON, barrier: float = BARRIER) -> Question:
    return Question(
        symbol=market.symbol,
        bar_ms=int(market.bars.timestamp[row]),
        close=float(market.bars.close[row]),
        atr=float(market.atr[row]),
        horizon_bars=horizon,
        barrier_atr=barrier,
    )


def after(source: Bars, row: int, horizon: int = HORIZON) -> list[Bar]:
    return [source.bar(k) for k in range(row + 1, row + 2 + horizon)]


@pytest.mark.parametrize(
    ("seed", "horizon", "barrier"), [(0, 6, 1.5), (1, 3, 0.5), (2, 12, 1.0), (3, 6, 0.2)]
)
def test_the_label_is_that_of_training(seed: int, horizon: int, barrier: float) -> None:
    """On the same bars every row gets the label that `triple_barrier` gives it in training."""
    market = market_of(seed)
    labels = triple_barrier(market, LabelConfig(horizon_bars=horizon, barrier_atr=barrier))
    rows = np.flatnonzero(labels.valid)[::3]
    found = [
        outcome_of(
            question(market, int(row), horizon, barrier), after(market.bars, int(row), horizon), BTC, HOUR
        )
        for row in rows
    ]
    assert [None if outcome is None else int(outcome.label) for outcome in found] == list(labels.action[rows])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 200), row=st.integers(270, 330), buy=st.booleans())
def test_the_trades_are_those_of_a_backtest(seed: int, row: int, buy: bool) -> None:
    """Returns, prices, reason and time of the exit equal those of a signal agent's backtest, to the bit."""
    market = market_of(seed)
    side = Action.BUY if buy else Action.SELL
    actions = np.zeros(len(market))
    actions[row] = side
    rules = BacktestConfig(barrier_atr=BARRIER, horizon_bars=HORIZON).environment("signal")
    expected = run_actions(market, actions, rules).trades().iloc[0]
    outcome = outcome_of(question(market, row), after(market.bars, row), BTC, HOUR)
    assert outcome is not None
    trade = outcome.buy if buy else outcome.sell
    assert trade.net_return == expected.return_on_notional
    assert trade.gross_return == expected.gross_pnl / (expected.quantity * expected.entry_price)
    assert (trade.entry_price, trade.exit_price) == (expected.entry_price, expected.exit_price)
    assert trade.exit_reason == expected.exit_reason
    assert trade.exit_ms == market.bars.timestamp[expected.exit_bar]


def test_a_long_gap_makes_an_outcome_void() -> None:
    """Three missing bars are bridged, four void the outcome; a weekend of a market that has them does not."""
    source = bars(40)
    asked = Question(symbol="X", bar_ms=0, close=100.0, atr=2.0, horizon_bars=6, barrier_atr=1.5)
    assert outcome_of(asked, [source[k] for k in (1, 2, 6, 7, 8, 9, 10)], BTC, HOUR) is not None
    assert outcome_of(asked, [source[k] for k in (1, 2, 7, 8, 9, 10, 11)], BTC, HOUR) is None
    assert outcome_of(asked, [source[k] for k in (5, 6, 7, 8, 9, 10, 11)], BTC, HOUR) is None
    friday = 7 * 24 * HOUR + 20 * HOUR + 24 * HOUR  # 1970-01-09 20:00, the last bar before a weekend
    asked = replace(asked, bar_ms=friday)
    over = [bar(0, timestamp=friday + (50 + k) * HOUR) for k in range(7)]
    assert outcome_of(asked, over, preset("fx-eurusd"), HOUR) is not None
    assert outcome_of(asked, over, BTC, HOUR) is None


def test_a_contract_dearer_than_the_usual_balance_is_traded_with_more() -> None:
    """One S&P future is worth 250,000: returns are fractions, so that the account is made large enough."""
    source = [bar(k, open=5_000.0, high=5_010.0, low=4_990.0, close=5_000.0) for k in range(1, 8)]
    asked = Question(symbol="ES", bar_ms=0, close=5_000.0, atr=50.0, horizon_bars=6, barrier_atr=1.5)
    outcome = outcome_of(asked, source, preset("cme-es"), HOUR)
    assert outcome is not None
    assert outcome.buy.exit_reason == "max_holding"
    assert -0.002 < outcome.buy.net_return < 0.0


# In the journal


def entries_of(market: Market, rows: range) -> list[Entry]:
    return [
        entry(
            market.symbol,
            close=float(market.bars.close[row]),
            atr=float(market.atr[row]),
            bar_ms=int(market.bars.timestamp[row]),
        )
        for row in rows
    ]


def outcomes_in(journal: Journal) -> dict[int, Outcome | None]:
    return {row.entry.bar_ms: row.outcome for row in journal.reader.rows()}


def settle_all(journal: Journal) -> int:
    return resolve(journal, lambda _: BTC, HOUR)


def test_outcomes_come_when_their_bars_are_there(tmp_path: Path) -> None:
    """A decision waits until the bar at whose open the last trade ends, then it has exactly its outcome."""
    market = market_of(5)
    with Journal(tmp_path / "j.db") as journal:
        journal.record(entries_of(market, range(300, 301)), {}).result(SOON_S)
        for row in range(301, 307):
            journal.record([], {"BTCUSDT": [market.bars.bar(row)]}).result(SOON_S)
            assert settle_all(journal) == 0
        assert journal.state().extra["waiting"] == 1
        journal.record([], {"BTCUSDT": [market.bars.bar(307)]}).result(SOON_S)
        assert settle_all(journal) == 1
        assert settle_all(journal) == 0
        expected = outcome_of(question(market, 300), after(market.bars, 300), BTC, HOUR)
        assert list(outcomes_in(journal).values()) == [expected]
        state = journal.state()
        assert (state.outcomes, state.extra["waiting"]) == (1, 0)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_outcomes_are_what_the_bars_say_whatever_the_order_they_came_in(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Bars in any order, with holes that are filled later: in the end all is as if they had come in order."""
    market = market_of(6)
    rows = range(300, 312)
    bars_left = list(range(300, 320))
    gone = data.draw(st.sets(st.sampled_from(bars_left), max_size=6), label="never come")
    order = data.draw(st.permutations([row for row in bars_left if row not in gone]), label="order")
    cuts = data.draw(st.lists(st.integers(1, 6), min_size=20, max_size=20), label="sizes of deliveries")
    folder = tmp_path_factory.mktemp("order")
    with Journal(folder / "a.db") as journal, Journal(folder / "b.db") as direct:
        journal.record(entries_of(market, rows), {}).result(SOON_S)
        while order:
            part, order = order[: cuts[0]], order[cuts[0] :]
            cuts = cuts[1:]
            journal.record([], {"BTCUSDT": [market.bars.bar(row) for row in part]}).result(SOON_S)
            settle_all(journal)
        present = sorted(set(bars_left) - gone)
        direct.record(
            entries_of(market, rows), {"BTCUSDT": [market.bars.bar(row) for row in present]}
        ).result(SOON_S)
        settle_all(direct)
        assert outcomes_in(journal) == outcomes_in(direct)
        for one, other in [(journal.state(), direct.state())]:
            assert (one.outcomes, one.bars) == (other.outcomes, other.bars)
            assert one.extra["void"] == other.extra["void"]
            assert one.extra["waiting"] == other.extra["waiting"]


def test_a_late_bar_turns_a_void_outcome_into_a_real_one(tmp_path: Path) -> None:
    """Five bars missing void it; when they arrive it is resolved from all of them."""
    market = market_of(7)
    with Journal(tmp_path / "j.db") as journal:
        journal.record(entries_of(market, range(300, 301)), {}).result(SOON_S)
        behind = [301, *range(307, 314)]
        journal.record([], {"BTCUSDT": [market.bars.bar(row) for row in behind]}).result(SOON_S)
        assert settle_all(journal) == 1
        assert list(outcomes_in(journal).values()) == [None]
        assert journal.state().extra["void"] == 1
        journal.record([], {"BTCUSDT": [market.bars.bar(row) for row in range(302, 307)]}).result(SOON_S)
        assert settle_all(journal) == 1
        expected = outcome_of(question(market, 300), after(market.bars, 300), BTC, HOUR)
        assert list(outcomes_in(journal).values()) == [expected]
        assert journal.state().extra["void"] == 0


def test_an_answer_made_from_bars_that_have_changed_is_dropped(tmp_path: Path) -> None:
    """A bar that slips in while outcomes are being made leaves the decision to the next round."""
    market = market_of(8)
    with Journal(tmp_path / "j.db") as journal:
        holed = [market.bars.bar(row) for row in range(301, 312) if row != 303]
        journal.record(entries_of(market, range(300, 301)), {"BTCUSDT": holed}).result(SOON_S)

        def interrupted(_: str) -> FuturesContract:
            journal.record([], {"BTCUSDT": [market.bars.bar(303)]}).result(SOON_S)
            return BTC

        resolve(journal, interrupted, HOUR)
        assert list(outcomes_in(journal).values()) == [None]
        settle_all(journal)
        expected = outcome_of(question(market, 300), after(market.bars, 300), BTC, HOUR)
        assert list(outcomes_in(journal).values()) == [expected]


def test_each_decision_keeps_the_rules_it_was_made_by(tmp_path: Path) -> None:
    """Two models with other horizons and barriers share a journal: each decision is judged by its own."""
    market = market_of(9)
    first, second = entries_of(market, range(300, 302))
    second = replace(second, horizon_bars=3, barrier_atr=0.5)
    with Journal(tmp_path / "j.db") as journal:
        many = {"BTCUSDT": [market.bars.bar(row) for row in range(300, 320)]}
        journal.record([first, second], many).result(SOON_S)
        settle_all(journal)
        found = list(outcomes_in(journal).values())
    assert found[0] == outcome_of(question(market, 300), after(market.bars, 300), BTC, HOUR)
    assert found[1] == outcome_of(question(market, 301, 3, 0.5), after(market.bars, 301, 3), BTC, HOUR)


def test_refused_bars_and_decisions_without_an_atr_never_wait(tmp_path: Path) -> None:
    """Nothing is asked about them, so nothing is ever left waiting for them."""
    with Journal(tmp_path / "j.db") as journal:
        entries = [
            entry(step=0, atr=None),
            entry(step=1, refused=True, reason="duplicate bar", source="none"),
        ]
        journal.record(entries, {"BTCUSDT": bars(20)}).result(SOON_S)
        assert settle_all(journal) == 0
        assert journal.state().extra["waiting"] == 0


def test_one_symbol_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    """An error in one symbol's contract leaves its outcome void and the others resolved."""
    with Journal(tmp_path / "j.db") as journal:
        pair = {name: bars(20) for name in ("BAD", "GOOD")}
        journal.record([entry("BAD"), entry("GOOD")], pair).result(SOON_S)
        broken = replace(BTC, lot_size=1e300)
        resolve(journal, lambda symbol: broken if symbol == "BAD" else BTC, HOUR)
        found = {row.entry.symbol: row.outcome for row in journal.reader.rows()}
    assert found["BAD"] is None
    assert found["GOOD"] is not None
