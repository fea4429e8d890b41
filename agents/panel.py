"""`Panel`: the members are asked, their calibrated probabilities pooled and gated; no history, no state."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.arbiter_settings import ArbiterSettings, GateSettings
from quantum_trader.agents.batcher import Batcher
from quantum_trader.agents.breaker import CircuitBreaker
from quantum_trader.agents.decision import Decisions
from quantum_trader.agents.live_config import LiveConfig
from quantum_trader.agents.opinion import Opinion, settle, silent
from quantum_trader.agents.pool import log_opinion_pool, pooled
from quantum_trader.agents.signals import Agent, ModelInputs, Signals
from quantum_trader.envs.scaler import FeatureScaler

if TYPE_CHECKING:
    from quantum_trader.agents.network_agent import Encoded
    from quantum_trader.agents.policy_agent import PolicyAgent
    from quantum_trader.agents.tft.agent import TFTAgent

Floats32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

RESTING = "resting after failures"
TITLES = {"tft": "TFT", "ppo": "PPO", "xgboost": "XGBoost"}
"""What reasons call the members."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Primary:
    """What the TFT and the other members of the pool have to say of `B` rows.

    Attributes:
        opinions: in order of preference.
        votes: float32 [B, 3] by member.
        explanation: the TFT's own signals.
    """

    opinions: tuple[Opinion, ...]
    votes: dict[str, Floats32]
    explanation: Signals

    def part(self, rows: slice) -> Primary:
        """The same of `rows` alone."""
        return Primary(
            opinions=tuple(opinion.part(rows) for opinion in self.opinions),
            votes={name: vote[rows] for name, vote in self.votes.items()},
            explanation=self.explanation.part(rows),
        )


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
        self._batcher: Batcher[Primary] = Batcher(self._consult_guarded, Primary.part)

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
            guarded: let XGBoost answer where the TFT and PPO take longer than `settings.latency_budget_ms`,
                leave members that keep failing to rest, and share passes with other callers. Live calls do; a
                backtest must not depend on the clock.
        """
        asked = self._ask_primary(inputs, guarded)
        opinions = list(asked.opinions)
        votes = dict(asked.votes)
        waiting = ~np.logical_or.reduce([opinion.answered for opinion in opinions])
        if waiting.any():
            opinion, vote = self._ask_fallback(inputs, guarded)
            opinions.append(opinion)
            # A symbol's votes must not depend on the symbols beside it: only those who needed it get one.
            votes.setdefault("xgboost", np.where(waiting[:, None], vote, np.float32(np.nan)))
        if "xgboost" in self.always_ask and "xgboost" not in asked.votes:
            trees = self._ask_trees(inputs, guarded)
            votes |= {} if trees is None else {"xgboost": trees}
        settled = settle(opinions, len(inputs))
        return Decisions(
            actions=settled.actions,
            signals=replace(asked.explanation, probabilities=settled.probabilities),
            source=settled.source,
            reason=settled.reason,
            votes=votes,
        )

    def signals(self, inputs: ModelInputs) -> Signals:
        """The deciding sources' probabilities before the gate (the Agent protocol)."""
        return self.decide_inputs(inputs).signals

    def left_out(self) -> tuple[str, ...]:
        """In words, the members that rest at the moment after failing."""
        return tuple(
            f"{name} left out: {RESTING} ({breaker.last_error})"
            for name, breaker in self.breakers.items()
            if breaker.state == "open"
        )

    def _ask_primary(self, inputs: ModelInputs, guarded: bool) -> Primary:
        """The TFT and PPO, within their time; whatever goes wrong becomes an opinion that answers nothing."""
        if self.tft is None:
            return _no_primary(inputs, self.settings, "TFT not available")
        if guarded and not self.breakers["tft"].allows():
            return _no_primary(inputs, self.settings, f"TFT {RESTING}")
        try:
            return self._in_time(inputs) if guarded else self._consult(inputs, guarded=False)
        except Exception as error:
            # A bot must get an answer whatever a model does; the fault is logged and named in the reason.
            _log.exception("the TFT failed; the fallback decides")
            return _no_primary(inputs, self.settings, f"TFT failed ({type(error).__name__})")

    def _in_time(self, inputs: ModelInputs) -> Primary:
        """A pass shared with whoever waits for one too, unless it takes too long."""
        budget_ms = self.settings.latency_budget_ms
        future = self._batcher.submit(inputs)
        try:
            return future.result(timeout=budget_ms / 1000 if budget_ms > 0 else None)
        except FutureTimeout:
            if future.done():  # just in time, or the model's own TimeoutError
                return future.result()
        future.cancel()
        failure = f"TFT took longer than {budget_ms:g} ms"
        self.breakers["tft"].failed(failure, occasion=self._batcher.passes)
        return _no_primary(inputs, self.settings, failure)

    def _consult_guarded(self, inputs: ModelInputs) -> Primary:
        """`_consult`, and what the breaker makes of it: a late answer is not a success."""
        breaker, started = self.breakers["tft"], time.monotonic()
        try:
            found = self._consult(inputs, guarded=True)
        except Exception as error:
            breaker.failed(f"TFT failed ({type(error).__name__})")
            raise
        budget_s = self.settings.latency_budget_ms / 1000
        vote = found.votes["tft"]
        if len(vote) and not np.isfinite(vote).all(axis=1).any():
            breaker.failed("TFT answered NaN")
        elif budget_s <= 0 or time.monotonic() - started <= budget_s:
            breaker.succeeded()
        return found

    def _consult(self, inputs: ModelInputs, *, guarded: bool) -> Primary:
        """One encoder pass for both; rows out of distribution are not theirs to judge."""
        with self._asking:
            assert self.tft is not None
            encoded = self.tft.encode(inputs)
            signals = self.tft.answer(encoded)
            signals = replace(signals, probabilities=_sane(signals.probabilities, len(inputs)))
            policy = self._ask_policy(inputs, encoded, self.tft, guarded)
        strange = self._out_of_distribution(inputs)
        settings = self.settings
        alone = Opinion(
            source="tft",
            probabilities=log_opinion_pool((signals.probabilities,), (1.0,), settings.tft_alone.bias),
            gate=settings.tft_alone,
            failures=_why_not(signals.probabilities, strange),
        ).without(strange)
        found = {
            "tft": signals.probabilities,
            "ppo": policy,
            "xgboost": self._ask_trees(inputs, guarded) if "xgboost" in settings.pool else None,
        }
        votes = {name: vote for name, vote in found.items() if vote is not None}
        if any(name not in votes for name in settings.pool):
            return Primary(opinions=(alone,), votes=votes, explanation=signals)
        together = Opinion(
            source="+".join(settings.pool), probabilities=pooled(votes, settings), gate=settings.primary
        ).without(strange)
        return Primary(opinions=(together, alone), votes=votes, explanation=signals)

    def _ask_trees(self, inputs: ModelInputs, guarded: bool) -> Floats32 | None:
        """XGBoost as a member of the pool; None where it is missing, rests or fails."""
        return self._vote("xgboost", self._trees if self.fallback is not None else None, inputs, guarded)[0]

    def _ask_policy(
        self, inputs: ModelInputs, encoded: Encoded, by: TFTAgent, guarded: bool
    ) -> Floats32 | None:
        policy = self.ppo
        if policy is None:
            return None

        def ask(rows: ModelInputs) -> Floats32:
            return _sane(policy.vote(rows, encoded, by), len(rows))

        return self._vote("ppo", ask, inputs, guarded)[0]

    def _ask_fallback(self, inputs: ModelInputs, guarded: bool) -> tuple[Opinion, Floats32]:
        """XGBoost's opinion through its own gate, and its vote, float32 [B, 3], NaN where it has none."""
        ask = self._trees if self.fallback is not None else None
        found, failure = self._vote("xgboost", ask, inputs, guarded)
        vote = silent(len(inputs)) if found is None else found
        opinion = Opinion(
            source="xgboost",
            probabilities=log_opinion_pool((vote,), (1.0,), self.settings.fallback.bias),
            gate=self.settings.fallback,
            failures=(failure or "XGBoost answered NaN",) * len(inputs),
        )
        return opinion, vote

    def _vote(
        self, name: str, ask: Callable[[ModelInputs], Floats32] | None, inputs: ModelInputs, guarded: bool
    ) -> tuple[Floats32 | None, str]:
        """A member's vote, float32 [B, 3], or None and why: it is missing, rests or fails."""
        title, breaker = TITLES[name], self.breakers[name]
        if ask is None:
            return None, f"{title} not available"
        if guarded and not breaker.allows():
            return None, f"{title} {RESTING}"
        try:
            vote = ask(inputs)
        except Exception as error:
            _log.exception("%s failed; the others decide without it", title)
            failure = f"{title} failed ({type(error).__name__})"
            if guarded:
                breaker.failed(failure)
            return None, failure
        if guarded:
            breaker.succeeded()
        return vote, ""

    def _trees(self, inputs: ModelInputs) -> Floats32:
        """XGBoost's vote; one caller at a time, because its first prediction configures the booster."""
        assert self.fallback is not None
        with self._asking_trees:
            return _sane(self.fallback.signals(inputs).probabilities, len(inputs))

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


def _no_primary(inputs: ModelInputs, settings: ArbiterSettings, failure: str) -> Primary:
    nothing = silent(len(inputs))
    opinion = Opinion(
        source="tft",
        probabilities=nothing,
        gate=settings.tft_alone,
        failures=(failure,) * len(inputs),
    )
    return Primary(opinions=(opinion,), votes={}, explanation=Signals(probabilities=nothing))
