"""What partial_fit knows of the rows of all calls: a sample, and statistics of the columns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from skvae._streaming.column_statistics import Statistics, statistics_of
from skvae._streaming.kept_rows import KeptRows, table_of
from skvae._streaming.margins import StreamMargins
from skvae._table.joining import alike, as_levels, joined_cells
from skvae._table.layouts import Cells
from skvae._table.margins import Margins, TableMargins
from skvae._table.reading import Table, read_table
from skvae._training.budget import default_steps

MAX_KEPT = 10_000  # rows


@dataclass(frozen=True)
class Seen:
    """The rows of all calls.

    Attributes
    ----------
    rows : KeptRows
        A sample of them.
    statistics : Statistics
        Of all of them.
    n_steps : int
        Of training, in all calls.
    fitted_at : float
        The number of rows when the columns were fitted.
    is_drawn : bool
        Whether the sample begins with rows that a fitted model drew, for those of its fit.
    is_settled : bool
        Whether columns that describe all rows are not fitted anew.
    """

    rows: KeptRows
    statistics: Statistics = field(default_factory=Statistics)
    n_steps: int = 0
    fitted_at: float = 0.0
    is_drawn: bool = False
    is_settled: bool = False

    @classmethod
    def of(cls, names: list) -> Seen:
        """No rows yet."""
        return cls(KeptRows(list(names), MAX_KEPT))

    @property
    def n_rows(self) -> float:
        return self.statistics.n_rows

    def n_steps_for(self, n_rows: float) -> int:
        """Steps for a new model of so many rows, so that it is trained as long as the present one.

        That of a fit has had the steps that are due to fewer rows.
        """
        growth = default_steps(round(n_rows)) / default_steps(max(1, round(self.fitted_at)))
        return round(self.n_steps * max(1.0, growth)) if self.is_drawn else self.n_steps

    @property
    def is_all(self) -> bool:
        """Whether the sample has all different rows."""
        return self.rows.is_complete and not self.is_drawn

    def added(self, cells: list[Cells], weights: np.ndarray) -> tuple[Seen, np.ndarray]:
        """With more rows; and the place of each of them in the sample, −1 if it is not kept."""
        rows, places = self.rows.added(cells, weights)
        statistics = self.statistics.copied()
        for column, own in zip(statistics.columns, rows.cells, strict=bool(statistics.columns)):
            column.become(own)
        like = zip(rows.cells, cells, rows.names, strict=True)
        statistics.update(rows.names, [alike(*each)[1] for each in like], weights)
        return replace(self, rows=rows, statistics=statistics), places

    def margins(self, table: Table) -> Margins:
        """The distributions of the columns, with the sample as a table."""
        weights = self.rows.estimates()
        if self.is_all:
            return TableMargins(table, weights)
        return StreamMargins(self.statistics, table, weights=weights)

    def rows_of_call(
        self,
        names: list,
        layout: Any,
        cells: list[Cells],
        weights: np.ndarray,
        places: np.ndarray,
        seed: int,
    ) -> tuple[Table, np.ndarray]:
        """Rows to train on, and their weights, after those of a call were added.

        As many rows as these, drawn from the sample in proportion to the weights, of which no row
        comes twice before each has come once if these are equal; and those that are not kept.
        """
        n, rng = len(weights), np.random.default_rng(seed)
        order = rng.permutation(len(self.rows.keys))
        cumulated = np.cumsum(self.rows.estimates()[order])
        at = (np.arange(n) + rng.random()) / n * cumulated[-1]
        drawn = order[np.searchsorted(cumulated, at).clip(max=len(order) - 1)]
        own = tuple(column.take(drawn) for column in self.rows.cells)
        left = np.flatnonzero(places < 0)
        if len(left):
            like = zip(own, cells, names, strict=True)
            pairs = [alike(a, b.take(left), name) for a, b, name in like]
            own = tuple(joined_cells(a, b) for a, b in pairs)
        of_left = weights[left] / weights.mean()
        return table_of(names, layout, own), np.concatenate([np.ones(n), of_left])


def cells_of(table: Table, as_label: list[bool]) -> list[Cells]:
    """The cells of each column; numbers that stand for levels as these."""
    columns = (table.cells(j, label) for j, label in enumerate(as_label))
    return [as_levels(c) if label else c for c, label in zip(columns, as_label, strict=True)]


def drawn_before(estimator: Any, state: Any, seed: int) -> Seen:
    """Rows that a fitted model draws, in place of those of its fit, of which it keeps none.

    Shin et al. (2017), Continual Learning with Deep Generative Replay, arXiv:1705.08690. The
    statistics are those that the columns remember.
    """
    fitted, generator = estimator.fitted_model_, torch.Generator().manual_seed(seed)
    n_rows = float(state.schema.patterns.weights.sum())
    statistics = statistics_of(state.schema.columns, n_rows)
    n = int(np.clip(n_rows, 1, MAX_KEPT))
    options: Any = {"missing": "as_seen", "mean": False, "relations": fitted.relations}
    table = read_table(fitted.sample(n, generator, estimator._settings(), **options))
    cells = cells_of(table, [column.type == "label" for column in state.schema.columns])
    rows, _ = KeptRows(list(table.names), MAX_KEPT).added(cells, np.full(n, n_rows / n))
    n_steps = min(int(sum(estimator.history_["step"][-1:])), default_steps(n))
    return Seen(rows, statistics, n_steps, n_rows, is_drawn=True)
