"""The model card: what a trained network is and how far to believe it, as a page in its model folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from quantum_trader.agents.calibration import Calibration
from quantum_trader.agents.confidence_curve import Suggestion, ThresholdRow
from quantum_trader.agents.folder import Provenance
from quantum_trader.agents.validation_report import (
    REPORT,
    Reading,
    ReliabilityBin,
    RowsUsed,
    ValidationReport,
)
from quantum_trader.envs.actions import Action
from quantum_trader.envs.config import to_plain
from quantum_trader.envs.context import HORIZONS
from quantum_trader.envs.files import write_json, write_text

CARD = "model_card.md"
"""The card's file in a model folder."""

_USE = (
    "For research and paper trading on bars like those it was trained on: it states the odds that the next "
    "bars rise far enough first (BUY), fall far enough first (SELL) or do neither (HOLD). "
    "The figures above come from validation rows that chose epoch, temperature and hold threshold, so they "
    "flatter, and they know nothing of costs: judge it on later rows with `quantum-trader evaluate` before "
    "believing it, and do not trust it with money."
)
_UNKNOWN = "–"


def card_files(
    *,
    kind: str,
    title: str,
    config: Any,
    parameters: int,
    provenance: Provenance,
    calibration: Calibration | None,
    report: ValidationReport | None,
) -> dict[str, Callable[[Path], None]]:
    """Writers of the card and, where there is one, of the report; as `save_model_folder` takes them.

    They hold no time of writing: the same model gives the same bytes. Arguments as for `model_card`.
    """
    text = model_card(
        kind=kind,
        title=title,
        config=config,
        parameters=parameters,
        provenance=provenance,
        calibration=calibration,
        report=report,
    )
    files: dict[str, Callable[[Path], None]] = {CARD: lambda target: write_text(target, text)}
    if report is not None:
        files[REPORT] = lambda target: write_json(target, to_plain(report))
    return files


def model_card(
    *,
    kind: str,
    title: str,
    config: Any,
    parameters: int,
    provenance: Provenance,
    calibration: Calibration | None,
    report: ValidationReport | None,
) -> str:
    """The card in Markdown.

    Args:
        kind: of the model folder, e.g. "tft".
        title: what the network is called, e.g. "Temporal Fusion Transformer".
        config: the network's shape, a frozen dataclass.
        parameters: trainable numbers.
        provenance: where the model comes from; its metrics are on the card.
        calibration: temperature and hold threshold, or None.
        report: what calibration found; None leaves its parts of the card out.
    """
    metrics, shape = provenance.metrics, to_plain(config)
    parts = [
        f"# {kind}\n\n{title}, {parameters:,} parameters.",
        _section("Model", _model_table(shape, provenance, calibration)),
    ]
    if report is not None:
        parts.append(_section("Rows", _rows_table(report)))
    parts.append(_section("On validation rows", _figures(metrics, shape, report)))
    if report is not None:
        parts.append(_section("Calibration", _calibration(report)))
        parts.append(_section("Reliability with the temperature", _reliability(report)))
        parts.append(_section("Confidence thresholds", _thresholds(report)))
    parts.append(_section("Use and limits", _USE))
    return "\n\n".join(parts) + "\n"


def _model_table(shape: Mapping[str, Any], provenance: Provenance, calibration: Calibration | None) -> str:
    metrics = provenance.metrics
    rows = [(name, _plain(value)) for name, value in shape.items()]
    rows += [
        ("feature set", provenance.feature_set),
        ("data SHA-256", provenance.data_sha256),
        ("seed", str(provenance.seed)),
        ("software", f"quantum-trader {provenance.created_with}"),
    ]
    if "epochs" in metrics:
        rows.append(("epochs, best", f"{metrics['epochs']:.0f}, {metrics.get('best_epoch', 0):.0f}"))
    if calibration is None:
        rows.append(("temperature", "none: not calibrated"))
    else:
        rows.append(("temperature", f"{calibration.temperature:.4f}"))
        rows.append(("HOLD from P(HOLD)", f"{calibration.hold_threshold:.4f}"))
    return _table(("", ""), rows)


def _rows_table(report: ValidationReport) -> str:
    header = ("", "rows", "symbols", "first decision", "last decision")
    return _table(header, [_used("training", report.train), _used("validation", report.validation)])


def _used(name: str, used: RowsUsed) -> tuple[str, ...]:
    symbols = str(len(used.symbols)) if used.symbols else _UNKNOWN
    return name, f"{used.rows:,}", symbols, used.first or _UNKNOWN, used.last or _UNKNOWN


def _figures(metrics: Mapping[str, float], shape: Mapping[str, Any], report: ValidationReport | None) -> str:
    """Figures of `Provenance.metrics` that calibration knows of, those it has."""
    judged = report.thresholds[0].rows if report is not None and report.thresholds else None
    levels = shape.get("quantiles", (0.1, 0.9))
    within = f"within Q{levels[0] * 100:.0f}-Q{levels[-1] * 100:.0f} (should be {levels[-1] - levels[0]:.0%})"
    wanted = [
        ("log-loss", "validation_log_loss", ".4f"),
        ("log-loss of the training shares", "validation_prior_log_loss", ".4f"),
        ("skill between them", "validation_skill", ".2%"),
        ("accuracy of three classes", "validation_accuracy", ".2%"),
        ("direction accuracy, label not HOLD", "validation_direction_accuracy", ".2%"),
        (f"... most confident 10 %{_of(judged, 0.1)}", "validation_direction_accuracy_10", ".2%"),
        (f"... most confident 1 %{_of(judged, 0.01)}", "validation_direction_accuracy_1", ".2%"),
        *((f"share of {action.name}", f"validation_share_{action.name.lower()}", ".2%") for action in Action),
        (f"returns {within}", "validation_quantile_coverage", ".2%"),
        *((f"... {bars} bars ahead", f"validation_quantile_coverage_{bars}", ".2%") for bars in HORIZONS),
    ]
    rows = [(name, format(metrics[key], form)) for name, key, form in wanted if key in metrics]
    return _table(("", ""), rows) if rows else "Nothing was measured."


def _of(rows: int | None, share: float) -> str:
    return "" if rows is None else f" ({max(round(share * rows), 1):,} rows)"


def _calibration(report: ValidationReport) -> str:
    rows = [
        _reading("as the network says it", report.before),
        _reading("with the temperature", report.after),
    ]
    notes = [
        "ECE is the mean gap between stated and met frequency over 15 bins of equal mass. A perfectly "
        f"calibrated model would show {report.ece_noise:.4f} on as many independent rows; rows with "
        "overlapping labels are worth fewer."
    ]
    fit = report.cross_fit
    if fit is not None:
        rows.append(_reading("halves of the time, no temperature", fit.before))
        rows.append(_reading("halves, temperature of the other half", fit.after))
        notes.append(
            f"The temperature was fitted on the rows of the first two lines. The last two are read on rows "
            f"that it was not fitted on: {fit.temperatures[0]:.4f} is the temperature of the earlier half, "
            f"{fit.temperatures[1]:.4f} that of the later one, and each half ({fit.rows:,} rows together) is "
            "read with the other's."
        )
    header = ("", "log-loss", "ECE", "ECE of direction")
    return "\n\n".join([_table(header, rows), *notes])


def _reading(name: str, reading: Reading) -> tuple[str, ...]:
    directions = _UNKNOWN if reading.direction_ece is None else f"{reading.direction_ece:.4f}"
    return name, f"{reading.log_loss:.4f}", f"{reading.ece:.4f}", directions


def _reliability(report: ValidationReport) -> str:
    found = report.reliability_after
    return "\n\n".join(
        [
            "Most probable action:\n\n" + _bins(found.top),
            "Direction, where the label is not HOLD:\n\n" + _bins(found.direction),
        ]
    )


def _bins(bins: Sequence[ReliabilityBin]) -> str:
    rows = [(f"{item.stated:.1%}", f"{item.met:.1%}", f"{item.rows:,}") for item in bins]
    return _table(("stated", "met", "rows"), rows)


def _thresholds(report: ValidationReport) -> str:
    header = ("confidence from", "share of rows", "label not HOLD", "direction right", "95 % interval")
    notes = (
        "Directional confidence is max(P(BUY), P(SELL)) / (P(BUY) + P(SELL)). Intervals take blocks of "
        f"{report.block_bars} bars for independent, not rows."
    )
    table = _table(header, [_threshold(row) for row in report.thresholds])
    return "\n\n".join([table, notes, _suggested(report.suggestion)])


def _threshold(row: ThresholdRow) -> tuple[str, ...]:
    right = _UNKNOWN if row.accuracy is None else f"{row.accuracy:.1%}"
    known = row.low is not None and row.high is not None
    ends = f"{row.low:.1%} to {row.high:.1%}" if known else _UNKNOWN
    return f"{row.threshold:.2f}", f"{row.coverage:.1%}", f"{row.rows:,}", right, ends


def _suggested(suggestion: Suggestion) -> str:
    threshold = "none" if suggestion.threshold is None else f"{suggestion.threshold:.2f}"
    return f"Suggested threshold: {threshold}. Rule: {suggestion.rule}."


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}"


def _plain(value: Any) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns also line up as plain text."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [header, ["-" * max(width, 3) for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(max(width, 3)) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )
