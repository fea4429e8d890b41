"""Charts of an episode: candles, entry, liquidation, stop and target lines, and the equity below them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantum_trader.envs.bars import Bars, Floats
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.layout import ACCOUNT, Account, Matrix, records
from quantum_trader.envs.market import Market

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

WIDTH, HEIGHT = 800, 480
_PRICES, _EQUITY = (40, 330), (360, 460)
_LEFT, _RIGHT = 12, 700
_PAPER, _INK, _UP, _DOWN = (252, 252, 250), (60, 60, 60), (38, 139, 110), (203, 75, 70)
_ENTRY, _LIQUIDATION, _EXIT, _LINE = (38, 96, 170), (170, 30, 120), (190, 130, 20), (38, 96, 170)


@dataclass(frozen=True, kw_only=True)
class View:
    """What a chart shows.

    Attributes:
        symbol: the market.
        bars: the bars of the window, the last one just closed.
        account: the account after it.
        equity: float64 [n], equity at the closes of the window's bars that lie in the episode.
        initial_balance: equity at the start.
    """

    symbol: str
    bars: Bars
    account: Account
    equity: Floats
    initial_balance: float


def view(market: Market, config: EnvConfig, history: Matrix, offset: int) -> View:
    """The view after the last bar of `history`."""
    accounts = records(history, ACCOUNT)
    stop = int(accounts["row"][-1]) - offset + 1
    return View(
        symbol=market.symbol,
        bars=market.bars[max(stop - config.window, 0) : stop],
        account=accounts[-1],
        equity=accounts["equity"][-config.window :].copy(),
        initial_balance=config.initial_balance,
    )


def as_text(view: View) -> str:
    """One line: time, close, position, levels, equity."""
    account, close = view.account, view.bars.close[-1]
    text = f"{_moment(view)}  {view.symbol} {close:g}  {_position(account)}"
    if account.liquidation > 0.0:
        text += f"  liquidation {account.liquidation:g}"
    gain, drawdown = account.equity / view.initial_balance - 1.0, 1.0 - account.equity / account.peak
    return f"{text}  equity {account.equity:,.2f} ({gain:+.2%})  drawdown {drawdown:.2%}"


def as_image(view: View) -> Image:
    """uint8 [HEIGHT, WIDTH, 3]."""
    from PIL import Image as pillow, ImageDraw

    canvas = pillow.new("RGB", (WIDTH, HEIGHT), _PAPER)
    draw = ImageDraw.Draw(canvas)
    levels = _levels(view.account)
    low, high = _range(view.bars, levels)
    _draw_candles(draw, view.bars, low, high)
    for name, price, colour in levels:
        if low <= price <= high:
            height = _pixel(price, low, high, _PRICES)
            draw.line([(_LEFT, height), (_RIGHT, height)], fill=colour)
            draw.text((_RIGHT + 6, height - 6), f"{name} {price:g}", fill=colour)
    _draw_equity(draw, view)
    draw.text((_LEFT, 8), as_text(view), fill=_INK)
    return np.asarray(canvas)


def show(image: Image, window: Any) -> Any:
    """Show `image` in a window of matplotlib, opened if `window` is None; returns the window."""
    import matplotlib.pyplot as plt

    if window is None:
        window = Window(plt)
    window.show(image)
    return window


class Window:
    """A matplotlib figure that shows one image after another."""

    def __init__(self, plt: Any) -> None:
        self._plt = plt
        self._figure, axes = plt.subplots(figsize=(WIDTH / 100, HEIGHT / 100))
        if self._figure.canvas.manager is not None:
            self._figure.canvas.manager.set_window_title("FuturesTrading")
        axes.set_axis_off()
        self._image = axes.imshow(np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8))
        self._figure.tight_layout(pad=0)

    def show(self, image: Image) -> None:
        """Replace the picture and let the window redraw."""
        self._image.set_data(image)
        self._plt.pause(0.001)

    def close(self) -> None:
        """Close the window."""
        self._plt.close(self._figure)


def _levels(account: Account) -> list[tuple[str, float, Colour]]:
    if not account.quantity:
        return []
    levels = [("entry", account.entry, _ENTRY), ("liquidation", account.liquidation, _LIQUIDATION)]
    exits = [("stop", account.stop, _EXIT), ("target", account.target, _EXIT)]
    return [level for level in levels + exits if np.isfinite(level[1]) and level[1] > 0.0]


def _range(bars: Bars, levels: list[tuple[str, float, Colour]]) -> tuple[float, float]:
    """Prices shown: those of the bars, and the levels that lie within one such range of them."""
    low, high = float(bars.low.min()), float(bars.high.max())
    reach = (high - low) or high * 1e-3
    near = [price for _, price, _ in levels if low - reach <= price <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    return low - 0.03 * reach, high + 0.03 * reach


def _draw_candles(draw: ImageDraw, bars: Bars, low: float, high: float) -> None:
    step = (_RIGHT - _LEFT) / len(bars)
    half = max(1, int(step * 0.35))
    for i in range(len(bars)):
        middle = int(_LEFT + (i + 0.5) * step)
        colour = _UP if bars.close[i] >= bars.open[i] else _DOWN
        top, bottom = _pixel(bars.high[i], low, high, _PRICES), _pixel(bars.low[i], low, high, _PRICES)
        draw.line([(middle, top), (middle, bottom)], fill=colour)
        ends = sorted(_pixel(price, low, high, _PRICES) for price in (bars.open[i], bars.close[i]))
        draw.rectangle([(middle - half, ends[0]), (middle + half, ends[1])], fill=colour)
    draw.text((_RIGHT + 6, _PRICES[0]), f"{high:g}", fill=_INK)
    draw.text((_RIGHT + 6, _PRICES[1] - 10), f"{low:g}", fill=_INK)


def _draw_equity(draw: ImageDraw, view: View) -> None:
    values, bars = view.equity, len(view.bars)
    low = min(float(values.min()), view.initial_balance)
    high = max(float(values.max()), view.initial_balance)
    margin = 0.05 * (high - low) or 1.0
    low, high = low - margin, high + margin
    start = _pixel(view.initial_balance, low, high, _EQUITY)
    draw.line([(_LEFT, start), (_RIGHT, start)], fill=(210, 210, 205))
    step = (_RIGHT - _LEFT) / bars
    first = bars - len(values)
    points = [
        (int(_LEFT + (first + i + 0.5) * step), _pixel(value, low, high, _EQUITY))
        for i, value in enumerate(values)
    ]
    if len(points) > 1:
        draw.line(points, fill=_LINE, width=2)
    draw.text((_RIGHT + 6, points[-1][1] - 6), f"{values[-1]:,.2f}", fill=_LINE)
    draw.text((_LEFT, _EQUITY[0] - 14), "equity", fill=_INK)


def _pixel(value: float, low: float, high: float, band: tuple[int, int]) -> int:
    return int(band[1] - (value - low) / (high - low) * (band[1] - band[0]))


def _position(account: Account) -> str:
    if not account.quantity:
        return "flat"
    side = "long" if account.quantity > 0 else "short"
    return f"{side} {abs(account.quantity):g} at {account.entry:g}"


def _moment(view: View) -> str:
    return f"{pd.Timestamp(view.bars.timestamp[-1], unit='ms'):%Y-%m-%d %H:%M}"
