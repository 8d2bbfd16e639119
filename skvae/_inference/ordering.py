r"""Latent units in order, the most telling first, each with the sign that a rule gives it.

The axes themselves are settled by training: a posterior with a diagonal covariance presses the
decoder's Jacobian to have orthogonal columns, as principal components have (Rolinek, Zietlow &
Martius 2019, arXiv:1812.06775), and the start is at the principal axes. What is left open is the
order and the signs, and these are folded into the nets.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skvae._model.rows import Rows
from skvae._model.vae import VAE, ColumnGroup

MIN_SPREAD = 1e-12


@torch.no_grad()
def explained_variance(model: VAE, rows: Rows, z: Tensor, weight: Tensor) -> Tensor:
    r"""R² of the decoded codes, averaged over the columns: a number.

    .. math:: R^2 = \frac1d \sum_j 1 -
        \frac{\sum_n (x_{nj} - E[x_j | z_n])^2}{\sum_n (x_{nj} - \bar x_j)^2}

    over the seen cells, numbers in scaled units and levels as indicators.
    """
    shares = []
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
        shares.append(torch.where(whole > MIN_SPREAD, 1 - left / whole.clamp(min=MIN_SPREAD), 0))
    return torch.cat(shares).mean() if shares else z.new_zeros(())


def _target(group: ColumnGroup, rows: Rows, mean: Tensor) -> Tensor:
    """The cells as the likelihood's mean says them: numbers, or one-hot levels."""
    if group.likelihood.target == "code":
        codes = rows.codes[:, group.cells].clamp(min=0)
        return torch.nn.functional.one_hot(codes, mean.shape[-1]).to(mean)
    if group.likelihood.target == "count":
        return group.target(rows).to(mean)
    return rows.values[:, group.cells].to(mean)


@torch.no_grad()
def variance_of_units(model: VAE, rows: Rows, mean: Tensor, weight: Tensor) -> tuple[Tensor, float]:
    """How much R² falls when a unit is held at its mean, (k,), and R² with all units."""
    share = weight.to(mean) / weight.sum()
    center = (share.unsqueeze(1) * mean).sum(0)
    whole = explained_variance(model, rows, mean, share)
    falls = []
    for unit in range(mean.shape[1]):
        z = mean.clone()
        z[:, unit] = center[unit]
        falls.append(whole - explained_variance(model, rows, z, share))
    return torch.stack(falls), float(whole)


def loadings(model: VAE, rows: Rows, mean: Tensor, weight: Tensor) -> Tensor:
    """Correlation of each unit's posterior mean with each encoded feature, (k, n_features)."""
    share = (weight.to(mean) / weight.sum()).unsqueeze(1)
    features = model.inputs.features(rows.values, rows.codes).to(mean)

    def standardised(x: Tensor) -> Tensor:
        x = x - (share * x).sum(0)
        return x / (share * x.square()).sum(0).sqrt().clamp(min=1e-9)

    return standardised(mean).T @ (share * standardised(features))


def sort_units(
    model: VAE, rows: Rows, mean: Tensor, weight: Tensor, *, reorder: bool
) -> dict[str, object]:
    """What each unit explains; and, if asked to, put them in order and give each its sign.

    A unit is positive where the encoded feature that it is most correlated with is.
    """
    falls, whole = variance_of_units(model, rows, mean, weight)
    if not reorder:
        return _told(model, falls, whole)
    order = torch.argsort(falls, descending=True, stable=True)
    each = loadings(model, rows, mean, weight)[order]
    each = torch.cat([each, each.new_zeros(len(each), 1)], dim=1)  # a table may have no feature
    strongest = each.gather(1, each.abs().argmax(1, keepdim=True)).squeeze(1)
    model.reorder_units(order, torch.where(strongest < 0, -1.0, 1.0).to(mean))
    return _told(model, falls[order], whole)


def _told(model: VAE, falls: Tensor, whole: float) -> dict[str, object]:
    ratio = falls.double().numpy()
    n_columns = sum(group.n_columns for group in model.groups)
    return {
        "explained_variance_ratio_": ratio,
        "explained_variance_": n_columns * ratio.clip(0),
        "reconstruction_r2_": whole,
    }
