"""A universe file says who was traded when; a delisted symbol is judged while it lived."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantum_trader.envs.bars import Bars, epoch_ms
from quantum_trader.envs.errors import DataError
from quantum_trader.envs.load import write_bars
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars
from quantum_trader.evaluate.run_config import MarketConfig
from quantum_trader.evaluate.run_data import load_markets
from quantum_trader.evaluate.sweep.folds import fold_splits
from quantum_trader.evaluate.sweep.walk_config import WalkForwardConfig
from quantum_trader.evaluate.universe import read_universe
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.prepared import prepare


def _bars(symbol: str, seed: int) -> Bars:
    return synthetic_bars(SyntheticConfig(bars=3_000, seed=seed, symbol=symbol))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two symbols of 2020; DEAD trades on paper after it was delisted, as files from vendors sometimes do."""
    for seed, symbol in enumerate(("ALIVE", "DEAD")):
        write_bars(_bars(symbol, seed), tmp_path / "bars" / f"{symbol}.parquet")
    (tmp_path / "universe.csv").write_text("symbol,start,end\nALIVE,,\nDEAD,2020-01-10,2020-04-01\n")
    return tmp_path


def test_symbols_are_cut_to_their_time(folder: Path) -> None:
    """No bar of a symbol lies before its start or at or after its end."""
    config = MarketConfig(data=str(folder / "bars"), universe=str(folder / "universe.csv"))
    alive, dead = load_markets(config)
    assert (alive.symbol, len(alive)) == ("ALIVE", 3_000)
    start, end = read_universe(folder / "universe.csv")["DEAD"]
    assert dead.bars.timestamp[0] == start
    assert dead.bars.timestamp[-1] == end - dead.bars.step_ms


def test_a_delisted_symbol_is_in_the_folds_it_lived_through(folder: Path) -> None:
    """Early folds judge it, later ones do not."""
    markets = load_markets(MarketConfig(data=str(folder / "bars"), universe=str(folder / "universe.csv")))
    walk = WalkForwardConfig(folds=4, first_train_fraction=0.3)
    tested = []
    for splits in fold_splits(markets, walk):
        rows = prepare(markets, DataConfig(splits=splits)).test
        tested.append({rows.markets[index].symbol for index in np.unique(rows.market)})
    assert tested[0] == {"ALIVE", "DEAD"}
    assert tested[-1] == {"ALIVE"}


def test_a_symbol_without_bars_is_refused(folder: Path) -> None:
    """A member of the universe that the data lack is named: leaving it out would hide it."""
    (folder / "bars" / "DEAD.parquet").unlink()
    with pytest.raises(DataError, match="DEAD stands in the universe and has no bars"):
        load_markets(MarketConfig(data=str(folder / "bars"), universe=str(folder / "universe.csv")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("symbol,from,to\nA,,\n", "expected the columns symbol, start, end"),
        ("symbol,start,end\nA,,\nA,,\n", "needs its own symbol"),
        ("symbol,start,end\nA,soon,\n", "expected a UTC date"),
        ("", "cannot be read as a universe"),
    ],
)
def test_a_faulty_file_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    """What was expected and found is said, with the file's name."""
    path = tmp_path / "universe.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_universe(path)


def test_dates_are_utc_and_open_ends_are_open(folder: Path) -> None:
    """An empty cell bounds nothing."""
    universe = read_universe(folder / "universe.csv")
    import pandas as pd

    assert universe["DEAD"][0] == epoch_ms(pd.Timestamp("2020-01-10", tz="UTC"))
    assert universe["ALIVE"][0] < 0 < universe["ALIVE"][1]
