"""Search: pairs of columns of which one is nowhere above the other."""

from __future__ import annotations

import numpy as np

EVIDENCE = 40.0  # nats
MIN_SHARE = 0.02  # of pairs of values from two random rows that break the order
FEW_ROWS = 16  # in which most pairs of columns already break the order


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
        # comparisons with a missing value are false; most columns are out after a few rows
        left = np.flatnonzero(~(x[:FEW_ROWS, [a]] > x[:FEW_ROWS]).any(0))
        left = left[~(x[:, [a]] > x[:, left]).any(0) & (left != a)]
        seen = ~np.isnan(x[:, [a]]) & ~np.isnan(x[:, left])
        share = (x[:, [a]] > other[:, left]).sum(0) / n
        with np.errstate(divide="ignore"):
            evidence = -seen.sum(0) * np.log1p(-np.minimum(share, 1 - 1e-9))
        is_below[a, left] = (share >= MIN_SHARE) & (evidence >= EVIDENCE)
    return is_below


def reduced(is_below: np.ndarray) -> np.ndarray:
    """The pairs without those that follow from two others."""
    between = is_below.any(0) & is_below.any(1)
    # products of integers are not given to BLAS: minutes for thousands of columns
    first, second = is_below[:, between], is_below[between]
    follows = first.astype(np.float32) @ second.astype(np.float32) > 0
    return is_below & ~follows
