"""Statistics of a column that are exact for all rows, and can be merged.

What a sample of the rows cannot know: how many cells are missing, the extremes, rare levels and
rare values, and the finest decimal and step. Statistics of two parts of a table are merged to those
of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from skvae._table.columns import CategoricalColumn, Column, ConstantColumn
from skvae._table.layouts import TICKS_PER_DAY, Cells
from skvae._table.numeric_column import NumericColumn, as_stored

from .level_counts import LevelCounts
from .number_counts import NumberCounts

OF_TYPE = ("type", "duration", "zone", "unit")  # attributes of cells that all batches share


@dataclass
class ColumnStatistics:
    """The number of cells and of missing ones, and the distribution of the others.

    Attributes
    ----------
    name : hashable
    like : Cells or None
        No cells, of the type of the column; None: it has had no value.
    counts : NumberCounts, LevelCounts or None
    """

    name: Any
    n_rows: float = 0
    n_missing: float = 0
    like: Cells | None = None
    counts: NumberCounts | LevelCounts | None = None

    @property
    def n_seen(self) -> float:
        return self.n_rows - self.n_missing

    def copied(self) -> ColumnStatistics:
        """A copy to which cells can be added."""
        counts = self.counts
        if isinstance(counts, LevelCounts):
            counts = replace(counts, found=dict(counts.found))
        elif counts is not None:
            counts = replace(counts, finest=list(counts.finest))
        return replace(self, counts=counts)

    def update(self, cells: Cells, weights: np.ndarray | None = None) -> None:
        """Add the cells of a batch; with weights, which are counted in place of them.

        Raises
        ------
        TypeError
            If they are of another type than those before.
        """
        n: float = len(cells.missing)
        n_missing: float = int(cells.missing.sum())
        if n_missing < n:
            if self.like is None or self.counts is None:
                none, kind = as_stored(cells.missing[:0]), cells.values.dtype
                values = as_stored(np.empty(0, kind))
                self.like = replace(cells, values=values, missing=none, levels=(), exact=None)
                self.counts = LevelCounts() if cells.type == "label" else NumberCounts()
            self._check(cells)
            seen = ~cells.missing if n_missing else slice(None)
            self.counts.update(cells, seen, None if weights is None else weights[seen])
        if weights is not None:
            n, n_missing = float(weights.sum()), float(weights[cells.missing].sum())
        self.n_rows, self.n_missing = self.n_rows + n, self.n_missing + n_missing

    def merge(self, other: ColumnStatistics) -> None:
        """Add the statistics of other rows."""
        if other.like is not None and other.counts is not None:
            if self.like is None or self.counts is None:
                self.like, self.counts = other.like, other.counts
            else:
                self._check(other.like)
                self.counts.merge(other.counts)  # type: ignore[arg-type]
        self.n_rows, self.n_missing = self.n_rows + other.n_rows, self.n_missing + other.n_missing

    def become(self, cells: Cells) -> None:
        """Take the type of cells, which holds those that were counted; see :func:`alike`."""
        if self.like is None or cells.missing.all():
            return
        if self.like.unit != cells.unit and isinstance(self.counts, NumberCounts):
            before, now = TICKS_PER_DAY[self.like.unit], TICKS_PER_DAY[cells.unit]
            finer, coarser = max(1, now // before), max(1, before // now)
            self.counts = self.counts.converted(lambda ticks: ticks * finer // coarser)
        self.like = replace(self.like, **{name: getattr(cells, name) for name in OF_TYPE})

    def _check(self, cells: Cells) -> None:
        for name in OF_TYPE:
            before, now = getattr(self.like, name), getattr(cells, name)
            if before != now:
                raise TypeError(
                    f"Column {self.name!r} holds cells of {name} {now!r} here, but {before!r} in "
                    "the part that was read first. Convert it, so that all parts of X have one "
                    "type."
                )


@dataclass
class Statistics:
    """The statistics of all columns of a table."""

    columns: list[ColumnStatistics] = field(default_factory=list)

    @property
    def n_rows(self) -> float:
        return self.columns[0].n_rows if self.columns else 0

    @property
    def has_missing(self) -> bool:
        return any(column.n_missing for column in self.columns)

    def copied(self) -> Statistics:
        """A copy to which rows can be added."""
        return Statistics([column.copied() for column in self.columns])

    def update(self, names: list, cells: list[Cells], weights: np.ndarray | None = None) -> None:
        """Add the columns of a batch; with weights of its rows."""
        if not self.columns:
            self.columns = [ColumnStatistics(name) for name in names]
        for column, own in zip(self.columns, cells, strict=True):
            column.update(own, weights)

    def merge(self, other: Statistics) -> None:
        """Add the statistics of other rows of the same table."""
        if not self.columns:
            self.columns = other.columns
            return
        for column, more in zip(self.columns, other.columns, strict=bool(other.columns)):
            column.merge(more)


def statistics_of(columns: list[Column], n_rows: float) -> Statistics:
    """The statistics of a table, as its fitted columns remember them."""
    return Statistics([_remembered(column, n_rows) for column in columns])


def _remembered(column: Column, n_rows: float) -> ColumnStatistics:
    cells, weights = _known_cells(column)
    seen = float(weights.sum())
    statistics = ColumnStatistics(column.name)
    if len(weights):
        cells = replace(cells, zone=column.zone, prototype=column.prototype)
        statistics.update(cells, weights)
        counts = statistics.counts
        if isinstance(counts, NumberCounts) and column.kind != "boolean":
            counts.values, counts.counts, counts.is_complete = None, None, False
    statistics.n_rows, statistics.n_missing = max(n_rows, seen), max(0.0, n_rows - seen)
    return statistics


def _known_cells(column: Column) -> tuple[Cells, np.ndarray]:
    """Levels with their counts, or the values that are remembered of numbers, of all their weight.

    Of a column without a value none.
    """
    if isinstance(column, CategoricalColumn):
        none = np.zeros(len(column.levels), dtype=bool)
        codes = np.arange(len(column.levels))
        cells = column.cells(codes, none, levels=column.levels, ordered=column.ordered)
        return cells, column.counts
    if isinstance(column, ConstantColumn):
        cells = column.decode(int(column.value is not None))
        return cells, np.full(len(cells.missing), column.weight)
    assert isinstance(column, NumericColumn)
    if column.kind == "boolean":
        share = np.array([1 - column.probability, column.probability])
        return column.cells(np.array([0.0, 1.0])), share * column.weight
    cells = column.decode(column.rescaled(column.known))
    return cells, np.full(len(column.known), column.weight / len(column.known))
