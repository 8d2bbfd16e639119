r"""Draws from q(z | x), the posterior that the encoder gives, for any model.

All codes are listed where the latent family can list them. Rows whose draws are worth little have
their posteriors refined (:mod:`skvae._inference.importance`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skvae._model.vae import VAE
from skvae._nn.noise import quasi_normal

from .importance import (
    Affine,
    EncodedRows,
    Estimate,
    InferenceSettings,
    effective_size,
    enumerate_codes,
    propose,
    refine_weak_rows,
)


class AmortizedDraws:
    """Estimates of log p(x) by a fixed number of draws from q(z | x).

    Attributes
    ----------
    chunk_size : int
        Rows of a call.
    """

    def __init__(
        self, model: VAE, settings: InferenceSettings, n_scramblings: int, like: Tensor
    ) -> None:
        self.model, self.settings = model, settings
        self.n_samples, self.n_scramblings = settings.n_samples, n_scramblings
        n_noise = model.latent.n_noise
        self.scramblings = [
            quasi_normal(self.n_samples, n_noise, s).to(like) for s in range(n_scramblings)
        ]
        n_draws = max(self.n_samples, model.latent.n_enumerated)
        self.chunk_size = model.chunk_size(n_draws, most=2**31)

    def estimate(self, encoded: EncodedRows, with_cells: bool = False) -> Estimate:
        """log p(x) under each scrambling; with the expectations of log p(x_j | z)."""
        listed = self._by_enumeration(encoded, with_cells)
        if listed is not None:
            return listed
        estimate = self._by_draws(encoded, with_cells)
        n_steps = self.settings.n_refinement_steps
        weak = refine_weak_rows(self.model, encoded, estimate.ess, self.n_samples, n_steps)
        if weak is not None:
            refined = self._by_draws(weak.encoded, with_cells, weak.affine)
            estimate.put(weak.index, refined)
        return estimate

    def _by_enumeration(self, encoded: EncodedRows, with_cells: bool) -> Estimate | None:
        """The sum over all codes, as if by perfect draws."""
        draw = enumerate_codes(self.model, encoded)
        if draw is None:
            return None
        cells = self.model.cells(draw.z, encoded.rows)
        log_w = cells.sum(-1) + draw.log_pz - draw.log_qz
        total = torch.logsumexp(log_w, 0)
        ess = torch.full_like(total, self.n_samples)
        scores = total.expand(self.n_scramblings, -1).clone()
        return Estimate(scores, ess, _expected(log_w, cells) if with_cells else None)

    def _by_draws(
        self, encoded: EncodedRows, with_cells: bool, affine: Affine | None = None
    ) -> Estimate:
        scores, ess, expected = [], None, None
        for noise in self.scramblings:
            draw = propose(self.model, encoded, noise, affine)
            if with_cells and ess is None:
                cells = self.model.cells(draw.z, encoded.rows)
                log_px = cells.sum(-1)
            else:
                log_px = self.model.log_px(draw.z, encoded.rows)
            log_w = log_px + draw.log_pz - draw.log_qz
            scores.append(torch.logsumexp(log_w, 0) - math.log(self.n_samples))
            if ess is None:
                ess = effective_size(log_w)
                expected = _expected(log_w, cells) if with_cells else None
        assert ess is not None
        return Estimate(torch.stack(scores), ess, expected)


def _expected(log_w: Tensor, cells: Tensor) -> Tensor:
    """Expectations of log p(x_j | z) under the weights, (n, n_columns)."""
    return (torch.softmax(log_w, 0).unsqueeze(-1) * cells).sum(0)
