"""The market that everything is measured on, as this project's dataset and as the peers' task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantum_trader.agents.signals import ModelInputs
from quantum_trader.agents.tft import TFTConfig
from quantum_trader.agents.tft.scaling import ReturnScale, fit_return_scale
from quantum_trader.envs import REFERENCE_SCALER, Market, SyntheticConfig, preset, synthetic_bars
from quantum_trader.envs.context import STATIC_SIZE, calendar
from quantum_trader.train.data_config import LabelConfig
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.labels import triple_barrier
from tft_peers.task import Task

BARS = 10_000


@dataclass(frozen=True, kw_only=True)
class Data:
    """Labelled rows of one synthetic market."""

    market: Market
    rows: PooledDataset
    scale: ReturnScale

    @classmethod
    def synthetic(cls) -> Data:
        """Hourly bars of a random walk with changing volatility."""
        market = Market.build(synthetic_bars(SyntheticConfig(bars=BARS)), preset("binance-btc"))
        rows = PooledDataset([market], [triple_barrier(market, LabelConfig(barrier_atr=2.0))])
        newest = rows.windows(np.arange(len(rows)))[:, -1]
        return cls(market=market, rows=rows, scale=fit_return_scale(newest, rows.returns, REFERENCE_SCALER))

    def inputs(self, count: int) -> ModelInputs:
        """The first observations."""
        return self.rows.inputs(np.arange(count))

    def task(self, model: TFTConfig, *, batch: int, threads: int, keep_memory: bool) -> Task:
        """The same bars for the peers, and the size of `model`."""
        usable = np.flatnonzero(np.isfinite(self.market.table).all(axis=1))
        part = slice(usable[0], None)
        close = self.market.bars.close
        return Task(
            features=self.market.table[part],
            known=calendar(self.market.bars.timestamp)[part],
            static=self.market.context[part, :STATIC_SIZE],
            target=np.diff(np.log(close), prepend=np.log(close[0])).astype(np.float32)[part],
            quantiles=np.array(model.quantiles),
            window=model.window,
            horizons=len(model.horizons),
            hidden=model.hidden,
            heads=model.heads,
            lstm_layers=model.lstm_layers,
            dropout=model.dropout,
            batch=batch,
            threads=threads,
            keep_memory=keep_memory,
        )
