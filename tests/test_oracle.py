"""Exact cases: the linear model is probabilistic PCA or factor analysis, with a known density."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA, FactorAnalysis
from weights import log_weights_of_rows

from skvae import ELBO, Normal, StandardNormal, VAETransformer
from skvae._model.rows import Rows
from skvae._nn.noise import quasi_normal

D, K = 8, 3


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2000, D)) * np.linspace(0.5, 1.2, D)
    X = rng.normal(size=(2000, K)) @ rng.normal(size=(K, D)) + noise
    return (X - X.mean(0)) / X.std(0)


def linear(scale, **params):
    params = {"n_importance_samples": 512, "prior": "standard_normal", **params}
    return VAETransformer(
        K, hidden_layer_sizes=(), likelihood=Normal(scale=scale), early_stopping=False,
        random_state=0, **params,
    )  # fmt: skip


@pytest.fixture(scope="module")
def ppca(X):
    return linear("shared").fit(X)


@pytest.fixture(scope="module")
def fa(X):
    return linear("column").fit(X)


def rows(vae, X) -> Rows:
    return vae.fitted_model_.encode(X)


def gaussian(vae):
    """Loadings, mean and noise of a linear model, in scaled units."""
    group = vae.model_.groups[0]
    W, b = vae.model_.head.weight.numpy(), vae.model_.head.bias
    _, scale = group.likelihood.location_scale(group.split(b[None, None]), group)
    return W, b.numpy(), np.broadcast_to(scale.numpy(), len(W))


def elbo(vae, X, n_samples=256):
    noise = torch.randn(n_samples, len(X), K, generator=torch.Generator().manual_seed(1),
                        dtype=torch.float64)  # fmt: skip
    encoded = rows(vae, X)
    log_px, draw = vae.model_(encoded, noise)
    return float((ELBO().bound(log_px, draw, 1.0) + encoded.log_measure).mean())


def test_shared_noise_is_probabilistic_pca(X, ppca):
    pca = PCA(K).fit(X)
    assert ppca.score(X) == pytest.approx(pca.score(X), abs=1e-3)
    assert elbo(ppca, X) == pytest.approx(pca.score(X), abs=1e-2)
    W, _, _ = gaussian(ppca)
    basis, _ = np.linalg.qr(W)
    cosines = np.linalg.svd(basis.T @ pca.components_.T)[1].clip(0, 1)
    assert np.arccos(cosines).max() < 0.05


def test_probabilistic_pca_is_reached_by_training_too(X):
    vae = linear("shared", init="random", max_iter=100, learning_rate_init=0.1).fit(X)
    assert vae.score(X) == pytest.approx(PCA(K).fit(X).score(X), abs=1e-2)


def test_column_noise_is_factor_analysis(X, fa):
    exact = FactorAnalysis(K, tol=1e-8, max_iter=5000).fit(X).score_samples(X)
    ours = fa.score_samples(X)
    assert np.corrcoef(ours, exact)[0, 1] > 0.999
    assert abs((ours - exact).mean()) < 0.02


def test_closed_form_start_is_exact_before_any_training(X):
    vae = linear("shared", max_iter=1, learning_rate_init=1e-12).fit(X)
    assert vae.score(X) == pytest.approx(PCA(K).fit(X).score(X), abs=1e-4)
    # at the start the posterior is exact, so the bound is tight draw by draw
    weights = log_weights_of_rows(vae.model_, rows(vae, X[:50]), torch.randn(64, 50, K).double())
    assert float(weights.std(0).max()) < 1e-3


def test_nonlinear_model_starts_at_probabilistic_pca(X):
    vae = VAETransformer(
        K, likelihood=Normal("shared"), max_iter=1, learning_rate_init=1e-12, random_state=0,
        early_stopping=False, n_importance_samples=512, prior="standard_normal",
    ).fit(X)  # fmt: skip
    assert vae.score(X) == pytest.approx(PCA(K).fit(X).score(X), abs=1e-4)


@pytest.mark.parametrize("is_incomplete_in_fit", [True, False])
def test_rows_with_missing_cells(X, fa, is_incomplete_in_fit):
    """log p(seen cells) and E[hidden | seen] against the closed forms of the same Gaussian."""
    rng = np.random.default_rng(2)
    hidden = rng.random(X.shape) < 0.3
    incomplete = np.where(hidden, np.nan, X)
    vae = linear("column").fit(incomplete) if is_incomplete_in_fit else fa
    vae = vae.set_params(n_importance_samples=5000)
    W, b, scale = gaussian(vae)
    covariance = W @ W.T + np.diag(scale**2)
    maps = [column.map for column in vae.schema_.columns]
    some = incomplete[:200]
    Y = np.column_stack([m.forward(x) for m, x in zip(maps, some.T, strict=True)])
    log_scale = np.log([m.scale for m in maps])

    density, mean, seen_mean = np.zeros(200), Y.copy(), np.zeros_like(Y)
    for i, y in enumerate(Y):
        o = ~np.isnan(y)
        if o.any():
            S = covariance[np.ix_(o, o)]
            density[i] = multivariate_normal(b[o], S).logpdf(y[o]) - log_scale[o].sum()
            mean[i, ~o] = b[~o] + covariance[np.ix_(~o, o)] @ np.linalg.solve(S, y[o] - b[o])
    assert abs((vae.score_samples(some) - density).mean()) < 0.02

    encoded = rows(vae, some)
    noise = quasi_normal(5000, K)
    log_px, draw = vae.model_(encoded, noise)
    weights = torch.softmax(log_px + draw.log_pz - draw.log_qz, 0)
    z = (weights.unsqueeze(-1) * draw.z).sum(0).numpy()
    seen_mean = z @ W.T + b
    error = np.abs(seen_mean - mean)[np.isnan(Y) & (~np.isnan(Y)).any(1)[:, None]]
    assert error.mean() < 0.02


def test_bounds_are_ordered(X, fa):
    """ELBO ≤ L_1 … ≤ L_K ≤ log p with a deliberately wrong encoder, averaged over draws."""
    model, encoded = fa.model_, rows(fa, X[:100])
    W, b, scale = gaussian(fa)
    exact = multivariate_normal(b, W @ W.T + np.diag(scale**2)).logpdf(encoded.values.numpy())
    head = model.latent.head
    kept = head.bias.clone()
    try:
        head.bias[:K] += 0.5
        head.bias[K:] += 0.7
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(64 * 64, 100, K, generator=generator, dtype=torch.float64)
        bounds = {}
        for n in (1, 4, 16, 64):
            weights = log_weights_of_rows(model, encoded, noise[: 64 * n]).unflatten(0, (64, n))
            bounds[n] = float((torch.logsumexp(weights, 1) - np.log(n)).mean())
        weights = log_weights_of_rows(model, encoded, quasi_normal(5000, K))
        bounds[5000] = float((torch.logsumexp(weights, 0) - np.log(5000)).mean())
    finally:
        head.bias.copy_(kept)
    values = list(bounds.values())
    assert values == sorted(values)
    assert values[0] < exact.mean() - 0.1
    assert bounds[5000] == pytest.approx(exact.mean(), abs=0.01)


def test_closed_form_kl_is_the_monte_carlo_kl():
    generator = torch.Generator().manual_seed(0)
    mean = torch.tensor([[0.3, -1.2, 0.0]], dtype=torch.float64)
    log_var = torch.tensor([[-2.0, 0.5, 0.0]], dtype=torch.float64)
    prior = StandardNormal().build(3, generator).double()
    noise = torch.randn(100_000, 1, 3, generator=generator, dtype=torch.float64)
    z = mean + (0.5 * log_var).exp() * noise
    log_qz = -0.5 * (noise.square() + log_var + np.log(2 * np.pi)).sum(-1)
    difference = (log_qz - prior.log_prob(z))[:, 0]
    error = float(difference.std()) / np.sqrt(len(difference))
    assert abs(float(difference.mean() - prior.kl(mean, log_var).sum())) < 3 * error


def test_power_of_two_units_shift_the_score_exactly(X):
    one = VAETransformer(max_iter=2, random_state=0).fit(X[:300])
    scaled = X[:300].copy()
    scaled[:, 2] *= 1024
    other = VAETransformer(max_iter=2, random_state=0).fit(scaled)
    np.testing.assert_allclose(
        other.score_samples(scaled), one.score_samples(X[:300]) - np.log(1024), atol=1e-6
    )


def test_any_units_shift_the_score_of_the_linear_model(X, fa):
    scaled = X * np.array([1000.0, *[1.0] * (D - 1)])
    other = linear("column").fit(scaled)
    gap = other.score_samples(scaled) - fa.score_samples(X) + np.log(1000)
    assert abs(gap.mean()) < 1e-3


def test_density_integrates_to_one():
    rng = np.random.default_rng(0)
    x = np.append(rng.normal(size=300), rng.normal(4, 0.3, size=200))[:, None]
    vae = VAETransformer(1, hidden_layer_sizes=(16,), random_state=0).fit(x)
    grid = np.linspace(-60, 60, 12_001)
    mass = np.exp(vae.score_samples(grid[:, None])).sum() * (grid[1] - grid[0])
    assert mass == pytest.approx(1, abs=0.02)


def test_fixed_noise_leaves_squared_error_and_kl(X):
    """With σ = 1 the bound is −½‖x − x̂‖² − KL, up to the constant ½ d log 2π."""
    vae = linear(1.0, max_iter=1).fit(X)
    encoded = rows(vae, X[:20])
    log_px, draw = vae.model_(encoded, torch.zeros(1, 20, K).double())
    reconstruction, _ = vae.model_.decode(draw.z[0])
    squared = (encoded.values - reconstruction).square().sum(-1)
    expected = -0.5 * squared - draw.kl.sum(-1) - 0.5 * D * np.log(2 * np.pi)
    torch.testing.assert_close(ELBO().bound(log_px, draw, 1.0), expected)
