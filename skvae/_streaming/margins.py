"""The distribution of each column of a stream: exact where it can be, and that of the sample."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skvae._table.columns import level_key
from skvae._table.joining import joined_integers
from skvae._table.layouts import Cells
from skvae._table.table import Table

from .column_statistics import Statistics
from .level_counts import LevelCounts
from .number_counts import NumberCounts


@dataclass
class StreamMargins:
    """Cells whose weights add up to the rows of the stream.

    Attributes
    ----------
    statistics : Statistics
        Of all rows.
    sample : Table
        Some of the rows.
    left_out : Table or None
        Rows that count among those of `statistics`, but are no part of the table.
    weights : ndarray or None
        Of the rows of the sample; None: they are equal.
    """

    statistics: Statistics
    sample: Table
    left_out: Table | None = None
    weights: np.ndarray | None = None

    @property
    def names(self) -> list:
        return self.sample.names

    @property
    def layout(self) -> Any:
        return self.sample.layout

    def column(self, j: int, as_label: bool) -> tuple[Cells, np.ndarray]:
        """The cells of a column, and the weight of each."""
        statistics, cells = self.statistics.columns[j], self.sample.cells(j, as_label)
        out = None if self.left_out is None else self.left_out.cells(j, as_label)
        n_missing = statistics.n_missing - (0 if out is None else int(out.missing.sum()))
        n_seen = statistics.n_seen - (0 if out is None else int((~out.missing).sum()))
        own = None if self.weights is None else self.weights[~cells.missing]
        if statistics.counts is None or statistics.like is None or not n_seen:
            empty = cells.take(np.flatnonzero(cells.missing))
            return empty, np.full(len(empty.missing), n_missing / max(1, len(empty.missing)))
        like = statistics.like if cells.missing.all() else cells
        if isinstance(statistics.counts, LevelCounts):
            return _levels(like, *level_weights(statistics.counts, cells, out, n_seen), n_missing)
        values, weights = number_weights(statistics.counts, cells, out, n_seen, own)
        return _numbers(like, values, weights, n_missing)

    def missing(self) -> tuple[np.ndarray, np.ndarray]:
        """Patterns of the sample; columns that are complete in it have one of their own."""
        missing = self.sample.missing
        weights = np.ones(len(missing)) if self.weights is None else self.weights
        weights = weights * (self.statistics.n_rows / weights.sum())
        rare = [
            j
            for j, column in enumerate(self.statistics.columns)
            if column.n_missing and not missing[:, j].any()
        ]
        own = np.zeros((len(rare), missing.shape[1]), dtype=bool)
        own[np.arange(len(rare)), rare] = True
        counts = [float(self.statistics.columns[j].n_missing) for j in rare]
        return np.concatenate([missing, own]), np.concatenate([weights, counts])


def level_weights(
    counts: LevelCounts, sample: Cells, left_out: Cells | None, n_seen: float
) -> tuple[list, np.ndarray]:
    """The levels of a column and how often they occur.

    Where they are too many to be counted, those that are not kept have the proportions that they
    have in the sample.
    """
    found = dict(counts.found)
    for key, (level, less) in ({} if left_out is None else _counted(left_out)).items():
        found[key] = level, found.get(key, (level, 0))[1] - less
    found = {key: pair for key, pair in found.items() if pair[1] > 0}
    if counts.error:
        rest = n_seen - sum(count for _, count in found.values())
        others = {key: pair for key, pair in _counted(sample).items() if key not in found}
        total = sum(count for _, count in others.values())
        if rest > 0 and total:
            found |= {key: (v, count * rest / total) for key, (v, count) in others.items()}
    place = {level_key(level): i for i, level in enumerate(counts.order)}
    pairs = sorted(found.items(), key=lambda item: place.get(item[0], 0))
    return [level for _, (level, _) in pairs], np.array([float(c) for _, (_, c) in pairs])


def _counted(cells: Cells) -> dict[Any, tuple[Any, int]]:
    """By key, the levels of some cells and how often they occur."""
    counts = np.bincount(cells.values[~cells.missing], minlength=len(cells.levels))
    places = np.flatnonzero(counts).tolist()
    return {level_key(cells.levels[i]): (cells.levels[i], int(counts[i])) for i in places}


def number_weights(
    counts: NumberCounts,
    sample: Cells,
    left_out: Cells | None,
    n_seen: float,
    sample_weights: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The values of a column and how often they occur.

    Where they are too many to be counted: those of the sample, and the witnesses once each.
    """
    out = np.empty(0) if left_out is None else left_out.exact_values[~left_out.missing]
    if counts.values is not None and counts.counts is not None:
        less = np.zeros(len(counts.values))
        np.add.at(less, np.searchsorted(counts.values, out.astype(counts.values.dtype)), 1.0)
        weights = counts.counts - less
        return counts.values[weights > 0], weights[weights > 0]
    own, witnesses = sample.exact_values[~sample.missing], counts.witnesses
    own = own.astype(witnesses.dtype) if own.dtype.kind == "f" else own
    witnesses = witnesses[~np.isin(witnesses, out) & ~np.isin(witnesses, own)]
    if not len(own):
        return witnesses, np.full(len(witnesses), n_seen / max(1, len(witnesses)))
    weights = np.ones(len(own)) if sample_weights is None else sample_weights
    weights = weights * ((n_seen - len(witnesses)) / weights.sum())
    weights = np.concatenate([weights, np.ones(len(witnesses))])
    return joined_integers([own, witnesses]), weights


def _numbers(
    like: Cells, values: np.ndarray, weights: np.ndarray, n_missing: float
) -> tuple[Cells, np.ndarray]:
    """Cells with these values; the missing ones are one cell."""
    missing = np.arange(len(values) + (n_missing > 0)) >= len(values)
    if n_missing:
        weights = np.append(weights, float(n_missing))
    exact = None
    if like.type == "time":
        values = np.append(values, np.zeros(int(n_missing > 0), dtype=values.dtype))
    else:
        if values.dtype.kind in "iu" and (np.abs(values.astype(np.float64)) >= 2.0**53).any():
            exact = np.append(values, np.zeros(int(n_missing > 0), dtype=values.dtype))
        values = np.append(values.astype(np.float64), np.full(int(n_missing > 0), np.nan))
    return replace(like, values=values, missing=missing, exact=exact), weights


def _levels(
    like: Cells, levels: list, weights: np.ndarray, n_missing: float
) -> tuple[Cells, np.ndarray]:
    """Cells with these levels; the missing ones are one cell."""
    codes = np.arange(len(levels) + (n_missing > 0))
    missing = codes >= len(levels)
    if n_missing:
        weights = np.append(weights, float(n_missing))
    codes = np.where(missing, -1, codes)
    return replace(like, values=codes, missing=missing, levels=tuple(levels)), weights
