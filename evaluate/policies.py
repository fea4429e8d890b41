"""Trains several algorithms with several seeds and compares them on the validation slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from quantum_trader.envs.config import to_plain
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.files import write_json
from quantum_trader.evaluate.experiment import prepare_run
from quantum_trader.evaluate.run_config import RunConfig
from quantum_trader.evaluate.run_stages import Say, Stages
from quantum_trader.evaluate.run_train import Fitting
from quantum_trader.train.rl.config import ALGORITHMS, Algorithm

_SHOWN = {
    "best_tried_utility": "best tried",
    "validation_log_return": "log return",
    "validation_trades": "trades",
    "validation_win_rate": "win rate",
    "validation_exposure": "exposure",
    "validation_drawdown": "drawdown",
    "validation_costs": "costs",
}


@dataclass(frozen=True, kw_only=True)
class TrainedPolicy:
    """One algorithm, one seed."""

    algorithm: Algorithm
    seed: int
    metrics: dict[str, float]
    """Validation figures of the kept policy (`quantum_trader.train.rl.validation.ValidationResult`)."""


def train_policies(
    config: RunConfig, algorithms: Sequence[Algorithm], seeds: int, say: Say
) -> list[TrainedPolicy]:
    """Fit the run's TFT where it is missing, then each algorithm with each seed on its encoder.

    What an earlier start finished is kept. Policies are written to OUT/NAME/models/ALGORITHM and
    ALGORITHM-seedK, their figures to OUT/NAME/policies.json.

    Raises:
        ConfigError: an unknown algorithm, none, or no seed.
    """
    unknown: list[str] = sorted(set(algorithms) - set(ALGORITHMS))
    if unknown or not algorithms:
        found_instead = unknown[0] if unknown else "none"
        raise ConfigError(f"algorithms: expected some of {', '.join(ALGORITHMS)}, found {found_instead}.")
    if seeds < 1:
        raise ConfigError(f"seeds: expected at least 1, found {seeds}.")
    prepared = prepare_run(config, say)
    path = config.folder / "config.json"
    if not path.exists():
        write_json(path, to_plain(config))
    fitting = Fitting(config.seeded(), prepared, Stages(config.folder, say))
    tft = fitting.tft()
    found: list[TrainedPolicy] = []
    for algorithm in algorithms:
        for seed in range(seeds):
            metrics = fitting.policy_metrics(tft, algorithm, seed)
            found.append(TrainedPolicy(algorithm=algorithm, seed=seed, metrics=metrics))
            write_json(config.folder / "policies.json", [to_plain(policy) for policy in found])
    return found


def policy_table(policies: Sequence[TrainedPolicy]) -> str:
    """Lines of text: per algorithm the median over seeds of each figure, with the log return's range.

    "best tried" is the mean utility of the best policy tried: where it is not above 0, the policy kept stays
    out.
    """
    width = max(len(policy.algorithm) for policy in policies)
    heads = " ".join(f"{title:>10}" for title in _SHOWN.values())
    lines = [f"{'validation':<{width}} {heads}   lowest ... highest log return"]
    for algorithm in dict.fromkeys(policy.algorithm for policy in policies):
        mine = [policy.metrics for policy in policies if policy.algorithm == algorithm]
        medians = " ".join(f"{median(each[name] for each in mine):>10.4f}" for name in _SHOWN)
        returns = [each["validation_log_return"] for each in mine]
        lines.append(f"{algorithm:<{width}} {medians}   {min(returns):.4f} ... {max(returns):.4f}")
    return "\n".join(lines)
