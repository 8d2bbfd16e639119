r"""The log-density of each row, and its parts by column.

.. math:: \log p(x) \approx L_K = \log \tfrac1K \sum_k w_k
    \quad \text{(Burda et al. 2016, arXiv:1509.00519)}

with the weights of :mod:`skvae._inference.importance`. The Monte-Carlo error is measured by the
standard deviation of the scores over independent scramblings of the draws.
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

from .from_prior import draws_from_prior
from .importance import (
    Affine,
    EncodedRows,
    effective_size,
    encoded_chunks,
    enumerate_codes,
    log_weights,
    propose,
    refine_weak_rows,
)

N_SCRAMBLINGS = 8


@dataclass(frozen=True)
class LogDensity:
    """log p(observed cells) of rows, and its accuracy.

    Attributes
    ----------
    scores : ndarray of shape (n_scramblings, n_rows)
        One estimate for each scrambling of the draws.
    ess : ndarray of shape (n_rows,)
        Effective sample size under the first scrambling, between 1 and the number of draws.
    """

    scores: np.ndarray
    ess: np.ndarray

    @property
    def score(self) -> np.ndarray:
        """The estimate of the first scrambling, (n_rows,)."""
        return np.asarray(self.scores[0])

    @property
    def std(self) -> np.ndarray:
        """Standard deviation over the scramblings, (n_rows,): the standard error of `score`."""
        return np.asarray(self.scores.std(0, ddof=min(1, len(self.scores) - 1)))

    def given(self, condition: LogDensity) -> LogDensity:
        """log p(a | b) = log p(a, b) − log p(b), scrambling by scrambling.

        Both terms share their draws, so their errors are not independent: the difference is taken
        before the standard deviation.
        """
        return LogDensity(self.scores - condition.scores, np.minimum(self.ess, condition.ess))


@torch.no_grad()
def log_density(
    model: VAE, rows: Rows, n_samples: int, n_scramblings: int = 1, n_refinement_steps: int = 0
) -> LogDensity:
    """log p(observed cells) of each row under several scramblings, in the precision of the rows."""
    scramblings = [
        quasi_normal(n_samples, model.latent.n_noise, s).to(rows.values.dtype)
        for s in range(n_scramblings)
    ]
    size = model.chunk_size(max(n_samples, model.latent.n_enumerated), most=len(rows))
    scores, sizes = [torch.zeros(n_scramblings, 0, dtype=torch.float64)], [torch.zeros(0)]
    for chunk in encoded_chunks(model, rows, size):
        score, ess = _exact(model, chunk, n_samples, n_scramblings) or _estimate(
            model, chunk, scramblings
        )
        weak = refine_weak_rows(model, chunk, ess, n_samples, n_refinement_steps)
        if weak is not None:
            refined = _estimate(model, weak.encoded, scramblings, weak.affine)
            score[:, weak.index], ess[weak.index] = refined
        lost = draws_from_prior(model, chunk, ess) if n_refinement_steps else None
        if lost is not None:
            score[:, lost.index] = lost.mixed(score[:, lost.index])
        score = score.masked_fill(model.unobserved(chunk.rows), 0.0)  # log p of no cell at all
        scores.append(score + chunk.rows.log_measure)
        sizes.append(ess)
    return LogDensity(torch.cat(scores, dim=1).numpy(), torch.cat(sizes).numpy())


def mixture_density(densities: Sequence[LogDensity]) -> LogDensity:
    """The log-density of an equal mixture of models, from those of each."""
    if len(densities) == 1:
        return densities[0]
    each = np.stack([density.scores for density in densities])
    total = logsumexp(each, axis=0)
    weight = np.exp(each[:, 0] - total[0])
    ess = sum(w * density.ess for w, density in zip(weight, densities, strict=True))
    return LogDensity(total - math.log(len(each)), np.asarray(ess))


def _exact(
    model: VAE, encoded: EncodedRows, n_samples: int, n_scramblings: int
) -> tuple[Tensor, Tensor] | None:
    """log p(x) by summation, where every code can be listed: as if by perfect draws."""
    draw = enumerate_codes(model, encoded)
    if draw is None:
        return None
    total = torch.logsumexp(log_weights(model, encoded, draw), 0)
    return total.expand(n_scramblings, -1).clone(), torch.full_like(total, n_samples)


def _estimate(
    model: VAE, encoded: EncodedRows, scramblings: list[Tensor], affine: Affine | None = None
) -> tuple[Tensor, Tensor]:
    """L_K under each scrambling, (n_scramblings, n), and the ESS under the first, (n,)."""
    scores = []
    for i, noise in enumerate(scramblings):
        log_w = log_weights(model, encoded, propose(model, encoded, noise, affine))
        scores.append(torch.logsumexp(log_w, 0) - math.log(len(noise)))
        if i == 0:
            ess = effective_size(log_w)
    return torch.stack(scores), ess


@torch.no_grad()
def attributions(
    model: VAE, rows: Rows, n_samples: int, n_refinement_steps: int = 0
) -> tuple[Tensor, Tensor]:
    r"""What each cell adds to log p(x), and log p(x) itself, without the measure.

    .. math:: \log p(x) = \sum_j E_{p(z|x)}[\log p(x_j|z)] - KL(p(z|x) \| p(z))

    with the posterior p(z | x) by the weights of the draws that the log-density consists of.

    Returns
    -------
    cells : Tensor of shape (n_rows, n_columns)
        The expectations, in the order of the model's columns.
    log_px : Tensor of shape (n_rows,)
        As :func:`log_density` gives it.
    """
    noise = quasi_normal(n_samples, model.latent.n_noise).to(rows.values.dtype)
    size = model.chunk_size(max(n_samples, model.latent.n_enumerated), most=len(rows))
    parts, totals = [], []
    for chunk in encoded_chunks(model, rows, size):
        part, total, ess = _expected_cells(model, chunk, noise)
        weak = refine_weak_rows(model, chunk, ess, n_samples, n_refinement_steps)
        if weak is not None:
            refined = _expected_cells(model, weak.encoded, noise, weak.affine)
            part[weak.index], total[weak.index], ess[weak.index] = refined
        lost = draws_from_prior(model, chunk, ess) if n_refinement_steps else None
        if lost is not None:
            i = lost.index
            part[i], total[i] = lost.mixed_cells(part[i], total[i]), lost.mixed(total[i])
        unobserved = model.unobserved(chunk.rows)
        parts.append(part.masked_fill(unobserved.unsqueeze(-1), 0.0))
        totals.append(total.masked_fill(unobserved, 0.0))
    return torch.cat(parts), torch.cat(totals)


def _expected_cells(
    model: VAE, encoded: EncodedRows, noise: Tensor, affine: Affine | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """E[log p(x_j | z)], (n, d), log p(x), (n,), and the effective sample size, (n,)."""
    listed = enumerate_codes(model, encoded)
    draw = propose(model, encoded, noise, affine) if listed is None else listed
    cells = model.cells(draw.z, encoded.rows)
    log_w = cells.sum(-1) + draw.log_pz - draw.log_qz
    total = torch.logsumexp(log_w, 0)
    expected = (torch.softmax(log_w, 0).unsqueeze(-1) * cells).sum(0)
    if listed is not None:
        return expected, total, torch.full_like(total, len(noise))
    return expected, total - math.log(len(log_w)), effective_size(log_w)
