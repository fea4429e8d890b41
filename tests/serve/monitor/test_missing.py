from __future__ import annotations

from datetime import UTC, datetime

import pytest

from quantum_trader.serve.monitor.missing import missed_bars

HOUR = 3_600_000


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("symbol", "decided", "now", "bars"),
    [
        ("BTCUSDT", "2024-01-05 20:00", "2024-01-08 00:00", 52),
        ("EURUSD", "2024-01-05 20:00", "2024-01-08 00:00", 0),
        ("EURUSD", "2024-01-05 12:00", "2024-01-06 12:00", 8),
        ("EURUSD", "2024-01-07 12:00", "2024-01-08 03:00", 3),
        ("EURUSD", "2024-01-02 12:00", "2024-01-02 17:00", 5),
        ("ESM4", "2024-01-05 18:00", "2024-01-15 00:00", 2 + 5 * 24 - 4),
        ("BTCUSDT", "2024-01-02 12:00", "2024-01-02 11:00", 0),
    ],
)
def test_weekends_are_no_missing_bars_of_markets_that_close(
    symbol: str, decided: str, now: str, bars: float
) -> None:
    """2024-01-05 is a Friday; trading stops at 20:00 UTC at the earliest and goes on when Monday begins."""
    assert missed_bars(symbol, ms(decided), ms(now), HOUR) == bars
