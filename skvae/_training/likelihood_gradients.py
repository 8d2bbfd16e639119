r"""Analytic gradients of the likelihoods, as vector-Jacobian products.

:data:`LIKELIHOOD_GRADIENTS` has a function for each class whose gradient is written by hand. It
returns log p(x | z) and a `pullback`, which maps weights of the cells, w, to the gradient of
:math:`\sum w \log p` with respect to the outputs of the decoder and to the constants. The entries
are for exactly these classes. Subclasses, which may override the density, and all other likelihoods
are differentiated by autograd.

Shapes are those of ``Likelihood.log_prob``. For M stacked models all tensors have a leading axis of
size M, and ``columns.constants`` has the shape (M, 1, 1, n_columns, n_constants).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

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
from skvae.likelihoods._levels import aligned, pick
from skvae.likelihoods.bernoulli import sign
from skvae.likelihoods.discretized_logistic import log_mass, standardized_edges
from skvae.likelihoods.ordinal import Edges
from skvae.likelihoods.student_t import log_normalizer

# From weights of the cells, which broadcast to their shape, to the gradients with respect to the
# outputs and the constants. It is called at most once, and may overwrite what it holds.
Pullback = Callable[[Tensor], tuple[Tensor, Tensor]]
# log f(r), its derivative with respect to r and, if the last constant is a parameter of f, the
# derivative with respect to it. The derivatives are new tensors, which may be overwritten.
Curve = tuple[Tensor, Tensor, Tensor | None]


def has_likelihood_gradient(likelihood: Likelihood) -> bool:
    """Whether there is an analytic gradient for exactly this class, and that of its slab."""
    if type(likelihood) is Atoms and type(likelihood.slab_likelihood) not in LIKELIHOOD_GRADIENTS:
        return False
    return type(likelihood) in LIKELIHOOD_GRADIENTS


def log_prob_and_pullback(
    likelihood: Likelihood, x: Tensor, outputs: Tensor, columns: Columns
) -> tuple[Tensor, Pullback]:
    """``likelihood.log_prob(x, outputs, columns)`` and its vector-Jacobian product.

    Parameters
    ----------
    likelihood : Likelihood
        One for which :func:`has_likelihood_gradient` is true.
    x, outputs, columns
        As of ``Likelihood.log_prob``.

    Returns
    -------
    log_prob : Tensor of shape (..., n_rows, n_columns)
    pullback : callable
    """
    return LIKELIHOOD_GRADIENTS[type(likelihood)](likelihood, x, outputs, columns)


def _location_scale_gradient(
    likelihood: LocationScale,
    outputs: Tensor,
    columns: Columns,
    grad_location: Tensor,
    grad_scale: Tensor,
) -> tuple[Tensor, Tensor]:
    """Gradients of outputs and constants from those of μ and σ, which may be overwritten."""
    grad_outputs = grad_location.unsqueeze(-1)
    grad_constants = torch.zeros_like(columns.constants)
    if likelihood.scale == "conditional":  # the derivative of softplus is the logistic function
        grad_raw = grad_scale.mul_(torch.sigmoid(outputs[..., 1]))
        grad_outputs = torch.stack([grad_location, grad_raw], dim=-1)
    elif likelihood.scale == "column":
        raw = columns.constants[..., 0]
        grad_constants[..., 0] = grad_scale.sum_to_size(raw.shape) * torch.sigmoid(raw)
    elif likelihood.scale == "shared":
        raw = columns.constants[..., 0].mean(-1, keepdim=True)
        total = grad_scale.sum_to_size(raw.shape)
        grad_constants[..., 0] = total * torch.sigmoid(raw) / grad_scale.shape[-1]
    return grad_outputs, grad_constants


def _standardized(
    likelihood: Any, x: Tensor, outputs: Tensor, columns: Columns,
    curve: Callable[[Any, Tensor, Columns], Curve],
) -> tuple[Tensor, Pullback]:  # fmt: skip
    """log p = log f(r) − log σ with r = (x − μ) / σ."""
    location, scale = likelihood.location_scale(outputs, columns)
    r = (x - location) / scale
    log_f, grad_r, grad_shape = curve(likelihood, r, columns)

    def pullback(weight: Tensor) -> tuple[Tensor, Tensor]:
        scaled_weight = weight / scale
        grad_location = grad_r.mul_(scaled_weight).neg_()
        grad_scale = grad_location * r - scaled_weight
        gradients = _location_scale_gradient(
            likelihood, outputs, columns, grad_location, grad_scale
        )
        if grad_shape is not None:
            grad_constants = gradients[1]
            shape = grad_constants[..., -1].shape
            grad_constants[..., -1] = (weight * grad_shape).sum_to_size(shape)
        return gradients

    return log_f - torch.log(scale), pullback


def _normal_curve(likelihood: Normal, r: Tensor, columns: Columns) -> Curve:
    return likelihood.standard(r, columns), -r, None


def _student_t_curve(likelihood: StudentT, r: Tensor, columns: Columns) -> Curve:
    nu = likelihood.degrees_of_freedom(columns)
    derivative = likelihood.degrees_of_freedom_derivative(nu)
    half, ratio = (nu + 1) / 2, r.square() / nu
    log_tail = torch.log1p(ratio)
    weight = 2 * half / nu / (1 + ratio)
    grad_normalizer = torch.digamma(half) - torch.digamma(nu / 2) - 1 / nu
    grad_shape = (ratio.mul_(weight).sub_(log_tail) + grad_normalizer).mul_(derivative / 2)
    return log_normalizer(nu) - half * log_tail, weight.mul_(r).neg_(), grad_shape


def _normal(
    likelihood: Normal, x: Tensor, outputs: Tensor, columns: Columns
) -> tuple[Tensor, Pullback]:
    return _standardized(likelihood, x, outputs, columns, _normal_curve)


def _student_t(
    likelihood: StudentT, x: Tensor, outputs: Tensor, columns: Columns
) -> tuple[Tensor, Pullback]:
    return _standardized(likelihood, x, outputs, columns, _student_t_curve)


def _discretized_logistic(
    likelihood: DiscretizedLogistic, x: Tensor, outputs: Tensor, columns: Columns
) -> tuple[Tensor, Pullback]:
    location, scale = likelihood.location_scale(outputs, columns)
    below, above, width = standardized_edges(x, location, scale)

    def pullback(weight: Tensor) -> tuple[Tensor, Tensor]:
        scaled_weight = weight / scale
        left, right = torch.sigmoid(below), torch.sigmoid(-above)
        grad_location = (left - right) * scaled_weight
        grad_scale = left.mul_(below) - right.mul_(above) - width / torch.expm1(width)
        grad_scale.mul_(scaled_weight)
        return _location_scale_gradient(likelihood, outputs, columns, grad_location, grad_scale)

    return log_mass(below, above, width), pullback


def _bernoulli(
    likelihood: Bernoulli, x: Tensor, outputs: Tensor, columns: Columns
) -> tuple[Tensor, Pullback]:
    signs = sign(x)
    signed = signs * outputs[..., 0]

    def pullback(weight: Tensor) -> tuple[Tensor, Tensor]:
        gradient = torch.sigmoid(-signed).mul_(signs).mul_(weight)
        return gradient.unsqueeze(-1), torch.zeros_like(columns.constants)

    return F.logsigmoid(signed), pullback


def _categorical(
    likelihood: Categorical, x: Tensor, outputs: Tensor, columns: Columns
) -> tuple[Tensor, Pullback]:
    logits = likelihood.logits(outputs, columns)
    log_proportions = logits - torch.logsumexp(logits, dim=-1, keepdim=True)

    def pullback(weight: Tensor) -> tuple[Tensor, Tensor]:
        weight = weight.expand(log_proportions.shape[:-1]).unsqueeze(-1)
        gradient = log_proportions.exp().mul_(-weight)  # weight (1[x] − P)
        return _add_at(gradient, x, weight), torch.zeros_like(columns.constants)

    return pick(log_proportions, x), pullback


def _ordinal(
    likelihood: Ordinal, x: Tensor, outputs: Tensor, columns: Columns
) -> tuple[Tensor, Pullback]:
    thresholds = likelihood.thresholds(columns)
    edges = Edges.of(thresholds, x, outputs[..., 0])

    def pullback(weight: Tensor) -> tuple[Tensor, Tensor]:
        # log p = log s(θ⁺ − o) + log s(o − θ⁻) + log(1 − e^(θ⁻ − θ⁺))
        at_lower = torch.sigmoid(edges.below).mul_(edges.has_lower * weight)
        at_upper = torch.sigmoid(-edges.above).mul_(edges.has_upper * weight)
        at_gap = torch.where(edges.is_inner, 1 / torch.expm1(edges.gap), 0.0) * weight
        each = thresholds.new_zeros(*at_lower.shape, thresholds.shape[-1])
        _add_at(each, edges.lower, (-at_lower - at_gap).unsqueeze(-1))
        _add_at(each, edges.upper, (at_upper + at_gap).unsqueeze(-1))
        # θ_l is the sum of the steps up to l.
        grad_steps = each.sum_to_size(thresholds.shape).flip(-1).cumsum(-1).flip(-1)
        # The derivative of softplus is the logistic function.
        grad_gaps = grad_steps[..., 1:] * torch.sigmoid(columns.constants[..., 1:])
        grad_constants = torch.cat([grad_steps[..., :1], grad_gaps], dim=-1)
        return (at_lower - at_upper).unsqueeze(-1), grad_constants

    return edges.log_mass(), pullback


def _atoms(
    likelihood: Atoms, x: Tensor, outputs: Tensor, columns: Columns
) -> tuple[Tensor, Pullback]:
    slab_outputs, log_proportions = likelihood.split(outputs, columns)
    slab_x, atom = likelihood.targets(x)
    log_px_slab, slab_pullback = log_prob_and_pullback(
        likelihood.slab_likelihood, slab_x, slab_outputs, columns
    )
    log_slab = log_proportions[..., 0] + log_px_slab
    log_prob, log_odds = likelihood.with_atoms(log_slab, log_proportions, atom, columns)

    def pullback(weight: Tensor) -> tuple[Tensor, Tensor]:
        # s(log_odds) is the posterior probability that a cell comes from its atom.
        atom_weight = torch.sigmoid(log_odds).mul_(weight)
        grad_slab, grad_constants = slab_pullback(weight - atom_weight)
        grad_logits = log_proportions.exp().mul_(-weight.expand(log_prob.shape).unsqueeze(-1))
        grad_logits = _add_at(grad_logits, atom, atom_weight.unsqueeze(-1))[..., 1:]
        return torch.cat([grad_slab, grad_logits], dim=-1), grad_constants

    return log_prob, pullback


def _add_at(each: Tensor, index: Tensor, value: Tensor) -> Tensor:
    """Add to each[..., index], in place."""
    return each.scatter_add_(-1, aligned(each, index).expand_as(value), value)


LIKELIHOOD_GRADIENTS: dict[type[Likelihood], Callable[..., tuple[Tensor, Pullback]]] = {
    Normal: _normal,
    LogNormal: _normal,
    StudentT: _student_t,
    DiscretizedLogistic: _discretized_logistic,
    Bernoulli: _bernoulli,
    Categorical: _categorical,
    Ordinal: _ordinal,
    Atoms: _atoms,
}
