"""`BiLSTM`: a bidirectional LSTM over the window, read by one attention query for each horizon."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from quantum_trader.agents.bilstm.config import BiLSTMConfig
from quantum_trader.agents.network import EncoderOutput, Network, all_bars, newest_bars
from quantum_trader.agents.tft.attention import InterpretableAttention
from quantum_trader.agents.tft.blocks import GatedAddNorm, SequenceDropout
from quantum_trader.agents.tft.init import init_linear, init_lstm


class BiLSTMLayer(nn.Module):
    """LayerNorm(x + BiLSTM(dropout(x))): one layer that can be skipped, both directions side by side."""

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.dropout = SequenceDropout(dropout)
        self.lstm = nn.LSTM(hidden, hidden // 2, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(hidden)
        init_lstm(self.lstm)

    def forward(self, steps: Tensor) -> Tensor:
        """[B, T, D] -> the same shape."""
        read, _ = self.lstm(self.dropout(steps))
        normed: Tensor = self.norm(steps + read)
        return normed


class BiLSTMEncoder(nn.Module):
    """Reads the window in both directions, then looks back at it once for each horizon.

    1. A bar's features and the static numbers become a vector: ELU(W_x x_t + W_s s + b).
    2. Bidirectional LSTM layers read the vectors. The window is all in the past, so nothing leaks.
    3. Each horizon asks with the newest bar's state, the static numbers and its own calendar:
       q_h = ELU(W_n r_60 + W_c [s; c_h] + b).
    4. Attention finds the bars that answer it; a gated skip lets the query pass where they add nothing.
    """

    def __init__(self, config: BiLSTMConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden
        self.project = nn.Linear(config.features, width)
        self.static = nn.Linear(config.static, width, bias=False)
        self.layers = nn.ModuleList(BiLSTMLayer(width, config.dropout) for _ in range(config.layers))
        self.newest = nn.Linear(width, width)
        self.ahead = nn.Linear(config.static + config.calendar, width, bias=False)
        self.attention = InterpretableAttention(width, config.heads, config.dropout)
        self.gate = GatedAddNorm(width, width, config.dropout)
        for layer in (self.project, self.static, self.newest, self.ahead):
            init_linear(layer)

    def forward(self, windows: Tensor, context: Tensor) -> EncoderOutput:
        """Encode a batch.

        Args:
            windows: float32 [B, 60, 14], scaled features, oldest bar first.
            context: float32 [B, C], static numbers, then the calendar of every horizon.
        """
        config = self.config
        static = context[:, : config.static]
        steps = self.project(newest_bars(windows, config)) + self.static(static).unsqueeze(1)
        steps = functional.elu(steps)
        for layer in self.layers:
            steps = layer(steps)
        asked = functional.elu(self.newest(steps[:, -1:]) + self.ahead(self._horizons(context)))
        everywhere = asked.new_zeros((len(config.horizons), config.bars_seen), dtype=torch.float32)
        attended = self.attention(asked, steps, everywhere)
        outputs = self.gate(attended.features, asked).float()
        return EncoderOutput(
            outputs=outputs,
            embedding=outputs[:, config.decision],
            attention=all_bars(attended.weights[:, config.decision], config),
        )

    def _horizons(self, context: Tensor) -> Tensor:
        """[B, C] -> [B, H, S + K]: the static numbers beside each horizon's calendar."""
        config = self.config
        static, calendar = context[:, : config.static], context[:, config.static :]
        ahead = calendar.reshape(context.shape[0], len(config.horizons), config.calendar)
        return torch.cat([static.unsqueeze(1).expand(-1, len(config.horizons), -1), ahead], dim=-1)


class BiLSTM(Network):
    """Bidirectional LSTM with attention, a decision head and a quantile head."""

    config: BiLSTMConfig
    encoder: BiLSTMEncoder

    def __init__(self, config: BiLSTMConfig) -> None:
        super().__init__(config, BiLSTMEncoder(config), config.hidden)
