"""`quantum-trader serve`: refusals in one sentence, and the whole way with a trained run."""

from __future__ import annotations

import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from quantum_trader.agents import load_arbiter
from quantum_trader.envs import sample_bars
from quantum_trader.serve.cli import main
from quantum_trader.serve.commands.serve import NEEDED
from quantum_trader.serve.service.access import KEY_VARIABLE

from .budget import without_budget
from .service.services import KEY, SOON_S, started, wait_until


def refusal(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """What the command says when it does not start."""
    assert main(["serve", *options]) == 2
    found = capsys.readouterr().err
    assert "Traceback" not in found
    return found


def test_a_folder_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The models' and the root's alike."""
    assert "is no folder" in refusal(capsys, str(tmp_path / "missing"))
    assert "is no folder" in refusal(capsys, str(tmp_path), "--models-root", str(tmp_path / "missing"))


def test_beyond_loopback_a_key_is_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.0.0.0 without a key does not start, and a key on the command line is no option."""
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert KEY_VARIABLE in refusal(capsys, str(tmp_path), "--host", "0.0.0.0")
    with pytest.raises(SystemExit):
        main(["serve", str(tmp_path), "--api-key", KEY])


def test_a_port_in_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the address is named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1 port {port}" in refusal(capsys, str(tmp_path), "--port", str(port))


def test_missing_packages_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the extra that brings them."""
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = refusal(capsys, str(tmp_path))
    assert 'pip install "quantum-trader[service]"' in found
    assert all(name in found for name in NEEDED)


def test_odd_contracts_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SYMBOL=CONTRACT, nothing else."""
    assert "SYMBOL=CONTRACT" in refusal(capsys, str(tmp_path), "--contracts", "binance-btc")


def test_a_folder_without_models_ends_the_service(tmp_path: Path) -> None:
    """It listens at first, but a service that can never decide does not stay: exit code 2 and why."""
    import subprocess

    command = [sys.executable, "-m", "quantum_trader.serve.cli", "serve", str(tmp_path), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=5 * SOON_S)
    assert done.returncode == 2
    assert "neither a TFT nor an XGBoost model" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def plain(index: int) -> dict[str, Any]:
    bar = sample_bars().bar(index)
    names = ("timestamp", "open", "high", "low", "close", "volume")
    return {name: getattr(bar, name) for name in names}


@pytest.mark.xdist_group("finished_run")
def test_a_trained_run_is_served(finished_run: Path, tmp_path: Path) -> None:
    """Ready, keyed, equal to the Arbiter in process, reloaded, refused when damaged, stopped with 0."""
    demo = without_budget(finished_run, tmp_path / "models" / "demo")
    damaged = without_budget(finished_run, tmp_path / "models" / "damaged")
    weights = damaged / "models" / "tft" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    limits = ("--answer-timeout-s", f"{SOON_S}", "--body-timeout-s", f"{SOON_S}", "--rate-limit", "0")
    unhurried = (*limits, "--shutdown-s", f"{SOON_S}", "--desk.commit-wait-s", f"{SOON_S}")
    options = ("--models-root", "models", "--journal", "j.db", "--port", "0", *unhurried)
    command = [sys.executable, "-m", "quantum_trader.serve.cli", "serve", "models/demo", *options]
    arbiter = load_arbiter(demo)
    arbiter.add_to_history("EURUSD", sample_bars()[-1_100:-3])
    with (
        started(command, tmp_path, {KEY_VARIABLE: KEY}) as served,
        httpx.Client(base_url=served.url, headers={"x-api-key": KEY}, timeout=SOON_S) as client,
    ):
        assert served.get("/v1/health").status_code == 401
        past = {"bars": {"EURUSD": [plain(index) for index in range(-1_100, -3)]}}
        assert client.post("/v1/warmup", json=past).json() == {"bars_in_window": {"EURUSD": 60}}
        for index in (-3, -2, -1):
            sent = {"bars": {"EURUSD": plain(index)}}
            found = client.post("/v1/decisions", json=sent).json()["decisions"]["EURUSD"]
            expected = arbiter.decide("EURUSD", sample_bars().bar(index))
            assert found["action"] == expected.action.name
            assert tuple(found["probabilities"].values()) == expected.probabilities
            assert found["journaled"]
            if index == -3:
                assert client.post("/v1/models/reload", json={"model": "demo"}).status_code == 200
                refused = client.post("/v1/models/reload", json={"model": "damaged"})
                assert refused.status_code == 409, refused.text
                assert refused.json()["error"]["code"] == "reload_failed"
        assert client.get("/v1/monitor").json()["arbiter"]["decisions"] == 3
        assert len(client.get("/v1/decisions/EURUSD").json()["decisions"]) == 3
        assert "live" in client.get("/").text.lower()
        served.process.send_signal(signal.SIGTERM)
        assert served.wait() == 0
    assert KEY not in served.log()


@pytest.mark.xdist_group("finished_run")
def test_sighup_survives_damage(finished_run: Path, tmp_path: Path) -> None:
    """The folder it serves from is damaged: SIGHUP is refused, decisions go on."""
    shutil.copytree(finished_run, tmp_path / "demo")
    command = [sys.executable, "-m", "quantum_trader.serve.cli", "serve", "demo", "--port", "0"]
    with started(command, tmp_path, {KEY_VARIABLE: ""}) as served:
        trees = tmp_path / "demo" / "models" / "xgboost" / "trees.ubj"
        trees.write_bytes(trees.read_bytes()[:100])
        served.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "the old models go on" in served.log(), served.process)
        answer = served.post("/v1/decisions", {"bars": {"EURUSD": plain(-1)}})
        assert answer.status_code == 200
