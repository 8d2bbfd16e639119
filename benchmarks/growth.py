"""How do time and memory grow with the table and the model?

One epoch of ``fit`` with the defaults, then ``transform`` and ``score_samples`` of 1 000 rows, each
in a process of its own, which tells its peak memory beyond the table itself.

    python benchmarks/growth.py [--most-rows 1000000] [--picture growth.png] [--threads 2]

Rows: 20 numbers. Columns: 2 000 rows of numbers. Components: 2 000 rows of 100 numbers. Levels:
20 000 rows of one number and one categorical column.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--most-rows", type=int, default=1_000_000)
parser.add_argument("--picture", type=Path, default=None)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--child", nargs=4, default=None, help="rows, columns, components, levels")
options = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(options.threads)  # before torch is imported

Size = tuple[int, int, int, int]  # rows, columns, components, levels
DEFAULT = 0  # components: those of n_components=None
PRICES = "fit", "transform", "score", "memory"


def sweeps() -> dict[str, list[Size]]:
    rows = [10**e for e in range(3, 8) if 10**e <= options.most_rows]
    return {
        "rows": [(n, 20, DEFAULT, 0) for n in rows],
        "columns": [(2000, d, DEFAULT, 0) for d in (10, 30, 100, 300, 1000)],
        "components": [(2000, 100, k, 0) for k in (1, 4, 16, 64)],
        "levels": [(20_000, 2, DEFAULT, n) for n in (2, 10, 100, 1000)],
    }


def child(n: int, d: int, k: int, n_levels: int) -> dict[str, float]:
    """Seconds, and megabytes beyond the table."""
    import numpy as np
    import pandas as pd

    from skvae import VAETransformer

    rng = np.random.default_rng(0)
    table: object
    if n_levels:
        codes = rng.integers(0, n_levels, n)
        table = pd.DataFrame({"x": codes + rng.normal(size=n), "level": pd.Categorical(codes)})
    else:
        table = rng.random((n, d))
        for start in range(0, n, 100_000):  # structure, without a second table
            table[start : start + 100_000, 1:] += table[start : start + 100_000, :1]
    VAETransformer(max_iter=1).fit(np.random.default_rng(0).normal(size=(100, 3)))  # imports
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    vae = VAETransformer(k or None, max_iter=1, max_categories=None, random_state=0)
    prices = {}
    few = table.iloc[:1000] if n_levels else table[:1000]
    for name, run in {
        "fit": lambda: vae.fit(table),
        "transform": lambda: vae.transform(few),
        "score": lambda: vae.score_samples(few),
    }.items():
        begin = time.perf_counter()
        run()
        prices[name] = time.perf_counter() - begin
        if name == "fit":
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            prices["memory"] = (after - before) / 1024
    return prices


def measured(size: Size) -> dict[str, float]:
    command = [sys.executable, __file__, "--threads", str(options.threads), "--child"]
    answer = subprocess.run([*command, *map(str, size)], capture_output=True, text=True, check=True)
    return json.loads(answer.stdout.splitlines()[-1])


def draw(results: dict[str, list[tuple[int, dict[str, float]]]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(13, 3.4), layout="constrained")
    for ax, (name, points) in zip(axes, results.items(), strict=True):
        x = [size for size, _ in points]
        for price in ("fit", "transform", "score"):
            ax.loglog(x, [prices[price] for _, prices in points], "o-", label=price, ms=4)
        ax.set(xlabel=name, ylabel="seconds")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=100)


def main() -> None:
    results = {}
    print("| what grows | | one epoch, s | transform 1 000 rows, s | score them, s | memory, MB |")
    print("|---|---:|---:|---:|---:|---:|")
    for position, (name, sizes) in enumerate(sweeps().items()):
        results[name] = [(size[position], measured(size)) for size in sizes]
        for size, prices in results[name]:
            cells = " | ".join(f"{prices[p]:.3f}" for p in PRICES[:3])
            print(f"| {name} | {size:,} | {cells} | {prices['memory']:,.0f} |", flush=True)
    if options.picture:
        draw(results, options.picture)


if __name__ == "__main__":
    if options.child:
        print(json.dumps(child(*map(int, options.child))))
    else:
        main()
