"""The Arbiter between a feed and a bot: every kind of bad bar, failing members, many threads."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.agents.arbiter_settings import ArbiterSettings, GateSettings
from quantum_trader.agents.decision import Decision
from quantum_trader.agents.drift import DriftReference, fit_drift
from quantum_trader.agents.live_config import LiveConfig
from quantum_trader.agents.network_agent import Encoded
from quantum_trader.agents.self_check import self_check
from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.envs.actions import Action
from quantum_trader.envs.bars import Bar
from quantum_trader.envs.errors import DataError, ModelFolderError
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.envs.scaler import REFERENCE_SCALER
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars

from .fakes import HOUR, PATIENCE, FakeAgent, FakePPO, FakeTFT, HeldTFT, bar, bars

OPEN = GateSettings(hold_threshold=0.99, confidence_threshold=0.5)
SETTINGS = ArbiterSettings(
    forecast_weight=0.5, ppo_weight=0.5, primary=OPEN, tft_alone=OPEN, fallback=OPEN, latency_budget_ms=0.0
)


class Now:
    """A clock that the test sets, in bars: 60 means that the bar of hour 59 has just closed."""

    def __init__(self, hours: float = 1e6) -> None:
        self.hours = hours

    def __call__(self) -> int:
        return int(self.hours * HOUR)


def judge(
    tft: Any = None,
    ppo: Any = None,
    fallback: Any = None,
    *,
    now: Now | None = None,
    live: LiveConfig | None = None,
    drift: DriftReference | None = None,
    **changes: Any,
) -> Arbiter:
    return Arbiter(
        tft=tft,
        ppo=ppo,
        fallback=fallback,
        settings=replace(SETTINGS, **changes),
        scaler=REFERENCE_SCALER,
        clock=now or Now(),
        live=live,
        drift=drift,
    )


def plain(decision: Decision) -> Decision:
    """Without what differs from call to call, and without arrays, which do not compare."""
    return replace(decision, latency_ms=0.0, quantiles=None, attention=None, importances=None)


class Reader:
    """Stands for a TFT whose answer is a function of the window, so that a mix-up of rows would show."""

    name, scaler, model_hash = "tft", REFERENCE_SCALER, "tft"

    def encode(self, inputs: ModelInputs) -> Encoded:
        last = inputs.windows[:, -1].copy()
        return Encoded(
            embedding=last,
            outputs=np.repeat(last[:, None], 4, axis=1),
            attention=np.full((len(inputs), 60), 1 / 60, dtype=np.float32),
            importances=np.full((len(inputs), 14), 1 / 14, dtype=np.float32),
            unit=np.ones((len(inputs), 4), dtype=np.float32),
        )

    def answer(self, encoded: Encoded) -> Signals:
        score = 1.0 / (1.0 + np.exp(-encoded.embedding.sum(axis=1)))
        table = np.stack([np.full_like(score, 0.2), 0.8 * score, 0.8 * (1 - score)], axis=1)
        return Signals(
            probabilities=table.astype(np.float32),
            quantiles=np.zeros((len(encoded), 4, 3), dtype=np.float32),
            attention=encoded.attention,
            importances=encoded.importances,
        )


def walk(count: int, seed: int) -> list[Bar]:
    """A random walk of its own for each symbol."""
    draws = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(draws.normal(0, 0.005, count)))
    return [
        replace(bar(step), open=close, close=close, high=close * 1.002, low=close * 0.998)
        for step, close in enumerate(closes.tolist())
    ]


BAD_BARS: dict[str, tuple[Any, str]] = {
    "NaN": (replace(bar(60), close=float("nan")), "bad bar: A: "),
    "negative": (replace(bar(60), low=-1.0), "bad bar: A: "),
    "contradicting": (replace(bar(60), high=90.0), "bad bar: A: "),
    "infinite volume": (replace(bar(60), volume=float("inf")), "bad bar: A: "),
    "no close": ({"timestamp": 60 * HOUR, "open": 1, "high": 1, "low": 1, "volume": 1}, "bad bar: A: "),
    "text": ({**vars(bar(60)), "close": "a lot"}, "bad bar: A: "),
    "endless time": ({**vars(bar(60)), "timestamp": float("inf")}, "bad bar: A: "),
    "no time": ({**vars(bar(60)), "timestamp": None}, "bad bar: A: "),
    "no bar": (None, "bad bar: A: "),
    "a row of numbers": ((60 * HOUR, 1.0, 1.0, 1.0, 1.0, 1.0), "bad bar: A: expected a Bar"),
    "a field left empty": (replace(bar(60), close=None), "bad bar: A: "),  # type: ignore[arg-type]
    "a time left empty": (replace(bar(60), timestamp=None), "bad bar: A: "),  # type: ignore[arg-type]
    "a price beyond sense": (replace(bar(60), high=1e300), "bad bar: A: "),
    "a volume beyond sense": (replace(bar(60), volume=1e300), "bad bar: A: "),
    "funding beyond the position": (replace(bar(60), funding_rate=-1.5), "bad bar: A: "),
    "far future": (replace(bar(60), timestamp=2**60), "bad bar: A: "),
    "before 1970": (replace(bar(60), timestamp=-1), "bad bar: A: "),
    "duplicate": (bar(59), "duplicate bar"),
    "out of order": (bar(3), "out-of-order bar"),
    "still open": (bar(61), "bar still open"),
    "future": (bar(62), "bar from the future"),
}


@pytest.mark.parametrize("kind", BAD_BARS)
def test_a_bar_that_cannot_be_decided_on_is_held_and_leaves_no_trace(kind: str) -> None:
    """HOLD by nobody with the reason; the next good bar is decided as if the bad one had never come."""
    value, reason = BAD_BARS[kind]
    clean, disturbed = (judge(Reader(), now=Now(61.0)) for _ in range(2))
    for one in (clean, disturbed):
        one.warmup({"A": bars(60)})
    held = disturbed.decide("A", value)
    assert (held.action, held.source, held.confidence) == (Action.HOLD, "none", 0.0)
    assert held.reason.startswith(reason)
    assert held.timestamp == bar(59).timestamp
    assert plain(disturbed.decide("A", bar(60))) == plain(clean.decide("A", bar(60)))


def test_a_bad_bar_of_an_unknown_symbol_makes_no_history() -> None:
    """Refused bars of names never seen cost no memory, and names beyond the limit are refused."""
    one = judge(Reader(), live=LiveConfig(max_symbols=2))
    assert one.decide("X", replace(bar(0), close=float("nan"))).reason.startswith("bad bar")
    assert len(one.histories) == 0
    for name in ("A", "B", "C"):
        decision = one.decide(name, bar(0))
    assert decision.reason == "too many symbols"
    assert one.histories.symbols() == ["A", "B"]


def test_a_late_bar_joins_the_history_but_is_not_decided_on() -> None:
    """One that closed longer ago than the limit is HOLD "late bar"; the bar after it is decided with it."""
    now = Now(62.5)
    one = judge(Reader(), now=now, live=LiveConfig(max_delay_bars=0.5))
    one.warmup({"A": bars(60)})
    assert one.decide("A", bar(60)).reason == "late bar"
    assert one.histories["A"].last_timestamp == bar(60).timestamp
    now.hours = 62.2
    assert one.decide("A", bar(61)).source == "tft"


def test_a_clock_set_back_stops_nobody() -> None:
    """With the Arbiter's own clock, an hour back does not turn closed bars into open ones."""
    wall = [int(61.0 * HOUR), 50.0]
    from quantum_trader.agents.clock import SteadyClock

    one = judge(Reader())
    one.clock = SteadyClock(wall=lambda: int(wall[0]), monotonic=lambda: wall[1])
    one.warmup({"A": bars(60)})
    wall[0] -= HOUR
    wall[1] += 1.0
    assert one.decide("A", bar(60)).source == "tft"
    assert one.health().clock_jump_ms == pytest.approx(-HOUR, abs=2_000)
    assert any("clock" in problem for problem in one.health().problems)


def test_a_malformed_bar_in_a_warm_up_is_an_error() -> None:
    """Warming up with bad data is the caller's mistake, not the feed's: one sentence; earlier bars stay."""
    one = judge(Reader())
    with pytest.raises(DataError, match="A: the bar"):
        one.warmup({"A": [*bars(10), replace(bar(10), close=float("nan"))]})
    assert one.histories["A"].length == 10


def test_a_symbol_is_decided_alike_alone_and_in_any_company() -> None:
    """decide, decide_batch of some and of all give the same decision."""
    series = {f"S{seed}": walk(90, seed) for seed in range(7)}
    alone, some, everyone = (judge(Reader(), None, FakeAgent()) for _ in range(3))
    for one in (alone, some, everyone):
        one.warmup({name: path[:60] for name, path in series.items()})
    for step in range(60, 90):
        bars_now = {name: path[step] for name, path in series.items()}
        together = everyone.decide_batch(bars_now)
        names = list(bars_now)
        parts = some.decide_batch({name: bars_now[name] for name in names[:3]})
        parts |= some.decide_batch({name: bars_now[name] for name in reversed(names[3:])})
        for name, value in bars_now.items():
            assert plain(alone.decide(name, value)) == plain(together[name]) == plain(parts[name])
        assert list(together) == names


def test_threads_on_many_symbols_decide_as_one_thread_would() -> None:
    """Eight threads, overlapping batches in other orders: no deadlock, no lost bar, the same decisions."""
    series = {f"S{seed}": walk(100, seed) for seed in range(24)}
    lonely, shared = judge(Reader()), judge(Reader())
    for one in (lonely, shared):
        one.warmup({name: path[:60] for name, path in series.items()})
    expected = {
        (name, step): plain(lonely.decide(name, series[name][step]))
        for step in range(60, 100)
        for name in series
    }
    found: dict[tuple[str, int], Decision] = {}
    names = list(series)

    def work(number: int) -> None:
        mine = names[number::8]
        order = mine if number % 2 else mine[::-1]
        for step in range(60, 100):
            batch = {name: series[name][step] for name in order}
            # Bars that others have sent already: refused without harm, but they lock the same symbols.
            old = {name: series[name][59] for name in names[(number + 1) % 8 :: 8]}
            for name, decision in shared.decide_batch(batch | old).items():
                if name in batch:
                    found[name, step] = plain(decision)
                else:
                    assert decision.reason in ("duplicate bar", "out-of-order bar")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    assert found == expected


def test_one_symbol_sent_by_many_threads_is_taken_once() -> None:
    """The same bar from eight threads: one decision, seven duplicates."""
    one = judge(Reader())
    one.warmup({"A": bars(60)})
    reasons: list[str] = []
    gate = threading.Barrier(8)

    def send() -> None:
        gate.wait()
        reasons.append(one.decide("A", bar(60)).reason)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reason == "duplicate bar" for reason in reasons) == [False] + [True] * 7


class Failing(FakeTFT):
    """A TFT that fails while `broken`."""

    broken = True

    def encode(self, inputs: ModelInputs) -> Encoded:
        if self.broken:
            self.calls += 1
            raise RuntimeError("no memory")
        return super().encode(inputs)


def test_a_failing_tft_is_left_alone_and_tried_again() -> None:
    """After three failures it is not asked; after its rest one call tries it, and it decides again."""
    tft = Failing()
    one = judge(tft, None, FakeAgent(), now=Now(68.0), pool=("tft",))
    seconds = [0.0]
    one.breakers["tft"]._clock = lambda: seconds[0]
    one.warmup({"A": bars(60)})
    reasons = [one.decide("A", bar(step)).reason for step in range(60, 66)]
    assert tft.calls == 3
    assert reasons[0].startswith("TFT failed (RuntimeError)")
    assert reasons[5].startswith("TFT resting after failures")
    resting = one.decide("A", bar(66))
    assert resting.source == "xgboost"
    assert resting.warnings == ("tft left out: resting after failures (TFT failed (RuntimeError))",)
    health = one.health()
    assert health.status == "degraded"
    assert {m.name: m.state for m in health.members} == {
        "tft": "resting",
        "ppo": "missing",
        "xgboost": "ready",
    }
    tft.broken = False
    seconds[0] += LiveConfig().breaker_rest_s
    assert one.decide("A", bar(67)).source == "tft"
    assert one.health().status == "ok"


def test_a_backtest_knows_no_rest() -> None:
    """`decide_inputs` by itself asks a failing model every time: no result may depend on the clock."""
    tft = Failing()
    one = judge(tft, None, FakeAgent(), pool=("tft",))
    inputs = ModelInputs(windows=np.zeros((1, 60, 14), np.float32), context=np.zeros((1, 14), np.float32))
    for _ in range(10):
        one.decide_inputs(inputs)
    assert tft.calls == 10
    assert one.breakers["tft"].state == "closed"


def test_every_member_failing_is_hold_and_failing_health() -> None:
    """When TFT and XGBoost both rest the answer is HOLD at once, and health says that nobody can decide."""
    one = judge(Failing(), None, FakeAgent(error=RuntimeError("boom")), pool=("tft",))
    one.warmup({"A": bars(60)})
    decisions = [one.decide("A", bar(step)) for step in range(60, 65)]
    assert all(decision.action is Action.HOLD for decision in decisions)
    assert decisions[-1].reason == "TFT resting after failures; XGBoost resting after failures"
    assert one.health().status == "failing"


def test_callers_that_wait_share_a_pass() -> None:
    """Thirty threads with one symbol each, most of them during the first pass: two passes answer them all."""
    tft = HeldTFT()
    one = judge(tft, None, FakeAgent(), latency_budget_ms=1_000.0 * PATIENCE, pool=("tft",))
    names = [f"S{number}" for number in range(30)]
    one.warmup({name: bars(60) for name in names})
    sources: list[str] = []
    waiting = threading.Semaphore(0)
    submit = one.networks.batcher.submit

    def counted(inputs: ModelInputs) -> Future[Any]:
        future = submit(inputs)
        waiting.release()
        return future

    one.networks.batcher.submit = counted  # type: ignore[method-assign]

    def send(name: str) -> None:
        sources.append(one.decide(name, bar(60)).source)

    threads = [threading.Thread(target=send, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for _ in names:
        assert waiting.acquire(timeout=PATIENCE)
    tft.go.set()
    for thread in threads:
        thread.join()
    assert sources == ["tft"] * len(names)
    assert tft.calls <= 2


def test_xgboost_votes_where_it_is_always_asked() -> None:
    """A shadow wants its vote at every decision; it does not change who decides."""
    one = judge(FakeTFT(), FakePPO(), FakeAgent())
    one.always_ask = ("xgboost",)
    one.warmup({"A": bars(60)})
    decision = one.decide("A", bar(60))
    assert decision.source == "tft+ppo"
    assert {vote.member for vote in decision.votes} == {"tft", "ppo", "xgboost"}


def test_a_new_arbiter_adopts_the_histories() -> None:
    """After a reload the next bar is decided by the new models on the old window."""
    old, new = judge(FakeTFT((0.1, 0.8, 0.1))), judge(FakeTFT((0.1, 0.1, 0.8)))
    old.warmup({"A": bars(60)})
    new.adopt(old)
    assert new.decide("A", bar(60)).action is Action.SELL


def test_drift_is_warned_of_and_in_the_health() -> None:
    """Bars far more violent than training: the decision carries a warning that names the feature."""
    calm = judge(Reader())
    calm.warmup({"A": walk(3_000, 1)})
    features = calm.histories["A"].features()
    reference = fit_drift([features])
    assert reference is not None
    one = judge(Reader(), drift=reference)
    one.warmup({"calm": walk(700, 2)[:-1]})
    assert one.decide("calm", walk(700, 2)[-1]).warnings == ()
    wild = [replace(item, high=item.high * 1.05, low=item.low * 0.95) for item in walk(700, 3)]
    one.warmup({"wild": wild[:-1]})
    (warning,) = one.decide("wild", wild[-1]).warnings
    assert warning.startswith("drift: ")
    drift = one.health().drift[0]
    assert (drift.symbol, drift.beyond) == ("wild", True)
    assert drift.feature in FEATURE_NAMES


def test_stale_symbols_are_named() -> None:
    """A symbol whose bars stopped coming is stale; one that goes on is not."""
    now = Now(60.0)
    one = judge(Reader(), None, FakeAgent(), now=now)
    one.warmup({"A": bars(60), "B": bars(60)})
    assert one.health().stale == ()
    now.hours = 64.0
    one.warmup({"B": [bar(step) for step in range(60, 64)]})
    assert one.health().stale == ("A",)


def test_ten_thousand_symbols_in_one_call() -> None:
    """Every one of them is answered, in parts that leave the budget to each."""
    one = judge(None, None, FakeAgent())
    names = [f"S{number}" for number in range(10_000)]
    decisions = one.decide_batch(dict.fromkeys(names, bar(0)))
    assert list(decisions) == names
    assert {decision.reason for decision in decisions.values()} == {"insufficient history"}


class Broken(FakeAgent):
    """An XGBoost that answers what are no probabilities."""

    def signals(self, inputs: ModelInputs) -> Signals:
        return Signals(probabilities=np.full((len(inputs), 3), 0.7, dtype=np.float32))


@pytest.mark.parametrize(
    ("tft", "fallback", "words"),
    [
        (None, None, "neither"),
        (FakeTFT(error=RuntimeError("boom")), FakeAgent(), "tft model fails"),
        (FakeTFT(nan_rows=(0,)), FakeAgent(), "no probabilities"),
        (None, Broken(), "no probabilities"),
        (None, FakeAgent(error=RuntimeError("boom")), "xgboost model fails"),
    ],
)
def test_a_self_check_refuses_models_that_do_not_answer(tft: Any, fallback: Any, words: str) -> None:
    """Missing, raising and senseless models are one sentence; sound ones pass."""
    with pytest.raises(ModelFolderError, match=words):
        self_check(judge(tft, None, fallback, pool=("tft",)))
    self_check(judge(FakeTFT(), None, FakeAgent(), pool=("tft",)))
    self_check(judge(None, None, FakeAgent()))


def test_a_self_check_notices_two_answers_to_one_question() -> None:
    """A member that draws at random is refused."""

    class Random(FakeAgent):
        def signals(self, inputs: ModelInputs) -> Signals:
            draws = np.random.default_rng().dirichlet(np.ones(3), len(inputs))
            return Signals(probabilities=draws.astype(np.float32))

    with pytest.raises(ModelFolderError, match="twice differently"):
        self_check(judge(None, None, Random()))


def test_a_symbols_votes_do_not_depend_on_its_neighbours() -> None:
    """Where one row of a batch falls back, XGBoost's raw vote stands with that row and no other."""
    biased = replace(OPEN, bias=(0.0, 1.0, 0.0))
    one = judge(FakeTFT(nan_rows=(1,)), None, FakeAgent((0.2, 0.2, 0.6)), pool=("tft",))
    one.settings = replace(one.settings, fallback=biased)
    inputs = ModelInputs(windows=np.zeros((2, 60, 14), np.float32), context=np.zeros((2, 14), np.float32))
    decisions = one.decide_inputs(inputs)
    assert [vote.member for vote in decisions.vote(0)] == ["tft"]
    (vote,) = decisions.vote(1)
    assert vote.member == "xgboost"
    assert vote.probabilities == pytest.approx((0.2, 0.2, 0.6))


def test_fields_as_feeds_leave_them_are_read() -> None:
    """NumPy numbers, text that is a number and no funding rate give the decision of plain numbers."""
    plainly, otherwise = judge(Reader()), judge(Reader())
    for one in (plainly, otherwise):
        one.warmup({"A": bars(60)})
    given = {name: str(value) for name, value in vars(bar(60)).items()}
    given |= {"timestamp": np.int64(bar(60).timestamp), "funding_rate": None}  # type: ignore[dict-item]
    assert plain(plainly.decide("A", bar(60))) == plain(otherwise.decide("A", given))
    loose: Any = replace(bar(61), timestamp=float(bar(61).timestamp), close=np.float32(100.0625))  # type: ignore[arg-type]
    strict = replace(bar(61), close=100.0625)
    assert plain(plainly.decide("A", strict)) == plain(otherwise.decide("A", loose))
    assert type(otherwise.histories["A"].last_timestamp) is int


def test_a_huge_text_for_a_number_is_not_repeated_in_the_reason() -> None:
    """A reason stays a sentence whatever a feed sends."""
    one = judge(Reader())
    assert len(one.decide("A", {**vars(bar(0)), "close": "x" * 1_000_000}).reason) < 400


def test_a_symbol_that_is_no_text_costs_the_others_nothing() -> None:
    """It is HOLD with the reason; the rest of the batch is decided."""
    one = judge(Reader())
    one.warmup({"A": bars(60)})
    keys: Any = {5: bar(60), None: bar(60), "A": bar(60)}
    decisions: Any = one.decide_batch(keys)
    assert [decisions[key].reason.startswith("bad bar: its symbol is") for key in keys] == [True, True, False]
    assert decisions["A"].source == "tft"


def test_one_batch_gets_no_more_histories_than_the_limit() -> None:
    """The first symbols of a batch that is too large get a history, those known before keep theirs."""
    one = judge(Reader(), live=LiveConfig(max_symbols=3))
    one.decide("known", bar(0))
    decisions = one.decide_batch(dict.fromkeys(("A", "B", "C", "D", "known"), bar(1)))
    assert one.histories.symbols() == ["known", "A", "B"]
    assert [decisions[name].reason for name in ("C", "D")] == ["too many symbols"] * 2
    assert decisions["known"].reason == "insufficient history"


@pytest.mark.parametrize("form", ["list", "frame"])
def test_an_open_bar_at_the_end_of_a_warm_up_is_left_out(form: str) -> None:
    """Venues list the open bar last; once it has closed it is decided on as if it had never been shown."""
    now = Now(60.5)
    careful, careless = judge(Reader(), now=now), judge(Reader(), now=now)
    careful.warmup({"A": bars(60)})
    shown = [*bars(60), replace(bar(60), high=bar(60).high * 1.001)]
    past = shown if form == "list" else pd.DataFrame([vars(each) for each in shown])
    careless.warmup({"A": past})
    now.hours = 61.0
    assert plain(careful.decide("A", bar(60))) == plain(careless.decide("A", bar(60)))


def test_a_warm_up_reads_freqtrades_frames_and_refuses_frames_without_times() -> None:
    """A column "date" holds the times; the row numbers of a frame without times are none."""
    frame = pd.DataFrame([vars(each) for each in bars(60)])
    moments = pd.to_datetime(frame["timestamp"], unit="ms", utc=True)
    one = judge(Reader())
    one.warmup({"A": frame.drop(columns="timestamp").assign(date=moments)})
    assert one.histories["A"].last_timestamp == bar(59).timestamp
    with pytest.raises(DataError, match="no times"):
        one.warmup({"B": frame.drop(columns="timestamp")})


def test_bars_that_break_their_promise_are_refused() -> None:
    """`Bars` put together by hand are checked before a history begins; bars before the fault stay."""
    good = synthetic_bars(SyntheticConfig(bars=80, seed=1))
    close = good.close.copy()
    close[70] = np.nan
    one = judge(Reader())
    with pytest.raises(DataError, match="positive number"):
        one.warmup({"A": replace(good, close=close)})
    assert one.histories["A"].last_timestamp == good.timestamp[69]


def test_health_and_decisions_go_on_while_histories_are_replaced() -> None:
    """Decisions, restores, snapshots and health of the same symbols at once: no error, no lost count."""
    calm = judge(Reader())
    calm.warmup({"A": walk(600, 1)})
    reference = fit_drift([calm.histories["A"].features()], bars=5)
    one = judge(None, None, FakeAgent(), drift=reference)
    names = ["A", "B", "C"]
    one.warmup({name: walk(260, 1) for name in names})
    saved, feed = one.snapshot(), walk(500, 1)
    errors: list[BaseException] = []

    def keep(call: Any) -> threading.Thread:
        def work() -> None:
            try:
                for turn in range(25):
                    call(turn)
            except BaseException as error:
                errors.append(error)

        return threading.Thread(target=work)

    calls = [
        lambda turn: one.decide_batch(dict.fromkeys(names, feed[260 + turn])),
        lambda turn: one.decide_batch(dict.fromkeys(names, feed[300 + turn])),
        lambda turn: one.restore(saved),
        lambda turn: one.health(),
        lambda turn: one.snapshot(),
    ]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [keep(call) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=PATIENCE)
    finally:
        sys.setswitchinterval(before)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []
    assert one.drift_watch is not None
    full, counts = one.drift_watch._rings.full(names)
    assert len(full) == len(names)
    assert (counts.sum(axis=2) == 5).all()


class Odd(FakeAgent):
    """An XGBoost whose answer is given."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = np.array(answer, dtype=np.float32)

    def signals(self, inputs: ModelInputs) -> Signals:
        return Signals(probabilities=self.answer)


@pytest.mark.parametrize(
    "answer",
    [[[0.5, 0.5]], [[0.2, 0.5, 0.3]] * 2, [[0, np.inf, 0]], [[0.6, -0.1, 0.5]], [[0.1, 7.0, 0.2]]],
)
def test_what_cannot_be_probabilities_is_no_answer(answer: Any) -> None:
    """Wrong shapes, infinities and numbers below 0 or above 1 are a model's fault, not a decision."""
    behind, pooled = (
        judge(None, None, Odd(answer)),
        judge(FakeTFT(), None, Odd(answer), pool=("tft", "xgboost"), trees_share=0.5),
    )
    for one, source in ((behind, "none"), (pooled, "tft")):
        one.warmup({"A": bars(60)})
        assert one.decide("A", bar(60)).source == source


def held(monkeypatch: pytest.MonkeyPatch) -> tuple[Arbiter, HeldTFT]:
    """An Arbiter with a budget of 5 ms, which begins to run when the TFT is at work, and its slow TFT.

    However slow the machine is, the pass has begun and XGBoost is waited for.
    """
    monkeypatch.setattr("quantum_trader.agents.batcher.STOP_S", PATIENCE)
    monkeypatch.setattr("quantum_trader.agents.panel.LAST_RESORT_MS", 1_000.0 * PATIENCE)
    monkeypatch.setattr("quantum_trader.agents.timed_member.HANG_S", PATIENCE)
    tft = HeldTFT()
    one = judge(tft, None, FakeAgent(), latency_budget_ms=5.0, pool=("tft",))
    one.warmup({"A": bars(60)})
    submit = one.networks.batcher.submit

    def begun(inputs: ModelInputs) -> Future[Any]:
        future = submit(inputs)
        assert tft.begun.wait(PATIENCE)
        return future

    one.networks.batcher.submit = begun  # type: ignore[method-assign]
    return one, tft


def test_a_slow_pass_counts_once_and_is_not_followed_by_those_who_gave_it_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """XGBoost answers everybody meanwhile; five late answers of one pass are one failure and no more work."""
    one, tft = held(monkeypatch)
    reasons = [one.decide("A", bar(step)).reason for step in range(60, 65)]
    assert all(reason.startswith("TFT took longer than 5 ms: confidence") for reason in reasons)
    assert (one.breakers["tft"].failures, one.breakers["tft"].state) == (1, "closed")
    tft.go.set()
    one.networks.batcher.stop()
    assert tft.calls == 1


def test_a_tft_that_is_always_late_is_left_to_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer after the budget is no success: three late passes in a row open the breaker."""
    one, tft = held(monkeypatch)
    one.breakers["tft"]._clock = lambda: 0.0
    for step in range(60, 63):
        assert one.decide("A", bar(step)).source == "xgboost"
        tft.go.set()
        one.networks.batcher.stop()
        tft.go.clear()
        tft.begun.clear()
    assert one.decide("A", bar(63)).reason.startswith("TFT resting after failures")
    assert tft.calls == 3


def test_an_answer_that_arrives_as_time_runs_out_is_taken() -> None:
    """Between the end of the wait and the look at the clock the pass may finish: its answer counts."""

    class JustInTime(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:
            found = super().result(PATIENCE)
            if timeout is not None:
                raise TimeoutError
            return found

    one = judge(FakeTFT(), None, FakeAgent(), latency_budget_ms=5.0, pool=("tft",))
    one.warmup({"A": bars(60)})
    submit = one.networks.batcher.submit

    def late(inputs: ModelInputs) -> Future[Any]:
        future = JustInTime()
        future.set_result(submit(inputs).result(PATIENCE))
        return future

    one.networks.batcher.submit = late  # type: ignore[method-assign]
    assert one.decide("A", bar(60)).source == "tft"
    assert one.breakers["tft"].failures == 0


@pytest.mark.parametrize("pool", [("tft",), ("tft", "xgboost")])
def test_a_window_is_strange_beyond_the_limit_and_not_at_it(pool: tuple[str, ...]) -> None:
    """A quarter of the values at the scaler's bounds is still the TFT's to judge, one more is not."""
    one = judge(FakeTFT(), None, FakeAgent(), pool=pool, clipped_share_limit=0.25)
    windows = np.zeros((2, 60 * 14), np.float32)
    windows[0, :210] = REFERENCE_SCALER.clip
    windows[1, :211] = -REFERENCE_SCALER.clip
    inputs = ModelInputs(windows=windows.reshape(2, 60, 14), context=np.zeros((2, 14), np.float32))
    decisions = one.decide_inputs(inputs)
    assert decisions.source == ("+".join(pool), "xgboost")
    assert decisions.reason[1].startswith("out of distribution: ")


def test_clocks_may_differ_by_the_tolerance() -> None:
    """A bar two seconds before its close is taken, one millisecond earlier it is still open."""
    now = Now(61.0 - 2_001 / HOUR)
    one = judge(Reader(), now=now)
    one.warmup({"A": bars(60)})
    assert one.decide("A", bar(60)).reason == "bar still open"
    now.hours = 61.0 - 2_000 / HOUR
    assert one.decide("A", bar(60)).source == "tft"


def test_a_bar_is_late_after_the_limit_and_not_at_it() -> None:
    """Half a bar late is in time where half a bar is allowed."""
    now = Now(61.5)
    one = judge(Reader(), now=now, live=LiveConfig(max_delay_bars=0.5))
    one.warmup({"A": bars(60)})
    assert one.decide("A", bar(60)).source == "tft"
    now.hours = 62.5 + 1 / HOUR
    assert one.decide("A", bar(61)).reason == "late bar"


def test_a_window_that_fills_anew_after_a_gap_is_warming_up() -> None:
    """Its indicators are old enough, its bars are too few."""
    one = judge(Reader())
    one.warmup({"A": walk(300, 1)})
    decision = one.decide("A", bar(310))
    assert (decision.reason, decision.warming_up) == ("insufficient history", True)


def test_locks_are_taken_in_one_order() -> None:
    """Whatever the order of a batch: two batches that took theirs crosswise would wait for ever."""
    one = judge(Reader())
    names = ["B", "C", "A"]
    one.warmup({name: bars(60) for name in names})
    taken: list[str] = []

    class Noted:
        def __init__(self, name: str) -> None:
            self.name = name

        def __enter__(self) -> None:
            taken.append(self.name)

        def __exit__(self, *_: object) -> None:
            pass

    for name in names:
        one.histories[name].lock = Noted(name)  # type: ignore[assignment]
    one.decide_batch(dict.fromkeys(names, bar(60)))
    assert taken[:3] == ["A", "B", "C"]


def test_a_symbol_is_stale_after_the_limit_and_not_at_it() -> None:
    """Three bars after the close of its newest one a symbol is not stale yet."""
    now = Now(63.0)
    one = judge(Reader(), now=now)
    one.warmup({"A": bars(60)})
    assert one.health().stale == ()
    now.hours = 63.0 + 1 / HOUR
    assert one.health().stale == ("A",)


@pytest.mark.parametrize(("every", "warned"), [(1 / 12, True), (4, True), (1, False)])
def test_bars_of_another_length_are_warned_of(every: float, warned: bool) -> None:
    """Five-minute and four-hour bars in an hourly Arbiter are named; a few missing hours are not."""
    one = judge(Reader())
    hours = [step * every for step in range(70) if every != 1 or step % 9 != 0]
    for step, hour in enumerate(hours):
        decision = one.decide("A", replace(bar(step), timestamp=int(hour * HOUR)))
    assert decision.source == "tft" or not warned
    assert any("s are expected" in warning for warning in decision.warnings) is warned


def test_threads_with_new_symbols_share_the_room_there_is() -> None:
    """However many callers bring new symbols at once, no more than the limit get a history."""
    one = judge(Reader(), live=LiveConfig(max_symbols=50))
    gate = threading.Barrier(8)
    refused: list[int] = []

    def send(number: int) -> None:
        names = [f"{number}-{each}" for each in range(100)]
        gate.wait()
        decisions = one.decide_batch(dict.fromkeys(names, bar(0)))
        refused.append(sum(each.reason == "too many symbols" for each in decisions.values()))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(one.histories) == 50
    assert sum(refused) == 750


def test_no_way_leads_past_the_limit_of_symbols() -> None:
    """Bars are HOLD; warm-ups and snapshots of too many symbols are refused whole."""
    wide = judge(Reader())
    wide.warmup({name: bars(60) for name in "ABC"})
    one = judge(Reader(), live=LiveConfig(max_symbols=2))
    for refused in (
        lambda: one.warmup({name: bars(60) for name in "ABC"}),
        lambda: one.restore(wide.snapshot()),
    ):
        with pytest.raises(DataError, match="3 new symbols besides the 0 known ones: at most 2"):
            refused()
        assert one.histories.symbols() == []
    assert one.warmup({"A": bars(60), "B": bars(60)}) == {"A": 60, "B": 60}
    with pytest.raises(DataError, match="1 new symbols besides the 2"):
        one.add_to_history("C", bars(60))
    assert one.decide("C", bar(60)).reason == "too many symbols"
    assert one.warmup({"A": bars(61)}) == {"A": 60}
