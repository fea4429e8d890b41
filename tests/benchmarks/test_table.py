"""Ratios, targets and their text, on made-up figures."""

from __future__ import annotations

import pytest
from peers import names
from peers.registry import GYM_ANYTRADING, TORCHTRADE_VECTORISED
from peers.rounds import Figure
from peers.table import TARGETS, Target, amount, noise, ratios, table, targets_text, verdict

WINDOWS = names.FULL_WINDOWS


def figure(what: str, accounts: int, speed: float) -> Figure:
    """A figure whose other two rounds were half and three quarters as fast."""
    return Figure(
        what=what, accounts=accounts, steps_per_second=speed, rounds=(speed / 2, speed, speed * 3 / 4)
    )


def test_ratios_compare_equal_numbers_of_accounts() -> None:
    """A figure is divided by those it is compared with where both were measured at the same N, only there."""
    figures = [
        figure(WINDOWS, 64, 6e6),
        figure(WINDOWS, 1024, 8e6),
        figure(TORCHTRADE_VECTORISED, 1024, 1e6),
        figure(names.COPY, 64, 12e6),
        figure(names.RULES, 64, 20e6),
    ]
    found = {(each.what, each.to, each.accounts): each.ratio for each in ratios(figures)}
    assert found == {(WINDOWS, TORCHTRADE_VECTORISED, 1024): 8.0, (WINDOWS, names.COPY, 64): 0.5}


def test_a_target_is_judged_by_its_worst_number_of_accounts() -> None:
    """Of all N a target speaks of, the one that reached least decides; N outside do not count."""
    target = Target(what="a", to="b", at_least=2.0, smallest=64, largest=256)
    figures = [figure("a", n, speed) for n, speed in ((32, 1.0), (64, 9.0), (256, 6.0), (1024, 1.0))]
    figures += [figure("b", n, speed) for n, speed in ((32, 1.0), (64, 3.0), (256, 2.5), (1024, 1.0))]
    found = verdict(target, figures)
    assert (found.reached, found.accounts, found.passed) == (2.4, 256, True)
    assert verdict(Target(what="a", to="b", at_least=2.5), figures).passed is False


def test_a_target_without_a_reference_is_a_speed() -> None:
    """Steps per second are compared as they are."""
    target = Target(what="a", at_least=20.0, smallest=256)
    assert verdict(target, [figure("a", 64, 1.0), figure("a", 256, 20.0)]).passed is True
    assert verdict(target, [figure("a", 64, 30.0), figure("a", 256, 19.0)]).passed is False


@pytest.mark.parametrize("measured", [(), ("a",), ("b",)])
def test_what_was_not_measured_neither_passes_nor_fails(measured: tuple[str, ...]) -> None:
    """Without a figure or without what it is divided by, a target is open."""
    target = Target(what="a", to="b", at_least=1.0)
    found = verdict(target, [figure(name, 64, 5.0) for name in measured])
    assert (found.reached, found.accounts, found.passed) == (None, None, None)
    assert targets_text([found]) == "not measured a: at least 1.00 x b"


def test_targets_speak_of_figures_that_exist() -> None:
    """Every figure a target names is one of this project's or a peer's."""
    known = {value for name, value in vars(names).items() if name.isupper()}
    for target in TARGETS:
        assert target.what in known
        assert verdict(target, [figure(target.what, target.smallest, 30e6)]).passed in (True, None)


def test_the_table_shows_speeds_and_ratios() -> None:
    """One line per figure: name, N, steps per second, and what it was compared with."""
    lines = table([figure(names.SINGLE_BARE, 1, 450e3), figure(GYM_ANYTRADING, 1, 300e3)]).splitlines()
    assert lines[1].split("  ")[-1] == "1.50 x gym-anytrading"
    assert "450 k" in lines[1]
    assert lines[2].split() == ["gym-anytrading", "1", "300", "k"]


def test_targets_as_text() -> None:
    """A line says what was wanted, what was reached and where."""
    wanted = (
        Target(what="a", to="b", at_least=5.0, smallest=64, largest=64),
        Target(what="a", at_least=20e6, smallest=64),
    )
    figures = [figure("a", 64, 30e6), figure("b", 64, 7.5e6)]
    assert targets_text([verdict(target, figures) for target in wanted]).splitlines() == [
        "FAIL         a: at least 5.00 x b at N=64, reached 4.00 at N=64",
        "pass         a: at least 20.0 M steps/s from N=64 on, reached 30.0 M at N=64",
    ]


@pytest.mark.parametrize(
    ("speed", "text"), [(3.416e6, "3.42 M"), (20.96e6, "21.0 M"), (81_250.0, "81.2 k"), (123.4, "123")]
)
def test_amounts_keep_three_digits(speed: float, text: str) -> None:
    """Speeds are shown in millions, thousands or ones."""
    assert amount(speed) == text


def test_noise_is_how_far_the_median_round_stays_behind() -> None:
    """Rounds at a half, the whole and three quarters of the best have a median a quarter behind."""
    assert noise([figure("a", 1, 8.0), figure("b", 1, 100.0)]) == 0.25
