"""Compiled functions where nothing can be kept on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantum_trader.envs.jit import cached_njit, jit


def third(value: float) -> float:
    return value / 3.0


def test_a_place_without_a_cache_compiles_at_every_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only installation of a user without a home folder: the function works, and is not kept."""
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    for compiled in (cached_njit(third), jit(third)):
        assert compiled(1.0) == third(1.0)
    assert cached_njit(third).stats.cache_path is None


def test_compiled_functions_are_kept_where_they_can_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a folder that can be written the compiled function lies there."""
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))
    compiled = cached_njit(third)
    assert compiled(1.0) == third(1.0)
    assert str(compiled.stats.cache_path).startswith(str(tmp_path))
