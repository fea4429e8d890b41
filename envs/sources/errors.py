"""What goes wrong between this software and a source of data on the network."""

from __future__ import annotations

from quantum_trader.envs.errors import QuantumTraderError


class SourceError(QuantumTraderError, RuntimeError):
    """A venue or archive that does not answer, refuses, or sends what cannot be used."""


class TurnedAway(SourceError):
    """The venue does not serve this country or address (HTTP 403 or 451): asking again changes nothing."""
