"""The errors a user can cause: each message says in one sentence what was expected, found, and what to do."""

from __future__ import annotations


class QuantumTraderError(Exception):
    """Base of every error that stands for bad input rather than a fault in this software."""


class DataError(QuantumTraderError, ValueError):
    """Market data that cannot be used: the message names the source, the first bad row and the remedy."""


class ConfigError(QuantumTraderError, ValueError):
    """A setting that is unknown, of the wrong type, or outside its range."""


class ModelFolderError(QuantumTraderError, ValueError):
    """A model folder that is missing, damaged, foreign, or newer than this software."""


class TrainingError(QuantumTraderError, RuntimeError):
    """Training that cannot go on: no usable rows, a loss that is not finite, memory that ran out."""
