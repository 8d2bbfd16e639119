r"""Diagnostics: what the bound of a fitted model loses, and how informative its code is.

.. math:: \log p(x) = \underset{-\text{distortion}}{\underbrace{E_q[\log p(x|z)]}}
    - \underset{\text{rate}}{\underbrace{KL(q(z|x) \| p(z))}}
    + \underset{\text{gap of the bound}}{\underbrace{KL(q(z|x) \| p(z|x))}}
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ._inference.importance import (
    CPU,
    Affine,
    EncodedRows,
    InferenceSettings,
    encoded_chunks,
    log_weights,
    propose,
    refine,
)
from ._inference.log_density import log_density
from ._model.rows import Rows
from ._model.vae import VAE
from ._nn.defaults import with_library_defaults
from ._nn.noise import quasi_normal
from ._quality import sample_quality

__all__ = ["inference_gap", "mutual_information", "rate_distortion", "sample_quality"]

N_DRAWS = 64
MAX_ROWS = 500  # that the mutual information is estimated from: over all pairs


@with_library_defaults
@torch.no_grad()
def rate_distortion(estimator: Any, X: Any) -> pd.DataFrame:
    r"""What the code of a row costs, and what it leaves open; both in nats.

    .. math:: \text{rate} = KL(q(z|x) \| p(z)), \quad
        \text{distortion} = -E_{q(z|x)}[\log p(x|z)], \quad
        \text{ELBO} = -\text{rate} - \text{distortion}

    Parameters
    ----------
    estimator : VAETransformer
        Fitted.
    X : table of shape (n_samples, n_features)
        Rows with the fitted columns; cells may be missing.

    Returns
    -------
    DataFrame of shape (n_samples, 3)
        With the index of X, if it is a pandas frame.
        Columns "rate", "distortion" (in the units of the table) and "elbo". With the aggregated
        prior the rate is that to the prior as fitted, with its exemplars.

    References
    ----------
    Alemi et al. (2018), Fixing a Broken ELBO, arXiv:1711.00464.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAETransformer
    >>> from skvae.diagnostics import rate_distortion
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> vae = VAETransformer(max_iter=3, random_state=0).fit(X)
    >>> rate_distortion(vae, X).shape
    (200, 3)
    """
    model, rows = _prepared(estimator, X)
    noise = quasi_normal(N_DRAWS, model.latent.n_noise).to(rows.values)
    rates, distortions = [], []
    for chunk in rows.chunks(model.chunk_size(N_DRAWS, most=len(rows))):
        log_px, draw = model(chunk, noise)
        rates.append((draw.log_qz - draw.log_pz).mean(0))
        distortions.append(-(log_px.mean(0) + chunk.log_measure))
    rate, distortion = torch.cat(rates).numpy(), torch.cat(distortions).numpy()
    columns = {"rate": rate, "distortion": distortion, "elbo": -rate - distortion}
    return pd.DataFrame(columns, index=_index(X))


@with_library_defaults
def inference_gap(
    estimator: Any, X: Any, *, n_importance_samples: int = 1000, n_steps: int = 100
) -> pd.DataFrame:
    r"""How far the bound is from log p(x), and its two causes.

    .. math:: \log p(x) - L[q]
        = \underset{\text{approximation gap}}{\underbrace{\log p(x) - L[q^*]}}
        + \underset{\text{amortization gap}}{\underbrace{L[q^*] - L[q]}}

    q* is the best posterior of the row within the family: a large approximation gap calls for a
    richer family, a large amortization gap for a larger encoder or longer training. log p(x) is
    estimated by importance weighting, and q* found by gradient steps on an affine map of the base
    noise of each row. For ``Gaussian`` that is the whole family; for the others what is not found
    counts as approximation gap, and for integer codes, which no such map reaches, all of it.

    Parameters
    ----------
    estimator : VAETransformer
        Fitted.
    X : table of shape (n_samples, n_features)
        Rows with the fitted columns; cells may be missing.
    n_importance_samples : int, default=1000
        Draws for log p(x).
    n_steps : int, default=100
        Number of gradient steps.

    Returns
    -------
    DataFrame of shape (n_samples, 5)
        With the index of X, if it is a pandas frame. It takes seconds for hundreds of rows.
        Columns "log_px", "elbo", "best_elbo", "approximation_gap", "amortization_gap", in nats.

    References
    ----------
    Cremer, Li & Duvenaud (2018), Inference Suboptimality in Variational Autoencoders,
    arXiv:1801.03558.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAETransformer
    >>> from skvae.diagnostics import inference_gap
    >>> X = np.random.default_rng(0).normal(size=(100, 4))
    >>> vae = VAETransformer(max_iter=3, random_state=0).fit(X)
    >>> gap = inference_gap(vae, X[:20]).mean()
    >>> bool(gap["elbo"] <= gap["best_elbo"] <= gap["log_px"] + 1e-3)
    True
    """
    model, rows = _prepared(estimator, X)
    n, parts = n_importance_samples, []
    for chunk in encoded_chunks(model, rows, model.chunk_size(n, most=len(rows))):
        refinable = model.latent.is_refinable
        affine = refine(model, chunk, n_steps, n_draws=N_DRAWS) if refinable else None
        weights = _log_weights(model, chunk, n, affine)
        elbo = _log_weights(model, chunk, n, None).mean(0)
        better = weights.mean(0) > elbo
        # The better posterior proposes better draws.
        bound = torch.logsumexp(weights, 0) - math.log(n)
        measure = chunk.rows.log_measure
        amortized = (
            torch.from_numpy(log_density(model, chunk.rows, InferenceSettings(n)).score) - measure
        )
        exact = torch.where(better, bound, amortized)
        best = torch.where(better, weights.mean(0), elbo)
        parts.append(torch.stack([exact, elbo, best]) + measure)
    log_px, elbo, best = torch.cat(parts, dim=1).numpy()
    return pd.DataFrame({
        "log_px": log_px, "elbo": elbo, "best_elbo": best,
        "approximation_gap": log_px - best, "amortization_gap": best - elbo,
    }, index=_index(X))  # fmt: skip


def _prepared(estimator: Any, X: Any) -> tuple[VAE, Rows]:
    """The model and the rows of X in the precision of the estimator's answers, on the CPU."""
    table, settings = estimator._read(X), replace(estimator._settings(), device=CPU)
    model = estimator.fitted_model_.in_precision(settings)[0]
    return model, settings.rows(estimator.fitted_model_.encode(table))


def _index(X: Any) -> pd.Index | None:
    return X.index if isinstance(X, pd.DataFrame) else None


@torch.no_grad()
def _log_weights(model: VAE, encoded: EncodedRows, n_draws: int, affine: Affine | None) -> Tensor:
    noise = quasi_normal(n_draws, model.latent.n_noise).to(encoded.h)
    return log_weights(model, encoded, propose(model, encoded, noise, affine))


@with_library_defaults
@torch.no_grad()
def mutual_information(estimator: Any, X: Any) -> float:
    r"""Mutual information of the code and the row, in nats.

    .. math:: I_q(x; z) = E_x\Bigl[ E_{q(z|x)} \log \frac{q(z|x)}{\tfrac1N \sum_n q(z|x_n)} \Bigr]

    Between 0 (posterior collapse) and log N, where every row has a code of its own; so it can
    be no more than log N nats.

    Parameters
    ----------
    estimator : VAETransformer
        Fitted.
    X : table of shape (n_samples, n_features)
        The first 500 rows are used.

    Returns
    -------
    information : float
        In nats.

    References
    ----------
    Hoffman & Johnson (2016), ELBO surgery, NIPS workshop. Dieng et al. (2019), Avoiding Latent
    Variable Collapse with Generative Skip Models, arXiv:1807.04863.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAETransformer
    >>> from skvae.diagnostics import mutual_information
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> vae = VAETransformer(max_iter=3, random_state=0).fit(X)
    >>> bool(0 <= mutual_information(vae, X) <= np.log(200))
    True
    """
    model, rows = _prepared(estimator, X)
    rows = rows.take(torch.arange(min(len(rows), MAX_ROWS)))
    h, n = model.encode(rows), len(rows)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((1, n, model.latent.n_noise), generator=generator, dtype=h.dtype)
    z = model.latent.draw(h, noise, model.prior).z[0]
    # log q(z_n | x_m): each code under the posterior of every row
    each = [model.latent.log_prob(one.expand(1, n, -1), h, model.prior)[0] for one in z]
    density = torch.stack(each)
    marginal = torch.logsumexp(density, 1) - math.log(n)
    return float((density.diagonal() - marginal).mean().clamp(0.0, math.log(n)))
