r"""Importance weights: the log-density of each row.

.. math:: \log p(x) \approx L_K = \log \tfrac1K \sum_k \frac{p(x, z_k)}{q(z_k|x)}, \quad
    z_k \sim q(z|x) \quad \text{(Burda et al. 2016, arXiv:1509.00519)}

The base noise of the draws is quasi-random (scrambled Sobol points through the normal quantile)
and the same for every row, so that a row's score does not depend on the other rows in the call.
The Monte-Carlo error is told by the spread of the scores under independent scramblings.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from ._model import VAE
from ._schema import Rows

N_SCRAMBLINGS = 8


def quasi_normal(n_samples: int, n_dims: int, scrambling: int = 0) -> Tensor:
    """Standard normal quasi-random points, (n_samples, 1, n_dims)."""
    engine = SobolEngine(n_dims, scramble=True, seed=scrambling)
    u = engine.draw(n_samples, dtype=torch.float64)
    return torch.special.ndtri(u.clamp(2.0**-31, 1 - 2.0**-31)).unsqueeze(1)


@torch.no_grad()
def log_density(
    model: VAE, rows: Rows, n_samples: int, n_scramblings: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """log p(seen cells) of each row under several scramblings.

    Returns
    -------
    score : ndarray of shape (n_rows,)
        From the first scrambling.
    std : ndarray of shape (n_rows,)
        Standard deviation over the scramblings: the standard error of `score`.
    """
    nets = [quasi_normal(n_samples, model.latent.n_noise, s) for s in range(n_scramblings)]
    size = model.chunk_size(n_samples, most=len(rows))
    scores = [torch.zeros(n_scramblings, 0, dtype=torch.float64)]
    for chunk in rows.chunks(size):
        score = torch.stack([_log_mean_weight(model, chunk, noise) for noise in nets])
        if chunk.missing is not None:  # log p of no cell at all is 0
            score = score.masked_fill(chunk.missing.all(1), 0.0)
        scores.append(score + chunk.log_measure)
    each = torch.cat(scores, dim=1).numpy()
    return each[0], each.std(0, ddof=min(1, n_scramblings - 1))


def _log_mean_weight(model: VAE, rows: Rows, noise: Tensor) -> Tensor:
    return torch.logsumexp(model.log_weights(rows, noise), 0) - math.log(len(noise))
