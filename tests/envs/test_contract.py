"""Contracts: presets, dictionaries and files, brackets as exchanges list them, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantum_trader.envs.config import to_plain
from quantum_trader.envs.contract import FuturesContract, MarginTier
from quantum_trader.envs.contract_file import contract_from_dict, read_contract, tiers_from_ccxt
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import PRESETS, guess_preset, preset
from quantum_trader.envs.synthetic import random_walk_bars
from quantum_trader.envs.windows import find_breaks, gap_report

HOUR_MS = 3_600_000
TIERS = (
    MarginTier(floor=0.0, cap=5e4, mmr=0.01, max_leverage=50.0),
    MarginTier(floor=5e4, cap=1e6, mmr=0.02, max_leverage=25.0),
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"taker_fee": -0.1}, "taker_fee must be 0 or more"),
        ({"slippage": 5.0}, "slippage is a fraction below 1"),
        ({"contract_size": 0.0}, "contract_size must be above 0"),
        ({"lot_size": float("nan")}, "lot_size must be 0 or more"),
        ({"tiers": ()}, "at least one margin tier"),
        ({"tiers": TIERS[1:]}, "margin tier 1 must start at 0"),
        ({"tiers": (TIERS[0], replace(TIERS[1], floor=6e4))}, "margin tier 2 must start at 50000"),
        ({"tiers": (TIERS[0], replace(TIERS[1], mmr=0.005))}, "lower rate"),
        ({"tiers": (replace(TIERS[0], max_leverage=0.5),)}, "leverage of 1 or more"),
        ({"expiry": "next friday"}, "ISO 8601"),
    ],
)
def test_impossible_contracts_are_refused(changes: dict[str, Any], message: str) -> None:
    """One sentence names the contract, the field and what was found."""
    with pytest.raises(ConfigError, match=message):
        FuturesContract(name="mine", **changes)


def test_a_dictionary_starts_from_a_preset() -> None:
    """Keys given replace the preset's; all others stay."""
    mine = contract_from_dict({"preset": "bybit-btc", "name": "mine", "taker_fee": 0.0003})
    assert mine == replace(preset("bybit-btc"), name="mine", taker_fee=0.0003)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_json(name: str, tmp_path: Path) -> None:
    """A contract written as JSON is the same contract when read; a preset is also found by its name."""
    path = tmp_path / "contract.json"
    path.write_text(json.dumps(to_plain(preset(name))))
    assert read_contract(path) == preset(name) == read_contract(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "expected an object"),
        ('{"name": "x", "fee": 1}', "unknown key 'fee'"),
        ('{"preset": "nasdaq"}', "Unknown contract preset 'nasdaq'"),
        ('{"name": "x", "taker_fee": "high"}', "expected a number"),
        ('{"taker_fee": 0.1}', "incomplete"),
    ],
)
def test_bad_contract_files_say_what_is_wrong(text: str, message: str, tmp_path: Path) -> None:
    """Damaged JSON, unknown keys, wrong types and missing names are one sentence each."""
    path = tmp_path / "contract.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_contract(path)
    with pytest.raises(ConfigError, match="Expected a contract preset"):
        read_contract(tmp_path / "missing.json")


def test_brackets_as_ccxt_lists_them() -> None:
    """Unified leverage tiers become brackets without holes, whatever their order."""
    names = ("tier", "minNotional", "maxNotional", "maintenanceMarginRate", "maxLeverage")
    rows = ((2, 50_000, 1e6, 0.02, 25), (1, 0, 50_000, 0.01, 50))
    listed = [dict(zip(names, row, strict=True)) for row in rows]
    assert tiers_from_ccxt(listed) == TIERS
    with pytest.raises(ConfigError, match="maxNotional"):
        tiers_from_ccxt([{"minNotional": 0}])


@pytest.mark.parametrize(
    ("symbol", "name"),
    [("ESM5", "cme-es"), ("MES=F", "cme-mes"), ("ESPUSDT", "binance-alt"), ("BTC/USDT:USDT", "binance-btc")],
)
def test_symbols_find_their_preset(symbol: str, name: str) -> None:
    """Futures codes of the E-mini are told from coins that begin alike."""
    assert guess_preset(symbol).name == name


def test_tick_values_of_the_e_minis() -> None:
    """A quarter point is 12.50 dollars on the E-mini and 1.25 on the micro."""
    assert (preset("cme-es").tick_value, preset("cme-mes").tick_value) == (12.5, 1.25)


def test_bars_past_the_expiry_are_refused() -> None:
    """A dated contract takes bars that open before its expiry, and no others."""
    bars = random_walk_bars(500, 0)
    moment = np.datetime_as_string(bars.timestamp[400].astype("datetime64[ms]"))
    contract = replace(preset("binance-btc"), expiry=str(moment))
    assert contract.expiry_ms == bars.timestamp[400]
    with pytest.raises(ConfigError, match=r"go on after bar 399; cut them off with bars\[:400\]"):
        Market.build(bars, contract)
    assert len(Market.build(bars[:400], contract)) == 400


def test_the_daily_hour_of_cme_is_no_gap() -> None:
    """In 5-minute bars an hour at 21:00 or 22:00 UTC is a pause of a "cme" session and a gap elsewhere."""
    step = 300_000
    minutes = np.arange(0, 3 * 24 * 12) * step + 4 * 24 * HOUR_MS  # from Monday 1970-01-05
    hour = minutes % (24 * HOUR_MS) // HOUR_MS
    for pause, breaks in ((21, 0), (22, 0), (14, 3)):
        kept = hour != pause
        bars = replace(random_walk_bars(int(kept.sum()), 0), step_ms=step, timestamp=minutes[kept])
        assert int(find_breaks(bars, preset("cme-es")).sum()) == breaks
        assert gap_report(bars, preset("cme-es")).pauses == 3 - breaks
        assert int(find_breaks(bars, preset("binance-btc")).sum()) == 3
