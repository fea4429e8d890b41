"""Agents that go wrong, each in its own way; found by the path of this file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np


class Even:
    """A sound one: a third for each action."""

    name = "even"

    def fit(self, train, validation, seed):
        """Nothing to learn."""

    def signals(self, inputs):
        return np.full((len(inputs), 3), 1 / 3)


class WrongShape(Even):
    def signals(self, inputs):
        return np.full(len(inputs), 0.5)


class NotANumber(Even):
    def signals(self, inputs):
        return np.full((len(inputs), 3), np.nan)


class RaisesInFit(Even):
    def fit(self, train, validation, seed):
        raise KeyError("no column\nof that name")


class RaisesInSignals(Even):
    def signals(self, inputs):
        return 1 / 0


class Hangs(Even):
    """Deaf to polite signals, with a child that hangs as well; the child's number is left in a file."""

    def fit(self, train, validation, seed):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with open(os.environ["HANGING_CHILD"], "w") as file:  # noqa: PTH123
            file.write(str(child.pid))
        while True:
            time.sleep(1)


class Leaves(Even):
    def fit(self, train, validation, seed):
        os._exit(3)


class Crashes(Even):
    def fit(self, train, validation, seed):
        os.kill(os.getpid(), signal.SIGSEGV)


class Noisy(Even):
    """Shouts on every channel, even below Python's own streams, and leaves a thread behind."""

    def fit(self, train, validation, seed):
        import threading

        threading.Thread(target=time.sleep, args=(600,)).start()
        for channel in (1, 2):
            os.write(channel, b"\x00\xff noise " * 50_000)
        sys.stderr.write("noise")


class NeedsArguments(Even):
    def __init__(self, depth):
        self.depth = depth


class NoFit:
    name = "no_fit"


class OfAnotherKind(Even):
    kind = "oracle"


class Peeks(Even):
    """Answers by the last bar that it could find while it was fitted."""

    def fit(self, train, validation, seed):
        self.last = max(int(rows.markets[0].bars.timestamp[-1]) for rows in (train, validation))
        self.rows = len(train), len(validation)


class Trader(Even):
    """Buys when it holds nothing, sells when it holds something."""

    kind = "position"

    def signals(self, inputs):
        found = np.zeros((len(inputs), 3))
        flat = inputs.account[:, 0] == 0
        found[flat, 1] = found[~flat, 2] = 1.0
        return found
