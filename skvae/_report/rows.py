"""What a report is about: the estimator, and the rows that are scored, drawn and shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from skvae._quality import Feature, features_of
from skvae._table.reading import Table

from .pictures import Pictures

MAX_ROWS, MAX_HELD_OUT, MAX_BASELINE = 2000, 1000, 10_000


@dataclass
class Material:
    """An estimator, its model, and some rows of the tables.

    Attributes
    ----------
    estimator : VAETransformer, VAEOutlierDetector or VAEImputer
    model : BaseVAE
        The estimator itself, or that of an imputer.
    rows : Table
        At most 2 000 rows of X.
    of_baselines : Table
        At most 10 000 rows of X, to fit baselines to.
    labels : ndarray
        Of `rows`: index labels, or positions.
    holdout : Table or None
        At most 1 000 other rows.
    seed : int
    """

    estimator: Any
    model: Any
    rows: Table
    of_baselines: Table
    labels: np.ndarray
    n_given: int
    holdout: Table | None
    seed: int
    pictures: Pictures = field(default_factory=Pictures)

    @classmethod
    def of(cls, estimator: Any, X: Any, holdout: Any, seed: int) -> Material:
        model = getattr(estimator, "estimator_", estimator)
        table = _read(estimator, model, X)
        chosen = _some(table.n_rows, MAX_ROWS, seed)
        labels = X.index.to_numpy()[chosen] if isinstance(X, pd.DataFrame) else chosen
        others = None if holdout is None else _read(estimator, model, holdout)
        if others is not None:
            others = others.take(_some(others.n_rows, MAX_HELD_OUT, seed))
        of_baselines = table.take(_some(table.n_rows, MAX_BASELINE, seed))
        given = table.take(chosen), of_baselines, labels, table.n_rows
        return cls(estimator, model, *given, others, seed)

    @property
    def tested(self) -> Table:
        """The rows whose densities are compared."""
        return self.rows if self.holdout is None else self.holdout

    @cached_property
    def scores(self) -> np.ndarray:
        """``score_samples`` of the rows."""
        return np.asarray(self.model.score_samples(self.rows))

    @cached_property
    def tables(self) -> list[Feature]:
        """The columns of the rows for the baselines, and of those that are tested."""
        return features_of([self.of_baselines, self.tested])


def _read(estimator: Any, model: Any, X: Any) -> Table:
    table = model._read(X)
    return estimator._marked(table) if hasattr(estimator, "_marked") else table


def _some(n: int, most: int, seed: int) -> np.ndarray:
    """At most so many positions, in order."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
