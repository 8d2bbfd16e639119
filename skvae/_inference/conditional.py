r"""Missing cells given observed ones: weighted draws from p(z | observed cells).

.. math:: p(x_m | x_o) = \int p(x_m | z)\, p(z | x_o)\, dz \approx
    \sum_k \tilde w_k\, p(x_m | z_k), \qquad
    \tilde w_k \propto \frac{p(x_o | z_k)\, p(z_k)}{r(z_k)}

Draws come from the posterior of the row with a linearized decoder
(:mod:`skvae._inference.linearization`). For models without one, and where observed cells are left
out of a row, they come from two sources, and their density r is that of the mixture of both (the
balance heuristic of Veach & Guibas 1995): K from the posterior q(z | x_o) of each row, which the
encoder has learned, and M from the prior, the same for all rows. The latter cover modes that a
unimodal posterior misses, and are decoded once for all rows. Where the draws are still worth
little, the posterior of the row is refined (:mod:`skvae._inference.importance`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from skvae._model.rows import Rows
from skvae._model.vae import VAE
from skvae._nn.noise import multinomial, quasi_normal

from .from_prior import SHARE, PriorDraws, SharedCodes, draws_from_prior
from .importance import (
    MIN_EFFECTIVE_DRAWS,
    EncodedRows,
    InferenceSettings,
    effective_size,
    encoded_chunks,
    enumerate_codes,
    log_weights,
    propose,
    refine_weak_rows,
)
from .linearization import Linearization, LinearizedPosterior
from .linearized_draws import chunks, linearize_again

SHARED_EACH, MAX_SHARED = 16, 2000  # M for each of the K, and at most
MAX_SHARED_CELLS = 60_000  # M times the columns of the table
MAX_LOSS = 0.5  # nats of log p(observed cells) that refined draws may lose


@dataclass
class Conditional:
    """Weighted codes of some rows.

    Attributes
    ----------
    own : Tensor of shape (K, n_rows, k)
        Codes from the posterior of each row.
    shared : SharedCodes or None
        Codes that are weighted for every row.
    weights : Tensor of shape (K + M, n_rows)
        Of own and shared codes; they add up to one.
    log_px : Tensor of shape (n_rows,)
        The estimate of log p(observed cells).
    ess : Tensor of shape (n_rows,)
        Effective sample size of each row, (Σ w)² / Σ w².
    """

    model: VAE
    own: Tensor
    shared: SharedCodes | None
    weights: Tensor
    log_px: Tensor
    ess: Tensor

    @classmethod
    def of(cls, model: VAE, own: Tensor, shared: SharedCodes | None, log_w: Tensor) -> Conditional:
        """From the logarithms of the weights, p(x, z) / r(z)."""
        log_px = torch.logsumexp(log_w, 0)
        weights = torch.exp(log_w - log_px).nan_to_num(0.0)  # of no draw at all
        ess = 1 / weights.square().sum(0)
        return cls(model, own, shared, weights, log_px - math.log(len(log_w)), ess)

    def mean(self) -> list[Tensor]:
        """E[x_j | observed cells] of each group.

        Numbers of shape (n, d), or probabilities of shape (n, d, n_levels).
        """
        own, rest = self.weights.split([len(self.own), len(self.weights) - len(self.own)])
        means = []
        for i, (group, outputs) in enumerate(self.model.outputs(self.own)):
            mean = group.likelihood.mean(group.split(outputs), group)
            total = torch.einsum("kn,kn...->n...", own, mean)
            if self.shared is not None:
                _, outputs = self.shared.outputs[i]
                mean = group.likelihood.mean(group.split(outputs), group).squeeze(1)
                total = total + torch.einsum("mn,m...->n...", rest, mean)
            means.append(total)
        return means

    def left_out(self, rows: Rows) -> Tensor:
        r"""log p(x_j | all other cells of the row) of each cell, (n, d).

        0 where the cell is missing, unless its missing value is informative.

        .. math:: p(x_j | x_{-j}) = \frac{p(x)}{p(x_{-j})}
            = \Bigl(\sum_k \tilde w_k / p(x_j | z_k)\Bigr)^{-1}
        """
        log_w = self.weights.log().unsqueeze(-1)
        own, rest = log_w.split([len(self.own), len(log_w) - len(self.own)])
        total = torch.logsumexp(own - self.model.cells(self.own, rows), 0)
        if self.shared is not None:
            none = rest.new_zeros(len(rest), len(rows), 0)
            of_shared = rest - self.model.cells_of(self.shared.outputs, rows, none)
            of_shared = torch.logsumexp(of_shared, 0)
            total = torch.logaddexp(total, of_shared)
        return -total

    def replace(self, index: Tensor, other: Conditional) -> None:
        """Take other codes for some rows, where they are worth more and lose little of log p."""
        better = other.ess > self.ess[index]
        better &= other.log_px > self.log_px[index] - MAX_LOSS
        index = index[better]
        self.own = self.own.clone()
        self.own[:, index] = other.own[:, better]
        self.weights[:, index] = 0.0
        self.weights[: len(other.own), index] = other.weights[:, better]
        self.log_px[index], self.ess[index] = other.log_px[better], other.ess[better]

    def resample(self, lost: PriorDraws) -> None:
        """Draw the codes of some rows anew, from their own and from codes of the prior.

        By systematic resampling with fixed positions, so that they depend on the row alone.
        """
        own, n_codes = lost.mixed(self.log_px[lost.index]), len(self.own)
        share = torch.exp(lost.log_px + math.log(SHARE) - own)
        both = torch.cat([(1 - share) * self.weights[:, lost.index], share * lost.weights])
        position = (torch.arange(n_codes, dtype=both.dtype, device=both.device) + 0.5) / n_codes
        cumulated = both.T.contiguous().cumsum(1)
        chosen = torch.searchsorted(cumulated, position * cumulated[:, -1:]).clamp(
            max=len(both) - 1
        )
        z = torch.cat([self.own[:, lost.index], lost.z.expand(-1, len(lost.index), -1)])
        self.own[:, lost.index] = z[chosen.T, torch.arange(len(lost.index), device=z.device)]
        self.weights[:, lost.index] = 1 / n_codes
        self.log_px[lost.index], self.ess[lost.index] = own, 1 / both.square().sum(0)

    def sample(self, n_draws: int, generator: torch.Generator) -> Tensor:
        """Codes drawn in proportion to their weights, (n_draws, n_rows, k)."""
        chosen = multinomial(self.weights.T, n_draws, generator).T
        index = torch.arange(self.own.shape[1], device=chosen.device).expand(n_draws, -1)
        is_own = chosen < len(self.own)
        own = self.own[chosen.clamp(max=len(self.own) - 1), index]
        if self.shared is None:
            return own
        shared = self.shared.z[(chosen - len(self.own)).clamp(min=0), 0]
        return torch.where(is_own.unsqueeze(-1), own, shared)


@torch.no_grad()
def conditionals(
    model: VAE, rows: Rows, settings: InferenceSettings, n_codes: int | None = None
) -> Iterator[Conditional]:
    """Weighted codes, chunk by chunk of the rows, in the precision of the rows.

    Parameters
    ----------
    n_codes : int or None
        Codes of a row from the posterior of its linearized likelihood, where the model has one.
        None: half of the draws of a row come from q(z | x_o), and many more from the prior, which
        are needed where the weights are for cells of the row that have been observed.
    """
    linearization = None
    if n_codes is not None and settings.n_refinement_steps:
        linearization = Linearization.of(model)
    if linearization is not None:
        yield from _linearized(linearization, rows, n_codes or 1)
    else:
        yield from _amortized(model, rows, settings)


def _linearized(linearization: Linearization, rows: Rows, n_codes: int) -> Iterator[Conditional]:
    """Codes from the linearized posterior of each row.

    Where they are worth little, codes are drawn from them and from codes of the prior together.
    """
    model = linearization.model
    noise = quasi_normal(n_codes, linearization.n_noise).to(model.device)
    for chunk in encoded_chunks(model, rows, model.chunk_size(n_codes, most=len(rows))):
        z, log_w = _linearized_codes(linearization, chunk, noise)
        conditional = Conditional.of(model, z.to(rows.values), None, log_w.to(rows.values))
        lost = draws_from_prior(model, chunk, conditional.ess, n_codes)
        if lost is not None:
            conditional.resample(lost)
        yield conditional


def _linearized_codes(
    linearization: Linearization, encoded: EncodedRows, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Codes z, (K, n, k), and log w, (K, n)."""
    n, k = len(encoded), linearization.model.latent.n_components
    z, log_w = noise.new_zeros(len(noise), n, k), noise.new_zeros(len(noise), n)

    def draw(posterior: LinearizedPosterior, index: Tensor) -> None:
        there = encoded.rows.take(index)
        drawn, log_w[:, index], _ = linearization.draw(posterior, there, noise)
        z[:, index] = drawn.double()

    for index in torch.arange(n, device=noise.device).split(linearization.chunk_size):
        draw(linearization.posterior(encoded.take(index)), index)
    weak = torch.nonzero(effective_size(log_w) < MIN_EFFECTIVE_DRAWS).squeeze(1)
    for index in chunks(weak, linearization.chunk_size):
        posterior = linearization.posterior(encoded.take(index))
        changed = linearize_again(linearization, posterior, encoded.rows.take(index))
        if len(changed):
            draw(posterior.take(changed), index[changed])
    return z, log_w


def _amortized(model: VAE, rows: Rows, settings: InferenceSettings) -> Iterator[Conditional]:
    """Codes from q(z | x_o) and, for families with efficient densities, from the prior."""
    n_samples = settings.n_samples
    has_shared = model.latent.supports_shared_codes
    n_own = max(1, n_samples // 2) if has_shared else n_samples
    most = min(MAX_SHARED, MAX_SHARED_CELLS // max(1, rows.n_columns))
    n_shared = min(SHARED_EACH * n_own, most) if has_shared else 0
    noise = quasi_normal(n_own, model.latent.n_noise).to(rows.values)
    shared = SharedCodes(model, n_shared) if n_shared else None
    size = model.chunk_size(max(n_own, model.latent.n_enumerated), most=len(rows))
    size = max(1, min(size, model.max_numbers // max(1, n_shared * rows.n_columns)))
    for chunk in encoded_chunks(model, rows, size):
        listed = _listed(model, chunk)
        if listed is not None:
            yield listed
            continue
        conditional = _weighted(model, chunk, noise, shared)
        n_steps = settings.n_refinement_steps
        weak = refine_weak_rows(model, chunk, conditional.ess, n_own, n_steps)
        if weak is not None:
            draw = propose(model, weak.encoded, noise, weak.affine)
            log_w = log_weights(model, weak.encoded, draw)
            conditional.replace(weak.index, Conditional.of(model, draw.z, None, log_w))
        yield conditional


def _listed(model: VAE, encoded: EncodedRows) -> Conditional | None:
    """The posterior itself, where every code can be listed."""
    draw = enumerate_codes(model, encoded)
    if draw is None:
        return None
    z = draw.z.expand(-1, len(encoded), -1)
    return Conditional.of(model, z, None, log_weights(model, encoded, draw))


def _weighted(
    model: VAE, encoded: EncodedRows, noise: Tensor, shared: SharedCodes | None
) -> Conditional:
    draw = propose(model, encoded, noise)
    if shared is None:
        return Conditional.of(model, draw.z, None, log_weights(model, encoded, draw))
    log_px = model.log_px(draw.z, encoded.rows)
    n_own, n_shared = len(noise), len(shared.z)
    log_own = math.log(n_own / (n_own + n_shared))
    log_rest = math.log(n_shared / (n_own + n_shared))

    def log_r(log_qz: Tensor, log_pz: Tensor) -> Tensor:
        return torch.logaddexp(log_own + log_qz, log_rest + log_pz)

    log_qz = model.latent.log_prob(shared.z, encoded.h, model.prior)
    of_shared = model.log_px_of(shared.outputs, encoded.rows, shared.log_pz)  # log p(x, z)
    of_shared = of_shared - log_r(log_qz, shared.log_pz)
    of_own = log_px + draw.log_pz - log_r(draw.log_qz, draw.log_pz)
    return Conditional.of(model, draw.z, shared, torch.cat([of_own, of_shared]))
