"""The monotone map has an exact inverse and a true derivative, whatever the column holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skvae._scaling import HEAVY_CORE, NumericMap, choose_map

rng = np.random.default_rng(0)
COLUMNS = {
    "normal": rng.normal(3, 2, size=500),
    "outlier": np.append(rng.normal(size=500), 1e9),
    "few rows and an outlier": np.append(rng.normal(size=20), 1e9),
    "wide": 10.0 ** rng.uniform(-12, 30, size=500),
    "mostly zero": np.where(rng.random(500) < 0.9, 0, rng.exponential(1000, size=500)),
    "huge": rng.normal(size=100) * 1e300,
    "tiny": rng.normal(size=100) * 1e-300,
    "two values": np.array([0.0, 1.0] * 20),
}


def fitted(values):
    distinct, counts = np.unique(values, return_counts=True)
    return choose_map(distinct, counts)


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS)
def test_scaled_values_are_moderate_and_come_back(values):
    numeric_map = fitted(values)
    y = numeric_map.forward(values)
    assert np.abs(y).max() < 150
    assert y.std() == pytest.approx(1.0, abs=0.01)
    size = np.abs(values).max()
    np.testing.assert_allclose(numeric_map.inverse(y) / size, values / size, rtol=1e-8, atol=1e-14)
    order = np.argsort(values, kind="stable")
    assert (np.diff(y[order]) >= 0).all()


def test_an_outlier_leaves_the_others_apart():
    """Standardising would squeeze the 500 others into 1e-9."""
    y = fitted(COLUMNS["outlier"]).forward(COLUMNS["outlier"])
    assert y[:-1].std() > 0.3
    assert fitted(COLUMNS["few rows and an outlier"]).core == HEAVY_CORE


def test_regular_columns_are_standardised():
    values = COLUMNS["normal"]
    expected = (values - values.mean()) / values.std()
    np.testing.assert_allclose(fitted(values).forward(values), expected, rtol=1e-12)


@settings(max_examples=100, deadline=None)
@given(
    x=st.floats(-1e6, 1e6),
    center=st.floats(-10, 10),
    scale=st.floats(0.01, 100),
    core=st.sampled_from([3.0, 1e3]),
    spread=st.floats(0.1, 10),
)
def test_derivative_and_inverse(x, center, scale, core, spread):
    numeric_map = NumericMap(center, scale, core, 0.3, spread)
    points = np.array([x])
    assert numeric_map.inverse(numeric_map.forward(points))[0] == pytest.approx(
        x, rel=1e-9, abs=1e-9
    )
    step = 1e-6 * max(abs(x), 1.0)
    ends = numeric_map.forward(np.array([x - step, x + step]))
    numeric = np.log((ends[1] - ends[0]) / (2 * step))
    assert numeric_map.log_derivative(points)[0] == pytest.approx(numeric, abs=2e-3)


def test_values_beyond_all_bounds_stay_finite():
    numeric_map = NumericMap(0.0, 1.0)
    extreme = np.array([-1.7e308, 1.7e308])
    assert np.isfinite(numeric_map.forward(extreme)).all()
    assert np.isfinite(numeric_map.log_derivative(extreme)).all()
    assert np.isfinite(numeric_map.inverse(np.array([-1e9, 1e9]))).all()


def test_power_of_two_units_change_no_digit():
    values = COLUMNS["normal"]
    np.testing.assert_array_equal(
        fitted(values).forward(values), fitted(values * 1024).forward(values * 1024)
    )
