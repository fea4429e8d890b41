"""The ONNX file answers as the agent does, in onnxruntime and for any batch, or is not written."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quantum_trader.agents.bilstm.agent import BiLSTMAgent
from quantum_trader.agents.bilstm.config import bilstm_preset
from quantum_trader.agents.calibration import Calibration
from quantum_trader.agents.folder import Provenance
from quantum_trader.agents.network_agent import NetworkAgent
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.agents.tft import onnx_export
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.agents.tft.config import tft_preset
from quantum_trader.agents.tft.onnx_compare import OnnxExportError, differences, require_equal
from quantum_trader.agents.tft.onnx_export import (
    METADATA_KEY,
    OUTPUTS,
    PACKAGES,
    TOLERANCE,
    AnswerGraph,
    OnnxReport,
    export_onnx,
    onnx_metadata,
)
from quantum_trader.agents.tft.scaling import ReturnScale
from quantum_trader.envs.context import CONTEXT_SIZE
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.envs.scaler import REFERENCE_SCALER

# The exports take seconds and are made once for the module.
pytestmark = pytest.mark.xdist_group("onnx")

KINDS: dict[str, tuple[type[NetworkAgent[Any]], Any]] = {
    "tft": (TFTAgent, tft_preset("tiny")),
    "bilstm": (BiLSTMAgent, bilstm_preset("tiny")),
}


def agent_of(kind: str, temperature: float | None = 1.5, seed: int = 3) -> NetworkAgent[Any]:
    """A small network with seeded random weights, in float32 on one thread."""
    cls, config = KINDS[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = cls.build(config)
    return cls(
        model,
        scaler=REFERENCE_SCALER,
        return_scale=ReturnScale(center=0.004, scale=0.003, horizon=(0.5, 1.0, 1.5, 2.0)),
        calibration=Calibration(temperature=temperature, hold_threshold=0.4) if temperature else None,
        provenance=Provenance.now(data_sha256="0" * 64, seed=seed, metrics={}),
        precision="fp32",
        model_hash="ab" * 32,
    )


def inputs_of(rows: int) -> ModelInputs:
    """Random windows, the last with an ATR far below the scaler's centre."""
    rng = np.random.default_rng(rows)
    windows = rng.standard_normal((rows, 60, 14)).astype(np.float32)
    windows[-1, -1, FEATURE_NAMES.index("atr_14")] = -5.0
    return ModelInputs(windows=windows, context=rng.standard_normal((rows, CONTEXT_SIZE)).astype(np.float32))


def traced(agent: NetworkAgent[Any], inputs: ModelInputs) -> dict[str, Any]:
    """What the graph computes, still in torch."""
    with torch.inference_mode():
        answers = AnswerGraph(agent).eval()(
            torch.from_numpy(inputs.windows), torch.from_numpy(inputs.context)
        )
    return {name: answer.numpy() for name, answer in zip(OUTPUTS, answers, strict=False)}


@dataclass(frozen=True)
class Exported:
    """An agent and its file."""

    agent: NetworkAgent[Any]
    path: Path
    report: OnnxReport
    given: ModelInputs

    def session(self) -> Any:
        """onnxruntime with the file."""
        runtime = pytest.importorskip("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        return runtime.InferenceSession(self.path, options, providers=["CPUExecutionProvider"])

    def answer(self, inputs: ModelInputs) -> dict[str, Any]:
        """Outputs by name."""
        session = self.session()
        names = [output.name for output in session.get_outputs()]
        feed = {"windows": inputs.windows, "context": inputs.context}
        return dict(zip(names, session.run(names, feed), strict=True))


@pytest.fixture(scope="module", params=sorted(KINDS))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Each kind, exported once; skipped where the packages are missing."""
    for package in PACKAGES:
        pytest.importorskip(package)
    agent, given = agent_of(request.param), inputs_of(40)
    path = tmp_path_factory.mktemp(request.param) / "model.onnx"
    return Exported(agent, path, export_onnx(agent, path, inputs=given, timed_calls=2), given)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("temperature", [None, 0.5, 20.0])
def test_the_graph_does_what_the_agent_does_after_the_network(kind: str, temperature: float | None) -> None:
    """Temperature, unit of the returns and mean importances are the agent's, also where floors hold them."""
    agent, inputs = agent_of(kind, temperature), inputs_of(5)
    with torch.no_grad():
        # Odds of e^100 and more: what a temperature makes of them hangs on the smallest probability kept.
        agent.model.decide.linear.bias += torch.tensor([0.0, 100.0, -100.0])
    expected, found = agent.signals(inputs), traced(agent, inputs)
    assert ("importances" in found) == (expected.importances is not None)
    for name, values in found.items():
        np.testing.assert_allclose(values, getattr(expected, name), rtol=1e-4, atol=1e-6, err_msg=name)


def test_not_a_number_stays_visible_in_the_graph() -> None:
    """A NaN in one row makes all of that row's probabilities and quantiles NaN, and no other's."""
    inputs = inputs_of(4)
    inputs.windows[1, 30, 7] = np.nan
    found = traced(agent_of("tft"), inputs)
    for name in ("probabilities", "quantiles"):
        bad = np.isnan(found[name]).reshape(4, -1)
        assert bad[1].all()
        assert not np.delete(bad, 1, axis=0).any()


def test_metadata_is_enough_to_prepare_inputs_and_read_answers() -> None:
    """It survives JSON, its scaler turns raw features into windows, and its names fit the shapes."""
    agent = agent_of("tft")
    found = json.loads(json.dumps(onnx_metadata(agent), allow_nan=False))
    raw = np.random.default_rng(0).normal(0.0, 0.01, (60, 14)).astype(np.float32)
    raw[0, :] = np.nan
    center, scale = (np.float32(found["scaler"][name]) for name in ("center", "scale"))
    clip = found["scaler"]["clip"]
    scaled = np.nan_to_num(np.clip((raw - center) / scale, -clip, clip))
    np.testing.assert_array_equal(scaled, agent.scaler.transform(raw))
    assert found["features"] == list(FEATURE_NAMES)
    assert len(found["context"]) == CONTEXT_SIZE
    assert found["context"][6] == "hour_sin_1"
    assert found["context"][-1] == "weekday_cos_12"
    assert found["actions"] == ["HOLD", "BUY", "SELL"]
    assert (found["kind"], found["model_hash"]) == ("tft", "ab" * 32)
    assert (found["temperature"], found["hold_threshold"]) == (1.5, 0.4)


def test_a_missing_package_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names what is missing and how to install it, and nothing is written."""
    monkeypatch.setattr(onnx_export, "PACKAGES", ("torch", "no_such_package"))
    with pytest.raises(OnnxExportError, match=r"found no no_such_package: pip install no_such_package\.$"):
        export_onnx(agent_of("tft"), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


class Said:
    """Stands for a runtime with fixed answers."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def answer(self, inputs: ModelInputs) -> dict[str, Any]:
        """The same whatever the inputs."""
        return self.answers


def test_differences_are_the_largest_ones_and_a_masked_nan_is_infinite() -> None:
    """One number off counts; NaN on both sides is equal, NaN on one side or another shape never is."""
    agent, inputs = agent_of("tft"), inputs_of(3)
    inputs.windows[0, 5, 5] = np.nan
    right = agent.signals(inputs).probabilities
    off = right.copy()
    off[2, 1] += 0.25
    masked = np.nan_to_num(right, nan=1 / 3)
    for answer, expected in ((right, 0.0), (off, 0.25), (masked, np.inf), (right[1:], np.inf)):
        found = differences(agent, Said(probabilities=answer), inputs)  # type: ignore[arg-type]
        assert found["probabilities"] == pytest.approx(expected)


@pytest.mark.parametrize("difference", [2e-5, float("inf"), float("nan")])
def test_a_difference_beyond_the_tolerance_is_refused(difference: float) -> None:
    """Too large, infinite or NaN: the message names the output; quantiles are measured in their unit."""
    require_equal({"probabilities": 1e-5, "quantiles": 1e-7}, 1e-5, 0.01)
    with pytest.raises(OnnxExportError, match="probabilities differ"):
        require_equal({"probabilities": difference}, 1e-5, 0.01)
    with pytest.raises(OnnxExportError, match="quantiles differ"):
        require_equal({"quantiles": difference / 100}, 1e-5, 0.01)


def test_what_torch_cannot_export_is_one_sentence(tmp_path: Path) -> None:
    """A network that asks its numbers for their values is refused with the reason, and nothing is written."""
    for package in PACKAGES:
        pytest.importorskip(package)
    agent = agent_of("bilstm")
    forward = agent.model.encoder.forward

    def asking(windows: torch.Tensor, context: torch.Tensor) -> Any:
        return forward(windows if windows.sum() > 0 else -windows, context)

    agent.model.encoder.forward = asking
    with pytest.raises(OnnxExportError, match=r"cannot write this bilstm model as ONNX \(\w+: ") as caught:
        export_onnx(agent, tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_onnxruntime_agrees_with_the_agent(exported: Exported) -> None:
    """On random and on given inputs, as the report says and as a second look confirms, for any batch."""
    signals = exported.agent.signals(exported.given)
    names = [name for name in OUTPUTS if getattr(signals, name) is not None]
    for found in (exported.report.random, exported.report.given):
        assert list(found) == names
        assert max(found.values()) <= TOLERANCE
    for rows in (1, 2, 40, 70):
        inputs = inputs_of(rows)
        expected, answer = exported.agent.signals(inputs), exported.answer(inputs)
        assert list(answer) == names
        for name in names:
            assert answer[name].dtype == np.float32
            np.testing.assert_allclose(answer[name], getattr(expected, name), rtol=1e-4, atol=1e-6)


def test_onnxruntime_shows_not_a_number(exported: Exported) -> None:
    """NaN or infinity in one row makes that row's probabilities NaN and no other's."""
    for bad in (np.nan, np.inf):
        inputs = inputs_of(4)
        inputs.windows[2, 30, 7] = bad
        probabilities = exported.answer(inputs)["probabilities"]
        assert np.isnan(probabilities[2]).all()
        assert np.isfinite(np.delete(probabilities, 2, axis=0)).all()


def test_the_file_is_whole_and_says_what_it_is(exported: Exported) -> None:
    """One file without companions, with the metadata, named inputs and outputs, and no local path."""
    assert [path.name for path in exported.path.parent.iterdir()] == ["model.onnx"]
    data = exported.path.read_bytes()
    assert exported.report.size == len(data)
    assert str(Path(torch.__file__).parent).encode() not in data
    session = exported.session()
    said = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    assert said == onnx_metadata(exported.agent)
    shapes = {item.name: item.shape for item in (*session.get_inputs(), *session.get_outputs())}
    assert shapes["windows"] == ["batch", 60, 14]
    assert shapes["context"] == ["batch", CONTEXT_SIZE]
    assert shapes["probabilities"] == ["batch", 3]
    assert shapes["quantiles"] == ["batch", 4, 3]


def test_the_graph_has_no_loop(exported: Exported) -> None:
    """What ONNX has no operator for is not written as a loop over the rows, which took 30 times as long."""
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(exported.path).graph
    operators = {node.op_type for node in graph.node}
    assert "LSTM" in operators
    assert not operators & {"Loop", "Scan", "If"}


def test_the_report_has_both_latencies(exported: Exported) -> None:
    """For one window and for a hundred."""
    assert [found.rows for found in exported.report.latency] == [1, 100]
    assert min(min(found.agent_ms, found.onnx_ms) for found in exported.report.latency) > 0.0


def test_a_graph_of_another_model_is_not_written(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph that answers otherwise is refused, and the file that stood there stays as it was."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the former one")
    graph = (exported.path.read_bytes(), exported.report.opset)
    monkeypatch.setattr(onnx_export, "_exported", lambda *_: graph)
    with pytest.raises(OnnxExportError, match=r"probabilities differ from the agent's by \d"):
        export_onnx(agent_of(exported.agent.name, seed=4), path)
    assert path.read_bytes() == b"the former one"
    assert list(tmp_path.iterdir()) == [path]


def test_given_inputs_are_compared_too(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A difference on the given inputs alone is an error."""
    graph = (exported.path.read_bytes(), exported.report.opset)
    monkeypatch.setattr(onnx_export, "_exported", lambda *_: graph)
    inputs = inputs_of(3)
    seen: list[int] = []

    def counted(agent: Any, session: Any, batch: ModelInputs) -> dict[str, float]:
        seen.append(len(batch))
        return {"probabilities": 1.0 if batch is inputs else 0.0}

    monkeypatch.setattr(onnx_export, "differences", counted)
    with pytest.raises(OnnxExportError):
        export_onnx(exported.agent, tmp_path / "model.onnx", inputs=inputs, timed_calls=0)
    assert seen == [1, 2, 33, 100, 2, 3]
    assert list(tmp_path.iterdir()) == []


def test_wrong_shapes_are_named(exported: Exported, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Inputs of another shape than the network's are refused as the agent refuses them."""
    graph = (exported.path.read_bytes(), exported.report.opset)
    monkeypatch.setattr(onnx_export, "_exported", lambda *_: graph)
    inputs = inputs_of(2)
    with pytest.raises(ValueError, match=r"\[2, 59, 14\]"):
        export_onnx(
            exported.agent,
            tmp_path / "model.onnx",
            inputs=replace(inputs, windows=inputs.windows[:, 1:]),
            timed_calls=0,
        )
