"""Tables of a folder, as the benchmarks of densities and anomalies read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def labelled_tables(folder: Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name, X and y (1: anomaly) of every ``.npz`` file; two parts of a table are put together."""
    tables = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=True) as data:
            if "train" in data:
                X = np.concatenate([data["train"], data["test"]]).astype(float)
                y = np.concatenate([data["train_labels"], data["test_labels"]])
                tables.append((path.stem, X, y.astype(int)))
                continue
            X = np.asarray(data["X"], dtype=float)
            y = np.asarray(data["y"]).ravel() if "y" in data else np.zeros(len(X))
            tables.append((path.stem, X, y.astype(int)))
    return tables


def continuous_tables(folder: Path) -> list[tuple[str, np.ndarray]]:
    """The continuous columns of normal rows, where there are at least three.

    Where values repeat, or columns are linear functions of one another, there is no density: a
    model can put as much on a value or a plane as it dares. As is usual since Uria et al. (2013),
    such columns are left out: those with at most 20 values, with a value that makes up more than
    a fifth of the cells, or that the columns before explain to more than 99.9 %.
    """
    tables = []
    for name, X, y in labelled_tables(folder):
        X = X[y == 0]
        counts = [np.unique(column, return_counts=True)[1] for column in X.T]
        X = X[:, [len(count) > 20 and count.max() <= len(X) / 5 for count in counts]]
        X = X[:, independent(X)]
        if 3 <= X.shape[1] <= 50 and len(X) >= 150:
            tables.append((name, X))
    return tables


def independent(X: np.ndarray) -> list[int]:
    """Columns that those before them do not explain."""
    Z = (X - X.mean(0)) / X.std(0)
    kept: list[int] = []
    for j in range(Z.shape[1]):
        A = Z[:, kept]
        residual = Z[:, j] - A @ np.linalg.lstsq(A, Z[:, j], rcond=None)[0] if kept else Z[:, j]
        if residual.var() > 1e-3:
            kept.append(j)
    return kept


def standardized_split(X: np.ndarray, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """80 % of at most `rows` rows and the rest, standardized by the first part."""
    order = np.random.default_rng(seed).permutation(len(X))[:rows]
    cut = int(0.8 * len(order))
    train, test = X[order[:cut]], X[order[cut:]]
    varies = train.std(0) > 0
    mean, deviation = train[:, varies].mean(0), train[:, varies].std(0)
    return (train[:, varies] - mean) / deviation, (test[:, varies] - mean) / deviation
