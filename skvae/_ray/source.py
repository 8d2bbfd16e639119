"""A data set of Ray as what ``fit`` reads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skvae._model.rows import Rows
from skvae._model.schema import Schema
from skvae._streaming.batches import StreamBatches, encoded, hashes_to_leave_out
from skvae._streaming.parts import Part
from skvae._streaming.sources import OwnPass, Source
from skvae._streaming.stream import MEGABYTE, Categorical, Marker, Stream, sample_size
from skvae._table.reading import read_table
from skvae._table.table import Table
from skvae._training.batches import Split
from skvae._training.checkpoint import Checkpoint
from skvae._training.loop import Result, train_all

from .first_pass import TITLE, first_pass, schema_and_row_size
from .shards import Reading
from .training import NAME, Job, run_on_workers


@dataclass
class RaySource(OwnPass):
    """The rows of a data set, and the workers that are to train on them.

    Attributes
    ----------
    dataset : ray.data.Dataset
    scaling : ray.train.ScalingConfig
    run : ray.train.RunConfig
    identity : dict of str to str
        Of the fit, which a run of the same name must have had to be continued.
    every : float
        Seconds between two checkpoints.
    verbose : int
    n_runs : int
        Trainings that were begun.
    """

    dataset: Any
    scaling: Any
    run: Any
    identity: dict[str, str]
    every: float
    verbose: int
    n_runs: int = 0

    def read_stream(self, max_memory: float, categorical: Categorical, mark: Marker) -> Table:
        """A sample of the rows with its stream, or all of them if they are no more than that."""
        dataset, memory = self.dataset, max_memory * MEGABYTE
        n_rows = dataset.count()
        if not n_rows:
            raise ValueError(
                f"Found array with 0 sample(s): {TITLE} has no rows, while a minimum of 2 is "
                "required."
            )
        schema, size_of_row = schema_and_row_size(dataset)
        size = sample_size(size_of_row, memory)
        found = first_pass(dataset, schema, size, n_rows, categorical, mark)
        frame, places = found.reservoir.sample()
        table, n_rows = mark(read_table(frame.to_native())), int(found.statistics.n_rows)
        if len(places) < n_rows:
            source = Source([Part(TITLE, self._read, n_rows)], schema=schema)
            parts = source, [n_rows], places, found.statistics, mark, memory
            table.stream = Stream(*parts, batch_source=partial(ClusterBatches, self))
        return table

    def _read(self, size: int) -> Iterator[Any]:
        """All rows, read by the driver."""
        return iter(self.dataset.iter_batches(batch_size=size, batch_format="pyarrow"))

    def next_run(self) -> Any:
        """The settings of the next training; each has a name of its own."""
        self.n_runs += 1
        if self.n_runs == 1 or self.run.name is None:
            return self.run
        return replace(self.run, name=f"{self.run.name}_{self.n_runs}")


class ClusterBatches(StreamBatches):
    """The rows of a stream, which workers read and train on."""

    def __init__(
        self,
        source: RaySource,
        stream: Stream,
        schema: Schema,
        sample: Rows,
        places: np.ndarray,
        split: Split,
    ) -> None:
        super().__init__(stream, schema, sample, places, split)
        self.cluster, self.n_workers = source, n_workers(source.scaling)
        self.like = sample.take(torch.arange(0))
        names = ", ".join(f"{name} {kind}" for name, kind in (stream.source.schema or {}).items())
        text = f"{stream.part_rows} {names}"
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()
        if stream.left_out_rows is not None:
            out = encoded(schema, stream.left_out_rows, self.has_missing)
            self.hashes = hashes_to_leave_out(sample, split, out)

    def train(self, *run: Any) -> list[Result]:
        """Train models on the rows, with the arguments of :func:`train_all`."""
        models, data, split, objective, budget, generator, monitor, states, _ = run
        cpu, cluster = torch.device("cpu"), self.cluster
        job = Job(
            [model.cpu() for model in models], data.to(cpu), split.to(cpu), objective,
            replace(budget, deadline=None), budget.seconds_left, generator.initial_seed(),
            generator.get_state(), states, self.reading, cluster.identity, cluster.every,
            cluster.verbose,
        )  # fmt: skip
        checkpoint = run_on_workers(job, cluster.dataset, cluster.scaling, cluster.next_run())
        with checkpoint.as_directory() as folder:
            ended = Checkpoint(Path(folder) / NAME, cluster.every, cluster.identity)
        models = [model.to(data.values.device) for model in models]
        return train_all(
            models, data, split, objective, budget, generator, monitor, states, ended, self
        )

    @property
    def reading(self) -> Reading:
        """How the workers read and encode the rows."""
        stream = self.stream
        assert stream.source.schema is not None
        n_left_out = len(self.left_out) if len(self.hashes) else 0
        return Reading(
            TITLE, stream.source.schema, stream.mark, self.schema, self.has_missing, self.hashes,
            sum(stream.part_rows), n_left_out, self.fingerprint, self.window, self.batch,
            self.like, bool(self.cluster.scaling.use_gpu),
        )  # fmt: skip


def n_workers(scaling: Any) -> int:
    """The number of workers, of an elastic group the least."""
    number = scaling.num_workers
    return int(number[0] if isinstance(number, tuple) else number)
