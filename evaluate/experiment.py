"""A run from bars to report: `run_experiment`, its first half `train_agents`, its second `evaluate_run`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from quantum_trader.envs.bars import epoch_ms
from quantum_trader.envs.config import read_config, to_plain
from quantum_trader.envs.errors import ConfigError, DataError
from quantum_trader.envs.files import write_json
from quantum_trader.evaluate.bench import BenchConfig
from quantum_trader.evaluate.bootstrap import BootstrapConfig
from quantum_trader.evaluate.checks.run_checks import run_checks
from quantum_trader.evaluate.explain import ExplainConfig, explain_rows
from quantum_trader.evaluate.explanation import write_explanations
from quantum_trader.evaluate.folds import judged_fold
from quantum_trader.evaluate.judge import judge_folds
from quantum_trader.evaluate.ledger import Ledger, sharpe_ratios
from quantum_trader.evaluate.records import write_metrics
from quantum_trader.evaluate.report.assemble import assemble, split_summary
from quantum_trader.evaluate.report.data import DetailGroup
from quantum_trader.evaluate.report.format import listing
from quantum_trader.evaluate.report.render import write_report
from quantum_trader.evaluate.report.summary import findings
from quantum_trader.evaluate.run_config import MarketConfig, RunConfig
from quantum_trader.evaluate.run_data import load_markets
from quantum_trader.evaluate.run_details import details, notes
from quantum_trader.evaluate.run_judge import entrants
from quantum_trader.evaluate.run_stages import Say, Stages
from quantum_trader.evaluate.run_train import FittedAgents, fit_agents, load_agents
from quantum_trader.evaluate.run_trials import run_key, run_trials
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.labels import triple_barrier
from quantum_trader.train.prepared import Prepared, prepare


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """Where a run's results are, and what was found in words."""

    report: Path
    metrics: Path
    summary: str


def run_experiment(config: RunConfig, say: Say) -> RunResult:
    """Train, judge and report one run; what an earlier start finished is kept."""
    prepared = prepare_run(config, say)
    write_json(config.folder / "config.json", to_plain(config))
    stages = Stages(config.folder, say)
    agents = fit_agents(config.seeded(), prepared, stages)
    return _judge_and_report(
        config,
        prepared,
        agents,
        prepared.test,
        config.folder,
        say,
        extra=details(config, prepared, stages),
    )


def train_agents(config: RunConfig, say: Say) -> FittedAgents:
    """Load the data and fit the agents that `config.agents` names into `config.folder`.

    A run that exists already keeps its other agents and its own list of them. Its Arbiter, which was fitted
    for the old ones, is left as it is and says so when it is loaded: `run_experiment` fits it anew.
    """
    prepared = prepare_run(config, say)
    path = config.folder / "config.json"
    if not path.exists():
        write_json(path, to_plain(config))
    return fit_agents(config.seeded(), prepared, Stages(config.folder, say), with_arbiter=False)


def evaluate_run(
    folder: Path,
    say: Say,
    *,
    market: MarketConfig | None = None,
    start: str | None = None,
    end: str | None = None,
    confidence_threshold: float | None = None,
    output: Path | None = None,
) -> RunResult:
    """Judge a run's agents again, on its own test slice or on other data.

    Args:
        folder: the run.
        say: told what happens.
        market: other data; every usable row of it between `start` and `end` is a test row. What it leaves
            open of contract and costs is as in the run. None takes the run's own data and test slice.
        start, end: UTC dates.
        confidence_threshold: gate of the Arbiter instead of the fitted one.
        output: where report and metrics go; a folder below the run where None.

    Raises:
        ConfigError: `folder` is not a run.
        DataError: no test row is left.
    """
    config = read_run(folder)
    prepared = prepare_run(config, say)
    agents = load_agents(folder, config.agents, confidence_threshold, policy_seeds=config.policy_seeds)
    test = prepared.test if market is None else _other_rows(market.with_costs_of(config.market), prepared)
    test = _between(test, start, end)
    target = (
        output
        if output is not None
        else folder / "evaluations" / _evaluation_name(market, start, end, confidence_threshold)
    )
    return _judge_and_report(config, prepared, agents, test, target, say, extra=())


def read_run(folder: Path) -> RunConfig:
    """The options a run was started with.

    Raises:
        ConfigError: `folder` is not a run.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ConfigError(f"{folder} is not a run: it holds no config.json; give a folder that `run` wrote.")
    return read_config(RunConfig, path)


def prepare_run(config: RunConfig, say: Say) -> Prepared:
    """Load, label and split the data of a run, and say what was found."""
    markets = load_markets(config.market)
    total = sum(len(market) for market in markets)
    say(f"data: {len(markets)} symbol(s), {total:,} bars")
    prepared = prepare(markets, data_config(config))
    say(
        f"rows: {len(prepared.train):,} training, {len(prepared.validation):,} validation, "
        f"{len(prepared.test):,} test; barrier {prepared.labels.barrier_atr:g} ATR"
    )
    return prepared


def data_config(config: RunConfig) -> DataConfig:
    """How the markets of a run become datasets."""
    return DataConfig(labels=config.labels, splits=config.splits, weights=config.weights)


def _judge_and_report(
    config: RunConfig,
    prepared: Prepared,
    agents: FittedAgents,
    test: PooledDataset,
    folder: Path,
    say: Say,
    *,
    extra: tuple[DetailGroup, ...],
) -> RunResult:
    ledger = Ledger(config.out)
    say("judging: every agent through the environment, with intervals and coin flips")
    fold = judged_fold(prepared, test)
    judged = entrants(agents, test, fold.prior, prepared.scaler)
    own = {run_key(config, prepared, entrant.name) for entrant in judged}
    before = [trial for trial in ledger.trials(prepared.data_sha256) if trial.key not in own]
    verdict = judge_folds(
        judged,
        [fold],
        BenchConfig(
            bootstrap=BootstrapConfig(draws=config.bootstrap_draws),
            coin_flips=config.coin_flips,
            tried=sharpe_ratios(before),
            seed=config.seed,
        ),
    )
    # Only a run's own test slice was trained for; other data count as looked at again, not as tried.
    logged = run_trials(config, prepared, verdict) if test is prepared.test else ()
    for trial in logged:
        ledger.append(trial)
    networks = [agent for agent in (agents.tft, agents.bilstm) if agent is not None]
    if networks:
        say(f"explaining: what {listing([agent.name for agent in networks])} would miss")
    explaining = ExplainConfig(seed=config.seed, block_bars=verdict.judgement.bootstrap.block_bars)
    explanations = [explain_rows(agent, test, explaining) for agent in networks]
    trials = ledger.trials(prepared.data_sha256)
    checks = (
        run_checks(
            prepared,
            prepared.markets,
            trials=trials,
            keys=[trial.key for trial in logged],
            seed=config.seed,
            config=data_config(config),
        )
        if config.checks
        else ()
    )
    data = assemble(
        verdict,
        verdict.rows,
        title=f"quantum-trader: {config.name}",
        subtitle=f"data: {config.market.data}",
        splits=[
            split_summary("train", prepared.train),
            split_summary("validation", prepared.validation),
            split_summary("test", test),
        ],
        data_notes=notes(prepared, agents.arbiter),
        explanations=explanations,
        details=extra,
        checks=checks,
        trials=trials,
    )
    write_metrics(folder / "metrics.json", verdict.judgement)
    write_explanations(folder / "explanations.json", explanations)
    write_report(folder / "report.html", data)
    return RunResult(
        report=folder / "report.html",
        metrics=folder / "metrics.json",
        summary="\n".join(f"- {sentence}" for sentence in findings(verdict.judgement, checks)),
    )


def _other_rows(market: MarketConfig, prepared: Prepared) -> PooledDataset:
    """Every usable, labelled row of other data, seen through the run's scaler and labels."""
    markets = [item.with_scaler(prepared.scaler) for item in load_markets(market)]
    return PooledDataset(markets, [triple_barrier(item, prepared.labels) for item in markets])


def _between(test: PooledDataset, start: str | None, end: str | None) -> PooledDataset:
    import pandas as pd

    try:
        first = epoch_ms(pd.Timestamp(start)) if start else test.timestamps[0]
        last = epoch_ms(pd.Timestamp(end)) if end else test.timestamps[-1] + 1
    except ValueError as error:
        raise ConfigError(f"start and end: expected UTC dates such as 2025-01-01 ({error}).") from error
    wanted = (test.timestamps >= first) & (test.timestamps < last)
    if not wanted.any():
        raise DataError("No test row lies between start and end: widen the range or give longer data.")
    return test.subset(wanted)


def _evaluation_name(
    market: MarketConfig | None, start: str | None, end: str | None, threshold: float | None
) -> str:
    gate = "" if threshold is None else f"gate-{threshold:g}"
    parts = [Path(market.data).name if market else "test", start or "", end or "", gate]
    return "_".join(part.replace(":", "-").replace(" ", "-") for part in parts if part)
