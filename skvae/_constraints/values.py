"""The cells of rows as arrays, and the grids on which the values of a column lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skvae._table.columns import CategoricalColumn, Column, ConstantColumn
from skvae._table.layouts import TICKS_PER_DAY, Cells
from skvae._table.numeric_column import NumericColumn

MAX_NUMBERS = 2**24  # of a table that is held as arrays; of larger ones columns are read on demand
PRECISION = {False: 1e-9, True: 2e-6}  # of sums in float64 and in float32, relative


@dataclass
class Values:
    """Cells of all columns of some rows.

    Attributes
    ----------
    columns : list of Column
    arrays : list of ndarray of shape (n_rows,)
        For each column places in its levels, numbers, or ticks of time.
    missing : ndarray of bool of shape (n_rows, n_columns)
    held : ndarray of bool of shape (n_rows, n_columns)
        Cells that must not be changed.
    """

    columns: Sequence[Column]
    arrays: Sequence[np.ndarray]
    missing: np.ndarray
    held: np.ndarray

    @classmethod
    def of(cls, columns: Sequence[Column], cells: Sequence[Cells]) -> Values:
        """Cells that were decoded, or read and coerced, of the columns of the fitted table."""
        pairs = [read(column, each) for column, each in zip(columns, cells, strict=True)]
        missing = np.stack([missing for _, missing in pairs], axis=1)
        return cls(columns, [array for array, _ in pairs], missing, np.zeros_like(missing))

    @classmethod
    def of_table(
        cls, columns: Sequence[Column], n_rows: int, cells: Callable[[int], Cells]
    ) -> Values:
        """Cells of a table of any size, from a function that reads a column."""
        missing = np.zeros((n_rows, len(columns)), dtype=bool)
        arrays: list[np.ndarray] = []
        is_small = n_rows * len(columns) <= MAX_NUMBERS
        for j, column in enumerate(columns):
            array, missing[:, j] = read(column, cells(j))
            if is_small:
                arrays.append(array)
        on_demand = ReadOnDemand(len(columns), lambda j: read(columns[j], cells(j))[0])
        held = np.broadcast_to(np.zeros((), dtype=bool), missing.shape)
        return cls(columns, arrays if is_small else on_demand, missing, held)

    @property
    def n_rows(self) -> int:
        return len(self.missing)

    def take(self, rows: np.ndarray) -> Values:
        arrays = [array[rows] for array in self.arrays]
        return Values(self.columns, arrays, self.missing[rows], self.held[rows])

    def set_rows(self, rows: np.ndarray, other: Values) -> None:
        """Replace the cells of some rows that are not held."""
        for j, array in enumerate(other.arrays):
            self.set(j, rows, array)

    def set(self, j: int, rows: np.ndarray, values: np.ndarray) -> None:
        """Replace the cells of a column that are not held."""
        free = ~self.held[rows, j]
        self.arrays[j][rows[free]] = values[free]

    def written(self, cells: Sequence[Cells]) -> list[Cells]:
        """The cells with the values of these rows."""
        return [
            each if isinstance(column, ConstantColumn) else replace(each, values=array, exact=None)
            for column, each, array in zip(self.columns, cells, self.arrays, strict=True)
        ]


class ReadOnDemand(Sequence):
    """Columns of a large table: those that were asked for one by one are held."""

    def __init__(self, n_columns: int, read_column: Callable[[int], np.ndarray]) -> None:
        self.n_columns, self.read_column = n_columns, read_column
        self.known: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return self.n_columns

    def __getitem__(self, j: Any) -> Any:
        if j not in self.known:
            self.known[j] = self.read_column(j)
        return self.known[j]

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self.read_column, range(self.n_columns))


def read(column: Column, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    """The values of a column, and which are missing; levels that are unknown count as missing."""
    missing = cells.missing
    if isinstance(column, CategoricalColumn):
        # Decoded cells have the levels of the column, in its order.
        found = cells.values if cells.levels is column.levels else column.find(cells)
        missing = missing | (found == len(column.levels))
        return np.where(missing, 0, found).astype(np.int64), missing
    values = cells.exact_values
    if cells.type == "label":
        values = np.zeros(len(missing))
    elif cells.type == "time" and cells.unit and cells.unit != column.unit:
        here, there = TICKS_PER_DAY[cells.unit], TICKS_PER_DAY[column.unit]
        values = values * (there // here) if there >= here else values // (here // there)
    if missing.any():
        values = np.where(missing, np.zeros((), values.dtype), values)
    return np.array(values, dtype=_dtype(column)), missing


def _dtype(column: Column) -> np.dtype:
    if isinstance(column, NumericColumn) and len(column.known_integers):
        return column.known_integers.dtype
    return np.dtype(np.int64 if column.type == "time" else np.float64)


def is_number(column: Column) -> bool:
    """Whether a column holds numbers: integers or floats, not levels, booleans or times."""
    return isinstance(column, NumericColumn) and column.kind in ("continuous", "integer")


def kind_of_order(column: Column) -> str | None:
    """Columns of the same kind can be compared; None: the values of a column have no order."""
    if is_number(column):
        return "number"
    if column.type != "time":
        return None
    if column.duration:
        return "duration"
    return "time in a zone" if column.zone is not None else "time"


def bounds(column: Column) -> tuple:
    """Least and greatest value that was fitted."""
    assert isinstance(column, NumericColumn)
    if len(column.known_integers):
        return column.known_integers[0], column.known_integers[-1]
    return column.minimum, column.maximum


def rounded(column: Column, values: np.ndarray) -> np.ndarray:
    """Numbers with the decimals of a column."""
    assert isinstance(column, NumericColumn)
    if column.decimals is None or values.dtype.kind != "f":
        return values
    return np.round(values, column.decimals)


def step(column: Column) -> float:
    """The distance of two neighbors on the grid of a column; 0: it has none."""
    assert isinstance(column, NumericColumn)
    if column.type == "time":
        return float(column.step)
    return 0.0 if column.decimals is None else 10.0**-column.decimals


def tolerance(column: Column, size: np.ndarray) -> np.ndarray:
    """How far a sum of terms of some size may be from a value of a column that is equal to it."""
    assert isinstance(column, NumericColumn)
    relative = PRECISION[column.single] * size
    return np.maximum(relative, 0.5 * (1 + 1e-6) * step(column))


def in_common_unit(a: Column, b: Column, x: np.ndarray, y: np.ndarray) -> tuple:
    """Values of two columns in one unit, so that they can be compared."""
    if a.type != "time" or a.unit == b.unit:
        return x, y
    finest = max(TICKS_PER_DAY[a.unit], TICKS_PER_DAY[b.unit])
    return x * (finest // TICKS_PER_DAY[a.unit]), y * (finest // TICKS_PER_DAY[b.unit])


def below(low: Column, high: Column, y: np.ndarray, strict: bool) -> np.ndarray:
    """The greatest values of `low` that are at most (or, if strict, below) values y of `high`."""
    if low.type == "time":
        here, there = TICKS_PER_DAY[high.unit], TICKS_PER_DAY[low.unit]
        x = y * (there // here) if there >= here else y // (here // there)
        again = x * (here // there) if here > there else x // (there // here)
        return x - (strict & (again == y))
    grid = step(low)
    if not grid:
        return _towards(low, y, -np.inf) if strict else y
    x = rounded(low, np.floor(y / grid * (1 + 1e-15) + 1e-9) * grid)
    return np.where(x >= y, rounded(low, x - grid), x) if strict else np.where(x > y, x - grid, x)


def above(high: Column, low: Column, x: np.ndarray, strict: bool) -> np.ndarray:
    """The least values of `high` that are at least (or, if strict, above) values x of `low`."""
    if high.type == "time":
        here, there = TICKS_PER_DAY[low.unit], TICKS_PER_DAY[high.unit]
        y = x * (there // here) if there >= here else -(-x // (here // there))
        again = y * (here // there) if here > there else y // (there // here)
        return y + (strict & (again == x))
    grid = step(high)
    if not grid:
        return _towards(high, x, np.inf) if strict else x
    y = rounded(high, np.ceil(x / grid * (1 - 1e-15) - 1e-9) * grid)
    return np.where(y <= x, rounded(high, y + grid), y) if strict else np.where(y < x, y + grid, y)


def _towards(column: Column, values: np.ndarray, end: float) -> np.ndarray:
    assert isinstance(column, NumericColumn)
    if not column.single:
        return np.nextafter(values, end)
    return np.nextafter(values.astype(np.float32), np.float32(end)).astype(np.float64)
