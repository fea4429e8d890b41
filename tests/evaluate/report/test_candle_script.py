from __future__ import annotations

import re
from html import unescape

import numpy as np
import pytest

from quantum_trader.evaluate.report.candle_script import SCRIPT, moving_candles
from quantum_trader.evaluate.report.data import SignalCandles


def candles(scale: float, bars: int = 300) -> SignalCandles:
    rng = np.random.default_rng(0)
    close = scale * np.exp(np.cumsum(rng.normal(0, 0.004, bars)))
    opened = np.concatenate([[scale], close[:-1]])
    return SignalCandles(
        symbol="X",
        agent="a",
        timestamps=1_735_689_600_000 + 3_600_000 * np.arange(bars),
        open=opened,
        high=np.maximum(opened, close) * 1.002,
        low=np.minimum(opened, close) * 0.998,
        close=close,
        actions=rng.integers(0, 3, bars).astype(np.int8),
    )


def fields(markup: str) -> dict[str, str]:
    return {name: unescape(value) for name, value in re.findall(r'data-([a-z]+)="([^"]*)"', markup)}


@pytest.mark.parametrize("scale", [2e-5, 1.1, 100.0, 67_000.0, 4e6])
def test_the_numbers_come_back_as_they_were(scale: float) -> None:
    """Differences added up again are the bars, to a hundredth of a usual bar's range; moments are exact."""
    data = candles(scale)
    found = fields(moving_candles(data, "<svg></svg>"))
    numbers = {
        name: np.array(found[name].split(), np.int64) for name in ("time", "close", "open", "high", "low")
    }
    unit = 10.0 ** -int(found["digits"])
    close = np.cumsum(numbers["close"])
    usual = float(np.median(data.high - data.low))
    for name, whole in (("close", close), *((key, close + numbers[key]) for key in ("open", "high", "low"))):
        assert np.abs(whole * unit - getattr(data, name)).max() <= 0.01 * usual
    np.testing.assert_array_equal(np.cumsum(numbers["time"]) * 60_000, data.timestamps)
    assert found["actions"] == "".join(str(action) for action in data.actions)


def test_bars_that_never_move_are_written_too() -> None:
    """A flat price has no range to take the decimals from."""
    flat = candles(1.0, 5)
    still = SignalCandles(
        symbol="X",
        agent="a",
        timestamps=flat.timestamps,
        open=np.ones(5),
        high=np.ones(5),
        low=np.ones(5),
        close=np.ones(5),
        actions=np.zeros(5, np.int8),
    )
    assert fields(moving_candles(still, ""))["high"] == "0 0 0 0 0"


def test_the_script_is_small_and_fetches_nothing() -> None:
    """Below eight kilobytes, no address but the namespace of SVG, no way to send or evaluate anything."""
    assert len(SCRIPT.encode()) < 8_000
    assert re.findall(r"https?://[^\"']*", SCRIPT) == ["http://www.w3.org/2000/svg"]
    for word in (
        "fetch",
        "XMLHttpRequest",
        "eval",
        "innerHTML",
        "import",
        "WebSocket",
        "</",
        "document.write",
    ):
        assert word not in SCRIPT


def test_the_picture_stays_for_those_without_the_script() -> None:
    """The still drawing is in the page as it is."""
    assert moving_candles(candles(1.0, 5), "<svg>still</svg>").endswith("<svg>still</svg></div>")
