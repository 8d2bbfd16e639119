"""Fitted constraints: which rows break them, and how rows are repaired."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from skvae._table.columns import Column
from skvae._table.layouts import TICKS_PER_DAY
from skvae.constraints import Constraint, Inequality, Sum

from .values import Values, above, below, bounds, in_common_unit, is_number, rounded, tolerance

# From the position of a column and rows to log p(level | z) of their cells, (n_rows, n_levels);
# None: the column has no levels.
LevelScores = Callable[[int, np.ndarray], np.ndarray | None]


@dataclass(frozen=True, eq=False)
class Relation(ABC):
    """A constraint between columns of a fitted table.

    Attributes
    ----------
    constraint : Constraint
    places : tuple of int
        Positions of its columns in the table, in the order of its names.
    found : bool
        Whether it was found in the table, not declared.
    """

    constraint: Constraint
    places: tuple
    found: bool = field(default=False, kw_only=True)

    def complete(self, values: Values, rows: np.ndarray) -> np.ndarray:
        """Which of some rows have all cells: others keep every constraint."""
        mask: np.ndarray = ~values.missing[np.ix_(rows, self.places)].any(1)
        return mask

    def broken(self, values: Values, rows: np.ndarray) -> np.ndarray:
        """Which of some rows break the constraint."""
        mask = self.complete(values, rows)
        mask[mask] = self._breaks(values, rows[mask])
        return mask

    @abstractmethod
    def _breaks(self, values: Values, rows: np.ndarray) -> np.ndarray:
        """Which of some complete rows break the constraint."""

    def apply(  # noqa: B027
        self, values: Values, rows: np.ndarray, rng: np.random.Generator | None
    ) -> None:
        """Set the cells that follow from others by the constraint, where others need no change."""

    @abstractmethod
    def project(
        self, values: Values, rows: np.ndarray, touched: np.ndarray, scores: LevelScores,
        rng: np.random.Generator | None,
    ) -> None:  # fmt: skip
        """Change some rows that break the constraint so that they keep it, where that is possible.

        Parameters
        ----------
        touched : ndarray of bool of shape (n_rows, n_columns)
            Cells that other constraints have changed; those that are changed here are marked.
        scores : callable
            Log-probabilities of levels.
        rng : Generator or None
            Draws what there is to choose; None: the most probable is taken.
        """

    def updated(self, values: Values) -> Relation | None:
        """The relation as it is after more rows; None: they break it."""
        return None if self.broken(values, np.arange(values.n_rows)).any() else self


# ---------------------------------------------------------------------------------- inequality


@dataclass(frozen=True, eq=False)
class FittedInequality(Relation):
    """low ≤ high."""

    constraint: Inequality

    def _breaks(self, values: Values, rows: np.ndarray) -> np.ndarray:
        (low, x), (high, y) = ((values.columns[j], values.arrays[j][rows]) for j in self.places)
        x, y = in_common_unit(low, high, x, y)
        return np.asarray(x >= y if self.constraint.strict else x > y)

    def project(self, values, rows, touched, scores, rng):
        # What others have set, as a value of a list, is changed last: they would set it again.
        for also_touched in (False, True):
            for i, j in enumerate(self.places):
                some = rows if also_touched else rows[~touched[rows, j]]
                self._set(values, j, some, self._nearest(values, i, some), touched)
                rows = rows[self._breaks(values, rows)]

    def _nearest(self, values: Values, i: int, rows: np.ndarray) -> np.ndarray:
        """The values of the lower (0) or the higher column (1) that the other one allows."""
        j, other = self.places[i], self.places[1 - i]
        own, column, y = values.columns[j], values.columns[other], values.arrays[other][rows]
        if i == 0:
            return np.maximum(below(own, column, y, self.constraint.strict), bounds(own)[0])
        return np.minimum(above(own, column, y, self.constraint.strict), bounds(own)[1])

    @staticmethod
    def _set(
        values: Values, j: int, rows: np.ndarray, new: np.ndarray, touched: np.ndarray
    ) -> None:
        touched[rows, j] |= values.arrays[j][rows] != new
        values.set(j, rows, new.astype(values.arrays[j].dtype))


# ----------------------------------------------------------------------------------------- sum


@dataclass(frozen=True, eq=False)
class FittedSum(Relation):
    """0 = constant + Σ c_i x_i over the columns, of which the first, the total, has c = −1.

    Attributes
    ----------
    coefficients : ndarray of shape (n_columns,)
    order : tuple of int
        The columns that may be changed, by place in `places`: the first is computed from the
        others, the next ones take what it cannot.
    """

    constraint: Sum
    coefficients: np.ndarray = field(default_factory=lambda: np.empty(0))
    order: tuple = ()

    def _terms(self, values: Values, rows: np.ndarray) -> list[np.ndarray]:
        """The terms c_i x_i, in whole numbers where all are."""
        arrays = [values.arrays[j][rows] for j in self.places]
        if any(array.dtype.kind in "iu" for array in arrays):
            units = in_units_of_sum([values.columns[j] for j in self.places])
            whole = self.coefficients.astype(np.int64)
            return [c * x.astype(np.int64) * unit for c, x, unit in zip(
                whole, arrays, units, strict=True)]  # fmt: skip
        return [c * x for c, x in zip(self.coefficients, arrays, strict=True)]

    def _breaks(self, values: Values, rows: np.ndarray) -> np.ndarray:
        terms = self._terms(values, rows)
        residual = np.asarray(self._constant(terms) + sum(terms))
        if residual.dtype.kind == "i":
            return np.asarray(residual != 0)
        size = np.abs(terms).sum(0) + abs(self.constraint.constant)
        return np.abs(residual) > tolerance(values.columns[self.places[0]], size)

    def _constant(self, terms: list[np.ndarray]) -> float:
        constant = self.constraint.constant
        return int(constant) if terms[0].dtype.kind == "i" else float(constant)

    def _solved(self, values: Values, rows: np.ndarray, i: int) -> tuple[np.ndarray, np.ndarray]:
        """A column from the others, inside its bounds, and where it had to be cut."""
        terms, j = self._terms(values, rows), self.places[i]
        column, array = values.columns[j], values.arrays[j]
        others = np.asarray(self._constant(terms) + sum(t for k, t in enumerate(terms) if k != i))
        if others.dtype.kind == "i":
            unit = in_units_of_sum([values.columns[k] for k in self.places])[i]
            x = -others // (int(self.coefficients[i]) * unit)
        else:
            x = rounded(column, others / -self.coefficients[i])
        low, high = bounds(column)
        return np.clip(x, low, high).astype(array.dtype), (x < low) | (x > high)

    def apply(self, values: Values, rows: np.ndarray, rng: np.random.Generator | None) -> None:
        rows = rows[self.broken(values, rows)]
        if not len(rows):
            return
        # The first column that is free in a row.
        free = ~values.held[np.ix_(rows, [self.places[i] for i in self.order])]
        first = np.where(free.any(1), free.argmax(1), -1)
        for k, i in enumerate(self.order):
            some = rows[first == k]
            x, is_outside = self._solved(values, some, i)
            values.set(self.places[i], some[~is_outside], x[~is_outside])

    def project(self, values, rows, touched, scores, rng):
        for also_touched in (False, True):
            for i in self.order:
                j = self.places[i]
                some = rows if also_touched else rows[~touched[rows, j]]
                x, _ = self._solved(values, some, i)
                values.set(j, some, x)
                rows = rows[self._breaks(values, rows)]
                if not len(rows):
                    return


def in_units_of_sum(columns: Sequence[Column]) -> list[int]:
    """How many of the finest unit one tick of each column is."""
    per_day = [TICKS_PER_DAY.get(column.unit, 1) for column in columns]
    return [max(per_day) // each for each in per_day]


def order_of_change(columns: Sequence[Column], coefficients: np.ndarray) -> tuple:
    """The columns of a sum that may be changed, by the standard deviation of their terms.

    First the total, and those for which the others give a value on their grid: where they are ± a
    whole number of times in each other term, and have as many decimals.
    """
    spreads = [abs(c) * spread(column) for c, column in zip(coefficients, columns, strict=True)]
    finest = _decimals(columns)
    rank = []
    for i, column in enumerate(columns):
        ratios = coefficients / coefficients[i]
        is_whole = bool((np.abs(ratios - np.round(ratios)) < 1e-12).all())
        decimals = getattr(column, "decimals", None)
        is_exact = decimals is None or (is_whole and decimals >= finest)
        if is_number(column) or column.type == "time":
            rank.append((not (i == 0 or is_exact), -spreads[i] * (1 + 1e-9 * (i == 0)), i))
    return tuple(i for *_, i in sorted(rank))


def _decimals(columns: Sequence[Column]) -> float:
    decimals = [getattr(column, "decimals", 0) for column in columns]
    return max(np.inf if each is None else each for each in decimals)


def spread(column: Column) -> float:
    """A standard deviation of a column of numbers or times, by its quantiles."""
    quantiles = getattr(column, "quantiles", np.empty(0))
    if not len(quantiles) or np.abs(quantiles).max() > 1e100:  # whose square is infinite
        return 0.0
    return float(np.std(quantiles))
