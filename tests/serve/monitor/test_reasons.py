from __future__ import annotations

import pytest

from quantum_trader.serve.monitor.reasons import (
    is_left_out,
    members,
    names_drift,
    names_failure,
    reason_kind,
)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("confidence 0.512 below 0.530", "confidence N below N"),
        ("quiet market expected (P(HOLD) 0.45)", "quiet market expected"),
        ("TFT failed (ValueError): confidence 0.561", "TFT failed (ValueError): confidence N"),
        (
            "TFT took longer than 2.5e+02 ms; XGBoost not available",
            "TFT took longer than N ms; XGBoost not available",
        ),
        ("bad bar: high -1 below low 1,200.5", "bad bar: high N below low N"),
        ("an (open (bracket 1", "an (open (bracket N"),
        ("", "none given"),
    ],
)
def test_figures_are_left_out_of_the_kind_of_a_reason(reason: str, kind: str) -> None:
    """Equal kinds can be counted, and the words that tell kinds apart stay."""
    assert reason_kind(reason) == kind


def test_only_unasked_decisions_are_left_out() -> None:
    """HOLD for want of history is no decision; HOLD because every model failed is one."""
    assert is_left_out("none", "insufficient history")
    assert is_left_out("none", "late bar")
    assert not is_left_out("none", "TFT failed (OSError); XGBoost not available")
    assert not is_left_out("tft", "late bar")


def test_drift_and_failures_are_read_from_words() -> None:
    """As the Arbiter writes them."""
    assert names_drift(["drift: rsi_14 0.61, in training at most 0.25"], "confidence 0.55")
    assert names_drift([], "out of distribution: confidence 0.55")
    assert not names_drift(["PPO resting after failures"], "confidence 0.55")
    assert names_failure("TFT took longer than 250 ms: confidence 0.55")
    assert not names_failure("confidence 0.55")


def test_members_of_a_source() -> None:
    """The pool counts its parts, nobody counts none."""
    assert [members(source) for source in ("none", "xgboost", "tft+ppo+xgboost")] == [0, 1, 3]
