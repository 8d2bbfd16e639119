"""How long does the default take to fit, and how fast does it answer?

30 numbers, the defaults; rows per second of each method, the better of two calls. The ELBO is that
of the textbook model: ``score_samples`` with ``n_importance_samples=1, n_refinement_steps=0``.

    python benchmarks/answers.py [--rows 1000 5000 50000] [--threads 1]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--rows", type=int, nargs="+", default=[1000, 5000, 50_000])
parser.add_argument("--threads", type=int, default=1)
options = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(options.threads)  # before torch is imported

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from skvae import Normal, VAETransformer  # noqa: E402

COLUMNS, FEW = 30, 2000


def seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def rate(n_rows: int, run: Callable[[], object]) -> str:
    return f"{n_rows / min(seconds(run), seconds(run)):,.0f}"


def encoding() -> str:
    """100 000 × 50: 20 real numbers, 10 integers, 20 columns of levels."""
    rng, n = np.random.default_rng(0), 100_000
    columns: dict[str, object] = {f"x{i}": rng.normal(size=n) for i in range(20)}
    columns |= {f"i{i}": rng.integers(0, 50, n) for i in range(10)}
    columns |= {f"c{i}": pd.Categorical(rng.choice(list("abcdefgh"), n)) for i in range(10)}
    columns |= {f"s{i}": rng.choice(["red", "green", "blue"], n) for i in range(10)}
    frame = pd.DataFrame(columns)
    vae = VAETransformer(random_state=0, max_iter=1).fit(frame[:1000])
    return f"{min(seconds(lambda: vae.fitted_model_.encode(frame)) for _ in range(2)):.2f}"


def main() -> None:
    rng = np.random.default_rng(0)
    VAETransformer(max_iter=1).fit(rng.normal(size=(100, 3)))  # imports
    names = "transform", "inverse_transform", "sample"
    scores = "score_samples", "… single", "… 16 draws too"
    print("| rows | fit, s | " + " | ".join([*scores, *names, "transform, single"]) + " |")
    print("|" + "---:|" * 9)
    for n in options.rows:
        X = rng.normal(size=(n, 8)) @ rng.normal(size=(8, COLUMNS)) + rng.normal(size=(n, COLUMNS))
        vae = VAETransformer(random_state=0)
        cells = [f"{seconds(lambda: vae.fit(X)):.2f}"]  # noqa: B023
        V, Z = X[:FEW], vae.transform(X)
        for how in ({}, {"precision": "single"}, {"n_importance_samples": 16}):
            vae.set_params(**how)
            cells.append(rate(len(V), lambda: vae.score_samples(V)))  # noqa: B023
        vae.set_params(precision="double")
        for run in (
            lambda: vae.transform(X),  # noqa: B023
            lambda: vae.inverse_transform(Z),  # noqa: B023
            lambda: vae.sample(n),  # noqa: B023
        ):
            cells.append(rate(n, run))
        vae.set_params(precision="single")
        cells.append(rate(n, lambda: vae.transform(X)))  # noqa: B023
        print(f"| {n:,} | " + " | ".join(cells) + " |", flush=True)
    textbook = VAETransformer(
        8, prior="standard_normal", likelihood=Normal("shared"), max_iter=2, random_state=0,
        n_importance_samples=1, n_refinement_steps=0,
    ).fit(X)  # fmt: skip
    for precision in ("double", "single"):
        textbook.set_params(precision=precision)
        speed = rate(n, lambda: textbook.score_samples(X))
        print(f"\nELBO of the textbook model, {precision}: {speed}")
    print(f"\nencoding a mixed table of 100 000 × 50: {encoding()} s")


if __name__ == "__main__":
    main()
