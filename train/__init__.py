"""Labels, purged splits, datasets and the fitting of agents; names load their module on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantum_trader.envs.lazy import lazy_names

if TYPE_CHECKING:
    from quantum_trader.train.arbiter import (
        fit_arbiter as fit_arbiter,
    )
    from quantum_trader.train.arbiter_config import (
        ArbiterConfig as ArbiterConfig,
    )
    from quantum_trader.train.bilstm import (
        fit_bilstm as fit_bilstm,
    )
    from quantum_trader.train.data_config import (
        DataConfig as DataConfig,
        LabelConfig as LabelConfig,
        SplitConfig as SplitConfig,
        WeightConfig as WeightConfig,
    )
    from quantum_trader.train.dataset import (
        Batch as Batch,
        PooledDataset as PooledDataset,
    )
    from quantum_trader.train.ensemble import (
        fit_ensemble as fit_ensemble,
    )
    from quantum_trader.train.labels import (
        Labels as Labels,
        choose_barrier as choose_barrier,
        triple_barrier as triple_barrier,
    )
    from quantum_trader.train.logistic import (
        fit_logistic as fit_logistic,
    )
    from quantum_trader.train.network import (
        fit_network as fit_network,
    )
    from quantum_trader.train.network_config import (
        NetworkTrainConfig as NetworkTrainConfig,
    )
    from quantum_trader.train.prepared import (
        Prepared as Prepared,
        prepare as prepare,
    )
    from quantum_trader.train.rl.config import (
        FineTuneConfig as FineTuneConfig,
        OffPolicyConfig as OffPolicyConfig,
        RLConfig as RLConfig,
    )
    from quantum_trader.train.rl.extractor import (
        TableExtractor as TableExtractor,
        TFTFeaturesExtractor as TFTFeaturesExtractor,
    )
    from quantum_trader.train.rl.fit import (
        FittedPolicy as FittedPolicy,
        LabelledStates as LabelledStates,
        fit_policy as fit_policy,
    )
    from quantum_trader.train.rl.rates import (
        TwoRatesPPO as TwoRatesPPO,
        split_rates as split_rates,
    )
    from quantum_trader.train.rl.table import (
        EncodedMarket as EncodedMarket,
        encode_market as encode_market,
        encode_markets as encode_markets,
    )
    from quantum_trader.train.splits import (
        Cuts as Cuts,
        Splits as Splits,
        calendar_cuts as calendar_cuts,
        split_markets as split_markets,
        split_rows as split_rows,
    )
    from quantum_trader.train.tft import (
        fit_tft as fit_tft,
    )
    from quantum_trader.train.tree_config import (
        CatBoostConfig as CatBoostConfig,
        EnsembleConfig as EnsembleConfig,
        LightGBMConfig as LightGBMConfig,
        LogisticConfig as LogisticConfig,
        XGBoostConfig as XGBoostConfig,
    )
    from quantum_trader.train.weights import (
        overlap_weights as overlap_weights,
    )
    from quantum_trader.train.xgboost import (
        fit_xgboost as fit_xgboost,
    )

_MODULES = {
    "ArbiterConfig": "arbiter_config",
    "Batch": "dataset",
    "Cuts": "splits",
    "DataConfig": "data_config",
    "EncodedMarket": "rl.table",
    "CatBoostConfig": "tree_config",
    "EnsembleConfig": "tree_config",
    "FineTuneConfig": "rl.config",
    "FittedPolicy": "rl.fit",
    "LabelledStates": "rl.fit",
    "OffPolicyConfig": "rl.config",
    "RLConfig": "rl.config",
    "TwoRatesPPO": "rl.rates",
    "LabelConfig": "data_config",
    "Labels": "labels",
    "LightGBMConfig": "tree_config",
    "LogisticConfig": "tree_config",
    "PooledDataset": "dataset",
    "Prepared": "prepared",
    "SplitConfig": "data_config",
    "Splits": "splits",
    "TFTFeaturesExtractor": "rl.extractor",
    "NetworkTrainConfig": "network_config",
    "TableExtractor": "rl.extractor",
    "WeightConfig": "data_config",
    "XGBoostConfig": "tree_config",
    "calendar_cuts": "splits",
    "choose_barrier": "labels",
    "encode_market": "rl.table",
    "encode_markets": "rl.table",
    "fit_policy": "rl.fit",
    "split_rates": "rl.rates",
    "fit_arbiter": "arbiter",
    "fit_bilstm": "bilstm",
    "fit_ensemble": "ensemble",
    "fit_logistic": "logistic",
    "fit_network": "network",
    "fit_tft": "tft",
    "fit_xgboost": "xgboost",
    "overlap_weights": "weights",
    "prepare": "prepared",
    "split_markets": "splits",
    "split_rows": "splits",
    "triple_barrier": "labels",
}
"""Public name -> the module of this package that defines it."""

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
