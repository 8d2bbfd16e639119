"""VAEImputer: scikit-learn's contract, every container, indicators, empty columns, markers."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import polars as pl
import pytest
from frames import arrow_table, pandas_frame, polars_frame, with_missing_cells
from scipy import sparse
from scipy.stats import ks_2samp
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.estimator_checks import parametrize_with_checks

from skvae import VAEImputer, VAETransformer

pytestmark = pytest.mark.filterwarnings("ignore::skvae.ImportanceWarning")


def model(**params):
    return VAETransformer(
        max_iter=2, hidden_layer_sizes=(8,), n_importance_samples=8, random_state=0, **params
    )


def quick(**params):
    return VAEImputer(model(), **params)


@parametrize_with_checks([
    VAEImputer(VAETransformer(hidden_layer_sizes=8, max_iter=2)),
    VAEImputer(VAETransformer(hidden_layer_sizes=(), max_iter=2), strategy="median",
               sample_posterior=True, random_state=0, keep_empty_features=True),
])  # fmt: skip
def test_sklearn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def table():
    return with_missing_cells(pandas_frame(150))[
        ["float64", "Int64", "object", "boolean", "category"]
    ]


@pytest.fixture(scope="module")
def y():
    return pandas_frame(150)["bool"].to_numpy()


@pytest.fixture(scope="module")
def default(table):
    imputer = VAEImputer(random_state=0)
    imputer.set_params(estimator=None)
    return imputer.fit(table)


def test_the_default_is_two_models(table, default):
    filled = default.transform(table)
    assert filled.notna().all(axis=None)
    pd.testing.assert_frame_equal(filled, clone(default).fit(table).transform(table))
    assert default.estimator_.transform(table).shape[0] == 150
    assert quick().fit(table).smooth_ is None


def test_imputations_are_the_mean_of_two_models(table, default):
    filled = default.transform(table)
    each = [m.impute(table) for m in (default.estimator_, default.smooth_)]
    mean = (each[0]["float64"] + each[1]["float64"]) / 2
    np.testing.assert_allclose(filled["float64"], mean, rtol=1e-9)
    for name in ("object", "boolean", "category"):  # a level in which both agree remains
        same = each[0][name] == each[1][name]
        assert (filled[name] == each[0][name])[same].all()


@pytest.mark.slow
def test_draws_are_of_both_models(table, default):
    row = int(np.flatnonzero(table.notna().all(axis=1))[0])
    rows = table.iloc[[row] * 4000].assign(float64=np.nan)
    drawn = copy.copy(default).set_params(sample_posterior=True, random_state=0).transform(rows)
    each = [
        model.impute(rows, n_draws=1, random_state=1)[0]["float64"]
        for model in (default.estimator_, default.smooth_)
    ]
    assert ks_2samp(drawn["float64"], np.concatenate(each)).pvalue > 1e-3
    assert max(ks_2samp(drawn["float64"], alone).pvalue for alone in each) < 1e-3


def test_seen_cells_and_dtypes_stay(table):
    filled = quick().fit_transform(table)
    assert filled.dtypes.equals(table.dtypes)
    for name in table:
        seen = table[name].notna()
        assert filled[name][seen].equals(table[name][seen])
    assert quick().fit(table).get_feature_names_out().tolist() == list(table)


def test_in_pipelines(table, y):
    trees = make_pipeline(quick(), HistGradientBoostingClassifier(max_iter=5))
    numbers = table[["float64", "Int64"]].astype(float)
    assert cross_val_score(trees, numbers, y, cv=3).mean() > 0.6
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["object", "category"]), remainder="passthrough"
    )
    mixed = table.drop(columns="boolean").astype({"Int64": float})
    linear = make_pipeline(quick(), encode, LogisticRegression(max_iter=500))
    grid = {"vaeimputer__estimator__n_components": [1, 2], "vaeimputer__strategy": ["mean"]}
    search = GridSearchCV(linear, grid, cv=3).fit(mixed, y)
    assert search.best_score_ > 0.6


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_set_output(table, output):
    filled = quick(add_indicator=True).set_output(transform=output).fit_transform(
        table[["float64", "object"]]
    )  # fmt: skip
    assert type(filled).__module__.startswith(output)
    assert list(filled.columns) == [
        "float64", "object", "missingindicator_float64", "missingindicator_object",
    ]  # fmt: skip


def test_indicators_tell_where_the_missing_values_are(table):
    imputer = quick(add_indicator=True).fit(table)
    filled = imputer.transform(table)
    assert list(filled.columns) == imputer.get_feature_names_out().tolist()
    for name in table:
        assert (filled[f"missingindicator_{name}"] == table[name].isna()).all()
    X = np.array([[1.0, np.nan], [2.0, 3.0], [3.0, 4.0], [np.nan, 5.0]])
    filled = quick(add_indicator=True).fit_transform(X[:, [1, 0]][:3])
    assert filled.shape == (3, 3)
    assert filled[:, 2].tolist() == [1.0, 0.0, 0.0]
    assert quick(add_indicator=True).fit(X[1:3]).transform(X).shape == (4, 2)


@pytest.mark.parametrize("make", [polars_frame, arrow_table], ids=["polars", "pyarrow"])
def test_other_frames(make):
    X = make(80, has_missing=True)
    imputer = quick(add_indicator=True).fit(X)
    filled = imputer.transform(X)
    names = filled.columns if isinstance(X, pl.DataFrame) else filled.column_names
    assert list(names) == imputer.get_feature_names_out().tolist()
    assert "null" not in names  # a column without a value
    kept = quick(keep_empty_features=True).fit(X).transform(X)
    nulls = kept["null"]
    assert (nulls.to_list() if isinstance(X, pl.DataFrame) else nulls.to_pylist()) == [0.0] * 80


def test_sparse_and_empty_columns():
    X = np.array(
        [[1.0, np.nan, 0.0], [np.nan, np.nan, 2.0], [3.0, np.nan, 0.0], [0.0, np.nan, 1.0]]
    )
    for make in (np.array, sparse.csr_matrix, sparse.csc_array):
        dropped = quick(add_indicator=True).fit_transform(make(X))
        kept = quick(keep_empty_features=True).fit_transform(make(X))
        assert dropped.shape == (4, 4)
        assert kept.shape == (4, 3)
        assert sparse.issparse(kept) == (make is not np.array)
        dense = kept.toarray() if sparse.issparse(kept) else kept
        assert dense[:, 1].tolist() == [0.0] * 4
        assert np.isfinite(dense).all()
    frame = pd.DataFrame(X, columns=list("abc")).assign(d=None)
    assert list(quick().fit_transform(frame)) == ["a", "c"]
    kept = quick(keep_empty_features=True).fit_transform(frame)
    assert (kept["b"] == 0).all()
    assert kept["d"].isna().all()


@pytest.mark.parametrize(
    ("marker", "column"),
    [(np.int64(-1), [3, -1, 5, 4, -1, 3] * 5),
     (-1, [3, -1, 5, 4, -1, 3] * 5), (-1.0, [0.5, -1.0, 2.5] * 10), ("?", ["a", "?", "b"] * 10),
     (2**60, [2**60 + 1, 2**60, 2**60 + 3] * 10)],
    ids=str,
)  # fmt: skip
def test_missing_values_may_be_marked(marker, column):
    table = pd.DataFrame({"marked": column, "other": np.arange(30) % 5})
    imputer = quick(missing_values=marker, add_indicator=True).fit(table)
    filled = imputer.transform(table)
    is_missing = table["marked"] == marker
    assert filled["marked"].dtype == table["marked"].dtype
    assert not (filled["marked"] == marker).any()
    assert (filled["marked"][~is_missing] == table["marked"][~is_missing]).all()
    assert (filled["missingindicator_marked"] == is_missing).all()


@pytest.mark.slow
def test_draws_have_the_spread_that_means_lack():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 1)) + 0.7 * rng.normal(size=(1500, 3))
    incomplete = np.where(rng.random(X.shape) < 0.3, np.nan, X)
    hidden = np.isnan(incomplete)
    fitted = VAEImputer(VAETransformer(1, random_state=0)).fit(incomplete)
    means = fitted.transform(incomplete)
    draws = fitted.set_params(sample_posterior=True, random_state=1).transform(incomplete)
    np.testing.assert_array_equal(draws, fitted.transform(incomplete))
    assert (draws != fitted.set_params(random_state=2).transform(incomplete))[hidden].any()
    assert means[hidden].std() < 0.85 * X[hidden].std()
    assert draws[hidden].std() == pytest.approx(X[hidden].std(), rel=0.12)
    assert ((means - X)[hidden] ** 2).mean() < ((draws - X)[hidden] ** 2).mean()


def test_what_is_refused(table):
    with pytest.raises(ValueError, match="'strategy' parameter of VAEImputer must be one of"):
        quick(strategy="mode").fit(table)
    with pytest.raises(ValueError, match="'estimator' parameter of VAEImputer"):
        VAEImputer(LogisticRegression()).fit(table)
    imputer = quick().fit(table)
    with pytest.raises(ValueError, match="feature names"):
        imputer.transform(table.rename(columns={"object": "objekt"}))


def test_new_values_of_an_empty_column_stay():
    X = np.column_stack([np.arange(6.0), np.full(6, np.nan)])
    new = np.array([[1.0, 5.0], [2.0, np.nan]])
    for make in (np.array, lambda a: pl.DataFrame(a), lambda a: pd.DataFrame(a)):
        imputer = quick(keep_empty_features=True).fit(make(X))
        assert np.array(imputer.transform(make(new)))[:, 1].tolist() == [5.0, 0.0]
    whole = np.column_stack([np.arange(6) % 3, np.full(6, -1)])
    imputer = quick(keep_empty_features=True, missing_values=-1)
    assert imputer.fit_transform(whole)[:, 1].tolist() == [0] * 6


@pytest.mark.filterwarnings("ignore:All cells of the table are missing")
def test_indicators_alone_are_left_of_a_frame_without_values():
    X = pl.DataFrame({"a": pl.Series([None] * 12, dtype=pl.String)})
    filled = VAEImputer(model(), add_indicator=True, random_state=0).fit_transform(X)
    assert filled.columns == ["missingindicator_a"]
    assert filled["missingindicator_a"].to_list() == [True] * 12
