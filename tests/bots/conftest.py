"""One small finished run on a made-up perpetual, the bars a bot is then given, and what we decide on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from quantum_trader.agents import Decisions, ModelInputs, load_arbiter
from quantum_trader.envs import Bars, Market, SyntheticConfig, guess_preset, synthetic_bars, write_bars
from quantum_trader.envs.windows import gather

from ..conftest import QUICK

SYMBOL = "BTCUSDT"
TICK = 2  # decimals of a price


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Our own backtest's answers: row i of `decisions` is about bar `ends[i]` of `market`."""

    market: Market
    ends: NDArray[np.int64]
    decisions: Decisions


def perpetual_bars(count: int, seed: int) -> Bars:
    """Hourly bars with funding, on a grid of 0.01 as a venue's are; each opens where the last closed."""
    made = synthetic_bars(SyntheticConfig(bars=count, seed=seed, symbol=SYMBOL, start_price=20_000.0))
    prices = ("open", "high", "low", "close", "mark_open", "mark_high", "mark_low", "mark_close")
    rounded = {name: getattr(made, name).round(TICK) for name in prices}
    rates = made.funding_rate.round(8)
    return replace(made, volume=made.volume.round(3), funding_rate=rates, **rounded)


@pytest.fixture(scope="session")
def bot_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run with TFT, PPO and XGBoost, trained on a market like the one the bots get."""
    from quantum_trader.serve.cli import main

    folder = tmp_path_factory.mktemp("bot")
    data = folder / f"{SYMBOL}.parquet"
    write_bars(perpetual_bars(4_000, seed=1), data)
    options = ("--name", "bot", "--out", str(folder), "--data", str(data), "--no-checks", *QUICK)
    # On a busy machine XGBoost would answer for a TFT that is late.
    options += ("--arbiter.latency-budget-ms", "0")
    assert main(["run", *options]) == 0
    return folder / "bot"


@pytest.fixture(scope="session")
def reference(bot_run: Path) -> Reference:
    """Our decisions on 1,500 new bars."""
    return answered(perpetual_bars(1_500, seed=2), bot_run)


def answered(bars: Bars, run: Path) -> Reference:
    """Every usable window of `bars`, asked about in one batch as a backtest asks."""
    arbiter = load_arbiter(run, strict=True)
    market = Market.build(bars, guess_preset(SYMBOL), arbiter.scaler)
    ends = np.flatnonzero(market.usable)
    inputs = ModelInputs(windows=gather(market.table, ends), context=market.context[ends])
    decisions = arbiter.decide_inputs(inputs)
    assert set(decisions.source) == {"tft+ppo+xgboost"}
    assert np.bincount(decisions.actions, minlength=3).min() > 20
    return Reference(market=market, ends=ends, decisions=decisions)
