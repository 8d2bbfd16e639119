r"""The latent units: their order and signs, what each explains, and which are active.

The axes themselves are determined by training: a posterior with a diagonal covariance drives the
decoder's Jacobian toward orthogonal columns, as of principal components (Rolinek, Zietlow & Martius
2019, arXiv:1812.06775), and the start is at the principal axes. What remains free is the order and
the signs; both are applied to the parameters.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from skvae._model.rows import Rows
from skvae._model.vae import VAE, ColumnGroup
from skvae._nn.densities import log_normal
from skvae._validation import caller_stacklevel

ACTIVE_VARIANCE = 0.01  # Burda et al. 2016, section 5.1
ACTIVE_KL = 0.01  # Sønderby et al. 2016
MIN_ROWS = 100  # distinct rows from which on a collapsed code is worth a warning
N_ROWS = 1000  # that the units are judged by
MIN_SPREAD = 1e-12
N_MARGINAL = 500  # of these, where the aggregated posterior stands for the prior


class CollapseWarning(UserWarning):
    """Posterior collapse: the posterior is the prior for every row, so the code is uninformative.

    Examples
    --------
    >>> import warnings
    >>> from skvae import CollapseWarning
    >>> warnings.simplefilter("ignore", CollapseWarning)
    """


def active_units(mean: Tensor, weight: Tensor, kl: Tensor) -> Tensor:
    """Which units are active: (k,) of bool.

    Their posterior means vary over the rows by more than 0.01, and not only because those of a
    layer above do: the mean KL is more than 0.01 nats.
    """
    proportion = (weight / weight.sum()).to(mean).unsqueeze(-1)
    center = (proportion * mean).sum(0)
    varies = (proportion * (mean - center).square()).sum(0) > ACTIVE_VARIANCE
    return varies & (kl > ACTIVE_KL)


@torch.no_grad()
def kl_per_unit(model: VAE, rows: Rows, mean: Tensor, log_var: Tensor, weight: Tensor) -> Tensor:
    """Mean KL(q(z_i | x) ‖ p(z_i)) in nats, (k,), with the prior of the training.

    Where that has no closed form, the aggregated posterior's marginal stands for p(z_i).
    """
    generator = torch.Generator().manual_seed(0)
    some = torch.arange(min(len(rows), N_MARGINAL))
    rows, mean, log_var = rows.take(some), mean[some], log_var[some]
    proportion = (weight[some] / weight[some].sum()).to(mean)
    noise = torch.randn(1, len(rows), model.latent.n_noise, generator=generator)
    kl = model.latent.draw(model.encode(rows), noise.to(mean), model.prior).kl
    if kl is None or kl.shape[-1] != mean.shape[-1]:
        z = mean + torch.exp(0.5 * log_var) * torch.randn(mean.shape, generator=generator).to(mean)
        each = log_normal(z.unsqueeze(1), mean, log_var)  # of row n under the posterior of row m
        marginal = torch.logsumexp(each + proportion.log().reshape(1, -1, 1), 1)
        kl = each.diagonal().T - marginal
    return (proportion.unsqueeze(-1) * kl).sum(0).clamp(min=0)


def unit_attributes(
    model: VAE, rows: Rows, mean: Tensor, log_var: Tensor, weight: Tensor
) -> dict[str, object]:
    """The fitted attributes of the units, with a warning if a layer has collapsed."""
    kl = kl_per_unit(model, rows, mean, log_var, weight)
    active = active_units(mean, weight, kl)
    if len(rows) >= MIN_ROWS:
        _warn_of_collapse(active, model.latent.slices())
    return {"active_units_": active.numpy(), "kl_per_unit_": kl.double().numpy()}


def _warn_of_collapse(active: Tensor, layers: Sequence[slice]) -> None:
    """Warn if no unit of a layer is active, and name the remedies."""
    dead = [i for i, columns in enumerate(layers, 1) if not active[columns].any()]
    if dead:
        where = f"any unit of layer {dead[0]}" if len(layers) > 1 else "any latent unit"
        warnings.warn(
            f"Posterior collapse: for no row does {where} differ from the prior. Use "
            "objective=ELBO(free_bits=0.1) or a smaller beta, warm the KL up with "
            "ELBO(warmup=0.5), or start with init='pca'. If the columns have nothing to do with "
            "each other, the code cannot be informative.",
            CollapseWarning,
            stacklevel=caller_stacklevel(),
        )


@torch.no_grad()
def explained_variance(model: VAE, rows: Rows, z: Tensor, weight: Tensor) -> Tensor:
    r"""R² of the decoded codes, averaged over the columns: a number.

    .. math:: R^2 = \frac1d \sum_j 1 -
        \frac{\sum_n (x_{nj} - E[x_j | z_n])^2}{\sum_n (x_{nj} - \bar x_j)^2}

    over the observed cells, numbers in scaled units and levels as indicators.
    """
    r2 = []
    for group, outputs in model.outputs(z):
        mean = group.likelihood.mean(group.split(outputs), group)
        x = _target(group, rows, mean)
        if x.ndim < mean.ndim:  # booleans: signs, and the probabilities of both
            mean = mean[..., 1] - mean[..., 0]
        columns = group.columns(model.inputs.n_values)
        missing = None if rows.missing is None else rows.missing[:, columns]
        w = weight.unsqueeze(1).expand(-1, x.shape[1])
        w = w if missing is None else w.masked_fill(missing, 0.0)
        w = w if x.ndim == 2 else w.unsqueeze(-1)
        center = (w * x).sum(0) / w.sum(0).clamp(min=MIN_SPREAD)
        left, whole = w * (x - mean).square(), w * (x - center).square()
        if x.ndim == 3:
            left, whole = left.sum(-1), whole.sum(-1)
        left, whole = left.sum(0), whole.sum(0)
        r2.append(torch.where(whole > MIN_SPREAD, 1 - left / whole.clamp(min=MIN_SPREAD), 0))
    return torch.cat(r2).mean() if r2 else z.new_zeros(())


def _target(group: ColumnGroup, rows: Rows, mean: Tensor) -> Tensor:
    """The cells in the form of the likelihood's mean: numbers, or one-hot levels."""
    if group.likelihood.target == "code":
        codes = rows.codes[:, group.cells].clamp(min=0)
        return torch.nn.functional.one_hot(codes, mean.shape[-1]).to(mean)
    if group.likelihood.target == "count":
        return group.target(rows).to(mean)
    return rows.values[:, group.cells].to(mean)


@torch.no_grad()
def variance_of_units(model: VAE, rows: Rows, mean: Tensor, weight: Tensor) -> tuple[Tensor, float]:
    """How much R² falls when a unit is held at its mean, (k,), and R² with all units."""
    proportion = weight.to(mean) / weight.sum()
    center = (proportion.unsqueeze(1) * mean).sum(0)
    whole = explained_variance(model, rows, mean, proportion)
    falls = []
    for unit in range(mean.shape[1]):
        z = mean.clone()
        z[:, unit] = center[unit]
        falls.append(whole - explained_variance(model, rows, z, proportion))
    return torch.stack(falls), float(whole)


def loadings(model: VAE, rows: Rows, mean: Tensor, weight: Tensor) -> Tensor:
    """Correlation of each unit's posterior mean with each encoded feature, (k, n_features)."""
    proportion = (weight.to(mean) / weight.sum()).unsqueeze(1)
    features = model.inputs.features(rows.values, rows.codes).to(mean)

    def standardized(x: Tensor) -> Tensor:
        x = x - (proportion * x).sum(0)
        return x / (proportion * x.square()).sum(0).sqrt().clamp(min=1e-9)

    return standardized(mean).T @ (proportion * standardized(features))


def sort_units(
    model: VAE, rows: Rows, mean: Tensor, weight: Tensor, *, reorder: bool
) -> dict[str, object]:
    """What each unit explains; with `reorder`, put the units in order and give each its sign.

    A unit is positive where the encoded feature that it is most correlated with is.
    """
    falls, whole = variance_of_units(model, rows, mean, weight)
    if not reorder:
        return _explained(model, falls, whole)
    order = torch.argsort(falls, descending=True, stable=True)
    each = loadings(model, rows, mean, weight)[order]
    each = torch.cat([each, each.new_zeros(len(each), 1)], dim=1)  # a table may have no feature
    strongest = each.gather(1, each.abs().argmax(1, keepdim=True)).squeeze(1)
    model.reorder_units(order, torch.where(strongest < 0, -1.0, 1.0).to(mean))
    return _explained(model, falls[order], whole)


def _explained(model: VAE, falls: Tensor, whole: float) -> dict[str, object]:
    ratio = falls.double().numpy()
    n_columns = sum(group.n_columns for group in model.groups)
    return {
        "explained_variance_ratio_": ratio,
        "explained_variance_": n_columns * ratio.clip(0),
        "reconstruction_r2_": whole,
    }
