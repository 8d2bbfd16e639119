"""Tables in, tables out: every container and dtype comes back as it was."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from frames import NULLABLE, arrow_table, pandas_frame, polars_frame, with_missing_cells
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from skvae import VAETransformer


def small(**params):
    return VAETransformer(max_iter=2, hidden_layer_sizes=(16,), random_state=0, **params)


def rows_of(vae, X):
    """What the three ways out of a model give, as (name, table)."""
    yield "sample", vae.sample(9, random_state=0)
    yield "mean", vae.sample(9, random_state=0, mean=True)
    yield "inverse", vae.inverse_transform(vae.transform(X))


FRAMES = {"complete": pandas_frame(), "incomplete": with_missing_cells(pandas_frame())}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("name", pandas_frame(3).columns)
def test_pandas_column(frame, name):
    X = frame[[name, "float64"]] if name != "float64" else frame[[name]]
    vae = small().fit(X)
    assert np.isfinite(vae.score_samples(X)).all()
    assert np.isfinite(vae.transform(X)).all()
    seen = X[name].dropna()
    for way, table in rows_of(vae, X):
        assert list(table.columns) == list(X.columns), way
        assert (table.dtypes == X.dtypes).all(), way
        assert table["float64"].notna().all()
        new = table[name]
        assert new.notna().all() or seen.empty
        if isinstance(X[name].dtype, pd.CategoricalDtype):
            assert set(new) <= set(seen)
        elif len(seen) and name not in ("mixed",) and not isinstance(seen.iloc[0], pd.Interval):
            assert new.min() >= seen.min()
            assert new.max() <= seen.max()
        if len(seen) and X[name].dtype == object:
            assert {type(v) for v in new} <= {type(v) for v in seen}


def test_whole_pandas_frame_at_once():
    for X in FRAMES.values():
        vae = small().fit(X)
        scores = vae.score_samples(X)
        assert np.isfinite(scores).all()
        for _, table in rows_of(vae, X):
            assert (table.dtypes == X.dtypes).all()
            pd.testing.assert_index_equal(table.columns, X.columns)


def test_decimals_integers_and_resolution_come_back():
    X = with_missing_cells(pandas_frame())
    new = small().fit(X).sample(50, random_state=1)
    assert np.array_equal(new["cents"], new["cents"].round(2))
    assert np.array_equal(new["whole_float"], new["whole_float"].round())
    assert all(v.as_tuple().exponent == -2 for v in new["decimal"])
    assert all(isinstance(v, decimal.Decimal) for v in new["decimal"])
    assert all(type(v) is datetime.date for v in new["date"])
    assert (new["datetime"].dt.floor("D") == new["datetime"]).all()
    assert (new["timedelta"].dt.floor("s") == new["timedelta"]).all()
    assert (new["constant"] == 3.5).all()
    assert (new["constant_word"] == "same").all()
    assert new["empty"].isna().all()
    assert set(new["identifier"]) <= set(X["identifier"].dropna())


@pytest.mark.parametrize("has_missing", [False, True])
def test_polars(has_missing):
    X = polars_frame(has_missing=has_missing)
    vae = small().fit(X)
    assert np.isfinite(vae.score_samples(X)).all()
    for _, table in rows_of(vae, X):
        assert isinstance(table, pl.DataFrame)
        assert table.schema == X.schema
        assert table.drop("null").null_count().to_numpy().sum() == 0
        assert table["date"].min() >= X["date"].min()
        assert table["time"].max() <= X["time"].max()
        assert table["duration"].max() <= X["duration"].max()
        assert set(table["enum"]) <= set(X["enum"].drop_nulls())


@pytest.mark.parametrize("has_missing", [False, True])
def test_pyarrow(has_missing):
    X = arrow_table(has_missing=has_missing)
    vae = small().fit(X)
    assert np.isfinite(vae.score_samples(X)).all()
    for _, table in rows_of(vae, X):
        assert isinstance(table, pa.Table)
        assert table.schema == X.schema


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.uint8, bool, object, "U8"])
def test_numpy(dtype):
    rng = np.random.default_rng(0)
    X = np.abs(rng.normal(size=(50, 4)) * 5).round().astype(dtype)
    vae = small().fit(X)
    for _, table in rows_of(vae, X):
        assert isinstance(table, np.ndarray)
        assert table.dtype == X.dtype
        assert table.shape[1] == 4
    kinds = {c.kind for c in vae.schema_.columns}
    expected = {"f": "continuous", "i": "integer", "u": "integer", "b": "boolean",
                "O": "continuous", "U": "categorical"}[np.dtype(dtype).kind]  # fmt: skip
    assert kinds == {expected}


def test_numpy_datetimes():
    days = np.arange(60).reshape(30, 2).astype("M8[D]")
    vae = small().fit(days)
    assert vae.sample(3, random_state=0).dtype == days.dtype


def test_lists_of_mixed_rows():
    rows = [[1.5 * i, "ab"[i % 2], None if i == 3 else i] for i in range(30)]
    vae = small().fit(rows)
    assert [c.kind for c in vae.schema_.columns] == ["continuous", "categorical", "integer"]
    new = vae.sample(5, random_state=0)
    assert {type(v) for v in new[:, 1]} == {str}
    assert {type(v) for v in new[:, 2]} == {int}


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array])
def test_sparse(make):
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(60, 5)) * (rng.random((60, 5)) < 0.3)
    X = make(dense)
    vae = small().fit(X)
    new = vae.sample(7, random_state=0)
    assert type(new) is type(X)
    assert new.shape == (7, 5)
    np.testing.assert_allclose(vae.score_samples(X), small().fit(dense).score_samples(dense))


def test_containers_agree():
    """The same cells in other containers give the same model."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(80, 3)), columns=list("abc"))
    scores = small().fit(X).score_samples(X)
    for other in (X.to_numpy(), pl.from_pandas(X), pa.Table.from_pandas(X)):
        np.testing.assert_array_equal(small().fit(other).score_samples(other), scores)


def test_index_and_column_names_do_not_matter():
    X = pandas_frame()[["float64", "object", "int64"]]
    moved = X.set_axis(range(1000, 1060)).set_axis([3, 1, 2], axis=1)
    vae = small().fit(moved)
    np.testing.assert_array_equal(vae.score_samples(moved), small().fit(X).score_samples(X))
    assert list(vae.sample(2).columns) == [3, 1, 2]
    assert not hasattr(vae, "feature_names_in_")


def test_levels_are_not_told_by_their_order_of_appearance():
    X = pandas_frame()[["float64", "object", "mixed"]]
    shuffled = X.sample(frac=1, random_state=3)
    a, b = small().fit(X), small().fit(shuffled)
    np.testing.assert_array_equal(a.score_samples(X), b.score_samples(X))


def test_nested_cell_of_an_untyped_array_is_kept_as_a_level():
    X = np.random.default_rng(0).normal(size=(20, 2)).astype(object)
    X[0, 0] = {"a": 1}
    with pytest.warns(UserWarning, match="Column 'x0' holds nested objects"):
        vae = small(min_frequency=None).fit(X)
    assert vae.schema_.columns[0].kind == "categorical"
    assert {"a": 1} in vae.schema_.columns[0].levels
    with pytest.warns(UserWarning, match="nested"):
        scores = vae.score_samples(X)
    assert np.isfinite(scores).all()


@settings(max_examples=25, deadline=None)
@given(
    X=hnp.arrays(
        st.sampled_from([np.float64, np.float32, np.int16, np.int64, np.uint32, np.bool_]),
        st.tuples(st.integers(2, 12), st.integers(1, 3)),
    )
)
def test_any_array_survives(X):
    """Whatever finite numbers a table holds, nothing that comes out is not finite."""
    X = np.where(np.isinf(X), np.nan, X) if X.dtype.kind == "f" else X
    vae = VAETransformer(max_iter=1, hidden_layer_sizes=(4,), random_state=0).fit(X)
    assert np.isfinite(vae.score_samples(X)).all()
    assert np.isfinite(vae.transform(X)).all()
    new = vae.sample(3, random_state=0)
    assert new.dtype == X.dtype
    if X.dtype.kind == "f":
        empty = np.isnan(X).all(0)
        assert np.isfinite(new[:, ~empty]).all()
        assert np.isnan(new[:, empty]).all()


def test_nullable_columns_are_all_tested():
    assert set(NULLABLE) <= set(pandas_frame(3).columns)
