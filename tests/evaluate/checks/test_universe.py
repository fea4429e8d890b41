"""Folds that judge what was traded when they began pass; folds of survivors fail."""

from __future__ import annotations

from quantum_trader.evaluate.checks.universe import Life, Stretch, survivorship

LIVES = {
    "OLD": Life(first=0, last=1_000),
    "DELISTED": Life(first=0, last=450),
    "LISTED": Life(first=350, last=1_000),
}
FOLDS = [Stretch(start=start, end=start + 200) for start in (200, 400, 600)]
JUDGED = [{"OLD", "DELISTED"}, {"OLD", "DELISTED", "LISTED"}, {"OLD", "LISTED"}]


def test_folds_of_their_own_time_pass() -> None:
    """Every symbol is judged in the folds that it was traded at the beginning of."""
    found = survivorship(LIVES, FOLDS, JUDGED)
    assert found.passed is True
    assert "DELISTED" in found.detail


def test_a_dropped_delisted_symbol_fails() -> None:
    """A symbol left out of a fold it lived through, its last one included, fails and is named."""
    for number in (0, 1):
        judged = [names - {"DELISTED"} if index == number else names for index, names in enumerate(JUDGED)]
        found = survivorship(LIVES, FOLDS, judged)
        assert found.passed is False
        assert f"fold {number} leaves out DELISTED" in found.detail


def test_symbols_of_todays_list_alone_fail() -> None:
    """Judging only what is still traded fails."""
    survivors = {"OLD", "LISTED"}
    assert survivorship(LIVES, FOLDS, [names & survivors for names in JUDGED]).passed is False


def test_a_symbol_outside_its_life_fails() -> None:
    """Judging a symbol after its end, before its beginning, or unknown fails."""
    for number, name in ((2, "DELISTED"), (0, "NOBODY")):
        judged = [names | {name} if index == number else names for index, names in enumerate(JUDGED)]
        assert survivorship(LIVES, FOLDS, judged).passed is False


def test_history_and_labels_need_time() -> None:
    """A symbol too young for features, or too near its end for a label, need not be judged."""
    judged = [JUDGED[0], {"OLD"}, JUDGED[2]]
    assert survivorship(LIVES, FOLDS, judged).passed is False
    assert survivorship(LIVES, FOLDS, judged, history_ms=100, ahead_ms=60).passed is True


def test_survivors_alone_cannot_be_asked() -> None:
    """Where every symbol lasts to the end there is no verdict, unless one is left out all the same."""
    lives = {name: life for name, life in LIVES.items() if name != "DELISTED"}
    judged = [names - {"DELISTED"} for names in JUDGED]
    assert survivorship(lives, FOLDS, judged).passed is None
    assert survivorship(lives, FOLDS, [{"OLD"}, {"OLD", "LISTED"}, {"OLD"}]).passed is False
