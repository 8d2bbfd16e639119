"""The fitted table: its columns in the order of the model, and the tensors of its rows."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from skvae._component import identity
from skvae._table.column_fitting import build_numeric, summarize_column
from skvae._table.columns import MAX_INDICATORS, CategoricalColumn, Column, ConstantColumn
from skvae._table.layouts import Cells
from skvae._table.margins import Margins
from skvae._table.numeric_column import ROUNDING, NumericColumn
from skvae._table.reading import Table
from skvae._table.scaling import QuantileMap
from skvae._validation import caller_stacklevel
from skvae.likelihoods import Choice, FittedColumn, Likelihood

from .missingness import Patterns
from .rows import Rows

N_EXTRAS = {
    "interval": 2,
    "count": 1,
    "atoms": 2,
    "atoms_interval": 3,
}  # by the target of a likelihood
FEW_OUTPUTS = 8
FEW_FEATURES = 4  # of which there are as many components
MAX_COMPONENTS = 16  # latent dimensions of n_components=None
MAX_AUTO = 24  # of n_components="auto": the largest size to try


@dataclass
class Group:
    """Columns that share a likelihood: one slice of `values` (or `codes`) and of `extras`."""

    likelihood: Likelihood
    columns: list[Any]
    positions: list[int]  # of the columns in the table
    cells: slice
    extras: slice


class Schema:
    """The fitted columns of a table, their likelihoods, and the layout.

    Attributes
    ----------
    columns : list of Column
        In the order of the table.
    numeric, categorical : list of int
        Positions of the columns that enter the model, in the order of the model, where columns
        that share a likelihood are neighbors.
    choices : dict
        By name of the column its likelihood, and the reason for it.
    patterns : Patterns
        Which cells of a row are missing, with their summed weights.
    """

    def __init__(
        self, layout: Any, columns: list[Column], chosen: Mapping[int, Choice], patterns: Patterns
    ) -> None:
        self.layout, self.columns, self.patterns = layout, columns, patterns
        self.warned_of: tuple = ()  # columns whose later cells they do not describe
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
            if width:
                for i, j in enumerate(members):
                    self.extras[j] = slice(first + i * width, first + (i + 1) * width)
            extras = slice(first, self.n_extras)
            group = [columns[j] for j in members]
            self.groups.append(Group(likelihood, group, members, cells, extras))
        # Of each column among the numbers, or among the levels.
        self.places = {j: i for part in (self.numeric, self.categorical)
                       for i, j in enumerate(part)}  # fmt: skip

    @property
    def has_missing(self) -> bool:
        """Whether a cell of a modelled column was missing."""
        return bool(self.patterns.missing[:, self.order].any())

    def beyond(self, margins: Margins) -> dict[int, str]:
        """By column, in words, cells that no update describes."""
        found = {}
        for j, column in enumerate(self.columns):
            beyond = column.beyond(margins.column(j, column.type == "label")[0])
            if beyond:
                found[j] = beyond
        return found

    def updated(self, margins: Margins) -> Schema:
        """The schema with bounds, counts, resolution and patterns updated by more rows.

        Cells that it cannot follow are warned of, once for each column.
        """
        before = float(self.patterns.weights.sum())
        columns, warned_of = [], list(self.warned_of)
        for j, column in enumerate(self.columns):
            cells, weights = margins.column(j, column.type == "label")
            added = float(weights.sum())
            beyond = "" if column.name in self.warned_of else column.beyond(cells)
            if beyond:
                warn_of_frozen(column, beyond)
                warned_of.append(column.name)
            # NaN, where missing values are not informative, stays NaN.
            rate = column.missing_rate * before + float(weights[cells.missing].sum())
            column = replace(column, missing_rate=rate / (before + added))
            columns.append(column.updated(cells, weights))
        schema = copy.copy(self)
        schema.warned_of = tuple(warned_of)
        schema.columns, schema.patterns = columns, self.patterns.updated(*margins.missing())
        schema.groups = [
            replace(group, columns=[columns[j] for j in group.positions]) for group in self.groups
        ]
        return schema

    @property
    def has_quantile_map(self) -> bool:
        return any(isinstance(c.map_of_rest, QuantileMap) for c in self.numeric_columns)

    def differs(self, other: Schema) -> bool:
        """Whether a column of the same table has another kind of map."""
        pairs = zip(self.numeric_columns, other.numeric_columns, strict=True)
        return any(type(a.map_of_rest) is not type(b.map_of_rest) for a, b in pairs)

    @property
    def order(self) -> list[int]:
        """Positions in the table of the columns that enter the model, in the order of the model."""
        return [*self.numeric, *self.categorical]

    @property
    def numeric_columns(self) -> list[NumericColumn]:
        """The columns that enter the model as a number, in its order."""
        columns = [self.columns[j] for j in self.numeric]
        return [column for column in columns if isinstance(column, NumericColumn)]

    @property
    def categorical_columns(self) -> list[CategoricalColumn]:
        """The columns that enter the model as a code, in its order."""
        columns = [self.columns[j] for j in self.categorical]
        return [column for column in columns if isinstance(column, CategoricalColumn)]

    @property
    def modelled(self) -> list[Column]:
        """The columns that enter the model, in its order."""
        return [self.columns[j] for j in self.order]

    @property
    def n_features(self) -> int:
        """Encoded features: one a number, one fewer than its levels a categorical column."""
        levels = [column.n_codes - 1 for column in self.categorical_columns]
        return len(self.numeric) + sum(min(n, MAX_INDICATORS) for n in levels)

    def is_out_of_bounds(self, values: Tensor) -> Tensor:
        """Which drawn numbers are no atoms and outside the bounds of others, (n_rows, n_numeric).

        Draws are in single precision: numbers that are outside by a rounding are at the bound.
        """
        bounds = [column.bounds for column in self.numeric_columns]
        low, high = torch.tensor(bounds, dtype=torch.float64).reshape(-1, 2).T
        slack = ROUNDING * values.abs().clamp(min=1.0)
        is_outside = (values < low - slack) | (values > high + slack)
        return is_outside & ~self.is_atom(values)

    def is_atom(self, values: Tensor) -> Tensor:
        """Which drawn numbers are atoms of their columns, (n_rows, n_numeric)."""
        drawn = values.numpy()
        columns = [column.is_atom(drawn[:, i]) for i, column in enumerate(self.numeric_columns)]
        return torch.from_numpy(np.stack(columns, axis=1)) if columns else values > torch.inf

    def n_components(self, requested: int | str | None) -> int:
        """Latent dimensions: as requested, or three quarters of the features.

        All of up to four features, and at most 16. "auto": the largest size to try, at most 24.
        """
        n_features = max(1, self.n_features)
        if isinstance(requested, str):
            return min(_three_quarters(n_features), MAX_AUTO)
        if requested is None:
            return min(_three_quarters(n_features), MAX_COMPONENTS)
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
            encoded = column.encode(cells)
            measure += encoded.log_measure
            if j not in self.places:
                continue
            i = position = self.places[j]
            if isinstance(column, CategoricalColumn):
                position = len(self.numeric) + i
                codes[:, i] = torch.from_numpy(encoded.values)
            else:
                values[:, i] = torch.from_numpy(encoded.values)
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
            unknown.mask,  # an unknown level is not informative
        )

    def log_measures(self, table: Table) -> np.ndarray:
        """What each column adds to ``Rows.log_measure``, (n_rows, n_columns)."""
        cells = (table.cells(j, c.type == "label") for j, c in enumerate(self.columns))
        pairs = zip(self.columns, cells, strict=True)
        return np.stack([column.encode(c).log_measure for column, c in pairs], axis=1)

    def cells(self, values: np.ndarray, codes: np.ndarray, rng: Any = None) -> list[Cells]:
        """The cells of each column from scaled numbers and codes."""
        cells = []
        for j, column in enumerate(self.columns):
            if isinstance(column, NumericColumn):
                cells.append(column.decode(values[:, self.places[j]], rng))
            elif isinstance(column, CategoricalColumn):
                cells.append(column.decode(codes[:, self.places[j]], rng))
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
    return identity(likelihood), likelihood.target, padded, n_constants


def fit_schema(
    margins: Margins,
    categorical: Sequence[bool],
    transforms: Sequence[str],
    choose: Callable[[int, Any], Choice],
    informative: Collection[int] | None = (),
    has_lattices: bool = False,
    **pooling: Any,
) -> Schema:
    """The fitted columns of a table: each is summarized, given a likelihood, and built.

    The missing cells of `informative` columns are given a likelihood of their own; None: those of
    all columns that have some. `has_lattices` is whether numbers may be rounded to lattices.
    """
    columns: list[Column] = []
    chosen: dict[int, Choice] = {}
    for j, name in enumerate(margins.names):
        cells, weights = margins.column(j, categorical[j])
        is_informative = cells.missing.any() if informative is None else j in informative
        rate = float(np.average(cells.missing, weights=weights)) if is_informative else math.nan
        summary, distinct = summarize_column(name, cells, weights, categorical[j], rate, **pooling)
        if summary.kind != "constant":
            chosen[j] = choose(j, summary)
        elif is_informative and informative is not None:
            raise ValueError(
                f"'informative_missing' names column {name!r}, which has only one value, so "
                "that its missing values cannot depend on the value. Leave it out, or add a "
                "boolean column that is true where it is missing."
            )
        if isinstance(summary, Column):  # of levels, or constant: complete
            columns.append(summary)
            continue
        likelihood, why = chosen[j]
        column = build_numeric(
            summary, distinct, likelihood.transform or transforms[j],
            is_mass=likelihood.is_mass, target=likelihood.target,
            atoms=likelihood.atoms(cast(FittedColumn, summary)), has_lattices=has_lattices,
        )  # fmt: skip
        if column.lattices is not None:
            chosen[j] = likelihood, f"{why}; {column.lattices.describe(column.type == 'time')}"
        columns.append(column)
    return Schema(margins.layout, columns, chosen, Patterns.of(*margins.missing()))


def warn_of_frozen(column: Column, beyond: str) -> None:
    """Warn of cells that a column, as it was fitted first, does not describe."""
    warnings.warn(
        f"Column {column.name!r} {beyond}. Counts, bounds and patterns of missing values follow "
        "all rows, but levels and scaling only in partial_fit, and there as soon as a tenth of the "
        "rows are new: let a call see more rows, shuffled ones, or pass all of them to fit, as a "
        "source of batches if memory is short.",
        UserWarning,
        stacklevel=caller_stacklevel(),
    )


def _three_quarters(n_features: int) -> int:
    return max(min(n_features, FEW_FEATURES), math.ceil(0.75 * n_features))


class _Mask:
    """A mask of cells that is allocated when the first one is set."""

    def __init__(self, n_rows: int, n_columns: int) -> None:
        self.shape = (n_rows, n_columns)
        self.mask: Tensor | None = None

    def set(self, position: int, cells: np.ndarray) -> None:
        if cells.any():
            if self.mask is None:
                self.mask = torch.zeros(self.shape, dtype=torch.bool)
            self.mask[:, position] = torch.from_numpy(cells)
