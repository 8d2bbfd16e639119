"""The names of ``numeric_transform``, and the map that "auto" chooses for a column."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import t as student_t

from .scaling import (
    HEAVY,
    HEAVY_CORE,
    Map,
    NumericMap,
    fit_log,
    fit_power,
    fit_quantile,
    fit_robust,
    fit_standard,
    moments,
    robust_units,
    to_units,
)
from .weighted import quantiles_of_sorted

Fit = Callable[[np.ndarray, np.ndarray], Map]

EDGE, AT_EDGE = 0.05, 0.5  # of the range next to an end; density there, relative to the mean
MIN_DISTINCT, MAX_DISTINCT = 60, 20_000  # values of a column, for which a choice is made
MIN_GAIN, MIN_ERRORS = 0.05, 3.0  # nats and standard errors that the quantile map must add
DEGREES_OF_FREEDOM, STEPS = (3.0, 8.0, 50.0), 15


def choose_map(values: np.ndarray, weights: np.ndarray) -> Map:
    """The map of a column with the given distinct sorted values and their weights.

    Mean and standard deviation; with logarithmic tails, if values are very far from the others. A
    column that ends abruptly at its minimum or maximum, as a uniform, exponential or U-shaped one
    does, has the quantile map, if its held-out log-density is clearly higher: a density with tails
    would lose mass beyond the ends.
    """
    if len(values) >= MIN_DISTINCT and has_edge(values, weights):
        rows = np.random.default_rng(0).permutation(len(values))[:MAX_DISTINCT]
        gain, error = _held_out_gain(values, weights, np.sort(rows))
        if gain > max(MIN_GAIN, MIN_ERRORS * error):
            return fit_quantile(values, weights)
    return fit_numeric(values, weights)


def fit_numeric(values: np.ndarray, weights: np.ndarray) -> NumericMap:
    """Affine, with logarithmic tails if the extremes are far from the others."""
    center, scale = robust_units(values, weights)
    extreme = np.abs(to_units(values[[0, -1]], center, scale)).max()
    if extreme <= HEAVY:
        mean, spread = moments(values, weights)
        return NumericMap(mean, spread)
    shape = NumericMap(center, scale, HEAVY_CORE)
    shift, spread = moments(shape.forward(values), weights)
    return NumericMap(center, scale, HEAVY_CORE, shift, spread)


def has_edge(values: np.ndarray, weights: np.ndarray) -> bool:
    """Whether the density at the minimum or the maximum is not small.

    It is that of the twentieth of the range up to the ninth decile, from that end, next to it.
    """
    half = values / 2  # differences of halves cannot overflow
    for ordered, w in ((half, weights), (-half[::-1], weights[::-1])):
        span = quantiles_of_sorted(ordered, w, 0.9) - ordered[0]
        near = w[ordered <= ordered[0] + EDGE * span].sum() / w.sum()
        if near > AT_EDGE * EDGE * 0.9:
            return True
    return False


def _held_out_gain(
    values: np.ndarray, weights: np.ndarray, which: np.ndarray
) -> tuple[float, float]:
    """Mean log-density that the quantile map adds to held-out values, and its standard error."""
    values, weights = values[which], weights[which]
    fold = np.random.default_rng(1).permutation(len(values)) % 2
    gains, counts = [], []
    for i in range(2):
        train, test = fold != i, fold == i
        each = [
            _log_density(fit, values, weights, train, test) for fit in (fit_quantile, fit_numeric)
        ]
        gains.append(each[0] - each[1])
        counts.append(weights[test])
    gain, w = np.concatenate(gains), np.concatenate(counts)
    w = w / w.sum()
    mean = float(w @ gain)
    return mean, float(np.sqrt(w**2 @ (gain - mean) ** 2))


def _log_density(
    fit: Fit, values: np.ndarray, weights: np.ndarray, train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Of held-out values, under Student's t of the values that a map gives."""
    fitted = fit(values[train], weights[train])
    y, w = fitted.forward(values[train]), weights[train] / weights[train].sum()
    best, log_density = -np.inf, np.zeros(int(test.sum()))
    for nu in DEGREES_OF_FREEDOM:
        location = float(w @ y)
        variance = float(w @ (y - location) ** 2) + 1e-12
        for _ in range(STEPS):
            u = w * (nu + 1) / (nu + (y - location) ** 2 / variance)
            location = float(u @ y / u.sum())
            variance = float(u @ (y - location) ** 2) + 1e-12
        scale = np.sqrt(variance)
        own = float(w @ student_t.logpdf(y, nu, location, scale))
        if own > best:
            best = own
            x = values[test]
            log_density = student_t.logpdf(fitted.forward(x), nu, location, scale)
            log_density = log_density + fitted.log_derivative(x)
    return np.asarray(log_density)


AFFINE = "affine"  # what "auto" is without a choice; not for users, who have "standard"
TRANSFORMS: dict[str, Fit] = {
    "auto": choose_map,
    "standard": fit_standard,
    "robust": fit_robust,
    "power": fit_power,
    "quantile": fit_quantile,
    "log": fit_log,
}
ALL_TRANSFORMS: dict[str, Fit] = {**TRANSFORMS, AFFINE: fit_numeric}
