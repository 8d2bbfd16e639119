"""What does a fit on a cluster cost, and up to how many workers is it faster with more of them?

    python benchmarks/cluster_costs.py            # constants, model and simulation
    python benchmarks/cluster_costs.py --columns 20

The constants are measured on one core in seconds of the processor: reading, the first pass,
encoding, steps, the evaluation of rows held out. The exchange of gradients is measured between two
processes, in seconds of the clock. All are the least of several, as other jobs add to them. From
these the seconds of a fit are predicted for more workers and slower networks. Two processes
that train together, with a delay added to each exchange, take the time that the model predicts:
that is asserted within a third, where nothing else runs.
"""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.distributed as dist

from skvae import ELBO, VAETransformer
from skvae._estimators.fitting import take_over
from skvae._model.rows import Rows
from skvae._ray.first_pass import BlockPass, Pass, highest_priority
from skvae._streaming.column_statistics import Statistics
from skvae._streaming.frames import as_frame, schema_of
from skvae._streaming.reservoir import Reservoir
from skvae._streaming.stream import read_stream
from skvae._table.reading import read_table
from skvae._training.budget import Budget
from skvae._training.loop import ROUNDS, Run
from skvae._training.workers import Group, OneWorker

SIZES = 256, 1024, 4096, 16_384
DELAYS = 0.0, 0.005, 0.02, 0.05
N_ROWS, N_SAMPLE, N_HELD_OUT = 100_000, 50_000, 10_000
WORST = 1 / 3
BLOCK = 128e6  # bytes of a block of Ray Data
START = 60.0  # seconds in which Ray starts and ends the workers
CORES = 8  # of a machine


@dataclass
class Machine:
    """A machine of eight cores.

    Attributes
    ----------
    n_workers : int
    latency : float
        Seconds of a message between two workers.
    bandwidth : float
        Bytes a second, between machines and from where the rows are stored.
    step, step_row : float
        Seconds of a step of a GPU, and of each row; 0: cores train.
    """

    n_workers: int
    latency: float
    bandwidth: float
    step: float = 0.0
    step_row: float = 0.0


@dataclass
class Costs:
    """Seconds of one core, by row, and of the clock for the exchange.

    Attributes
    ----------
    n_parameters : int
    row_bytes : float
        Of a row in Parquet.
    reading, first_pass, encoding : float
        By row: reading alone; the first pass with it; from an Arrow table to tensors.
    merging : float
        Of a block of the first pass, by the driver.
    step, step_row : float
        Of a step, and of each row of its batch.
    evaluation : float
        Of all rows held out, once.
    driver : float
        From the sample to the start, and from the trained to the fitted model.
    latency, float : float
        Of an exchange between two processes, and of each number in it.
    """

    n_parameters: int
    row_bytes: float
    reading: float
    first_pass: float
    encoding: float
    merging: float
    step: float
    step_row: float
    evaluation: float
    driver: float
    latency: float
    number: float

    def exchange(self, n_workers: int, machine: Machine) -> float:
        """Seconds of a ring all-reduce."""
        numbers = self.n_parameters / n_workers
        return 2 * (n_workers - 1) * (machine.latency + 4 * numbers / machine.bandwidth)

    def fit(self, n_rows: float, n_machines: int, batch: int, machine: Machine) -> dict[str, float]:
        """Seconds of a fit with one pass, by what they are spent on."""
        n_workers = n_machines * machine.n_workers
        row = machine.step_row if machine.step_row else self.step_row
        step = machine.step if machine.step else self.step
        of_core, of_worker = n_rows / n_machines / CORES, n_rows / n_workers
        arriving = n_rows * self.row_bytes / n_machines / machine.bandwidth
        merging = n_rows * self.row_bytes / BLOCK * self.merging
        parts = {
            "first pass": max(of_core * self.first_pass, arriving, merging),
            "reading, encoding": max(of_core * (self.reading + self.encoding), arriving),
            "steps": of_worker * row + of_worker / batch * step,
            "exchange": of_worker / batch * self.exchange(n_workers, machine),
            "rest": ROUNDS * self.evaluation + self.driver + START,
        }
        total = sum(parts.values())
        if machine.step:  # a GPU trains while the cores read
            total -= min(parts["reading, encoding"], parts["steps"] + parts["exchange"])
        return {**parts, "total": total}


# -------------------------------------------------------------------------------- constants


def made(n_rows: int, n_columns: int) -> np.ndarray:
    """Rows of a nonlinear model of eight dimensions."""
    fixed, rng = np.random.default_rng(0), np.random.default_rng(1)
    first, second = fixed.normal(size=(8, 24)), fixed.normal(size=(24, n_columns))
    hidden = np.tanh(rng.normal(size=(n_rows, 8)) @ first)
    return hidden @ second + 0.3 * rng.normal(size=(n_rows, n_columns))


def seconds(function, n: int = 5) -> float:
    """The least time of the processor of some calls."""
    found = []
    for _ in range(n):
        started = time.process_time()
        function()
        found.append(time.process_time() - started)
    return min(found)


def model_and_rows(X: np.ndarray) -> tuple[VAETransformer, Rows]:
    vae = VAETransformer(max_iter=1, constraints=None, random_state=0).fit(X[:2000])
    rows = vae.schema_.encode(read_table(X), torch.float32)
    return vae, rows


def run_of(vae: VAETransformer, rows: Rows, batch: int, workers=None) -> Run:
    budget = Budget(10**6, batch, 1e-4)
    generator = torch.Generator().manual_seed(0)
    return Run(
        take_over(vae.fitted_model_.models, vae.schema_),
        rows,
        ELBO(),
        budget,
        generator,
        None,
        workers,
    )


def step_seconds(vae: VAETransformer, rows: Rows, batch: int) -> float:
    run, some = run_of(vae, rows, batch), rows.take(torch.arange(batch))
    n = max(3, 8192 // batch)

    def steps() -> None:
        for i in range(n):
            run.step(some, i)

    steps()
    return seconds(steps, 9) / n


def measured(n_columns: int) -> Costs:
    """The constants of a table of numbers, and of the default model of it."""
    X = made(N_ROWS, n_columns)
    table = pa.table({f"x{j}": X[:, j] for j in range(n_columns)})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        pq.write_table(table, path, use_dictionary=False, compression="lz4", row_group_size=25_000)
        size = path.stat().st_size / N_ROWS

        def read() -> None:
            for _ in pq.ParquetFile(path).iter_batches(use_threads=False):
                pass

        reading = seconds(read)
        first = seconds(lambda: read_stream(path, 1024, no_levels, as_is))
    merging = merging_seconds(table)
    vae, rows = model_and_rows(X)
    encoding = seconds(lambda: vae.schema_.encode(read_table(table), torch.float32))
    each = [step_seconds(vae, rows, size) for size in SIZES]
    step_row, step = np.polyfit(SIZES, each, 1, w=1 / np.array(each))
    for batch, found in zip(SIZES, each, strict=True):
        print(f"step of {batch} rows: {1e3 * found:.2f} ms, {1e6 * found / batch:.2f} µs a row")
    run, held = run_of(vae, rows, 256), torch.arange(N_HELD_OUT)
    state = torch.Generator().get_state()
    evaluation = seconds(lambda: run.evaluate(held, state))
    start = VAETransformer(max_iter=1, constraints=None, random_state=0)
    fit = seconds(lambda: start.fit(X[:N_SAMPLE]), 1)
    driver = fit - N_SAMPLE / 256 * step_seconds(vae, rows, 256)
    latency, number = exchange_constants()
    return Costs(
        run.flat.values.numel(), size, reading / N_ROWS, first / N_ROWS, encoding / N_ROWS,
        merging, max(float(step), 0.0), float(step_row), evaluation, driver, latency, number,
    )  # fmt: skip


def merging_seconds(table: pa.Table) -> float:
    """The time in which the driver merges what a task found in a block."""
    n_blocks = 20
    highest = highest_priority(N_SAMPLE, 10**9)
    read = BlockPass(schema_of(as_frame(table)), N_SAMPLE, highest, no_levels, as_is)
    size = N_ROWS // n_blocks
    blocks = [read(table.slice(i * size, size))["pass"][0].as_py() for i in range(n_blocks)]

    def merge() -> None:
        found = Pass(Statistics(), Reservoir(N_SAMPLE))
        for block in blocks:
            found.merge(pickle.loads(block))

    return seconds(merge) / n_blocks


def no_levels(names: list) -> list[bool]:
    return [False] * len(names)


def as_is(table):
    return table


# ------------------------------------------------------------------- two processes of gloo


def two_processes(case: str, n_columns: int) -> list:
    """What the first of two processes finds."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--case", case, "--columns", str(n_columns),
                   "--store", f"file://{folder}/store"]  # fmt: skip
        other = subprocess.Popen([*command, "--rank", "1"], stdout=subprocess.DEVNULL)
        out = subprocess.run([*command, "--rank", "0"], check=True, stdout=subprocess.PIPE)
        other.wait()
    return json.loads(out.stdout.splitlines()[-1])


def clock(function, n: int) -> float:
    """The least time of the clock of some calls."""
    found = []
    for _ in range(n):
        started = time.perf_counter()
        function()
        found.append(time.perf_counter() - started)
    return min(found)


def exchanges() -> list:
    """Seconds of the exchange of some numbers."""
    found = []
    for n in (1_000, 10_000, 100_000, 1_000_000):
        tensor = torch.zeros(n)
        dist.all_reduce(tensor)
        found.append((n, clock(lambda tensor=tensor: dist.all_reduce(tensor), 100)))
    return found


def exchange_constants() -> tuple[float, float]:
    found = np.array(two_processes("exchange", 0))
    for n, each in found:
        print(f"exchange of {n:.0f} numbers: {1e3 * each:.2f} ms")
    number, latency = np.polyfit(found[:, 0], found[:, 1], 1, w=1 / found[:, 1])
    return max(float(latency), 0.0), float(number)


class Delayed(Group):
    """A group whose exchange takes longer."""

    delay = 0.0

    def average(self, tensor: torch.Tensor) -> torch.Tensor:
        time.sleep(self.delay)
        return super().average(tensor)


def delayed_steps(n_columns: int) -> list:
    """Seconds of a step, alone and with exchanges that are delayed."""
    X = made(20_000, n_columns)
    vae, rows = model_and_rows(X)
    group, found = Delayed(torch.device("cpu")), []
    for batch in (256, 4096):
        some = rows.take(torch.arange(batch))
        n = max(20, 20_000 // batch)
        alone = run_of(vae, rows, batch, OneWorker())
        together = run_of(vae, rows, batch, group)
        dist.barrier()
        single = clock(lambda some=some, alone=alone: alone.step(some, 0), n)
        grad = together.flat.grad.clone()
        dist.barrier()
        exchange = clock(lambda grad=grad: dist.all_reduce(grad), n)
        for delay in DELAYS:
            group.delay = delay
            dist.barrier()
            step = clock(lambda some=some, both=together: both.step(some, 0), n)
            found.append((batch, delay, single, exchange, step))
    return found


def simulation(n_columns: int) -> float:
    """The largest relative error of the predicted time of a step with a delay."""
    worst = 0.0
    print(
        "\nbatch  delay, ms  predicted, ms  measured, ms  two workers by one, predicted, measured"
    )
    for batch, delay, single, exchange, step in two_processes("delayed", n_columns):
        predicted = single + exchange + delay
        worst = max(worst, abs(step / predicted - 1))
        print(
            f"{batch:5d}  {1e3 * delay:9.0f}  {1e3 * predicted:13.2f}  {1e3 * step:12.2f}  "
            f"{2 * single / predicted:33.2f}  {2 * single / step:8.2f}"
        )
    return worst


# ------------------------------------------------------------------------------- the model


def predictions(costs: Costs, n_rows: float = 1e9) -> None:
    """Hours of a fit with one pass over many rows.

    A GPU is one by assumption: 200 kernels of 8 µs in a step, 5e12 operations a second in them, and
    six operations for each parameter and row.
    """
    gpu = {"step": 200 * 8e-6, "step_row": 6 * costs.n_parameters / 5e12}
    machines = {
        "8 cores, 10 Gbit/s": Machine(CORES, 100e-6, 1.25e9),
        "a GPU, 100 Gbit/s": Machine(1, 20e-6, 12.5e9, **gpu),
    }
    print(f"\none pass over {n_rows:.0e} rows: hours")
    print("machine             batch  machines  first pass  read, encode     steps  exchange      "
          "rest     total")  # fmt: skip
    for name, machine in machines.items():
        for batch in (256, 4096, 65_536):
            for n_machines in (1, 8, 64):
                found = costs.fit(n_rows, n_machines, batch, machine)
                numbers = "  ".join(f"{each / 3600:8.3f}" for each in found.values())
                print(f"{name:18}  {batch:5}  {n_machines:8}  {numbers}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--case", choices=["exchange", "delayed"])
    parser.add_argument("--rank", type=int)
    parser.add_argument("--store")
    parser.add_argument("--loaded", action="store_true", help="other jobs run: assert nothing")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.case:
        dist.init_process_group("gloo", args.store, rank=args.rank, world_size=2)
        found = exchanges() if args.case == "exchange" else delayed_steps(args.columns)
        dist.barrier()
        print(json.dumps(found))
        return
    costs = measured(args.columns)
    print(json.dumps(asdict(costs), indent=1))
    predictions(costs)
    worst = simulation(args.columns)
    print(f"largest relative error of the model: {worst:.2f}")
    assert args.loaded or worst < WORST, "the model does not predict the time of a step"


if __name__ == "__main__":
    main()
