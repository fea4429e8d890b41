"""The example of an agent of one's own: found, run in a process of its own, and better than a coin."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np

from quantum_trader.agents.signals import direction
from quantum_trader.envs.actions import Action
from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import preset
from quantum_trader.envs.synthetic import PlantedConfig, planted_bars
from quantum_trader.evaluate.suite.guard import Done, guarded
from quantum_trader.evaluate.sweep.run_job import answer_theirs
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.prepared import prepare

EXAMPLE = Path(__file__).parents[2] / "examples" / "my_agent.py"


def test_it_finds_a_planted_edge_in_a_process_of_its_own() -> None:
    """From its path to probabilities, where cues tell the direction nearly always."""
    market = planted_bars(PlantedConfig(bars=4_000, seed=1, accuracy=0.95, cue_probability=0.3))
    fold = prepare([Market.build(market.bars, preset("binance-btc"))], DataConfig())
    found = guarded(answer_theirs, f"{EXAMPLE}:MyAgent", fold, 0, limit_s=1_800.0)
    assert isinstance(found, Done), found.reason
    test = fold.test
    cued = (market.cue[test.end] != 0) & (test.action != Action.HOLD)
    right = direction(found.value.answers.probabilities[cued]) == test.action[cued]
    assert np.mean(right) > 0.75


def test_it_is_short_and_says_how_to_run_it() -> None:
    """At most 20 lines of code, and the command in the first lines."""
    source = EXAMPLE.read_text(encoding="utf-8")
    assert "quantum-trader benchmark --agents examples/my_agent.py:MyAgent xgboost logistic" in source
    body = ast.parse(source).body[1:]
    lines = source.splitlines()[body[0].lineno - 1 : body[-1].end_lineno]
    assert len([line for line in lines if line.strip()]) <= 20
