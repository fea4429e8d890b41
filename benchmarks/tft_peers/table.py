"""Figures side by side, the share of the peak, and where the rest goes, as numbers and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peers.rounds import Figure
from peers.table import amount, times

from tft_peers.cases import Case, Kind, Precision
from tft_peers.parts import Breakdown

TITLES: dict[Kind, str] = {
    "train": "Training steps of {batch} windows, in windows per second",
    "model": "Network alone, {batch} at once, in ms",
    "predict": "The library's own prediction, {batch} at once, in ms",
    "live": "A new bar each through the agent, symbols: {batch}, in ms",
}
NO_DROPOUT = "{name}, no dropout"


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a network is."""

    parameters: int
    flops: dict[str, int]
    """Floating-point operations of the matrix products of one training step, by operation."""
    batch: int
    """Windows in that step."""

    @property
    def per_window(self) -> float:
        """Floating-point operations of a training step for each of its windows."""
        return sum(self.flops.values()) / self.batch


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured of one case."""

    case: Case
    figures: tuple[Figure, ...]

    def rate(self, what: str) -> float | None:
        """Windows per second of a contestant; None if it was not measured."""
        return next((each.steps_per_second for each in self.figures if each.what == what), None)


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times as fast one contestant is as another."""

    case: Case
    what: str
    to: str
    ratio: float


@dataclass(frozen=True, kw_only=True)
class PeakShare:
    """What a training step reaches of the speed of bare matrix products."""

    what: str
    precision: str
    peak: float
    """Floating-point operations per second of a large product of matrices."""
    reached: float
    """Floating-point operations per second of the step: those of its matrix products over all of its time."""
    share: float


def ratios(results: Sequence[Result], reference: str) -> list[Ratio]:
    """`reference` against every other contestant, case by case, where both were measured."""
    found = []
    for result in results:
        ours = result.rate(reference)
        if ours is None:
            continue
        found += [
            Ratio(case=result.case, what=reference, to=each.what, ratio=ours / each.steps_per_second)
            for each in result.figures
            if each.what != reference
        ]
    return found


def peak_shares(
    results: Sequence[Result], sizes: Mapping[str, Size], peaks: Mapping[str, Mapping[str, float]]
) -> list[PeakShare]:
    """Of every network whose training was measured and whose size is known.

    Args:
        results: figures.
        sizes: of the networks by name.
        peaks: floating-point operations per second by precision and way; the best way counts.
    """
    best = {precision: max(found.values()) for precision, found in peaks.items()}
    return [
        _peak_share(figure, sizes[figure.what], result.case.precision, best[result.case.precision])
        for result in results
        if result.case.kind == "train"
        for figure in result.figures
        if figure.what in sizes
    ]


def _peak_share(figure: Figure, size: Size, precision: Precision, peak: float) -> PeakShare:
    reached = figure.steps_per_second * size.per_window
    return PeakShare(what=figure.what, precision=precision, peak=peak, reached=reached, share=reached / peak)


def table(results: Sequence[Result], sizes: Mapping[str, Size], reference: str) -> str:
    """One block per kind of work and number of windows, with the precisions side by side.

    A ratio says how many times as fast `reference` is.
    """
    works = dict.fromkeys((each.case.kind, each.case.batch) for each in results)
    return "\n\n".join(
        _block([each for each in results if (each.case.kind, each.case.batch) == work], sizes, reference)
        for work in works
    )


def _block(results: Sequence[Result], sizes: Mapping[str, Size], reference: str) -> str:
    case = results[0].case
    names = dict.fromkeys(figure.what for each in results for figure in each.figures)
    compared = {(each.case.precision, each.to): times(each.ratio) for each in ratios(results, reference)}
    measured = [each.case.precision for each in results]
    heads = [f"{name:>9s}" for name in measured] + [f"{'ratio ' + name:>12s}" for name in measured]
    lines = [TITLES[case.kind].format(batch=case.batch), f"  {'':38s}{'weights':>9s}{''.join(heads)}"]
    for name in names:
        shown = [_cell(each, name) for each in results]
        factors = [compared.get((precision, name), "") for precision in measured]
        weights = amount(sizes[name].parameters) if name in sizes else ""
        row = f"  {name:38s}{weights:>9s}" + "".join(f"{cell:>9s}" for cell in shown)
        lines.append((row + "".join(f"{factor:>12s}" for factor in factors)).rstrip())
    return "\n".join(lines)


def _cell(result: Result, what: str) -> str:
    rate = result.rate(what)
    if rate is None:
        return ""
    if result.case.kind == "train":
        return f"{rate:.0f}"
    spent = 1000.0 * result.case.batch / rate
    return f"{spent:.{2 if spent < 10 else 1}f}"


def peak_text(
    peaks: Mapping[str, Mapping[str, float]], shares: Sequence[PeakShare], sizes: Mapping[str, Size]
) -> str:
    """What bare products reach, and a line per network with its share of the best of them."""
    shown = [
        f"{precision} {', '.join(f'{speed / 1e9:.0f} by {way}' for way, speed in found.items())}"
        for precision, found in peaks.items()
    ]
    lines = [
        f"Large matrix products reach in GFLOP/s: {'; '.join(shown)}. Of the best, training reaches",
        f"  {'':38s}{'GFLOP per window':>17s}" + "".join(f"{name:>9s}" for name in peaks),
    ]
    reached = {(each.what, each.precision): f"{each.share:.0%}" for each in shares}
    for name in dict.fromkeys(each.what for each in shares):
        cells = "".join(f"{reached.get((name, precision), ''):>9s}" for precision in peaks)
        lines.append(f"  {name:38s}{sizes[name].per_window / 1e9:17.3f}{cells}")
    return "\n".join(lines)


def breakdown_text(
    found: Mapping[str, Breakdown], seconds: Mapping[str, float], dropout: Mapping[str, float]
) -> str:
    """Where a training step's time goes, for each precision.

    Args:
        found: shares by precision.
        seconds: of a step by precision, measured without the profiler.
        dropout: share of a step that it takes less without dropout, by precision.
    """
    blocks = []
    for precision, shares in found.items():
        lines = [
            f"Where a training step of {1000 * seconds[precision]:.0f} ms goes in {precision}",
            f"  {'':30s}{'forward':>9s}{'backward':>10s}{'together':>10s}",
            *(_shares_line(each.part, each.forward, each.backward) for each in shares.parts),
            _shares_line("in all", _sum(shares, "forward"), _sum(shares, "backward")),
            "  by kind of operation",
            *(f"  {name:30s}{'':19s}{share:10.1%}" for name, share in shares.kinds.items()),
            f"  Without dropout a step takes {dropout[precision]:.1%} less.",
        ]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _shares_line(name: str, forward: float, backward: float) -> str:
    return f"  {name:30s}{forward:9.1%}{backward:10.1%}{forward + backward:10.1%}"


def _sum(shares: Breakdown, way: str) -> float:
    return sum(getattr(each, way) for each in shares.parts)
