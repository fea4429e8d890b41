"""The TFT encoder inside stable-baselines3: its weights, its modes, its agreement with the table path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO
from torch import Tensor, nn

from quantum_trader.agents.tft.config import tft_preset
from quantum_trader.agents.tft.encoder import TFTEncoder
from quantum_trader.envs.env import FuturesTradingEnv
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.observe import ACCOUNT_SIZE
from quantum_trader.envs.vector_env import FuturesTradingVectorEnv
from quantum_trader.envs.windows import WINDOW, gather
from quantum_trader.train.ppo_extractor import TableExtractor, TFTFeaturesExtractor

from . import tiny_ppo

ENV = EnvConfig(random_start=True, episode_bars=20)
Make = Callable[..., Any]


@pytest.fixture
def encoder() -> TFTEncoder:
    """A "trained" encoder with dropout, which makes a wrong mode show."""
    torch.manual_seed(5)
    return TFTEncoder(replace(tft_preset("tiny"), dropout=0.3)).eval()


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _kwargs(encoder: TFTEncoder, **options: Any) -> dict[str, Any]:
    return {
        "features_extractor_class": TFTFeaturesExtractor,
        "features_extractor_kwargs": {"encoder": encoder, **options},
        "net_arch": [16],
    }


def _ppo(encoder: TFTEncoder, env: Any = None, *, share: bool = True, **options: Any) -> PPO:
    return PPO(
        "MultiInputPolicy",
        env or FuturesTradingEnv(tiny_ppo.market(), ENV),
        n_steps=32,
        batch_size=16,
        n_epochs=1,
        learning_rate=1e-2,
        seed=1,
        device="cpu",
        policy_kwargs=_kwargs(encoder, **options) | {"ortho_init": True, "share_features_extractor": share},
    )


def _observations(count: int = 8) -> dict[str, Tensor]:
    """Windows, context and random accounts at usable bars."""
    market = tiny_ppo.market()
    bars = np.flatnonzero(market.usable)[10 : 10 + count]
    account = np.random.default_rng(0).uniform(-1, 1, (count, ACCOUNT_SIZE)).astype(np.float32)
    return {
        "window": torch.from_numpy(gather(market.table, bars, WINDOW).copy()),
        "context": torch.from_numpy(market.context[bars].copy()),
        "account": torch.from_numpy(account),
    }


@pytest.mark.parametrize("share", [True, False], ids=["shared", "actor and critic apart"])
def test_pretrained_weights_stay(encoder: TFTEncoder, share: bool) -> None:
    """Neither orthogonal initialisation nor training touches a frozen encoder; the rest learns."""
    before = _weights(encoder)
    model = _ppo(encoder, share=share)
    extractors = [model.policy.pi_features_extractor, model.policy.vf_features_extractor]
    account = [extractor.state.account_net[0].weight.clone() for extractor in extractors]
    assert all(_same(_weights(extractor.encoder), before) for extractor in extractors)
    model.learn(64)
    for extractor, former in zip(extractors, account, strict=True):
        assert _same(_weights(extractor.encoder), before)
        assert not torch.equal(extractor.state.account_net[0].weight, former)
    assert _same(_weights(encoder), before)


def test_frozen_encoder_stays_in_evaluation_mode(encoder: TFTEncoder) -> None:
    """A frozen encoder has no dropout in training mode: the same observation gives the same features."""
    policy = _ppo(encoder).policy
    policy.train()
    assert policy.features_extractor.state.training
    assert not policy.features_extractor.encoder.training
    once, twice = (policy.extract_features(_observations()) for _ in range(2))
    assert torch.equal(once, twice)
    assert not any(weight.requires_grad for weight in policy.features_extractor.encoder.parameters())


def test_fine_tuning_reaches_the_encoder(encoder: TFTEncoder) -> None:
    """With freeze=False training moves the encoder's weights, from the pretrained ones on, with dropout; the
    encoder that was given stays as it was."""
    before = _weights(encoder)
    model = _ppo(encoder, freeze=False)
    extractor = model.policy.features_extractor
    assert _same(_weights(extractor.encoder), before)
    model.policy.train()
    assert extractor.encoder.training
    extractor(_observations()).sum().backward()
    gradients = [weight.grad for weight in extractor.encoder.select_past.parameters()]
    assert all(gradient is not None for gradient in gradients)
    assert any(bool(gradient.abs().sum() > 0) for gradient in gradients)
    model.learn(32)
    assert not _same(_weights(extractor.encoder), before)
    assert _same(_weights(encoder), before)
    assert not encoder.training


def test_an_encoder_frozen_elsewhere_is_fine_tuned(encoder: TFTEncoder) -> None:
    """Freezing in one model does not freeze the encoder for the next."""
    _ppo(encoder, freeze=True)
    model = _ppo(encoder, freeze=False)
    assert all(weight.requires_grad for weight in model.policy.features_extractor.encoder.parameters())
    assert all(weight.requires_grad for weight in encoder.parameters())


def test_agrees_with_the_table_path() -> None:
    """Features from windows are those from the table of encoder outputs, given the same state encoder."""
    tft = tiny_ppo.tft()
    (item,) = tiny_ppo.train()
    windows = FuturesTradingVectorEnv([item.market], num_envs=3, config=ENV)
    tables = FuturesTradingVectorEnv([item.market], 3, ENV, observation="table", tables=[item.table])
    on_windows = TFTFeaturesExtractor(
        windows.single_observation_space, encoder=tft.model.encoder, account_hidden=8
    )
    on_table = TableExtractor(tables.single_observation_space, account_hidden=8)
    on_table.state.load_state_dict(on_windows.state.state_dict())
    assert on_windows.features_dim == on_table.features_dim
    observed, looked_up = windows.reset(seed=4)[0], tables.reset(seed=4)[0]
    for step in range(30):
        with torch.no_grad():
            found = on_windows({name: torch.from_numpy(value) for name, value in observed.items()})
            expected = on_table({name: torch.from_numpy(value) for name, value in looked_up.items()})
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
        actions = (np.arange(3) + step) % 3
        observed, looked_up = windows.step(actions)[0], tables.step(actions)[0]


def _a2c(encoder: TFTEncoder, env: Any) -> A2C:
    return A2C("MultiInputPolicy", env, n_steps=8, seed=1, device="cpu", policy_kwargs=_kwargs(encoder))


def _dqn(encoder: TFTEncoder, env: Any) -> DQN:
    return DQN(
        "MultiInputPolicy",
        env,
        buffer_size=100,
        learning_starts=8,
        batch_size=8,
        target_update_interval=8,
        seed=1,
        device="cpu",
        policy_kwargs=_kwargs(encoder),
    )


@pytest.mark.parametrize("make", [_a2c, _dqn])
def test_serves_other_algorithms(encoder: TFTEncoder, make: Make) -> None:
    """A2C and DQN train on it; DQN's updates of the target network leave the encoder whole."""
    before = _weights(encoder)
    model = make(encoder, FuturesTradingEnv(tiny_ppo.market(), ENV))
    model.learn(40)
    networks = [model.policy] if make is _a2c else [model.q_net, model.q_net_target]
    for network in networks:
        assert _same(_weights(network.features_extractor.encoder), before)
    assert model.predict(FuturesTradingEnv(tiny_ppo.market(), ENV).reset(seed=0)[0])[0] in (0, 1, 2)


def test_saved_and_loaded(encoder: TFTEncoder, tmp_path: Any) -> None:
    """A model saved by stable-baselines3 comes back with the same encoder and the same answers."""
    model = _ppo(encoder)
    model.save(tmp_path / "model.zip")
    loaded = PPO.load(tmp_path / "model.zip", device="cpu")
    with torch.no_grad():
        expected, found = (
            each.policy.get_distribution(_observations()).distribution.logits for each in (model, loaded)
        )
    assert torch.equal(found, expected)


def test_vectorised_accounts(encoder: TFTEncoder) -> None:
    """The compiled vector environment serves it as the single one does."""
    env = FuturesTradingVectorEnv([tiny_ppo.market()], num_envs=2, config=ENV).to_sb3()
    model = _ppo(encoder, env)
    model.learn(64)
    assert model.num_timesteps == 64


def test_observations_it_cannot_read_are_named(encoder: TFTEncoder) -> None:
    """An environment without account, or with shorter windows, is a `ConfigError` that names the remedy."""
    bare = FuturesTradingEnv(tiny_ppo.market(), replace(ENV, observe_account=False))
    with pytest.raises(ConfigError, match="observe_account=True"):
        PPO("MlpPolicy", bare, n_steps=8, batch_size=8, device="cpu", policy_kwargs=_kwargs(encoder))
    short = FuturesTradingEnv(tiny_ppo.market(), replace(ENV, window=30))
    with pytest.raises(ConfigError, match=r"reads windows \(60, 14\), found \(30, 14\)"):
        _ppo(encoder, short)
