"""How often each level occurs: exact for as many levels as are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skvae._table.columns import level_key
from skvae._table.layouts import Cells

MAX_LEVELS = 50_000


@dataclass
class LevelCounts:
    """Counts of levels; of very many the frequent ones, with counts that are too low by `error`.

    The summary of Misra and Gries, as it is merged by Agarwal et al. (2012), "Mergeable Summaries":
    the error is at most the number of cells by :data:`MAX_LEVELS`.

    Attributes
    ----------
    found : dict
        From the key of a level to the level and its count.
    error : int
        0: all levels are there, with exact counts.
    order : tuple
        The levels of an ordered column, in order.
    """

    found: dict[Any, tuple[Any, float]] = field(default_factory=dict)
    error: float = 0
    order: tuple = ()

    def update(self, cells: Cells, seen: Any, weights: np.ndarray | None = None) -> None:
        """Add the cells of a batch that a mask selects, with the weights of these."""
        counts = np.bincount(cells.values[seen], weights, minlength=len(cells.levels))
        if cells.ordered:
            self.order = cells.levels
        places = np.flatnonzero(counts)
        self._add([cells.levels[i] for i in places], counts[places].tolist())

    def merge(self, other: LevelCounts) -> None:
        """Add the counts of other cells."""
        self.order, self.error = self.order or other.order, self.error + other.error
        if other.found:
            self._add(*zip(*other.found.values(), strict=True))

    def _add(self, levels: Any, counts: Any) -> None:
        for level, count in zip(levels, counts, strict=True):
            key = level_key(level)
            first, before = self.found.get(key, (level, 0))
            self.found[key] = first, before + count
        if len(self.found) > (MAX_LEVELS if self.error else 2 * MAX_LEVELS):
            self._prune()

    def _prune(self) -> None:
        """Keep the most frequent levels, and take the count of the next one off theirs."""
        counts = np.array([count for _, count in self.found.values()])
        less = np.partition(counts, -MAX_LEVELS - 1)[-MAX_LEVELS - 1].item()
        self.found = {
            key: (level, count - less)
            for key, (level, count) in self.found.items()
            if count > less
        }  # fmt: skip
        self.error += less
