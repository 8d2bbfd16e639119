"""How far is the linear model from its closed forms? (Thousandths of a nat.)

With no hidden layer, Gaussian noise and the standard normal prior the model is probabilistic PCA
(one shared noise) or factor analysis (noise per column), whose log-densities are exact.

    python benchmarks/exact.py [--draws 512]
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA, FactorAnalysis

from skvae import Normal, VAETransformer


def tables() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(2000, 3)) @ rng.normal(size=(3, 8))
    digits = load_digits().data
    return {
        "three factors, 8 columns": factors + rng.normal(size=(2000, 8)) * np.linspace(0.5, 1.2, 8),
        "wine": load_wine().data,
        "breast cancer": load_breast_cancer().data,
        "digits, varying pixels": digits[:, digits.std(0) > 1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=512)
    options = parser.parse_args()
    print("| table | rows × columns | PCA(3).score | gap | FactorAnalysis(3).score | gap |")
    print("|---|---|---:|---:|---:|---:|")
    for name, X in tables().items():
        X = (X - X.mean(0)) / X.std(0)
        cells = [name, f"{X.shape[0]} × {X.shape[1]}"]
        exact = {
            "shared": PCA(3).fit(X).score(X),
            "column": FactorAnalysis(3, tol=1e-8, max_iter=20_000).fit(X).score(X),
        }
        for scale, score in exact.items():
            vae = VAETransformer(
                3,
                hidden_layer_sizes=(),
                prior="standard_normal",
                likelihood=Normal(scale=scale),
                early_stopping=False,
                random_state=0,
                n_importance_samples=options.draws,
            ).fit(X)
            gap = vae.score(X) - score
            cells += [f"{score:.3f}", f"{gap:+.4f}"]
            if scale == "shared":
                assert abs(gap) < 1e-2, f"{name}: {gap}"
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
