"""Values of a column that stand out by their frequency: codes, limits, zeros of zero-inflation."""

from __future__ import annotations

import numpy as np

from .weighted import quantiles_of_sorted

NEIGHBORS = 4  # distinct values on either side
FREQUENT, TALL = 0.03, 4.0  # proportion of the cells, and times the frequency of the values around
RARE, VERY_TALL, MAX_RARE = 0.005, 20.0, 4  # the same of rarer ones, of which there may be few
MIN_COUNT = 5.0  # cells
FAR, MIN_FAR = 5.0, 0.002  # ranges of the rest away from it; proportion of the cells
RANGE = 2.4  # of a normal distribution from 5 to 95 %, in units of the interquartile range
MAX_TOGETHER = 3  # neighboring codes, as 9997, 9998, 9999
ROUNDS = 4


def prominence(counts: np.ndarray) -> np.ndarray:
    """Frequency of values relative to the median of that of the eight nearest values."""
    n = len(counts)
    if n <= 1:
        return np.ones(n)
    width = min(2 * NEIGHBORS + 1, n)
    first = np.clip(np.arange(n) - NEIGHBORS, 0, n - width)
    window = counts[first[:, None] + np.arange(width)]
    own = np.arange(width) == (np.arange(n) - first)[:, None]
    return np.asarray(counts / np.nanmedian(np.where(own, np.nan, window), axis=1))


def spikes(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which values occur far more often than a smooth density would have them.

    A value is a spike if it makes up much of the cells and is more frequent than the values around
    it, or if it is rarer but still more prominent, or if it is repeated far from all others.

    Parameters
    ----------
    values : ndarray of shape (n_distinct,)
        Sorted.
    counts : ndarray of shape (n_distinct,)
        Their summed weights.

    Returns
    -------
    is_spike, is_code : ndarray of bool, shape (n_distinct,)
        Masks of the spikes, and of those among them that are far from all other values.
    """
    share, tall = counts / counts.sum(), prominence(counts)
    enough = counts >= MIN_COUNT
    found = enough & (share >= FREQUENT) & (tall >= TALL)
    rare = enough & (share >= RARE) & (tall >= VERY_TALL) & ~found
    if rare.sum() <= MAX_RARE:  # more of them are round numbers
        found |= rare
    repeated = enough & (share >= MIN_FAR)
    for _ in range(ROUNDS):
        far = repeated & ~found & _is_far(values, counts, ~found)
        if not far.any():
            break
        found |= far
    return found, found & _is_far(values, counts, ~found)


def _is_far(values: np.ndarray, counts: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Which values are by themselves, or in groups of few, far from the rest."""
    if rest.sum() < 3:
        return np.zeros(len(values), dtype=bool)
    low, high = quantiles_of_sorted(values[rest], counts[rest], [0.25, 0.75]) / 2
    half = values / 2  # differences of halves cannot overflow
    is_outside = np.maximum(low - half, half - high) / FAR / RANGE > high - low
    group = np.cumsum(np.append(False, np.diff(half) / RANGE > high - low))
    size, outside = np.bincount(group), np.bincount(group, is_outside)
    return np.asarray(((outside == size) & (size <= MAX_TOGETHER))[group] & (high > low))


def is_body(values: np.ndarray) -> np.ndarray:
    """Which of a few values are not far from the rest of them.

    Codes at either end that are further away than ten times the range of the others are left out,
    as long as two values remain.
    """
    kept = np.ones(len(values), dtype=bool)
    while kept.sum() > 2:
        first, *_, last = np.flatnonzero(kept)
        half = values[kept] / 2
        below, above = half[1] - half[0], half[-1] - half[-2]
        others = half[-1] - half[0] - max(below, above)
        if max(below, above) / FAR <= 2 * others:
            break
        kept[first if below > above else last] = False
    return kept
