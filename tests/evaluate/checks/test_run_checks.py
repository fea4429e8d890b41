"""`run_checks` passes an honest run and tells what is wrong with others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quantum_trader.envs.market import Market
from quantum_trader.evaluate.checks.run_checks import run_checks
from quantum_trader.evaluate.records import CheckResult, Trial
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.prepared import Prepared, prepare


@pytest.fixture(scope="module")
def with_delisted(markets: list[Market]) -> list[Market]:
    """Two symbols, of which the second ends within the test."""
    first, second = markets
    return [first, Market.build(second.bars[:1_800], second.contract)]


@pytest.fixture(scope="module")
def run(with_delisted: list[Market]) -> Prepared:
    """Both, prepared as a run does."""
    return prepare(with_delisted, DataConfig())


def verdicts(results: tuple[CheckResult, ...]) -> dict[str, bool | None]:
    """Name -> passed."""
    found = {result.name: result.passed for result in results}
    assert len(found) == len(results), "two checks share a name"
    return found


def test_an_honest_run_passes_every_check(run: Prepared, with_delisted: list[Market], a_trial: Trial) -> None:
    """Every check can be asked of a run with a symbol that ends, and passes."""
    results = run_checks(run, with_delisted, trials=[a_trial], keys=[a_trial.key])
    found = verdicts(results)
    assert set(found.values()) == {True}, [result for result in results if not result.passed]
    assert {"features_causal", "same_bar_fill_backtest", "survivorship", "ledger_complete"} <= set(found)
    assert all(result.question.endswith("?") and result.detail.endswith(".") for result in results)


def test_a_faulty_run_is_told(run: Prepared, with_delisted: list[Market], a_trial: Trial) -> None:
    """Survivors alone, a result that was not logged, and rows judged in training fail, nothing else does."""
    survivors = run.test.subset(run.test.market == 0)
    faulty = replace(run, test=survivors, validation=run.train)
    results = run_checks(faulty, with_delisted, trials=[a_trial], keys=[a_trial.key, "unlogged"])
    failed = {name for name, passed in verdicts(results).items() if passed is False}
    assert failed == {"survivorship", "ledger_complete", "labels_purged"}
