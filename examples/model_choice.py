"""Choose a density model by held-out log-density, VAEs beside scikit-learn's, in one search.

Each candidate is an estimator with ``score`` = mean log-density per row of the table's own units,
so one ``GridSearchCV`` over a one-step pipeline ranks them all.

    python examples/model_choice.py
"""

from __future__ import annotations

import time

import pandas as pd
from sklearn.datasets import load_wine
from sklearn.decomposition import FactorAnalysis
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline

from skvae import VAETransformer
from skvae.latents import LATENTS


def candidates() -> list[dict]:
    """A grid for each kind of model."""
    vae = VAETransformer(random_state=0)
    return [
        {"model": [vae], "model__n_components": [2, 4, 8]},
        {"model": [vae], "model__prior": ["standard_normal", "mixture", "aggregated"]},
        {"model": [vae], "model__likelihood": ["normal", "student_t"]},
        {"model": [vae], "model__latent": list(LATENTS)},
        {"model": [vae], "model__objective": ["elbo", "iwae"]},
        {"model": [GaussianMixture(random_state=0)], "model__n_components": [1, 2, 3, 5, 10]},
        {"model": [FactorAnalysis()], "model__n_components": [2, 4, 8]},
    ]


def search(table: pd.DataFrame) -> GridSearchCV:
    """All candidates on the same five splits."""
    splits = KFold(5, shuffle=True, random_state=0)
    pipeline = Pipeline([("model", VAETransformer())])
    return GridSearchCV(pipeline, candidates(), cv=splits).fit(table)


def results(found: GridSearchCV) -> pd.DataFrame:
    """The candidates, best first, with the standard error over the splits."""
    rows = []
    for i, params in enumerate(found.cv_results_["params"]):
        settings = {k.removeprefix("model__"): v for k, v in params.items() if k != "model"}
        rows.append({
            "model": type(params["model"]).__name__,
            "settings": ", ".join(f"{k}={v}" for k, v in settings.items()),
            "log-density": found.cv_results_["mean_test_score"][i],
            "±": found.cv_results_["std_test_score"][i] / found.n_splits_**0.5,
            "seconds": found.cv_results_["mean_fit_time"][i],
        })  # fmt: skip
    return pd.DataFrame(rows).sort_values("log-density", ascending=False, ignore_index=True)


def main() -> None:
    table = load_wine(as_frame=True).data
    begin = time.perf_counter()
    found = search(table)
    print(results(found).round(2).to_string())
    print(f"\n{len(found.cv_results_['params'])} candidates, {time.perf_counter() - begin:.0f} s")
    print(f"best: {found.best_params_}")


if __name__ == "__main__":
    main()
