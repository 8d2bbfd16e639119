"""Statistics of a column that are exact for all rows, and can be merged.

What a sample of the rows cannot know: how many cells are missing, the extremes, rare levels and
rare values, and the finest decimal and step. Statistics of two parts of a table are merged to those
of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from skvae._table.layouts import Cells

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
    n_rows: int = 0
    n_missing: int = 0
    like: Cells | None = None
    counts: NumberCounts | LevelCounts | None = None

    @property
    def n_seen(self) -> int:
        return self.n_rows - self.n_missing

    def update(self, cells: Cells) -> None:
        """Add the cells of a batch.

        Raises
        ------
        TypeError
            If they are of another type than those before.
        """
        n, n_missing = len(cells.missing), int(cells.missing.sum())
        if n_missing < n:
            if self.like is None or self.counts is None:
                self.like = replace(cells.take(np.arange(0)), levels=(), exact=None)
                self.counts = LevelCounts() if cells.type == "label" else NumberCounts()
            self._check(cells)
            self.counts.update(cells, ~cells.missing if n_missing else slice(None))
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
    def n_rows(self) -> int:
        return self.columns[0].n_rows if self.columns else 0

    @property
    def has_missing(self) -> bool:
        return any(column.n_missing for column in self.columns)

    def update(self, names: list, cells: list[Cells]) -> None:
        """Add the columns of a batch."""
        if not self.columns:
            self.columns = [ColumnStatistics(name) for name in names]
        for column, own in zip(self.columns, cells, strict=True):
            column.update(own)

    def merge(self, other: Statistics) -> None:
        """Add the statistics of other rows of the same table."""
        if not self.columns:
            self.columns = other.columns
            return
        for column, more in zip(self.columns, other.columns, strict=bool(other.columns)):
            column.merge(more)
