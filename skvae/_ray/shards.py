"""The rows of one worker, as training takes them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from skvae._model.rows import Rows
from skvae._model.schema import Schema
from skvae._streaming.batches import Cut, Window, encoded, without
from skvae._streaming.frames import Schema as FrameSchema
from skvae._streaming.parts import Part, named
from skvae._streaming.prefetching import Prefetched
from skvae._streaming.sources import Source
from skvae._streaming.stream import Marker
from skvae._table.reading import read_table
from skvae._training.batches import Batches, RepeatedBatches, Split, State, TableBatches
from skvae._training.workers import Group, Workers


@dataclass
class Reading:
    """How rows are read and encoded.

    Attributes
    ----------
    title : str
        Of the data set, for errors.
    frame_schema : dict
        Names and types of the columns.
    mark : callable
        Applied to each table that is read.
    schema : Schema
    has_missing : bool
        Whether encoded rows have a mask.
    hashes : ndarray
        Of rows that are not to be trained on.
    n_rows, n_left_out : int
        Rows of the data set, and those of them that are not to be trained on, about.
    fingerprint : str
    window, batch : int
        Rows that are held, and that are encoded at once.
    """

    title: str
    frame_schema: FrameSchema
    mark: Marker
    schema: Schema
    has_missing: bool
    hashes: np.ndarray
    n_rows: int
    n_left_out: int
    fingerprint: str
    window: int
    batch: int


class Shard:
    """The rows of one worker: a part of the data set, which Ray Data reads anew in each pass.

    Each pass begins for all workers at the same step, since Ray Data waits for all of them, and has
    as many steps for all. If the rows are fewer than that, as where rows that are held out are more
    than elsewhere, the worker goes on with rows of its window.

    Parameters
    ----------
    reading : Reading
    iterator : ray.data.DataIterator
    workers : Group
    """

    def __init__(self, reading: Reading, iterator: Any, workers: Group) -> None:
        self.reading, self.iterator = reading, iterator
        self.workers: Workers = workers
        self.fingerprint = reading.fingerprint
        self.n_rows = reading.n_rows // workers.size
        self.least = max(1, self.n_rows - reading.n_left_out)  # rows of a pass that are there
        self.rows: Rows | None = None  # all of them, once they are read

    def batches(
        self, n_models: int, size: int, generator: torch.Generator, device: torch.device
    ) -> Batches:
        """Batches without end, for each of some models that are trained together."""
        if self.least <= max(self.reading.window, 2 * size):
            if self.rows is None:
                self.rows = self._all_rows()
            rows = self.rows.to(device)
            every = torch.arange(len(rows), device=device)
            splits = [Split(every, None, every[:0])] * n_models
            return FromAnywhere(TableBatches(rows, splits, size, generator))
        seed = generator.initial_seed()
        make = RepeatedBatches(lambda: self._from_windows(n_models, size, seed, device))
        return FromAnywhere(make)

    def _all_rows(self) -> Rows:
        window, n = Window(self.n_rows + 1, torch.device("cpu")), 0
        with Prefetched(self._read()) as chunks:
            for rows in chunks:
                window.put(torch.arange(n, n + len(rows)), rows)
                n += len(rows)
        return window.first(n)

    def _from_windows(
        self, n_models: int, size: int, seed: int, device: torch.device
    ) -> Generator[Rows, None, None]:
        """Batches of windows of the rows, half of which is trained on and then replaced."""
        generator = torch.Generator(device).manual_seed(seed)
        half, n_halves = halves(self.least, self.reading.window, size)
        window, slots = Window(2 * half, device), torch.arange(2 * half, device=device)
        while True:
            left = n_halves
            with Prefetched(self._read()) as chunks:
                new = Cut(chunks)
                while left > 0:
                    n = new.fill(window, slots)
                    if n < len(slots) > half:
                        raise ValueError(
                            f"{self.reading.title} does not have the {self.reading.n_rows} rows "
                            "that fit read in it first: it must give the same rows in each pass."
                        )
                    left -= len(slots) // half
                    slots = torch.randperm(2 * half, generator=generator, device=device)[:half]
                    orders = [
                        slots[torch.randperm(half, generator=generator, device=device)].split(size)
                        for _ in range(n_models)
                    ]
                    for each in zip(*orders, strict=True):
                        yield window.rows.take(torch.cat(each))

    def _read(self) -> Iterator[Rows]:
        """The encoded rows of one pass."""
        reading = self.reading

        def read(size: int) -> Iterator[Any]:
            return iter(self.iterator.iter_batches(batch_size=size, batch_format="pyarrow"))

        source = Source([Part(reading.title, read)], schema=reading.frame_schema)
        with closing(source.frames(0, reading.batch)) as frames:
            for frame in frames:
                with named(reading.title):
                    table = reading.mark(read_table(frame.to_native()))
                    rows = encoded(reading.schema, table, reading.has_missing)
                yield without(rows, reading.hashes, np.empty(0, dtype=np.int64))


class FromAnywhere:
    """Batches that need not go on at the place where a run was cut off.

    The workers of the run that goes on may be others, and more or fewer.
    """

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __next__(self) -> Rows:
        return next(self.batches)

    def state(self) -> State:
        return {}

    def restore(self, state: State) -> None:
        """Begin with the first batch of a pass."""

    def close(self) -> None:
        self.batches.close()


def halves(n_rows: int, window: int, size: int) -> tuple[int, int]:
    """Rows of half a window, a multiple of `size`, and how many of them a pass has."""
    n = max(2, -(-n_rows // max(size, window // 2)))
    half = max(1, n_rows // n // size) * size
    return half, n_rows // half
