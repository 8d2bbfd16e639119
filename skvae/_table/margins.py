"""What the columns of a table are fitted to: the cells of each, with weights.

Of a table in memory the cells are its own. Of a stream they are distinct values with their number,
or those of a sample (:mod:`skvae._streaming.margins`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from .layouts import Cells
from .table import Table


class Margins(Protocol):
    """The distribution of each column."""

    @property
    def names(self) -> list: ...
    @property
    def layout(self) -> Any: ...
    def column(self, j: int, as_label: bool) -> tuple[Cells, np.ndarray]:
        """The cells of a column, and the weight of each."""
        ...

    def missing(self) -> tuple[np.ndarray, np.ndarray]:
        """Which cells of a row are missing, after all columns were asked for, and its weight."""
        ...


@dataclass
class TableMargins:
    """Those of a table in memory.

    Attributes
    ----------
    weights : ndarray of shape (n_rows,)
    """

    table: Table
    weights: np.ndarray
    _missing: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def names(self) -> list:
        return self.table.names

    @property
    def layout(self) -> Any:
        return self.table.layout

    def column(self, j: int, as_label: bool) -> tuple[Cells, np.ndarray]:
        cells = self.table.cells(j, as_label)
        self._missing[j] = cells.missing
        return cells, self.weights

    def missing(self) -> tuple[np.ndarray, np.ndarray]:
        columns = [self._missing[j] for j in range(len(self.names))]
        return np.stack(columns, axis=1), self.weights


def margins_of(table: Table, weights: np.ndarray) -> Margins:
    """Those of a table in memory, or of the stream that it is a sample of."""
    if table.stream is not None:
        margins: Margins = table.stream.margins(table)
        return margins
    return TableMargins(table, weights)
