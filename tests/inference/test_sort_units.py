"""Components as of PCA: ordered, signed, stable, counted, and with a meaning."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.preprocessing import scale
from weights import log_weights_of_rows

from skvae import ELBO, Aggregated, Mixture, Normal, StudentT, VAETransformer
from skvae._fitted.sampling import decode
from skvae._inference.units import loadings
from skvae.plots import ComponentDisplay


def factors(n, k, d, rng, noise=0.3, nonlinear=False):
    z, W = rng.normal(size=(n, k)), rng.normal(size=(k, d))
    x = z @ W + noise * rng.normal(size=(n, d))
    return x + 2 * np.sin(z @ rng.normal(size=(k, d))) if nonlinear else x


@pytest.fixture(scope="module")
def cancer():
    return load_breast_cancer().data


def test_the_linear_model_explains_what_pca_does(cancer):
    vae = VAETransformer(4, hidden_layer_sizes=(), likelihood=Normal("shared"), random_state=0,
                         prior="standard_normal", numeric_transform="standard",
                         max_iter=1).fit(cancer)  # fmt: skip
    ratio = PCA(4).fit(scale(cancer)).explained_variance_ratio_
    np.testing.assert_allclose(vae.explained_variance_ratio_, ratio, atol=0.02)
    assert vae.reconstruction_r2_ == pytest.approx(ratio.sum(), abs=0.02)
    Z, scores = vae.transform(cancer), PCA(4).fit_transform(scale(cancer))
    np.testing.assert_allclose(Z, scores * np.sign((Z * scores).sum(0)), atol=0.5)
    assert np.abs(Z - scores * np.sign((Z * scores).sum(0))).mean() < 0.05


@pytest.mark.parametrize("latent", ["gaussian", "flow", "finite_scalar"])
def test_components_vary_by_what_they_explain(latent):
    X = factors(400, 2, 6, np.random.default_rng(0), nonlinear=True)
    vae = VAETransformer(2, latent=latent, early_stopping=False, max_iter=10, random_state=0).fit(X)
    Z = vae.transform(X)
    codes = vae.model_.completed(vae.model_.embeddings(vae.fitted_model_.encode(X)))
    np.testing.assert_allclose(
        vae.inverse_transform(Z), decode(vae.model_, vae.schema_, codes), atol=1e-6
    )
    if latent == "gaussian":
        np.testing.assert_allclose(Z.mean(0), 0, atol=1e-4)
        np.testing.assert_allclose(Z.var(0), vae.explained_variance_, rtol=1e-4)
        np.testing.assert_allclose(vae.explained_variance_, 6 * vae.explained_variance_ratio_)
    else:  # codes as they are
        assert not hasattr(vae, "explained_variance_")
        np.testing.assert_allclose(Z, vae.model_.embeddings(vae.fitted_model_.encode(X)))


def test_a_unit_that_explains_nothing_has_a_way_back():
    X = factors(300, 1, 4, np.random.default_rng(0))
    vae = VAETransformer(3, objective=ELBO(beta=8), random_state=0, max_iter=20).fit(X)
    assert vae.explained_variance_ratio_[-1] < 0.05
    rows = vae.model_.decode(torch.from_numpy(vae.posterior(X)[0]))[0].numpy()
    back = vae.inverse_transform(vae.transform(X))
    np.testing.assert_allclose(scale(back), scale(rows), atol=1e-6)


@pytest.mark.slow
def test_an_embedding_counts_every_column_by_its_variance():
    X = factors(600, 2, 8, np.random.default_rng(0), nonlinear=True, noise=0.3)
    X = np.hstack([X, np.round(3 * X[:, :1])])
    frame = pd.DataFrame(X, columns=[f"c{i}" for i in range(9)])
    frame["c8"], frame["level"] = frame["c8"].astype(int), np.where(X[:, 0] > 0, "a", "b")
    vae = VAETransformer(2, objective="embedding", random_state=0).fit(frame)
    assert {str(v) for v in vae.likelihood_.values()} == {"Normal(scale='shared')", "Categorical()"}
    dense = VAETransformer(2, random_state=0).fit(frame)
    pca = PCA(2).fit(scale(X))
    numbers = vae.inverse_transform(vae.transform(frame)).iloc[:, :9]
    error = np.mean(((X - numbers) / X.std(0)) ** 2, axis=None)
    assert 1 - error > pca.explained_variance_ratio_.sum() + 0.03
    assert vae.reconstruction_r2_ > dense.reconstruction_r2_
    asked = VAETransformer(2, objective="embedding", likelihood="student_t", max_iter=1).fit(X)
    assert isinstance(asked.likelihood_["x0"], StudentT)


@pytest.mark.parametrize("prior", ["standard_normal", Mixture(4), Aggregated(100)])
@pytest.mark.parametrize("hidden", [(), (8,)])
def test_reordering_leaves_densities_and_reconstructions_alone(prior, hidden):
    X = factors(200, 3, 6, np.random.default_rng(0))
    vae = VAETransformer(3, prior=prior, hidden_layer_sizes=hidden, max_iter=3,
                         random_state=0).fit(X)  # fmt: skip
    rows, model = vae.fitted_model_.encode(X), vae.model_
    noise = torch.randn(4, len(X), 3, dtype=torch.float64)
    before = log_weights_of_rows(model, rows, noise), vae.inverse_transform(vae.transform(X))
    Z, order = vae.posterior(X)[0], torch.tensor([2, 0, 1])
    sign = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    model.reorder_units(order, sign)
    np.testing.assert_allclose(vae.posterior(X)[0], Z[:, [2, 0, 1]] * [1, -1, -1])
    np.testing.assert_allclose(vae.inverse_transform(vae.transform(X)), before[1])
    torch.testing.assert_close(
        log_weights_of_rows(model, rows, noise[..., order] * sign), before[0]
    )


def test_components_come_in_order_and_with_their_signs(cancer):
    vae = VAETransformer(5, random_state=0, max_iter=20).fit(cancer)
    assert (np.diff(vae.explained_variance_ratio_) <= 1e-6).all()
    rows = vae.fitted_model_.encode(cancer)
    mean, _ = vae.model_.posteriors(rows)
    each = loadings(vae.model_, rows, mean, torch.ones(len(rows)))
    strongest = each.gather(1, each.abs().argmax(1, keepdim=True))
    assert (strongest > 0).all()
    expected = np.corrcoef(vae.transform(cancer).T, rows.values.numpy().T)[:5, 5:]
    np.testing.assert_allclose(each, expected, atol=1e-6)


@pytest.mark.slow
def test_two_seeds_agree(cancer):
    """No column of the first embedding needs another sign or place to match the second."""
    first, second = (
        VAETransformer(3, objective="embedding", random_state=seed).fit_transform(cancer)
        for seed in (0, 1)
    )
    correlation = np.corrcoef(first.T, second.T)[:3, 3:]
    assert (np.diag(correlation) > 0.95).all()


def test_partial_fit_keeps_the_units_in_their_places(cancer):
    vae = VAETransformer(3, random_state=0, max_iter=10).fit(cancer)
    before = vae.transform(cancer)
    vae.partial_fit(cancer[:200])  # too few to fit the columns anew
    assert (np.diag(np.corrcoef(before.T, vae.transform(cancer).T)[:3, 3:]) > 0.8).all()


@pytest.mark.parametrize(("k", "nonlinear", "most"), [
    pytest.param(3, False, 3, marks=pytest.mark.slow),
    pytest.param(1, False, 1, marks=pytest.mark.slow),
    pytest.param(2, True, 3, marks=pytest.mark.slow),
])  # fmt: skip
def test_auto_finds_the_dimension(k, nonlinear, most):
    """Bent surfaces are a little easier for one unit more than they have dimensions."""
    X = factors(1000, k, 10, np.random.default_rng(k), nonlinear=nonlinear)
    vae = VAETransformer("auto", random_state=0).fit(X)
    assert k <= vae.n_components_ <= most
    assert vae.transform(X[:2]).shape == (2, vae.n_components_)


@pytest.mark.slow
def test_auto_without_rows_held_out():
    X = factors(600, 2, 8, np.random.default_rng(0))
    early = VAETransformer("auto", random_state=0, early_stopping=False).fit(X)
    assert early.n_components_ == 2
    again = VAETransformer("auto", random_state=0, early_stopping=False).fit(X)
    np.testing.assert_array_equal(again.transform(X[:9]), early.transform(X[:9]))
    few = VAETransformer("auto", random_state=0, max_iter=2).fit(X[:20])
    assert 1 <= few.n_components_ <= 6
    with pytest.raises(ValueError, match="'auto' or an int"):
        VAETransformer("many").fit(X)


@pytest.fixture(scope="module")
def mixed():
    rng = np.random.default_rng(0)
    size = rng.normal(size=800)
    return pd.DataFrame({
        "length": 10 + 2 * size + 0.2 * rng.normal(size=800),
        "sort": np.where(size > 0.3, "big", "small"),
        "depth": 5 - size + 0.2 * rng.normal(size=800),
        "known": size > 0,
        "noise": rng.normal(size=800),
        "same": 1,
    })  # fmt: skip


@pytest.fixture(scope="module")
def vae(mixed):
    return VAETransformer(1, random_state=0, max_iter=30).fit(mixed)


def test_effects_of_a_component(vae, mixed):
    effects = vae.component_effects(0)
    rise = np.sign(effects.loc["length", "effect"])
    assert rise * effects.loc["depth", "effect"] < -1.5
    assert effects.loc["sort", "effect"] > 0.9
    assert abs(effects.loc["known", "effect"]) > 0.9
    assert abs(effects.loc["noise", "effect"]) < 0.5
    assert effects.loc["same", "effect"] == 0.0
    ends = effects[["low", "high"]] if rise > 0 else effects[["high", "low"]]
    assert ends.loc["length"].tolist() == sorted(effects.loc["length", ["low", "high"]])
    assert ends.loc["sort"].tolist() == ["small", "big"]
    assert effects["effect"].abs().is_monotonic_decreasing
    table = vae.component_effects()
    assert list(table.index) == list(mixed.columns)
    pd.testing.assert_series_equal(
        table["vaetransformer0"].loc[effects.index], effects["effect"], check_names=False
    )
    with pytest.raises(ValueError, match="none of the latent units"):
        vae.component_effects("z9")


def test_effects_of_the_linear_model_are_its_loadings():
    X = factors(600, 2, 5, np.random.default_rng(3))
    vae = VAETransformer(2, hidden_layer_sizes=(), likelihood="normal", max_iter=1,
                         prior="standard_normal", random_state=0).fit(X)  # fmt: skip
    W = vae.model_.head.weight[: 2 * 5 : 2, :2].numpy()
    effects = vae.component_effects().to_numpy()
    ratio = effects / W
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:1], ratio.shape), rtol=1e-6)


def test_display_of_effects(vae):
    display = ComponentDisplay.from_estimator(vae, 0, max_columns=3)
    widths = [bar.get_width() for bar in display.ax_.patches]
    np.testing.assert_allclose(widths, display.effects["effect"][:3])
    labels = " ".join(text.get_text() for text in display.ax_.get_yticklabels())
    assert "small" in labels
    assert "big" in labels
    assert display.ax_.get_title() == "vaetransformer0"


@pytest.mark.parametrize("latent", ["gaussian", "ladder"])
def test_whitened_components_have_unit_variance(latent):
    X = factors(300, 2, 6, np.random.default_rng(0))
    vae = VAETransformer(3, latent=latent, whiten=True, early_stopping=False, max_iter=5,
                         random_state=0).fit(X)  # fmt: skip
    Z = vae.transform(X)
    np.testing.assert_allclose(Z.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(Z.std(0), 1, atol=1e-4)
    plain = vae.set_params(whiten=False).transform(X)
    back = vae.inverse_transform(plain)
    np.testing.assert_allclose(vae.set_params(whiten=True).inverse_transform(Z), back)
