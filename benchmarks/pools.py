"""Which models belong into the pool of the outlier detector?

Detectors of one model each, of other noise floors and numbers of components, and the logarithm of
the distance to the fifth neighbor, are fitted once to each table; then pools of them are compared,
with the weights that ``VAEOutlierDetector`` gives its two models (equal interquartile ranges over
the training rows). The protocol is "semi" of ``anomalies.py``.

    python benchmarks/pools.py FOLDER [--train 1500] [--test 3000] [--columns 100] [--jobs 2]
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anomalies import interval, split
from joblib import Parallel, delayed
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors
from tables import labelled_tables

from skvae import StudentT, VAEOutlierDetector
from skvae._fitted.pool import pool_weights

MOST_COMPONENTS = 32
NEIGHBOR = 5


def noise(floor: float) -> StudentT:
    return StudentT("column", min_scale=floor)


MEMBERS: dict[str, dict[str, Any]] = {
    "coarse": {"likelihood": noise(0.5)},
    "fine": {"likelihood": "student_t"},
    "floor .2": {"likelihood": noise(0.2)},
    "floor .1": {"likelihood": noise(0.1)},
    "coarse, all": {"likelihood": noise(0.5), "n_components": "all"},
    "fine, all": {"likelihood": "student_t", "n_components": "all"},
    "floor .2, all": {"likelihood": noise(0.2), "n_components": "all"},
}
DEFAULT = ("coarse", "fine")
POOLS = (
    DEFAULT,
    *((name,) for name in (*MEMBERS, "neighbors")),
    ("floor .2", "fine"),
    ("floor .1", "fine"),
    ("floor .2, all", "fine"),
    ("coarse, all", "fine"),
    ("coarse, all", "fine, all"),
    ("coarse", "fine", "floor .2"),
    ("coarse", "fine", "fine, all"),
    ("coarse", "fine", "coarse, all", "fine, all"),
    tuple(name for name in MEMBERS if name != "floor .1"),
    ("coarse", "fine", "neighbors"),
)


def member_scores(name: str, A: np.ndarray, B: np.ndarray, seed: int) -> list[np.ndarray]:
    """Scores of the rows trained on and of the others; higher is more normal."""
    if name == "neighbors":
        index = NearestNeighbors(n_neighbors=NEIGHBOR).fit(A)
        own, other = index.kneighbors()[0], index.kneighbors(B)[0]
        return [-np.log(distance[:, -1] + 1e-3) for distance in (own, other)]
    params = dict(MEMBERS[name])
    if params.get("n_components") == "all":
        params["n_components"] = min(MOST_COMPONENTS, A.shape[1])
    detector = VAEOutlierDetector(random_state=seed, **params).fit(A)
    return [detector.score_samples(part) for part in (A, B)]


def measure(
    table: tuple[str, np.ndarray, np.ndarray], seed: int, options: argparse.Namespace
) -> np.ndarray:
    """AUROC and average precision of each pool, (n_pools, 2)."""
    torch.set_num_threads(1)
    A, B, y = split(*table[1:], seed, options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        each = {name: member_scores(name, A, B, seed) for name in (*MEMBERS, "neighbors")}
    found = []
    for pool in POOLS:
        own, other = (np.stack([each[name][i] for name in pool]) for i in (0, 1))
        outlying = -(pool_weights(own, np.ones(own.shape[1])) @ other)
        found.append([roc_auc_score(y, outlying), average_precision_score(y, outlying)])
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=1500)
    parser.add_argument("--test", type=int, default=3000)
    parser.add_argument("--columns", type=int, default=100, help="of the widest table to take")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    options.setting = "semi"
    tables = [t for t in labelled_tables(options.folder) if t[1].shape[1] <= options.columns]
    jobs = [delayed(measure)(table, s, options) for table in tables for s in range(options.seeds)]
    found = np.array(Parallel(options.jobs, batch_size=1)(jobs))
    results = found.reshape(len(tables), options.seeds, len(POOLS), 2).mean(1)
    print(f"{len(tables)} tables\n")
    print("| pool | AUROC | average precision | Δ AUROC | Δ average precision |")
    print("|---|---:|---:|---:|---:|")
    for i, pool in enumerate(POOLS):
        gaps = results[:, i] - results[:, 0]
        against = [interval(gaps[:, k]) if i else "" for k in range(2)]
        auroc, precision = results[:, i].mean(0)
        print(
            f"| {' + '.join(pool)} | {auroc:.3f} | {precision:.3f} | " + " | ".join(against) + " |"
        )


if __name__ == "__main__":
    main()
