"""The embedded EURUSD series."""

from __future__ import annotations

import subprocess
import sys

import pytest

from quantum_trader.envs import sample
from quantum_trader.envs.errors import DataError
from quantum_trader.envs.sample import sample_bars


def test_the_sample_is_a_year_of_hourly_eurusd() -> None:
    """6,225 hourly bars of 2017 with plausible prices, no funding."""
    bars = sample_bars()
    assert (bars.symbol, len(bars), bars.step_ms) == ("EURUSD", 6_225, 3_600_000)
    moments = bars.to_frame()["timestamp"]
    assert str(moments.iloc[0]) == "2017-01-01 22:00:00+00:00"
    assert str(moments.iloc[-1]) == "2017-12-29 21:00:00+00:00"
    assert (bars.open[0], bars.high[0], bars.low[0], bars.close[0]) == (1.05236, 1.05253, 1.05221, 1.05227)
    assert bars.low.min() > 1.0
    assert bars.high.max() < 1.25


def test_loading_it_imports_no_plotting_and_no_other_environment() -> None:
    """A fresh process that loads the sample has neither matplotlib nor gym_anytrading nor torch in it."""
    program = (
        "import sys; from quantum_trader.envs import sample_bars; assert len(sample_bars()) == 6225; "
        "print(*sorted({'matplotlib', 'gym_anytrading', 'torch', 'numba'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_a_missing_package_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what is missing and how to get it."""
    monkeypatch.setattr(sample, "_PACKAGE", "no_such_package")
    with pytest.raises(DataError, match="pip install"):
        sample_bars.__wrapped__()
