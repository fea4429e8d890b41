"""PPO (Schulman et al. 2017) in one file: PyTorch and the vector environment. Copy it and change it.

`python examples/ppo_from_scratch.py --total-steps 200000` trains on the first 80 % of the bars, then trades
the rest once, without chance. Shapes: T steps of a rollout, N accounts, D numbers of an encoded state.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor, nn

from quantum_trader import envs
from quantum_trader.envs.policy_pass import decide_in_turn
from quantum_trader.envs.windows import gather


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Options of the command line."""

    data: str = "sample"  # .parquet or .csv file of bars; "sample" is the embedded hourly EURUSD of 2017
    seed: int = 0  # one seed, one result
    total_steps: int = 200_000  # steps of all accounts together, cut to whole rollouts
    num_envs: int = 64  # accounts stepped together
    rollout_steps: int = 128  # steps of each account between updates
    epochs: int = 4  # passes over each rollout
    minibatch_size: int = 1024  # rows per gradient step
    learning_rate: float = 1e-3  # of Adam, falling linearly to zero
    gamma: float = 0.97  # discount per bar: 0.97 looks about 33 bars ahead
    gae_lambda: float = 0.95  # lower trusts the critic more
    clip: float = 0.2  # how far an action's probability ratio may move per update
    entropy_coef: float = 0.003  # bonus for undecided policies
    value_coef: float = 0.5  # weight of the critic's loss
    max_grad_norm: float = 0.5  # longer gradients are shortened to this
    reward_scale: float = 100.0  # hourly log returns, about 0.001, are too small for the critic
    # Any rules with discrete actions and an observed account; held-out bars are one episode under the same.
    env: envs.EnvConfig = envs.EnvConfig(random_start=True, random_length=True, episode_bars=336)  # noqa: RUF009 (it is frozen)


def mlp(inputs: int, outputs: int, gain: float) -> nn.Sequential:
    layers = nn.Linear(inputs, 64), nn.Linear(64, 64), nn.Linear(64, outputs)
    for layer, scale in zip(layers, (2**0.5, 2**0.5, gain), strict=True):
        nn.init.orthogonal_(layer.weight, scale)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])


def encode(observation: dict[str, Any]) -> Tensor:
    """The last 8 bars, means of 20 and 60, account, context [N, D]: a copy, as the env reuses its arrays."""
    window = observation["window"]
    bars = window[:, -8:].reshape(len(window), -1), window[:, -20:].mean(axis=1), window.mean(axis=1)
    return torch.from_numpy(np.concatenate([*bars, observation["account"], observation["context"]], axis=1))


def gae(rewards: Tensor, values: Tensor, after: Tensor, stops: Tensor, ends: Tensor, s: Settings) -> Tensor:
    """Advantages [T, N] (Schulman et al. 2016): none flows back over a step that `ends` an episode. `after`,
    the value of the state reached, counts where that was a truncation, and not where the episode `stops`."""
    errors = rewards + s.gamma * after * ~stops - values
    advantages, ahead = torch.zeros_like(errors), torch.zeros_like(errors[0])
    for t in reversed(range(len(errors))):
        advantages[t] = ahead = errors[t] + s.gamma * s.gae_lambda * ahead * ~ends[t]
    return advantages


def train(market: envs.Market, s: Settings) -> tuple[nn.Module, nn.Module]:
    """The trained actor and critic."""
    env: Any = envs.FuturesTradingVectorEnv(market, s.num_envs, s.env)
    state, count = encode(env.reset(seed=s.seed)[0]), int(env.single_action_space.n)
    actor, critic = mlp(state.shape[1], count, gain=0.01), mlp(state.shape[1], 1, gain=1.0)
    weights = [*actor.parameters(), *critic.parameters()]
    optimiser = torch.optim.Adam(weights, eps=1e-5)
    batch, began = s.num_envs * s.rollout_steps, time.perf_counter()
    updates = max(s.total_steps // batch, 1)
    for update in range(1, updates + 1):
        rows, returns = [], []  # 1. Play.
        for _ in range(s.rollout_steps):
            with torch.no_grad():
                action = torch.multinomial(actor(state).softmax(dim=1), 1)[:, 0]
            observation, reward, terminated, truncated, infos = env.step(action.numpy())
            ended, following = terminated | truncated, encode(observation)
            reached = following.clone()
            if infos:  # accounts that ended show their next episode already; final_obs is what they reached
                last = infos["final_obs"][ended]
                reached[ended] = encode({part: np.stack([each[part] for each in last]) for part in last[0]})
                returns += infos["final_info"]["episode_return"][ended].tolist()
            rows.append((state, reached, action, *map(torch.from_numpy, (reward, terminated, ended))))
            state = following
        states, reached, actions, rewards, stops, ends = map(torch.stack, zip(*rows, strict=True))
        with torch.no_grad():  # 2. Judge: what came out better than the critic had thought?
            values = critic(states)[..., 0]
            rewards = rewards.float() * s.reward_scale
            advantages = gae(rewards, values, critic(reached)[..., 0], stops, ends, s)
            targets, gains = (advantages + values).view(-1, 1), advantages.view(-1, 1)
            gains = (gains - gains.mean()) / (gains.std(correction=0) + 1e-8)
            states, actions = states.flatten(0, 1), actions.view(-1, 1)
            before = actor(states).log_softmax(dim=1).gather(1, actions)
        optimiser.param_groups[0]["lr"] = s.learning_rate * (1 - (update - 1) / updates)
        for _ in range(s.epochs):  # 3. Learn.
            for some in torch.split(torch.randperm(batch), s.minibatch_size):
                policy = actor(states[some]).log_softmax(dim=1)
                ratio = (policy.gather(1, actions[some]) - before[some]).exp()
                clipped = ratio.clamp(1 - s.clip, 1 + s.clip)
                gain = torch.minimum(ratio * gains[some], clipped * gains[some]).mean()
                entropy = -(policy.exp() * policy).sum(dim=1).mean()
                error = (critic(states[some]) - targets[some]).square().mean()
                optimiser.zero_grad()
                (s.value_coef * error - gain - s.entropy_coef * entropy).backward()
                nn.utils.clip_grad_norm_(weights, s.max_grad_norm)
                optimiser.step()
        if update % max(updates // 8, 1) == 0:
            steps, mean = update * batch, np.mean(returns or [np.nan])
            shares = np.bincount(actions[:, 0], minlength=count) / batch
            speed = f"step {steps:9,}  {steps / (time.perf_counter() - began):7,.0f} steps/s"
            print(f"{speed}  log return {mean:+.4f}  actions {shares.round(2)}  entropy {entropy:.2f}")
    return actor, critic


def main(s: Settings) -> dict[str, Any]:
    """Train and validate; returns the networks and what the validation came to."""
    if s.env.actions == "continuous" or not s.env.observe_account:
        raise envs.ConfigError("Expected env.actions order or target and env.observe_account True: set them.")
    torch.set_num_threads(1)  # faster for networks this small
    torch.manual_seed(s.seed)
    bars = envs.sample_bars() if s.data == "sample" else envs.read_bars(Path(s.data))
    market, split = envs.Market.build(bars, envs.guess_preset(bars.symbol)), len(bars) * 4 // 5
    market = market.with_scaler(envs.fit_scaler([market.features[:split]]))
    actor, critic = train(market.rows(0, split), s)
    rest = market.rows(split, len(bars))  # no window in it reaches back into the training bars

    def act(_: Any, bar: Any, account: Any) -> Any:
        window, context = gather(rest.table, bar, s.env.window), rest.context[bar]
        return actor(encode({"window": window, "account": account, "context": context})).argmax(dim=1).numpy()

    policy: Any = SimpleNamespace(act=act)
    actions = decide_in_turn(policy, [rest], s.env)[0]  # long gaps are crossed without a position
    record = envs.run_actions(rest, actions, s.env)
    equity, trades = record.equity[-1] / record.initial_balance, len(record.closed)
    shares = np.bincount(actions[rest.usable], minlength=3) / rest.usable.sum()
    print(f"held out: {len(record)} bars  equity x {equity:.4f}  {trades} trades  actions {shares.round(2)}")
    return {"actor": actor, "critic": critic, "equity": equity, "trades": trades, "shares": shares}


if __name__ == "__main__":
    main(tyro.cli(Settings))
