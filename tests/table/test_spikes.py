"""Codes, limits and other spikes: found, drawn as often as they occur, and no part of the scale."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from skvae import Atoms, VAEOutlierDetector, VAETransformer
from skvae._table.atom_map import AtomMap, with_remote_atoms
from skvae._table.scaling import NumericMap, QuantileMap
from skvae._table.spikes import is_body, prominence, spikes
from skvae._table.transforms import choose_map, fit_numeric, has_edge

N = 1500


def found(x):
    values, counts = np.unique(x, return_counts=True)
    return set(values[spikes(values, counts.astype(float))[0]])


def smooth(name, rng):
    return {
        "normal": rng.normal(size=N),
        "rounded": rng.normal(50, 8, N).round(),
        "heavy": rng.standard_t(1.5, N).round(2),
        "prices": rng.lognormal(8, 1, N).round(-2),
        "counts": rng.negative_binomial(1, 0.1, N).astype(float),
        "few": rng.integers(0, 12, N).astype(float),
        "two humps": np.where(rng.random(N) < 0.4, rng.normal(0, 1, N), rng.normal(90, 1, N)).round(
            1
        ),
    }[name]


@pytest.mark.parametrize("name", ["normal", "rounded", "heavy", "counts", "few", "two humps"])
def test_no_spike_in_a_smooth_column(name):
    for seed in range(5):
        assert not found(smooth(name, np.random.default_rng(seed)))


def test_round_numbers_are_not_dozens_of_spikes():
    for seed in range(5):
        assert len(found(smooth("prices", np.random.default_rng(seed)))) <= 8


@pytest.mark.parametrize("share", [0.005, 0.02, 0.1, 0.4, 0.8])
@pytest.mark.parametrize("name", ["normal", "rounded", "few", "counts"])
def test_codes_are_spikes(name, share):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x = np.where(rng.random(N) < share, 99_999.0, smooth(name, rng))
        assert found(x) == {99_999.0}


def test_several_codes_and_neighboring_ones():
    rng = np.random.default_rng(0)
    x = rng.normal(40, 10, N).round()
    for code, at in ((-999, 0.02), (9997, 0.05), (9998, 0.03), (9999, 0.01)):
        x[rng.random(N) < at] = code
    assert found(x) == {-999, 9997, 9998, 9999}


def test_a_single_far_value_is_an_outlier_not_a_spike():
    x = np.append(np.random.default_rng(0).normal(size=N), [1e6, 1e6])
    assert not found(x)


def test_weights_are_repetitions():
    rng = np.random.default_rng(0)
    x = np.append(rng.normal(size=300).round(2), np.full(40, 1e4))
    values, counts = np.unique(x, return_counts=True)
    twice = np.unique(np.repeat(x, 2), return_counts=True)[1].astype(float)
    np.testing.assert_array_equal(spikes(values, 2.0 * counts), spikes(values, twice))
    assert spikes(values, 2.0 * counts)[0].any()


def test_prominence_is_relative_to_the_neighbors():
    counts = np.ones(30)
    counts[[3, 20]] = 8, 2
    np.testing.assert_allclose(prominence(counts)[[0, 3, 20]], [1, 8, 2])


def test_far_levels_are_not_part_of_the_body():
    np.testing.assert_array_equal(is_body(np.array([1.0, 2, 3, 1e8])), [True] * 3 + [False])
    np.testing.assert_array_equal(
        is_body(np.array([-1e9, 0, 5, 9, 1e12])), [False] + [True] * 3 + [False]
    )
    assert is_body(np.array([0.0, 1e8])).all()
    assert is_body(np.arange(5.0)).all()


def test_remote_atoms_are_near_and_come_back():
    inner, rest = NumericMap(10.0, 2.0), np.linspace(4, 16, 50)
    atoms = np.array([-1e6, 3.0, 1e8, 2e8])
    moved = with_remote_atoms(inner, atoms, np.full(4, 1e-6), rest)
    assert isinstance(moved, AtomMap)
    y = moved.forward(atoms)
    assert (np.diff(y) > 0).all()
    assert np.abs(y).max() < 8
    assert y[1] == inner.forward(atoms[1:2])[0]
    np.testing.assert_allclose(moved.inverse(y), atoms)
    np.testing.assert_allclose(moved.inverse(np.float64(np.float32(y))), atoms)
    others = np.array([5.0, 1e4, 1e7, -50.0])
    np.testing.assert_array_equal(moved.forward(others), inner.forward(others))


CODES = {
    "float": lambda x, coded: np.where(coded, 1e7 + 0.5, x),
    "integer": lambda x, coded: np.where(coded, -(10**12), x.round()).astype("int64"),
    "nullable": lambda x, coded: pd.array(np.where(coded, 999_999, x.round()), dtype="Int64"),
    "date": lambda x, coded: pd.Series(
        np.where(coded, np.datetime64("1677-10-01"), np.datetime64("2015-03-01") + x.astype(int))
    ).astype("M8[s]"),
}


@pytest.mark.parametrize(("kind", "share"), [
    ("float", 0.03),
    *(pytest.param(*case, marks=pytest.mark.slow)
      for case in [("date", 0.35), ("integer", 0.35), ("nullable", 0.7), ("date", 0.03)]),
])  # fmt: skip
def test_a_code_does_not_set_the_scale(kind, share):
    rng = np.random.default_rng(1)
    z = rng.normal(size=N)
    x, coded = 400 + 60 * z, rng.random(N) < share
    table = pd.DataFrame({"z": z + 0.1 * rng.normal(size=N), "x": CODES[kind](x, coded)})
    vae = VAETransformer(random_state=0).fit(table)
    drawn = vae.sample(3000, random_state=0)["x"]
    code, rest = table["x"][coded].iloc[0], table["x"][~coded]
    is_code = (drawn == code).to_numpy(bool)
    assert is_code.mean() == pytest.approx(coded.mean(), abs=0.04)
    inside = drawn[~is_code]
    assert inside.min() >= rest.min()
    assert inside.max() <= rest.max()
    days = (lambda v: v.to_numpy("M8[s]").astype(float) / 86400) if kind == "date" else (
        lambda v: v.to_numpy(float)
    )  # fmt: skip
    assert days(inside).std() == pytest.approx(days(rest).std(), rel=0.15)
    back = vae.inverse_transform(vae.transform(table))["x"]
    if share > 0.1:
        assert set(back[coded]) == {code}


@pytest.mark.slow
def test_an_outlier_beside_codes_is_unlikely():
    rng = np.random.default_rng(0)
    x = np.where(rng.random(N) < 0.4, 1e8, rng.normal(30, 4, N).round(1))
    table = pd.DataFrame({"x": x, "y": rng.normal(size=N)})
    rows = pd.DataFrame({"x": [30.0, 400.0, 5e6, 1e8], "y": 0.0})
    for estimator in (VAETransformer(random_state=0), VAEOutlierDetector(random_state=0)):
        usual, odd, odder, code = estimator.fit(table).score_samples(rows)
        assert min(usual, code) > max(odd, odder) + 3


@pytest.mark.slow
def test_a_column_of_codes_and_few_levels():
    x = np.random.default_rng(0).choice([1.0, 2.0, 3.0, 1e9], size=900, p=[0.3, 0.3, 0.3, 0.1])
    vae = VAETransformer(random_state=0).fit(pd.DataFrame({"x": x, "y": x <= 1}))
    levels = vae.schema_.columns[0].map.forward(np.array([1.0, 2.0, 3.0, 1e9]))
    assert np.diff(levels).min() > 0.3
    shares = vae.sample(4000, random_state=0)["x"].value_counts(normalize=True)
    assert shares[1e9] == pytest.approx((x == 1e9).mean(), abs=0.03)


def test_atoms_that_are_asked_for():
    rng = np.random.default_rng(0)
    rate = rng.choice(np.round(rng.uniform(1, 9, 58), 2), size=1200)
    table = pd.DataFrame({"rate": rate})
    vae = VAETransformer(likelihood={"rate": "atoms"}, max_iter=30, random_state=0).fit(table)
    assert vae.likelihood_reasons_["rate"] == "user-specified"
    drawn = vae.sample(500, random_state=0)["rate"]
    assert drawn.isin(rate).mean() > 0.98  # values that occur less than five times are no atoms
    some = VAETransformer(likelihood={"rate": Atoms(min_share=0.02)}, max_iter=1).fit(table)
    shares = table["rate"].value_counts(normalize=True)
    assert len(some.schema_.columns[0].atoms) == (shares >= 0.02).sum()
    smooth_column = pd.DataFrame({"rate": rng.normal(size=300)})
    with pytest.raises(
        ValueError, match=r"no value of column 'rate' occurs 5 times: the most .*StudentT"
    ):
        VAETransformer(likelihood={"rate": "atoms"}).fit(smooth_column)


def bounded(name, rng, n=2000):
    return {
        "uniform": rng.uniform(3, 4, n),
        "arcsine": 100 * rng.beta(0.5, 0.5, n),
        "exponential": rng.exponential(2, n),
        "half normal": np.abs(rng.normal(size=n)),
        "ages": rng.integers(18, 91, n).astype(float),
    }[name]


@pytest.mark.parametrize("name", [
    "ages",
    *(pytest.param(n, marks=pytest.mark.slow)
      for n in ("uniform", "arcsine", "exponential", "half normal")),
])  # fmt: skip
@pytest.mark.slow
def test_columns_with_abrupt_ends_keep_their_spread(name):
    rng = np.random.default_rng(5)
    table = pd.DataFrame({"x": bounded(name, rng), "other": rng.normal(size=2000)})
    if name == "ages":
        table["x"] = table["x"].astype(int)
    drawn = VAETransformer(random_state=0).fit(table).sample(5000, random_state=0)
    assert drawn["x"].std() == pytest.approx(table["x"].std(), rel=0.06)
    levels = [0.02, 0.1, 0.5, 0.9, 0.98]
    gap = np.quantile(drawn["x"], levels) - np.quantile(table["x"], levels)
    assert np.abs(gap).max() < 0.12 * table["x"].std()


def test_which_columns_have_abrupt_ends():
    rng = np.random.default_rng(0)
    ones = np.ones(2000)
    for name in ("uniform", "arcsine", "exponential", "half normal"):
        x = np.sort(bounded(name, rng))
        assert has_edge(x, ones)
        assert isinstance(choose_map(x, ones), QuantileMap)
    for x in (rng.normal(size=2000), rng.standard_t(2, 2000), rng.gamma(8, size=2000)):
        assert not has_edge(np.sort(x), ones)
        assert choose_map(np.sort(x), ones) == fit_numeric(np.sort(x), ones)


def test_a_transform_that_is_asked_for_is_kept():
    x = np.random.default_rng(0).uniform(size=(600, 2))
    vae = VAETransformer(numeric_transform="standard", max_iter=1, random_state=0).fit(x)
    assert all(isinstance(column.map, NumericMap) for column in vae.schema_.columns)


def test_few_repetitions_in_a_small_column_are_no_atoms():
    x = np.random.default_rng(0).normal(size=20).round(1)
    x[:4] = 0.5
    vae = VAETransformer(max_iter=1, random_state=0).fit(pd.DataFrame({"x": x, "y": x[::-1]}))
    assert "Atoms" not in repr(vae.likelihood_["x"])
