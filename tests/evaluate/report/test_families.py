from __future__ import annotations

from dataclasses import replace

import numpy as np
from report_data import agent, hold, judgement

from quantum_trader.evaluate.report.families import (
    families,
    family_name,
    further_seeds,
    legend_entries,
    line_styles,
)


def test_seeds_of_one_agent_are_one_family() -> None:
    """Names that differ in the seed only belong together, in the order of their first seeds."""
    names = ["tft", "ppo", "ppo-seed1", "a2c", "ppo-seed2"]
    found = families([*(agent(name) for name in names), hold()])
    assert [(item.name, len(item.agents)) for item in found] == [("tft", 1), ("ppo", 3), ("a2c", 1)]
    assert [item.label for item in found] == ["tft", "ppo (3 seeds)", "a2c"]
    assert further_seeds([agent(name) for name in names]) == {"ppo-seed1", "ppo-seed2"}
    assert family_name("ppo-seed2") == family_name("ppo") == "ppo"


def test_a_span_is_lowest_median_highest_of_what_is_known() -> None:
    """An undefined seed is left out; without any the span is undefined."""
    (found,) = families([agent("a", 0.1), agent("a-seed1", 0.4), agent("a-seed2", float("nan"))])
    low, middle, high = found.span(lambda item: item.trading.total_return)
    assert (low, round(middle, 12), high) == (0.1, 0.25, 0.4)
    assert np.isnan(found.span(lambda item: float("nan"))).all()


def test_six_families_have_a_colour_and_seeds_share_it() -> None:
    """The seventh is grey, further seeds are faint, buy-and-hold is black."""
    agents = [agent(f"a{index}") for index in range(8)] + [agent("a1-seed1")]
    styles = line_styles(judgement(*agents))
    assert [styles[f"a{index}"] for index in range(8)] == [
        "s0",
        "s1",
        "s2",
        "s3",
        "s4",
        "s5",
        "other",
        "other",
    ]
    assert styles["a1-seed1"] == "s1 faint"
    assert styles["buy_and_hold"] == "hold"


def test_a_legend_has_one_line_a_family() -> None:
    """Seeds share their line, grey agents share one, and what is not shown has none."""
    baseline = replace(hold(), name="coin")
    found = replace(
        judgement(agent("ppo"), agent("ppo-seed1"), agent("tft")),
        agents=(agent("ppo"), agent("ppo-seed1"), agent("tft"), baseline, hold()),
    )
    names = [item.name for item in found.agents]
    assert legend_entries(found, names) == [
        ("ppo (2 seeds)", "s0"),
        ("tft", "s1"),
        ("buy_and_hold", "hold"),
        ("other agents: coin", "other"),
    ]
    assert legend_entries(found, ["ppo", "coin"]) == [("ppo", "s0"), ("other agents: coin", "other")]
