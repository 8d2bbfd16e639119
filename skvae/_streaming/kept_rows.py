"""A sample of the rows of all batches, as cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skvae._table.joining import alike, cell_hashes, joined_cells
from skvae._table.layouts import Cells
from skvae._table.table import Table

MIX = np.uint64(0x9E3779B97F4A7C15)
MAX_COPIES = 0.5  # of the effective rows by the different ones: fewer are a table of patterns


@dataclass(frozen=True)
class KeptRows:
    """Different rows, with the weight of all rows that equal each: all of them, or a sample.

    The rows have priorities u / w with their weight w and a number u in (0, 1] that what they hold
    determines, and those with the least are kept (priority sampling). So a row that comes again
    adds to its weight and takes no place, and rows that are frequent stay. Weights of a sample are
    estimates: 1 / t for lighter rows, where t is the least priority that was left out.

    Attributes
    ----------
    names : list
    size : int
        Rows to keep.
    cells : tuple of Cells
        Of each column.
    keys : ndarray of uint64 of shape (n_rows,)
        Hashes of what the rows hold.
    weights : ndarray of shape (n_rows,)
    least_left_out : float

    References
    ----------
    Duffield, Lund & Thorup (2007), Priority Sampling for Estimation of Arbitrary Subset Sums.
    """

    names: list
    size: int
    cells: tuple[Cells, ...] = ()
    keys: np.ndarray = None  # type: ignore[assignment]
    weights: np.ndarray = None  # type: ignore[assignment]
    least_left_out: float = np.inf

    @property
    def is_complete(self) -> bool:
        """Whether all different rows are there."""
        return bool(self.least_left_out == np.inf)

    def added(self, cells: list[Cells], weights: np.ndarray) -> tuple[KeptRows, np.ndarray]:
        """The sample with more rows, and the place of each of them in it; −1: it is not kept.

        Raises
        ------
        TypeError
            If the cells of a column are of another type than before.
        """
        if self.cells:
            pairs = [alike(*pair) for pair in zip(self.cells, cells, self.names, strict=True)]
            own, cells = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        keys = row_keys(cells)
        distinct, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        total = np.bincount(inverse, weights)
        if self.cells:
            place = np.full(len(distinct), -1)
            order = np.argsort(self.keys)
            at = order[np.searchsorted(self.keys[order], distinct).clip(max=len(order) - 1)]
            known = self.keys[at] == distinct
            place[known] = at[known]
            merged = self.weights.copy()
            merged[place[known]] += total[known]
            new = first[~known]
            parts = [joined_cells(a, b.take(new)) for a, b in zip(own, cells, strict=True)]
            all_keys = np.concatenate([self.keys, distinct[~known]])
            total = np.concatenate([merged, total[~known]])
            place[~known] = len(self.keys) + np.arange(len(new))
        else:
            parts, all_keys, place = [c.take(first) for c in cells], distinct, np.arange(len(first))
        grown = replace(self, cells=tuple(parts), keys=all_keys, weights=total)
        kept = grown._kept()
        if len(kept) == len(all_keys):
            return grown, place[inverse]
        where = np.full(len(all_keys), -1)
        where[kept] = np.arange(len(kept))
        return grown._only(kept), where[place[inverse]]

    def table(self, layout: Any) -> Table:
        """The rows as a table with a layout."""
        return table_of(self.names, layout, self.cells)

    def estimates(self) -> np.ndarray:
        """The weight of each row, (n_rows,).

        Where most rows have come several times, as in several passes over a table, and are copies
        of one observation each, in units of the weight that is usual.
        """
        weights = np.maximum(self.weights, 1 / self.least_left_out)
        usual = float(np.median(self.weights)) if self._are_copies() else 1.0
        return weights / max(1.0, usual)

    def _are_copies(self) -> bool:
        """Whether a column of numbers tells most rows apart, so that equal ones are copies."""
        n = len(self.keys)
        effective = self.weights.sum() ** 2 / np.square(self.weights).sum()
        numbers = [cells for cells in self.cells if cells.type != "label"]
        return effective >= MAX_COPIES * n and any(
            2 * len(np.unique(cells.exact_values[~cells.missing])) >= n for cells in numbers
        )

    def _priorities(self) -> np.ndarray:
        with np.errstate(over="ignore"):
            u = ((self.keys * MIX) ^ (self.keys >> np.uint64(31))) * MIX
        return ((u >> np.uint64(11)).astype(np.float64) + 1) * 2.0**-53 / self.weights

    def _kept(self) -> np.ndarray:
        """The places of the rows to keep, in order."""
        each = self._priorities()
        below = np.flatnonzero(each < self.least_left_out)
        if len(below) <= self.size:
            return below
        return np.sort(below[np.argpartition(each[below], self.size)[: self.size]])

    def _only(self, kept: np.ndarray) -> KeptRows:
        left = np.delete(self._priorities(), kept)
        return replace(
            self, cells=tuple(cells.take(kept) for cells in self.cells), keys=self.keys[kept],
            weights=self.weights[kept], least_left_out=min(self.least_left_out, float(left.min())),
        )  # fmt: skip


def row_keys(cells: list[Cells]) -> np.ndarray:
    """A hash of what each row holds, (n_rows,)."""
    keys = np.zeros(len(cells[0].missing), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in cells:
            keys = (keys ^ cell_hashes(column)) * MIX
            keys ^= keys >> np.uint64(29)
    return keys


def table_of(names: list, layout: Any, cells: tuple[Cells, ...]) -> Table:
    """A table of cells in memory; levels stay levels."""
    return Table(names, len(cells[0].missing), layout, lambda j, as_label: cells[j])
