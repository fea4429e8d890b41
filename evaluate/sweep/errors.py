"""The error of a sweep."""

from __future__ import annotations

from quantum_trader.envs.errors import QuantumTraderError


class SweepError(QuantumTraderError, RuntimeError):
    """A sweep that cannot begin, or jobs of it that failed."""
