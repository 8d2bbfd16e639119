"""Does one fitted model serve many threads, for long, without growing?

Four threads score, sample and impute with one fitted model, while another fits models. Every answer
must equal the sequential one bit for bit. After a warm-up of a fifth of the time, resident memory
must not grow: its median over the last fifth may be above that over the second by at most
16 MiB or 3 %, whichever is more. Open files and threads must be as many at the end as after the
warm-up.

    python benchmarks/soak.py [--minutes 10] [--threads 4]
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import numpy as np
import pandas as pd

from skvae import VAEOutlierDetector, VAETransformer

MIB = 2**20
MAX_GROWTH, MAX_GROWTH_SHARE = 16 * MIB, 0.03
EVERY = 0.5  # seconds between two measurements
FIFTHS = 5


def table(n: int = 300, seed: int = 0) -> pd.DataFrame:
    """Numbers, counts, levels and dates that depend on each other, with missing cells."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    frame = pd.DataFrame({
        "number": z + 0.3 * rng.normal(size=n),
        "count": rng.poisson(np.exp(z / 2)),
        "word": np.where(z > 0, "high", "low"),
        "day": pd.Timestamp("2020-01-01") + pd.to_timedelta((20 * z).round(), unit="D"),
    })  # fmt: skip
    return frame.assign(number=frame["number"].mask(rng.random(n) < 0.2))


def answers(vae: VAETransformer, X: pd.DataFrame) -> dict[str, Callable[[], object]]:
    """What the threads ask for, by name; the same at every call."""
    few = X.head(60)
    return {
        "score_samples": lambda: vae.score_samples(few),
        "transform": lambda: vae.transform(X),
        "sample": lambda: vae.sample(100, random_state=0),
        "sample given": lambda: vae.sample(20, random_state=0, given={"word": "high"}),
        "impute": lambda: vae.impute(few),
        "draws": lambda: pd.concat(vae.impute(few, 2, random_state=0)),
        "explain_samples": lambda: vae.explain_samples(few.head(10)),
    }


def fits(X: pd.DataFrame) -> dict[str, Callable[[], object]]:
    """What is fitted beside them, and its scores."""
    quick = {"max_iter": 3, "hidden_layer_sizes": (16,), "random_state": 0}
    return {
        "fit": lambda: VAETransformer(2, **quick).fit(X).transform(X),
        "fit a flow": lambda: VAETransformer(2, latent="flow", **quick).fit(X).transform(X),
        "fit a detector": lambda: (
            VAEOutlierDetector(2, n_estimators=2, **quick).fit(X).score_samples(X.head(60))
        ),
    }


def is_same(found: object, expected: object) -> bool:
    if isinstance(expected, pd.DataFrame):
        return expected.equals(found)
    return np.array_equal(found, expected)


class Soak:
    """The threads, what they have done, and what went wrong."""

    def __init__(self, n_threads: int) -> None:
        self.stop, self.lock = threading.Event(), threading.Lock()
        self.done: Counter[str] = Counter()
        self.faults: list[str] = []
        X = table()
        vae = VAETransformer(2, max_iter=20, random_state=0).fit(X)
        tasks, fitting = answers(vae, X), fits(X)
        self.expected = {name: run() for name, run in {**tasks, **fitting}.items()}
        work = [(tasks, i) for i in range(n_threads)] + [(fitting, 0)]
        self.threads = [threading.Thread(target=self.run, args=each) for each in work]

    def run(self, tasks: dict[str, Callable[[], object]], first: int) -> None:
        """Ask in turns until the time is up; each thread begins with another question."""
        names = list(tasks)
        i = first
        while not self.stop.is_set():
            name = names[i % len(names)]
            i += 1
            try:
                fault = None if is_same(tasks[name](), self.expected[name]) else "another answer"
            except Exception:
                fault = traceback.format_exc()
            with self.lock:
                self.done[name] += 1
                if fault is not None:
                    self.faults.append(f"{name}: {fault}")


def resident() -> int:
    """Bytes of memory that the process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def measured(minutes: float) -> np.ndarray:
    """Resident bytes, open files and threads of the process, every half second."""
    end, rows = time.monotonic() + 60 * minutes, []
    while time.monotonic() < end:
        time.sleep(EVERY)
        files, threads = (len(os.listdir(f"/proc/self/{kind}")) for kind in ("fd", "task"))
        rows.append((resident(), files, threads))
    return np.array(rows)


def verdicts(measurements: np.ndarray) -> list[tuple[str, bool]]:
    """What the measurements say, and whether it is as it should be."""
    n = len(measurements) // FIFTHS
    second, last = (
        np.median(measurements[rows], axis=0) for rows in (slice(n, 2 * n), slice(-n, None))
    )
    growth, allowed = last[0] - second[0], max(MAX_GROWTH, MAX_GROWTH_SHARE * second[0])
    told = [
        (f"memory: {second[0] / MIB:.1f} MiB after warm-up, {last[0] / MIB:.1f} MiB at the end, "
         f"grown by {growth / MIB:.1f} of {allowed / MIB:.1f} MiB allowed", growth <= allowed),
    ]  # fmt: skip
    for j, name in ((1, "open files"), (2, "threads")):
        told.append((f"{name}: {second[j]:.0f} after warm-up, {last[j]:.0f} at the end",
                     last[j] <= second[j]))  # fmt: skip
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--threads", type=int, default=4)
    options = parser.parse_args()
    if not Path("/proc/self/statm").exists():
        parser.error("memory and open files are read from /proc, which this system does not have")
    warnings.simplefilter("ignore")
    soak = Soak(options.threads)
    for thread in soak.threads:
        thread.start()
    try:
        measurements = measured(options.minutes)
    finally:
        soak.stop.set()
        for thread in soak.threads:
            thread.join()
    told = verdicts(measurements)
    print(", ".join(f"{name}: {n}" for name, n in sorted(soak.done.items())))
    different = f"{len(soak.faults)} of {sum(soak.done.values())} answers differ or fail"
    told.append((different, not soak.faults))
    for text, is_good in told:
        print(f"{'ok    ' if is_good else 'FAILED'} {text}")
    for fault in soak.faults[:5]:
        print(fault)
    return 0 if all(is_good for _, is_good in told) else 1


if __name__ == "__main__":
    sys.exit(main())
