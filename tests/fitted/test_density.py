"""A log-density to trust: comparable across likelihoods and maps, and honest about its error."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

from skvae import (
    Atoms,
    Binned,
    DiscretizedLogistic,
    ImportanceWarning,
    LogNormal,
    Normal,
    Ordinal,
    StudentT,
    VAETransformer,
)

rng = np.random.default_rng(0)
N = 1500
Z = rng.normal(size=N)


@pytest.fixture(scope="module")
def amounts():
    """A zero-inflated amount, a rating with few values, and a skewed number."""
    return pd.DataFrame({
        "spent": np.where(Z + rng.normal(size=N) > 0, np.exp(4 + Z / 2).round(2), 0.0),
        "rating": (Z + rng.normal(size=N)).round().clip(-2, 2) / 2 + 3,
        "size": np.exp(Z + 0.5 * rng.normal(size=N)),
        "visits": np.where(rng.random(N) < 0.4, 0, 3 + rng.poisson(np.exp(2 + Z / 4))),
    })  # fmt: skip


def fit(X, **params):
    return VAETransformer(2, random_state=0, **params).fit(X)


# ------------------------------------------------------------------------------ likelihoods


def test_auto_looks_at_the_column_and_says_why(amounts):
    vae = fit(amounts, max_iter=2)
    kinds = {name: type(likelihood) for name, likelihood in vae.likelihood_.items()}
    assert kinds == {"spent": Atoms, "rating": Atoms, "size": StudentT, "visits": Atoms}
    assert vae.likelihood_["visits"].slab == DiscretizedLogistic()
    reasons = vae.likelihood_reasons_
    assert reasons["spent"] == "continuous, 1 value makes up 52% of the cells"
    assert reasons["rating"] == "continuous with 5 values"
    assert reasons["size"] == "continuous, no value far more frequent than others"
    assert (
        fit(amounts, likelihood={"size": "log_normal"}, max_iter=2).likelihood_reasons_["size"]
        == "user-specified"
    )


def test_rounded_and_bell_shaped_integers_have_no_atoms():
    X = pd.DataFrame({"age": (40 + 12 * Z).round().astype(int), "kg": (70 + 9 * Z).round()})
    kinds = {type(likelihood) for likelihood in fit(X, max_iter=1).likelihood_.values()}
    assert kinds == {DiscretizedLogistic, StudentT}


@pytest.mark.slow
def test_atoms_are_drawn_as_they_are(amounts):
    vae = fit(amounts)
    new = vae.sample(4000, 0)
    for name in ("spent", "visits"):
        assert (new[name] == 0).mean() == pytest.approx((amounts[name] == 0).mean(), abs=0.05)
    assert set(new["rating"]) <= set(amounts["rating"])
    shares = [t["rating"].value_counts(normalize=True).sort_index() for t in (amounts, new)]
    np.testing.assert_allclose(*shares, atol=0.05)
    back = vae.inverse_transform(vae.transform(amounts))
    assert set(back["rating"]) <= set(amounts["rating"])


@pytest.mark.slow
def test_scores_are_comparable_across_likelihoods(amounts):
    """One measure a column: a histogram, atoms and a mass agree on the same columns."""
    X = amounts[["rating", "visits"]]
    scores = {
        "atoms": fit(X).score(X),
        "binned": fit(X, likelihood="binned").score(X),
        "logistic": fit(X, likelihood="discretized_logistic").score(X),
    }
    assert max(scores.values()) - min(scores.values()) < 0.25


def test_an_atom_counts_as_its_mass_over_the_resolution():
    """With independent columns of known shares the score is known."""
    X = pd.DataFrame({"x": rng.permutation(np.repeat([0.0, 0.5, 2.0], [600, 300, 100]))})
    vae = VAETransformer(1, random_state=0).fit(X)
    expected = np.log([0.6, 0.3, 0.1]) - np.log(0.5)
    rows = pd.DataFrame({"x": [0.0, 0.5, 2.0]})
    np.testing.assert_allclose(vae.score_samples(rows), expected, atol=0.1)


@pytest.mark.parametrize("likelihood", [
    "auto", "normal",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("binned", "normal_mixture")),
])  # fmt: skip
def test_no_density_runs_away_on_repeated_values(likelihood):
    """A column of one value but for a few cells, and one rounded to halves."""
    rng = np.random.default_rng(0)  # the same whichever tests ran before
    X = np.column_stack([np.where(rng.random(600) < 0.99, 1.0, rng.normal(size=600)),
                         np.round(rng.normal(size=600) * 2) / 2, rng.normal(size=600)])  # fmt: skip
    vae = fit(X, likelihood=likelihood, max_iter=60)
    each = [VAETransformer(1, likelihood=likelihood, max_iter=60, random_state=0).fit(X[:, [j]])
            .score_samples(X[:, [j]]).max() for j in (0, 1)]  # fmt: skip
    assert each[0] < 10  # a cell of 0.0025 standard deviations of 0.1: log 4000 = 8.3
    assert each[1] < 1
    assert np.isfinite(vae.score_samples(X)).all()


@pytest.mark.parametrize("scale", [1, 10**6, 10**9])
def test_atoms_of_wide_integers_are_found(scale):
    """A cell of width one is narrower than single precision tells apart."""
    rng = np.random.default_rng(0)
    k = np.where(rng.random(800) < 0.6, 0, scale * rng.integers(1, 1000, size=800))
    vae = VAETransformer(1, random_state=0, max_iter=60).fit(pd.DataFrame({"k": k}))
    assert isinstance(vae.likelihood_["k"], Atoms)
    zero = vae.score_samples(pd.DataFrame({"k": [0]}))
    np.testing.assert_allclose(zero, np.log((k == 0).mean()), atol=0.2)
    assert (vae.sample(3000, 0)["k"] == 0).mean() == pytest.approx((k == 0).mean(), abs=0.06)


def test_neighboring_atoms_are_told_apart():
    x = np.random.default_rng(0).choice([0.0, 0.001, 1000.0], size=(600, 1))
    drawn = VAETransformer(1, random_state=0, max_iter=60).fit(x).sample(3000, 0)
    for value in (0.0, 0.001, 1000.0):
        assert (drawn == value).mean() == pytest.approx(1 / 3, abs=0.08)


@pytest.mark.parametrize("transform", [
    "quantile",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("standard", "log", "power")),
])  # fmt: skip
def test_floors_hold_under_every_map(transform):
    """The mass that a density puts on a rounding cell, density × resolution, is at most one."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(1500, 2))
    amount = np.exp(3 + z @ [1.0, 1.0]).round() + 1
    X = np.column_stack([amount, z])
    vae = VAETransformer(2, likelihood={"x0": "normal"}, random_state=0, max_iter=60,
                         numeric_transform={"x0": transform}).fit(X)  # fmt: skip
    rest = VAETransformer(2, random_state=0, max_iter=60).fit(X[:, 1:])
    conditional = vae.score_samples(X) - rest.score_samples(X[:, 1:])
    assert conditional.mean() < 0
    model, rows = vae.model_, vae.fitted_model_.encode(X)
    z = model.embeddings(rows)[None]
    cells = model.cells(z, rows)[0, :, model.names.index("x0")]
    column = vae.schema_.columns[0]
    log_mass = cells.numpy() + column.map.log_derivative(X[:, 0]) + np.log(column.resolution)
    assert log_mass.max() < np.log(1.4)  # σ = 0.3 of a cell: 1 / (0.3 √2π)


def test_log_normal_is_the_normal_of_the_logarithm(amounts):
    X = amounts[["size"]].assign(other=Z)
    logged = X.assign(size=np.log(X["size"]))
    score = fit(X, likelihood={"size": LogNormal(), "other": Normal()}, max_iter=20)
    expected = fit(logged, likelihood="normal", max_iter=20)
    gap = score.score_samples(X) - expected.score_samples(logged) + np.log(X["size"])
    assert np.abs(gap).max() < 0.05


def test_families_refuse_what_they_cannot_describe(amounts):
    for likelihood, message in [
        ({"size": Atoms(slab=DiscretizedLogistic())}, "column 'size' is continuous"),
        ({"spent": Atoms(slab=LogNormal())}, "'slab' parameter of Atoms"),
        ({"spent": Atoms(slab=Normal("foo"))}, "'scale' parameter of Normal"),
        ({"spent": "log_normal"}, "positive numbers, but column 'spent' holds 0"),
        ({"size": "poisson"}, "column 'size' is continuous"),
        ({"size": "atoms"}, "no value of column 'size' occurs 5 times"),
        ({"rating": Ordinal()}, "column 'rating' is continuous"),
    ]:
        with pytest.raises(ValueError, match=message):
            fit(amounts, likelihood=likelihood)
    counts = amounts.assign(visits=amounts["visits"] - 5)
    with pytest.raises(ValueError, match="'visits' holds -5"):
        fit(counts, likelihood={"visits": "poisson"})
    vae = fit(amounts, likelihood={"visits": "negative_binomial"}, max_iter=2)
    with pytest.raises(ValueError, match="'visits' holds -5"):
        vae.score_samples(counts)
    # for the whole table, a family goes where it can, and tells where it cannot
    whole = fit(amounts, likelihood="log_normal", max_iter=2)
    assert "holds 0" in whole.likelihood_reasons_["spent"]


@pytest.mark.slow
def test_counts_hold_counts():
    rng = np.random.default_rng(0)  # the same whichever tests ran before
    X = pd.DataFrame({"calls": rng.poisson(np.exp(1 + Z / 2)), "z": Z + 0.3 * rng.normal(size=N)})
    scores = {}
    for family in ("poisson", "negative_binomial", "discretized_logistic"):
        vae = fit(X, likelihood={"calls": family})
        scores[family] = vae.score(X)
        new = vae.sample(4000, 0)["calls"]
        assert new.dtype == X["calls"].dtype
        assert new.mean() == pytest.approx(X["calls"].mean(), rel=0.12)
    assert scores["poisson"] > scores["discretized_logistic"] - 0.05
    assert scores["negative_binomial"] > scores["poisson"] - 0.05


@pytest.mark.slow
def test_ordinal_holds_an_ordered_level():
    levels = np.array(["low", "mid", "high", "top"])
    noise = np.random.default_rng(7).normal(size=N)  # the same whichever tests ran before
    codes = np.digitize(Z + 0.5 * noise, [-0.5, 0.7, 1.5])
    X = pd.DataFrame({"grade": pd.Categorical(levels[codes], levels, ordered=True), "z": Z})
    ordinal, free = (fit(X, likelihood={"grade": f}) for f in ("ordinal", "categorical"))
    assert ordinal.score(X) > free.score(X) - 0.1
    shares = [t["grade"].value_counts(normalize=True).sort_index() for t in
              (X, ordinal.sample(40_000, 0))]  # fmt: skip
    np.testing.assert_allclose(*shares, atol=0.05)


@pytest.mark.slow
def test_draws_do_not_pile_up_at_the_bounds():
    """A skewed amount: what would fall below the least value is drawn again."""
    rng = np.random.default_rng(0)
    x = np.exp(1.2 * rng.normal(size=(1500, 1)) + 3).round(2)
    drawn = VAETransformer(1, random_state=0, max_iter=40).fit(x).sample(3000, 0)
    assert drawn.min() >= x.min()
    assert (drawn == x.min()).mean() < 0.02
    assert (drawn == x.max()).mean() < 0.02


def test_refusals_tell_the_cure():
    X = pd.DataFrame({"visits": [1.0, 2.0, np.nan, 4.0] * 10, "grade": list("abcd") * 10})
    with pytest.raises(ValueError, match=r"whole numbers: convert it with astype\('Int64'\)"):
        fit(X, likelihood={"visits": "poisson"})
    with pytest.raises(ValueError, match=r"pandas Categorical with ordered=True"):
        fit(X, likelihood={"grade": "ordinal"})
    assert list(fit(X, max_iter=1).likelihood_) == ["visits", "grade"]


# ------------------------------------------------------------------------------ maps


@pytest.mark.parametrize("transform", ["standard", "robust", "power", "quantile", "log", "auto"])
def test_scores_are_in_table_units_under_every_map(transform):
    """A 1-d density integrates to one over the values themselves."""
    x = np.exp(0.7 * Z[:400, None])
    vae = VAETransformer(1, hidden_layer_sizes=(8,), numeric_transform=transform,
                         likelihood="normal", random_state=0).fit(x)  # fmt: skip
    edges = np.concatenate([-np.geomspace(1e2, 1e-3, 500), np.geomspace(1e-3, 1e3, 2000)])
    middles, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    mass = np.exp(vae.score_samples(middles[:, None])) @ widths
    assert mass == pytest.approx(1, abs=0.03)
    assert vae.score(x) == pytest.approx(-0.96, abs=0.25)  # −E log N(Z/0.7) − log(0.7) − 0.7 Z


@pytest.mark.slow
def test_maps_go_by_column(amounts):
    vae = fit(amounts, numeric_transform={"size": "log"}, max_iter=2)
    assert type(vae.schema_.columns[2].map).__name__ == "LogMap"
    with pytest.raises(ValueError, match=r"names column 'sise'.*Did you mean 'size'"):
        fit(amounts, numeric_transform={"sise": "log"})
    with pytest.raises(ValueError, match=r"must be one of .*'quantile'.* Did you mean 'quantile'"):
        fit(amounts, numeric_transform="quantiles")
    with pytest.raises(ValueError, match=r"Column 'spent'.*positive"):
        fit(amounts.assign(spent=Z), numeric_transform={"spent": "log"})
    zeros_are_atoms = fit(amounts, numeric_transform={"spent": "log"}, max_iter=2)
    assert type(zeros_are_atoms.schema_.columns[0].map_of_rest).__name__ == "LogMap"
    with pytest.raises(ValueError, match="'visits' is integer"):
        fit(amounts, numeric_transform={"visits": "log"})


# ------------------------------------------------------------------------------ inference


@pytest.fixture(scope="module")
def linear():
    """Factor analysis with an exact posterior, and one that is far off."""
    rng = np.random.default_rng(0)  # the same whichever tests ran before
    X = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 8)) + 0.4 * rng.normal(size=(400, 8))
    vae = VAETransformer(3, hidden_layer_sizes=(), likelihood=Normal("column"), max_iter=1,
                         prior="standard_normal", learning_rate_init=1e-12, random_state=0,
                         early_stopping=False).fit(X)  # fmt: skip
    group = vae.model_.groups[0]
    W, b = vae.model_.head.weight.numpy(), vae.model_.head.bias
    _, scale = group.likelihood.location_scale(group.split(b[None, None]), group)
    exact = multivariate_normal(b.numpy(), W @ W.T + np.diag(scale.numpy() ** 2))
    rows = vae.fitted_model_.encode(X)
    return vae, X, exact.logpdf(rows.values.numpy()) + rows.log_measure.numpy()


def test_effective_sample_size_is_all_of_them_where_the_posterior_is_exact(linear):
    vae, X, exact = linear
    score, ess = vae.score_samples(X, return_ess=True)
    np.testing.assert_allclose(ess, 16, rtol=1e-3)  # more were not needed
    np.testing.assert_allclose(score, exact, atol=1e-3)
    score, ess = vae.set_params(n_refinement_steps=0).score_samples(X, return_ess=True)
    vae.set_params(n_refinement_steps=10)
    np.testing.assert_allclose(ess, 64, rtol=1e-3)
    np.testing.assert_allclose(score, exact, atol=1e-3)


def test_refinement_repairs_a_posterior_that_is_off(linear):
    """Six standard deviations off, draws are worth nothing; a few steps find the way back."""
    vae, X, exact = linear
    bias = vae.model_.latent.head.bias
    kept = bias.clone()
    try:
        bias[:3] += 6 * (bias[3:] / 2).exp()
        with pytest.warns(ImportanceWarning, match="rows rest on one or two of 64 draws"):
            plain, std, ess = vae.set_params(n_refinement_steps=0).score_samples(
                X, return_std=True, return_ess=True
            )
        refined, refined_std, refined_ess = vae.set_params(n_refinement_steps=60).score_samples(
            X, return_std=True, return_ess=True
        )
    finally:
        bias.copy_(kept)
        vae.set_params(n_refinement_steps=10)
    assert np.median(ess) < 2
    assert np.median(refined_ess) > 15  # of the 16 that are enough
    assert (exact - plain).mean() > 1
    assert abs((exact - refined).mean()) < 0.05
    assert refined_std.mean() < 0.1 * std.mean()


def test_refinement_leaves_rows_alone_that_need_none(linear):
    vae, X, _ = linear
    without = vae.set_params(n_refinement_steps=0).score_samples(X)
    refined = vae.set_params(n_refinement_steps=10).score_samples(X)
    np.testing.assert_allclose(refined, without, rtol=1e-5)


def test_a_density_with_a_spike_integrates(amounts):
    """Spikes, gaps and tails at once: the mass of the fitted density is one."""
    x = amounts[["spent"]].to_numpy() / 10
    for likelihood in ("auto", Binned(12), Binned(12, within="linear")):
        vae = VAETransformer(1, hidden_layer_sizes=(8,), likelihood=likelihood, random_state=0,
                             max_iter=30).fit(x)  # fmt: skip
        column = vae.schema_.columns[0]
        cell = max(column.resolution, 2.5e-3 / column.map.derivative)
        edges = np.concatenate([np.linspace(-100, -cell / 2, 1500), np.linspace(-cell / 2,
                                cell / 2, 3), np.linspace(cell / 2, 200, 3000)])  # fmt: skip
        edges = np.unique(edges)
        middles = (edges[1:] + edges[:-1]) / 2
        mass = np.exp(vae.score_samples(middles[:, None])) @ np.diff(edges)
        assert mass == pytest.approx(1, abs=0.05)
