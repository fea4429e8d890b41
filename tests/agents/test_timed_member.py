"""A member asked within its time, and an XGBoost that hangs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.typing import NDArray

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.agents.arbiter_settings import ArbiterSettings, GateSettings
from quantum_trader.agents.breaker import CircuitBreaker
from quantum_trader.agents.live_config import LiveConfig
from quantum_trader.agents.panel import LAST_RESORT_MS, last_resort_ms
from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.agents.timed_member import TimedMember
from quantum_trader.envs.scaler import REFERENCE_SCALER
from tests.agents.fakes import FakeAgent, FakeTFT, bar, bars

OPEN = GateSettings(hold_threshold=0.99, confidence_threshold=0.5)
FOREVER = 300.0


class Hanging(FakeAgent):
    """An XGBoost whose answers come when the test lets them."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.begun, self.calls = threading.Event(), threading.Event(), 0

    def signals(self, inputs: ModelInputs) -> Signals:
        self.calls += 1
        self.begun.set()
        assert self.go.wait(FOREVER)
        return super().signals(inputs)


@contextmanager
def judge(
    fallback: FakeAgent,
    tft: FakeTFT | None,
    pool: tuple[str, ...],
    budget_ms: float = 5.0,
    live: LiveConfig | None = None,
) -> Iterator[Arbiter]:
    """An Arbiter with a window in which XGBoost may hang."""
    one = Arbiter(
        tft=tft,  # type: ignore[arg-type]
        ppo=None,
        fallback=fallback,
        settings=ArbiterSettings(
            pool=pool,
            trees_share=0.5,
            primary=OPEN,
            tft_alone=OPEN,
            fallback=OPEN,
            latency_budget_ms=budget_ms,
        ),
        scaler=REFERENCE_SCALER,
        live=live,
    )
    one.warmup({"A": bars(60)})
    try:
        yield one
    finally:
        if isinstance(fallback, Hanging):
            fallback.go.set()
        one.trees.batcher.stop()
        one.networks.batcher.stop()


def wait_until_begun(one: Arbiter, trees: Hanging) -> None:
    """From now on nobody's wait begins before XGBoost is at work, or a slow machine would not get to it."""
    submit = one.trees.batcher.submit

    def begun(inputs: ModelInputs) -> Future[NDArray[np.float32]]:
        future = submit(inputs)
        assert trees.begun.wait(FOREVER)
        return future

    one.trees.batcher.submit = begun  # type: ignore[method-assign]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """XGBoost is given up after its caller's budget; a pass counts once however long it lasts."""
    monkeypatch.setattr("quantum_trader.agents.panel.LAST_RESORT_MS", 0.0)
    monkeypatch.setattr("quantum_trader.agents.timed_member.HANG_S", FOREVER)


@pytest.mark.usefixtures("impatient")
def test_a_hanging_xgboost_behind_nobody_is_hold() -> None:
    """Without a TFT a bot gets HOLD with the reason, not silence."""
    with judge(Hanging(), None, ("tft",)) as one:
        decision = one.decide("A", bar(60))
    assert (decision.action.name, decision.source) == ("HOLD", "none")
    assert decision.reason == "TFT not available; XGBoost took longer than 5 ms"


@pytest.mark.usefixtures("impatient")
def test_a_hanging_xgboost_does_not_hold_up_the_tft() -> None:
    """The TFT decides alone, is not blamed, and after three failures nobody asks the other for a while."""
    hanging = Hanging()
    # A budget for both would be a race on a slow machine: the TFT's is without limit in `networks`.
    with judge(hanging, FakeTFT(), ("tft", "xgboost"), live=LiveConfig(breaker_rest_s=FOREVER)) as one:
        one.networks._budget_ms = lambda: 0.0
        wait_until_begun(one, hanging)
        decisions = [one.decide("A", bar(step)) for step in range(60, 64)]
        # One pass that lasts is one failure, however many give it up.
        assert (one.breakers["xgboost"].failures, hanging.calls) == (1, 1)
        assert {decision.source for decision in decisions} == {"tft"}
        assert one.breakers["tft"].failures == 0
        hanging.go.set()
        one.trees.batcher.stop()
        for step in range(64, 66):
            hanging.go.clear()
            hanging.begun.clear()
            one.decide("A", bar(step))
            hanging.go.set()
            one.trees.batcher.stop()
        assert one.breakers["xgboost"].state == "open"
        calls = hanging.calls
        decision = one.decide("A", bar(66))
    assert (decision.source, hanging.calls) == ("tft", calls)
    assert decision.warnings == ("xgboost left out: resting after failures (XGBoost took longer than 5 ms)",)


@pytest.mark.usefixtures("impatient")
def test_a_model_that_never_comes_back_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first caller waits; those after it are told at once, and the breaker opens in the end."""
    waited: list[int] = []
    hanging = Hanging()
    with judge(hanging, None, ("tft",), live=LiveConfig(breaker_rest_s=FOREVER)) as one:
        wait_until_begun(one, hanging)
        submit = one.trees.batcher.submit

        def counted(inputs: ModelInputs) -> Future[NDArray[np.float32]]:
            waited.append(len(inputs))
            return submit(inputs)

        monkeypatch.setattr(one.trees.batcher, "submit", counted)
        reasons = {one.decide("A", bar(step)).reason for step in range(60, 70)}
        assert reasons == {"TFT not available; XGBoost took longer than 5 ms"}
        assert (len(waited), one.breakers["xgboost"].failures) == (1, 1)
        monkeypatch.setattr("quantum_trader.agents.timed_member.HANG_S", 1e-9)
        for step in range(70, 72):
            one.decide("A", bar(step))
        assert one.breakers["xgboost"].state == "open"
    assert one.health().status == "failing"


def test_xgboost_begins_before_the_tft_has_answered() -> None:
    """The trees work beside the networks: the TFT here waits until they have begun."""
    trees = Hanging()
    trees.go.set()

    class Waits(FakeTFT):
        def answer(self, encoded: object) -> Signals:
            assert trees.begun.wait(FOREVER)
            return super().answer(encoded)  # type: ignore[arg-type]

    with judge(trees, Waits(), ("tft", "xgboost"), budget_ms=0.0) as one:
        assert one.decide("A", bar(60)).source == "tft+xgboost"


def test_xgboosts_budget_is_at_least_a_second_and_none_where_nobody_has_one() -> None:
    """5 ms for the TFT leave XGBoost its second, 5 s leave it 5 s, 0 waits for ever."""
    budgets = [last_resort_ms(ArbiterSettings(latency_budget_ms=budget)) for budget in (5.0, 5_000.0, 0.0)]
    assert budgets == [LAST_RESORT_MS, 5_000.0, 0.0]


def test_an_answer_is_found_once() -> None:
    """A question that is looked at twice is asked once; unguarded, only when it is looked at."""
    asked: list[bool] = []

    def answer(inputs: ModelInputs, guarded: bool) -> list[float]:
        asked.append(guarded)
        return [float(value) for value in inputs.context[:, 0]]

    breaker = CircuitBreaker(failures=1, rest_s=1.0, longest_rest_s=1.0)
    member = TimedMember("M", answer, lambda found, rows: found[rows], breaker, budget_ms=lambda: 0.0)
    inputs = ModelInputs(windows=np.zeros((1, 60, 14), np.float32), context=np.ones((1, 14), np.float32))
    plain = member.ask(inputs, guarded=False)
    assert asked == []
    assert plain.answer() == plain.answer() == ([1.0], "")
    live = member.ask(inputs, guarded=True)
    assert live.answer() == live.answer() == ([1.0], "")
    assert asked == [False, True]
    member.batcher.stop()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_asks_although_a_pass_was_under_way() -> None:
    """The child has the parent's pass on its books and no thread for it: it begins its own at once."""
    program = """
import os, threading, time
import numpy as np
from quantum_trader.agents.breaker import CircuitBreaker
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.agents.timed_member import TimedMember

begun, go, parent = threading.Event(), threading.Event(), os.getpid()

def answer(inputs, guarded):
    if os.getpid() == parent:
        begun.set()
        go.wait(60)
    return "answered"

breaker = CircuitBreaker(failures=9, rest_s=1.0, longest_rest_s=1.0)
member = TimedMember("M", answer, lambda found, rows: found, breaker, budget_ms=lambda: budget)
inputs = ModelInputs(windows=np.zeros((1, 60, 14), np.float32), context=np.zeros((1, 14), np.float32))
budget = 0.001
first = member.ask(inputs, guarded=True)
begun.wait(60)
first.answer()
time.sleep(0.01)
child = os.fork()
if child == 0:
    budget = 60_000.0
    before = member.batcher.lasting_s
    os._exit(0 if (before, member.ask(inputs, guarded=True).answer()) == (0.0, ("answered", "")) else 1)
go.set()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=FOREVER)
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr


def test_a_fault_that_raises_nothing_counts() -> None:
    """An answer with a fault goes out, and the breaker hears of it."""
    breaker = CircuitBreaker(failures=1, rest_s=FOREVER, longest_rest_s=FOREVER)
    member = TimedMember(
        "M",
        lambda inputs, guarded: "nothing",
        lambda found, rows: found,
        breaker,
        budget_ms=lambda: 0.0,
        fault=lambda found: f"M answered {found}",
    )
    inputs = ModelInputs(windows=np.zeros((1, 60, 14), np.float32), context=np.ones((1, 14), np.float32))
    assert member.ask(inputs, guarded=True).answer() == ("nothing", "")
    assert (breaker.state, breaker.last_error) == ("open", "M answered nothing")
    assert member.ask(inputs, guarded=True).answer() == (None, "M resting after failures")
    member.batcher.stop()
