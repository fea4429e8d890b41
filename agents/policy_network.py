"""A policy's network, apart from any training library: encoder output and account in, logits out."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quantum_trader.agents.policy_features import PolicyFeatures
from quantum_trader.agents.row_linear import RowLinear
from quantum_trader.envs.actions import Action
from quantum_trader.envs.observe import ACCOUNT_NAMES, ACCOUNT_SIZE

Floats32 = NDArray[np.float32]
PolicyActions = Literal["order", "target"]
"""order: the answer is an order; target: it is the wanted position, long, short or none."""

_POSITION, _PENDING = ACCOUNT_NAMES.index("position"), ACCOUNT_NAMES.index("pending")
_CLIP = 10.0
_CERTAIN = 3.0
_EDGE = 1 / 3
"""A continuous target nearer to zero than this stands for no position: a third of the range each."""


@dataclass(frozen=True, kw_only=True)
class PolicyShape:
    """What a policy network is made of and what its answers mean."""

    state_size: int
    """Numbers of the market's state (`policy_state.state_size`)."""
    features: PolicyFeatures
    """Which numbers these are."""
    account_hidden: int
    """Width of the layer that reads the account."""
    layers: tuple[int, ...]
    """Widths of the tanh layers."""
    actions: PolicyActions
    """What the answers mean."""
    head: Literal["logits", "gaussian"] = "logits"
    """gaussian: the head gives mean and log deviation of a target squashed by tanh."""
    masked: bool = False
    """True for a policy that learnt without the orders that change nothing."""
    account_size: int = ACCOUNT_SIZE
    """Numbers of the account."""


class StateEncoder(nn.Module):
    """Joins the market's state with the account: cat(standardised state, tanh(W account)).

    `center` and `scale` standardise the state's columns; they are buffers, fitted on training rows beforehand
    (`quantum_trader.train.rl.scale`), so that a column's size keeps its meaning, which a layer norm would
    take from it.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, *, state_size: int, account_hidden: int, account_size: int = ACCOUNT_SIZE) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(state_size))
        self.register_buffer("scale", torch.ones(state_size))
        self.account_net = nn.Sequential(RowLinear(account_size, account_hidden), nn.Tanh())
        self.output_size = state_size + account_hidden

    def forward(self, state: Tensor, account: Tensor) -> Tensor:
        """[B, S] and [B, k] -> [B, S + account_hidden]."""
        standard = ((state - self.center) / self.scale).clamp(-_CLIP, _CLIP)
        joined: Tensor = torch.cat([standard, self.account_net(account)], dim=-1)
        return joined

    def set_scale(self, center: Floats32, scale: Floats32) -> None:
        """Set both, float32 [S] each."""
        self.center.copy_(torch.from_numpy(center))
        self.scale.copy_(torch.from_numpy(scale))


class PolicyNetwork(nn.Module):
    """Actor of a policy: `StateEncoder`, tanh layers, one logit per action."""

    def __init__(self, shape: PolicyShape) -> None:
        super().__init__()
        self.shape = shape
        self.state = StateEncoder(
            state_size=shape.state_size,
            account_hidden=shape.account_hidden,
            account_size=shape.account_size,
        )
        self.body = nn.Sequential()
        width = self.state.output_size
        for layer in shape.layers:
            self.body.append(RowLinear(width, layer))
            self.body.append(nn.Tanh())
            width = layer
        self.head = RowLinear(width, 3 if shape.head == "logits" else 2)

    def forward(self, state: Tensor, account: Tensor) -> Tensor:
        """[B, S] and [B, k] -> logits [B, 3] in the order of `Action`.

        With `actions` "target", BUY stands for a long position, SELL for a short one, HOLD for none.
        """
        answer: Tensor = self.head(self.body(self.state(state, account)))
        if self.shape.head == "gaussian":
            return _thirds(answer[:, 0], answer[:, 1])
        if self.shape.masked:
            answer = answer.masked_fill(_useless(account), -torch.inf)
        return answer

    def act(self, state: Floats32, account: Floats32) -> NDArray[np.int8]:
        """float32 [B, S] and [B, k] -> int8 [B]: the orders that the most probable answers stand for."""
        with torch.inference_mode():
            logits = self(torch.from_numpy(state), torch.from_numpy(account))
        return orders(logits.argmax(dim=-1).numpy().astype(np.int8), account, self.shape.actions)


def staying_out(network: PolicyNetwork) -> PolicyNetwork:
    """A network of the same shape that wants no position and gives no order, whatever it sees."""
    silent = copy.deepcopy(network)
    with torch.no_grad():
        silent.head.weight.zero_()
        silent.head.bias.zero_()
        if network.shape.head == "logits":
            silent.head.bias[Action.HOLD] = _CERTAIN
        else:
            silent.head.bias[1] = -_CERTAIN
    return silent


def orders(wanted: NDArray[np.int8], account: Floats32, actions: PolicyActions) -> NDArray[np.int8]:
    """Orders that lead to what was wanted.

    Args:
        wanted: int8 [B], the most probable answers.
        account: float32 [B, ACCOUNT_SIZE].
        actions: what the answers mean. A target is approached by one unit a bar: a long position becomes a
            short one in two bars.

    Returns:
        int8 [B], `Action` values.
    """
    if actions == "order":
        return wanted
    target = np.select([wanted == Action.BUY, wanted == Action.SELL], [1, -1], 0)
    # Orders still on their way count as filled: given again, they would carry the position past its target.
    coming = np.clip(np.sign(account[:, _POSITION]) + np.rint(account[:, _PENDING]), -1, 1)
    change = np.sign(target - coming)
    return np.select([change > 0, change < 0], [Action.BUY, Action.SELL], Action.HOLD).astype(np.int8)


def _useless(account: Tensor) -> Tensor:
    """bool [B, 3]: orders that change nothing, as `quantum_trader.envs.masks` has them."""
    held = (account[:, _POSITION] + account[:, _PENDING]).round()
    found = torch.zeros((len(account), 3), dtype=torch.bool, device=account.device)
    found[:, Action.BUY] = held >= 1
    found[:, Action.SELL] = held <= -1
    return found


def _thirds(mean: Tensor, log_deviation: Tensor) -> Tensor:
    """Log probabilities [B, 3] that the squashed target lies in the middle, upper and lower third."""
    deviation = log_deviation.clamp(-20.0, 2.0).exp()
    edge = float(np.arctanh(_EDGE))
    above = torch.special.log_ndtr((mean - edge) / deviation)
    below = torch.special.log_ndtr((-edge - mean) / deviation)
    middle = (1.0 - above.exp() - below.exp()).clamp_min(1e-12).log()
    return torch.stack([middle, above, below], dim=1)
