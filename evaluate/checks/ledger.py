"""Is every result in the trial ledger? What was tried and not written down makes the best look better."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from quantum_trader.evaluate.records import CheckResult, Trial

_SHOWN = 3


def ledger_complete(trials: Sequence[Trial], keys: Iterable[str]) -> CheckResult:
    """Whether every artefact has its line in the ledger, and no two lines tell of one result differently.

    Lines without an artefact are no fault: what was deleted was tried all the same (Bailey & Lopez de Prado
    2014 count it).

    Args:
        trials: lines of the ledger.
        keys: `Trial.key` of every artefact there is.
    """
    question = "Does the ledger hold a line for every configuration that was trained?"
    wanted = sorted(set(keys))
    if not wanted and not trials:
        return CheckResult(
            name="ledger_complete", question=question, passed=None, detail="Nothing was trained or logged."
        )
    known = {trial.key for trial in trials}
    missing = [key for key in wanted if key not in known]
    faults = []
    if missing:
        faults.append(f"{len(missing)} of {len(wanted)} artefacts have no line: {_some(missing)}")
    torn = _contradictions(trials)
    if torn:
        faults.append(f"{len(torn)} results stand there twice with different figures: {_some(torn)}")
    found = f"{len(wanted)} artefacts, all among {len(known)} results in {len(trials)} lines"
    return CheckResult(
        name="ledger_complete",
        question=question,
        passed=not faults,
        detail=("; ".join(faults) or found) + ".",
    )


def _contradictions(trials: Sequence[Trial]) -> list[str]:
    """Keys with several lines of one split whose figures differ."""
    told: dict[tuple[str, str], set[str]] = defaultdict(set)
    for trial in trials:
        # As text, since NaN is not equal to itself.
        figures = repr((trial.bars, trial.mean_log_return, trial.sharpe, trial.log_loss))
        told[trial.key, trial.split].add(figures)
    return sorted({key for (key, _), figures in told.items() if len(figures) > 1})


def _some(keys: Sequence[str]) -> str:
    shown = ", ".join(key[:12] for key in keys[:_SHOWN])
    return shown + (", ..." if len(keys) > _SHOWN else "")
