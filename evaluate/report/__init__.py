"""The report: one self-contained HTML page; names load their module on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantum_trader.envs.lazy import lazy_names

if TYPE_CHECKING:
    from quantum_trader.evaluate.report.assemble import split_summary as split_summary
    from quantum_trader.evaluate.report.data import (
        DetailGroup as DetailGroup,
        EquityCurve as EquityCurve,
        PriceWindow as PriceWindow,
        ReportData as ReportData,
        SignalCandles as SignalCandles,
        SplitSummary as SplitSummary,
    )
    from quantum_trader.evaluate.report.prediction import (
        prediction_page as prediction_page,
        prediction_text as prediction_text,
        write_prediction as write_prediction,
    )
    from quantum_trader.evaluate.report.render import (
        render_report as render_report,
        write_report as write_report,
    )

# The function `assemble` is not among them: importing its module would put the module in its place.
_MODULES = {
    "DetailGroup": "data",
    "EquityCurve": "data",
    "PriceWindow": "data",
    "ReportData": "data",
    "SignalCandles": "data",
    "SplitSummary": "data",
    "prediction_page": "prediction",
    "prediction_text": "prediction",
    "render_report": "render",
    "split_summary": "assemble",
    "write_prediction": "prediction",
    "write_report": "render",
}
"""Public name -> the module of this package that defines it."""

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
