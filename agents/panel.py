"""`Panel`: the members are asked, their calibrated probabilities pooled and gated; no history, no state."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.arbiter_settings import ArbiterSettings, GateSettings
from quantum_trader.agents.batcher import ROWS
from quantum_trader.agents.breaker import CircuitBreaker
from quantum_trader.agents.decision import Decisions
from quantum_trader.agents.live_config import LiveConfig
from quantum_trader.agents.opinion import Opinion, settle, silent
from quantum_trader.agents.pool import log_opinion_pool, pooled
from quantum_trader.agents.signals import Agent, ModelInputs, Signals
from quantum_trader.agents.timed_member import RESTING, Question, TimedMember
from quantum_trader.envs.scaler import FeatureScaler

if TYPE_CHECKING:
    from quantum_trader.agents.network_agent import Encoded
    from quantum_trader.agents.policy_agent import PolicyAgent
    from quantum_trader.agents.tft.agent import TFTAgent

Floats32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

LAST_RESORT_MS = 1_000.0
"""Least budget of XGBoost where there is one: a HOLD for want of an answer is worse than a late answer."""
TITLES = {"tft": "TFT", "ppo": "PPO", "xgboost": "XGBoost"}
"""What reasons call the members."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class NetworkVotes:
    """What one encoder pass has to say of `B` rows.

    Attributes:
        tft: its calibrated signals.
        policy: float32 [B, 3], PPO's probabilities; None where it is missing, rests or fails.
    """

    tft: Signals
    policy: Floats32 | None

    def part(self, rows: slice) -> NetworkVotes:
        """The same of `rows` alone."""
        policy = None if self.policy is None else self.policy[rows]
        return NetworkVotes(tft=self.tft.part(rows), policy=policy)


class Panel:
    """The members of an Arbiter and the order in which they are believed.

    Args:
        tft, ppo, fallback: the members; None where missing.
        settings: pool, gates and limits.
        scaler: fitted on training rows, the members' own.
        live: how failing members are left to rest.

    Attributes:
        always_ask: members whose vote is wanted even where the decision does not need it ("xgboost").
        breakers: one for each member; only guarded calls ask them.
        networks, trees: the TFT with PPO, and XGBoost, each asked within its time.
    """

    def __init__(
        self,
        *,
        tft: TFTAgent | None,
        ppo: PolicyAgent | None,
        fallback: Agent | None,
        settings: ArbiterSettings,
        scaler: FeatureScaler,
        live: LiveConfig,
    ) -> None:
        self.tft = tft
        self.ppo = ppo
        self.fallback = fallback
        self.settings = settings
        self.scaler = scaler
        self.always_ask: tuple[str, ...] = ()
        self.breakers = {
            name: CircuitBreaker(
                failures=live.breaker_failures,
                rest_s=live.breaker_rest_s,
                longest_rest_s=live.breaker_longest_rest_s,
            )
            for name in TITLES
        }
        self._asking, self._asking_trees = threading.Lock(), threading.Lock()
        self.networks = TimedMember(
            TITLES["tft"],
            self._ask_networks,
            NetworkVotes.part,
            self.breakers["tft"],
            budget_ms=lambda: self.settings.latency_budget_ms,
            fault=_all_nan,
        )
        self.trees = TimedMember(
            TITLES["xgboost"],
            self._ask_trees,
            lambda vote, rows: vote[rows],
            self.breakers["xgboost"],
            budget_ms=lambda: last_resort_ms(self.settings),
        )

    def __reduce__(self) -> NoReturn:
        """Threads and locks do not travel.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            f"{type(self).__name__} can be neither pickled nor copied: load it from its run where it is "
            "needed (load_arbiter), and take histories along by snapshot() and restore()."
        )

    @property
    def usual_gate(self) -> GateSettings:
        """The gate of the source that decides while nothing fails."""
        if self.tft is None:
            return self.settings.fallback
        whole = all(self.member(name) is not None for name in self.settings.pool)
        return self.settings.primary if whole else self.settings.tft_alone

    def member(self, name: str) -> Agent | PolicyAgent | None:
        """The member called "tft", "ppo" or "xgboost"; None where it is missing."""
        present: dict[str, Agent | PolicyAgent | None] = {
            "tft": self.tft,
            "ppo": self.ppo,
            "xgboost": self.fallback,
        }
        return present[name]

    def decide_inputs(self, inputs: ModelInputs, *, guarded: bool = False) -> Decisions:
        """Decide for a batch of observations: what backtests and live calls share.

        A row's answer does not depend on the rows beside it, to the bit.

        Args:
            inputs: `B` observations.
            guarded: wait no longer than `settings.latency_budget_ms` for the TFT and PPO and `last_resort_ms`
                for XGBoost, leave members that keep failing to rest, and share passes with other callers.
                Live calls do; a backtest must not depend on the clock.
        """
        # Begun first, so that the trees work beside the networks.
        wanted = "xgboost" in self.settings.pool or "xgboost" in self.always_ask
        trees = self._question_to_trees(inputs, guarded) if wanted else None
        found, failure = self._question_to_networks(inputs, guarded).answer()
        votes = {} if found is None else _by_member(found)
        if trees is not None and (vote := trees.answer()[0]) is not None:
            votes["xgboost"] = vote
        if found is None:
            explanation = Signals(probabilities=silent(len(inputs)))
            opinions = [self._tft_alone(explanation.probabilities, (failure,) * len(inputs))]
        else:
            explanation = found.tft
            opinions = self._opinions(inputs, votes)
        waiting = ~np.logical_or.reduce([opinion.answered for opinion in opinions])
        if waiting.any():
            vote, failure = (trees or self._question_to_trees(inputs, guarded)).answer()
            vote = silent(len(inputs)) if vote is None else vote
            opinions.append(self._fallback_alone(vote, failure or "XGBoost answered NaN"))
            # A symbol's votes must not depend on the symbols beside it: only those who needed it get one.
            votes.setdefault("xgboost", np.where(waiting[:, None], vote, np.float32(np.nan)))
        settled = settle(opinions, len(inputs))
        return Decisions(
            actions=settled.actions,
            signals=replace(explanation, probabilities=settled.probabilities),
            source=settled.source,
            reason=settled.reason,
            votes=votes,
        )

    def signals(self, inputs: ModelInputs) -> Signals:
        """The deciding sources' probabilities before the gate (the Agent protocol)."""
        return self.decide_inputs(inputs).signals

    def get_ready(self, rows: int) -> None:
        """Do now what would make the first call about `rows` symbols slower: it may miss its budget else.

        Passes of a size that was never used are tried first and compared with others, which takes a few times
        as long as the call. A size is tried once.
        """
        for member in (self.tft, self.ppo):
            if member is not None and rows > 0:
                member.get_ready(min(rows, ROWS))

    def close(self) -> None:
        """End the threads that ask the members; what is asked later starts them anew."""
        self.networks.batcher.stop()
        self.trees.batcher.stop()

    def left_out(self) -> tuple[str, ...]:
        """In words, the members that rest at the moment after failing."""
        return tuple(
            f"{name} left out: {RESTING} ({breaker.last_error})"
            for name, breaker in self.breakers.items()
            if breaker.state == "open"
        )

    def _question_to_networks(self, inputs: ModelInputs, guarded: bool) -> Question[NetworkVotes]:
        if self.tft is None:
            return Question(lambda: (None, "TFT not available"))
        return self.networks.ask(inputs, guarded=guarded)

    def _question_to_trees(self, inputs: ModelInputs, guarded: bool) -> Question[Floats32]:
        if self.fallback is None:
            return Question(lambda: (None, "XGBoost not available"))
        return self.trees.ask(inputs, guarded=guarded)

    def _ask_networks(self, inputs: ModelInputs, guarded: bool) -> NetworkVotes:
        """One encoder pass for TFT and PPO; one caller at a time, because a pass takes every core."""
        with self._asking:
            assert self.tft is not None
            encoded = self.tft.encode(inputs)
            signals = self.tft.answer(encoded)
            signals = replace(signals, probabilities=_sane(signals.probabilities, len(inputs)))
            return NetworkVotes(tft=signals, policy=self._ask_policy(inputs, encoded, self.tft, guarded))

    def _ask_policy(
        self, inputs: ModelInputs, encoded: Encoded, by: TFTAgent, guarded: bool
    ) -> Floats32 | None:
        """PPO's vote, float32 [B, 3]; None where it is missing, rests or fails."""
        breaker = self.breakers["ppo"]
        if self.ppo is None or (guarded and not breaker.allows()):
            return None
        try:
            vote = _sane(self.ppo.vote(inputs, encoded, by), len(inputs))
        except Exception as error:
            _log.exception("PPO failed; the others decide")
            if guarded:
                breaker.failed(f"PPO failed ({type(error).__name__})")
            return None
        if guarded:
            breaker.succeeded()
        return vote

    def _ask_trees(self, inputs: ModelInputs, guarded: bool) -> Floats32:
        """XGBoost's vote; one caller at a time, because its first prediction configures the booster."""
        with self._asking_trees:
            assert self.fallback is not None
            return _sane(self.fallback.signals(inputs).probabilities, len(inputs))

    def _opinions(self, inputs: ModelInputs, votes: Mapping[str, Floats32]) -> list[Opinion]:
        """The pool's, where all its members voted, and the TFT's; neither judges rows out of distribution."""
        strange = self._out_of_distribution(inputs)
        alone = self._tft_alone(votes["tft"], _why_not(votes["tft"], strange)).without(strange)
        settings = self.settings
        if any(name not in votes for name in settings.pool):
            return [alone]
        together = Opinion(
            source="+".join(settings.pool), probabilities=pooled(votes, settings), gate=settings.primary
        )
        return [together.without(strange), alone]

    def _tft_alone(self, vote: Floats32, failures: tuple[str, ...]) -> Opinion:
        gate = self.settings.tft_alone
        biased = log_opinion_pool((vote,), (1.0,), gate.bias)
        return Opinion(source="tft", probabilities=biased, gate=gate, failures=failures)

    def _fallback_alone(self, vote: Floats32, failure: str) -> Opinion:
        gate = self.settings.fallback
        biased = log_opinion_pool((vote,), (1.0,), gate.bias)
        return Opinion(source="xgboost", probabilities=biased, gate=gate, failures=(failure,) * len(vote))

    def _out_of_distribution(self, inputs: ModelInputs) -> Mask:
        """bool [B]: too many values of the window stand at the clip bounds the scaler learnt in training."""
        clipped = np.abs(inputs.windows) >= self.scaler.clip
        return np.asarray(clipped.mean(axis=(1, 2)) > self.settings.clipped_share_limit)


def _sane(vote: Floats32, count: int) -> Floats32:
    """The vote, float32 [count, 3]; a row that cannot be probabilities (inf, negative, above 1) is NaN.

    Raises:
        ValueError: it has not one row of three for each observation.
    """
    if vote.shape != (count, 3):
        raise ValueError(f"expected probabilities [{count}, 3], found {list(vote.shape)}")
    # Comparisons with NaN are false. Rounding may put a certain class a little above 1.
    sane: Mask = np.asarray(((vote >= 0.0) & (vote <= 1.001)).all(axis=1))
    return vote if sane.all() else np.where(sane[:, None], vote, np.float32(np.nan))


def _why_not(probabilities: Floats32, strange: Mask) -> tuple[str, ...]:
    """[B]: why the TFT has no answer for a row."""
    nan: Mask = np.asarray(np.isnan(probabilities).any(axis=1))
    return tuple(
        "out of distribution" if odd else ("TFT answered NaN" if gone else "")
        for odd, gone in zip(list(strange), list(nan), strict=True)
    )


def _by_member(found: NetworkVotes) -> dict[str, Floats32]:
    votes = {"tft": found.tft.probabilities, "ppo": found.policy}
    return {name: vote for name, vote in votes.items() if vote is not None}


def _all_nan(found: NetworkVotes) -> str:
    """A TFT that answers for no row at all fails; one row without an answer is that row's misfortune."""
    vote = found.tft.probabilities
    return "TFT answered NaN" if len(vote) and not np.isfinite(vote).all(axis=1).any() else ""


def last_resort_ms(settings: ArbiterSettings) -> float:
    """Milliseconds that XGBoost has for one call, 0 for no limit: behind it there is only HOLD."""
    budget_ms = settings.latency_budget_ms
    return max(budget_ms, LAST_RESORT_MS) if budget_ms > 0 else 0.0
