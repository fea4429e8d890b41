"""Alerts about what the Arbiter says: silence, shares of the actions, another model."""

from __future__ import annotations

import numpy as np

from quantum_trader.envs.actions import Action
from quantum_trader.serve.monitor.moments import moments_of
from quantum_trader.serve.monitor.recent import by_bar
from quantum_trader.serve.monitor.records import Alert
from quantum_trader.serve.monitor.silence import silence
from quantum_trader.serve.monitor.situation import Situation
from quantum_trader.serve.monitor.table import Mask, Table
from quantum_trader.serve.monitor.words import at, percent, some

_NEXT = (
    "see which reasons prevail: a confidence threshold too high, P(HOLD) too large for this market, or a "
    "member that is out."
)


def all_hold(situation: Situation) -> Alert | None:
    """Critical where no symbol has signalled for too long, a warning where single symbols have not."""
    table, config = situation.counted, situation.config
    quiet = _quiet_bars(table)
    found = silence(quiet, config, chance=config.silence_chance)
    if found.suspicious:
        since = np.unique(table.bar_ms)[-found.bars]
        return Alert(
            name="all_hold",
            level="critical",
            message=f"No BUY or SELL in the last {found.bars} bars, since {at(since)}; a quiet market "
            f"explains fewer than {found.needed} (chance {config.silence_chance:.2g}). To mend it {_NEXT}",
        )
    silent = _silent_symbols(table, situation)
    if not silent:
        return None
    return Alert(
        name="all_hold",
        level="warning",
        message=f"No BUY or SELL for {some(silent)} while other symbols signal, longer than their quiet "
        f"spells last by chance. Check the feed of these symbols, then {_NEXT}",
    )


def shares(situation: Situation) -> Alert | None:
    """A warning where the share of an action surely lies outside its normal range."""
    config, counted = situation.config, situation.counted
    every = np.unique(counted.bar_ms)
    if not len(every):
        return None
    newest = counted.where(counted.bar_ms >= every[-min(config.share_bars, len(every))])
    moments = moments_of(newest, config)
    normal = {
        Action.BUY: config.buy_share,
        Action.SELL: config.sell_share,
        Action.HOLD: config.hold_range,
    }
    outside = []
    for action, (low, high) in normal.items():
        share = moments.sure_mean(newest.action == action, newest.bar_ms)
        if share.low > high or share.high < low:
            outside.append(f"{action.name} {percent(share.estimate, 0)} (normal {low:.0%} to {high:.0%})")
    if not outside:
        return None
    return Alert(
        name="shares",
        level="warning",
        message=f"Over the last {len(moments.bar_ms)} bars the shares were {', '.join(outside)}, surely "
        "outside the normal range. Compare by_reason with the validation report of the models: another "
        "confidence threshold or hold threshold, or models fitted anew, bring them back.",
    )


def model_changed(situation: Situation) -> Alert | None:
    """A warning for a while after the models behind the decisions have changed."""
    counted = situation.counted
    every = np.unique(counted.bar_ms)
    bars = min(situation.config.model_bars, len(every))
    newest = counted.model.codes[counted.bar_ms >= every[-bars]] if bars else np.zeros(0, dtype=np.int64)
    changes = int((np.diff(newest) != 0).sum())
    if not changes:
        return None
    names = [counted.model.names[code][:12] or "none" for code in dict.fromkeys(newest.tolist())]
    if changes >= len(names):
        said = f"{len(names)} models answer in turns ({', '.join(names)}): two Arbiters write one journal."
        remedy = "Stop one of them, or give it a journal of its own."
    else:
        said = f"The models behind the decisions changed from {names[0]} to {names[-1]}."
        remedy = "If that was intended, look at a range since then: figures across the change mix both."
    return Alert(name="model_changed", level="warning", message=f"{said} {remedy}")


def _quiet_bars(table: Table) -> Mask:
    """bool [K]: distinct bars at which every decision was HOLD."""
    signals, _ = by_bar(table.action != Action.HOLD, table.bar_ms)
    return np.asarray(signals == 0)


def _silent_symbols(table: Table, situation: Situation) -> list[str]:
    """Symbols that have been silent for too long, those that are no longer asked left out."""
    names, config = table.symbol.names, situation.config
    if len(names) < 2 or not len(table):
        return []
    order = np.argsort(table.symbol.codes, kind="stable")
    quiet = (table.action == Action.HOLD)[order]
    bounds = np.searchsorted(table.symbol.codes[order], np.arange(len(names) + 1))
    newest = int(table.bar_ms[-1])
    found = []
    for code, name in enumerate(names):
        rows = slice(bounds[code], bounds[code + 1])
        bars = table.bar_ms[order[rows]]
        if not len(bars) or newest - bars[-1] > config.stale_bars * situation.step_ms:
            continue
        if silence(quiet[rows], config, chance=config.silence_chance / len(names)).suspicious:
            found.append(name)
    return found
