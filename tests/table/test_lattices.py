"""Rounded numbers and times: lattices that are found, measured and drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import skvae
from skvae import VAEOutlierDetector, VAETransformer
from skvae._table.lattices import Lattices, decimal_lattices, time_lattices

QUICK = {"max_iter": 10, "hidden_layer_sizes": (8,), "random_state": 0}
N = 1200


def table(seed=0, n=N):
    """Prices to 100 in nine of ten rows, hours to five minutes in half, an even number, noise."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    price = np.exp(0.5 * z + 11)
    minutes = 60 * (12 + 3 * z + rng.normal(size=n))
    minutes = np.where(rng.random(n) < 0.5, 5 * np.round(minutes / 5), np.round(minutes))
    return pd.DataFrame({
        "price": np.where(rng.random(n) < 0.9, price.round(-2), price.round()),
        "time": pd.Timestamp("2024-05-01") + pd.to_timedelta(minutes, unit="min").round("min"),
        "even": 2 * rng.poisson(50, n) + 1,
        "noise": rng.normal(size=n).round(2),
    })  # fmt: skip


@pytest.fixture(scope="module")
def vae():
    return VAETransformer(2, **QUICK).fit(table())


def lattices_of(vae, name):
    return next(c for c in vae.schema_.columns if c.name == name).lattices


def test_lattices_are_found(vae):
    price, time, even = (lattices_of(vae, name) for name in ("price", "time", "even"))
    np.testing.assert_array_equal(price.spacing, [1, 100])
    np.testing.assert_allclose(price.share, [0.1, 0.9], atol=0.03)
    np.testing.assert_array_equal(time.spacing, [1, 5])
    np.testing.assert_allclose(time.share, [0.5, 0.5], atol=0.05)
    np.testing.assert_array_equal(even.spacing, [1, 2])  # odd numbers, in fact
    assert lattices_of(vae, "noise") is None
    share = time.share[1]
    assert vae.likelihood_reasons_["time"].endswith(f"; rounded: {share:.0%} to 300 s")


def test_drawn_values_are_rounded_as_often(vae):
    X, drawn = table(), vae.sample(3000, random_state=0)
    assert (drawn["price"] % 100 == 0).mean() == pytest.approx(
        (X["price"] % 100 == 0).mean(), abs=0.03
    )
    five = (drawn["time"].dt.minute % 5 == 0).mean()
    assert five == pytest.approx((X["time"].dt.minute % 5 == 0).mean(), abs=0.04)
    assert (drawn["even"] % 2 == 1).all()
    for name in X:
        assert drawn[name].between(X[name].min(), X[name].max()).all()
    mean = vae.inverse_transform(vae.transform(X.head(200)))
    assert (mean["price"] % 100 == 0).mean() < 0.2


def test_drawn_decimals_are_those_of_the_table():
    rng = np.random.default_rng(0)
    fee = np.exp(0.6 * rng.normal(size=N) + 4)
    fee = np.where(rng.random(N) < 0.8, np.round(2 * fee) / 2, fee.round(2))
    X = pd.DataFrame({"fee": fee, "size": np.log(fee) + 0.3 * rng.normal(size=N)})
    drawn = VAETransformer(1, **QUICK).fit(X).sample(2000, random_state=0)["fee"]
    np.testing.assert_array_equal(drawn, drawn.round(2))
    assert (drawn % 0.5 == 0).mean() == pytest.approx((X["fee"] % 0.5 == 0).mean(), abs=0.04)


def test_the_mass_is_one():
    """A density that is smooth over the spacings: Σ over all points."""
    each = Lattices(3.0, 0.5, np.array([1.0, 4.0, 10.0]), np.array([0.0, 1.0, 2.0]),
                    np.array([0.2, 0.5, 0.3]), 1.0)  # fmt: skip
    x = 3.0 + 0.5 * np.arange(-400, 400)
    mass = 0.5 * norm.pdf(x, 5.0, 8.0) * np.exp(each.log_measure(x))
    assert mass.sum() == pytest.approx(1, abs=1e-6)
    rng = np.random.default_rng(0)
    drawn = each.rounded(rng.normal(5.0, 8.0, 20_000), -np.inf, np.inf, rng)
    places, counts = np.unique(np.round((drawn - 3.0) / 0.5), return_counts=True)
    expected = len(drawn) * mass[places.astype(int) + 400]
    often = expected > 20
    chi = ((counts - expected) ** 2 / expected)[often].sum()
    assert chi < often.sum() + 5 * np.sqrt(2 * often.sum())


def test_a_mass_of_integers_is_one(vae):
    """Odd numbers alone have a probability."""
    values = np.arange(1, 400)
    rows = pd.DataFrame({"price": np.nan, "time": pd.NaT, "even": values, "noise": np.nan})
    rows["time"] = rows["time"].astype(table()["time"].dtype)
    mass = np.exp(vae.score_samples(rows, columns=["even"]))
    assert mass.sum() == pytest.approx(1, abs=0.03)
    assert mass[1::2].sum() < 0.01


def test_random_values_have_no_lattices():
    rng = np.random.default_rng(0)
    for n in (20, 200, 2000):
        for _ in range(20):
            values = np.sort(rng.integers(0, 10**5, n)) / 100
            values = np.unique(values)
            weights = np.ones(len(values))
            assert decimal_lattices(values, weights, 2, 1, is_integer=False) is None
    ticks = np.sort(rng.integers(0, 10**6, 500))
    assert time_lattices(ticks / 86_400, np.ones(500), 7, 1, 86_400) is None


def test_multiples_are_counted_from_zero():
    rng = np.random.default_rng(0)
    values = np.unique(np.append(5 * rng.integers(10, 500, 400), [37, 48, 49]))
    found = decimal_lattices(values.astype(float), np.ones(len(values)), 0, 1, is_integer=True)
    assert set(found.spacing) == {1, 5}
    on = found.log_measure(np.array([1000.0, 1001.0]))
    assert on[0] > on[1] + 3
    assert set(found.rounded(values + 0.3, 37, 2495, rng) % 5) <= {0, 1, 2, 3, 4}


def test_saved_and_of_the_transformer_alone(vae, tmp_path):
    X = table(1, 50)
    vae.save(tmp_path / "vae.skvae")
    loaded = skvae.load(tmp_path / "vae.skvae")
    np.testing.assert_array_equal(loaded.score_samples(X), vae.score_samples(X))
    pd.testing.assert_frame_equal(loaded.sample(9, random_state=0), vae.sample(9, random_state=0))
    detector = VAEOutlierDetector(2, **QUICK).fit(table())
    assert lattices_of(detector, "price") is None


def test_rounded_values_are_more_probable(vae):
    row = table().head(1).assign(price=60_000.0)
    gap = vae.score_samples(row) - vae.score_samples(row.assign(price=60_001.0))
    assert gap[0] == pytest.approx(np.log((0.9 * 100 + 0.1) / 0.1), abs=0.3)


def test_rounded_values_stay_inside_the_bounds():
    """Where the smallest value is a billionth, the next lower whole number is zero."""
    rng = np.random.default_rng(0)
    spent = np.round(np.exp(rng.normal(7, 1.2, 600)))
    spent = np.where(rng.random(600) < 0.5, 500 * np.ceil(spent / 500), spent)
    spent[:6] = [1e-9, 1e-7, 1e-9, 1e-4, 0.01, 1e-9]
    X = pd.DataFrame({"spent": spent, "size": np.log(spent + 1) + rng.normal(size=600)})
    drawn = VAETransformer(1, **QUICK).fit(X).sample(5000, random_state=0)["spent"]
    assert drawn.min() >= 1e-9
    assert drawn.max() <= spent.max()
