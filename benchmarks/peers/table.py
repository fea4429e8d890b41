"""Figures side by side: what is compared with what, what was wanted, and both as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, median

from peers import names
from peers.registry import FREQAI, GYM_ANYTRADING, GYM_TRADING_ENV, TORCHTRADE, TORCHTRADE_VECTORISED
from peers.rounds import Figure

_SINGLE_PEERS = (GYM_ANYTRADING, GYM_TRADING_ENV, FREQAI, TORCHTRADE)
COMPARED = {
    names.SINGLE_FULL: _SINGLE_PEERS,
    names.SINGLE_BARE: _SINGLE_PEERS,
    names.BARE_WINDOWS: (TORCHTRADE_VECTORISED, names.COPY),
    names.FULL_WINDOWS: (TORCHTRADE_VECTORISED, names.COPY),
    names.SB3: (TORCHTRADE_VECTORISED, names.FULL_WINDOWS),
}
"""For a figure those it is divided by, at the same number of accounts."""


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """One figure divided by another."""

    what: str
    to: str
    accounts: int
    ratio: float


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a figure should reach."""

    what: str
    at_least: float
    """A ratio, or steps per second where `to` is empty."""
    to: str = ""
    """The figure it is divided by, at the same number of accounts."""
    smallest: int = 1
    """It should hold from so many accounts on."""
    largest: int = 1_000_000
    """And up to so many."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A target and what was reached."""

    target: Target
    reached: float | None
    """The least over the numbers of accounts it should hold for; None if nothing was measured there."""
    accounts: int | None
    """Where that was."""
    passed: bool | None


TARGETS = (
    Target(what=names.SINGLE_BARE, to=GYM_ANYTRADING, at_least=1.0),
    Target(what=names.SINGLE_BARE, to=GYM_TRADING_ENV, at_least=5.0),
    Target(what=names.FULL_WINDOWS, to=TORCHTRADE_VECTORISED, at_least=5.0, smallest=1024, largest=1024),
    Target(what=names.FULL_WINDOWS, to=names.COPY, at_least=0.6, smallest=1024, largest=1024),
    Target(what=names.RULES, at_least=20e6, smallest=256),
    Target(what=names.SB3, to=names.FULL_WINDOWS, at_least=0.75),
)


def ratios(figures: Sequence[Figure]) -> list[Ratio]:
    """Every comparison of `COMPARED` whose two figures were measured."""
    rates = _rates(figures)
    return [
        Ratio(what=each.what, to=to, accounts=each.accounts, ratio=each.steps_per_second / other)
        for each in figures
        for to in COMPARED.get(each.what, ())
        if (other := rates.get((to, each.accounts))) is not None
    ]


def verdict(target: Target, figures: Sequence[Figure]) -> Verdict:
    """The worst of what was measured for a target."""
    found = list(_reached(target, figures))
    if not found:
        return Verdict(target=target, reached=None, accounts=None, passed=None)
    reached, accounts = min(found)
    return Verdict(target=target, reached=reached, accounts=accounts, passed=reached >= target.at_least)


def _reached(target: Target, figures: Sequence[Figure]) -> Iterator[tuple[float, int]]:
    rates = _rates(figures)
    for each in figures:
        if each.what != target.what or not target.smallest <= each.accounts <= target.largest:
            continue
        if not target.to:
            yield each.steps_per_second, each.accounts
        elif (target.to, each.accounts) in rates:
            yield each.steps_per_second / rates[target.to, each.accounts], each.accounts


def _rates(figures: Sequence[Figure]) -> dict[tuple[str, int], float]:
    return {(each.what, each.accounts): each.steps_per_second for each in figures}


def table(figures: Sequence[Figure]) -> str:
    """One line per figure, with the ratios it has."""
    compared = ratios(figures)
    lines = [f"{'figure':40s} {'N':>5s} {'steps/s':>9s}  compared"]
    for each in figures:
        found = [
            f"{times(ratio.ratio)} {ratio.to}"
            for ratio in compared
            if (ratio.what, ratio.accounts) == (each.what, each.accounts)
        ]
        speed = amount(each.steps_per_second)
        lines.append(f"{each.what:40s} {each.accounts:5d} {speed:>9s}  {', '.join(found)}".rstrip())
    return "\n".join(lines)


def targets_text(verdicts: Sequence[Verdict]) -> str:
    """One line per target."""
    words = {True: "pass", False: "FAIL", None: "not measured"}
    lines = []
    for each in verdicts:
        target, unit = each.target, f" x {each.target.to}" if each.target.to else " steps/s"
        show = amount if not target.to else _plain
        wanted = f"{target.what}: at least {show(target.at_least)}{unit}{_range(target)}"
        reached = "" if each.reached is None else f", reached {show(each.reached)} at N={each.accounts}"
        lines.append(f"{words[each.passed]:12s} {wanted}{reached}")
    return "\n".join(lines)


def noise(figures: Sequence[Figure]) -> float:
    """How far the median round stays behind the best, as a share of it, on average over the figures."""
    return mean(1.0 - median(each.rounds) / each.steps_per_second for each in figures)


def amount(steps_per_second: float) -> str:
    """Steps per second with three digits or more: "3.42 M", "81.3 k"."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if steps_per_second >= size:
            shown = steps_per_second / size
            return f"{shown:.{2 if shown < 10 else 1 if shown < 100 else 0}f} {letter}"
    return f"{steps_per_second:.0f}"


def times(ratio: float) -> str:
    """A ratio as a factor: "7.4 x"."""
    return f"{_plain(ratio)} x"


def _plain(ratio: float) -> str:
    return f"{ratio:.{2 if ratio < 10 else 1 if ratio < 100 else 0}f}"


def _range(target: Target) -> str:
    if target.smallest == target.largest:
        return f" at N={target.smallest}"
    return f" from N={target.smallest} on" if target.smallest > 1 else ""
