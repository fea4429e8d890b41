"""Members for the Arbiter's tests that answer what they are told, or break on purpose."""

from __future__ import annotations

import threading
import time

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.network_agent import Encoded
from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.envs.bars import Bar
from quantum_trader.envs.scaler import REFERENCE_SCALER

EMBEDDING = 4
PATIENCE = 300.0
"""Seconds after which a test that waits for another thread gives up."""


class FakeTFT:
    """Stands for a `TFTAgent`: fixed probabilities, or an exception, NaN or delay."""

    name = "tft"
    scaler = REFERENCE_SCALER
    model_hash = "tft"

    def __init__(
        self,
        probabilities: tuple[float, float, float] = (0.2, 0.5, 0.3),
        *,
        error: Exception | None = None,
        nan_rows: tuple[int, ...] = (),
        seconds: float = 0.0,
    ) -> None:
        self.probabilities = probabilities
        self.error = error
        self.nan_rows = nan_rows
        self.seconds = seconds
        self.calls = 0
        self.prepared = 0

    def get_ready(self, rows: int = 1) -> None:
        self.prepared = rows

    def encode(self, inputs: ModelInputs) -> Encoded:
        self.calls += 1
        if self.error is not None:
            raise self.error
        time.sleep(self.seconds)
        count = len(inputs)
        return Encoded(
            embedding=np.zeros((count, EMBEDDING), dtype=np.float32),
            outputs=np.zeros((count, 4, EMBEDDING), dtype=np.float32),
            attention=np.full((count, 60), 1 / 60, dtype=np.float32),
            importances=np.full((count, 14), 1 / 14, dtype=np.float32),
            unit=np.ones((count, 4), dtype=np.float32),
        )

    def answer(self, encoded: Encoded) -> Signals:
        count = len(encoded)
        table = np.tile(np.array(self.probabilities, dtype=np.float32), (count, 1))
        table[[row for row in self.nan_rows if row < count]] = np.nan
        return Signals(
            probabilities=table,
            quantiles=np.zeros((count, 4, 3), dtype=np.float32),
            attention=encoded.attention,
            importances=encoded.importances,
        )


class HeldTFT(FakeTFT):
    """A TFT whose passes last until the test lets them `go`; `begun` is set while one is under way."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go = threading.Event(), threading.Event()

    def encode(self, inputs: ModelInputs) -> Encoded:
        encoded = super().encode(inputs)
        self.begun.set()
        assert self.go.wait(PATIENCE)
        return encoded


class FakePPO:
    """Stands for a `PolicyAgent`; `heard` keeps what it was given."""

    model_hash = "ppo"

    def get_ready(self, rows: int = 1) -> None:
        pass

    def __init__(
        self,
        probabilities: tuple[float, float, float] = (0.2, 0.5, 0.3),
        *,
        error: Exception | None = None,
    ) -> None:
        self.table = probabilities
        self.error = error
        self.heard: list[tuple[Encoded, object]] = []

    def vote(self, inputs: ModelInputs, encoded: Encoded, by: object) -> NDArray[np.float32]:
        if self.error is not None:
            raise self.error
        self.heard.append((encoded, by))
        return np.tile(np.array(self.table, dtype=np.float32), (len(inputs), 1))


class FakeAgent:
    """Stands for the XGBoost fallback."""

    name = "xgboost"
    model_hash = "xgboost"

    def __init__(
        self, probabilities: tuple[float, float, float] = (0.2, 0.2, 0.6), error: Exception | None = None
    ) -> None:
        self.table = probabilities
        self.error = error

    def signals(self, inputs: ModelInputs) -> Signals:
        if self.error is not None:
            raise self.error
        return Signals(probabilities=np.tile(np.array(self.table, dtype=np.float32), (len(inputs), 1)))


HOUR = 3_600_000


def bar(step: int, *, price: float = 100.0, hours: int | None = None) -> Bar:
    """Bar number `step` of a quiet series whose closes name the step: 100 + step / 1000."""
    close = price + step / 1000
    return Bar(
        timestamp=(step if hours is None else hours) * HOUR,
        open=close,
        high=close * 1.001,
        low=close * 0.999,
        close=close,
        volume=10.0 + step % 7,
    )


def bars(count: int, *, start: int = 0) -> list[Bar]:
    """`count` successive bars."""
    return [bar(step) for step in range(start, start + count)]
