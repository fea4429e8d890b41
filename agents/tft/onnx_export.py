"""A trained network as an ONNX file, for runtimes without torch: written only if it answers as the agent."""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from quantum_trader.agents.calibration import Calibration
from quantum_trader.agents.folder import software_version
from quantum_trader.agents.network import mean_importances
from quantum_trader.agents.network_agent import NetworkAgent
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.agents.tft.onnx_compare import (
    Latency,
    OnnxExportError,
    OnnxSession,
    differences,
    first_line,
    latency,
    random_batches,
    random_inputs,
    require_equal,
    worst,
)
from quantum_trader.envs.actions import Action
from quantum_trader.envs.config import to_plain
from quantum_trader.envs.context import CALENDAR_NAMES, STATIC_NAMES
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.envs.files import atomic_file

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""What the export needs beyond this software's own dependencies."""

INPUTS = ("windows", "context")
OUTPUTS = ("probabilities", "quantiles", "attention", "importances")
"""Shaped as in `Signals`; a network without importances has no such output."""

METADATA_KEY = "quantum_trader"
"""Name of the metadata entry that holds `onnx_metadata` as JSON."""

TOLERANCE = 1e-5

_TIMED_ROWS = (1, 100)


@dataclass(frozen=True, kw_only=True)
class OnnxReport:
    """What was written, and how it compares with the agent in float32."""

    path: Path
    size: int
    """Bytes of the file."""
    opset: int
    """Version of the ONNX operators that the graph uses."""
    random: dict[str, float]
    """Output -> largest absolute difference on random inputs; of quantiles in log return."""
    given: dict[str, float]
    """The same on the inputs given; empty if there were none."""
    latency: tuple[Latency, ...]
    """For batches of 1 and of 100; empty if not asked for."""


class AnswerGraph(nn.Module):
    """The network with what the agent does after it: temperature, unit of the returns, mean importances."""

    unit_center: Tensor
    unit_slope: Tensor
    unit_floor: Tensor

    def __init__(self, agent: NetworkAgent[Any]) -> None:
        super().__init__()
        config, scale = agent.model.config, agent.return_scale
        calibration = agent.calibration or Calibration()
        self.network = agent.model
        self.temperature, self.floor = calibration.temperature, _floor(calibration)
        self.atr = FEATURE_NAMES.index("atr_14")
        horizon = torch.tensor(scale.horizon, dtype=torch.float64)
        lowest = np.full((1, config.window, config.features), -1e30, dtype=np.float32)
        self.register_buffer("unit_center", (scale.center * horizon).float())
        self.register_buffer("unit_slope", (scale.scale * horizon).float())
        self.register_buffer("unit_floor", torch.from_numpy(scale.of(lowest)[0]))

    def forward(self, windows: Tensor, context: Tensor) -> tuple[Tensor, ...]:
        """Windows float32 [B, 60, 14] and context float32 [B, C] -> `OUTPUTS`."""
        found = self.network(windows, context)
        logs = _at_least(self.floor, torch.log_softmax(found.logits, dim=-1))
        ranges = windows[:, -1, self.atr].unsqueeze(-1)
        unit = _at_least(self.unit_floor, self.unit_center + self.unit_slope * ranges)
        answers = (
            torch.softmax(logs / self.temperature, dim=-1),
            found.quantiles * unit.unsqueeze(-1),
            found.attention,
        )
        if found.importances is None:
            return answers
        return (*answers, mean_importances(found.importances, self.network.config))


def export_onnx(
    agent: NetworkAgent[Any],
    path: Path,
    *,
    inputs: ModelInputs | None = None,
    tolerance: float = TOLERANCE,
    timed_calls: int = 20,
    seed: int = 0,
) -> OnnxReport:
    """Write `agent` as an ONNX file, whole or not at all, once onnxruntime has answered as the agent does.

    The graph takes `windows` float32 [B, 60, 14], scaled, and `context` float32 [B, C], for any B >= 1, and
    gives `OUTPUTS`. Temperature and unit of the returns are part of it. The scaler is not: it stands in the
    metadata with everything else that a user of the file needs (see `onnx_metadata`).

    Args:
        agent: a trained TFT or BiLSTM.
        path: the file; one that stands there is replaced.
        inputs: observations to compare on besides random ones.
        tolerance: largest accepted difference from the agent's float32 answer; of quantiles in proportion to
            the largest unit of the returns.
        timed_calls: calls per measurement of latency; 0 measures none.
        seed: of the random inputs.

    Raises:
        OnnxExportError: a package of `PACKAGES` is missing, torch cannot express the network in ONNX, or the
            graph answers otherwise than the agent; nothing is written.
        ConfigError: `inputs` have other shapes than the network.
    """
    _require_packages()
    example = random_inputs(agent, 3, seed)
    exact = _in_float32(agent)
    names = OUTPUTS if exact.signals(example).importances is not None else OUTPUTS[:-1]
    graph, opset = _exported(agent, example, names)
    session = OnnxSession(graph, agent.num_threads)

    def compared(batches: list[ModelInputs]) -> dict[str, float]:
        found = worst([differences(exact, session, batch) for batch in batches])
        units = [float(np.nanmax(agent.return_scale.of(batch.windows))) for batch in batches]
        require_equal(found, tolerance, max(units, default=0.0))
        return found

    random = compared(random_batches(agent, seed))
    given = compared([inputs] if inputs is not None else [])
    timed = [random_inputs(agent, rows, seed) for rows in _TIMED_ROWS if timed_calls]
    report = OnnxReport(
        path=path,
        size=len(graph),
        opset=opset,
        random=random,
        given=given,
        latency=tuple(latency(agent, session, batch, timed_calls) for batch in timed),
    )
    with atomic_file(path) as temporary:
        temporary.write_bytes(graph)
    return report


def onnx_metadata(agent: NetworkAgent[Any]) -> dict[str, Any]:
    """What the file says of itself, as plain JSON values.

    Raw features become `windows` by `clip((x - center) / scale, -clip, clip)` in the order of `features`, and
    NaN becomes 0. `context` names the columns of the other input. `hold_threshold` is the P(HOLD) from which
    on the agent's signal is HOLD. `temperature` has been applied by the graph.
    """
    config = agent.model.config
    ahead = [f"{name}_{horizon}" for horizon in config.horizons for name in CALENDAR_NAMES]
    return {
        "kind": agent.name,
        "model_hash": agent.model_hash,
        "feature_set": agent.provenance.feature_set,
        "exported_with": software_version(),
        "features": list(FEATURE_NAMES),
        "context": [*STATIC_NAMES, *ahead],
        "scaler": to_plain(agent.scaler),
        "actions": [action.name for action in sorted(Action)],
        "horizons": list(config.horizons),
        "quantiles": list(config.quantiles),
        "temperature": (agent.calibration or Calibration()).temperature,
        "hold_threshold": agent.hold_threshold,
    }


def _exported(agent: NetworkAgent[Any], example: ModelInputs, names: tuple[str, ...]) -> tuple[bytes, int]:
    """The file's bytes and its opset."""
    batch = torch.export.Dim("batch", min=1)
    try:
        # With gradients enabled no module takes a shortcut through values that it has kept.
        with _quiet(), torch.enable_grad(), _GatherAndSum():
            program = torch.onnx.export(
                AnswerGraph(agent).eval(),
                (torch.from_numpy(example.windows), torch.from_numpy(example.context)),
                input_names=INPUTS,
                output_names=names,
                dynamic_shapes={name: {0: batch} for name in INPUTS},
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        assert program is not None  # only without dynamo
        for node in program.model.graph:
            # Each tells where on this machine it was traced, which is three quarters of a small file.
            parts: tuple[Any, ...] = (node, *node.outputs)
            for part in parts:
                part.metadata_props.clear()
        program.model.metadata_props[METADATA_KEY] = json.dumps(onnx_metadata(agent), allow_nan=False)
        return program.model_proto.SerializeToString(), int(program.model.opset_imports[""])
    except Exception as error:
        raise OnnxExportError(
            f"torch {torch.__version__} cannot write this {agent.name} model as ONNX ({first_line(error)}): "
            "export it with the tested versions of constraints.txt."
        ) from error


class _GatherAndSum(TorchFunctionMode):
    """Sums of table rows as gathers and sums: ONNX has no `embedding_bag`, and its substitute is a loop."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        weights = kwargs.get("per_sample_weights")
        if func is functional.embedding_bag and kwargs["mode"] == "sum" and weights is not None:
            rows, table = args
            return (table[rows] * weights.unsqueeze(-1)).sum(dim=1)
        return func(*args, **kwargs)


def _require_packages() -> None:
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise OnnxExportError(
            f"The export to ONNX needs {', '.join(PACKAGES)}, found no {', '.join(missing)}: "
            f"pip install {' '.join(missing)}."
        )


def _in_float32(agent: NetworkAgent[Any]) -> NetworkAgent[Any]:
    return type(agent)(
        agent.model,
        scaler=agent.scaler,
        return_scale=agent.return_scale,
        calibration=agent.calibration,
        provenance=agent.provenance,
        precision="fp32",
        num_threads=agent.num_threads,
        model_hash=agent.model_hash,
    )


def _floor(calibration: Calibration) -> float:
    """The log probability that the calibration takes for a probability of 0."""
    certain = np.array([[0.0, 0.0, 1.0]], dtype=np.float32)
    return math.log(replace(calibration, temperature=1.0).apply(certain)[0, 0])


def _at_least(floor: Tensor | float, values: Tensor) -> Tensor:
    """`max(values, floor)` that leaves NaN as it is: runtimes differ in what their own maximum does to it."""
    return torch.where(values < floor, floor, values)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's advice to its own developers away from users."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
