"""Where the time of a training step goes: by part of the program and by kind of operation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from torch.profiler import ProfilerActivity, profile, record_function

REST = "rest of the step"

_PREFIX = "part: "
_BACKWARD = "autograd::engine::evaluate_function"
_KINDS = (
    ("matrix products", ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm", "aten::mkldnn_linear")),
    ("LSTM kernels", ("aten::mkldnn_rnn_layer", "aten::lstm")),
    ("activations, softmax, norms", ("elu", "glu", "sigmoid", "tanh", "softmax", "softplus", "layer_norm")),
    ("random numbers", ("bernoulli", "rand", "dropout")),
    ("optimiser", ("adamw", "_foreach_", "linalg_vector_norm")),
    ("copies and number formats", ("aten::copy_", "aten::cat", "aten::clone", "aten::fill_", "aten::zero_")),
    ("other arithmetic", ("aten::",)),
)
"""Kinds with what the names of their operations contain; the first that fits counts."""
OVERHEAD = "Python, autograd, bookkeeping"
_FREE = ("aten::view", "aten::as_strided", "aten::empty", "aten::slice", "aten::expand", "aten::transpose")


@dataclass(frozen=True, kw_only=True)
class Section:
    """A method whose time is a part of its own, together with what it brings about in the backward pass."""

    part: str
    owner: type
    method: str


@dataclass(frozen=True, kw_only=True)
class Share:
    """One part's share of a step, forward and backward pass apart."""

    part: str
    forward: float
    backward: float


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """Shares of a step, which add up to 1 each way."""

    parts: tuple[Share, ...]
    kinds: dict[str, float]


def breakdown(step: Callable[[], Any], sections: Sequence[Section], steps: int = 5) -> Breakdown:
    """Profile some steps.

    Args:
        step: takes one step.
        sections: the parts; the inner one counts where they are nested. What no section covers is `REST`.
        steps: how many are profiled, after one that is not.
    """
    step()
    with _marked(sections), profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            with record_function(_PREFIX + REST):
                step()
    events = [each for each in profiler.events() or () if _part(each) is not None]
    total = sum(each.self_cpu_time_total for each in events)
    forward, backward, kinds = _sums(events)
    parts = [*dict.fromkeys(section.part for section in sections), REST]
    return Breakdown(
        parts=tuple(
            Share(part=part, forward=forward[part] / total, backward=backward[part] / total) for part in parts
        ),
        kinds={name: spent / total for name, spent in kinds.most_common()},
    )


def kind(operation: str) -> str:
    """What kind of operation a name stands for."""
    if not operation.startswith("aten::") or operation.startswith(_FREE):
        return OVERHEAD
    return next(name for name, words in _KINDS if any(word in operation for word in words))


def _sums(events: Sequence[Any]) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Microseconds by part in the forward pass, by part in the backward pass, and by kind."""
    made_by = {
        each.sequence_nr: str(_part(each))
        for each in sorted(events, key=lambda event: event.time_range.start)
        if each.sequence_nr >= 0 and _gradient(each) is None
    }
    forward, backward, kinds = Counter[str](), Counter[str](), Counter[str]()
    for each in events:
        gradient = _gradient(each)
        if gradient is None:
            forward[str(_part(each))] += each.self_cpu_time_total
        else:
            backward[made_by.get(gradient.sequence_nr, REST)] += each.self_cpu_time_total
        kinds[kind(each.name)] += each.self_cpu_time_total
    return forward, backward, kinds


def _part(event: Any) -> str | None:
    """The innermost part around an event."""
    around = _around(event, _PREFIX)
    return None if around is None else str(around.name)[len(_PREFIX) :]


def _gradient(event: Any) -> Any:
    """The node of the backward pass that an event belongs to; None in the forward pass."""
    return _around(event, _BACKWARD)


def _around(event: Any, prefix: str) -> Any:
    while event is not None and not event.name.startswith(prefix):
        event = event.cpu_parent
    return event


@contextmanager
def _marked(sections: Sequence[Section]) -> Iterator[None]:
    """The profiler sees where each section begins and ends."""
    with ExitStack() as stack:
        for section in sections:
            method = getattr(section.owner, section.method)
            stack.enter_context(patch.object(section.owner, section.method, _recorded(method, section.part)))
        yield


def _recorded(method: Callable[..., Any], part: str) -> Callable[..., Any]:
    def recorded(*arguments: Any, **named: Any) -> Any:
        with record_function(_PREFIX + part):
            return method(*arguments, **named)

    return recorded
