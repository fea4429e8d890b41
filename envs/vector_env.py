"""`FuturesTradingVectorEnv`: many accounts in one compiled loop, as a Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from quantum_trader.envs.batch import in_range, open_accounts
from quantum_trader.envs.config import to_plain
from quantum_trader.envs.custom_reward import RewardFunction, put_rewards
from quantum_trader.envs.env import as_markets
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.files import json_sha256
from quantum_trader.envs.joined import JoinedMarkets, join_markets
from quantum_trader.envs.layout import ACCOUNT, QUOTE, matrix, records
from quantum_trader.envs.market import Market
from quantum_trader.envs.masks import action_masks
from quantum_trader.envs.observer import ObservationKind, Observer, observer_for
from quantum_trader.envs.records import COLUMN, INFO_FIELDS
from quantum_trader.envs.spaces import action_space
from quantum_trader.envs.starts import draw_starts, start_limits

if TYPE_CHECKING:
    from quantum_trader.envs.sb3 import FuturesVecEnv

Floats32 = NDArray[np.float32]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]

_FINAL = (*INFO_FIELDS, "bar", "episode_return", "episode_bars")
_FINAL_COLUMNS = [COLUMN[name] for name in (*INFO_FIELDS.values(), "row", "episode_return", "step")]
_FINAL_MASKS = [f"_{name}" for name in _FINAL]
_IDENTITY = {
    "num_envs": "number of accounts",
    "rows": "number of bars",
    "markets": "set of markets or contracts",
    "config": "config",
    "autoreset_mode": "autoreset mode",
    "account": "version of the account's fields",
}
"""Key in a snapshot's identity -> what it says in a message."""


class FuturesTradingVectorEnv(VectorEnv[Any, Any, NDArray[Any]]):
    """`num_envs` independent accounts, each equal to the bit to a `FuturesTradingEnv` with the same seed.

    Observations, actions, rewards and ends are those of `FuturesTradingEnv` (its docstring is the
    specification) with a leading axis of `num_envs`. `reset(seed=s)` seeds account i with s + i.

    Observation kinds:
        "window": the same observation, batched.
        "table": `Dict(embedding f32 [N, D], account f32 [N, k])`, the bar looked up in `tables`, for
            networks whose encoder was run over every bar beforehand.
        "index": `Dict(market i64 [N], bar i64 [N], account f32 [N, k])`, for callers that look things up
            themselves. Without `config.observe_account`, "table" is the bare embedding and "index" has no
            account.

    Autoreset: `AutoresetMode.SAME_STEP` (default) returns the first observation of the next episode and
    puts the last one of the old into `infos["final_obs"]`; `NEXT_STEP` returns the last one and ignores the
    next action; `DISABLED` leaves finished accounts as they are until `reset(options={"reset_mask":
    mask})`.

    Infos hold entries only for accounts that finished in this step: "final_info" (the single environment's
    info) and "final_obs" with `SAME_STEP`; account numbers of every step are the properties `equity`,
    `position`, ...

    Observation arrays alternate between two buffers: an observation stays valid for one further step and is
    then written over. Copy what must live longer.

    `snapshot()` is everything that decides how the accounts go on, and `restore(snapshot)` makes them go on
    from there, here or in another environment made with the same arguments.

    Args:
        markets: one or several markets that all accounts share; None is the embedded sample.
        num_envs: number of accounts.
        config: shared by all accounts.
        observation: "window", "table" or "index".
        tables: with "table": per market float32 [T, D], row t computed from bars up to t only.
        autoreset_mode: see above.
        reward_function: a reward of your own instead of `config.reward`.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (Gymnasium declares it as an instance variable)
        "render_modes": [],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        markets: Market | Sequence[Market] | None = None,
        num_envs: int = 1,
        config: EnvConfig | None = None,
        observation: ObservationKind = "window",
        tables: Sequence[Floats32] | None = None,
        autoreset_mode: AutoresetMode | Literal["SameStep", "NextStep", "Disabled"] = AutoresetMode.SAME_STEP,
        reward_function: RewardFunction | None = None,
    ) -> None:
        if not isinstance(num_envs, (int, np.integer)) or num_envs < 1:
            raise ConfigError(f"num_envs must be at least 1, found {num_envs!r}.")
        self.num_envs = num_envs
        self.render_mode = None
        self.reward_function = reward_function
        self.config = config if config is not None else EnvConfig()
        self.joined: JoinedMarkets = join_markets(as_markets(markets), self.config)
        if autoreset_mode not in (*AutoresetMode, *(mode.value for mode in AutoresetMode)):
            known = ", ".join(mode.value for mode in AutoresetMode)
            raise ConfigError(f"autoreset_mode must be one of {known}, found {autoreset_mode!r}.")
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.single_action_space = action_space(self.config)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._observer: Observer = observer_for(observation, self.joined, self.config, num_envs, tables)
        self.single_observation_space = self._observer.space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._limits = start_limits(self.config)
        self._matrix = matrix(num_envs, ACCOUNT)
        self._everyone: Indices = np.arange(num_envs)
        self._random: list[np.random.Generator] = []
        self._done: Mask = np.zeros(num_envs, dtype=np.bool_)
        self._link()

    def _link(self) -> None:
        """The account matrix by field, made once because making a view costs more than using it."""
        self.accounts = records(self._matrix, ACCOUNT)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Views do not survive pickling or deep copies: make them again."""
        self.__dict__.update(state)
        self._link()

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode in every account, or in those of `options["reset_mask"]` (bool [num_envs])."""
        unknown = sorted(set(options or {}) - {"reset_mask"})
        if unknown:
            raise ConfigError(
                f'The only option of a vector environment is "reset_mask", found {unknown[0]!r}; '
                "FuturesTradingEnv starts where it is told."
            )
        mask = (options or {}).get("reset_mask")
        if mask is not None and not self._random:
            raise ResetNeeded("The first reset is of every account: call it without a reset_mask.")
        if mask is not None and (np.shape(mask) != (self.num_envs,) or np.asarray(mask).dtype != np.bool_):
            raise ValueError(f'options["reset_mask"] must be a bool array of shape ({self.num_envs},).')
        self._seed(seed)
        which = self._everyone if mask is None else np.flatnonzero(mask)
        self._open(which)
        return self._observer.observe(self._matrix), {}

    def step(self, actions: Any) -> tuple[Any, NDArray[Any], Mask, Mask, dict[str, Any]]:
        """One bar for every account."""
        if not self._random:
            raise ResetNeeded("Call reset() before step().")
        ended = self._done
        if self.autoreset_mode == AutoresetMode.DISABLED and ended.any():
            raise ResetNeeded('Finished accounts wait for reset(options={"reset_mask": mask}).')
        orders = self._checked(actions)
        before = self._matrix.copy() if self.reward_function is not None else self._matrix
        rewards = np.empty(self.num_envs)
        terminated, truncated = np.empty(self.num_envs, np.bool_), np.empty(self.num_envs, np.bool_)
        finished, observation = self._observer.step(self._matrix, orders, rewards, terminated, truncated)
        if self.reward_function is not None:
            put_rewards(self.reward_function, before, self._matrix, ~ended)
            rewards[:] = self.accounts["reward"]
        if self.autoreset_mode == AutoresetMode.NEXT_STEP and ended.any():
            begun = np.flatnonzero(ended)
            self._open(begun)
            self._observer.refresh(self._matrix, begun)
        self._done = terminated | truncated
        infos = self._finish(observation) if finished else {}
        return observation, rewards, terminated, truncated, infos

    def snapshot(self) -> dict[str, Any]:
        """Where every account stands: given the same actions, restored accounts go on alike to the bit.

        Nothing in it is shared with the environment. A `reward_function` and the state of wrappers are not in
        it. The first snapshot hashes every bar of the markets.

        Returns:
            "identity" (numbers and hashes of what the environment was made with), "accounts" (float64 [N,
            fields of `quantum_trader.envs.layout.Account`]), "finished" (bool [N]: waiting for a reset) and
            "random" (N states of NumPy bit generators): dicts, lists, arrays, whole numbers and strings.

        Raises:
            ResetNeeded: no episode has been started.
        """
        if not self._random:
            raise ResetNeeded("Call reset() before snapshot().")
        return {
            "identity": dict(self._identity),
            "accounts": self._matrix.copy(),
            "finished": self._done.copy(),
            "random": [generator.bit_generator.state for generator in self._random],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> Any:
        """Let the accounts go on from `snapshot`, without a reset before; nothing changes if it is refused.

        Args:
            snapshot: from `snapshot()`; its arrays may have become tensors of the same type.

        Returns:
            What the accounts see, as `reset` returns it.

        Raises:
            ConfigError: the snapshot is of another number of accounts, of other markets, another config or
                another autoreset mode, or damaged.
        """
        self._refuse_other(snapshot)
        try:
            accounts, finished = np.asarray(snapshot["accounts"]), np.asarray(snapshot["finished"])
            random = [_generator(state) for state in snapshot["random"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"The snapshot is damaged ({error!r}); take another one.") from error
        if len(random) != self.num_envs or not self._can_stand(accounts, finished):
            raise ConfigError(
                f"The snapshot is damaged: expected {self.num_envs} accounts (float64) on bars of these "
                f"markets, {self.num_envs} flags (bool) and generators, found {accounts.dtype} "
                f"{accounts.shape}, {finished.dtype} {finished.shape} and {len(random)}; take another one."
            )
        self._matrix[:] = accounts
        self._done = finished.copy()
        self._random = random
        return self._observer.observe(self._matrix)

    def to_sb3(self) -> FuturesVecEnv:
        """These accounts as a stable-baselines3 `VecEnv`, without a Python loop over environments."""
        from quantum_trader.envs.sb3 import FuturesVecEnv

        return FuturesVecEnv(self)

    def action_masks(self) -> Mask:
        """bool [num_envs, actions]: see `quantum_trader.envs.masks.action_masks`."""
        return action_masks(self._matrix, self.config)

    @property
    def equity(self) -> NDArray[np.float64]:
        """float64 [num_envs], after an autoreset already that of the new episode."""
        return self.accounts["equity"].copy()

    @property
    def position(self) -> NDArray[np.float64]:
        """float64 [num_envs]: signed base units."""
        return self.accounts["quantity"].copy()

    @property
    def bar(self) -> Indices:
        """int64 [num_envs]: index of the bar last seen, in each account's own market."""
        offsets = self.joined.offsets[self.market]
        return self.accounts["row"].astype(np.int64) - offsets

    @property
    def market(self) -> Indices:
        """int64 [num_envs]: which market each account trades."""
        return self.accounts["market"].astype(np.int64)

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """What a snapshot must have in common with this environment, one entry for each of `_IDENTITY`."""
        markets = [[market.bars.digest, to_plain(market.contract)] for market in self.joined.markets]
        return {
            "num_envs": int(self.num_envs),
            "rows": len(self.joined.bars),
            "markets": json_sha256(_canonical(markets)),
            "config": json_sha256(_canonical(to_plain(self.config))),
            "autoreset_mode": self.autoreset_mode.value,
            "account": json_sha256(list(ACCOUNT.names or ())),
        }

    def _refuse_other(self, snapshot: Any) -> None:
        found = snapshot.get("identity") if isinstance(snapshot, Mapping) else None
        if not isinstance(found, Mapping):
            raise ConfigError(
                "Expected what snapshot() of a FuturesTradingVectorEnv returned, found "
                f"{type(snapshot).__name__} without an identity."
            )
        for name, expected in self._identity.items():
            if found.get(name) != expected:
                raise ConfigError(
                    f"The snapshot was taken with another {_IDENTITY[name]}: expected {expected!r}, found "
                    f"{found.get(name)!r}; make the environment as it was made then."
                )

    def _can_stand(self, accounts: NDArray[Any], finished: NDArray[Any]) -> bool:
        """Whether arrays of a snapshot fit: compiled loops look bars up without checking a row again."""
        if accounts.shape != self._matrix.shape or accounts.dtype != np.float64:
            return False
        if finished.shape != (self.num_envs,) or finished.dtype != np.bool_:
            return False
        account = records(np.ascontiguousarray(accounts), ACCOUNT)
        first, end = self.config.window - 1, len(self.joined.bars)
        if not ((account["row"] >= first) & (account["row"] < end)).all():
            return False
        row = account["row"].astype(np.int64)
        ended = (account["terminated"] != 0.0) | (account["truncated"] != 0.0)
        going = records(self.joined.bars, QUOTE)["open_ended"][row] != 0.0
        at_home = account["market"] == self.joined.market_of(row)
        return bool(at_home.all() and (going | ended).all() and (ended == finished).all())

    def _finish(self, observation: Any) -> dict[str, Any]:
        """Infos of the accounts that finished; with SAME_STEP they start anew and `observation` shows it."""
        mask = self._done.copy()
        which = np.flatnonzero(mask)
        infos = self._final_infos(which, mask)
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            final = np.empty(self.num_envs, dtype=object)  # None everywhere
            for i in which.tolist():
                final[i] = self._observer.one(observation, i)
            infos["final_obs"], infos["_final_obs"] = final, mask
            self._open(which)
            self._observer.refresh(self._matrix, which)
        return infos

    def _final_infos(self, which: Indices, mask: Mask) -> dict[str, Any]:
        """Each number as an array [num_envs] with its mask, as Gymnasium lays out vector infos."""
        # One matrix: an array for each name would take four times as long.
        spread = np.zeros((len(_FINAL), self.num_envs))
        spread[:, which] = self._matrix[which][:, _FINAL_COLUMNS].T
        final: dict[str, Any] = dict(zip(_FINAL, spread, strict=True))
        final["bar"][which] -= self.joined.offsets[self.accounts["market"][which].astype(np.int64)]
        final.update(dict.fromkeys(_FINAL_MASKS, mask))
        return {"final_info": final, "_final_info": mask}

    def _open(self, which: Indices) -> None:
        starts = draw_starts(self.joined, self._limits, [self._random[i] for i in which])
        open_accounts(self._matrix, which, starts, self.joined.rules)
        self._done[which] = False

    def _seed(self, seed: int | Sequence[int | None] | None) -> None:
        if seed is None and self._random:
            return
        seeds = [None] * self.num_envs if seed is None else seed
        if isinstance(seeds, (int, np.integer)):
            seeds = [int(seeds) + i for i in range(self.num_envs)]
        if not isinstance(seeds, Sequence):
            raise ValueError(f"Expected a whole number or {self.num_envs} of them as seed, found {seed!r}.")
        if len(seeds) != self.num_envs:
            raise ValueError(f"Expected {self.num_envs} seeds, found {len(seeds)}.")
        fresh = [seeding.np_random(each)[0] if each is not None else None for each in seeds]
        old = self._random or [seeding.np_random(None)[0] for _ in seeds]
        self._random = [new if new is not None else kept for new, kept in zip(fresh, old, strict=True)]

    def _checked(self, actions: Any) -> NDArray[np.float64]:
        try:
            chosen = np.asarray(actions, dtype=np.float64).reshape(-1)
        except (TypeError, ValueError) as error:
            raise InvalidAction(f"Expected {self.num_envs} actions, found {actions!r}.") from error
        space = self.single_action_space
        low, high = (0.0, float(space.n) - 1.0) if isinstance(space, spaces.Discrete) else (-1.0, 1.0)
        if chosen.shape != (self.num_envs,) or not in_range(chosen, low, high):
            raise InvalidAction(
                f"Expected {self.num_envs} actions from {low:g} to {high:g}, found shape {np.shape(actions)} "
                f"from {chosen.min(initial=np.inf):g} to {chosen.max(initial=-np.inf):g}."
            )
        if high > 1.0 and getattr(actions, "dtype", chosen.dtype).kind == "f" and (chosen % 1.0).any():
            raise InvalidAction(f"Actions must be whole numbers from 0 to {high:g}, found fractions.")
        return chosen


def _generator(state: Any) -> np.random.Generator:
    """A generator that goes on from `state`, of the kind that Gymnasium's seeding makes."""
    bits = np.random.PCG64(0)
    bits.state = state
    return np.random.Generator(bits)


def _canonical(value: Any) -> Any:
    """Plain values with numbers as text, the same for equal ones: 5, 5.0 and NumPy's; JSON lacks infinity."""
    if isinstance(value, dict):
        return {name: _canonical(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return repr(float(value)) if isinstance(value, (Real, np.bool_)) else value
