"""`benchmarks/serving.py` from end to end on a small run, with too few calls to mean anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from serving_parts.hold_ups import lost_by_one
from serving_parts.latency import Latency
from serving_parts.report import Limit, Report

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "serving.py"


@pytest.fixture(scope="module")
def run(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What a quick run prints, and its JSON."""
    path = tmp_path_factory.mktemp("bench") / "serving.json"
    command = [sys.executable, str(SCRIPT), str(finished_run), "--quick", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=path.parent)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    return done.stdout, json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.xdist_group("finished_run")
def test_every_way_is_measured(run: tuple[str, dict[str, Any]]) -> None:
    """One symbol and several, in process, with a journal and over HTTP, as often as each other."""
    document = run[1]
    found = {(each["route"], each["symbols"]): each["milliseconds"] for each in document["latencies"]}
    ways = ("in-process", "with journal", "over HTTP")
    assert set(found) == {(way, count) for way in ways for count in (1, 5)}
    assert {len(times) for times in found.values()} == {4}
    assert all(min(times) > 0 for times in found.values())
    for each in document["latencies"]:
        assert sum(each["sources"].values()) == 4 * each["symbols"]
        assert not {"none", "not journaled"} & set(each["sources"])


@pytest.mark.slow
@pytest.mark.xdist_group("finished_run")
def test_nothing_is_lost_under_load(run: tuple[str, dict[str, Any]]) -> None:
    """Every client is answered, every decision is on disk, and as many are made as were asked for."""
    printed, document = run
    assert document["crowd"]["errors"] == {}
    assert sum(document["crowd"]["sources"].values()) == len(document["crowd"]["milliseconds"]) > 0
    assert "not journaled" not in document["crowd"]["sources"]
    assert [each["decisions"] for each in document["soaks"]] == [100, 100]
    assert document["soaks"][1]["journal_mb"] > 0
    for word in ("limit 30 ms", "limit 50 ms", "errors: none", "the journal's share", "torch"):
        assert word in printed


def _report(*milliseconds: float, source: str = "tft+ppo+xgboost") -> Report:
    found = Latency(
        route="in-process", symbols=1, milliseconds=milliseconds, sources={source: len(milliseconds)}
    )
    return Report(
        machine={},
        versions={},
        options={},
        limits=(Limit(route="in-process", symbols=1, p99_ms=30.0),),
        latencies=[found],
    )


def test_a_limit_is_judged_by_the_99th_percentile() -> None:
    """Half of the limit is judged beside it; limits of what was not measured are left out."""
    fast, slow = _report(*[10.0] * 100, 16.0), _report(*[20.0] * 50, *[31.0] * 50)
    assert "p99 10.0 ms: limit 30 ms: met; half of it, 15 ms: met" in fast.text()
    assert "p99 31.0 ms: limit 30 ms: not met; half of it, 15 ms: not met" in slow.text()
    assert json.loads(slow.json())["verdicts"] == [
        {"route": "in-process", "symbols": 1, "p99_ms": 30.0, "met": False}
    ]
    assert "limit" not in Report(machine={}, versions={}, options={}, limits=fast.limits).text()


@pytest.mark.parametrize(
    ("looks", "lost"),
    [
        ([0.0, 0.008, 0.0081, 0.0161, 0.0162, 0.0202, 0.0203], 20.0),
        ([0.0, 0.05, 0.051, 0.3, 0.301], 249.0),
        ([0.0, 0.001, 0.002, 0.03], 28.0),
        ([0.0, 0.001, 0.002, 0.003, 0.0045], 0.0),
    ],
    ids=["near each other", "apart", "one", "short"],
)
def test_what_the_machine_takes_for_itself_is_seen(
    monkeypatch: pytest.MonkeyPatch, looks: list[float], lost: float
) -> None:
    """Gaps within a tenth of a second are added up, those apart are not; short ones are the loop itself."""
    times = iter(looks)
    monkeypatch.setattr("serving_parts.hold_ups.time", SimpleNamespace(perf_counter=lambda: next(times)))
    assert lost_by_one(looks[-1] - 1e-4) == pytest.approx(lost)


def test_decisions_of_a_fallback_are_named() -> None:
    """A line whose decisions came from XGBoost alone says how many: they are faster and would flatter."""
    assert "(of 3: 3 xgboost)" in _report(1.0, 1.0, 1.0, source="xgboost").text()
    assert "(of" not in _report(1.0, 1.0, 1.0).text()
