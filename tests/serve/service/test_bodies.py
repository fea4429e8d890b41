"""What clients send by mistake or on purpose, and the sentence they get for it."""

from __future__ import annotations

import gzip
import json
import logging
from typing import Any

import pytest

from quantum_trader.agents.live_config import LiveConfig
from quantum_trader.serve.service.app import create_app

from .services import WARM, ask, bar_json, code_of, fake_arbiter, service, unhurried, warm_desk

JSON = {"content-type": "application/json"}
BAR = json.dumps(bar_json(WARM))


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (f'{{"bars": {{"A": {BAR}, "A": {BAR}}}}}', "'A'"),
        (f'{{"bars": {{"A": {BAR[:-1]}, "close": 1.0}}}}}}', "'close'"),
        (f'{{"bars": {{"A": {BAR}}}, "bars": {{}}}}', "'bars'"),
    ],
    ids=["symbol", "price", "bars"],
)
def test_a_name_that_occurs_twice_is_refused(body: str, name: str) -> None:
    """Neither of two bars of one symbol is silently left out: nothing is decided, the name is told."""
    desk = warm_desk("A")
    answer = ask(create_app(desk, unhurried()), "POST", "/v1/decisions", content=body, headers=JSON)
    assert (answer.status_code, code_of(answer)) == (422, "invalid")
    assert f"The name {name} occurs twice" in answer.json()["error"]["message"]
    assert desk.arbiter.histories["A"].close == bar_json(WARM - 1)["close"]


def test_a_compressed_body_is_refused() -> None:
    """415 in a sentence that says what to do; `identity` is no compression."""
    body = json.dumps({"bars": {"A": bar_json(WARM)}}).encode()
    packed = {**JSON, "content-encoding": "gzip"}
    answer = ask(service("A"), "POST", "/v1/decisions", content=gzip.compress(body), headers=packed)
    assert (answer.status_code, code_of(answer)) == (415, "unsupported_media_type")
    plain = {**JSON, "content-encoding": "identity"}
    assert ask(service("A"), "POST", "/v1/decisions", content=body, headers=plain).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/v1/health", "/docs"])
def test_head_is_answered_as_get(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """Watchdogs and load balancers ask so; the log names the route as for GET."""
    app = service("A")
    with caplog.at_level(logging.INFO):
        answer = ask(app, "HEAD", path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert f"method=HEAD path={path} status=200" in caplog.text
    assert ask(service("A"), "HEAD", "/v1/decisions").status_code == 405


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "bars: is missing."),
        ({"bars": []}, "bars: expected an object."),
        ({"bars": {}}, "bars: expected at least 1, found 0."),
        ({"bars": {"A": [bar_json(0)]}}, "bars.A: expected an object."),
        ({"bars": {"A": bar_json(0, open="1")}}, "bars.A.open: expected a number."),
        (
            {"bars": {"A": bar_json(0, timestamp=1_735_689_600)}},
            "bars.A.timestamp: expected milliseconds since the epoch, found what may be seconds.",
        ),
        (
            {"bars": {"A": bar_json(0, timestamp=1_735_689_600_000_000)}},
            "bars.A.timestamp: expected milliseconds since the epoch, found what may be microseconds.",
        ),
        (
            {"bars": {"A B": bar_json(0)}},
            "bars.A B: expected a name: letters and digits, with any of _ ^ $ # @ = + & - and single . / : "
            "between them.",
        ),
        ({"bars": {"A" * 65: bar_json(0)}}, f"bars.{'A' * 65}: expected at most 64 characters."),
    ],
)
def test_faults_are_told_in_plain_words(body: Any, message: str) -> None:
    """The place, then what was expected there, without a library's terms."""
    answer = ask(service("A"), "POST", "/v1/decisions", json=body)
    assert (answer.status_code, code_of(answer)) == (422, "invalid")
    assert answer.json()["error"]["message"] == message


def test_a_warm_up_beyond_the_symbols_in_all_is_refused() -> None:
    """422 with the limit's name; the next request within it is answered."""
    app = create_app(warm_desk("A", arbiter=fake_arbiter(live=LiveConfig(max_symbols=2))), unhurried())
    answer = ask(app, "POST", "/v1/warmup", json={"bars": {name: [bar_json(0)] for name in "BC"}})
    assert (answer.status_code, code_of(answer)) == (422, "invalid")
    assert answer.json()["error"]["message"] == (
        "2 new symbols besides the 1 known ones: at most 2 have a history; leave some out or raise "
        "max_symbols of LiveConfig."
    )
