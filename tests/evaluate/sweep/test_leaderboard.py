"""The leaderboard of a task: its rows, its flat table and its page."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from statistics import median

import numpy as np
import pytest

from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import preset
from quantum_trader.envs.synthetic import random_walk_bars
from quantum_trader.evaluate.bootstrap import BootstrapConfig
from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.judge import JudgeConfig, judge
from quantum_trader.evaluate.records import AgentJudgement, CheckResult, Judgement, to_json
from quantum_trader.evaluate.sweep.answers import JobOutcome
from quantum_trader.evaluate.sweep.leaderboard import LeaderboardRow, flat, leaderboard, middle_seed
from quantum_trader.evaluate.sweep.leaderboard_page import TaskBoard, leaderboard_page
from quantum_trader.evaluate.sweep.run_job import judged_fold
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.prepared import prepare


@pytest.fixture(scope="module")
def judged() -> Judgement:
    """Three seeds of a guesser, one that leans to the labels, one without probabilities, a baseline."""
    fold = judged_fold(prepare([Market.build(random_walk_bars(900, 3), preset("binance-btc"))], DataConfig()))
    labels, rows = fold.rows.action, len(fold.rows)

    def guesses(seed: int) -> np.ndarray:
        return np.random.default_rng(seed).dirichlet((6.0, 5.0, 5.0), rows).astype(np.float32)

    knowing = np.full((rows, 3), 0.3, dtype=np.float32)
    knowing[np.arange(rows), labels] = 0.4
    entrants = [
        *(
            Entrant(name=name, probabilities=guesses(seed))
            for seed, name in enumerate(("a", "a-seed1", "a-seed2"))
        ),
        Entrant(name="trader", kind="position", actions=guesses(9).argmax(axis=1).astype(np.int8)),
        Entrant(name="knowing", probabilities=knowing),
        Entrant(name="always_hold", role="baseline", kind="position", actions=np.zeros(rows, np.int8)),
    ]
    config = JudgeConfig(coin_flips=3, bootstrap=BootstrapConfig(draws=50), backtest=fold.backtest)
    return judge(entrants, fold.rows, fold.prior, config).judgement


def outcome(agent: str, fold: int, seed: int, **found: object) -> JobOutcome:
    return JobOutcome(
        **{  # type: ignore[arg-type]
            **{"key": f"{agent}{fold}{seed}", "task": "walk", "agent": agent, "fold": fold, "seed": seed},
            **{"status": "done", "seconds_fit": 1.0, "seconds_answer": 0.5, "peak_bytes": 2.0**20},
            **found,
        }
    )


OUTCOMES = (
    *(outcome("file.py:a", fold, seed, seconds_fit=1.0 + seed) for fold in (0, 1) for seed in (0, 1, 2)),
    *(outcome("trader", fold, 0, peak_bytes=3.0 * 2**20) for fold in (0, 1)),
    *(outcome("knowing", fold, 0) for fold in (0, 1)),
    outcome("broken", 0, 0),
    outcome("broken", 1, 0, status="failed", reason="its <data> & <script>alert(1)</script>"),
)


@pytest.fixture(scope="module")
def rows(judged: Judgement) -> dict[str, LeaderboardRow]:
    return {row.agent: row for row in leaderboard("walk", judged, OUTCOMES, {"knowing": 0.75})}


def seeds_of(judged: Judgement) -> list[AgentJudgement]:
    return [agent for agent in judged.agents if agent.name.split("-seed")[0] == "a"]


def test_learners_stand_first_by_skill(rows: dict[str, LeaderboardRow]) -> None:
    """Best skill first, then who states no probabilities, then what failed, then the baselines."""
    assert list(rows) == ["knowing", "a", "trader", "broken", "always_hold", "buy_and_hold"]


def test_a_row_shows_the_median_seed(rows: dict[str, LeaderboardRow], judged: Judgement) -> None:
    """Money is that of the middle seed, log-loss the median; the range spans all seeds, none is the best."""
    seeds, row = seeds_of(judged), rows["a"]
    returns = sorted(seed.total_return.estimate for seed in seeds)
    assert row.seeds == len(seeds) == 3
    assert row.total_return is not None
    assert row.total_return.estimate == returns[1]
    assert row.return_range == (returns[0], returns[2])
    losses = [seed.signal.log_loss for seed in seeds if seed.signal is not None]
    assert row.log_loss == median(losses)
    assert row.log_loss_range == (min(losses), max(losses))


def test_of_two_seeds_the_lower_is_shown(judged: Judgement) -> None:
    """An even number of seeds has no middle: the pessimist is right."""
    seeds = seeds_of(judged)[:2]
    assert middle_seed(seeds).total_return.estimate == min(seed.total_return.estimate for seed in seeds)


def test_seconds_are_those_of_all_folds_of_a_seed(rows: dict[str, LeaderboardRow]) -> None:
    """Summed over the folds, median over the seeds; memory is the most that any fold took."""
    assert rows["a"].seconds_fit == 4.0
    assert rows["a"].seconds_answer == 1.0
    assert rows["trader"].peak_megabytes == 3.0
    assert rows["buy_and_hold"].seconds_fit is None
    assert rows["knowing"].edge_share == 0.75
    assert rows["a"].edge_share is None


def test_what_failed_is_listed_with_its_reason(rows: dict[str, LeaderboardRow]) -> None:
    """Fold, seed and reason; no figure."""
    row = rows["broken"]
    assert row.failure == "fold 1, seed 0: its <data> & <script>alert(1)</script>"
    assert row.total_return is None
    assert row.log_loss is None
    assert row.seeds == 0


def test_a_seed_that_failed_is_not_passed_over(judged: Judgement) -> None:
    """An agent of which some seeds are judged says what became of the others, whose seconds do not count."""
    lost = [
        outcome("file.py:a", 0, 3, seconds_fit=100.0),
        outcome("file.py:a", 1, 3, status="failed", reason="out of memory", seconds_fit=None),
    ]
    found = {row.agent: row for row in leaderboard("walk", judged, [*OUTCOMES, *lost], {})}
    assert found["a"].failure == "fold 1, seed 3: out of memory"
    assert found["a"].seeds == 3
    assert found["a"].seconds_fit == 4.0
    board = TaskBoard(
        name="walk",
        title="A walk.",
        claim="nobody",
        data="0",
        folds=2,
        judgement=judged,
        rows=tuple(found.values()),
    )
    assert "a, some seeds failed: fold 1, seed 3" in leaderboard_page("mine", [board], 1.0)


def test_all_rows_have_the_same_columns(rows: dict[str, LeaderboardRow]) -> None:
    """Failures and baselines leave columns empty; an interval takes three, a pair two."""
    tables = [flat(row) for row in rows.values()]
    assert len({tuple(table) for table in tables}) == 1
    known = flat(rows["knowing"])
    assert known["total_return"] == rows["knowing"].total_return.estimate  # type: ignore[union-attr]
    assert known["top_10_trades"] == rows["knowing"].top_10.trades  # type: ignore[union-attr]
    assert known["return_range_lowest"] == known["return_range_highest"]
    assert not any(isinstance(value, tuple | dict | list) for table in tables for value in table.values())
    failed = flat(rows["broken"])
    assert {name for name, value in failed.items() if value is not None} == {
        *("task", "agent", "role", "kind", "failure", "seeds")
    }


@pytest.fixture(scope="module")
def board(judged: Judgement, rows: dict[str, LeaderboardRow]) -> TaskBoard:
    check = CheckResult(name="x", question="?", passed=True, detail="Fine.")
    return TaskBoard(
        name="walk & co",
        title="<b>Independent</b> returns",
        claim="nobody",
        data="0123456789abcdef0123",
        folds=1,
        judgement=judged,
        rows=tuple(rows.values()),
        checks=(check, replace(check, passed=None), replace(check, passed=False)),
    )


def test_the_page_is_text_and_tables_alone(board: TaskBoard) -> None:
    """No script, nothing from the network; names and reasons are shown, not obeyed."""
    page = leaderboard_page("<i>mine</i>", [board], 90.0)
    assert "<script" not in page
    assert "<b>Independent" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<i>mine" not in page
    assert not re.search(r'(src|href)="(http|//)', page)
    assert 'href="tasks/walk%20%26%20co/report.html"' in page
    assert "1 fold," in page
    assert "1 symbol." in page
    assert "passed: 1 of 2" in page
    assert "1.5 minutes" in page


def test_every_agent_is_on_the_page(board: TaskBoard) -> None:
    """Judged ones in the tables, failed ones with their reason; ranges stand there where there are seeds."""
    page = leaderboard_page("mine", [board], 1.0)
    for row in board.rows:
        assert f">{row.agent}" in page
    assert "broken failed: fold 1, seed 0" in page
    assert "3 seeds" in page
    assert "of seeds</th>" in page
    alone = replace(board, rows=tuple(row for row in board.rows if row.seeds < 2))
    assert "of seeds</th>" not in leaderboard_page("mine", [alone], 1.0)


def test_every_row_of_a_table_is_as_wide_as_its_head(board: TaskBoard) -> None:
    """No cell is missing or too much, whoever the row is about."""
    page = leaderboard_page("mine", [board], 1.0)
    tables = re.findall(r"<table.*?</table>", page, flags=re.DOTALL)
    assert len(tables) == 3
    for table in tables:
        head, *body = re.findall(r"<tr.*?</tr>", table, flags=re.DOTALL)
        assert {len(re.findall(r"<t[dh]", row)) for row in body} == {len(re.findall(r"<th ", head))}


def test_rows_are_json_without_nan(rows: dict[str, LeaderboardRow]) -> None:
    """What is undefined becomes null."""
    text = json.dumps(to_json({"agents": list(rows.values())}), allow_nan=False)
    found = json.loads(text)["agents"]
    assert [row["agent"] for row in found] == list(rows)
    assert any(
        math.isnan(value) for row in rows.values() for value in flat(row).values() if isinstance(value, float)
    )


def test_nobody_but_baselines_makes_a_page_too(board: TaskBoard, judged: Judgement) -> None:
    """Where every agent failed, the page says so and why."""
    agents = tuple(agent for agent in judged.agents if agent.role == "baseline")
    left = replace(judged, agents=agents, comparison=None)
    bad = tuple(outcome("a", 0, 0, status="failed", reason="no luck") for _ in range(1))
    rows = leaderboard("walk", left, bad, {})
    page = leaderboard_page("mine", [replace(board, judgement=left, rows=rows)], 1.0)
    assert "a failed: fold 0, seed 0: no luck" in page
    assert "No trained agent was judged" in page
