"""The policy's network: its heads, its masks, and the orders that its answers stand for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from quantum_trader.agents.policy_network import PolicyNetwork, PolicyShape, orders, staying_out
from quantum_trader.envs import EnvConfig, FuturesTradingEnv
from quantum_trader.envs.actions import Action
from quantum_trader.envs.observe import ACCOUNT_NAMES, ACCOUNT_SIZE, flat_account

HOLD, BUY, SELL = Action.HOLD, Action.BUY, Action.SELL
POSITION = ACCOUNT_NAMES.index("position")
SHAPE = PolicyShape(state_size=4, features="outputs", account_hidden=3, layers=(5,), actions="target")


def network(**changes: object) -> PolicyNetwork:
    """A network of the shape `SHAPE` but for `changes`, with seeded weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return PolicyNetwork(replace(SHAPE, **changes)).eval()  # type: ignore[arg-type]


def accounts(positions: list[float]) -> NDArray[np.float32]:
    """Accounts that differ in their position only."""
    rows = np.tile(flat_account(), (len(positions), 1))
    rows[:, POSITION] = positions
    return rows


def answer(policy: PolicyNetwork, account: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities [B, 3] on one and the same state of the market."""
    with torch.inference_mode():
        logits = policy(torch.ones(len(account), policy.shape.state_size), torch.from_numpy(account))
    return np.asarray(torch.softmax(logits.double(), dim=-1).numpy())


def test_the_account_counts() -> None:
    """The same market is answered differently with another position."""
    told = answer(network(), accounts([0.0, 1.0]))
    assert (told[0] != told[1]).any()


def test_the_state_is_standardised() -> None:
    """Centre and scale undo what was done to the state; values far out are clipped."""
    plain, scaled = network(), network()
    center, scale = np.array([1, -2, 3, 0], np.float32), np.array([2, 0.5, 4, 1], np.float32)
    scaled.state.set_scale(center, scale)
    state, account = torch.randn(6, 4), torch.from_numpy(accounts([0.0] * 6))
    moved = state * torch.from_numpy(scale) + torch.from_numpy(center)
    with torch.inference_mode():
        torch.testing.assert_close(scaled(moved, account), plain(state, account))
        torch.testing.assert_close(plain(1e6 * state, account), plain(10 * state.sign(), account))


def gaussian(mean: float, log_deviation: float) -> PolicyNetwork:
    """A network whose head says this mean and deviation whatever it sees."""
    policy = network(head="gaussian", layers=())
    with torch.no_grad():
        policy.head.weight.zero_()
        policy.head.bias.copy_(torch.tensor([mean, log_deviation]))
    return policy


@pytest.mark.parametrize("mean", [-2.0, -0.35, 0.0, 0.2, 0.8])
@pytest.mark.parametrize("log_deviation", [-3.0, -1.0, 0.0, 1.0])
def test_the_gaussian_head_agrees_with_sampling(mean: float, log_deviation: float) -> None:
    """Its three probabilities are the shares of tanh(normal) in each third of the range."""
    draws = np.random.default_rng(0).standard_normal(200_000)
    target = np.tanh(mean + np.exp(log_deviation) * draws)
    upper, lower = np.mean(target > 1 / 3), np.mean(target < -1 / 3)
    policy = gaussian(mean, log_deviation)
    with torch.inference_mode():
        logits = policy(torch.ones(1, 4), torch.from_numpy(accounts([0.0])))
    found = logits[0].exp().numpy()
    # The logits are logarithms of the probabilities already.
    assert found.sum() == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(found[[HOLD, BUY, SELL]], [1 - upper - lower, upper, lower], atol=0.005)


@pytest.mark.parametrize("mean", [-1e4, -5.0, 0.0, 5.0, 1e4])
@pytest.mark.parametrize("log_deviation", [-1e3, -20.0, 2.0, 1e3])
def test_the_gaussian_head_is_finite_everywhere(mean: float, log_deviation: float) -> None:
    """A head that is certain, or knows nothing, still gives a distribution."""
    (found,) = answer(gaussian(mean, log_deviation), accounts([0.0]))
    assert np.isfinite(found).all()
    assert found.sum() == pytest.approx(1.0)


def test_the_deviation_is_bounded_as_in_training() -> None:
    """Log deviations outside SAC's own bounds count as the bounds."""
    from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN

    for bound, beyond in ((LOG_STD_MAX, 9.0), (LOG_STD_MIN, -50.0)):
        flat = accounts([0.0])
        np.testing.assert_array_equal(answer(gaussian(0.3, bound), flat), answer(gaussian(0.3, beyond), flat))


def stepped(env: FuturesTradingEnv, steps: list[Action]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Account and action masks of an environment after these steps."""
    observation, _ = env.reset(seed=0)
    for action in steps:
        observation = env.step(int(action))[0]
    assert isinstance(observation, dict)
    return observation["account"][None], np.asarray(env.action_masks())


@pytest.mark.parametrize("steps", [[], [BUY], [SELL], [BUY, SELL], [SELL, HOLD]])
def test_masks_are_the_environments(steps: list[Action]) -> None:
    """A masked policy gives no probability to an order exactly where `envs.masks` forbids it, and keeps the
    others' odds."""
    account, allowed = stepped(FuturesTradingEnv(config=EnvConfig(actions="order")), steps)
    (masked,) = answer(network(masked=True, actions="order"), account)
    (plain,) = answer(network(actions="order"), account)
    np.testing.assert_array_equal(masked > 0, allowed)
    np.testing.assert_allclose(masked[allowed], plain[allowed] / plain[allowed].sum(), rtol=1e-6)


@pytest.mark.parametrize("steps", [[BUY], [SELL], [BUY, HOLD, SELL], [SELL, HOLD, HOLD, BUY]])
def test_masks_count_orders_on_their_way(steps: list[Action]) -> None:
    """With delayed orders the masks are still the environment's."""
    env = FuturesTradingEnv(config=EnvConfig(actions="order", delay_bars=1))
    account, allowed = stepped(env, steps)
    (masked,) = answer(network(masked=True, actions="order"), account)
    np.testing.assert_array_equal(masked > 0, allowed)


@pytest.mark.parametrize(
    ("position", "wanted", "order"),
    [
        (-1, SELL, HOLD),
        (-1, HOLD, BUY),
        (-1, BUY, BUY),
        (0, SELL, SELL),
        (0, HOLD, HOLD),
        (0, BUY, BUY),
        (1, SELL, SELL),
        (1, HOLD, SELL),
        (1, BUY, HOLD),
    ],
)
def test_targets_become_orders(position: int, wanted: Action, order: Action) -> None:
    """A wanted position is approached by one unit a bar; one that is held already asks for nothing."""
    said = np.array([wanted], dtype=np.int8)
    found = orders(said, accounts([position]), "target")
    assert found.dtype == np.int8
    assert found.tolist() == [order]
    # An order is an order, whatever the position.
    assert orders(said, accounts([position]), "order").tolist() == [wanted]


def walk(config: EnvConfig, wanted: list[Action]) -> list[int]:
    """Units held after each step of following these targets."""
    env = FuturesTradingEnv(config=config)
    observation, _ = env.reset(seed=0)
    held = []
    for target in wanted:
        assert isinstance(observation, dict)
        (order,) = orders(np.array([target], dtype=np.int8), observation["account"][None], "target")
        observation, *_, info = env.step(int(order))
        held.append(round(info["units"]))
    return held


def test_orders_lead_to_the_targets() -> None:
    """Through the environment the position follows the targets, a reversal in two bars."""
    wanted = [BUY, BUY, HOLD, HOLD, SELL, BUY, BUY, BUY]
    assert walk(EnvConfig(), wanted) == [1, 1, 0, 0, -1, 0, 1, 1]


def test_orders_on_their_way_are_not_sent_again() -> None:
    """With orders that fill a bar late the position still goes from long to none, not beyond."""
    wanted = [BUY, BUY, BUY, HOLD, HOLD, HOLD, HOLD]
    assert walk(EnvConfig(delay_bars=1), wanted) == [0, 1, 1, 1, 0, 0, 0]


def test_a_shape_counts_its_layers() -> None:
    """No hidden layer, one and three: the head reads the last; `masked` changes no weight."""
    for layers in ((), (5,), (6, 5, 4)):
        policy = network(layers=layers)
        width = layers[-1] if layers else policy.state.output_size
        assert policy.head.weight.shape == (3, width)
        found: list[Tensor] = [each for name, each in policy.state_dict().items() if "body" in name]
        assert len(found) == 2 * len(layers)
    assert account_size(network()) == ACCOUNT_SIZE


def account_size(policy: PolicyNetwork) -> int:
    """Numbers of the account that it reads."""
    return int(policy.state.account_net[0].weight.shape[1])


@pytest.mark.parametrize("head", ["logits", "gaussian"])
@pytest.mark.parametrize("actions", ["order", "target"])
def test_staying_out_wants_nothing_whatever_it_sees(head: str, actions: str) -> None:
    """The network made to stay out answers HOLD for every state and account; the original is as it was."""
    policy = network(head=head, actions=actions)
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    random = torch.Generator().manual_seed(3)
    state = torch.randn(50, policy.shape.state_size, generator=random) * 30
    account = torch.randn(50, ACCOUNT_SIZE, generator=random)
    assert (staying_out(policy)(state, account).argmax(dim=1) == HOLD).all()
    assert all(torch.equal(before[name], value) for name, value in policy.state_dict().items())
