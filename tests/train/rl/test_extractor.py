"""The TFT encoder inside stable-baselines3: its weights, its modes, its agreement with the table path."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO, SAC
from torch import Tensor, nn

from quantum_trader.agents.policy_agent import market_state
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.agents.tft.config import tft_preset
from quantum_trader.agents.tft.model import TFT
from quantum_trader.envs.env import FuturesTradingEnv
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.vector_env import FuturesTradingVectorEnv
from quantum_trader.train.rl.extractor import TableExtractor, TFTFeaturesExtractor

from ...agents.tiny_tft import tiny_tft
from . import tiny_policy
from .tiny_policy import same

ENV = EnvConfig(random_start=True, episode_bars=20)
KINDS = {"ppo": PPO, "a2c": A2C, "dqn": DQN, "sac": SAC}


@pytest.fixture
def tft() -> TFTAgent:
    """A "trained" TFT with dropout, which makes a wrong mode show."""
    agent = tiny_tft()
    torch.manual_seed(5)
    agent.model = TFT(replace(tft_preset("tiny"), dropout=0.3)).eval()
    return agent


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def _policy(tft: TFTAgent, **options: Any) -> dict[str, Any]:
    return {
        "features_extractor_class": TFTFeaturesExtractor,
        "features_extractor_kwargs": {"tft": tft, "precision": "fp32", **options},
        "net_arch": [16],
    }


def _env(kind: str = "ppo") -> FuturesTradingEnv:
    config = replace(ENV, actions="continuous") if kind == "sac" else ENV
    return FuturesTradingEnv(tiny_policy.market(), config)


def _model(kind: str, tft: TFTAgent, *, env: Any = None, share: bool | None = None, **options: Any) -> Any:
    """A model as a user's script makes it."""
    off_policy = {"buffer_size": 100, "learning_starts": 8, "batch_size": 8}
    settings: dict[str, Any] = {
        "ppo": {"n_steps": 16, "batch_size": 16, "n_epochs": 1},
        "a2c": {"n_steps": 8},
        "dqn": off_policy | {"target_update_interval": 8, "train_freq": 4},
        "sac": off_policy | {"train_freq": 4},
    }[kind]
    policy = _policy(tft, **options)
    if kind in ("ppo", "a2c"):
        policy["ortho_init"] = True
        policy["share_features_extractor"] = share is not False
    return KINDS[kind](
        "MultiInputPolicy",
        env or _env(kind),
        learning_rate=1e-2,
        seed=1,
        device="cpu",
        policy_kwargs=policy,
        **settings,
    )


def _extractors(model: Any) -> list[TFTFeaturesExtractor]:
    return [part for part in model.policy.modules() if isinstance(part, TFTFeaturesExtractor)]


def _observations(count: int = 8) -> dict[str, Tensor]:
    """Windows, context and random accounts at usable bars."""
    inputs = tiny_policy.seen(count)
    return {
        "window": torch.from_numpy(inputs.windows),
        "context": torch.from_numpy(inputs.context.copy()),
        "account": tiny_policy.accounts(count),
    }


@pytest.mark.parametrize("freeze", [True, False], ids=["frozen", "fine-tuned"])
@pytest.mark.parametrize("share", [True, False], ids=["shared", "actor and critic apart"])
def test_initialisation_spares_pretrained_weights(tft: TFTAgent, share: bool, freeze: bool) -> None:
    """Orthogonal initialisation, which stable-baselines3 applies to all of an extractor, reaches the layer
    that reads the account and none of the pretrained ones."""
    before = _weights(tft.model)
    extractors = _extractors(_model("ppo", tft, share=share, freeze=freeze))
    assert len(extractors) == (1 if share else 2)
    for extractor in extractors:
        assert same(_weights(extractor.network), before)
        account = extractor.state.account_net[0]
        assert not account.bias.any()
        gram = account.weight.T @ account.weight
        torch.testing.assert_close(gram, gram[0, 0] * torch.eye(len(gram)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", list(KINDS))
def test_learning_leaves_a_frozen_network_alone(tft: TFTAgent, kind: str) -> None:
    """A user's PPO, A2C, DQN and SAC train on it: the encoder stays in every copy, target networks included,
    the rest learns, and answers are valid actions."""
    before = _weights(tft.model)
    model = _model(kind, tft)
    account = [part.state.account_net[0].weight.detach().clone() for part in _extractors(model)]
    model.learn(32)
    assert len(account) == {"ppo": 1, "a2c": 1, "dqn": 2, "sac": 3}[kind]
    for part, former in zip(_extractors(model), account, strict=True):
        for name, value in part.network.state_dict().items():
            # SAC's target network is a running mean, and the mean of equal numbers is rounded.
            torch.testing.assert_close(value, before[name], rtol=1e-5 if kind == "sac" else 0, atol=0)
        assert not torch.equal(part.state.account_net[0].weight, former)
    assert same(_weights(tft.model), before)
    env = _env(kind)
    assert env.action_space.contains(model.predict(env.reset(seed=0)[0])[0])


@pytest.mark.parametrize("kind", list(KINDS))
def test_learning_fine_tunes_a_network_that_is_not(tft: TFTAgent, kind: str) -> None:
    """With freeze=False every algorithm moves the encoder, without making it zero or not finite in any copy;
    the agent that was given stays as it was."""
    before = _weights(tft.model)
    model = _model(kind, tft, freeze=False)
    parts = _extractors(model)
    assert all(same(_weights(part.network), before) for part in parts)
    model.learn(32)
    for part in parts:
        after = _weights(part.network)
        assert not same(after, before)
        size = sum(float(value.abs().sum()) for value in after.values())
        assert size > 0.5 * sum(float(value.abs().sum()) for value in before.values())
        assert all(bool(torch.isfinite(value).all()) for value in after.values())
    assert same(_weights(tft.model), before)
    assert not tft.model.training


@pytest.mark.parametrize("freeze", [True, False], ids=["frozen", "fine-tuned"])
def test_target_network_has_an_encoder_of_its_own(tft: TFTAgent, freeze: bool) -> None:
    """The update of DQN's target network, which multiplies its weights by zero before it adds the others,
    leaves both encoders whole and equal."""
    from stable_baselines3.common.utils import polyak_update

    before = _weights(tft.model)
    model = _model("dqn", tft, freeze=freeze)
    online, target = model.q_net.features_extractor.network, model.q_net_target.features_extractor.network
    shared = {weight.data_ptr() for weight in online.parameters()}
    assert not shared & {weight.data_ptr() for weight in target.parameters()}
    assert not shared & {weight.data_ptr() for weight in tft.model.parameters()}
    polyak_update(model.q_net.parameters(), model.q_net_target.parameters(), 1.0)
    assert same(_weights(online), before)
    assert same(_weights(target), before)


@pytest.mark.parametrize("freeze", [True, False], ids=["frozen", "fine-tuned"])
def test_no_dropout_in_training_mode(tft: TFTAgent, freeze: bool) -> None:
    """In training mode the same observation has the same features: PPO compares probabilities before and
    after. A frozen network stays in evaluation mode altogether."""
    policy = _model("ppo", tft, freeze=freeze).policy
    policy.train()
    extractor = policy.features_extractor
    assert extractor.state.training
    assert extractor.network.training is not freeze
    once, twice = (policy.extract_features(_observations()) for _ in range(2))
    assert torch.equal(once, twice)
    policy.eval()
    torch.testing.assert_close(once, policy.extract_features(_observations()), rtol=0, atol=1e-5)
    assert {weight.requires_grad for weight in extractor.network.parameters()} == {not freeze}
    assert tft.model.config.dropout == 0.3


def test_dropout_can_be_wanted(tft: TFTAgent) -> None:
    """With dropout=True a network that is fine-tuned keeps its dropout in training mode."""
    policy = _model("ppo", tft, freeze=False, dropout=True).policy
    policy.train()
    once, twice = (policy.extract_features(_observations()) for _ in range(2))
    assert not torch.equal(once, twice)


@pytest.mark.parametrize("features", ["encoder", "outputs", "both"])
def test_gradients_reach_the_network(tft: TFTAgent, features: Any) -> None:
    """Fine-tuning, the encoder gets gradients whatever it tells the policy; frozen, none, and no graph."""
    policy = _model("ppo", tft, freeze=False, features=features).policy
    policy.extract_features(_observations()).square().sum().backward()
    gradients = [weight.grad for weight in policy.features_extractor.network.encoder.parameters()]
    assert any(gradient is not None and bool(gradient.abs().sum() > 0) for gradient in gradients)
    frozen = _model("ppo", tft, features=features).policy.features_extractor
    assert not frozen.market(_observations()["window"], _observations()["context"]).requires_grad


def test_an_encoder_frozen_elsewhere_is_fine_tuned(tft: TFTAgent) -> None:
    """Freezing in one model does not freeze the encoder for the next."""
    _model("ppo", tft, freeze=True)
    extractor = _model("ppo", tft, freeze=False).policy.features_extractor
    assert all(weight.requires_grad for weight in extractor.network.parameters())
    assert all(weight.requires_grad for weight in tft.model.parameters())


@pytest.mark.parametrize("features", ["encoder", "outputs", "both"])
def test_tells_what_the_agent_tells(features: Any) -> None:
    """In float32 and on the same rows in the same order, what the policy is told while it acts is equal to
    the bit to `market_state` of the agent, in either mode."""
    extractor, inputs, expected = _told(features, freeze=False)
    for mode in (True, False):
        extractor.train(mode)
        with torch.no_grad():
            found = extractor.market(torch.from_numpy(inputs.windows), torch.from_numpy(inputs.context))
        np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("features", ["encoder", "outputs", "both"])
@pytest.mark.parametrize("freeze", [True, False], ids=["frozen", "fine-tuned"])
def test_tells_it_up_to_rounding_while_learning(features: Any, freeze: bool) -> None:
    """With gradients, and with frozen weights, torch takes other routes through the same products: equal up
    to rounding."""
    extractor, inputs, expected = _told(features, freeze=freeze)
    found = extractor.market(torch.from_numpy(inputs.windows), torch.from_numpy(inputs.context))
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-5, atol=1e-5)


def _told(features: Any, *, freeze: bool) -> tuple[TFTFeaturesExtractor, Any, Any]:
    """An extractor, 32 rows, and what the agent makes of them in one pass."""
    agent, inputs = tiny_policy.tft(), tiny_policy.seen(32)
    space: Any = _env().observation_space
    extractor = TFTFeaturesExtractor(space, tft=agent, features=features, freeze=freeze, precision="fp32")
    return extractor, inputs, market_state(agent, agent.encode(inputs), features)


def test_repeated_windows_are_encoded_once(monkeypatch: pytest.MonkeyPatch, tft: TFTAgent) -> None:
    """Eight accounts on two bars cost two encodings, and each sees its own."""
    extractor = _model("ppo", tft).policy.features_extractor
    observed, which = _observations(2), torch.tensor([0, 1, 1, 0, 0, 1, 1, 1])
    expected = extractor.market(observed["window"], observed["context"])[which]
    sizes: list[int] = []
    forward = extractor.network.encoder.forward

    def counted(*rows: Tensor) -> Any:
        sizes.append(len(rows[0]))
        return forward(*rows)

    monkeypatch.setattr(extractor.network.encoder, "forward", counted)
    found = extractor.market(observed["window"][which], observed["context"][which])
    assert sizes == [2]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_agrees_with_the_table_path() -> None:
    """Features from windows are those from the table, given the same state encoder."""
    (item,) = tiny_policy.train("both")
    windows = FuturesTradingVectorEnv([item.market], num_envs=3, config=ENV)
    tables = FuturesTradingVectorEnv([item.market], 3, ENV, observation="table", tables=[item.table])
    on_windows = TFTFeaturesExtractor(
        windows.single_observation_space,  # type: ignore[arg-type]
        tft=tiny_policy.tft(),
        features="both",
        account_hidden=8,
        precision="fp32",
    )
    on_table = TableExtractor(tables.single_observation_space, account_hidden=8)  # type: ignore[arg-type]
    on_table.state.load_state_dict(on_windows.state.state_dict())
    assert on_windows.features_dim == on_table.features_dim
    observed, looked_up = windows.reset(seed=4)[0], tables.reset(seed=4)[0]
    for step in range(30):
        with torch.no_grad():
            found = on_windows({name: torch.from_numpy(value) for name, value in observed.items()})
            expected = on_table({name: torch.from_numpy(value) for name, value in looked_up.items()})
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
        actions = (np.arange(3) + step) % 3
        observed, looked_up = windows.step(actions)[0], tables.step(actions)[0]


def test_saved_and_loaded(tft: TFTAgent, tmp_path: Any) -> None:
    """A model saved by stable-baselines3 comes back with the same encoder and the same answers."""
    model = _model("ppo", tft)
    model.save(tmp_path / "model.zip")
    loaded = PPO.load(tmp_path / "model.zip", device="cpu")
    with torch.no_grad():
        expected, found = (
            each.policy.get_distribution(_observations()).distribution.logits for each in (model, loaded)
        )
    assert torch.equal(found, expected)


def test_vectorised_accounts(tft: TFTAgent) -> None:
    """The compiled vector environment serves it as the single one does."""
    env = FuturesTradingVectorEnv([tiny_policy.market()], num_envs=2, config=ENV).to_sb3()
    model = _model("ppo", tft, env=env)
    model.learn(32)
    assert model.num_timesteps == 32


def test_observations_it_cannot_read_are_named(tft: TFTAgent) -> None:
    """An environment without account, with shorter windows, or another feature set than the encoder's is a
    `ConfigError` that names the remedy; so are features that do not exist."""
    bare = FuturesTradingEnv(tiny_policy.market(), replace(ENV, observe_account=False))
    with pytest.raises(ConfigError, match="observe_account=True"):
        PPO("MlpPolicy", bare, n_steps=8, batch_size=8, device="cpu", policy_kwargs=_policy(tft))
    short = FuturesTradingEnv(tiny_policy.market(), replace(ENV, window=30))
    with pytest.raises(ConfigError, match=r"reads windows \(60, 14\), found \(30, 14\)"):
        _model("ppo", tft, env=short)
    with pytest.raises(ConfigError, match="features: expected one of encoder, outputs, both, found 'all'"):
        _model("ppo", tft, features="all")
    tft.provenance = replace(tft.provenance, feature_set="other")
    with pytest.raises(
        ConfigError, match=r"feature set other, the environment shows .*: train the TFT again"
    ):
        _model("ppo", tft)
