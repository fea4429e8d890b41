from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from report_data import agent, benchmark_report, explanation, full_report, hold, judgement, trading

from quantum_trader.evaluate.bootstrap import Interval
from quantum_trader.evaluate.report.candle_script import HASH, SCRIPT
from quantum_trader.evaluate.report.data import ReportData, SplitSummary
from quantum_trader.evaluate.report.render import render_report, write_report

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Collects tags, attributes and headings, and checks that every tag is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.headings: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "h2":
            self.headings.append(data)


def policy(text: str) -> str:
    """The content security policy of a page."""
    found = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert found is not None
    return found[1]


def test_the_page_stands_alone() -> None:
    """Nothing is fetched, the page is well-formed, and far below two megabytes."""
    text = render_report(full_report())
    page = Page(text)
    assert not {"link", "img", "iframe", "object"} & set(page.tags)
    fetched = [value for name, value in page.attributes if name in ("src", "href", "xlink:href")]
    assert fetched == []
    assert "url(" not in text
    assert "@import" not in text
    assert len(text.encode()) < 2_000_000


def test_only_the_script_of_the_candles_may_run() -> None:
    """The policy names one script by its hash, which is the one in the page; nothing else has a source."""
    text = render_report(full_report())
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    assert script == SCRIPT
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"sha256-{digest}" == HASH
    assert policy(text) == (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        f"script-src '{HASH}'"
    )
    assert not re.search(r"\son[a-z]+=", text.replace(script, ""))


def test_without_candles_nothing_may_run() -> None:
    """A page without candles holds no script and allows none."""
    text = render_report(replace(full_report(), candles=None))
    assert "<script" not in text
    assert "script-src" not in policy(text)


def test_a_large_benchmark_stays_small() -> None:
    """Fifteen symbols, twenty agents with five seeds each, eight folds: below two megabytes, well-formed."""
    text = render_report(benchmark_report(agents=20, seeds=5, symbols=15, folds_=8))
    assert len(text.encode()) < 2_000_000
    page = Page(text)
    assert "Fold by fold" in page.headings
    assert not re.search(r"\bnan\b|\binf\b", text, flags=re.IGNORECASE)


def test_further_seeds_are_folded_away() -> None:
    """One row a seed would bury the table: the first stands for the others, the median has its own table."""
    text = render_report(benchmark_report(3, 3, symbols=2, folds_=2))
    assert "<b>Seeds.</b>" in text
    shown = text.split("<b>All agents on the test rows.</b>")[1].split("<details>")[0]
    assert "agent_2" in shown
    assert "agent_2-seed1" not in shown
    assert "agent_2 (3 seeds)" in text


def test_every_section_is_there() -> None:
    """A full report has all its sections, the findings first."""
    assert Page(render_report(full_report())).headings == [
        "What was found",
        "Model card",
        "Data",
        "Trading",
        "Over time",
        "Fold by fold",
        "Skill or luck",
        "Combinatorial paths",
        "Costs and delay",
        "Kinds of market",
        "Signals before trading",
        "Confidence thresholds",
        "Signals on BTCUSDT",
        "What tft looks at",
        "Costs",
        "By symbol",
        "Trials",
        "Run details",
    ]


@pytest.mark.parametrize(
    ("emptied", "gone"),
    [
        ({"checks": ()}, "Model card"),
        ({"equity": (), "bands": ()}, "Over time"),
        ({"paths": ()}, "Combinatorial paths"),
        ({"trials": ()}, "Trials"),
        ({"candles": None}, "Signals on BTCUSDT"),
        ({"explanations": ()}, "What tft looks at"),
    ],
)
def test_a_section_without_data_is_left_out(emptied: dict[str, object], gone: str) -> None:
    """Exactly the section that has lost its data is missing."""
    whole = Page(render_report(full_report())).headings
    left = Page(render_report(replace(full_report(), **emptied))).headings
    assert [heading for heading in whole if heading not in left] == [gone]


@pytest.mark.parametrize(
    ("emptied", "gone"),
    [
        ({"folds": ()}, "Fold by fold"),
        ({"sensitivity": ()}, "Costs and delay"),
        ({"regimes": ()}, "Kinds of market"),
        ({"sharpe_test": None}, "Skill or luck"),
    ],
)
def test_a_section_without_figures_of_agents_is_left_out(emptied: dict[str, object], gone: str) -> None:
    """The same for what stands in the agents' own records."""
    data = full_report()
    agents = tuple(replace(item, **emptied) for item in data.judgement.agents)
    bare = replace(data.judgement, agents=agents, comparison=None)
    left = Page(render_report(replace(data, judgement=bare))).headings
    assert gone not in left
    assert "Trading" in left


def test_missing_parts_are_left_out() -> None:
    """Without curves, candles, probabilities or a TFT the page is shorter and still whole."""
    only = judgement(replace(agent("ppo"), signal=None, confidence=(), coin_flips=None))
    bare = ReportData(title="Bare", judgement=replace(only, symbols=("EURUSD",)))
    page = Page(render_report(bare))
    assert page.headings == ["What was found", "Data", "Trading", "Costs", "Run details"]


def test_no_learner_and_no_trades_still_make_a_page() -> None:
    """A run of baselines that never traded renders without a number that is not one."""
    idle = replace(
        hold(),
        trading=trading(0.0, trades=0),
        win_rate=Interval(estimate=float("nan"), low=float("nan"), high=float("nan")),
    )
    data = ReportData(title="Idle", judgement=replace(judgement(), agents=(idle,)))
    text = render_report(data)
    assert not re.search(r"\bnan\b|\binf\b", text, flags=re.IGNORECASE)
    assert "No trained agent was judged" in text


def test_an_agent_without_selection_is_explained_by_what_it_has() -> None:
    """Without variable selection the weights are missing; attention and losses are still drawn."""
    whole = explanation("bilstm")
    bare = replace(whole, importances=None, steps=None, joint=None, static_importances=None)
    lone = replace(bare, attention=None, attention_by_action=None, effective_bars=None, quantiles=None)
    counts = []
    for found in (whole, bare, lone):
        page = Page(render_report(ReportData(title="t", judgement=judgement(), explanations=(found,))))
        assert "What bilstm looks at" in page.headings
        counts.append(page.tags.count("figure"))
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) == 3


def test_an_action_never_taken_leaves_no_line() -> None:
    """An agent that says HOLD for ever has no attention of BUY and SELL to show."""
    whole = explanation()
    assert whole.attention_by_action is not None
    assert whole.quantiles_by_action is not None
    by_action, quantiles = whole.attention_by_action.copy(), whole.quantiles_by_action.copy()
    by_action[1:], quantiles[1:] = np.nan, np.nan
    idle = replace(
        whole, action_rows=(2_000, 0, 0), attention_by_action=by_action, quantiles_by_action=quantiles
    )
    text = render_report(ReportData(title="t", judgement=judgement(), explanations=(idle,)))
    assert "Attention by action" not in text
    assert not re.search(r"\bnan\b", text, flags=re.IGNORECASE)


def test_user_text_is_escaped() -> None:
    """Names and titles cannot become markup."""
    nasty = '<script>alert("x")</script>&"'
    data = full_report()
    evil = replace(
        data,
        title=nasty,
        subtitle=nasty,
        data_notes=(nasty,),
        splits=(SplitSummary(name=nasty, start_ms=0, end_ms=1, rows=1, shares=(1.0, 0.0, 0.0)),),
        judgement=replace(data.judgement, symbols=(nasty, "B")),
    )
    assert data.candles is not None
    worse = replace(
        evil,
        candles=replace(data.candles, symbol=nasty, agent=nasty),
        checks=tuple(replace(check, name=nasty, question=nasty, detail=nasty) for check in data.checks),
        trials=tuple(replace(trial, trial=nasty, agent=nasty) for trial in data.trials),
        paths=tuple(replace(item, agent=nasty) for item in data.paths),
    )
    text = render_report(worse)
    assert re.findall(r"<script[^>]*>", text) == ["<script>"]
    assert "&lt;script&gt;" in text
    Page(text)


def test_reports_are_written_whole_and_alike(tmp_path: Path) -> None:
    """Writing gives what rendering gives, twice the same, and leaves nothing else behind."""
    path = tmp_path / "report.html"
    data = full_report()
    write_report(path, data)
    assert path.read_text(encoding="utf-8") == render_report(data)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_both_drawings_of_every_figure_are_there() -> None:
    """Each figure comes in a wide and a narrow drawing, of which the style sheet shows one."""
    text = render_report(full_report())
    assert text.count('<svg class="wide"') == text.count('<svg class="narrow"') >= 8


@pytest.mark.parametrize("name", ["a" * 60, "имя", "x<y"])
def test_odd_agent_names_render(name: str) -> None:
    """Long, foreign or angled names neither break the page nor a style."""
    Page(render_report(ReportData(title="t", judgement=judgement(agent(name)))))
