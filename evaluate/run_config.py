"""`RunConfig`: everything about one run, from data to report. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from quantum_trader.agents.network_config import Preset
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.windows import WINDOW
from quantum_trader.train.arbiter_config import ArbiterConfig
from quantum_trader.train.data_config import LabelConfig, SplitConfig, WeightConfig
from quantum_trader.train.network_config import NetworkTrainConfig
from quantum_trader.train.rl.config import ALGORITHMS, RLConfig
from quantum_trader.train.tree_config import EnsembleConfig, LogisticConfig, XGBoostConfig

AgentName = Literal[
    "xgboost",
    "logistic",
    "ensemble",
    "tft",
    "bilstm",
    "ppo",
    "a2c",
    "dqn",
    "sac",
    "maskable_ppo",
    "qrdqn",
]


SEED_MARK = "-seed"
"""Between the name of a policy and the number of its further seeds."""


@dataclass(frozen=True, kw_only=True)
class MarketConfig:
    """Where the bars come from and what trading them costs."""

    data: str = "sample"
    """"sample" (real EURUSD, 1 h, 2017), a file, a folder, or made up: "planted", "planted-easy",
    "planted-hard", "order", "random-walk", "regimes"."""
    symbols: str = ""
    """Symbols to read from a folder, separated by commas; empty reads all."""
    universe: str = ""
    """CSV with the columns symbol, start, end: when each symbol was traded, delisted ones included. Others
    are left out; without it today's files are taken for the market, and they are its survivors."""
    contract: str = ""
    """Contract of every symbol: a preset's name or a JSON file; empty guesses from each symbol's name."""
    taker_fee: float | None = None
    """Fee of a fill, fraction of notional, instead of the contract's; raising it makes trading dearer."""
    slippage: float | None = None
    """Slippage and half spread of a fill as a fraction of the price, instead of the contract's."""

    def with_costs_of(self, other: MarketConfig) -> MarketConfig:
        """The same bars; contract, fee and slippage that are not given are those of `other`.

        A contract of its own brings its own costs.
        """
        if self.contract:
            return self
        return replace(
            self,
            contract=other.contract,
            taker_fee=other.taker_fee if self.taker_fee is None else self.taker_fee,
            slippage=other.slippage if self.slippage is None else self.slippage,
        )


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """What a run and a benchmark have in common: data, labels, agents' settings, judgement."""

    name: str = "run"
    """Name of the run: everything is written to OUT/NAME."""
    out: Path = Path("runs")
    """Folder of all runs; their trials are counted together in OUT/ledger.jsonl."""
    market: Annotated[MarketConfig, tyro.conf.arg(name="")] = field(default_factory=MarketConfig)
    """The bars."""
    labels: LabelConfig = field(default_factory=LabelConfig)
    """The labels."""
    weights: WeightConfig = field(default_factory=WeightConfig)
    """The sample weights."""
    preset: Preset = "paper"
    """Size of TFT and BiLSTM: "paper" 2.6 M parameters each, "small" 0.65 M, "tiny" 0.03 and 0.01 M."""
    window_bars: int = 60
    """Newest bars of the 60 of a window that TFT and BiLSTM look at; fewer are faster and know less."""
    tft: NetworkTrainConfig = field(default_factory=NetworkTrainConfig)
    """Training of the TFT."""
    bilstm: NetworkTrainConfig = field(default_factory=NetworkTrainConfig)
    """Training of the BiLSTM, the TFT's simpler twin; fitted if `agents` names it."""
    xgboost: XGBoostConfig = field(default_factory=XGBoostConfig)
    """Training of XGBoost."""
    logistic: LogisticConfig = field(default_factory=LogisticConfig)
    """Training of the logistic regression."""
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)
    """Training of the mean of XGBoost, LightGBM and CatBoost; fitted if `agents` names it."""
    rl: RLConfig = field(default_factory=RLConfig)
    """Training of PPO and of the other policies."""
    arbiter: ArbiterConfig = field(default_factory=ArbiterConfig)
    """Fit of the Arbiter."""
    coin_flips: int = 200
    """Coin-flip agents with each agent's own turnover; more sharpen the percentile and take longer."""
    bootstrap_draws: int = 500
    """Bootstrap draws behind each interval."""
    checks: bool = True
    """Whether the mechanical checks (leaks, accounting, luck) are made and listed in the report."""
    seed: int = 0
    """Seed of everything; an agent's own seed, where given, is added to it."""

    def __post_init__(self) -> None:
        if not self.name or Path(self.name).name != self.name:
            raise ConfigError(f"name: expected a plain folder name, found {self.name!r}.")
        if not 1 <= self.window_bars <= WINDOW:
            raise ConfigError(f"window_bars: expected 1 to {WINDOW} bars, found {self.window_bars}.")

    @property
    def folder(self) -> Path:
        """Where the run is written."""
        return self.out / self.name


@dataclass(frozen=True, kw_only=True)
class RunConfig(ExperimentConfig):
    """One run: data, splits, labels, agents, judgement."""

    splits: Annotated[SplitConfig, tyro.conf.arg(name="")] = field(default_factory=SplitConfig)
    """Where training, validation and test part."""
    agents: tuple[AgentName, ...] = ("xgboost", "logistic", "tft", "ppo")
    """Agents to fit; policies (PPO, A2C, DQN, ...) need the TFT, whose encoder they use."""
    policy_seeds: int = 1
    """Seeds of every policy: one may be lucky. The Arbiter listens to the first."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.policy_seeds < 1:
            raise ConfigError(f"policy_seeds: expected at least 1, found {self.policy_seeds}.")
        policies = [name for name in ALGORITHMS if name in self.agents]
        if policies and "tft" not in self.agents:
            raise ConfigError(f'agents: "{policies[0]}" uses the encoder of "tft"; name both.')

    def seeded(self) -> RunConfig:
        """The same run with its seed handed down to the agents."""
        return replace(
            self,
            tft=replace(self.tft, seed=self.tft.seed + self.seed),
            bilstm=replace(self.bilstm, seed=self.bilstm.seed + self.seed),
            rl=replace(self.rl, seed=self.rl.seed + self.seed),
            arbiter=replace(self.arbiter, seed=self.arbiter.seed + self.seed),
        )
