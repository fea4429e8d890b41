"""`quantum-trader export`: a trained network as an ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from quantum_trader.agents.network_agent import NetworkAgent
    from quantum_trader.agents.signals import ModelInputs

_COMPARED_ROWS = 100


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a run's TFT as an ONNX file, compared with the original on random and on real windows.

    Needs the packages onnx, onnxscript and onnxruntime.
    """

    model: Annotated[Path, tyro.conf.Positional]
    """Folder of a run, e.g. runs/demo, or of one TFT or BiLSTM model, e.g. runs/demo/models/bilstm."""
    out: Path = Path("model.onnx")
    """The file to write."""

    def run(self) -> None:
        """Write it, and print how it compares."""
        agent = load_network(self.model)
        from quantum_trader.agents.tft.onnx_export import export_onnx
        from quantum_trader.serve.commands.output import say

        report = export_onnx(agent, self.out, inputs=_real_inputs(agent))
        say(f"{report.path}: {report.size / 1e6:.1f} MB, opset {report.opset}, model {agent.model_hash[:16]}")
        for label, found in (("random", report.random), ("EURUSD", report.given)):
            listed = ", ".join(f"{name} {value:.1e}" for name, value in found.items())
            say(f"largest differences on {label} windows: {listed}")
        for took in report.latency:
            rows = f"{took.rows} window{'s' if took.rows > 1 else ''}"
            say(f"{rows}: {took.agent_ms:.1f} ms here, {took.onnx_ms:.1f} ms in onnxruntime")


def load_network(folder: Path) -> NetworkAgent[Any]:
    """The TFT of a run's folder or of its folder of models, or the model whose own folder it is.

    Raises:
        ModelFolderError: there is none, or it is damaged, newer, or neither a TFT nor a BiLSTM.
    """
    from quantum_trader.agents.folder import load_model_folder
    from quantum_trader.agents.tft.agent import TFTAgent

    models = folder / "models" if (folder / "models").is_dir() else folder
    path = models / "tft" if models != folder or (models / "tft").is_dir() else folder
    if load_model_folder(path).kind == "bilstm":
        from quantum_trader.agents.bilstm.agent import BiLSTMAgent

        return BiLSTMAgent.load(path)
    return TFTAgent.load(path)


def _real_inputs(agent: NetworkAgent[Any]) -> ModelInputs:
    """Windows of the embedded sample, evenly spread over its year."""
    import numpy as np

    from quantum_trader.agents.signals import ModelInputs
    from quantum_trader.envs.market import sample_market
    from quantum_trader.envs.windows import gather

    market = sample_market().with_scaler(agent.scaler)
    usable = np.flatnonzero(market.usable)
    ends = usable[np.linspace(0, len(usable) - 1, _COMPARED_ROWS).astype(np.int64)]
    return ModelInputs(windows=gather(market.table, ends), context=market.context[ends])
