"""`check_up`: an Arbiter's health, put together from its parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from quantum_trader.agents.breaker import BreakerState
from quantum_trader.agents.clock import SteadyClock
from quantum_trader.agents.drift import Drift
from quantum_trader.agents.health import Health, MemberHealth

if TYPE_CHECKING:
    from quantum_trader.agents.arbiter import Arbiter

MEMBERS = ("tft", "ppo", "xgboost")
_MOST_DRIFTS = 20
_STATES: dict[BreakerState, Literal["ready", "resting", "trying"]] = {
    "closed": "ready",
    "open": "resting",
    "half-open": "trying",
}


def check_up(arbiter: Arbiter, decided: Mapping[str, int]) -> Health:
    """The health of `arbiter`.

    Args:
        arbiter: whose.
        decided: its decisions by source so far.
    """
    members = tuple(_member(arbiter, name) for name in MEMBERS)
    states = {member.name: member.state for member in members}
    stale, drifts = _stale(arbiter), _drifts(arbiter)
    jump = arbiter.clock.jump_ms if isinstance(arbiter.clock, SteadyClock) else 0
    problems = [
        *arbiter.problems,
        *(f"{m.name} rests for {m.retry_in_s:.0f} s: {m.last_error}" for m in _resting(members)),
        *([f"{len(stale)} symbols are stale: {', '.join(stale[:5])}"] if stale else []),
        *(_drift_in_words(drift) for drift in drifts[:3] if drift.beyond),
        *([f"the system's clock has jumped by {jump / 1000:.0f} s"] if jump else []),
    ]
    nobody = all(states[name] in ("missing", "resting") for name in ("tft", "xgboost"))
    return Health(
        status="failing" if nobody else ("degraded" if problems else "ok"),
        problems=tuple(problems),
        members=members,
        symbols=len(arbiter.histories),
        ready=sum(arbiter.histories[symbol].ready for symbol in arbiter.histories.symbols()),
        stale=stale,
        drift=drifts,
        drift_watched=arbiter.drift_watch is not None,
        model_hash=arbiter.model_hash,
        decisions=dict(decided),
        clock_jump_ms=jump,
    )


def _resting(members: Iterable[MemberHealth]) -> list[MemberHealth]:
    return [member for member in members if member.state == "resting"]


def _member(arbiter: Arbiter, name: str) -> MemberHealth:
    breaker = arbiter.breakers[name]
    return MemberHealth(
        name=name,
        state="missing" if arbiter.member(name) is None else _STATES[breaker.state],
        failures=breaker.failures,
        last_error=breaker.last_error,
        retry_in_s=breaker.retry_in_s,
    )


def _stale(arbiter: Arbiter) -> tuple[str, ...]:
    """Symbols whose next bar should have closed long ago."""
    now_ms, step_ms = arbiter.clock(), arbiter.histories.step_ms
    oldest = now_ms - (arbiter.live.stale_bars + 1) * step_ms
    newest = ((symbol, arbiter.histories[symbol].last_timestamp) for symbol in arbiter.histories.symbols())
    return tuple(symbol for symbol, moment in newest if moment is not None and moment < oldest)


def _drifts(arbiter: Arbiter) -> tuple[Drift, ...]:
    if arbiter.drift_watch is None:
        return ()
    found = arbiter.drift_watch.worst(arbiter.histories.symbols()).values()
    return tuple(sorted(found, key=lambda drift: -drift.score / drift.limit)[:_MOST_DRIFTS])


def _drift_in_words(drift: Drift) -> str:
    return (
        f"{drift.symbol}: {drift.feature} has drifted to {drift.score:.2f}, "
        f"beyond its limit of {drift.limit:.2f}"
    )
