r"""The log-density of each row, and its parts by column.

.. math:: \log p(x) \approx L_K = \log \tfrac1K \sum_k w_k
    \quad \text{(Burda et al. 2016, arXiv:1509.00519)}

with the weights of :mod:`skvae._inference.importance`. The Monte-Carlo error is measured by the
standard deviation of the scores over independent scramblings of the draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor

from skvae._model.rows import Rows
from skvae._model.vae import VAE

from .amortized import AmortizedDraws
from .from_prior import draws_from_prior
from .importance import EncodedRows, Estimate, InferenceSettings, encoded_chunks
from .linearization import Linearization
from .linearized_draws import LinearizedDraws

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

    @classmethod
    def concatenated(cls, parts: Sequence[LogDensity]) -> LogDensity:
        """Those of all rows, from those of parts of them."""
        scores = np.concatenate([part.scores for part in parts], axis=1)
        return cls(scores, np.concatenate([part.ess for part in parts]))

    def given(self, condition: LogDensity) -> LogDensity:
        """log p(a | b) = log p(a, b) − log p(b), scrambling by scrambling.

        Both terms share their draws, so their errors are not independent: the difference is taken
        before the standard deviation.
        """
        return LogDensity(self.scores - condition.scores, np.minimum(self.ess, condition.ess))


@torch.no_grad()
def log_density(
    model: VAE, rows: Rows, settings: InferenceSettings, n_scramblings: int = 1
) -> LogDensity:
    """log p(observed cells) of each row under several scramblings."""
    scores, sizes = [torch.zeros(n_scramblings, 0, dtype=torch.float64)], [torch.zeros(0)]
    for chunk, estimate in _estimates(model, rows, settings, n_scramblings):
        scores.append((estimate.scores + chunk.rows.log_measure).cpu())
        sizes.append(estimate.ess.cpu())
    return LogDensity(torch.cat(scores, dim=1).numpy(), torch.cat(sizes).numpy())


@torch.no_grad()
def attributions(model: VAE, rows: Rows, settings: InferenceSettings) -> tuple[Tensor, Tensor]:
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
    parts, totals = [], []
    for _, estimate in _estimates(model, rows, settings, with_cells=True):
        assert estimate.cells is not None
        parts.append(estimate.cells.cpu())
        totals.append(estimate.scores[0].cpu())
    return torch.cat(parts), torch.cat(totals)


def _estimates(
    model: VAE,
    rows: Rows,
    settings: InferenceSettings,
    n_scramblings: int = 1,
    with_cells: bool = False,
) -> Iterator[tuple[EncodedRows, Estimate]]:
    """Chunks of rows with their estimates.

    With refinement steps the proposal of a row is the posterior of its linearized likelihood, if
    the model has one, and the number of draws follows the row. Otherwise it is q(z | x).
    """
    draws = _draws(model, rows, settings, n_scramblings)
    for chunk in encoded_chunks(model, rows, draws.chunk_size):
        estimate = draws.estimate(chunk, with_cells)
        lost = None
        if settings.n_refinement_steps:
            lost = draws_from_prior(model, chunk, estimate.ess, settings.n_samples)
        if lost is not None:
            own, i = estimate.scores[:, lost.index], lost.index
            if estimate.cells is not None:
                estimate.cells[i] = lost.mixed_cells(estimate.cells[i], own[0])
            estimate.scores[:, i] = lost.mixed(own)
        unobserved = model.unobserved(chunk.rows)  # log p of no cell at all is 0
        estimate.scores = estimate.scores.masked_fill(unobserved, 0.0)
        if estimate.cells is not None:
            estimate.cells = estimate.cells.masked_fill(unobserved.unsqueeze(-1), 0.0)
        yield chunk, estimate


def _draws(
    model: VAE, rows: Rows, settings: InferenceSettings, n_scramblings: int
) -> LinearizedDraws | AmortizedDraws:
    if settings.n_refinement_steps:
        linearization = Linearization.of(model)
        if linearization is not None:
            return LinearizedDraws(linearization, settings, n_scramblings)
    return AmortizedDraws(model, settings, n_scramblings, rows.values)


def mixture_density(densities: Sequence[LogDensity]) -> LogDensity:
    """The log-density of an equal mixture of models, from those of each."""
    if len(densities) == 1:
        return densities[0]
    each = np.stack([density.scores for density in densities])
    total = logsumexp(each, axis=0)
    weight = np.exp(each[:, 0] - total[0])
    ess = sum(w * density.ess for w, density in zip(weight, densities, strict=True))
    return LogDensity(total - math.log(len(each)), np.asarray(ess))
