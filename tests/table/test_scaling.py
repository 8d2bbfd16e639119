"""Every monotone map has an exact inverse and a true derivative, whatever the column holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import kstest
from sklearn.preprocessing import PowerTransformer

from skvae import VAETransformer
from skvae._table.scaling import (
    HEAVY_CORE,
    MAX_KNOTS,
    NumericMap,
    PowerMap,
    QuantileMap,
    robust_units,
)
from skvae._table.transforms import TRANSFORMS

rng = np.random.default_rng(0)
COLUMNS = {
    "normal": rng.normal(3, 2, size=500),
    "outlier": np.append(rng.normal(size=500), 1e9),
    "few rows and an outlier": np.append(rng.normal(size=20), 1e9),
    "enormous outliers": np.concatenate([rng.normal(size=500), [-1e280, 1e280]]),
    "wide": 10.0 ** rng.uniform(-12, 30, size=500),
    "mostly zero": np.where(rng.random(500) < 0.9, 0, rng.exponential(1000, size=500)),
    "huge": rng.normal(size=100) * 1e300,
    "tiny": rng.normal(size=100) * 1e-300,
    "two values": np.array([0.0, 1.0] * 20),
    "lognormal": rng.lognormal(size=2000),
    "counts": rng.poisson(2.0, size=500) + 1.0,
    "rare value": np.append(np.full(9999, 2.0), 3.0),
    "neighbors": np.nextafter(1.9, [1.9, 2.0] * 20),
    "probabilities": np.append(rng.random(100), [5e-324, 1e-300, 1e-20]),
}
CASES = [
    pytest.param(transform, values, id=f"{transform}-{name}")
    for transform in TRANSFORMS
    for name, values in COLUMNS.items()
    if transform != "log" or values.min() > 0
]
COARSE = ("enormous outliers", "huge", "neighbors", "probabilities")  # at the limits of float64
every_case = pytest.mark.parametrize(("transform", "values"), CASES)
ordinary_case = pytest.mark.parametrize(
    ("transform", "values"), [case for case in CASES if not case.id.endswith(COARSE)]
)
every_transform = pytest.mark.parametrize("transform", TRANSFORMS)


def fitted(values, transform="auto"):
    distinct, counts = np.unique(values, return_counts=True)
    return TRANSFORMS[transform](distinct, counts)


@every_case
def test_scaled_values_are_moderate_and_come_back(transform, values):
    numeric_map = fitted(values, transform)
    y = numeric_map.forward(values)
    size = np.abs(values).max()
    np.testing.assert_allclose(numeric_map.inverse(y) / size, values / size, rtol=1e-8, atol=1e-14)
    assert (np.diff(y[np.argsort(values, kind="stable")]) >= 0).all()
    assert np.isfinite(numeric_map.log_derivative(values)).all()
    if transform == "robust":
        assert np.abs(y).max() < 1e6
        return
    assert np.abs(y).max() < 150
    assert y.std() == pytest.approx(1, abs=1e-6)
    assert y.mean() == pytest.approx(0, abs=1e-6) or values is COLUMNS["neighbors"]


@ordinary_case
def test_maps_increase_strictly_and_come_back_far_beyond_the_data(transform, values):
    numeric_map = fitted(values, transform)
    y = np.linspace(-20, 20, 501)
    x = numeric_map.inverse(y)
    assert (np.diff(x) > 0).all()
    np.testing.assert_allclose(numeric_map.forward(x), y, atol=1e-7)


@ordinary_case
def test_the_center_is_near_zero_and_the_derivative_is_that_there(transform, values):
    numeric_map = fitted(values, transform)
    center = np.array([numeric_map.center])
    assert abs(numeric_map.forward(center)[0]) < 1.5
    log_slope = numeric_map.log_derivative(center)[0]
    within = 6 if isinstance(numeric_map, QuantileMap) else 1e-9  # whose derivatives are local
    assert np.log(numeric_map.derivative) == pytest.approx(log_slope, abs=within)


@every_case
def test_values_beyond_all_bounds_stay_finite(transform, values):
    numeric_map = fitted(values, transform)
    extreme = np.array([-1.79e308, -1.7e308, -1e300, -5e-324, 0, 5e-324, 1e300, 1.7e308, 1.79e308])
    y = numeric_map.forward(extreme)
    assert np.isfinite(y).all()
    assert (np.diff(y) >= 0).all()
    assert np.abs(y).max() < 1e6
    assert np.isfinite(numeric_map.log_derivative(extreme)).all()
    x = numeric_map.inverse(np.array([-1.7e308, -1e300, -1e9, 0, 1e9, 1e300, 1.7e308]))
    assert np.isfinite(x).all()
    assert (x[1:] >= x[:-1]).all()


@every_transform
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_derivative_and_inverse_of_fitted_maps(transform, data):
    """At any x of any column; the finite difference stays between knots and other knots."""
    lowest = 0.01 if transform == "log" else -50
    cells = data.draw(st.lists(st.floats(lowest, 50).map(lambda v: round(v, 2)), min_size=2))
    values, counts = np.unique(cells, return_counts=True)
    if len(values) < 2 or (transform == "log" and values[0] <= 0):
        return
    numeric_map = TRANSFORMS[transform](values, counts)
    x = data.draw(st.floats(-100, 100))
    step = 1e-6
    ends = numeric_map.forward(np.array([x - step, x, x + step]))
    left, right = np.log(np.diff(ends) / step)
    np.testing.assert_allclose(numeric_map.inverse(ends), [x - step, x, x + step], atol=1e-7)
    if abs(left - right) < 1e-3:
        expected = (left + right) / 2
        assert numeric_map.log_derivative(np.array([x]))[0] == pytest.approx(expected, abs=5e-3)


@ordinary_case
def test_no_density_is_lost(transform, values):
    """∫ N(y(x)) dy/dx dx = 1, by the rule of middles, with edges equally far apart in y."""
    numeric_map = fitted(values, transform)
    edges = numeric_map.inverse(np.linspace(-6, 6, 20_001))
    x = (edges[1:] + edges[:-1]) / 2
    density = -0.5 * numeric_map.forward(x) ** 2 + numeric_map.log_derivative(x)
    mass = (np.exp(density) * np.diff(edges)).sum() / np.sqrt(2 * np.pi)
    assert mass == pytest.approx(1, abs=0.01)


@every_transform
def test_power_of_two_units_change_no_digit(transform):
    values = COLUMNS["lognormal" if transform == "log" else "normal"]
    one, other = fitted(values, transform), fitted(values * 1024, transform)
    np.testing.assert_array_equal(one.forward(values), other.forward(values * 1024))
    assert one.center * 1024 == other.center
    assert one.derivative == other.derivative * 1024


@every_transform
def test_a_weight_is_a_share(transform):
    values, counts = np.unique(COLUMNS["counts"], return_counts=True)
    y = TRANSFORMS[transform](values, counts).forward(values)
    np.testing.assert_allclose(TRANSFORMS[transform](values, counts / 3).forward(values), y, 1e-4)


def test_an_outlier_leaves_the_others_apart():
    """Standardizing would squeeze the 500 others into 1e-9."""
    for transform in ("auto", "power", "quantile"):
        y = fitted(COLUMNS["outlier"], transform).forward(COLUMNS["outlier"])
        assert y[:-1].std() > 0.3
    assert fitted(COLUMNS["few rows and an outlier"]).core == HEAVY_CORE


@pytest.mark.parametrize("transform", ["auto", "standard"])
def test_regular_columns_are_standardized(transform):
    values = COLUMNS["normal"]
    expected = (values - values.mean()) / values.std()
    np.testing.assert_allclose(fitted(values, transform).forward(values), expected, rtol=1e-12)


def test_standard_is_affine_whatever_the_column_holds():
    values = np.append(np.zeros(4_000_000), 1.0)  # z = 2000 is beyond the wide core
    distinct, counts = np.unique(values, return_counts=True)
    y = TRANSFORMS["standard"](distinct, counts).forward(distinct)
    np.testing.assert_allclose(y, (distinct - values.mean()) / values.std())


def test_robust_is_median_and_interquartile_range():
    values = COLUMNS["lognormal"][:-1]  # an odd number: its median is one of them
    low, center, high = np.quantile(values, [0.25, 0.5, 0.75])
    expected = (values - center) / ((high - low) / 1.349)
    np.testing.assert_allclose(fitted(values, "robust").forward(values), expected, rtol=2e-3)


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


@pytest.mark.parametrize("exponent", [0.0, 0.4, 1.0, 1.5, 2.0])
def test_power_finds_the_exponent_that_made_the_column(exponent):
    made = PowerMap(0.0, 1.0, exponent).inverse(ndtri((np.arange(5000) + 0.5) / 5000))
    assert fitted(7 + 300 * made, "power").exponent == pytest.approx(exponent, abs=0.05)


@pytest.mark.parametrize("values", [
    np.exp(0.3 * COLUMNS["normal"]),
    -np.exp(0.2 * COLUMNS["normal"]),
    rng.gamma(3.0, size=1000),
    COLUMNS["counts"],
], ids=["lognormal", "minus lognormal", "gamma", "counts"])  # fmt: skip
def test_power_is_scikit_learns_in_robust_units(values):
    power_map = fitted(values, "power")
    u = (values - power_map.center) / power_map.scale
    reference = PowerTransformer().fit(u[:, None])
    exponent = np.clip(reference.lambdas_[0], 0, 2)
    assert power_map.exponent == pytest.approx(exponent, abs=1e-3)
    if 0 < reference.lambdas_[0] < 2:
        expected = reference.transform(u[:, None])[:, 0]
        np.testing.assert_allclose(power_map.forward(values), expected, atol=0.01)


def test_power_at_its_bounds_is_a_logarithm():
    u = np.array([-8.0, -1.0, 0.0, 1.0, 8.0])
    np.testing.assert_allclose(PowerMap(0.0, 1.0, 0.0).forward(u)[3:], np.log1p(u[3:]))
    np.testing.assert_allclose(PowerMap(0.0, 1.0, 2.0).forward(u)[:2], -np.log1p(-u[:2]))
    np.testing.assert_allclose(PowerMap(0.0, 1.0, 1.0).forward(u), u)


@pytest.mark.parametrize("values", [
    rng.lognormal(size=20_000),
    rng.random(20_000),
    np.concatenate([rng.normal(-5, size=10_000), rng.normal(5, 0.1, size=10_000)]),
    rng.standard_cauchy(size=20_000),
], ids=["lognormal", "uniform", "two modes", "heavy tails"])  # fmt: skip
def test_quantile_makes_normal_columns(values):
    quantile_map = fitted(values, "quantile")
    assert len(quantile_map.knots) <= MAX_KNOTS
    y = quantile_map.forward(values)
    assert kstest(y, "norm").statistic < 0.02
    assert kstest((values - values.mean()) / values.std(), "norm").statistic > 0.05


def test_quantile_puts_atoms_at_the_middle_of_their_step():
    values = COLUMNS["mostly zero"]
    quantile_map = fitted(values, "quantile")
    share = (values == 0).mean()
    score = quantile_map.units.inverse(quantile_map.forward(np.zeros(1)))[0]
    assert score == pytest.approx(ndtri(share / 2), abs=1e-9)


def test_quantile_is_steep_nowhere():
    """Values that are close but distinct are no spike of the density."""
    values = np.concatenate([rng.normal(size=1000), 0.5 + 1e-9 * rng.normal(size=500)])
    quantile_map = fitted(values, "quantile")
    x = np.linspace(-10, 10, 100_001)
    steepness = np.exp(quantile_map.log_derivative(x)) / quantile_map.derivative
    assert steepness.max() < 1000
    assert steepness.min() > 1e-3
    assert steepness[[0, -1]].max() <= 1.0 + 1e-9
    assert (np.diff(quantile_map.knots) >= 1e-3).all()


def test_log_is_the_logarithm():
    values = COLUMNS["wide"]
    log_map = fitted(values, "log")
    logarithm = np.log(values)
    expected = (logarithm - logarithm.mean()) / logarithm.std()
    np.testing.assert_allclose(log_map.forward(values), expected, atol=1e-12)
    above = values.max() * np.array([1.0, 1e3, 1e200])
    expected = (np.log(above) - logarithm.mean()) / logarithm.std()
    np.testing.assert_allclose(log_map.forward(above), expected)
    below = values.min() * np.array([1.0, 0.0, -1.0])
    steps = np.diff(log_map.forward(below))
    np.testing.assert_allclose(steps, -1 / logarithm.std())


@pytest.mark.parametrize("least", [0.0, -2.5])
def test_log_wants_positive_values(least):
    with pytest.raises(ValueError, match=rf"needs positive values, but the minimum is {least:g}\."):
        fitted(np.array([1.0, 2.0, least]), "log")


def test_robust_units_of_a_column_that_is_mostly_one_value_look_at_the_others():
    values, counts = np.unique(COLUMNS["mostly zero"], return_counts=True)
    center, scale = robust_units(values, counts)
    assert center == 0
    assert scale == pytest.approx(np.median(values[1:]), rel=0.1)


def test_maps_are_values():
    """Frozen: a map that is stored in a model cannot change under it."""
    power_map = fitted(COLUMNS["normal"], "power")
    assert replace(power_map) == power_map
    with pytest.raises(AttributeError):
        power_map.exponent = 1.0


@pytest.mark.parametrize("transform", ["auto", "standard", "robust", "power", "quantile", "log"])
def test_subnormal_columns_are_fitted(transform):
    """1 / 1e-310 overflows, and so would the density of a column with that spread."""
    x = 1e-310 * np.abs(np.random.default_rng(0).normal(size=60)) + 1e-312
    vae = VAETransformer(1, numeric_transform=transform, max_iter=1, hidden_layer_sizes=(4,))
    scores = vae.fit(x[:, None]).score_samples(x[:, None])
    assert np.isfinite(scores).all()
