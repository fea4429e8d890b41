"""One trial of a search: fitted on training rows, stopped by one part of validation, scored on the other."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.bilstm.config import bilstm_preset
from quantum_trader.agents.folder import data_digest
from quantum_trader.agents.live import LiveAgent
from quantum_trader.agents.measures import direction_accuracy
from quantum_trader.agents.tft.config import tft_preset
from quantum_trader.envs.bars import Bars
from quantum_trader.envs.errors import TrainingError
from quantum_trader.envs.market import Market
from quantum_trader.evaluate import signal_metrics, trading_metrics as metrics
from quantum_trader.evaluate.bench import trade
from quantum_trader.evaluate.confidence import Gate
from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.folds import Folds, judged_fold
from quantum_trader.evaluate.ledger import BarFigures, bar_figures, locked_file
from quantum_trader.evaluate.run_config import RunConfig
from quantum_trader.evaluate.run_data import load_markets
from quantum_trader.evaluate.run_judge import answers, policy_entrants
from quantum_trader.evaluate.run_stages import Say, Stages
from quantum_trader.evaluate.run_train import Fitting
from quantum_trader.evaluate.tune_config import Criterion, TunedAgent
from quantum_trader.train.data_config import DataConfig, LabelConfig
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.labels import triple_barrier
from quantum_trader.train.logistic import fit_logistic
from quantum_trader.train.prepared import Prepared, prepare
from quantum_trader.train.splits import Cuts, calendar_cuts, split_rows
from quantum_trader.train.xgboost import fit_xgboost

if TYPE_CHECKING:
    from quantum_trader.agents.policy_agent import PolicyAgent
    from quantum_trader.agents.tft.agent import TFTAgent

Floats = NDArray[np.float64]

OnEpoch = Callable[[int, float], None]
"""Told after each epoch of a network: its number from 1, and its cross-entropy skill on the first part of
validation. What it raises ends the trial."""


@dataclass(frozen=True, kw_only=True)
class StudyBars:
    """What all trials of a study share: the bars up to the end of validation, and nothing of the test.

    Attributes:
        markets: cut off where the test begins, and built from what is left.
        cuts: of a trial's datasets: training; the part of validation that stops and calibrates; and, in the
            place of the test, the part that scores. It ends where validation ends.
        data: hash of all the bars that the source holds, as a run of theirs knows them.
    """

    markets: tuple[Market, ...]
    cuts: Cuts
    data: str


def load_study(config: RunConfig, score_share: float) -> StudyBars:
    """Load the bars, find the splits, and forget everything after validation.

    Raises:
        DataError, ConfigError: the data cannot be used.
        TrainingError: too few rows to split.
    """
    whole = load_markets(config.market)
    cuts = calendar_cuts(whole, config.splits)
    kept, moments = [], []
    for market in whole:
        stop = int(np.searchsorted(market.bars.timestamp, cuts.validation_end, side="left"))
        if not market.usable[:stop].any():
            continue
        kept.append(Market.build(_copied(market.bars, stop), market.contract))
        times = kept[-1].bars.timestamp[kept[-1].usable]
        moments.append(times[times >= cuts.train_end])
    found = np.unique(np.concatenate(moments)) if moments else np.zeros(0, dtype=np.int64)
    if len(found) < 2:
        raise TrainingError("The validation split is empty: give longer data or move the split dates.")
    scored = min(max(round(score_share * len(found)), 1), len(found) - 1)
    return StudyBars(
        markets=tuple(kept),
        cuts=replace(cuts, validation_end=int(found[-scored]), test_end=cuts.validation_end),
        data=data_digest([market.bars.digest for market in whole]),
    )


def _copied(bars: Bars, stop: int) -> Bars:
    """The first `stop` bars; copies, since views would keep the later ones in memory."""
    columns = {each.name: getattr(bars, each.name)[:stop].copy() for each in fields(bars)[2:]}
    return Bars(symbol=bars.symbol, step_ms=bars.step_ms, **columns)


@dataclass(frozen=True, kw_only=True)
class TrialRows:
    """The rows of a trial.

    Attributes:
        prepared: training rows, and as `validation` the rows that stop and calibrate.
        score: the later validation rows, purged from the former, by which the trial is judged.
    """

    prepared: Prepared
    score: PooledDataset


def trial_rows(bars: StudyBars, config: RunConfig) -> TrialRows:
    """Label and split the bars for one trial.

    Raises:
        TrainingError: a split is empty.
    """
    cuts = bars.cuts
    prepared = prepare(bars.markets, DataConfig(labels=config.labels, weights=config.weights), cuts)
    labels = [triple_barrier(market, prepared.labels) for market in prepared.markets]
    # Seen from the first part of validation the second one is the validation that follows.
    later = Cuts(
        train_start=cuts.train_start,
        train_end=cuts.validation_end,
        validation_end=cuts.test_end,
        test_end=cuts.test_end + 1,
    )
    pairs = zip(prepared.markets, labels, strict=True)
    masks = [split_rows(market, each, later).validation for market, each in pairs]
    return TrialRows(prepared=prepared, score=PooledDataset(prepared.markets, labels, masks))


@dataclass(frozen=True, kw_only=True)
class TrialScore:
    """What a trial came to on the rows that score it."""

    bars: BarFigures
    """Of the portfolio's equity, net."""
    start_ms: int
    """Open of the first bar traded, UTC."""
    end_ms: int
    """Open of the last bar traded, UTC."""
    net_return: float
    """Of the portfolio."""
    sharpe: float
    """Yearly; 0 where the equity never moves."""
    log_loss: float | None
    """Nats; None for a policy."""
    log_loss_skill: float | None
    """1 - log-loss over that of the training shares; None for a policy."""
    direction_10: float | None
    """Accuracy of the tenth most confident directions on rows not labelled HOLD; None for a policy, NaN where
    every row is labelled HOLD."""

    def value(self, criterion: Criterion) -> float:
        """The figure to be made large."""
        chosen = {
            "log_loss": self.log_loss_skill,
            "net_return": self.net_return,
            "sharpe": self.sharpe,
            "direction_10": self.direction_10,
        }[criterion]
        assert chosen is not None  # TuneConfig refuses such criteria for policies
        return chosen


class TrialRunner:
    """Fits and scores one configuration after the other on the same bars.

    Args:
        agent: which.
        config: the run that is varied; the encoder of PPO is fitted by it, once for all trials.
        bars: those of the study.
        say: told what happens.
    """

    def __init__(self, agent: TunedAgent, config: RunConfig, bars: StudyBars, say: Say) -> None:
        self.agent = agent
        self.config = config
        self.bars = bars
        self.say = say
        self._rows: tuple[LabelConfig, TrialRows] | None = None
        self._tft: TFTAgent | None = None

    def rows(self, config: RunConfig) -> TrialRows:
        """The rows of a trial; kept as long as the next one labels alike."""
        if self._rows is None or self._rows[0] != config.labels:
            self._rows = (config.labels, trial_rows(self.bars, config))
        return self._rows[1]

    def run(self, config: RunConfig, number: int, on_epoch: OnEpoch | None = None) -> TrialScore:
        """Fit and score one configuration.

        Args:
            config: of the trial.
            number: of the trial; names its files.
            on_epoch: see `OnEpoch`.

        Raises:
            QuantumTraderError: it cannot be fitted.
        """
        rows = self.rows(config)
        config = config.seeded()
        self.config.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"trial-{number}-", dir=self.config.folder) as folder:
            if self.agent == "ppo":
                policy = self._policy(config, number, Path(folder))
                return score(policy_entrants([policy], rows.score)[0], rows)
            agent = self._forecaster(config, rows, Path(folder), on_epoch)
        return score(_signal_entrant(agent, rows, config), rows)

    def _forecaster(
        self, config: RunConfig, rows: TrialRows, folder: Path, on_epoch: OnEpoch | None
    ) -> LiveAgent:
        train, watched = rows.prepared.train, rows.prepared.validation
        if self.agent == "xgboost":
            return fit_xgboost(train, watched, config.xgboost, config.seed)
        if self.agent == "logistic":
            return fit_logistic(train, watched, config.logistic, config.seed)
        return _fit_network(self.agent, config, rows.prepared, folder, on_epoch)

    def _policy(self, config: RunConfig, number: int, folder: Path) -> PolicyAgent:
        """A policy on the study's encoder; tables of its outputs serve every trial."""
        from quantum_trader.train.rl.run import train_policy

        work = self.config.folder
        fitted = train_policy(
            self.rows(config).prepared,
            tft=self._encoder(),
            encoder_folder=work / "models" / "tft",
            config=config.rl,
            folder=folder / "policy",
            work=work,
            name=f"trial-{number}",
        )
        (work / "checkpoints" / f"trial-{number}.pt").unlink(missing_ok=True)
        assert fitted.agent is not None
        return fitted.agent

    def _encoder(self) -> TFTAgent:
        """The TFT of the study; whoever comes while another process fits it waits and loads it."""
        if self._tft is None:
            with locked_file(self.config.folder / "encoder.lock"):
                stages = Stages(self.config.folder, self.say)
                self._tft = Fitting(self.config.seeded(), self.rows(self.config).prepared, stages).tft()
        return self._tft


def _fit_network(
    name: TunedAgent, config: RunConfig, prepared: Prepared, folder: Path, on_epoch: OnEpoch | None
) -> LiveAgent:
    from quantum_trader.agents.bilstm.agent import BiLSTMAgent
    from quantum_trader.agents.tft.agent import TFTAgent
    from quantum_trader.train.network import fit_network
    from quantum_trader.train.network_figures import EpochReport

    shape: Any = tft_preset(config.preset) if name == "tft" else bilstm_preset(config.preset)
    prior, labels = signal_metrics.class_shares(prepared.train.action), prepared.validation.action
    known = float(signal_metrics.log_losses(labels, np.tile(prior, (len(labels), 1))).mean())

    def tell(report: EpochReport) -> None:
        if on_epoch is not None:
            on_epoch(report.epoch, 1.0 - report.validation.cross_entropy / known)

    kind: Any = TFTAgent if name == "tft" else BiLSTMAgent
    agent: LiveAgent = fit_network(
        kind,
        prepared.train,
        prepared.validation,
        model=windowed(shape, config),
        training=config.tft if name == "tft" else config.bilstm,
        folder=folder / name,
        work=folder,
        scaler=prepared.scaler,
        data_sha256=prepared.data_sha256,
        on_epoch=tell,
    )
    return agent


def windowed(shape: Any, config: RunConfig) -> Any:
    """A network's shape with the run's window, where a run has one."""
    bars = getattr(config, "window_bars", None)
    return shape if bars is None else replace(shape, window_bars=bars)


def _signal_entrant(agent: LiveAgent, rows: TrialRows, config: RunConfig) -> Entrant:
    """The agent's most probable direction through its own hold threshold and the trial's gate."""
    threshold = config.arbiter.confidence_threshold
    return Entrant(
        name=agent.name,
        probabilities=answers(agent, rows.score).probabilities,
        gate=Gate(threshold=0.5 if threshold is None else threshold, hold_threshold=agent.hold_threshold),
    )


def score(entrant: Entrant, rows: TrialRows) -> TrialScore:
    """Trade and measure an agent on the rows that score."""
    fold = judged_fold(rows.prepared, rows.score)
    portfolio, _ = trade(entrant, Folds([fold]))
    market = rows.score.markets[0]
    yearly_bars = metrics.bars_per_year(market.bars.step_ms, market.contract.session)
    yearly = metrics.annualised_ratio(metrics.sharpe(metrics.returns(portfolio.equity)), yearly_bars)
    stated, actual = entrant.probabilities, rows.score.action
    return TrialScore(
        bars=bar_figures(portfolio.equity),
        start_ms=int(portfolio.timestamps[0]),
        end_ms=int(portfolio.timestamps[-1]),
        net_return=metrics.total_return(portfolio.equity),
        sharpe=yearly if math.isfinite(yearly) else 0.0,
        log_loss=None if stated is None else signal_metrics.log_loss(actual, stated),
        log_loss_skill=None if stated is None else signal_metrics.log_loss_skill(actual, stated, fold.prior),
        direction_10=None if stated is None else direction_accuracy(actual, stated, share=0.1),
    )
