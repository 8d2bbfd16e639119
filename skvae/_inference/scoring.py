"""Scores of the detector: one function for each method, in nats; higher is more normal.

To add one: write a function of a model, rows and how much work they may take, and add it to
:data:`SCORES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor

from skvae._model.rows import Rows
from skvae._model.vae import VAE
from skvae._nn.noise import quasi_normal
from skvae.latents import Draw

from .conditional import conditionals
from .importance import InferenceSettings
from .log_density import log_density

Score = Callable[[VAE, Rows, InferenceSettings], np.ndarray]


def density(model: VAE, rows: Rows, settings: InferenceSettings) -> np.ndarray:
    """log p(x), or of the observed cells."""
    return log_density(model, rows, settings).score


def reconstruction(model: VAE, rows: Rows, settings: InferenceSettings) -> np.ndarray:
    """E_q[log p(x | z)], the reconstruction probability of An & Cho (2015)."""
    each = [log_px.mean(0) for log_px, _ in _draws(model, rows, settings.n_samples)]
    return (torch.cat(each) + rows.log_measure).cpu().numpy()


def joint(model: VAE, rows: Rows, settings: InferenceSettings) -> np.ndarray:
    """E_q[log p(x | z) + log p(z)]: the bound without the entropy of q."""
    each = [
        (log_px + draw.log_pz).mean(0) for log_px, draw in _draws(model, rows, settings.n_samples)
    ]
    return (torch.cat(each) + rows.log_measure).cpu().numpy()


def pseudo_likelihood(model: VAE, rows: Rows, settings: InferenceSettings) -> np.ndarray:
    """Σ_j log p(x_j | all other cells), Besag (1975)."""
    return (left_out(model, rows, settings)[0].sum(1) + rows.log_measure.cpu()).numpy()


def left_out(model: VAE, rows: Rows, settings: InferenceSettings) -> tuple[Tensor, Tensor]:
    """log p(x_j | all other cells) of each cell, (n, d), and log p(x) from the same codes, (n,).

    On the CPU. Columns are in the order of the model; the measure is not counted.
    """
    pieces, log_px, start = [], [], 0
    for conditional in conditionals(model, rows, settings):
        n = conditional.weights.shape[1]
        chunk = rows.take(torch.arange(start, start + n, device=rows.values.device))
        with torch.no_grad():
            pieces.append(conditional.left_out(chunk).double().cpu())
        log_px.append(conditional.log_px.double().cpu())
        start += n
    return torch.cat(pieces), torch.cat(log_px)


@torch.no_grad()
def _draws(model: VAE, rows: Rows, n_samples: int) -> Iterator[tuple[Tensor, Draw]]:
    noise = quasi_normal(n_samples, model.latent.n_noise).to(rows.values)
    for chunk in rows.chunks(model.chunk_size(n_samples, most=len(rows))):
        yield model(chunk, noise)


def mean(scores: np.ndarray) -> np.ndarray:
    return np.asarray(scores.mean(0))


def log_mean_exp(scores: np.ndarray) -> np.ndarray:
    """The log-density of an equal mixture of the models."""
    return np.asarray(logsumexp(scores, axis=0) - math.log(len(scores)))


# The score of one model, how those of several are combined, and whether it is per observed cell.
SCORES: dict[str, tuple[Score, Callable[[np.ndarray], np.ndarray], bool]] = {
    "density": (density, log_mean_exp, False),
    "density_per_cell": (density, log_mean_exp, True),
    "mean_log_density": (density, mean, False),
    "joint": (joint, mean, False),
    "reconstruction": (reconstruction, mean, False),
    "pseudo_likelihood": (pseudo_likelihood, mean, False),
}


def score_rows(
    method: str, models: Sequence[VAE], rows: Rows, settings: InferenceSettings
) -> np.ndarray:
    """The score of each row; for a row without an observed cell its log-measure, usually 0."""
    score, over_models, per_cell = SCORES[method]
    total = over_models(np.stack([score(model, rows, settings) for model in models]))
    unobserved = models[0].unobserved(rows).cpu().numpy()
    total = np.where(unobserved, rows.log_measure.cpu().numpy(), total)
    if not per_cell:
        return total
    n_missing = 0 if rows.missing is None else rows.missing.sum(1).cpu().numpy()
    return np.asarray(total / np.maximum(rows.n_columns - n_missing, 1))
