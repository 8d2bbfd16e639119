"""How fast is a GPU: training steps, with and without a captured CUDA graph, and answers?

A table of a million rows × 30 numbers. Rows per second of training at two sizes of batches, for one
and for eight stacked models; then of the default model's answers, in double and single precision.
What is measured takes `--seconds` each, so that all of it takes less than ten minutes. skvae itself
captures no graph: the step is captured here, from the same gradient and an Adam whose rate is on
the device, to see what that would bring. Without a GPU it is run as it is, which tests the script.

    python benchmarks/gpu.py [--rows 1000000] [--device cuda] [--seconds 10]
    python benchmarks/gpu.py --rows 2000 --device cpu --seconds 1
"""

from __future__ import annotations

import argparse
import copy
import math
import time
import traceback
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import torch

from skvae import VAETransformer
from skvae._estimators.fitting import build_models, encode_table
from skvae._estimators.mode import FitContext, Mode
from skvae._model.rows import Rows
from skvae._nn.optimizer import BETAS
from skvae._table.reading import read_table
from skvae._training.budget import Budget
from skvae._training.loop import MAX_GRADIENT_NORM, Run

COLUMNS, FACTORS = 30, 8
MISSING = 0.3
WARM_UP = 3  # calls that are not timed
AT_ONCE = 65_536  # rows of a call for answers
FEW = 50_000  # rows that the start and the fit of the answering model see


class Captured:
    """A training step as one CUDA graph; on the CPU the same operations, one by one.

    The batch, its noise and the learning rate are written to fixed places before it is replayed.
    """

    def __init__(self, run: Run, batch: Rows) -> None:
        self.run, self.rows = run, batch.take(torch.arange(len(batch)))
        n_models = len(run.models)
        shape = (n_models, 1, len(batch) // n_models, run.models[0].latent.n_noise)
        self.noise = torch.randn(shape, device=run.device)
        self.rate = torch.zeros((), device=run.device)
        self.mean, self.square = (torch.zeros_like(run.flat.values) for _ in range(2))
        self.n_steps = torch.zeros((), device=run.device)
        self.graph = None
        if run.device.type == "cuda":
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):  # lazy initialization must not be captured
                for _ in range(WARM_UP):
                    self._step()
            torch.cuda.current_stream().wait_stream(stream)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self._step()

    @torch.no_grad()
    def _step(self) -> None:
        run, gradient = self.run, self.run.flat.grad
        gradient.zero_()
        assert run.analytic_gradients is not None
        run.analytic_gradients.add_gradient(self.rows, self.noise, 1.0)
        norm = gradient.norm(dim=1, keepdim=True)
        gradient.mul_((MAX_GRADIENT_NORM / norm).clamp(max=1.0))
        self.n_steps.add_(1)
        first, second = (1 - torch.pow(beta, self.n_steps) for beta in BETAS)
        self.mean.lerp_(gradient, 1 - BETAS[0])
        self.square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        denominator = (self.square / second).sqrt_().add_(1e-8)
        run.flat.values.sub_(self.rate * (self.mean / first) / denominator)

    def step(self, batch: Rows, rate: float) -> None:
        for own, new in zip(self.rows.fields(), batch.fields(), strict=True):
            if own is not None and new is not None:
                own.copy_(new)
        self.noise.normal_(generator=self.run.generator)
        self.rate.fill_(rate)
        if self.graph is None:
            self._step()
        else:
            self.graph.replay()


class Training:
    """The encoded table on the device, and runs on it."""

    def __init__(self, X: np.ndarray, device: torch.device) -> None:
        self.vae = VAETransformer(FACTORS, random_state=0, device=str(device))
        self.context = FitContext.of(self.vae, Mode.NEW)
        self.data = encode_table(self.vae, read_table(X), None, self.context)
        self.rows, self.split = self.data.rows.to(device), self.data.split.to(device)
        self.device = device
        few = encode_table(self.vae, read_table(X[:FEW]), None, self.context)
        budget = Budget(1, 1, learning_rate=1e-3)
        (self.model,), _ = build_models(self.vae, few, self.context, budget, 1)

    def run(self, batch_size: int, n_models: int) -> Run:
        budget = Budget(10**9, batch_size, learning_rate=1e-3)
        generator = torch.Generator(self.device).manual_seed(0)
        there = [copy.deepcopy(self.model).to(self.device) for _ in range(n_models)]
        objective = self.context.components.objective
        return Run(there, self.rows, objective, budget, generator)

    def batches(self, run: Run, size: int) -> Iterator[Rows]:
        """Batches of one size: a graph takes no smaller one at the end of a pass."""
        source = run.batches(self.split, None)
        while True:
            batch = next(source)
            if len(batch) == size:
                yield batch

    def speed(self, batch_size: int, n_models: int, captured: bool, seconds: float) -> float:
        """Rows per second, of each model."""
        batch_size = min(batch_size, len(self.split.train))
        run = self.run(batch_size, n_models)
        batches = self.batches(run, batch_size * n_models)
        if captured:
            graph = Captured(run, next(batches))

            def step(i: int) -> None:
                graph.step(next(batches), 1e-3)
        else:

            def step(i: int) -> None:
                run.step(next(batches), i)

        rate = per_second(step, seconds, self.device) * batch_size
        assert bool(torch.isfinite(run.flat.values).all()), "the parameters are not finite"
        return rate


def per_second(call: Callable[[int], object], seconds: float, device: torch.device) -> float:
    """Calls per second; a GPU has finished them all."""
    done, spent = WARM_UP, 0.0
    for i in range(WARM_UP):
        call(i)
    n = 1
    while spent < seconds:
        wait_for(device)
        begin = time.perf_counter()
        for i in range(done, done + n):
            call(i)
        wait_for(device)
        elapsed = time.perf_counter() - begin
        done, spent = done + n, spent + elapsed
        last, n = n / elapsed, max(n, min(2 * n, math.ceil(n * (seconds - spent) / elapsed)))
    return last if last > 0 else math.nan


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def attempt(measure: Callable[[], float]) -> str:
    """A cell of the table; an error does not cost the other figures."""
    try:
        return f"{measure():,.0f}"
    except Exception:
        traceback.print_exc()
        return "failed"


def table_of(rows: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(FACTORS, COLUMNS))
    X: np.ndarray = rng.normal(size=(rows, FACTORS)) @ loadings + rng.normal(size=(rows, COLUMNS))
    return X


def training(X: np.ndarray, device: torch.device, seconds: float) -> None:
    begin = time.perf_counter()
    table = Training(X, device)
    print(f"encoding {len(X):,} × {COLUMNS}: {time.perf_counter() - begin:.1f} s\n")
    print("| rows per second and model, training | step by step | captured as a graph |")
    print("|---|---:|---:|")
    for batch_size, n_models in product((256, 4096), (1, 8)):
        cells = [
            attempt(lambda: table.speed(batch_size, n_models, captured, seconds))  # noqa: B023
            for captured in (False, True)
        ]
        what = f"batch {batch_size:,}, {n_models} model{'s' * (n_models > 1)}"
        print(f"| {what} | " + " | ".join(cells) + " |", flush=True)


def answers(X: np.ndarray, device: torch.device, seconds: float) -> None:
    """The default model, trained shortly; a call has some of the rows, again and again."""
    vae = VAETransformer(random_state=0, max_iter=3, device=str(device), mask_ratio=0.6).fit(
        X[:FEW]
    )
    some = X[:AT_ONCE]
    incomplete = some.copy()
    incomplete[np.random.default_rng(1).random(some.shape) < MISSING] = np.nan
    Z = vae.transform(some)
    calls: dict[str, Callable[[], object]] = {
        "score_samples": lambda: vae.score_samples(some),
        "score_samples, 30 % missing": lambda: vae.score_samples(incomplete),
        "transform": lambda: vae.transform(some),
        "inverse_transform": lambda: vae.inverse_transform(Z),
        "sample": lambda: vae.sample(len(some), random_state=0),
        "impute, 30 % missing": lambda: vae.impute(incomplete, random_state=0),
    }
    print("\n| rows per second, answers | double | single |\n|---|---:|---:|")
    for name, call in calls.items():
        cells = []
        for precision in ("double", "single"):
            vae.set_params(precision=precision)
            cells.append(attempt(lambda: rate_of(call, len(some), seconds, device)))  # noqa: B023
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    vae.set_params(precision="double")
    here = vae.set_params(device="cpu").score_samples(some[:1000])
    there = vae.set_params(device=str(device)).score_samples(some[:1000])
    print(f"\nlargest difference of scores from the CPU's: {np.abs(here - there).max():.1e} nats")


def rate_of(call: Callable[[], object], n_rows: int, seconds: float, device: torch.device) -> float:
    """Rows per second of a call, which is repeated while there is time; the first is not timed."""
    call()
    times = []
    while not times or sum(times) < seconds:
        begin = time.perf_counter()
        call()
        wait_for(device)
        times.append(time.perf_counter() - begin)
    return n_rows / min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    device = torch.device(options.device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    X = table_of(options.rows)
    training(X, device, options.seconds)
    answers(X, device, options.seconds)


if __name__ == "__main__":
    main()
