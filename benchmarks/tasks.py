"""How long does a task take, with skvae and with what people would take instead?

5 000 rows × 30 numbers from a nonlinear factor model, everything at its defaults; seconds of
fitting and of the answer for the same rows. The other benchmarks measure how good the answers are.

    python benchmarks/tasks.py [--rows 5000] [--columns 30] [--threads 2]

PyOD, UMAP and ctgan take part where they are installed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import time
import warnings

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--rows", type=int, default=5000)
parser.add_argument("--columns", type=int, default=30)
parser.add_argument("--threads", type=int, default=2)
options = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(options.threads)  # before torch is imported

from collections.abc import Callable  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from sklearn.decomposition import PCA, KernelPCA  # noqa: E402
from sklearn.ensemble import IsolationForest, RandomForestRegressor  # noqa: E402
from sklearn.experimental import enable_iterative_imputer  # noqa: E402, F401
from sklearn.impute import IterativeImputer, KNNImputer  # noqa: E402
from sklearn.mixture import GaussianMixture  # noqa: E402
from sklearn.neighbors import KernelDensity  # noqa: E402

from skvae import VAEImputer, VAEOutlierDetector, VAETransformer  # noqa: E402

Task = Callable[[np.ndarray], object]


def knn(X: np.ndarray) -> object:
    from pyod.models.knn import KNN

    return KNN().fit(X).decision_function(X)


def umap(X: np.ndarray) -> object:
    from umap import UMAP

    return UMAP().fit_transform(X)


def tvae(X: np.ndarray) -> object:
    from ctgan import TVAE

    model = TVAE()
    model.fit(pd.DataFrame(X).add_prefix("x"))
    return model.sample(len(X))


TASKS: dict[str, dict[str, Task]] = {
    "rank anomalies": {
        "VAEOutlierDetector": lambda X: VAEOutlierDetector().fit(X).score_samples(X),
        "PyOD's KNN": knn,
        "IsolationForest": lambda X: IsolationForest().fit(X).score_samples(X),
    },
    "log-density": {
        "VAETransformer": lambda X: VAETransformer().fit(X).score_samples(X),
        "GaussianMixture(10)": lambda X: GaussianMixture(10).fit(X).score_samples(X),
        "KernelDensity": lambda X: KernelDensity().fit(X).score_samples(X),
    },
    "two components": {
        'VAETransformer, "embedding"': lambda X: VAETransformer(
            2, objective="embedding"
        ).fit_transform(X),
        "PCA": lambda X: PCA(2).fit_transform(X),
        "KernelPCA": lambda X: KernelPCA(2, kernel="rbf").fit_transform(X),
        "UMAP": umap,
    },
    "fill a tenth of the cells": {
        "VAEImputer": lambda X: VAEImputer().fit_transform(X),
        "IterativeImputer": lambda X: IterativeImputer().fit_transform(X),
        "IterativeImputer of forests": lambda X: IterativeImputer(
            RandomForestRegressor(n_jobs=options.threads), max_iter=3
        ).fit_transform(X),
        "KNNImputer": lambda X: KNNImputer().fit_transform(X),
    },
    "make as many rows": {
        "VAETransformer": lambda X: VAETransformer().fit(X).sample(len(X)),
        "GaussianMixture(10)": lambda X: GaussianMixture(10).fit(X).sample(len(X)),
        "ctgan's TVAE": tvae,
    },
}


def main() -> None:
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(options.rows, 6))
    X = np.tanh(factors @ rng.normal(size=(6, options.columns)))
    X += 0.2 * rng.normal(size=X.shape)
    incomplete = np.where(rng.random(X.shape) < 0.1, np.nan, X)
    VAETransformer(max_iter=1).fit(X[:200])  # imports
    print("| task | | seconds |")
    print("|---|---|---:|")
    for task, methods in TASKS.items():
        for name, run in methods.items():
            begin = time.perf_counter()
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                try:
                    run(incomplete if task.startswith("fill") else X)
                except ImportError:
                    continue
            print(f"| {task} | {name} | {time.perf_counter() - begin:.1f} |", flush=True)


if __name__ == "__main__":
    main()
