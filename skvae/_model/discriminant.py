r"""How often a pattern of missing cells occurs among rows with some cells.

With pattern r of the missing cells and the centered encoded features x,

.. math:: P(r | x) \propto \pi_r \exp(w_r \cdot x - \tfrac12 w_r \cdot \mu_r),
    \quad w_r = S^{-1} \mu_r,

which is linear discriminant analysis (Fisher 1936, doi:10.1111/j.1469-1809.1936.tb02137.x). Missing
cells count as means, so that they have no weight in the pattern that lacks them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_PATTERNS, MIN_ROWS = 50, 20.0  # patterns that are told apart, and rows that each has
MAX_FEATURES = 500
MIN_GAIN = 0.01  # nats a row that the cells must tell about the patterns of rows held out
RIDGE = 0.01  # of the mean variance of a feature, added to all


@dataclass(frozen=True, eq=False)
class Discriminant:
    """How much more often each of the frequent patterns occurs, given the cells of a row.

    Attributes
    ----------
    columns : ndarray of int of shape (n_columns,)
        Positions in the table of the columns that enter the model.
    missing : ndarray of bool of shape (n_patterns, n_columns)
    center : ndarray of shape (n_features,)
        Means of the encoded features.
    directions : ndarray of shape (n_patterns, n_features)
        w of each pattern.
    offsets : ndarray of shape (n_patterns,)
        −w · μ / 2 of each pattern.
    """

    columns: np.ndarray
    missing: np.ndarray
    center: np.ndarray
    directions: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(
        cls,
        columns: np.ndarray,
        missing: np.ndarray,
        center: np.ndarray,
        x: np.ndarray,
        weights: np.ndarray,
    ) -> Discriminant | None:
        """Of distinct rows; None if cells tell nothing about the patterns of rows held out.

        Parameters
        ----------
        columns, center
            As the attributes.
        missing : ndarray of bool of shape (n_rows, n_columns)
        x : ndarray of shape (n_rows, n_features)
            Centered features, 0 where missing.
        weights : ndarray of shape (n_rows,)
        """
        if len(x) < 2 * MIN_ROWS or not missing.any() or not 0 < x.shape[1] <= MAX_FEATURES:
            return None
        found, index = np.unique(missing, axis=0, return_inverse=True)
        index = index.ravel()
        total = np.bincount(index, weights=weights)
        often = np.argsort(-total, kind="stable")[:MAX_PATTERNS]
        often = often[total[often] >= MIN_ROWS]
        if not len(often):
            return None
        number = np.full(len(found), len(often))  # the last: none of them
        number[often] = np.arange(len(often))
        number = number[index]
        fold = np.random.default_rng(0).permutation(len(x)) % 2
        gain = 0.0
        for i in range(2):
            train, test = fold != i, fold == i
            directions, offsets = _directions(x[train], weights[train], number[train], len(often))
            share = np.bincount(number[train], weights[train], len(often) + 1) + 0.5
            ratio = _log_ratio(x[test], directions, offsets)
            log_p = np.log(share / share.sum()) + ratio
            own = np.take_along_axis(ratio, number[test, None], 1)[:, 0]
            gain += float(weights[test] @ (own - np.logaddexp.reduce(log_p, axis=1)))
        if gain / weights.sum() < MIN_GAIN:
            return None
        return cls(columns, found[often], center, *_directions(x, weights, number, len(often)))

    def classes(self, missing: np.ndarray) -> np.ndarray:
        """Number of the pattern that each mask of all columns has here; the last: of none."""
        packed = [row.tobytes() for row in np.packbits(self.missing, axis=1)]
        number = {each: i for i, each in enumerate(packed)}
        every = np.packbits(missing[:, self.columns], axis=1)
        return np.array([number.get(row.tobytes(), len(packed)) for row in every])

    def log_ratio(self, features: np.ndarray) -> np.ndarray:
        """log P(r | x) − log P(r) and a constant, (n_rows, n_patterns + 1): 0 for the others."""
        return _log_ratio(features - self.center, self.directions, self.offsets)


def _directions(
    x: np.ndarray, weights: np.ndarray, number: np.ndarray, n_patterns: int
) -> tuple[np.ndarray, np.ndarray]:
    """w and −w · μ / 2 of each pattern; the mean of few rows is shrunk towards that of all."""
    d = x.shape[1]
    member = (number[:, None] == np.arange(n_patterns)) * weights[:, None]
    count = member.sum(0)
    mean = member.T @ x / (count + d)[:, None]
    every = np.concatenate([mean, np.zeros((1, d))])
    within = x - every[number]
    S = (weights[:, None] * within).T @ within / weights.sum()
    S = S + RIDGE * max(float(np.trace(S)) / d, 1e-6) * np.eye(d)
    directions = np.linalg.solve(S, mean.T).T
    return directions, -0.5 * (directions * mean).sum(1)


def _log_ratio(x: np.ndarray, directions: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    ratio = x @ directions.T + offsets
    return np.asarray(np.pad(ratio, ((0, 0), (0, 1))))
