"""Simple densities, in the units of ``score_samples``, that a model is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm

from skvae._html.text import counted
from skvae._quality import Feature
from skvae._table.numeric_column import NumericColumn

N_BINS = 20
BROAD, SHARE_BROAD = 4.0, 0.02  # of the Gaussian that a histogram is mixed with: width, weight


@dataclass(frozen=True)
class Comparison:
    """Log-densities of the same cells by several models, one value a row."""

    cells: str  # what is compared
    scores: dict[str, np.ndarray]


def independent_columns(features: list[Feature], columns: list[Any]) -> dict[str, np.ndarray]:
    """Log-densities of the rows of the second table by the marginals of the first.

    Missing cells add nothing. Levels, booleans and integers are counted, by Laplace's rule of
    succession as in the model; other numbers have a histogram or a Gaussian.
    """
    n = len(features[0].values[1])
    total = {"Independent columns, Gaussians": np.zeros(n),
             "Independent columns, histograms": np.zeros(n)}  # fmt: skip
    for feature, column in zip(features, columns, strict=True):
        fitted, new = feature.values
        fitted, seen = fitted[~np.isnan(fitted)], ~np.isnan(new)
        if not len(fitted):
            continue
        by_kind = [_gaussian, _histogram] if isinstance(column, NumericColumn) else [_levels] * 2
        for name, density in zip(total, by_kind, strict=True):
            is_mass = column.kind == "integer"
            if column.kind == "boolean" or len(np.unique(fitted)) < 2:
                density = _levels
            total[name][seen] += density(fitted, new[seen], is_mass)
    return total


def _levels(fitted: np.ndarray, new: np.ndarray, is_mass: bool) -> np.ndarray:
    """log n_l / (n + 1) of a level that occurred n_l times, -log(n + 1) of any other."""
    levels, counts = np.unique(fitted, return_counts=True)
    place = np.searchsorted(levels, new).clip(max=len(levels) - 1)
    found = np.where(levels[place] == new, counts[place], 1)
    return np.log(found / (len(fitted) + 1))


def _gaussian(fitted: np.ndarray, new: np.ndarray, is_mass: bool, width: float = 1.0) -> np.ndarray:
    center, scale = fitted.mean(), width * fitted.std()
    if not is_mass:
        return norm.logpdf(new, center, scale)
    # Of an integer the probability between the halves, from the closer tail.
    distance = np.abs(new - center)
    low, high = (norm.logsf(distance + half, scale=scale) for half in (-0.5, 0.5))
    return low + np.log(-np.expm1(np.minimum(high - low, -1e-12)))


def _histogram(fitted: np.ndarray, new: np.ndarray, is_mass: bool) -> np.ndarray:
    """Equal widths between the 1 % and 99 % quantiles, and wide bins to the extremes.

    It is mixed with a little of a broad Gaussian, so that no value is impossible.
    """
    low, high = np.quantile(fitted, [0.01, 0.99])
    inner = np.linspace(low, high, N_BINS + 1) if high > low else np.array([low])
    edges = np.unique([fitted.min(), *inner, fitted.max()])
    if is_mass:
        edges = np.unique(np.append(np.floor(edges) - 0.5, edges[-1] + 0.5))
    counts, _ = np.histogram(fitted, edges)
    mass = (counts + 0.5) / (counts + 0.5).sum()
    heights = np.log(mass) - np.log(np.diff(edges))
    place = (np.searchsorted(edges, new, "right") - 1).clip(0, len(heights) - 1)
    inside = (new >= edges[0]) & (new <= edges[-1])
    parts = [
        np.where(inside, heights[place], -np.inf) + np.log1p(-SHARE_BROAD),
        _gaussian(fitted, new, is_mass, BROAD) + np.log(SHARE_BROAD),
    ]
    return np.asarray(logsumexp(parts, axis=0))


def of_numbers(fitted: np.ndarray, new: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Log-densities of complete rows of numbers by models of scikit-learn, in the table's units."""
    from sklearn.decomposition import PCA, FactorAnalysis
    from sklearn.mixture import GaussianMixture

    d = fitted.shape[1]
    center, scale = fitted.mean(0), fitted.std(0)
    a, b = (fitted - center) / scale, (new - center) / scale
    half = max(1, d // 2)
    n_mixed = int(np.clip(len(a) // (10 * d), 1, 10))
    models = {
        f"PCA, {counted(half, 'component')}": PCA(half, random_state=seed),
        f"Factor analysis, {counted(half, 'factor')}": FactorAnalysis(half, random_state=seed),
        f"Gaussian mixture, {counted(n_mixed, 'component')}": GaussianMixture(
            n_mixed, reg_covar=1e-4, random_state=seed
        ),
    }
    jacobian = np.log(scale).sum()
    return {name: model.fit(a).score_samples(b) - jacobian for name, model in models.items()}
