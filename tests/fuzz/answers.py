"""Every answer of a fitted estimator, with what must hold of it whatever the table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from scipy import sparse
from tables import FuzzedTable, as_pandas, in_container

RELATIVE = 1e-9  # what the answer for a row may depend on the other rows


def is_table(value: Any) -> bool:
    return isinstance(value, (pd.DataFrame, pl.DataFrame, pa.Table)) or sparse.issparse(value)


def assert_same(found: Any, expected: Any) -> None:
    """Equal bit for bit."""
    assert type(found) is type(expected)
    if isinstance(found, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(found, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, check_exact=True)
    elif is_table(found):
        names = list(range(found.shape[1]))
        pd.testing.assert_frame_equal(
            as_pandas(found, names), as_pandas(expected, names), check_exact=True
        )
    else:
        np.testing.assert_array_equal(found, expected)


def assert_close(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    """Equal but for the order of summation, relative to the largest term of a row."""
    found, expected = np.asarray(found), np.asarray(expected)
    scale = np.maximum(1.0, np.abs(expected))
    worst = (np.abs(found - expected) / scale).max(initial=0.0)
    assert worst <= RELATIVE, f"{what} differ by {worst:.1e} with the other rows of the call"


def assert_finite(*values: Any) -> None:
    for value in values:
        assert np.isfinite(np.asarray(value, dtype=float)).all(), "not finite"


def check_cells(new: Any, table: FuzzedTable, fitted: pd.DataFrame, n: int, missing=False) -> None:
    """Columns, dtypes, levels and bounds are those of the fitted cells."""
    X = table.X
    names = list(table.frame.columns)
    assert type(new) is (np.ndarray if isinstance(X, list) else type(X)), type(new)
    if isinstance(X, (pd.DataFrame, pl.DataFrame)):
        assert list(new.columns) == list(X.columns)
        assert list(new.dtypes) == list(X.dtypes), f"{new.dtypes} for {X.dtypes}"
    elif isinstance(X, pa.Table):
        assert new.schema.remove_metadata() == X.schema.remove_metadata()
    elif not isinstance(X, list):
        assert new.dtype == X.dtype
    assert new.shape == (n, len(names))
    cells, seen = as_pandas(new, names), as_pandas(in_container(fitted, table.container), names)
    for name in names:
        _check_column(cells[name], seen[name], f"column {name!r}", missing)


def _check_column(cells: pd.Series, seen: pd.Series, what: str, missing: bool) -> None:
    known = seen.dropna()
    if known.empty:
        assert cells.isna().all(), f"{what}: cells from nothing"
        return
    assert missing or cells.notna().all(), f"{what}: missing cells"
    cells = cells.dropna()
    is_ordered = pd.api.types.is_numeric_dtype(known) and not pd.api.types.is_bool_dtype(known)
    if is_ordered or known.dtype.kind in "mM" or pd.api.types.is_datetime64_any_dtype(known):
        if len(cells):
            assert known.min() <= cells.min(), f"{what}: {cells.min()!r} below {known.min()!r}"
            assert cells.max() <= known.max(), f"{what}: {cells.max()!r} above {known.max()!r}"
    elif known.map(type).nunique() == 1 and isinstance(known.iloc[0], (str, bool)):
        assert set(cells) <= set(known), f"{what}: levels {set(cells) - set(known)}"


# --------------------------------------------------------------------- answers of both estimators


def score_samples(est, table, fitted, seed):
    scores = est.score_samples(table.X)
    assert scores.shape == (len(table.frame),)
    assert_finite(scores)
    check_rows(est.score_samples, table, scores, est, seed)
    return scores


def check_rows(method, table, answer, est, seed, what="scores") -> None:
    """The answer for a row does not depend on the rows around it."""
    if est.precision != "double" or len(table.frame) < 2:
        return
    order = np.random.default_rng(seed).permutation(len(table.frame))
    some = order[: max(1, len(order) // 3)]
    for rows in (order, some):
        part = table.frame.iloc[rows]
        assert_close(method(in_container(part, table.container)), answer[rows], what)


def explain_samples(est, table, fitted, seed):
    few = in_container(table.frame[:12], table.container)
    parts, cells = est.explain_samples(few, return_cells=True, n_cells=2)
    relative = est.explain_samples(few, relative=True)
    assert_finite(parts, relative)
    assert list(parts.columns)[:-1] == list(table.frame.columns)
    assert set(cells["column"]) <= set(table.frame.columns)
    assert_finite(cells["surprise"])
    return [parts, relative, cells]


# --------------------------------------------------------------------- answers of the transformer


def score_options(est, table, fitted, seed):
    scores, std, ess = est.score_samples(table.X, return_std=True, return_ess=True)
    assert_finite(scores, std, ess)
    assert (std >= 0).all()
    assert (ess >= 1 - 1e-6).all()
    assert (ess <= est.n_importance_samples * (1 + 1e-6)).all()
    assert np.isfinite(est.score(table.X))
    return [scores, std, ess]


def score_parts(est, table, fitted, seed):
    names = list(table.frame.columns)
    part = names[seed % len(names)]
    marginal = est.score_samples(table.X, columns=[part])
    rest = est.score_samples(table.X, given=[part])
    assert_finite(marginal, rest)
    return [marginal, rest]


def transform(est, table, fitted, seed):
    Z = est.transform(table.X)
    assert Z.shape == (len(table.frame), len(est.get_feature_names_out()))
    assert_finite(Z)
    if not est.latent_.has_codes:  # the nearest code of two may change with the last bit
        check_rows(est.transform, table, Z, est, seed, "embeddings")
    return Z


def inverse_transform(est, table, fitted, seed):
    new = est.inverse_transform(est.transform(table.X))
    check_cells(new, table, fitted, len(table.frame))
    return new


def posterior(est, table, fitted, seed):
    mean, std = est.posterior(table.X)
    assert_finite(mean, std)
    assert (std >= 0).all()
    return [mean, std]


def sample(est, table, fitted, seed):
    new = est.sample(20, random_state=seed)
    check_cells(new, table, fitted, 20)
    mean = est.sample(3, random_state=seed, mean=True)
    check_cells(mean, table, fitted, 3)
    seen = est.sample(9, random_state=seed, missing="as_seen")
    check_cells(seen, table, fitted, 9, missing=True)
    return [new, mean, seen]


def sample_given(est, table, fitted, seed):
    """Cells of fitted rows as conditions: a table of them, and a dict of one cell."""
    rng = np.random.default_rng(seed)
    names = list(table.frame.columns)
    some = sorted(rng.choice(len(names), 1 + seed % len(names), replace=False))
    rows = fitted.iloc[rng.integers(0, len(fitted), 2)]
    given = rows.iloc[:, some]
    if table.container in ("polars", "pyarrow"):
        given = in_container(given, table.container)
    new, ess = est.sample(4, seed, given=given, return_ess=True)
    check_cells(new, table, fitted, 8)
    assert_finite(ess)
    cells, asked = as_pandas(new, names), rows.iloc[np.repeat([0, 1], 4), some]
    for name in asked:
        is_given = asked[name].notna().to_numpy()
        assert_equal_cells(cells[name][is_given], asked[name][is_given], name)
    return [new, ess]


def impute(est, table, fitted, seed):
    X = table.X
    strategy = ["mean", "median", "most_frequent"][seed % 3]
    filled, ess = est.impute(X, strategy=strategy, return_ess=True)
    draws = est.impute(X, 2, random_state=seed)
    incomplete = table.frame.isna().any(axis=1).to_numpy()
    assert_finite(ess[incomplete])
    assert (ess[~incomplete] == np.inf).all()  # nothing was drawn for them
    empty = fitted.isna().all()
    for one in (filled, *draws):
        check_filled(one, table, empty)
    return [filled, draws, ess]


def check_filled(filled: Any, table: FuzzedTable, empty: pd.Series) -> None:
    """Seen cells are what they were, other cells are filled but in columns without any value."""
    names = list(table.frame.columns)
    X = table.X
    before = as_pandas(np.asarray(X, dtype=object) if isinstance(X, list) else X, names)
    after = as_pandas(filled, names)
    assert after.shape == before.shape
    for name in names:
        seen = before[name].notna().to_numpy()
        assert_equal_cells(after[name][seen], before[name][seen], name)
        if not empty[name]:
            assert after[name].notna().all(), f"column {name!r} has missing cells"
    if isinstance(X, pd.DataFrame):
        pd.testing.assert_index_equal(filled.index, X.index)


def assert_equal_cells(after: pd.Series, before: pd.Series, name: Any) -> None:
    same = after.to_numpy(dtype=object) == before.to_numpy(dtype=object)
    assert np.all(same), f"cells of column {name!r} changed"


def paths(est, table, fitted, seed):
    first = in_container(table.frame.iloc[:1], table.container)
    n_units = len(est.get_feature_names_out())
    line = est.interpolate(table.X, first, 3)
    check_cells(line, table, fitted, 3 * len(table.frame))
    moved = est.traverse(first, seed % n_units, 4)
    check_cells(moved, table, fitted, 4)
    effects = est.component_effects(n_steps=3)
    assert_finite(effects)
    return [line, moved, effects, est.component_effects(seed % n_units, 3)]


def codes(est, table, fitted, seed):
    codes = est.codes(table.X)
    check_cells(est.inverse_transform(codes), table, fitted, len(table.frame))
    return codes


# ------------------------------------------------------------------------ answers of the detector


def predict(est, table, fitted, seed):
    labels, distances = est.predict(table.X), est.decision_function(table.X)
    assert_finite(distances, est.offset_)
    np.testing.assert_array_equal(labels, np.where(distances >= 0, 1, -1))
    return [labels, distances]


def pvalues(est, table, fitted, seed):
    values = est.pvalues(table.X)
    assert ((values > 0) & (values <= 1)).all()
    return values


OF_BOTH = [score_samples, explain_samples]
OF_TRANSFORMER = [
    *OF_BOTH, score_options, score_parts, transform, inverse_transform, posterior, sample,
    sample_given, impute, paths, codes,
]  # fmt: skip
OF_DETECTOR = [*OF_BOTH, predict, pvalues]
