"""A stream: a source whose rows were counted, and a sample of them as a table."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from skvae._table.reading import read_table
from skvae._table.table import Table

from .column_statistics import Statistics
from .frames import row_size
from .margins import StreamMargins
from .parts import named
from .prefetching import Prefetched
from .reservoir import Reservoir
from .sources import OwnPass, Source, as_source

MEGABYTE = 2**20
MIN_SAMPLE, MAX_SAMPLE = 10_000, 100_000  # rows
OF_SAMPLE, OF_BATCH = 1 / 4, 1 / 16  # of the memory
COPIES = 6  # of a row of the sample that a fit holds at its peak, about
CELL = 24  # bytes for a cell of a batch, while it is encoded
MIN_BATCH, MAX_BATCH = 1024, 65_536  # rows
N_COLUMNS = 32  # assumed before the first batch is read

Marker = Callable[[Table], Table]
Categorical = Callable[[list], list[bool]]


@dataclass(frozen=True)
class Stream:
    """The rows of a source, as training reads them.

    Attributes
    ----------
    source : Source
    part_rows : list of int
        Rows of each part.
    sample_rows : ndarray of int
        The place in the stream of each row of the sample.
    statistics : Statistics
        Of all rows.
    mark : callable
        Applied to each table that is read.
    memory : float
        Bytes for all rows in memory.
    left_out : ndarray of int
        Places of rows that are not to be used, sorted.
    left_out_rows : Table or None
        The same rows.
    batch_source : callable or None
        Makes the batches to train on; None: they are read by this process.
    """

    source: Source
    part_rows: list[int]
    sample_rows: np.ndarray
    statistics: Statistics
    mark: Marker
    memory: float
    left_out: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    left_out_rows: Table | None = None
    batch_source: Callable[..., Any] | None = None

    @property
    def n_rows(self) -> int:
        return sum(self.part_rows) - len(self.left_out)

    @property
    def has_missing(self) -> list[bool]:
        """Which columns have missing cells."""
        return [column.n_missing > 0 for column in self.statistics.columns]

    @property
    def title(self) -> str:
        return self.source.parts[0].name

    def margins(self, sample: Table) -> StreamMargins:
        """The distribution of each column."""
        return StreamMargins(self.statistics, sample, self.left_out_rows)

    def take(self, sample: Table, rows: np.ndarray) -> Stream:
        """The stream without the other rows of the sample."""
        others = np.setdiff1d(np.arange(sample.n_rows), rows)
        if not len(others):
            return replace(self, sample_rows=self.sample_rows[rows])
        left_out = np.union1d(self.left_out, self.sample_rows[others])
        out = replace(sample, stream=None).take(others)
        return replace(
            self, sample_rows=self.sample_rows[rows], left_out=left_out, left_out_rows=out
        )

    def tables(self, i: int, size: int) -> Generator[tuple[int, Table], None, None]:
        """The batches of a part as tables, each with the place of its first row.

        Raises
        ------
        ValueError
            If the part does not have as many rows as it had when they were counted.
        """
        name, first = self.source.parts[i].name, sum(self.part_rows[:i])
        last = first + self.part_rows[i]
        with closing(self.source.frames(i, size)) as frames:
            for frame in frames:
                if first + len(frame) > last:
                    break
                with named(name):
                    yield first, self.mark(read_table(frame.to_native()))
                first += len(frame)
            else:
                if first == last:
                    return
        raise ValueError(
            f"{name} does not have the {self.part_rows[i]} rows that fit read in it first. "
            "A function must make a new iterator at each call, and files must not change."
        )

    def all_tables(self) -> Iterator[Table]:
        """The batches of all parts, in order."""
        size = batch_rows(self.source, self.memory)
        for i in range(len(self.part_rows)):
            for _, table in self.tables(i, size):
                yield table


def read_stream(X: Any, max_memory: float, categorical: Categorical, mark: Marker) -> Table:
    """The first pass over a source: its rows as a table, or a sample with its stream.

    Parameters
    ----------
    X : source
        See :func:`skvae._streaming.sources.is_source`.
    max_memory : float
        Megabytes for all rows in memory.
    categorical : callable
        From the names of the columns to which of them hold levels.
    mark : callable
        Applied to each table that is read.

    Raises
    ------
    ValueError
        If it has no rows, a part cannot be read, or parts differ in their columns.
    """
    if isinstance(X, OwnPass):
        return X.read_stream(max_memory, categorical, mark)
    source, memory = as_source(X), max_memory * MEGABYTE
    statistics, reservoir, part_rows, first = Statistics(), None, [], 0
    for i, part in enumerate(source.parts):
        before = first
        with Prefetched(source.frames(i, batch_rows(source, memory))) as frames:
            for frame in frames:
                if reservoir is None:
                    reservoir = Reservoir(sample_size(row_size(frame), memory))
                with named(part.name):
                    update(statistics, mark(read_table(frame.to_native())), categorical)
                reservoir.update(frame, first)
                first += len(frame)
        part_rows.append(first - before)
    if reservoir is None:
        raise ValueError(
            "Found array with 0 sample(s): X has no rows, while a minimum of 2 is required."
        )
    frame, positions = reservoir.sample()
    table = mark(read_table(frame.to_native()))
    if len(positions) < first:
        table.stream = Stream(source, part_rows, positions, statistics, mark, memory)
    return table


def update(statistics: Statistics, table: Table, categorical: Categorical) -> None:
    """Add the rows of a table."""
    as_label = categorical(table.names)
    cells = [table.cells(j, label) for j, label in enumerate(as_label)]
    statistics.update(table.names, cells)


def batch_rows(source: Source, memory: float) -> int:
    """Rows of a batch, so that it takes a small part of the memory."""
    n_columns = N_COLUMNS if source.schema is None else max(1, len(source.schema))
    return int(np.clip(OF_BATCH * memory / CELL / n_columns, MIN_BATCH, MAX_BATCH))


def sample_size(size_of_row: float, memory: float) -> int:
    """Rows of the sample."""
    rows = OF_SAMPLE * memory / COPIES / max(size_of_row, 1.0)
    return int(np.clip(rows, MIN_SAMPLE, MAX_SAMPLE))
