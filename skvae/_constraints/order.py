"""Search: pairs of columns of which one is nowhere above the other."""

from __future__ import annotations

import numpy as np

EVIDENCE = 40.0  # nats
MIN_SHARE = 0.02  # of pairs of values from two random rows that break the order
CHUNK = 2**24  # comparisons at once


def ordered_pairs(x: np.ndarray) -> np.ndarray:
    """Which column (row) is nowhere above which (column), where random rows would be.

    Parameters
    ----------
    x : ndarray of shape (n_rows, n_columns)
        Comparable values of rows in random order; NaN where missing.

    Returns
    -------
    is_below : ndarray of bool of shape (n_columns, n_columns)
        Without what follows from two others: a ≤ b ≤ c.
    """
    n, p = x.shape
    other = np.roll(x, n // 2 + 1, axis=0)
    is_below = np.zeros((p, p), dtype=bool)
    for a in range(p):
        seen = ~np.isnan(x[:, [a]]) & ~np.isnan(x)
        above = (x[:, [a]] > x) & seen
        by_chance = (x[:, [a]] > other) & ~np.isnan(x[:, [a]]) & ~np.isnan(other)
        share = by_chance.sum(0) / n
        with np.errstate(divide="ignore"):
            evidence = -seen.sum(0) * np.log1p(-np.minimum(share, 1 - 1e-9))
        is_below[a] = ~above.any(0) & (share >= MIN_SHARE) & (evidence >= EVIDENCE)
        is_below[a, a] = False
    return is_below


def reduced(is_below: np.ndarray) -> np.ndarray:
    """The pairs without those that follow from two others."""
    follows = (is_below.astype(np.int64) @ is_below.astype(np.int64)) > 0
    return is_below & ~follows
