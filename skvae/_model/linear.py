r"""Linear-Gaussian models of the encoded features, in closed form or by EM.

.. math:: x = \text{mean} + W z + \epsilon, \quad z \sim N(0, I), \quad \epsilon \sim N(0, \Psi).

With one noise variance for all features this is probabilistic PCA (Tipping & Bishop 1999), else
factor analysis (Rubin & Thayer 1982).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

MAX_EXACT = 1024  # rows or features up to which a covariance matrix is decomposed whole
EM_STEPS = 100
MAX_INCOMPLETE, INCOMPLETE_STEPS = 3000, 30  # rows and steps of EM with missing values
MIN_NOISE = 0.1  # standard deviation, in scaled units: a start with less is stuck


class Spectrum(NamedTuple):
    r"""Eigenvalues and eigenvectors of a covariance matrix :math:`S = V \Lambda V^T`.

    Attributes
    ----------
    values : ndarray of shape (rank,)
        Decreasing; of n rows there are no more than n.
    vectors : ndarray of shape (n_features, rank)
    """

    values: np.ndarray
    vectors: np.ndarray

    @property
    def variances(self) -> np.ndarray:
        """The diagonal of S."""
        return np.asarray((self.vectors**2 * self.values[..., None, :]).sum(-1))

    def times(self, matrix: np.ndarray) -> np.ndarray:
        """S · matrix, without S, which is large where features are many."""
        projected = _transposed(self.vectors) @ matrix
        return np.asarray(self.vectors @ (self.values[..., None] * projected))


def spectrum(x: np.ndarray, seen: np.ndarray | None) -> Spectrum:
    """Of the covariance matrix of centered features, over the pairs of cells that were observed.

    From pairs it need not be that of any table: negative eigenvalues are set to zero. Of thousands
    of features it is that of some rows with zeros in missing cells, scaled to the right variances.
    """
    if min(x.shape) > MAX_EXACT:
        some = np.random.default_rng(0).permutation(len(x))[:MAX_EXACT]
        x, seen = x[some], None if seen is None else seen[some]
    (n, d), degrees = x.shape, max(len(x) - 1, 1)
    if n < d and seen is not None and d > MAX_EXACT:
        count = np.maximum(seen.sum(0) - 1, 1)
        x, seen = x * np.sqrt(degrees / count), None
    if n < d and seen is None:
        _, roots, transposed = np.linalg.svd(x / np.sqrt(degrees), full_matrices=False)
        return Spectrum(roots**2, transposed.T)
    pairs = degrees if seen is None else np.maximum(seen.T @ seen - 1, 1)
    values, vectors = np.linalg.eigh(x.T @ x / pairs)
    return Spectrum(values[::-1].clip(0), vectors[:, ::-1])


def probabilistic_pca(of: Spectrum, k: int, rank: int | None = None) -> tuple[np.ndarray, float]:
    """Loadings of shape (n_features, k) and the standard deviation of the noise.

    The noise variance is the mean of the eigenvalues that are left over. A covariance matrix of
    few rows has only `rank` eigenvalues above zero: their mean, which is larger, is closer to the
    noise of new rows.
    """
    d = len(of.vectors)
    rank = d if rank is None else min(rank, d)
    missing = max(k - len(of.values), 0)  # eigenvalues that are zero
    top = np.pad(of.values[:k], (0, missing))
    vectors = np.pad(of.vectors[:, :k], ((0, 0), (0, missing)))
    # With nothing left over any split of the smallest variance has the same likelihood.
    noise = float(of.values[k:].sum()) / (rank - k) if k < rank else top[-1] / 2
    W = vectors * np.sqrt(np.maximum(top - noise, 0))
    return W, max(float(np.sqrt(noise)), MIN_NOISE)


def factor_analysis(
    of: Spectrum, W: np.ndarray, tie: Callable[[np.ndarray], np.ndarray], n_steps: int = EM_STEPS
) -> tuple[np.ndarray, np.ndarray]:
    """Some steps of EM from the loadings W (Rubin & Thayer 1982): loadings and noise.

    `tie` maps the residual standard deviations of the features to the noise that the likelihoods
    allow: with one noise for all features nothing moves, for probabilistic PCA is the maximum.
    All arrays may have a leading axis, for several covariance matrices at once.
    """
    unit = np.eye(W.shape[-1])

    def noise_of(residual_variance: np.ndarray) -> np.ndarray:
        return tie(np.sqrt(np.maximum(residual_variance, MIN_NOISE**2)))

    variance = of.variances
    noise = noise_of(variance - (W**2).sum(-1))
    for _ in range(n_steps):
        scaled = W / noise[..., None] ** 2
        B = np.linalg.solve(unit + _transposed(W) @ scaled, _transposed(scaled))  # E[z | x] = B x
        SB = of.times(_transposed(B))
        W = _transposed(np.linalg.solve(B @ SB + unit - B @ W, _transposed(SB)))
        noise = noise_of(variance - (W * SB).sum(-1))
    return W, noise


def _transposed(matrices: np.ndarray) -> np.ndarray:
    return np.swapaxes(matrices, -1, -2)


def factor_analysis_of_incomplete_rows(
    x: np.ndarray,
    seen: np.ndarray,
    W: np.ndarray,
    noise: np.ndarray,
    tie: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """EM row by row, each with the cells that it has: shift of the means, loadings and noise."""
    x, seen = x[:MAX_INCOMPLETE], seen[:MAX_INCOMPLETE]
    (n, d), k = x.shape, W.shape[1]
    count = np.maximum(seen.sum(0), 1)
    shift = np.zeros(d)
    for _ in range(INCOMPLETE_STEPS):
        centered = (x - shift) * seen
        precision = seen / noise**2
        information = precision @ (W[:, :, None] * W[:, None, :]).reshape(d, -1)
        C = np.linalg.inv(np.eye(k) + information.reshape(n, k, k))  # Cov[z | x]
        z = np.einsum("nkl,nl->nk", C, (centered / noise**2) @ W)  # E[z | x]
        zz = (C + z[:, :, None] * z[:, None, :]).reshape(n, -1)
        A = (seen.T @ zz).reshape(d, k, k) + 1e-6 * np.eye(k)
        xz = centered.T @ z
        W = np.linalg.solve(A, xz[:, :, None])[:, :, 0]
        residual = ((centered**2).sum(0) - (W * xz).sum(1)) / count
        noise = tie(np.sqrt(np.maximum(residual, MIN_NOISE**2)))
        shift = shift + ((centered - z @ W.T) * seen).sum(0) / count
    return shift, W, noise
