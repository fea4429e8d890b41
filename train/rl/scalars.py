"""TensorBoard scalars of a training, beside those of stable-baselines3."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantum_trader.train.rl.environment import TrainingVecEnv
from quantum_trader.train.rl.validation import ValidationResult

_SIDES = ("short", "flat", "long")
_ENDS = ("equity", "fees", "slippage", "funding", "trades", "liquidations")


class TrainingScalars:
    """Counts what the accounts in training do between two evaluations.

    Scalars, from the accounts' positions after each step and from the episodes that ended:
        `training/share_long`, `share_short`, `share_flat`: shares of account-bars with such a position.
        `training/equity`: mean of final / initial equity of the episodes.
        `training/fees`, `slippage`, `funding`: means per episode, as fractions of the initial balance.
        `training/trades`, `liquidations`: means per episode.
    """

    def __init__(self, env: TrainingVecEnv) -> None:
        self._env = env
        self._balance = env.accounts.config.initial_balance
        self._held = np.zeros(3)
        self._ended = np.zeros(len(_ENDS))
        self._episodes = 0

    def step(self, told: dict[str, Any]) -> None:
        """Count one step of all accounts, from the local variables of stable-baselines3's rollout."""
        side = np.sign(self._env.held).astype(np.int64)
        self._held += np.bincount(side + 1, minlength=3)
        for index in np.flatnonzero(told["dones"]):
            final = told["infos"][index]["final_info"]
            self._ended += [final[name] for name in _ENDS]
            self._episodes += 1

    def take(self) -> dict[str, float]:
        """The scalars since the last call."""
        counted = max(float(self._held.sum()), 1.0)
        shares = zip(_SIDES, self._held.tolist(), strict=True)
        found = {f"training/share_{side}": share / counted for side, share in shares}
        if self._episodes:
            means = dict(zip(_ENDS, self._ended / self._episodes, strict=True))
            for name in ("equity", "fees", "slippage", "funding"):
                means[name] /= self._balance
            found |= {f"training/{name}": float(value) for name, value in means.items()}
        self._held, self._ended, self._episodes = np.zeros(3), np.zeros(len(_ENDS)), 0
        return found

    def capture(self) -> dict[str, Any]:
        """The counts, as plain values."""
        return {"held": self._held.tolist(), "ended": self._ended.tolist(), "episodes": self._episodes}

    def restore(self, saved: dict[str, Any]) -> None:
        """Counts as captured."""
        self._held, self._ended = np.array(saved["held"]), np.array(saved["ended"])
        self._episodes = saved["episodes"]


def validation_scalars(result: ValidationResult) -> dict[str, float]:
    """`validation/...`: the fields of `ValidationResult`, the shares as `share_hold`, `_buy`, `_sell`."""
    figures = {f"validation/{name}": value for name, value in result._asdict().items() if name != "shares"}
    shares = zip(("hold", "buy", "sell"), result.shares, strict=True)
    return figures | {f"validation/share_{name}": value for name, value in shares}


def result_metrics(result: ValidationResult) -> dict[str, float]:
    """The same under names that a model folder keeps: `validation_...`."""
    return {name.replace("/", "_"): value for name, value in validation_scalars(result).items()}
