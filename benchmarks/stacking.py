"""What do several models cost that are trained together, against one after the other?

    python benchmarks/stacking.py [--rows 5000] [--models 8] [--batch 256] [--threads 2]

Whole fits of the outlier detector, 30 columns; medians of alternating runs.
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

import numpy as np  # noqa: E402
import torch  # noqa: E402

from skvae import VAEOutlierDetector  # noqa: E402


def seconds(X: np.ndarray, n_models: int, seed: int) -> float:
    detector = VAEOutlierDetector(
        n_estimators=n_models, batch_size=options.batch, early_stopping=False, random_state=seed
    )
    begin = time.perf_counter()
    detector.fit(X)
    return time.perf_counter() - begin


def main() -> None:
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(options.rows, 30)) @ rng.normal(size=(30, 30))
    seconds(X[:500], 1, 0)  # warms up
    runs = [(seconds(X, 1, s), seconds(X, options.models, s)) for s in range(options.repeats)]
    one, all_of_them = (statistics.median(times) for times in zip(*runs, strict=True))
    in_a_row = options.models * one
    print(f"one {one:.1f} s, {options.models} together {all_of_them:.1f} s")
    print(f"{all_of_them / one:.2f} times one, {all_of_them / in_a_row:.2f} of one after the other")
    assert all_of_them < in_a_row, "no faster than one after the other"


if __name__ == "__main__":
    main()
