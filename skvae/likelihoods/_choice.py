"""The likelihood of each column: specified by the user, or chosen from its statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from skvae._table.columns import MAX_LISTED
from skvae._table.lattices import decimal_lattices
from skvae._validation import by_column, resolve_component

from ._base import FittedColumn, Likelihood, LocationScale
from .atoms import ROWS_PER_LEVEL as ROWS_PER_VALUE
from .atoms import Atoms
from .bernoulli import Bernoulli
from .categorical import Categorical
from .discretized_logistic import DiscretizedLogistic
from .ordinal import Ordinal
from .student_t import StudentT

USER = "user-specified"
# Rows for each ordered level below which few parameters have the better held-out density: on ten
# real tables the mean gain of Ordinal per column was .20 nats with 5 rows for each of five levels,
# and −.07, −.06, −.07 with 12, 25 and 60.
ROWS_PER_LEVEL = 8
MAX_FEW = 24  # different values, with which it does not matter how they are spaced
SPARSE = 4.0  # times as many values as there are would fit between the extremes
# Of the cells. Columns of two tables with .34 and more gained 2 to 8 nats a row as lists; one with
# .16 lost .3.
ERRATIC = 0.25
ROWS_PER_ERRATIC = 20  # rows for each value, with which frequencies alone make a list of numbers
EVEN = 0.02  # relative difference of the distances to both neighbors, of numbers that are rounded
Choice = tuple[Likelihood, str]  # and the reason for it

DEFAULTS: dict[str, type[Likelihood]] = {
    "continuous": StudentT,
    "datetime": StudentT,
    "integer": DiscretizedLogistic,
    "boolean": Bernoulli,
    "categorical": Categorical,
    "ordered": Categorical,
}


def choose(column: FittedColumn) -> Choice:
    """The likelihood for ``likelihood="auto"``: by kind, with atoms at repeated values."""
    smooth = DEFAULTS[column.kind]()
    if column.kind == "ordered" and _has_few_rows(column):
        return Ordinal(), f"ordered, fewer than {ROWS_PER_LEVEL} rows for each level"
    if column.kind not in ("continuous", "integer", "datetime"):
        return smooth, column.kind
    slab = DiscretizedLogistic() if column.kind == "integer" else None
    if _is_list(column):
        listed = Atoms(slab, max_levels=MAX_LISTED)
        return listed, f"{column.kind}, a list of {column.n_distinct} values"
    atoms = Atoms(slab)
    if not atoms.stands_out(column).any():
        return smooth, f"{column.kind}, no value far more frequent than others"
    values, proportions = atoms.values(column)
    if len(values) == column.n_distinct:
        return atoms, f"{column.kind} with {column.n_distinct} values"
    noun = "value makes" if len(values) == 1 else "values make"
    return atoms, f"{column.kind}, {len(values)} {noun} up {proportions.sum():.0%} of the cells"


def _is_list(column: FittedColumn) -> bool:
    """Whether the values are those of a list, such as interest rates or ends of months.

    They are repeated, and are few of those that rounding alone would leave, or some are much more
    frequent than those next to them. Numbers that were rounded and then scaled have no decimals,
    but most are as far from one neighbor as from the other: they have an order, and levels would
    not know it.
    """
    n = column.n_distinct
    if not MAX_FEW < n <= min(MAX_LISTED, column.weight / ROWS_PER_VALUE):
        return False
    has_many_rows = n <= column.weight / ROWS_PER_ERRATIC
    if column.decimals is not None and has_many_rows and _is_erratic(column):
        return True
    if _is_evenly_spaced(column):
        return False
    if column.decimals is not None:
        spacing = column.step * 10.0**-column.decimals
    elif column.kind == "datetime":
        spacing = column.resolution
    elif _is_erratic(column):
        return True
    else:  # numbers that were rounded and then scaled are multiples of about their least distance
        spacing = float(np.diff(column.repeated).min())
    return column.maximum - column.minimum >= SPARSE * n * spacing


def _is_evenly_spaced(column: FittedColumn) -> bool:
    """Whether most cells have a value that is as far from the next lower as from the next one."""
    gaps = np.diff(column.repeated)
    is_even = np.abs(np.diff(gaps)) <= EVEN * np.minimum(gaps[1:], gaps[:-1])
    shares = column.shares[1:-1]
    return bool(shares[is_even].sum() > shares.sum() / 2)


def _is_erratic(column: FittedColumn) -> bool:
    """Whether frequencies differ from those of the values next to them by more than chance.

    Spikes are left out, which are atoms of their own, and multiples of a round number are expected
    as often as people round to it.
    """
    is_rest = ~column.is_spike
    values, counts = column.repeated[is_rest], (column.shares * column.weight)[is_rest]
    if len(values) < 3:
        return False
    measure = _rounding_measure(column, values, counts)
    rate, inner = counts / measure, counts[1:-1]
    expected = measure[1:-1] * (rate[:-2] + rate[2:]) / 2
    variance = inner + (measure[1:-1] / 2) ** 2 * ((rate / measure)[:-2] + (rate / measure)[2:])
    by_chance = np.sqrt(2 / np.pi * variance)  # mean distance, where all three have the same rate
    return bool((np.abs(inner - expected) - by_chance).sum() > ERRATIC * inner.sum())


def _rounding_measure(column: FittedColumn, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """How often people round to each value, up to a factor; 1 where the decimals are not known."""
    lattices = None
    if column.decimals is not None:
        grid = column.decimals, column.step
        lattices = decimal_lattices(values, counts, *grid, is_integer=column.kind == "integer")
    return np.ones(len(values)) if lattices is None else np.exp(lattices.log_measure(values))


def _has_few_rows(column: FittedColumn) -> bool:
    """With two levels the families are the same, and a pool has no place in the order."""
    n_levels = column.n_codes
    return n_levels > 2 and not column.pools and column.weight < ROWS_PER_LEVEL * n_levels


def resolve_likelihoods(
    spec: Any,
    names: list,
    registry: Mapping[str, type[Likelihood]],
    owner: str,
    reason: str = USER,
) -> Callable[[int, FittedColumn], Choice]:
    """A function that chooses the likelihood of a column.

    Parameters
    ----------
    spec : "auto", str, Likelihood or dict
        A name or object applies to all columns that it can describe. A dict gives a likelihood for
        single columns. The other columns have that of :func:`choose`.
    names : list
        Names of all columns.
    registry : mapping from str to Likelihood class
    owner : str
        Class of the estimator, for error messages.
    reason : str, default="user-specified"
        Of a likelihood that `spec` gives. Any other reason means that it is a default.

    Returns
    -------
    choose : callable
        From the position of a column that is not constant and its statistics to the likelihood and
        the reason for it. It raises ValueError if a likelihood that was given for a single column
        cannot describe it.

    Raises
    ------
    ValueError
        If a name is unknown or a parameter is illegal.
    """
    single: dict[int, Likelihood] = {}
    is_default = reason != USER
    whole: Likelihood | None = None
    if isinstance(spec, Mapping):
        for j, value in by_column(spec, names, "likelihood", owner).items():
            if not _is_auto(value):
                parameter = f"likelihood[{names[j]!r}]"
                single[j] = resolve_component(value, registry, Likelihood, parameter, owner)
    elif not _is_auto(spec):
        whole = resolve_component(spec, registry, Likelihood, "likelihood", owner)

    def choose_for(j: int, column: FittedColumn) -> Choice:
        likelihood = single.get(j, whole)
        if likelihood is None:
            return choose(column)
        try:
            _check(likelihood, column)
        except ValueError as error:
            if j in single:
                raise
            other, why = choose(column)
            return other, why if is_default else f"{why}; {error}"
        if is_default and isinstance(likelihood, LocationScale) and column.has_codes:
            # A code such as 99999999 would set the scale of all other values.
            return Atoms(likelihood, max_levels=0), f"{reason}, with atoms at far codes"
        return likelihood, reason

    return choose_for


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == "auto"


def _check(likelihood: Likelihood, column: FittedColumn) -> None:
    """Raise if the family cannot describe the column."""
    if column.kind not in likelihood.kinds:
        raise ValueError(
            f"likelihood={likelihood!r} describes columns that are "
            f"{' or '.join(sorted(likelihood.kinds))}, but column {column.name!r} is "
            f"{column.kind}. {_alternative(likelihood, column)}"
        )
    likelihood.check(column)


def _alternative(likelihood: Likelihood, column: FittedColumn) -> str:
    if column.kind == "continuous" and "integer" in likelihood.kinds and column.decimals == 0:
        return "Its values are whole numbers: convert it with astype('Int64')."
    if column.kind == "categorical" and "ordered" in likelihood.kinds:
        return "Make it a pandas Categorical with ordered=True."
    return "Choose another, or change the dtype of the column."
