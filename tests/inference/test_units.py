"""What the units say: exact cases, collapse and its cures, and the diagnostics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError

from skvae import ELBO, CollapseWarning, Mixture, Normal, VAETransformer
from skvae.diagnostics import inference_gap, mutual_information, rate_distortion


def harmonics(n=1500, noise=0.8):
    """Uncorrelated columns that depend on one angle: no linear start finds it."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, n)
    X = np.column_stack([f(j * angle) for j in range(1, 5) for f in (np.cos, np.sin)])
    return X + noise * rng.normal(size=X.shape)


def textbook(X, **params):
    params = {"likelihood": Normal(1.0), "prior": "standard_normal", "init": "random",
              "hidden_layer_sizes": (32,), "early_stopping": False, **params}  # fmt: skip
    return VAETransformer(2, random_state=0, **params).fit(X)


@pytest.mark.slow
def test_textbook_settings_collapse_and_cures_prevent_it():
    X = harmonics()
    plain = textbook(X).set_params(n_importance_samples=512)
    assert plain.kl_per_unit_.sum() < 0.2
    for cure, loss in (
        ({"objective": ELBO(free_bits=0.5)}, 0.1),  # it pays a little for what it says
        ({"objective": ELBO(warmup=0.5), "likelihood": Normal("column")}, 0.0),  # a richer decoder
    ):
        cured = textbook(X, **cure).set_params(n_importance_samples=512)
        assert cured.kl_per_unit_.sum() > 0.9
        assert cured.score(X) > plain.score(X) - loss
        assert mutual_information(cured, X) > mutual_information(plain, X) + 0.3


def test_one_clear_warning_names_the_cures():
    noise = np.random.default_rng(0).normal(size=(2000, 4))
    with pytest.warns(
        CollapseWarning, match=r"free_bits=0\.1.*beta.*warmup=0\.5.*init='pca'"
    ) as seen:
        vae = textbook(
            noise,
            likelihood=Normal(1.2),
            hidden_layer_sizes=(),
            max_iter=100,
            learning_rate_init=0.05,
        )
    assert len(seen) == 1
    assert not vae.active_units_.any()
    assert vae.kl_per_unit_.sum() < 0.02


@pytest.mark.parametrize("init", ["pca", "random"])
@pytest.mark.slow
def test_active_are_exactly_the_directions_above_the_noise(init):
    """Linear decoder, fixed σ: a unit for each eigenvalue over σ², and its KL is ½ log(λ/σ²)."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 3)) @ rng.normal(size=(3, 7)) + rng.normal(size=(2000, 7))
    X = (X - X.mean(0)) / X.std(0)
    eigenvalues = np.linalg.eigvalsh(np.cov(X.T, bias=True))[::-1]
    variance = float(np.sqrt(eigenvalues[2] * eigenvalues[3]))  # between the third and the fourth
    vae = VAETransformer(
        6, hidden_layer_sizes=(), likelihood=Normal(variance**0.5), prior="standard_normal",
        init=init, early_stopping=False, max_iter=400, learning_rate_init=0.02, random_state=0,
    ).fit(X)  # fmt: skip
    assert vae.active_units_.sum() == 3
    expected = 0.5 * np.log(eigenvalues[:3] / variance)
    np.testing.assert_allclose(vae.kl_per_unit_.sum(), expected.sum(), atol=0.1)


def test_units_with_a_prior_that_ties_them():
    """The aggregated posterior stands for it: the same order of magnitude as the closed form."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, 2)) @ rng.normal(size=(2, 6)) + 0.5 * rng.normal(size=(800, 6))
    kl = [
        VAETransformer(2, prior=prior, random_state=0, max_iter=30).fit(X).kl_per_unit_
        for prior in ("standard_normal", Mixture(2))
    ]
    np.testing.assert_allclose(kl[0], kl[1], rtol=0.3)


def test_units_count_rows_as_often_as_they_are_there():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 5)) + 0.3 * rng.normal(size=(300, 5))
    weight = np.ones(300, dtype=int)
    weight[0] = 2000
    params = {"prior": "standard_normal", "random_state": 0, "max_iter": 3}
    vae = VAETransformer(2, early_stopping=False, **params).fit(X, sample_weight=weight)
    mean, log_var = vae.model_.posteriors(vae.fitted_model_.encode(X))
    each = vae.model_.prior.kl(mean, log_var).numpy()
    np.testing.assert_allclose(
        vae.kl_per_unit_, np.average(each, axis=0, weights=weight), rtol=0.02
    )


# ------------------------------------------------------------------------------ diagnostics


@pytest.fixture
def linear():
    """Probabilistic PCA in closed form."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2)) @ rng.normal(size=(2, 6)) + 0.7 * rng.normal(size=(600, 6))
    vae = VAETransformer(2, hidden_layer_sizes=(), likelihood=Normal("shared"), random_state=0,
                         prior="standard_normal", early_stopping=False, max_iter=1,
                         learning_rate_init=1e-12).fit(X)  # fmt: skip
    return vae, X[:200]


def test_an_exact_posterior_has_no_gap(linear):
    vae, X = linear
    gap = inference_gap(vae, X)
    assert gap["approximation_gap"].abs().max() < 1e-3
    assert gap["amortization_gap"].abs().max() < 1e-3
    np.testing.assert_allclose(gap["log_px"], vae.score_samples(X), atol=1e-3)


def test_an_encoder_that_is_off_is_an_amortization_gap(linear):
    """The gap is KL(q ‖ p(z | x)), known in closed form; the family can close all of it."""
    vae, X = linear
    bias = vae.model_.latent.head.bias
    _, log_var = vae.model_.posteriors(vae.fitted_model_.encode(X))
    bias[:2] += 0.4
    bias[2:] += 0.5
    gap = inference_gap(vae, X)
    var = log_var[0].exp()
    exact = 0.5 * (0.4**2 / var + np.exp(0.5) - 0.5 - 1).sum()
    np.testing.assert_allclose(gap["amortization_gap"].mean(), float(exact), rtol=0.01)
    assert gap["approximation_gap"].abs().max() < 0.01


def test_a_posterior_with_correlation_is_an_approximation_gap(linear):
    """Turned loadings make p(z | x) correlated; what the best diagonal misses is known."""
    vae, X = linear
    model = vae.model_
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=torch.float64)
    W = model.head.weight @ turn
    model.head.weight.copy_(W)
    scale = (
        model.groups[0]
        .likelihood.location_scale(
            model.groups[0].split(model.head.bias[None, None]), model.groups[0]
        )[1]
        .flatten()[0]
    )
    precision = torch.eye(2) + W.T @ W / scale**2
    # KL of the best diagonal normal from a normal with this precision
    exact = 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision))
    gap = inference_gap(vae, X[:100], n_importance_samples=4000, n_steps=400).mean()
    assert gap["approximation_gap"] == pytest.approx(float(exact), rel=0.05)


def test_rate_and_distortion_add_up_and_follow_beta():
    """More weight on the KL: a lower rate, a higher distortion."""
    X = harmonics(noise=0.3)
    points = []
    for beta in (0.1, 1.0, 4.0):
        vae = VAETransformer(
            4, objective=ELBO(beta=beta), prior="standard_normal", likelihood=Normal(0.5),
            random_state=0, max_iter=60,
        ).fit(X)  # fmt: skip
        found = rate_distortion(vae, X)
        np.testing.assert_allclose(found["elbo"], -found["rate"] - found["distortion"])
        assert (found["elbo"] <= vae.score_samples(X) + 1e-6).mean() > 0.95
        points.append(found.mean())
    rates = [point["rate"] for point in points]
    distortions = [point["distortion"] for point in points]
    assert rates == sorted(rates, reverse=True)
    assert distortions == sorted(distortions)
    assert rates[0] > rates[2] + 1
    assert distortions[2] > distortions[0] + 1


def test_mutual_information_of_a_linear_model(linear):
    """Of a normal posterior and a normal aggregate: −½ Σ log of the posterior's variance."""
    vae, X = linear
    mean, log_var = vae.model_.posteriors(vae.fitted_model_.encode(X))
    total = torch.cov(mean.T) + torch.diag(log_var.exp().mean(0))
    exact = 0.5 * (torch.logdet(total) - log_var.mean(0).sum())
    assert mutual_information(vae, X) == pytest.approx(float(exact), abs=0.2)


def test_diagnostics_keep_the_index_and_want_a_fit(linear):
    _, X = linear
    table = pd.DataFrame(X[:5], index=list("abcde"))
    fitted = VAETransformer(2, max_iter=1).fit(table)
    assert list(rate_distortion(fitted, table).index) == list("abcde")
    assert list(inference_gap(fitted, table, n_steps=2).index) == list("abcde")
    for diagnostic in (rate_distortion, inference_gap, mutual_information):
        with pytest.raises(NotFittedError):
            diagnostic(VAETransformer(), X)
