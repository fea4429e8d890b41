"""Answers that are no data: how long to wait, and what is said."""

from __future__ import annotations

from typing import Any

import pytest

from quantum_trader.envs.sources.client import open_venue
from quantum_trader.envs.sources.errors import SourceError, TurnedAway
from quantum_trader.envs.sources.replies import plain_words, wait_of
from quantum_trader.envs.sources.retry import Retry
from quantum_trader.envs.sources.venue import Venue

from ...fake_exchange import pages
from ...fake_exchange.server import FakeExchange

NOON = "Wed, 01 Jan 2020 12:00:00 GMT"
NOON_S = 1_577_880_000.0
START_MS = 1_577_836_800_000


@pytest.fixture
def reader(venue: FakeExchange, retry: Retry) -> Venue:
    return open_venue("binanceusdm", url=venue.url, retry=retry)


@pytest.mark.parametrize(
    ("headers", "said", "seconds"),
    [
        ({"Retry-After": "30"}, "", 30.0),
        ({"Retry-After": "-1"}, "", 0.0),
        ({"Retry-After": "inf"}, "", None),
        ({"Retry-After": "nan"}, "", None),
        ({"Retry-After": "Wed, 01 Jan 2020 12:00:45 GMT", "Date": NOON}, "", 45.0),
        ({"Retry-After": "Wed, 01 Jan 2020 11:00:00 GMT", "Date": NOON}, "", None),
        ({"Retry-After": "soon", "Date": NOON}, "", None),
        ({"Date": NOON}, f"IP banned until {int(NOON_S * 1000) + 90_000}.", 90.0),
        ({"Date": NOON}, "IP banned until 1500000000000.", None),
        ({}, f"banned until {int(NOON_S * 1000) + 20_000}", 10.0),
        ({}, "", None),
    ],
)
def test_the_wait_is_what_the_answer_says(headers: dict[str, str], said: str, seconds: float | None) -> None:
    """Seconds, a date by the venue's own clock, or the end of a ban in the text; nonsense counts as none."""
    assert wait_of(headers.get, said, wall=lambda: NOON_S + 10.0) == seconds


def test_a_page_is_told_by_its_words() -> None:
    """Tags, scripts and line ends do not reach the user."""
    page = "<html><script>x < 1</script>\n<h2 class='a'>403  ERROR</h2><p>blocked</p></html>"
    assert plain_words(page) == "403 ERROR blocked"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (pages.FORBIDDEN, "HTTP 403: this address or country is turned away"),
        (pages.RESTRICTED, "HTTP 451: not served to this place"),
        (pages.RESTRICTED_JSON, "HTTP 451: not served to this place"),
    ],
)
def test_a_venue_that_turns_this_place_away_is_asked_once(
    venue: FakeExchange, reader: Venue, fault: Any, message: str
) -> None:
    """One request and one sentence, without the page, at whatever is asked for first."""
    venue.fail("", fault, times=9)
    with pytest.raises(TurnedAway, match=message) as caught:
        reader.now_ms()
    assert "<" not in str(caught.value)
    assert "choose another exchange" in str(caught.value)
    assert len(venue.requests) == 1


@pytest.mark.parametrize(
    ("fault", "words", "waits"),
    [
        (pages.LIMITED_PAGE, "too many requests, HTTP 429", [7.0, 7.0]),
        (pages.BANNED_PAGE, "banned for too many requests, HTTP 418", [9.0, 9.0]),
        (pages.MAINTENANCE, "maintenance or overload, HTTP 503", [1.0, 2.0]),
        (pages.MAINTENANCE_UNTIL, "maintenance or overload, HTTP 503", [12.0, 12.0]),
    ],
)
def test_what_passes_is_waited_for_as_told(
    venue: FakeExchange, reader: Venue, pauses: list[float], fault: Any, words: str, waits: list[float]
) -> None:
    """Pages of HTML in place of JSON: the pause is the one that is asked for, and the last words name it."""
    instrument = reader.instrument("BTCUSDT")
    venue.fail("klines", fault, times=9)
    pauses.clear()
    with pytest.raises(SourceError, match=words):
        reader.candles(instrument, "1h", START_MS)
    assert [pause for pause in pauses if pause >= 1.0] == waits
