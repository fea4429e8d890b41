from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from quantum_trader.evaluate.sweep.errors import SweepError
from quantum_trader.evaluate.sweep.job_graph import JobGraph


def taken(graph: JobGraph) -> list[int]:
    """All jobs that can be started now."""
    return list(iter(graph.take, None))


def test_a_job_is_ready_once_its_last_need_is_done() -> None:
    """Of d <- b, c <- a, nothing starts before all it needs, and b does not wait for c."""
    graph = JobGraph("abcd", {"b": "a", "c": "a", "d": "bc"})
    assert taken(graph) == [0]
    graph.done(0)
    assert taken(graph) == [1, 2]
    graph.done(1)
    assert taken(graph) == []
    graph.done(2)
    assert taken(graph) == [3]
    assert graph.open == 1


def test_ready_jobs_start_in_the_order_they_were_given() -> None:
    """A job that becomes ready late goes before those that stand behind it."""
    graph = JobGraph("abcd", {"b": "d"})
    assert graph.take() == 0
    graph = JobGraph("bacd", {"b": "a"})
    assert graph.take() == 1
    graph.done(1)
    assert taken(graph) == [0, 2, 3]


def test_what_needs_a_failed_job_is_lost_with_all_behind_it() -> None:
    """a fails: b and c behind it are lost, d beside it is not."""
    graph = JobGraph("abcd", {"b": "a", "c": "bd"})
    assert taken(graph) == [0, 3]
    assert graph.failed(0) == [1, 2]
    graph.done(3)
    assert (graph.open, taken(graph)) == (0, [])


def test_a_job_behind_two_failed_ones_is_lost_once() -> None:
    """The second failure finds nothing left to lose."""
    graph = JobGraph("abc", {"c": "ab"})
    assert taken(graph) == [0, 1]
    assert [graph.failed(0), graph.failed(1)] == [[2], []]


def test_needs_that_are_no_jobs_count_as_done_before() -> None:
    """A sweep that goes on after a stop is given only what is left to do."""
    assert taken(JobGraph("b", {"b": "a"})) == [0]


def test_circles_are_refused() -> None:
    """Jobs that wait for each other are named, those that only stand beside them are not."""
    with pytest.raises(SweepError, match=r"circle.*: b, c\.$"):
        JobGraph("abc", {"b": "c", "c": "b"})
    with pytest.raises(SweepError, match="circle"):
        JobGraph("a", {"a": "a"})


def test_a_key_belongs_to_one_job() -> None:
    """Two jobs of one key could not be told apart by those who need it."""
    with pytest.raises(SweepError, match="'a' twice"):
        JobGraph("aba", {})


@given(
    st.integers(1, 12).flatmap(
        lambda count: st.tuples(
            st.permutations(range(count)),
            st.sets(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=30),
            st.sets(st.integers(0, count - 1)),
        )
    )
)
def test_every_job_ends_exactly_once(drawn: tuple[list[int], set[tuple[int, int]], set[int]]) -> None:
    """In any graph each job is taken after all it needs, or lost behind a failed one, and never both."""
    keys, pairs, bad = drawn
    needs: dict[int, list[int]] = {key: [] for key in keys}
    for one, other in pairs:
        if one != other:
            needs[max(one, other)].append(min(one, other))
    graph = JobGraph(keys, needs)
    done: set[int] = set()
    failed: set[int] = set()
    while (job := graph.take()) is not None:
        own = keys[job]
        assert set(needs[own]) <= done
        assert own not in done | failed
        if own in bad:
            lost = {keys[each] for each in graph.failed(job)}
            assert not lost & (done | failed)
            failed |= lost | {own}
        else:
            graph.done(job)
            done.add(own)
    assert graph.open == 0
    assert done | failed == set(keys)
    assert all(own in bad or failed & set(needs[own]) for own in failed)
