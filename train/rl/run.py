"""`train_policy`: from prepared datasets and a TFT to a trained policy."""

from __future__ import annotations

from pathlib import Path

from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.train.prepared import Prepared
from quantum_trader.train.rl.config import Algorithm, RLConfig
from quantum_trader.train.rl.fit import FittedPolicy, fit_policy
from quantum_trader.train.rl.markets import cut_markets, labelled_states
from quantum_trader.train.rl.table import encode_markets


def train_policy(
    prepared: Prepared,
    *,
    tft: TFTAgent,
    encoder_folder: Path,
    config: RLConfig,
    folder: Path,
    work: Path,
    algorithm: Algorithm = "ppo",
    name: str = "",
) -> FittedPolicy:
    """`fit_policy` on the training slice, chosen and calibrated on the validation slice.

    The tables of encoder outputs lie in `work/embeddings` and serve every further algorithm and seed.

    Args:
        prepared: the datasets.
        tft: whose encoder it is.
        encoder_folder: where the TFT was loaded from.
        config, folder, work, algorithm, name: see `fit_policy`.
    """
    tables = work / "embeddings"
    train, validation = (
        encode_markets(tft, cut_markets(rows, mirror=config.mirror), config.features, tables)
        for rows in (prepared.train, prepared.validation)
    )
    return fit_policy(
        train,
        validation,
        tft=tft,
        encoder_folder=encoder_folder,
        config=config,
        folder=folder,
        work=work,
        data_sha256=prepared.data_sha256,
        algorithm=algorithm,
        name=name,
        labels=labelled_states(prepared.validation, prepared.train),
    )
