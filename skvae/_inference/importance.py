r"""Importance weights: draws from the posterior of each row, and what they are worth.

.. math:: w_k = \frac{p(x, z_k)}{q(z_k|x)}, \quad z_k \sim q(z|x)

The base noise of the draws is quasi-random (scrambled Sobol points through the normal quantile
function) and the same for every row, so that the answer for a row does not depend on the other
rows of a call. The effective sample size :math:`(\sum_k w_k)^2 / \sum_k w_k^2` (Kong 1992) is how
many draws from the true posterior the K draws are worth. Where it is small, the posterior of the
row is refined by gradient steps on an affine map of its base noise.

Everything here takes the encoder output, so that the encoder runs once for each row of a call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from skvae._model.rows import Rows
from skvae._model.vae import VAE
from skvae._nn.noise import quasi_normal
from skvae._nn.optimizer import Adam
from skvae.latents import Draw

MIN_EFFECTIVE_DRAWS = 4.0  # a row whose draws are worth less has its posterior refined
REFINE_DRAWS, REFINE_RATE, REFINE_SCRAMBLING = 8, 0.2, 1_000_000

CPU = torch.device("cpu")

Affine = tuple[Tensor, Tensor]  # shift and log-scale of the base noise, each (n_rows, n_noise)


@dataclass(frozen=True)
class InferenceSettings:
    """How much work an answer may take, and in which precision it is computed.

    Attributes
    ----------
    n_samples : int
        Draws of z for each row.
    n_refinement_steps : int
        Gradient steps for rows whose draws are worth less than four; 0: none.
    precision : {"double", "single"}
        The rule for all answers about given rows: networks, rows and draws are in float64, or
        in float32.
    device : torch.device
        Where the networks and the rows are, on which answers are computed.
    n_jobs : int or None
        Threads, as joblib has it.
    title : str
        What the progress of many rows is shown as; empty: it is not shown.
    """

    n_samples: int
    n_refinement_steps: int = 0
    precision: str = "double"
    n_jobs: int | None = None
    title: str = ""
    device: torch.device = CPU

    def rows(self, rows: Rows) -> Rows:
        """The rows in the precision and on the device of the answers."""
        return (rows if self.precision == "double" else rows.float()).to(self.device)


@dataclass(frozen=True)
class EncodedRows:
    """Rows with the encoder output, h of shape (n_rows, n_hidden)."""

    rows: Rows
    h: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Tensor) -> EncodedRows:
        return EncodedRows(self.rows.take(index), self.h[index])


@torch.no_grad()
def encoded_chunks(model: VAE, rows: Rows, size: int) -> Iterator[EncodedRows]:
    """At most `size` rows at once, each with the encoder output."""
    for chunk in rows.chunks(size):
        yield EncodedRows(chunk, model.encode(chunk))


@dataclass
class Estimate:
    """log p(observed cells) of rows, without the measure.

    Attributes
    ----------
    scores : Tensor of shape (n_scramblings, n_rows)
    ess : Tensor of shape (n_rows,)
        Effective sample size under the first scrambling.
    cells : Tensor of shape (n_rows, n_columns) or None
        Expectations of log p(x_j | z) under the weights of the first scrambling.
    """

    scores: Tensor
    ess: Tensor
    cells: Tensor | None

    def put(self, index: Tensor, other: Estimate) -> None:
        """Replace the estimates of some rows."""
        self.scores[:, index], self.ess[index] = other.scores, other.ess
        if self.cells is not None and other.cells is not None:
            self.cells[index] = other.cells


def propose(model: VAE, encoded: EncodedRows, noise: Tensor, affine: Affine | None = None) -> Draw:
    """Draws from q(z | x), or from q after an affine map of its base noise.

    With ε = m + e^s u in place of u, q'(z) = q(z) N(u) / (N(ε) e^Σs).
    """
    if affine is None:
        return model.latent.draw(encoded.h, noise, model.prior)
    shift, log_scale = affine
    moved = shift + log_scale.exp() * noise
    draw = model.latent.draw(encoded.h, moved, model.prior)
    log_ratio = 0.5 * (noise.square() - moved.square()).sum(-1) + log_scale.sum(-1)
    return Draw(draw.z, lambda: draw.log_pz, lambda: draw.log_qz - log_ratio)


def enumerate_codes(model: VAE, encoded: EncodedRows) -> Draw | None:
    """Every code with log q = 0, where the family can list them; else None."""
    return model.latent.enumerate(encoded.h, model.prior)


def log_weights(model: VAE, encoded: EncodedRows, draw: Draw) -> Tensor:
    """log w_k = log p(x, z_k) − log q(z_k | x) of each row, (K, n)."""
    return model.log_px(draw.z, encoded.rows) + draw.log_pz - draw.log_qz


def effective_size(log_w: Tensor) -> Tensor:
    """(Σ w)² / Σ w² of the weights along the first axis; 0 where no weight is positive."""
    log_size = 2 * torch.logsumexp(log_w, 0) - torch.logsumexp(2 * log_w, 0)
    return torch.exp(log_size).nan_to_num(0.0)


@dataclass(frozen=True)
class RefinedRows:
    """Rows whose draws were worth little, with better proposals.

    Attributes
    ----------
    index : Tensor of shape (n_weak,)
        Their positions among the rows that were given.
    encoded : EncodedRows
    affine : Affine
    """

    index: Tensor
    encoded: EncodedRows
    affine: Affine


def refine_weak_rows(
    model: VAE, encoded: EncodedRows, ess: Tensor, n_draws: int, n_steps: int
) -> RefinedRows | None:
    """Refine the posteriors of rows with a small effective sample size; None: no such rows."""
    if not n_steps or not model.latent.is_refinable:
        return None
    index = torch.nonzero(ess < min(MIN_EFFECTIVE_DRAWS, n_draws)).squeeze(1)
    if not len(index):
        return None
    weak = encoded.take(index)
    return RefinedRows(index, weak, refine(model, weak, n_steps))


@torch.enable_grad()
def refine(model: VAE, encoded: EncodedRows, n_steps: int, n_draws: int = REFINE_DRAWS) -> Affine:
    """The affine map of the base noise that gradient steps on the ELBO of each row find.

    The draws differ from those that score: a proposal that was fitted to its own draws would
    overstate the bound. It works for every family whose draws are a differentiable map of base
    noise (Cremer, Li & Duvenaud 2018, arXiv:1801.03558, on the amortization gap).
    """
    noise = quasi_normal(n_draws, model.latent.n_noise, REFINE_SCRAMBLING).to(encoded.h)
    affine = noise.new_zeros(2, len(encoded), noise.shape[-1])  # shift and log-scale
    # A large eps, so that rounding in a flat direction does not become a large step.
    optimizer = Adam(affine, eps=1e-3)
    for _ in range(n_steps):
        leaf = affine.clone().requires_grad_()
        draw = propose(model, encoded, noise, (leaf[0], leaf[1]))
        elbo = log_weights(model, encoded, draw).mean(0)
        (gradient,) = torch.autograd.grad(elbo.sum(), leaf)
        optimizer.step(-gradient, REFINE_RATE)
    return affine[0], affine[1]
