from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from quantum_trader.envs.actions import Action
from quantum_trader.envs.bars import Bars
from quantum_trader.envs.context import HORIZONS
from quantum_trader.envs.errors import ConfigError, TrainingError
from quantum_trader.envs.market import Market
from quantum_trader.train.labels import (
    UNDEFINED,
    LabelConfig,
    Labels,
    choose_barrier,
    label_bars,
    triple_barrier,
)

BARS = 40
CONFIG = LabelConfig(horizon_bars=3, barrier_atr=2.0)


def flat_bars(**changes: dict[int, float]) -> Bars:
    """Bars that stand at 100 with a range of 0.2, except for the given rows of the given columns."""
    base = {"open": 100.0, "high": 100.1, "low": 99.9, "close": 100.0}
    columns = {name: np.full(BARS, value) for name, value in base.items()}
    for name, rows in changes.items():
        for row, value in rows.items():
            columns[name][row] = value
    return Bars(
        symbol="HAND",
        step_ms=3_600_000,
        timestamp=np.arange(BARS, dtype=np.int64) * 3_600_000,
        volume=np.ones(BARS),
        funding_rate=np.full(BARS, np.nan),
        **{f"mark_{name}": column for name, column in columns.items()},
        **columns,
    )


def labelled(bars: Bars, config: LabelConfig = CONFIG, breaks: list[int] | None = None) -> Labels:
    """Labels with an ATR of 0.5: barriers 1 % from the fill under `CONFIG`."""
    marks = np.zeros(BARS, dtype=np.bool_)
    marks[breaks or []] = True
    return label_bars(bars, np.full(BARS, 0.5), marks, config)


@pytest.mark.parametrize(
    ("changes", "action", "end"),
    [
        pytest.param({"high": {12: 101.0}}, Action.BUY, 12, id="upper touched"),
        pytest.param({"low": {13: 98.9}}, Action.SELL, 13, id="lower touched on the last bar"),
        pytest.param({"high": {12: 100.99}}, Action.HOLD, 13, id="nearly touched"),
        pytest.param({"high": {14: 105.0}}, Action.HOLD, 13, id="touched after the horizon"),
        pytest.param({"high": {10: 105.0}}, Action.HOLD, 13, id="touched on the decision bar itself"),
        pytest.param({"high": {12: 101.0}, "low": {12: 99.0}}, Action.HOLD, 12, id="both in one bar"),
        pytest.param({"high": {12: 101.0}, "low": {11: 99.0}}, Action.SELL, 11, id="lower first"),
        pytest.param({"high": {11: 101.0, 12: 101.0}, "low": {12: 99.0}}, Action.BUY, 11, id="upper first"),
        pytest.param(
            {"open": {11: 102.0}, "high": {12: 103.0}}, Action.SELL, 11, id="barriers from the fill"
        ),
    ],
)
def test_first_barrier_touched_names_the_label(
    changes: dict[str, dict[int, float]], action: Action, end: int
) -> None:
    """A row's label is the barrier that bars t + 1 to t + 3 touch first, measured from open[t + 1]."""
    labels = labelled(flat_bars(**changes))
    assert labels.action[10] == action
    assert labels.end[10] == end


def test_width_is_a_share_of_the_decision_close() -> None:
    """Barriers lie at fill x (1 +- barrier_atr x ATR / close[t]), not at a fixed distance in price."""
    # 2 x 0.5 / 50 = 2 % of the fill at 100: 102.
    touched = labelled(flat_bars(close={10: 50.0}, high={12: 102.0}))
    missed = labelled(flat_bars(close={10: 50.0}, high={12: 101.9}))
    assert touched.action[10] == Action.BUY
    assert missed.action[10] == Action.HOLD


def test_rows_without_a_future_are_undefined() -> None:
    """The last rows, whose farthest horizon passes the data, have no label and no returns."""
    labels = labelled(flat_bars())
    reach = max(HORIZONS)
    assert labels.valid[: BARS - reach].all()
    assert not labels.valid[BARS - reach :].any()
    assert (labels.action[BARS - reach :] == UNDEFINED).all()
    assert np.isnan(labels.forward_returns[BARS - reach :]).all()
    assert (labels.end[BARS - reach :] == np.arange(BARS - reach, BARS)).all()


def test_no_label_spans_a_gap() -> None:
    """Rows whose horizons reach a bar after an over-long gap are undefined; the bar at the gap is not."""
    labels = labelled(flat_bars(), breaks=[20])
    reach = max(HORIZONS)
    expected = [*range(20 - reach), *range(20, BARS - reach)]
    assert np.flatnonzero(labels.valid).tolist() == expected


def test_undefined_atr_leaves_the_row_undefined() -> None:
    """A row in warm-up has no barrier and so no label."""
    atr = np.full(BARS, 0.5)
    atr[:14] = np.nan
    labels = label_bars(flat_bars(), atr, np.zeros(BARS, dtype=np.bool_), CONFIG)
    assert not labels.valid[:14].any()
    assert labels.valid[14]


def test_forward_returns_run_from_the_fill_to_the_close() -> None:
    """forward_returns[t, k] is ln(close[t + HORIZONS[k]] / open[t + 1])."""
    rows = np.arange(BARS)
    # open = exp(row / 1000), close = exp(row / 10): any index error shows in the digits.
    bars = replace(flat_bars(), open=np.exp(rows / 1000), close=np.exp(rows / 10))
    labels = labelled(bars)
    for column, horizon in enumerate(HORIZONS):
        assert labels.forward_returns[5, column] == pytest.approx((5 + horizon) / 10 - 6 / 1000)


def test_a_longer_horizon_reaches_farther() -> None:
    """Reach covers the label's horizon where that is longer than every forward return."""
    labels = labelled(flat_bars(), replace(CONFIG, horizon_bars=20))
    assert labels.reach[3] == 23
    assert np.flatnonzero(labels.valid).tolist() == list(range(20))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), row=st.integers(0, BARS - 13), horizon=st.integers(1, 10))
def test_no_price_after_the_end_changes_a_label(seed: int, row: int, horizon: int) -> None:
    """A label depends on nothing after its end, and its end is after the decision bar."""
    rng = np.random.default_rng(seed)
    walk = 100 * np.exp(np.cumsum(rng.normal(0, 0.004, BARS)))
    bars = replace(flat_bars(), open=walk, close=walk, high=walk * 1.003, low=walk * 0.997)
    config = replace(CONFIG, horizon_bars=horizon)
    before = labelled(bars, config)
    end = int(before.end[row])
    assert row + 1 <= end <= row + horizon
    factor = np.where(np.arange(BARS) > end, rng.uniform(0.5, 2.0, BARS), 1.0)
    changed = {name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")}
    after = labelled(replace(bars, **changed), config)
    assert after.action[row] == before.action[row]
    assert after.end[row] == end
    seen = [column for column, ahead in enumerate(HORIZONS) if row + ahead <= end]
    assert (after.forward_returns[row, seen] == before.forward_returns[row, seen]).all()


def test_chosen_barrier_balances_the_classes(two_markets: tuple[Market, Market]) -> None:
    """The barrier brings HOLD to about 40 % of the given rows and leaves BUY and SELL near each other."""
    masks = [market.usable for market in two_markets]
    config = choose_barrier(two_markets, masks, LabelConfig())
    labels = [triple_barrier(market, config) for market in two_markets]
    actions = np.concatenate(
        [item.action[mask & item.valid] for item, mask in zip(labels, masks, strict=True)]
    )
    shares = np.bincount(actions, minlength=3) / len(actions)
    assert shares[Action.HOLD] == pytest.approx(0.40, abs=0.01)
    assert 0.2 < shares[Action.BUY] < 0.4
    assert 0.2 < shares[Action.SELL] < 0.4


def test_given_barrier_is_kept(two_markets: tuple[Market, Market]) -> None:
    """A barrier that the user set is not chosen again."""
    config = LabelConfig(barrier_atr=2.5)
    assert choose_barrier(two_markets, [market.usable for market in two_markets], config) == config


def test_choosing_without_rows_is_an_error(two_markets: tuple[Market, Market]) -> None:
    """Without training rows there is nothing to choose a barrier on."""
    masks = [np.zeros(len(market), dtype=np.bool_) for market in two_markets]
    with pytest.raises(TrainingError, match="training rows"):
        choose_barrier(two_markets, masks, LabelConfig())


def test_labelling_needs_a_barrier(two_markets: tuple[Market, Market]) -> None:
    """A config without a number in barrier_atr is refused with the remedy."""
    with pytest.raises(ConfigError, match="choose_barrier"):
        triple_barrier(two_markets[0], LabelConfig())


@pytest.mark.parametrize("wrong", [{"horizon_bars": 0}, {"barrier_atr": 0.0}, {"hold_share": 1.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    """A label config outside its range names the field."""
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        LabelConfig(**wrong)  # type: ignore[arg-type]
