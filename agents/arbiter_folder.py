"""The Arbiter on disk: its settings as one model folder beside the members' own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.agents.arbiter_settings import ArbiterSettings
from quantum_trader.agents.drift import DriftReference
from quantum_trader.agents.folder import Provenance, load_model_folder, save_model_folder
from quantum_trader.agents.live_config import LiveConfig
from quantum_trader.envs.config import from_plain, to_plain
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.errors import ConfigError, ModelFolderError
from quantum_trader.envs.files import json_sha256
from quantum_trader.envs.scaler import REFERENCE_SCALER, FeatureScaler

if TYPE_CHECKING:
    from quantum_trader.agents.policy_agent import PolicyAgent
    from quantum_trader.agents.tft.agent import TFTAgent
    from quantum_trader.agents.xgboost_agent import XGBoostAgent

KIND = "arbiter"
MEMBERS = ("tft", "ppo", "xgboost")

_log = logging.getLogger(__name__)

Member = TypeVar("Member")


def save_settings(
    path: Path,
    settings: ArbiterSettings,
    *,
    members: Mapping[str, str],
    scaler: FeatureScaler,
    data_sha256: str,
    seed: int,
    drift: DriftReference | None = None,
) -> None:
    """Write the Arbiter's own model folder; its members lie beside it.

    Args:
        path: the folder.
        settings: fitted for the members.
        members: model hash by name of each member: the settings hold for these and no others.
        scaler, data_sha256, seed: of the run.
        drift: how the features of the training rows are spread; None leaves drift unwatched.
    """
    save_model_folder(
        path,
        kind=KIND,
        config=settings,
        scaler=scaler,
        calibration=None,
        provenance=Provenance.now(data_sha256=data_sha256, seed=seed, metrics={}),
        files={},
        extra={"members": dict(members), "drift": None if drift is None else to_plain(drift)},
    )


def load_arbiter(
    models: Path | str,
    *,
    confidence_threshold: float | None = None,
    strict: bool = False,
    members: Sequence[str] = MEMBERS,
    contracts: Mapping[str, FuturesContract] | None = None,
    step_ms: int = 3_600_000,
    live: LiveConfig | None = None,
    clock: Callable[[], int] | None = None,
) -> Arbiter:
    """An Arbiter with whatever members can be loaded from `models`.

    A member that is missing or damaged is left out, logged and named in `Arbiter.problems`; the fallback
    chain of `Arbiter` takes its place. With `strict` it is an error instead.

    Args:
        models: folder that holds tft/, ppo/, xgboost/ and arbiter/; a run's own folder is accepted too.
        confidence_threshold: replaces the fitted one; None keeps it.
        strict: raise for a member that cannot be loaded.
        members: which to load; the others count as absent, not as problems.
        contracts, step_ms, live, clock: see `Arbiter`.

    Raises:
        ModelFolderError: there is no such folder, or it holds no models; with `strict`, a member cannot be
            loaded.
        ConfigError: the threshold is no number from 0 to 1.
    """
    root = _models_folder(Path(models))
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
    scaler = tft.scaler if tft is not None else None
    xgboost = attempt("xgboost", lambda path: _load_xgboost(path, scaler)) if "xgboost" in members else None
    found = {member.name: member.model_hash for member in (tft, ppo, xgboost) if member is not None}
    fitted = attempt("arbiter", lambda path: _load_settings(path, found))
    settings, drift = fitted or (ArbiterSettings(), None)
    if confidence_threshold is not None:
        settings = settings.with_confidence_threshold(confidence_threshold)
    return Arbiter(
        tft=tft,
        ppo=ppo,
        fallback=xgboost,
        settings=settings,
        scaler=scaler or (xgboost.scaler if xgboost is not None else REFERENCE_SCALER),
        problems=problems,
        model_hash=json_sha256(found)[:16] if found else "",
        contracts=contracts,
        step_ms=step_ms,
        live=live,
        drift=drift,
        clock=clock,
    )


def _models_folder(folder: Path) -> Path:
    """The folder that holds the members' folders; a slip of the pen would be HOLD for ever."""
    try:
        if folder.is_dir():
            return folder / "models" if (folder / "models").is_dir() else folder
        found = "no such folder"
    except PermissionError:
        found = "one that this user may not read"
    raise ModelFolderError(f"{folder}: expected the folder of a finished run, found {found}; check the path.")


def _load_tft(path: Path) -> TFTAgent:
    from quantum_trader.agents.tft.agent import TFTAgent

    return TFTAgent.load(path)


def _load_ppo(path: Path, tft: TFTAgent | None) -> PolicyAgent:
    from quantum_trader.agents.policy_agent import PolicyAgent

    return PolicyAgent.load(path, tft=tft)


def _load_xgboost(path: Path, scaler: FeatureScaler | None) -> XGBoostAgent:
    from quantum_trader.agents.xgboost_agent import XGBoostAgent

    agent = XGBoostAgent.load(path)
    if scaler is not None and agent.scaler != scaler:
        raise ModelFolderError(f"{path} was fitted with another scaler than the TFT: repeat the run.")
    return agent


def _load_settings(path: Path, members: Mapping[str, str]) -> tuple[ArbiterSettings, DriftReference | None]:
    """The fitted settings, if they were fitted for the members found; a missing member does not matter."""
    folder = load_model_folder(path, kind=KIND)
    fitted_for = folder.extra.get("members", {})
    for name, model_hash in members.items():
        if fitted_for.get(name) != model_hash:
            raise ModelFolderError(f"{path} was fitted for another {name} model: repeat the run.")
    drift = folder.extra.get("drift")
    try:
        settings = from_plain(ArbiterSettings, folder.config, where=str(path))
        return settings, None if drift is None else from_plain(DriftReference, drift, where=f"{path}: drift")
    except ConfigError as error:
        raise ModelFolderError(f"{error} Train the run again.") from error
