"""The TensorBoard log, read back from its event files."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from quantum_trader.agents.network import NetworkOutput
from quantum_trader.agents.tft.config import tft_preset
from quantum_trader.agents.validation_report import Reliability
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.train.network_config import NetworkTrainConfig
from quantum_trader.train.network_figures import EpochReport, Explained, Figures, Seen
from quantum_trader.train.network_images import calibration_image, importance_image, reliability_image
from quantum_trader.train.network_log import NetworkLog
from quantum_trader.train.network_loss import Targets

from ..agents.a_report import FOUND

ROWS = 300


def report(epoch: int) -> EpochReport:
    """An epoch whose loss is its number."""
    figures = Figures(
        loss=float(epoch), cross_entropy=0.9, pinball=0.2, accuracy=0.4, shares=(0.5, 0.25, 0.25)
    )
    return EpochReport(
        epoch=epoch,
        train=figures,
        validation=figures,
        learning_rate=1e-3,
        samples_per_second=10.0,
        best=True,
    )


def explained() -> Explained:
    """Everything that a TFT explains."""
    rng = np.random.default_rng(0)
    return Explained(
        attention=np.full(60, 1 / 60, dtype=np.float32),
        importances=rng.dirichlet(np.ones(14), ROWS).astype(np.float32),
        importances_by_bar=rng.dirichlet(np.ones(14), 60).astype(np.float32),
        probabilities=rng.dirichlet(np.ones(3), ROWS).astype(np.float32),
        labels=rng.integers(0, 3, ROWS),
    )


def events(folder: Path) -> EventAccumulator:
    """All events that are in view."""
    found = EventAccumulator(str(folder), size_guidance={"histograms": 0, "images": 0, "scalars": 0})
    found.Reload()
    return found


def batch(rows: int, seed: int, *, importances: bool = True) -> tuple[NetworkOutput, Targets]:
    """One batch of answers."""
    made = torch.Generator().manual_seed(seed)
    output = NetworkOutput(
        logits=torch.randn(rows, 3, generator=made),
        quantiles=torch.zeros(rows, 4, 3),
        attention=torch.softmax(torch.randn(rows, 60, generator=made), -1),
        importances=torch.softmax(torch.randn(rows, 60, 14, generator=made), -1) if importances else None,
        static_importances=None,
        embedding=torch.zeros(rows, 8),
    )
    labels = torch.randint(0, 3, (rows,), generator=made)
    return output, Targets(labels, torch.zeros(rows, 4), torch.ones(rows))


def test_an_epoch_leaves_scalars_histograms_and_pictures(tmp_path: Path) -> None:
    """Losses, attention, importances and confidence are there, and the pictures can be decoded."""
    with NetworkLog(tmp_path) as log:
        log.batch(3, {"loss": 1.5})
        log.epoch(4, report(1), explained())
    found = events(tmp_path)
    assert [(event.step, event.value) for event in found.Scalars("train/loss")] == [(3, 1.5)]
    assert found.Scalars("validation/share_hold")[0].value == 0.5
    histograms = {"attention/bars_back", "confidence/most_probable", "confidence/directional"}
    assert set(found.Tags()["histograms"]) == histograms | {f"importance/{name}" for name in FEATURE_NAMES}
    stated = found.Histograms("confidence/directional")[0].histogram_value
    assert stated.num == ROWS
    assert stated.min >= 0.5
    assert set(found.Tags()["images"]) == {"validation/reliability", "importance/by_bar"}
    picture = found.Images("validation/reliability")[0]
    decoded = np.asarray(Image.open(io.BytesIO(picture.encoded_image_string)))
    assert picture.step == 4
    assert decoded.shape == (picture.height, picture.width, 3)
    assert decoded.std() > 10


@pytest.mark.parametrize(
    ("known", "tags"),
    [
        (Explained(), set()),
        (Explained(attention=np.full(60, 1 / 60, dtype=np.float32)), {"attention/bars_back"}),
    ],
)
def test_what_a_network_lacks_is_left_out(tmp_path: Path, known: Explained, tags: set[str]) -> None:
    """A network without variable selection, or without attention, is logged with what it has."""
    with NetworkLog(tmp_path) as log:
        log.epoch(4, report(1), known)
    found = events(tmp_path)
    assert set(found.Tags()["histograms"]) == tags
    assert found.Tags()["images"] == []
    assert found.Scalars("epoch/loss")[0].value == 1.0


def test_seen_gathers_batches() -> None:
    """Rows of all batches in their order, means of what is large; parts a network lacks stay None."""
    first, second = batch(5, 0), batch(3, 1)
    seen = Seen()
    for output, targets in (first, second):
        seen.add(output, targets)
    found = seen.explained()
    logits = torch.cat([first[0].logits, second[0].logits])
    np.testing.assert_allclose(found.probabilities, torch.softmax(logits, -1).numpy(), rtol=1e-6)
    np.testing.assert_array_equal(found.labels, torch.cat([first[1].action, second[1].action]).numpy())
    weights = torch.cat([part[0].importances for part in (first, second) if part[0].importances is not None])
    np.testing.assert_allclose(found.importances, weights.mean(dim=1).numpy(), rtol=1e-5)
    np.testing.assert_allclose(found.importances_by_bar, weights.mean(dim=0).numpy(), rtol=1e-5)
    attention = torch.cat([first[0].attention, second[0].attention]).mean(dim=0)
    np.testing.assert_allclose(found.attention, attention.numpy(), rtol=1e-5)
    without = Seen()
    without.add(*batch(4, 2, importances=False))
    assert without.explained().importances is None
    assert without.explained().importances_by_bar is None
    assert without.explained().probabilities is not None
    assert Seen().explained() == Explained()


def test_the_outcome_is_in_the_run_itself(tmp_path: Path) -> None:
    """Hyper-parameters and final figures are in the run that has the curves, not in one of their own."""
    with NetworkLog(tmp_path) as log:
        log.epoch(4, report(1), Explained())
        log.outcome(
            4,
            model=tft_preset("tiny"),
            training=NetworkTrainConfig(learning_rate=0.002),
            metrics={"validation_log_loss": 1.06, "validation_skill": 0.01, "epochs": 3.0},
            report=FOUND,
        )
    assert not [item for item in tmp_path.iterdir() if item.is_dir()]
    found = events(tmp_path)
    assert found.Scalars("final/validation_log_loss")[0].value == pytest.approx(1.06)
    assert found.Scalars("final/epochs")[0].value == 3.0
    assert found.Tags()["images"] == ["final/calibration"]
    data = found.SummaryMetadata("_hparams_/session_start_info").plugin_data
    settings = HParamsPluginData.FromString(data.content).session_start_info.hparams
    assert settings["training.learning_rate"].number_value == 0.002
    assert settings["training.scheduler"].string_value == "plateau"
    assert settings["model.hidden"].number_value == 16
    assert settings["model.horizons"].string_value == "[1, 3, 6, 12]"
    data = found.SummaryMetadata("_hparams_/experiment").plugin_data
    compared = HParamsPluginData.FromString(data.content).experiment.metric_infos
    tags = [info.name.tag for info in compared]
    assert tags == ["final/validation_log_loss", "final/validation_skill"]
    assert set(tags) <= set(found.Tags()["scalars"])


def test_resuming_drops_only_what_is_done_again(tmp_path: Path) -> None:
    """The epoch that ended where training goes on stays in view; what came after it does not."""
    with NetworkLog(tmp_path) as log:
        log.epoch(10, report(1), Explained())
        log.batch(15, {"loss": 9.0})
    with NetworkLog(tmp_path, first_step=10) as log:
        log.batch(12, {"loss": 2.0})
        log.epoch(20, report(2), Explained())
    found = events(tmp_path)
    assert [event.step for event in found.Scalars("epoch/loss")] == [10, 20]
    assert [(event.step, event.value) for event in found.Scalars("train/loss")] == [(12, 2.0)]


def test_pictures_of_little() -> None:
    """One row, a constant forecast and labels that are all HOLD are drawn; the bins of nothing are not."""
    one = np.array([[1.0, 0.0, 0.0]], dtype=np.float32)
    assert reliability_image(one, np.array([0])).dtype == np.uint8
    constant = np.full((50, 3), 1 / 3, dtype=np.float32)
    assert reliability_image(constant, np.arange(50) % 3).shape[2] == 3
    nothing = Reliability(top=(), direction=())
    assert calibration_image(nothing, nothing).shape[2] == 3
    assert importance_image(np.ones((2, 3), dtype=np.float32), ["a", "b", "c"]).shape[2] == 3


def test_drawing_touches_no_global_state() -> None:
    """A process that draws never imports pyplot, which would pick a backend for all of it."""
    program = (
        "import sys, numpy as np\n"
        "from quantum_trader.train.network_images import reliability_image\n"
        "reliability_image(np.full((9, 3), 1 / 3), np.arange(9) % 3)\n"
        "print('matplotlib.pyplot' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
