"""Fitted constraints on combinations of values: those that occurred, functions, no repetitions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from skvae._table.layouts import TICKS_PER_DAY
from skvae.constraints import Determined, FixedCombinations, Unique

from .relations import LevelScores, Relation, spread
from .values import Values

MAX_SCORES = 2**22  # scores of combinations that are held at once
WIDTH = 0.1  # of a number, in standard deviations: nearer values are more probable


@dataclass(frozen=True, eq=False)
class FittedCombinations(Relation):
    """The combinations of values that occurred.

    Attributes
    ----------
    table : list of ndarray of shape (n_combinations,)
        The values of each column, sorted as rows. With :class:`Determined` the values of the last
        column are the function of the others.
    """

    constraint: Any
    table: list = field(default_factory=list)

    @property
    def n_keys(self) -> int:
        """How many of the columns, the first ones, tell the combination."""
        return len(self.places) - isinstance(self.constraint, Determined)

    def _found(self, values: Values, rows: np.ndarray) -> np.ndarray:
        """Which combination some rows have by the columns that tell it; −1: none that is known."""
        arrays = [values.arrays[j][rows] for j in self.places[: self.n_keys]]
        keys, asked = row_keys(self.table[: self.n_keys], arrays)
        at = np.searchsorted(keys, asked).clip(max=len(keys) - 1)
        return np.where((keys[at] == asked) & (asked >= 0), at, -1)

    def _breaks(self, values: Values, rows: np.ndarray) -> np.ndarray:
        found = self._found(values, rows)
        wrong = found < 0
        for j, column in zip(self.places[self.n_keys :], self.table[self.n_keys :], strict=True):
            wrong |= values.arrays[j][rows] != column[found]
        return wrong

    def apply(self, values: Values, rows: np.ndarray) -> None:
        if self.n_keys == len(self.places):
            return
        rows = rows[self.complete(values, rows)]
        found = self._found(values, rows)
        known = found >= 0
        values.set(self.places[-1], rows[known], self.table[-1][found[known]])

    def project(self, values, rows, touched, scores, rng):  # noqa: D102
        size = max(1, MAX_SCORES // len(self.table[0]))
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            total = self._scores(values, some, scores)
            if rng is not None:  # the maximum with Gumbel noise is a draw by the probabilities
                total = total + rng.gumbel(size=total.shape)
            best = total.argmax(1)
            possible = np.isfinite(total[np.arange(len(some)), best])
            some, best = some[possible], best[possible]
            for j, column in zip(self.places, self.table, strict=True):
                touched[some, j] |= values.arrays[j][some] != column[best]
                values.set(j, some, column[best])

    def _scores(self, values: Values, rows: np.ndarray, scores: LevelScores) -> np.ndarray:
        """Log-probabilities of all combinations, −∞ where held cells have other values."""
        total = np.zeros((len(rows), len(self.table[0])))
        for k, (j, column) in enumerate(zip(self.places, self.table, strict=True)):
            own = values.arrays[j][rows][:, None]
            held = values.held[rows, j][:, None]
            if held.any():
                total = np.where(held & (own != column), -np.inf, total)
            if k >= self.n_keys:
                continue
            by_level = scores(j, rows)
            if by_level is not None:
                total = total + by_level[:, column]
            else:
                width = WIDTH * (spread(values.columns[j]) or 1.0)
                days = _relative(values, j, own, column)
                total = total - 0.5 * (days / width) ** 2
        return total

    def updated(self, values: Values) -> Relation | None:
        """With the combinations of more rows; None: a column is no function of the others."""
        rows = np.flatnonzero(self.complete(values, np.arange(values.n_rows)))
        new = [values.arrays[j][rows] for j in self.places]
        table = distinct_rows([np.append(a, b) for a, b in zip(self.table, new, strict=True)])
        grown = replace(self, table=table)
        return grown if grown.is_function() else None

    def is_function(self) -> bool:
        """Whether each combination of the columns that tell it occurs once."""
        keys, _ = row_keys(self.table[: self.n_keys], [])
        return bool((np.diff(keys) != 0).all())


def _relative(values: Values, j: int, own: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Differences in the units of ``spread``: days of times."""
    difference = own.astype(np.float64) - column.astype(np.float64)
    return difference / TICKS_PER_DAY.get(values.columns[j].unit, 1)


def row_keys(table: list[np.ndarray], asked: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A number for each row of a table, and for rows that are asked for; −1: a value is unknown.

    Rows of a sorted table have sorted numbers.
    """
    keys = np.zeros(len(table[0]), dtype=np.int64)
    found = np.zeros(len(asked[0]) if asked else 0, dtype=np.int64)
    for k, column in enumerate(table):
        distinct, codes = np.unique(column, return_inverse=True)
        if k and len(distinct) * (keys.max(initial=0) + 1) >= 2**62:
            keys, found = _compressed(keys, found)
        keys = keys * len(distinct) + codes
        if asked:
            at = np.searchsorted(distinct, asked[k]).clip(max=len(distinct) - 1)
            known = (distinct[at] == asked[k]) & (found >= 0)
            found = np.where(known, found * len(distinct) + at, -1)
    return keys, found


def _compressed(keys: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smaller numbers in the same order."""
    distinct, codes = np.unique(keys, return_inverse=True)
    at = np.searchsorted(distinct, found).clip(max=len(distinct) - 1)
    return codes, np.where(distinct[at] == found, at, -1)


def distinct_rows(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The distinct rows of some columns, sorted by the first, then the second, …"""
    keys, _ = row_keys(arrays, [])
    _, first = np.unique(keys, return_index=True)
    return [array[first] for array in arrays]


@dataclass(frozen=True, eq=False)
class FittedUnique(Relation):
    """No two rows are equal in the columns."""

    constraint: Unique

    def _breaks(self, values: Values, rows: np.ndarray) -> np.ndarray:
        return np.zeros(len(rows), dtype=bool)  # a row alone repeats nothing

    def project(self, values, rows, touched, scores, rng):  # noqa: D102
        pass

    def updated(self, values: Values) -> Relation:
        return self

    def repeated(self, values: Values) -> np.ndarray:
        """Which rows are equal to an earlier one; of these, held ones are kept first."""
        rows = np.flatnonzero(self.complete(values, np.arange(values.n_rows)))
        repeated = np.zeros(values.n_rows, dtype=bool)
        if len(rows):
            keys, _ = row_keys([values.arrays[j][rows] for j in self.places], [])
            free = ~values.held[np.ix_(rows, self.places)].all(1)
            order = np.lexsort([rows, free, keys])
            again = np.append(False, keys[order][1:] == keys[order][:-1])
            repeated[rows[order[again]]] = True
        return repeated
