"""k-means of vectors of which many may be equal but for their last digits."""

from __future__ import annotations

import numpy as np

DIGITS = 6  # of single precision; rows that differ beyond them are one point


def k_means(vectors: np.ndarray, n_clusters: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of at most `n_clusters` clusters, none of which is empty, and the labels of the rows.

    Parameters
    ----------
    vectors : ndarray of shape (n_rows, n_features)

    Returns
    -------
    means : ndarray of shape (n_found, n_features)
        As many as there are distinct points, if these are fewer.
    labels : ndarray of int of shape (n_rows,)
    """
    from sklearn.cluster import KMeans  # it imports half of scikit-learn

    vectors = vectors.astype(np.float64)
    size = float(np.abs(vectors).max(initial=0.0)) or 1.0
    points = np.round(vectors / size, DIGITS) * size
    n = min(n_clusters, len(np.unique(points, axis=0)))
    found = KMeans(n, n_init=1, random_state=seed).fit(points)
    return found.cluster_centers_, found.labels_
