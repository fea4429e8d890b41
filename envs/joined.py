"""`JoinedMarkets`: several markets and one configuration as the plain arrays that the compiled loops take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.bars import Bars, Floats
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.env_config import ACTION_MODES, REWARDS, EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.layout import MAX_TIERS, QUOTE, RULES, Matrix, matrix, records
from quantum_trader.envs.market import Market
from quantum_trader.envs.quotes import put_market
from quantum_trader.envs.rules import notional_cap, tier_table

Floats32 = NDArray[np.float32]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]

Number = TypeVar("Number", bound=np.generic)

_USUAL_FUNDING_MS = 8 * 3_600_000


@dataclass(frozen=True, kw_only=True)
class JoinedMarkets:
    """Markets one after another; a "row" counts through all of them.

    Attributes:
        markets: the markets.
        offsets: int64 [markets + 1], row of each market's first bar, and the total.
        bars: float64 [rows, fields of `Quote`].
        rules: float64 [markets, fields of `Rules`].
        table: float32 [rows, 14], scaled features.
        context: float32 [rows, CONTEXT_SIZE].
        starts: int64 [S], ascending: rows at which an episode may start.
    """

    markets: tuple[Market, ...]
    offsets: Indices
    bars: Matrix
    rules: Matrix
    table: Floats32
    context: Floats32
    starts: Indices

    def __getstate__(self) -> dict[str, Any]:
        """Without what the markets hold already: pickles would carry it twice."""
        return {name: value for name, value in self.__dict__.items() if name not in ("table", "context")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickled arrays are writable, and compiled code is specialised on read-only ones: freeze them."""
        self.__dict__.update(state)
        for name in ("table", "context"):
            self.__dict__[name] = _join([getattr(market, name) for market in self.markets])
        for name in ("bars", "rules", "starts"):
            self.__dict__[name].setflags(write=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> JoinedMarkets:
        """Nothing in it ever changes: copies of an environment share it."""
        return self

    @property
    def longest(self) -> int:
        """Bars of the longest market."""
        return int(np.diff(self.offsets).max())

    def market_of(self, rows: Indices) -> Indices:
        """int64 [K]: the market that each row belongs to."""
        return np.asarray(np.searchsorted(self.offsets, rows, side="right") - 1, dtype=np.int64)


def join_markets(markets: Sequence[Market], config: EnvConfig) -> JoinedMarkets:
    """Check that `config` can be traded on `markets` and lay both out.

    Raises:
        ConfigError: a leverage, balance, range or episode length that a market does not allow.
    """
    if not isinstance(config, EnvConfig):
        raise ConfigError(
            f"config must be an EnvConfig, found {type(config).__name__}; write EnvConfig(leverage=5.0)."
        )
    if not markets:
        raise ConfigError("An environment needs at least one market, found none.")
    for market in markets:
        check_contract(market.contract, market.symbol, config)
    offsets = np.cumsum([0, *(len(market) for market in markets)], dtype=np.int64)
    open_ended = [decision_rows(market, config) for market in markets]
    starts = [
        _start_rows(market, rows, config) + offset
        for market, rows, offset in zip(markets, open_ended, offsets, strict=False)
    ]
    return JoinedMarkets(
        markets=tuple(markets),
        offsets=offsets,
        bars=_join([quote_matrix(m, rows) for m, rows in zip(markets, open_ended, strict=True)]),
        rules=_join([rule_matrix(market.contract, config) for market in markets]),
        table=_join([market.table for market in markets]),
        context=_join([market.context for market in markets]),
        starts=_join(starts),
    )


def join_tables(tables: Sequence[Floats32], markets: Sequence[Market]) -> Floats32:
    """float32 [rows, D]: one table per market, one row per bar, joined like the bars.

    Raises:
        ConfigError: tables and markets do not fit each other.
    """
    shapes = [np.shape(table) for table in tables]
    lengths = [len(market) for market in markets]
    plain = all(len(shape) == 2 and shape[1] > 0 for shape in shapes)
    if not plain or [shape[0] for shape in shapes] != lengths or len({shape[1] for shape in shapes}) != 1:
        raise ConfigError(
            f"Expected one table [bars, D] for each market, with {lengths} rows; found shapes {shapes}."
        )
    together = _neighbours(tables)
    if together is not None:
        return together
    return _join([np.ascontiguousarray(table, dtype=np.float32) for table in tables])


def _neighbours(tables: Sequence[Floats32]) -> Floats32 | None:
    """The array that several tables are successive row ranges of, such as a memory-mapped file; or None."""
    whole = tables[0].base if len(tables) > 1 else None
    if not isinstance(whole, np.ndarray) or whole.dtype != np.float32 or not whole.flags.c_contiguous:
        return None
    if whole.ndim != 2 or any(table.base is not whole or not table.flags.c_contiguous for table in tables):
        return None
    places = [(table.ctypes.data - whole.ctypes.data) // whole.strides[0] for table in tables]
    ends = [place + len(table) for place, table in zip(places, tables, strict=True)]
    if whole.shape[1] != tables[0].shape[1] or places[1:] != ends[:-1]:
        return None
    return np.asarray(whole)[places[0] : ends[-1]]


def decision_rows(market: Market, config: EnvConfig) -> Mask:
    """bool [T]: a decision may be taken at the close of bar t, and bar t+1 follows without a long gap."""
    stop = len(market) if config.stop is None else min(config.stop, len(market))
    rows = market.usable.copy()
    rows[: max(config.start, config.window - 1)] = False
    rows[max(stop - 1, 0) :] = False
    rows[:-1] &= ~market.breaks[1:]
    return rows


def quote_matrix(market: Market, open_ended: Mask) -> Matrix:
    """float64 [T, fields of `Quote`] of one market."""
    bars = market.bars
    rows = matrix(len(bars), QUOTE)
    quotes = records(rows, QUOTE)
    put_market(quotes, bars, market.contract)
    quotes["to_funding"] = time_to_funding(bars) if market.contract.has_funding else 1.0
    quotes["atr"] = market.atr
    quotes["open_ended"] = open_ended
    return rows


def time_to_funding(bars: Bars) -> Floats:
    """float64 [T] in [0, 1]: share of the funding interval left at each close, from past settlements only.

    The interval is the one between the last two settlements (8 hours after the first); a settlement that
    did not come is expected one interval later. 0 says the next bar opens with one; 1 that none was ever
    seen.
    """
    settled = np.flatnonzero(np.isfinite(bars.funding_rate))
    if len(settled) == 0:
        return np.ones(len(bars))
    moments = bars.timestamp[settled]
    intervals = np.diff(moments, prepend=moments[0] - _USUAL_FUNDING_MS)
    latest = np.searchsorted(settled, np.arange(len(bars)), side="right") - 1
    elapsed = bars.timestamp + bars.step_ms - moments[np.maximum(latest, 0)]
    interval = np.maximum(intervals[np.maximum(latest, 0)], bars.step_ms)
    return np.where(latest >= 0, (-elapsed % interval) / interval, 1.0)


def rule_matrix(contract: FuturesContract, config: EnvConfig) -> Matrix:
    """float64 [1, fields of `Rules`]: contract and configuration as numbers."""
    drawdown = config.reward == "drawdown_penalised"
    values = {
        "mode": ACTION_MODES.index(config.actions),
        "max_units": config.max_units,
        "fee": contract.taker_fee,
        "commission": contract.commission / contract.contract_size,
        "slippage": contract.slippage,
        "liquidation_fee": contract.liquidation_fee,
        "tick": contract.tick_size,
        "lot": contract.lot_size,
        "min_notional": contract.min_notional,
        "reserve": float(contract.reserve_closing_fee),
        "on_entry": float(contract.maintenance_on == "entry"),
        "delay": config.delay_bars,
        "take_profit": config.take_profit_atr,
        "stop_loss": config.stop_loss_atr,
        "max_holding": config.max_holding_bars,
        "initial_balance": config.initial_balance,
        "floor": config.equity_floor * config.initial_balance,
        "reward": REWARDS.index(config.reward),
        "reward_parameter": config.drawdown_penalty if drawdown else config.reward_rate,
        "tiers": tier_table(contract, MAX_TIERS),
    }
    row = matrix(1, RULES)
    record = records(row, RULES)
    for name, value in values.items():
        record[name] = value
    return row


def check_contract(contract: FuturesContract, symbol: str, config: EnvConfig) -> None:
    """Check that a contract allows the leverage, position and order size of a configuration.

    Raises:
        ConfigError: it does not.
    """
    if len(contract.tiers) > MAX_TIERS:
        raise ConfigError(
            f"{symbol}: {contract.name} has {len(contract.tiers)} margin tiers, more than the {MAX_TIERS} "
            "that are supported; merge the highest."
        )
    lowest, highest = config.leverages
    tiers = tier_table(contract)
    most = max(tier.max_leverage for tier in contract.tiers)
    if highest > most:
        raise ConfigError(
            f"{symbol}: leverage {highest:g} is above the {most:g} that {contract.name} allows; lower it."
        )
    notional = highest * config.initial_balance
    cap = notional_cap(highest, tiers)
    if notional > cap:
        raise ConfigError(
            f"{symbol}: {contract.name} allows leverage {highest:g} up to a notional of {cap:,.0f}, "
            f"a full position would be {notional:,.0f}; lower leverage or initial_balance."
        )
    unit = lowest * config.initial_balance / config.max_units
    if unit < contract.min_notional:
        raise ConfigError(
            f"{symbol}: one unit is {unit:,.2f}, below the smallest order of {contract.min_notional:,.2f} "
            f"on {contract.name}; raise initial_balance or leverage."
        )


def _start_rows(market: Market, open_ended: Mask, config: EnvConfig) -> Indices:
    rows = np.flatnonzero(open_ended)
    if len(rows) == 0:
        raise ConfigError(
            f"{market.symbol}: no bar from {config.start} on has {config.window} usable bars before it and "
            f"one after it; the market has {len(market)} bars, give more or widen start and stop."
        )
    last = rows[-1] + 1
    rows = np.asarray(rows[rows + config.episode_bars <= last], dtype=np.int64)
    if len(rows) == 0:
        raise ConfigError(
            f"{market.symbol}: episode_bars {config.episode_bars} is longer than the {int(open_ended.sum())} "
            "steps that the data allow; lower it or give more bars."
        )
    _check_lot(market, rows[0], config)
    return rows if config.random_start else rows[:1]


def _check_lot(market: Market, row: int, config: EnvConfig) -> None:
    unit = config.leverages[0] * config.initial_balance / config.max_units
    lot = market.contract.lot_size * float(market.bars.close[row])
    if lot > unit:
        raise ConfigError(
            f"{market.symbol}: one unit is {unit:,.2f}, less than one lot, {lot:,.2f}, of "
            f"{market.contract.name}; raise initial_balance or leverage."
        )


def _join(arrays: Sequence[NDArray[Number]]) -> NDArray[Number]:
    """Concatenate; the result is read-only always, because compiled code is specialised on that."""
    joined = np.concatenate(arrays) if len(arrays) > 1 else np.ascontiguousarray(arrays[0])[:]
    joined.setflags(write=False)
    return joined
