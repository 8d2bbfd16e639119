"""What do several models cost that are trained together, against one after the other?

    python benchmarks/stacking.py [--rows 5000] [--models 8] [--batch 256] [--threads 2]

The outlier detector on 30 columns: whole fits of the default budget, and training alone, which is
what twenty passes more take; medians of alternating runs. The textbook model has one Gaussian noise
and a random start.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--rows", type=int, default=5000)
parser.add_argument("--models", type=int, default=8)
parser.add_argument("--batch", type=int, default=256)
parser.add_argument("--repeats", type=int, default=3)
parser.add_argument("--threads", type=int, default=2)
options = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(options.threads)  # before torch is imported

from collections.abc import Callable  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402

from skvae import Normal, VAEOutlierDetector  # noqa: E402


def seconds(X: np.ndarray, n_models: int, seed: int, textbook: bool, n_passes: int | None) -> float:
    how = {"likelihood": Normal("shared"), "init": "random"} if textbook else {}
    detector = VAEOutlierDetector(
        n_estimators=n_models, batch_size=options.batch, early_stopping=False,
        max_iter=n_passes, random_state=seed, **how,
    )  # fmt: skip
    begin = time.perf_counter()
    detector.fit(X)
    return time.perf_counter() - begin


def compare(what: str, run: Callable[[int, int], float]) -> float:
    """How many times one model the stack takes, by runs of (models, seed)."""
    runs = [(run(1, s), run(options.models, s)) for s in range(options.repeats)]
    one, stacked = (statistics.median(times) for times in zip(*runs, strict=True))
    print(f"| {what} | {one:.2f} | {stacked:.2f} | {stacked / one:.2f} |", flush=True)
    return stacked / one


def main() -> None:
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(options.rows, 30)) @ rng.normal(size=(30, 30))
    seconds(X[:500], 1, 0, False, None)  # warms up
    print(f"{options.rows} rows, batch {options.batch}, {options.threads} threads\n")
    print(f"| | one, s | {options.models} together, s | times one |\n|---|---:|---:|---:|")
    times = [compare("whole fits, default", lambda m, s: seconds(X, m, s, False, None))]
    for name, textbook in (("default", False), ("textbook", True)):

        def passes(m: int, s: int, textbook: bool = textbook) -> float:
            few, many = (seconds(X, m, s, textbook, n) for n in (2, 22))
            return many - few

        times.append(compare(f"twenty passes, {name}", passes))
    assert max(times) < options.models, "no faster than one after the other"


if __name__ == "__main__":
    main()
