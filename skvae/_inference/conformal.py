"""Conformal p-values, and the procedure of Benjamini and Hochberg: thresholds with a guarantee.

Both rest on rows that the model has never seen: a new normal row is equally likely to have any rank
among them, whatever the score is.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.stats import false_discovery_control

from skvae._validation import caller_stacklevel

ROUNDING = 1 + 1e-12  # scipy's adjusted p-values carry a rounding error


def conformal_pvalues(scores: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """(1 + number of calibration scores that are no higher) / (1 + their number).

    For a normal row P(p ≤ α) ≤ α; ties count against it being an outlier.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
        Higher is more normal.
    calibration : ndarray of shape (n_calibration,)
        Sorted.
    """
    n_lower = np.searchsorted(calibration, scores, side="right")
    return np.asarray((1 + n_lower) / (1 + len(calibration)))


def rejected(pvalues: np.ndarray, n_calibration: int, alpha: float) -> np.ndarray:
    """Which rows are outliers by the procedure of Benjamini and Hochberg (1995), (m,) of bool.

    The expected proportion of normal rows among them is at most α, for conformal p-values too
    (Bates et al. 2023, arXiv:2104.08279).

    Raises
    ------
    ValueError
        If there are so few calibration rows that no row could be rejected.
    """
    least = 1 / (n_calibration + 1)
    if least > alpha:
        raise ValueError(
            f"With {n_calibration} calibration rows no p-value is below 1/{n_calibration + 1}, so "
            f"no row can be called an outlier at alpha={alpha}. Use at least "
            f"{int(np.ceil(1 / alpha)) - 1} calibration rows (a larger calibration_fraction, or "
            "more rows), a larger alpha, or pvalues."
        )
    outliers = false_discovery_control(pvalues, method="bh") <= alpha * ROUNDING
    n_beyond = int((pvalues <= least).sum())
    if n_beyond and not outliers.any():
        needed = int(np.ceil(len(pvalues) / (alpha * n_beyond))) - 1
        warnings.warn(
            f"{n_beyond} of {len(pvalues)} rows score lower than each of the {n_calibration} "
            f"calibration rows, which is not enough to call them outliers at alpha={alpha}: it "
            f"would take {needed} calibration rows. pvalues gives the p-value of each row by "
            "itself.",
            UserWarning,
            stacklevel=caller_stacklevel(),
        )
    return np.asarray(outliers)
