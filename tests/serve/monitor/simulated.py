"""Decisions of a simulated Arbiter whose win probability, shares and calibration are known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.serve.journal.records import Entry, JournalRow, Outcome, Shadow, TradeResult
from quantum_trader.serve.monitor.table import UNKNOWN, Coded, Table

HOUR = 3_600_000
START = 1_704_067_200_000  # Monday, 2024-01-01
POOL = "tft+ppo+xgboost"


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What the simulated decisions come from."""

    bars: int = 1_000
    symbols: int = 3
    win: float = 0.55
    """Chance that the direction of a signal is right."""
    spread: float = 0.0
    """Standard deviation of that chance between blocks of time, all symbols alike."""
    block: int = 12
    """Bars of such a block."""
    hold: float = 0.4
    """Share of HOLD; the rest is BUY and SELL in halves."""
    quiet: float = 0.0
    """Share of the bars of quiet spells, in which everybody holds, on average 6 bars long."""
    quiet_labels: float = 0.2
    """Share of labels that are HOLD."""
    lasts: int = 4
    """Bars a trade lasts."""
    gain: float = 0.010
    loss: float = 0.010
    cost: float = 0.0008
    overstated: float = 0.0
    """How far the stated confidence lies above the chance to be right."""
    shadow_win: float | None = None
    """The same for XGBoost; None leaves it out."""
    horizon: int = 6
    seed: int = 0

    @property
    def net(self) -> float:
        """Mean net return of a trade."""
        return self.win * self.gain - (1 - self.win) * self.loss - self.cost

    @property
    def break_even(self) -> float:
        """Win rate at which trades cost as much as they earn."""
        return (self.loss + self.cost) / (self.gain + self.loss)


def simulate(truth: Truth) -> Table:
    """The decisions as a table, every outcome known but those of the last bars."""
    rng = np.random.default_rng(truth.seed)
    count = truth.bars * truth.symbols
    place = np.repeat(np.arange(truth.bars), truth.symbols)
    bar_ms = START + place * HOUR
    blocks = -(-truth.bars // truth.block)
    shift = rng.normal(0.0, truth.spread, blocks)[place // truth.block] if truth.spread else np.zeros(count)
    # The market's direction, and what the decider makes of it.
    up = rng.random(count) < 0.5
    chance = np.clip(truth.win + shift, 0.0, 1.0)
    confidence = np.clip(truth.win + truth.overstated + rng.normal(0.0, 0.01, count), 0.5, 1.0)
    action = _actions(rng, truth, up, rng.random(count) < chance, place)
    known = place < truth.bars - truth.horizon
    label = np.where(rng.random(count) < truth.quiet_labels, 0, np.where(up, 1, 2))
    buy = np.where(up, truth.gain, -truth.loss)
    gross = np.where(known[:, None], np.stack([buy, np.where(up, -truth.loss, truth.gain)], axis=1), np.nan)
    shadow = np.full(count, UNKNOWN)
    if truth.shadow_win is not None:
        shadow = _actions(rng, truth, up, rng.random(count) < np.clip(truth.shadow_win + shift, 0, 1), place)
    return Table(
        symbol=Coded(
            names=tuple(f"SYM{number}USDT" for number in range(truth.symbols)),
            codes=np.tile(np.arange(truth.symbols), truth.bars),
        ),
        source=Coded(names=(POOL,), codes=np.zeros(count, dtype=np.int64)),
        reason=Coded(names=("confidence N",), codes=np.zeros(count, dtype=np.int64)),
        model=Coded(names=("model-a",), codes=np.zeros(count, dtype=np.int64)),
        bar_ms=bar_ms,
        decided_ms=bar_ms + HOUR + 500,
        action=action.astype(np.int8),
        confidence=confidence,
        latency_ms=np.repeat(rng.gamma(9.0, 1.0, truth.bars), truth.symbols),
        refused=np.zeros(count, dtype=np.bool_),
        drifted=np.zeros(count, dtype=np.bool_),
        shadow_action=shadow.astype(np.int8),
        shadow_confidence=np.where(shadow == UNKNOWN, np.nan, confidence),
        horizon_bars=np.full(count, truth.horizon),
        due=~known,
        label=np.where(known, label, UNKNOWN).astype(np.int8),
        exit_ms=np.where(known[:, None], (bar_ms + truth.lasts * HOUR)[:, None], UNKNOWN).repeat(2, axis=1),
        gross=gross,
        net=gross - truth.cost,
    )


def changed(table: Table, rows: NDArray[np.bool_], **columns: object) -> Table:
    """The table with other values at `rows`; a text replaces the text of a `Coded` column."""
    new = {}
    for name, value in columns.items():
        column = getattr(table, name)
        if isinstance(column, Coded):
            texts = [column.names[code] for code in column.codes]
            new[name] = Coded.of([value if hit else text for hit, text in zip(rows, texts, strict=True)])
        else:
            where = rows if column.ndim == 1 else rows[:, None]
            new[name] = np.where(where, value, column).astype(column.dtype)
    return replace(table, **new)


def last_bars(table: Table, bars: int) -> NDArray[np.bool_]:
    """bool [N]: rows of the newest bars."""
    return np.asarray(table.bar_ms > table.bar_ms.max() - bars * HOUR)


def after(table: Table) -> int:
    """A moment just after the newest decision."""
    return int(table.decided_ms.max()) + 60_000


def rows_of(table: Table) -> list[JournalRow]:
    """The same decisions as the journal's readers give them."""
    return [_row(table, number) for number in range(len(table))]


def _actions(
    rng: np.random.Generator,
    truth: Truth,
    up: NDArray[np.bool_],
    right: NDArray[np.bool_],
    place: NDArray[np.int64],
) -> NDArray[np.int64]:
    holds = rng.random(len(up)) < truth.hold
    if truth.quiet:
        quiet = _spells(rng, truth)
        holds |= quiet[place]
    return np.where(holds, Action.HOLD, np.where(up == right, Action.BUY, Action.SELL))


def _spells(rng: np.random.Generator, truth: Truth) -> NDArray[np.bool_]:
    """bool [bars]: a chain that stays quiet with 5 in 6, and is quiet a share `quiet` of the time."""
    begins = truth.quiet / (1 - truth.quiet) / 6
    draws = rng.random(truth.bars)
    quiet = np.zeros(truth.bars, dtype=np.bool_)
    for bar in range(1, truth.bars):
        quiet[bar] = draws[bar] < (5 / 6 if quiet[bar - 1] else begins)
    return quiet


def _row(table: Table, number: int) -> JournalRow:
    symbol = table.symbol.names[table.symbol.codes[number]]
    bar_ms, shadow = int(table.bar_ms[number]), int(table.shadow_action[number])
    entry = Entry(
        symbol=symbol,
        bar_ms=bar_ms,
        decided_ms=int(table.decided_ms[number]),
        action=Action(int(table.action[number])),
        confidence=float(table.confidence[number]),
        probabilities=(0.4, 0.35, 0.25),
        source=table.source.names[table.source.codes[number]],
        reason=table.reason.names[table.reason.codes[number]],
        model_hash=table.model.names[table.model.codes[number]],
        latency_ms=float(table.latency_ms[number]),
        close=100.0,
        atr=1.0,
        warnings=("drift of rsi: 0.51 above 0.30",) if table.drifted[number] else (),
        shadow=None
        if shadow == UNKNOWN
        else Shadow(
            action=Action(shadow),
            confidence=float(table.shadow_confidence[number]),
            probabilities=(0.4, 0.3, 0.3),
        ),
        attention=(0.0,) * 59 + (1.0,),
        importances=tuple(np.float32(1 / 14).item() for _ in range(14)),
        refused=bool(table.refused[number]),
        horizon_bars=int(table.horizon_bars[number]),
    )
    return JournalRow(id=number + 1, entry=entry, outcome=_outcome(table, number, symbol, bar_ms))


def _outcome(table: Table, number: int, symbol: str, bar_ms: int) -> Outcome | None:
    if table.label[number] == UNKNOWN:
        return None
    buy, sell = (
        TradeResult(
            exit_ms=int(table.exit_ms[number, side]),
            exit_reason="take_profit",
            entry_price=100.0,
            exit_price=101.0,
            gross_return=float(table.gross[number, side]),
            net_return=float(table.net[number, side]),
        )
        for side in (0, 1)
    )
    return Outcome(symbol=symbol, bar_ms=bar_ms, label=Action(int(table.label[number])), buy=buy, sell=sell)
