"""How long does the default take to fit, and how fast does it answer?

30 numbers, the defaults; rows per second of each method, the better of two calls. The ELBO is that
of the textbook model: ``score_samples`` with ``n_importance_samples=1, n_refinement_steps=0``.

    python benchmarks/answers.py [--rows 1000 5000 50000] [--threads 1]
    python benchmarks/answers.py --million [100000] [--threads 2]

`--million` instead has the answers of the default about a million rows (or so many) × 20, fitted to
5 000 of them: seconds, those of the processors, and the peak of memory beyond the table.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--rows", type=int, nargs="+", default=[1000, 5000, 50_000])
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--million", type=int, nargs="?", const=1_000_000, default=None)
options = parser.parse_args()
# Before torch is imported; threads of their own answer about blocks of many rows.
os.environ["OMP_NUM_THREADS"] = str(1 if options.million else options.threads)

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


def million(n: int) -> None:
    """The answers about n rows, the cheapest in memory first, since the peak only rises."""
    rng, columns = np.random.default_rng(0), 20
    X = rng.normal(size=(n, 8)) @ rng.normal(size=(8, columns))
    X += rng.normal(size=X.shape)
    vae = VAETransformer(random_state=0).fit(X[:5000])
    start, n_jobs = peak(), options.threads
    calls: dict[str, Callable[[], object]] = {
        "score_samples": lambda: vae.score_samples(X, n_jobs=n_jobs),
        "transform": lambda: vae.transform(X, n_jobs=n_jobs),
        "explain_samples": lambda: vae.explain_samples(X, n_jobs=n_jobs),
        "sample": lambda: vae.sample(n, random_state=0, n_jobs=n_jobs),
    }
    print(f"{n:,} × {columns}, {n_jobs} threads, {X.nbytes / 1e6:,.0f} MB")
    print("| answer | seconds | of processors | MB beyond the table |\n|---|---:|---:|---:|")
    for precision in ("double", "single"):
        vae.set_params(precision=precision)
        for name, call in calls.items():
            begin = time.process_time()
            elapsed = seconds(call)
            spent = time.process_time() - begin
            cells = f"{elapsed:.1f} | {spent:.1f} | {peak() - start:,.0f}"
            print(f"| {name}, {precision} | {cells} |", flush=True)


def peak() -> float:
    """Megabytes that the process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    if options.million:
        million(options.million)
        return
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
