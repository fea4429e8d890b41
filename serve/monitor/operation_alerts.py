"""Alerts about how the machinery runs: journal, feed, members of the pool, inputs, time."""

from __future__ import annotations

import numpy as np

from quantum_trader.serve.monitor.calls import calls_of
from quantum_trader.serve.monitor.missing import missed_bars
from quantum_trader.serve.monitor.reasons import members
from quantum_trader.serve.monitor.recent import Excess, excess
from quantum_trader.serve.monitor.records import Alert
from quantum_trader.serve.monitor.situation import Situation
from quantum_trader.serve.monitor.table import Integers, Mask, Table
from quantum_trader.serve.monitor.words import at, duration, percent, some

_SLOW_SHARE = 0.01
_FEWEST_SLOW = 5


def journal(situation: Situation) -> Alert | None:
    """Critical while decisions cannot be written."""
    if not situation.fault:
        return None
    return Alert(
        name="journal",
        level="critical",
        message=f"The journal cannot be written ({situation.fault}): decisions go on and are not recorded. "
        "Make room on the disk or mend its permissions; writing is tried again by itself.",
    )


def stale(situation: Situation) -> Alert | None:
    """Symbols without a decision for too long; critical where all of them are."""
    step, config = situation.step_ms, situation.config
    if step <= 0 or not situation.newest_ms:
        return None
    missed = {
        symbol: missed_bars(symbol, decided, situation.now_ms, step)
        for symbol, decided in situation.newest_ms.items()
    }
    late = [symbol for symbol, bars in missed.items() if bars > config.stale_bars]
    newest = max(situation.newest_ms.values())
    if len(late) == len(missed):
        return Alert(
            name="stale",
            level="critical",
            message=f"No decision for {duration(situation.now_ms - newest)}, since {at(newest)}, where one "
            f"every {duration(step)} is expected. See whether the bot runs, then its feed.",
        )
    late = sorted((name for name in late if missed[name] <= config.forgotten_bars), key=missed.__getitem__)
    if not late:
        return None
    return Alert(
        name="stale",
        level="warning",
        message=f"No decision for more than {config.stale_bars:g} bars on {some(late[::-1])} "
        f"(up to {missed[late[-1]]:.0f} bars) while other symbols go on. See whether the venue still lists "
        "them and their feed delivers closed bars.",
    )


def fallback(situation: Situation) -> Alert | None:
    """Decisions without the full pool; critical where no model answers at all."""
    counted, config = situation.counted, situation.config
    silent = np.asarray(counted.source.holds(members(name) == 0 for name in counted.source.names))
    nobody = excess(silent, counted.bar_ms, config.fallback_share, config)
    if nobody is not None:
        return Alert(
            name="fallback",
            level="critical",
            message=f"No model answered {_found(nobody, config.fallback_share)}; commonest reason: "
            f"{_commonest(counted, silent)}. See health for each member's last error and reload the models.",
        )
    degraded = without_full_pool(situation)
    found = excess(degraded, counted.bar_ms, config.fallback_share, config)
    if found is None:
        return None
    return Alert(
        name="fallback",
        level="warning",
        message=f"A member was missing {_found(found, config.fallback_share)}; commonest reason: "
        f"{_commonest(counted, degraded)}. See health for each member's last error and the latency alert.",
    )


def without_full_pool(situation: Situation) -> Mask:
    """bool [N] of the decisions proper: whether a member of the pool was missing."""
    counted, wanted = situation.counted, situation.config.full_pool
    largest = max((members(name) for name in (wanted, *counted.source.names)), default=0)
    least = members(wanted) if wanted else largest
    fewer = counted.source.holds(members(name) < least for name in counted.source.names)
    return fewer if wanted else np.asarray(fewer | counted.failed)


def drift(situation: Situation) -> Alert | None:
    """Inputs unlike the training data."""
    counted, config = situation.counted, situation.config
    found = excess(counted.drifted, counted.bar_ms, config.drift_share, config)
    if found is None:
        return None
    affected = list(counted.symbol.where(counted.drifted & _newest(counted, found)).counts())
    return Alert(
        name="drift",
        level="warning",
        message=f"Inputs were unlike the training data {_found(found, config.drift_share)}; most on "
        f"{some(affected)}. Check the feed's prices and volume units first, then train on data that include "
        "this market.",
    )


def refused(situation: Situation) -> Alert | None:
    """Bars that the Arbiter does not take: duplicates, late or bad ones."""
    table, config = situation.table, situation.config
    # By the time they came, because the time written on a refused bar may be what is wrong with it.
    order = np.argsort(table.decided_ms, kind="stable")
    found = excess(table.refused[order], table.decided_ms[order], config.refused_share, config)
    if found is None:
        return None
    return Alert(
        name="refused",
        level="warning",
        message=f"{percent(found.share, 0)} of the bars of {found.bars} recent calls were refused (limit "
        f"{percent(config.refused_share, 0)}); commonest reason: {_commonest(table, table.refused)}. "
        "Send each bar once, in order, when it has closed, and check the clocks.",
    )


def latency(situation: Situation) -> Alert | None:
    """Calls whose 99th percentile surely lies above its limit."""
    config = situation.config
    calls = calls_of(situation.counted).newest(config.latency_calls)
    limits = np.where(calls.symbols > 1, config.batch_latency_ms, config.latency_ms)
    slow = calls.latency_ms > limits
    count = int(slow.sum())
    # Loads slowly, and everything that only names a record would pay for it.
    from scipy.stats import binom

    chance = float(binom.sf(count - 1, len(slow), _SLOW_SHARE)) if count else 1.0
    if count < _FEWEST_SLOW or chance >= (1.0 - config.alert_level) / 2.0:
        return None
    worst = float(np.quantile(calls.latency_ms[slow], 0.5))
    return Alert(
        name="latency",
        level="warning",
        message=f"{count} of the last {len(slow)} calls took longer than {config.latency_ms:g} ms "
        f"({config.batch_latency_ms:g} ms for several symbols), half of those {worst:.0f} ms or more, where "
        "1 in 100 may. See what else uses the processor, set the threads to the free cores, or serve fewer "
        "symbols a process.",
    )


def outcomes(situation: Situation) -> Alert | None:
    """Decisions that should have an outcome by now and have none."""
    counted, config = situation.counted, situation.config
    old = counted.where(_later_bars(counted) >= counted.horizon_bars + config.unresolved_bars)
    found = excess(old.due, old.bar_ms, config.unresolved_share, config)
    if found is None:
        return None
    return Alert(
        name="outcomes",
        level="warning",
        message=f"{percent(found.share, 0)} of the decisions have no outcome {config.unresolved_bars} bars "
        f"after their horizon (limit {percent(config.unresolved_share, 0)}): the figures lack them. See "
        "that the process that journals also gets the bars that follow; it resolves what it can when it next "
        "decides.",
    )


def _later_bars(table: Table) -> Integers:
    """int64 [N]: how many later decisions of the same symbol each row is followed by."""
    order = np.argsort(table.symbol.codes, kind="stable")
    codes = table.symbol.codes[order]
    ends = np.searchsorted(codes, codes, side="right") - 1
    later = np.empty(len(table), dtype=np.int64)
    later[order] = ends - np.arange(len(table))
    return later


def _newest(table: Table, found: Excess) -> Mask:
    """bool [N]: rows of the window that an excess was found in."""
    every = np.unique(table.bar_ms)
    return np.asarray(table.bar_ms >= every[-min(found.bars + found.bars_ago, len(every))])


def _found(found: Excess, limit: float) -> str:
    share = percent(found.share, 0)
    return f"in {share} of the decisions of {found.bars} recent bars (limit {percent(limit, 0)})"


def _commonest(table: Table, rows: Mask) -> str:
    counts = table.reason.where(rows).counts()
    return repr(next(iter(counts), "none given"))
