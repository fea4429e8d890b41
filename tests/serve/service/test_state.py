"""Health, readiness, version, config, metrics and monitor; loading in the background; load and overload."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from quantum_trader.agents.live_config import LiveConfig
from quantum_trader.agents.network_agent import Encoded
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.envs.errors import ModelFolderError
from quantum_trader.serve.desk import Desk
from quantum_trader.serve.service.app import create_app
from quantum_trader.serve.service.metrics import MOST_LABELS, Metrics

from ...agents.fakes import FakeTFT
from .services import (
    KEY,
    SOON_S,
    START,
    WARM,
    ask,
    asking,
    bar_json,
    code_of,
    fake_arbiter,
    past,
    service,
    serving_here,
    unhurried,
    warm_desk,
)


def test_it_is_alive_before_it_is_ready() -> None:
    """While models load /health answers 200, /ready and data 503 with Retry-After; then all 200."""
    go_on = threading.Event()

    def opener() -> Desk:
        assert go_on.wait(SOON_S)
        return warm_desk("A")

    app = create_app(None, unhurried(), opener=opener)

    async def story() -> None:
        async with asking(app) as client:
            assert (await client.get("/health")).status_code == 200
            for path in ("/ready", "/v1/health", "/v1/version", "/v1/monitor", "/v1/decisions/A"):
                answer = await client.get(path)
                assert (answer.status_code, code_of(answer)) == (503, "not_ready")
                assert answer.headers["retry-after"]
            answer = await client.post("/v1/decisions", json={"bars": {"A": bar_json(WARM)}})
            assert (answer.status_code, code_of(answer)) == (503, "not_ready")
            assert "quantum_trader_ready 0.0" in (await client.get("/metrics")).text
            go_on.set()
            async with asyncio.timeout(SOON_S):
                while (await client.get("/ready")).status_code != 200:
                    await asyncio.sleep(0.02)
            answer = await client.post("/v1/decisions", json={"bars": {"A": bar_json(WARM)}})
            assert answer.status_code == 200

    asyncio.run(story())


def test_models_that_cannot_be_loaded_are_reported() -> None:
    """Whoever started the service is told, and it never becomes ready."""
    told: list[BaseException] = []
    heard = threading.Event()

    def opener() -> Desk:
        raise ModelFolderError("runs/x holds no models.")

    def failed(error: BaseException) -> None:
        told.append(error)
        heard.set()

    app = create_app(None, unhurried(), opener=opener, on_failure=failed)

    async def story() -> int:
        async with asking(app) as client:
            assert await asyncio.to_thread(heard.wait, SOON_S)
            return (await client.get("/ready")).status_code

    assert asyncio.run(story()) == 503
    assert str(told[0]) == "runs/x holds no models."


def test_health_names_what_is_wrong() -> None:
    """The Arbiter's own health with the journal's state; without a journal that is null."""
    found = ask(service("A", "B"), "GET", "/v1/health").json()
    assert found["status"] in ("ok", "degraded")
    assert {member["name"] for member in found["members"]} == {"tft", "ppo", "xgboost"}
    assert (found["symbols"], found["ready"]) == (2, 2)
    assert found["journal"] is None
    assert found["waiting_bars"] == 0


def test_version_and_config_hold_no_secrets(tmp_path: Path) -> None:
    """Versions, model hash, limits and the Arbiter's settings; no key."""
    app = create_app(warm_desk("A"), unhurried(max_symbols=7), keys=[KEY])

    async def story() -> tuple[str, str]:
        async with asking(app, headers={"x-api-key": KEY}) as client:
            return (await client.get("/v1/version")).text, (await client.get("/v1/config")).text

    versions, config = asyncio.run(story())
    assert '"model_hash":"fake"' in versions
    assert '"max_symbols":7' in config
    assert '"hold_threshold"' in config
    assert KEY not in versions + config


def test_without_a_journal_reports_say_so() -> None:
    """404 with the option's name."""
    for path in ("/v1/monitor", "/v1/decisions/A"):
        answer = ask(service("A"), "GET", path)
        assert (answer.status_code, code_of(answer)) == (404, "no_journal")
        assert "--journal" in answer.json()["error"]["message"]


def test_the_monitor_reads_the_journal(tmp_path: Path) -> None:
    """Decisions appear in the report and in the history; nothing unknown is NaN."""
    app = create_app(warm_desk("A", journal=tmp_path / "j.db"), unhurried(monitor_cache_s=0.0))

    async def story() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        async with asking(app) as client:
            for step in range(WARM, WARM + 5):
                await client.post("/v1/decisions", json={"bars": {"A": bar_json(step)}})
            whole = (await client.get("/v1/monitor")).json()
            lately = (await client.get("/v1/monitor?hours=1")).json()
            kept = (await client.get("/v1/decisions/A?limit=3")).json()
            return whole, lately, kept

    whole, lately, kept = asyncio.run(story())
    assert whole["arbiter"]["decisions"] == 5
    assert whole["latest"][0]["symbol"] == "A"
    assert lately["arbiter"]["decisions"] == 0
    stamps = [row["bar_ms"] for row in kept["decisions"]]
    assert stamps == [START + step * 3_600_000 for step in (WARM + 4, WARM + 3, WARM + 2)]


@pytest.mark.parametrize("query", ["hours=0", "hours=-1", "hours=nan", "hours=inf", "hours=x", "hours=1e400"])
def test_odd_hours_are_refused(query: str, tmp_path: Path) -> None:
    """422, never 500."""
    app = create_app(warm_desk("A", journal=tmp_path / "j.db"), unhurried())
    assert code_of(ask(app, "GET", f"/v1/monitor?{query}")) == "invalid"


def test_metrics_count_what_happened(tmp_path: Path) -> None:
    """Decisions by action, source and reason, latencies, the journal, members; parsable by Prometheus."""
    app = create_app(warm_desk("A", journal=tmp_path / "j.db"), unhurried())

    async def story() -> httpx.Response:
        async with asking(app) as client:
            for step in (WARM, WARM, WARM + 1):
                await client.post("/v1/decisions", json={"bars": {"A": bar_json(step)}})
            await client.get("/v1/nothing/at/all")
            return await client.get("/metrics")

    answer = asyncio.run(story())
    assert answer.headers["content-type"].startswith("text/plain")
    samples = {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    decisions = {
        key[1:]: value for key, value in samples.items() if key[0] == "quantum_trader_decisions_total"
    }
    assert sum(decisions.values()) == 3
    assert decisions["HOLD", "duplicate bar", "none"] == 1
    assert samples["quantum_trader_decision_seconds_count",] == 3
    assert samples["quantum_trader_requests_total", "/v1/decisions", "200"] == 3
    assert samples["quantum_trader_requests_total", "-", "404"] == 1
    assert samples["quantum_trader_ready",] == 1
    assert samples["quantum_trader_symbols",] == 1
    assert samples["quantum_trader_member_up", "tft"] == 1
    assert samples["quantum_trader_journal_fault",] == 0
    assert samples["quantum_trader_journal_decisions",] >= 2
    assert samples["quantum_trader_model_info", "fake"] == 1
    assert samples["quantum_trader_last_decision_timestamp_seconds",] > 0


def test_no_text_makes_the_metrics_grow_for_ever() -> None:
    """Beyond a number of reasons further ones are "other"; so are methods that nobody knows."""
    from dataclasses import replace

    metrics, desk = Metrics(), warm_desk("A")
    decision = desk.decide({"A": bar_json(WARM)})["A"].decision
    for number in range(500):
        reason = "why" + "xyz"[number % 3] * (number // 3)
        metrics.round([(replace(decision, reason=reason), True)], 0.01)
        metrics.request(f"M{number}", "-", 404, 0.01)
    text = metrics.text().decode()
    assert text.count("quantum_trader_decisions_total{") == MOST_LABELS + 1
    assert text.count("quantum_trader_request_seconds_count{") == 1


def test_a_hundred_clients_at_once_are_served() -> None:
    """A hundred single-symbol requests on connections of their own, again and again: all answered."""
    symbols = [f"S{number}" for number in range(100)]
    app = create_app(warm_desk(*symbols), unhurried())

    async def story(url: str) -> list[dict[str, Any]]:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=SOON_S) as client:
            found = []
            for step in range(WARM, WARM + 3):
                asked = [
                    client.post("/v1/decisions", json={"bars": {name: bar_json(step)}}) for name in symbols
                ]
                answers = await asyncio.gather(*asked)
                assert {answer.status_code for answer in answers} == {200}
                found += [answer.json()["decisions"] for answer in answers]
            return found

    with serving_here(app) as served:
        found = asyncio.run(story(served.url))
    assert len(found) == 300
    for number, decisions in enumerate(found):
        (name,) = decisions
        assert name == symbols[number % 100]
        assert (decisions[name]["action"], decisions[name]["symbol"]) == ("BUY", name)


class HeldTFT(FakeTFT):
    """A TFT whose passes last until the test lets them go on."""

    def __init__(self) -> None:
        super().__init__((0.1, 0.7, 0.2))
        self.begun, self.go_on = threading.Event(), threading.Event()

    def encode(self, inputs: ModelInputs) -> Encoded:
        self.begun.set()
        assert self.go_on.wait(SOON_S)
        return super().encode(inputs)


def test_the_event_loop_never_waits_for_models() -> None:
    """While every worker is busy /health answers; beyond the queue decisions are refused with 503."""
    tft = HeldTFT()
    desk = warm_desk("A", "B", "C", arbiter=fake_arbiter(tft=tft))
    app = create_app(desk, unhurried(workers=1, max_symbols=2, max_waiting_bars=2))

    async def story() -> list[int]:
        async with asking(app) as client:
            asked = [
                asyncio.create_task(client.post("/v1/decisions", json={"bars": {name: bar_json(WARM)}}))
                for name in "ABC"
            ]
            assert await asyncio.to_thread(tft.begun.wait, SOON_S)
            (first,), _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            assert code_of(first.result()) == "overloaded"
            assert first.result().headers["retry-after"] == "1"
            assert (await client.get("/health")).status_code == 200
            assert [task.done() for task in asked].count(True) == 1
            tft.go_on.set()
            return sorted(answer.status_code for answer in await asyncio.gather(*asked))

    assert asyncio.run(story()) == [200, 200, 503]


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    """503 after `answer_timeout_s`; the service goes on."""
    tft = HeldTFT()
    app = create_app(warm_desk("A", arbiter=fake_arbiter(tft=tft)), unhurried(answer_timeout_s=0.1))

    async def story() -> None:
        async with asking(app) as client:
            answer = await client.post("/v1/decisions", json={"bars": {"A": bar_json(WARM)}})
            assert (answer.status_code, code_of(answer)) == (503, "timeout")
            # Never suspended, so that it cannot be late itself.
            assert (await client.get("/health")).status_code == 200
            tft.go_on.set()

    asyncio.run(story())


def test_a_fault_of_ours_is_no_traceback_for_the_client(caplog: pytest.LogCaptureFixture) -> None:
    """500 with the request id; the log has the traceback under it."""

    class Broken(Desk):
        def decide(self, bars: Any) -> Any:
            raise RuntimeError("a secret detail")

    app = create_app(Broken(fake_arbiter()), unhurried())
    answer = ask(app, "POST", "/v1/decisions", json={"bars": {"A": bar_json(WARM)}})
    assert (answer.status_code, code_of(answer)) == (500, "internal")
    assert "secret detail" not in answer.text
    assert answer.headers["x-request-id"] in answer.json()["error"]["message"]
    assert "a secret detail" in caplog.text


def test_ten_thousand_symbols() -> None:
    """A request of 1,000 symbols ten times over: all answered, more symbols than allowed are HOLD."""
    arbiter = fake_arbiter(live=LiveConfig(max_symbols=2_500))
    app = create_app(Desk(arbiter), unhurried(max_symbols=1_000))

    async def story() -> list[dict[str, Any]]:
        found = []
        async with asking(app) as client:
            for part in range(3):
                bars = {f"S{part}-{number}": bar_json(0) for number in range(1_000)}
                answer = await client.post("/v1/decisions", json={"bars": bars})
                assert answer.status_code == 200
                found += list(answer.json()["decisions"].values())
        return found

    found = asyncio.run(story())
    assert len(found) == 3_000
    assert {each["action"] for each in found} == {"HOLD"}
    assert sum(each["reason"] == "too many symbols" for each in found) == 500


def test_the_journals_fault_does_not_withhold_a_decision(tmp_path: Path) -> None:
    """A journal that cannot be written: the decision is answered with journaled false and the reason."""
    from concurrent.futures import Future

    from quantum_trader.serve.journal.errors import JournalError

    desk = warm_desk(journal=tmp_path / "j.db")
    desk.warmup({"A": past()})
    assert desk.journal is not None

    def full(*_: object) -> Future[None]:
        future: Future[None] = Future()
        future.set_exception(JournalError("j.db: the disk is full."))
        return future

    desk.journal.record = full  # type: ignore[method-assign]
    answer = ask(create_app(desk, unhurried()), "POST", "/v1/decisions", json={"bars": {"A": bar_json(WARM)}})
    found = answer.json()["decisions"]["A"]
    assert (found["action"], found["journaled"]) == ("BUY", False)
    assert "disk is full" in found["fault"]
