"""The objectives are the documented bounds, and their gradients are unbiased."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from components import OBJECTIVES

from skvae import ELBO, IWAE, Embedding, Ladder, Normal, Trimmed, VAETransformer
from skvae._model.rows import Rows
from skvae._nn.score_function import leave_one_out_mean, score_function
from skvae.latents import Draw


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 2)) @ rng.normal(size=(2, 5)) + 0.5 * rng.normal(size=(300, 5))


@pytest.fixture(scope="module")
def vae(X):
    """A model whose encoder is perturbed, so that gradients are not zero."""
    vae = VAETransformer(2, hidden_layer_sizes=(8,), likelihood="normal", max_iter=3,
                         prior="standard_normal", random_state=0).fit(X)  # fmt: skip
    vae.model_.latent.head.bias += 0.2
    return vae


def bound(vae, rows: Rows, objective, seed, n_samples):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n_samples, len(rows), 2, generator=generator, dtype=torch.float64)
    log_px, draw = vae.model_(rows, noise)
    return objective.bound(log_px, draw, 1.0), log_px, draw


def test_iwae_is_the_log_mean_weight(vae, X):
    rows = vae.fitted_model_.encode(X[:20])
    value, log_px, draw = bound(vae, rows, IWAE(6), 0, 6)
    weights = (log_px + draw.log_pz - draw.log_qz).exp()
    torch.testing.assert_close(value, weights.mean(0).log())
    assert value.shape == (20,)


def test_more_draws_tighten_the_bound(vae, X):
    rows = vae.fitted_model_.encode(X)
    values = [
        np.mean([float(bound(vae, rows, IWAE(k), seed, k)[0].mean()) for seed in range(64)])
        for k in (1, 4, 32)
    ]
    assert values == sorted(values)
    elbo = float(bound(vae, rows, ELBO(), 0, 256)[0].mean())
    assert values[0] == pytest.approx(elbo, abs=0.05)


N_DRAWS = 4_000_000


@pytest.mark.parametrize(("mu", "d"), [(0.0, 1), (1.0, 1), (2.0, 1), (0.0, 2), (0.0, 8)])
def test_variance_of_both_estimators_has_its_closed_form(mu, d):
    """q = N(μ, I), f = ‖z‖²: same mean 2μ; 4 against μ⁴ + 14 μ² + 15, or 15 + 8(d−1) + (d−1)²."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(N_DRAWS // d, d, generator=generator, dtype=torch.float64)
    mean = torch.full_like(noise, mu).requires_grad_(True)
    f = (mean + noise).square().sum(-1)
    plain = torch.autograd.grad(f.sum(), mean)[0]
    z = (mean + noise).detach()
    log_qz = -0.5 * (z - mean).square().sum(-1)
    ours = torch.autograd.grad(score_function(f, log_qz).sum(), mean)[0]
    exact = mu**4 + 14 * mu**2 + 15 if d == 1 else 15 + 8 * (d - 1) + (d - 1) ** 2
    assert float(plain.var(0).mean()) == pytest.approx(4, rel=0.03)
    assert float(ours.var(0).mean()) == pytest.approx(exact, rel=0.03)
    for gradient in (plain, ours):
        error = 5 * float(gradient.std()) / N_DRAWS**0.5
        assert float(gradient.mean()) == pytest.approx(2 * mu, abs=error)


def test_the_baseline_of_a_draw_is_independent_of_it():
    signal = torch.randn(5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    numbers = signal.numpy()
    expected = [np.delete(numbers[:, 2], i).mean() for i in range(5)]
    np.testing.assert_allclose(leave_one_out_mean(signal)[:, 2], expected)
    np.testing.assert_allclose(
        leave_one_out_mean(signal[:1])[0, 3], np.delete(numbers[0], 3).mean()
    )
    assert leave_one_out_mean(signal[:1, :1]) == 0  # one row, one draw: no baseline


class PlainIWAE(IWAE):
    """The importance-weighted bound with the gradient that autograd gives."""

    def bound(self, log_px, draw, progress):
        log_w = log_px + draw.log_pz - draw.log_qz
        return torch.logsumexp(log_w, 0) - math.log(len(log_w))


def gradients(vae, rows, objective, n, k):
    """Gradients of the heads of encoder and decoder, (n, …), for independent draws."""
    heads = [vae.model_.latent.head.bias, vae.model_.head.bias]
    found = []
    for head in heads:
        head.requires_grad_(True)
    for seed in range(n):
        value, _, _ = bound(vae, rows, objective, seed, k)
        found.append(torch.autograd.grad(value.mean(), heads))
    for head in heads:
        head.requires_grad_(False)
    return [torch.stack(part) for part in zip(*found, strict=True)]


def test_doubly_reparameterized_gradient_is_unbiased_with_less_variance(vae, X):
    """The same mean as the plain gradient, with less variance in the encoder."""
    rows = vae.fitted_model_.encode(X[:10])
    plain = gradients(vae, rows, PlainIWAE(16), 600, 16)
    ours = gradients(vae, rows, IWAE(16), 600, 16)
    for a, b in zip(plain, ours, strict=True):
        error = torch.sqrt((a.var(0) + b.var(0)) / len(a))
        assert ((a.mean(0) - b.mean(0)).abs() < 4 * error + 1e-9).all()
    assert (ours[0].var(0) < 0.5 * plain[0].var(0)).all()


def test_free_bits_keep_dimensions_active():
    """For independent columns the KL of each dimension falls to zero, or to the free bits."""
    X = np.random.default_rng(0).normal(size=(600, 6))
    params = {"n_components": 3, "likelihood": Normal(1.0), "prior": "standard_normal",
              "random_state": 0, "max_iter": 60, "early_stopping": False}  # fmt: skip

    def kl(objective):
        vae = VAETransformer(objective=objective, **params).fit(X)
        h = vae.model_.encode(vae.fitted_model_.encode(X))
        return vae.model_.prior.kl(*vae.model_.latent.moments(h, vae.model_.prior)).mean(0)

    assert (kl(ELBO()) < 0.1).all()
    assert (kl(ELBO(free_bits=0.5)) > 0.35).all()


def test_free_bits_are_a_lower_bound_of_the_kl(vae, X):
    rows = vae.fitted_model_.encode(X[:50])
    plain, log_px, draw = bound(vae, rows, ELBO(), 0, 4)
    bounded = ELBO(free_bits=100.0).bound(log_px, draw, 1.0)
    torch.testing.assert_close(bounded, log_px.mean(0) - 200.0)
    torch.testing.assert_close(ELBO(free_bits=1e-9).bound(log_px, draw, 1.0).mean(), plain.mean())


def test_trimmed_leaves_the_lowest_bounds_out():
    log_px = torch.arange(10.0).unsqueeze(0).requires_grad_(True)
    zeros = torch.zeros(1, 10, 1)
    draw = Draw(zeros, log_pz=torch.zeros(1, 10), log_qz=torch.zeros(1, 10),
                kl=torch.zeros(10, 1))  # fmt: skip
    bound = Trimmed(0.3).bound(log_px, draw, 1.0)
    assert float(bound.mean().detach()) == pytest.approx(np.mean(np.arange(3, 10)))
    bound.mean().backward()
    np.testing.assert_allclose(log_px.grad[0], [0] * 3 + [1 / 7] * 7, rtol=1e-6)
    whole = Trimmed(0.0).bound(log_px, draw, 1.0)
    torch.testing.assert_close(whole, ELBO().bound(log_px, draw, 1.0))


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_a_warm_up_is_set_on_a_copy(objective):
    before = repr(objective)
    changed = objective.with_warmup(0.25)
    assert repr(objective) == before
    inner = objective.inner if isinstance(objective, Trimmed) else objective
    assert changed.warmup == (0.0 if isinstance(inner, IWAE) else 0.25)
    assert changed.with_warmup(objective.warmup).trim == objective.trim
    assert type(changed) is type(objective)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ("elbo", ELBO(warmup=0.2)),
        ("embedding", Embedding(warmup=0.2)),
        ("trimmed", Trimmed(objective=ELBO(warmup=0.2))),
        ("iwae", IWAE()),
        (Trimmed(), Trimmed()),
    ],
)
def test_objectives_given_by_name_have_the_warm_up_of_the_latent_family(X, objective, expected):
    vae = VAETransformer(3, latent=Ladder(), objective=objective, max_iter=1).fit(X)
    assert vae.objective_ == expected
    assert vae.objective_.warmup == expected.warmup
