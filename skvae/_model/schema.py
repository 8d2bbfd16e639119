"""The fitted table: its columns in the order of the model, and the tensors of its rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from skvae._table.column_fitting import fit_column
from skvae._table.columns import MAX_INDICATORS, CategoricalColumn, Column, ConstantColumn
from skvae._table.layouts import Cells
from skvae._table.numeric_column import NumericColumn
from skvae._table.reading import Table
from skvae.likelihoods import Choice, FittedColumn, Likelihood

from .missingness import Patterns
from .rows import Rows

N_EXTRAS = {
    "interval": 2,
    "count": 1,
    "atoms": 2,
    "atoms_interval": 3,
}  # by what a likelihood targets
FEW_OUTPUTS = 8
MAX_COMPONENTS = 16  # latent dimensions of n_components=None
MAX_AUTO = 24  # of n_components="auto", to begin with


@dataclass
class Group:
    """Columns that share a likelihood: one slice of `values` (or `codes`) and of `extras`."""

    likelihood: Likelihood
    columns: list[Any]
    cells: slice
    extras: slice


class Schema:
    """What is known of a table: columns, likelihoods, layout.

    `columns` are in the order of the table; `numeric` and `categorical` hold their indices in the
    order of the model, where columns that share a likelihood are neighbours; `choices` tells by
    name which likelihood was chosen, and why; `patterns` are the missing masks of the rows.
    """

    def __init__(
        self,
        table: Table,
        columns: list[Column],
        chosen: Mapping[int, Choice],
        patterns: Patterns,
    ) -> None:
        self.layout, self.columns, self.patterns = table.layout, columns, patterns
        self.choices = {columns[j].name: choice for j, choice in chosen.items()}
        likelihoods = {j: likelihood for j, (likelihood, _) in chosen.items()}
        groups: dict[tuple, list[int]] = {}
        for j, likelihood in likelihoods.items():
            groups.setdefault(_group_key(likelihood, cast(FittedColumn, columns[j])), []).append(j)
        self.numeric: list[int] = []
        self.categorical: list[int] = []
        self.n_extras = 0
        self.extras: dict[int, slice] = {}  # of the columns that have some
        self.groups: list[Group] = []
        for members in groups.values():
            likelihood = likelihoods[members[0]]
            order = self.categorical if likelihood.target == "code" else self.numeric
            cells = slice(len(order), len(order) + len(members))
            order.extend(members)
            width, first = N_EXTRAS.get(likelihood.target, 0), self.n_extras
            self.n_extras += width * len(members)
            for i, j in enumerate(members):
                columns[j].is_mass = likelihood.is_mass
                if width:
                    self.extras[j] = slice(first + i * width, first + (i + 1) * width)
                column = columns[j]
                if isinstance(column, NumericColumn):
                    column.target = likelihood.target
                    column.atoms = likelihood.atoms(cast(FittedColumn, column))
            extras = slice(first, self.n_extras)
            self.groups.append(Group(likelihood, [columns[j] for j in members], cells, extras))

    @property
    def modelled(self) -> list[Column]:
        """The columns that enter the model, in its order."""
        return [self.columns[j] for j in (*self.numeric, *self.categorical)]

    @property
    def n_features(self) -> int:
        """Encoded features: one a number, one fewer than its levels a categorical column."""
        levels = [self.columns[j].n_codes - 1 for j in self.categorical]  # type: ignore[attr-defined]
        return len(self.numeric) + sum(min(n, MAX_INDICATORS) for n in levels)

    @property
    def bounds(self) -> Tensor:
        """Least and greatest value seen of each number, as the model draws them: (2, n_numeric)."""
        bounds = [self.columns[j].bounds for j in self.numeric]  # type: ignore[attr-defined]
        return torch.tensor(bounds, dtype=torch.float64).reshape(-1, 2).T

    def n_components(self, requested: int | str | None) -> int:
        """Latent dimensions: as requested, or half the features between 1 and 16.

        "auto": three quarters of the features, up to 24, of which the active ones are kept.
        """
        n_features = max(1, self.n_features)
        if isinstance(requested, str):
            return min(max(1, 3 * n_features // 4), MAX_AUTO)
        if requested is None:
            return min(max(1, n_features // 2), MAX_COMPONENTS)
        if requested > n_features:
            raise ValueError(
                f"n_components={requested} is larger than the {n_features} encoded features of X "
                "(one a numeric column, one fewer than its levels a categorical one, none a "
                f"constant one). Choose n_components <= {n_features}."
            )
        return int(requested)

    def encode(self, table: Table, dtype: torch.dtype = torch.float64) -> Rows:
        """The rows of a table with the fitted columns."""
        n = table.n_rows
        values = torch.zeros(n, len(self.numeric), dtype=dtype)
        codes = torch.zeros(n, len(self.categorical), dtype=torch.long)
        extras = torch.zeros(n, self.n_extras, dtype=dtype)
        missing, unknown = _Mask(n, len(self.modelled)), _Mask(n, len(self.modelled))
        measure = np.zeros(n)
        for j, column in enumerate(self.columns):
            cells = table.cells(j, column.type == "label")
            encoded = column.encode(cells)  # type: ignore[attr-defined]
            measure += encoded.log_measure
            if j in self.numeric:
                i = position = self.numeric.index(j)
                values[:, i] = torch.from_numpy(encoded.values)
            elif j in self.categorical:
                i = self.categorical.index(j)
                position = len(self.numeric) + i
                codes[:, i] = torch.from_numpy(encoded.values)
            else:
                continue
            missing.set(position, encoded.missing)
            unknown.set(position, encoded.missing & ~cells.missing)
            if encoded.extra is not None:
                extras[:, self.extras[j]] = torch.from_numpy(encoded.extra).to(dtype)
        return Rows(
            values,
            codes,
            missing.mask,
            extras if self.n_extras else None,
            torch.from_numpy(measure),
            unknown.mask,  # a level never seen says nothing of the row
        )

    def log_measures(self, table: Table) -> np.ndarray:
        """What each column adds to ``Rows.log_measure``, (n_rows, n_columns)."""
        cells = (table.cells(j, c.type == "label") for j, c in enumerate(self.columns))
        pairs = zip(self.columns, cells, strict=True)
        return np.stack([column.encode(c).log_measure for column, c in pairs], axis=1)  # type: ignore[attr-defined]

    def cells(self, values: np.ndarray, codes: np.ndarray, rng: Any = None) -> list[Cells]:
        """The cells of each column from scaled numbers and codes."""
        cells = []
        for j, column in enumerate(self.columns):
            if isinstance(column, NumericColumn):
                cells.append(column.decode(values[:, self.numeric.index(j)]))
            elif isinstance(column, CategoricalColumn):
                cells.append(column.decode(codes[:, self.categorical.index(j)], rng))
            elif isinstance(column, ConstantColumn):
                cells.append(column.decode(len(values)))
        return cells


def _group_key(likelihood: Likelihood, column: FittedColumn) -> tuple:
    # Few outputs are padded together, many while that wastes less than half: a step pays for each
    # group before it pays for numbers.
    size = likelihood.n_outputs(column)
    n_constants = likelihood.n_constants(column)
    varies = likelihood.target == "code" or likelihood.grid(column).size > 0
    padded = max(size - 1, FEW_OUTPUTS - 1).bit_length() if varies else size
    return repr(likelihood), likelihood.target, padded, n_constants


def fit_schema(
    table: Table,
    weights: np.ndarray,
    categorical: Sequence[bool],
    transforms: Sequence[str],
    choose: Callable[[list[Column]], Mapping[int, Choice]],
    informative: Collection[int] | None = (),
    **pooling: Any,
) -> Schema:
    """What is known of a table; `choose` picks the likelihoods once the columns are known.

    The missing cells of `informative` columns are given a likelihood of their own; None: those of
    all columns that have some.
    """

    missing = np.zeros((table.n_rows, len(table.names)), dtype=bool)

    def fit(j: int, transform: str) -> Column:
        cells = table.cells(j, categorical[j])
        missing[:, j] = cells.missing
        return fit_column(table.names[j], cells, weights, categorical[j], transform, **pooling)

    columns = [fit(j, transform) for j, transform in enumerate(transforms)]
    chosen = choose(columns)
    for j, (likelihood, _) in chosen.items():
        if likelihood.transform is not None:  # the family brings its own map
            columns[j] = fit(j, likelihood.transform)
    for j in map(int, np.flatnonzero(missing.any(0)) if informative is None else informative):
        if columns[j].kind == "constant" and informative is not None:
            raise ValueError(
                f"'informative_missing' names column {columns[j].name!r}, which has but one value: "
                "there is nothing that its missing cells could go by. Leave it out, or add a "
                "boolean column that tells where it is missing."
            )
        columns[j].missing_rate = float(np.average(missing[:, j], weights=weights))
    return Schema(table, columns, chosen, Patterns(missing, weights))


class _Mask:
    """A mask of cells that takes no room while none is set."""

    def __init__(self, n_rows: int, n_columns: int) -> None:
        self.shape = (n_rows, n_columns)
        self.mask: Tensor | None = None

    def set(self, position: int, cells: np.ndarray) -> None:
        if cells.any():
            if self.mask is None:
                self.mask = torch.zeros(self.shape, dtype=torch.bool)
            self.mask[:, position] = torch.from_numpy(cells)
