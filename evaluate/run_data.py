"""The bars of a run: the embedded sample, synthetic series, files, or folders of files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeGuard, get_args

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.contract_file import read_contract
from quantum_trader.envs.errors import DataError
from quantum_trader.envs.load import read_bars, read_folder
from quantum_trader.envs.market import Market
from quantum_trader.envs.order_bars import OrderBarsConfig, order_bars
from quantum_trader.envs.presets import guess_preset
from quantum_trader.envs.sample import sample_bars
from quantum_trader.envs.synthetic import (
    PlantedConfig,
    PlantedMarket,
    SyntheticConfig,
    planted_bars,
    random_walk_bars,
    synthetic_bars,
)
from quantum_trader.envs.windows import WINDOW
from quantum_trader.evaluate.run_config import MarketConfig
from quantum_trader.evaluate.universe import in_universe, read_universe

PlantedKind = Literal["planted", "planted-easy", "planted-hard", "order"]
SyntheticKind = Literal["regimes", "random-walk", "planted", "planted-easy", "planted-hard", "order"]

_PLANTED: dict[PlantedKind, PlantedConfig | OrderBarsConfig] = {
    "planted": PlantedConfig(bars=10_000),
    # Cues are frequent and nearly always right, and what they foretell lasts for the label's horizon.
    "planted-easy": PlantedConfig(bars=16_000, accuracy=0.9, cue_probability=0.3),
    # All of the move comes in the next bar: a drift would give itself away, whatever its cue had said.
    "planted-hard": PlantedConfig(
        bars=20_000, accuracy=0.58, cue_probability=0.15, hold=1, drift=4.0, volatility=0.006
    ),
    "order": OrderBarsConfig(bars=20_000),
}
_BARS: dict[str, int] = {"regimes": 10_000, "random-walk": 16_000}


def load_markets(config: MarketConfig) -> list[Market]:
    """Markets of a run, in the order of their symbols.

    Raises:
        DataError: the data cannot be used, or a symbol has too few bars for a single usable window.
        ConfigError: the contract is unknown.
    """
    found = load_bars(config.data, config.symbols)
    if config.universe:
        found = in_universe(found, read_universe(Path(config.universe)))
    markets = [Market.build(bars, _contract(bars, config)) for bars in found]
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
    if is_synthetic(data):
        return [synthetic_source(data)]
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


def is_synthetic(data: str) -> TypeGuard[SyntheticKind]:
    """Whether a source is made up by this software."""
    return data in get_args(SyntheticKind)


def synthetic_source(kind: SyntheticKind, bars: int | None = None, seed: int = 0) -> Bars:
    """A synthetic series by name.

    Args:
        kind: its name.
        bars: number of bars; None makes as many as `load_bars` does.
        seed: another seed, other bars.
    """
    planted = planted_source(kind, bars, seed)
    if planted is not None:
        return planted.bars
    count = bars if bars is not None else _BARS[kind]
    if kind == "random-walk":
        return random_walk_bars(count, seed)
    return synthetic_bars(SyntheticConfig(bars=count, seed=seed))


def planted_source(data: str, bars: int | None = None, seed: int = 0) -> PlantedMarket | None:
    """The planted series of that name with the truth about it, None where there is none; arguments as
    `synthetic_source`."""
    if not _is_planted(data):
        return None
    config = _PLANTED[data]
    config = replace(config, bars=bars if bars is not None else config.bars, seed=seed)
    return order_bars(config) if isinstance(config, OrderBarsConfig) else planted_bars(config)


def planted_accuracy(kind: PlantedKind) -> float:
    """Accuracy of the best possible forecast of a cue's direction in the series of that name."""
    return _PLANTED[kind].bayes_accuracy


def _is_planted(data: str) -> TypeGuard[PlantedKind]:
    return data in get_args(PlantedKind)


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
