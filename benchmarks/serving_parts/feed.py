"""Bars for any number of symbols."""

from __future__ import annotations

from collections.abc import Sequence

from quantum_trader.envs import Bar, Bars, SyntheticConfig, synthetic_bars


class Feed:
    """Hourly bars of one synthetic series, which every symbol gets: speed does not depend on their prices.

    Args:
        past: bars before the first that is decided on.
        steps: bars to decide on.
        volatility: typical deviation of a bar's log return.
    """

    def __init__(self, past: int, steps: int, volatility: float) -> None:
        series = synthetic_bars(SyntheticConfig(bars=past + steps, volatility=volatility))
        self.past: Bars = series[:past]
        self._rest: Bars = series[past:]

    def __len__(self) -> int:
        return len(self._rest)

    def bars(self, symbols: Sequence[str], step: int) -> dict[str, Bar]:
        """The closed bar number `step` of each symbol."""
        return dict.fromkeys(symbols, self._rest.bar(step))


def symbols(prefix: str, count: int) -> list[str]:
    """So many names that a contract is known for."""
    return [f"{prefix}{number}USDT" for number in range(count)]
