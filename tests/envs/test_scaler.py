"""The clipped robust z-score."""

from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.envs.config import from_plain, to_plain
from quantum_trader.envs.errors import DataError
from quantum_trader.envs.features import FEATURE_NAMES, WARMUP_BARS, compute_features
from quantum_trader.envs.sample import sample_bars
from quantum_trader.envs.scaler import REFERENCE_SCALER, FeatureScaler, fit_scaler

WIDTH = len(FEATURE_NAMES)


def normal(rows: int, seed: int = 0) -> np.ndarray:
    """Column k has mean k and deviation k + 1."""
    draws = np.random.default_rng(seed).standard_normal((rows, WIDTH))
    return (draws * (np.arange(WIDTH) + 1) + np.arange(WIDTH)).astype(np.float32)


def test_normal_columns_become_standard_normal() -> None:
    """Centre and scale are estimates of mean and deviation, column by column."""
    scaler = fit_scaler([normal(40_000)])
    np.testing.assert_allclose(scaler.center, np.arange(WIDTH), atol=0.25)
    np.testing.assert_allclose(scaler.scale, np.arange(WIDTH) + 1, rtol=0.02)
    scaled = scaler.transform(normal(40_000, seed=1))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.std(axis=0), 1.0, atol=0.03)


def test_transform_clips_and_turns_nan_into_the_neutral_value() -> None:
    """Outliers stop at +-clip, NaN and only NaN becomes 0, and the input is left alone."""
    scaler = FeatureScaler(center=(1.0,) * WIDTH, scale=(2.0,) * WIDTH, clip=3.0)
    rows = np.array([[np.nan], [1.0], [3.0], [1e9], [-1e9], [np.inf]], dtype=np.float32).repeat(WIDTH, axis=1)
    before = rows.copy()
    np.testing.assert_array_equal(scaler.transform(rows)[:, 5], [0.0, 0.0, 1.0, 3.0, -3.0, 3.0])
    np.testing.assert_array_equal(rows, before)


def test_any_leading_shape_scales_alike() -> None:
    """One row, a table and a batch of windows give the same bits."""
    scaler, table = fit_scaler([normal(500)]), normal(120, seed=2)
    whole = scaler.transform(table)
    np.testing.assert_array_equal(scaler.transform(table.reshape(2, 60, WIDTH)), whole.reshape(2, 60, WIDTH))
    np.testing.assert_array_equal(np.stack([scaler.transform(row) for row in table]), whole)


def test_a_fit_knows_only_the_rows_it_was_given() -> None:
    """Garbage in the rows after the training range changes nothing."""
    table = normal(1_000)
    spoilt = table.copy()
    spoilt[700:] = 1e30
    assert fit_scaler([table[:700]]) == fit_scaler([spoilt[:700]])
    assert fit_scaler([table[:700]]) != fit_scaler([table])


def test_tables_are_pooled() -> None:
    """Two tables count as one, and warm-up rows are left out."""
    table = normal(1_000)
    unknown = np.full((50, WIDTH), np.nan, dtype=np.float32)
    assert fit_scaler([table[:300], table[300:]]) == fit_scaler([np.concatenate([unknown, table])])


def test_a_constant_feature_keeps_the_reference_scale() -> None:
    """Funding that is always 0 in training is not blown up by its first real value."""
    table = normal(1_000)
    table[:, -1] = 0.0
    scaler = fit_scaler([table])
    assert scaler.scale[-1] == REFERENCE_SCALER.scale[-1]
    table[:, -1] = 0.0001
    assert np.abs(scaler.transform(table)[:, -1]).max() == pytest.approx(1.0)


def test_nothing_to_fit_on_is_an_error() -> None:
    """No tables, or only warm-up, is a DataError rather than a NaN scaler."""
    for tables in ([], [np.full((10, WIDTH), np.nan, dtype=np.float32)]):
        with pytest.raises(DataError, match="no finite value"):
            fit_scaler(tables)


def test_the_reference_suits_hourly_bars() -> None:
    """On the sample every feature but funding comes out with a middle near 0 and a spread of order 1."""
    scaled = REFERENCE_SCALER.transform(compute_features(sample_bars())[WARMUP_BARS:])[:, :-1]
    low, middle, high = np.percentile(scaled, [25, 50, 75], axis=0)
    assert np.abs(middle).max() < 1.5
    assert ((high - low) > 0.1).all()
    assert ((high - low) < 4.0).all()


def test_a_scaler_survives_json() -> None:
    """What a model folder stores is what it reads back."""
    scaler = fit_scaler([normal(500)])
    assert from_plain(FeatureScaler, to_plain(scaler), where="config.json") == scaler
