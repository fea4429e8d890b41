"""The live path: one new bar of every symbol through the agent, features and history included.

THE PLACE TO MEASURE A CACHE of what the network made of older bars: it acts inside `batch_predict`, and every
call here brings bars that the agent has not seen, one per symbol, as a live bot does each hour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from quantum_trader.agents.tft import TFTAgent
from quantum_trader.envs import Bar, SyntheticConfig, synthetic_bars

WARM_UP = 300
"""Bars each symbol has before the first call: the slowest indicator knows all it needs by then."""

_SERIES = SyntheticConfig(bars=WARM_UP + 700, volatility=0.003)


def live(agent: TFTAgent, symbols: int) -> Callable[[], int]:
    """A function that takes one new bar of each symbol, and answers how many symbols were decided."""
    names = [f"S{number}USDT" for number in range(symbols)]
    agent.start_live()
    for name in names:
        agent.add_to_history(name, synthetic_bars(_SERIES)[:WARM_UP])
    upcoming = _bars()

    def steps() -> int:
        agent.batch_predict(dict.fromkeys(names, next(upcoming)))
        return symbols

    return steps


def _bars() -> Iterator[Bar]:
    """The bars behind the warm-up, then the series again and again, each time later."""
    series = synthetic_bars(_SERIES)
    later, first = 0, WARM_UP
    while True:
        for index in range(first, len(series)):
            bar = series.bar(index)
            yield replace(bar, timestamp=bar.timestamp + later)
        later, first = later + len(series) * series.step_ms, 0
