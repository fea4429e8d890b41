"""`NetworkAgent`: a trained network in service, whatever its encoder is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from quantum_trader.agents.calibration import Calibration
from quantum_trader.agents.folder import Provenance, load_model_folder, save_model_folder
from quantum_trader.agents.live import LiveAgent
from quantum_trader.agents.model_card import card_files
from quantum_trader.agents.network import Network, mean_importances, parameter_count
from quantum_trader.agents.network_config import NetworkConfig
from quantum_trader.agents.row_blocks import LARGEST, LARGEST_SMALL, RowBlocks, Rows
from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.agents.tft.allocator import keep_freed_memory
from quantum_trader.agents.tft.precision import Precision, autocast, torch_threads, use_bf16
from quantum_trader.agents.tft.scaling import ReturnScale
from quantum_trader.agents.tft.weights import read_weights, write_weights
from quantum_trader.agents.validation_report import ValidationReport, read_report
from quantum_trader.envs.config import from_plain, to_plain
from quantum_trader.envs.errors import ConfigError, ModelFolderError
from quantum_trader.envs.scaler import FeatureScaler

Floats32 = NDArray[np.float32]
AnyNetwork = TypeVar("AnyNetwork", bound=Network)

WEIGHTS = "weights.safetensors"

_USUAL_THREADS = min(torch.get_num_threads(), 4)
"""Cores that a large batch takes unless told otherwise: what torch found, but few, since the passes share one
Python. Asked once, because a thread that begins during a pass finds torch set to one."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What one encoder pass gives for `B` observations; heads, PPO and the Arbiter go on from here.

    Attributes:
        embedding: float32 [B, D], the encoder's output for the decision.
        outputs: float32 [B, H, D], the encoder's output for each horizon.
        attention: float32 [B, 60], rows sum to 1.
        importances: float32 [B, 14], averaged over the bars looked at, rows sum to 1; None if there is none.
        unit: float32 [B, H], log return per unit of predicted quantile.
    """

    embedding: Floats32
    outputs: Floats32
    attention: Floats32
    importances: Floats32 | None
    unit: Floats32

    def __len__(self) -> int:
        return len(self.embedding)


class NetworkAgent(LiveAgent, Generic[AnyNetwork]):
    """A trained network. A subclass says which: `name`, `title`, `long_title`, `config_class`, `build`.

    Args:
        model: the network; it is put into evaluation mode.
        scaler: scaler of the features.
        return_scale: unit of the predicted quantiles.
        calibration: temperature of the probabilities, or None.
        provenance: where the model comes from.
        precision: "auto" runs in bfloat16 where the CPU has it natively.
        num_threads: cores that the passes of a large batch may take side by side; 0 takes as many as torch
            has threads, at most four. A pass stays on one: the products of one decision are too small to
            share. No answer depends on it.
        model_hash: of the folder it was loaded from; "" for one not saved yet.
        report: what calibration found on validation rows, or None.
    """

    title: ClassVar[str]
    """What messages call the network; `name` is the kind of its model folder."""
    long_title: ClassVar[str]
    """What the model card calls it."""
    config_class: ClassVar[type[NetworkConfig]]

    @classmethod
    def build(cls, config: Any) -> AnyNetwork:
        """A network of the shape `config`, a `config_class`, with fresh weights."""
        raise NotImplementedError

    def __init__(
        self,
        model: AnyNetwork,
        *,
        scaler: FeatureScaler,
        return_scale: ReturnScale,
        calibration: Calibration | None,
        provenance: Provenance,
        precision: Precision = "auto",
        num_threads: int = 0,
        model_hash: str = "",
        report: ValidationReport | None = None,
    ) -> None:
        self.model: AnyNetwork = model.eval()
        self.scaler = scaler
        self.return_scale = return_scale
        self.calibration = calibration
        self.provenance = provenance
        self.num_threads = num_threads or _USUAL_THREADS
        self.model_hash = model_hash
        self.report = report
        self._bf16 = use_bf16(precision)
        config, width = model.config, model.embedding_size
        self._encoder = RowBlocks(
            self._encode_block, (config.window, config.features), (config.context_size,)
        )
        self._heads = RowBlocks(
            self._answer_block, (width,), (len(config.horizons), width), largest=LARGEST_SMALL
        )

    @property
    def bf16(self) -> bool:
        """Whether the encoder runs in bfloat16."""
        return self._bf16

    @property
    def embedding_size(self) -> int:
        """Length D of an embedding."""
        return self.model.embedding_size

    def signals(self, inputs: ModelInputs) -> Signals:
        """Calibrated probabilities, quantiles of log returns, attention and importances of each row.

        A row whose numbers are NaN or infinite answers NaN: nothing is masked.
        """
        return self.answer(self.encode(inputs))

    def embed(self, inputs: ModelInputs) -> Floats32:
        """float32 [B, D]: the encoder's output for the decision."""
        return self.encode(inputs).embedding

    def encode(self, inputs: ModelInputs) -> Encoded:
        """One pass through the encoder; a row's bits are the same however many are asked about at once."""
        self._check(inputs)
        if len(inputs) > LARGEST:
            keep_freed_memory()
        rows = (torch.from_numpy(inputs.windows), torch.from_numpy(inputs.context))
        embedding, outputs, attention, *importances = self._encoder(rows, threads=self.num_threads)
        return Encoded(
            embedding=embedding.numpy(),
            outputs=outputs.numpy(),
            attention=attention.numpy(),
            importances=importances[0].numpy() if importances else None,
            unit=self.return_scale.of(inputs.windows),
        )

    def answer(self, encoded: Encoded) -> Signals:
        """The heads alone."""
        rows = (torch.from_numpy(encoded.embedding), torch.from_numpy(encoded.outputs))
        probabilities, quantiles = (each.numpy() for each in self._heads(rows))
        return Signals(
            probabilities=self.calibration.apply(probabilities) if self.calibration else probabilities,
            quantiles=quantiles * encoded.unit[:, :, None],
            attention=encoded.attention,
            importances=encoded.importances,
        )

    def _encode_block(self, windows: torch.Tensor, context: torch.Tensor) -> Rows:
        with torch.inference_mode(), torch_threads(1), autocast(self._bf16):
            found = self.model.encoder(windows, context)
            answers: Rows = (found.embedding, found.outputs, found.attention)
            if found.importances is not None:
                answers += (mean_importances(found.importances, self.model.config),)
            return tuple(each.float().contiguous() for each in answers)

    def _answer_block(self, embedding: torch.Tensor, outputs: torch.Tensor) -> Rows:
        with torch.inference_mode(), torch_threads(1):
            logits = self.model.decide(embedding)
            return torch.softmax(logits, dim=-1), self.model.quantiles(outputs)

    def get_ready(self, rows: int = 1) -> None:
        """Do now what would make the first calls about so many rows slower; `load` does it for one row."""
        self._encoder.get_ready(rows, threads=self.num_threads)
        self._heads.get_ready(rows)

    def save(self, path: Path) -> None:
        """Write the model folder with its card; `model_hash` is the folder's from then on."""
        card = card_files(
            kind=self.name,
            title=self.long_title,
            config=self.model.config,
            parameters=parameter_count(self.model),
            provenance=self.provenance,
            calibration=self.calibration,
            report=self.report,
        )
        save_model_folder(
            path,
            kind=self.name,
            config=self.model.config,
            scaler=self.scaler,
            calibration=self.calibration,
            provenance=self.provenance,
            files={WEIGHTS: lambda target: write_weights(self.model, target), **card},
            extra={"return_scale": to_plain(self.return_scale)},
        )
        self.model_hash = load_model_folder(path, kind=self.name).sha256

    @classmethod
    def load(cls, path: Path | str, *, precision: Precision = "auto", num_threads: int = 0) -> Self:
        """Load a model folder.

        Raises:
            ModelFolderError: the folder is missing, damaged, of another kind or newer, or its weights do not
                fit its config.
        """
        path = Path(path)
        folder = load_model_folder(path, kind=cls.name)
        try:
            config = from_plain(cls.config_class, folder.config, where=f"{path}: config")
            where = f"{path}: return_scale"
            return_scale = from_plain(ReturnScale, folder.extra.get("return_scale"), where=where)
        except ConfigError as error:
            raise ModelFolderError(f"{error} The folder is damaged or foreign: train it again.") from error
        agent = cls(
            read_weights(lambda: cls.build(config), folder.file(WEIGHTS)),
            scaler=folder.scaler,
            return_scale=return_scale,
            calibration=folder.calibration,
            provenance=folder.provenance,
            precision=precision,
            num_threads=num_threads,
            model_hash=folder.sha256,
            report=read_report(folder),
        )
        agent.get_ready()
        return agent

    load_model = load

    def _check(self, inputs: ModelInputs) -> None:
        config = self.model.config
        wanted = ((len(inputs), config.window, config.features), (len(inputs), config.context_size))
        found = (inputs.windows.shape, inputs.context.shape)
        if found != wanted:
            raise ConfigError(
                f"The {self.title} expects windows [B, {config.window}, {config.features}] and context "
                f"[B, {config.context_size}], found {list(found[0])} and {list(found[1])}."
            )
