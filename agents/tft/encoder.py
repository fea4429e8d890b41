"""`TFTEncoder`: everything of the TFT below its heads, which PPO and the Arbiter reuse."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from quantum_trader.agents.network import EncoderOutput, all_bars, newest_bars
from quantum_trader.agents.tft.attention import InterpretableAttention
from quantum_trader.agents.tft.blocks import GRN, GatedAddNorm
from quantum_trader.agents.tft.config import TFTConfig
from quantum_trader.agents.tft.init import init_lstm
from quantum_trader.agents.tft.selection import VariableSelection


class StaticContexts(NamedTuple):
    """The four vectors that the static numbers condition the network with."""

    selection: Tensor
    """[B, D], into variable selection."""
    enrichment: Tensor
    """[B, D], into static enrichment."""
    hidden: Tensor
    """[B, L], the LSTM's initial hidden state."""
    cell: Tensor
    """[B, L], the LSTM's initial cell state."""


class StaticEncoder(nn.Module):
    """Variable selection over the static numbers, then a GRN for each of the four contexts."""

    def __init__(self, config: TFTConfig) -> None:
        super().__init__()
        width, rate = config.hidden, config.dropout
        self.select = VariableSelection(config.static, width, dropout=rate)
        self.selection = GRN(width, width, width, dropout=rate)
        self.enrichment = GRN(width, width, width, dropout=rate)
        self.hidden = GRN(width, width, config.lstm_hidden, dropout=rate)
        self.cell = GRN(width, width, config.lstm_hidden, dropout=rate)

    def forward(self, static: Tensor) -> tuple[StaticContexts, Tensor]:
        """[B, S] -> contexts and selection weights [B, S]."""
        selected = self.select(static.unsqueeze(1))
        vector = selected.features.squeeze(1)
        contexts = StaticContexts(
            selection=self.selection(vector),
            enrichment=self.enrichment(vector),
            hidden=self.hidden(vector),
            cell=self.cell(vector),
        )
        return contexts, selected.weights.squeeze(1)


class SequenceLayer(nn.Module):
    """LSTM over the past bars, handing its state to an LSTM over the horizons; gated skips around both."""

    def __init__(self, config: TFTConfig) -> None:
        super().__init__()
        units, directions = config.lstm_hidden, 2 if config.bidirectional else 1
        self.layers, self.directions = config.lstm_layers, directions
        self.past = nn.LSTM(
            config.hidden, units, config.lstm_layers, batch_first=True, bidirectional=config.bidirectional
        )
        self.future = nn.LSTM(config.hidden, units, batch_first=True)
        self.past_gate = GatedAddNorm(directions * units, config.hidden, config.dropout)
        self.future_gate = GatedAddNorm(units, config.hidden, config.dropout)
        init_lstm(self.past)
        init_lstm(self.future)

    def forward(self, past: Tensor, future: Tensor, contexts: StaticContexts) -> tuple[Tensor, Tensor]:
        """[B, T, D] of the bars looked at and [B, H, D] -> the same shapes."""
        shape = (self.layers * self.directions, *contexts.hidden.shape)
        start = (
            contexts.hidden.to(past.dtype).expand(shape).contiguous(),
            contexts.cell.to(past.dtype).expand(shape).contiguous(),
        )
        read, (hidden, cell) = self.past(past, start)
        # The top layer's forward direction ends at the newest bar: the decoder goes on from there.
        top = slice(-self.directions, hidden.shape[0] - self.directions + 1)
        state = (hidden[top].to(future.dtype).contiguous(), cell[top].to(future.dtype).contiguous())
        foreseen, _ = self.future(future, state)
        # The LSTM answers time first; a matrix product is five times as slow on that as on rows in a row.
        return self.past_gate(read.contiguous(), past), self.future_gate(foreseen.contiguous(), future)


class TFTEncoder(nn.Module):
    """Temporal Fusion Transformer up to its heads (Lim et al. 2021, section 4)."""

    look: Tensor

    def __init__(self, config: TFTConfig) -> None:
        super().__init__()
        self.config = config
        width, rate = config.hidden, config.dropout
        self.static = StaticEncoder(config)
        self.select_past = VariableSelection(
            config.features, width, dropout=rate, context=width, knots=config.knots
        )
        self.select_future = VariableSelection(config.calendar, width, dropout=rate, context=width)
        self.sequence = SequenceLayer(config)
        self.enrich = GRN(width, width, width, dropout=rate, context=width)
        self.attention = InterpretableAttention(width, config.heads, rate)
        self.attention_gate = GatedAddNorm(width, width, rate)
        self.position_wise = GRN(width, width, width, dropout=rate)
        self.output_gate = GatedAddNorm(width, width, 0.0)
        self.embedding_size = width
        self.register_buffer("look", _decoder_mask(config.bars_seen, len(config.horizons)), persistent=False)

    def forward(self, windows: Tensor, context: Tensor) -> EncoderOutput:
        """Encode a batch.

        Args:
            windows: float32 [B, 60, 14], scaled features, oldest bar first.
            context: float32 [B, C], static numbers, then the calendar of every horizon.
        """
        config = self.config
        static, calendar = context[:, : config.static], context[:, config.static :]
        contexts, static_weights = self.static(static)
        past = self.select_past(newest_bars(windows, config), contexts.selection)
        ahead = calendar.reshape(context.shape[0], len(config.horizons), config.calendar)
        future = self.select_future(ahead, contexts.selection)
        seen, foreseen = self.sequence(past.features, future.features, contexts)
        enriched = self.enrich(torch.cat([seen, foreseen], dim=1), contexts.enrichment)
        asked = enriched[:, config.bars_seen :]
        attended = self.attention(asked, enriched, self.look)
        fused = self.position_wise(self.attention_gate(attended.features, asked))
        outputs = self.output_gate(fused, foreseen).float()
        bars = attended.weights[:, config.decision, : config.bars_seen]
        return EncoderOutput(
            outputs=outputs,
            embedding=outputs[:, config.decision],
            attention=all_bars(bars / bars.sum(dim=-1, keepdim=True), config),
            importances=all_bars(past.weights, config),
            static_importances=static_weights,
        )


def _decoder_mask(window: int, horizons: int) -> Tensor:
    """float32 [H, T + H]: horizon h sees every past bar, itself and earlier horizons."""
    mask = torch.zeros(horizons, window + horizons)
    later = torch.ones(horizons, horizons).triu(diagonal=1).bool()
    mask[:, window:].masked_fill_(later, float("-inf"))
    return mask
