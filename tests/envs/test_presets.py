"""Ready-made contracts."""

from __future__ import annotations

import pytest

from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.presets import PRESETS, guess_preset, preset


@pytest.mark.parametrize("contract", PRESETS.values(), ids=str)
def test_brackets_are_sound(contract: FuturesContract) -> None:
    """They ascend without holes, each asks for more margin, and full leverage leaves room to lose."""
    assert contract.tiers[0].floor == 0.0
    for lower, upper in zip(contract.tiers[:-1], contract.tiers[1:], strict=True):
        assert lower.cap == upper.floor
        assert lower.mmr < upper.mmr
        assert lower.max_leverage > upper.max_leverage
    for tier in contract.tiers:
        assert tier.floor < tier.cap
        assert 0 < tier.mmr < 1 / tier.max_leverage


def test_names_and_kinds() -> None:
    """Each preset carries its own name; currencies pause at weekends and pay no funding."""
    assert all(name == contract.name for name, contract in PRESETS.items())
    assert set(PRESETS) >= {"binance-btc", "binance-eth", "binance-alt", "fx-eurusd"}
    assert (preset("fx-eurusd").session, preset("fx-eurusd").has_funding) == ("weekdays", False)
    assert preset("fx-eurusd").tiers[0].max_leverage == 30.0
    assert (preset("binance-btc").session, preset("binance-btc").has_funding) == ("24/7", True)


def test_an_unknown_name_lists_the_known_ones() -> None:
    """The message helps to choose."""
    with pytest.raises(ConfigError, match=r"'binance-bct'.*binance-btc.*fx-eurusd"):
        preset("binance-bct")


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("BTCUSDT", "binance-btc"),
        ("BTC/USDT:USDT", "binance-btc"),
        ("ETH-USD", "binance-eth"),
        ("ethusdt", "binance-eth"),
        ("DOGEUSDT", "binance-alt"),
        ("SOLBTC", "binance-alt"),
        ("EURUSD", "fx-eurusd"),
        ("GBP/JPY", "fx-eurusd"),
    ],
)
def test_symbols_find_their_preset(symbol: str, name: str) -> None:
    """By base currency, whatever the punctuation; unknown coins count as small ones."""
    assert guess_preset(symbol).name == name
