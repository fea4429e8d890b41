"""What Lightning needs to be told so that it only predicts: no files, no progress bars, no advice."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from tft_peers.cases import Precision


def quiet() -> None:
    """Silence its advice, which has nothing to say about a benchmark."""
    warnings.simplefilter("ignore")
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)


def trainer_options(precision: Precision) -> dict[str, Any]:
    """Arguments of its `Trainer`."""
    return {
        "accelerator": "cpu",
        "precision": "bf16-mixed" if precision == "bf16" else "32-true",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
