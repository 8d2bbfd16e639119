r"""Importance weights: the log-density of each row.

.. math:: \log p(x) \approx L_K = \log \tfrac1K \sum_k w_k, \quad
    w_k = \frac{p(x, z_k)}{q(z_k|x)}, \quad
    z_k \sim q(z|x) \quad \text{(Burda et al. 2016, arXiv:1509.00519)}

The base noise of the draws is quasi-random (scrambled Sobol points through the normal quantile)
and the same for every row, so that a row's score does not depend on the other rows in the call.
The Monte-Carlo error is told by the spread of the scores under independent scramblings, and by
the effective sample size :math:`(\sum_k w_k)^2 / \sum_k w_k^2` (Kong 1992): how many draws from
the true posterior the K are worth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor

from skvae._model.rows import Rows
from skvae._model.vae import VAE
from skvae._nn.noise import quasi_normal
from skvae._nn.optimizer import Adam

N_SCRAMBLINGS = 8
REFINE_BELOW = 4.0  # effective draws under which the posterior of a row is refined
REFINE_DRAWS, REFINE_RATE, REFINE_SCRAMBLING = 8, 0.2, 1_000_000


@dataclass
class LogDensity:
    """log p(seen cells) of rows, and how far to trust it; each of shape (n_rows,).

    Attributes
    ----------
    score : ndarray
        From the first scrambling.
    std : ndarray
        Standard deviation over the scramblings: the standard error of `score`.
    ess : ndarray
        Effective sample size of the first scrambling, between 1 and the number of draws.
    """

    score: np.ndarray
    std: np.ndarray
    ess: np.ndarray


@torch.no_grad()
def log_density(
    model: VAE, rows: Rows, n_samples: int, n_scramblings: int = 1, n_refinement_steps: int = 0
) -> LogDensity:
    """log p(seen cells) of each row under several scramblings, in the precision of the rows."""
    nets = [
        quasi_normal(n_samples, model.latent.n_noise, s).to(rows.values.dtype)
        for s in range(n_scramblings)
    ]
    size = model.chunk_size(max(n_samples, model.latent.n_enumerated), most=len(rows))
    scores, sizes = [torch.zeros(n_scramblings, 0, dtype=torch.float64)], [torch.zeros(0)]
    for chunk in rows.chunks(size):
        score, ess = _exact(model, chunk, n_samples, n_scramblings) or _estimate(
            model, chunk, nets, None
        )
        weak = torch.nonzero(ess < min(REFINE_BELOW, n_samples)).squeeze(1)
        if n_refinement_steps and model.latent.is_refinable and len(weak):
            some = chunk.take(weak)
            affine = refined(model, some, n_refinement_steps)
            score[:, weak], ess[weak] = _estimate(model, some, nets, affine)
        score = score.masked_fill(model.unobserved(chunk), 0.0)  # log p of no cell at all
        scores.append(score + chunk.log_measure)
        sizes.append(ess)
    each = torch.cat(scores, dim=1).numpy()
    std = each.std(0, ddof=min(1, n_scramblings - 1))
    return LogDensity(each[0], std, torch.cat(sizes).numpy())


def averaged(densities: Sequence[LogDensity]) -> LogDensity:
    """The log-density of an equal mixture of models, from those of each."""
    if len(densities) == 1:
        return densities[0]
    each = np.stack([density.score for density in densities])
    total = logsumexp(each, axis=0)
    share = np.exp(each - total)
    std = np.sqrt(sum((s * d.std) ** 2 for s, d in zip(share, densities, strict=True)))
    ess = sum(s * d.ess for s, d in zip(share, densities, strict=True))
    return LogDensity(total - math.log(len(each)), std, ess)


Affine = tuple[Tensor, Tensor]  # shift and log-scale of the base noise, each (n_rows, n_noise)


def _exact(model: VAE, rows: Rows, n_samples: int, n_nets: int) -> tuple[Tensor, Tensor] | None:
    """log p(x) by summation, where every code can be listed: as if by perfect draws."""
    total = model.summed(rows)
    if total is None:
        return None
    return total.expand(n_nets, -1).clone(), torch.full_like(total, n_samples)


def _estimate(
    model: VAE, rows: Rows, nets: list[Tensor], affine: Affine | None
) -> tuple[Tensor, Tensor]:
    """L_K under each net, (n_nets, n), and the effective sample size under the first, (n,)."""
    scores = []
    for i, noise in enumerate(nets):
        log_w = log_weights(model, rows, noise, affine)
        total = torch.logsumexp(log_w, 0)
        scores.append(total - math.log(len(noise)))
        if i == 0:
            ess = effective_size(log_w)
    return torch.stack(scores), ess


def effective_size(log_w: Tensor) -> Tensor:
    """(Σ w)² / Σ w² of the weights along the first axis."""
    return torch.exp(2 * torch.logsumexp(log_w, 0) - torch.logsumexp(2 * log_w, 0))


def log_weights(model: VAE, rows: Rows, noise: Tensor, affine: Affine | None) -> Tensor:
    """log w_k of each row, (K, n), where q is moved by an affine map of its base noise.

    With ε = m + e^s u in place of u, q'(z) = q(z) N(u) / (N(ε) e^Σs).
    """
    moved, log_ratio = _moved(noise, affine)
    return model.log_weights(rows, moved) + log_ratio


def _moved(noise: Tensor, affine: Affine | None) -> tuple[Tensor, Tensor | float]:
    """The moved base noise, and the logarithm of what its density lost."""
    if affine is None:
        return noise, 0.0
    shift, log_scale = affine
    moved = shift + log_scale.exp() * noise
    return moved, 0.5 * (noise.square() - moved.square()).sum(-1) + log_scale.sum(-1)


@torch.no_grad()
def attributions(
    model: VAE, rows: Rows, n_samples: int, n_refinement_steps: int = 0
) -> tuple[Tensor, Tensor]:
    r"""What each cell adds to log p(x), and log p(x) itself, but for the measure.

    .. math:: \log p(x) = \sum_j E_{p(z|x)}[\log p(x_j|z)] - KL(p(z|x) \| p(z))

    with the posterior p(z | x) by the weights of the draws that the log-density is made of.

    Returns
    -------
    cells : Tensor of shape (n_rows, n_columns)
        The expectations, in the order of the model's columns.
    log_px : Tensor of shape (n_rows,)
        As :func:`log_density` gives it.
    """
    noise = quasi_normal(n_samples, model.latent.n_noise)
    size = model.chunk_size(max(n_samples, model.latent.n_enumerated), most=len(rows))
    parts, totals = [], []
    for chunk in rows.chunks(size):
        cells, log_w = _weighted_cells(model, chunk, noise, None)
        total, part = torch.logsumexp(log_w, 0), _expected(cells, log_w)
        weak = torch.nonzero(effective_size(log_w) < min(REFINE_BELOW, n_samples)).squeeze(1)
        refinable = model.latent.is_refinable and not model.latent.n_enumerated
        if n_refinement_steps and refinable and len(weak):
            some = chunk.take(weak)
            affine = refined(model, some, n_refinement_steps)
            cells, log_w = _weighted_cells(model, some, noise, affine)
            total[weak], part[weak] = torch.logsumexp(log_w, 0), _expected(cells, log_w)
        silent = model.unobserved(chunk)
        parts.append(part.masked_fill(silent.unsqueeze(-1), 0.0))
        totals.append(total.masked_fill(silent, 0.0))
    return torch.cat(parts), torch.cat(totals)


def _weighted_cells(
    model: VAE, rows: Rows, noise: Tensor, affine: Affine | None
) -> tuple[Tensor, Tensor]:
    """log p(x_j | z_k), (K, n, d), and the logarithms of weights that add up to p(x), (K, n)."""
    h = model.encode(rows)
    draw = model.latent.enumerate(h, model.prior)
    if draw is not None:
        cells = model.cells(draw.z, rows)
        return cells, cells.sum(-1) + draw.log_pz
    moved, log_ratio = _moved(noise, affine)
    draw = model.latent.draw(h, moved, model.prior)
    cells = model.cells(draw.z, rows)
    log_w = cells.sum(-1) + draw.log_pz - draw.log_qz + log_ratio
    return cells, log_w - math.log(len(log_w))


def _expected(cells: Tensor, log_w: Tensor) -> Tensor:
    return (torch.softmax(log_w, 0).unsqueeze(-1) * cells).sum(0)


@torch.enable_grad()
def refined(model: VAE, rows: Rows, n_steps: int, n_draws: int = REFINE_DRAWS) -> Affine:
    """The affine map of the base noise that some steps of ascent on each row's ELBO find.

    The draws are others than those that score: a proposal that knew its draws could flatter them.
    It works for every family whose draws are a differentiable map of base noise (Cremer, Li &
    Duvenaud 2018, arXiv:1801.03558, on what the encoder leaves to gain).
    """
    few = quasi_normal(n_draws, model.latent.n_noise, REFINE_SCRAMBLING).to(rows.values.dtype)
    affine = few.new_zeros(2, len(rows), few.shape[-1])  # shift and log-scale
    # A large eps, so that rounding in a flat direction is not blown up to a step.
    optimizer = Adam(affine, eps=1e-3)
    for _ in range(n_steps):
        leaf = affine.clone().requires_grad_()
        elbo = log_weights(model, rows, few, (leaf[0], leaf[1])).mean(0)
        (slope,) = torch.autograd.grad(elbo.sum(), leaf)
        optimizer.step(-slope, REFINE_RATE)
    return affine[0], affine[1]
