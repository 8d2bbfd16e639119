"""What do several models cost that are trained together, against one after the other?

    python benchmarks/stacking.py [--rows 5000] [--columns 30] [--models 8] [--batch 256]
        [--threads 2] [--processor]

The outlier detector: whole fits of the default budget, and training alone, which is what twenty
passes more take; medians of alternating runs. The textbook model has one Gaussian noise and a
random start. `--models` may be several numbers; with `--processor` the time is that of the
processor, which hardly depends on what else runs there.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--rows", type=int, default=5000)
parser.add_argument("--columns", type=int, default=30)
parser.add_argument("--models", type=int, nargs="+", default=[8])
parser.add_argument("--batch", type=int, default=256)
parser.add_argument("--repeats", type=int, default=3)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--processor", action="store_true")
options = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(options.threads)  # before torch is imported

from collections.abc import Callable  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402

from skvae import Normal, VAEOutlierDetector  # noqa: E402

clock = time.process_time if options.processor else time.perf_counter


def seconds(X: np.ndarray, n_models: int, seed: int, textbook: bool, n_passes: int | None) -> float:
    how = {"likelihood": Normal("shared"), "init": "random"} if textbook else {}
    detector = VAEOutlierDetector(
        n_estimators=n_models, batch_size=options.batch, early_stopping=False,
        max_iter=n_passes, random_state=seed, **how,
    )  # fmt: skip
    begin = clock()
    detector.fit(X)
    return clock() - begin


def compare(what: str, run: Callable[[int, int], float]) -> float:
    """The most that a stack takes of the time one after the other, by runs of (models, seed)."""
    sizes = [1, *options.models]
    runs = [[run(m, s) for m in sizes] for s in range(options.repeats)]
    one, *stacked = (statistics.median(times) for times in zip(*runs, strict=True))
    cells = [f"{time:.2f} | {time / one:.2f}" for time in stacked]
    print(f"| {what} | {one:.2f} | " + " | ".join(cells) + " |", flush=True)
    return max(time / one / m for time, m in zip(stacked, options.models, strict=True))


def main() -> None:
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(options.rows, options.columns)) @ rng.normal(size=(options.columns,) * 2)
    seconds(X[:500], 1, 0, False, None)  # warms up
    what = f"{options.rows} × {options.columns}, batch {options.batch}, {options.threads} threads"
    print(what + (", of the processor\n" if options.processor else "\n"))
    names = " | ".join(f"{m} together, s | times one" for m in options.models)
    print(f"| | one, s | {names} |\n|---|---:|" + "---:|---:|" * len(options.models))
    times = [compare("whole fits, default", lambda m, s: seconds(X, m, s, False, None))]
    for name, textbook in (("default", False), ("textbook", True)):

        def passes(m: int, s: int, textbook: bool = textbook) -> float:
            few, many = (seconds(X, m, s, textbook, n) for n in (2, 22))
            return many - few

        times.append(compare(f"twenty passes, {name}", passes))
    assert max(times) < 1, "no faster than one after the other"


if __name__ == "__main__":
    main()
