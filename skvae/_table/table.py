"""A table of any container, whose columns are read on demand."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from .layouts import Cells


@dataclass
class Table:
    """A read table: names and layout of the columns, and the cells of each on demand.

    Attributes
    ----------
    names : list
    n_rows : int
    layout : layout of :mod:`skvae._table.layouts`
    read : callable
        From the position of a column, and whether its cells are levels, to its cells.
    read_rows : callable or None
        From a slice of the rows to their table, without reading the others.
    stream : Stream or None
        What the rows are a sample of; None: they are all rows.
    """

    names: list
    n_rows: int
    layout: Any
    read: Callable[[int, bool], Cells]
    read_rows: Callable[[slice], Table] | None = None
    stream: Any = None

    def cells(self, j: int, as_label: bool = False) -> Cells:
        """Column j; `as_label` keeps the cells of an untyped column from being read as numbers."""
        return self.read(j, as_label)

    @cached_property
    def missing(self) -> np.ndarray:
        """Which cells are missing, (n_rows, n_columns)."""
        return np.stack([self.cells(j).missing for j in range(len(self.names))], axis=1)

    @property
    def has_missing(self) -> np.ndarray:
        """Which columns have missing cells, (n_columns,); of a sample, in the whole stream."""
        if self.stream is not None:
            return np.asarray(self.stream.has_missing)
        return np.asarray(self.missing.any(0))

    def header(self) -> Any:
        """The columns without rows, in a container whose names every scikit-learn can read."""
        if self.layout.container in ("array", "sparse"):
            return np.empty((0, len(self.names)))
        return pd.DataFrame(columns=self.names)

    def marginal(self, columns: Collection[int]) -> Table:
        """The table with all other columns missing."""

        def read(j: int, as_label: bool) -> Cells:
            if j in columns:
                return self.read(j, as_label)
            missing = np.ones(self.n_rows, dtype=bool)
            return Cells("float", np.full(self.n_rows, np.nan), missing)

        return Table(self.names, self.n_rows, self.layout, read,
                     lambda rows: self.part(rows).marginal(columns))  # fmt: skip

    def with_missing(self, value: Any) -> Table:
        """The table with the cells that hold a value missing."""

        def read(j: int, as_label: bool) -> Cells:
            cells = self.read(j, as_label)
            if cells.type == "label":
                is_value = np.array([*(level == value for level in cells.levels), False])
                return cells.with_missing(is_value[cells.values])
            if isinstance(value, numbers.Real) and cells.type != "time":
                return cells.with_missing(cells.exact_values == value)
            return cells

        return Table(self.names, self.n_rows, self.layout, read,
                     lambda rows: self.part(rows).with_missing(value))  # fmt: skip

    def take(self, rows: np.ndarray) -> Table:
        """Some of the rows; the others are left out of the stream, too, of which they are."""

        def read(j: int, as_label: bool) -> Cells:
            return self.read(j, as_label).take(rows)

        stream = None if self.stream is None else self.stream.take(self, rows)
        return Table(self.names, len(rows), self.layout, read, stream=stream)

    def part(self, rows: slice) -> Table:
        """A slice of the rows."""
        if self.read_rows is None:
            return self.take(np.arange(self.n_rows)[rows])
        return self.read_rows(rows)
