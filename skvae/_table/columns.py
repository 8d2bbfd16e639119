"""Fitted columns: cells → numbers or codes, and back.

A column has a *kind*: continuous, integer, boolean, datetime, categorical, ordered or constant.
Numeric kinds enter the model as one number y in units of their spread
(:mod:`skvae._table.scaling`), categorical kinds as a code, and constant columns do not enter it.
A column is built once and is immutable: ``updated`` returns a new one.

The reference measure belongs to the column: counting measure for integers, booleans, levels and
constants, Lebesgue measure for continuous columns, with datetimes in days. ``log_measure`` is the
part of log p(x) that does not depend on z (log-derivatives of the scaling, the proportions of
pooled levels, the probability of a level or a constant that did not occur):

=====================================  =========================================================
cell                                   term of log p(x), in addition to the likelihood's
=====================================  =========================================================
missing                                0
continuous, under a density            log dy/dx
continuous, under a mass               − log resolution
known level of n observed cells        log n/(n + 1)
unknown level, no level was pooled     − log(n + 1)
pooled level, c of C pooled cells      log c/(C + 1), in addition to log p(pooled | z)
unknown level where some were pooled   − log(C + 1), in addition to log p(pooled | z)
constant column, its value             log n/(n + 1)
constant column, another value         − log(n + 1)
=====================================  =========================================================

so that every column sums to one over its levels and "any other" (Laplace's rule of succession).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from .casting import localized
from .layouts import Cells
from .lookup import lookup

MAX_LISTED = 256  # different values of a numeric column, all of which are remembered
MAX_REPEATED = 64  # most frequent values that are remembered of a column with more
MIN_WIDTH = 2.5e-3  # scaled units: the cell in which an atom is as dense as Normal at its floor
MAX_NAMED = 5  # values in a message
MAX_INDICATORS = 32  # categorical columns up to this many levels enter the encoder as indicators


@dataclass(frozen=True)
class EncodedColumn:
    """Scaled numbers or codes, and further numbers that some likelihoods need."""

    values: np.ndarray
    missing: np.ndarray
    log_measure: np.ndarray
    extra: np.ndarray | None = None  # of shape (n_rows, n_extra)


@dataclass(frozen=True)
class ColumnSummary:
    """Name and kind of a column, and how its cells are stored."""

    name: Any
    type: str
    unit: str = ""
    duration: bool = False
    zone: Any = None
    prototype: Any = None
    kind: str = "constant"
    weight: float = 0.0  # n: observed cells, counted with their sample weights
    missing_rate: float = math.nan  # proportion of missing cells, where that is informative

    def coerce(self, cells: Cells) -> Cells:
        """Cells read at use time as the type that was fitted.

        Naive times for a column in a time zone are local times of that zone.

        Raises
        ------
        TypeError
            If the cells hold another type, or times in a zone for a naive column.
        """
        if cells.type == self.type == "time" and not cells.missing.all():
            cells = self._in_own_zone(cells)
        if cells.type == self.type and (cells.duration == self.duration or cells.missing.all()):
            return cells
        if cells.missing.all():  # a column without a value may be read as any type
            empty = np.nan if self.type in ("float", "integer", "boolean") else -1
            return Cells(self.type, np.full(len(cells.missing), empty), cells.missing)
        if self.type == "label":
            seen = ~cells.missing
            # float64 would merge integers of 2⁵³ and more
            levels, codes = np.unique(cells.exact_values[seen], return_inverse=True)
            values = np.full(len(cells.values), -1)
            values[seen] = codes
            return Cells("label", values, cells.missing, tuple(levels.tolist()))
        if cells.type == "label" or "time" in (self.type, cells.type):
            found = "a duration" if cells.duration else cells.type
            found = repr(cells.levels[0]) if cells.levels else found
            raise TypeError(
                f"Column {self.name!r} was fitted as {self.kind}, but now holds {found}. "
                "Convert it to the type that it had in fit, or replace other cells by missing "
                "values."
            )
        return cells

    def _in_own_zone(self, cells: Cells) -> Cells:
        if self.zone is not None and cells.zone is None and not cells.duration:
            return localized(cells, self.zone)
        if self.zone is None and cells.zone is not None:
            raise TypeError(
                f"Column {self.name!r} was fitted with times without a zone, but now holds times "
                f"in the zone {cells.zone}. Convert them to local times without a zone, as with "
                "dt.tz_localize(None)."
            )
        return cells

    def cells(self, values: np.ndarray, missing: np.ndarray | None = None, **levels: Any) -> Cells:
        """Decoded values as cells."""
        missing = np.zeros(len(values), dtype=bool) if missing is None else missing
        return Cells(self.type, values, missing, unit=self.unit, duration=self.duration,
                     prototype=self.prototype, **levels)  # fmt: skip


class Column(ColumnSummary, ABC):
    """A fitted column."""

    @abstractmethod
    def encode(self, cells: Cells) -> EncodedColumn:
        """Numbers or codes of cells, with their log-measure."""

    @abstractmethod
    def updated(self, cells: Cells, weights: np.ndarray) -> Column:
        """The column with bounds, counts and resolution updated by more cells."""

    @abstractmethod
    def beyond(self, cells: Cells) -> str:
        """In words, cells that no update describes, since the networks know no place for them."""


@dataclass(frozen=True)
class ConstantColumn(Column):
    """A column with at most one value: not part of the model, and restored when decoding."""

    value: Any = None  # None: all cells were missing

    def is_value(self, cells: Cells) -> np.ndarray:
        """Which cells hold the value of the column."""
        if cells.type == "label":
            levels = [level_key(level) == level_key(self.value) for level in cells.levels]
            return np.array([*levels, False])[cells.values]
        if cells.type == "time":
            return np.asarray(cells.days_since(self.value or 0, self.unit) == 0)
        return np.asarray(cells.exact_values == self.value)

    def encode(self, cells: Cells) -> EncodedColumn:
        cells = self.coerce(cells)
        return self.encode_same(self.is_value(cells), cells.missing)

    def encode_same(self, same: np.ndarray, missing: np.ndarray) -> EncodedColumn:
        """The encoded column by which cells hold its value."""
        n = self.weight
        seen, other = (np.log(n / (n + 1)), -np.log(n + 1)) if n else (0.0, 0.0)
        measure = np.where(missing, 0.0, np.where(same, seen, other))
        return EncodedColumn(np.zeros_like(measure), missing, measure)

    def updated(self, cells: Cells, weights: np.ndarray) -> ConstantColumn:
        if self.value is None:
            return self
        same = self.is_value(self.coerce(cells)) & ~cells.missing
        return replace(self, weight=self.weight + float(weights[same].sum()))

    def beyond(self, cells: Cells) -> str:
        if self.value is None:
            some = "" if cells.missing.all() else _some(cells, ~cells.missing)
            return some and f"holds {some}, but has had no value: the model leaves it out"
        cells = self.coerce(cells)
        other = ~self.is_value(cells) & ~cells.missing
        if not other.any():
            return ""
        return f"holds {_some(cells, other)}, but has been constant: the model leaves it out"

    def decode(self, n_rows: int) -> Cells:
        missing = np.full(n_rows, self.value is None)
        if self.type == "label":
            levels = () if self.value is None else (self.value,)
            return self.cells(np.where(missing, -1, 0), missing, levels=levels)
        empty = 0 if self.type == "time" else np.nan
        return self.cells(np.full(n_rows, empty if self.value is None else self.value), missing)


@dataclass(frozen=True, eq=False)
class CategoricalColumn(Column):
    """Levels; rare ones have the last code in common, and are drawn by their counts."""

    levels: tuple = ()  # all observed levels, in order
    counts: np.ndarray = field(default_factory=lambda: np.empty(0))
    codes: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))  # level → code
    pools: bool = False  # the last code stands for several rare levels, or for new ones
    ordered: bool = False
    handle_unknown: str = "infrequent_if_exist"

    @cached_property
    def _place_of(self) -> dict:
        return {level_key(level): i for i, level in enumerate(self.levels)}

    @property
    def n_codes(self) -> int:
        return int(self.codes.max()) + 1

    @property
    def n_levels(self) -> int:
        return self.n_codes

    @property
    def pooled(self) -> np.ndarray:
        """Indices of the levels that have the last code in common; empty: no level is pooled."""
        last = np.flatnonzero(self.codes == self.n_codes - 1)
        return last if self.pools else last[:0]

    @property
    def frequencies(self) -> np.ndarray:
        """Proportion of each code among the observed cells, shape (n_codes,)."""
        return np.asarray(np.bincount(self.codes, weights=self.counts) / self.counts.sum())

    def _level_measure(self) -> np.ndarray:
        """log_measure of each level, then of an unknown one."""
        n, total = self.weight, self.counts[self.pooled].sum()
        if not self.pools:
            known, unknown = np.full(len(self.levels), np.log(n / (n + 1))), -np.log(n + 1)
        else:
            known, unknown = np.zeros(len(self.levels)), -np.log(total + 1)
            known[self.pooled] = np.log(self.counts[self.pooled] / (total + 1))
        return np.append(known, unknown)

    def find(self, cells: Cells) -> np.ndarray:
        """The index in `levels` of each cell; their number, where it is unknown or missing."""
        unknown = len(self.levels)
        places = [self._place_of.get(level_key(level), unknown) for level in cells.levels]
        return np.array([*places, unknown])[cells.values]

    def encode(self, cells: Cells) -> EncodedColumn:
        cells = self.coerce(cells)
        found, unknown = self.find(cells), len(self.levels)
        new = (found == unknown) & ~cells.missing
        if new.any() and self.handle_unknown == "error":
            level = cells.levels[cells.values[new][0]]
            raise ValueError(
                f"Found unknown categories [{level!r}] in column {self.name!r} during transform; "
                f"it was fitted with {len(self.levels)} levels. Pass "
                "handle_unknown='infrequent_if_exist' to accept new levels."
            )
        return self.encode_found(found, cells.missing)

    def encode_found(self, found: np.ndarray, missing: np.ndarray) -> EncodedColumn:
        """The encoded column of places in `levels`; their number is that of unknown ones."""
        measure = np.where(missing, 0.0, lookup(self._level_measure(), found))
        # Without a pooled level an unknown one is a missing value to the model.
        unknown_code = self.n_codes - 1 if self.pools else -1
        codes = lookup(np.append(self.codes, unknown_code), found)
        codes = np.where(missing, -1, codes)
        return EncodedColumn(codes, codes < 0, measure)

    def updated(self, cells: Cells, weights: np.ndarray) -> CategoricalColumn:
        """Counts are updated; where levels are pooled, new levels are added to them."""
        cells = self.coerce(cells)
        column = self._with_levels(self._new_levels(cells))
        found = column.find(cells)
        known = (found < len(column.levels)) & ~cells.missing
        added = np.bincount(found[known], weights[known], minlength=len(column.levels))
        weight = self.weight + float(weights[~cells.missing].sum())
        return replace(column, counts=column.counts + added, weight=weight)

    def beyond(self, cells: Cells) -> str:
        cells = self.coerce(cells)
        new = (self.find(cells) == len(self.levels)) & ~cells.missing
        if self._new_levels(cells) or not new.any():
            return ""
        return f"holds the new levels {_some(cells, new)}: they are missing values to the model"

    def _new_levels(self, cells: Cells) -> list:
        """Unknown levels that can be pooled; the position of a new level in an order is unknown."""
        if not self.pools or self.ordered or self.handle_unknown == "error":
            return []
        new = (self.find(cells) == len(self.levels)) & ~cells.missing
        levels = [cells.levels[i] for i in np.unique(cells.values[new])]
        return [levels[i] for i in level_order(levels)]

    def _with_levels(self, levels: list) -> CategoricalColumn:
        """The column with more pooled levels."""
        if not levels:
            return self
        return replace(
            self,
            levels=(*self.levels, *levels),
            counts=np.append(self.counts, np.zeros(len(levels))),
            codes=np.append(self.codes, np.full(len(levels), self.n_codes - 1)),
        )

    @property
    def level_of_code(self) -> np.ndarray:
        """Index of the level of each code; of pooled ones the most frequent, (n_codes,)."""
        first = np.zeros(self.n_codes, dtype=np.int64)
        first[self.codes[::-1]] = np.arange(len(self.codes))[::-1]
        if self.pools:
            first[-1] = self.pooled[self.counts[self.pooled].argmax()]
        return first

    def decode(self, codes: np.ndarray, rng: np.random.Generator | None = None) -> Cells:
        """Levels from codes; of the pooled ones a random level, without `rng` the most frequent."""
        index = self.level_of_code[codes]
        if self.pools and rng is not None:
            pooled, counts = self.pooled, self.counts[self.pooled]
            rare = np.flatnonzero(codes == self.n_codes - 1)
            index[rare] = rng.choice(pooled, size=len(rare), p=counts / counts.sum())
        return self.cells(index, levels=self.levels, ordered=self.ordered)


def _some(cells: Cells, which: np.ndarray) -> str:
    """A few of the distinct values among some cells."""
    values = np.unique(cells.exact_values[which])
    found = [cells.levels[i] for i in values[:MAX_NAMED]] if cells.levels else values[:MAX_NAMED]
    more = f" and {len(values) - MAX_NAMED} more" if len(values) > MAX_NAMED else ""
    return ", ".join(map(repr, np.asarray(found).tolist())) + more


def level_order(levels: list) -> list[int]:
    """An order of levels that does not depend on the rows: by value, mixed types by type."""
    try:
        return sorted(range(len(levels)), key=lambda i: levels[i])
    except TypeError:
        return sorted(range(len(levels)), key=lambda i: (type(levels[i]).__name__, repr(levels[i])))


def indicator_spread(frequencies: np.ndarray) -> np.ndarray:
    """d_l = √p_l, bounded below: the scale of a level's indicator as an encoded feature."""
    return np.sqrt(np.maximum(frequencies, 0.01))


def level_key(level: Any) -> Any:
    """A level as a dictionary key: True is not 1; objects that are not hashable by their repr."""
    if isinstance(level, (bool, np.bool_)):
        return "bool", bool(level)
    try:
        hash(level)
    except TypeError:
        return repr(level)
    return level
