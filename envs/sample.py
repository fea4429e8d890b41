"""The embedded sample: real hourly EURUSD bars of 2017 that ship inside the gym-anytrading package."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import pandas as pd

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.errors import DataError
from quantum_trader.envs.load import bars_from_frame

SAMPLE_SYMBOL = "EURUSD"

_PACKAGE = "gym_anytrading"
_FILE = Path("datasets") / "data" / "FOREX_EURUSD_1H_ASK.csv"


@cache
def sample_bars() -> Bars:
    """6,225 hourly EURUSD bars of 2017 (UTC, ask prices); weekends and part of Christmas are missing.

    Raises:
        DataError: the package that ships the file is not installed whole.
    """
    path = _sample_path()
    frame = pd.read_csv(path)
    frame["Time"] = pd.to_datetime(frame["Time"], format="%d.%m.%Y %H:%M:%S.%f", utc=True)
    return bars_from_frame(frame, symbol=SAMPLE_SYMBOL, source=str(path))


def _sample_path() -> Path:
    """Where the file lies; finding the package without importing it spares the plotting stack it loads."""
    spec = importlib.util.find_spec(_PACKAGE)
    folder = Path(spec.origin).parent if spec is not None and spec.origin else None
    if folder is None or not (folder / _FILE).is_file():
        raise DataError(
            f"The embedded sample {_FILE.as_posix()} of the package gym-anytrading was not found; "
            "reinstall it with `pip install --force-reinstall gym-anytrading`."
        )
    return folder / _FILE
