"""Agents: what turns observations into BUY/SELL/HOLD signals; names load their module on first use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from quantum_trader.envs.lazy import lazy_names

# Threads that spin while they wait for a busy core slow a model down many times over on a shared machine.
# The OpenMP runtime reads this once, when torch or xgboost is first imported; a user's own value stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from quantum_trader.agents.arbiter import Arbiter as Arbiter
    from quantum_trader.agents.arbiter_folder import load_arbiter as load_arbiter
    from quantum_trader.agents.arbiter_settings import (
        ArbiterSettings as ArbiterSettings,
        GateSettings as GateSettings,
    )
    from quantum_trader.agents.baselines import (
        AlwaysHold as AlwaysHold,
        BuyAndHold as BuyAndHold,
        CoinFlip as CoinFlip,
        EmaCross as EmaCross,
        Momentum as Momentum,
        PriorClass as PriorClass,
    )
    from quantum_trader.agents.bilstm.agent import BiLSTMAgent as BiLSTMAgent
    from quantum_trader.agents.calibration import (
        Calibration as Calibration,
        fit_calibration as fit_calibration,
    )
    from quantum_trader.agents.decision import Decision as Decision, Decisions as Decisions, Vote as Vote
    from quantum_trader.agents.drift import (
        Drift as Drift,
        DriftReference as DriftReference,
        fit_drift as fit_drift,
    )
    from quantum_trader.agents.ensemble_agent import EnsembleAgent as EnsembleAgent
    from quantum_trader.agents.folder import (
        ModelFolder as ModelFolder,
        Provenance as Provenance,
        load_model_folder as load_model_folder,
        save_model_folder as save_model_folder,
    )
    from quantum_trader.agents.health import Health as Health, MemberHealth as MemberHealth
    from quantum_trader.agents.live import Signal as Signal, SignalMeta as SignalMeta
    from quantum_trader.agents.live_config import LiveConfig as LiveConfig
    from quantum_trader.agents.logistic import LogisticAgent as LogisticAgent
    from quantum_trader.agents.network import EncoderOutput as EncoderOutput, NetworkOutput as NetworkOutput
    from quantum_trader.agents.network_agent import Encoded as Encoded, NetworkAgent as NetworkAgent
    from quantum_trader.agents.policy_agent import PolicyAgent as PolicyAgent
    from quantum_trader.agents.signals import Agent as Agent, ModelInputs as ModelInputs, Signals as Signals
    from quantum_trader.agents.tft.agent import TFTAgent as TFTAgent
    from quantum_trader.agents.xgboost_agent import XGBoostAgent as XGBoostAgent

_MODULES = {
    "Arbiter": "arbiter",
    "ArbiterSettings": "arbiter_settings",
    "Decision": "decision",
    "Decisions": "decision",
    "Drift": "drift",
    "DriftReference": "drift",
    "Health": "health",
    "LiveConfig": "live_config",
    "MemberHealth": "health",
    "GateSettings": "arbiter_settings",
    "PolicyAgent": "policy_agent",
    "Signal": "live",
    "SignalMeta": "live",
    "Vote": "decision",
    "load_arbiter": "arbiter_folder",
    "Agent": "signals",
    "AlwaysHold": "baselines",
    "BiLSTMAgent": "bilstm.agent",
    "BuyAndHold": "baselines",
    "CoinFlip": "baselines",
    "EmaCross": "baselines",
    "Encoded": "network_agent",
    "EncoderOutput": "network",
    "EnsembleAgent": "ensemble_agent",
    "LogisticAgent": "logistic",
    "ModelFolder": "folder",
    "ModelInputs": "signals",
    "Momentum": "baselines",
    "NetworkAgent": "network_agent",
    "NetworkOutput": "network",
    "PriorClass": "baselines",
    "Provenance": "folder",
    "Signals": "signals",
    "TFTAgent": "tft.agent",
    "Calibration": "calibration",
    "XGBoostAgent": "xgboost_agent",
    "fit_calibration": "calibration",
    "fit_drift": "drift",
    "load_model_folder": "folder",
    "save_model_folder": "folder",
}
"""Public name -> the module of this package that defines it."""

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
