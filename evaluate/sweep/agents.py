"""The agents a benchmark knows by name: what each builds on, and which settings decide it."""

from __future__ import annotations

from collections.abc import Sequence

from quantum_trader.train.rl.config import ALGORITHMS, can_export

_POLICIES = tuple(name for name in ALGORITHMS if can_export(name))

NEEDS: dict[str, tuple[str, ...]] = {
    "xgboost": (),
    "ensemble": (),
    "logistic": (),
    "tft": (),
    "bilstm": (),
    **dict.fromkeys(_POLICIES, ("tft",)),
    "arbiter": ("tft", "ppo", "xgboost"),
}
"""Name -> the agents whose models it uses."""

_NETWORK = ("tft", "preset", "window_bars")

SETTINGS: dict[str, tuple[str, ...]] = {
    "xgboost": ("xgboost",),
    "ensemble": ("ensemble",),
    "logistic": ("logistic",),
    "tft": _NETWORK,
    "bilstm": ("bilstm", "preset", "window_bars"),
    **dict.fromkeys(_POLICIES, ("rl", *_NETWORK)),
    "arbiter": ("arbiter", "rl", "xgboost", *_NETWORK),
}
"""Name -> the fields of `RunConfig` that decide what it learns."""


OURS = ("arbiter", "tft", "bilstm", "ppo", "ensemble", "xgboost", "logistic")
"""The agents compared where none is named, beside those of installed entry points."""


def is_built_in(agent: str) -> bool:
    """Whether `agent` is one of ours, by name."""
    return agent in NEEDS


def with_needs(agents: Sequence[str]) -> tuple[str, ...]:
    """The agents asked for and those they build on, each once, what is needed first."""
    found: dict[str, None] = {}

    def add(agent: str) -> None:
        for need in NEEDS.get(agent, ()):
            add(need)
        found.setdefault(agent)

    for agent in agents:
        add(agent)
    return tuple(found)
