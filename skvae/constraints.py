"""Constraints: relations between the columns of a row that drawn rows keep.

A constraint names columns, and is a value: it holds parameters only. What it needs to know of the
fitted table (which combinations occur, which value belongs to which) is learned by ``fit``, see
``skvae._constraints``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from ._component import Component
from ._validation import a_bool, is_real

__all__ = ["Constraint", "Determined", "FixedCombinations", "Inequality", "Sum", "Unique"]


def _is_columns(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) > 0


_COLUMNS = "a list of at least one column", _is_columns


def _are_coefficients(value: Any) -> bool:
    numbers = value.values() if isinstance(value, Mapping) else value
    is_sequence = isinstance(value, (list, tuple, Mapping))
    return is_sequence and all(is_real(a) and a != 0 for a in numbers)


class Constraint(Component):
    """A relation between columns that holds in every row, or between rows.

    Rows in which one of the columns is missing keep every constraint.
    """

    @property
    @abstractmethod
    def names(self) -> list:
        """The columns of the constraint, by name."""


class Inequality(Constraint):
    r"""One column is nowhere above another: low ≤ high.

    Both are numbers, both are dates or datetimes, or both are durations. Drawn rows that break it
    are drawn again given their codes z; where that does not help, and in ``inverse_transform``,
    `low` is lowered to `high`, or `high` is raised where `low` would leave its bounds.

    Parameters
    ----------
    low, high : str or other name of a column
        Names of two columns; of arrays "x0", "x1", …
    strict : bool, default=False
        Whether low < high is asked for.

    See Also
    --------
    Sum : Where the difference is a column, too.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skvae import VAETransformer
    >>> from skvae.constraints import Inequality
    >>> rng = np.random.default_rng(0)
    >>> start = rng.normal(size=300)
    >>> table = pd.DataFrame({"start": start, "end": start + rng.exponential(size=300)})
    >>> vae = VAETransformer(max_iter=5, random_state=0).fit(table)
    >>> vae.constraints_
    [Inequality(high='end', low='start')]
    >>> rows = vae.sample(100, random_state=0)
    >>> bool((rows["start"] <= rows["end"]).all())
    True
    """

    _constraints: ClassVar = {"strict": a_bool()}

    def __init__(self, low, high, strict=False):
        self.low = low
        self.high = high
        self.strict = strict

    @property
    def names(self) -> list:
        return [self.low, self.high]


class Sum(Constraint):
    r"""A column of numbers is a linear combination of others,

    .. math:: \text{total} = c + \sum_i a_i\, \text{part}_i,

    in every row, up to the decimals of `total`. Of dates and durations: an end is a start and a
    duration, or two columns are equal; their coefficients are 1.

    Drawn cells are changed in one column, that with the largest standard deviation of its term,
    where the others allow it: an error is small there. It stays inside its bounds; where it would
    leave them, rows are drawn again given their codes z, or the other columns take what is left.

    Parameters
    ----------
    total : str or other name of a column
        The column that holds the sum.
    parts : list of names of columns
        The columns that are added.
    coefficients : None, list of float or dict, default=None
        a, one for each part, or a dict from parts to theirs, the others being 1. None: all are 1.
    constant : float, default=0.0
        c.

    See Also
    --------
    Inequality : One column is nowhere above another.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skvae import VAETransformer
    >>> from skvae.constraints import Sum
    >>> parts = np.random.default_rng(0).poisson(9, size=(300, 2))
    >>> table = pd.DataFrame(parts, columns=["adults", "children"])
    >>> table["guests"] = table["adults"] + table["children"]
    >>> vae = VAETransformer(max_iter=5, random_state=0).fit(table)
    >>> vae.constraints_
    [Sum(parts=['adults', 'children'], total='guests')]
    >>> rows = vae.sample(100, random_state=0)
    >>> bool((rows["guests"] == rows["adults"] + rows["children"]).all())
    True
    """

    _constraints: ClassVar = {
        "parts": _COLUMNS,
        "coefficients": (
            "None, a list of finite numbers that are not 0, or a dict from parts to these",
            lambda v: v is None or _are_coefficients(v),
        ),
        "constant": ("a finite number", is_real),
    }  # fmt: skip

    def __init__(self, total, parts, coefficients=None, constant=0.0):
        self.total = total
        self.parts = parts
        self.coefficients = coefficients
        self.constant = constant

    @property
    def names(self) -> list:
        return [self.total, *self.parts]


class FixedCombinations(Constraint):
    """Only combinations of values occur that occurred in the fitted table.

    A drawn row with another combination gets one of those that occurred, with their probabilities
    under the model given z; in ``inverse_transform`` the most probable one. Numbers are the nearer
    the more probable.

    Parameters
    ----------
    columns : list of names of columns
        Columns with few values.

    See Also
    --------
    Determined : Where one column is a function of others.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skvae import VAETransformer
    >>> from skvae.constraints import FixedCombinations
    >>> pairs = pd.DataFrame({"shape": ["I", "I", "L"], "size": ["small", "large", "large"]})
    >>> table = pairs.iloc[np.random.default_rng(0).integers(3, size=300)]
    >>> vae = VAETransformer(1, max_iter=5, random_state=0, constraints=None).fit(table)
    >>> vae.set_params(constraints=[FixedCombinations(["shape", "size"])]).fit(table).constraints_
    [FixedCombinations(columns=['shape', 'size'])]
    >>> rows = vae.sample(200, random_state=0)
    >>> bool(((rows["shape"] == "L") & (rows["size"] == "small")).any())
    False
    """

    _constraints: ClassVar = {"columns": _COLUMNS}

    def __init__(self, columns):
        self.columns = columns

    @property
    def names(self) -> list:
        return list(self.columns)


class Determined(Constraint):
    """A column is a function of others: codes and their names, a distance by its two ends.

    The function is that of the fitted table, value by value: combinations of the others that did
    not occur there are no arguments of it, and do not occur in drawn rows either.

    Parameters
    ----------
    column : str or other name of a column
        The column that follows from the others.
    by : list of names of columns
        Columns with few values.

    See Also
    --------
    FixedCombinations : Only combinations that occurred.
    Sum : A linear function of numbers.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skvae import VAETransformer
    >>> from skvae.constraints import Determined
    >>> code = np.random.default_rng(0).choice(["A1", "A2", "B1"], size=300)
    >>> table = pd.DataFrame({"code": code, "letter": [each[0] for each in code]})
    >>> vae = VAETransformer(1, max_iter=5, random_state=0).fit(table)
    >>> vae.constraints_
    [Determined(by=['code'], column='letter')]
    >>> rows = vae.sample(100, random_state=0)
    >>> bool((rows["code"].str[0] == rows["letter"]).all())
    True
    """

    _constraints: ClassVar = {"by": _COLUMNS}

    def __init__(self, column, by):
        self.column = column
        self.by = by

    @property
    def names(self) -> list:
        return [*self.by, self.column]


class Unique(Constraint):
    """No two rows of one call of ``sample`` are equal in all of some columns.

    Rows that repeat an earlier one are drawn again. ``inverse_transform``, whose rows do not depend
    on each other, does not keep it.

    Parameters
    ----------
    columns : list of names of columns
        Together they are different in every row.

    See Also
    --------
    FixedCombinations : Only combinations that occurred.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAETransformer
    >>> from skvae.constraints import Unique
    >>> x = np.random.default_rng(0).integers(0, 99, size=300)
    >>> vae = VAETransformer(1, max_iter=5, random_state=0).fit(np.column_stack([x, 99 - x // 2]))
    >>> rows = vae.sample(60, random_state=0, constraints=[Unique(["x0"])])
    >>> len(np.unique(rows[:, 0]))
    60
    """

    _constraints: ClassVar = {"columns": _COLUMNS}

    def __init__(self, columns):
        self.columns = columns

    @property
    def names(self) -> list:
        return list(self.columns)


CONSTRAINTS: dict[str, type[Constraint]] = {
    "inequality": Inequality,
    "sum": Sum,
    "fixed_combinations": FixedCombinations,
    "determined": Determined,
    "unique": Unique,
}
