"""What a contestant is given, and which of its answers are believed."""

from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.agents.signals import Signals
from quantum_trader.envs.actions import Action
from quantum_trader.evaluate.backtest import BacktestConfig, grounds
from quantum_trader.evaluate.suite.contestant import (
    ContestantError,
    checked_probabilities,
    fit_contestant,
)
from quantum_trader.evaluate.suite.registry import find_contestant
from quantum_trader.evaluate.suite.sealed import sealed
from quantum_trader.evaluate.sweep.run_job import answer_theirs
from quantum_trader.train.prepared import Prepared


def test_bare_arrays_and_signals_are_both_probabilities() -> None:
    """Either gives float32 rows that sum to 1, tiny misses put right."""
    given = np.array([[0.2, 0.3, 0.5004], [1.0, 0.0, 0.0]])
    for found in (given, given.astype(np.float32), Signals(probabilities=given.astype(np.float32))):
        checked = checked_probabilities(found, 2)
        assert checked.dtype == np.float32
        np.testing.assert_allclose(checked.sum(axis=1), 1.0, atol=1e-6)
        np.testing.assert_allclose(checked, given, atol=1e-3)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "found NoneType"),
        ([[0.2, 0.3, 0.5]], "found list"),
        (np.array([[0, 1, 0]]), "found an array of int64"),
        (np.array([["a", "b", "c"]]), "found an array of <U1"),
        (np.full(3, 1 / 3), r"shape \[1, 3\], found \[3\]"),
        (np.full((2, 3), 1 / 3), r"shape \[1, 3\], found \[2, 3\]"),
        (np.array([[0.5, np.nan, 0.5]]), "finite numbers .*nan"),
        (np.array([[np.inf, 0.0, 0.0]]), "finite numbers .*inf"),
        (np.array([[-0.1, 0.6, 0.5]]), "at least 0 .*-0.1"),
        (np.array([[0.2, 0.2, 0.2]]), "sum to 1 .*row 0"),
        (np.array([[0.0, 0.0, 0.0]]), "sum to 1"),
    ],
)
def test_anything_else_is_refused(found: object, said: str) -> None:
    """One sentence says what was expected and what was found."""
    with pytest.raises(ContestantError, match=said):
        checked_probabilities(found, 1)


def test_sealed_rows_are_the_same_rows_of_shorter_markets(fold: Prepared) -> None:
    """Windows, contexts, labels, returns and weights are equal to the bit; the markets end in time."""
    for rows, until in ((fold.train, fold.cuts.train_end), (fold.validation, fold.cuts.validation_end)):
        found = sealed(rows, until)
        every = np.arange(len(rows))
        for name in ("market", "end", "action", "returns", "weight", "timestamps"):
            np.testing.assert_array_equal(getattr(found, name), getattr(rows, name))
        np.testing.assert_array_equal(found.windows(every), rows.windows(every))
        np.testing.assert_array_equal(found.context(every), rows.context(every))
        assert all(market.bars.timestamp[-1] < until for market in found.markets)
        assert all(len(short) < len(long) for short, long in zip(found.markets, rows.markets, strict=True))


def test_a_market_that_begins_later_may_be_missing_from_training(fold: Prepared) -> None:
    """Its number stays, its length is 0."""
    first = fold.train.subset(fold.train.market == 0)
    start = int(fold.markets[1].bars.timestamp[0])
    early = first.subset(first.timestamps < start)
    found = sealed(early, start)
    assert [len(market) for market in found.markets] == [300, 0]
    np.testing.assert_array_equal(found.windows(np.arange(len(early))), early.windows(np.arange(len(early))))


def test_a_contestant_cannot_see_the_test(fold: Prepared, bad_agents: str) -> None:
    """No bar that it can reach while it is fitted lies in the test; all rows before are there."""
    agent = fit_contestant(find_contestant(f"{bad_agents}:Peeks"), fold, 0)
    assert agent.last < fold.cuts.validation_end  # type: ignore[attr-defined]
    assert agent.rows == (len(fold.train), len(fold.validation))  # type: ignore[attr-defined]


def test_a_signal_agent_answers_every_test_row(fold: Prepared, bad_agents: str) -> None:
    """In the rows' order, with both times measured."""
    found = answer_theirs(f"{bad_agents}:Even", fold, 0)
    assert found.answers.kind == "signal"
    assert found.answers.probabilities is not None
    np.testing.assert_array_equal(
        found.answers.probabilities, np.full((len(fold.test), 3), np.float32(1 / 3))
    )
    assert found.seconds_fit is not None
    assert found.seconds_fit >= 0 <= found.seconds_answer


def test_a_position_agent_sees_its_account(fold: Prepared, bad_agents: str) -> None:
    """It buys when flat and sells what it holds; trading its row actions gives those same trades."""
    found = answer_theirs(f"{bad_agents}:Trader", fold, 0)
    assert found.answers.kind == "position"
    assert found.answers.decisions is not None
    places = grounds(fold.test, BacktestConfig())
    for place, mine in zip(places, found.answers.decisions, strict=True):
        taken = mine[place.asked]
        assert taken[0] == Action.BUY
        # An order fills at the next open: the account shows it at that bar's close.
        assert (taken == np.where(np.arange(len(taken)) % 2, Action.SELL, Action.BUY)).all()
    traded = found.portfolio.trades
    assert len(traded) >= sum(int(place.asked.sum()) for place in places) // 2 - len(places)
    assert (traded["side"] == 1).all()


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ("NoFit", "no_fit: expected methods `fit` and `signals`, found no `fit`"),
        ("OfAnotherKind", '"signal" or "position", found \'oracle\''),
        ("Missing", "holds no 'Missing'; it defines Even"),
        ("signal", "expected a class, found module"),
    ],
)
def test_what_is_no_agent_is_refused(agent: str, said: str, fold: Prepared, bad_agents: str) -> None:
    """By one sentence, when it is found or made."""
    with pytest.raises(ContestantError, match=said):
        answer_theirs(f"{bad_agents}:{agent}", fold, 0)
