"""What is the default worth as a density? Held-out log-density on continuous tables.

For each table of a folder (``.npz`` with ``X`` and maybe ``y``: rows with y = 0 are used; at most
`--rows` rows), split 80/20 and standardised by the training part: FactorAnalysis, GaussianMixture
with its components chosen by BIC, and VAETransformer with Gaussian and with Student's t noise.

    python benchmarks/density.py FOLDER [--rows 10000] [--seeds 1]

The tables are those of ADBench, ``adbench/datasets/Classical`` in github.com/Minqi824/ADBench.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
from sklearn.decomposition import FactorAnalysis
from sklearn.mixture import GaussianMixture

from skvae import VAETransformer


def continuous_tables(folder: Path) -> list[tuple[str, np.ndarray]]:
    """Tables of which most columns have many values."""
    tables = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=True) as data:
            X = np.asarray(data["X"], dtype=float)
            X = X[data["y"] == 0] if "y" in data else X
        levels = np.array([len(np.unique(column)) for column in X.T])
        if 4 <= X.shape[1] <= 50 and len(X) >= 200 and np.median(levels) > 20:
            tables.append((path.stem, X))
    return tables


def split(X: np.ndarray, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(seed).permutation(len(X))[:rows]
    cut = int(0.8 * len(order))
    train, test = X[order[:cut]], X[order[cut:]]
    varies = train.std(0) > 0
    mean, deviation = train[:, varies].mean(0), train[:, varies].std(0)
    return (train[:, varies] - mean) / deviation, (test[:, varies] - mean) / deviation


def mixture(train: np.ndarray) -> GaussianMixture:
    """The mixture with the lowest BIC."""
    sizes = [k for k in (1, 2, 5, 10, 20, 50) if k < len(train) / 10]
    fitted = [GaussianMixture(k, reg_covar=1e-4, random_state=0).fit(train) for k in sizes]
    return min(fitted, key=lambda model: model.bic(train))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    models = {
        "FactorAnalysis": lambda X: FactorAnalysis(min(16, max(1, X.shape[1] // 2))).fit(X),
        "GaussianMixture": mixture,
        "skvae, Gaussian": lambda X: VAETransformer(random_state=0, likelihood="normal").fit(X),
        "skvae, default": lambda X: VAETransformer(random_state=0).fit(X),
    }
    print("| table | rows × columns | " + " | ".join(models) + " |")
    print("|---|---|" + "---:|" * len(models))
    totals = []
    for name, X in continuous_tables(options.folder):
        scores = np.zeros((options.seeds, len(models)))
        for seed in range(options.seeds):
            train, test = split(X, options.rows, seed)
            for i, fit in enumerate(models.values()):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # mixtures that have not converged
                    scores[seed, i] = fit(train).score(test)
        totals.append(scores.mean(0))
        cells = " | ".join(f"{score:.2f}" for score in totals[-1])
        print(f"| {name} | {train.shape[0]} × {train.shape[1]} | {cells} |", flush=True)
    mean, median = np.mean(totals, 0), np.median(totals, 0)
    print("| mean | | " + " | ".join(f"{score:.2f}" for score in mean) + " |")
    print("| median | | " + " | ".join(f"{score:.2f}" for score in median) + " |")
    assert mean[-1] > mean[0], "the default is below FactorAnalysis on average"


if __name__ == "__main__":
    main()
