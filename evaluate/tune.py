"""A search for better options of one agent: trials on validation rows, shared by any number of processes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from quantum_trader.envs.config import to_plain
from quantum_trader.envs.errors import ConfigError, QuantumTraderError, TrainingError
from quantum_trader.envs.files import json_sha256, write_json
from quantum_trader.evaluate.ledger import BarFigures, Ledger, new_trial, trial_hash
from quantum_trader.evaluate.run_config import RunConfig
from quantum_trader.evaluate.run_stages import Say
from quantum_trader.evaluate.tune_config import NETWORKS, Dimension, TuneConfig, with_values
from quantum_trader.evaluate.tune_trial import OnEpoch, StudyBars, TrialRunner, TrialScore, load_study

LOG = "study.log"
BEST = "best.json"

_IDENTITY = "identity"
_WARM_UP_EPOCHS = 2
_ENOUGH_FOR_IMPORTANCES = 10


@dataclass(frozen=True, kw_only=True)
class TuneResult:
    """What a search found."""

    number: int
    """Number of the best trial."""
    value: float
    """Its criterion."""
    options: dict[str, float | int]
    """What it drew, by option."""
    trials: int
    """Finished trials of the study, failed and pruned ones included."""
    importances: dict[str, float]
    """Share of the spread among trials that each option explains; empty where too few were finished."""
    best: Path
    """The run with these options, for `run --config`."""

    def command(self, dimensions: tuple[Dimension, ...]) -> str:
        """The options as they are given to `quantum-trader run`."""
        return " ".join(each.option_text(self.options[each.option]) for each in dimensions)


def tune(config: TuneConfig, say: Say) -> TuneResult:
    """Run trials until the study has as many as it should, and write what was best.

    A trial is fitted on training rows; early stopping and calibration look at the first part of validation,
    and the rest of validation, purged from it, scores it. Nothing behind validation is in memory. Every trial
    goes to OUT/ledger.jsonl. The best of many is better than it is, so judge it on test rows, by `run`.

    The same config goes on with the study of an earlier start, and may be started several times at once.

    Raises:
        ConfigError: Optuna is missing, or OUT/NAME holds a study of other options or data.
        TrainingError: no trial could be fitted, with the reason of the last one.
    """
    optuna = require_optuna()
    run = config.run_config
    bars = load_study(run, config.score_share)
    with _quiet(optuna):
        study = _open_study(optuna, config, bars)
        searching = _Search(optuna, study, config, bars, say)
        while len(_finished(study)) < config.trials:
            searching.one_trial()
        return searching.result()


class _Search:
    """A study in progress."""

    def __init__(self, optuna: Any, study: Any, config: TuneConfig, bars: StudyBars, say: Say) -> None:
        self.optuna = optuna
        self.study = study
        self.config = config
        self.bars = bars
        self.say = say
        self.base = config.run_config
        self.runner = TrialRunner(config.agent, self.base, bars, say)
        self.ledger = Ledger(config.out)
        self.last_failure = ""

    def one_trial(self) -> None:
        """Draw options, fit, score, write it down; a fit that fails is a failed trial."""
        trial = self.study.ask()
        # Each trial draws from a seed of its own: processes that share the seed do not share their draws.
        seed = int(np.random.SeedSequence([self.config.seed, trial.number]).generate_state(1)[0])
        self.study.sampler = self.optuna.samplers.TPESampler(seed=seed, multivariate=False)
        states = self.optuna.trial.TrialState
        run = self.base
        try:
            drawn = {each.option: _draw(trial, each) for each in self.config.dimensions}
            run = with_values(self.base, drawn)
            found = self.runner.run(run, trial.number, self._pruning(trial))
            value = found.value(self.config.criterion)
            if not math.isfinite(value):
                raise TrainingError(f"{self.config.criterion} is not defined on these rows: {value}.")
        except self.optuna.TrialPruned:
            self._write_down(run, None, "pruned")
            self.study.tell(trial, state=states.PRUNED)
            self.say(f"trial {trial.number}: given up")
        except QuantumTraderError as error:
            self.last_failure = str(error)
            self._write_down(run, None, "failed")
            self.study.tell(trial, state=states.FAIL)
            self.say(f"trial {trial.number}: failed, because {error}")
        else:
            self._write_down(run, found, "complete")
            self.study.tell(trial, value)
            self.say(self._line(trial.number, value, found))

    def _pruning(self, trial: Any) -> OnEpoch | None:
        if not (self.config.prune and self.config.agent in NETWORKS):
            return None

        def on_epoch(epoch: int, skill: float) -> None:
            trial.report(skill, epoch)
            if trial.should_prune():
                raise self.optuna.TrialPruned

        return on_epoch

    def _write_down(self, run: RunConfig, found: TrialScore | None, outcome: str) -> None:
        cuts, agent, data = self.bars.cuts, self.config.agent, self.bars.data
        trial = trial_hash(to_plain(run))
        decided = {"trial": trial, "agent": agent, "seed": run.seed, "data": data, "cuts": to_plain(cuts)}
        self.ledger.append(
            new_trial(
                found.bars if found else BarFigures(bars=0, mean_log_return=math.nan, sharpe=math.nan),
                trial=trial,
                key=json_sha256(decided | {"outcome": outcome}),
                agent=agent,
                seed=run.seed,
                data=data,
                split="validation",
                start_ms=found.start_ms if found else cuts.validation_end,
                end_ms=found.end_ms if found else cuts.test_end,
                log_loss=found.log_loss if found else None,
            )
        )

    def _line(self, number: int, value: float, found: TrialScore) -> str:
        skill = "" if found.log_loss_skill is None else f", log-loss skill {found.log_loss_skill:+.4f}"
        return (
            f"trial {number}: {self.config.criterion} {value:+.4f} "
            f"(net return {found.net_return:+.2%}, Sharpe {found.sharpe:+.2f}{skill})"
        )

    def result(self) -> TuneResult:
        """The best trial, written to OUT/NAME/best.json."""
        finished = _finished(self.study)
        complete = [trial for trial in finished if trial.value is not None]
        if not complete:
            reason = f"; the last one said: {self.last_failure}" if self.last_failure else "."
            raise TrainingError(f"None of the {len(finished)} trials of {self.config.folder} worked{reason}")
        best = max(complete, key=lambda trial: (trial.value, -trial.number))
        options = {each.option: best.params[each.option] for each in self.config.dimensions}
        run = replace(with_values(self.base, options), name=f"{self.config.name}-best")
        path = self.config.folder / BEST
        write_json(path, to_plain(run))
        return TuneResult(
            number=best.number,
            value=best.value,
            options=options,
            trials=len(finished),
            importances=_importances(self.optuna, self.study),
            best=path,
        )


def require_optuna() -> Any:
    """Optuna, which only a search needs.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import optuna
        import optuna.storages.journal
    except ImportError as error:
        raise ConfigError(
            'A search needs Optuna, which is not installed: pip install "quantum-trader[tune]".'
        ) from error
    return optuna


def _open_study(optuna: Any, config: TuneConfig, bars: StudyBars) -> Any:
    """The study of OUT/NAME, made if there is none; one of other options is refused."""
    config.folder.mkdir(parents=True, exist_ok=True)
    journal = optuna.storages.journal
    path = str(config.folder / LOG)
    # Unlike the default lock, which is a symbolic link, this one works on every file system.
    storage = optuna.storages.JournalStorage(
        journal.JournalFileBackend(path, lock_obj=journal.JournalFileOpenLock(path))
    )
    study = optuna.create_study(
        study_name=config.name,
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_warmup_steps=_WARM_UP_EPOCHS),
    )
    mine = json_sha256(config.identity | {"data": bars.data})
    known = study.user_attrs.get(_IDENTITY)
    if known is None:
        study.set_user_attr(_IDENTITY, mine)
    elif known != mine:
        raise ConfigError(
            f"{config.folder} holds a study of other options or data, which these trials do not fit; "
            "give another --name, or the options it was started with."
        )
    return study


def _draw(trial: Any, dimension: Dimension) -> float | int:
    option, low, high = dimension.option, dimension.low, dimension.high
    if dimension.whole:
        return int(trial.suggest_int(option, round(low), round(high)))
    return float(trial.suggest_float(option, low, high, log=dimension.log))


def _finished(study: Any) -> list[Any]:
    """Trials that are over; one whose process was stopped never is, and is not counted."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def _importances(optuna: Any, study: Any) -> dict[str, float]:
    """By PED-ANOVA (Watanabe et al. 2023), which takes milliseconds; empty where trials do not suffice."""
    complete = [trial for trial in _finished(study) if trial.value is not None]
    if len(complete) < _ENOUGH_FOR_IMPORTANCES:
        return {}
    try:
        found = optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
        )
    except (ValueError, RuntimeError):  # trials that do not differ
        return {}
    return {name: float(share) for name, share in found.items() if math.isfinite(share)}


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Optuna's own lines would double those of the search."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            for kind in (optuna.exceptions.ExperimentalWarning, UserWarning):
                warnings.filterwarnings("ignore", category=kind, module="optuna")
            yield
    finally:
        optuna.logging.set_verbosity(level)
