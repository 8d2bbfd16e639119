"""Drawn and decoded rows keep constraints exactly, in every container and dtype."""

from __future__ import annotations

import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.base import clone

import skvae
from skvae import VAETransformer
from skvae._constraints.keeping import keep
from skvae._constraints.relations import FittedSum
from skvae._constraints.values import Values
from skvae._table.reading import read_table
from skvae.constraints import Determined, FixedCombinations, Inequality, Sum, Unique

N = 300


def quick(**params):
    defaults = {
        "max_iter": 2,
        "hidden_layer_sizes": (8,),
        "random_state": 0,
        "early_stopping": False,
    }
    return VAETransformer(**{**defaults, **params})


def a_table(n=N, seed=0):
    """One column at least of every kind of relation."""
    rng = np.random.default_rng(seed)
    code = rng.choice(["A1", "A2", "B1", "B2", "C1"], n)
    children, adults = rng.poisson(1, n), 1 + rng.poisson(2, n)
    net = rng.gamma(2, 30, n).round(2)
    loan = rng.gamma(3, 100, n).round()
    start = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D")
    stay = pd.to_timedelta(rng.integers(1, 40, n), unit="D")
    return pd.DataFrame({
        "code": code,
        "letter": pd.Categorical([each[0] for each in code]),
        "again": code,
        "children": children,
        "adults": adults,
        "guests": children + adults,
        "net": net,
        "gross": (1.2 * net).round(2),
        "loan": loan,
        "balance": (loan * rng.beta(2, 1, n)).round(2),
        "start": start,
        "stay": stay,
        "end": start + stay,
        "noise": rng.normal(size=n),
    })  # fmt: skip


RELATIONS = {
    "letter": lambda t: t["code"].astype(str).str[0] == t["letter"].astype(str),
    "again": lambda t: t["code"] == t["again"],
    "guests": lambda t: t["guests"] == t["children"] + t["adults"],
    "gross": lambda t: (t["gross"] - 1.2 * t["net"]).abs() <= 0.0050001,
    "balance": lambda t: t["balance"] <= t["loan"],
    "end": lambda t: t["end"] == t["start"] + t["stay"],
}


def kept(table, without=()):
    return {
        name: bool(holds(table).all()) for name, holds in RELATIONS.items() if name not in without
    }


ALL = dict.fromkeys(RELATIONS, True)
TABLE = a_table()
VAE = quick().fit(TABLE)


def test_the_relations_of_the_table_are_found():
    assert kept(TABLE) == ALL
    found = VAE.constraints_
    assert Sum("guests", ["children", "adults"]) in found
    assert Sum("gross", ["net"], [1.2]) in found
    assert Sum("end", ["start", "stay"]) in found
    assert Inequality("balance", "loan") in found
    assert Determined("again", ["code"]) in found
    assert Determined("letter", ["code"]) in found
    assert len(found) == 6


def test_drawn_rows_keep_them():
    rows = VAE.sample(2000, random_state=0)
    assert kept(rows) == ALL
    assert (rows.dtypes == TABLE.dtypes).all()
    for name in ("children", "adults", "guests", "net", "gross", "loan", "balance", "start", "end"):
        assert rows[name].between(TABLE[name].min(), TABLE[name].max()).all(), name
    assert False in kept(VAE.sample(500, random_state=0, constraints=None)).values()


def test_decoded_rows_keep_them():
    Z = VAE.transform(TABLE)
    assert kept(VAE.inverse_transform(Z)) == ALL
    assert kept(VAE.inverse_transform(40 * Z)) == ALL  # far outside: at the bounds
    assert kept(VAE.interpolate(TABLE[:4], TABLE[4:8])) == ALL
    assert kept(VAE.traverse(TABLE[:4], 0)) == ALL
    assert kept(VAE.sample(50, random_state=0, mean=True)) == ALL


def test_rows_do_not_depend_on_each_other():
    Z = 3 * VAE.transform(TABLE)
    together = VAE.inverse_transform(Z)
    alone = pd.concat([VAE.inverse_transform(z[None]) for z in Z[:40]], ignore_index=True)
    pd.testing.assert_frame_equal(together[:40], alone, check_exact=False, rtol=1e-9)


def test_draws_are_repeated_and_leave_the_global_streams():
    state = np.random.get_state()[1].copy()
    pd.testing.assert_frame_equal(VAE.sample(90, random_state=3), VAE.sample(90, random_state=3))
    assert (np.random.get_state()[1] == state).all()


@pytest.mark.parametrize("container", ["polars", "pyarrow"])
def test_frames_of_other_libraries(container):
    table = TABLE.astype({"letter": str})
    X = pl.from_pandas(table) if container == "polars" else pa.Table.from_pandas(table)
    vae = quick().fit(X)
    for rows in (vae.sample(400, random_state=0), vae.inverse_transform(vae.transform(X))):
        assert rows.schema == X.schema or container == "pyarrow"
        assert kept(rows.to_pandas()) == ALL


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, "sparse"])
def test_arrays(dtype):
    rng = np.random.default_rng(0)
    parts = rng.poisson(6, size=(N, 2))
    X = np.column_stack([parts, parts.sum(1), parts.sum(1) + rng.poisson(5, N)])
    X = sparse.csr_array(X.astype(float)) if dtype == "sparse" else X.astype(dtype)
    vae = quick().fit(X)
    assert Sum("x2", ["x0", "x1"]) in vae.constraints_
    for rows in (vae.sample(500, random_state=0), vae.inverse_transform(vae.transform(X))):
        assert rows.dtype == X.dtype
        rows = rows.toarray() if dtype == "sparse" else rows
        np.testing.assert_array_equal(rows[:, 2], rows[:, 0] + rows[:, 1])
        assert (rows[:, 2] <= rows[:, 3]).all()


def test_an_object_array():
    X = TABLE[["code", "letter", "children", "adults", "guests"]].to_numpy(dtype=object)
    vae = quick().fit(X)
    rows = vae.sample(200, random_state=0)
    assert all(code[0] == letter for code, letter in rows[:, :2])
    assert (rows[:, 2] + rows[:, 3] == rows[:, 4]).all()


def test_integers_that_floats_cannot_hold():
    a = 2**60 + np.random.default_rng(0).integers(0, 2**20, N)
    X = pd.DataFrame({"a": a, "b": a, "noise": np.random.default_rng(1).normal(size=N)})
    vae = quick().fit(X)
    assert vae.constraints_ == [Sum("b", ["a"])]
    rows = vae.sample(100, random_state=0)
    assert (rows["a"] == rows["b"]).all()


# ------------------------------------------------------------------------------ given cells


@pytest.mark.parametrize(
    "given",
    [
        {"letter": "C"},
        {"again": "B1"},
        {"guests": 6},
        {"guests": 6, "adults": 2},
        {"balance": 300.0},
        {"loan": 150.0},
        {"gross": 60.0},
        {"end": pd.Timestamp("2021-05-05")},
        {"end": pd.Timestamp("2021-05-05"), "stay": pd.Timedelta(days=3)},
    ],
    ids=str,
)
def test_given_cells_stay_as_they_are(given):
    rows = VAE.sample(200, random_state=0, given=given)
    assert kept(rows) == ALL
    for name, value in given.items():
        assert (rows[name] == value).all()


def test_given_rows_of_a_table():
    given = TABLE[["letter", "loan", "adults"]].head(20)
    rows = VAE.sample(3, random_state=0, given=given)
    assert kept(rows) == ALL
    asked = given.iloc[np.repeat(np.arange(20), 3)].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows[given.columns], asked)


@pytest.mark.parametrize(
    "given",
    [{"balance": 300.0, "loan": 200.0}, {"letter": "C", "code": "A1"},
     {"guests": 9, "adults": 2, "children": 3}],
    ids=str,
)  # fmt: skip
def test_given_cells_that_contradict_a_constraint(given):
    with pytest.raises(ValueError, match=r"The cells of 'given' contradict .* in 2 of 2 rows"):
        VAE.sample(2, given=given)
    rows = VAE.sample(2, given=given, constraints=None)
    for name, value in given.items():
        assert (rows[name] == value).all()


@pytest.mark.filterwarnings("ignore:'given' sets column:UserWarning")
def test_given_values_that_did_not_occur_say_nothing():
    n = np.random.default_rng(0).integers(1, 20, N)
    vae = quick().fit(pd.DataFrame({"n": n, "is_large": np.where(n > 9, "yes", "no")}))
    assert vae.constraints_ == [Determined("is_large", ["n"])]
    assert (vae.sample(5, given={"n": 77})["n"] == 77).all()


# ----------------------------------------------------------------------------- one by one


def test_missing_cells_keep_every_constraint():
    table = TABLE.copy()
    table.loc[::5, "guests"] = None
    table.loc[1::7, "letter"] = None
    vae = quick().fit(table)
    assert Sum("guests", ["children", "adults"]) in vae.constraints_
    rows = vae.sample(600, random_state=0, missing="as_seen")
    assert rows["guests"].isna().any()
    assert rows["letter"].isna().any()
    assert kept(rows.dropna()) == ALL
    assert kept(vae.sample(600, random_state=0)) == ALL


def test_inequalities_that_were_declared():
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(N, 3)), columns=list("abc"))
    chain = [Inequality("a", "b"), Inequality("b", "c")]
    vae = quick(constraints=chain).fit(X)
    assert {repr(c) for c in vae.constraints_} == {repr(c) for c in chain}
    for rows in (vae.sample(500, random_state=0), vae.inverse_transform(vae.transform(X))):
        assert ((rows["a"] <= rows["b"]) & (rows["b"] <= rows["c"])).all()
    rows = vae.sample(50, random_state=0, constraints=[Inequality("c", "a", strict=True)])
    assert (rows["c"] < rows["a"]).all()


@pytest.mark.parametrize("unit", ["s", "ns"])
def test_strict_inequalities_of_times_and_integers(unit):
    rng = np.random.default_rng(0)
    day = pd.Timestamp("2022-03-01")
    X = pd.DataFrame({
        "start": (day + pd.to_timedelta(rng.integers(0, 9, N), unit="D")).astype("M8[ms]"),
        "end": (day + pd.to_timedelta(rng.integers(0, 9, N), unit="D")).astype(f"M8[{unit}]"),
        "low": rng.integers(0, 5, N),
        "high": rng.integers(0, 5, N),
    })  # fmt: skip
    strict = [Inequality("start", "end", strict=True), Inequality("low", "high", strict=True)]
    vae = quick(constraints=strict).fit(X)
    for rows in (vae.sample(300, random_state=0), vae.inverse_transform(vae.transform(X))):
        assert (rows["start"] < rows["end"]).all()
        assert (rows["low"] < rows["high"]).all()
        assert rows["low"].between(0, 4).all()
        assert rows["end"].between(X["end"].min(), X["end"].max()).all()


def test_combinations_that_share_columns_agree():
    """Each of three constraints repairs a row around what the others have set."""
    rng = np.random.default_rng(0)
    a, b = rng.choice(np.round(rng.normal(9, 1, 12), 4), 400), rng.choice(8, 400)
    groups = rng.permutation(12)[np.searchsorted(np.unique(a), a)] // 4
    seen = rng.random((12, 8)) < 0.3
    seen[:, 0] = True
    b = np.where(seen[np.searchsorted(np.unique(a), a), b], b, 0)
    table = pd.DataFrame({"a": a, "b": b.astype(float), "group": groups})
    table["sum"] = (table["a"] * (table["b"] + 1)).round(3)
    table["name"] = (table["sum"] * 7 % 3).round(1)
    constraints = [
        Determined("sum", ["a", "b"]),
        FixedCombinations(["a", "group"]),
        Determined("name", ["sum"]),
    ]
    vae = quick(constraints=constraints, max_iter=1).fit(table)
    rows = vae.inverse_transform(rng.normal(size=(300, vae.n_components_)))
    for columns in (["a", "b", "sum"], ["a", "group"], ["sum", "name"]):
        found = rows[columns].merge(table[columns].drop_duplicates(), how="left", indicator=True)
        assert (found["_merge"] == "both").all()


def test_an_inequality_leaves_the_values_of_a_list():
    """The times are above the distances, and each distance, of nine, has a name."""
    rng = np.random.default_rng(0)
    distance = rng.choice([0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 10.0], 200)
    race = np.array([f"{1000 * d:.0f} m" for d in distance])
    time = distance * rng.uniform(1.2, 3, 200)
    table = pd.DataFrame({"distance": distance, "time": time, "race": race})
    constraints = [Determined("race", ["distance"]), Inequality("distance", "time")]
    vae = quick(constraints=constraints).fit(table)
    codes = np.random.default_rng(1).normal(size=(500, vae.n_components_))
    for rows in (vae.inverse_transform(codes), vae.sample(500, random_state=0)):
        assert (rows["distance"] <= rows["time"]).all()
        assert (rows["race"] == [f"{1000 * d:.0f} m" for d in rows["distance"]]).all()


def test_rows_are_drawn_again_by_rejection():
    """The law of what is kept is that of the draws, given the constraint."""
    X = pd.DataFrame(np.random.default_rng(0).integers(0, 3, size=(N, 2)), columns=["a", "b"])
    vae = quick(constraints=[Inequality("a", "b", strict=True)]).fit(X)
    rng = np.random.default_rng(1)

    def draws(rows):
        numbers = rng.integers(0, 3, size=(len(rows), 2)).astype(float)
        nothing = np.zeros(numbers.shape, dtype=bool)
        return Values(vae.schema_.columns, list(numbers.T.copy()), nothing, nothing.copy())

    values = draws(np.arange(30_000))
    keep(values, vae.fitted_model_.relations, lambda j, rows: None, rng, draws, draws)
    pairs, counts = np.unique(np.stack(values.arrays, axis=1), axis=0, return_counts=True)
    assert pairs.tolist() == [[0, 1], [0, 2], [1, 2]]
    np.testing.assert_allclose(counts / 30_000, 1 / 3, atol=0.02)


def test_combinations_are_drawn_by_their_probabilities():
    rng = np.random.default_rng(0)
    pairs = np.array([["I", "small"], ["I", "large"], ["L", "large"]])
    X = pd.DataFrame(pairs[rng.integers(3, size=1500)], columns=["shape", "size"])
    declared = [FixedCombinations(["shape", "size"])]
    vae = quick(constraints=declared, max_iter=60).fit(X)
    assert vae.constraints_ == declared
    rows = vae.sample(4000, random_state=0)
    counts = rows.value_counts(normalize=True)
    assert len(counts) == 3
    assert counts.to_numpy() == pytest.approx([1 / 3] * 3, abs=0.06)
    decoded = vae.inverse_transform(vae.transform(X))
    assert len(decoded.value_counts()) <= 3


def test_functions_of_two_columns_and_their_arguments():
    rng = np.random.default_rng(0)
    ends = np.array([("JFK", "LAX", 2475), ("JFK", "SFO", 2586), ("EWR", "SFO", 2565),
                     ("EWR", "ORD", 719), ("LGA", "ORD", 733)], dtype=object)  # fmt: skip
    X = pd.DataFrame(ends[rng.integers(5, size=400)], columns=["origin", "dest", "distance"])
    X = X.astype({"distance": int})
    vae = quick(constraints=[Determined("distance", ["origin", "dest"])]).fit(X)
    rows = vae.sample(500, random_state=0)
    occurred = set(map(tuple, X.to_numpy()))
    assert set(map(tuple, rows.to_numpy())) <= occurred
    assert set(map(tuple, vae.inverse_transform(vae.transform(X)).to_numpy())) <= occurred
    rows = vae.sample(100, random_state=0, given={"distance": 2565})
    assert set(map(tuple, rows.to_numpy())) == {("EWR", "SFO", 2565)}


def test_functions_with_exceptions_have_them_as_often():
    rng = np.random.default_rng(0)
    code = rng.choice(["A", "B", "C", "D"], 3000)
    rare = rng.random(3000) < 0.01
    name = np.where(rare, "other", np.char.add("name of ", code))
    X = pd.DataFrame({"code": code, "name": name})
    vae = quick().fit(X)
    assert vae.constraints_ == [FixedCombinations(["code", "name"])]
    rows = vae.sample(4000, random_state=0)
    assert set(map(tuple, rows.to_numpy())) <= set(map(tuple, X.to_numpy()))
    is_plain = "name of " + rows["code"] == rows["name"]
    assert 0.9 < is_plain.mean() <= 1


def test_arguments_of_which_the_function_is_missing_are_free():
    rng = np.random.default_rng(0)
    wind = rng.integers(1, 12, 600) * 10
    category = pd.Series(np.where(wind > 60, np.where(wind > 90, "high", "low"), None))
    vae = quick().fit(pd.DataFrame({"wind": wind, "category": category}))
    assert vae.constraints_ == [Determined("category", ["wind"])]
    rows = vae.sample(500, random_state=0)
    assert (rows["wind"] <= 60).mean() > 0.2
    strong = rows[rows["wind"] > 60]
    assert (strong["category"] == np.where(strong["wind"] > 90, "high", "low")).all()


def test_unique_rows():
    X = np.random.default_rng(0).integers(0, 60, size=(N, 2))
    vae = quick().fit(X)
    rows = vae.sample(50, random_state=0, constraints=["fitted", Unique(["x0"])])
    assert len(np.unique(rows[:, 0])) == 50
    given = vae.sample(20, random_state=0, given={"x1": 3}, constraints=[Unique(["x0", "x1"])])
    assert len(np.unique(given[:, 0])) == 20
    with pytest.raises(ValueError, match=r"drawn rows repeat others in the columns of Unique"):
        vae.sample(80, random_state=0, constraints=[Unique(["x0"])])


def test_a_sum_whose_total_is_at_its_bound_moves_its_parts():
    vae = quick().fit(TABLE[["children", "adults", "guests"]])
    (relation,) = vae.fitted_model_.relations
    assert isinstance(relation, FittedSum)
    high = int(TABLE["adults"].max()), int(TABLE["guests"].max())
    rows = pd.DataFrame({"children": [0], "adults": [high[0]], "guests": [high[1]]})
    got = vae.sample(30, given=rows[["guests"]], random_state=0)
    assert (got["children"] + got["adults"] == high[1]).all()
    assert got["children"].between(0, TABLE["children"].max()).all()
    assert got["adults"].between(1, high[0]).all()


def test_constraints_that_exclude_each_other():
    both = [Inequality("x0", "x1", strict=True), Inequality("x1", "x0", strict=True)]
    X = np.random.default_rng(0).normal(size=(60, 2))
    with pytest.raises(ValueError, match="Check that the constraints agree with each other"):
        quick(constraints=both).fit(X).sample(5)


def test_nothing_changes_where_nothing_is_found():
    X = np.random.default_rng(0).normal(size=(N, 3))
    vae = quick().fit(X)
    assert vae.constraints_ == []
    np.testing.assert_array_equal(
        vae.sample(50, random_state=0), vae.sample(50, random_state=0, constraints=None)
    )


def test_the_model_is_the_same_with_and_without():
    without = quick(constraints=None).fit(TABLE)
    assert without.constraints_ == []
    np.testing.assert_array_equal(without.score_samples(TABLE), VAE.score_samples(TABLE))
    pd.testing.assert_frame_equal(
        without.sample(50, random_state=0), VAE.sample(50, random_state=0, constraints=None)
    )


# ------------------------------------------------------------------- saving and continuing


def test_saved_pickled_and_cloned(tmp_path):
    vae = quick(constraints=["auto", Unique(["noise"]), Inequality("net", "gross")]).fit(TABLE)
    path = tmp_path / "model.skvae"
    vae.save(path)
    again = pickle.loads(pickle.dumps(vae))
    assert joblib.hash(again) == joblib.hash(vae)
    for other in (skvae.load(path), again):
        assert other.constraints_ == vae.constraints_
        assert other.constraints == vae.constraints
        pd.testing.assert_frame_equal(
            other.sample(80, random_state=0), vae.sample(80, random_state=0)
        )
        pd.testing.assert_frame_equal(
            other.inverse_transform(vae.transform(TABLE)),
            vae.inverse_transform(vae.transform(TABLE)),
        )
    assert clone(vae).constraints == vae.constraints
    assert clone(vae).fit(TABLE).constraints_ == vae.constraints_


def test_more_rows_take_out_what_they_contradict():
    vae = quick().partial_fit(TABLE)
    assert Sum("guests", ["children", "adults"]) in vae.constraints_
    more = a_table(60, seed=1)
    more.loc[0, "guests"] += 1
    more.loc[1, "code"] = "A2"
    more.loc[1, "letter"] = "A"
    vae.partial_fit(more)
    assert Sum("guests", ["children", "adults"]) not in vae.constraints_
    assert Inequality("balance", "loan") in vae.constraints_
    assert kept(vae.sample(100, random_state=0), without=("guests", "again")) == {
        name: True for name in RELATIONS if name not in ("guests", "again")
    }


def test_more_rows_add_combinations():
    code = np.random.default_rng(0).choice(["A", "B"], 200)
    table = pd.DataFrame({"code": code, "number": np.where(code == "A", 1.0, 2.0)})
    declared = [Determined("number", ["code"])]
    vae = quick(constraints=declared, min_frequency=None, max_categories=2).partial_fit(table)
    more = pd.DataFrame({"code": ["A", "B"] * 9, "number": [1.0, 2.0] * 9})
    vae.partial_fit(more)
    assert vae.constraints_ == declared
    more["number"] = 1.0
    with pytest.raises(ValueError, match=r"Rows of X contradict Determined.*fit again without it"):
        vae.partial_fit(more)


# ----------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        (Inequality("net", "gross"), "must be None, 'auto', or a list"),
        (["net"], "Got 'net' instead"),
        ([3], "Determined, FixedCombinations, Inequality, Sum, Unique. Got 3"),
        ([Inequality("net", "grass")], r"names column 'grass', .*Did you mean 'gross'\?"),
        ([Inequality("net", "code")], "column 'code' is categorical"),
        ([Inequality("net", "start")], "compares a number with a time"),
        ([Sum("gross", ["code"])], "columns of numbers, or of dates and durations"),
        ([Sum("end", ["start", "stay"], [1, 2])], "with coefficients of 1"),
        ([Sum("gross", ["net"], [1, 2])], "one number for each of the 1 parts"),
        ([Sum("gross", ["net"], {"nut": 2})], r"Did you mean 'net'\?"),
        ([Sum("gross", ["net"], [0])], "'coefficients' parameter of Sum must be"),
        ([Sum("gross", [])], "'parts' parameter of Sum must be a list of at least one column"),
        ([Determined("noise", ["code"])], r"is no function of \['code'\]: 5 values .* 300 comb"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_errors_of_fit(constraints, message):
    with pytest.raises(ValueError, match=message):
        quick(constraints=constraints).fit(TABLE)


def test_errors_of_sample():
    with pytest.raises(ValueError, match="must be None, 'fitted', or a list"):
        VAE.sample(2, constraints="auto")
    with pytest.raises(ValueError, match="which a fitted model does not keep"):
        VAE.sample(2, constraints=[FixedCombinations(["code", "guests"])])
    assert kept(VAE.sample(50, random_state=0, constraints=VAE.constraints_)) == ALL


def test_repairs_leave_held_cells():
    relations = VAE.fitted_model_.relations
    rows = VAE.sample(200, random_state=0, constraints=None)
    schema = VAE.schema_
    table = read_table(rows)
    columns = enumerate(schema.columns)
    cells = [c.coerce(table.cells(j, c.type == "label")) for j, c in columns]
    values = Values.of(schema.columns, cells)
    j = list(TABLE.columns).index("guests")
    values.held[:, j] = True
    before = values.arrays[j].copy()
    keep(values, relations, lambda j, rows: _even(schema, j, rows))
    np.testing.assert_array_equal(values.arrays[j], before)
    for relation in relations:
        assert not relation.broken(values, np.arange(200)).any()


def _even(schema, j, rows):
    """The same probability for each level."""
    levels = getattr(schema.columns[j], "levels", None)
    return None if levels is None else np.zeros((len(rows), len(levels)))


@pytest.mark.parametrize("scale", [1, 3, 8])
def test_a_decoded_row_that_cannot_be_repaired_is_that_of_a_code_closer_to_the_origin(scale):
    """Indicators of a year add up to it: few of their combinations are inside all bounds."""
    rng = np.random.default_rng(0)
    year = rng.integers(81, 88, 120)
    indicators = {f"d{y}": (year == y).astype(int) for y in range(82, 88)}
    table = pd.DataFrame({"year": year, **indicators, "x": year + rng.normal(size=120)})
    parts = list(indicators)
    total = Sum("year", parts, coefficients=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], constant=81.0)
    vae = quick(n_components=2, constraints=[total]).fit(table)
    codes = scale * np.random.default_rng(1).normal(size=(500, 2))
    rows = vae.inverse_transform(codes)
    expected = 81 + rows[parts].to_numpy() @ np.arange(1, 7)
    np.testing.assert_array_equal(rows["year"], expected)
    pd.testing.assert_frame_equal(
        vae.inverse_transform(codes[100:110]), rows[100:110].reset_index(drop=True)
    )
