r"""Draws from the prior for rows that the posterior does not describe.

The posterior of an outlier may be so far from the prior that none of its draws has a weight. With
a share α of draws from the prior, the same for all rows,

.. math:: p(x) \approx (1 - \alpha) \frac1K \sum_k w_k + \alpha \frac1M \sum_m p(x | z_m),
    \quad z_m \sim p(z),

is as unbiased, and never much below what codes of usual rows make of the row (a defensive mixture,
Hesterberg 1995).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from skvae._model.vae import VAE

from .importance import EncodedRows

MIN_DRAWS = 2.0  # effective draws of a row, below which draws from the prior are added
N_CODES = 512
SHARE = 0.1  # α
SHARED_SEED = 20_210_704  # the draws from the prior are always the same


class SharedCodes:
    """Codes from the prior, decoded once for all rows.

    Attributes
    ----------
    z : Tensor of shape (M, 1, k)
    log_pz : Tensor of shape (M, 1)
    outputs : list of Tensor
        Of the decoder, for each group of columns.
    """

    def __init__(self, model: VAE, n_codes: int) -> None:
        generator = torch.Generator().manual_seed(SHARED_SEED)
        self.z = model.latent.sample(n_codes, model.prior, generator).unsqueeze(1)
        self.log_pz = model.latent.log_pz(self.z, model.prior)
        self.outputs = list(model.outputs(self.z))


@dataclass(frozen=True)
class PriorDraws:
    """Rows whose own draws are worth nothing, under draws from the prior.

    Attributes
    ----------
    index : Tensor of shape (n_lost,)
        Their positions among the rows that were given.
    log_px : Tensor of shape (n_lost,)
        log 1/M Σ p(x | z_m).
    cells : Tensor of shape (n_lost, n_columns)
        Expectations of log p(x_j | z) under the weights p(x | z_m).
    z : Tensor of shape (M, 1, k)
    weights : Tensor of shape (M, n_lost)
        p(x | z_m) / Σ p(x | z_m).
    """

    index: Tensor
    log_px: Tensor
    cells: Tensor
    z: Tensor
    weights: Tensor

    def mixed(self, log_px: Tensor) -> Tensor:
        """log p(x) of these rows with the estimate from their own draws, (..., n_lost)."""
        own, rest = log_px + math.log(1 - SHARE), self.log_px + math.log(SHARE)
        return torch.logaddexp(own, rest)

    def mixed_cells(self, cells: Tensor, log_px: Tensor) -> Tensor:
        """The expectations with those from their own draws, (n_lost, n_columns)."""
        share = torch.exp(self.log_px + math.log(SHARE) - self.mixed(log_px)).unsqueeze(-1)
        return (1 - share) * cells + share * self.cells


@torch.no_grad()
def draws_from_prior(
    model: VAE, encoded: EncodedRows, ess: Tensor, n_draws: int
) -> PriorDraws | None:
    """For the rows with hardly an effective draw of their own; None: there are no such rows."""
    index = torch.nonzero(~(ess >= min(MIN_DRAWS, n_draws / 2))).squeeze(1)
    if not len(index) or not model.latent.is_refinable:
        return None
    shared = SharedCodes(model, N_CODES)
    start = shared.z.new_zeros(N_CODES, 1, 0)
    log_px, expected, weights = [], [], []
    for rows in encoded.take(index).rows.chunks(model.chunk_size(N_CODES, most=len(index))):
        cells = model.cells_of(shared.outputs, rows, start.expand(-1, len(rows), -1))
        each = cells.sum(-1)
        log_px.append(torch.logsumexp(each, 0) - math.log(N_CODES))
        weights.append(torch.softmax(each, 0))
        expected.append((weights[-1].unsqueeze(-1) * cells).sum(0))
    parts = torch.cat(log_px), torch.cat(expected), shared.z, torch.cat(weights, dim=1)
    return PriorDraws(index, *parts)
