"""What a run's policies earn where trading is dearer or slower: `python benchmarks/policies.py RUN`.

Every policy of a finished run, and the rule that PPO begins with, pass over the test slice once for each
condition; printed are the mean net return over the markets and the trades. The encoder's inputs stay those of
the run: the costs are raised in the environment alone.
"""

from __future__ import annotations

import os

# Before anything that starts threads is imported.
os.environ["OMP_NUM_THREADS"] = "1"

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray

from quantum_trader.agents.policy_features import PolicyFeatures
from quantum_trader.agents.policy_network import orders
from quantum_trader.agents.policy_state import FIRST_MEDIAN
from quantum_trader.agents.tft import TFTAgent
from quantum_trader.envs import EnvConfig, Market, run_actions
from quantum_trader.envs.policy_pass import Policy, decide_in_turn, look_up
from quantum_trader.evaluate.experiment import prepare_run, read_run
from quantum_trader.evaluate.position_agents import EmbeddingPolicy
from quantum_trader.evaluate.run_train import load_agents
from quantum_trader.train.rl.export import TARGETS
from quantum_trader.train.rl.markets import cut_markets
from quantum_trader.train.rl.table import encode_market
from quantum_trader.train.rl.warm_start import round_trip, wanted

Floats32 = NDArray[np.float32]
Indices = NDArray[np.int64]

CONDITIONS = {
    "as it is": EnvConfig(),
    "costs x 3": EnvConfig(cost_multiplier=3.0),
    "costs x 10": EnvConfig(cost_multiplier=10.0),
    "1 bar late": EnvConfig(delay_bars=1),
    "2 bars late": EnvConfig(delay_bars=2),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure."""

    run_folder: tyro.conf.Positional[Path] = Path("runs/demo")
    """A finished run with at least one policy."""


class Rule:
    """What the warm start imitates, exactly.

    Args:
        markets: with their contracts' costs.
        tables: what a policy with `features` "outputs" is told of each.
    """

    def __init__(self, markets: list[Market], tables: list[Floats32]) -> None:
        self._costs = np.array([round_trip(market.contract) for market in markets], dtype=np.float32)
        self._tables = tables

    def act(self, market: Indices, bar: Indices, account: Floats32) -> NDArray[np.int8]:
        """int8 [K]."""
        forecast = look_up(self._tables, market, bar)[:, FIRST_MEDIAN]
        target = wanted(forecast, self._costs[market], np.rint(account[:, 0]).astype(np.int64))
        return orders(np.array(TARGETS, dtype=np.int8)[target], account, "target")


def tables(tft: TFTAgent, markets: list[Market], features: PolicyFeatures) -> list[Floats32]:
    """What a policy is told of every bar."""
    return [encode_market(tft, market, features).table for market in markets]


def trade(policy: Policy, markets: list[Market], config: EnvConfig) -> tuple[float, int]:
    """Mean net return over the markets, and trades in all."""
    growth, trades = [], 0
    for market, actions in zip(markets, decide_in_turn(policy, markets, config), strict=True):
        record = run_actions(market, actions, config)
        growth.append(record.equity[-1] / record.initial_balance)
        trades += len(record.closed)
    return float(np.mean(growth)) - 1.0, trades


def main(options: Options) -> int:
    """Measure and print."""
    run = read_run(options.run_folder)
    markets = cut_markets(prepare_run(run, print).test)
    agents = load_agents(options.run_folder, run.agents, policy_seeds=run.policy_seeds)
    if agents.tft is None or not agents.policies:
        print(f"{options.run_folder} has no policy: name ppo among its agents.")
        return 2
    told = tables(agents.tft, markets, "outputs")
    found: dict[str, Policy] = {"the rule": Rule(markets, told)}
    for agent in agents.policies:
        same = agent.tft is agents.tft and agent.features == "outputs"
        seen = told if same else tables(agent.tft, markets, agent.features)
        found[agent.name] = EmbeddingPolicy(seen, agent.act)
    width = max(map(len, found))
    print(f"{'net return, trades':<{max(width, 18)}} " + " ".join(f"{name:>15}" for name in CONDITIONS))
    for name, policy in found.items():
        cells = [trade(policy, markets, config) for config in CONDITIONS.values()]
        print(f"{name:<{max(width, 18)}} " + " ".join(f"{r:>+8.1%} {n:>6}" for r, n in cells))
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
