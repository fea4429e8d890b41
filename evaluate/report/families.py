"""Agents that differ only in their seed belong together: one colour, one line of a legend, one median."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from quantum_trader.evaluate.records import AgentJudgement, Judgement
from quantum_trader.evaluate.run_config import SEED_MARK

COLOURS = 6
"""Learners that get a colour of their own; the others are grey."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One agent with all its seeds.

    Attributes:
        name: without the mark of a seed.
        agents: the first seed first.
    """

    name: str
    agents: tuple[AgentJudgement, ...]

    @property
    def first(self) -> AgentJudgement:
        """The first seed, which stands for the others where only one can be shown."""
        return self.agents[0]

    @property
    def label(self) -> str:
        """The name, with the number of seeds where there are several."""
        return self.name if len(self.agents) == 1 else f"{self.name} ({len(self.agents)} seeds)"

    def span(self, measure: Callable[[AgentJudgement], float]) -> tuple[float, float, float]:
        """Lowest, median and highest value over the seeds; NaN where none has one."""
        found = [value for value in map(measure, self.agents) if math.isfinite(value)]
        if not found:
            return float("nan"), float("nan"), float("nan")
        return min(found), median(found), max(found)


def family_name(agent: str) -> str:
    """The name of an agent without the mark of its seed."""
    return agent.split(SEED_MARK)[0]


def families(agents: Iterable[AgentJudgement]) -> tuple[Family, ...]:
    """Learners by family, in the order of their first seeds."""
    groups: dict[str, list[AgentJudgement]] = {}
    for agent in agents:
        if agent.role == "learner":
            groups.setdefault(family_name(agent.name), []).append(agent)
    return tuple(Family(name=name, agents=tuple(found)) for name, found in groups.items())


def coloured(judgement: Judgement) -> tuple[Family, ...]:
    """The families that have a colour."""
    return families(judgement.agents)[:COLOURS]


def further_seeds(agents: Sequence[AgentJudgement]) -> set[str]:
    """Names of the learners that another seed stands for."""
    return {agent.name for family in families(agents) for agent in family.agents[1:]}


def line_styles(judgement: Judgement) -> dict[str, str]:
    """A style for every agent: colours for those that learnt, black for buy-and-hold, grey for the rest.

    Seeds of one agent share its colour; all but the first are drawn faint.
    """
    styles = {agent.name: "other" for agent in judgement.agents}
    for index, family in enumerate(coloured(judgement)):
        for agent in family.agents:
            styles[agent.name] = f"s{index}" if agent is family.first else f"s{index} faint"
    if judgement.buy_and_hold in styles:
        styles[judgement.buy_and_hold] = "hold"
    return styles


def legend_entries(judgement: Judgement, shown: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of name and style of the agents `shown`: one a family, the grey ones together."""
    names, styles = set(shown), line_styles(judgement)
    entries, taken = [], set()
    for family in coloured(judgement):
        mine = [agent.name for agent in family.agents if agent.name in names]
        taken |= set(mine)
        if mine:
            label = family.label if len(mine) > 1 else mine[0]
            entries.append((label, styles[family.first.name]))
    if judgement.buy_and_hold in names:
        entries.append((judgement.buy_and_hold or "", "hold"))
    grey = [a.name for a in judgement.agents if a.name in names - taken and styles[a.name] == "other"]
    if grey:
        several = len(grey) > 8
        entries.append(
            (f"{len(grey)} other agents" if several else f"other agents: {', '.join(grey)}", "other")
        )
    return entries
