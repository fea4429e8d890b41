"""Anything of ours as JSON values: NaN and infinities become null, enums their names, tuples lists."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def finite(value: float | None) -> float | None:
    """The number, or None where there is none that JSON could carry."""
    return None if value is None or not math.isfinite(value) else float(value)


def clean(value: Any) -> Any:
    """Dataclasses, mappings, sequences, arrays and numbers as JSON values without NaN."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return finite(value)
    if isinstance(value, np.generic):
        return clean(value.item())
    if isinstance(value, np.ndarray):
        return clean(value.tolist())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: clean(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_key(key): clean(item) for key, item in value.items()}
    if isinstance(value, Path):
        return str(value)
    return [clean(item) for item in value]


def _key(value: Any) -> str:
    return value.name if isinstance(value, enum.Enum) else str(value)
