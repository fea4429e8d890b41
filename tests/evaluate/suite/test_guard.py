"""Calls that raise, hang, crash, shout or eat memory."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from mmap import PAGESIZE, mmap
from pathlib import Path
from types import SimpleNamespace

import joblib
import pytest

from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate.suite import guard
from quantum_trader.evaluate.suite.guard import Done, Failure, guarded, measured
from quantum_trader.evaluate.sweep.run_job import answer_theirs
from quantum_trader.train.prepared import Prepared

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
MIB = 2**20
REASONS = {
    "WrongShape": r"shape \[\d+, 3\], found \[\d+\]",
    "NotANumber": r"expected finite numbers in every row",
    "RaisesInFit": r"KeyError: 'no column\\nof that name' \(in fit, bad_agents.py line \d+\)",
    "RaisesInSignals": r"ZeroDivisionError: division by zero \(in signals, bad_agents.py line \d+\)",
    "Hangs": r"did not come to its end within 600 s and was stopped",
    "Leaves": r"ended with exit code 3 before there was a result",
    "Crashes": r"ended by SIGSEGV before there was a result",
    "NeedsArguments": r"TypeError: .*missing 1 required positional argument: 'depth'",
}
LIMIT_S = 600.0
"""Seconds after which a call is stopped: enough on any machine."""
HARMLESS = ("WrongShape", "NotANumber", "RaisesInSignals", "NeedsArguments")
"""Exceptions like that of "RaisesInFit", which is met in a process of its own: these need none."""


@pytest.fixture(scope="module")
def outcomes(
    fold: Prepared, bad_agents: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Done[object] | Failure]:
    """Every agent that goes wrong, and one that only shouts; two processes at a time.

    For the one that hangs the limit is over as soon as it does.
    """
    child = tmp_path_factory.mktemp("hanging") / "child"

    def run(name: str) -> Done[object] | Failure:
        arguments = (f"{bad_agents}:{name}", fold, 0)
        if name in HARMLESS:
            return measured(answer_theirs, *arguments)
        return guarded(answer_theirs, *arguments, limit_s=LIMIT_S)

    def later() -> float:
        hangs = child.exists() and child.read_text()
        return time.perf_counter() + (LIMIT_S if hangs else 0.0)

    with ThreadPoolExecutor(2) as threads:
        apart = [*(name for name in REASONS if name not in (*HARMLESS, "Hangs")), "Noisy"]
        found = dict(zip(apart, threads.map(run, apart), strict=True))
    found |= {name: run(name) for name in HARMLESS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HANGING_CHILD", str(child))
        patch.setattr(guard, "time", SimpleNamespace(perf_counter=later, sleep=time.sleep))
        found["Hangs"] = run("Hangs")
    found["child"] = Done(value=int(child.read_text()), seconds=0.0, peak_bytes=0.0)
    return found


@pytest.mark.xdist_group("guarded")
@pytest.mark.parametrize("agent", REASONS)
def test_each_way_to_go_wrong_has_its_reason(agent: str, outcomes: dict[str, Done[object] | Failure]) -> None:
    """The failure is one sentence that says what happened and where, with time and memory."""
    found = outcomes[agent]
    assert isinstance(found, Failure), found
    assert re.search(REASONS[agent], found.reason), found.reason
    assert "\n" not in found.reason
    assert found.seconds >= 0.0


@pytest.mark.xdist_group("guarded")
def test_what_a_hanging_call_started_is_stopped_with_it(
    outcomes: dict[str, Done[object] | Failure],
) -> None:
    """The child of the agent that hung is gone as well."""
    child = outcomes["child"]
    assert isinstance(child, Done)
    assert not _alive(int(str(child.value)))


@pytest.mark.xdist_group("guarded")
def test_noise_breaks_nothing(
    outcomes: dict[str, Done[object] | Failure], capfd: pytest.CaptureFixture[str]
) -> None:
    """Output on both channels is dropped, a thread left behind does not hold up the answer."""
    assert isinstance(outcomes["Noisy"], Done)
    assert capfd.readouterr() == ("", "")


def test_a_guarded_call_may_be_made_by_a_joblib_worker() -> None:
    """loky's workers may start processes, and an error in theirs comes back as a failure."""
    calls: list[Callable[[], Done[float] | Failure]] = [
        partial(guarded, math.sqrt, 4.0, limit_s=LIMIT_S),
        partial(guarded, math.sqrt, -1.0, limit_s=LIMIT_S),
    ]
    good, bad = joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(call)() for call in calls)
    assert isinstance(good, Done)
    assert good.value == 2.0
    assert isinstance(bad, Failure)
    assert bad.reason.startswith("ValueError: ")


def test_what_cannot_travel_is_a_failure() -> None:
    """An open file cannot be handed back, a lambda cannot be handed over."""
    back = guarded(open, os.devnull, limit_s=LIMIT_S)
    assert isinstance(back, Failure)
    assert back.reason.startswith("Its result cannot be handed back: TypeError")
    there = guarded(lambda: 1, limit_s=LIMIT_S)
    assert isinstance(there, Failure)
    assert there.reason.startswith("The call cannot be handed to another process: ")


def test_an_agent_that_ends_the_program_fails_by_itself() -> None:
    """SystemExit and KeyboardInterrupt inside stay inside."""
    for raised in ("SystemExit(0)", "KeyboardInterrupt()"):
        found = guarded(exec, f"raise {raised}", limit_s=LIMIT_S)
        assert isinstance(found, Failure)
        assert found.reason.startswith(raised.split("(")[0])


@LINUX
def test_memory_is_counted_and_limited() -> None:
    """The peak is the process's own, and one that takes too much is stopped."""
    small = guarded(eval, "len(b'x' * (2 * 2**20))", limit_s=LIMIT_S)
    large = guarded(eval, "len(b'x' * (202 * 2**20))", limit_s=LIMIT_S)
    assert large.peak_bytes - small.peak_bytes == pytest.approx(200 * MIB, rel=0.1)
    call = "(b'x' * (300 * 2**20), __import__('time').sleep(600))"
    stopped = guarded(eval, call, limit_s=LIMIT_S, limit_bytes=200 * MIB)
    assert isinstance(stopped, Failure)
    assert "more than 200 MiB of memory" in stopped.reason
    assert stopped.peak_bytes > 200 * MIB


@pytest.mark.skipif(os.name != "posix", reason="processes have parents there")
def test_a_guarded_call_does_not_outlive_its_caller(tmp_path: Path) -> None:
    """When the calling process is killed outright, the call ends as well."""
    file = tmp_path / "child"
    call = (
        f"import os, pathlib, time; pathlib.Path({str(file)!r}).write_text(str(os.getpid())); time.sleep(600)"
    )
    source = (
        f"from quantum_trader.evaluate.suite.guard import guarded; guarded(exec, {call!r}, limit_s=600.0)"
    )
    caller = subprocess.Popen([sys.executable, "-c", source])
    try:
        wait_until(lambda: file.exists() and bool(file.read_text()))
    finally:
        caller.kill()
        caller.wait()
    wait_until(lambda: not _alive(int(file.read_text())))


def test_a_measured_call_gives_its_value_or_its_error() -> None:
    """Keywords are handed on; our own errors are sentences already; Ctrl-C passes."""
    assert isinstance(done := measured(int, "12", base=3), Done)
    assert done.value == 5
    assert isinstance(failed := measured(_refuse, ConfigError("depth: expected 1, found 2.")), Failure)
    assert failed.reason == "depth: expected 1, found 2."
    assert isinstance(failed := measured(_refuse, ValueError("x" * 5_000)), Failure)
    assert failed.reason.startswith("ValueError: xxx")
    assert len(failed.reason) == 400
    with pytest.raises(KeyboardInterrupt):
        measured(_refuse, KeyboardInterrupt())


@LINUX
def test_a_measured_peak_counts_from_the_call_on() -> None:
    """What was taken and given back before is not counted, what is taken for a moment is."""
    large = measured(_touch, 64 * MIB).peak_bytes
    quiet = measured(lambda: None).peak_bytes
    assert large - quiet == pytest.approx(64 * MIB, rel=0.1)


def wait_until(met: Callable[[], bool]) -> None:
    """Return once the condition is met."""
    end = time.monotonic() + LIMIT_S
    while not met():
        assert time.monotonic() < end
        time.sleep(0.05)


def _touch(size: int) -> None:
    """Pages of their own: an array may be laid where the process has freed some before."""
    with mmap(-1, size) as pages:
        for start in range(0, size, PAGESIZE):
            pages[start] = 1


def _refuse(error: BaseException) -> None:
    raise error


def _alive(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    if status.exists():
        return status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False
