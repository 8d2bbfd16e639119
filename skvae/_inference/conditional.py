r"""What is not seen, given what is: weighted draws from p(z | seen cells).

.. math:: p(x_h | x_s) = \int p(x_h | z)\, p(z | x_s)\, dz \approx
    \sum_k \tilde w_k\, p(x_h | z_k), \qquad
    \tilde w_k \propto \frac{p(x_s | z_k)\, p(z_k)}{r(z_k)}

Draws come from two places, and their density r is that of both together (the balance heuristic of
Veach & Guibas 1995): K from the posterior q(z | x_s) of each row, which the encoder has learned,
and M from the prior, the same for all rows. The latter find what a posterior of one hump cannot
reach, and as they are decoded once for all rows they cost little. Where even so one or two draws
carry the weight, the posterior of the row is refined (:mod:`skvae._inference.log_density`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from skvae._model.rows import Rows
from skvae._model.vae import MAX_CHUNK, VAE
from skvae._nn.noise import quasi_normal

from .log_density import log_weights, refined

SHARED_EACH, MAX_SHARED = 16, 2000  # M for each of the K, and at most
MAX_SHARED_CELLS = 60_000  # M times the columns of the table
REFINE_BELOW = 2.0  # effective draws under which other codes are sought for a row
MAX_LOSS = 0.5  # nats of log p(x) that those may miss
SHARED_SEED = 20_210_704  # the draws from the prior are always the same


class Shared:
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


@dataclass
class Conditional:
    """Weighted codes of some rows.

    Attributes
    ----------
    own : Tensor of shape (K, n_rows, k)
        Codes that each row proposed.
    shared : Shared or None
        Codes that are weighed for every row.
    weights : Tensor of shape (K + M, n_rows)
        Of own and shared codes; they add up to one.
    log_px : Tensor of shape (n_rows,)
        What they estimate log p(seen cells) at.
    """

    model: VAE
    own: Tensor
    shared: Shared | None
    weights: Tensor
    log_px: Tensor

    @classmethod
    def of(cls, model: VAE, own: Tensor, shared: Shared | None, log_w: Tensor) -> Conditional:
        """From the logarithms of the weights, p(x, z) / r(z)."""
        log_px = torch.logsumexp(log_w, 0)
        return cls(model, own, shared, torch.exp(log_w - log_px), log_px - math.log(len(log_w)))

    @property
    def ess(self) -> Tensor:
        """Effective sample size of each row, (Σ w)² / Σ w²."""
        return 1 / self.weights.square().sum(0)

    def mean(self) -> list[Tensor]:
        """E[x_j | seen cells] of each group: numbers (n, d), or probabilities (n, d, n_levels)."""
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

        0 where it is missing, unless its being missing is informative.

        .. math:: p(x_j | x_{-j}) = \frac{p(x)}{p(x_{-j})}
            = \Big(\sum_k \tilde w_k / p(x_j | z_k)\Big)^{-1}
        """
        log_w = self.weights.log().unsqueeze(-1)
        own, rest = log_w.split([len(self.own), len(log_w) - len(self.own)])
        total = torch.logsumexp(own - self.model.cells(self.own, rows), 0)
        if self.shared is not None:
            none = rest.new_zeros(len(rest), len(rows), 0)
            theirs = rest - self.model.cells_of(self.shared.outputs, rows, none)
            theirs = torch.logsumexp(theirs, 0)
            total = torch.logaddexp(total, theirs)
        return -total

    def sample(self, n_draws: int, generator: torch.Generator) -> Tensor:
        """Codes drawn in proportion to their weights, (n_draws, n_rows, k)."""
        chosen = torch.multinomial(self.weights.T, n_draws, replacement=True, generator=generator).T
        index = torch.arange(self.own.shape[1]).expand(n_draws, -1)
        is_own = chosen < len(self.own)
        own = self.own[chosen.clamp(max=len(self.own) - 1), index]
        if self.shared is None:
            return own
        shared = self.shared.z[(chosen - len(self.own)).clamp(min=0), 0]
        return torch.where(is_own.unsqueeze(-1), own, shared)


@torch.no_grad()
def conditionals(
    model: VAE, rows: Rows, n_samples: int, n_refinement_steps: int
) -> Iterator[Conditional]:
    """Weighted codes, chunk by chunk of the rows; half of `n_samples` are a row's own.

    In single precision, which is far finer than the draws are many, and twice as fast.
    """
    model, rows = copy.deepcopy(model).float(), rows.float()
    supports_shared_codes = model.latent.supports_shared_codes
    n_own = max(1, n_samples // 2) if supports_shared_codes else n_samples
    most = min(MAX_SHARED, MAX_SHARED_CELLS // max(1, rows.n_columns))
    n_shared = min(SHARED_EACH * n_own, most) if supports_shared_codes else 0
    noise = quasi_normal(n_own, model.latent.n_noise).float()
    shared = Shared(model, n_shared) if n_shared else None
    size = model.chunk_size(max(n_own, model.latent.n_enumerated), most=len(rows))
    size = max(1, min(size, MAX_CHUNK // max(1, n_shared * rows.n_columns)))
    for chunk in rows.chunks(size):
        conditional = _listed(model, chunk) or _weighted(model, chunk, noise, shared)
        weak = torch.nonzero(conditional.ess < min(REFINE_BELOW, n_own)).squeeze(1)
        if n_refinement_steps and model.latent.is_refinable and len(weak):
            _refine(conditional, chunk.take(weak), weak, noise, n_refinement_steps)
        yield conditional


def _listed(model: VAE, rows: Rows) -> Conditional | None:
    """The posterior itself, where every code can be listed."""
    draw = model.latent.enumerate(model.encode(rows), model.prior)
    if draw is None:
        return None
    z = draw.z.expand(-1, len(rows), -1)
    return Conditional.of(model, z, None, model.log_px(draw.z, rows) + draw.log_pz)


def _weighted(model: VAE, rows: Rows, noise: Tensor, shared: Shared | None) -> Conditional:
    h = model.encode(rows)
    draw = model.latent.draw(h, noise, model.prior)
    log_px = model.log_px(draw.z, rows)
    if shared is None:
        return Conditional.of(model, draw.z, None, log_px + draw.log_pz - draw.log_qz)
    n_own, n_shared = len(noise), len(shared.z)
    log_proportion = math.log(n_own / (n_own + n_shared))
    log_rest = math.log(n_shared / (n_own + n_shared))

    def log_r(log_qz: Tensor, log_pz: Tensor) -> Tensor:
        return torch.logaddexp(log_proportion + log_qz, log_rest + log_pz)

    log_qz = model.latent.log_prob(shared.z, h, model.prior)
    theirs = model.log_px_of(shared.outputs, rows, shared.log_pz)  # log p(x, z)
    theirs = theirs - log_r(log_qz, shared.log_pz)
    mine = log_px + draw.log_pz - log_r(draw.log_qz, draw.log_pz)
    return Conditional.of(model, draw.z, shared, torch.cat([mine, theirs]))


def _refine(
    conditional: Conditional, rows: Rows, weak: Tensor, noise: Tensor, n_steps: int
) -> None:
    """Other codes for weak rows, where they are worth more and find no less of log p(x)."""
    model = conditional.model
    shift, log_scale = affine = refined(model, rows, n_steps)
    moved = shift + log_scale.exp() * noise
    z = model.latent.draw(model.encode(rows), moved, model.prior).z
    other = Conditional.of(model, z, None, log_weights(model, rows, noise, affine))
    better = other.ess > conditional.ess[weak]
    better &= other.log_px > conditional.log_px[weak] - MAX_LOSS
    some = weak[better]
    conditional.own = conditional.own.clone()
    conditional.own[:, some] = other.own[:, better]
    conditional.weights[:, some] = 0.0
    conditional.weights[: len(noise), some] = other.weights[:, better]
    conditional.log_px[some] = other.log_px[better]
