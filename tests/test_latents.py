"""The latent families: densities, closed forms, sizes, and the advantages of each."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from components import LATENTS
from sklearn.decomposition import PCA
from weights import log_weights_of_rows

from skvae import (
    ELBO,
    IWAE,
    Flow,
    Gaussian,
    Ladder,
    Mixture,
    Normal,
    Quantized,
    StandardNormal,
    VAETransformer,
)
from skvae.diagnostics import inference_gap
from skvae.latents import LATENTS as LATENTS_BY_NAME

CONTINUOUS = [latent for latent in LATENTS if not latent.has_codes]


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    return np.tanh(rng.normal(size=(400, 3)) @ rng.normal(size=(3, 6))) + 0.2 * rng.normal(
        size=(400, 6)
    )


def fitted(X, latent, k=2, **params):
    family = LATENTS_BY_NAME.get(latent, latent) if isinstance(latent, str) else latent
    prior = "auto" if family.has_codes else "standard_normal"
    params = {"prior": prior, "max_iter": 20, "random_state": 0, **params}
    return VAETransformer(k, latent=latent, hidden_layer_sizes=(16,), **params).fit(X)


def drawn(vae, X, n_samples, seed=0):
    """The model, encoder outputs of some rows, and draws of their posteriors."""
    model, rows = vae.model_, vae.fitted_model_.encode(X)
    h = model.encode(rows)
    generator = torch.Generator().manual_seed(seed)
    shape = (n_samples, len(rows), model.latent.n_noise)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    return model, h, model.latent.draw(h, noise, model.prior)


@pytest.mark.parametrize("latent", LATENTS, ids=repr)
def test_draws_have_their_density(X, latent):
    """log q(z | x) and log p(z) of a draw are the densities at its z."""
    model, h, draw = drawn(fitted(X, latent, k=4), X[:20], 8)
    torch.testing.assert_close(model.latent.log_prob(draw.z, h, model.prior), draw.log_qz)
    torch.testing.assert_close(model.latent.log_pz(draw.z, model.prior), draw.log_pz)
    if draw.path_log_qz is not None:
        torch.testing.assert_close(draw.path_log_qz(), draw.log_qz)


@pytest.mark.parametrize("latent", [*CONTINUOUS, Ladder((1, 1))], ids=repr)
def test_posterior_integrates_to_one(X, latent):
    vae = fitted(X, latent)
    model, h, draw = drawn(vae, X[:3], 4000)
    for i in range(3):
        z = draw.z[:, i]
        center, reach = z.mean(0), 9 * z.std(0)
        axes = [torch.linspace(-float(r), float(r), 301, dtype=torch.float64) for r in reach]
        grid = torch.cartesian_prod(*axes) + center
        density = model.latent.log_prob(grid.unsqueeze(1), h[i : i + 1], model.prior).exp()
        cell = np.prod([float(axis[1] - axis[0]) for axis in axes])
        assert float(density.sum()) * cell == pytest.approx(1, abs=5e-3)


@pytest.mark.parametrize("latent", [Gaussian(), Ladder((2, 2, 1)), Ladder((3, 1))], ids=repr)
def test_closed_form_divergence_is_that_of_the_draws(X, latent):
    k = None if isinstance(latent, Ladder) else 3
    _, _, draw = drawn(fitted(X, latent, k=k), X[:30], 8000)
    each = draw.log_qz - draw.log_pz
    error = (each.var(0) / len(each)).sum().sqrt()
    assert abs(float((draw.kl.sum(-1) - each.mean(0)).sum())) < 4 * float(error)


@pytest.mark.parametrize("latent", [*CONTINUOUS, Ladder((3, 2, 1)), Ladder((2, 3))], ids=repr)
def test_every_family_starts_at_probabilistic_pca(latent):
    """The untrained model has the density of probabilistic PCA, and its posterior is exact."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 6)) + rng.normal(size=(500, 6))
    X = (X - X.mean(0)) / X.std(0)
    params = {"likelihood": Normal("shared"), "early_stopping": False}
    k = sum(latent.layers) if isinstance(latent, Ladder) and latent.layers else 3
    vae = fitted(X, latent, k=k, max_iter=1, learning_rate_init=1e-12, **params)
    lowest = vae.model_.latent.layers[0]
    assert vae.score(X) == pytest.approx(PCA(lowest).fit(X).score(X), abs=1e-3)
    weights = log_weights_of_rows(
        vae.model_,
        vae.fitted_model_.encode(X[:50]),
        torch.randn(16, 50, vae.model_.latent.n_noise).double(),
    )
    assert float(weights.std(0).max()) < 1e-3


def encoder_gradients(vae, X, objective, n, k):
    """Gradients of the parameters of q, one row for each draw of the noise."""
    model, rows = vae.model_, vae.fitted_model_.encode(X)
    parameters = [p for p in model.latent.parameters() if p.numel()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    found = []
    for seed in range(n):
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(k, len(rows), model.latent.n_noise, generator=generator).double()
        log_px, draw = model(rows, noise, objective.detach_z)
        bound = objective.bound(log_px, draw, 1.0).mean()
        gradient = torch.autograd.grad(bound, parameters, allow_unused=True)
        found.append(torch.cat([g.flatten() for g in gradient if g is not None]))
    for parameter in parameters:
        parameter.requires_grad_(False)
    return torch.stack(found)


def same_mean(a, b):
    error = torch.sqrt((a.var(0) + b.var(0)) / len(a))
    gap = (a.mean(0) - b.mean(0)).abs() / (error + 1e-9)
    assert float((gap**2).mean()) < 1.5  # 1 in expectation if the means are equal
    assert float(gap.max()) < 6


@pytest.mark.parametrize("latent", [*CONTINUOUS, Ladder((2, 1))], ids=repr)
@pytest.mark.parametrize("k", [1, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_score_function_is_unbiased(X, latent, k):
    vae = fitted(X, latent, k=3, max_iter=2, prior=StandardNormal())
    ours = encoder_gradients(vae, X[:4], ELBO(gradient="score_function"), 250, k)
    plain = encoder_gradients(vae, X[:4], ELBO(), 250, k)
    same_mean(ours, plain)
    if k == 1:  # the other draws of the row are a good baseline
        assert float(ours.var(0).sum()) > 2 * float(plain.var(0).sum())


@pytest.mark.slow
def test_doubly_reparameterized_gradient_of_a_ladder(X):
    class PlainIWAE(IWAE):
        def bound(self, log_px, draw, progress):
            log_w = log_px + draw.log_pz - draw.log_qz
            return torch.logsumexp(log_w, 0) - np.log(len(log_w))

    vae = fitted(X, Ladder((2, 1)), k=None, max_iter=2)
    same_mean(*(encoder_gradients(vae, X[:4], kind(4), 300, 4) for kind in (IWAE, PlainIWAE)))


# ------------------------------------------------------------------------------ sizes


@pytest.mark.parametrize("latent", ["gaussian", "flow", Flow("spline"), Flow("planar"), "ladder",
                                    "quantized", "finite_scalar"], ids=str)  # fmt: skip
@pytest.mark.parametrize("k", [1, 3, *(pytest.param(k, marks=pytest.mark.slow) for k in (2, 4))])
def test_families_given_by_name_take_their_sizes_from_n_components(X, latent, k):
    vae = VAETransformer(k, latent=latent, max_iter=2, random_state=0).fit(X)
    assert vae.n_components_ == vae.transform(X).shape[1] == k
    assert vae.active_units_.shape == vae.kl_per_unit_.shape == (k,)
    assert np.isfinite(vae.score(X))
    assert sum(vae.model_.latent.layers) == k
    assert vae.sample(3, random_state=0).shape == (3, 6)


@pytest.mark.parametrize(("latent", "k"), [(Ladder((4, 2)), 5), (Quantized(8, n_codebooks=2), 3)])
def test_sizes_that_disagree_are_an_error(X, latent, k):
    with pytest.raises(ValueError, match=f"n_components={k}.*n_components=None"):
        VAETransformer(k, latent=latent).fit(X)
    total = VAETransformer(latent=latent, max_iter=1).fit(X).n_components_
    assert total == VAETransformer(total, latent=latent, max_iter=1).fit(X).n_components_


def test_partners_that_are_rejected(X):
    for params, why in (
        ({"latent": "quantized", "prior": Mixture()}, "integer codes"),
        ({"latent": "gaussian", "prior": "autoregressive"}, "integer codes"),
        ({"latent": "quantized", "objective": "iwae"}, "integer codes"),
        ({"latent": Quantized(temperature=0.0), "objective": ELBO(n_samples=2)}, "nearest code"),
    ):
        with pytest.raises(ValueError, match=why):
            VAETransformer(2, **params).fit(X)


# ------------------------------------------------------------------------------ flow


@pytest.mark.slow
def test_a_flow_tightens_the_bound_for_a_nonlinear_posterior():
    """The posterior of z given x = (z₁² + z₂, tanh z₁z₂) is near a curve, not diagonal."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(1500, 2))
    X = np.c_[z[:, 0] ** 2 + z[:, 1], np.tanh(z[:, 0] * z[:, 1])]
    X = X + 0.2 * rng.normal(size=X.shape)
    gap, score = {}, {}
    for latent in ("gaussian", "flow"):
        vae = VAETransformer(2, latent=latent, likelihood=Normal(0.3), prior="standard_normal",
                             random_state=0).fit(X[:1200])  # fmt: skip
        found = inference_gap(vae, X[1200:], n_importance_samples=5000).mean()
        gap[latent], score[latent] = found["log_px"] - found["elbo"], found["log_px"]
    assert gap["flow"] < 0.75 * gap["gaussian"]
    assert score["flow"] > score["gaussian"] - 0.01


# ------------------------------------------------------------------------------ ladder


def two_levels(n=1000, noise=0.3):
    """Twelve noisy functions of four numbers, which are noisy functions of a circle."""
    rng = np.random.default_rng(0)
    top = rng.normal(size=n)
    middle = np.c_[np.sin(2 * top), np.cos(2 * top), top, top**2 - 1]
    middle = middle + 0.4 * rng.normal(size=(n, 4))
    return np.tanh(middle @ rng.normal(size=(4, 12))) + noise * rng.normal(size=(n, 12))


def kl_per_layer(latent, **params):
    vae = VAETransformer(latent=latent, prior="standard_normal", random_state=0, **params)
    vae.fit(two_levels())
    parts = vae.model_.latent.slices()
    active = [bool(vae.active_units_[part].any()) for part in parts]
    return active, np.array([vae.kl_per_unit_[part].sum() for part in parts])


@pytest.mark.slow
def test_a_ladder_keeps_its_layers_in_use():
    """All of five layers; a random initialization without warm-up does not use the upper ones."""
    active, kl = kl_per_layer(Ladder((6, 4, 3, 2, 1)))
    assert all(active)
    assert (kl > 0.1).all()
    plain = Ladder((6, 4, 3, 2, 1), normalization=False)
    with pytest.warns(match="Posterior collapse"):
        active, kl = kl_per_layer(plain, init="random", objective=ELBO())
    assert not active[-1]
    assert kl[-1] < 0.01


def test_elbo_by_name_has_a_warm_up_with_a_ladder(X):
    assert VAETransformer(2, latent="ladder", max_iter=1).fit(X).objective_.warmup == 0.2
    asked = VAETransformer(2, latent="ladder", objective=ELBO(), max_iter=1).fit(X)
    assert asked.objective_.warmup == 0
    assert VAETransformer(2, max_iter=1).fit(X).objective_.warmup == 0


def test_warm_start_does_not_repeat_the_warm_up(X):
    """The second fit has the full weight of the KL from its first step."""
    vae = fitted(X, Ladder((2, 1)), k=None, warm_start=True, max_iter=30)
    before = vae.history_["validation_bound"][-1]
    vae.set_params(max_iter=1).fit(X)
    assert vae.history_["validation_bound"][-1] > before - 0.5
    bound, kl, fit = (vae.history_[name][-1] for name in ("bound", "kl", "reconstruction"))
    assert bound == pytest.approx(fit - kl, abs=1e-3)


def test_layers_have_names_and_some_can_be_left_out(X):
    vae = fitted(X, Ladder((3, 2, 1)), k=None)
    names = list(vae.get_feature_names_out())
    assert names[0] == "vaetransformer_layer1_0"
    assert names[-1] == "vaetransformer_layer3_0"
    every = vae.transform(X)
    for layers, columns in (((1,), [0, 1, 2]), ((3,), [5]), ((2, 3), [3, 4, 5])):
        part = fitted(X, Ladder((3, 2, 1), output_layers=layers), k=None)
        assert list(part.get_feature_names_out()) == [names[i] for i in columns]
        np.testing.assert_array_equal(part.transform(X), every[:, columns])
        back = part.inverse_transform(part.transform(X))
        if 1 in layers:  # the only input of the decoder
            np.testing.assert_array_equal(back, vae.inverse_transform(every))
        else:  # replaced by the conditional means given the layer above
            model, z = part.model_, torch.zeros(len(X), 6, dtype=torch.float64)
            z[:, columns] = torch.from_numpy(every[:, columns])
            if 2 not in layers:
                z[:, 3:5] = model.latent.down[1](z[:, 5:])[0]
            z[:, :3] = model.latent.down[0](z[:, 3:5])[0]
            np.testing.assert_array_equal(back, vae.inverse_transform(z.numpy()))
    with pytest.raises(ValueError, match=r"names layer 4, but there are 3"):
        fitted(X, Ladder((3, 2, 1), output_layers=(4,)), k=None)


def test_a_ladder_samples_from_its_density(X):
    """The mean of log p(z) over draws from p is the negative entropy, a sum for Gaussians."""
    vae = fitted(X, Ladder((2, 1)), k=None)
    latent, prior = vae.model_.latent, vae.model_.prior
    draws = latent.sample(20_000, prior, torch.Generator().manual_seed(0))
    _, log_var = latent.down[0](draws[:, 2:])
    entropy = 0.5 * (1 + np.log(2 * np.pi)) * 3 + 0.5 * float(log_var.sum(-1).mean())
    assert float(latent.log_pz(draws, prior).mean()) == pytest.approx(-entropy, abs=0.05)


@pytest.mark.parametrize(
    ("latent", "expected"),
    [
        (Gaussian(), [1, 2, 3, 4, 6, 8]),
        (Quantized(), [1, 2, 3, 4, 6, 8]),
        (Quantized(n_codebooks=2), [2, 4, 6, 8]),
        (Quantized(n_codebooks=4), [4, 8]),
        (Quantized(n_codebooks=16), [16]),
        (Ladder(), [1, 2, 3, 4, 6, 8]),
        (Ladder(layers=(3, 2)), [5]),
        (Ladder(output_layers=(2,)), [2, 3, 4, 6, 8]),
    ],
    ids=repr,
)
def test_sizes_that_a_family_can_have(latent, expected):
    assert latent.sizes([1, 2, 3, 4, 6, 8]) == expected
    for k in expected:
        assert latent.size(k, 5) == k
        assert latent.build(k, 10, torch.Generator().manual_seed(0)).n_components == k


def test_codebooks_have_the_same_size():
    with pytest.raises(ValueError, match="cannot be divided evenly among the 4 positions"):
        Quantized(n_codebooks=4).build(6, 10, torch.Generator())
