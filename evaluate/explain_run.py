"""`explain_at`: one prediction of a finished run, looked up by symbol and moment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quantum_trader.agents.live import LiveAgent
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.envs.bars import epoch_ms
from quantum_trader.envs.context import HORIZONS
from quantum_trader.envs.errors import ConfigError, DataError
from quantum_trader.envs.market import Market
from quantum_trader.envs.windows import WINDOW, gather
from quantum_trader.evaluate.experiment import read_run
from quantum_trader.evaluate.explanation import Prediction
from quantum_trader.evaluate.one_prediction import explain_one
from quantum_trader.evaluate.report import format as text
from quantum_trader.evaluate.report.data import PriceWindow
from quantum_trader.evaluate.run_config import MarketConfig, RunConfig
from quantum_trader.evaluate.run_data import load_markets
from quantum_trader.train.splits import calendar_cuts


@dataclass(frozen=True, kw_only=True)
class ExplainedPrediction:
    """One prediction of a run with the bars it was made on."""

    prediction: Prediction
    """What stands behind it."""
    seen: PriceWindow
    """The window's bars, and as many after it as the longest horizon, where there are."""
    note: str
    """Whether the agent was fitted on this bar."""


def explain_at(
    folder: Path, *, symbol: str = "", at: str = "", agent: str = "tft", market: MarketConfig | None = None
) -> ExplainedPrediction:
    """Explain what a run's network says at the close of one bar.

    Args:
        folder: the run.
        symbol: which symbol; "" where the data hold one.
        at: open of the bar decided on, UTC, e.g. "2025-01-03 12:00"; "" takes the last usable bar.
        agent: "tft", "bilstm", "xgboost", "ensemble" or "logistic"; only the first two have weights to show.
        market: other data than the run's own.

    Raises:
        ConfigError: no run, no such agent, or not a moment.
        DataError: no such symbol, or no usable window ends at that bar.
        ModelFolderError: the agent's folder is missing or damaged.
    """
    config = read_run(folder)
    asked = _load(folder, agent)
    markets = load_markets(market if market is not None else config.market)
    found = _named(markets, symbol).with_scaler(asked.scaler)
    row = _row(found, at)
    inputs = ModelInputs(
        windows=gather(found.table, np.array([row], dtype=np.int64)), context=found.context[[row]]
    )
    moment = int(found.bars.timestamp[row])
    return ExplainedPrediction(
        prediction=explain_one(asked, inputs, symbol=found.symbol, timestamp=moment),
        seen=_seen(found, row, max(HORIZONS)),
        note=_note(config, markets, moment) if market is None else "",
    )


def _load(folder: Path, name: str) -> LiveAgent:
    path = folder / "models" / name
    if name == "tft":
        from quantum_trader.agents.tft.agent import TFTAgent

        return TFTAgent.load(path)
    if name == "bilstm":
        from quantum_trader.agents.bilstm.agent import BiLSTMAgent

        return BiLSTMAgent.load(path)
    if name == "xgboost":
        from quantum_trader.agents.xgboost_agent import XGBoostAgent

        return XGBoostAgent.load(path)
    if name == "ensemble":
        from quantum_trader.agents.ensemble_agent import EnsembleAgent

        return EnsembleAgent.load(path)
    if name == "logistic":
        from quantum_trader.agents.logistic import LogisticAgent

        return LogisticAgent.load(path)
    raise ConfigError(f"agent: expected tft, bilstm, xgboost, ensemble or logistic, found {name!r}.")


def _named(markets: list[Market], symbol: str) -> Market:
    names = [market.symbol for market in markets]
    if not symbol and len(markets) == 1:
        return markets[0]
    if symbol not in names:
        found = f"no symbol {symbol!r}" if symbol else "several symbols"
        raise DataError(f"The data hold {found}: name one of {', '.join(names)}.")
    return markets[names.index(symbol)]


def _row(market: Market, at: str) -> int:
    """The bar that opens at `at`; the last usable one if it is empty."""
    usable = np.flatnonzero(market.usable)
    if not at:
        return int(usable[-1])
    import pandas as pd

    try:
        wanted = epoch_ms(pd.Timestamp(at))
    except ValueError as error:
        raise ConfigError(f"at: expected a UTC moment such as 2025-01-03 12:00, found {at!r}.") from error
    row = int(np.searchsorted(market.bars.timestamp, wanted))
    if row < len(market) and market.bars.timestamp[row] == wanted and market.usable[row]:
        return row
    nearest = usable[np.abs(market.bars.timestamp[usable] - wanted).argmin()]
    raise DataError(
        f"{market.symbol}: no usable window of {WINDOW} bars ends with a bar that opens at "
        f"{text.minute(wanted)} UTC; the nearest that does opens at "
        f"{text.minute(market.bars.timestamp[nearest])}."
    )


def _seen(market: Market, row: int, after: int) -> PriceWindow:
    start, stop = row - WINDOW + 1, min(row + after + 1, len(market))
    bars = market.bars[start:stop]
    return PriceWindow(
        symbol=market.symbol,
        decision=row - start,
        timestamps=bars.timestamp,
        open=bars.open,
        high=bars.high,
        low=bars.low,
        close=bars.close,
    )


def _note(config: RunConfig, markets: list[Market], moment: int) -> str:
    cuts = calendar_cuts(markets, config.splits)
    if moment >= cuts.validation_end:
        return "A bar of the test period, which nothing was fitted on."
    if moment >= cuts.train_end:
        return "A bar of the validation period: thresholds were fitted on it."
    return "A bar of the training period: the agent may know its outcome by heart."
