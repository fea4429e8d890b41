"""Second phase: the policy goes on inside the full network, and the encoder learns with it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.agents.tft.precision import Precision
from quantum_trader.envs.vector_env import FuturesTradingVectorEnv
from quantum_trader.train.rl.activation import SigmoidTanh
from quantum_trader.train.rl.algorithms import falling
from quantum_trader.train.rl.config import RLConfig
from quantum_trader.train.rl.environment import TrainingVecEnv
from quantum_trader.train.rl.export import export_policy
from quantum_trader.train.rl.extractor import TFTFeaturesExtractor
from quantum_trader.train.rl.monitor import TrainingMonitor, Watch
from quantum_trader.train.rl.rates import TwoRatesPPO, split_rates
from quantum_trader.train.rl.table import EncodedMarket, encode_market
from quantum_trader.train.rl.validation import TablePolicy, ValidationResult, try_policy

_EVALUATIONS = 5
"""Each encodes the whole validation slice anew."""
_SEED_STEP = 1_000_003
"""Added to the seed, so that the second phase does not repeat the first one's episodes."""


class FineTuning:
    """A policy trained on the table, moved into the full network.

    At the hand-over every observation gets the same answer as before: the policy's weights are taken over,
    and what the table held is now computed. The policy as handed over is tried first, so a second phase that
    only makes it worse keeps it.

    Args:
        trained: the PPO model of the first phase, with the kept policy.
        train: the training markets.
        validation: the validation markets.
        tft: the agent whose encoder made the tables.
        config: settings of both phases.
        work: checkpoints, logs and the new encoder go below it.
        name: what their files are called.
        config_sha256: hash of everything that decides the result.
    """

    def __init__(
        self,
        trained: OnPolicyAlgorithm,
        train: Sequence[EncodedMarket],
        validation: Sequence[EncodedMarket],
        tft: TFTAgent,
        config: RLConfig,
        work: Path,
        *,
        name: str,
        config_sha256: str,
    ) -> None:
        self.name = name
        self._tft, self._config, self._work = tft, config, work
        settings = config.fine_tune
        accounts = FuturesTradingVectorEnv(
            [item.market for item in train], num_envs=settings.num_envs, config=config.env
        )
        env = TrainingVecEnv(accounts, config, shared_start=settings.shared_start)
        self.model = full_network(trained, env, tft, config)
        self.monitor = TrainingMonitor(
            self.model,
            env,
            lambda: self._try(validation),
            Watch(
                total_steps=settings.total_steps,
                evaluations=_EVALUATIONS,
                smoothing=1.0,
                patience=0,
                from_start=True,
            ),
            work / "checkpoints" / f"{name}.pt",
            config_sha256=config_sha256,
        )

    def save_encoder(self, before: Path) -> tuple[TFTAgent, Path]:
        """Write the fine-tuned encoder's model folder; returns the agent and the folder.

        Where the policy as handed over was kept, they are the encoder of the first phase, with which the
        TFT agent shares its pass, and its folder `before`.
        """
        agent = self._tuned()
        old, new = self._tft.model.state_dict(), agent.model.state_dict()
        if all(torch.equal(old[name], value) for name, value in new.items()):
            return self._tft, before
        folder = self._work / "encoders" / self.name
        agent.save(folder)
        precision: Precision = "bf16" if agent.bf16 else "fp32"
        return TFTAgent.load(folder, precision=precision, num_threads=agent.num_threads), folder

    def encoded(self, tft: TFTAgent, markets: Sequence[EncodedMarket]) -> list[EncodedMarket]:
        """The markets with the tables of another encoder."""
        return [encode_market(tft, item.market, self._config.features) for item in markets]

    def _tuned(self) -> TFTAgent:
        """The TFT with the weights as they are now; its heads answer as their new inputs make them."""
        before = self._tft
        network = copy.deepcopy(before.model)
        network.load_state_dict(_extractor(self.model).network.state_dict())
        return TFTAgent(
            network,
            scaler=before.scaler,
            return_scale=before.return_scale,
            calibration=before.calibration,
            provenance=replace(before.provenance, metrics={}),
            precision="bf16" if before.bf16 else "fp32",
            num_threads=before.num_threads,
        )

    def _try(self, validation: Sequence[EncodedMarket]) -> ValidationResult:
        encoded = self.encoded(self._tuned(), validation)
        network = export_policy(self.model, "ppo", self._config)
        policy = TablePolicy(network, [item.table for item in encoded])
        return try_policy(policy, encoded, self._config.env, self._config.risk_aversion)


def full_network(
    trained: OnPolicyAlgorithm, env: TrainingVecEnv, tft: TFTAgent, config: RLConfig
) -> TwoRatesPPO:
    """A PPO on windows that answers as `trained`, a PPO on tables of `tft`, does.

    Args:
        trained: model of the first phase.
        env: observes windows.
        tft: whose encoder made the tables.
        config: settings of both phases.
    """
    settings = config.fine_tune
    model = TwoRatesPPO(
        "MultiInputPolicy",
        env,
        n_steps=settings.rollout_steps,
        batch_size=min(settings.batch_size, settings.num_envs * settings.rollout_steps),
        n_epochs=settings.epochs,
        learning_rate=falling(settings.learning_rate, 0.0),
        gamma=trained.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=falling(config.clip_range, config.final_clip_range),
        ent_coef=config.entropy_coef,
        seed=config.seed + _SEED_STEP,
        device="cpu",
        policy_kwargs={
            "features_extractor_class": TFTFeaturesExtractor,
            "features_extractor_kwargs": {
                "tft": tft,
                "features": config.features,
                "account_hidden": config.account_hidden,
                "freeze": False,
                "precision": "bf16" if tft.bf16 else "fp32",
            },
            "activation_fn": SigmoidTanh,
            "net_arch": {"pi": list(config.layers), "vf": list(config.critic_layers)},
        },
    )
    found = model.policy.load_state_dict(trained.policy.state_dict(), strict=False)
    left = {key for key in found.missing_keys if ".network." not in key}
    assert not left
    assert not found.unexpected_keys
    split_rates(model.policy, _extractor(model).network.parameters(), settings.encoder_rate)
    return model


def _extractor(model: BaseAlgorithm) -> Any:
    return model.policy.features_extractor
