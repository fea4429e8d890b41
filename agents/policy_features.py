"""`PolicyFeatures`: what a policy may be told of the market, apart from torch."""

from __future__ import annotations

from typing import Literal

PolicyFeatures = Literal["encoder", "outputs", "both"]
"""encoder: the embedding [D]; outputs: two log odds, median and spread of each horizon; both: all of it."""
