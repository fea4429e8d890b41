"""Fits the Arbiter's numbers on validation rows: pool weights, hold thresholds, confidence gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.arbiter_settings import ArbiterSettings, GateSettings
from quantum_trader.agents.calibration import fit_hold_threshold
from quantum_trader.agents.pool import SMALLEST_PROBABILITY, forecast, log_opinion_pool, pooled
from quantum_trader.agents.signals import Signals
from quantum_trader.envs.actions import Action
from quantum_trader.train.arbiter_config import ArbiterConfig
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.gate import GateTrial, choose_threshold, trade_by_day

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Labels = NDArray[np.int8]
Bias = tuple[float, float, float]


def fit_arbiter(
    validation: PooledDataset,
    *,
    tft: Floats32 | None,
    ppo: Floats32 | None,
    fallback: Floats32 | None,
    barrier_atr: float,
    horizon_bars: int,
    config: ArbiterConfig,
) -> ArbiterSettings:
    """All of the Arbiter's numbers, from validation rows only.

    Args:
        validation: `N` labelled rows.
        tft, ppo, fallback: float32 [N, 3], each member's probabilities on those rows; None where missing.
        barrier_atr, horizon_bars: of the labels; trades of the gate leave by them.
        config: shares, coverage and limits.
    """
    votes = {
        name: vote
        for name, vote in (("tft", tft), ("ppo", ppo), ("xgboost", fallback if config.trees_share else None))
        if vote is not None
    }
    unbiased = (0.0, 0.0, 0.0)
    alone = _gate(validation, tft, unbiased, barrier_atr, horizon_bars, config)
    settings = ArbiterSettings(
        pool=tuple(votes) if tft is not None else ("tft",),
        trees_share=config.trees_share if tft is not None and "xgboost" in votes else 0.0,
        primary=alone,
        tft_alone=alone,
        fallback=_gate(validation, fallback, unbiased, barrier_atr, horizon_bars, config),
        barrier_atr=barrier_atr,
        horizon_bars=horizon_bars,
        latency_budget_ms=config.latency_budget_ms,
        clipped_share_limit=config.clipped_share_limit,
    )
    if tft is None or len(votes) == 1:
        return settings
    bias = unbiased
    if ppo is not None:
        (first, second), bias = fit_pool([forecast(votes, config.trees_share), ppo], validation.action)
        settings = replace(settings, forecast_weight=first, ppo_weight=second)
    together = pooled(votes, replace(settings, primary=GateSettings(bias=bias)))
    return replace(settings, primary=_gate(validation, together, bias, barrier_atr, horizon_bars, config))


def _gate(
    validation: PooledDataset,
    probabilities: Floats32 | None,
    bias: Bias,
    barrier_atr: float,
    horizon_bars: int,
    config: ArbiterConfig,
) -> GateSettings:
    """The gate of a source whose probabilities hold `bias` already; a lean is added to it."""
    if probabilities is None:
        return GateSettings(rule="not fitted: the models are missing")
    leaning = fit_lean(probabilities, bias, config.minimum_direction_share)
    added = tuple(new - old for new, old in zip(leaning, bias, strict=True))
    moved = log_opinion_pool([probabilities], (1.0,), added)
    gate = fit_gate(validation, moved, barrier_atr, horizon_bars, config)
    return replace(gate, bias=leaning)


def fit_lean(probabilities: Floats32, bias: Bias, minimum_share: float) -> Bias:
    """`bias`, changed no more than it takes for BUY and SELL each to be the likelier direction often enough.

    A model that knows little of direction nearly always prefers the direction that was commoner in training,
    by a hair. Moving its odds by that hair makes it name the other one where it is likelier than usual.

    Args:
        probabilities: float32 [N, 3] of validation rows, `bias` already in them.
        bias: added to the log-probabilities of HOLD, BUY, SELL so far.
        minimum_share: smallest share of rows, below 0.5, for the rarer direction.
    """
    if minimum_share == 0.0:
        return bias
    odds = np.log(np.maximum(probabilities[:, Action.BUY], SMALLEST_PROBABILITY)) - np.log(
        np.maximum(probabilities[:, Action.SELL], SMALLEST_PROBABILITY)
    )
    low, high = np.quantile(odds, [minimum_share, 1.0 - minimum_share])
    shift = float(np.clip(0.0, low, high))
    return bias[0], bias[1] - shift / 2.0, bias[2] + shift / 2.0


def fit_pool(members: Sequence[Floats32], labels: Labels) -> tuple[tuple[float, ...], Bias]:
    """Weights >= 0 and class bias of the log-opinion pool with the least log-loss on the labels.

    The bias turns the policy's action preferences, which are no forecasts of the label, into something that
    can be pooled with one. The problem is convex: a multinomial logistic regression with tied coefficients.

    Args:
        members: K of them, float32 [N, 3].
        labels: int8 [N], `Action` values.
    """
    from scipy.optimize import minimize

    count = len(members)
    logs = np.stack([np.log(np.clip(p.astype(np.float64), SMALLEST_PROBABILITY, 1.0)) for p in members])
    target = np.eye(3)[labels]

    def loss(parameters: Floats) -> tuple[float, Floats]:
        weights, bias = parameters[:count], np.concatenate([[0.0], parameters[count:]])
        logits = np.tensordot(weights, logs, axes=1) + bias
        logits -= logits.max(axis=1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        residual = (np.exp(log_p) - target) / len(target)
        slope = np.concatenate([(logs * residual).sum(axis=(1, 2)), residual.sum(axis=0)[1:]])
        return float(-(log_p * target).sum() / len(target)), slope

    start = np.array([1.0, *[0.0] * (count + 1)])
    bounds = [(0.0, None)] * count + [(None, None)] * 2
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return tuple(float(weight) for weight in best[:count]), (0.0, float(best[count]), float(best[count + 1]))


def fit_gate(
    validation: PooledDataset,
    probabilities: Floats32,
    barrier_atr: float,
    horizon_bars: int,
    config: ArbiterConfig,
) -> GateSettings:
    """Hold threshold by share of HOLD, then the confidence threshold that pays best, if one pays at all."""
    hold_threshold = fit_hold_threshold(probabilities, config.hold_share)
    if config.confidence_threshold is not None:
        return GateSettings(
            hold_threshold=hold_threshold,
            confidence_threshold=config.confidence_threshold,
            rule="fixed by the user",
        )
    signals = Signals(probabilities=probabilities)
    open_rows = probabilities[:, Action.HOLD] < hold_threshold
    confidence = signals.directional_confidence
    trials = []
    for threshold in _candidates(confidence[open_rows], open_rows.mean(), config):
        traded = open_rows & (confidence >= threshold)
        actions = np.where(traded, signals.direction, np.int8(Action.HOLD))
        days = trade_by_day(validation, actions, barrier_atr, horizon_bars)
        trials.append(GateTrial(threshold=threshold, coverage=float(traded.mean()), days=days))
    return choose_threshold(trials, hold_threshold, config)


def _candidates(confidence: Floats32, open_share: float, config: ArbiterConfig) -> Sequence[float]:
    """0.5, and the thresholds that leave ever fewer rows, down to the minimum coverage."""
    if len(confidence) == 0:
        return [0.5]
    coverages = np.geomspace(open_share, config.minimum_coverage, config.candidates)
    shares = coverages[(coverages < open_share) & (coverages >= config.minimum_coverage)] / open_share
    return [0.5, *sorted({float(value) for value in np.quantile(confidence, 1.0 - shares)})]
