"""Drift of the inputs against the training features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from quantum_trader.agents.drift import SMALLEST_LIMIT, DriftWatch, fit_drift, stability_index
from quantum_trader.envs.features import FEATURE_NAMES

Floats32 = NDArray[np.float32]
BARS = 100


def table(seed: int, count: int = 2_000) -> Floats32:
    """Independent normal features; the last one is always 0, as funding is where there is none."""
    values = np.random.default_rng(seed).normal(size=(count, len(FEATURE_NAMES))).astype(np.float32)
    values[:, -1] = 0.0
    return values


def watch(rows: Floats32, symbol: str = "A") -> DriftWatch:
    reference = fit_drift([table(0), table(1)], bars=BARS)
    assert reference is not None
    seen = DriftWatch(reference)
    for row in rows:
        seen.see({symbol: row})
    return seen


def test_the_index_by_hand() -> None:
    """Two bins of ten hold everything: the sum over bins of (p - q) ln(p / q) with half a row in each bin."""
    counts = np.zeros((1, 10), dtype=np.int64)
    counts[0, 0], counts[0, 1] = 60, 40
    expected = np.full((1, 10), 0.1)
    shares = (counts[0] + 0.5) / 105.0
    by_hand = sum((p - 0.1) * np.log(p / 0.1) for p in shares)
    assert stability_index(counts, expected)[0] == pytest.approx(by_hand)


def test_rows_like_training_stay_within_the_limit() -> None:
    """New rows of the same distribution exceed no limit by much, and most features lie below it."""
    scores = [watch(table(seed, BARS)).worst(["A"])["A"] for seed in range(2, 22)]
    assert sum(drift.beyond for drift in scores) <= 4
    assert all(drift.score < 2 * drift.limit for drift in scores)


@pytest.mark.parametrize("change", ["shifted", "wider", "stuck"])
def test_a_planted_drift_is_found_and_named(change: str) -> None:
    """A feature that moves, widens or stands still is the worst and beyond its limit."""
    rows = table(3, BARS)
    column = 5
    rows[:, column] = {"shifted": rows[:, column] + 1.5, "wider": rows[:, column] * 6, "stuck": 0.1}[change]
    drift = watch(rows).worst(["A"])["A"]
    assert drift.beyond
    assert drift.feature == FEATURE_NAMES[column]


def test_a_constant_feature_that_comes_alive_is_drift() -> None:
    """Funding that training never saw is noticed; the same constant as in training is not."""
    rows = table(4, BARS)
    assert watch(rows).worst(["A"])["A"].feature != "funding_rate"
    for rate in (0.001, -0.001):
        rows[:, -1] = rate
        drift = watch(rows).worst(["A"])["A"]
        assert (drift.feature, drift.beyond) == ("funding_rate", True)


def test_slow_features_have_wider_limits() -> None:
    """Where training itself wanders, a stretch of it is no drift: limits follow the feature's own memory."""

    def slow(seed: int, count: int) -> Floats32:
        values = table(seed, count)
        draws = np.random.default_rng(seed).normal(size=count)
        path = np.zeros(count)
        for t in range(1, count):
            path[t] = 0.99 * path[t - 1] + 0.141 * draws[t]
        values[:, 0] = path
        return values

    reference = fit_drift([slow(seed, 4_000) for seed in range(3)], bars=BARS)
    assert reference is not None
    assert reference.limits[0] > 4 * max(reference.limits[1:-1])
    seen = DriftWatch(reference)
    seen.begin("A", slow(9, BARS))
    assert not seen.worst(["A"])["A"].beyond


def test_the_ring_forgets_what_is_older_than_the_stretch() -> None:
    """After as many good rows as a stretch holds, an earlier drift is gone without a trace."""
    bad, good = table(5, BARS) + 3.0, table(6, BARS)
    seen = watch(np.concatenate([bad, good]))
    fresh = watch(good)
    assert seen.worst(["A"]) == fresh.worst(["A"])


def test_nothing_is_said_before_a_whole_stretch_or_of_warm_up_rows() -> None:
    """Fewer rows than a stretch give no answer, and rows with NaN do not count."""
    rows = table(7, BARS)
    rows[10] = np.nan
    assert watch(rows).worst(["A", "unknown"]) == {}
    assert watch(np.concatenate([rows, rows[:1]])).worst(["A"]) != {}


def test_too_little_training_gives_no_reference() -> None:
    """Without one whole stretch of training rows there is nothing to compare with."""
    assert fit_drift([table(0, BARS - 1)], bars=BARS) is None
    reference = fit_drift([table(0, BARS)], bars=BARS)
    assert reference is not None
    assert min(reference.limits) == SMALLEST_LIMIT


def test_a_symbol_begun_from_rows_is_one_that_saw_them() -> None:
    """Taking in a table at once and row by row leave the same counts; what was known before is forgotten."""
    rows = table(8, BARS + 40)
    rows[60] = np.nan
    at_once = watch(table(9, BARS) + 5.0)
    at_once.begin("A", rows)
    assert at_once.worst(["A"]) == {}  # one of the last rows is no number
    for row in table(10, 30):
        at_once.see({"A": row})
    one_by_one = watch(np.concatenate([rows, table(10, 30)]))
    assert at_once.worst(["A"]) == one_by_one.worst(["A"]) != {}


def test_the_worst_feature_is_the_one_furthest_beyond_its_own_limit() -> None:
    """A feature that wanders in training may move more than a steady one before it is the worst."""
    rows = table(11, BARS)
    rows[:, 5] += 3.0
    rows[:, 2] += 1.0
    seen = watch(rows)
    assert seen.worst(["A"])["A"].feature == FEATURE_NAMES[5]
    limits = [0.25] * 14
    limits[5] = 50.0
    tolerant = DriftWatch(replace(seen.reference, limits=tuple(limits)))
    tolerant.begin("A", rows)
    assert tolerant.worst(["A"])["A"].feature == FEATURE_NAMES[2]


def test_a_symbol_drifts_alike_alone_and_among_many() -> None:
    """Symbols that come in at different times, together or one by one, have the index of their own rows."""
    feeds = {f"S{number}": table(number, 2 * BARS + 10)[: BARS + 7 * number] for number in range(15)}
    reference = fit_drift([table(0), table(1)], bars=BARS)
    assert reference is not None
    together = DriftWatch(reference)
    for turn in range(2 * BARS):
        together.see({name: rows[turn] for name, rows in feeds.items() if turn < len(rows)})
    begun = DriftWatch(reference)
    for name, rows in feeds.items():
        begun.begin(name, rows[: BARS // 2])
        for row in rows[BARS // 2 :]:
            begun.see({name: row})
    assert list(together.worst([*feeds, "unknown"])) == list(feeds)
    assert together.worst(feeds) == begun.worst(feeds)
    assert together.worst(feeds) == {
        name: watch(rows, name).worst([name])[name] for name, rows in feeds.items()
    }
