"""Analytic gradients are those of autograd."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from components import LIKELIHOODS
from frames import pandas_frame, with_missing_cells
from sklearn.base import clone

from skvae import (
    ELBO,
    Aggregated,
    Atoms,
    Bernoulli,
    Categorical,
    DiscretizedLogistic,
    Embedding,
    FlowPrior,
    Mixture,
    Normal,
    Ordinal,
    StandardNormal,
    StudentT,
    Trimmed,
    VAETransformer,
)
from skvae._nn.networks import ACTIVATIONS
from skvae._training.analytic_gradients import AnalyticGradients, has_analytic_gradients
from skvae._training.stacking import Stack
from skvae.likelihoods import Standardized

TABLE = with_missing_cells(pandas_frame(90))
COLUMNS = np.random.default_rng(0).normal(size=(60, 5)).round(3)
REPEATED = np.where(np.random.default_rng(2).random(COLUMNS.shape) < 0.3, 0.0, COLUMNS)
WITH_MISSING = np.where(np.random.default_rng(1).random(COLUMNS.shape) < 0.2, np.nan, COLUMNS)


ANALYTIC = Normal, StudentT, Atoms, DiscretizedLogistic, Bernoulli, Categorical, Ordinal


def parts(table, **params):
    """A model in training, rows and objective, all in double precision."""
    params = {"hidden_layer_sizes": (8, 6), "prior": "standard_normal", **params}
    vae = VAETransformer(3, max_iter=1, random_state=0, **params).fit(table)
    model = copy.deepcopy(vae.model_).requires_grad_(True).train()
    return model, vae.fitted_model_.encode(table), vae.objective_


def several_of(model):
    """Two more models of the same shape, with other weights."""
    generator = torch.Generator().manual_seed(0)
    others = [copy.deepcopy(model) for _ in range(2)]
    for parameter in (p for other in others for p in other.parameters()):
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return others


def both_gradients(models, rows, objective, scale=1, **options):
    """Metrics and gradient by autograd, and by the analytic gradients."""
    generator = torch.Generator().manual_seed(0)
    n_rows = len(rows) // len(models)
    shape = (len(models), objective.n_samples, n_rows, models[0].latent.n_noise)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    stack = Stack(models, objective)
    losses, metrics = stack.terms(rows, noise, 0.3, **options)
    (scale * losses.sum()).backward()
    expected = stack.flat.grad.clone()
    stack.flat.grad.zero_()
    analytic = AnalyticGradients(stack, objective).add_gradient(rows, noise, 0.3, scale, **options)
    return (metrics, expected), (analytic, stack.flat.grad)


def assert_same(expected, analytic):
    for a, b in zip(expected, analytic, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
@pytest.mark.parametrize("freeze_generative", [pytest.param(False, marks=pytest.mark.slow), True])
def test_every_likelihood(likelihood, freeze_generative):
    model, rows, objective = parts(TABLE, likelihood=clone(likelihood, safe=False))
    assert_same(*both_gradients([model], rows, objective, freeze_generative=freeze_generative))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(), (7,), (8, 6, 5)])
def test_every_network(activation, hidden):
    model, rows, objective = parts(COLUMNS, activation=activation, hidden_layer_sizes=hidden)
    assert_same(*both_gradients([model], rows, objective, scale=3))


@pytest.mark.parametrize(
    "objective",
    [ELBO(2.0), ELBO(0.5, warmup=0.6), ELBO(n_samples=3), Embedding()],
    ids=repr,
)
def test_every_bound(objective):
    model, rows, objective = parts(COLUMNS, objective=objective)
    assert_same(*both_gradients([model], rows, objective))


@pytest.mark.parametrize("scale", ["conditional", "column", "shared", 0.7])
@pytest.mark.parametrize("family", [Normal, StudentT])
@pytest.mark.parametrize("options", [{}, {"freeze_generative": True}], ids=repr)
@pytest.mark.parametrize("table", [COLUMNS, WITH_MISSING], ids=["complete", "missing"])
def test_models_that_are_stacked(scale, family, options, table):
    model, rows, objective = parts(
        table, likelihood=family(scale), objective=ELBO(0.7, n_samples=2)
    )
    models = [model, *several_of(model)]
    assert has_analytic_gradients(Stack(models, objective), objective)
    assert_same(*both_gradients(models, rows, objective, scale=2, **options))


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
def test_tables_of_models_that_are_stacked(likelihood):
    model, rows, objective = parts(TABLE, likelihood=clone(likelihood, safe=False))
    models = [model, *several_of(model)]
    together = has_analytic_gradients(Stack(models, objective), objective)
    assert together == isinstance(likelihood, ANALYTIC)  # the other columns have analytic gradients
    if together:
        assert_same(*both_gradients(models, rows, objective))


class Flatter(Normal):
    """A family that overrides log_prob."""

    def log_prob(self, x, outputs, columns):
        return 0.5 * super().log_prob(x, outputs, columns)


class Steeper(Normal):
    """A family that overrides the standard density."""

    def standard(self, r, columns):
        return 2 * super().standard(r, columns)


class Renamed(Normal):
    """A subclass without changes: only exact classes have analytic gradients."""


class Shifted:
    def log_prob(self, x, outputs, columns):
        return super().log_prob(x + 1, outputs, columns)


class Mixed(Shifted, Normal):
    """A family with a mixin that overrides log_prob."""


class Wider(StudentT):
    """A family that overrides the scale and the degrees of freedom."""

    def location_scale(self, outputs, columns):
        location, scale = super().location_scale(outputs, columns)
        return location, 2 * scale

    def degrees_of_freedom(self, columns):
        return 2 + torch.exp(columns.constants[:, -1])


class Laplace(Standardized):
    """A standardized family without an entry in the registry."""

    resolution_factor, scale, min_scale = 0.3, "conditional", 1e-3

    def standard(self, r, columns):
        assert columns.n_columns == len(columns.resolution)  # a group of columns, as documented
        return -r.abs() - np.log(2)

    def sample(self, outputs, columns, generator):
        return self.point(outputs, columns)


@pytest.mark.parametrize("family", [Flatter, Steeper, Renamed, Mixed, Wider, Laplace])
def test_subclasses_are_differentiated_by_autograd(family):
    for likelihood in (family(), Atoms(family())):
        model, rows, objective = parts(REPEATED, likelihood=likelihood)
        assert repr(model.groups[0].likelihood) == repr(likelihood)
        assert not has_analytic_gradients(Stack([model, *several_of(model)], objective), objective)
        assert_same(*both_gradients([model], rows, objective))


def test_embeddings_of_many_levels():
    table = pandas_frame(300)
    table["many"] = np.random.default_rng(0).integers(0, 60, 300).astype(str)
    model, rows, objective = parts(table)
    assert len(model.inputs.embeddings)
    assert_same(*both_gradients([model], rows, objective))


def test_clamped_variances():
    model, rows, objective = parts(COLUMNS)
    with torch.no_grad():
        model.latent.head.bias[3:] = torch.tensor([100.0, -100.0, 0.0])  # both are clamped
    expected, analytic = both_gradients([model], rows, objective)
    assert_same(expected, analytic)


def test_informative_missing_values():
    model, rows, objective = parts(TABLE, informative_missing="all")
    assert_same(*both_gradients([model], rows, objective))


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, True),
        ({"prior": "aggregated"}, True),
        ({"objective": "embedding"}, True),
        ({"prior": Aggregated(guard=Mixture(3))}, True),
        ({"prior": "mixture"}, True),
        ({"prior": "flow"}, False),
        ({"prior": Aggregated(guard=FlowPrior())}, False),
        ({"latent": "flow"}, False),
        ({"latent": "ladder"}, False),
        ({"objective": "iwae"}, False),
        ({"objective": Trimmed(0.1)}, False),
        ({"objective": ELBO(free_bits=0.1)}, False),
        ({"objective": ELBO(gradient="score_function", n_samples=2)}, False),
    ],
)
def test_which_models_have_analytic_gradients(params, expected):
    model, _, objective = parts(COLUMNS, **params)
    assert has_analytic_gradients(Stack([model], objective), objective) is expected


PRIORS = [Mixture(4), Aggregated(guard=Mixture(3)), Aggregated(guard=StandardNormal()), "auto"]


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
@pytest.mark.parametrize("freeze_generative", [False, True])
@pytest.mark.parametrize("several", [False, True])
def test_every_prior_with_an_analytic_gradient(prior, freeze_generative, several):
    """Several components of a mixture need more rows than the other tests have."""
    table = np.random.default_rng(0).normal(size=(300, 5)).round(3)
    model, rows, objective = parts(table, prior=prior)
    assert has_analytic_gradients(Stack([model], objective), objective)
    models = [model, *several_of(model)] if several else [model]
    assert_same(*both_gradients(models, rows, objective, freeze_generative=freeze_generative))
