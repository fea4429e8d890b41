"""The rules reproduce worked examples that venues and other open-source traders published.

Numbers and sources are copied from a collection of 46 such examples. Not applicable, and why:

- v032's second number (a liquidation price with a 5 % buffer) is a bot's own safety margin, no rule of a
    venue;
- profit ratios of v059-v071 divide by another trader's stake; only their profits are checked;
- v052, v054: whether a trade some seconds after the stamp still pays is finer than a bar; the sums are
    checked.
"""

from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.envs import rules
from quantum_trader.envs.contract import FuturesContract, MarginTier

FREQTRADE = "freqtrade/freqtrade@c9ae5e1e9 "
LONG, SHORT = 1.0, -1.0


def one_tier(mmr: float, cum: float = 0.0) -> rules.TierTable:
    return np.array([[0.0, mmr, cum, 125.0, 1e9]])


# id, side, quantity, entry, margin, maintenance rate, maintenance amount, liquidation price, tolerance
BINANCE = [
    # Binance FAQ b3c689c1f50a44cabb3a84e663b81d93, as transcribed in freqtrade tests/exchange/test_binance.py
    ("v002", LONG, 109.488, 32481.98, 1535443.01, 0.025, 16300.0, 18778.73, 0.005),
    # the same page, cross margin: the wallet less other positions' maintenance margin plus their profit
    (
        "v004",
        LONG,
        109.488,
        32481.98,
        1535443.01 - 356512.508122 - 448192.885139999,
        0.025,
        16300.0,
        26316.89,
        0.005,
    ),
    # freqtrade tests/exchange/test_exchange.py::test_get_liquidation_price
    ("v006", SHORT, 1.0, 10.0, 3.3333333333333335, 0.01, 0.01, 13.211221122079207, 1e-6),
    ("v008", SHORT, 0.6, 10.0, 1.2, 0.01, 0.01, 11.897689768976898, 1e-6),
    ("v010", LONG, 1.0, 8.0, 1.6, 0.01, 0.01, 6.454545454545454, 1e-6),
    ("v012", LONG, 0.6, 10.0, 1.2, 0.01, 0.01, 8.063973063973064, 1e-6),
    # freqtrade tests/optimize/test_backtesting.py
    ("v032", LONG, 15000.0, 0.1, 300.0, 0.01, 0.01, 0.08080740740740741, 1e-6),
]

# Gate and OKX add the taker fee to the maintenance rate and know no maintenance amount.
WITH_FEE = [
    ("v014", SHORT, 2.0, 10.0, 4.0, 0.01, 0.0006, 11.87413417771621),
    ("v016", SHORT, 1.0, 8.0, 1.6, 0.01, 0.0006, 9.499307342172967),
    ("v019", LONG, 1.0, 10.0, 3.3333333333333335, 0.01, 0.0006, 6.738090425173506),
    ("v020", LONG, 1.0, 10.0, 3.3333333333333335, 0.01, 0.0006, 6.738090425173506),
]

# Bybit takes the maintenance margin on the ENTRY value.
ON_ENTRY = [
    ("v022", LONG, 3.0, 6.7666666),
    ("v024", LONG, 10.0, 9.1),
    ("v026", SHORT, 3.0, 13.233333),
    ("v028", SHORT, 10.0, 10.9),
]


@pytest.mark.parametrize("case", BINANCE, ids=lambda case: case[0])
def test_liquidation_price_binance(
    case: tuple[str, float, float, float, float, float, float, float, float],
) -> None:
    """The liquidation price is the one Binance's page and freqtrade's tests state."""
    _, side, quantity, entry, margin, mmr, cum, expected, tolerance = case
    price = rules.liquidation_price(side, quantity, entry, margin, one_tier(mmr, cum))
    assert price == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("case", WITH_FEE, ids=lambda case: case[0])
def test_liquidation_price_with_fee(
    case: tuple[str, float, float, float, float, float, float, float],
) -> None:
    """With the taker fee added to the rate, the same formula gives Gate's and OKX's prices."""
    _, side, quantity, entry, margin, mmr, fee, expected = case
    price = rules.liquidation_price(side, quantity, entry, margin, one_tier(mmr + fee))
    assert price == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("case", ON_ENTRY, ids=lambda case: case[0])
def test_liquidation_price_on_entry_value(case: tuple[str, float, float, float]) -> None:
    """The maintenance margin of the entry value gives Bybit's prices."""
    _, side, leverage, expected = case
    margin = rules.initial_margin(1.0, 10.0, leverage)
    price = rules.liquidation_price_on_entry(side, 1.0, 10.0, margin, one_tier(0.01))
    assert price == pytest.approx(expected, abs=1e-5)


def test_extra_margin_is_shared_by_an_enlarged_position() -> None:
    """v030 (Bybit FAQ, situation 2): 1,000 more margin: 9,500 to 8,500; then one more coin: 9,000."""
    # The distance 10,000 - 9,500 is margin less maintenance margin: 500 a coin.
    assert rules.liquidation_price(LONG, 1.0, 10_000.0, 500.0, one_tier(0.0)) == 9_500.0
    assert rules.liquidation_price(LONG, 1.0, 10_000.0, 500.0 + 1_000.0, one_tier(0.0)) == 8_500.0
    entry = rules.average_entry(1.0, 10_000.0, 1.0, 10_000.0)
    assert rules.liquidation_price(LONG, 2.0, entry, 1_500.0 + 500.0, one_tier(0.0)) == 9_000.0


def test_bankruptcy_price_and_order_cost() -> None:
    """v034, v035 (Bybit): a 50x long of 1 at 10,000 is bankrupt at 9,800; margin 200, fees 7.5 and 7.35."""
    margin = rules.initial_margin(1.0, 10_000.0, 50.0)
    bankrupt = rules.bankruptcy_price(LONG, 1.0, 10_000.0, margin)
    assert (margin, bankrupt) == (200.0, 9_800.0)
    opening, closing = rules.fee(1.0, 10_000.0, 0.00075), rules.fee(1.0, bankrupt, 0.00075)
    assert (opening, closing) == (pytest.approx(7.5), pytest.approx(7.35))
    assert rules.order_cost(LONG, 1.0, 10_000.0, 50.0, 0.00075, 0.0, True) == pytest.approx(214.85)


def test_initial_margin() -> None:
    """v045 (OKX): 1 at 10,000 with leverage 10 needs 1,000."""
    assert rules.initial_margin(1.0, 10_000.0, 10.0) == 1_000.0


def test_unrealised_pnl() -> None:
    """v038 (Bybit), v043, v044 (OKX): side x quantity x difference, contracts turned into base units."""
    assert rules.unrealised_pnl(0.2, 7_000.0, 7_500.0) == pytest.approx(100.0)
    assert rules.unrealised_pnl(10 * 0.01 * 1, 100_000.0, 160_000.0) == pytest.approx(6_000.0)
    assert rules.unrealised_pnl(1_111 * 0.0001, 9_600.0, 9_186.8) == pytest.approx(-45.9, abs=0.02)


def test_closed_pnl() -> None:
    """v041 (Bybit): a short of 0.4 from 6,000 to 5,000 earns 400 - 1.32 - 1.10 - 2.10 = 395.48."""
    pnl = rules.unrealised_pnl(-0.4, 6_000.0, 5_000.0)
    opening, closing = rules.fee(0.4, 6_000.0, 0.00055), rules.fee(0.4, 5_000.0, 0.00055)
    assert (pnl, opening, closing) == (pytest.approx(400.0), pytest.approx(1.32), pytest.approx(1.10))
    assert pnl - opening - closing - 2.1 == pytest.approx(395.48, abs=1e-6)


def test_funding() -> None:
    """v047 (freqtrade), v057: a short receives when the rate is positive, a long pays."""
    assert rules.funding_payment(-10.0, 2.0, 0.0002) == pytest.approx(-0.004, abs=1e-12)
    assert rules.funding_payment(1.0, 20_000.0, 0.0001) == pytest.approx(2.0)


# freqtrade tests/exchange/test_exchange.py::test__fetch_and_calculate_funding_fees: mark 2.77
FUNDING_SUMS = [
    ("v050", 30.0, (-8e-06, -3e-06), -0.00091409999),
    ("v052", 30.0, (-8e-06,), -0.00066479999),
    ("v054", 30.0, (-8e-06, -3e-06), -0.00091409999),
    ("v056", 50.0, (-8e-06, -3e-06), -0.0015235),
]


@pytest.mark.parametrize("case", FUNDING_SUMS, ids=lambda case: case[0])
def test_funding_sums(case: tuple[str, float, tuple[float, ...], float]) -> None:
    """Settlements add up, with opposite signs for a short and a long."""
    _, quantity, rates, received_by_short = case
    for side, received in ((SHORT, received_by_short), (LONG, -received_by_short)):
        paid = sum(rules.funding_payment(side * quantity, 2.77, rate) for rate in rates)
        assert -paid == pytest.approx(received, abs=1e-7)


# freqtrade tests/persistence/test_persistence.py: side, entry, exit, funding received, profit; 30 at fee
# 0.0025
TRADES = [
    ("v059", LONG, 2.0, 2.2, 1.0, 6.685),
    ("v061", SHORT, 2.2, 2.0, -1.0, 4.685),
    ("v063", LONG, 2.0, 2.2, -1.0, 4.685),
    ("v065", LONG, 2.0, 2.1, 1.0, 3.6925),
    ("v067", SHORT, 2.0, 1.9, 1.0, 3.7075),
    ("v069", SHORT, 2.0, 2.2, -1.0, -7.315),
    ("v071", LONG, 2.0, 2.2, -1.0, 4.685),
]


@pytest.mark.parametrize("case", TRADES, ids=lambda case: case[0])
def test_trade_profit(case: tuple[str, float, float, float, float, float]) -> None:
    """Profit = price difference - fees on both notionals + funding received."""
    _, side, entry, exit_price, received, expected = case
    pnl = rules.unrealised_pnl(side * 30.0, entry, exit_price)
    fees = rules.fee(30.0, entry, 0.0025) + rules.fee(30.0, exit_price, 0.0025)
    assert pnl - fees + received == pytest.approx(expected, abs=1e-6)


def test_fee() -> None:
    """v073, v075 (freqtrade): opening 30 at 2.0 with 0.25 % costs 60.15 long and yields 59.85 short."""
    assert 60.0 + rules.fee(30.0, 2.0, 0.0025) == pytest.approx(60.15)
    assert 60.0 - rules.fee(30.0, 2.0, 0.0025) == pytest.approx(59.85)


def test_maintenance_amounts() -> None:
    """v077 (ten brackets of SOLUSDT), v079 (Binance FAQ ceccfcfb4e3a45e3b48b0b1bb1a8ae46)."""
    caps = (5e4, 4e5, 1e6, 4e6, 8e6, 4e7, 8e7, 1e8, 2e8, 4e8)
    rates = (0.005, 0.0065, 0.01, 0.02, 0.025, 0.05, 0.1, 0.125, 0.25, 0.5)
    leverages = (100.0, 75.0, 50.0, 25.0, 20.0, 10.0, 5.0, 4.0, 2.0, 1.0)
    floors = (0.0, *caps[:-1])
    tiers = tuple(
        MarginTier(floor=floor, cap=cap, mmr=mmr, max_leverage=leverage)
        for floor, cap, mmr, leverage in zip(floors, caps, rates, leverages, strict=True)
    )
    expected = [0.0, 75.0, 1475.0, 11475.0, 31475.0, 231475.0, 2231475.0, 4231475.0, 16731475.0, 66731475.0]
    contract = FuturesContract(name="SOLUSDT", tiers=tiers)
    assert rules.tier_table(contract)[:, rules.CUM] == pytest.approx(expected)
    # level 5 of BTCUSD: 50 x (0.05 - 0.025) + 0.56 = 1.81, where 0.56 is carried by a made-up tier below
    below = MarginTier(floor=0.0, cap=22.4, mmr=0.0, max_leverage=100.0)
    level4 = MarginTier(floor=22.4, cap=50.0, mmr=0.025, max_leverage=50.0)
    level5 = MarginTier(floor=50.0, cap=100.0, mmr=0.05, max_leverage=20.0)
    levels = FuturesContract(name="BTCUSD", tiers=(below, level4, level5))
    assert rules.tier_table(levels)[:, rules.CUM] == pytest.approx([0.0, 0.56, 1.81])


@pytest.mark.parametrize(
    ("quantity", "step", "expected"),
    [(2.34559, 0.0001, 2.3455), (2.9999, 0.001, 2.999), (2.9999, 0.005, 2.995)],
    ids=["v081", "v083", "v085"],
)
def test_lot_rounding(quantity: float, step: float, expected: float) -> None:
    """freqtrade test_amount_to_precision: quantities are cut, never rounded up."""
    assert rules.round_lot(quantity, step) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("price", "tick", "expected"),
    [(2.000000051, 1e-7, 2.0000001), (2.9973, 0.005, 2.995), (234.24, 0.5, 234.0)],
    ids=["v087", "v089", "v091"],
)
def test_tick_rounding(price: float, tick: float, expected: float) -> None:
    """freqtrade test_price_to_precision: prices go to the nearest tick."""
    assert rules.round_tick(price, tick) == pytest.approx(expected, abs=1e-9)
