"""Weighted quantiles, where a value of weight 3 counts as three values."""

from __future__ import annotations

from typing import Any

import numpy as np

MAX_REPETITIONS = 10_000_000  # rows that integer weights may stand for, before they are drawn


def quantiles_of_sorted(values: np.ndarray, weights: np.ndarray, q: Any) -> np.ndarray:
    """The least of the sorted values whose cumulated weight reaches q of the total."""
    cumulated = np.cumsum(weights)
    at = np.searchsorted(cumulated, np.asarray(q) * cumulated[-1])
    return np.asarray(values[np.minimum(at, len(values) - 1)])


def weighted_quantiles(values: np.ndarray, weights: np.ndarray, q: Any) -> np.ndarray:
    """Quantiles of values in any order: as of repeated rows, where the weights are integers."""
    if (weights == np.round(weights)).all() and weights.sum() <= MAX_REPETITIONS:
        return np.quantile(np.repeat(values, weights.astype(np.int64)), q)
    order = np.argsort(values)
    return quantiles_of_sorted(values[order], weights[order], q)
