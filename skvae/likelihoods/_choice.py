"""Which likelihood a column gets: what was asked for, or the family that suits its look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skvae._validation import by_column, resolve_component

from ._base import Likelihood
from .atoms import Atoms
from .bernoulli import Bernoulli
from .categorical import Categorical
from .discretized_logistic import DiscretizedLogistic
from .student_t import StudentT

Choice = tuple[Likelihood, str]  # and why

OF_KIND: dict[str, type[Likelihood]] = {
    "continuous": StudentT,
    "datetime": StudentT,
    "integer": DiscretizedLogistic,
    "boolean": Bernoulli,
    "categorical": Categorical,
    "ordered": Categorical,
}


def choose(column: Any) -> Choice:
    """``likelihood="auto"``: by kind, with atoms for the values that a column repeats."""
    smooth = OF_KIND[column.kind]()
    if column.kind not in ("continuous", "integer", "datetime"):
        return smooth, column.kind
    atoms = Atoms() if column.kind != "integer" else Atoms(slab=DiscretizedLogistic())
    values, shares = atoms.values(column)
    if not len(values):
        return smooth, f"{column.kind}, no value stands out"
    if len(values) == column.n_distinct:
        return atoms, f"{column.kind} with {column.n_distinct} values"
    noun = "value makes" if len(values) == 1 else "values make"
    return atoms, f"{column.kind}, {len(values)} {noun} up {shares.sum():.0%} of the cells"


def resolve_likelihoods(
    spec: Any, columns: list, registry: Mapping[str, type[Likelihood]], owner: str
) -> dict[int, Choice]:
    """The likelihood of each column that is not constant, by its position.

    A name or object for the whole table goes to the columns that it can describe; a dict goes by
    column; :func:`choose` decides for whatever is not named.
    """
    chosen = {j: choose(column) for j, column in enumerate(columns) if column.kind != "constant"}
    if isinstance(spec, Mapping):
        names = [column.name for column in columns]
        for j, value in by_column(spec, names, "likelihood", owner).items():
            if _is_auto(value):
                continue
            parameter = f"likelihood[{names[j]!r}]"
            likelihood = resolve_component(value, registry, Likelihood, parameter, owner)
            if j in chosen:  # a constant column has none
                _check(likelihood, columns[j])
                chosen[j] = likelihood, "asked for"
    elif not _is_auto(spec):
        whole = resolve_component(spec, registry, Likelihood, "likelihood", owner)
        for j, (likelihood, why) in chosen.items():
            try:
                _check(whole, columns[j])
                chosen[j] = whole, "asked for"
            except ValueError as error:
                chosen[j] = likelihood, f"{why}; {error}"
    return chosen


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == "auto"


def _check(likelihood: Likelihood, column: Any) -> None:
    """Raise if the family cannot describe the column."""
    if column.kind not in likelihood.kinds:
        raise ValueError(
            f"likelihood={likelihood!r} describes columns that are "
            f"{' or '.join(sorted(likelihood.kinds))}, but column {column.name!r} is "
            f"{column.kind}. {_cure(likelihood, column)}"
        )
    likelihood.check(column)


def _cure(likelihood: Likelihood, column: Any) -> str:
    if column.kind == "continuous" and "integer" in likelihood.kinds and column.decimals == 0:
        return "Its values are whole numbers: convert it with astype('Int64')."
    if column.kind == "categorical" and "ordered" in likelihood.kinds:
        return "Make it a pandas Categorical with ordered=True."
    return "Choose another, or change the dtype of the column."
