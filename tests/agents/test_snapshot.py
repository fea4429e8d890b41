"""Histories saved and taken up again: the same bits, or one clear sentence."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.agents.arbiter_settings import ArbiterSettings
from quantum_trader.agents.history import LiveHistories, SymbolHistory
from quantum_trader.agents.live_config import LiveConfig
from quantum_trader.agents.snapshot import MAGIC, read_snapshot, write_snapshot
from quantum_trader.envs.bars import Bars
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.presets import preset
from quantum_trader.envs.scaler import REFERENCE_SCALER
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars

from .fakes import FakeAgent


def series(count: int, seed: int = 0) -> Bars:
    return synthetic_bars(SyntheticConfig(bars=count, volatility=0.004, seed=seed))


def with_gap(bars: Bars, at: int, hours: int) -> Bars:
    """The bars from `at` on come `hours` later."""
    timestamp = bars.timestamp.copy()
    timestamp[at:] += hours * bars.step_ms
    return replace(bars, timestamp=timestamp)


def same(one: SymbolHistory, other: SymbolHistory) -> bool:
    """Whether two histories stand at the same bits."""
    return (
        np.array_equal(one.window(), other.window(), equal_nan=True)
        and np.array_equal(one.context(), other.context())
        and (one.length, one.last_timestamp, one.close, one.atr)
        == (other.length, other.last_timestamp, other.close, other.atr)
    )


def histories(kept_bars: int = 3_000) -> LiveHistories:
    return LiveHistories(contracts={"A": preset("binance-btc")}, kept_bars=kept_bars)


@pytest.mark.parametrize("seen", [1, 14, 59, 60, 199, 260, 700])
def test_a_restored_history_goes_on_at_the_same_bits(seen: int) -> None:
    """After any number of bars, warm-up included, the restored windows equal the original's for ever."""
    bars = series(seen + 80)
    original = histories()
    for index in range(seen):
        original.add("A", bars.bar(index))
    restored = read_snapshot(write_snapshot(original), histories())["A"]
    assert same(original["A"], restored)
    for index in range(seen, seen + 80):
        original.add("A", bars.bar(index))
        restored.add(bars.bar(index))
        assert same(original["A"], restored)


def test_a_window_that_began_after_a_gap_is_restored_as_such() -> None:
    """How many bars fill the window is saved: a gap before the snapshot still counts after it."""
    bars = with_gap(series(420), 380, 30)
    original = histories()
    for index in range(400):
        original.add("A", bars.bar(index))
    assert original["A"].length == 20
    restored = read_snapshot(write_snapshot(original), histories())["A"]
    assert restored.length == 20
    for index in range(400, 420):
        original.add("A", bars.bar(index))
        restored.add(bars.bar(index))
    assert same(original["A"], restored)


def test_forgetting_old_bars_changes_no_feature_and_is_the_same_for_all() -> None:
    """Bar by bar, taken in at once, or restored on the way: equal bits, and memory stays bounded.

    With 1,000 kept bars an EMA200 remembers what came before by 5e-5 of it; with the 3,000 of the default
    by 1e-13, so that features equal those of a history that forgot nothing.
    """
    bars = series(3_300)
    streamed, at_once = histories(1_000), histories(1_000)
    for index in range(3_300):
        streamed.add("A", bars.bar(index))
        if index in (1_500, 2_400):
            streamed.replace(read_snapshot(write_snapshot(streamed), streamed))
    at_once.extend("A", bars)
    assert same(streamed["A"], at_once["A"])
    assert len(streamed["A"].bars) == len(at_once["A"].bars) == 1_300


def test_a_window_that_began_after_a_gap_survives_the_forgetting() -> None:
    """Streamed past the moment at which old bars go, or taken in at once: the window is as short as it is."""
    bars = with_gap(series(2_000), 1_985, 30)
    streamed, at_once = histories(1_000), histories(1_000)
    for index in range(2_000):
        streamed.add("A", bars.bar(index))
    at_once.extend("A", bars)
    assert len(streamed["A"].bars) == 1_000
    assert streamed["A"].length == 15
    assert same(streamed["A"], at_once["A"])


def test_the_default_forgets_nothing_that_float32_can_tell() -> None:
    """5,500 bars with the default 3,000 kept give the features of a history that keeps everything."""
    bars = series(5_500)
    bounded, whole = histories(), histories(1_000_000)
    for index in range(5_500):
        bounded.add("A", bars.bar(index))
        whole.add("A", bars.bar(index))
        if index > 3_900:
            np.testing.assert_allclose(bounded["A"].newest, whole["A"].newest, rtol=3e-7, atol=1e-9)
    assert len(bounded["A"].bars) < 4_000


def judge(**changes: Any) -> Arbiter:
    return Arbiter(
        tft=None,
        ppo=None,
        fallback=FakeAgent(),
        settings=ArbiterSettings(),
        scaler=REFERENCE_SCALER,
        **changes,
    )


def test_an_arbiter_restores_many_symbols_and_keeps_others() -> None:
    """Symbols of the snapshot are replaced, others stay, and decisions go on identically."""
    first, second = judge(), judge()
    for seed, name in enumerate(("A", "B", "C")):
        first.add_to_history(name, series(300, seed))
    second.add_to_history("D", series(100, 9))
    second.add_to_history("A", series(80, 8))
    assert second.restore(first.snapshot()) == {"A": 60, "B": 60, "C": 60}
    assert second.histories["D"].length == 60
    later = {name: series(301, seed).bar(300) for seed, name in enumerate(("A", "B", "C"))}
    ours, theirs = first.decide_batch(later), second.decide_batch(later)
    for name in later:
        assert replace(ours[name], latency_ms=0.0) == replace(theirs[name], latency_ms=0.0)


def damaged(data: bytes, how: str) -> bytes:
    length = int.from_bytes(data[8:16], "little")
    header = json.loads(data[16 : 16 + length])
    if how == "foreign":
        return b"PK\x03\x04" + data
    if how == "empty":
        return b""
    if how == "cut":
        return data[: len(data) // 2]
    if how == "header cut":
        return data[:40]
    if how == "flipped":
        return data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]
    changes: dict[str, dict[str, object]] = {
        "newer": {"format": 99, "more": 1},
        "features": {"feature_set": "99"},
        "step": {"step_ms": 60_000},
    }
    header |= changes[how]
    text = json.dumps(header).encode()
    return MAGIC + len(text).to_bytes(8, "little") + text + data[16 + length :]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("foreign", "no snapshot"),
        ("empty", "no snapshot"),
        ("cut", "damaged"),
        ("header cut", "damaged"),
        ("flipped", "damaged"),
        ("newer", "newer"),
        ("features", "feature set"),
        ("step", "60000 ms"),
    ],
)
def test_what_cannot_be_restored_is_one_sentence_and_changes_nothing(how: str, words: str) -> None:
    """Damaged, foreign, newer snapshots and those of other bars are refused; the histories stay."""
    one = judge()
    one.add_to_history("A", series(300))
    data = one.snapshot()
    before = one.histories["A"].window()
    with pytest.raises(ConfigError, match=words):
        one.restore(damaged(data, how))
    np.testing.assert_array_equal(one.histories["A"].window(), before)


def test_kept_bars_have_a_floor() -> None:
    """Fewer than 1,000 kept bars would shorten the warm-up of EMA200, and are refused."""
    with pytest.raises(ConfigError, match="1,000"):
        LiveConfig(kept_bars=500)


def forged(data: bytes, row: int, column: int, value: float) -> bytes:
    """A snapshot with another number in its bars, and the hash that suits it."""
    length = int.from_bytes(data[8:16], "little")
    header = json.loads(data[16 : 16 + length])
    table = np.frombuffer(data[16 + length :], dtype="<f8").reshape(-1, 7).copy()
    table[row, column] = value
    header["sha256"] = hashlib.sha256(table.tobytes()).hexdigest()
    text = json.dumps(header).encode()
    return MAGIC + len(text).to_bytes(8, "little") + text + table.tobytes()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (0, np.nan),
        (0, 0.5),
        (0, 1e300),
        (0, 0.0),
        (1, np.nan),
        (2, np.inf),
        (2, 1e-9),
        (3, -1.0),
        (3, np.nan),
        (4, 1e9),
        (5, -1.0),
        (5, np.inf),
        (6, np.inf),
    ],
)
def test_bars_that_cannot_be_are_refused_whatever_the_hash_says(column: int, value: float) -> None:
    """A forged snapshot is one sentence that names the symbol, and no history is touched by it."""
    one = judge()
    one.add_to_history("A", series(300))
    data = one.snapshot()
    with pytest.raises(ConfigError, match="damaged: A has"):
        judge().restore(forged(data, 150, column, value))
    assert judge().restore(forged(data, 150, 6, 0.001)) == {"A": 60}


def test_headers_that_cannot_be_are_refused() -> None:
    """A symbol twice, a header nested without end, and what is not bytes: one sentence each."""
    one = judge()
    one.add_to_history("A", series(100))
    data: Any = one.snapshot()
    length = int.from_bytes(data[8:16], "little")
    header = json.loads(data[16 : 16 + length])
    header["symbols"] = [{"symbol": "A", "bars": 50, "filled": 50}] * 2
    text = json.dumps(header).encode()
    with pytest.raises(ConfigError, match="twice"):
        one.restore(MAGIC + len(text).to_bytes(8, "little") + text + data[16 + length :])
    with pytest.raises(ConfigError, match="cannot be read"):
        one.restore(MAGIC + (200_000).to_bytes(8, "little") + b"[" * 200_000)
    with pytest.raises(ConfigError, match="bytes, found str"):
        one.restore(data.hex())
    assert one.restore(memoryview(data)) == {"A": 60}  # type: ignore[arg-type]
