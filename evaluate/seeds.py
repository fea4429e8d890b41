"""Several seeds of one training: median and range, since one seed may be lucky."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

_SHOWN = {
    "validation_log_loss": "log-loss",
    "validation_skill": "skill",
    "validation_accuracy": "accuracy",
    "validation_direction_accuracy": "direction accuracy",
    "validation_direction_accuracy_10": "... on the most confident 10 %",
    "validation_direction_accuracy_1": "... on the most confident 1 %",
    "validation_ece_cross_fitted": "ECE, cross-fitted",
    "validation_quantile_coverage": "Q10-Q90 coverage",
    "best_epoch": "best epoch",
}


def seed_table(metrics: Sequence[Mapping[str, float]]) -> str:
    """Lines of text: the median, lowest and highest of each validation figure over the seeds.

    Args:
        metrics: of each seed's model, as its provenance holds them.
    """
    width = max(len(title) for title in _SHOWN.values())
    lines = [f"{'validation':<{width}} {'median':>8} {'lowest':>8} {'highest':>8}"]
    for name, title in _SHOWN.items():
        found = [each[name] for each in metrics if name in each]
        if found:
            lines.append(f"{title:<{width}} {median(found):>8.4f} {min(found):>8.4f} {max(found):>8.4f}")
    return "\n".join(lines)
