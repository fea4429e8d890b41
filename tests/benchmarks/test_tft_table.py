"""Ratios, shares of the peak and their text, on made-up figures."""

from __future__ import annotations

from peers.rounds import Figure
from tft_peers.cases import Case, Kind, Precision
from tft_peers.parts import Breakdown, Share
from tft_peers.table import Result, Size, breakdown_text, peak_shares, peak_text, ratios, table

OURS, THEIRS = "ours", "theirs"
SIZES = {
    OURS: Size(parameters=2_500_000, flops={"aten.mm": 6_000, "aten.bmm": 2_000}, batch=8),
    THEIRS: Size(parameters=900_000, flops={"aten.mm": 16_000}, batch=8),
}
PEAKS = {"bf16": {"torch.mm": 400_000.0, "oneDNN": 500_000.0}, "fp32": {"torch.mm": 100_000.0}}


def result(kind: Kind, precision: Precision, batch: int, **rates: float) -> Result:
    """Windows per second by contestant, as the best of two rounds."""
    figures = [
        Figure(what=name, accounts=batch, steps_per_second=rate, rounds=(rate / 2, rate))
        for name, rate in rates.items()
    ]
    return Result(case=Case(kind=kind, precision=precision, batch=batch), figures=tuple(figures))


def test_ratios_divide_the_reference_by_the_others() -> None:
    """In each case on its own; where the reference was not measured there are none."""
    results = [
        result("train", "bf16", 8, ours=300.0, theirs=100.0),
        result("train", "fp32", 8, ours=150.0, theirs=100.0),
        result("predict", "fp32", 1, theirs=100.0),
    ]
    found = {(each.case.key, each.to): each.ratio for each in ratios(results, OURS)}
    assert found == {("train bf16 8", THEIRS): 3.0, ("train fp32 8", THEIRS): 1.5}


def test_the_share_of_the_peak_is_work_per_second_over_the_best_products() -> None:
    """8000 operations for 8 windows are 1000 each: at 250 windows a second half of a peak of 500,000."""
    results = [result("train", "bf16", 8, ours=250.0), result("model", "bf16", 1, ours=1e9)]
    (share,) = peak_shares(results, SIZES, PEAKS)
    assert (share.what, share.peak, share.reached, share.share) == (OURS, 500_000.0, 250_000.0, 0.5)


def test_contestants_without_a_size_have_no_share() -> None:
    """A variant whose products were not counted is left out."""
    assert peak_shares([result("train", "fp32", 8, variant=5.0)], SIZES, PEAKS) == []


def test_training_is_shown_as_windows_a_second_and_answers_as_milliseconds() -> None:
    """One block a kind, precisions side by side; 100 windows at 2000 a second take 50 ms."""
    results = [
        result("train", "bf16", 8, ours=300.0, theirs=100.0),
        result("train", "fp32", 8, ours=150.0),
        result("model", "bf16", 100, ours=2000.0, theirs=500.0),
    ]
    training, answers = (block.splitlines() for block in table(results, SIZES, OURS).split("\n\n"))
    assert training[2].split() == [OURS, "2.50", "M", "300", "150"]
    assert training[3].split() == [THEIRS, "900", "k", "100", "3.00", "x"]
    assert answers[0] == "Network alone, 100 at once, in ms"
    assert answers[2].split() == [OURS, "2.50", "M", "50.0"]
    assert answers[3].split() == [THEIRS, "900", "k", "200.0", "4.00", "x"]


def test_the_peak_as_text() -> None:
    """What bare products reach by each way, then work per window and shares."""
    results = [result("train", "bf16", 8, ours=250.0), result("train", "fp32", 8, ours=25.0)]
    lines = peak_text(PEAKS, peak_shares(results, SIZES, PEAKS), SIZES).splitlines()
    assert "bf16 0 by torch.mm, 0 by oneDNN; fp32 0 by torch.mm" in lines[0]
    assert lines[2].split() == [OURS, "0.000", "50%", "25%"]


def test_the_breakdown_as_text() -> None:
    """Parts with both passes and their sum, the whole, and what dropout costs."""
    parts = (Share(part="a", forward=0.25, backward=0.5), Share(part="b", forward=0.25, backward=0.0))
    found = Breakdown(parts=parts, kinds={"products": 1.0})
    lines = breakdown_text({"bf16": found}, {"bf16": 0.2}, {"bf16": 0.125}).splitlines()
    assert lines[0] == "Where a training step of 200 ms goes in bf16"
    assert lines[2].split() == ["a", "25.0%", "50.0%", "75.0%"]
    assert lines[4].split() == ["in", "all", "50.0%", "50.0%", "100.0%"]
    assert lines[-1] == "  Without dropout a step takes 12.5% less."


def test_a_case_is_read_back_from_its_key() -> None:
    """Workers are told cases as words."""
    case = Case(kind="predict", precision="bf16", batch=100)
    assert Case.parse(case.key) == case
