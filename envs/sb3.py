"""`FuturesVecEnv`: a `FuturesTradingVectorEnv` as a stable-baselines3 vector environment."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.records import INFO_FIELDS

if TYPE_CHECKING:
    from quantum_trader.envs.vector_env import FuturesTradingVectorEnv


class FuturesVecEnv(VecEnv):
    """All accounts step in one compiled loop; infos are what `Monitor` and `DummyVecEnv` would give.

    An account that finishes gets `infos[i]["terminal_observation"]`, `["TimeLimit.truncated"]`,
    `["episode"] = {"r": return, "l": steps, "t": seconds since the start}`, `["final_equity"]` and
    `["final_info"]`: its last numbers as floats, named as in the infos of `FuturesTradingEnv` (equity,
    balance, position, units, entry_price, margin, liquidation_price; gross_pnl, fees, slippage, funding,
    liquidation_costs, liquidations and trades since the start of the episode). Other infos are empty.

    `.env` is the vector environment: `.env.snapshot()` and `.env.restore(snapshot)` let accounts go on.

    Observations alternate between two buffers, which the rollout buffers of stable-baselines3 copy from.
    """

    def __init__(self, env: FuturesTradingVectorEnv) -> None:
        if env.autoreset_mode != AutoresetMode.SAME_STEP:
            raise ConfigError(
                f"stable-baselines3 needs autoreset SAME_STEP, found {env.autoreset_mode.name}."
            )
        self.env = env
        self._actions: Any = None
        self._started = time.time()
        self._empty: list[dict[str, Any]] = [{} for _ in range(env.num_envs)]
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> Any:
        seeds = self._seeds if any(seed is not None for seed in self._seeds) else None
        observation, _ = self.env.reset(seed=seeds)
        self._reset_seeds()
        self._reset_options()
        return observation

    def step_async(self, actions: NDArray[Any]) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[Any, NDArray[Any], NDArray[Any], list[dict[str, Any]]]:
        observation, rewards, terminated, truncated, finished = self.env.step(self._actions)
        # A thousand new dictionaries take as long as the account rules; nobody writes into empty ones, or
        # else they are made anew.
        if any(self._empty):
            self._empty = [{} for _ in range(self.num_envs)]
        infos = self._empty.copy()
        if finished:
            self._describe_ends(infos, truncated, finished)
        return observation, rewards.astype(np.float32), terminated | truncated, infos

    def _describe_ends(
        self, infos: list[dict[str, Any]], truncated: NDArray[np.bool_], finished: dict[str, Any]
    ) -> None:
        final, seconds = finished["final_info"], round(time.time() - self._started, 6)
        which = np.flatnonzero(finished["_final_info"])
        names = ("episode_return", "episode_bars", *INFO_FIELDS)
        numbers = zip(*(final[name][which].tolist() for name in names), strict=True)
        for i, (total, bars, *last) in zip(which.tolist(), numbers, strict=True):
            final_info = dict(zip(INFO_FIELDS, last, strict=True))
            infos[i] = {
                "terminal_observation": finished["final_obs"][i],
                "TimeLimit.truncated": bool(truncated[i]),
                "episode": {"r": round(total, 6), "l": int(bars), "t": seconds},
                "final_equity": final_info["equity"],
                "final_info": final_info,
            }

    def close(self) -> None:
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.env, attr_name)] * len(self._indices(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self.env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Accounts are no environments of their own: the call goes to the vector environment, once.

        "action_masks", which MaskablePPO calls, gives every account its own.
        """
        result = getattr(self.env, method_name)(*method_args, **method_kwargs)
        if method_name == "action_masks":
            return [result[i] for i in self._indices(indices)]
        return [result] * len(self._indices(indices))

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """True for `Monitor`, whose episode infos are given; False for every other wrapper."""
        from stable_baselines3.common.monitor import Monitor

        return [wrapper_class is Monitor] * len(self._indices(indices))

    def _indices(self, indices: int | Iterable[int] | None) -> Sequence[int]:
        return list(self._get_indices(indices))
