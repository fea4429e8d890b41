"""The parts of this project's training step."""

from __future__ import annotations

from torch import nn

from quantum_trader.agents.tft import TFT
from quantum_trader.agents.tft.attention import InterpretableAttention
from quantum_trader.agents.tft.selection import VariableSelection
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.ema import WeightAverage
from quantum_trader.train.network_loss import NetworkLoss
from quantum_trader.train.network_optimiser import Optimiser
from quantum_trader.train.tally import Tally
from tft_peers.parts import Section

SECTIONS = (
    Section(part="data gather", owner=PooledDataset, method="batch"),
    Section(part="variable selection", owner=VariableSelection, method="forward"),
    Section(part="LSTM", owner=nn.LSTM, method="forward"),
    Section(part="attention", owner=InterpretableAttention, method="forward"),
    Section(part="rest of the network", owner=TFT, method="forward"),
    Section(part="loss, figures", owner=NetworkLoss, method="__call__"),
    Section(part="loss, figures", owner=Tally, method="add"),
    Section(part="clipping, AdamW, average", owner=Optimiser, method="clip"),
    Section(part="clipping, AdamW, average", owner=Optimiser, method="step"),
    Section(part="clipping, AdamW, average", owner=WeightAverage, method="update"),
)
