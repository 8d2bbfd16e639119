r"""Score and Fisher information of the likelihoods with respect to the outputs of the decoder.

A row is linearized by them (:mod:`skvae._inference.linearization`). :data:`INFORMATION` has a
function for each class whose information is written by hand,

.. math:: I(o) = E\Bigl[\frac{\partial \log p(x_j | o)}{\partial o}
    \frac{\partial \log p(x_j | o)}{\partial o}^T\Bigr] = R\, R^T,

or an approximation to it: only the efficiency of a proposal depends on it. It returns a function
that multiplies a Jacobian by R. The entries are for exactly these classes. For others the diagonal
of the observed information is found by autograd, where it is positive.

Shapes: n rows, d columns of a group with o outputs each, k directions of a Jacobian.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from skvae._training.likelihood_gradients import has_likelihood_gradient, log_prob_and_pullback
from skvae.likelihoods import (
    Atoms,
    Bernoulli,
    Categorical,
    Columns,
    DiscretizedLogistic,
    Likelihood,
    LocationScale,
    LogNormal,
    Normal,
    Ordinal,
    StudentT,
)
from skvae.likelihoods.discretized_logistic import standardized_edges
from skvae.likelihoods.ordinal import Edges

Root = Callable[[Tensor], Tensor]  # from a Jacobian J, (k, n, d, o), to J R, (k, n, d, …)

LOGISTIC_SCALE = (math.pi**2 + 3) / 9  # information of the scale of a logistic density, times σ²


def score_and_root(
    likelihood: Likelihood, x: Tensor, outputs: Tensor, columns: Columns
) -> tuple[Tensor, Root]:
    """∂ log p / ∂o of each cell, (n, d, o), and the multiplication by a root of the information.

    Parameters
    ----------
    likelihood, x, outputs, columns
        As of ``Likelihood.log_prob``, for one draw.
    """
    if type(likelihood) not in INFORMATION or not has_likelihood_gradient(likelihood):
        return _observed(likelihood, x, outputs, columns)
    log_px, pullback = log_prob_and_pullback(likelihood, x, outputs, columns)
    score, _ = pullback(torch.ones_like(log_px))
    return score, INFORMATION[type(likelihood)](likelihood, x, outputs, columns)


def _observed(
    likelihood: Likelihood, x: Tensor, outputs: Tensor, columns: Columns
) -> tuple[Tensor, Root]:
    """Minus the second derivative with respect to each output, where it is positive."""
    with torch.enable_grad():
        o = outputs.detach().requires_grad_()
        total = likelihood.log_prob(x, o, columns).sum()
        (score,) = torch.autograd.grad(total, o, create_graph=True)
        second = [
            torch.autograd.grad(part.sum(), o, retain_graph=True, materialize_grads=True)[0][..., i]
            for i, part in enumerate(score.unbind(-1))
            if part.requires_grad
        ] or [torch.zeros_like(score[..., 0])] * score.shape[-1]
    root = (-torch.stack(second, -1)).nan_to_num(0.0).clamp(min=0.0).sqrt().detach()
    return score.detach().nan_to_num(0.0), lambda jacobian: jacobian * root


def _location_scale_root(
    likelihood: LocationScale, outputs: Tensor, columns: Columns, of_location: Any, of_scale: Any
) -> Root:
    """Of a location and a scale with the given information in units of 1/σ²."""
    _, scale = likelihood.location_scale(outputs, columns)
    root = (torch.sqrt(torch.as_tensor(of_location)) / scale).unsqueeze(-1)
    if likelihood.scale == "conditional":  # the derivative of softplus is the logistic function
        of_raw = torch.sqrt(torch.as_tensor(of_scale)) * torch.sigmoid(outputs[..., 1]) / scale
        root = torch.cat([root, of_raw.unsqueeze(-1)], dim=-1)
    return lambda jacobian: jacobian * root


def _normal(likelihood: Normal, x: Tensor, outputs: Tensor, columns: Columns) -> Root:
    return _location_scale_root(likelihood, outputs, columns, 1.0, 2.0)


def _student_t(likelihood: StudentT, x: Tensor, outputs: Tensor, columns: Columns) -> Root:
    nu = likelihood.degrees_of_freedom(columns)
    of_location, of_scale = (nu + 1) / (nu + 3), 2 * nu / (nu + 3)
    return _location_scale_root(likelihood, outputs, columns, of_location, of_scale)


def _discretized_logistic(
    likelihood: DiscretizedLogistic, x: Tensor, outputs: Tensor, columns: Columns
) -> Root:
    """Observed for the location; for the scale that of a density, less where cells are wide."""
    below, above, width = standardized_edges(x, *likelihood.location_scale(outputs, columns))
    left, right = torch.sigmoid(below), torch.sigmoid(above)
    of_location = left * (1 - left) + right * (1 - right)
    of_scale = LOGISTIC_SCALE / (1 + width.square())
    return _location_scale_root(likelihood, outputs, columns, of_location, of_scale)


def _bernoulli(likelihood: Bernoulli, x: Tensor, outputs: Tensor, columns: Columns) -> Root:
    p = torch.sigmoid(outputs)
    root = torch.sqrt(p * (1 - p))
    return lambda jacobian: jacobian * root


def _softmax_root(proportions: Tensor) -> Root:
    """diag(p) − p pᵀ = R Rᵀ with R = diag(√p) − p √pᵀ."""
    root = proportions.sqrt()

    def multiply(jacobian: Tensor) -> Tensor:
        return (jacobian - (jacobian * proportions).sum(-1, keepdim=True)) * root

    return multiply


def _categorical(likelihood: Categorical, x: Tensor, outputs: Tensor, columns: Columns) -> Root:
    return _softmax_root(likelihood.mean(outputs, columns))


def _ordinal(likelihood: Ordinal, x: Tensor, outputs: Tensor, columns: Columns) -> Root:
    """Observed: the sum of p (1 − p) at the edges of the level."""
    edges = Edges.of(likelihood.thresholds(columns), x, outputs[..., 0])
    lower, upper = torch.sigmoid(edges.below), torch.sigmoid(edges.above)
    information = edges.has_lower * lower * (1 - lower) + edges.has_upper * upper * (1 - upper)
    root = information.sqrt().unsqueeze(-1)
    return lambda jacobian: jacobian * root


def _atoms(likelihood: Atoms, x: Tensor, outputs: Tensor, columns: Columns) -> Root:
    """Of the proportions; and of the slab, where the cell is not at an atom."""
    slab_outputs, log_proportions = likelihood.split(outputs, columns)
    slab_x, atom = likelihood.targets(x)
    slab = likelihood.slab_likelihood
    of_slab = INFORMATION[type(slab)](slab, slab_x, slab_outputs, columns)
    of_proportions = _softmax_root(log_proportions.exp())
    n, in_slab = slab_outputs.shape[-1], (atom == 0).unsqueeze(-1)

    def multiply(jacobian: Tensor) -> Tensor:
        logits = torch.nn.functional.pad(jacobian[..., n:], (1, 0))  # that of the slab is 0
        return torch.cat([of_slab(jacobian[..., :n]) * in_slab, of_proportions(logits)], dim=-1)

    return multiply


INFORMATION: dict[type[Likelihood], Callable[..., Root]] = {
    Normal: _normal,
    LogNormal: _normal,
    StudentT: _student_t,
    DiscretizedLogistic: _discretized_logistic,
    Bernoulli: _bernoulli,
    Categorical: _categorical,
    Ordinal: _ordinal,
    Atoms: _atoms,
}
