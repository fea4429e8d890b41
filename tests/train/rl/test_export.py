"""The exported policy against the one that was trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from quantum_trader.agents.policy_network import orders
from quantum_trader.agents.policy_state import state_size
from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import TrainingError
from quantum_trader.train.rl.config import Algorithm, RLConfig, can_export
from quantum_trader.train.rl.export import export_policy

from . import tiny_policy
from .tiny_policy import CONFIG, EXPORTED, ROLLOUT

OF_TARGET = np.array([Action.SELL, Action.HOLD, Action.BUY])
"""What target actions 0, 1, 2 (short, none, long) are called in the order of `Action`."""


def _trained(algorithm: Algorithm, config: RLConfig = CONFIG) -> Any:
    """A little training, and answers spread apart, so that they differ from row to row."""
    model, _ = tiny_policy.model(algorithm, config)
    model.learn(2 * ROLLOUT)
    return model


def _rows(count: int = 200) -> dict[str, Tensor]:
    size = state_size(tiny_policy.tft().model, CONFIG.features)
    state = np.random.default_rng(0).standard_normal((count, size)).astype(np.float32)
    return {"embedding": torch.from_numpy(5 * state), "account": tiny_policy.accounts(count)}


def _numpy(rows: dict[str, Tensor]) -> dict[str, Any]:
    return {name: values.numpy() for name, values in rows.items()}


@torch.no_grad()
def _asked(network: Any, rows: dict[str, Tensor]) -> Tensor:
    logits = network(rows["embedding"], rows["account"])
    assert isinstance(logits, Tensor)
    return logits


@torch.no_grad()
def _decisive(model: Any, algorithm: Algorithm) -> None:
    """Makes the answers depend on what is observed: after so little training they hardly do."""
    if algorithm == "sac":
        model.policy.actor.mu.weight.mul_(20.0)
        model.policy.actor.log_std.weight.zero_()
        model.policy.actor.log_std.bias.fill_(-6.0)
    elif algorithm in ("ppo", "a2c", "maskable_ppo"):
        model.policy.action_net.weight.mul_(50.0)


@pytest.mark.parametrize("actions", ["order", "target"])
@pytest.mark.parametrize("algorithm", EXPORTED)
def test_most_probable_answer_is_the_policys(algorithm: Algorithm, actions: Any) -> None:
    """On random observations the exported network prefers what `predict(deterministic=True)` answers, of
    SAC's numbers the third they lie in; exporting draws no random number."""
    config = replace(CONFIG, env=replace(CONFIG.env, actions=actions))
    model, rows = _trained(algorithm, config), _rows()
    _decisive(model, algorithm)
    before = torch.get_rng_state()
    network = export_policy(model, algorithm, config)
    assert torch.equal(torch.get_rng_state(), before)
    assert not network.training
    kind = {"sac": "target", "maskable_ppo": "order"}.get(algorithm, actions)
    assert (network.shape.actions, network.shape.masked) == (kind, algorithm == "maskable_ppo")
    found = _asked(network, rows).argmax(dim=1).numpy()
    options = {"action_masks": _masks(rows["account"])} if algorithm == "maskable_ppo" else {}
    answer = model.predict(_numpy(rows), deterministic=True, **options)[0]
    if algorithm == "sac":
        answer = np.digitize(answer[:, 0], [-1 / 3, 1 / 3])
    expected = OF_TARGET[answer] if kind == "target" else answer
    np.testing.assert_array_equal(found, expected)
    assert len(set(found.tolist())) > 1


def _masks(account: Tensor) -> np.ndarray[Any, Any]:
    """bool [B, 3], written down from the table of actions: no BUY when long, no SELL when short."""
    held = account[:, 0].numpy()
    masks = np.ones((len(held), 3), dtype=bool)
    masks[:, Action.BUY], masks[:, Action.SELL] = held < 1, held > -1
    return masks


@pytest.mark.parametrize("algorithm", ["ppo", "a2c"])
def test_logits_are_those_sampled_from(algorithm: Algorithm) -> None:
    """Log probabilities agree, up to rounding, with the distribution that stable-baselines3 samples from."""
    model, rows = _trained(algorithm), _rows(50)
    with torch.no_grad():
        expected = model.policy.get_distribution(rows).distribution.logits
    found = torch.log_softmax(_asked(export_policy(model, algorithm, CONFIG), rows), dim=-1)
    torch.testing.assert_close(found[:, OF_TARGET], expected, rtol=0, atol=1e-6)
    assert found.std() > 1e-3


@pytest.mark.parametrize("algorithm", ["dqn", "qrdqn"])
def test_logits_are_action_values(algorithm: Algorithm) -> None:
    """DQN's logits are its values, QR-DQN's the mean over the quantiles."""
    model, rows = _trained(algorithm), _rows(50)
    with torch.no_grad():
        values = model.q_net(rows) if algorithm == "dqn" else model.quantile_net(rows).mean(dim=1)
    found = _asked(export_policy(model, algorithm, CONFIG), rows)
    torch.testing.assert_close(found[:, OF_TARGET], values, rtol=1e-5, atol=1e-5)


def test_sac_probabilities_are_those_of_the_thirds() -> None:
    """Of many targets sampled from SAC's policy, such shares lie in the lower, middle and upper third."""
    model, rows = _trained("sac"), _rows(5)
    found = _asked(export_policy(model, "sac", CONFIG), rows).softmax(dim=1).numpy()
    torch.manual_seed(0)
    for row in range(5):
        many = {name: values[row : row + 1].repeat(20_000, 1) for name, values in rows.items()}
        with torch.no_grad():
            sampled = np.digitize(model.policy.actor(many)[:, 0].numpy(), [-1 / 3, 1 / 3])
        shares = np.bincount(sampled, minlength=3) / len(sampled)
        np.testing.assert_allclose(found[row, OF_TARGET], shares, atol=0.02)


@pytest.mark.parametrize("delay", [0, 2])
def test_masks_are_the_environments(delay: int) -> None:
    """The exported MaskablePPO never answers what the environment's masks forbid, and else what `predict`
    answers under them, also where orders are still on their way."""
    config = replace(CONFIG, env=replace(CONFIG.env, delay_bars=delay))
    model, env = tiny_policy.model("maskable_ppo", config)
    _decisive(model, "maskable_ppo")
    with torch.no_grad():
        model.policy.action_net.bias.copy_(torch.tensor([-3.0, 0.0, 0.0]))
    network = export_policy(model, "maskable_ppo", config)
    rng = np.random.default_rng(0)
    observed, forbidden = env.reset(), 0
    for _ in range(60):
        masks = env.accounts.action_masks()
        rows = {name: torch.from_numpy(values.copy()) for name, values in observed.items()}
        logits = _asked(network, rows)
        np.testing.assert_array_equal(np.isfinite(logits.numpy()), masks)
        expected = model.predict(observed, deterministic=True, action_masks=masks)[0]
        np.testing.assert_array_equal(logits.argmax(dim=1).numpy(), expected)
        forbidden += int((~masks).sum())
        # As the policy trains: nothing is ordered that changes nothing.
        env.step_async(np.array([rng.choice(np.flatnonzero(mask)) for mask in masks]))
        observed = env.step_wait()[0]
    assert forbidden > 20


@pytest.mark.parametrize(("target", "answer"), [(0, Action.SELL), (1, Action.HOLD), (2, Action.BUY)])
@pytest.mark.parametrize("algorithm", ["ppo", "dqn", "qrdqn"])
def test_targets_become_orders(algorithm: Algorithm, target: int, answer: Action) -> None:
    """A model that wants to be long, or short, or out, is exported as one that answers BUY, SELL or HOLD; the
    orders of its answers lead there from any position, one unit a bar."""
    model, _ = tiny_policy.model(algorithm, CONFIG)
    head = model.policy.action_net if algorithm == "ppo" else None
    if algorithm == "dqn":
        head = model.policy.q_net.q_net[-1]
    elif algorithm == "qrdqn":
        head = model.policy.quantile_net.quantile_net[-1]
    assert head is not None
    with torch.no_grad():
        head.bias.zero_()
        head.bias.view(-1, 3)[:, target] = 100.0
    rows = _rows(30)
    found = _asked(export_policy(model, algorithm, CONFIG), rows).argmax(dim=1).numpy().astype(np.int8)
    assert set(found.tolist()) == {answer}
    account = rows["account"].numpy()
    change = {Action.BUY: 1, Action.SELL: -1}
    moved = np.array([change.get(Action(each), 0) for each in orders(found, account, "target")])
    np.testing.assert_array_equal(moved, np.sign(target - 1 - account[:, 0]))


def test_a_memory_cannot_be_exported() -> None:
    """Recurrent PPO is refused with the reason."""
    assert not can_export("recurrent_ppo")
    model, _ = tiny_policy.model("recurrent_ppo", CONFIG)
    with pytest.raises(TrainingError, match="recurrent_ppo carries a memory"):
        export_policy(model, "recurrent_ppo", CONFIG)
