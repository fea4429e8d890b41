"""POST /v1/decisions and /v1/warmup: what goes in, what comes out, what is refused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.serve.service.app import create_app
from quantum_trader.serve.service.schemas import DecisionsResponse

from .services import WARM, ask, asking, bar_json, code_of, fake_arbiter, service, unhurried, warm_desk

JSON = {"content-type": "application/json"}
ODD = (
    "",
    " ",
    "../../etc/passwd",
    "a..b",
    "a//b",
    "x" * 65,
    "a\u202eb",
    "a\x00",
    "\ud800",
    "🚀",
    "a b",
    "\n",
)
REAL = ("BTCUSDT", "BTC/USDT:USDT", "ES=F", "^GSPC", "币安人生USDT", "BTCUSDT-PERP.BINANCE")


def one(**changes: Any) -> dict[str, Any]:
    return {"bars": {"BTCUSDT": bar_json(WARM, **changes)}}


def test_a_bar_is_decided_on_with_everything_a_decision_carries() -> None:
    """Action, probabilities, votes, quantiles with horizons; attention and importances only if asked for."""
    answer = ask(service("BTCUSDT"), "POST", "/v1/decisions", json=one())
    assert answer.status_code == 200
    DecisionsResponse.model_validate_json(answer.content, strict=True)
    found = answer.json()["decisions"]["BTCUSDT"]
    assert (found["action"], found["source"]) == ("BUY", "tft+ppo")
    assert found["probabilities"]["BUY"] == pytest.approx(0.7, abs=1e-6)
    assert [vote["member"] for vote in found["votes"]] == ["tft", "ppo"]
    assert [row["horizon_bars"] for row in found["quantiles"]] == [1, 3, 6, 12]
    assert (found["journaled"], found["fault"]) == (False, "")
    assert "attention" not in found
    assert "importances" not in found


def test_explain_adds_attention_and_importances() -> None:
    """60 weights of bars and one per feature, by name."""
    answer = ask(service("BTCUSDT"), "POST", "/v1/decisions?explain=true", json=one())
    DecisionsResponse.model_validate_json(answer.content, strict=True)
    found = answer.json()["decisions"]["BTCUSDT"]
    assert len(found["attention"]) == 60
    assert list(found["importances"]) == list(FEATURE_NAMES)


def test_the_journal_has_what_is_called_journaled(tmp_path: Path) -> None:
    """The history endpoint gives the same decision back, newest first."""
    app = create_app(warm_desk("BTC/USDT:USDT", journal=tmp_path / "j.db"), unhurried())
    sent = {"bars": {"BTC/USDT:USDT": bar_json(WARM)}}

    async def both() -> tuple[Any, Any]:
        async with asking(app) as client:
            decided = await client.post("/v1/decisions", json=sent)
            return decided.json(), (await client.get("/v1/decisions/BTC/USDT:USDT?limit=5")).json()

    decided, kept = asyncio.run(both())
    found = decided["decisions"]["BTC/USDT:USDT"]
    assert found["journaled"]
    assert len(kept["decisions"]) == 1
    row = kept["decisions"][0]
    assert (row["action"], row["bar_ms"]) == (found["action"], found["timestamp"])
    assert row["outcome"] is None


@pytest.mark.parametrize(
    "numbers",
    ["NaN, 1, 1, 1", "1, 1e999, 1, 1", "null, 1, 1, 1", "1, 1" + "0" * 400 + ", 1, 1", "5, 1, 1, 1"],
    ids=["NaN", "infinite", "null", "beyond float", "contradicting"],
)
def test_a_bar_without_sense_is_answered_hold(numbers: str) -> None:
    """The reason says so, and the answer is JSON without NaN."""
    names = ("open", "high", "low", "close")
    prices = ", ".join(f'"{name}": {text}' for name, text in zip(names, numbers.split(", "), strict=True))
    body = f'{{"bars": {{"BTCUSDT": {{"timestamp": 1736000000000, {prices}, "volume": 1}}}}}}'
    answer = ask(
        service("BTCUSDT"),
        "POST",
        "/v1/decisions",
        content=body,
        headers=JSON,
    )
    assert answer.status_code == 200, answer.text
    assert "NaN" not in answer.text
    found = answer.json()["decisions"]["BTCUSDT"]
    assert (found["action"], found["source"]) == ("HOLD", "none")
    assert found["reason"].startswith("bad bar")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"bars": {}}, "at least 1"),
        ({}, "bars: is missing"),
        ({**one(), "more": 1}, "more: unknown field"),
        (one(opne=1.0), "bars.BTCUSDT.opne: unknown field"),
        (one(open="100"), "bars.BTCUSDT.open"),
        (one(open=True), "bars.BTCUSDT.open"),
        (one(timestamp=1_736_000_000), "timestamp"),
        (one(timestamp=1_736_000_000_000_000), "timestamp"),
        (one(timestamp="2025-01-01"), "timestamp"),
        (one(timestamp=1_736_000_000_000.5), "timestamp"),
        ({"bars": {"BTCUSDT": [bar_json(0)]}}, "bars.BTCUSDT"),
        ([], "body"),
    ],
)
def test_what_is_not_as_described_is_refused(body: Any, words: str) -> None:
    """422 with the place of the fault, and not with the value sent."""
    answer = ask(service(), "POST", "/v1/decisions", json=body)
    assert answer.status_code == 422
    assert code_of(answer) == "invalid"
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize("symbol", ODD)
def test_odd_symbols_are_refused(symbol: str) -> None:
    """Empty, too long, control and direction characters, emoji, half a surrogate, paths."""
    body = json.dumps({"bars": {symbol: bar_json(WARM)}})
    answer = ask(service(), "POST", "/v1/decisions", content=body, headers=JSON)
    assert answer.status_code == 422, answer.text
    assert code_of(answer) == "invalid"


@pytest.mark.parametrize(
    "symbol", ["BTCUSDT", "BTC/USDT:USDT", "ES=F", "^GSPC", "币安人生USDT", "BTCUSDT-PERP.BINANCE"]
)
def test_symbols_of_real_venues_are_taken(symbol: str) -> None:
    """Separators and letters of other scripts occur in venues' own names."""
    answer = ask(service(symbol), "POST", "/v1/decisions", json={"bars": {symbol: bar_json(WARM)}})
    assert answer.json()["decisions"][symbol]["action"] == "BUY"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"bars":' * 50_000,
        b'{"bars": {"B": {"timestamp": ' + b"9" * 5_000 + b"}}}",
        b'"text"',
        b"null",
        b"1e400",
    ],
    ids=["cut", "empty", "no utf-8", "deep list", "deep object", "long number", "text", "null", "huge"],
)
def test_malformed_json_is_the_clients_fault(body: bytes) -> None:
    """400 or 422 in the error schema, never 500."""
    answer = ask(service(), "POST", "/v1/decisions", content=body, headers=JSON)
    assert answer.status_code in (400, 422), answer.text
    code_of(answer)


def test_a_body_that_is_not_called_json_is_refused() -> None:
    """A form or plain text, which other sites' pages may send without asking, is not read as JSON."""
    body = json.dumps(one())
    answer = ask(
        service("BTCUSDT"), "POST", "/v1/decisions", content=body, headers={"content-type": "text/plain"}
    )
    assert answer.status_code == 422
    assert "application/json" in answer.json()["error"]["message"]


def test_too_many_symbols_are_refused() -> None:
    """At most `max_symbols` in one request."""
    app = service(max_symbols=3, max_waiting_bars=3)
    few = {"bars": {f"S{number}": bar_json(0) for number in range(3)}}
    many = {"bars": {f"S{number}": bar_json(0) for number in range(4)}}
    assert ask(app, "POST", "/v1/decisions", json=few).status_code == 200
    app = service(max_symbols=3, max_waiting_bars=3)
    answer = ask(app, "POST", "/v1/decisions", json=many)
    assert (answer.status_code, code_of(answer)) == (422, "too_many")


def test_warmup_fills_windows() -> None:
    """Bars of several symbols; too many bars are refused, a malformed one is named."""
    series = [bar_json(step) for step in range(40)]
    answer = ask(service(), "POST", "/v1/warmup", json={"bars": {"A": series, "B": series[:3]}})
    assert answer.json() == {"bars_in_window": {"A": 40, "B": 3}}
    answer = ask(
        service(max_warmup_bars=42), "POST", "/v1/warmup", json={"bars": {"A": series, "B": series[:3]}}
    )
    assert (answer.status_code, code_of(answer)) == (422, "too_many")
    series[7] = bar_json(7, high=1.0)
    answer = ask(service(), "POST", "/v1/warmup", json={"bars": {"A": series}})
    assert (answer.status_code, code_of(answer)) == (422, "invalid")
    assert answer.json()["error"]["message"].startswith("A: the bar at 2025-01-01T07:00:00")


def test_no_answer_holds_nan() -> None:
    """A TFT that answers NaN: XGBoost decides, and every number in the answer is one or null."""
    from ...agents.fakes import FakeTFT

    app = create_app(warm_desk("A", arbiter=fake_arbiter(tft=FakeTFT(nan_rows=(0,)))), unhurried())
    answer = ask(app, "POST", "/v1/decisions?explain=1", json={"bars": {"A": bar_json(WARM)}})
    assert answer.status_code == 200
    json.loads(answer.text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert answer.json()["decisions"]["A"]["source"] == "xgboost"
