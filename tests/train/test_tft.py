"""Fitting the TFT: one seed one result, resumed exactly, stopped with a reason."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from quantum_trader.agents.network import NetworkOutput
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.agents.tft.config import tft_preset
from quantum_trader.agents.tft.model import TFT
from quantum_trader.envs.errors import TrainingError
from quantum_trader.envs.files import file_sha256
from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import preset
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars
from quantum_trader.train.checkpoint import read_checkpoint, write_checkpoint
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.interrupt import HeldInterrupt
from quantum_trader.train.memory import explained_memory_errors
from quantum_trader.train.network import undo_class_weights
from quantum_trader.train.network_config import NetworkTrainConfig
from quantum_trader.train.network_figures import EpochReport
from quantum_trader.train.network_loss import NetworkLoss, Targets, pinball_loss
from quantum_trader.train.network_trainer import epoch_rows
from quantum_trader.train.prepared import Prepared, prepare
from quantum_trader.train.tft import fit_tft

from .shared_fit import Hooked, press_ctrl_c

MODEL = replace(tft_preset("tiny"), dropout=0.1)
TRAINING = NetworkTrainConfig(
    epochs=3,
    batch_size=32,
    max_samples=320,
    max_validation_samples=100,
    precision="fp32",
    num_threads=1,
    checkpoint_every=4,
    seed=5,
)
WEIGHTS = "weights.safetensors"


@pytest.fixture(scope="module")
def data() -> Prepared:
    """Purged datasets of one synthetic market."""
    bars = synthetic_bars(SyntheticConfig(bars=2_000))
    return prepare([Market.build(bars, preset("binance-btc"))], DataConfig())


def _fit(
    data: Prepared,
    folder: Path,
    training: NetworkTrainConfig = TRAINING,
    train: PooledDataset | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> TFTAgent:
    return fit_tft(
        train if train is not None else data.train,
        data.validation,
        model=MODEL,
        training=training,
        folder=folder / "models" / "tft",
        work=folder,
        scaler=data.scaler,
        data_sha256=data.data_sha256,
        on_epoch=on_epoch,
    )


@pytest.fixture(scope="module")
def fitted(data: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an uninterrupted training."""
    folder = tmp_path_factory.mktemp("whole")
    _fit(data, folder)
    return folder


def _crash() -> None:
    raise OSError("the machine went away")


def test_one_seed_one_result(data: Prepared, fitted: Path, tmp_path: Path) -> None:
    """The same seed gives the same weights to the bit, whatever torch drew before; another seed does not."""
    torch.manual_seed(999)
    state = torch.get_rng_state()
    _fit(data, tmp_path / "again")
    assert torch.equal(torch.get_rng_state(), state)
    _fit(data, tmp_path / "other", replace(TRAINING, seed=6))
    first = file_sha256(fitted / "models" / "tft" / WEIGHTS)
    assert file_sha256(tmp_path / "again" / "models" / "tft" / WEIGHTS) == first
    assert file_sha256(tmp_path / "other" / "models" / "tft" / WEIGHTS) != first


@pytest.mark.parametrize(
    ("at", "error"),
    [(17, "interrupt"), pytest.param(20, "interrupt", marks=pytest.mark.slow), (19, "crash")],
)
def test_resumed_training_ends_at_the_same_numbers(
    data: Prepared, fitted: Path, tmp_path: Path, at: int, error: str
) -> None:
    """Cut off in mid-epoch by Ctrl-C or a crash, training goes on to the very same weights."""
    action, expected = (press_ctrl_c, KeyboardInterrupt) if error == "interrupt" else (_crash, OSError)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(expected):
        _fit(data, tmp_path, train=Hooked(data.train, at, action))  # type: ignore[arg-type]
    assert signal.getsignal(signal.SIGINT) is handler
    assert not (tmp_path / "models").exists()
    _fit(data, tmp_path)
    assert (tmp_path / "models" / "tft" / WEIGHTS).read_bytes() == (
        fitted / "models" / "tft" / WEIGHTS
    ).read_bytes()


def test_ctrl_c_during_validation_is_resumed(data: Prepared, fitted: Path, tmp_path: Path) -> None:
    """Ctrl-C that comes with an epoch's last batch stops after a checkpoint, and nothing is lost."""
    hooked = Hooked(data.validation, 2, press_ctrl_c)
    interrupted = replace(data, validation=hooked)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        _fit(interrupted, tmp_path)
    _fit(data, tmp_path)
    weights = Path("models") / "tft" / WEIGHTS
    assert file_sha256(tmp_path / weights) == file_sha256(fitted / weights)


def test_folder_holds_what_was_measured(data: Prepared, fitted: Path) -> None:
    """The model folder loads, is calibrated on validation, and its figures are in its provenance."""
    agent = TFTAgent.load(fitted / "models" / "tft")
    assert agent.calibration is not None
    metrics = agent.provenance.metrics
    assert metrics["epochs"] == 3.0
    assert 0.2 < metrics["validation_accuracy"] < 0.9
    assert 0.2 < metrics["validation_quantile_coverage"] < 1.0
    assert metrics["validation_log_loss"] < 1.5
    signals = agent.signals(data.validation.inputs(np.arange(10)))
    assert np.isfinite(signals.probabilities).all()
    assert list((fitted / "tensorboard" / "tft").glob("events.*"))


def test_checkpoint_of_another_config_is_refused(data: Prepared, fitted: Path) -> None:
    """A checkpoint of other settings is refused with a remedy; finished training is not done again."""
    with pytest.raises(TrainingError, match="another configuration or other data: delete it"):
        _fit(data, fitted, replace(TRAINING, learning_rate=5e-4))
    reports: list[EpochReport] = []
    _fit(data, fitted, on_epoch=reports.append)
    assert reports == []


def test_infinite_data_stops_training(data: Prepared, tmp_path: Path) -> None:
    """A loss that is not finite stops training and names epoch and batch."""
    broken = data.train.subset(np.arange(320))
    broken.returns[:] = 1e38
    broken.weight[:] = np.inf
    with pytest.raises(TrainingError, match="epoch 1, batch 1"):
        _fit(data, tmp_path, train=broken)


def test_accumulated_batches_equal_one_large_batch(data: Prepared, tmp_path: Path) -> None:
    """Two accumulated batches of 16 move the weights as one of 32 does, up to rounding."""
    model = replace(TRAINING, epochs=1, max_samples=32, ema_decay=0.0, scheduler="onecycle")
    rows = data.train.subset(np.arange(32))
    rows.weight[:] = 1.0
    plain = replace(MODEL, dropout=0.0)
    weights = []
    for name, batch, accumulate in (("one", 32, 1), ("two", 16, 2)):
        agent = fit_tft(
            rows,
            data.validation,
            model=plain,
            training=replace(model, batch_size=batch, accumulate=accumulate, quantile_weight=0.0),
            folder=tmp_path / name,
            work=tmp_path / f"{name}-work",
            scaler=data.scaler,
            data_sha256=data.data_sha256,
        )
        weights.append(agent.model.decide.linear.weight.detach())
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-6)


def test_epochs_visit_every_row_once() -> None:
    """An epoch's order is a permutation, the same for the same seed and epoch, another for the next epoch."""
    first = epoch_rows(50, seed=1, epoch=0)
    np.testing.assert_array_equal(np.sort(first), np.arange(50))
    np.testing.assert_array_equal(first, epoch_rows(50, seed=1, epoch=0))
    assert not np.array_equal(first, epoch_rows(50, seed=1, epoch=1))


def test_pinball_by_hand() -> None:
    """0.1 x 2 below and 0.9 x 1 above; unknown returns and rows of weight 0 do not count."""
    predicted = torch.tensor([[[0.0]], [[3.0]], [[9.0]]])
    returns = torch.tensor([[2.0], [2.0], [float("nan")]])
    # row 0: error +2 -> 0.1 * 2 = 0.2; row 1: error -1 -> 0.9 * 1 = 0.9
    both = pinball_loss(predicted, returns, torch.ones(3), torch.tensor([0.1]))
    assert float(both) == pytest.approx((0.2 + 0.9) / 2)
    first = pinball_loss(predicted, returns, torch.tensor([1.0, 0.0, 1.0]), torch.tensor([0.1]))
    assert float(first) == pytest.approx(0.2)


def test_class_weights_are_undone() -> None:
    """Weighted training learns w_c p_c / sum; the final network answers p_c."""
    weights = np.array([0.5, 2.0, 4.0])
    network = TFT(MODEL).eval()
    windows, context = torch.randn(4, 60, 14), torch.randn(4, MODEL.context_size)
    with torch.no_grad():
        before = torch.softmax(network(windows, context).logits, -1)
        undo_class_weights(network, weights)
        after = torch.softmax(network(windows, context).logits, -1)
    expected = before / torch.from_numpy(weights).float()
    torch.testing.assert_close(after, expected / expected.sum(-1, keepdim=True))


def test_loss_weighs_rows_and_classes() -> None:
    """The cross entropy is the mean over rows weighted by sample weight x class weight."""
    logits = torch.randn(3, 3)
    output = NetworkOutput(logits, torch.zeros(3, 1, 3), *(torch.zeros(3, 1) for _ in range(4)))
    targets = Targets(torch.tensor([0, 1, 2]), torch.zeros(3, 1), torch.tensor([1.0, 2.0, 3.0]))
    loss = NetworkLoss(
        quantiles=(0.1, 0.5, 0.9), class_weights=(1.0, 2.0, 0.0), quantile_weight=0.5, label_smoothing=0.0
    )
    each = -torch.log_softmax(logits, -1)[torch.arange(3), targets.action]
    assert float(loss(output, targets).cross_entropy) == pytest.approx(float((each[0] + 4 * each[1]) / 5))


def test_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    """A cut-off checkpoint, or one that holds objects, is a `TrainingError`; none at all is a fresh start."""
    path = tmp_path / "tft.pt"
    assert read_checkpoint(path, config_sha256="a") is None
    write_checkpoint(path, {"epoch": 3}, config_sha256="a")
    assert read_checkpoint(path, config_sha256="a") == {"epoch": 3}
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(TrainingError, match="damaged"):
        read_checkpoint(path, config_sha256="a")
    torch.save({"config_sha256": "a", "state": Path("object")}, path)
    with pytest.raises(TrainingError, match="damaged"):
        read_checkpoint(path, config_sha256="a")


def test_memory_that_ran_out_names_the_remedy() -> None:
    """Both kinds of out-of-memory error carry the remedy; any other error passes through."""
    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")):
        with (
            pytest.raises(TrainingError, match="lower batch_size"),
            explained_memory_errors("lower batch_size"),
        ):
            raise error
    with pytest.raises(RuntimeError, match="shape"), explained_memory_errors("lower batch_size"):
        raise RuntimeError("shape mismatch")


@pytest.fixture
def _handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.usefixtures("_handler")
def test_held_interrupt() -> None:
    """The first Ctrl-C is noted and raised at the end, the second at once; other threads are left alone."""
    interrupts = []

    def press(times: int) -> None:
        with HeldInterrupt() as interrupt:
            for _ in range(times):
                press_ctrl_c()
                interrupts.append(interrupt.requested)

    with pytest.raises(KeyboardInterrupt):
        press(1)
    with pytest.raises(KeyboardInterrupt):
        press(3)
    assert interrupts == [True, True]
    failures: list[BaseException] = []

    def elsewhere() -> None:
        try:
            with HeldInterrupt():
                pass
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert failures == []
