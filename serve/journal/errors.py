"""The error of the journal."""

from __future__ import annotations

from quantum_trader.envs.errors import QuantumTraderError


class JournalError(QuantumTraderError, RuntimeError):
    """The journal cannot be opened, read or written: the message says why and what to do."""
