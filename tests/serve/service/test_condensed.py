"""The page of a service of thousands of symbols asks for the newest of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from quantum_trader.serve.monitor.config import MonitorConfig
from quantum_trader.serve.service.app import create_app
from quantum_trader.serve.service.condensed import health_json, report_json

from .page_service import health, report
from .services import WARM, asking, bar_json, unhurried, warm_desk


def test_a_report_keeps_the_newest_decisions() -> None:
    """Those with the newest decisions stay, by name as before; how many are left out is counted."""
    whole = report(symbols=9)
    newest = sorted(whole.latest, key=lambda each: (-each.decided_ms, each.symbol))[:4]
    found = report_json(whole, MonitorConfig(), latest=4)
    assert [each["symbol"] for each in found["latest"]] == sorted(each.symbol for each in newest)
    assert (found["latest_left_out"], len(found["latest"])) == (5, 4)
    for most in (None, 9, 10):
        full = report_json(whole, MonitorConfig(), latest=most)
        assert (full["latest_left_out"], len(full["latest"])) == (0, 9)


def test_a_report_says_what_it_is_judged_by() -> None:
    """The monitor's own bands and smallest number of trades, so that a page needs none of its own."""
    config = MonitorConfig(buy_share=(0.1, 0.2), fewest_trades=7)
    assert report_json(report(), config)["normal"] == {
        "shares": {"BUY": [0.1, 0.2], "SELL": [0.25, 0.35], "HOLD": [0.3, 0.5]},
        "fewest_trades": 7,
    }


def test_health_names_as_many_stale_symbols_as_wanted() -> None:
    """The others are counted; without a limit all are named."""
    silent = health(stale=("A", "B", "C"))
    assert [health_json(silent, stale=most)["stale"] for most in (None, 0, 2)] == [
        ["A", "B", "C"],
        [],
        ["A", "B"],
    ]
    assert health_json(silent, stale=2)["stale_left_out"] == 1


def test_the_endpoints_take_the_limits(tmp_path: Path) -> None:
    """`latest` and `stale` as query parameters; a negative one is refused."""

    async def answers(*paths: str) -> list[httpx.Response]:
        app = create_app(warm_desk("A", "B", journal=tmp_path / "j.db"), unhurried())
        async with asking(app) as client:
            body = {"bars": {name: bar_json(WARM) for name in "AB"}}
            assert (await client.post("/v1/decisions", json=body)).status_code == 200
            return [await client.get(path) for path in paths]

    whole, one, health_of, refused = asyncio.run(
        answers("/v1/monitor", "/v1/monitor?latest=1", "/v1/health?stale=1", "/v1/monitor?latest=-1")
    )
    assert len(whole.json()["latest"]) == 2
    assert (len(one.json()["latest"]), one.json()["latest_left_out"]) == (1, 1)
    assert (len(health_of.json()["stale"]), health_of.json()["stale_left_out"]) == (1, 1)
    assert refused.status_code == 422
