"""A row gets the same bits alone, in any batch and anywhere in it: live decisions equal the backtest's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import xgboost
from hypothesis import HealthCheck, given, settings, strategies as st
from numpy.typing import NDArray

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.agents.arbiter_settings import ArbiterSettings, GateSettings
from quantum_trader.agents.bilstm.agent import BiLSTMAgent
from quantum_trader.agents.bilstm.config import bilstm_preset
from quantum_trader.agents.bilstm.network import BiLSTM
from quantum_trader.agents.calibration import Calibration
from quantum_trader.agents.folder import Provenance
from quantum_trader.agents.logistic import LogisticAgent, LogisticWeights
from quantum_trader.agents.network_agent import NetworkAgent
from quantum_trader.agents.network_config import Preset
from quantum_trader.agents.policy_agent import PolicyAgent
from quantum_trader.agents.policy_network import PolicyNetwork, PolicyShape
from quantum_trader.agents.policy_state import state_size
from quantum_trader.agents.pool import log_opinion_pool
from quantum_trader.agents.row_linear import RowLinear
from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.agents.tabular import TABULAR_NAMES, TABULAR_SIZE
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.agents.tft.config import tft_preset
from quantum_trader.agents.tft.model import TFT
from quantum_trader.agents.tft.precision import Precision
from quantum_trader.agents.tft.scaling import ReturnScale
from quantum_trader.agents.xgboost_agent import XGBoostAgent
from quantum_trader.envs.observe import ACCOUNT_SIZE
from quantum_trader.envs.scaler import REFERENCE_SCALER

from .random_inputs import random_inputs

ROWS = 150
"""More than two of the largest passes."""
CALIBRATION = Calibration(temperature=1.37)
PROVENANCE = Provenance.now(data_sha256="0" * 64, seed=1, metrics={})
OPEN = GateSettings(hold_threshold=0.9, confidence_threshold=0.5)

batches = st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=ROWS)
"""Rows of a batch: any number of them in any order, some more than once."""


def few(examples: int) -> Callable[[Any], Any]:
    """Settings for properties whose examples take a while."""
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    return settings(max_examples=examples, deadline=None, suppress_health_check=checks)


@cache
def inputs() -> ModelInputs:
    """`ROWS` observations with accounts."""
    account = np.random.default_rng(5).uniform(0, 1, (ROWS, ACCOUNT_SIZE)).astype(np.float32)
    return replace(random_inputs(ROWS), account=account)


def chosen(rows: list[int]) -> ModelInputs:
    """These observations, in this order."""
    all_rows = inputs()
    assert all_rows.account is not None
    return ModelInputs(
        windows=all_rows.windows[rows], context=all_rows.context[rows], account=all_rows.account[rows]
    )


@cache
def network(kind: str, preset: Preset, precision: Precision, num_threads: int = 1) -> NetworkAgent[Any]:
    """An agent with seeded random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = TFT(tft_preset(preset)) if kind == "tft" else BiLSTM(bilstm_preset(preset))
    agent_class: Any = TFTAgent if kind == "tft" else BiLSTMAgent
    agent: NetworkAgent[Any] = agent_class(
        model,
        scaler=REFERENCE_SCALER,
        return_scale=ReturnScale(center=0.004, scale=0.003, horizon=(0.5, 1.0, 1.5, 2.0)),
        calibration=CALIBRATION,
        provenance=PROVENANCE,
        precision=precision,
        num_threads=num_threads,
    )
    return agent


@cache
def policy(precision: Precision, head: str) -> PolicyAgent:
    """A policy with seeded random weights on the tiny TFT, told everything there is."""
    tft = network("tft", "tiny", precision)
    assert isinstance(tft, TFTAgent)
    shape = PolicyShape(
        state_size=state_size(tft.model, "both"),
        features="both",
        account_hidden=8,
        layers=(7, 6) if head == "gaussian" else (64, 64),
        actions="target",
        head="gaussian" if head == "gaussian" else "logits",
        masked=head == "masked",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return PolicyAgent(PolicyNetwork(shape), tft, calibration=CALIBRATION)


@cache
def trees() -> XGBoostAgent:
    """A few trees grown on noise."""
    rng = np.random.default_rng(0)
    data = xgboost.DMatrix(
        rng.standard_normal((300, TABULAR_SIZE)).astype(np.float32),
        label=rng.integers(0, 3, 300),
        feature_names=list(TABULAR_NAMES),
    )
    options = {"objective": "multi:softprob", "num_class": 3, "nthread": 1, "max_depth": 3}
    return XGBoostAgent(
        xgboost.train(options, data, 10),
        config={},
        scaler=REFERENCE_SCALER,
        calibration=CALIBRATION,
        provenance=PROVENANCE,
        n_jobs=1,
    )


@cache
def logistic() -> LogisticAgent:
    """Coefficients drawn at random."""
    rng = np.random.default_rng(0)
    weights = LogisticWeights(
        mean=rng.standard_normal(TABULAR_SIZE).astype(np.float32),
        scale=rng.uniform(0.5, 2.0, TABULAR_SIZE).astype(np.float32),
        coefficients=0.02 * rng.standard_normal((TABULAR_SIZE, 3)).astype(np.float32),
        intercept=rng.standard_normal(3).astype(np.float32),
    )
    return LogisticAgent(
        weights, config={}, scaler=REFERENCE_SCALER, calibration=CALIBRATION, provenance=PROVENANCE
    )


def numbers(signals: Signals) -> dict[str, NDArray[np.float32]]:
    """All arrays that there are."""
    found = {name: value for name, value in vars(signals).items() if value is not None}
    assert all(value.dtype == np.float32 for value in found.values())
    return found


def assert_same(found: Signals, whole: Signals, rows: list[int]) -> None:
    """Every number of a batch of `rows` has the bits it has among all rows."""
    for name, value in numbers(found).items():
        expected = numbers(whole)[name][rows]
        np.testing.assert_array_equal(value.view(np.int32), expected.view(np.int32), err_msg=name)


@cache
def whole(agent: Any) -> Signals:
    """The answers to all rows at once."""
    found: Signals = agent.signals(inputs())
    return found


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("preset", ["tiny", "small"])
@pytest.mark.parametrize("kind", ["tft", "bilstm"])
@given(rows=batches)
@few(15)
def test_networks(kind: str, preset: Preset, precision: Precision, rows: list[int]) -> None:
    """Probabilities, quantiles, attention and importances of a row are its own, beyond one pass too."""
    agent = network(kind, preset, precision)
    agent.get_ready(len(rows))
    assert_same(agent.signals(chosen(rows)), whole(agent), rows)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@given(rows=st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=6))
@few(5)
def test_networks_of_full_size(precision: Precision, rows: list[int]) -> None:
    """The default network answers one to six symbols with the bits of the backtest."""
    agent = network("tft", "paper", precision)
    agent.get_ready(len(rows))
    assert_same(agent.signals(chosen(rows)), whole(agent), rows)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@given(rows=batches)
@few(10)
def test_threads(precision: Precision, rows: list[int]) -> None:
    """Passes on three threads give the bits of passes one after the other, embedding included."""
    one, three = (network("tft", "tiny", precision, threads) for threads in (1, 3))
    three.get_ready(len(rows))
    found, expected = three.encode(chosen(rows)), one.encode(inputs())
    for name, value in vars(found).items():
        np.testing.assert_array_equal(value, vars(expected)[name][rows], err_msg=name)
    assert_same(three.signals(chosen(rows)), whole(one), rows)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("head", ["logits", "masked", "gaussian"])
@given(rows=batches)
@few(10)
def test_policies(head: str, precision: Precision, rows: list[int]) -> None:
    """A policy's probabilities too, with an account and without, by its own pass and after another's."""
    agent = policy(precision, head)
    agent.get_ready(len(rows))
    assert_same(agent.signals(chosen(rows)), whole(agent), rows)
    flat = replace(chosen(rows), account=None)
    alone = agent.vote(flat, agent.tft.encode(flat), agent.tft)
    together = agent.signals(replace(inputs(), account=None)).probabilities
    np.testing.assert_array_equal(alone, together[rows])


@pytest.mark.parametrize("agent", [trees, logistic])
@given(rows=batches)
@few(30)
def test_models_on_summary_numbers(agent: Callable[[], Any], rows: list[int]) -> None:
    """Trees and the logistic regression, with their calibration."""
    assert_same(agent().signals(chosen(rows)), whole(agent()), rows)


@given(rows=batches, weights=st.tuples(st.floats(0, 2), st.floats(0, 2)), bias=st.floats(-1, 1))
def test_the_pool(rows: list[int], weights: tuple[float, float], bias: float) -> None:
    """The pool of two forecasts is taken row by row."""
    one, other = (
        np.random.default_rng(seed).dirichlet((1, 1, 1), ROWS).astype(np.float32) for seed in (1, 2)
    )
    together = log_opinion_pool((one, other), weights, (bias, 0.0, -bias))
    np.testing.assert_array_equal(
        log_opinion_pool((one[rows], other[rows]), weights, (bias, 0.0, -bias)), together[rows]
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@given(rows=batches)
@few(10)
def test_the_arbiter(precision: Precision, rows: list[int]) -> None:
    """Actions, reasons and numbers of the Arbiter over all members, with windows out of distribution."""
    judge = Arbiter(
        tft=network("tft", "tiny", precision),  # type: ignore[arg-type]
        ppo=policy(precision, "logits"),
        fallback=trees(),
        settings=ArbiterSettings(
            pool=("tft", "ppo", "xgboost"), primary=OPEN, tft_alone=OPEN, fallback=OPEN, latency_budget_ms=0
        ),
        scaler=REFERENCE_SCALER,
    )
    strange = inputs().windows.copy()
    strange[::7] = REFERENCE_SCALER.clip
    asked = ModelInputs(windows=strange, context=inputs().context)
    expected = judge.decide_inputs(asked)
    assert {"tft+ppo+xgboost", "xgboost"} <= set(expected.source)
    found = judge.decide_inputs(ModelInputs(windows=strange[rows], context=asked.context[rows]))
    assert_same(found.signals, expected.signals, rows)
    np.testing.assert_array_equal(found.actions, expected.actions[rows])
    assert found.source == tuple(expected.source[row] for row in rows)
    assert found.reason == tuple(expected.reason[row] for row in rows)


@pytest.mark.parametrize("answers", [1, 3, 6, 8, 11, 12, 13])
@pytest.mark.parametrize("numbers_in", [2, 4, 6, 11, 14, 146])
def test_small_layers(numbers_in: int, answers: int) -> None:
    """The place of a row plays no part; answer and gradients are those of a usual linear layer."""
    layer, usual = RowLinear(numbers_in, answers), torch.nn.Linear(numbers_in, answers)
    usual.load_state_dict(layer.state_dict())
    rows, order = torch.randn(64, numbers_in), torch.randperm(64)
    assert torch.equal(layer(rows[order]), layer(rows)[order])
    torch.testing.assert_close(layer(rows), usual(rows))
    for each in (layer, usual):
        each(rows).square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, usual.weight.grad)
