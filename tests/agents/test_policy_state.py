"""What a policy is told of the market: each column against the TFT's own signals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from quantum_trader.agents.network import EncoderOutput
from quantum_trader.agents.network_agent import Encoded
from quantum_trader.agents.policy_agent import market_state
from quantum_trader.agents.policy_state import policy_state, state_size
from quantum_trader.envs.actions import Action
from quantum_trader.envs.context import HORIZONS
from quantum_trader.envs.errors import ConfigError

from .random_inputs import random_inputs
from .tiny_tft import tiny_tft

H = len(HORIZONS)
TFT = tiny_tft()


def encoder_output(encoded: Encoded) -> EncoderOutput:
    """The same pass as the network hands it out."""
    return EncoderOutput(
        outputs=torch.from_numpy(encoded.outputs),
        embedding=torch.from_numpy(encoded.embedding),
        attention=torch.from_numpy(encoded.attention),
    )


def test_the_first_columns_are_log_odds() -> None:
    """ln P(BUY)/P(SELL), then ln P(HOLD) minus the mean of the two other logarithms."""
    inputs = random_inputs(20)
    told = market_state(TFT, TFT.encode(inputs), "outputs")
    logs = np.log(TFT.signals(inputs).probabilities.astype(np.float64))
    buy, sell = logs[:, Action.BUY], logs[:, Action.SELL]
    np.testing.assert_allclose(told[:, 0], buy - sell, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(told[:, 1], logs[:, Action.HOLD] - (buy + sell) / 2, rtol=1e-4, atol=1e-5)


def test_the_other_columns_are_quantiles_in_percent() -> None:
    """Medians of the forward log returns, then Q90 - Q10, each horizon a column, in percent."""
    inputs = random_inputs(20)
    told = market_state(TFT, TFT.encode(inputs), "outputs")
    quantiles = TFT.signals(inputs).quantiles
    assert quantiles is not None
    np.testing.assert_allclose(told[:, 2 : 2 + H], 100 * quantiles[:, :, 1], rtol=1e-5, atol=1e-6)
    spread = 100 * (quantiles[:, :, 2] - quantiles[:, :, 0])
    np.testing.assert_allclose(told[:, 2 + H :], spread, rtol=1e-5, atol=1e-6)
    assert (told[:, 2 + H :] >= 0).all()


def test_a_wilder_market_scales_the_returns_only() -> None:
    """Twice the unit doubles medians and spreads and leaves the odds."""
    encoded = TFT.encode(random_inputs(5))
    wilder = replace(encoded, unit=2 * encoded.unit)
    once, twice = (market_state(TFT, each, "outputs") for each in (encoded, wilder))
    np.testing.assert_array_equal(twice[:, :2], once[:, :2])
    np.testing.assert_array_equal(twice[:, 2:], 2 * once[:, 2:])


@pytest.mark.parametrize("features", ["encoder", "outputs", "both"])
def test_sizes_are_as_announced(features: str) -> None:
    """`state_size` numbers per observation, float32; "both" is the embedding, then the outputs."""
    encoded = TFT.encode(random_inputs(7))
    told = market_state(TFT, encoded, features)  # type: ignore[arg-type]
    size = {"encoder": TFT.embedding_size, "outputs": 2 + 2 * H, "both": TFT.embedding_size + 2 + 2 * H}
    assert told.shape == (7, size[features])
    assert told.dtype == np.float32
    assert state_size(TFT.model, features) == size[features]  # type: ignore[arg-type]
    parts = [market_state(TFT, encoded, part) for part in ("encoder", "outputs")]  # type: ignore[arg-type]
    whole = {"encoder": parts[0], "outputs": parts[1], "both": np.concatenate(parts, axis=1)}
    np.testing.assert_array_equal(told, whole[features])


def test_the_embedding_is_handed_on() -> None:
    """ "encoder" is what `embed` gives."""
    inputs = random_inputs(3)
    told = market_state(TFT, TFT.encode(inputs), "encoder")
    np.testing.assert_array_equal(told, TFT.embed(inputs))


def test_one_bad_row_spoils_no_other() -> None:
    """A window with a NaN is told as NaN; its neighbours are told what they are alone."""
    inputs = random_inputs(3)
    clean = market_state(TFT, TFT.encode(inputs), "both")
    inputs.windows[1, 30, 4] = np.nan
    told = market_state(TFT, TFT.encode(inputs), "both")
    assert np.isnan(told[1]).any()
    np.testing.assert_array_equal(told[[0, 2]], clean[[0, 2]])


def test_heads_answer_in_float32_whatever_surrounds_them() -> None:
    """Inside a bfloat16 region the columns are the same to the bit."""
    encoded = TFT.encode(random_inputs(4))
    output, unit = encoder_output(encoded), torch.from_numpy(encoded.unit)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        inside = policy_state(TFT.model, output, unit, "outputs").numpy()
    np.testing.assert_array_equal(inside, market_state(TFT, encoded, "outputs"))


def test_unknown_features_are_named() -> None:
    """Another word is a `ConfigError` that names it and the three that are known."""
    with pytest.raises(ConfigError, match="expected one of encoder, outputs, both, found 'embedding'"):
        state_size(TFT.model, "embedding")  # type: ignore[arg-type]
