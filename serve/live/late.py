"""Funding that was published after its bar: the account is taken back to that bar and steps forward again."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np

from quantum_trader.envs.bars import Bar
from quantum_trader.envs.paper_account import PaperAccount
from quantum_trader.envs.sources.assemble import settle
from quantum_trader.envs.sources.timeframes import HOUR_MS
from quantum_trader.serve.journal.reader import JournalReader
from quantum_trader.serve.live.book import PaperBook
from quantum_trader.serve.live.feed import Settlements
from quantum_trader.serve.live.rebuild import replay
from quantum_trader.serve.live.track import Track

_MINUTE_MS = 60_000


def book_late(track: Track, told: Settlements, reader: JournalReader, book: PaperBook) -> dict[int, float]:
    """Book settlements that the account should have met and has not.

    A venue takes funding from who holds a position at its moment, whenever its list of rates says so. So the
    account goes back to that bar and steps through the bars since with the rate, and with the decisions that
    were taken: it ends as the environment's does on bars that carry the rate, to the bit. Decisions and the
    journal's bars stay what they are. The book remembers the rate, for restarts.

    Args:
        track: with nothing that is not in the book.
        told: what the venue says now.
        reader: of the session's journal.
        book: of the session.

    Returns:
        The rates that were booked, by the open of their bars; empty where nothing was late.

    Raises:
        JournalError: the journal cannot be read.
        StoreError: the book cannot be read or written.
    """
    account = track.account
    newest_ms, step_ms = account.last_timestamp, account.step_ms
    news = _unchecked(track, told)
    if newest_ms is None or not news or not account.contract.has_funding:
        return {}
    begun_ms = book.begun_ms(track.symbol)
    # The settlements of a longer bar fall inside the bar before it: all of that must have been asked for.
    first_ms = max(begun_ms or 0, told.since_ms + max(step_ms - HOUR_MS, 0), min(news))
    if begun_ms is None or newest_ms < first_ms:
        return {}
    bars = reader.bars(track.symbol, since_ms=first_ms)
    known = book.completed(track.symbol, [bar for bar in bars if bar.timestamp <= newest_ms])
    rates = _late(known, told, step_ms)
    if rates:
        _go_back(track, min(rates))
        replay(track, reader, book, rates)
        book.restate(track.account, track.points, rates)
        track.points = []
    track.checked = {*(track.checked & set(_moments(told))), *(at for at in news if at <= newest_ms)}
    return rates


def _moments(told: Settlements) -> list[int]:
    """Whole minutes: venues stamp settlements a little late."""
    return [round(moment / _MINUTE_MS) * _MINUTE_MS for moment in told.rows[:, 0].tolist()]


def _unchecked(track: Track, told: Settlements) -> list[int]:
    """Moments of settlements that the account has not been compared with."""
    return [moment for moment in _moments(told) if moment not in track.checked]


def _go_back(track: Track, first_ms: int) -> None:
    """Put the account before the bar at `first_ms`, or at its beginning where nothing nearer is known."""
    account, saved = track.account, track.before.get(first_ms)
    if saved is None:
        again = PaperAccount(track.symbol, account.contract, account.config, step_ms=account.step_ms)
        track.account, track.last_ms = again, None
    else:
        account.restore(json.loads(saved))
        track.last_ms = account.last_timestamp
    track.before = {moment: state for moment, state in track.before.items() if moment < first_ms}
    track.points = []


def _late(known: Sequence[Bar], told: Settlements, step_ms: int) -> dict[int, float]:
    """Rates by bar that `known` bars lack."""
    stamps = np.array([bar.timestamp for bar in known], dtype=np.int64)
    rates, _ = settle(stamps, told.rows, step_ms)
    return {
        bar.timestamp: rate
        for bar, rate in zip(known, rates.tolist(), strict=True)
        if not math.isnan(rate) and _lacks(bar, rate, step_ms)
    }


def _lacks(bar: Bar, rate: float, step_ms: int) -> bool:
    """A rate that is corrected later stays as it was; but several settle on a longer bar, one by one."""
    return math.isnan(bar.funding_rate) or (step_ms > HOUR_MS and bar.funding_rate != rate)
