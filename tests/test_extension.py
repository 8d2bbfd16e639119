"""Components that are defined outside of the package, with the required methods only."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from components import LATENTS, LIKELIHOODS, OBJECTIVES, PRIORS
from frames import pandas_frame, with_missing_cells
from sklearn.base import clone

from skvae import Quantized, VAETransformer
from skvae import latents as latents_module
from skvae import likelihoods as likelihoods_module
from skvae import objectives as objectives_module
from skvae import priors as priors_module
from skvae.latents import Draw, Latent, LatentModule
from skvae.likelihoods import Likelihood
from skvae.objectives import Objective
from skvae.priors import Prior, PriorModule


class Laplace(Likelihood):
    """p(x | z) with double exponential tails and a fixed scale."""

    def __init__(self, scale=0.5):
        self.scale = scale

    def n_outputs(self, column):
        return 1

    def log_prob(self, x, outputs, columns):
        return -(x - outputs[..., 0]).abs() / self.scale - math.log(2 * self.scale)

    def sample(self, outputs, columns, generator):
        u = torch.rand(outputs.shape[:-1], generator=generator, dtype=outputs.dtype) - 0.5
        return outputs[..., 0] - self.scale * u.sign() * torch.log1p(-2 * u.abs())

    def point(self, outputs, columns):
        return outputs[..., 0]


class WideNormal(Prior):
    """p(z) = N(0, s² I) with a learned s, and no closed-form divergence."""

    def build(self, n_components, generator):
        return _WideNormalModule(n_components)


class _WideNormalModule(PriorModule):
    def __init__(self, n_components):
        super().__init__()
        self.n_components = n_components
        self.log_scale = torch.nn.Parameter(torch.zeros(()))

    def log_prob(self, z):
        u = z / self.log_scale.exp()
        return (-0.5 * u.square() - self.log_scale - 0.5 * math.log(2 * math.pi)).sum(-1)

    def sample(self, n_samples, generator):
        shape = (n_samples, self.n_components)
        scale = self.log_scale.exp()
        return scale * torch.randn(shape, generator=generator, dtype=scale.dtype)


class Point(Latent):
    """A posterior of one fixed width: nearly a plain autoencoder."""

    def build(self, n_components, n_hidden, generator):
        return _PointModule(n_components, n_hidden)


class _PointModule(LatentModule):
    def __init__(self, n_components, n_hidden):
        super().__init__([n_components])
        self.linear = torch.nn.Parameter(torch.zeros(n_components, n_hidden))

    def draw(self, h, noise, prior):
        z = h @ self.linear.T + 0.3 * noise
        return Draw(z, lambda: prior.log_prob(z), lambda: self.log_prob(z, h, prior))

    def log_prob(self, z, h, prior):
        u = (z - h @ self.linear.T) / 0.3
        return (-0.5 * u.square() - math.log(0.3) - 0.5 * math.log(2 * math.pi)).sum(-1)

    @torch.no_grad()
    def initialize(self, posterior):
        self.linear.zero_()
        self.linear[:, : posterior.weight.shape[1]] = posterior.weight


class Importance(Objective):
    """The importance-weighted bound in one line."""

    n_samples = 4

    def bound(self, log_px, draw, progress):
        weights = log_px + draw.log_pz - draw.log_qz
        return torch.logsumexp(weights, 0) - math.log(len(weights))


N_ITER = 80  # passes over the rows
TABLE = with_missing_cells(pandas_frame(120))[["float64", "Int64", "object", "boolean", "cents"]]


def check(vae):
    """Fitting, scores, embeddings and samples work, and training improves the score."""
    vae = clone(vae).fit(TABLE)
    assert np.isfinite(vae.score_samples(TABLE)).all()
    assert np.isfinite(vae.transform(TABLE)).all()
    assert (vae.sample(5, random_state=0).dtypes == TABLE.dtypes).all()
    rows = vae.inverse_transform(vae.transform(TABLE))
    assert (rows.dtypes == TABLE.dtypes).all()
    untrained = clone(vae).set_params(max_iter=1, learning_rate_init=1e-12).fit(TABLE)
    if getattr(vae.objective_, "beta", 1) <= 1:  # a larger weight of the KL lowers the density
        assert vae.score(TABLE) > untrained.score(TABLE)
    copy = clone(vae)
    assert repr(copy) == repr(clone(copy))


EXTERNAL = [
    {"likelihood": Laplace()},
    {"likelihood": {"float64": Laplace(scale=1.0)}},
    {"prior": WideNormal()},
    {"latent": Point()},
    {"objective": Importance()},
    {"latent": Point(), "prior": WideNormal(), "objective": Importance(), "likelihood": Laplace()},
]


@pytest.mark.parametrize("params", EXTERNAL, ids=str)
def test_external_components(params):
    check(VAETransformer(2, hidden_layer_sizes=(16,), random_state=0, max_iter=N_ITER, **params))


COMPONENTS = [
    *({"likelihood": likelihood} for likelihood in LIKELIHOODS),
    *({"latent": latent} for latent in LATENTS),
    *({"prior": prior} for prior in PRIORS if not prior.over_codes),
    *({"prior": prior, "latent": Quantized(8)} for prior in PRIORS if prior.over_codes),
    *({"objective": objective} for objective in OBJECTIVES),
]


@pytest.mark.parametrize("params", COMPONENTS, ids=str)
def test_every_component_of_the_table(params):
    check(VAETransformer(2, hidden_layer_sizes=(16,), random_state=0, max_iter=N_ITER, **params))


def test_the_table_of_components_is_complete():
    """Every registered family has a row, and so every property test."""
    for registry, rows in (
        (likelihoods_module.LIKELIHOODS, LIKELIHOODS),
        (latents_module.LATENTS, LATENTS),
        (priors_module.PRIORS, PRIORS),
        (objectives_module.OBJECTIVES, OBJECTIVES),
    ):
        assert set(registry.values()) == {type(row) for row in rows}


@pytest.mark.parametrize("row", [next(iter(p.values())) for p in COMPONENTS], ids=repr)
def test_components_are_values(row):
    assert repr(clone(row)) == repr(row)
    assert clone(row) == row
    assert set(vars(row)) == set(row.get_params(deep=False))


@pytest.mark.slow
def test_a_likelihood_learns_its_column():
    """A skewed, an integer and a heavy-tailed column: sampled rows have the marginals."""
    rng = np.random.default_rng(0)
    n = 3000
    z = rng.normal(size=n)
    X = pd.DataFrame({
        "count": rng.poisson(np.exp(0.5 * z + 1)),
        "amount": np.exp(z + 0.3 * rng.normal(size=n)).round(2),
        "answer": np.where(z + rng.normal(size=n) > 0, "yes", "no"),
    })  # fmt: skip
    vae = VAETransformer(2, random_state=0).fit(X)
    new = vae.sample(n, random_state=0)
    quantiles = [0.1, 0.5, 0.9]
    ratio = (1 + new["amount"].quantile(quantiles)) / (1 + X["amount"].quantile(quantiles))
    assert ((ratio > 0.8) & (ratio < 1.25)).all()
    assert (new["count"].quantile(quantiles) - X["count"].quantile(quantiles)).abs().max() <= 1
    assert (new["answer"] == "yes").mean() == pytest.approx((X["answer"] == "yes").mean(), abs=0.06)
    lift = [np.log1p(t["amount"])[t["answer"] == "yes"].mean() for t in (X, new)]
    assert lift[1] == pytest.approx(lift[0], abs=0.15)
