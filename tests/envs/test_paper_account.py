"""An account fed bar by bar is the environments' account, to the bit, and survives being written down."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from pandas.testing import assert_frame_equal

from quantum_trader.envs.backtest_kernel import Record, run_actions
from quantum_trader.envs.bars import Bar, Bars
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.env import FuturesTradingEnv
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError, DataError
from quantum_trader.envs.layout import ACCOUNT
from quantum_trader.envs.market import Market
from quantum_trader.envs.paper_account import Mark, PaperAccount
from quantum_trader.envs.presets import preset
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars

HOUR_MS = 3_600_000
WILD = SyntheticConfig(bars=900, volatility=0.02, jump_probability=0.02, jump_size=6.0)
CONFIGS = {
    "plain": EnvConfig(),
    "signal": EnvConfig(take_profit_atr=1.5, stop_loss_atr=1.5, max_holding_bars=6, leverage=3.0),
    "liquidated": EnvConfig(leverage=10.0, max_units=4, equity_floor=0.0),
    "ruined": EnvConfig(leverage=50.0, equity_floor=0.5, initial_balance=1_000.0),
    "targets": EnvConfig(actions="target", max_units=3, leverage=5.0, stop_loss_atr=2.0),
    "shares": EnvConfig(actions="continuous", leverage=4.0, take_profit_atr=3.0),
    "late": EnvConfig(delay_bars=2, take_profit_atr=1.0, stop_loss_atr=1.0, cost_multiplier=2.0),
    "sharpe": EnvConfig(reward="differential_sharpe", leverage=2.0),
}

BUST = ("liquidated", "ruined")


def random_actions(config: EnvConfig, count: int, seed: int) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    if config.actions == "continuous":
        return np.round(random.uniform(-1, 1, count), 2)
    return random.integers(0, 3 if config.actions == "order" else 2 * config.max_units + 1, count).astype(
        float
    )


def feed(
    account: PaperAccount, market: Market, record: Record, actions: Sequence[float], *, flatten: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Equity at each bar of `record`, and the account's every number there."""
    for row in range(record.first + 1):
        account.warm(market.bars.bar(row))
    equity, numbers = [account.equity], [account._accounts[0].copy()]
    for row in range(record.first + 1, record.first + len(record)):
        bar, atr = market.bars.bar(row), float(market.atr[row - 1])
        last = flatten and row + 1 == record.first + len(record)
        account.step(actions[row - 1], bar, atr=atr, mark=mark(market.bars, row), close_out=last)
        equity.append(account.equity)
        numbers.append(account._accounts[0].copy())
    return np.array(equity), np.array(numbers)


def mark(bars: Bars, row: int) -> Mark:
    return Mark(
        open=float(bars.mark_open[row]),
        high=float(bars.mark_high[row]),
        low=float(bars.mark_low[row]),
        close=float(bars.mark_close[row]),
    )


def assert_same_frames(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert_frame_equal(found, expected, check_exact=True)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_account_of_a_backtest_to_the_bit(name: str, seed: int) -> None:
    """Every number of the account at every bar, every trade and every fill equal those of `run_actions`."""
    config = CONFIGS[name]
    market = Market.build(synthetic_bars(replace(WILD, seed=seed)), preset("binance-btc"))
    actions = random_actions(config, len(market), seed)
    record = run_actions(market, actions, config, flatten=False)
    account = PaperAccount("X", market.contract, config)
    equity, numbers = feed(account, market, record, actions.tolist())
    assert np.array_equal(equity, record.equity)
    names = list(ACCOUNT.names or ())
    compared = [column for column, field in enumerate(names) if field not in ("step",)]
    before_the_end = numbers[: record.bars_done - 1]
    assert np.array_equal(
        before_the_end[:, compared], record.rows[: record.bars_done - 1][:, compared], equal_nan=True
    )
    assert np.array_equal(numbers[:, names.index("row")], record.rows[:, names.index("row")])
    assert_same_frames(account.trades(), record.trades())
    assert_same_frames(account.fills(), record.fills())
    assert len(account.trades()) > (0 if name in BUST else 20)
    assert account.ruined == record.ruined
    if name in BUST:
        assert record.liquidations > 0
    assert record.funding != 0.0 or name in BUST


def test_closing_out_at_the_end_is_a_backtests_flatten() -> None:
    """`close_out` on the last bar books what `flatten` books."""
    config = CONFIGS["plain"]
    market = Market.build(synthetic_bars(WILD), preset("binance-btc"))
    actions = np.ones(len(market))
    record = run_actions(market, actions, config)
    account = PaperAccount("X", market.contract, config)
    equity, _ = feed(account, market, record, actions.tolist(), flatten=True)
    assert np.array_equal(equity, record.equity)
    assert account.trades()["exit_reason"].iloc[-1] == "end"
    assert_same_frames(account.trades(), record.trades())


@pytest.mark.parametrize("name", ["signal", "targets", "shares"])
def test_it_is_the_account_of_the_environment(name: str) -> None:
    """Step by step the environment's info and its fills, on the same bars and actions."""
    config = CONFIGS[name]
    market = Market.build(synthetic_bars(replace(WILD, bars=500, seed=7)), preset("bybit-alt"))
    env = FuturesTradingEnv(market, config)
    _, info = env.reset(seed=0)
    account = PaperAccount("X", market.contract, config)
    for row in range(int(info["bar"]) + 1):
        account.warm(market.bars.bar(row))
    actions = random_actions(config, len(market), 3)
    over = False
    while not over:
        row = int(info["bar"])
        action: Any = actions[row] if config.actions == "continuous" else int(actions[row])
        _, _, terminated, truncated, info = env.step(action)
        account.step(action, market.bars.bar(row + 1), atr=float(market.atr[row]))
        assert account.info == {key: value for key, value in info.items() if key != "bar"}
        over = terminated or truncated
    assert_same_frames(account.fills(), env.fills())


def test_the_mark_price_decides_liquidation(make_market: Any) -> None:
    """With marks the account is liquidated where a backtest with the same marks is, and not without them."""
    contract = FuturesContract(name="plain", taker_fee=0.0, slippage=0.0)
    market = make_market([100.0] * 4, mark_low=[100, 100, 90, 100], contract=contract)
    config = EnvConfig(window=1, leverage=20.0)
    record = run_actions(market, np.array([1, 0, 0, 0]), config, flatten=False)
    with_marks, without = (PaperAccount("X", contract, config) for _ in range(2))
    equity, _ = feed(with_marks, market, record, [1, 0, 0, 0])
    assert equity.tolist() == record.equity.tolist()
    assert record.liquidations == 1
    without.warm(market.bars.bar(0))
    for row in range(1, 4):
        without.step([1, 0, 0][row - 1], market.bars.bar(row))
    assert without.info["liquidations"] == 0


def cut(bars: Bars, start: int, count: int) -> Bars:
    """`bars` without `count` bars from `start` on."""
    frame = bars.to_frame().drop(index=range(start, start + count)).reset_index(drop=True)
    from quantum_trader.envs.load import bars_from_frame

    return bars_from_frame(frame, symbol=bars.symbol)


@pytest.mark.parametrize("name", ["signal", "late"])
def test_with_a_backtests_foresight_it_crosses_gaps_as_one(name: str) -> None:
    """Closed out before a long gap, and without decisions until a window is complete, it is a backtest."""
    market = Market.build(cut(synthetic_bars(WILD), 400, 48), preset("binance-btc"))
    config = CONFIGS[name]
    actions = random_actions(config, len(market), 5)
    record = run_actions(market, actions, config)
    account = PaperAccount("X", market.contract, config)
    for row in range(record.first + 1):
        account.warm(market.bars.bar(row))
    equity = [account.equity]
    for row in range(record.first + 1, len(market)):
        ahead = row + 1 == len(market) or bool(market.breaks[row + 1])
        decided = market.usable[row - 1] and not market.breaks[row]
        action = actions[row - 1] if decided else None
        equity.append(
            account.step(action, market.bars.bar(row), atr=float(market.atr[row - 1]), close_out=ahead)
        )
    assert np.array_equal(equity, record.equity)
    assert_same_frames(account.trades(), record.trades())


def quiet(step: int, *, close: float = 100.0, **changes: Any) -> Bar:
    values = {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 1.0}
    return Bar(timestamp=step * HOUR_MS, **{**values, **changes})


def test_a_position_is_carried_over_a_long_gap() -> None:
    """It keeps its size, pays the funding of the bar behind the gap and leaves at that bar's open if its
    stop is behind it; the order that was under way is dropped."""
    contract = FuturesContract(name="free", taker_fee=0.0, slippage=0.0)
    config = EnvConfig(stop_loss_atr=1.0, max_units=2)
    kept, stopped = (PaperAccount("X", contract, config) for _ in range(2))
    for account in (kept, stopped):
        for step in range(20):
            account.warm(quiet(step))
        account.step(1, quiet(20), atr=2.0)  # half of 10,000 at 100: 50 units
        assert account.position == 50.0
        assert account.open_since == 20 * HOUR_MS
    kept.step(1, quiet(100, funding_rate=0.001), atr=2.0)  # dropped; pays 50 x 100 x 0.001 = 5
    assert (kept.position, kept.equity) == (50.0, 9_995.0)
    stopped.step(None, quiet(100, close=90.0))  # the stop was at 98: out at the open, 10 below the entry
    assert (stopped.position, stopped.equity) == (0.0, 9_500.0)
    assert stopped.trades().iloc[0][["exit_reason", "exit_price"]].tolist() == ["stop_loss", 90.0]
    assert stopped.trades().iloc[0]["exit_time"] == pd.Timestamp(100 * HOUR_MS, unit="ms", tz="UTC")


def test_a_few_missing_bars_are_no_gap() -> None:
    """As in a backtest the order fills at the next open there is."""
    account = PaperAccount("X", preset("binance-btc"))
    account.warm(quiet(0))
    account.step(1, quiet(3))
    assert account.position > 0.0


def test_decisions_under_way_are_dropped_at_a_long_gap() -> None:
    """With a delay the queue is emptied too: nothing decided before the gap fills behind it."""
    account = PaperAccount("X", preset("binance-btc"), EnvConfig(delay_bars=2))
    account.warm(quiet(0))
    account.step(1, quiet(1))
    account.step(1, quiet(2))
    for step in (100, 101, 102):
        account.step(None, quiet(step))
    assert account.position == 0.0


@pytest.mark.parametrize("name", CONFIGS)
def test_written_down_and_restored_it_goes_on_with_the_same_bits(name: str) -> None:
    """Through JSON text after every bar, the run ends as one that was never interrupted."""
    config = CONFIGS[name]
    market = Market.build(synthetic_bars(replace(WILD, bars=300, seed=2)), preset("okx-btc"))
    actions = random_actions(config, len(market), 2)
    whole, pieces = (PaperAccount("X", market.contract, config) for _ in range(2))
    for row in range(150):
        whole.warm(market.bars.bar(row))
        pieces.warm(market.bars.bar(row))
    for row in range(150, len(market)):
        whole.step(actions[row - 1], market.bars.bar(row), atr=float(market.atr[row - 1]))
        text = json.dumps(pieces.state(), allow_nan=False)
        pieces = PaperAccount("X", market.contract, config)
        pieces.restore(json.loads(text))
        pieces.step(actions[row - 1], market.bars.bar(row), atr=float(market.atr[row - 1]))
    assert json.dumps(pieces.state()) == json.dumps(whole.state())
    assert_same_frames(pieces.trades(), whole.trades())
    assert_same_frames(pieces.fills(), whole.fills())


def test_drained_trades_are_handed_over_once() -> None:
    """What `drain` took is neither kept nor written again; the money stays."""
    account = PaperAccount("X", preset("binance-btc"))
    account.warm(quiet(0))
    account.step(1, quiet(1))
    account.step(2, quiet(2))
    log = account.drain()
    assert (len(log.trades), len(log.fills)) == (1, 2)
    assert account.drain() == type(log)()
    assert account.state()["trades"] == []
    assert account.equity == pytest.approx(10_000.0 + log.trades[0].net_pnl)


@pytest.mark.parametrize(
    ("bar", "message"),
    [
        (quiet(1), "expected a bar after 1970-01-01 01:00:00 UTC"),
        (quiet(0), "send each closed bar once and in order"),
        (quiet(2, high=90.0), "high or low that its open and close contradict"),
        (quiet(2, close=math.nan), "a price that is not a positive number"),
    ],
)
def test_a_bad_bar_leaves_the_account_as_it_was(bar: Bar, message: str) -> None:
    """Duplicates, old bars and bars that contradict themselves are refused in one sentence."""
    account = PaperAccount("X", preset("binance-btc"))
    account.warm(quiet(0))
    account.step(1, quiet(1))
    before = json.dumps(account.state())
    with pytest.raises(DataError, match=message):
        account.step(0, bar)
    assert json.dumps(account.state()) == before


@pytest.mark.parametrize("mode", ["order", "target", "continuous"])
@pytest.mark.parametrize("action", [-2, 3, 0.5, math.nan, math.inf])
def test_an_action_out_of_range_is_refused(mode: Any, action: float) -> None:
    """With the range in the message; a share of one half is an action only where shares are."""
    account = PaperAccount("X", preset("binance-btc"), EnvConfig(actions=mode))
    account.warm(quiet(0))
    if mode == "continuous" and action == 0.5:
        account.step(action, quiet(1))
        return
    with pytest.raises(ConfigError, match="actions lie between"):
        account.step(action, quiet(1))
    assert account.last_timestamp == 0


def test_an_order_with_exits_needs_its_atr() -> None:
    """An entry whose stop could not be placed is refused; HOLD, and an ATR that is not known yet, are not."""
    account = PaperAccount("X", preset("binance-btc"), EnvConfig(stop_loss_atr=1.5))
    account.warm(quiet(0))
    with pytest.raises(ConfigError, match="give step\\(\\) the decision's atr"):
        account.step(1, quiet(1))
    account.step(0, quiet(1))
    account.step(None, quiet(2))
    account.step(1, quiet(3), atr=math.nan)
    assert account.position > 0.0


def test_an_action_needs_a_bar_before_it() -> None:
    """The first bar can only be met without a decision."""
    account = PaperAccount("X", preset("binance-btc"))
    with pytest.raises(ConfigError, match="an action is taken at the close of a bar"):
        account.step(1, quiet(0))
    assert account.step(None, quiet(0)) == 10_000.0
    account.step(0, quiet(1))
    with pytest.raises(ConfigError, match="history comes before the first step"):
        account.warm(quiet(2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "of version 2"),
        ({"symbol": "Y"}, "belongs to 'Y'"),
        ({"rules": "0"}, "another contract, configuration or bar length"),
        ({"account": {}}, "is damaged"),
        ({"bars": 1.5}, "is damaged"),
        ({"trades": [[1]]}, "is damaged"),
        ({"quote": None}, "is damaged"),
    ],
)
def test_a_foreign_or_damaged_state_is_refused(change: dict[str, Any], message: str) -> None:
    """In one sentence, and the account stays as it was."""
    account = PaperAccount("X", preset("binance-btc"))
    account.warm(quiet(0))
    state = account.state()
    with pytest.raises(ConfigError, match=message):
        account.restore({**state, **change})
    assert account.state() == state


@pytest.mark.parametrize(
    "other",
    [
        PaperAccount("X", preset("binance-btc"), EnvConfig(leverage=2.0)),
        PaperAccount("X", preset("binance-eth")),
        PaperAccount("X", preset("binance-btc"), step_ms=60_000),
    ],
)
def test_a_state_is_restored_under_its_own_rules_only(other: PaperAccount) -> None:
    """Another leverage, contract or bar length would go on as an account that never was."""
    with pytest.raises(ConfigError, match="another contract, configuration or bar length"):
        other.restore(PaperAccount("X", preset("binance-btc")).state())


def test_a_leverage_the_contract_does_not_allow_is_refused() -> None:
    """By the check that environments make."""
    with pytest.raises(ConfigError, match="leverage 500"):
        PaperAccount("X", preset("binance-btc"), EnvConfig(leverage=500.0))
