"""How well are cells filled that are not missing at random? Twelve patterns, after MissBench.

    python benchmarks/missingness.py FOLDER [--rows 1000] [--rate 0.3] [--patterns NAME ...]

Every ``.csv`` of FOLDER (first column an index), numbers only. The cells of all rows are hidden by
each pattern, at about the same rate; the same table is fitted and filled. RMSE of the hidden cells
in standard deviations of their columns, averaged over the columns in which cells were hidden, and
then over the tables. The patterns follow the list of MissBench (Feitelberg et al.,
arXiv:2510.02625), written anew here. "informative" is ``VAEImputer`` with a model of the missing
cells: ``VAETransformer(informative_missing="all")``.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from imputation import NUMERIC
from joblib import Parallel, delayed
from scipy.special import expit
from sklearn.cluster import KMeans

from skvae import VAEImputer, VAETransformer

Pattern = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
METHODS = {
    **{name: NUMERIC[name] for name in ("mean", "5 neighbors", "ridge", "forest", "VAEImputer")},
    "informative": lambda: VAEImputer(
        VAETransformer(informative_missing="all", precision="single"), random_state=0
    ),
}


def at_rate(logits: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Cells hidden with the probability σ(logit + c), c such that they are `rate` on average."""
    low, high = -50.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(logits + middle).mean() < rate else (low, middle)
    return rng.random(logits.shape) < expit(logits + low)


def completely_at_random(X: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    return rng.random(X.shape) < rate


def at_random(X: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """By the values of the first half of the columns, which are all observed."""
    half = X.shape[1] // 2
    hidden = np.zeros(X.shape, dtype=bool)
    logits = 2 * X[:, :half] @ rng.normal(size=(half, X.shape[1] - half)) / half**0.5
    hidden[:, half:] = at_rate(logits, min(2 * rate, 0.8), rng)
    return hidden


def self_masking(X: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Large values, or in other columns small ones."""
    return at_rate(2 * X * rng.choice([-1, 1], X.shape[1]), rate, rng)


def quantile_self_masking(X: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Only beyond a quantile of each column, and there at random."""
    limit = np.quantile(X, 1 - min(1.5 * rate, 0.9), axis=0)
    return (limit <= X) & (rng.random(X.shape) < 2 / 3)


def censoring(X: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """All values beyond a limit, in half of the columns."""
    limited = rng.permutation(X.shape[1]) < X.shape[1] // 2
    limit = np.quantile(X, 1 - min(2 * rate, 0.8), axis=0)
    return (limit < X) & limited


def polarization(X: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Values in the middle: those who have no strong opinion do not answer."""
    return at_rate(-3 * np.abs(X), rate, rng)


def latent_factor(X: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """By two unobserved numbers of the row and of the column."""
    rows, columns = rng.normal(size=(len(X), 2)), rng.normal(size=(2, X.shape[1]))
    return at_rate(2 * rows @ columns, rate, rng)


def clusters(X: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Each group of similar rows has a rate of its own for each column."""
    group = KMeans(5, n_init=1, random_state=0).fit_predict(X)
    return at_rate(2 * rng.normal(size=(5, X.shape[1]))[group], rate, rng)


def blocks(X: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Three neighboring columns together."""
    block = np.arange(X.shape[1]) // 3
    return (rng.random((len(X), block.max() + 1)) < rate)[:, block]


def attrition(X: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """All columns after one, as of those who left a panel."""
    n = X.shape[1]
    first = rng.integers(1, n + 1, size=len(X))  # half of the cells, if all left
    leaves = rng.random(len(X)) < min(2 * rate, 1.0)
    return leaves[:, None] & (np.arange(n) >= first[:, None])


def skip_logic(X: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Every second column is only asked if the one before was answered in a certain way."""
    hidden = np.zeros(X.shape, dtype=bool)
    asked = np.arange(1, X.shape[1], 2)
    share = min(rate * X.shape[1] / len(asked), 0.9)
    hidden[:, asked] = X[:, asked - 1] < np.quantile(X[:, asked - 1], share, axis=0)
    return hidden


def two_phases(X: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """The second half of the columns is measured in some rows alone, chosen by the first half."""
    half = X.shape[1] // 2
    chosen = at_rate(2 * X[:, :half].mean(1, keepdims=True), min(2 * rate, 0.9), rng)
    return chosen & (np.arange(X.shape[1]) >= half)


PATTERNS: dict[str, Pattern] = {
    "completely at random": completely_at_random,
    "at random": at_random,
    "two phases": two_phases,
    "clusters": clusters,
    "blocks": blocks,
    "attrition": attrition,
    "skip logic": skip_logic,
    "latent factor": latent_factor,
    "self-masking": self_masking,
    "quantile self-masking": quantile_self_masking,
    "censoring": censoring,
    "polarization": polarization,
}


def hide(X: np.ndarray, pattern: str, rate: float) -> np.ndarray:
    """Which cells are hidden; no row and no column without a cell."""
    rng = np.random.default_rng(0)
    hidden = PATTERNS[pattern](X, rate, rng)
    hidden[hidden.all(1), rng.integers(X.shape[1])] = False
    hidden[:20] &= ~hidden.all(0)
    return hidden


def error(X: np.ndarray, pattern: str, rate: float, method: str) -> float:
    """RMSE of the hidden cells of standardized columns, averaged over the columns."""
    torch.set_num_threads(1)
    hidden = hide(X, pattern, rate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        filled = METHODS[method]().fit_transform(np.where(hidden, np.nan, X))
    each = [np.sqrt(np.mean((f - x)[h] ** 2))
            for f, x, h in zip(filled.T, X.T, hidden.T, strict=True) if h.any()]  # fmt: skip
    return float(np.mean(each))


def tables(folder: Path, rows: int) -> list[np.ndarray]:
    found = []
    for path in sorted(folder.glob("*.csv")):
        X = pd.read_csv(path, index_col=0).to_numpy(float)
        X = X[np.random.default_rng(0).permutation(len(X))[:rows]]
        X = X[:, X.std(0) > 0]
        found.append((X - X.mean(0)) / X.std(0))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=0.3)
    parser.add_argument("--patterns", nargs="+", choices=PATTERNS, default=list(PATTERNS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    each = tables(options.folder, options.rows)
    print(
        "| pattern | " + " | ".join(options.methods) + " |\n|---|" + "---:|" * len(options.methods)
    )
    for pattern in options.patterns:
        jobs = [(X, pattern, options.rate, m) for m in options.methods for X in each]
        found = Parallel(options.jobs, batch_size=1)(delayed(error)(*job) for job in jobs)
        mean = np.reshape(found, (len(options.methods), len(each))).mean(1)
        print(f"| {pattern} | " + " | ".join(f"{e:.3f}" for e in mean) + " |", flush=True)


if __name__ == "__main__":
    main()
