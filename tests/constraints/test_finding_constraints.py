"""Relations are found exactly where every row of a table keeps them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skvae import VAETransformer
from skvae._constraints import dependencies, order, search, values
from skvae._constraints.linear import Combination, combinations
from skvae.constraints import Determined, FixedCombinations, Inequality, Sum


def found(X):
    """The constraints of a table, from a model that is hardly trained."""
    return VAETransformer(
        1, max_iter=1, hidden_layer_sizes=(), init="random", early_stopping=False, random_state=0,
        numeric_transform="standard",
    ).fit(X).constraints_  # fmt: skip


def random_table(rng, n):
    """Columns of many kinds, independent of each other or noisily related."""
    z = rng.normal(size=n)
    return pd.DataFrame({
        "continuous": z + rng.normal(size=n),
        "cents": (20 * z + rng.normal(size=n)).round(2),
        "count": rng.poisson(rng.uniform(0.5, 30), n),
        "spiked": np.where(rng.random(n) < 0.7, 0.0, rng.gamma(2, 10, n).round()),
        "level": rng.choice(list("abcdef"), n),
        "rare": np.where(rng.random(n) < 0.01, "yes", "no"),
        "noisy": np.where(z + rng.normal(size=n) > 0, "high", "low"),
        "identifier": rng.permutation(n),
        "name": [f"n{i}" for i in rng.permutation(n)],
        "flag": rng.random(n) < 0.5,
        "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 400, n), unit="D"),
    })  # fmt: skip


def with_missing(table, rng, rate):
    return table.mask(rng.random(table.shape) < rate) if rate else table


@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 10**6), n=st.sampled_from([45, 120, 400]), rate=st.sampled_from([0, 0.1])
)
def test_nothing_is_found_in_random_tables(seed, n, rate):
    rng = np.random.default_rng(seed)
    assert found(with_missing(random_table(rng, n), rng, rate)) == []


@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.sampled_from([200, 700]),
    rate=st.sampled_from([0, 0.04]),
    constant=st.sampled_from([0.0, 100.0, -2.5]),
    coefficients=st.lists(st.sampled_from([1.0, -1.0, 2.0, 0.5, 100.0]), min_size=1, max_size=3),
)
def test_planted_sums_are_found(seed, n, rate, constant, coefficients):
    rng = np.random.default_rng(seed)
    table = random_table(rng, n)
    parts = ["cents", "continuous", "count"][: len(coefficients)]
    table["total"] = constant + sum(a * table[p] for a, p in zip(coefficients, parts, strict=True))
    table = with_missing(table, rng, rate)
    (constraint,) = found(table)
    assert isinstance(constraint, Sum)
    assert set(constraint.names) == {"total", *parts}
    own = constraint.coefficients or [1.0] * len(constraint.parts)
    terms = sum(a * table[p] for a, p in zip(own, constraint.parts, strict=True))
    left = table[constraint.total] - terms - constraint.constant
    assert left.abs().max() <= 0.0051


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), rate=st.sampled_from([0, 0.03]), n=st.sampled_from([300, 900]))
def test_planted_functions_are_found(seed, rate, n):
    rng = np.random.default_rng(seed)
    table = random_table(rng, n)
    table["coarse"] = table["level"].map(dict(zip("abcdef", "uuvvww", strict=True)))
    table["copy"] = table["name"].str.upper().str.lower()
    names = {level: f"level {level}" for level in "abcdef"}
    table["long"] = table["level"].map(names)
    assert set(map(repr, found(with_missing(table, rng, rate)))) == {
        repr(Determined("coarse", ["level"])),
        repr(Determined("long", ["level"])),
        repr(Determined("copy", ["name"])),
    }


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), rate=st.sampled_from([0, 0.1]), n=st.sampled_from([300, 900]))
def test_planted_inequalities_are_found(seed, rate, n):
    rng = np.random.default_rng(seed)
    table = random_table(rng, n)
    table["above"] = table["cents"] + rng.exponential(8, n).round(2)
    table["further"] = table["above"] + rng.exponential(8, n).round(2)
    stay = pd.to_timedelta(rng.integers(0, 60, n), unit="D") + pd.to_timedelta(1, unit="h")
    table["later"] = table["day"] + stay
    assert set(map(repr, found(with_missing(table, rng, rate)))) == {
        repr(Inequality("cents", "above")),
        repr(Inequality("above", "further")),
        repr(Inequality("day", "later")),
    }


def test_a_function_of_two_columns():
    rng = np.random.default_rng(0)
    origin, dest = rng.choice(["EWR", "JFK"], 600), rng.choice(["LAX", "SFO", "ORD"], 600)
    zone = np.array([[1, 2, 3], [2, 3, 1]])  # one of the three does not tell another
    rows = np.searchsorted(["EWR", "JFK"], origin), np.searchsorted(["LAX", "ORD", "SFO"], dest)
    X = pd.DataFrame({"origin": origin, "dest": dest, "zone": zone[rows]})
    assert found(X) == [Determined("zone", ["origin", "dest"])]


def test_copies_of_rows_are_no_evidence():
    X = random_table(np.random.default_rng(0), 100)
    assert found(pd.concat([X] * 10, ignore_index=True)) == []


def test_what_is_missing_where_another_column_varies_determines_nothing():
    """The second income is there in joint applications alone."""
    rng = np.random.default_rng(0)
    joint = rng.random(1000) < 0.3
    income = pd.Series(np.where(joint, rng.choice(["checked", "not checked"], 1000), None))
    X = pd.DataFrame({"kind": np.where(joint, "joint", "single"), "second": income})
    assert found(X) == []


def test_a_relation_that_one_row_breaks_is_not_found():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.poisson(9, 9000), "b": rng.poisson(9, 9000)})
    X["total"] = X["a"] + X["b"]
    assert found(X) == [Sum("total", ["a", "b"])]
    X.loc[4321, "total"] += 1
    assert found(X) == [Inequality("a", "total"), Inequality("b", "total")]


def test_sums_in_few_rows_of_the_sample():
    """A term that is 0 in almost all rows: the rows that contradict a shorter sum tell it."""
    rng = np.random.default_rng(0)
    fee = np.where(rng.random(9000) < 0.001, rng.gamma(2, 9, 9000).round(2), 0.0)
    X = pd.DataFrame(
        {"net": rng.gamma(2, 300, 9000).round(2), "tax": rng.gamma(2, 30, 9000), "fee": fee}
    )
    X["tax"] = X["tax"].round(2)
    X["paid"] = (X["net"] + X["tax"] + X["fee"]).round(2)
    (constraint,) = found(X)
    assert set(constraint.names) == {"net", "tax", "fee", "paid"}


def test_units_with_rounding():
    rng = np.random.default_rng(0)
    celsius = rng.normal(15, 8, 800).round(1)
    X = pd.DataFrame({"celsius": celsius, "fahrenheit": (1.8 * celsius + 32).round(1)})
    (constraint,) = found(X)
    assert constraint == Sum("fahrenheit", ["celsius"], [1.8], 32.0)


def test_squares_are_functions():
    n = np.random.default_rng(0).integers(0, 40, 900)
    X = pd.DataFrame({"n": n, "square": n**2, "noise": np.random.default_rng(1).normal(size=900)})
    assert found(X) == [Determined("square", ["n"])]


def test_exceptions_are_kept_as_combinations():
    rng = np.random.default_rng(0)
    code = rng.choice(list("abcd"), 3000)
    X = pd.DataFrame({"code": code, "name": np.where(rng.random(3000) < 0.01, "?", code)})
    assert found(X) == [FixedCombinations(["code", "name"])]


def test_large_tables_are_read_on_demand(monkeypatch):
    rng = np.random.default_rng(0)
    X = random_table(rng, 200)
    X["total"] = X["cents"] + X["count"]
    X["coarse"] = X["level"] < "c"
    at_once = found(X)
    assert len(at_once) == 2
    monkeypatch.setattr(values, "MAX_NUMBERS", 0)
    assert found(X) == at_once


def test_wide_tables_are_searched_on_fewer_rows(monkeypatch):
    rng = np.random.default_rng(0)
    X = random_table(rng, 1500)
    X["above"] = X["continuous"] + rng.exponential(size=1500)
    assert found(X) == [Inequality("continuous", "above")]
    monkeypatch.setattr(search, "MAX_CELLS", (0, 0))
    assert found(X) == [Inequality("continuous", "above")]


def test_small_tables_show_nothing():
    assert found(pd.DataFrame({"a": np.arange(30.0), "b": 2 * np.arange(30.0)})) == []


# ------------------------------------------------------------------------------- the parts


def test_combinations_are_exact():
    x = np.random.default_rng(0).normal(size=(200, 5)).round(3)
    x = np.column_stack([x, x[:, :4].sum(1), 3 * x[:, 4] - 7])
    got = combinations(
        x, [3] * 7, lambda j, size: 1e-9 * size, lambda c: c.total, lambda c: True
    )  # fmt: skip
    by_total = {c.total: c for c in got}
    assert set(by_total) == {5, 6}
    assert isinstance(by_total[5], Combination)
    assert set(by_total[5].parts) == {0, 1, 2, 3}
    np.testing.assert_array_equal(by_total[5].coefficients, 1.0)
    assert by_total[6].parts == (4,)
    assert (by_total[6].coefficients[0], by_total[6].constant) == pytest.approx((3.0, -7.0))


def test_order_without_what_follows():
    rng = np.random.default_rng(0)
    a = rng.normal(size=500)
    b, c = a + rng.exponential(size=500), a + 0.5 + rng.exponential(size=500)
    x = np.column_stack([a, b, np.maximum(b, c), rng.normal(size=500)])
    is_below = order.ordered_pairs(x)
    assert np.argwhere(is_below).tolist() == [[0, 1], [0, 2], [1, 2]]
    assert np.argwhere(order.reduced(is_below)).tolist() == [[0, 1], [1, 2]]


def test_evidence_grows_with_repetitions():
    """r (−log c) in nats: fair coins that agree 70 times are evidence, 30 times not."""
    rng = np.random.default_rng(0)
    for n, expected in ((30, False), (300, True)):
        coin = rng.integers(0, 2, n)
        arrays = [coin, coin, rng.permutation(n)]
        single = dependencies.Search.of(arrays, np.zeros((n, 3), dtype=bool)).single()
        assert single.exact[0, 1] == expected
        assert not single.exact[2].any()
