"""`self_check`: whether freshly loaded models answer sanely, before anybody relies on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.panel import Panel
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.envs.context import CONTEXT_SIZE
from quantum_trader.envs.errors import ModelFolderError
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.envs.windows import WINDOW

_ROWS = 8
_SEED = 7
_REMEDY = "train it again or copy its folder anew."

Floats32 = NDArray[np.float32]


def self_check(panel: Panel) -> None:
    """Ask every member about fixed inputs, twice; the first pass also prepares kernels and memory.

    Raises:
        ModelFolderError: there is no member, one fails or answers no probabilities, or the same question has
            two answers.
    """
    if panel.tft is None and panel.fallback is None:
        raise ModelFolderError("There is neither a TFT nor an XGBoost model to decide: give a finished run.")
    draws = np.random.default_rng(_SEED)
    inputs = ModelInputs(
        windows=draws.normal(size=(_ROWS, WINDOW, len(FEATURE_NAMES))).astype(np.float32),
        context=np.zeros((_ROWS, CONTEXT_SIZE), dtype=np.float32),
    )
    first, second = _votes(panel, inputs), _votes(panel, inputs)
    for name, vote in first.items():
        if not ((vote >= 0).all() and np.allclose(vote.sum(axis=1), 1.0, atol=1e-3)):
            raise ModelFolderError(
                f"The {name} model answers {vote[0].tolist()} on a test input, which are no probabilities; "
                f"{_REMEDY}"
            )
        if not np.array_equal(vote, second[name]):
            raise ModelFolderError(f"The {name} model answers one question twice differently; {_REMEDY}")


def _votes(panel: Panel, inputs: ModelInputs) -> dict[str, Floats32]:
    """float32 [B, 3] by member: of each that is there."""
    votes = {}
    if panel.fallback is not None:
        try:
            votes["xgboost"] = panel.fallback.signals(inputs).probabilities
        except Exception as error:
            raise _failing("xgboost") from error
    if panel.tft is not None:
        pooled = panel.decide_inputs(inputs).votes
        for name in ("tft", "ppo"):
            if panel.member(name) is not None:
                if name not in pooled:
                    raise _failing(name)
                votes[name] = pooled[name]
    return votes


def _failing(name: str) -> ModelFolderError:
    return ModelFolderError(f"The {name} model fails on a test input; {_REMEDY}")
