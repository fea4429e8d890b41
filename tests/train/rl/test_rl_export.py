"""The exported policy against the one that was trained."""

from __future__ import annotations

import numpy as np
import torch

from quantum_trader.envs.observe import ACCOUNT_SIZE
from quantum_trader.train.ppo import _model
from quantum_trader.train.ppo_export import export_policy

from . import tiny_ppo
from .tiny_ppo import CONFIG, ROLLOUT


def test_exported_network_is_the_policy() -> None:
    """The exported network's logits are, up to rounding, those that stable-baselines3 samples from."""
    model = _model(tiny_ppo.train(), CONFIG)
    model.learn(ROLLOUT)
    before = torch.get_rng_state()
    network = export_policy(model.policy, CONFIG)
    assert torch.equal(torch.get_rng_state(), before)
    size = tiny_ppo.tft().embedding_size
    rng = np.random.default_rng(0)
    embedding = torch.from_numpy(rng.standard_normal((50, size)).astype(np.float32))
    account = torch.from_numpy(rng.uniform(-1, 1, (50, ACCOUNT_SIZE)).astype(np.float32))
    with torch.no_grad():
        distribution = model.policy.get_distribution({"embedding": embedding, "account": account})
        expected = distribution.distribution.logits
        found = torch.log_softmax(network(embedding, account), dim=-1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert found.std() > 1e-3
