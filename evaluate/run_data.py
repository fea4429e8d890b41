"""The bars of a run: the embedded sample, synthetic series, files, or folders of files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.contract_file import read_contract
from quantum_trader.envs.errors import DataError
from quantum_trader.envs.load import read_bars, read_folder
from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import guess_preset
from quantum_trader.envs.sample import sample_bars
from quantum_trader.envs.synthetic import (
    PlantedConfig,
    SyntheticConfig,
    planted_bars,
    random_walk_bars,
    synthetic_bars,
)
from quantum_trader.envs.windows import WINDOW
from quantum_trader.evaluate.run_config import MarketConfig

SyntheticKind = Literal["regimes", "random-walk", "planted"]

_SYNTHETIC_BARS = 10_000


def load_markets(config: MarketConfig) -> list[Market]:
    """Markets of a run, in the order of their symbols.

    Raises:
        DataError: the data cannot be used, or a symbol has too few bars for a single usable window.
        ConfigError: the contract is unknown.
    """
    markets = [Market.build(bars, _contract(bars, config)) for bars in load_bars(config.data, config.symbols)]
    for market in markets:
        if not market.usable.any():
            raise DataError(
                f"{market.symbol}: {len(market)} bars leave no usable window of {WINDOW} bars after the "
                "indicators' warm-up; give a longer history."
            )
    return markets


def load_bars(data: str, symbols: str) -> list[Bars]:
    """Bars of a source; see `MarketConfig.data`.

    Raises:
        DataError: the source is missing or cannot be used.
    """
    if data in ("random-walk", "planted", "regimes"):
        return [synthetic_source(data, _SYNTHETIC_BARS, 0)]  # type: ignore[arg-type]
    wanted = [word.strip() for word in symbols.split(",") if word.strip()]
    if data == "sample":
        return _only([sample_bars()], wanted, data)
    path = Path(data)
    if path.is_dir():
        return read_folder(path, wanted or None)
    if not path.exists():
        raise DataError(
            f"{data}: no such file or folder; give a parquet or CSV file, a folder of them, or 'sample'."
        )
    return _only([read_bars(path)], wanted, data)


def synthetic_source(kind: SyntheticKind, bars: int, seed: int) -> Bars:
    """A synthetic series by name."""
    if kind == "planted":
        return planted_bars(PlantedConfig(bars=bars, seed=seed)).bars
    if kind == "random-walk":
        return random_walk_bars(bars, seed)
    return synthetic_bars(SyntheticConfig(bars=bars, seed=seed))


def _contract(bars: Bars, config: MarketConfig) -> FuturesContract:
    contract = read_contract(config.contract) if config.contract else guess_preset(bars.symbol)
    if config.taker_fee is not None:
        contract = replace(contract, taker_fee=config.taker_fee)
    if config.slippage is not None:
        contract = replace(contract, slippage=config.slippage)
    return contract


def _only(found: list[Bars], wanted: list[str], source: str) -> list[Bars]:
    known = [bars.symbol for bars in found]
    for symbol in wanted:
        if symbol not in known:
            raise DataError(f"{source}: no symbol {symbol!r}; it holds {', '.join(known)}.")
    return found
