from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from report_data import (
    HOUR,
    agent,
    around,
    checks,
    comparison,
    confidence,
    folds,
    full_report,
    hold,
    judgement,
    paths,
    sharpe_test,
    trials,
    walked,
)

from quantum_trader.evaluate.report.card_section import check_table, facts, ledger_section, yearly_sharpe
from quantum_trader.evaluate.report.comparison_section import comparison_section, p_value, pair_tables
from quantum_trader.evaluate.report.data import PathSharpes
from quantum_trader.evaluate.report.fold_section import confusion_matrices, fold_section, fold_table
from quantum_trader.evaluate.report.path_section import path_section
from quantum_trader.evaluate.report.robust_section import regime_section, sensitivity_section, setting_name
from quantum_trader.evaluate.report.tables import confidence_table, seed_table, symbol_table


def plain(markup: str) -> str:
    """The words of a piece of markup, one space between cells."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", markup)).replace("\N{NO-BREAK SPACE}", " ").strip()


def test_the_fold_table_counts_profits() -> None:
    """Each fold has its return and Sharpe ratio, each agent the number of folds in profit."""
    text = plain(fold_table(judgement(walked(agent("tft"), (0.02, -0.03, 0.01)))))
    assert "2025-01-01 2025-03-01" in text
    assert "tft 2 of 3 +2.0 % 0.80 −3.0 % −1.20 +1.0 % 0.40" in text


def test_an_agent_that_missed_a_fold_has_a_dash_there() -> None:
    """The columns are the folds of all agents together."""
    late = replace(agent("late"), folds=folds((0.1, 0.1))[1:])
    text = plain(fold_table(judgement(replace(agent("tft"), folds=folds((0.1, 0.1))), late)))
    assert "late 1 of 1 – +10.0 % 4.00" in text


def test_one_fold_has_only_its_confusion() -> None:
    """A single test slice needs no chart and no table of folds."""
    one = fold_section(judgement(replace(agent("tft"), folds=folds((0.1,)))))
    assert "<svg" not in one
    assert "fold 1" not in one
    assert "all, 2,600 rows" in one
    two = fold_section(judgement(replace(agent("tft"), folds=folds((0.1, float("nan"))))))
    assert two.count('<svg class="wide"') == 2


def test_bars_show_the_median_of_the_seeds() -> None:
    """Three seeds of one agent are one bar a fold, with a line from the lowest to the highest."""
    seeds = [
        replace(agent(name), folds=folds((value, value)))
        for name, value in (("a", 0.01), ("a-seed1", 0.03), ("a-seed2", 0.02))
    ]
    text = fold_section(judgement(*seeds)).split("</svg>")[1]  # past the legend
    assert text.count('class="bar solid s0"') == 2
    assert text.count('class="line reach"') == 2


def test_confusion_rows_add_up_to_the_label() -> None:
    """600 of 1000 HOLD labels are shown as 60 %; the last matrix adds the folds up."""
    text = plain(confusion_matrices(judgement(walked(agent("tft")))))
    assert (
        "fold 1, 2,600 rows HOLD BUY SELL HOLD 60 % 20 % 20 % BUY 38 % 38 % 25 % SELL 38 % 25 % 38 %" in text
    )
    assert "all folds, 7,803 rows" in text


def test_every_setting_of_costs_and_delay_has_a_column() -> None:
    """What was tried is named by factor and delay, costs before delays."""
    text = plain(sensitivity_section(judgement(walked(agent("tft", 0.03)))))
    assert "agent ×1 ×2 ×3 ×1, 1 bar late ×1, 2 bars late tft +3.0 % −2.0 … +8.0 −1.0 % −6.0 … +4.0" in text
    assert setting_name(2.0, 2) == "×2, 2 bars late"


def test_regimes_are_compared_and_detailed() -> None:
    """All agents side by side by kind, and one table an agent; no trade is a dash."""
    text = plain(regime_section(judgement(walked(agent("tft", 0.0)))))
    assert "share of bars 11 % 11 %" in text
    assert "falling, calm 11 % −4.0 % −7.0 … −1.0 0 – 50.0 %" in text
    assert "rising, wild 11 % +4.0 % +1.0 … +7.0 800 53.0 % 54.0 %" in text


def test_pairs_beyond_twenty_open_on_demand() -> None:
    """Ten agents make 45 pairs, of which twenty are in sight."""
    found = pair_tables(comparison(*(f"a{index}" for index in range(10))))
    assert found.split("<details>")[0].count("<tr") == 21
    assert "25 further pairs" in found


def test_a_pair_without_probabilities_has_dashes() -> None:
    """A position agent has no log-loss to compare."""
    (pair,) = comparison("ppo", "hold").pairs
    bare = replace(
        comparison(),
        pairs=(replace(pair, log_loss_difference=None, log_loss_p=None, log_loss_p_adjusted=None),),
    )
    assert "ppo hold – – – +4.0 % −16.0 … +24.0" in plain(pair_tables(bare))


def test_p_values_are_never_zero() -> None:
    """A p-value below a thousandth says so."""
    assert p_value(0.0) == "< 0.001"
    assert p_value(0.0123) == "0.012"
    assert p_value(float("nan")) == "–"


def test_the_sharpe_table_has_all_parts() -> None:
    """Probabilistic, deflated, the expected maximum, the number of trials and the years needed."""
    text = plain(comparison_section(judgement(replace(agent("tft"), sharpe_test=sharpe_test(0.4, 1_200)))))
    assert "tft −0.32 −1.3 … 0.7 0.800 0.400 1.60 1,200 2.3" in text


def test_paths_are_summed_up() -> None:
    """Lowest, median, highest and the share below zero of the paths that are known."""
    sharpes = np.array([-1.0, 0.5, 1.5, 2.0, np.nan])
    text = plain(path_section([PathSharpes(agent="logistic", sharpes=sharpes)]))
    assert "logistic 5 −1.00 1.00 2.00 25 %" in text
    assert path_section([PathSharpes(agent="idle", sharpes=np.full(9, np.nan))]) == ""


def test_every_path_is_in_the_histogram() -> None:
    """Bars hold all paths: their heights add up to the number of paths."""
    (mine,) = paths("logistic")
    drawn = path_section([mine]).split("</svg>")[0]
    heights = [float(value) for value in re.findall(r'<rect class="bar[^>]*height="([\d.]+)"', drawn)]
    assert sum(round(height / min(heights)) for height in heights) == 9


def test_failed_checks_stand_on_top() -> None:
    """A failed check is the first row and marked; one not asked is last and not called passed."""
    text = plain(check_table(checks()))
    assert text.index("FAILED") < text.index("passed Do the cash") < text.index("not asked Do delisted")
    assert check_table(checks()).count('class="failed"') == 1


def test_the_card_says_what_was_judged() -> None:
    """Agents, markets, periods, folds, configurations and the checks that passed of those asked."""
    found = dict(facts(full_report()))
    assert found["trained agents"] == "tft and xgboost"
    assert found["folds"] == "3"
    assert found["configurations tried"] == "3"
    assert found["checks passed"] == "1 of 2 asked"


def test_the_ledger_is_shown_by_configuration() -> None:
    """Lines of one configuration are one row; a long ledger opens on demand and is cut."""
    short = ledger_section(trials(3, 4))
    assert "12 lines of 3 configurations" in plain(short)
    assert "<details>" not in short
    long = ledger_section(trials(100, 2))
    assert "<details>" in long
    assert long.count("<tr") == 61
    assert "The newest 60 are listed" in plain(long)


def test_the_sharpe_ratio_of_a_trial_becomes_yearly() -> None:
    """A bar's ratio times the root of the bars in a year: 8766 hours, 5/7 of them without weekends."""
    hours = trials(1, 1)[0]
    assert yearly_sharpe(replace(hours, sharpe=0.01)) == pytest.approx(0.01 * np.sqrt(8766))
    weekdays = replace(hours, sharpe=0.01, bars=1 + 5 * 24, end_ms=hours.start_ms + 7 * 24 * HOUR)
    assert yearly_sharpe(weekdays) == pytest.approx(0.01 * np.sqrt(8766 * 5 / 7))
    assert np.isnan(yearly_sharpe(replace(hours, bars=1)))


def test_seeds_have_median_and_range() -> None:
    """Three seeds: the middle one is reported, the ends are small; one seed needs no table."""
    seeds = [agent("a", 0.01), agent("a-seed1", 0.05), agent("a-seed2", -0.02)]
    assert "a 3 +1.0 % −2.0 … +5.0 0.08 −0.16 … 0.40" in plain(seed_table(judgement(*seeds)))
    assert seed_table(judgement(agent("a"))) == ""


def test_the_longer_list_runs_down_the_page() -> None:
    """More agents than symbols: one row an agent; otherwise one row a symbol."""
    many = symbol_table(judgement(agent("a"), agent("b")))
    assert "agent in profit BTCUSDT ETHUSDT" in plain(many)
    few = symbol_table(replace(judgement(agent("a")), agents=(agent("a"), hold())))
    assert "symbol a buy_and_hold BTCUSDT" in plain(few)


def test_gates_set_with_hindsight_are_marked() -> None:
    """A threshold that was fitted to a share of the rows is named by it, with a warning."""
    tail = replace(confidence()[0], share=0.1, chosen=False, threshold=0.583)
    text = plain(confidence_table(replace(agent("tft"), confidence=(*confidence(), tail))))
    assert "most confident 10 % directional ≥ 0.583" in text
    assert "not what could have been traded" in text
    assert "with the test rows known" not in plain(confidence_table(agent("tft")))


def test_unknown_intervals_are_drawn_without_their_lines() -> None:
    """A return without bounds keeps its dot and its place."""
    nan = float("nan")
    bare = walked(agent("tft", 0.03))
    rows = tuple(
        replace(row, total_return=replace(around(0.01, 0.0), low=nan, high=nan)) for row in bare.sensitivity
    )
    text = sensitivity_section(judgement(replace(bare, sensitivity=rows)))
    assert "nan" not in text.lower()
    assert "line thin" not in text
    assert "dot s0" in text
