"""A whole run through the command line, and what is left of it when parts are broken."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quantum_trader.agents import Arbiter, TFTAgent, load_arbiter
from quantum_trader.envs import Action, sample_bars
from quantum_trader.envs.errors import ModelFolderError
from quantum_trader.serve.cli import main

from ..conftest import QUICK
from .budget import unhurried, without_budget

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.xdist_group("finished_run")


@pytest.fixture
def copied_run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may damage."""
    return Path(shutil.copytree(finished_run, tmp_path / "demo"))


def last_decision(arbiter: Arbiter) -> object:
    """What an Arbiter says of the sample's last bar."""
    bars = sample_bars()
    unhurried(arbiter)
    arbiter.add_to_history("EURUSD", bars[-300:-1])
    return arbiter.decide("EURUSD", bars.bar(-1))


def test_a_run_writes_everything_it_promises(finished_run: Path) -> None:
    """Config, models, TensorBoard logs, metrics and a self-contained report; no pickle and no leftovers."""
    for name in ("config.json", "metrics.json", "report.html", "stages"):
        assert (finished_run / name).stat().st_size > 0
    for agent in ("tft", "ppo", "xgboost", "logistic", "arbiter"):
        assert (finished_run / "models" / agent / "config.json").is_file()
    files = [path.name for path in finished_run.rglob("*") if path.is_file()]
    assert any("tfevents" in name for name in files)
    assert not [name for name in files if name.endswith((".pkl", ".zip", ".part", ".pickle"))]
    page = (finished_run / "report.html").read_text(encoding="utf-8")
    assert page.count("<script") == 1
    assert "script-src 'sha256-" in page
    assert not re.search(r'(src|href)="http', page)
    assert len(page) < 2_000_000


def test_every_agent_and_baseline_is_judged(finished_run: Path) -> None:
    """The metrics name them all, with a win rate beside its break-even, and shares that sum to one."""
    metrics = json.loads((finished_run / "metrics.json").read_text(encoding="utf-8"))
    found = {agent["name"]: agent for agent in metrics["agents"]}
    learners = {"arbiter", "tft", "ppo", "xgboost", "logistic"}
    baselines = {"prior_class", "momentum_1", "ema_cross", "always_hold", "buy_and_hold"}
    assert set(found) == learners | baselines
    for agent in found.values():
        assert sum(agent["decision_shares"]) == pytest.approx(1.0)
        assert {"win_rate", "break_even_win_rate", "total_return"} <= set(agent["trading"])
    hold, buy, sell = found["arbiter"]["decision_shares"]
    assert min(hold, buy, sell) > 0.03, "the Arbiter must never be all one signal"


def test_the_same_command_keeps_what_is_finished(
    copied_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second start fits nothing; with another option it fits only what that changes."""
    words = ["run", "--name", "demo", "--out", str(copied_run.parent), *QUICK]
    before = (copied_run / "metrics.json").read_text(encoding="utf-8")
    assert main(words) == 0
    said = capsys.readouterr().out
    assert ": fitting" not in said
    assert (copied_run / "metrics.json").read_text(encoding="utf-8") == before
    assert main([*words, "--logistic.penalty", "0.02"]) == 0
    assert re.findall(r"(\w+): fitting", capsys.readouterr().out) == ["logistic"]


def test_evaluate_repeats_the_judgement(copied_run: Path, tmp_path: Path) -> None:
    """Judging the finished run again on its own test slice finds the same figures."""
    assert main(["evaluate", str(copied_run), "--output", str(tmp_path / "again")]) == 0
    again = (tmp_path / "again" / "metrics.json").read_text(encoding="utf-8")
    assert again == (copied_run / "metrics.json").read_text(encoding="utf-8")


def test_evaluate_judges_other_data(copied_run: Path, tmp_path: Path) -> None:
    """The run's agents trade a file they were not trained on, from a given date, with a gate of one's own."""
    data = tmp_path / "EURUSD.parquet"
    assert main(["data", "sample", str(data)]) == 0
    out = tmp_path / "other"
    words = ["--data", str(data), "--start", "2017-12-01", "--confidence-threshold", "0.65"]
    assert main(["evaluate", str(copied_run), *words, "--output", str(out)]) == 0
    found = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert found["start_ms"] >= 1_512_086_400_000
    arbiter = next(agent for agent in found["agents"] if agent["name"] == "arbiter")
    own = json.loads((copied_run / "metrics.json").read_text(encoding="utf-8"))
    assert arbiter["decision_shares"][0] > own["agents"][0]["decision_shares"][0]


def test_live_decisions_equal_the_backtest(finished_run: Path) -> None:
    """Bar by bar through the live history, the Arbiter says what it said on the whole table.

    The windows are equal to the bit; products of matrices in bfloat16 differ a little between one row and
    many, so a decision may differ only where it hung on a hair.
    """
    from quantum_trader.agents.signals import ModelInputs
    from quantum_trader.envs import Market, preset
    from quantum_trader.envs.windows import gather

    bars = sample_bars()[:420]
    live = unhurried(load_arbiter(finished_run))
    market = Market.build(bars, preset("fx-eurusd"), live.scaler)
    answers = [live.decide("EURUSD", bars.bar(index)) for index in range(len(bars))]
    rows = np.flatnonzero(market.usable)
    windows = gather(market.table, rows)
    table = load_arbiter(finished_run).decide_inputs(
        ModelInputs(windows=windows, context=market.context[rows])
    )
    assert len(rows) > 100
    gate, hair = live.settings.primary, 0.02
    for place, row in enumerate(rows):
        answer, confidence = answers[row], float(table.signals.directional_confidence[place])
        assert answer.confidence == pytest.approx(confidence, abs=hair)
        sure = abs(answer.hold_probability - gate.hold_threshold) > hair and confidence > 0.5 + hair
        assert answer.action == table.actions[place] or not sure


def test_the_user_story_of_a_new_symbol(finished_run: Path) -> None:
    """59 predictions HOLD for want of history; from the 60th on all that a signal carries is there."""
    agent = TFTAgent.load_model(finished_run / "models" / "tft")
    bars = sample_bars()
    answers = [agent.predict("NEWUSDT", bars.bar(index)) for index in range(61)]
    assert all(a.action is Action.HOLD and a.meta.reason == "insufficient history" for a in answers[:59])
    for answer in answers[59:]:
        assert 0.5 <= answer.confidence <= 1.0
        assert answer.meta.quantiles is not None
        assert (np.diff(answer.meta.quantiles, axis=1) >= 0).all()
        assert answer.meta.attention is not None
        assert answer.meta.attention.sum() == pytest.approx(1.0, abs=1e-4)
        assert answer.meta.probabilities is not None
        assert answer.meta.probabilities.sum() == pytest.approx(1.0, abs=1e-4)
    assert agent.add_to_history("OTHER", bars[:60]) == 60
    both = agent.batch_predict({"NEWUSDT": bars.bar(61), "OTHER": bars.bar(60)})
    assert all(signal.meta.reason != "insufficient history" for signal in both.values())


@pytest.mark.parametrize(
    ("damage", "source"),
    [
        ("nothing", "tft+ppo+xgboost"),
        ("no tft", "xgboost"),
        ("corrupt tft", "xgboost"),
        ("truncated config", "xgboost"),
        ("no ppo", "tft"),
        ("no arbiter", "tft"),
        ("no tft, no xgboost", "none"),
        ("nothing left", "none"),
    ],
)
def test_broken_models_end_in_the_fallback(copied_run: Path, damage: str, source: str) -> None:
    """Whatever is missing or damaged, the Arbiter answers, and says who decided and why."""
    models = copied_run / "models"
    if "no tft" in damage:
        shutil.rmtree(models / "tft")
    if "no xgboost" in damage:
        shutil.rmtree(models / "xgboost")
    if damage == "no ppo":
        shutil.rmtree(models / "ppo")
    if damage == "no arbiter":
        shutil.rmtree(models / "arbiter")
    if damage == "corrupt tft":
        weights = models / "tft" / "weights.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100] + bytes(100))
    if damage == "truncated config":
        config = models / "tft" / "config.json"
        config.write_text(config.read_text(encoding="utf-8")[:200], encoding="utf-8")
    if damage == "nothing left":
        shutil.rmtree(models)
    arbiter = load_arbiter(copied_run)
    decision = last_decision(arbiter)
    assert decision.source.startswith(source)  # type: ignore[attr-defined]
    assert decision.reason  # type: ignore[attr-defined]
    assert bool(arbiter.problems) == (damage != "nothing")
    if source == "none":
        assert decision.action is Action.HOLD  # type: ignore[attr-defined]


def test_strict_loading_refuses_damage(copied_run: Path) -> None:
    """Who asks for `strict` is told instead of being helped."""
    shutil.rmtree(copied_run / "models" / "xgboost")
    with pytest.raises(ModelFolderError, match="xgboost does not exist"):
        load_arbiter(copied_run, strict=True)


@pytest.mark.parametrize("agent", ["tft", "ppo", "xgboost", "logistic", "arbiter"])
def test_evaluating_a_damaged_run_is_one_sentence(
    copied_run: Path, agent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`evaluate` names the damaged folder, ends with code 2 and writes nothing."""
    (copied_run / "models" / agent / "config.json").write_text("{", encoding="utf-8")
    assert main(["evaluate", str(copied_run), "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("quantum-trader: ")
    assert f"{agent}/config.json is damaged" in error.splitlines()[-1]
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_a_damaged_model_is_fitted_again(copied_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run whose model folder was damaged since makes that model anew."""
    (copied_run / "models" / "logistic" / "config.json").write_text("{", encoding="utf-8")
    assert main(["run", "--name", "demo", "--out", str(copied_run.parent), *QUICK]) == 0
    assert re.findall(r"(\w+): fitting", capsys.readouterr().out) == ["logistic"]


def test_the_readme_program_runs_as_written(finished_run: Path, tmp_path: Path) -> None:
    """The first program of the README, word for word, in a fresh process."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    program = readme.split("```python\n")[1].split("```")[0]
    without_budget(finished_run, tmp_path / "runs" / "demo")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert re.fullmatch(r"equity \d+\.\d\d after \d trades, fees \d+\.\d\d", first)
    assert re.match(r"(BUY|SELL|HOLD) 0\.\d{3} tft\+ppo\+xgboost - ", second)
    assert first in readme, "the README shows the program's real output"
