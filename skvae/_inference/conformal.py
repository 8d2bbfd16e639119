"""Conformal p-values, and the rule of Benjamini & Hochberg: lines with a promise.

Both rest on rows that the model has never seen: a new normal row is as likely to have any rank
among them as any other, whatever the score is.
"""

from __future__ import annotations

import warnings

import numpy as np


def conformal_pvalues(scores: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """(1 + number of calibration scores that are no higher) / (1 + their number).

    For a normal row P(p ≤ α) ≤ α; ties count against it being odd.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
        Higher is more normal.
    calibration : ndarray of shape (n_calibration,)
        Sorted.
    """
    n_lower = np.searchsorted(calibration, scores, side="right")
    return np.asarray((1 + n_lower) / (1 + len(calibration)))


def benjamini_hochberg(pvalues: np.ndarray, alpha: float) -> np.ndarray:
    """Which of m hypotheses to reject: those with the k smallest p-values, (m,) bool.

    k is the largest number with p_(k) ≤ k α / m. The expected share of false ones among the
    rejected is at most α (Benjamini & Hochberg 1995); for conformal p-values too (Bates et al.
    2023, arXiv:2104.08279).
    """
    order = np.sort(pvalues)
    passes = order <= alpha * np.arange(1, len(order) + 1) / len(order)
    largest = order[passes][-1] if passes.any() else -1.0
    return np.asarray(pvalues <= largest)


def rejected(pvalues: np.ndarray, n_calibration: int, alpha: float) -> np.ndarray:
    """The rule of Benjamini & Hochberg; an error where so few calibration rows make it empty."""
    least = 1 / (n_calibration + 1)
    if least > alpha:
        raise ValueError(
            f"With {n_calibration} calibration rows no p-value is below 1/{n_calibration + 1}, so "
            f"no row can be called an outlier at alpha={alpha}. Use at least "
            f"{int(np.ceil(1 / alpha)) - 1} calibration rows (a larger calibration_fraction, or "
            "more rows), a larger alpha, or pvalues."
        )
    odd, n_beyond = benjamini_hochberg(pvalues, alpha), int((pvalues <= least).sum())
    if n_beyond and not odd.any():
        needed = int(np.ceil(len(pvalues) / (alpha * n_beyond))) - 1
        warnings.warn(
            f"{n_beyond} of {len(pvalues)} rows score lower than each of the {n_calibration} "
            f"calibration rows, which is not enough to call them outliers at alpha={alpha}: it "
            f"would take {needed} calibration rows. pvalues tells how odd each row is by itself.",
            UserWarning,
            stacklevel=3,
        )
    return odd
