"""The second pass: batches of rows of a stream, in random order."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skvae._model.rows import Rows, row_hashes
from skvae._model.schema import Schema
from skvae._table.table import Table
from skvae._training.batches import Batches, RepeatedBatches, Split, TableBatches
from skvae._training.loop import Result, train_all
from skvae._training.workers import OneWorker, Workers

from .parts import named
from .prefetching import Prefetched
from .stream import Stream, batch_rows

OF_WINDOW = 1 / 2  # of the memory
OF_PARTS = 1 / 8  # of the memory, for parts that are read at the same time
MAX_OPEN = 16  # of them, so that a window holds rows of all
COPIES = 2  # of a part, compressed and not, while it is read
Tables = Generator[tuple[int, Table], None, None]  # with the place of the first row
PAGE = 2.0**21  # bytes of a page of a column of Parquet, at most, about


class StreamBatches:
    """The rows of a stream but for some, as training takes them.

    A window of the rows is held encoded. Half of it, drawn at random, is trained on and then
    replaced by the next rows, which a thread reads and encodes. Parts are read in random order and
    several at a time. If all rows fit in the window they are read once.

    Parameters
    ----------
    stream : Stream
    schema : Schema
    sample : Rows
        The encoded rows of the sample, in the order of the places.
    places : ndarray of int
        The place in the stream of each row of the sample.
    split : Split
        Rows of the sample that are held out are not trained on, nor are rows that equal them,
        unless some of the others do: then equal rows are observations of their own.
    """

    n_workers = 1  # processes that train, each with batches of its own

    def __init__(
        self,
        stream: Stream,
        schema: Schema,
        sample: Rows,
        places: np.ndarray,
        split: Split,
    ) -> None:
        self.stream, self.schema = stream, schema
        self.workers: Workers = OneWorker()
        self.has_missing = sample.missing is not None
        held = split.held_out.numpy()
        self.left_out = np.union1d(stream.left_out, places[held])
        self.hashes = hashes_to_leave_out(sample, split)
        self.n_rows = sum(stream.part_rows) - len(self.left_out)
        per_row = sum(
            each[:1].numel() * each.element_size() for each in sample.fields() if each is not None
        )
        self.window = int(OF_WINDOW * stream.memory / max(per_row, 1))
        self.rows: Rows | None = None  # all of them, once they are read
        self.n_open = parts_at_once(stream)
        self.fingerprint = f"{stream.source.fingerprint} {stream.part_rows}"
        self.batch = batch_rows(stream.source, stream.memory)

    def train(self, *run: Any) -> list[Result]:
        """Train models on the rows, with the arguments of :func:`train_all`."""
        run = (*run, self)
        return train_all(*run)

    def batches(
        self, n_models: int, size: int, generator: torch.Generator, device: torch.device
    ) -> Batches:
        """Batches without end, for each of some models that are trained together."""
        if self.n_rows <= self.window:
            if self.rows is None:
                self.rows = self._all_rows()
            rows = self.rows.to(device)
            every = torch.arange(len(rows), device=device)
            return TableBatches(rows, [Split(every, None, every[:0])] * n_models, size, generator)
        seed = generator.initial_seed()
        return RepeatedBatches(lambda: self._from_windows(n_models, size, seed, device))

    def _all_rows(self) -> Rows:
        """All rows, in the order of the stream."""
        parts = list(range(len(self.stream.part_rows)))
        return joined(self._encoded(self._read(parts, None)), self.n_rows)

    def _from_windows(
        self, n_models: int, size: int, seed: int, device: torch.device
    ) -> Generator[Rows, None, None]:
        """Batches in an order that depends on the seed alone."""
        generator = torch.Generator(device).manual_seed(seed)
        half = max(1, self.window // 2 // size) * size
        window, slots = Window(2 * half, device), torch.arange(2 * half, device=device)
        endless = self._encoded(self._shuffled(np.random.default_rng(seed)))
        with Prefetched(endless) as chunks:
            new = Cut(chunks)
            while True:
                new.fill(window, slots)
                slots = torch.randperm(2 * half, generator=generator, device=device)[:half]
                orders = [
                    slots[torch.randperm(half, generator=generator, device=device)].split(size)
                    for _ in range(n_models)
                ]
                for each in zip(*orders, strict=True):
                    yield window.rows.take(torch.cat(each))

    def _shuffled(self, rng: np.random.Generator) -> Tables:
        """The tables of all parts in random order, again and again."""
        while True:
            order = rng.permutation(len(self.stream.part_rows)).tolist()
            yield from self._read(order, rng)

    def _read(self, parts: list[int], rng: np.random.Generator | None) -> Tables:
        """The tables of some parts: one part after the other, or with `rng` several at a time."""
        waiting, opened = parts[::-1], list[Tables]()
        try:
            while waiting or opened:
                while waiting and len(opened) < (1 if rng is None else self.n_open):
                    opened.append(self.stream.tables(waiting.pop(), self.batch))
                k = 0 if rng is None else int(rng.integers(len(opened)))
                pair = next(opened[k], None)
                if pair is None:
                    del opened[k]
                else:
                    yield pair
        finally:
            for tables in opened:
                tables.close()

    def _encoded(self, tables: Tables) -> Iterator[Rows]:
        """The encoded rows that may be trained on."""
        with closing(tables):
            for first, table in tables:
                with named(self.stream.title if len(self.stream.part_rows) == 1 else "X"):
                    rows = encoded(self.schema, table, self.has_missing)
                near = slice(*np.searchsorted(self.left_out, [first, first + len(rows)]))
                yield without(rows, self.hashes, self.left_out[near] - first)


def hashes_to_leave_out(sample: Rows, split: Split, more: Rows | None = None) -> np.ndarray:
    """The hashes of rows that are held out, and of others; none if some trained on equal them."""
    hashes = row_hashes(sample)
    out = np.unique(hashes[split.held_out.numpy()])
    if more is not None:
        out = np.union1d(out, row_hashes(more))
    return out[:0] if np.isin(hashes[split.train.numpy()], out).any() else out


def encoded(schema: Schema, table: Table, has_missing: bool) -> Rows:
    """Encoded rows; with `has_missing` they have a mask, as others of the table have."""
    rows = schema.encode(table, torch.float32)
    return rows.with_mask() if has_missing else rows


def without(rows: Rows, hashes: np.ndarray, places: np.ndarray) -> Rows:
    """The rows that have none of some hashes and are at none of some places."""
    kept = np.ones(len(rows), dtype=bool)
    kept[places] = False
    if len(hashes):
        kept &= ~np.isin(row_hashes(rows), hashes)
    return rows if kept.all() else rows.take(torch.from_numpy(np.flatnonzero(kept)))


def parts_at_once(stream: Stream) -> int:
    """How many parts to read at the same time, so that what is held of them is bounded."""
    sizes = [part.size for part in stream.source.parts if part.size is not None]
    largest = PAGE * len(stream.statistics.columns)
    size = COPIES * min(max(sizes, default=largest), largest)
    return int(np.clip(OF_PARTS * stream.memory / size, 1, MAX_OPEN))


class Cut:
    """Encoded rows in pieces of the lengths that are asked for."""

    def __init__(self, chunks: Iterator[Rows]) -> None:
        self.chunks = chunks
        self.rest: Rows | None = None

    def fill(self, window: Window, slots: Tensor) -> int:
        """Put the next rows in some slots of a window; how many there were."""
        n = 0
        while n < len(slots):
            rows = next(self.chunks, None) if self.rest is None else self.rest
            if rows is None:
                break
            piece = slots[n : n + len(rows)]
            window.put(piece, part(rows, 0, len(piece)))
            self.rest = part(rows, len(piece), len(rows)) if len(piece) < len(rows) else None
            n += len(piece)
        return n


class Window:
    """Rows in slots, which are made when the first are put in."""

    rows: Rows

    def __init__(self, size: int, device: torch.device) -> None:
        self.size, self.device = size, device
        self.fields: list[Any] = []

    def put(self, slots: Tensor, rows: Rows) -> None:
        """Replace the rows in some slots."""
        if not self.fields:
            self.fields = [None] * len(rows.fields())
        for i, new in enumerate(rows.fields()):
            if new is not None and self.fields[i] is None:
                shape = self.size, *new.shape[1:]
                self.fields[i] = torch.zeros(shape, dtype=new.dtype, device=self.device)
            own = self.fields[i]
            if own is not None:
                own[slots] = 0 if new is None else new.to(self.device)
        self.rows = Rows(*self.fields)

    def first(self, n: int) -> Rows:
        """The rows in the first slots."""
        return part(self.rows, 0, n)


def joined(chunks: Iterator[Rows], most: int) -> Rows:
    """All rows, of which there are at most so many, read ahead by a thread."""
    window, n = Window(most, torch.device("cpu")), 0
    with Prefetched(chunks) as ahead:
        for rows in ahead:
            window.put(torch.arange(n, n + len(rows)), rows)
            n += len(rows)
    return window.first(n)


def part(rows: Rows, first: int, last: int) -> Rows:
    """A slice of some rows."""
    return rows._map(lambda tensor: tensor[first:last])
