from __future__ import annotations

from dataclasses import replace

from report_data import agent, judgement, signal

from quantum_trader.evaluate.report.summary import findings, passes


def test_nothing_found_is_said_plainly() -> None:
    """Without a clear winner the first sentence says so, and no agent is praised."""
    first = findings(judgement(agent("tft", -0.04, 0.1), agent("xgboost", 0.02, 0.1)))[0]
    assert first == "No trained agent earned a net return whose interval lies above zero."


def test_losses_are_named() -> None:
    """An agent whose whole interval lies below zero is said to have lost money."""
    some = findings(judgement(agent("tft", -0.3, 0.1), agent("ppo", 0.0, 0.1)))[0]
    assert some.endswith("tft lost money, with an interval wholly below it.")
    every = findings(judgement(agent("tft", -0.3, 0.1)))[0]
    assert every.startswith("Every trained agent lost money")


def test_a_winner_needs_all_three_proofs() -> None:
    """Profit, lead over buy-and-hold and coin flips: only an agent with all three is called a winner."""
    winner = agent("tft", 0.3, 0.1, percentile=0.99)
    assert passes(winner)
    assert findings(judgement(winner))[0].startswith("tft made money after costs, earned more than")
    lucky = agent("tft", 0.3, 0.1, percentile=0.8)
    assert not passes(lucky)
    assert "no evidence of skill" in findings(judgement(lucky))[0]
    follower = replace(winner, excess_over_hold=agent("x", 0.0, 0.1).excess_over_hold)
    assert not passes(follower)


def test_the_numbers_of_the_summary_are_the_records() -> None:
    """Return, costs, coin flips, direction and the fixed threshold appear as measured."""
    text = " ".join(findings(judgement(agent("tft", -0.04, 0.1)))).replace("\N{NO-BREAK SPACE}", " ")
    assert "tft's, −4.0 % (95 % interval −14.0 … 6.0 %) from 900 trades" in text
    assert "costs came to 3.8 %" in text
    assert "tft 70 %" in text
    assert "Buy-and-hold returned +1.0 %" in text
    assert "right on 52.0 %" in text
    assert "tft 0.00 % (0 trades)" in text
    assert "181 days and 2 symbols" in text


def test_skill_is_claimed_only_where_its_interval_is_above_zero() -> None:
    """Log-loss skill within its interval of zero is called none."""
    known = agent("tft")
    unknown = replace(known, signal=signal(skill=0.0005))
    assert "the probabilities of tft are better" in " ".join(findings(judgement(known)))
    assert "no agent's probabilities are reliably better" in " ".join(findings(judgement(unknown)))
