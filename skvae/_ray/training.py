"""The training loop in the workers of Ray Train.

A run of Ray Train has checkpoints with one file, that of :mod:`skvae._training.checkpoint`, which
the first worker writes. If a worker fails, Ray starts all of them again, and they go on from the
last checkpoint; so does the next run of the same name. The place in the rows, and the random
streams of the workers, are begun anew: there may be more or fewer workers than before.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from skvae._model.rows import Rows
from skvae._model.vae import VAE
from skvae._nn.defaults import library_defaults
from skvae._progress import log
from skvae._training.batches import Split, State
from skvae._training.budget import Budget
from skvae._training.checkpoint import Checkpoint, Tensors
from skvae._training.history import describe
from skvae._training.loop import NoMonitor, train_all
from skvae._training.run_state import has_ended
from skvae._training.workers import Group
from skvae.objectives import Objective

from .package import ray
from .shards import EncodingTask, Reading, Shard

NAME = "training.checkpoint"
ASKED = 16  # steps between two times at which the workers agree whether to write a checkpoint


@dataclass
class Job:
    """What the workers are to do.

    Attributes
    ----------
    models, data, split, objective, budget, states
        As :func:`skvae._training.loop.train_all` takes them, on the CPU.
    seconds_left : float
        For training.
    seed : int
    generator_state : Tensor
        Of the driver, which goes on with it.
    reading : Reading
    identity : dict of str to str
        Of the fit, for its checkpoints.
    every : float
        Seconds between two of them.
    verbose : int
    """

    models: Sequence[VAE]
    data: Rows
    split: Split
    objective: Objective
    budget: Budget
    seconds_left: float
    seed: int
    generator_state: Tensor
    states: Sequence[dict] | None
    reading: Reading
    identity: dict[str, str]
    every: float
    verbose: int


def run_on_workers(job: Job, dataset: Any, scaling: Any, run: Any) -> Any:
    """Train on workers; the checkpoint of the run, which has ended."""
    reference = ray().put(job)
    if job.reading.in_tasks:
        task = EncodingTask(job.reading)
        dataset = dataset.map_batches(task, batch_size=None, batch_format="pyarrow")
    trainer = ray().train.torch.TorchTrainer(
        train_as_worker,
        train_loop_config={"job": reference},
        datasets={"rows": dataset},
        scaling_config=scaling,
        run_config=run,
    )
    return trainer.fit().checkpoint


def train_as_worker(config: dict[str, Any]) -> None:
    """Train as one of the workers."""
    module = ray()
    job: Job = module.get(config["job"])
    device = module.train.torch.get_device()
    workers = Group(device)
    shard = Shard(job.reading, module.train.get_dataset_shard("rows"), workers)
    budget = job.budget
    if job.seconds_left < float("inf"):
        budget = replace(budget, deadline=time.monotonic() + job.seconds_left)
    rows = job.data.to(device), job.split.to(device), job.objective, budget
    monitor = Shown(job.verbose) if not workers.rank else NoMonitor()
    generator = torch.Generator(device).manual_seed(job.seed)
    with tempfile.TemporaryDirectory() as folder, library_defaults():
        checkpoint = ReportedCheckpoint(job, workers, reported(module, Path(folder)))
        models = [model.to(device) for model in job.models]
        train_all(models, *rows, generator, monitor, job.states, checkpoint, shard)


def reported(module: Any, folder: Path) -> Path:
    """The file of the last checkpoint of the run, copied to a folder; if there is one."""
    last = module.train.get_checkpoint()
    if last is not None:
        last.to_directory(folder)
    return folder / NAME


class ReportedCheckpoint(Checkpoint):
    """The checkpoints of a run of Ray Train, which all workers report together.

    Parameters
    ----------
    job : Job
    workers : Group
    path : Path
        The file to go on from, if it is there.

    Raises
    ------
    ValueError
        If the run had another fit.
    """

    def __init__(self, job: Job, workers: Group, path: Path) -> None:
        super().__init__(path, job.every, job.identity)
        self.job, self.workers, self.n_asked = job, workers, 0

    def begin(self, data: Rows, split: Tensors, fingerprint: str) -> State:
        """Begin the next run: the state from which it goes on, with a random stream of its own."""
        state = super().begin(data, split, fingerprint)
        if not state or has_ended(state):
            return state
        n_steps = int(state["n_steps"]) + int(state["n_done"])
        own = self.workers.generator(self.job.seed, n_steps).get_state().numpy()
        return {**state, "generator": own}

    @property
    def is_due(self) -> bool:
        """Whether it is time to write, for the first worker."""
        self.n_asked += 1
        return self.n_asked % ASKED == 0 and self.workers.agree(super().is_due)

    def write(self, state: Callable[[], State]) -> None:
        """Write the state, and report it."""
        train = ray().train
        if self.workers.rank:
            train.report({})
            return

        def arrays() -> State:
            found = state()
            if has_ended(found):  # what follows is up to the driver
                found["generator"] = self.job.generator_state.numpy()
            return found

        with tempfile.TemporaryDirectory() as folder:
            self.path = Path(folder) / NAME
            super().write(arrays)
            metrics = metrics_of(self.states[self.n_begun - 1])
            train.report(metrics, checkpoint=train.Checkpoint.from_directory(folder))

    def _refusal(self, fault: str) -> ValueError:
        return ValueError(
            f"The last checkpoint of this run of Ray Train {fault}. Give RunConfig another name or "
            "storage_path to start anew, or fit as before to go on from it."
        )


def metrics_of(state: State) -> dict[str, float]:
    """The last values of the history."""
    found = {n.removeprefix("history."): a for n, a in state.items() if n.startswith("history.")}
    return {name: float(array[-1]) for name, array in found.items() if len(array)}


class Shown(NoMonitor):
    """Shows the rounds as lines of the log, which Ray prints where the driver runs."""

    def __init__(self, verbose: int) -> None:
        self.verbose = verbose

    def after_round(self, history: dict[str, list[float]], n_steps: int) -> bool:
        if self.verbose:
            log(f"skvae.ray.fit: step {history['step'][-1]} of {n_steps}, {describe(history)}")
        return False
