"""Market data, contracts and the futures-trading environments; names load their module on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gymnasium.envs.registration import register

from quantum_trader.envs.lazy import lazy_names

if TYPE_CHECKING:
    from quantum_trader.envs.actions import Action as Action
    from quantum_trader.envs.backtest_kernel import Record as Record, run_actions as run_actions
    from quantum_trader.envs.bars import Bar as Bar, Bars as Bars
    from quantum_trader.envs.contract import FuturesContract as FuturesContract, MarginTier as MarginTier
    from quantum_trader.envs.contract_file import (
        contract_from_dict as contract_from_dict,
        read_contract as read_contract,
        tiers_from_ccxt as tiers_from_ccxt,
    )
    from quantum_trader.envs.custom_reward import RewardFunction as RewardFunction
    from quantum_trader.envs.env import FuturesTradingEnv as FuturesTradingEnv
    from quantum_trader.envs.env_config import EnvConfig as EnvConfig
    from quantum_trader.envs.errors import ConfigError as ConfigError, DataError as DataError
    from quantum_trader.envs.features import (
        FEATURE_NAMES as FEATURE_NAMES,
        FEATURE_SET_VERSION as FEATURE_SET_VERSION,
        compute_features as compute_features,
        compute_static as compute_static,
    )
    from quantum_trader.envs.load import (
        bars_from_frame as bars_from_frame,
        read_bars as read_bars,
        read_folder as read_folder,
        write_bars as write_bars,
    )
    from quantum_trader.envs.lookahead import leaking_columns as leaking_columns
    from quantum_trader.envs.market import Market as Market, sample_market as sample_market
    from quantum_trader.envs.mirror import mirrored_bars as mirrored_bars, mirrored_market as mirrored_market
    from quantum_trader.envs.observe import (
        ACCOUNT_NAMES as ACCOUNT_NAMES,
        ACCOUNT_SIZE as ACCOUNT_SIZE,
        flat_account as flat_account,
    )
    from quantum_trader.envs.paper_account import PaperAccount as PaperAccount
    from quantum_trader.envs.presets import PRESETS as PRESETS, guess_preset as guess_preset, preset as preset
    from quantum_trader.envs.sample import sample_bars as sample_bars
    from quantum_trader.envs.scaler import (
        REFERENCE_SCALER as REFERENCE_SCALER,
        FeatureScaler as FeatureScaler,
        fit_scaler as fit_scaler,
    )
    from quantum_trader.envs.stream import FeatureStream as FeatureStream
    from quantum_trader.envs.synthetic import (
        PlantedConfig as PlantedConfig,
        SyntheticConfig as SyntheticConfig,
        planted_bars as planted_bars,
        random_walk_bars as random_walk_bars,
        synthetic_bars as synthetic_bars,
    )
    from quantum_trader.envs.vector_env import FuturesTradingVectorEnv as FuturesTradingVectorEnv
    from quantum_trader.envs.windows import WINDOW as WINDOW, GapReport as GapReport, gap_report as gap_report

_MODULES = {
    "ACCOUNT_NAMES": "observe",
    "ACCOUNT_SIZE": "observe",
    "Action": "actions",
    "Bar": "bars",
    "Bars": "bars",
    "ConfigError": "errors",
    "DataError": "errors",
    "EnvConfig": "env_config",
    "FEATURE_NAMES": "features",
    "FEATURE_SET_VERSION": "features",
    "FeatureScaler": "scaler",
    "FeatureStream": "stream",
    "FuturesContract": "contract",
    "FuturesTradingEnv": "env",
    "FuturesTradingVectorEnv": "vector_env",
    "GapReport": "windows",
    "MarginTier": "contract",
    "Market": "market",
    "PRESETS": "presets",
    "PaperAccount": "paper_account",
    "PlantedConfig": "synthetic",
    "REFERENCE_SCALER": "scaler",
    "Record": "backtest_kernel",
    "SyntheticConfig": "synthetic",
    "WINDOW": "windows",
    "RewardFunction": "custom_reward",
    "bars_from_frame": "load",
    "compute_features": "features",
    "compute_static": "features",
    "contract_from_dict": "contract_file",
    "fit_scaler": "scaler",
    "flat_account": "observe",
    "gap_report": "windows",
    "guess_preset": "presets",
    "leaking_columns": "lookahead",
    "mirrored_bars": "mirror",
    "mirrored_market": "mirror",
    "planted_bars": "synthetic",
    "preset": "presets",
    "random_walk_bars": "synthetic",
    "read_bars": "load",
    "read_contract": "contract_file",
    "read_folder": "load",
    "run_actions": "backtest_kernel",
    "sample_bars": "sample",
    "sample_market": "market",
    "synthetic_bars": "synthetic",
    "tiers_from_ccxt": "contract_file",
    "write_bars": "load",
}
"""Public name -> the module of this package that defines it."""

__getattr__, __dir__ = lazy_names(__name__, _MODULES)


# Strings, so that importing this package loads neither compiler nor data.
register(
    id="FuturesTrading-v0",
    entry_point="quantum_trader.envs.env:FuturesTradingEnv",
    vector_entry_point="quantum_trader.envs.vector_env:FuturesTradingVectorEnv",
)
