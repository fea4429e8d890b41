"""The ledger passes when every artefact has its line and fails when one is missing or told twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quantum_trader.evaluate.checks.ledger import ledger_complete
from quantum_trader.evaluate.records import Trial

KEYS = ["key-0", "key-1", "key-2"]


@pytest.fixture
def lines(a_trial: Trial) -> list[Trial]:
    """One line for each of `KEYS`."""
    return [replace(a_trial, key=key) for key in KEYS]


def test_a_whole_ledger_passes(lines: list[Trial]) -> None:
    """Every artefact has its line; lines of what was deleted, or written twice alike, do no harm."""
    assert ledger_complete(lines, KEYS).passed is True
    assert ledger_complete([*lines, replace(lines[0], key="deleted")], KEYS).passed is True
    assert (
        ledger_complete([*lines, lines[0], replace(lines[0], split="validation", bars=9)], KEYS).passed
        is True
    )


def test_a_missing_line_fails(lines: list[Trial]) -> None:
    """An artefact without a line fails, and is named."""
    found = ledger_complete(lines[:2], KEYS)
    assert found.passed is False
    assert "key-2" in found.detail
    assert ledger_complete([], KEYS).passed is False


def test_two_stories_of_one_result_fail(lines: list[Trial]) -> None:
    """A second line of the same result with other figures fails."""
    better = replace(lines[1], mean_log_return=0.002)
    found = ledger_complete([*lines, better], KEYS)
    assert found.passed is False
    assert "key-1" in found.detail


def test_nothing_trained_is_not_asked() -> None:
    """Without artefacts and lines there is no verdict."""
    assert ledger_complete([], []).passed is None
