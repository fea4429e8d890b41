"""Costs of data that a run is judged on later."""

from __future__ import annotations

from quantum_trader.evaluate.run_config import MarketConfig

RUN = MarketConfig(data="old", symbols="A", contract="binance-btc", taker_fee=0.001, slippage=0.0002)


def test_other_data_cost_what_the_run_cost() -> None:
    """What is not given is as in the run; the bars are the new ones."""
    found = MarketConfig(data="new", symbols="B").with_costs_of(RUN)
    assert (found.data, found.symbols) == ("new", "B")
    assert (found.contract, found.taker_fee, found.slippage) == ("binance-btc", 0.001, 0.0002)


def test_what_is_given_counts() -> None:
    """A fee or slippage of its own replaces the run's, zero included; another contract has its own costs."""
    assert MarketConfig(data="new", slippage=0.0).with_costs_of(RUN).slippage == 0.0
    assert MarketConfig(data="new", taker_fee=0.003).with_costs_of(RUN).taker_fee == 0.003
    other = MarketConfig(data="new", contract="fx-eurusd")
    assert other.with_costs_of(RUN) == other
