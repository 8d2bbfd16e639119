"""Pool: the answers of several fitted models as one score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skvae._inference.importance import InferenceSettings
from skvae._table.weighted import weighted_quantiles

from .fitted_model import FittedModel


@dataclass(frozen=True)
class Pool:
    r"""A logarithmic opinion pool of models of the same table, Σ_k w_k log p_k(x).

    It is the logarithm of a weighted geometric mean of densities, up to a constant, and splits
    into parts as each of them does.

    Attributes
    ----------
    models : list of FittedModel
        With the same columns. What is expected in a cell is what the first of them expects.
    weights : ndarray of shape (n_models,)
        They sum to one.

    References
    ----------
    Heskes (1998), Selecting Weighting Factors in Logarithmic Opinion Pools.
    """

    models: Sequence[FittedModel]
    weights: np.ndarray

    def score(self, X: Any, method: str, settings: InferenceSettings) -> np.ndarray:
        """As :meth:`FittedModel.score`."""
        return self._sum([model.score(X, method, settings) for model in self.models])

    def explain(self, X: Any, settings: InferenceSettings, *, relative: bool) -> np.ndarray:
        """As :meth:`FittedModel.explain`."""
        return self._sum([m.explain(X, settings, relative=relative) for m in self.models])

    def surprising_cells(
        self, X: Any, settings: InferenceSettings, n_cells: int, coverage: float
    ) -> pd.DataFrame:
        """As :meth:`FittedModel.surprising_cells`; what was expected is by the first model."""
        (weight, first), *others = zip(self.weights.tolist(), self.models, strict=True)
        return first.surprising_cells(X, settings, n_cells, coverage, weight, others)

    def _sum(self, answers: list[np.ndarray]) -> np.ndarray:
        return np.asarray(np.tensordot(self.weights, np.stack(answers), axes=1))


def pool_weights(scores: np.ndarray, sample_weight: np.ndarray) -> np.ndarray:
    """Weights by which the scores of some rows, (n_models, n_rows), have equal quartile ranges."""
    quartiles = [weighted_quantiles(each, sample_weight, [0.25, 0.75]) for each in scores]
    spread = np.array([high - low for low, high in quartiles])
    if not (np.isfinite(spread) & (spread > 0)).all():
        return np.full(len(spread), 1 / len(spread))
    inverse = spread.min() / spread
    return np.asarray(inverse / inverse.sum())
