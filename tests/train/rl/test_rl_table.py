"""Encoded markets: row t is the encoder's output of the window that ends at bar t."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from quantum_trader.agents.signals import ModelInputs
from quantum_trader.envs.errors import TrainingError
from quantum_trader.envs.windows import WINDOW, gather
from quantum_trader.train import ppo_table
from quantum_trader.train.ppo_table import encode_market

from ..agents.tiny_tft import tiny_tft
from . import tiny_ppo


def test_rows_are_the_encoders_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """At usable bars the table holds the encoder's output for the window that ends there, zeros elsewhere,
    also where the bars do not fill the last batch."""
    monkeypatch.setattr(ppo_table, "_EMBED_BATCH", 64)
    tft, market = tiny_ppo.tft(), tiny_ppo.market().rows(230, 460)
    encoded = encode_market(tft, market)
    assert encoded.market is market
    assert encoded.table.shape == (230, tft.embedding_size)
    assert encoded.table.dtype == np.float32
    usable = np.flatnonzero(market.usable)
    assert len(usable) % 64 > 0
    inputs = ModelInputs(windows=gather(market.table, usable, WINDOW), context=market.context[usable])
    np.testing.assert_allclose(encoded.table[usable], tft.embed(inputs), atol=1e-6)
    assert not encoded.table[~market.usable].any()
    one = usable[37]
    alone = ModelInputs(
        windows=gather(market.table, usable[37:38], WINDOW), context=market.context[usable[37:38]]
    )
    np.testing.assert_allclose(encoded.table[one], tft.embed(alone)[0], atol=1e-6)


def test_seen_through_the_agents_scaler() -> None:
    """A market scaled otherwise is encoded as the agent's own scaler shows it."""
    market = tiny_ppo.market().rows(240, 400)
    other = replace(market.scaler, center=tuple(value + 1 for value in market.scaler.center))
    encoded = encode_market(tiny_ppo.tft(), market.with_scaler(other))
    assert encoded.market.scaler == tiny_ppo.tft().scaler
    np.testing.assert_array_equal(encoded.table, encode_market(tiny_ppo.tft(), market).table)


def test_nothing_usable_is_refused() -> None:
    """A market that ends within its warm-up is a `TrainingError` that names it."""
    with pytest.raises(TrainingError, match="TINY: no usable window"):
        encode_market(tiny_ppo.tft(), tiny_ppo.market().rows(0, 100))


def test_a_broken_encoder_is_refused() -> None:
    """An encoder that answers not-a-number is a `TrainingError`, before anything trains on it."""
    broken = tiny_tft()
    with torch.no_grad():
        for weight in broken.model.encoder.output_gate.parameters():
            weight.fill_(torch.nan)
    with pytest.raises(TrainingError, match="TINY: the encoder's output is not finite"):
        encode_market(broken, tiny_ppo.market().rows(240, 330))
