"""Numbers and times on a list of values: found, drawn exactly, and a probability mass."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp

from skvae import Atoms, DiscretizedLogistic, StudentT, VAETransformer

N = 1500
QUICK = {"max_iter": 20, "hidden_layer_sizes": (16,), "random_state": 0}


def table(seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=N)
    place = np.clip(np.round(12 * z + 4 * rng.normal(size=N) + 30), 0, 59).astype(int)
    rates = np.sort(rng.choice(np.arange(500, 3000), 60, replace=False)) / 100
    ends = pd.date_range("2018-01-31", periods=60, freq="ME").astype("datetime64[s]")
    codes = np.sort(rng.choice(np.arange(100, 100_000), 60, replace=False))
    return pd.DataFrame({"rate": rates[place], "end": ends[place], "code": codes[place],
                         "score": z.round(1), "grams": 5 * (z * 40 + 200).round()})  # fmt: skip


@pytest.fixture(scope="module")
def vae():
    return VAETransformer(2, **QUICK).fit(table())


def test_lists_are_found_and_regular_spacings_are_none(vae):
    found = vae.likelihood_
    listed = [Atoms(slab, max_levels=256) for slab in (None, None, DiscretizedLogistic())]
    assert [found[name] for name in ("rate", "end", "code")] == listed
    assert found["score"] == StudentT()
    assert not isinstance(found["grams"], Atoms)
    n = table()["rate"].nunique()
    assert vae.likelihood_reasons_["rate"] == f"continuous, a list of {n} values"


def test_drawn_values_are_on_the_list(vae):
    X, drawn = table(), vae.sample(2000, random_state=0)
    assert (drawn.dtypes == X.dtypes).all()
    for name in ("rate", "end", "code"):
        assert drawn[name].isin(X[name]).mean() > 0.99
        common = X[name].value_counts(normalize=True)
        gap = common - drawn[name].value_counts(normalize=True).reindex(common.index).fillna(0)
        assert gap.abs().sum() / 2 < 0.15
    # The order of the list goes along with the other columns.
    assert drawn["rate"].corr(drawn["score"]) == pytest.approx(X["rate"].corr(X["score"]), abs=0.1)


def test_the_list_has_nearly_all_of_the_mass(vae):
    values = np.unique(table()["code"])
    rows = pd.DataFrame({**dict.fromkeys(table().columns, [None] * len(values)), "code": values})
    rows = rows.astype({"rate": float, "end": "datetime64[s]", "code": "Int64"})
    mass = np.exp(logsumexp(vae.score_samples(rows, columns=["code"])))
    assert 0.97 < mass <= 1 + 1e-6


def test_few_rows_for_each_value_are_no_list():
    X = table().head(300)  # five for each value
    vae = VAETransformer(2, **QUICK).fit(X)
    assert not isinstance(vae.likelihood_["rate"], Atoms)


@pytest.mark.parametrize("scale", [lambda x: (x - x.mean()) / x.std(), np.log, np.sqrt])
def test_rounded_numbers_that_were_scaled_are_no_list(scale):
    """They have no decimals any more, but an order and even distances."""
    rng = np.random.default_rng(0)
    x = np.round(8 + 1.5 * rng.normal(size=4000), 1)
    vae = VAETransformer(1, **QUICK | {"max_iter": 1}).fit(scale(x)[:, np.newaxis])
    assert 24 < len(np.unique(x)) < 200
    assert not isinstance(vae.likelihood_["x0"], Atoms)


def test_whole_numbers_that_were_stretched_are_no_list():
    """Their distances are one or two units, and they have no decimals any more."""
    rng = np.random.default_rng(0)
    x = np.round(4 / 3 * rng.binomial(60, 0.3, 4000))
    assert 24 < len(np.unique(x)) < 60
    assert (np.diff(np.unique(x))[5:-5] <= 2).all()
    vae = VAETransformer(1, **QUICK | {"max_iter": 1}).fit(((x - x.mean()) / x.std())[:, None])
    assert not isinstance(vae.likelihood_["x0"], Atoms)


def intensities(values, n=4000):
    """Of a sensor that prefers some of the whole numbers."""
    rng = np.random.default_rng(0)
    return rng.choice(values, n, p=rng.dirichlet(np.ones(len(values))))


def test_scaled_values_of_uneven_frequencies_are_a_list():
    """Some of the whole numbers never occur, and scaling has hidden that they are whole."""
    rng = np.random.default_rng(0)
    x = intensities(np.delete(np.arange(60.0), rng.choice(np.arange(1, 59), 26, replace=False)))
    X = ((x - x.mean()) / x.std())[:, None]
    vae = VAETransformer(1, **QUICK | {"max_iter": 1}).fit(X)
    assert isinstance(vae.likelihood_["x0"], Atoms)
    assert np.isin(vae.sample(500, random_state=0), X).all()


@pytest.mark.parametrize("dtype", [int, float])
def test_neighbors_of_uneven_frequencies_are_a_list(dtype):
    X = pd.DataFrame({"x": intensities(np.arange(60)).astype(dtype)})
    vae = VAETransformer(1, **QUICK | {"max_iter": 1}).fit(X)
    assert vae.likelihood_reasons_["x"].endswith(f"a list of {X['x'].nunique()} values")
    real, drawn = (t["x"].value_counts(normalize=True) for t in (X, vae.sample(4000)))
    assert (real - drawn.reindex(real.index).fillna(0)).abs().sum() / 2 < 0.1


def test_numbers_that_are_mostly_rounded_to_fives_are_no_list():
    """Their frequencies are uneven, but it is the rounding that makes them so."""
    rng = np.random.default_rng(0)
    x = np.round(150 + 30 * rng.normal(size=6000))
    x = np.where(rng.random(6000) < 0.5, 5 * np.round(x / 5), x)
    assert 100 < len(np.unique(x)) < 256
    vae = VAETransformer(1, **QUICK | {"max_iter": 1}).fit(pd.DataFrame({"x": x}))
    assert "list" not in vae.likelihood_reasons_["x"]
    assert "rounded" in vae.likelihood_reasons_["x"]
