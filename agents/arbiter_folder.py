"""The Arbiter on disk: its settings as one model folder beside the members' own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.agents.arbiter_settings import ArbiterSettings
from quantum_trader.agents.folder import Provenance, load_model_folder, save_model_folder, software_version
from quantum_trader.envs.config import from_plain
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.errors import ConfigError, ModelFolderError
from quantum_trader.envs.features import FEATURE_SET_VERSION
from quantum_trader.envs.files import json_sha256
from quantum_trader.envs.scaler import REFERENCE_SCALER, FeatureScaler

if TYPE_CHECKING:
    from quantum_trader.agents.ppo_agent import PPOAgent
    from quantum_trader.agents.tft.agent import TFTAgent

KIND = "arbiter"
MEMBERS = ("tft", "ppo", "xgboost")

_log = logging.getLogger(__name__)

Member = TypeVar("Member")


def save_settings(
    path: Path, settings: ArbiterSettings, scaler: FeatureScaler, data_sha256: str, seed: int
) -> None:
    """Write the Arbiter's own model folder; its members lie beside it."""
    provenance = Provenance(
        feature_set=FEATURE_SET_VERSION, data_sha256=data_sha256, seed=seed, created_with=software_version()
    )
    save_model_folder(
        path,
        kind=KIND,
        config=settings,
        scaler=scaler,
        calibration=None,
        provenance=provenance,
        files={},
    )


def load_arbiter(
    models: Path | str,
    *,
    confidence_threshold: float | None = None,
    strict: bool = False,
    members: Sequence[str] = MEMBERS,
    contracts: Mapping[str, FuturesContract] | None = None,
    step_ms: int = 3_600_000,
) -> Arbiter:
    """An Arbiter with whatever members can be loaded from `models`.

    A member that is missing or damaged is left out, logged and named in `Arbiter.problems`; the fallback
    chain of `Arbiter` takes its place. With `strict` it is an error instead.

    Args:
        models: folder that holds tft/, ppo/, xgboost/ and arbiter/; a run's own folder is accepted too.
        confidence_threshold: replaces the fitted one; None keeps it.
        strict: raise for a member that cannot be loaded.
        members: which to load; the others count as absent, not as problems.
        contracts, step_ms: see `Arbiter`.

    Raises:
        ModelFolderError: only with `strict`.
        ConfigError: the threshold is no number from 0 to 1.
    """
    if confidence_threshold is not None and not 0.0 <= confidence_threshold <= 1.0:
        raise ConfigError(
            f"confidence_threshold: expected a number from 0 to 1, found {confidence_threshold}."
        )
    folder = Path(models)
    root = folder / "models" if (folder / "models").is_dir() else folder
    problems: list[str] = []

    def attempt(name: str, load: Callable[[Path], Member]) -> Member | None:
        try:
            return load(root / name)
        except (ModelFolderError, ImportError) as error:
            if strict:
                raise
            problems.append(f"{name}: {error}")
            _log.warning("the arbiter goes without %s: %s", name, error)
            return None

    tft = attempt("tft", _load_tft) if "tft" in members else None
    ppo = attempt("ppo", lambda path: _load_ppo(path, tft)) if tft and "ppo" in members else None
    if tft is None and "ppo" in members:
        problems.append("ppo: left out, because it needs the TFT's encoder")
    xgboost = attempt("xgboost", _load_xgboost) if "xgboost" in members else None
    fitted = attempt("arbiter", _load_settings)
    settings, scaler = fitted if fitted is not None else (ArbiterSettings(), None)
    hashes = [member.model_hash for member in (tft, ppo, xgboost) if member is not None]
    arbiter = Arbiter(
        tft=tft,
        ppo=ppo,
        fallback=xgboost,
        settings=settings,
        scaler=scaler or _member_scaler(tft, xgboost),
        problems=problems,
        model_hash=json_sha256(hashes)[:16] if hashes else "",
        contracts=contracts,
        step_ms=step_ms,
    )
    return (
        arbiter if confidence_threshold is None else arbiter.with_confidence_threshold(confidence_threshold)
    )


def _load_tft(path: Path) -> TFTAgent:
    from quantum_trader.agents.tft.agent import TFTAgent

    return TFTAgent.load(path)


def _load_ppo(path: Path, tft: TFTAgent | None) -> PPOAgent:
    from quantum_trader.agents.ppo_agent import PPOAgent

    return PPOAgent.load(path, tft=tft)


def _load_xgboost(path: Path) -> Any:
    from quantum_trader.agents.xgboost_agent import XGBoostAgent

    return XGBoostAgent.load(path)


def _load_settings(path: Path) -> tuple[ArbiterSettings, FeatureScaler]:
    folder = load_model_folder(path, kind=KIND)
    try:
        return from_plain(ArbiterSettings, folder.config, where=str(path)), folder.scaler
    except ConfigError as error:
        raise ModelFolderError(f"{error} Train the run again.") from error


def _member_scaler(*members: Any) -> FeatureScaler:
    return next((member.scaler for member in members if member is not None), REFERENCE_SCALER)
