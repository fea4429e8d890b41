"""The Arbiter: calibrated members pooled, gated, with XGBoost behind them and HOLD behind that."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, TimeoutError as FutureTimeout
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantum_trader.agents.arbiter_settings import ArbiterSettings, GateSettings
from quantum_trader.agents.decision import Decision, Decisions
from quantum_trader.agents.history import BarLike, LiveHistories
from quantum_trader.agents.opinion import Opinion, settle, silent
from quantum_trader.agents.pool import log_opinion_pool, pooled
from quantum_trader.agents.signals import Agent, ModelInputs, Signals
from quantum_trader.envs.actions import Action
from quantum_trader.envs.bars import Bars
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.scaler import FeatureScaler

if TYPE_CHECKING:
    from quantum_trader.agents.network_agent import Encoded
    from quantum_trader.agents.policy_agent import PolicyAgent
    from quantum_trader.agents.tft.agent import TFTAgent

Floats32 = NDArray[np.float32]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Primary:
    """What the TFT and PPO have to say: opinions in order of preference, and the TFT's explanations."""

    opinions: tuple[Opinion, ...]
    votes: dict[str, Floats32]
    explanation: Signals


class Arbiter:
    """Combines the agents' signals into one decision per symbol, and never raises for a model's fault.

    The calibrated probabilities of TFT, XGBoost and PPO are pooled (`log_opinion_pool`), one encoder pass
    serving TFT and PPO: networks and trees err differently, so that together they know more. If P(HOLD)
    reaches the hold threshold, or the directional confidence stays below the confidence threshold, the
    decision is HOLD; else the likelier direction. Where another member of the pool is missing or fails, the
    TFT decides alone. Where the TFT is missing, fails, is too slow, answers NaN, or is outside its training
    distribution, XGBoost decides by its own gate; where XGBoost fails too the decision is HOLD. Every
    decision says who decided and why.

    Args:
        tft, ppo, fallback: the members; None where missing.
        settings: pool, gates and limits.
        scaler: fitted on training rows, the members' own.
        problems: why members are missing, for `problems`.
        contracts: contract by symbol for live use; guessed from the symbol's name where not given.
        step_ms: length of a bar in live use, milliseconds.
    """

    name = "arbiter"

    def __init__(
        self,
        *,
        tft: TFTAgent | None,
        ppo: PolicyAgent | None,
        fallback: Agent | None,
        settings: ArbiterSettings,
        scaler: FeatureScaler,
        problems: Iterable[str] = (),
        model_hash: str = "",
        contracts: Mapping[str, FuturesContract] | None = None,
        step_ms: int = 3_600_000,
    ) -> None:
        self.tft = tft
        self.ppo = ppo
        self.fallback = fallback
        self.settings = settings
        self.scaler = scaler
        self.problems = tuple(problems)
        self.model_hash = model_hash
        self.histories = LiveHistories(contracts=contracts, step_ms=step_ms)
        self._worker: ThreadPoolExecutor | None = None

    @property
    def usual_gate(self) -> GateSettings:
        """The gate of the source that decides while nothing fails."""
        if self.tft is None:
            return self.settings.fallback
        present = {"tft": self.tft, "ppo": self.ppo, "xgboost": self.fallback}
        whole = all(present[name] is not None for name in self.settings.pool)
        return self.settings.primary if whole else self.settings.tft_alone

    def add_to_history(self, symbol: str, bars: BarLike | Iterable[BarLike] | pd.DataFrame | Bars) -> int:
        """Append bars without deciding; see `LiveHistories.extend`."""
        return self.histories.extend(symbol, bars)

    def decide(self, symbol: str, bar: BarLike) -> Decision:
        """Append one closed bar of `symbol` and decide.

        Raises:
            DataError: the bar is incomplete or contradicts itself; the history is then as it was.
        """
        return self.decide_batch({symbol: bar})[symbol]

    def decide_batch(self, bars: Mapping[str, BarLike]) -> dict[str, Decision]:
        """Append one closed bar per symbol and decide for all of them in one pass through the models."""
        started = time.perf_counter()
        taken = self.histories.take(bars)
        answers = {name: self._waiting(name, reason) for name, reason in taken.held_up.items()}
        if taken.ready:
            inputs = self.histories.inputs(taken.ready, self.scaler)
            decisions = self.decide_inputs(inputs, budget_ms=self.settings.latency_budget_ms)
            answers |= {name: self._decision(name, decisions, row) for row, name in enumerate(taken.ready)}
        elapsed = (time.perf_counter() - started) * 1000
        return {name: replace(answers[name], latency_ms=elapsed) for name in bars}

    def decide_inputs(self, inputs: ModelInputs, *, budget_ms: float = 0.0) -> Decisions:
        """Decide for a batch of observations: no history, no state; what backtests and live calls share.

        Args:
            inputs: `B` observations.
            budget_ms: milliseconds the TFT and PPO have before XGBoost answers; 0 waits for ever.
        """
        asked = self._ask_primary(inputs, budget_ms)
        opinions = list(asked.opinions)
        votes = dict(asked.votes)
        if not np.logical_or.reduce([opinion.answered for opinion in opinions]).all():
            opinions.append(self._ask_fallback(inputs))
            votes[opinions[-1].source] = opinions[-1].probabilities
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

    def _ask_primary(self, inputs: ModelInputs, budget_ms: float) -> _Primary:
        """The TFT and PPO, within their time; whatever goes wrong becomes an opinion that answers nothing."""
        if self.tft is None:
            return self._no_primary(inputs, "TFT not available")
        try:
            if budget_ms <= 0:
                return self._consult(inputs)
            if self._worker is None:
                self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="arbiter")
            return self._worker.submit(self._consult, inputs).result(timeout=budget_ms / 1000)
        except FutureTimeout:
            return self._no_primary(inputs, f"TFT took longer than {budget_ms:g} ms")
        except Exception as error:
            # A bot must get an answer whatever a model does; the fault is logged and named in the reason.
            _log.exception("the TFT failed; the fallback decides")
            return self._no_primary(inputs, f"TFT failed ({type(error).__name__})")

    def _consult(self, inputs: ModelInputs) -> _Primary:
        """One encoder pass for both; rows out of distribution are not theirs to judge."""
        assert self.tft is not None
        encoded = self.tft.encode(inputs)
        signals = self.tft.answer(encoded)
        strange = self._out_of_distribution(inputs)
        failure = "out of distribution" if strange.any() else ""
        if not np.isfinite(signals.probabilities[~strange]).all():
            failure = " or ".join(filter(None, (failure, "TFT answered NaN")))
        settings = self.settings
        alone = Opinion(
            source="tft",
            probabilities=log_opinion_pool((signals.probabilities,), (1.0,), settings.tft_alone.bias),
            gate=settings.tft_alone,
            failure=failure,
        )
        alone = replace(alone, probabilities=alone.without(strange))
        found = {
            "tft": signals.probabilities,
            "ppo": self._ask_policy(inputs, encoded, self.tft),
            "xgboost": self._ask_trees(inputs) if "xgboost" in settings.pool else None,
        }
        votes = {name: vote for name, vote in found.items() if vote is not None}
        if any(name not in votes for name in settings.pool):
            return _Primary(opinions=(alone,), votes=votes, explanation=signals)
        together = Opinion(
            source="+".join(settings.pool), probabilities=pooled(votes, settings), gate=settings.primary
        )
        together = replace(together, probabilities=together.without(strange))
        return _Primary(opinions=(together, alone), votes=votes, explanation=signals)

    def _ask_trees(self, inputs: ModelInputs) -> Floats32 | None:
        """XGBoost as a member of the pool; None where it is missing or fails."""
        if self.fallback is None:
            return None
        try:
            return self.fallback.signals(inputs).probabilities
        except Exception:
            _log.exception("XGBoost failed; the TFT decides without it")
            return None

    def _ask_policy(self, inputs: ModelInputs, encoded: Encoded, by: TFTAgent) -> Floats32 | None:
        if self.ppo is None:
            return None
        try:
            return self.ppo.vote(inputs, encoded, by)
        except Exception:
            _log.exception("the PPO policy failed; the TFT decides alone")
            return None

    def _ask_fallback(self, inputs: ModelInputs) -> Opinion:
        probabilities, failure = silent(len(inputs)), "XGBoost answered NaN"
        if self.fallback is None:
            failure = "XGBoost not available"
        else:
            try:
                answer = self.fallback.signals(inputs).probabilities
                probabilities = log_opinion_pool((answer,), (1.0,), self.settings.fallback.bias)
            except Exception as error:
                _log.exception("XGBoost failed; the decision is HOLD")
                failure = f"XGBoost failed ({type(error).__name__})"
        return Opinion(
            source="xgboost", probabilities=probabilities, gate=self.settings.fallback, failure=failure
        )

    def _no_primary(self, inputs: ModelInputs, failure: str) -> _Primary:
        nothing = silent(len(inputs))
        opinion = Opinion(source="tft", probabilities=nothing, gate=self.settings.tft_alone, failure=failure)
        return _Primary(opinions=(opinion,), votes={}, explanation=Signals(probabilities=nothing))

    def _out_of_distribution(self, inputs: ModelInputs) -> NDArray[np.bool_]:
        """bool [B]: too many values of the window stand at the clip bounds the scaler learnt in training."""
        clipped = np.abs(inputs.windows) >= self.scaler.clip
        return np.asarray(clipped.mean(axis=(1, 2)) > self.settings.clipped_share_limit)

    def _waiting(self, symbol: str, reason: str) -> Decision:
        history = self.histories[symbol]
        return Decision(
            symbol=symbol,
            action=Action.HOLD,
            confidence=0.0,
            hold_probability=1.0,
            source="none",
            reason=reason,
            timestamp=history.last_timestamp,
            warming_up=True,
            model_hash=self.model_hash,
        )

    def _decision(self, symbol: str, decisions: Decisions, row: int) -> Decision:
        signals, history = decisions.signals, self.histories[symbol]
        answered = decisions.source[row] != "none"
        by_tft = answered and decisions.source[row] != "xgboost"
        return Decision(
            symbol=symbol,
            action=Action(int(decisions.actions[row])),
            confidence=float(signals.directional_confidence[row]) if answered else 0.0,
            hold_probability=float(signals.probabilities[row, Action.HOLD]),
            source=decisions.source[row],
            reason=decisions.reason[row],
            timestamp=history.last_timestamp,
            votes=decisions.vote(row),
            quantiles=signals.quantiles[row] if by_tft and signals.quantiles is not None else None,
            attention=signals.attention[row] if by_tft and signals.attention is not None else None,
            importances=signals.importances[row] if by_tft and signals.importances is not None else None,
            warming_up=history.warming_up,
            model_hash=self.model_hash,
        )
