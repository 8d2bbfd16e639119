"""Columns after more rows: what partial_fit updates, and what stays."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skvae import VAETransformer

QUICK = {"hidden_layer_sizes": (8,), "random_state": 0}


def test_bounds_follow_the_batches():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4020, 2))
    vae = VAETransformer(1, random_state=0).partial_fit(X[:20])
    for _ in range(4):
        vae.partial_fit(X[20:])
    drawn = vae.sample(4000, random_state=0)
    assert drawn.std(0) == pytest.approx([1.0, 1.0], abs=0.12)
    column = vae.schema_.columns[0]
    assert (column.minimum, column.maximum) == (X[:, 0].min(), X[:, 0].max())
    filled = vae.impute(np.column_stack([X[:50, 0], np.full(50, np.nan)]), n_draws=20)
    assert np.std(filled) > 0.5


def test_integers_and_dates_before_the_first_are_exact():
    day = np.datetime64("2020-06-01", "D")
    first = pd.DataFrame({"k": 2**60 + np.arange(100), "d": day + np.arange(100)})
    second = pd.DataFrame({"k": 2**60 - np.arange(1000, 2000), "d": day - np.arange(1000, 2000)})
    vae = VAETransformer(1, **QUICK).partial_fit(first).partial_fit(second)
    for table in (first, second):
        rows = [column.encode(cells) for column, cells in _cells(vae, table)]
        decoded = [
            c.decode(r.values).values for (c, _), r in zip(_cells(vae, table), rows, strict=True)
        ]
        scale = np.ptp(np.append(first["k"], second["k"]).astype(float))
        error = np.abs(decoded[0].astype(np.int64) - table["k"].to_numpy()).astype(float)
        assert error.max() < 1e-6 * scale + 1
        ticks = table["d"].to_numpy().astype("M8[D]").astype(np.int64)
        unit = vae.schema_.columns[1].unit
        days = decoded[1].astype(f"M8[{unit}]").astype("M8[D]").astype(np.int64)
        np.testing.assert_array_equal(days, ticks)
    drawn = vae.sample(200, random_state=0)
    assert drawn["k"].min() >= second["k"].min()
    assert drawn["d"].min() >= second["d"].min()


@pytest.mark.parametrize("library", ["pandas", "polars", "arrow"])
def test_bounds_of_integers_and_instants_are_exact_after_updates(library):
    rng = np.random.default_rng(0)
    ends = np.array([-(2**63), 2**63 - 1])
    first = pd.DataFrame({"k": 2**61 + rng.integers(0, 1000, 80), "x": rng.normal(size=80)})
    first["t"] = np.datetime64("2020-01-01", "us") + rng.integers(0, 10**6, 80).astype("m8[us]")
    second = first.assign(k=np.where(np.arange(80) % 2, *ends))
    second["t"] = np.datetime64("9999-12-31T23:59:59.999999", "us")
    convert = {"pandas": lambda X: X, "polars": pl.from_pandas, "arrow": pa.Table.from_pandas}
    vae = VAETransformer(1, **QUICK)
    for table in (first, second):
        vae.partial_fit(convert[library](table))
    integers, _, times = vae.schema_.columns
    decoded = integers.decode(integers.rescaled(np.array([integers.minimum, integers.maximum])))
    np.testing.assert_array_equal(decoded.values, ends)
    last = times.decode(times.rescaled(np.array([times.maximum]))).values
    np.testing.assert_array_equal(last.astype("M8[us]"), second["t"].to_numpy()[:1])
    drawn = vae.sample(100, random_state=0)
    assert len(drawn) == 100


def _cells(vae, table):
    from skvae._table.reading import read_table

    read = read_table(table)
    return [(column, read.cells(j)) for j, column in enumerate(vae.schema_.columns)]


def test_decimals_steps_and_resolution_follow():
    rng = np.random.default_rng(0)
    tens = pd.DataFrame({"x": rng.integers(0, 100, 300) * 10.0, "y": rng.normal(size=300)})
    fine = tens.assign(x=rng.integers(0, 4000, 300) / 4)
    vae = VAETransformer(1, **QUICK).partial_fit(tens)
    assert (vae.schema_.columns[0].step, vae.schema_.columns[0].decimals) == (10, 0)
    before = vae.model_.groups[0].resolution.clone()
    vae.partial_fit(fine[:200])
    column = vae.schema_.columns[0]
    assert (column.step, column.decimals, column.resolution) == (25, 2, 0.25)
    assert (vae.model_.groups[0].resolution < before).any()
    drawn = vae.sample(300, random_state=0)["x"]
    np.testing.assert_array_equal(drawn, (drawn * 4).round() / 4)


def test_counts_of_levels_and_patterns_of_missing_values_follow():
    rare = pd.DataFrame({"c": list("aaaaaaabbb") * 10 + list("xyz"), "v": np.arange(103.0)})
    rare.loc[3, "v"] = None
    vae = VAETransformer(1, **QUICK).partial_fit(rare)
    more = pd.DataFrame(
        {"c": ["z"] * 50 + ["a"] * 50, "v": np.where(np.arange(100) % 2, 1.0, np.nan)}
    )
    vae.partial_fit(more)
    column = vae.schema_.columns[0]
    assert dict(zip(column.levels, column.counts, strict=True)) == {
        "a": 120, "b": 30, "x": 1, "y": 1, "z": 51
    }  # fmt: skip
    assert column.weight == 203
    drawn = vae.sample(4000, random_state=0, missing="as_seen")
    assert drawn["v"].isna().mean() == pytest.approx(51 / 203, abs=0.1)
    pooled = drawn["c"][drawn["c"].isin(list("xyz"))]
    assert (pooled == "z").mean() > 0.85


def test_weights_of_booleans_and_constants_follow():
    first = pd.DataFrame({"b": [True, False] * 20, "k": [7] * 40, "x": np.arange(40.0)})
    vae = VAETransformer(1, **QUICK).partial_fit(first)
    vae.partial_fit(first.assign(b=True)[:20])
    boolean, constant, _ = vae.schema_.columns
    assert boolean.probability == pytest.approx(40 / 60)
    assert (constant.value, constant.weight) == (7, 60)


def test_columns_do_not_change():
    X = np.random.default_rng(0).normal(size=(100, 2))
    vae = VAETransformer(1, **QUICK).partial_fit(X)
    column = vae.schema_.columns[0]
    with pytest.raises(AttributeError, match="cannot assign"):
        column.minimum = 0.0
    vae.partial_fit(1.1 * X[:50])
    assert column.maximum == X[:, 0].max() < vae.schema_.columns[0].maximum
    assert vae.schema_.columns[0].map is column.map


@pytest.mark.slow
def test_batches_have_equal_parts_in_the_prior():
    """The exemplars are a uniform sample of all batches, however many came."""
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(500, 3)) + 4 * (i % 2) for i in range(8)]
    vae = VAETransformer(2, **QUICK)
    for batch in batches:
        vae.partial_fit(batch)
    prior = vae.model_.prior
    from skvae._model.rows import row_hashes

    keys = [row_hashes(vae.schema_.encode(_table(b)).float()).view(np.int64) for b in batches]
    weight = prior.weight.numpy() / float(prior.weight.sum())
    parts = [weight[np.isin(prior.key.numpy(), k)].sum() for k in keys]
    assert sum(parts) == pytest.approx(1.0)
    assert np.allclose(parts, 1 / 8, atol=0.04)


def _table(X):
    from skvae._table.reading import read_table

    return read_table(X)


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
@pytest.mark.parametrize("other", ["s", "ns"])
def test_steps_of_time_are_exact_however_far_apart_the_instants_are(unit, other):
    """A span of years in nanoseconds is beyond the integers of float64."""
    rng = np.random.default_rng(0)
    monday, x = np.datetime64("2020-01-06"), rng.normal(size=80)
    first = monday + 7 * rng.integers(0, 100, 80)
    second = monday - 7 * rng.integers(100, 1000, 80)
    vae = VAETransformer(1, **QUICK)
    for days, stored in ((first, unit), (second, other)):
        vae.partial_fit(pd.DataFrame({"t": days.astype("M8[s]").astype(f"M8[{stored}]"), "x": x}))
    column = vae.schema_.columns[0]
    assert column.resolution == 7
    drawn = vae.sample(300, random_state=0)["t"]
    assert (drawn.dt.day_of_week == 0).all()
    assert (drawn == drawn.dt.normalize()).all()
    assert drawn.min() >= second.min()
    vae.partial_fit(pd.DataFrame({"t": (first + 1).astype("M8[ns]"), "x": x}))
    assert vae.schema_.columns[0].resolution == 1


def test_resolution_follows_batches_of_one_row():
    X = np.random.default_rng(0).normal(size=(40, 2))
    vae = VAETransformer(1, **QUICK).partial_fit(X[:5])
    first = vae.schema_.columns[0].resolution
    for row in X[5:]:
        vae.partial_fit(row[None])
    assert vae.schema_.columns[0].resolution < first / 2


def test_rates_of_informative_missing_values_follow():
    X = np.random.default_rng(0).normal(size=(200, 2))
    X[:20, 0] = np.nan
    vae = VAETransformer(1, informative_missing=["x0"], **QUICK).partial_fit(X)
    X[:100, 0] = np.nan
    vae.partial_fit(X, sample_weight=np.full(200, 3.0))
    rates = [column.missing_rate for column in vae.schema_.columns]
    assert rates[0] == pytest.approx((20 + 300) / 800)
    assert np.isnan(rates[1])


NAMES = list("aaaaabbbbb") * 6 + list("xyz")
WAYS = {
    "object": lambda names: pd.DataFrame({"c": names}, dtype=object),
    "string": lambda names: pd.DataFrame({"c": pd.array(names, dtype="string")}),
    "category": lambda names: pd.DataFrame({"c": pd.Categorical(names)}),
    "polars": lambda names: pl.DataFrame({"c": names}),
    "polars categorical": lambda names: pl.DataFrame({"c": pl.Series(names, dtype=pl.Categorical)}),
    "dictionary": lambda names: pa.table({"c": pa.array(names).dictionary_encode()}),
    "text array": lambda names: np.array(names)[:, None],
}


def drawn_levels(vae):
    drawn = vae.sample(500, random_state=0)
    if isinstance(drawn, np.ndarray):
        return set(drawn[:, 0].tolist())
    return set(drawn["c"].to_pylist() if isinstance(drawn, pa.Table) else drawn["c"].to_list())


@pytest.mark.parametrize("name", WAYS)
def test_new_levels_join_the_pool(name):
    first, second = WAYS[name](NAMES), WAYS[name](["longer"] * 60)
    vae = VAETransformer(1, **QUICK).partial_fit(first).partial_fit(second)
    column = vae.schema_.columns[0]
    assert column.levels == ("a", "b", "x", "y", "z", "longer")
    assert (column.n_codes, column.counts[-1], column.weight) == (3, 60, 123)
    known, unknown = vae.score_samples(second)[0], vae.score_samples(WAYS[name](["other"]))[0]
    assert known - unknown == pytest.approx(np.log(60), abs=0.1)
    assert "longer" in drawn_levels(vae)
    assert drawn_levels(vae) <= {*NAMES, "longer"}


def test_new_levels_stay_unknown_where_they_are_few_or_have_no_place():
    complete, second = NAMES[:60], ["new"] * 20
    vae = VAETransformer(1, **QUICK).partial_fit(WAYS["object"](complete))
    with pytest.warns(UserWarning, match="Column 'c' holds the new levels 'new'"):
        vae.partial_fit(WAYS["object"](second[:5]))
    assert vae.schema_.columns[0].levels == ("a", "b")
    vae.partial_fit(WAYS["object"](second[5:]))
    assert vae.schema_.columns[0].levels == ("a", "b", "new")
    assert vae.schema_.columns[0].weight == 80
    ordered = pd.DataFrame({"c": pd.Categorical(NAMES, ordered=True)})
    vae = VAETransformer(1, **QUICK).partial_fit(ordered)
    with pytest.warns(UserWarning, match="Column 'c' holds the new levels 'new'"):
        vae.partial_fit(pd.DataFrame({"c": pd.Categorical(second, ordered=True)}))
    assert "new" not in vae.schema_.columns[0].levels
    assert drawn_levels(vae) <= set(NAMES)
    strict = VAETransformer(1, handle_unknown="error", **QUICK).partial_fit(WAYS["object"](NAMES))
    with pytest.raises(ValueError, match="unknown categories"):
        strict.partial_fit(WAYS["object"](second))


def a_narrow_table():
    number = np.random.default_rng(0).normal(size=200)
    table = pd.DataFrame({
        "number": number,
        "level": np.where(number > 0, "x", "y"),
        "constant": 1,
        "pooled": np.where(np.arange(200) < 190, "often", "rare"),
        "empty": np.nan,
    })  # fmt: skip
    table.loc[199, "pooled"] = "rarest"
    return table


def test_what_is_too_little_to_fit_columns_to_is_named_once():
    first = a_narrow_table()
    vae = VAETransformer(1, max_iter=1, min_frequency=20, **QUICK).partial_fit(first)
    vae.partial_fit(first.assign(number=first["number"] * 1.5, pooled="new")[:10])
    later = first.assign(number=40.0, level="z", constant=2, empty=3.0)[:5]
    with pytest.warns(UserWarning, match="a tenth of the rows") as found:
        vae.partial_fit(later)
    for name, values in (("number", "40"), ("level", "'z'"), ("constant", "2"), ("empty", "3.0")):
        (message,) = (str(w.message) for w in found if f"Column '{name}' holds" in str(w.message))
        assert values in message
    assert len(found) == 4
    assert all(w.filename == __file__ for w in found)
    vae.partial_fit(later)


def test_what_a_tenth_of_the_rows_widens_is_widened():
    """Levels, range, a constant and an empty column are those of all rows, as in fit."""
    first = a_narrow_table()
    later = first.assign(number=10 + first["number"], level="z", constant=np.arange(200) % 3,
                         empty=first["number"])[:40]  # fmt: skip
    vae = VAETransformer(1, **QUICK).partial_fit(first).partial_fit(later)
    number, level, constant, _, empty = vae.schema_.columns
    assert (level.levels, constant.kind, empty.kind) == (("x", "y", "z"), "integer", "continuous")
    whole = VAETransformer(1, **QUICK).fit(pd.concat([first, later])).schema_.columns[0]
    assert (number.minimum, number.maximum) == (whole.minimum, whole.maximum)
    assert number.map.scale == pytest.approx(whole.map.scale)
    drawn = vae.sample(2000, random_state=0)
    assert {"x", "y", "z"} == set(drawn["level"])
    assert drawn["number"].max() > 8
