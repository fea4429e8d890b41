"""What the page's tests share: answers made of the real records, and a small service that gives them."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from quantum_trader.agents.drift import Drift
from quantum_trader.agents.health import Health, MemberHealth
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.evaluate.bootstrap import Interval
from quantum_trader.serve.monitor.config import DEFAULTS
from quantum_trader.serve.monitor.records import (
    AgentFigures,
    Alert,
    CalibrationBin,
    Explanation,
    Latency,
    LatestDecision,
    MonitorReport,
)
from quantum_trader.serve.service.api_docs import docs_router
from quantum_trader.serve.service.condensed import health_json, report_json
from quantum_trader.serve.service.page import page_router

NOW_MS = 1_772_539_205_000
HOUR_MS = 3_600_000
NAN = float("nan")
NOTHING = Interval(estimate=NAN, low=NAN, high=NAN)
MARKUP = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
"""A text that would run if it were ever taken for markup."""


def figures(agent: str = "arbiter", **changes: Any) -> AgentFigures:
    """An agent with 214 closed trades whose break-even lies within its interval."""
    made = AgentFigures(
        agent=agent,
        decisions=4_032,
        resolved=3_870,
        shares={"HOLD": 0.4123, "BUY": 0.3377, "SELL": 0.25},
        average_confidence=0.5831,
        trades=214,
        win_rate=Interval(estimate=0.5327, low=0.4713, high=0.5942),
        break_even=0.5108,
        net_return=Interval(estimate=0.00042, low=-0.00061, high=0.00153),
        total_return=0.0899,
        gross_return=0.3124,
        false_positive_rate=Interval(estimate=0.5512, low=0.5301, high=0.5744),
        direction_accuracy=Interval(estimate=0.5219, low=0.4986, high=0.5457),
        calibration_error=0.0321,
        calibration=tuple(
            CalibrationBin(
                low=0.5 + 0.05 * step,
                high=0.55 + 0.05 * step,
                count=(900, 800, 420, 180, 60, 12, 0, 0, 0, 0)[step],
                confidence=0.526 + 0.05 * step if step < 6 else NAN,
                accuracy=(0.512, 0.538, 0.561, 0.603, 0.621, 0.583)[step] if step < 6 else NAN,
            )
            for step in range(10)
        ),
    )
    return dataclasses.replace(made, **changes)


def shadow() -> AgentFigures:
    """XGBoost alone: too many BUYs, below break-even."""
    return figures(
        "xgboost",
        shares={"HOLD": 0.2804, "BUY": 0.4195, "SELL": 0.3001},
        win_rate=Interval(estimate=0.4641, low=0.4205, high=0.5009),
        break_even=0.5122,
        trades=301,
        net_return=Interval(estimate=-0.00031, low=-0.00122, high=0.00048),
        total_return=-0.0933,
        gross_return=0.2201,
        calibration=tuple(
            dataclasses.replace(bin, accuracy=bin.accuracy - 0.02) for bin in figures().calibration[:5]
        ),
    )


def latest(index: int, symbol: str = "", **changes: Any) -> LatestDecision:
    """The newest decision of the symbol with this number; every number in it follows from the index."""
    action = ("BUY", "SELL", "HOLD")[index % 3]
    likely, unlikely = 0.36 + 0.2 * ((index * 7) % 10) / 10, 0.2 + 0.1 * ((index * 3) % 10) / 10
    buy, sell = (unlikely, likely) if action == "SELL" else (likely, unlikely)
    made = LatestDecision(
        symbol=symbol or f"C{index:03d}USDT",
        bar_ms=NOW_MS - HOUR_MS - NOW_MS % HOUR_MS,
        decided_ms=NOW_MS - 1_000 * (3 + index),
        action=action,
        confidence=max(buy, sell) / (buy + sell),
        probabilities=(1 - buy - sell, buy, sell),
        source="tft+ppo+xgboost" if index % 7 else "xgboost",
        reason=f"{action} by the pool" if action != "HOLD" else "confidence 0.521 below 0.55",
        warnings=("drift: atr_14 lies far from the training data",) if index % 11 == 4 else (),
    )
    return dataclasses.replace(made, **changes)


def explanation() -> Explanation:
    """Attention that falls off with age; every weight differs from the others."""
    raw = [math.exp(-(59 - bar) / 18) * (1 + 0.3 * math.sin(bar)) for bar in range(60)]
    weights = [14 - place + 0.5 * (place % 3) for place in range(len(FEATURE_NAMES))]
    return Explanation(
        symbol="C001USDT",
        bar_ms=NOW_MS - HOUR_MS - NOW_MS % HOUR_MS,
        attention=tuple(value / sum(raw) for value in raw),
        importances={
            name: weight / sum(weights) for name, weight in zip(FEATURE_NAMES, weights, strict=True)
        },
    )


def report(symbols: int = 9, **changes: Any) -> MonitorReport:
    """A journal of some weeks."""
    rows = tuple(latest(index) for index in range(symbols))
    made = MonitorReport(
        generated_ms=NOW_MS,
        since_ms=NOW_MS - 24 * HOUR_MS,
        until_ms=None,
        symbols=tuple(row.symbol for row in rows),
        arbiter=figures(),
        shadow=shadow(),
        difference=Interval(estimate=0.0021, low=-0.0008, high=0.0049),
        latency=Latency(p50=3.214, p99=11.87, highest=141.2),
        confidence_histogram=(612, 488, 301, 166, 80, 31, 12, 4, 1, 0),
        by_source={"tft+ppo+xgboost": 3_711, "xgboost": 288, "none": 33},
        by_reason={
            "BUY by the pool": 1_361,
            "SELL by the pool": 1_008,
            "confidence below": 1_630,
            "warm-up": 33,
        },
        model_hashes={"sha256:4f1c0a9be27d53c6": 3_400, "sha256:99a1b2c3d4e5f607": 632},
        alerts=(
            Alert(
                name="drift",
                level="warning",
                message="atr_14 drifted 0.41, limit 0.25: look at the venue's bars, then retrain.",
            ),
            Alert(
                name="stale",
                level="critical",
                message="C003USDT sent no bar for 3 h, expected one an hour: look at the feed.",
            ),
        ),
        latest=rows,
        explanation=explanation(),
    )
    return dataclasses.replace(made, **changes)


def empty_report() -> MonitorReport:
    """A journal that was just made."""
    nobody = figures(
        decisions=0,
        resolved=0,
        shares={"HOLD": NAN, "BUY": NAN, "SELL": NAN},
        average_confidence=NAN,
        trades=0,
        win_rate=NOTHING,
        break_even=NAN,
        net_return=NOTHING,
        total_return=0.0,
        gross_return=0.0,
        false_positive_rate=NOTHING,
        direction_accuracy=NOTHING,
        calibration_error=NAN,
        calibration=(),
    )
    return report(
        symbols=0,
        arbiter=nobody,
        shadow=None,
        difference=None,
        latency=Latency(p50=NAN, p99=NAN, highest=NAN),
        confidence_histogram=(0,) * 10,
        by_source={},
        by_reason={},
        model_hashes={},
        alerts=(),
        explanation=None,
    )


def health(**changes: Any) -> Health:
    """An Arbiter whose PPO rests, with a silent symbol and a drifting one."""
    made = Health(
        status="degraded",
        problems=("ppo failed 3 times in a row and rests", "C003USDT has no new bars"),
        members=(
            MemberHealth(name="tft", state="ready", failures=0, last_error="", retry_in_s=0.0),
            MemberHealth(
                name="ppo", state="resting", failures=3, last_error="RuntimeError: no answer", retry_in_s=42.0
            ),
            MemberHealth(name="xgboost", state="ready", failures=0, last_error="", retry_in_s=0.0),
        ),
        symbols=9,
        ready=8,
        stale=("C003USDT",),
        drift=(
            Drift(symbol="C004USDT", feature="atr_14", score=0.41, limit=0.25),
            Drift(symbol="C001USDT", feature="volume_ratio", score=0.12, limit=0.31),
            Drift(symbol="C002USDT", feature="rsi_14", score=NAN, limit=0.25),
        ),
        drift_watched=True,
        model_hash="sha256:4f1c0a9be27d53c6",
        decisions={"tft+ppo+xgboost": 371, "xgboost": 12},
        clock_jump_ms=0,
    )
    return dataclasses.replace(made, **changes)


@dataclass
class Answers:
    """What the small service says; tests change it while the page is open."""

    report: MonitorReport = field(default_factory=report)
    health: Health = field(default_factory=health)
    key: str | None = None
    failing: tuple[int, str] | None = None
    """Status and sentence of a refusal."""
    raw: Any = None
    """Given to every question instead of what was asked for."""
    asked: list[str] = field(default_factory=list)
    """Path and query of each question, oldest first."""

    @property
    def monitor(self) -> Any:
        """The report as JSON values."""
        return report_json(self.report, DEFAULTS)


def small_service(answers: Answers) -> FastAPI:
    """The routes that the page asks, without an Arbiter behind them."""
    app = FastAPI(title="quantum-trader", docs_url=None, redoc_url=None)
    app.include_router(page_router())
    app.include_router(docs_router())

    def refusal(status: int, message: str) -> JSONResponse:
        return JSONResponse({"error": {"code": "refused", "message": message}}, status)

    def answer(request: Request, plain: Any) -> JSONResponse:
        answers.asked.append(f"{request.url.path}?{request.url.query}")
        if answers.key is not None and request.headers.get("x-api-key") != answers.key:
            return refusal(401, "A valid API key is needed.")
        if answers.failing is not None:
            return refusal(*answers.failing)
        return JSONResponse(plain if answers.raw is None else answers.raw)

    @app.get("/v1/monitor")
    def monitor(request: Request, hours: float | None = None, latest: int | None = None) -> Any:
        return answer(request, report_json(answers.report, DEFAULTS, latest=latest))

    @app.get("/v1/health")
    def arbiter_health(request: Request, stale: int | None = None) -> Any:
        return answer(request, health_json(answers.health, stale=stale))

    @app.get("/v1/version")
    def version(request: Request) -> Any:
        return answer(request, {"version": "1.2.3", "model_hash": "sha256:4f1c0a9be27d53c6"})

    return app


@contextmanager
def served(app: FastAPI, port: int = 0) -> Iterator[str]:
    """The address of the app on a free port of this machine, for as long as the block runs."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", lifespan="off")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError(f"The test service did not start on port {port}.")
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
