"""A whole run, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from peers.machine import bf16_instructions, machine
from peers.table import noise

from tft_peers.parts import Breakdown
from tft_peers.registry import PEERS
from tft_peers.table import (
    NO_DROPOUT,
    Result,
    Size,
    breakdown_text,
    peak_shares,
    peak_text,
    ratios,
    table,
)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a run found out."""

    options: dict[str, Any]
    """Threads, rounds and the like, as asked for."""
    reference: str
    """The contestant that others are compared with, and whose training step is broken down."""
    versions: dict[str, dict[str, str]]
    """Distributions and their versions, ours and each peer's."""
    missing: dict[str, str]
    """Peers that are not installed, and why."""
    sizes: dict[str, Size]
    results: list[Result]
    peaks: dict[str, dict[str, float]]
    """Floating-point operations per second of large matrix products, by precision and way."""
    breakdowns: dict[str, Breakdown]
    """Of the reference's training step, by precision."""

    def text(self) -> str:
        """Everything, to be read."""
        figures = [figure for each in self.results for figure in each.figures]
        missing = [
            f"{name} not installed ({reason}): pip install {PEERS[name].requirement}; see --peers-python."
            for name, reason in self.missing.items()
        ]
        behind = (
            f"The median round stayed {noise(figures):.0%} behind the best: other load, for the most part."
        )
        return "\n\n".join(
            [
                self._setting(),
                table(self.results, self.sizes, self.reference),
                peak_text(self.peaks, self._shares(), self.sizes),
                breakdown_text(self.breakdowns, self._step_seconds(), self.dropout()),
                "\n".join([behind, *missing]),
            ]
        )

    def json(self) -> str:
        """Everything, to be kept."""
        document = {
            "machine": {**machine(), "bf16_instructions": bf16_instructions()},
            "options": self.options,
            "versions": self.versions,
            "not_installed": self.missing,
            "sizes": {name: asdict(size) for name, size in self.sizes.items()},
            "results": [asdict(each) for each in self.results],
            "ratios": [asdict(each) for each in ratios(self.results, self.reference)],
            "peaks": self.peaks,
            "peak_shares": [asdict(each) for each in self._shares()],
            "breakdowns": {name: asdict(each) for name, each in self.breakdowns.items()},
            "dropout": self.dropout(),
        }
        return json.dumps(document, indent=2)

    def dropout(self) -> dict[str, float]:
        """Share of a training step that it takes less without dropout, by precision."""
        rates, without = (
            self._training(self.reference),
            self._training(NO_DROPOUT.format(name=self.reference)),
        )
        return {precision: 1.0 - rate / without[precision] for precision, rate in rates.items()}

    def _training(self, what: str) -> dict[str, float]:
        """Windows per second in training, by precision."""
        trained = {each.case.precision: each.rate(what) for each in self.results if each.case.kind == "train"}
        return {precision: rate for precision, rate in trained.items() if rate is not None}

    def _step_seconds(self) -> dict[str, float]:
        batch = self.sizes[self.reference].batch
        return {precision: batch / rate for precision, rate in self._training(self.reference).items()}

    def _shares(self) -> list[Any]:
        return peak_shares(self.results, self.sizes, self.peaks)

    def _setting(self) -> str:
        """Machine, threads and versions."""
        found = machine()
        words = {True: "yes", False: "no", None: "unknown"}
        able = ", ".join(f"{name} {words[has]}" for name, has in bf16_instructions().items())
        threads = self.options["threads"]
        versions = {name: _listed(each) for name, each in self.versions.items()}
        return "\n".join(
            [
                f"{found['processor']}, {found['cores']} cores; {able}; torch threads: {threads}",
                *(f"{name}: {listed}" for name, listed in versions.items()),
            ]
        )


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
