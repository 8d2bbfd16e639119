"""What a column is, what its cells are worth, and that its masses sum to one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from columns import column_of
from frames import pandas_frame

from skvae import VAETransformer
from skvae._table.reading import read_table


def fit(values, categorical=False, weights=None, **pooling):
    table = read_table(pd.DataFrame({"c": values}))
    weights = np.ones(len(values)) if weights is None else weights
    return column_of("c", table.cells(0), weights, categorical, **pooling)


def measure(column, values):
    return column.encode(read_table(pd.DataFrame({"c": values})).cells(0)).log_measure


def test_kinds():
    X = pandas_frame()
    expected = {
        "float64": "continuous", "whole_float": "continuous", "Float64": "continuous",
        "int8": "integer", "UInt16": "integer", "object_int": "integer", "decimal": "continuous",
        "bool": "boolean", "boolean": "boolean", "object_bool": "boolean",
        "string": "categorical", "category": "categorical", "interval": "ordered",
        "ordered": "ordered", "mixed": "categorical", "period": "categorical",
        "datetime": "datetime", "zoned": "datetime", "timedelta": "datetime", "date": "datetime",
        "constant": "constant", "constant_word": "constant", "empty": "constant",
    }  # fmt: skip
    table = read_table(X)
    for j, name in enumerate(X.columns):
        if name in expected:
            column = column_of(name, table.cells(j))
            assert column.kind == expected[name], name


def test_masses_of_levels_sum_to_one():
    """So do the shares of what a code stands for, with the unknown level."""
    plain = fit(list("aaabbbcc"))
    assert measure(plain, ["a", "b", "c", "new", None]).tolist() == pytest.approx(
        [np.log(8 / 9)] * 3 + [-np.log(9), 0]
    )
    assert np.exp(measure(plain, ["a", "new"])).sum() == pytest.approx(1)
    pooled = fit(["a"] * 5 + ["b"] * 4 + ["r", "s", "s"], min_frequency=3)
    assert pooled.n_codes == 3
    np.testing.assert_allclose(
        np.exp(measure(pooled, ["a", "b", "r", "s", "new"])), [1, 1, 1 / 4, 2 / 4, 1 / 4]
    )


def test_constant_column_scores():
    column = fit([3.5] * 9 + [None])
    assert column.kind == "constant"
    assert measure(column, [3.5, 4.0, None]).tolist() == pytest.approx(
        [np.log(9 / 10), -np.log(10), 0]
    )
    assert measure(fit([None] * 4), [None, 1.0]).tolist() == [0.0, 0.0]
    word = fit(["x"] * 4)
    assert measure(word, ["x", "y", None]).tolist() == pytest.approx([np.log(4 / 5), -np.log(5), 0])


def test_pooling_follows_one_hot_encoder():
    values = ["a"] * 50 + ["b"] * 30 + ["c"] * 15 + ["d"] * 4 + ["e"]
    assert fit(values, min_frequency=None).n_codes == 5
    assert fit(values, min_frequency=5).n_codes == 4  # d and e pooled
    assert fit(values, min_frequency=0.2).n_codes == 3
    assert fit(values, min_frequency=None, max_categories=3).n_codes == 3
    assert fit(values, min_frequency=2, max_categories=None).pooled.tolist() == [4]


def test_decoding_a_pool_draws_its_levels_by_count():
    column = fit(["a"] * 50 + ["r"] * 3 + ["s"], min_frequency=5)
    codes = np.ones(4000, dtype=int)
    drawn = column.decode(codes, np.random.default_rng(0)).values
    assert (drawn == column.levels.index("r")).mean() == pytest.approx(0.75, abs=0.03)
    assert set(column.decode(codes).values) == {column.levels.index("r")}


def test_weights_count_as_repetitions():
    once = fit(list("abcab"), weights=np.array([1.0, 2, 1, 3, 1]))
    repeated = fit(list("abbcaaab"))
    np.testing.assert_array_equal(once.counts, repeated.counts)
    x = np.array([1.0, 2.0, 5.0])
    a, b = fit(x, weights=np.array([3.0, 1, 2])), fit(np.repeat(x, [3, 1, 2]))
    assert a.map == b.map


def test_ordered_categories_keep_their_order_and_levels_sort():
    sizes = pd.Categorical(["m", "s", "l", "m"] * 2, categories=["s", "m", "l"], ordered=True)
    assert fit(sizes).levels == ("s", "m", "l")
    assert fit(list("cab") * 2).levels == ("a", "b", "c")


def test_datetimes_are_scored_in_days():
    days = pd.date_range("2020-01-01", periods=100, freq="D")
    for stored in (days.as_unit("s"), days.as_unit("ns")):
        column = fit(stored, is_mass=False)
        np.testing.assert_allclose(
            measure(column, stored)[0], column.map.log_derivative(np.array([0.0]))[0]
        )
        assert column.maximum == 99
        assert column.resolution == 1


def test_datetime_unit_may_differ_at_use_time():
    days = pd.date_range("2020-01-01", periods=50, freq="D")
    X = pd.DataFrame({"t": days.as_unit("ns"), "x": np.arange(50.0)})
    vae = VAETransformer(max_iter=1, random_state=0).fit(X)
    other = X.assign(t=days.as_unit("s"))
    np.testing.assert_array_equal(vae.score_samples(X), vae.score_samples(other))


def test_wrong_type_at_use_time_names_the_column():
    X = pandas_frame()[["float64", "datetime"]]
    vae = VAETransformer(max_iter=1, random_state=0).fit(X)
    with pytest.raises(TypeError, match="Column 'float64' was fitted as continuous, but now holds"):
        vae.transform(X.assign(float64="word"))
    with pytest.raises(TypeError, match="Column 'datetime' was fitted as datetime"):
        vae.transform(X.assign(datetime=3.0))
    with pytest.raises(TypeError, match="'datetime' was fitted as datetime, but now holds a dur"):
        vae.transform(X.assign(datetime=pd.Timedelta(days=1)))
    assert np.isfinite(vae.score_samples(X.assign(datetime=pd.NaT))).all()


def test_numbers_may_be_categories():
    X = np.array([[1.0, 7.0], [2.0, 8.0], [1.0, 9.0], [2.0, 7.5]] * 10)
    vae = VAETransformer(max_iter=1, random_state=0, categorical_features=[0]).fit(X)
    assert vae.schema_.columns[0].kind == "categorical"
    assert set(vae.sample(20, random_state=0)[:, 0]) <= {1.0, 2.0}
    assert np.isfinite(vae.score_samples([[3.0, 7.0]])).all()


def test_integer_masses_sum_to_one_under_any_map():
    """Also where the map is logarithmic: cells are scaled by their edges."""
    rng = np.random.default_rng(0)
    counts = np.append(rng.poisson(3, size=300), [200, 20_000])
    vae = VAETransformer(
        likelihood="discretized_logistic",
        random_state=0,
        max_iter=3,
        hidden_layer_sizes=(8,),
        n_importance_samples=1024,
    ).fit(pd.DataFrame({"n": counts}))
    assert vae.schema_.columns[0].map.core < 10
    grid = pd.DataFrame({"n": np.arange(-1000, 5000)})
    assert np.exp(vae.score_samples(grid)).sum() == pytest.approx(1, abs=0.02)
