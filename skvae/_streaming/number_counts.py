"""How often each number (or tick of time) occurs: exact while they are few different ones.

Of more there are *witnesses*: the extremes, and a value for each decimal and step that no value
before it had. The rules that fit a column find for a sample with these values the same extremes,
decimals and step as for all rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from skvae._table.joining import joined_integers
from skvae._table.layouts import Cells
from skvae._table.numeric_column import MAX_DECIMALS

MAX_DISTINCT = 4096
MAX_STEPS = 2.0**53  # from the first value, which float64 and int64 hold


@dataclass
class NumberCounts:
    """Distinct values with their counts, or the extremes and other witnesses.

    Attributes
    ----------
    values, counts : ndarray or None
        Distinct values, sorted, and how often they occur; None: there are too many.
    low, high : number
        The extremes.
    finest : list
        Values that have a finer decimal or step than those before.
    decimals : int or None
        That all values have; None: more than a user would type.
    step : int
        Greatest common divisor of the distances from `start`, in units of the last decimal.
    single : bool
        Whether the numbers are stored in float32.
    """

    values: np.ndarray | None = None
    counts: np.ndarray | None = None
    is_complete: bool = True
    low: Any = None
    high: Any = None
    finest: list = field(default_factory=list)
    decimals: int | None = 0
    step: int = 0
    start: Any = None
    single: bool = False

    @property
    def witnesses(self) -> np.ndarray:
        """The extremes and the values with the finest decimals and steps, sorted."""
        return unique_of([np.array([value]) for value in (self.low, self.high, *self.finest)])

    def update(self, cells: Cells, seen: Any, weights: np.ndarray | None = None) -> None:
        """Add the cells of a batch that a mask selects, with the weights of these."""
        x = cells.exact_values[seen]
        if cells.type == "integer" and x.dtype.kind == "f":
            x = x.astype(np.int64)
        low, high = x.min(), x.max()
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)
        if self.is_complete:
            codes, found = pd.factorize(x)
            self._add(found, np.bincount(codes, weights))
        self.single = cells.single
        if cells.type == "float":
            self._update_decimals(x)
        self._update_step(x)

    def merge(self, other: NumberCounts) -> None:
        """Add the counts of other values."""
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        if other.values is None or other.counts is None:
            self.values = self.counts = None
            self.is_complete = False
        elif self.is_complete:
            self._add(other.values, other.counts)
        x = other.witnesses
        is_float = x.dtype.kind == "f"
        if is_float and other.decimals is None:
            self.decimals = None
            self.finest += other.finest
        elif is_float:
            self._update_decimals(x)
        self._update_step(np.concatenate([x, [x.dtype.type(other.start)]]))

    def converted(self, ticks: Callable[[Any], Any]) -> NumberCounts:
        """The counts in other ticks of time; with a function from ticks to these."""
        values = None if self.values is None else ticks(self.values)
        low, high, start = (ticks(tick) for tick in (self.low, self.high, self.start))
        finest, step = [ticks(tick) for tick in self.finest], max(1, int(ticks(self.step)))
        return replace(
            self, values=values, low=low, high=high, start=start, finest=finest,
            step=step if self.step else 0,
        )  # fmt: skip

    def _add(self, found: np.ndarray, counts: np.ndarray) -> None:
        if self.values is not None and self.counts is not None:
            found = joined_integers([self.values, found])
            counts = np.concatenate([self.counts, counts])
        values, place = np.unique(found, return_inverse=True)
        if len(values) > MAX_DISTINCT:
            self.values = self.counts = None
            self.is_complete = False
        else:
            self.values, self.counts = values, np.bincount(place, counts, minlength=len(values))

    def _update_decimals(self, x: np.ndarray) -> None:
        """The fewest decimals that write all values; the last value that needed them is kept."""
        if self.decimals is None:
            return
        before = decimals = self.decimals
        precision, most = (np.float32, 5) if self.single else (np.float64, MAX_DECIMALS)
        while len(x := x[np.round(x, decimals).astype(precision) != x.astype(precision)]):
            finest, decimals = x[0], decimals + 1
            if decimals > most:
                self.decimals = None
                self.finest.append(finest)
                return
        if decimals > before:
            self.finest.append(finest)
            self.decimals, self.step = decimals, self.step * 10 ** (decimals - before)

    def _update_step(self, x: np.ndarray) -> None:
        """The greatest common divisor; values that are between its multiples are kept."""
        if self.start is None:
            self.start = x[0]
        if self.decimals is None or self.step == 1:
            return
        scale = 10.0**self.decimals
        with np.errstate(over="ignore"):
            size = max(abs(float(self.high) - float(self.start)),
                       abs(float(self.low) - float(self.start)))  # fmt: skip
        if not size * scale < MAX_STEPS:
            self.step = 1
            return
        if x.dtype.kind == "f":
            offset = np.round((x - self.start) * scale).astype(np.int64)
        else:
            offset = (x - x.dtype.type(self.start)).astype(np.int64)
        while self.step != 1:
            between = np.flatnonzero(offset % self.step if self.step else offset)
            if not len(between):
                return
            self.step = math.gcd(self.step, int(offset[between[0]]))
            self.finest.append(x[between[0]])


def unique_of(arrays: list[np.ndarray]) -> np.ndarray:
    """The distinct values of some arrays, sorted."""
    return np.unique(joined_integers(arrays))
