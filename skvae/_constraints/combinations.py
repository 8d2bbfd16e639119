"""Fitted constraints on combinations of values: those that occurred, functions, no repetitions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from skvae._table.layouts import TICKS_PER_DAY
from skvae.constraints import Determined, Unique

from .relations import LevelScores, Relation, spread
from .values import Values

MAX_SCORES = 2**22  # scores of combinations that are held at once
FARTHEST = 1e300  # a score that is finite
WIDTH = 0.03  # of a number, in standard deviations: nearer values are more probable


def _empty() -> np.ndarray:
    return np.empty(0)


@dataclass(frozen=True, eq=False)
class FittedCombinations(Relation):
    """The combinations of values that occurred.

    Attributes
    ----------
    table : list of ndarray of shape (n_combinations,)
        The values of each column, sorted by the first, then the second, …
    counts : ndarray of shape (n_combinations,)
        Rows that have them.
    n_keys : int
        Without all columns: the last one is a function of the first `n_keys` columns. Some of
        their combinations may have several values, of which one is drawn by the counts.
    known : ndarray of bool of shape (n_combinations,)
        False: the last column was missing wherever the others had these values, which say
        nothing about it.
    """

    constraint: Any
    table: list = field(default_factory=list)
    counts: np.ndarray = field(default_factory=_empty)
    n_keys: int = 0
    known: np.ndarray = field(default_factory=_empty)

    @classmethod
    def of(
        cls, constraint: Any, places: tuple, values: Values, n_keys: int | None = None
    ) -> FittedCombinations:
        """The combinations in some rows; of a function those of its arguments."""
        if n_keys is None:
            n_keys = len(places) - isinstance(constraint, Determined)
        rows = np.flatnonzero(~values.missing[:, places[:n_keys]].any(1))
        known = ~values.missing[np.ix_(rows, places[n_keys:])].any(1)
        table = [values.arrays[j][rows] for j in places]
        return cls(constraint, places, *_tabulated(table, np.ones(len(rows)), n_keys, known))

    def _range(self, values: Values, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where in the table the values of the first columns of some rows are."""
        arrays = [values.arrays[j][rows] for j in self.places[: self.n_keys]]
        keys, asked = row_keys(self.table[: self.n_keys], arrays)
        start, end = (np.searchsorted(keys, asked, side) for side in ("left", "right"))
        return start, np.where(asked < 0, start, end)

    def _breaks(self, values: Values, rows: np.ndarray) -> np.ndarray:
        new = self._are_new(values, rows)
        start, end = self._range(values, rows)
        if self.n_keys == len(self.places):
            return (start == end) & ~new
        keys, asked = row_keys(self.table, [values.arrays[j][rows] for j in self.places])
        at = np.searchsorted(keys, asked).clip(max=len(keys) - 1)
        occurred = (keys[at] == asked) & (asked >= 0)
        says_nothing = (start < end) & ~self.known[start.clip(max=len(keys) - 1)]
        return ~occurred & ~says_nothing & ~new

    def _are_new(self, values: Values, rows: np.ndarray) -> np.ndarray:
        """Rows with a held cell whose value did not occur: nothing is known of its combinations."""
        new = np.zeros(len(rows), dtype=bool)
        for k, (j, column) in enumerate(zip(self.places, self.table, strict=True)):
            held = values.held[rows, j]
            if held.any():
                occurred = column if k < self.n_keys else column[self.known]
                new |= held & ~np.isin(values.arrays[j][rows], occurred)
        return new

    def apply(self, values: Values, rows: np.ndarray, rng: np.random.Generator | None) -> None:
        if self.n_keys == len(self.places):
            return
        rows = rows[self.broken(values, rows)]
        start, end = self._range(values, rows)
        rows, start, end = (each[start < end] for each in (rows, start, end))
        if not len(rows):
            return
        if rng is None:
            # The most frequent value, and of several the first.
            best = np.array(
                [a + self.counts[a:b].argmax() for a, b in zip(start, end, strict=True)]
            )
        else:
            total = np.append(0.0, np.cumsum(self.counts))
            at = total[start] + rng.random(len(rows)) * (total[end] - total[start])
            best = np.clip(np.searchsorted(total, at, "right") - 1, start, end - 1)
        values.set(self.places[-1], rows, self.table[-1][best])

    def project(self, values, rows, touched, scores, rng):
        size = max(1, MAX_SCORES // len(self.counts))
        for first in range(0, len(rows), size):
            some = rows[first : first + size]
            total = self._scores(values, some, scores)
            changes = self._changes(values, some, touched)
            least = np.where(np.isfinite(total), changes, len(self.places)).min(1, keepdims=True)
            total[changes > least] = -np.inf
            if rng is not None:  # the maximum with Gumbel noise is a draw by the probabilities
                total = total + rng.gumbel(size=total.shape)
            best = total.argmax(1)
            possible = np.isfinite(total[np.arange(len(some)), best])
            some, best = some[possible], best[possible]
            for k, (j, column) in enumerate(zip(self.places, self.table, strict=True)):
                new = column[best]
                if k >= self.n_keys:
                    new = np.where(self.known[best], new, values.arrays[j][some])
                touched[some, j] |= values.arrays[j][some] != new
                values.set(j, some, new)

    def _scores(self, values: Values, rows: np.ndarray, scores: LevelScores) -> np.ndarray:
        """Log-probabilities of all combinations, −∞ where held cells have other values."""
        total = np.tile(self._log_shares(), (len(rows), 1))
        for k, (j, column) in enumerate(zip(self.places, self.table, strict=True)):
            own = values.arrays[j][rows][:, None]
            held = values.held[rows, j][:, None]
            if held.any():
                other = own != column
                if k >= self.n_keys:
                    other &= self.known
                total = np.where(held & other, -np.inf, total)
            if k >= self.n_keys:
                continue
            by_level = scores(j, rows)
            if by_level is not None:
                total = total + by_level[:, column]
            else:
                width = WIDTH * (spread(values.columns[j]) or 1.0)
                days = _relative(values, j, own, column)
                with np.errstate(over="ignore"):
                    total = total - np.minimum(0.5 * (days / width) ** 2, FARTHEST)
        return total

    def _changes(self, values: Values, rows: np.ndarray, touched: np.ndarray) -> np.ndarray:
        """How many cells that others have set each combination would change, to be set again."""
        changes = np.zeros((len(rows), len(self.counts)), dtype=np.int8)
        for j, column in zip(self.places, self.table, strict=True):
            own = touched[rows, j]
            if own.any():
                changes += own[:, None] & (values.arrays[j][rows][:, None] != column)
        return changes

    def _log_shares(self) -> np.ndarray:
        """log P(last column | the others) of each combination; 0 where there is no such column."""
        if self.n_keys == len(self.places):
            return np.zeros(len(self.counts))
        keys, _ = row_keys(self.table[: self.n_keys], [])
        _, codes = np.unique(keys, return_inverse=True)
        return np.asarray(np.log(self.counts / np.bincount(codes, self.counts)[codes]))

    def updated(self, values: Values) -> Relation | None:
        """With the combinations of more rows; None: a column is no function of the others."""
        new = self.of(self.constraint, self.places, values, self.n_keys)
        table = [np.append(a, b) for a, b in zip(self.table, new.table, strict=True)]
        counts, known = np.append(self.counts, new.counts), np.append(self.known, new.known)
        table, counts, n_keys, known = _tabulated(table, counts, self.n_keys, known)
        grown = replace(self, table=table, counts=counts, n_keys=n_keys, known=known)
        return grown if grown.is_legal() else None

    def is_legal(self) -> bool:
        """Whether rows are in order and occur once, of a function those of its arguments."""
        is_function = isinstance(self.constraint, Determined)
        keys, _ = row_keys(self.table[: self.n_keys] if is_function else self.table, [])
        return len(keys) > 0 and bool((np.diff(keys) > 0).all())

    def n_arguments(self) -> int:
        """How many different combinations the first columns have."""
        return len(np.unique(row_keys(self.table[: self.n_keys], [])[0]))


def _tabulated(
    table: list[np.ndarray], counts: np.ndarray, n_keys: int, known: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray, int, np.ndarray]:
    """Distinct rows with their counts; unknown values only where no value is known."""
    if n_keys < len(table):
        keys, _ = row_keys(table[:n_keys], [])
        kept = known | ~np.isin(keys, keys[known])
        table = [*table[:n_keys], *(np.where(known, c, np.zeros((), c.dtype))
                                    for c in table[n_keys:])]  # fmt: skip
        table, counts, known = [c[kept] for c in table], counts[kept], known[kept]
    keys, _ = row_keys(table, [])
    _, first, codes = np.unique(keys, return_index=True, return_inverse=True)
    counts = np.bincount(codes, counts, minlength=len(first))
    return [column[first] for column in table], counts, n_keys, known[first]


def _relative(values: Values, j: int, own: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Differences in the units of ``spread``: days of times."""
    with np.errstate(over="ignore"):
        difference = own.astype(np.float64) - column.astype(np.float64)
    return difference / TICKS_PER_DAY.get(values.columns[j].unit, 1)


def row_keys(table: list[np.ndarray], asked: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A number for each row of a table, and for rows that are asked for; −1: a value is unknown.

    The numbers are in the order of the rows.
    """
    keys = np.zeros(len(table[0]), dtype=np.int64)
    found = np.zeros(len(asked[0]) if asked else 0, dtype=np.int64)
    for k, column in enumerate(table):
        distinct, codes = np.unique(column, return_inverse=True)
        if not len(distinct):
            return keys, found - 1
        if k and len(distinct) * (int(keys.max()) + 1) >= 2**62:
            keys, found = _compressed(keys, found)
        keys = keys * len(distinct) + codes
        if asked:
            at = np.searchsorted(distinct, asked[k]).clip(max=len(distinct) - 1)
            is_known = (distinct[at] == asked[k]) & (found >= 0)
            found = np.where(is_known, found * len(distinct) + at, -1)
    return keys, found


def _compressed(keys: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smaller numbers in the same order."""
    distinct, codes = np.unique(keys, return_inverse=True)
    at = np.searchsorted(distinct, found).clip(max=len(distinct) - 1)
    return codes, np.where(distinct[at] == found, at, -1)


@dataclass(frozen=True, eq=False)
class FittedUnique(Relation):
    """No two rows are equal in the columns."""

    constraint: Unique

    def _breaks(self, values: Values, rows: np.ndarray) -> np.ndarray:
        return np.zeros(len(rows), dtype=bool)  # a row alone repeats nothing

    def project(self, values, rows, touched, scores, rng):
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
