"""The model card and the calibration report in a model folder."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantum_trader.agents.calibration import Calibration
from quantum_trader.agents.confidence_curve import Suggestion
from quantum_trader.agents.folder import Provenance, load_model_folder, save_model_folder
from quantum_trader.agents.model_card import CARD, card_files, model_card
from quantum_trader.agents.tft.config import tft_preset
from quantum_trader.agents.validation_report import REPORT, read_report
from quantum_trader.envs.errors import ModelFolderError
from quantum_trader.envs.scaler import REFERENCE_SCALER

from .a_report import FOUND

METRICS = {
    "epochs": 9.0,
    "best_epoch": 4.0,
    "validation_log_loss": 1.1357,
    "validation_skill": 0.0175,
    "validation_direction_accuracy_1": 0.6789,
    "validation_share_sell": 0.2468,
    "validation_quantile_coverage": 0.8024,
    "validation_quantile_coverage_12": 0.7913,
}


def arguments(**changes: Any) -> dict[str, Any]:
    """What a card is made of."""
    made: dict[str, Any] = {
        "kind": "tft",
        "title": "Temporal Fusion Transformer",
        "config": tft_preset("tiny"),
        "parameters": 30_123,
        "provenance": Provenance.now(data_sha256="ab" * 32, seed=11, metrics=METRICS),
        "calibration": Calibration(temperature=1.6161, hold_threshold=0.4321),
        "report": FOUND,
    }
    return made | changes


def save(path: Path, files: dict[str, Callable[[Path], None]]) -> None:
    """A model folder with these files."""
    save_model_folder(
        path,
        kind="tft",
        config=tft_preset("tiny"),
        scaler=REFERENCE_SCALER,
        calibration=None,
        provenance=Provenance.now(data_sha256="0" * 64, seed=0, metrics={}),
        files=files,
    )


@pytest.mark.parametrize(
    "figure",
    [
        "30,123 parameters",
        "ab" * 32,
        "| seed | 11",
        "| epochs, best | 9, 4",
        "1.6161",
        "0.4321",
        "| training | 12,345 | 2 | 2019-01-02T03:00:00+00:00 |",
        "| validation | 4,321 | 1 |",
        "| 1.2345 | 0.1234 | 0.2345",
        "| 1.1357 | 0.0246 | 0.0357",
        "| 1.1468 | 0.0468 | –",
        "0.0123 on as many independent rows",
        "1.5151 is the temperature of the earlier half, 1.7171 that of the later one",
        "| ... most confident 1 % (30 rows) | 67.89%",
        "24.68%",
        "80.24%",
        "79.13%",
        "| 41.2% | 43.7% | 333",
        "| 0.50 | 100.0% | 3,000 | 51.2% | 49.0% to 53.5% |",
        "| 0.60 | 1.2% | 7 | – | – |",
        "Suggested threshold: none. Rule: no threshold meets the criterion.",
        "blocks of 48 bars",
        "within Q10-Q90 (should be 80%)",
    ],
)
def test_the_card_says_what_was_found(figure: str) -> None:
    """Every figure of the model, its rows and its calibration is on the card."""
    card = re.sub(" +", " ", model_card(**arguments()))
    assert figure in card


def test_a_suggested_threshold_is_on_the_card() -> None:
    """Threshold and rule are told."""
    found = replace(FOUND, suggestion=Suggestion(threshold=0.57, rule="the highest bound"))
    card = model_card(**arguments(report=found))
    assert "Suggested threshold: 0.57. Rule: the highest bound." in card


def test_use_and_limits_are_two_sentences() -> None:
    """What it is for, and what the figures do not show."""
    last = model_card(**arguments()).split("## Use and limits\n\n")[1]
    assert last.count(". ") + last.count(".\n") == 2
    assert "validation" in last
    assert "costs" in last


def test_a_card_without_a_report() -> None:
    """A network that was never calibrated has a card that says so, and no report beside it."""
    bare = Provenance.now(data_sha256="0" * 64, seed=0, metrics={})
    made = arguments(report=None, calibration=None, provenance=bare)
    card = model_card(**made)
    assert "not calibrated" in card
    assert "Nothing was measured." in card
    assert "Confidence thresholds" not in card
    assert set(card_files(**made)) == {CARD}


def test_report_and_card_lie_in_the_folder_under_its_hash(tmp_path: Path) -> None:
    """The report comes back as it was, the same model gives the same folder, and an edited card is found."""
    save(tmp_path / "model", card_files(**arguments()))
    folder = load_model_folder(tmp_path / "model")
    assert read_report(folder) == FOUND
    assert folder.file(CARD).read_text(encoding="utf-8") == model_card(**arguments())
    save(tmp_path / "again", card_files(**arguments()))
    assert load_model_folder(tmp_path / "again").sha256 == folder.sha256
    save(tmp_path / "other", card_files(**arguments(parameters=30_124)))
    assert load_model_folder(tmp_path / "other").sha256 != folder.sha256
    card = tmp_path / "model" / CARD
    card.write_text(card.read_text(encoding="utf-8").replace("51.2%", "91.2%"), encoding="utf-8")
    with pytest.raises(ModelFolderError, match=r"model_card\.md is damaged"):
        load_model_folder(tmp_path / "model")


def test_a_folder_without_a_report_has_none(tmp_path: Path) -> None:
    """A model saved without one loads as before."""
    save(tmp_path / "model", {})
    assert read_report(load_model_folder(tmp_path / "model")) is None


def test_a_foreign_report_is_refused(tmp_path: Path) -> None:
    """The report is read strictly."""
    save(tmp_path / "model", {REPORT: lambda target: target.write_text(json.dumps({"surprise": 1})) and None})
    with pytest.raises(ModelFolderError, match=r"calibration\.json: unknown key 'surprise'"):
        read_report(load_model_folder(tmp_path / "model"))
