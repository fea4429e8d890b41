"""What several tests of this folder share: the encoder's model folder, and trainings on the tiny world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.train.rl.config import Algorithm, RLConfig
from quantum_trader.train.rl.fit import FittedPolicy, LabelledStates, fit_policy
from quantum_trader.train.rl.table import EncodedMarket

from . import tiny_policy
from .tiny_policy import CONFIG

Fit = Callable[..., FittedPolicy]


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the encoder that the tables come from."""
    folder = tmp_path_factory.mktemp("encoder") / "tft"
    tiny_policy.tft().save(folder)
    return folder


@pytest.fixture(scope="session")
def fit(encoder: Path) -> Fit:
    """`fit_policy` on the tiny world, below a folder of its own."""

    def run(
        folder: Path,
        config: RLConfig = CONFIG,
        algorithm: Algorithm = "ppo",
        *,
        train: Sequence[EncodedMarket] | None = None,
        tft: TFTAgent | None = None,
        data: str = "data",
        labels: LabelledStates | None = None,
        **options: Any,
    ) -> FittedPolicy:
        return fit_policy(
            tiny_policy.train() if train is None else train,
            tiny_policy.validation(),
            tft=tft or tiny_policy.tft(),
            encoder_folder=encoder,
            config=config,
            folder=folder / "models" / "policy",
            work=folder,
            data_sha256=data,
            algorithm=algorithm,
            labels=labels,
            **options,
        )

    return run
