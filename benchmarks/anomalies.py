"""Does the log-density rank anomalies? Area under the ROC curve on labelled tables, with peers.

Two settings. "semi": train on a random half of the normal rows (at most `--train`), score the
rest and all anomalies (at most `--test`). "unsupervised": train on all rows (at most `--train`)
and score the same. Columns are standardized by the training part, which skvae does not need. One
default configuration for each detector, no labels in training.

    python benchmarks/anomalies.py FOLDER [--setting semi] [--seeds 3] [--only NAME ...]
    python benchmarks/anomalies.py FOLDER --ablation

The tables are those of ADBench, ``adbench/datasets/Classical`` in github.com/Minqi824/ADBench, and
of OddBench (Ding et al. 2026, arXiv:2602.09329), whose two parts are put together and split again.
Peers are those of PyOD that are installed (``pip install pyod tqdm``).
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score
from tables import labelled_tables

from skvae import ELBO, StudentT, Trimmed, VAEOutlierDetector, VAETransformer

Fit = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
PYOD = {
    "ECOD": "ecod", "COPOD": "copod", "PCA": "pca", "IForest": "iforest", "HBOS": "hbos",
    "CBLOF": "cblof", "GMM": "gmm", "LOF": "lof", "KNN": "knn", "OCSVM": "ocsvm", "VAE": "vae",
    "AutoEncoder": "auto_encoder", "LUNAR": "lunar",
}  # fmt: skip


def pyod(name: str) -> Fit | None:
    """A detector of PyOD with its defaults; None: it is not installed."""
    try:
        cls = getattr(importlib.import_module(f"pyod.models.{PYOD[name]}"), name)
    except ImportError:
        return None
    known = inspect.signature(cls).parameters

    def score(A: np.ndarray, B: np.ndarray, seed: int) -> np.ndarray:
        options = {"random_state": seed, "verbose": 0}
        return cls(**{k: v for k, v in options.items() if k in known}).fit(A).decision_function(B)

    return score


def detector(**params) -> Fit:
    def score(A: np.ndarray, B: np.ndarray, seed: int) -> np.ndarray:
        return -VAEOutlierDetector(random_state=seed, **params).fit(A).score_samples(B)

    return score


def transformer(**params) -> Fit:
    def score(A: np.ndarray, B: np.ndarray, seed: int) -> np.ndarray:
        return -VAETransformer(random_state=seed, **params).fit(A).score_samples(B)

    return score


def scored_by(method: str) -> Fit:
    return detector(score_method=method)


OURS = {
    "skvae": detector(),
    "skvae, 8 models": detector(n_estimators=8),
}
COARSE = StudentT("column", min_scale=0.5)  # the first of the two models of the default
# Each step changes one thing of the step before, from the transformer's default to the detector's.
STEPS = {
    "transformer": transformer(),
    "noise of each column": transformer(likelihood=StudentT("column")),
    "coarse noise": transformer(likelihood=COARSE),
    "beta 0.2": transformer(likelihood=COARSE, objective=ELBO(0.2)),
    "16 draws, no refinement": detector(likelihood=COARSE),
    "two noise levels": detector(),
    "8 models": detector(n_estimators=8),
}
# Each differs from the detector's default in one thing.
OTHERS = {
    "standard normal prior": detector(prior="standard_normal"),
    "mixture prior": detector(prior="mixture"),
    "beta 1": detector(objective=ELBO()),
    "beta 0.5, 20 passes": detector(objective=ELBO(0.5), max_iter=20, early_stopping=False),
    "one model, fine noise": detector(likelihood="student_t"),
    "one model, noise floor 0.1": detector(likelihood=StudentT("column", min_scale=0.1)),
    "likelihood auto of the transformer": detector(likelihood={}),
    "(256, 256) ReLU": detector(hidden_layer_sizes=(256, 256), activation="relu"),
    "trimmed": detector(objective=Trimmed(0.1, objective=ELBO(0.2))),
    "trimmed, standard normal prior": detector(
        objective=Trimmed(0.1, objective=ELBO(0.2)), prior="standard_normal"
    ),
    "joint": scored_by("joint"),
    "reconstruction": scored_by("reconstruction"),
    "pseudo_likelihood": scored_by("pseudo_likelihood"),
}


def split(
    X: np.ndarray, y: np.ndarray, seed: int, options: argparse.Namespace
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standardized rows to train on and to score, and the labels of the latter."""
    rng = np.random.default_rng(seed)
    if options.setting == "unsupervised":
        train = rest = rng.permutation(len(X))[: options.train]
    else:
        normal = rng.permutation(np.flatnonzero(y == 0))
        half = len(normal) // 2
        rest = np.concatenate([normal[half:], np.flatnonzero(y == 1)])
        rest, train = rng.permutation(rest)[: options.test], normal[:half][: options.train]
    mean, deviation = X[train].mean(0), X[train].std(0)
    deviation[deviation == 0] = 1
    return (X[train] - mean) / deviation, (X[rest] - mean) / deviation, y[rest]


def measure(
    table: tuple[str, np.ndarray, np.ndarray], seed: int, name: str, options: argparse.Namespace
) -> np.ndarray:
    """AUROC, average precision and seconds of one detector on one split."""
    torch.set_num_threads(1)
    A, B, y = split(*table[1:], seed, options)
    score = (OURS | STEPS | OTHERS).get(name) or pyod(name)
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        score_ = np.nan_to_num(score(A, B, seed))
    seconds = time.perf_counter() - begin
    return np.array([roc_auc_score(y, score_), average_precision_score(y, score_), seconds])


def interval(differences: np.ndarray) -> str:
    """Mean over tables, with a 95 % interval."""
    half = 1.96 * differences.std(ddof=1) / np.sqrt(len(differences))
    return f"{differences.mean():+.3f} ± {half:.3f}"


def report(tables: list, names: list[str], results: np.ndarray) -> None:
    """Tables in rows, detectors in columns; then means, and mean ranks of AUROC."""
    print("| table | " + " | ".join(names) + " |")
    print("|---|" + "---:|" * len(names))
    for (table, _, _), row in zip(tables, results[..., 0], strict=True):
        print(f"| {table} | " + " | ".join(f"{v:.3f}" for v in row) + " |")
    for i, label in enumerate(("AUROC", "average precision", "seconds")):
        print(
            f"| **mean {label}** | "
            + " | ".join(f"{v:.3f}" for v in results[..., i].mean(0))
            + " |"
        )
    ranks = rankdata(-results[..., 0], axis=1).mean(0)
    print("| **mean rank** | " + " | ".join(f"{v:.1f}" for v in ranks) + " |")


def report_ablation(names: list[str], results: np.ndarray) -> None:
    """Means, and paired differences over the tables."""
    print("| variant | AUROC | average precision | Δ AUROC | Δ average precision | seconds |")
    print("|---|---:|---:|---:|---:|---:|")
    default = names.index("two noise levels")
    for i, name in enumerate(names):
        base = max(i - 1, 0) if name in STEPS else default
        gaps = results[:, i, :2] - results[:, base, :2]
        against = [interval(gaps[:, k]) if i != base else "" for k in range(2)]
        auroc, precision, seconds = results[:, i].mean(0)
        cells = name, f"{auroc:.3f}", f"{precision:.3f}", *against, f"{seconds:.1f}"
        print("| " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--setting", choices=("semi", "unsupervised"), default="semi")
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--only", nargs="*", help="names of detectors")
    parser.add_argument("--train", type=int, default=10_000)
    parser.add_argument("--test", type=int, default=20_000)
    parser.add_argument("--columns", type=int, default=2000, help="of the widest table to take")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    tables = [t for t in labelled_tables(options.folder) if t[1].shape[1] <= options.columns]
    names = [*OURS, *(name for name in PYOD if pyod(name))]
    if options.ablation:
        names = [*STEPS, *OTHERS]
    names = options.only or names
    jobs = [
        delayed(measure)(table, seed, name, options)
        for table in tables
        for seed in range(options.seeds)
        for name in names
    ]
    found = np.array(Parallel(options.jobs, batch_size=1)(jobs))
    results = found.reshape(len(tables), options.seeds, len(names), 3).mean(1)
    if options.ablation and not options.only:
        report_ablation(names, results)
    else:
        report(tables, names, results)
    if not options.ablation and not options.only and options.setting == "semi":
        best = results[:, len(OURS) :, 0].mean(0).max()
        assert results[:, 0, 0].mean() > best - 0.005, "peers rank better"


if __name__ == "__main__":
    main()
