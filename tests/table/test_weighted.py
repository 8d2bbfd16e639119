"""Weighted quantiles."""

import numpy as np
import pytest

from skvae._table.weighted import quantiles_of_sorted, weighted_quantiles


@pytest.mark.parametrize("q", [0.0, 0.1, 0.5, 1.0, [0.25, 0.75]])
def test_integer_weights_are_repetitions(q):
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=40), rng.integers(1, 5, 40).astype(float)
    repeated = np.repeat(values, weights.astype(int))
    np.testing.assert_array_equal(weighted_quantiles(values, weights, q), np.quantile(repeated, q))
    order = np.argsort(values)
    step = quantiles_of_sorted(values[order], weights[order], q)
    np.testing.assert_array_equal(step, np.quantile(repeated, q, method="inverted_cdf"))


def test_other_weights_by_cumulated_weight():
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([0.5, 0.3, 0.9])
    np.testing.assert_array_equal(
        weighted_quantiles(values, weights, [0.0, 0.17, 0.18, 0.7, 0.71, 1.0]), [1, 1, 2, 2, 3, 3]
    )
