"""The search: blind to the test, shared by processes, honest about what it tried."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantum_trader.envs.config import read_config
from quantum_trader.envs.errors import ConfigError, TrainingError
from quantum_trader.envs.load import write_bars
from quantum_trader.envs.sample import sample_bars
from quantum_trader.evaluate import tune as search, tune_trial
from quantum_trader.evaluate.ledger import Ledger
from quantum_trader.evaluate.run_config import MarketConfig, RunConfig
from quantum_trader.evaluate.tune import TuneResult, require_optuna, tune
from quantum_trader.evaluate.tune_config import TuneConfig, TuneRanges, with_values
from quantum_trader.evaluate.tune_trial import TrialRunner, load_study, trial_rows
from quantum_trader.train.data_config import LabelConfig, SplitConfig
from quantum_trader.train.network_config import NetworkTrainConfig
from quantum_trader.train.prepared import Prepared, prepare
from quantum_trader.train.rl.config import RLConfig
from quantum_trader.train.tree_config import LogisticConfig, XGBoostConfig

BARS = 1_500
VALIDATION_END = "2017-03-10"
DATES = SplitConfig(train_end="2017-02-15", validation_end=VALIDATION_END)
QUICK = LogisticConfig(max_rows=300, max_iterations=5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three months of the sample in a file."""
    path = tmp_path_factory.mktemp("data") / "EURUSD.parquet"
    write_bars(sample_bars()[:BARS], path)
    return path


def config(data: Path, out: Path, **changes: Any) -> TuneConfig:
    """A search that takes a fraction of a second a trial."""
    options: dict[str, Any] = {
        "out": out,
        "market": MarketConfig(data=str(data)),
        "splits": DATES,
        "agent": "logistic",
        "trials": 2,
        "logistic": QUICK,
    }
    return TuneConfig(**options | changes)


def silent(line: str) -> None:
    """Say nothing."""


def values(found: TuneConfig) -> list[float | None]:
    """What the trials of a study were worth, in their order."""
    optuna = require_optuna()
    journal = optuna.storages.journal
    path = str(found.folder / search.LOG)
    storage = optuna.storages.JournalStorage(
        journal.JournalFileBackend(path, lock_obj=journal.JournalFileOpenLock(path))
    )
    study = optuna.load_study(study_name=found.name, storage=storage)
    return [trial.value for trial in study.trials]


def with_garbage(data: Path, folder: Path, moment: int) -> Path:
    """The same bars, those that open at `moment` or later replaced by noise."""
    bars = sample_bars()[:BARS]
    late = int(np.searchsorted(bars.timestamp, moment))
    assert 0 < late < BARS
    rng = np.random.default_rng(0)
    columns = {each.name: getattr(bars, each.name).copy() for each in fields(bars)[2:]}
    level = 7.0 * np.exp(rng.normal(0.0, 0.3, BARS - late).cumsum())
    for name, factor in (("open", 1.0), ("high", 1.5), ("low", 0.5), ("close", 1.1)):
        columns[name][late:] = level * factor
        columns[f"mark_{name}"][late:] = level * factor
    path = folder / data.name
    write_bars(replace(bars, **columns), path)
    return path


@pytest.mark.parametrize("splits", [DATES, SplitConfig()], ids=["dates", "shares"])
def test_bars_after_validation_change_no_trial(splits: SplitConfig, data: Path, tmp_path: Path) -> None:
    """With noise in the place of the test bars every trial is worth the same, to the last bit."""
    clean = config(data, tmp_path / "a", splits=splits)
    end = load_study(clean.run_config, 0.5).cuts.test_end
    dirty = config(with_garbage(data, tmp_path, end), tmp_path / "b", splits=splits)
    tune(clean, silent)
    tune(dirty, silent)
    assert values(clean) == values(dirty)
    first, second = (Ledger(tmp_path / name).read() for name in "ab")
    assert [(each.sharpe, each.log_loss) for each in first] == [(e.sharpe, e.log_loss) for e in second]
    assert {each.data for each in first} != {each.data for each in second}


def test_nothing_after_validation_is_in_memory(data: Path) -> None:
    """The markets of a study end before the test begins, and no array hangs on the longer ones."""
    bars = load_study(RunConfig(market=MarketConfig(data=str(data)), splits=DATES), 0.5)
    (market,) = bars.markets
    end = pd.Timestamp(VALIDATION_END, tz="UTC").value // 1_000_000
    assert bars.cuts.test_end == end
    assert market.bars.timestamp[-1] < end
    for each in fields(market.bars)[2:]:
        array = getattr(market.bars, each.name)
        while array.base is not None:
            array = array.base
        assert len(array) == len(market), each.name


def test_the_test_slice_of_the_datasets_is_never_read(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search runs to its end with datasets whose `test` may not be touched."""

    class Spied(Prepared):
        def __getattribute__(self, name: str) -> Any:
            if name == "test":
                raise AssertionError("the search looked at the test slice")
            return super().__getattribute__(name)

    def spied(*arguments: Any, **names: Any) -> Prepared:
        return Spied(**vars(prepare(*arguments, **names)))

    monkeypatch.setattr(tune_trial, "prepare", spied)
    with pytest.raises(AssertionError):
        _ = trial_rows(load_study(config(data, tmp_path).run_config, 0.5), RunConfig()).prepared.test
    assert tune(config(data, tmp_path), silent).trials == 2


def test_the_scoring_rows_follow_the_stopping_rows_purged(data: Path, tmp_path: Path) -> None:
    """Stopping rows look no further than the first scoring row, and the shares are those asked for."""
    run = config(data, tmp_path).run_config
    rows = trial_rows(load_study(run, 0.25), run)
    watched, score = rows.prepared.validation, rows.score
    assert rows.prepared.train.timestamps[-1] < watched.timestamps[0]
    step = rows.prepared.markets[0].bars.step_ms
    reach = rows.prepared.labels.reach_bars
    assert score.timestamps[0] - watched.timestamps[-1] > reach * step
    assert score.timestamps[-1] + reach * step < pd.Timestamp(VALIDATION_END, tz="UTC").value // 1_000_000
    assert len(score) / (len(score) + len(watched)) == pytest.approx(0.25, abs=0.1)


def test_an_interrupted_search_goes_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in a trial loses that trial only; the same search goes on to the number asked for."""
    kept = TrialRunner.run

    def interrupted(self: TrialRunner, run: RunConfig, number: int, on_epoch: Any = None) -> Any:
        if number == 1:
            raise KeyboardInterrupt
        return kept(self, run, number, on_epoch)

    monkeypatch.setattr(TrialRunner, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tune(config(data, tmp_path), silent)
    assert len(Ledger(tmp_path).read()) == 1
    found = tune(config(data, tmp_path), silent)
    assert found.trials == 2
    first, lost, second = values(config(data, tmp_path))
    assert None not in (first, second)
    assert lost is None
    assert first != second
    assert tune(config(data, tmp_path), silent).trials == 2, "finished: nothing is added"
    assert not list(tmp_path.glob("tune/trial-*"))


def test_processes_share_a_study(data: Path, tmp_path: Path) -> None:
    """The same command started twice: together they make the trials asked for, each drawn and kept once."""
    words = [
        *("tune", "--agent", "logistic", "--trials", "4", "--data", str(data), "--out", str(tmp_path)),
        *("--train-end", "2017-02-15", "--validation-end", VALIDATION_END),
        *("--logistic.max-rows", "300", "--logistic.max-iterations", "5"),
    ]
    program = "from quantum_trader.serve.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
    started = [
        subprocess.Popen([sys.executable, "-c", program, *words], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=1_000)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert all("best of" in each for each in said)
    found = values(config(data, tmp_path, trials=4))
    # Whoever looks for the last place while the other is in it makes one more.
    assert len(found) in (4, 5)
    assert None not in found
    lines = Ledger(tmp_path).read()
    assert len({line.trial for line in lines}) == len(lines) == len(found)
    assert {line.split for line in lines} == {"validation"}
    numbers = [line.split()[1] for each in said for line in each.splitlines() if line.startswith("trial ")]
    assert sorted(numbers) == [f"{number}:" for number in range(len(found))]


def test_the_seed_decides_the_search(data: Path, tmp_path: Path) -> None:
    """The same seed draws and finds the same, another seed something else."""
    found = [
        tune(config(data, tmp_path, name=f"s{n}", seed=seed), silent) for n, seed in enumerate((3, 3, 4))
    ]
    assert found[0].options == found[1].options
    assert found[0].value == found[1].value
    assert found[0].options != found[2].options


def test_another_search_of_the_same_name_is_refused(data: Path, tmp_path: Path) -> None:
    """Trials of other options or data do not join a study; more trials of the same do."""
    tune(config(data, tmp_path, trials=1), silent)
    for other in ({"criterion": "log_loss"}, {"splits": SplitConfig()}, {"score_share": 0.4}):
        with pytest.raises(ConfigError, match="other options or data"):
            tune(config(data, tmp_path, **other), silent)
    assert tune(config(data, tmp_path, trials=2), silent).trials == 2


def test_the_best_run_is_what_was_tried(data: Path, tmp_path: Path) -> None:
    """best.json is a run with the best options and all other options as they were; so is the printed line."""
    asked = config(data, tmp_path, trials=3, criterion="net_return", bootstrap_draws=77)
    found = tune(asked, silent)
    best = read_config(RunConfig, found.best)
    assert found.value == max(value for value in values(asked) if value is not None)
    assert best == replace(with_values(asked.run_config, found.options), name="tune-best")
    assert best.bootstrap_draws == 77
    assert best.agents == ("logistic",)
    assert best.labels.barrier_atr == found.options["labels.barrier_atr"]
    line = found.command(asked.dimensions)
    assert f"--labels.barrier-atr {best.labels.barrier_atr}" in line
    assert f"--logistic.penalty {best.logistic.penalty}" in line


def test_a_failed_fit_is_a_trial_too(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written down without a Sharpe ratio, the search goes on; if every one fails, it says why."""
    kept = TrialRunner.run

    def fails(self: TrialRunner, run: RunConfig, number: int, on_epoch: Any = None) -> Any:
        if number == 0 or "all" in run.name:
            raise TrainingError("The loss is not finite.")
        return kept(self, run, number, on_epoch)

    monkeypatch.setattr(TrialRunner, "run", fails)
    found = tune(config(data, tmp_path), silent)
    assert (found.number, found.trials) == (1, 2)
    failed, good = Ledger(tmp_path).read()
    assert math.isnan(failed.sharpe)
    assert failed.bars == 0
    assert good.bars > 0
    with pytest.raises(TrainingError, match="The loss is not finite"):
        tune(config(data, tmp_path, name="all"), silent)


@pytest.mark.parametrize(
    ("agent", "criterion", "wanted"),
    [
        (
            "xgboost",
            "sharpe",
            {"arbiter.confidence_threshold", "xgboost.learning_rate", "labels.barrier_atr"},
        ),
        ("xgboost", "log_loss", {"xgboost.learning_rate", "labels.barrier_atr"}),
        ("logistic", "sharpe", {"logistic.penalty", "labels.barrier_atr"}),
        ("tft", "direction_10", {"tft.learning_rate", "labels.barrier_atr"}),
        ("bilstm", "net_return", {"bilstm.learning_rate", "labels.barrier_atr"}),
        (
            "ppo",
            "sharpe",
            {"rl.learning_rate", "rl.risk_aversion", "rl.holding_penalty", "rl.turnover_penalty"},
        ),
    ],
)
def test_only_what_matters_is_varied(agent: Any, criterion: Any, wanted: set[str]) -> None:
    """Each agent has its own dimensions; a gate only where trades are counted and the Arbiter has one."""
    asked = TuneConfig(agent=agent, criterion=criterion)
    assert {each.option for each in asked.dimensions} - {"window_bars"} == wanted
    tried = with_values(asked.run_config, {each.option: each.high for each in asked.dimensions})
    assert tried != asked.run_config


def test_ranges_fix_and_leave_out() -> None:
    """Equal ends fix a value, None leaves the option alone; bounds that make no sense are refused."""
    fixed = TuneConfig(agent="logistic", ranges=TuneRanges(barrier=(1.5, 1.5), penalty=None))
    assert [(each.option, each.low, each.high) for each in fixed.dimensions] == [
        ("labels.barrier_atr", 1.5, 1.5)
    ]
    for bad in ({"barrier": (2.0, 1.0)}, {"penalty": (0.0, 1.0)}, {"window": (0, 60)}, {"window": (5, 61)}):
        with pytest.raises(ConfigError, match=next(iter(bad))):
            TuneRanges(**bad)
    with pytest.raises(ConfigError, match="nothing is left"):
        TuneConfig(agent="logistic", ranges=TuneRanges(barrier=None, penalty=None))
    with pytest.raises(ConfigError, match="ppo"):
        TuneConfig(agent="ppo", criterion="log_loss")
    with pytest.raises(ConfigError, match="score_share"):
        TuneConfig(score_share=1.0)
    with pytest.raises(ConfigError, match="trials"):
        TuneConfig(trials=0)


TINY_NETWORK = NetworkTrainConfig(epochs=1, max_samples=256, precision="fp32")
TINY_POLICY = RLConfig(total_steps=512, num_envs=8, evaluations=1, rollout_steps=32, batch_size=128)


@pytest.mark.parametrize("agent", ["xgboost", "tft", "bilstm", "ppo"])
def test_every_agent_is_fitted_and_scored(agent: Any, data: Path, tmp_path: Path) -> None:
    """One tiny trial each: figures are finite where they are defined, and nothing of the fit is left over."""
    asked = config(
        data,
        tmp_path,
        agent=agent,
        preset="tiny",
        trials=1,
        tft=TINY_NETWORK,
        bilstm=TINY_NETWORK,
        rl=TINY_POLICY,
        xgboost=XGBoostConfig(rounds=5, n_jobs=1),
        criterion="net_return",
    )
    found: TuneResult = tune(asked, silent)
    assert math.isfinite(found.value)
    (line,) = Ledger(tmp_path).read()
    assert line.agent == agent
    assert (line.log_loss is None) == (agent == "ppo")
    assert not list(asked.folder.glob("trial-*"))
    assert read_config(RunConfig, found.best).agents == (("tft", "ppo") if agent == "ppo" else (agent,))


def test_hopeless_networks_are_given_up(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --prune a trial below the median of the others ends early and is written down as failed."""
    kept = TrialRunner.run

    def told(self: TrialRunner, run: RunConfig, number: int, on_epoch: Any = None) -> Any:
        for epoch in range(1, 5):
            on_epoch(epoch, 0.1 if number < 6 else -0.5)
        return replace(score, net_return=0.01 * number)

    run = config(data, tmp_path).run_config
    score = kept(TrialRunner("logistic", run, load_study(run, 0.5), silent), run, 0)
    monkeypatch.setattr(TrialRunner, "run", told)
    found = tune(config(data, tmp_path, agent="tft", prune=True, trials=7, criterion="net_return"), silent)
    assert (found.number, found.trials) == (5, 7)
    assert [line.bars == 0 for line in Ledger(tmp_path).read()] == [False] * 6 + [True]


def test_log_loss_is_scored_as_skill(data: Path, tmp_path: Path) -> None:
    """The value of a trial is 1 - log-loss / log-loss of the training shares, whose scale no label sets."""
    asked = config(data, tmp_path, criterion="log_loss", trials=1)
    found = tune(asked, silent)
    run = with_values(asked.run_config, found.options)
    rows = trial_rows(load_study(run, 0.5), run)
    prior = np.bincount(rows.prepared.train.action, minlength=3) / len(rows.prepared.train)
    (line,) = Ledger(tmp_path).read()
    assert line.log_loss is not None
    assert found.value == pytest.approx(1 + line.log_loss / np.log(prior[rows.score.action]).mean())


def test_without_optuna_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package is one sentence with the command that installs it."""
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r'pip install "quantum-trader\[tune\]"'):
        require_optuna()


def test_labels_of_a_trial_are_its_own(data: Path) -> None:
    """A wider barrier makes HOLD commoner in the rows of the trial, and rows are kept while labels are."""
    run = RunConfig(market=MarketConfig(data=str(data)), splits=DATES)
    runner = TrialRunner("logistic", run, load_study(run, 0.5), silent)
    narrow, wide = (replace(run, labels=LabelConfig(barrier_atr=width)) for width in (0.8, 2.5))
    first = runner.rows(narrow)
    assert runner.rows(narrow) is first
    assert (runner.rows(wide).score.action == 0).mean() > (first.score.action == 0).mean()


def test_importances_wait_for_enough_trials(data: Path, tmp_path: Path) -> None:
    """Shares that add up to 1 from ten finished trials on, and none before."""
    ranges = TuneRanges(barrier=(1.0, 2.0))
    few = tune(config(data, tmp_path, trials=9, ranges=ranges), silent)
    assert few.importances == {}
    enough = tune(config(data, tmp_path, trials=10, ranges=ranges), silent)
    assert set(enough.importances) == {"logistic.penalty", "labels.barrier_atr"}
    assert sum(enough.importances.values()) == pytest.approx(1.0)


def test_the_journal_is_plain_lines(data: Path, tmp_path: Path) -> None:
    """study.log holds one JSON object a line: it can be looked at, copied and appended to."""
    asked = config(data, tmp_path, trials=1)
    tune(asked, silent)
    lines = (asked.folder / search.LOG).read_text().splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)
