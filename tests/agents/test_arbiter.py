from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.agents.arbiter_settings import ArbiterSettings, GateSettings
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.envs.actions import Action
from quantum_trader.envs.context import CONTEXT_SIZE
from quantum_trader.envs.scaler import REFERENCE_SCALER

from .fakes import PATIENCE, FakeAgent, FakePPO, FakeTFT, HeldTFT, bar, bars

OPEN = GateSettings(hold_threshold=0.9, confidence_threshold=0.5)
# No budget but where a test is about it: a slow machine must not change who decides.
SETTINGS = ArbiterSettings(
    forecast_weight=0.5, ppo_weight=0.5, primary=OPEN, tft_alone=OPEN, fallback=OPEN, latency_budget_ms=0.0
)


def arbiter(tft: Any = None, ppo: Any = None, fallback: Any = None, **changes: Any) -> Arbiter:
    return Arbiter(
        tft=tft,
        ppo=ppo,
        fallback=fallback,
        settings=replace(SETTINGS, **changes),
        scaler=REFERENCE_SCALER,
    )


def inputs(rows: int) -> ModelInputs:
    return ModelInputs(
        windows=np.zeros((rows, 60, 14), dtype=np.float32),
        context=np.zeros((rows, CONTEXT_SIZE), dtype=np.float32),
    )


def test_fewer_than_sixty_bars_hold_for_insufficient_history() -> None:
    """59 bars of a new symbol answer HOLD with the reason; the 60th is decided."""
    judge = arbiter(FakeTFT(), FakePPO(), FakeAgent())
    decisions = [judge.decide("NEW", item) for item in bars(60)]
    assert {(d.action, d.reason, d.source) for d in decisions[:59]} == {
        (Action.HOLD, "insufficient history", "none")
    }
    last = decisions[59]
    assert last.action is Action.BUY
    assert last.source == "tft+ppo"
    assert last.confidence == pytest.approx(0.5 / 0.8)
    assert last.attention is not None
    assert last.quantiles is not None
    assert {vote.member for vote in last.votes} == {"tft", "ppo"}


@pytest.mark.parametrize(
    ("tft", "fragment"),
    [
        (None, "TFT not available"),
        (FakeTFT(error=RuntimeError("boom")), "TFT failed (RuntimeError)"),
        (FakeTFT(nan_rows=(0,)), "TFT answered NaN"),
    ],
)
def test_xgboost_decides_where_the_tft_cannot(tft: Any, fragment: str) -> None:
    """A missing, raising or NaN TFT leaves the decision to XGBoost, and the reason says so."""
    decisions = arbiter(tft, None, FakeAgent((0.2, 0.2, 0.6))).decide_inputs(inputs(1))
    assert decisions.source == ("xgboost",)
    assert decisions.actions[0] == Action.SELL
    assert decisions.reason[0].startswith(fragment)


def test_only_the_rows_that_are_nan_fall_back() -> None:
    """One symbol's NaN does not take the TFT from the others."""
    decisions = arbiter(FakeTFT(nan_rows=(1,)), None, FakeAgent()).decide_inputs(inputs(3))
    assert decisions.source == ("tft", "xgboost", "tft")
    assert list(decisions.actions) == [Action.BUY, Action.SELL, Action.BUY]
    np.testing.assert_allclose(decisions.signals.probabilities.sum(axis=1), 1.0, rtol=1e-5)


def test_a_slow_tft_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A TFT over its budget is answered for by XGBoost."""
    monkeypatch.setattr("quantum_trader.agents.panel.LAST_RESORT_MS", 1_000.0 * PATIENCE)
    tft = HeldTFT()
    judge = arbiter(tft, None, FakeAgent(), latency_budget_ms=20.0)
    judge.add_to_history("A", bars(59))
    decision = judge.decide("A", bar(59))
    tft.go.set()
    assert decision.source == "xgboost"
    assert decision.reason.startswith("TFT took longer than 20 ms")


def test_a_window_at_the_clip_bounds_is_out_of_distribution() -> None:
    """A window mostly at the scaler's bounds is not the TFT's to judge."""
    far = inputs(2)
    far.windows[1] = REFERENCE_SCALER.clip
    tft = FakeTFT()
    decisions = arbiter(tft, None, FakeAgent()).decide_inputs(far)
    assert decisions.source == ("tft", "xgboost")
    assert decisions.reason[1].startswith("out of distribution")


@pytest.mark.parametrize("fallback", [None, FakeAgent(error=ValueError("x")), FakeAgent((np.nan,) * 3)])
def test_hold_when_every_model_is_gone(fallback: Any) -> None:
    """Nothing left to ask: HOLD with a reason, never an exception."""
    decisions = arbiter(FakeTFT(error=RuntimeError("boom")), None, fallback).decide_inputs(inputs(2))
    assert decisions.source == ("none", "none")
    assert list(decisions.actions) == [Action.HOLD, Action.HOLD]
    assert all("TFT failed" in reason and "XGBoost" in reason for reason in decisions.reason)


def test_a_failing_policy_leaves_the_tft_alone() -> None:
    """PPO's failure costs PPO's vote only."""
    decisions = arbiter(FakeTFT(), FakePPO(error=RuntimeError("x")), FakeAgent()).decide_inputs(inputs(1))
    assert decisions.source == ("tft",)
    np.testing.assert_allclose(decisions.signals.probabilities[0], (0.2, 0.5, 0.3), rtol=1e-6)


POOL = ("tft", "ppo", "xgboost")


def test_the_trees_join_the_pool() -> None:
    """TFT and XGBoost are pooled by the share of the trees, and all three decide together."""
    judge = arbiter(FakeTFT((0.2, 0.5, 0.3)), FakePPO(), FakeAgent((0.5, 0.2, 0.3)))
    judge.settings = ArbiterSettings(pool=POOL, trees_share=0.25, ppo_weight=0.0, primary=OPEN)
    decisions = judge.decide_inputs(inputs(1))
    expected = np.array([0.2, 0.5, 0.3]) ** 0.75 * np.array([0.5, 0.2, 0.3]) ** 0.25
    np.testing.assert_allclose(decisions.signals.probabilities[0], expected / expected.sum(), rtol=1e-6)
    assert decisions.source == ("tft+ppo+xgboost",)
    assert set(decisions.votes) == set(POOL)


def test_failing_trees_leave_the_tft_alone() -> None:
    """A pool that misses a member is not what its gate was fitted for."""
    judge = arbiter(FakeTFT(), FakePPO(), FakeAgent(error=RuntimeError("x")))
    judge.settings = ArbiterSettings(pool=POOL, trees_share=0.5, primary=OPEN, tft_alone=OPEN)
    assert judge.decide_inputs(inputs(1)).source == ("tft",)
    judge.fallback = None
    assert judge.decide_inputs(inputs(1)).source == ("tft",)
    assert judge.usual_gate is judge.settings.tft_alone


def test_the_gate_holds_below_its_confidence() -> None:
    """Directional confidence 0.625 passes a gate of 0.6 and not one of 0.65."""
    judge = arbiter(FakeTFT(), None, None)
    judge.settings = SETTINGS.with_confidence_threshold(0.60)
    assert judge.decide_inputs(inputs(1)).actions[0] == Action.BUY
    judge.settings = SETTINGS.with_confidence_threshold(0.65)
    held = judge.decide_inputs(inputs(1))
    assert held.actions[0] == Action.HOLD
    assert "below 0.650" in held.reason[0]


def test_hold_probability_gates_first() -> None:
    """P(HOLD) at the hold threshold answers HOLD whatever the direction."""
    gate = GateSettings(hold_threshold=0.199, confidence_threshold=0.5)
    decisions = arbiter(FakeTFT((0.2, 0.8, 0.0)), None, None, tft_alone=gate).decide_inputs(inputs(1))
    assert decisions.actions[0] == Action.HOLD


def test_one_encoder_pass_serves_many_symbols() -> None:
    """A batch of symbols costs one call of the TFT, whose pass PPO is handed."""
    tft, ppo = FakeTFT(), FakePPO()
    judge = arbiter(tft, ppo, FakeAgent())
    names = [f"S{number}" for number in range(100)]
    for name in names:
        judge.add_to_history(name, bars(59))
    answers = judge.decide_batch({name: bar(59) for name in names})
    assert tft.calls == 1
    ((encoded, by),) = ppo.heard
    assert len(encoded) == len(names)
    assert by is tft
    assert list(answers) == names
    assert all(answer.action is Action.BUY for answer in answers.values())


def test_a_stale_bar_is_refused_and_leaves_no_trace() -> None:
    """A duplicate or older bar answers HOLD with the reason; the next bar decides as if it had not come."""
    clean, disturbed = (arbiter(FakeTFT(), None, None) for _ in range(2))
    for judge in (clean, disturbed):
        judge.add_to_history("A", bars(60))
    assert disturbed.decide("A", bar(59)).reason == "duplicate bar"
    assert disturbed.decide("A", bar(10)).reason == "out-of-order bar"
    window = disturbed.histories["A"].window()
    np.testing.assert_array_equal(window, clean.histories["A"].window())
    assert disturbed.decide("A", bar(60)).action is clean.decide("A", bar(60)).action


def test_a_broken_bar_is_held_with_the_reason_and_changes_nothing() -> None:
    """A bar without a price is HOLD naming the fault; the history stays, and so do the other symbols."""
    judge = arbiter(FakeTFT(), None, None)
    for name in ("A", "B"):
        judge.add_to_history(name, bars(60))
    broken = replace(bar(60), close=float("nan"))
    decisions = judge.decide_batch({"A": broken, "B": bar(60)})
    assert decisions["A"].action is Action.HOLD
    assert decisions["A"].reason.startswith("bad bar: A: the bar at")
    assert judge.histories["A"].last_timestamp == bar(59).timestamp
    assert decisions["B"].action is Action.BUY


def test_a_long_gap_starts_the_window_again() -> None:
    """After a gap no window may span, HOLD until 60 new bars are there."""
    judge = arbiter(FakeTFT(), None, None)
    judge.add_to_history("A", bars(60))
    late = judge.decide("A", bar(60, hours=100))
    assert late.action is Action.HOLD
    assert late.reason == "insufficient history"
    assert judge.histories["A"].length == 1


def test_one_row_of_nan_costs_the_others_nothing() -> None:
    """Where the TFT's NaN spoils one row's policy too, the other rows keep both members."""

    class SpoiltPPO(FakePPO):
        def vote(self, inputs: Any, encoded: Any, by: Any) -> Any:
            table = super().vote(inputs, encoded, by)
            table[1] = np.nan
            return table

    decisions = arbiter(FakeTFT(nan_rows=(1,)), SpoiltPPO(), FakeAgent()).decide_inputs(inputs(3))
    assert decisions.source == ("tft+ppo", "xgboost", "tft+ppo")
    only_policy = arbiter(FakeTFT(), SpoiltPPO(), FakeAgent()).decide_inputs(inputs(3))
    assert only_policy.source == ("tft+ppo", "tft", "tft+ppo")


@pytest.mark.parametrize("travel", [pickle.dumps, copy.copy, copy.deepcopy])
def test_an_arbiter_that_cannot_travel_says_what_can(travel: Callable[[object], object]) -> None:
    """Pickling and copying name snapshots, not a lock."""
    with pytest.raises(TypeError, match=r"Arbiter can be neither pickled nor copied: .*snapshot\(\)"):
        travel(arbiter(FakeTFT(), None, FakeAgent()))


def test_decisions_can_be_compared_and_kept_in_sets() -> None:
    """Equal in every field is equal, arrays and all; another bar, another weight or None is not."""
    one = arbiter(FakeTFT(), None, FakeAgent())
    one.warmup({"A": bars(60)})
    first, second = one.decide("A", bar(60)), one.decide("A", bar(61))
    assert first.attention is not None
    same = replace(first, attention=first.attention.copy())
    assert first == same
    assert hash(first) == hash(same)
    others = [second, replace(first, attention=first.attention * 2), replace(first, attention=None)]
    assert all(first != other for other in others)
    assert len({first, same, second}) == 2
