"""Conformal p-values, and the rule of Benjamini & Hochberg: lines with a promise.

Both rest on rows that the model has never seen: a new normal row is as likely to have any rank
among them as any other, whatever the score is.
"""

from __future__ import annotations

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
