"""Does a learner find an edge that is there, and known?"""

from __future__ import annotations

import numpy as np

from quantum_trader.agents.signals import direction
from quantum_trader.envs.actions import Action
from quantum_trader.envs.synthetic import PlantedConfig, planted_bars
from quantum_trader.evaluate.checks.chance import Build, Fit, plain_market
from quantum_trader.evaluate.records import CheckResult
from quantum_trader.evaluate.run_train import ask
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.logistic import fit_logistic
from quantum_trader.train.prepared import prepare

EASY = PlantedConfig(bars=12_000, seed=1, cue_probability=0.5, drift=2.0)
"""A cue on about every eighth bar, and a drift that a linear learner can find too."""
SHARE_OF_EDGE = 0.8
"""Share of the best possible edge that a learner must reach; the edge is what lies above a coin."""


def planted(
    fit: Fit = fit_logistic,
    config: PlantedConfig | None = None,
    *,
    build: Build = plain_market,
    share: float = SHARE_OF_EDGE,
    data: DataConfig | None = None,
) -> CheckResult:
    """Whether a learner reaches `share` of a planted edge: direction on the test's cue rows against Bayes.

    A pipeline that finds nothing anywhere passes every test for leaks; this one it fails.

    Args:
        fit: fits the agent to be checked.
        config: the market; None takes one that a linear learner can find.
        build: makes a market from its bars.
        share: of the best possible edge, `bayes_accuracy` - 1/2.
        data: labels and splits.
    """
    config = config if config is not None else EASY
    found = planted_bars(config)
    market = build(found.bars)
    prepared = prepare([market], data if data is not None else DataConfig())
    agent = fit(prepared.train, prepared.validation)
    rows = prepared.test
    cued = rows.subset(np.flatnonzero((found.cue[rows.end] != 0) & (rows.end + config.hold < len(market))))
    close = found.bars.close
    rose = close[cued.end + config.hold] > close[cued.end]
    accuracy = float(np.mean((direction(ask(agent, cued)) == Action.BUY) == rose))
    edge, best = accuracy - 0.5, found.bayes_accuracy - 0.5
    return CheckResult(
        name="planted",
        question=f"Does a learner find at least {share:.0%} of an edge that is known to be there?",
        passed=edge >= share * best,
        detail=f"Direction accuracy {accuracy:.1%} on {len(cued)} cue rows of the test, at best "
        f"{0.5 + best:.1%}: {edge / best:.0%} of the edge.",
    )
