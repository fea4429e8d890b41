"""What a report says about the run itself: data notes, versions, hashes, durations."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.envs.config import to_plain
from quantum_trader.envs.features import FEATURE_SET_VERSION
from quantum_trader.envs.files import json_sha256
from quantum_trader.envs.windows import gap_report
from quantum_trader.evaluate.report.data import DetailGroup
from quantum_trader.evaluate.report.format import listing
from quantum_trader.evaluate.run_config import RunConfig
from quantum_trader.evaluate.run_stages import Stages
from quantum_trader.train.prepared import Prepared

_PACKAGES = (
    "quantum-trader",
    "torch",
    "stable-baselines3",
    "gymnasium",
    "xgboost",
    "lightgbm",
    "catboost",
    "numpy",
    "numba",
    "TA-Lib",
)


def notes(prepared: Prepared, arbiter: Arbiter | None) -> tuple[str, ...]:
    """Sentences below the data table."""
    labels = prepared.labels
    found = [
        f"Labels: the first of two barriers at {labels.barrier_atr:g} ATR that the price touches within "
        f"{labels.horizon_bars} bars of the fill; neither is HOLD. The width was chosen on training rows.",
        *_contract_notes(prepared),
        *_gap_notes(prepared),
    ]
    if arbiter is not None:
        settings, gate = arbiter.settings, arbiter.usual_gate
        found.append(
            f"Arbiter: pools {listing(list(settings.pool))}, XGBoost's share of the forecast "
            f"{settings.trees_share:.2f}, weight of the forecast {settings.forecast_weight:.2f}, of PPO "
            f"{settings.ppo_weight:.2f}; "
            f"HOLD from P(HOLD) {gate.hold_threshold:.3f}; confidence threshold "
            f"{gate.confidence_threshold:.3f} ({gate.rule})."
        )
    return tuple(found)


def details(config: RunConfig, prepared: Prepared, stages: Stages) -> tuple[DetailGroup, ...]:
    """The run's identity at the end of the report."""
    plain = to_plain(config)
    identity = (
        ("config", json_sha256(plain)[:16]),
        ("data", prepared.data_sha256[:16]),
        ("feature set", FEATURE_SET_VERSION),
        ("seed", str(config.seed)),
        ("networks", config.preset),
    )
    durations = tuple((name, f"{seconds:.1f} s") for name, seconds in stages.seconds.items())
    versions = (("Python", platform.python_version()), *((name, _version(name)) for name in _PACKAGES))
    return (
        DetailGroup(title="Identity", rows=identity),
        DetailGroup(title="Time to fit", rows=durations),
        DetailGroup(title="Versions", rows=versions),
    )


def _contract_notes(prepared: Prepared) -> list[str]:
    contracts = {market.contract.name: market.contract for market in prepared.markets}
    return [
        f"Contract {contract.name}: fee {contract.taker_fee:.4%} of notional"
        + (f" and {contract.commission:g} a contract" if contract.commission else "")
        + f", slippage with half the spread {contract.slippage:.4%}, on every fill."
        for contract in contracts.values()
    ]


def _gap_notes(prepared: Prepared) -> list[str]:
    reports = [gap_report(market.bars, market.contract) for market in prepared.markets]
    missing, breaks = sum(item.missing for item in reports), sum(item.breaks for item in reports)
    if missing == 0:
        return ["No bar is missing."]
    return [f"{missing} bars are missing; {breaks} gaps are too long for a window to span."]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
