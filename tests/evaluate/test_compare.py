"""Agents against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import preset
from quantum_trader.envs.synthetic import random_walk_bars
from quantum_trader.evaluate.bench import Bench, BenchConfig, trade
from quantum_trader.evaluate.bootstrap import BootstrapConfig
from quantum_trader.evaluate.compare import compare
from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.folds import Folds, judged_fold
from quantum_trader.evaluate.records import Comparison, PairedTest
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.prepared import prepare


@pytest.fixture(scope="module")
def bench() -> Bench:
    market = Market.build(random_walk_bars(1_200, 3), preset("binance-btc"))
    config = BenchConfig(bootstrap=BootstrapConfig(draws=100))
    return Bench(Folds([judged_fold(prepare([market], DataConfig()))]), config)


def stating(bench: Bench, name: str, seed: int) -> Entrant:
    stated = np.random.default_rng(seed).dirichlet((6.0, 5.0, 5.0), len(bench.folds)).astype(np.float32)
    return Entrant(name=name, probabilities=stated)


def idle(bench: Bench) -> Entrant:
    return Entrant(name="idle", role="baseline", actions=np.zeros(len(bench.folds), np.int8))


def compared(bench: Bench, entrants: Sequence[Entrant]) -> Comparison:
    found = compare(
        entrants,
        [trade(entrant, bench.folds)[0] for entrant in entrants],
        bench.folds.rows,
        "idle",
        yearly_bars=bench.yearly_bars,
        label_bars=bench.label_bars,
        config=bench.bootstrap,
    )
    assert found is not None
    return found


def test_learners_meet_each_other_and_every_baseline(bench: Bench) -> None:
    """Each pair once, learners first; two baselines, or two seeds of one agent, are not compared."""
    a, b = stating(bench, "a", 1), stating(bench, "b", 2)
    other = replace(idle(bench), name="other")
    found = compared(bench, [a, b, replace(a, name="a-seed1"), idle(bench), other])
    assert [(pair.left, pair.right) for pair in found.pairs] == [
        ("a", "b"),
        ("a", "idle"),
        ("a", "other"),
        ("b", "idle"),
        ("b", "other"),
    ]


def test_a_pair_turned_round_changes_its_sign_only(bench: Bench) -> None:
    """What a is better than b, b is worse than a; the p-value is the same."""
    a, b = stating(bench, "a", 1), stating(bench, "b", 2)
    ahead, back = (compared(bench, [*pair, idle(bench)]).pairs[0] for pair in ((a, b), (b, a)))
    assert (ahead.left, back.left) == ("a", "b")
    assert ahead.log_loss_p == pytest.approx(back.log_loss_p)
    for name in ("log_loss_difference", "return_difference"):
        one, other = getattr(ahead, name), getattr(back, name)
        assert one.estimate == pytest.approx(-other.estimate)
        assert one.estimate != 0.0


def test_identical_agents_do_not_differ(bench: Bench) -> None:
    """Differences and their intervals are nothing; no p-value says that they differ."""
    a = stating(bench, "a", 1)
    pair: PairedTest = compared(bench, [a, replace(a, name="b"), idle(bench)]).pairs[0]
    assert pair.log_loss_difference is not None
    assert pair.log_loss_p is not None
    for found in (pair.log_loss_difference, pair.return_difference):
        assert (found.estimate, found.low, found.high) == (0.0, 0.0, 0.0)
    assert np.isnan(pair.log_loss_p) or pair.log_loss_p == 1.0


def test_without_probabilities_only_returns_are_compared(bench: Bench) -> None:
    """Against an agent that states none, there is no log-loss to compare."""
    pair = compared(bench, [stating(bench, "a", 1), idle(bench)]).pairs[0]
    assert pair.log_loss_difference is None
    assert pair.log_loss_p is None
    assert np.isfinite(pair.return_difference.estimate)


def test_overfitting_needs_two_learners(bench: Bench) -> None:
    """One learner has nothing to be chosen from; the field's p-value is there all the same."""
    found = compared(bench, [stating(bench, "a", 1), idle(bench)])
    assert np.isnan(found.overfitting)
    assert 0.0 <= found.spa_p <= 1.0
    both = compared(bench, [stating(bench, "a", 1), stating(bench, "b", 2), idle(bench)])
    assert 0.0 <= both.overfitting <= 1.0


def test_baselines_alone_have_nothing_to_say(bench: Bench) -> None:
    """No learner: no pair and no p-value; a single agent: no comparison at all."""
    found = compared(bench, [idle(bench), replace(idle(bench), name="other")])
    assert found.pairs == ()
    assert np.isnan(found.spa_p)
    portfolio, _ = trade(idle(bench), bench.folds)
    rest = {"yearly_bars": bench.yearly_bars, "label_bars": bench.label_bars, "config": bench.bootstrap}
    assert compare([idle(bench)], [portfolio], bench.folds.rows, "idle", **rest) is None  # type: ignore[arg-type]


def test_p_values_of_pairs_are_adjusted_for_their_number(bench: Bench) -> None:
    """Holm: the smallest of three is tripled, none is below its own, and untested pairs do not count."""
    field = [stating(bench, name, seed) for seed, name in enumerate("abc", start=1)]
    pairs = compared(bench, [*field, idle(bench)]).pairs
    tested = [pair for pair in pairs if pair.log_loss_p is not None]
    assert len(tested) == 3
    adjusted = {pair.log_loss_p: pair.log_loss_p_adjusted for pair in tested}
    smallest = min(adjusted)
    assert adjusted[smallest] == pytest.approx(min(3 * smallest, 1.0))
    assert all(together is not None and together >= alone for alone, together in adjusted.items())
    assert all(pair.log_loss_p_adjusted is None for pair in pairs if pair.log_loss_p is None)
