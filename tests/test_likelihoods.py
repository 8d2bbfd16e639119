"""Each likelihood is a density: mass, draws, gradients of all outputs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from columns import column_of
from components import LIKELIHOODS
from scipy import stats

from skvae import (
    Atoms,
    Bernoulli,
    Categorical,
    DiscretizedLogistic,
    Normal,
    Ordinal,
    StudentT,
    VAETransformer,
)
from skvae._table.layouts import Cells
from skvae.likelihoods import Residual

ids = [repr(likelihood) for likelihood in LIKELIHOODS]


def numeric_column(integer=False, likelihood=None):
    """A fitted column with a repeated value at 0."""
    rng = np.random.default_rng(0)
    values = np.where(rng.random(400) < 0.3, 0.0, rng.gamma(2, 3, size=400) + 0.05)
    values = (20 * values).round() if integer else values
    cells = Cells("integer" if integer else "float", values, np.zeros(400, dtype=bool))
    return column_of("x", cells, likelihood=likelihood)


LEVELS = SimpleNamespace(n_codes=3, frequencies=np.array([0.2, 0.3, 0.5]), probability=0.3)


def case(likelihood, seed=0):
    """Random outputs for two columns, and the columns."""
    column = LEVELS
    if "continuous" in likelihood.kinds or "integer" in likelihood.kinds:
        integer = "continuous" not in likelihood.kinds or likelihood.is_mass
        column = numeric_column(integer, likelihood)
    shape = likelihood.n_outputs(column), likelihood.n_constants(column)
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(1, 1, 2, shape[0], generator=generator, dtype=torch.float64)
    columns = SimpleNamespace(
        resolution=torch.tensor([0.1, 0.02], dtype=torch.float64),
        level_mask=None,
        grid=torch.from_numpy(np.array([likelihood.grid(column)] * 2)),
        constants=torch.randn(2, shape[1], generator=generator, dtype=torch.float64),
    )
    return column, outputs, columns


def support(likelihood, column, columns):
    """A grid of cells that covers the support, and the weight of each."""
    if likelihood.target == "code":
        return torch.arange(3), np.ones(3)
    if isinstance(likelihood, Bernoulli):
        return torch.tensor([-1.0, 1.0], dtype=torch.float64), np.ones(2)
    if likelihood.target == "count":
        counts = torch.arange(1000, dtype=torch.float64)
        return counts, np.ones(len(counts))
    if "interval" in likelihood.target:
        width = float(column.cell_width(np.zeros(1))[0])
        first = float(column.map.forward(np.array([-0.5]))[0])
        edges = first + width * torch.arange(-20_000, 20_000, dtype=torch.float64)
        cells = torch.stack([edges, torch.full_like(edges, width)], -1)
        return with_atoms(likelihood, column, cells, edges + width / 2), np.ones(len(edges))
    # x = sinh(u) covers heavy tails; midpoints between discontinuities of the density
    edges = np.sinh(np.linspace(-16, 16, 200_001))
    if columns.grid.numel():
        places = columns.grid[0, 0].numpy()
        half = 0.5 * np.exp(columns.grid[0, 1].numpy()) if len(columns.grid[0]) > 1 else 0.0
        edges = np.unique(np.concatenate([edges, places - half, places + half]))
    middles = torch.from_numpy((edges[1:] + edges[:-1]) / 2)
    return with_atoms(likelihood, column, middles, middles), np.diff(edges)


def with_atoms(likelihood, column, cells, middles):
    """The cells, followed by the number of their atom if the family needs it."""
    if "atoms" not in likelihood.target:
        return cells
    number = (
        torch.from_numpy(column._atom(column.map.inverse(middles.numpy()))).double().unsqueeze(-1)
    )
    return torch.cat([cells.unsqueeze(-1) if cells.ndim == 1 else cells, number], dim=-1)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=ids)
def test_mass_is_one(likelihood):
    column, outputs, columns = case(likelihood)
    cells, weight = support(likelihood, column, columns)
    x = cells.unsqueeze(1).expand(len(cells), 2, *cells.shape[1:]).unsqueeze(0)
    with torch.no_grad():
        log_prob = likelihood.log_prob(x, outputs.expand(1, len(cells), -1, -1), columns)[0]
    np.testing.assert_allclose(weight @ log_prob.exp().numpy(), 1.0, rtol=1e-6)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=ids)
def test_draws_follow_the_density(likelihood):
    column, outputs, columns = case(likelihood)
    n = 40_000
    generator = torch.Generator().manual_seed(3)
    o = outputs[0].expand(n, -1, -1)
    draws = likelihood.sample(o, columns, generator).numpy()
    assert draws.shape == (n, 2)
    cells, weight = support(likelihood, column, columns)
    x = cells.unsqueeze(1).expand(len(cells), 2, *cells.shape[1:]).unsqueeze(0)
    log_prob = likelihood.log_prob(x, outputs.expand(1, len(cells), -1, -1), columns)[0]
    mass = log_prob.exp().numpy() * weight[:, None]
    edges = (cells if cells.ndim == 1 else cells[:, 0]).numpy()
    width = cells[0, 1].item() if "interval" in likelihood.target else 0.5 * weight
    if isinstance(likelihood, Atoms):  # an atom's draws are spread over its cell
        u = np.random.default_rng(0).uniform(size=draws.shape)
        position, log_width = columns.grid[0].numpy()
        is_atom = np.isclose(draws[..., None], position).any(-1)
        assert 0 < is_atom.mean() < 1
        cell = width if likelihood.is_mass else np.exp(log_width[0])
        spread = draws + cell * (u - 0.5)
        draws = np.where(is_atom, spread, draws)
    if isinstance(likelihood, Bernoulli):
        draws = np.sign(draws)
    for j in range(2):
        if len(edges) <= 1000:  # levels, counts: compare proportions
            shares = [(draws[:, j] == level).mean() for level in edges]
            np.testing.assert_allclose(shares, mass[:, j], atol=0.01)
        else:  # numbers: Kolmogorov–Smirnov against the summed density
            cdf = np.cumsum(mass[:, j])
            test = stats.kstest(draws[:, j], lambda v, c=cdf, w=width: np.interp(v, edges + w, c))
            assert test.pvalue > 1e-3


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=ids)
def test_gradients_are_finite_and_reach_every_output(likelihood):
    column, outputs, columns = case(likelihood)
    cells, _ = support(likelihood, column, columns)
    cells = cells[:: max(1, len(cells) // 500)]
    x = cells.unsqueeze(1).expand(len(cells), 2, *cells.shape[1:]).unsqueeze(0)
    outputs = outputs.clone().requires_grad_(True)
    columns.constants.requires_grad_(True)
    log_prob = likelihood.log_prob(x, outputs.expand(1, len(cells), -1, -1), columns)
    assert torch.isfinite(log_prob).all()
    # A smooth weight, so that no output's gradients cancel
    (log_prob * torch.linspace(0.1, 1, len(cells)).view(1, -1, 1)).sum().backward()
    assert torch.isfinite(outputs.grad).all()
    assert (outputs.grad.abs().sum((0, 1, 2)) > 0).all()
    if columns.constants.numel():
        assert (columns.constants.grad.abs().sum(0) > 0).all()


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=ids)
def test_points_are_inside_the_support(likelihood):
    _, outputs, columns = case(likelihood)
    point = likelihood.point(outputs[0], columns)
    assert point.shape == (1, 2)
    assert torch.isfinite(point.double()).all()


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=ids)
def test_start_has_the_right_shape(likelihood):
    column, _, _ = case(likelihood)
    bias, gain = likelihood.initialize(column, Residual(0.5))
    assert np.isfinite(bias).all()
    assert np.isfinite(gain).all()
    assert bias.shape == (likelihood.n_outputs(column) + likelihood.n_constants(column),)
    assert gain.shape == (len(bias), 3 if likelihood.target == "code" else 1)


def test_normal_with_fixed_scale_is_half_the_squared_error():
    _, outputs, columns = case(Normal(scale=1.0))
    x = torch.tensor([[0.3, -2.0]], dtype=torch.float64)
    log_prob = Normal(scale=1.0).log_prob(x, outputs, columns)
    squared = (x - outputs[..., 0]) ** 2
    torch.testing.assert_close(-log_prob - 0.5 * np.log(2 * np.pi), 0.5 * squared)


def test_student_t_is_scipys():
    _, outputs, columns = case(StudentT())
    x = torch.tensor([[[0.3, -2.0]]], dtype=torch.float64)
    location, scale = StudentT().location_scale(outputs, columns)
    nu = StudentT().degrees_of_freedom(columns)
    expected = stats.t.logpdf(x.numpy(), nu.numpy(), location.numpy(), scale.numpy())
    np.testing.assert_allclose(StudentT().log_prob(x, outputs, columns).numpy(), expected)


def test_discretized_logistic_does_not_cancel():
    """The mass of a cell of width 1e-9 in the tail is the density times the width."""
    likelihood = DiscretizedLogistic(scale=1.0)
    columns = SimpleNamespace(resolution=torch.zeros(1), level_mask=None)
    x = torch.tensor([[[[30.0, 1e-9]]]])
    log_mass = float(likelihood.log_prob(x, torch.zeros(1, 1, 1, 1), columns))
    assert log_mass == pytest.approx(stats.logistic.logpdf(30.0) + np.log(1e-9), abs=1e-4)


def test_padded_levels_have_no_mass():
    mask = torch.tensor([[True, True, False], [True, True, True]])
    columns = SimpleNamespace(level_mask=mask, resolution=None)
    outputs = torch.full((1, 5000, 2, 3), 0.0)
    outputs[..., 2] = 50.0
    draws = Categorical().sample(outputs[0], columns, torch.Generator().manual_seed(0))
    assert set(draws[:, 0].tolist()) == {0, 1}
    assert set(draws[:, 1].tolist()) == {2}
    assert Categorical().point(outputs, columns)[0, 0].tolist() == [0, 2]
    log_prob = Categorical().log_prob(torch.tensor([[0, 2]]), outputs, columns)
    assert log_prob[0, 0].tolist() == pytest.approx([np.log(0.5), 0.0], abs=1e-6)


def test_scale_does_not_fall_below_the_resolution():
    columns = SimpleNamespace(resolution=torch.tensor([0.5, 0.0]), level_mask=None)
    outputs = torch.full((1, 1, 2, 2), -40.0)
    _, scale = Normal().location_scale(outputs, columns)
    np.testing.assert_allclose(scale[0, 0], [0.151, 0.001], rtol=1e-5)


@pytest.mark.parametrize(("n_rows", "family"), [(12, Ordinal), (399, Categorical)])
def test_few_rows_of_ordered_levels_have_few_parameters(n_rows, family):
    levels = pd.Categorical(list("abc") * (n_rows // 3), ordered=True)
    X = pd.DataFrame({"level": levels, "x": np.arange(n_rows, dtype=float)})
    vae = VAETransformer(1, max_iter=1, random_state=0).fit(X)
    assert type(vae.likelihood_["level"]) is family
    assert "ordered" in vae.likelihood_reasons_["level"]
