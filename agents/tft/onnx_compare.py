"""An exported graph beside the agent it was made from: how far the answers differ, how long they take."""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.network_agent import NetworkAgent
from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.envs.errors import QuantumTraderError

Floats32 = NDArray[np.float32]
Answer = dict[str, Floats32]
"""Output -> values, shaped as in `Signals`."""

_BATCHES = (1, 2, 33, 100)


class OnnxExportError(QuantumTraderError, RuntimeError):
    """A network that could not be exported, or whose exported graph answers otherwise than the agent."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Medians of one call, in milliseconds."""

    rows: int
    """Observations in the call."""
    agent_ms: float
    """`agent.signals`, in the precision and on the threads that the agent serves with."""
    onnx_ms: float
    """onnxruntime on as many threads, always in float32."""


class OnnxSession:
    """onnxruntime on the CPU with a graph as it would be written.

    Args:
        graph: the file's bytes.
        threads: of a call; 0 takes onnxruntime's own choice.
    """

    def __init__(self, graph: bytes, threads: int) -> None:
        runtime = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]

    def answer(self, inputs: ModelInputs) -> Answer:
        """The graph's outputs for a batch."""
        feed = {"windows": inputs.windows, "context": inputs.context}
        return dict(zip(self._names, self._session.run(self._names, feed), strict=True))


def differences(agent: NetworkAgent[Any], session: OnnxSession, inputs: ModelInputs) -> dict[str, float]:
    """Largest absolute difference of each output from `agent`'s; of quantiles in log return.

    Infinite where the shapes differ or only one of the two is NaN.

    Raises:
        OnnxExportError: onnxruntime refuses the batch.
    """
    expected = agent.signals(inputs)
    try:
        answer = session.answer(inputs)
    except Exception as error:
        raise OnnxExportError(
            f"onnxruntime cannot run the exported graph on {len(inputs)} rows ({first_line(error)}); nothing "
            "was written: export it with the tested versions of constraints.txt."
        ) from error
    return {name: _largest(values, getattr(expected, name)) for name, values in answer.items()}


def require_equal(found: dict[str, float], tolerance: float, unit: float) -> None:
    """Refuse differences beyond `tolerance`, in quantiles beyond `tolerance` times `unit`.

    Raises:
        OnnxExportError: an output differs by more; the message names it.
    """
    for name, difference in found.items():
        allowed = tolerance * unit if name == "quantiles" else tolerance
        if not difference <= allowed:
            raise OnnxExportError(
                f"The exported graph's {name} differ from the agent's by {difference:.1e}, allowed are "
                f"{allowed:.1e}; nothing was written: export it with the tested versions of constraints.txt."
            )


def worst(found: list[dict[str, float]]) -> dict[str, float]:
    """The largest difference of each output over several batches."""
    return {name: max(each[name] for each in found) for name in (found or [{}])[0]}


def random_batches(agent: NetworkAgent[Any], seed: int) -> list[ModelInputs]:
    """Batches of several sizes; the first row of the last holds a NaN, and a runtime must not mask it."""
    batches = [random_inputs(agent, rows, seed) for rows in _BATCHES]
    spoilt = batches[1].windows.copy()
    spoilt[0, len(spoilt[0]) // 2, 0] = np.nan
    return [*batches, replace(batches[1], windows=spoilt)]


def random_inputs(agent: NetworkAgent[Any], rows: int, seed: int) -> ModelInputs:
    """Standard normal numbers; of more than two rows the last two stand at the scaler's bounds throughout."""
    config, clip = agent.model.config, agent.scaler.clip
    rng = np.random.default_rng([seed, rows])
    windows = rng.standard_normal((rows, config.window, config.features)).clip(-clip, clip)
    if rows > 2:
        windows[-2], windows[-1] = -clip, clip
    context = rng.standard_normal((rows, config.context_size))
    return ModelInputs(windows=windows.astype(np.float32), context=context.astype(np.float32))


def latency(agent: NetworkAgent[Any], session: OnnxSession, inputs: ModelInputs, calls: int) -> Latency:
    """Median of `calls` calls of each, after one that does not count."""
    agent.get_ready(len(inputs))

    def median(call: Callable[[], Answer | Signals]) -> float:
        call()
        seconds = []
        for _ in range(calls):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        return 1e3 * float(np.median(seconds))

    return Latency(
        rows=len(inputs),
        agent_ms=median(lambda: agent.signals(inputs)),
        onnx_ms=median(lambda: session.answer(inputs)),
    )


def first_line(error: Exception) -> str:
    """What an exporter or runtime complains of at bottom, without its pages of advice."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0].rstrip('.:')}"


def _largest(values: Floats32, expected: Floats32) -> float:
    if values.shape != expected.shape or (np.isnan(values) != np.isnan(expected)).any():
        return math.inf
    return float(np.nanmax(np.abs(values.astype(np.float64) - expected)))
