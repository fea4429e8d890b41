"""Token buckets: how many requests a client may send, at once and for long."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

MOST_CLIENTS = 10_000


class RateLimit:
    """One bucket per client, filled at `rate` tokens a second up to `burst`.

    Args:
        rate: requests a second; 0 lets everything through.
        burst: tokens of a full bucket.
        clock: seconds, monotonic.
    """

    def __init__(self, rate: float, burst: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, float(burst), clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, client: str) -> int:
        """0 where the request may pass, which takes a token; else whole seconds to wait."""
        if self._rate <= 0:
            return 0
        now = self._clock()
        tokens, since = self._buckets.pop(client, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        passes = tokens >= 1
        self._buckets[client] = (tokens - 1 if passes else tokens, now)
        # The bucket longest unused is the fullest: forgetting it gives its client the least.
        if len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return 0 if passes else max(1, math.ceil((1 - tokens) / self._rate))
