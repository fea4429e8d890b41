from __future__ import annotations

from dataclasses import replace

from report_data import (
    agent,
    checks,
    comparison,
    folds,
    judgement,
    sensitivity,
    sharpe_test,
    signal,
)

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


def plain(parts: list[str]) -> str:
    """The summary as one text with ordinary spaces."""
    return " ".join(parts).replace("\N{NO-BREAK SPACE}", " ")


def test_failed_checks_come_first() -> None:
    """A check that failed is said before anything else, in its own words; passed ones say nothing."""
    found = findings(judgement(agent("tft")), checks())
    assert found[0].startswith("Of 2 mechanical checks one failed.")
    assert found[0].endswith("when later bars change? No: 2 of 14 features changed at 25 cuts.")
    passed = [check for check in checks() if check.passed]
    assert findings(judgement(agent("tft")), passed) == findings(judgement(agent("tft")))
    assert findings(judgement(), checks())[0].startswith("Of 2 mechanical checks one failed.")


def test_a_low_deflated_sharpe_ratio_is_called_luck() -> None:
    """Below 0.95 the best is not told from the best of as many tries; from there on it is."""
    lucky = replace(agent("tft"), sharpe_test=sharpe_test(0.94, trials=40))
    assert (
        "is tft's, 0.940, below 0.95: it is not distinguishable from the best of 40 tries by luck"
        in plain(findings(judgement(lucky)))
    )
    skilled = replace(agent("ppo"), sharpe_test=sharpe_test(0.97, trials=40))
    found = plain(findings(judgement(lucky, skilled)))
    assert "ppo (0.970) did better than the best of 40 tries would by luck. The others" in found


def test_a_winner_that_may_be_luck_is_doubted_at_once() -> None:
    """The verdict itself carries the doubt, so that nobody reads only the praise."""
    winner = replace(agent("tft", 0.3, 0.1, percentile=0.99), sharpe_test=sharpe_test(0.5))
    first = findings(judgement(winner))[0]
    assert first.startswith("tft made money after costs")
    assert first.endswith("it may be the luck of the best of 12 tries.")
    proven = replace(winner, sharpe_test=sharpe_test(0.99))
    assert "luck" not in findings(judgement(proven))[0]


def test_folds_in_profit_are_counted() -> None:
    """So many of so many folds, seeds as a range."""
    tft = replace(agent("tft"), folds=folds((0.1, -0.1, 0.2)))
    ppo = replace(agent("ppo"), folds=folds((-0.1, -0.1, 0.2)))
    second = replace(ppo, name="ppo-seed1", folds=folds((0.1, 0.1, 0.2)))
    found = plain(findings(judgement(tft, ppo, second)))
    assert "Of 3 folds in time, tft in 2, ppo in 1 to 3 by seed ended in profit." in found
    assert "All of this is 3 folds over 181 days" in found


def test_all_agents_together_are_judged_by_their_tests() -> None:
    """Superior predictive ability and overfitting are said on either side of their bounds."""
    weak = replace(judgement(agent()), comparison=comparison("tft", p=0.3, overfitting=0.5))
    assert "p = 0.300; no agent's mean return is shown to exceed" in plain(findings(weak))
    assert "in 50 % of the splits; the choice of the best agent by its past is not" in plain(findings(weak))
    strong = replace(judgement(agent()), comparison=comparison("tft", p=0.0001, overfitting=0.1))
    assert "p < 0.001; at least one agent's" in plain(findings(strong))
    assert "mostly holds" in plain(findings(strong))
    nan = float("nan")
    silent = replace(judgement(agent()), comparison=comparison("tft", p=nan, overfitting=nan))
    assert findings(silent) == findings(judgement(agent()))


def test_a_profit_that_costs_or_delay_take_away_is_named() -> None:
    """Each way to lose it has its words; an agent without a profit has none to lose."""
    fragile = {
        (0.04, -0.01, -0.03, 0.02, 0.01): "+2.0 % with orders one bar later: the dearer costs take the whole",
        (
            0.04,
            0.01,
            -0.03,
            -0.02,
            0.01,
        ): "−2.0 % with orders one bar later: the delay takes the whole profit.",
        (0.04, -0.01, -0.03, -0.02, 0.0): "−2.0 % with orders one bar later: either takes the whole profit.",
        (0.04, 0.03, 0.02, 0.02, 0.01): "tft's net return of +4.0 % becomes +3.0 % at twice the costs and",
    }
    for returns, words in fragile.items():
        assert words in plain(findings(judgement(replace(agent(), sensitivity=sensitivity(*returns)))))
    losing = replace(agent(), sensitivity=sensitivity(-0.04, -0.05, -0.06, -0.04, -0.04))
    assert findings(judgement(losing)) == findings(judgement(agent()))


def test_many_agents_are_counted_not_listed() -> None:
    """Thirty agents make no longer a summary than eight."""
    many = [
        replace(
            agent(f"a{index}", -0.3 if index % 2 else 0.01),
            folds=folds(),
            sensitivity=sensitivity(0.04, -0.01, -0.03, 0.02, 0.01),
        )
        for index in range(30)
    ]
    found = findings(judgement(*many))
    assert len(plain(found)) < 2_500
    assert "15 agents lost money" in plain(found)
    assert "30 of 30 lose it at twice the costs and 0 of 30 with orders one bar later" in plain(found)
