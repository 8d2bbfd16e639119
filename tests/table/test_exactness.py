"""Cells that float64 or single precision cannot hold: big integers, and values at the bounds."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skvae import LogNormal, VAEImputer, VAETransformer
from skvae._table.reading import read_table

QUICK = {"max_iter": 3, "hidden_layer_sizes": (8,), "random_state": 0}
BIG = 2**60 + np.arange(4)


def tables_of_ids(ids, x):
    """One table of ids beside a number in every container, with None as a missing id."""
    nullable = pd.array([None if i is None else int(i) for i in ids], dtype="Int64")
    yield "pandas", pd.DataFrame({"id": nullable, "x": x})
    objects = np.array([None if i is None else int(i) for i in ids], dtype=object)
    yield "objects", pd.DataFrame({"id": pd.Series(objects, dtype=object), "x": x})
    frame = pl.DataFrame({"id": pl.Series(objects.tolist(), dtype=pl.Int64), "x": x})
    yield "polars", frame
    yield "arrow", frame.to_arrow()


@pytest.mark.parametrize("has_missing", [False, True])
def test_integer_categories_beyond_float64_are_distinct(has_missing):
    rng = np.random.default_rng(0)
    which = rng.integers(0, 4, 300)
    ids = [int(BIG[w]) for w in which]
    if has_missing:
        ids[::7] = [None] * len(ids[::7])
    x = which + 0.01 * rng.normal(size=300)
    for name, table in tables_of_ids(ids, x):
        vae = VAETransformer(1, categorical_features=["id"], **QUICK).fit(table)
        column = vae.schema_.columns[0]
        assert column.levels == tuple(map(int, BIG)), name
        codes = column.encode(read_table(table).cells(0)).values
        expected = [-1 if i is None else w for i, w in zip(ids, which, strict=True)]
        np.testing.assert_array_equal(codes, expected, err_msg=name)
        drawn = vae.sample(50, random_state=0)
        found = drawn["id"].to_pylist() if isinstance(drawn, pa.Table) else list(drawn["id"])
        assert {int(i) for i in found} <= set(map(int, BIG)), name


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_arrays_of_big_categories(dtype):
    top = 2**62 if dtype is np.int64 else 2**63
    X = (top + np.arange(3, dtype=dtype)).astype(dtype)[
        np.random.default_rng(0).integers(0, 3, 200)
    ]
    X = np.column_stack([X, X])
    vae = VAETransformer(1, categorical_features=[0, 1], **QUICK).fit(X)
    assert len(vae.schema_.columns[0].levels) == 3
    np.testing.assert_array_equal(vae.inverse_transform(vae.transform(X)).dtype, dtype)
    assert set(vae.sample(100, 0)[:, 0].tolist()) <= set(X[:, 0].tolist())


def test_big_markers_of_missing_values():
    ids = np.where(np.arange(200) % 5 == 0, BIG[3], BIG[0])
    X = pd.DataFrame({"id": ids, "x": np.random.default_rng(0).normal(size=200)})
    imputer = VAEImputer(
        VAETransformer(categorical_features=["id"], **QUICK), missing_values=int(BIG[3])
    ).fit(X)
    assert imputer.estimator_.schema_.columns[0].value == BIG[0]


def proportion_at(values, value):
    return float((np.asarray(values) == value).mean())


def clipped(rng, n=800):
    return np.clip(np.sqrt(2) * rng.normal(size=n), -1.1, 0.9)


TABLES = {
    "both ends": clipped,
    "float32": lambda rng: clipped(rng).astype(np.float32),
    "heavy tails": lambda rng: np.minimum(rng.standard_cauchy(800) ** 3, 1e5 / 3),
    "counts": lambda rng: np.minimum(rng.poisson(40, 800), 41),
    "large integers": lambda rng: 2**40 + np.minimum(rng.integers(0, 10**6, 800), 700_003),
    "durations": lambda rng: np.minimum(rng.integers(0, 10**6, 800), 654_321).astype("m8[s]"),
    "instants": lambda rng: (
        np.datetime64("2001-02-03T04:05:06", "ms")
        + np.where(rng.random(800) < 0.25, 10**13 // 7, rng.integers(0, 10**9, 800)).astype(
            "m8[ms]"
        )
    ),
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_values_piled_up_at_an_extreme_are_drawn_as_often_as_they_occur(name, seed):
    rng = np.random.default_rng(seed)
    x = TABLES[name](rng)
    table = pd.DataFrame({"x": x, "y": rng.normal(size=len(x))})
    vae = VAETransformer(1, random_state=0, max_iter=30).fit(table)
    drawn = vae.sample(3000, random_state=0)["x"].to_numpy()
    for end in (x.min(), x.max()):
        real = proportion_at(x, end)
        if real > 0.05:
            assert proportion_at(drawn, end) == pytest.approx(real, abs=0.08), end
    assert drawn.min() >= x.min()
    assert drawn.max() <= x.max()


@pytest.mark.parametrize("transform", ["standard", "robust", "power", "quantile", "log"])
def test_bounds_hold_and_are_reached_under_every_map(transform):
    rng = np.random.default_rng(0)
    x = np.clip(np.exp(rng.normal(size=800)), np.exp(-0.7), np.exp(0.9))
    X = np.column_stack([x, rng.normal(size=800)])
    vae = VAETransformer(1, numeric_transform={"x0": transform}, random_state=0, max_iter=30).fit(X)
    drawn = vae.sample(3000, 0)[:, 0]
    for end in (x.min(), x.max()):
        assert proportion_at(drawn, end) == pytest.approx(proportion_at(x, end), abs=0.08)


FAR = {
    "nanoseconds": np.datetime64("2025-06-23T00:00:00.123456789", "ns"),
    "end of the calendar": np.datetime64("9999-12-31T23:59:59.999999", "us"),
    "end of nanoseconds": np.array(2**63 - 1).astype("M8[ns]"),
    "duration": np.array(2**62 + 1).astype("m8[us]"),
    "integer": np.array(2**63 - 1),
    "unsigned integer": np.array(2**64 - 1, dtype=np.uint64),
    "least integer": np.array(-(2**63)),
}  # fmt: skip


@pytest.mark.parametrize("name", FAR)
def test_far_values_are_drawn_exactly(name):
    """Their distance from the others is no number of float64."""
    rng = np.random.default_rng(0)
    near = rng.integers(0, 10**9, 400)
    if FAR[name].dtype.kind == "M":
        near = np.datetime64("2020-01-01", "s") + near.astype("m8[s]") // 10
    x = np.where(rng.random(400) < 0.3, FAR[name], near.astype(FAR[name].dtype))
    table = pd.DataFrame({"x": x, "y": rng.normal(size=400)})
    vae = VAETransformer(1, random_state=0, max_iter=30).fit(table)
    column, cells = vae.schema_.columns[0], read_table(table).cells(0)
    decoded = column.decode(column.encode(cells).values).values
    is_far = x == FAR[name]
    np.testing.assert_array_equal(decoded[is_far], cells.exact_values[is_far])
    drawn = vae.sample(1000, random_state=0)["x"].to_numpy()
    assert proportion_at(drawn, FAR[name]) > 0.2
    assert drawn.min() >= x.min()
    assert drawn.max() <= x.max()


def test_levels_of_a_scaled_scale_are_all_drawn():
    """Six steps of thirds, which no float writes exactly."""
    rng = np.random.default_rng(5)
    steps = np.clip(np.round(1.2 * rng.normal(size=900)), -2, 3) / 3
    X = np.column_stack([(steps - steps.mean()) / steps.std(), rng.normal(size=900)])
    vae = VAETransformer(1, random_state=0, max_iter=30).fit(X)
    drawn = vae.sample(4000, 0)[:, 0]
    for level in np.unique(X[:, 0]):
        assert proportion_at(drawn, level) > 0.6 * proportion_at(X[:, 0], level)


def test_log_normal_draws_stay_in_the_bounds():
    x = np.exp(np.random.default_rng(0).normal(size=400))
    vae = VAETransformer(1, likelihood=LogNormal(), **QUICK).fit(np.column_stack([x, x]))
    drawn = vae.sample(500, 0)
    assert drawn.min() >= x.min()
    assert drawn.max() <= x.max()


def test_an_index_out_of_range_is_named():
    X = np.random.default_rng(0).normal(size=(50, 3))
    with pytest.raises(ValueError, match="names column -9, but X has 3"):
        VAETransformer(categorical_features=[-9, 0], **QUICK).fit(X)
    with pytest.raises(ValueError, match="names column 3, but X has 3"):
        VAETransformer(categorical_features=[0, 3], **QUICK).fit(X)


@pytest.mark.parametrize(
    "column",
    [[2.2e-311, 0.0], [1e-310, 2e-310, 5e-324, 0.0], [1.0, 0.0, 2e-311, 0.0]],
)
def test_subnormal_numbers_neither_overflow_nor_get_lost(column):
    X = np.tile(column, 5)[:, None]
    vae = VAETransformer(**QUICK).fit(X)
    assert np.isfinite(vae.score_samples(X)).all()
    drawn = vae.sample(20, random_state=0)
    assert drawn.min() >= X.min()
    assert drawn.max() <= X.max()


SEEDS = 0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.slow
def test_draws_outside_the_bounds_are_not_replaced_by_atoms(seed):
    """Half of the smooth part of the density is below the minimum."""
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(800) < 0.3, 2**62, rng.integers(-(10**6), 10**6, 800))
    table = pd.DataFrame({"x": x, "y": rng.normal(size=800)})
    vae = VAETransformer(random_state=0).fit(table)
    drawn = vae.sample(4000, random_state=0)["x"]
    assert proportion_at(drawn, 2**62) == pytest.approx(proportion_at(x, 2**62), abs=0.05)
