"""Alerts about what came of the decisions: profit, the shadow's profit, calibration."""

from __future__ import annotations

from quantum_trader.evaluate.trading_metrics import break_even_win_rate
from quantum_trader.serve.monitor import figures
from quantum_trader.serve.monitor.records import Alert
from quantum_trader.serve.monitor.situation import Situation
from quantum_trader.serve.monitor.words import interval, percent


def win_rate(situation: Situation) -> Alert | None:
    """Critical where the win rate surely lies below its break-even.

    Break-even is estimated from the same trades. A win rate lies below it exactly when the mean net return
    is below zero, in the data as in every resample, so the interval of that mean answers for both at once.
    """
    trades, config = situation.arbiter.trades, situation.config
    if len(trades) < config.fewest_trades:
        return None
    net = situation.moments.sure_mean(trades.net, trades.bar_ms)
    if not net.below_zero:
        return None
    share = float((trades.net > 0).mean())
    return Alert(
        name="win_rate",
        level="critical",
        message=f"{percent(share)} of {len(trades)} closed trades won where "
        f"{percent(break_even_win_rate(trades.net))} break even: a trade nets {interval(net, 3)}, surely a "
        "loss. Stop acting on the signals, then look whether costs ate the profit (gross against net) or "
        "the direction is wrong.",
    )


def shadow_better(situation: Situation) -> Alert | None:
    """A warning where XGBoost alone would surely have earned more."""
    config, own, other = situation.config, situation.arbiter, situation.shadow
    if other is None or min(len(own.trades), len(other.trades)) < config.fewest_trades:
        return None
    found = figures.daily_difference(own, other, config, sure=True)
    if not found.below_zero:
        return None
    return Alert(
        name="shadow_better",
        level="warning",
        message="On the same bars XGBoost alone earned more: the Arbiter's net return a day less XGBoost's "
        f"is {interval(found, 3)}. Evaluate the run anew on recent data; until then loading XGBoost alone "
        "is the better choice.",
    )


def calibration(situation: Situation) -> Alert | None:
    """A warning where the directional confidence surely promises more or less than it keeps."""
    config, decider = situation.config, situation.arbiter
    moved = decider.moved
    if int(moved.sum()) < config.fewest_directions:
        return None
    gap = decider.confidence[moved] - decider.right[moved]
    found = situation.moments.sure_mean(gap, decider.table.bar_ms[moved])
    if not (found.low > config.calibration_gap or found.high < -config.calibration_gap):
        return None
    much = "more" if found.estimate > 0 else "less"
    stated, kept = float(decider.confidence[moved].mean()), float(decider.right[moved].mean())
    return Alert(
        name="calibration",
        level="warning",
        message=f"Confidence promises {much} than it keeps: {percent(stated)} stated, {percent(kept)} right, "
        f"a gap of {interval(found)} (limit {percent(config.calibration_gap)}). Do not size positions "
        "by confidence until the models are calibrated on newer data.",
    )
