r"""Importance weights: the log-density of each row.

.. math:: \log p(x) \approx L_K = \log \tfrac1K \sum_k \frac{p(x, z_k)}{q(z_k|x)}, \quad
    z_k \sim q(z|x) \quad \text{(Burda et al. 2016, arXiv:1509.00519)}

The base noise of the draws is quasi-random (scrambled Sobol points through the normal quantile)
and the same for every row, so that a row's score does not depend on the other rows in the call.
It consists of independent scramblings, whose spread tells the Monte-Carlo error.
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
MAX_CHUNK = 2**22  # numbers in the widest tensor of a chunk


def quasi_normal(n_samples: int, n_dims: int) -> Tensor:
    """Standard normal points, (n_samples, 1, n_dims): scrambled Sobol nets one after another."""
    size = math.ceil(n_samples / N_SCRAMBLINGS)
    nets = [
        SobolEngine(n_dims, scramble=True, seed=seed).draw(size, dtype=torch.float64)
        for seed in range(N_SCRAMBLINGS)
    ]
    u = torch.cat(nets)
    return torch.special.ndtri(u.clamp(2.0**-31, 1 - 2.0**-31)).unsqueeze(1)


@torch.no_grad()
def log_density(model: VAE, rows: Rows, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """log p(seen cells) of each row and its standard error, both of shape (n_rows,)."""
    noise = quasi_normal(n_samples, model.latent.n_noise)
    widest = max(model.head.weight.shape[0], model.decoder.n_outputs)
    size = max(1, MAX_CHUNK // (len(noise) * widest))
    scores, errors = [np.zeros(0)], [np.zeros(0)]
    for chunk in rows.chunks(size):
        score, error = _combine(model.log_weights(chunk, noise))
        if chunk.missing is not None:  # log p of no cell at all is 0
            empty = chunk.missing.all(1)
            score, error = score.masked_fill(empty, 0.0), error.masked_fill(empty, 0.0)
        scores.append((score + chunk.log_measure).numpy())
        errors.append(error.numpy())
    return np.concatenate(scores), np.concatenate(errors)


def _combine(log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Log-mean-exp over all draws, and its standard error from the spread of the scramblings."""
    n_samples = len(log_weights)
    score = torch.logsumexp(log_weights, 0) - math.log(n_samples)
    nets = log_weights.unflatten(0, (N_SCRAMBLINGS, -1))
    means = torch.exp(
        torch.logsumexp(nets, 1) - math.log(nets.shape[1]) - score
    )  # mean over nets: 1
    return score, means.std(0) / math.sqrt(N_SCRAMBLINGS)
