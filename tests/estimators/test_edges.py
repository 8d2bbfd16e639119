"""Cells at the edge of their types: what is read is what comes back."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from frames import pandas_frame

from skvae import ELBO, VAETransformer

N = 60
Z = np.random.default_rng(0).normal(size=N)


def quick(**params):
    return VAETransformer(max_iter=2, hidden_layer_sizes=(8,), random_state=0, **params)


def come_back(X, **params):
    """Fit, see that all is finite, and return new rows."""
    vae = quick(**params).fit(X)
    assert np.isfinite(vae.score_samples(X)).all()
    vae.inverse_transform(vae.transform(X))
    return vae.sample(40, random_state=0)


EMPTY = [
    pd.array([None] * 3, "string"),
    [np.nan] * 3,
    [None] * 3,
    pd.Categorical([None] * 3),
    pd.to_datetime([None] * 3),
]


@pytest.mark.parametrize("empty", EMPTY, ids=["string", "float", "object", "category", "time"])
@pytest.mark.parametrize("name", ["float64", "Int64", "object", "datetime", "boolean"])
def test_a_column_of_missing_values_is_missing_whatever_it_was_read_as(name, empty):
    X = pandas_frame()[[name, "cents"]]
    vae = quick().fit(X)
    rows = X.head(3).assign(**{name: pd.Series(empty)})
    expected = vae.score_samples(X.head(3).assign(**{name: None}))
    np.testing.assert_allclose(vae.score_samples(rows), expected)


def test_large_integers_of_constants_and_levels_are_exact():
    big = 2**53 + 1
    X = pd.DataFrame({"c": np.full(N, big), "k": 2**60 + np.arange(N) % 4, "x": Z})
    new = come_back(X, categorical_features=["k"])
    assert (new["c"] == big).all()
    assert set(new["k"]) <= set(X["k"])
    drawn = quick(categorical_features=["k"]).fit(X).sample(300, 0)
    assert set(drawn["k"]) == set(X["k"])


def test_unsigned_integers_beyond_int64():
    top = np.uint64(2**63) + np.arange(N, dtype=np.uint64) * np.uint64(10**6)
    for X in (pl.DataFrame({"u": top, "x": Z}), pa.table({"u": top, "x": Z})):
        new = come_back(X)
        values = np.asarray(new["u"].to_numpy())
        assert values.dtype == np.uint64
        assert values.min() >= top.min() - 2048  # float64 at that size
        assert values.max() <= top.max() + 2048


def test_datetimes_of_four_centuries():
    stamps = np.array(["1700-01-01", "1900-01-01", "2199-12-31"], dtype="M8[ns]")[np.arange(N) % 3]
    new = come_back(pd.DataFrame({"t": stamps, "x": Z}))
    assert new["t"].min() >= pd.Timestamp("1700-01-01")
    assert new["t"].max() <= pd.Timestamp("2199-12-31")
    assert new["t"].nunique() > 1


def test_units_of_time_at_use_time():
    days = pd.date_range("2020-01-01", periods=N, freq="D").as_unit("ns")
    X = pd.DataFrame({"t": days, "c": days[0], "x": Z})
    vae = quick().fit(X)
    other = X.assign(t=X["t"].dt.as_unit("s"), c=X["c"].dt.as_unit("s"))
    np.testing.assert_array_equal(vae.score_samples(X), vae.score_samples(other))
    far = other.head(1).assign(t=pd.Series(np.array(["2604-07-23"], dtype="M8[s]")))
    assert vae.score_samples(far)[0] < vae.score_samples(X.head(1))[0] - 1


def test_a_cell_of_mixed_objects_is_read_alike_alone_and_in_company():
    cells = [datetime.date(2020, 1, 1 + i % 9) if i % 3 else "unknown" for i in range(N)]
    X = pd.DataFrame({"m": pd.Series(cells, dtype=object), "x": Z})
    vae = quick().fit(X)
    scores = vae.score_samples(X)
    for i in (0, 1, 2):
        np.testing.assert_allclose(vae.score_samples(X.iloc[[i]]), scores[i], rtol=1e-9)


def test_true_is_not_one():
    cells = [[1, True, "a"][i % 3] for i in range(N)]
    new = come_back(pd.DataFrame({"m": pd.Series(cells, dtype=object), "x": Z}))
    assert {(type(v), v) for v in new["m"]} <= {(int, 1), (bool, True), (str, "a")}
    assert {type(v) for v in new["m"]} == {int, bool, str}


@pytest.mark.parametrize("cells", [[1, 2, 3], [decimal.Decimal("1.50"), decimal.Decimal("2.25")]])
def test_objects_as_categories_keep_their_type(cells):
    column = pd.Series([cells[i % len(cells)] for i in range(N)], dtype=object)
    new = come_back(pd.DataFrame({"k": column, "x": Z}), categorical_features=["k"])
    assert {repr(v) for v in new["k"]} <= {repr(v) for v in cells}


def test_float32_keeps_its_decimals():
    X = pd.DataFrame({"f": (5 * Z).round(2).astype(np.float32)})
    new = come_back(X)["f"]
    np.testing.assert_array_equal(new, new.astype(float).round(2).astype(np.float32))


def test_steps_come_back():
    weeks = pd.to_timedelta(7 * (9 * Z).round(), "D")
    X = pd.DataFrame({
        "price": (1000 + 300 * Z).round(-2),
        "mass": 25 * (100 + 9 * Z).round().astype(int),
        "day": pd.Timestamp("2020-01-06") + weeks,
    })  # fmt: skip
    new = come_back(X)
    assert (new["price"] % 100 == 0).all()
    assert (new["mass"] % 25 == 0).all()
    assert (new["day"].dt.day_of_week == X["day"].dt.day_of_week.iloc[0]).all()


@pytest.mark.parametrize("column", [
    pd.arrays.SparseArray(np.arange(N) % 3),
    pd.arrays.SparseArray(np.where(Z > 0, Z, 0.0)),
    pd.Series(pd.to_datetime(["2020-01-01"] * 30 + ["2021-01-01"] * 30, utc=True)).astype(object),
    pd.Series([datetime.date(9999, 12, 31), datetime.date(2020, 1, 1)] * 30, dtype=object),
    pd.Series([pd.Timestamp("2020-01-01"), pd.Timestamp("2020-02-01")] * 30, dtype=object),
    pd.Series([decimal.Decimal(i) / 3 for i in range(N)], dtype=object),
    pd.Series([None] * N, dtype=pd.ArrowDtype(pa.null())),
    pd.Series(pd.date_range("2020", periods=N, tz="UTC")).astype(
        pd.ArrowDtype(pa.timestamp("us", tz="Europe/Paris"))),
    pd.Series(pd.date_range("2020", periods=N)).astype(pd.ArrowDtype(pa.timestamp("s"))),
    pd.Series(list("abc") * 20, dtype=pd.ArrowDtype(pa.string())),
    pd.Series(range(N), dtype=pd.ArrowDtype(pa.int32())),
    pd.Series([10**45 + i for i in range(N)], dtype=object),
], ids=str)  # fmt: skip
def test_more_pandas_columns(column):
    X = pd.DataFrame({"c": column, "x": Z})
    new = come_back(X)
    assert new.dtypes.equals(X.dtypes)
    if X["c"].dtype == object:
        assert {type(v) for v in new["c"]} == {type(v) for v in X["c"]}


ARROW = {
    "date64": pa.array([86_400_000 * (18_000 + i) for i in range(N)], pa.date64()),
    "date32": pa.array([18_000 + i for i in range(N)], pa.date32()),
    "time32": pa.array([1000 * i for i in range(N)], pa.time32("ms")),
    "time64": pa.array([1000 * i for i in range(N)], pa.time64("us")),
    "timestamp": pa.array(range(N), pa.timestamp("s", tz="UTC")),
    "duration": pa.array(range(N), pa.duration("ms")),
    "decimal": pa.array([decimal.Decimal(i) for i in range(N)], pa.decimal128(38, 20)),
    "large int": pa.array([2**60 + i for i in range(N)], pa.int64()),
    "dictionary": pa.array([i % 3 for i in range(N)]).dictionary_encode(),
    "words": pa.array(["a", "b", None] * 20).dictionary_encode(),
    "large string": pa.array(list("abc") * 20, pa.large_string()),
    "bool": pa.array([True, False, None] * 20),
}


@pytest.mark.parametrize("name", ARROW)
def test_arrow_columns(name):
    X = pa.table({"c": ARROW[name], "x": Z})
    categorical = ["c"] if name == "bool" else None
    assert come_back(X, categorical_features=categorical).schema == X.schema


def test_a_constant_object_may_be_anything():
    X = np.empty((20, 2), dtype=object)
    X[:, 0] = [np.array([1, 2])] * 20
    X[:, 1] = np.arange(20.0)
    with pytest.warns(UserWarning, match="nested") as found:
        vae = quick().fit(X)
    assert {warning.filename for warning in found} == {__file__}
    with pytest.warns(UserWarning, match="nested"):
        scores = vae.score_samples(X)
    assert np.isfinite(scores).all()


def test_few_distinct_rows_are_split_as_rows():
    """Rows of a contingency table: the held-out part must have the patterns of the rest."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.random((2000, 4)) < 0.3, columns=list("abcd"))
    X["d"] = X["a"] ^ X["b"]
    vae = VAETransformer(3, random_state=0).fit(X)
    history = vae.history_
    assert history["validation_bound"][-1] > history["bound"][-1] - 0.3
    new = vae.sample(4000, random_state=0)
    assert ((new["a"] ^ new["b"]) == new["d"]).mean() > 0.75


def test_scaled_weights_are_the_same_weights():
    X = pandas_frame()[["float64", "object", "constant"]]
    shares = np.random.default_rng(0).uniform(0.5, 1.5, size=len(X))
    a = quick().fit(X, sample_weight=shares)
    b = quick().fit(X, sample_weight=shares / 300)
    np.testing.assert_allclose(a.score_samples(X), b.score_samples(X), rtol=1e-6)


def test_warmup_goes_with_early_stopping_and_partial_fit():
    X = np.random.default_rng(0).normal(size=(500, 2)) @ np.random.default_rng(1).normal(
        size=(2, 6)
    )
    X = np.tanh(X) + 0.1 * np.random.default_rng(2).normal(size=X.shape)
    warm = VAETransformer(random_state=0, objective=ELBO(warmup=0.5))
    start = VAETransformer(random_state=0, max_iter=1, learning_rate_init=1e-12).fit(X)
    assert warm.fit(X).score(X) > start.score(X) + 0.05
    vae = quick(objective=ELBO(warmup=0.5))
    for _ in range(5):
        vae.partial_fit(X[:200])
    bound = np.array(vae.history_["reconstruction"]) - np.array(vae.history_["kl"])
    np.testing.assert_allclose(vae.history_["bound"], bound, atol=1e-3)


def test_streams_may_end_with_one_row():
    X = np.random.default_rng(0).normal(size=(50, 3))
    vae = quick().partial_fit(X)
    assert vae.partial_fit(X[:1]).n_iter_ == 2


def test_going_on_with_other_parameters_is_refused():
    X = np.random.default_rng(0).normal(size=(50, 3))
    vae = quick(warm_start=True).fit(X)
    with pytest.raises(ValueError, match="'n_components' changed from None to 2"):
        vae.set_params(n_components=2).fit(X)


def test_codes_in_a_frame_hand_their_index_on():
    X = pandas_frame()[["float64", "object"]].set_axis(range(100, 160))
    vae = quick().set_output(transform="pandas").fit(X)
    back = vae.inverse_transform(vae.transform(X))
    assert back.index.equals(X.index)


def test_a_column_of_polars_may_have_an_empty_name():
    X = pl.DataFrame({"a": Z, "": Z + 1})
    vae = quick().fit(X)
    assert vae.sample(3, random_state=0).columns == ["a", ""]
    assert vae.inverse_transform(vae.transform(X)).columns == ["a", ""]
    assert vae.impute(X).columns == ["a", ""]


@pytest.mark.parametrize("empty", [
    pd.Series(pd.PeriodIndex([pd.NaT] * N, freq="M")),
    pd.Series([pd.NaT] * N, dtype=object),
    pd.Series([pd.NaT, None, np.nan] * (N // 3), dtype=object),
], ids=["period", "NaT", "all kinds"])  # fmt: skip
def test_a_column_of_missing_times_alone(empty):
    X = pd.DataFrame({"t": empty, "x": Z})
    new = come_back(X)
    assert new["t"].isna().all()
    assert new.dtypes.equals(X.dtypes)


def test_means_of_the_largest_numbers_are_finite():
    largest = np.finfo(float).max
    X = pd.DataFrame({"big": np.where(Z > 0.5, largest, -largest * (Z < -0.5)), "x": Z})
    X.loc[::3, "big"] = np.nan
    for transform in ("auto", "power", "quantile"):
        vae = quick(numeric_transform=transform, likelihood={"big": "student_t"}).fit(X)
        for strategy in ("mean", "median", "most_frequent"):
            assert np.isfinite(vae.impute(X, strategy=strategy)).all(axis=None)
    always = pd.DataFrame({"big": np.where(Z > -1, largest, 0.0), "x": Z})
    always.loc[::3, "big"] = np.nan
    vae = quick().fit(always)
    for strategy in ("mean", "median", "most_frequent"):
        assert np.isfinite(vae.impute(always, strategy=strategy)).all(axis=None)


def test_the_largest_integer_with_a_sign_is_drawn():
    """As a float it is 2⁶³, which is beyond its type."""
    largest = 2**63 - 1
    for make in (pl.DataFrame, pa.table, pd.DataFrame):
        X = make({"n": np.array([0, 1, largest])[np.arange(N) % 3], "x": Z})
        new = np.asarray(come_back(X)["n"].to_numpy())
        assert new.dtype == np.int64
        assert new.max() == largest
        vae = quick(likelihood={"n": "student_t"}).fit(X)
        assert np.isfinite(vae.explain_samples(X, relative=True)).all(axis=None)
