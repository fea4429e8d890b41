"""Everything that decides how a training goes on, as plain values and tensors: what a checkpoint holds."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.save_util import recursive_getattr
from torch import Tensor

from quantum_trader.train.rl.environment import TrainingVecEnv

_COUNTERS = ("num_timesteps", "_n_updates", "_n_calls", "_episode_num", "exploration_rate")
_REPLAYED = ("actions", "rewards", "dones", "timeouts")


def capture(model: BaseAlgorithm, env: TrainingVecEnv) -> dict[str, Any]:
    """State of a model between a gradient step and the next rollout, for `restore`.

    It holds weights, optimisers, counters, accounts, recurrent state, replay buffer, and the generators of
    torch, numpy, Python and the action space.
    """
    names, variables = model._get_torch_save_params()
    return {
        "modules": {name: recursive_getattr(model, name).state_dict() for name in names},
        "variables": {name: recursive_getattr(model, name).detach().clone() for name in variables},
        "counters": {name: getattr(model, name) for name in _COUNTERS if hasattr(model, name)},
        "episodes": [dict(info) for info in model.ep_info_buffer or ()],
        "accounts": _tensors(env.accounts.snapshot()),
        "episode_starts": torch.from_numpy(np.array(model._last_episode_starts)),
        "memory": _memory(model),
        "replay": _replay(getattr(model, "replay_buffer", None)),
        "random": _random_state(model),
    }


def restore(model: BaseAlgorithm, env: TrainingVecEnv, state: dict[str, Any]) -> None:
    """Put a captured state into a model that was built alike; `learn` then goes on as if never cut off."""
    for name, values in state["modules"].items():
        recursive_getattr(model, name).load_state_dict(values)
    with torch.no_grad():
        for name, value in state["variables"].items():
            recursive_getattr(model, name).copy_(value)
    for name, value in state["counters"].items():
        setattr(model, name, value)
    # Left alone by `learn` because an observation is there: otherwise it would begin all episodes anew.
    model._last_obs = env.accounts.restore(state["accounts"])
    model._last_episode_starts = state["episode_starts"].numpy()
    model.ep_info_buffer = deque(state["episodes"], maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    if state["memory"] is not None:
        kind: Any = type(model._last_lstm_states)  # type: ignore[attr-defined]
        model._last_lstm_states = kind(*(tuple(pair) for pair in state["memory"]))  # type: ignore[attr-defined]
    if state["replay"] is not None:
        _refill(model.replay_buffer, state["replay"])  # type: ignore[attr-defined]
    _set_random_state(model, state["random"])


def _memory(model: BaseAlgorithm) -> list[list[Tensor]] | None:
    states = getattr(model, "_last_lstm_states", None)
    return None if states is None else [[part.clone() for part in pair] for pair in states]


def _replay(buffer: ReplayBuffer | None) -> dict[str, Any] | None:
    """The filled part of a replay buffer."""
    if buffer is None:
        return None
    size = buffer.size()
    observed: Any = {"observations": buffer.observations, "next_observations": buffer.next_observations}
    return {
        "position": buffer.pos,
        "full": buffer.full,
        "arrays": {name: torch.from_numpy(getattr(buffer, name)[:size].copy()) for name in _REPLAYED},
        "observed": {
            name: {part: torch.from_numpy(values[:size].copy()) for part, values in parts.items()}
            for name, parts in observed.items()
        },
    }


def _refill(buffer: ReplayBuffer, saved: dict[str, Any]) -> None:
    buffer.pos, buffer.full = saved["position"], saved["full"]
    for name, values in saved["arrays"].items():
        getattr(buffer, name)[: len(values)] = values.numpy()
    for name, parts in saved["observed"].items():
        for part, values in parts.items():
            getattr(buffer, name)[part][: len(values)] = values.numpy()


def _random_state(model: BaseAlgorithm) -> dict[str, Any]:
    _, words, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    version, numbers, extra = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "numpy": {
            "words": torch.from_numpy(np.asarray(words).astype(np.int64)),
            "rest": [int(position), int(has_gauss), float(gauss)],
        },
        "python": {"version": version, "numbers": list(numbers), "extra": extra},
        "actions": model.action_space.np_random.bit_generator.state,
    }


def _set_random_state(model: BaseAlgorithm, saved: dict[str, Any]) -> None:
    torch.set_rng_state(saved["torch"])
    words: NDArray[np.uint32] = saved["numpy"]["words"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", words, *saved["numpy"]["rest"]))  # noqa: NPY002
    python = saved["python"]
    random.setstate((python["version"], tuple(python["numbers"]), python["extra"]))
    model.action_space.np_random.bit_generator.state = saved["actions"]


def _tensors(value: Any) -> Any:
    """`value` with every array as a tensor: a checkpoint read without running code knows no arrays."""
    if isinstance(value, dict):
        return {key: _tensors(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_tensors(item) for item in value]
    return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value
