"""The one place that builds a ccxt client: for reading public data, without credentials, at a polite pace.

The client has no keys, refuses to sign anything, and leaves this package only inside a `Venue`, whose
methods all read. Nothing here can place, change or cancel an order.
"""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.sources.retry import Retry, Transient
from quantum_trader.envs.sources.venue import Venue

URL_VARIABLE = "QUANTUM_TRADER_EXCHANGE_URL"
"""Environment variable that leads every request to another host, e.g. a recording proxy."""

TIMEOUT_S = 20.0


def open_venue(
    exchange: str = "binanceusdm",
    *,
    url: str | None = None,
    retry: Retry | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Venue:
    """A read-only venue; asks nothing yet.

    Args:
        exchange: an id of ccxt, e.g. "binanceusdm", "bybit", "okx"; it must serve candles.
        url: scheme and host to use in place of the venue's own, e.g. "http://127.0.0.1:8080"; paths stay.
            By default the environment variable QUANTUM_TRADER_EXCHANGE_URL, or else the venue's own.
        retry: how to ask again; its `sleep` also keeps the pace between requests.
        timeout_s: seconds to wait for an answer before it counts as failed.

    Raises:
        ConfigError: ccxt is not installed, has no such exchange, or the exchange serves no candles.
    """
    ccxt = require_ccxt()
    if exchange not in ccxt.exchanges:
        near = difflib.get_close_matches(exchange, ccxt.exchanges, n=3)
        hint = f"did you mean {' or '.join(near)}" if near else "see ccxt.exchanges"
        raise ConfigError(f"exchange {exchange!r} is not one of ccxt's {len(ccxt.exchanges)}; {hint}?")
    retry = retry if retry is not None else Retry()
    host = url if url is not None else os.environ.get(URL_VARIABLE) or None
    client = _reading_class(ccxt, exchange)(
        {"enableRateLimit": True, "timeout": int(timeout_s * 1000), "requests_trust_env": host is None}
    )
    client.pause = retry.sleep
    # Lists of currencies cost a request, often want a key, and tell nothing about bars.
    client.has["fetchCurrencies"] = False
    if host is not None:
        client.only_host = _checked_url(host)
        client.urls["api"] = _led_to(client.only_host, client.urls["api"])
    if client.has.get("fetchOHLCV") is not True:
        raise ConfigError(f"exchange {exchange!r} serves no candles (fetchOHLCV); choose another exchange.")
    return Venue(client, retry)


def require_ccxt() -> Any:
    """ccxt, which only exchanges need.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import ccxt
    except ImportError as error:
        raise ConfigError(
            'An exchange needs ccxt, which is not installed: pip install "quantum-trader[live]".'
        ) from error
    return ccxt


def _reading_class(ccxt: Any, exchange: str) -> type[Any]:
    """The exchange's class of ccxt, changed where its own ways would lose data or ask the wrong host."""

    class ReadingClient(getattr(ccxt, exchange)):  # type: ignore[misc]
        only_host: str | None = None
        pause: Callable[[float], None] = staticmethod(time.sleep)
        clock: Callable[[], float] = staticmethod(time.monotonic)
        last_status: int | None = None
        free_at_s = 0.0
        last_response_headers: Any = None

        def check_required_credentials(self, error: bool = True) -> bool:
            if error:
                raise ccxt.NotSupported(f"{self.id}: this client reads public data and signs nothing")
            return False

        def throttle(self, cost: float | None = None) -> None:
            # ccxt measures the pace by the wall clock: one that jumps back an hour would stop it for an hour.
            wait = self.free_at_s - self.clock()
            if wait > 0:
                self.pause(wait)
            weight = 1.0 if cost is None else float(cost)
            self.free_at_s = self.clock() + float(self.rateLimit) * weight / 1000.0

        def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
            # Some keys of ccxt's `urls` are ignored without a word: an address is checked where it is used.
            if self.only_host is not None and not url.startswith(f"{self.only_host}/"):
                raise ConfigError(f"{self.id} would have asked {url.split('?')[0]}, not {self.only_host}.")
            self.last_status, self.last_response_headers = None, {}
            answer = super().fetch(url, method, headers, body)
            # A page of HTML, or JSON that ends early, comes back as text, which ccxt's parsers take for an
            # empty list: bars would be missing without a word.
            if isinstance(answer, str | bytes):
                raise Transient("an answer that is not JSON, or not all of it")
            return answer

        def on_rest_response(self, code: int, *rest: Any) -> Any:
            self.last_status = code
            return super().on_rest_response(code, *rest)

    return ReadingClient


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(f"expected a URL such as http://127.0.0.1:8080, found {url!r}.")
    return f"{parts.scheme}://{parts.netloc}"


def _led_to(host: str, urls: Any) -> Any:
    """`urls` (text, or dicts of it) with scheme and host replaced."""
    if isinstance(urls, dict):
        return {key: _led_to(host, value) for key, value in urls.items()}
    return f"{host}{urlsplit(str(urls)).path}"
