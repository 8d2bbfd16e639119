"""The posterior of the linearized likelihood is exact where the model is linear and Gaussian."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from frames import pandas_frame, with_missing_cells
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from skvae import (
    Aggregated,
    Atoms,
    Bernoulli,
    Categorical,
    DiscretizedLogistic,
    Mixture,
    Normal,
    NormalMixture,
    StandardNormal,
    StudentT,
    VAETransformer,
)
from skvae._inference.importance import InferenceSettings
from skvae._inference.information import score_and_root
from skvae._inference.linearization import Linearization, linearize
from skvae._inference.linearized_draws import Sums, rounds
from skvae._inference.log_density import log_density
from skvae._nn.networks import ACTIVATIONS, Trunk


def linear_table(n=500):
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(3, 2))[rng.integers(0, 3, n)] * 2
    return centers @ rng.normal(size=(2, 4)) + 0.5 * rng.normal(size=(n, 4))


def exact_log_density(vae, X):
    """Of a model with a linear decoder, shared Gaussian noise and a mixture of Gaussians."""
    model = vae.model_
    mixture = model.prior.as_mixture()
    weight, bias = model.head.weight.numpy(), model.head.bias.numpy()
    (group,) = model.groups
    _, scale = group.likelihood.location_scale(torch.zeros(1, X.shape[1], 1).double(), group)
    noise = np.eye(X.shape[1]) * scale.numpy().ravel() ** 2
    rows = vae.fitted_model_.encode(X)
    x = rows.values.numpy()
    each = [
        float(log_pi) + multivariate_normal.logpdf(
            x, bias + weight @ mu.numpy(), weight @ np.diag(np.exp(v.numpy())) @ weight.T + noise
        )
        for log_pi, mu, v in zip(
            mixture.log_proportions, mixture.mean, mixture.log_var, strict=True
        )
    ]  # fmt: skip
    return logsumexp(each, axis=0) + rows.log_measure.numpy()


@pytest.mark.parametrize(
    "prior", [StandardNormal(), Mixture(5), Aggregated(4, guard=Mixture(2)), Aggregated()]
)
@pytest.mark.parametrize("precision", ["double", "single"])
def test_one_draw_is_exact_in_a_linear_gaussian_model(prior, precision):
    """With as many variances as groups; with more, sixteen draws come close."""
    X = linear_table()
    vae = VAETransformer(
        2, hidden_layer_sizes=(), likelihood=Normal(scale="shared"), prior=prior, max_iter=5,
        random_state=0, n_importance_samples=1, precision=precision,
    ).fit(X)  # fmt: skip
    n_variances = len(np.unique(vae.model_.prior.as_mixture().log_var, axis=0))
    if n_variances > 8:
        vae.set_params(n_importance_samples=64)
    tolerance = 1e-9 if precision == "double" else 2e-4
    error = vae.score_samples(X) - exact_log_density(vae, X)
    assert np.abs(error).max() < (tolerance if n_variances <= 8 else 0.3)
    assert abs(error.mean()) < (tolerance if n_variances <= 8 else 0.02)


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("sizes", [(), (7,), (7, 6)])
def test_the_jacobian_of_a_trunk_is_that_of_autograd(activation, sizes):
    trunk = Trunk(3, sizes, activation, torch.Generator().manual_seed(0)).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    h, tangents = trunk.jacobian(x)
    torch.testing.assert_close(h, trunk(x))
    expected = torch.stack([torch.autograd.functional.jacobian(trunk, row) for row in x])
    torch.testing.assert_close(tangents, expected.permute(2, 0, 1))


class OneColumn:
    """The constants that a likelihood reads, for a column of numbers."""

    resolution, level_mask = torch.tensor([1e-6]).double(), None
    constants = torch.tensor([[0.3]]).double()
    grid = torch.zeros(1, 2, 0).double()


@pytest.mark.parametrize(
    ("likelihood", "n_outputs"),
    [(Normal(), 2), (StudentT(), 2), (Bernoulli(), 1), (Categorical(), 4)],
)
def test_the_information_is_the_covariance_of_the_score(likelihood, n_outputs):
    n, columns = 200_000, OneColumn()
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(1, 1, n_outputs, generator=generator, dtype=torch.float64)
    outputs = outputs.expand(n, 1, n_outputs).contiguous()
    x = likelihood.sample(outputs, columns, generator)
    score, root = score_and_root(likelihood, x, outputs, columns)
    eye = torch.eye(n_outputs, dtype=torch.float64)[:, None, None].expand(-1, n, 1, -1)
    r = root(eye)[:, 0, 0]
    covariance = score[:, 0].T @ score[:, 0] / n
    torch.testing.assert_close(covariance, r @ r.T, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("likelihood", [
    "auto",
    *(pytest.param(each, marks=pytest.mark.slow)
      for each in (NormalMixture(), DiscretizedLogistic(), Atoms())),
])  # fmt: skip
def test_draws_are_weighted_right_in_a_nonlinear_model(likelihood):
    """Both proposals, with many draws, give the same density; the linearized one with fewer."""
    X = np.round(np.tanh(linear_table(300)), 1)
    table = pd.DataFrame(X, columns=list("abcd"))
    if isinstance(likelihood, DiscretizedLogistic):
        table = (10 * table).astype(int)
    table["level"] = np.where(X[:, 0] > 0, "high", "low")
    vae = VAETransformer(2, hidden_layer_sizes=(16,), likelihood=likelihood, random_state=0,
                         max_iter=30).fit(table)  # fmt: skip
    rows = vae.fitted_model_.encode(table[:60])
    amortized = log_density(vae.model_, rows, InferenceSettings(2**13), 2)
    linearized = log_density(vae.model_, rows, InferenceSettings(64, 10), 8)
    gap = linearized.score - amortized.score
    assert np.abs(gap).mean() < 0.15
    assert abs(gap.mean()) < 0.05
    few = log_density(vae.model_, rows, InferenceSettings(64), 8)
    assert linearized.std.mean() < few.std.mean() + 0.02


def test_draws_are_added_until_the_estimate_is_accurate():
    assert rounds(1) == [slice(0, 1)]
    assert rounds(50) == [slice(0, 16), slice(16, 32), slice(32, 50)]
    rng = np.random.default_rng(0)
    X = np.tanh(rng.normal(size=(300, 2)) @ rng.normal(size=(2, 5)) * 2)
    X = X + 0.1 * rng.normal(size=X.shape)
    vae = VAETransformer(2, random_state=0, max_iter=40).fit(X)
    _, few = vae.score_samples(X, return_std=True)
    _, ess = vae.set_params(n_importance_samples=256).score_samples(X, return_ess=True)
    assert ess.max() > 16.01
    assert (ess < 16.01).any()
    assert np.median(few) < 0.3


def test_sums_weigh_the_draws_of_all_rounds():
    generator = torch.Generator().manual_seed(0)
    log_w = 3 * torch.randn(10, 4, generator=generator, dtype=torch.float64)
    cells = torch.randn(10, 4, 2, generator=generator, dtype=torch.float64)
    sums = Sums(4)
    sums.cells = torch.zeros(4, 2, dtype=torch.float64)
    every = torch.arange(4)
    sums.add(every, log_w[:3], cells[:3])
    sums.forget(every[:2])
    sums.add(every[:2], log_w[:3, :2], cells[:3, :2])
    sums.add(every, log_w[3:], cells[3:])
    weights = torch.softmax(log_w, 0)
    torch.testing.assert_close(sums.log_mean, torch.logsumexp(log_w, 0) - np.log(10))
    torch.testing.assert_close(sums.ess, 1 / weights.square().sum(0))
    torch.testing.assert_close(sums.cells, (weights.unsqueeze(-1) * cells).sum(0))


def test_what_single_precision_cannot_hold_is_computed_in_double():
    X = linear_table()
    vae = VAETransformer(2, hidden_layer_sizes=(8,), likelihood="normal", max_iter=20,
                         random_state=0).fit(X)  # fmt: skip
    far = X[:5] + np.array([3e3, -1e3, 0, 0])
    double = vae.score_samples(far)
    single = vae.set_params(precision="single").score_samples(far)
    assert (double < -1e5).all()
    np.testing.assert_allclose(single, double, rtol=0.1)  # both are bounds


def test_missing_cells_leave_no_trace_in_the_linearization():
    """Their information is 0, and what stands in their place does not matter."""
    table = with_missing_cells(pandas_frame(80))
    vae = VAETransformer(2, random_state=0, max_iter=3).fit(table)
    model, rows = vae.model_, vae.fitted_model_.encode(table)
    z = torch.zeros(len(rows), 2, dtype=torch.float64)
    precision, gradient = linearize(model, rows, z)
    none = rows.mask(torch.ones_like(rows.missing))
    assert not any(part.any() for part in linearize(model, none, z))
    assert precision.any()
    assert gradient.any()
    rows.values[rows.missing[:, : rows.values.shape[1]]] = 1e3
    again, _ = linearize(model, rows, z)
    torch.testing.assert_close(again, precision)
    assert (torch.linalg.eigvalsh(precision) > -1e-6 * precision.abs().amax((1, 2))[:, None]).all()


def test_a_prior_that_is_no_mixture_has_no_linearization():
    X = linear_table(100)
    for parameters in ({"prior": "flow"}, {"latent": "ladder", "n_components": 4}):
        vae = VAETransformer(**{"n_components": 2, "random_state": 0, "max_iter": 1, **parameters})
        vae.fit(X)
        assert Linearization.of(vae.model_) is None
        assert np.isfinite(vae.score_samples(X)).all()


def test_rare_levels_need_the_encoder(monkeypatch):
    """Their information is small where they occur, so that the linearization alone is too wide."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(1500, 4))
    logits = z @ rng.normal(size=(4, 30)) - 2.5
    X = (rng.random(logits.shape) < 1 / (1 + np.exp(-2 * logits))).astype(bool)
    vae = VAETransformer(4, random_state=0, max_iter=40).fit(X)
    pooled, std = vae.score_samples(X[:300], return_std=True)
    assert Linearization.of(vae.model_).encoder_weight == pytest.approx(0.3)
    monkeypatch.setattr("skvae._inference.linearization.ENCODER_WEIGHT", 0.0)
    alone, std_alone = vae.score_samples(X[:300], return_std=True)
    assert std.mean() < std_alone.mean()
    assert pooled.mean() > alone.mean() - 0.01
