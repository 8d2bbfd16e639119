"""The rows of one worker, as training takes them.

A worker with a core of its own encodes its rows in a thread, and so does not depend on how many
other cores there are. A GPU is faster than one thread encodes: its rows are encoded by tasks of Ray
Data on all other cores.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import torch

from skvae._model.rows import Rows
from skvae._model.schema import Schema
from skvae._streaming.batches import Cut, Window, encoded, joined, without
from skvae._streaming.frames import Schema as FrameSchema
from skvae._streaming.frames import as_frame, matched
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
    like : Rows
        No rows, encoded.
    in_tasks : bool
        Whether the rows are encoded by tasks of Ray Data; if not, by the worker.
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
    like: Rows
    in_tasks: bool

    def encoded(self, frame: nw.DataFrame) -> Rows:
        """The rows of a frame that may be trained on."""
        with named(self.title):
            table = self.mark(read_table(frame.to_native()))
            rows = encoded(self.schema, table, self.has_missing)
        return without(rows, self.hashes, np.empty(0, dtype=np.int64))


@dataclass
class EncodingTask:
    """Encodes a block of a data set to arrays, whose names are the numbers of the fields."""

    reading: Reading

    def __call__(self, block: Any) -> dict[str, np.ndarray]:
        rows = self.reading.encoded(matched(as_frame(block), self.reading.frame_schema))
        fields = zip(rows.fields(), self.reading.like.fields(), strict=True)
        return {
            str(i): each.numpy()
            for i, (each, like) in enumerate(fields)
            if each is not None and like is not None and has_columns(like)
        }


def decoded(batch: dict[str, np.ndarray], like: Rows) -> Rows:
    """Rows from the arrays of a task."""
    n = len(next(iter(batch.values())))
    fields = []
    for i, each in enumerate(like.fields()):
        if each is not None:
            full = has_columns(each)
            array = torch.tensor(batch[str(i)]) if full else torch.zeros(n, *each.shape[1:])
            each = array.to(each.dtype)
        fields.append(each)
    return Rows(*fields)  # type: ignore[arg-type]


def has_columns(field: torch.Tensor) -> bool:
    """Whether the rows have a number in a field."""
    return 0 not in field.shape[1:]


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
        return joined(self._read(), self.n_rows + 1)

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
        if reading.in_tasks:
            arrays = self.iterator.iter_batches(batch_size=reading.batch, batch_format="numpy")
            yield from (decoded(batch, reading.like) for batch in arrays)
            return

        def read(size: int) -> Iterator[Any]:
            return iter(self.iterator.iter_batches(batch_size=size, batch_format="pyarrow"))

        source = Source([Part(reading.title, read)], schema=reading.frame_schema)
        with closing(source.frames(0, reading.batch)) as frames:
            yield from map(reading.encoded, frames)


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
