"""How like real rows drawn rows are: marginals, pairs, a classifier, a second use, copies.

Everything sees the tables through :class:`Features`, so that any container and dtype will do.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp

from ._table.layouts import Cells
from ._table.reading import Table, read_table

MAX_ROWS = 5000  # of each table, for what grows with the square of the rows
N_BINS = 10  # of numbers, where they are compared with levels
BATCH = 500  # rows whose distances to all others are held at once


@dataclass(frozen=True)
class Feature:
    """A column of several tables with comparable values.

    Attributes
    ----------
    name : object
    is_level : bool
    values : list of ndarray
        One array for each table: numbers, or codes of levels; NaN where missing.
    """

    name: Any
    is_level: bool
    values: list[np.ndarray]


def features_of(tables: list[Any]) -> list[Feature]:
    """The columns of the first table, as all tables have them.

    Raises
    ------
    ValueError
        If a table lacks a column of the first.
    """
    read = [read_table(table) for table in tables]
    return [_feature(read, j) for j in range(len(read[0].names))]


def _feature(tables: list[Table], j: int) -> Feature:
    name = tables[0].names[j]
    cells = []
    for i, table in enumerate(tables):
        if name not in table.names:
            raise ValueError(
                f"Column {name!r} of the real table is not in table {i}; pass tables with the "
                "same columns."
            )
        cells.append(table.cells(table.names.index(name)))
    if any(each.type == "label" for each in cells):
        levels: dict[str, int] = {}
        return Feature(name, True, [_codes(each, levels) for each in cells])
    return Feature(name, False, [_numbers(each) for each in cells])


def _numbers(cells: Cells) -> np.ndarray:
    if cells.type != "time":
        return np.where(cells.missing, np.nan, cells.values.astype(np.float64))
    return np.where(cells.missing, np.nan, cells.days_since(0, cells.unit or "D"))


def _codes(cells: Cells, levels: dict[str, int]) -> np.ndarray:
    if cells.type != "label":
        values = [str(value) for value in cells.values]
        codes = np.array([levels.setdefault(value, len(levels)) for value in values], float)
    else:
        own = [levels.setdefault(str(level), len(levels)) for level in cells.levels]
        codes = np.array([*own, np.nan], dtype=float)[cells.values]
    return np.where(cells.missing, np.nan, codes)


# -------------------------------------------------------------------------- marginals, pairs


def marginal_error(feature: Feature) -> float:
    """Distance of two marginal distributions: Kolmogorov–Smirnov, of levels total variation.

    The proportions of missing values count as a further level.
    """
    real, drawn = feature.values[:2]
    gap = abs(np.isnan(real).mean() - np.isnan(drawn).mean())
    real, drawn = real[~np.isnan(real)], drawn[~np.isnan(drawn)]
    if not len(real) or not len(drawn):
        return float(gap)
    if feature.is_level:
        distance = 0.5 * np.abs(_proportions(real, drawn)).sum()
    else:
        distance = ks_2samp(real, drawn, method="asymp").statistic  # without the exact p-value
    return float(max(distance, gap))


def _proportions(real: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Difference of the proportions of each value."""
    values = np.unique(np.concatenate([real, drawn]))
    counts = [np.bincount(np.searchsorted(values, each), minlength=len(values)) / len(each)
              for each in (real, drawn)]  # fmt: skip
    return np.asarray(counts[0] - counts[1])


def pair_error(a: Feature, b: Feature) -> float:
    """Difference of association: half that of two correlations; with levels, total variation."""
    if not a.is_level and not b.is_level:
        correlations = [_correlation(x, y) for x, y in zip(a.values[:2], b.values[:2], strict=True)]
        return 0.5 * abs(correlations[0] - correlations[1])
    left, right = _binned(a), _binned(b)
    n = max(int(codes.max()) for codes in right) + 1
    joint = [x * n + y for x, y in zip(left, right, strict=True)]
    return float(0.5 * np.abs(_proportions(*joint)).sum())


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    seen = ~(np.isnan(x) | np.isnan(y))
    x, y = x[seen], y[seen]
    if len(x) < 2 or x.std() == 0 or y.std() == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


def _binned(feature: Feature) -> list[np.ndarray]:
    """Whole numbers from 0: levels, or bins of the real numbers; 0 where missing."""
    if feature.is_level:
        return [np.nan_to_num(values + 1).astype(int) for values in feature.values[:2]]
    real = feature.values[0]
    edges = np.nanquantile(real, np.linspace(0, 1, N_BINS + 1)[1:-1])
    return [
        np.where(np.isnan(values), 0, 1 + np.searchsorted(np.unique(edges), values))
        for values in feature.values[:2]
    ]


# --------------------------------------------------------------------------- a classifier


def matrix(features: list[Feature], table: int) -> np.ndarray:
    """Columns side by side, for trees: codes of levels are numbers, missing values NaN."""
    return np.stack([feature.values[table] for feature in features], axis=1)


def two_sample_auc(features: list[Feature], seed: int) -> float:
    """Cross-validated area under the ROC curve of a classifier of real and drawn rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    rng = np.random.default_rng(seed)
    parts = [_some(matrix(features, i), rng) for i in (0, 1)]
    n = min(map(len, parts))
    X = np.concatenate([part[:n] for part in parts])
    y = np.repeat([0, 1], n)
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    model = HistGradientBoostingClassifier(random_state=seed)
    found = cross_val_predict(model, X, y, cv=folds, method="predict_proba")[:, 1]
    return auc(y, found)


def auc(y: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve, at least one half."""
    from sklearn.metrics import roc_auc_score

    area = float(roc_auc_score(y, score))
    return max(area, 1 - area)


def _some(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return X[rng.permutation(len(X))[:MAX_ROWS]]


# ------------------------------------------------------------------------- closest records


def coordinates(features: list[Feature]) -> list[np.ndarray]:
    """The rows of each table as points, whose distances are comparable between columns.

    Numbers are ranks among the real ones, from 0 to 1; levels are indicators at a distance of 1
    from each other; missing values are in the middle of the numbers, or a level of their own.
    """
    tables: list[list[np.ndarray]] = [[] for _ in features[0].values]
    for feature in features:
        for points, block in zip(tables, _blocks(feature), strict=True):
            points.append(block)
    return [np.concatenate(points, axis=1) for points in tables]


def _blocks(feature: Feature) -> list[np.ndarray]:
    if feature.is_level:
        n = int(max(np.nan_to_num(v, nan=-1.0).max(initial=-1) for v in feature.values)) + 1
        codes = [np.nan_to_num(values, nan=float(n)).astype(int) for values in feature.values]
        return [np.eye(n + 1)[each] / np.sqrt(2) for each in codes]
    real = np.sort(feature.values[0][~np.isnan(feature.values[0])])
    blocks = []
    for values in feature.values:
        low, high = (np.searchsorted(real, values, side) for side in ("left", "right"))
        rank = (low + high) / 2 / max(len(real), 1)
        blocks.append(np.where(np.isnan(values), 0.5, rank)[:, None])
    return blocks


def closest_distances(points: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Euclidean distance of each point to the closest of others."""
    from sklearn.metrics import pairwise_distances_argmin_min

    batches = [points[i : i + BATCH] for i in range(0, len(points), BATCH)]
    return np.concatenate([pairwise_distances_argmin_min(batch, to)[1] for batch in batches])


def copies(features: list[Feature], table: int) -> np.ndarray:
    """Which rows of a table equal a real row in every cell."""
    real, drawn = (np.nan_to_num(matrix(features, i), nan=np.inf) for i in (0, table))
    known = {row.tobytes() for row in np.ascontiguousarray(real + 0.0)}
    return np.array([row.tobytes() in known for row in np.ascontiguousarray(drawn + 0.0)])


# ---------------------------------------------------------------------------- the answers


def sample_quality(
    real: Any, synthetic: Any, holdout: Any = None, *, target: Any = None, random_state: int = 0
) -> pd.DataFrame:
    r"""How like real rows drawn rows are, in numbers from coarse to fine.

    =========================  ====================================================================
    row                        meaning
    =========================  ====================================================================
    marginals                  mean over the columns of the distance between the real and the drawn
                               distribution: Kolmogorov–Smirnov, for levels total variation
    pairs                      mean over pairs of columns of the difference of association: half of
                               that of the correlations; with levels the total variation of the
                               joint distribution, numbers in ten bins
    two_sample_auc             area under the ROC curve of a classifier of drawn and real rows,
                               cross-validated: 0.5 where they cannot be told apart
    utility                    score on `holdout` of a model of `target` that was trained on the
                               drawn rows: area under the ROC curve, for numbers R²
    exact_copies               share of drawn rows that equal a real row in every cell
    closer_to_real             share of drawn rows that are closer to a row of `real` than to one of
                               `holdout`, of which equally many are used: 0.5 if nothing is copied
    =========================  ====================================================================

    Parameters
    ----------
    real : table of shape (n_samples, n_features)
        The rows that the model was fitted to.
    synthetic : table of shape (n_drawn, n_features)
        Rows that were drawn, with the same columns.
    holdout : table of shape (n_other, n_features) or None, default=None
        Other real rows. "utility" and "closer_to_real" need them, and all others have a reference.
    target : column or None, default=None
        The column that "utility" predicts; levels, booleans or numbers. None: no such row.
    random_state : int, default=0
        Seed of the classifiers, and of the rows that "two_sample_auc" and "closer_to_real" use: at
        most 5 000 of each table.

    Returns
    -------
    quality : DataFrame
        "value", and "reference": the same of `holdout` in place of the drawn rows (for "utility",
        of a model trained on `real`), NaN without it. Differences between the two say what is wrong
        with the drawn rows.

    Raises
    ------
    ValueError
        If the tables have other columns, or `target` is none of them.

    References
    ----------
    Lopez-Paz & Oquab (2017), Revisiting Classifier Two-Sample Tests, arXiv:1610.06545. Zhang et
    al. (2024), Mixed-Type Tabular Data Synthesis with Score-based Diffusion in Latent Space
    (TabSyn), arXiv:2310.09656 (the errors of marginals and pairs, the share that is closer).

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAETransformer
    >>> from skvae.diagnostics import sample_quality
    >>> X = np.random.default_rng(0).normal(size=(600, 3))
    >>> vae = VAETransformer(1, max_iter=10, random_state=0).fit(X[:300])
    >>> quality = sample_quality(X[:300], vae.sample(300, random_state=0), X[300:])
    >>> quality.loc["exact_copies", "value"].item()
    0.0
    >>> bool(quality.loc["marginals", "value"] < 0.2)
    True
    """
    tables = [real, synthetic] if holdout is None else [real, synthetic, holdout]
    features = features_of(tables)
    rows = _likeness(features, random_state)
    if holdout is not None:
        references = _likeness([_with(f, 2) for f in features], random_state)
        rows = {name: (value, references[name][0]) for name, (value, _) in rows.items()}
        if target is not None:
            rows["utility"] = _utility(features, target, random_state)
        rows["closer_to_real"] = share_closer(features, random_state), 0.5
    order = ["marginals", "pairs", "two_sample_auc", "utility", "exact_copies", "closer_to_real"]
    found = pd.DataFrame(rows, index=["value", "reference"]).T
    return found.loc[[name for name in order if name in rows]]


def _with(feature: Feature, table: int) -> Feature:
    """The feature with another table in place of the drawn rows."""
    return Feature(feature.name, feature.is_level, [feature.values[0], feature.values[table]])


def _likeness(features: list[Feature], seed: int) -> dict[str, tuple[float, float]]:
    pairs = [pair_error(a, b) for a, b in itertools.combinations(features, 2)]
    values = {
        "marginals": float(np.mean([marginal_error(feature) for feature in features])),
        "pairs": float(np.mean(pairs)) if pairs else math.nan,
        "two_sample_auc": two_sample_auc(features, seed),
        "exact_copies": float(copies(features, 1).mean()),
    }
    return {name: (value, math.nan) for name, value in values.items()}


def _utility(features: list[Feature], target: Any, seed: int) -> tuple[float, float]:
    """Scores on the rows held out of models trained on drawn and on real rows."""
    names = [feature.name for feature in features]
    if target not in names:
        raise ValueError(f"'target' names column {target!r}; the columns are {names}.")
    others = [feature for feature in features if feature.name != target]
    y = features[names.index(target)]
    each = [_trained_on(others, y, table, seed) for table in (1, 0)]
    return each[0], each[1]


def _trained_on(features: list[Feature], y: Feature, table: int, seed: int) -> float:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.metrics import r2_score, roc_auc_score

    known, tested = ~np.isnan(y.values[table]), ~np.isnan(y.values[2])
    X, labels = matrix(features, table)[known], y.values[table][known]
    X_new, truth = matrix(features, 2)[tested], y.values[2][tested]
    levels = np.unique(labels)
    if not y.is_level and len(levels) > 2:
        model = HistGradientBoostingRegressor(random_state=seed).fit(X, labels)
        return float(r2_score(truth, model.predict(X_new)))
    inside = np.isin(truth, levels)
    if len(levels) < 2 or len(np.unique(truth[inside])) < 2:
        return math.nan
    classifier = HistGradientBoostingClassifier(random_state=seed).fit(X, labels)
    found = classifier.predict_proba(X_new[inside])
    areas = [roc_auc_score(truth[inside] == level, found[:, i])
             for i, level in enumerate(levels)
             if 0 < (truth[inside] == level).sum() < inside.sum()]  # fmt: skip
    return float(np.mean(areas))


def share_closer(features: list[Feature], seed: int) -> float:
    """Share of drawn rows closer to a real row than to one held out; ties count one half."""
    rng = np.random.default_rng(seed)
    real, drawn, other = (_some(points, rng) for points in coordinates(features))
    n = min(len(real), len(other))
    to_real = closest_distances(drawn, real[:n])
    to_other = closest_distances(drawn, other[:n])
    return float((to_real < to_other).mean() + 0.5 * (to_real == to_other).mean())
