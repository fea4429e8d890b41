"""Set before anything imports torch or xgboost: test processes share the cores, and threads that wait for a
busy core make every product of matrices ten times slower."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
