"""Which linear-Gaussian model to start from: number of components and kind of noise.

Candidates of all sizes with one noise for all features (probabilistic PCA) and with one for each
(factor analysis) are compared by cross-validated log-density of the encoded features.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student_t

from .linear import MAX_EXACT, MIN_NOISE, Spectrum, factor_analysis, probabilistic_pca, spectrum

SIZES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64)
MAX_ROWS, CHOICE_STEPS = 2000, 30  # rows and steps of EM that a candidate is given
FEW_ROWS, FEW_FOLDS, FOLDS = 100, 5, 3
TOLERANCE = 0.005  # nats per feature that another number of components must add
PATIENCE = 2  # sizes without progress after which larger ones are not tried
LOG_2PI = float(np.log(2 * np.pi))
DEGREES_OF_FREEDOM, SCALE_STEPS = (10.0, 2.0, 4.0, 30.0), 10  # the first is the default


@dataclass(frozen=True)
class LinearStart:
    """The linear-Gaussian model that training starts from.

    Attributes
    ----------
    n_components : int
    is_shared : bool
        Whether all features have the same noise: better where rows are few.
    """

    n_components: int
    is_shared: bool = False


class Fold(NamedTuple):
    """Rows that are kept aside, centered as the others, and the covariance of these."""

    test: np.ndarray
    spectrum: Spectrum
    n_rows: int

    @classmethod
    def of(cls, x: np.ndarray, seen: np.ndarray | None, is_test: np.ndarray) -> Fold:
        train, mean = x[~is_test], x[~is_test].mean(0)
        seen = None if seen is None else seen[~is_test]
        return cls(x[is_test] - mean, spectrum(train - mean, seen), len(train))


def choose_linear_start(
    x: np.ndarray, seen: np.ndarray | None, sizes: Iterable[int], default: int
) -> LinearStart:
    """The size and the noise with the highest cross-validated log-density.

    The size is the one closest to the default among those that are within one standard error, row
    by row, or the tolerance, of the best (the one-standard-error rule of Breiman et al. 1984);
    with few rows, within the tolerance alone.

    Parameters
    ----------
    x : ndarray of shape (n_rows, n_features)
        Encoded features, centered; 0 where missing.
    seen : ndarray of shape (n_rows, n_features) or None
    sizes : iterable of int
        Sizes to choose from, in increasing order.
    default : int
        One of the sizes.
    """
    n, d = min(len(x), MAX_ROWS), x.shape[1]
    n_folds = FEW_FOLDS if n < FEW_ROWS else FOLDS
    if n < 2 * n_folds or min(n, d) > MAX_EXACT or d == 0:
        return LinearStart(default, is_shared=n < 2 * n_folds)
    # The rows are in the order of their contents, so that neighbors are alike.
    fold = np.random.default_rng(0).permutation(n) % n_folds
    x, seen = x[:n], None if seen is None else seen[:n]
    folds = [Fold.of(x, seen, fold == i) for i in range(n_folds)]
    most = min(min(each.n_rows for each in folds) - 1, d)
    tried = sorted({min(size, most) for size in sizes})
    shared = _shared_noise(folds, tried)
    own = _own_noise(folds, tried)
    is_shared = shared.mean(1) > own.mean(1)
    by_size = np.where(is_shared[:, None], shared, own)
    gap = by_size[by_size.mean(1).argmax()] - by_size
    error = np.nan_to_num(gap, posinf=0.0).std(1) / np.sqrt(gap.shape[1])
    if n < FEW_ROWS:  # what is chosen is seldom changed much by training
        error = np.zeros_like(error)
    enough = np.flatnonzero(gap.mean(1) <= np.maximum(error, TOLERANCE))
    chosen = enough[np.abs(np.array(tried)[enough] - default).argmin()]
    size = default if min(default, most) == tried[chosen] else tried[chosen]
    return LinearStart(size, bool(is_shared[chosen]))


def _shared_noise(folds: list[Fold], sizes: list[int]) -> np.ndarray:
    """Held-out log-density per feature of probabilistic PCA of each size, (n_sizes, n_rows)."""
    found = []
    for fold in folds:
        each, d = fold.spectrum.values, fold.test.shape[1]
        rank = min(fold.n_rows, d)
        squares = (fold.test @ fold.spectrum.vectors) ** 2
        whole = (fold.test**2).sum(1)
        scores = []
        for k in sizes:
            rest = each[k:].sum() / (rank - k) if k < rank else each[k - 1] / 2
            noise = max(rest, MIN_NOISE**2)
            top, y = np.maximum(each[:k], noise), squares[:, :k]
            log_det = np.log(top).sum() + (d - k) * np.log(noise)
            distance = (y / top).sum(1) + (whole - y.sum(1)) / noise
            scores.append(-0.5 * (log_det + distance + d * LOG_2PI) / d)
        found.append(scores)
    return np.concatenate(found, axis=1)


def _own_noise(folds: list[Fold], sizes: list[int]) -> np.ndarray:
    """Held-out log-density per feature of factor analysis, (n_sizes, n_rows); −inf: not tried."""
    rank = max(len(fold.spectrum.values) for fold in folds)
    together = Spectrum(*(
        np.stack([np.pad(part, [*[(0, 0)] * (part.ndim - 1), (0, rank - part.shape[-1])])
                  for part in parts])
        for parts in zip(*(fold.spectrum for fold in folds), strict=True)
    ))  # fmt: skip
    found = np.full((len(sizes), sum(len(fold.test) for fold in folds)), -np.inf)
    for i, k in enumerate(sizes):
        W = np.stack([probabilistic_pca(fold.spectrum, k)[0] for fold in folds])
        W, noise = factor_analysis(together, W, lambda residual: residual, CHOICE_STEPS)
        fits = zip((fold.test for fold in folds), W, noise, strict=True)
        found[i] = np.concatenate([gaussian_log_density(*fit) for fit in fits]) / W.shape[-2]
        if found.mean(1).argmax() < i - PATIENCE + 1:
            break
    return found


def gaussian_log_density(x: np.ndarray, W: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """log N(x; 0, W Wᵀ + diag(noise²)) of each row."""
    scaled = x / noise
    loadings = W / noise[:, None]
    L = np.linalg.cholesky(np.eye(W.shape[1]) + loadings.T @ loadings)
    projected = np.linalg.solve(L, (scaled @ loadings).T)
    log_det = 2 * np.log(np.diag(L)).sum() + 2 * np.log(noise).sum()
    squares = (scaled**2).sum(1) - (projected**2).sum(0)
    return np.asarray(-0.5 * (squares + log_det + x.shape[1] * LOG_2PI))


def standardized_residuals(x: np.ndarray, W: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Deviation of each feature from its mean given the others, in standard deviations.

    With the precision matrix P of the model, (P x)_j / √P_jj.
    """
    scaled = W / noise[:, None] ** 2
    B = np.linalg.solve(np.eye(W.shape[1]) + W.T @ scaled, scaled.T)
    precise = x / noise**2 - (x @ scaled) @ B
    diagonal = 1 / noise**2 - (scaled * B.T).sum(1)
    return np.asarray(precise / np.sqrt(np.maximum(diagonal, 1e-12)))


def closest_student_t(
    residuals: np.ndarray, seen: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Degrees of freedom and scale of the Student's t closest to each column of residuals.

    The scale is relative to the root mean square. Of a few degrees of freedom those with the
    highest likelihood; the default, unless others are better by more than a nat.
    """
    r = residuals[:MAX_ROWS]
    w = np.ones_like(r) if seen is None else seen[:MAX_ROWS]
    n = np.maximum(w.sum(0), 1)
    r = r / np.sqrt(np.maximum((w * r**2).sum(0) / n, 1e-12))
    degrees, scales, found = [], [], []
    for nu in DEGREES_OF_FREEDOM:
        variance = np.ones(r.shape[1])
        for _ in range(SCALE_STEPS):  # EM: outliers have small weights
            weights = (nu + 1) / (nu + r**2 / np.maximum(variance, 1e-12))
            variance = np.maximum((w * weights * r**2).sum(0) / n, 1e-6)
        log_t = student_t.logpdf(r / np.sqrt(variance), nu) - 0.5 * np.log(variance)
        found.append((w * log_t).sum(0) - (nu != DEGREES_OF_FREEDOM[0]))
        degrees.append(nu)
        scales.append(np.sqrt(variance))
    best = np.argmax(found, axis=0)
    return np.array(degrees)[best], np.array(scales)[best, np.arange(r.shape[1])]
