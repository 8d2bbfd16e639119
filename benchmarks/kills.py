"""Does a fit survive being killed? SIGKILL at random moments, until so many kills are done.

Each fit runs in a process that is killed after a random time and begun anew, until it ends; its
model is compared, to the last bit, with that of a fit that was never stopped, and the next begins.
After each kill the checkpoint must be readable, or not be there yet.

    python benchmarks/kills.py [--kills 200] [--every 0.05] [--seed 0]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.base import clone

from skvae import VAEOutlierDetector, VAETransformer
from skvae._files.container import read_file

ESTIMATORS = {
    "default": VAETransformer(2, max_iter=60, random_state=0),
    "quantized": VAETransformer(2, latent="quantized", max_iter=60, random_state=0),
    "detector": VAEOutlierDetector(2, n_estimators=2, max_iter=40, random_state=0),
}


def rows(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4))
    X[:, 2:] += X[:, :2]
    return X


def fit(estimator: object, X: np.ndarray, answer: object) -> None:
    """Fit in a process of its own; what is sent is equal for equal models."""
    torch.set_num_threads(1)
    estimator.fit(X)
    answer.send((estimator.score_samples(X[:50]), estimator.history_))
    os._exit(0)


def run(estimator: object, X: np.ndarray, seconds: float) -> tuple | None:
    """The answer of a fit; None: it was killed."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=fit, args=(estimator, X, sender), daemon=True)
    process.start()
    sender.close()
    found = receiver.recv() if receiver.poll(seconds) else None
    if found is None:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--every", type=float, default=0.05, help="seconds between checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng, X = np.random.default_rng(options.seed), rows(2000)
    whole, seconds = {}, {}
    for name, estimator in ESTIMATORS.items():
        begin = time.perf_counter()
        whole[name] = run(clone(estimator), X, 600)
        seconds[name] = time.perf_counter() - begin
    n_kills, n_equal, n_fits, n_unreadable = 0, 0, 0, 0
    while n_kills < options.kills:
        for name, estimator in ESTIMATORS.items():
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "fit"
                own = clone(estimator)
                own.set_params(checkpoint=path, checkpoint_every=options.every)
                found = None
                while found is None:
                    found = run(own, X, rng.uniform(0.2, 0.8 * seconds[name]))
                    n_kills += found is None
                    for file in Path(folder).iterdir():
                        if file.suffix != ".part":
                            try:
                                read_file(file)
                            except ValueError:
                                n_unreadable += 1
            n_fits += 1
            scores, history = whole[name]
            n_equal += bool((found[0] == scores).all()) and found[1] == history
    print(f"{n_kills} kills, {n_fits} fits, of which {n_equal} are equal to the fit that was never "
          f"stopped; {n_unreadable} files could not be read")  # fmt: skip


if __name__ == "__main__":
    main()
