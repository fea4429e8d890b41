"""`streaming_equals_batch` passes the product's stream and fails streams that forget, lag or start late."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quantum_trader.envs.bars import Bar, Bars
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.market import Market
from quantum_trader.envs.stream import FeatureRow, FeatureStream
from quantum_trader.evaluate.checks.streaming import OpenStream, Stream, streaming_equals_batch


class Forgetful:
    """Drops the funding rate of every bar."""

    def __init__(self, contract: FuturesContract, bars: Bars) -> None:
        self.stream = FeatureStream.from_bars(contract, bars)[0]

    def update(self, bar: Bar) -> FeatureRow:
        return self.stream.update(replace(bar, funding_rate=float("nan")))


class Late(Forgetful):
    """Answers with the row of the bar before."""

    row: FeatureRow | None = None

    def update(self, bar: Bar) -> FeatureRow:
        row = self.stream.update(bar)
        before, self.row = self.row or row, row
        return before


def short(contract: FuturesContract, bars: Bars) -> Stream:
    """Sees the last 220 bars only: its long averages begin elsewhere."""
    return FeatureStream.from_bars(contract, bars[-220:])[0]


def test_own_stream_passes(market: Market) -> None:
    """The product's stream gives every bit of the batch."""
    found = streaming_equals_batch(market.bars[-900:], market.contract)
    assert found.passed is True, found.detail


@pytest.mark.parametrize(
    ("fault", "column"), [(Forgetful, "funding_rate"), (Late, "log_return"), (short, "ema_200_gap")]
)
def test_faulty_streams_fail(fault: OpenStream, column: str, market: Market) -> None:
    """A stream that forgets, lags or starts late fails, and the column is named."""
    found = streaming_equals_batch(market.bars[-900:], market.contract, fault)
    assert found.passed is False
    assert column in found.detail


def test_short_series_are_not_asked(market: Market) -> None:
    """Too few bars give no verdict."""
    assert streaming_equals_batch(market.bars[:250], market.contract).passed is None
