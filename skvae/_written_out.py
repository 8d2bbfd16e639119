r"""The ascent of the bound with the chain rule written out, for the family that is the default.

For a Gaussian posterior, a standard normal prior in training and the evidence lower bound,

.. math:: L = \frac1n \sum_n \Big[\frac1K \sum_k \log p(x_n|z_{nk}) - \beta\, KL_n\Big], \quad
    z_{nk} = \mu_n + \sigma_n \epsilon_{nk},

the slopes of the nets are a dozen products, and small nets are bound by the bookkeeping of
automatic differentiation as much as by these. Likelihoods that have written out their slopes are
asked for them, the others are differentiated. :mod:`skvae._stacking` has the general way, and a
test holds the gradients of both equal.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ._model import VAE, ColumnGroup
from ._networks import Linear, Trunk
from ._schema import Rows
from .latents.gaussian import GaussianModule
from .likelihoods import Standardised
from .objectives import ELBO, Objective

Kept = list[tuple[Linear, Tensor, Tensor, Tensor]]  # of a hidden layer: itself, x, W x + b, f(·)


def can_be_written_out(model: VAE, objective: Objective) -> bool:
    """Whether the model and the objective are of the family that :func:`ascend` knows."""
    return (
        type(model.latent) is GaussianModule
        and model.prior.is_standard_normal
        and isinstance(objective, ELBO)
        and type(objective).bound is ELBO.bound
        and not (objective.holds_z or objective.free_bits)
    )


def ascend(
    model: VAE, objective: ELBO, rows: Rows, noise: Tensor, progress: float, by: int = 1,
    *, hold_generative: bool = False,
) -> Tensor:  # fmt: skip
    """Add −`by` times the gradient of the mean bound to the parameters' ``grad``.

    Parameters
    ----------
    noise : Tensor of shape (K, n, k)
    hold_generative : bool
        Whether p(x, z) gets none.

    Returns
    -------
    told : Tensor of shape (3,)
        Means of bound, reconstruction and KL, in nats per row and units of the table.
    """
    K, n, k = noise.shape
    x = model.inputs(rows.values, rows.codes, rows.missing)
    beta, latent = objective.weight(progress), model.latent
    assert isinstance(latent, GaussianModule)
    with torch.no_grad():
        h, of_encoder = _forward(model.encoder, x)
        raw = latent.head(h)
        mean, log_var = latent.split(raw)
        moved = torch.exp(0.5 * log_var) * noise
        h_z, of_decoder = _forward(model.decoder, (mean + moved).view(K * n, k))
        outputs = model.head(h_z).view(K, n, -1)
        log_px, slope = _slope_of_log_px(model, outputs, rows, -by / (K * n), hold_generative)
        slope = _backward_linear(model.head, h_z, slope, hold_generative)
        slope = _backward(model.decoder, of_decoder, slope, hold_generative).view(K, n, k)
        # KL = ½ Σ (μ² + σ² − log σ² − 1), and ∂z/∂ log σ² = ½ σ ε
        var, squares = log_var.exp(), mean.square()
        of_mean = slope.sum(0).add_(mean, alpha=by * beta / n)
        of_log_var = (slope * moved).sum(0).add_(var - 1, alpha=by * beta / n).mul_(0.5)
        of_log_var.masked_fill_(log_var != raw[:, k:], 0.0)  # it is clamped there
        slope = torch.cat([of_mean, of_log_var], dim=1)
        slope = _backward_linear(latent.head, h, slope, False)
        slope = _backward(model.encoder, of_encoder, slope, False, x.requires_grad)
        kl = 0.5 * (squares + var - log_var - 1).sum() / n
        mean_log_px, measure = log_px.mean(), rows.log_measure.mean()
        told = torch.stack([mean_log_px - beta * kl + measure, mean_log_px + measure, kl])
    if x.requires_grad:  # embeddings of levels
        x.backward(slope)
    return told


def _slope_of_log_px(
    model: VAE, outputs: Tensor, rows: Rows, weight: float, hold: bool
) -> tuple[Tensor, Tensor]:
    """log p(x | z), and `weight` times its slope in the decoder's outputs, (K · n, …)."""
    log_px, slopes = outputs.new_zeros(outputs.shape[:-1]), []
    for group, part in model.by_group(outputs):
        # A family that says log p in a way of its own has slopes of its own.
        standardised = type(group.likelihood).log_prob is Standardised.log_prob
        way = _by_hand if standardised and group.missingness is None else _by_autograd
        cells, slope = way(group, part, rows, model.inputs.n_values, weight, hold)
        log_px += cells.sum(-1)
        slopes.append(slope.flatten(0, 1))
    if not slopes:  # every column is constant
        return log_px, outputs.flatten(0, 1)
    return log_px, slopes[0] if len(slopes) == 1 else torch.cat(slopes, dim=-1)


def _by_hand(
    group: ColumnGroup, outputs: Tensor, rows: Rows, n_values: int, weight: float, hold: bool
) -> tuple[Tensor, Tensor]:
    share = outputs.new_tensor(weight)
    missing = None if rows.missing is None else rows.missing[:, group.columns(n_values)]
    if missing is not None:
        share = share.expand(missing.shape).masked_fill(missing, 0.0)
    assert isinstance(group.likelihood, Standardised)
    cells, of_outputs, of_constants = group.likelihood.slopes(
        group.target(rows), group.split(outputs), group, share
    )
    if not hold:
        _grad(group.constants).add_(of_constants)
    cells = cells if missing is None else cells.masked_fill(missing, 0.0)
    return cells, of_outputs.flatten(-2)


def _by_autograd(
    group: ColumnGroup, outputs: Tensor, rows: Rows, n_values: int, weight: float, hold: bool
) -> tuple[Tensor, Tensor]:
    leaf = outputs.detach().requires_grad_()
    wanted = [] if hold else [p for p in group.parameters() if p.numel()]
    with torch.enable_grad():
        cells = group.log_prob(leaf, rows, n_values)
        slope, *others = torch.autograd.grad(
            cells, [leaf, *wanted], torch.full_like(cells, weight), allow_unused=True
        )
    for parameter, each in zip(wanted, others, strict=True):
        if each is not None:
            _grad(parameter).add_(each)
    return cells.detach(), slope


def _forward(trunk: Trunk, x: Tensor) -> tuple[Tensor, Kept]:
    """What ``trunk(x)`` gives, and what its slopes need."""
    kept: Kept = []
    h = x
    for layer in trunk.linear_layers:
        a = layer(h)
        fa = trunk.activation(a)
        kept.append((layer, h, a, fa))
        h = fa
    return (torch.cat([x, h], dim=-1) if kept else x), kept


def _backward(
    trunk: Trunk, kept: Kept, slope: Tensor, hold: bool, of_inputs: bool = True
) -> Tensor:
    """The slope in the inputs of a trunk, if it is asked for, from that in its outputs."""
    if not kept:
        return slope
    n_inputs = kept[0][1].shape[-1]
    along = slope[:, n_inputs:]
    for i, (layer, x, a, fa) in list(enumerate(kept))[::-1]:
        along = trunk.activation_slope(along, a, fa)
        along = _backward_linear(layer, x, along, hold, of_inputs or i > 0)
    return slope[:, :n_inputs] + along if of_inputs else along


def _backward_linear(
    layer: Linear, x: Tensor, slope: Tensor, hold: bool, of_inputs: bool = True
) -> Tensor:
    """The slope in the inputs of an affine map; those in its parameters are added to them."""
    if not hold:
        _grad(layer.weight).addmm_(slope.T, x)
        _grad(layer.bias).add_(slope.sum(0))
    return slope @ layer.weight if of_inputs else slope


def _grad(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad
