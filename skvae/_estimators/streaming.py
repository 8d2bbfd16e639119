"""What ``fit`` reads: a table in memory, or a source of batches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from skvae._streaming.sources import is_source
from skvae._streaming.stream import read_stream
from skvae._table.reading import Table, read_table
from skvae._validation import check_categorical_features, check_parameters

from .parameters import VAEParameters


def read_for_fit(
    estimator: VAEParameters,
    X: Any,
    sample_weight: Any = None,
    mark: Callable[[Table], Table] = lambda table: table,
) -> Table:
    """X as a table; of a source that is longer than a sample of its rows, the sample.

    Parameters
    ----------
    mark : callable
        Applied to each table that is read, as to make some cells missing.

    Raises
    ------
    ValueError
        If there are sample weights for a source, or it cannot be read.
    """
    if not is_source(X):
        return mark(read_table(X))
    if sample_weight is not None:
        raise ValueError(
            "sample_weight holds one number for each row in memory, but X is read in batches. Let "
            "the source repeat rows in proportion to their weights, or pass a table in memory."
        )
    check_parameters(estimator)
    categorical = partial(check_categorical_features, estimator.categorical_features)
    return read_stream(X, estimator.max_memory, categorical, mark)


def refuse_source(X: Any, method: str) -> None:
    """Raise if a method that takes a table in memory was given a source.

    Raises
    ------
    TypeError
        If it was.
    """
    if is_source(X):
        raise TypeError(
            f"{method} takes a table in memory, but X is a {type(X).__name__}, which is read in "
            "batches. Pass it to fit, or the batches one by one."
        )
