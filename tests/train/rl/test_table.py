"""Encoded markets: row t is what the policy is told of the window that ends at bar t, kept in files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quantum_trader.agents.policy_agent import market_state
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.envs.errors import TrainingError
from quantum_trader.envs.market import Market
from quantum_trader.envs.mirror import mirrored_market
from quantum_trader.envs.vector_env import FuturesTradingVectorEnv
from quantum_trader.envs.windows import WINDOW, gather
from quantum_trader.train.rl import table as module
from quantum_trader.train.rl.table import encode_market, encode_markets

from ...agents.tiny_tft import tiny_tft
from . import tiny_policy
from .tiny_policy import CONFIG


def _inputs(market: Market, bars: Any) -> ModelInputs:
    return ModelInputs(windows=gather(market.table, bars, WINDOW), context=market.context[bars])


def _markets() -> list[Market]:
    """Three short cuts."""
    whole = tiny_policy.market()
    return [whole.rows(260, 360), whole.rows(400, 480), whole.rows(500, 590)]


@pytest.fixture
def saved(tmp_path: Path) -> TFTAgent:
    """An encoder with a hash."""
    agent = tiny_tft()
    agent.save(tmp_path / "tft")
    return agent


@pytest.mark.parametrize("features", ["encoder", "outputs", "both"])
def test_rows_are_the_encoders_output(monkeypatch: pytest.MonkeyPatch, features: Any) -> None:
    """At usable bars the table holds what the agent makes of the window that ends there, zeros elsewhere,
    also where the bars do not fill the last batch."""
    monkeypatch.setattr(module, "_ENCODE_BATCH", 64)
    tft, market = tiny_policy.tft(), tiny_policy.market().rows(230, 460)
    encoded = encode_market(tft, market, features)
    assert encoded.market is market
    assert encoded.table.dtype == np.float32
    usable = np.flatnonzero(market.usable)
    assert len(usable) % 64 > 0
    expected = market_state(tft, tft.encode(_inputs(market, usable)), features)
    np.testing.assert_allclose(encoded.table[usable], expected, atol=1e-5)
    assert not encoded.table[~market.usable].any()
    alone = market_state(tft, tft.encode(_inputs(market, usable[37:38])), features)
    np.testing.assert_allclose(encoded.table[usable[37]], alone[0], atol=1e-5)
    assert encoded.table[usable].std() > 0


def test_start_leaves_earlier_bars_out() -> None:
    """Bars before `start` stay zeros, those from it on are as ever."""
    market = _markets()[0]
    whole, late = (encode_market(tiny_policy.tft(), market, "outputs", start=start) for start in (0, 80))
    assert not late.table[:80].any()
    np.testing.assert_allclose(late.table[80:], whole.table[80:], atol=1e-5)


def test_seen_through_the_agents_scaler(saved: TFTAgent, tmp_path: Path) -> None:
    """A market scaled otherwise is encoded as the agent's own scaler shows it, in memory and in files."""
    market = tiny_policy.market().rows(240, 400)
    other = replace(market.scaler, center=tuple(value + 1 for value in market.scaler.center))
    expected = encode_market(saved, market).table
    for found in (
        encode_market(saved, market.with_scaler(other)),
        encode_markets(saved, [market.with_scaler(other)], "encoder", tmp_path)[0],
    ):
        assert found.market.scaler == saved.scaler
        np.testing.assert_array_equal(found.table, expected)


def test_nothing_usable_is_refused() -> None:
    """A market that ends within its warm-up is a `TrainingError` that names it."""
    with pytest.raises(TrainingError, match="TINY: no usable window"):
        encode_market(tiny_policy.tft(), tiny_policy.market().rows(0, 100))


def test_a_broken_encoder_leaves_no_file(tmp_path: Path) -> None:
    """An encoder that answers not-a-number is a `TrainingError` before anything trains on it, and neither a
    whole file nor a part of one is left."""
    broken = tiny_tft()
    with torch.no_grad():
        for weight in broken.model.encoder.output_gate.parameters():
            weight.fill_(torch.nan)
    with pytest.raises(TrainingError, match="TINY: the encoder's output is not finite"):
        encode_market(broken, _markets()[0])
    broken.save(tmp_path / "tft")
    with pytest.raises(TrainingError, match="not finite"):
        encode_markets(broken, _markets(), "both", tmp_path / "tables")
    assert list((tmp_path / "tables").iterdir()) == []


def test_a_file_appears_whole_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, saved: TFTAgent, tmp_path: Path
) -> None:
    """Cut off in the second of three markets, nothing lies under the final name; a next call encodes all."""
    encode = module.encode_market
    begun: list[str] = []

    def cut(*arguments: Any, **options: Any) -> Any:
        begun.append("market")
        if len(begun) == 2:
            raise KeyboardInterrupt
        return encode(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(module, "encode_market", cut)
        with pytest.raises(KeyboardInterrupt):
            encode_markets(saved, _markets(), "outputs", tmp_path / "tables")
    assert not list((tmp_path / "tables").glob("*.npy"))
    found = encode_markets(saved, _markets(), "outputs", tmp_path / "tables")
    assert all(item.table[item.market.usable].any(axis=1).all() for item in found)


def test_found_again_without_encoding(
    monkeypatch: pytest.MonkeyPatch, saved: TFTAgent, tmp_path: Path
) -> None:
    """The same encoder, features and markets are read from the one file, memory-mapped, equal to what was
    encoded; nothing is encoded a second time."""
    first = encode_markets(saved, _markets(), "outputs", tmp_path / "tables")
    with monkeypatch.context() as patch:
        patch.setattr(module, "encode_market", None)
        again = encode_markets(saved, _markets(), "outputs", tmp_path / "tables")
    (path,) = (tmp_path / "tables").iterdir()
    assert path.suffix == ".npy"
    assert len(np.load(path, mmap_mode="r")) == sum(map(len, _markets()))
    for one, other, market in zip(first, again, _markets(), strict=True):
        np.testing.assert_array_equal(one.table, other.table)
        np.testing.assert_array_equal(one.table, encode_market(saved, market, "outputs").table)
        assert isinstance(other.table.base.base, np.memmap)
        assert not other.table.flags.writeable


def test_anything_else_gets_another_file(saved: TFTAgent, tmp_path: Path) -> None:
    """Another encoder, number format, features, range, order or mirror image is never mistaken for it."""
    other = tiny_tft(seed=4)
    other.save(tmp_path / "other")
    rounded = TFTAgent.load(tmp_path / "tft", precision="bf16")
    one, two, three = _markets()
    whole = tiny_policy.market()
    cases: list[tuple[TFTAgent, list[Market], Any]] = [
        (saved, [one, two, three], "outputs"),
        (saved, [one, two, three], "encoder"),
        (other, [one, two, three], "outputs"),
        (rounded, [one, two, three], "outputs"),
        (saved, [one, two], "outputs"),
        (saved, [two, one, three], "outputs"),
        (saved, [one.rows(0, 99), two, three], "outputs"),
        (saved, [mirrored_market(whole).rows(260, 360), two, three], "outputs"),
        (saved, [whole.rows(400, 470), whole.rows(470, 540)], "outputs"),
        (saved, [whole.rows(400, 471), whole.rows(471, 540)], "outputs"),
    ]
    for number, (tft, markets, features) in enumerate(cases, start=1):
        found = encode_markets(tft, markets, features, tmp_path / "tables")
        assert len(list((tmp_path / "tables").iterdir())) == number
        np.testing.assert_array_equal(found[0].table, encode_market(tft, markets[0], features).table)


def test_an_unsaved_encoder_is_refused(tmp_path: Path) -> None:
    """Without a hash nothing could be found again: a `TrainingError` says to save first."""
    with pytest.raises(TrainingError, match="save it first"):
        encode_markets(tiny_tft(), _markets(), "outputs", tmp_path)


def test_environments_use_the_file_in_place(saved: TFTAgent, tmp_path: Path) -> None:
    """A vector environment over the tables of one file reads them where they lie, and observes what it does
    over copies."""
    items = encode_markets(saved, _markets(), "outputs", tmp_path / "tables")
    env = replace(CONFIG.env, episode_bars=8)

    def made(tables: list[Any]) -> FuturesTradingVectorEnv:
        markets = [item.market for item in items]
        return FuturesTradingVectorEnv(markets, 5, env, observation="table", tables=tables)

    in_place, copied = made([item.table for item in items]), made([item.table.copy() for item in items])
    joined = in_place._observer._table
    assert joined is not None
    assert all(np.shares_memory(joined, item.table) for item in items)
    assert len(joined) == sum(map(len, _markets()))
    assert not np.shares_memory(copied._observer._table, joined)
    rng = np.random.default_rng(0)
    found, expected = in_place.reset(seed=2)[0], copied.reset(seed=2)[0]
    for _ in range(30):
        for name in ("embedding", "account"):
            np.testing.assert_array_equal(found[name], expected[name])
        rows = [items[m].table[t] for m, t in zip(in_place.market, in_place.bar, strict=True)]
        np.testing.assert_array_equal(found["embedding"], np.stack(rows))
        actions = rng.integers(0, 3, 5)
        found, expected = in_place.step(actions)[0], copied.step(actions)[0]
    (alone,) = encode_markets(saved, _markets()[:1], "outputs", tmp_path / "tables")
    single = FuturesTradingVectorEnv([alone.market], 1, env, observation="table", tables=[alone.table])
    assert np.shares_memory(single._observer._table, alone.table)
