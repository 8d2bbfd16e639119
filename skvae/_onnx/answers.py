"""The answers of a fitted model as torch functions of rows, without Python control flow."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from skvae._fitted.fitted_model import FittedModel
from skvae._model.rows import Rows
from skvae._model.vae import VAE
from skvae._nn.noise import quasi_normal

Answer = Callable[..., list[Tensor]]  # of the tensors of `rows_of`


def rows_of(
    values: Tensor, codes: Tensor, missing: Tensor, extras: Tensor, log_measure: Tensor,
    marginalized: Tensor,
) -> Rows:  # fmt: skip
    return Rows(values, codes, missing, extras, log_measure, marginalized)


def transform(model: FittedModel, whiten: bool) -> Answer:
    """The components, (n_rows, n_output_components)."""
    center, scale = (torch.as_tensor(value) for value in model._affine(whiten))
    vae = model.model

    def answer(*tensors: Tensor) -> list[Tensor]:
        z = vae.latent.embed(vae.encode(rows_of(*tensors)), vae.prior)
        return [(torch.stack([z[:, i] for i in vae.latent.shown], dim=1) - center) / scale]

    return answer


def reconstruction(model: FittedModel) -> Answer:
    """Scaled numbers and codes that the decoder expects at the components of each row."""
    vae = model.model
    shown = set(vae.latent.shown)
    absent = [i for i, part in enumerate(vae.latent.slices()) if part.start not in shown]

    def answer(*tensors: Tensor) -> list[Tensor]:
        z = vae.latent.embed(vae.encode(rows_of(*tensors)), vae.prior)
        z = vae.latent.snap(vae.latent.fill(z, absent))
        values, codes = [z[:, :0]], [z[:, :0].long()]
        for group, outputs in vae.outputs(z):
            x = group.likelihood.point(group.split(outputs), group)
            (codes if group.likelihood.target == "code" else values).append(x)
        return [torch.cat(values, dim=-1), torch.cat(codes, dim=-1)]

    return answer


def score(model: FittedModel, method: str, n_draws: int) -> Answer:
    """The score of each row by a method of the detector, with draws from q(z | x)."""
    of_model, over_models, per_cell = SCORES[method]

    def answer(*tensors: Tensor) -> list[Tensor]:
        rows = rows_of(*tensors)
        each = torch.stack([of_model(vae, rows, n_draws) for vae in model.models])
        total = over_models(each) + rows.log_measure
        total = torch.where(model.model.unobserved(rows), rows.log_measure, total)
        if not per_cell:
            return [total]
        assert rows.missing is not None
        n_observed = rows.n_columns - rows.missing.sum(1)
        return [total / n_observed.clamp(min=1)]

    return answer


def density(vae: VAE, rows: Rows, n_draws: int) -> Tensor:
    """log 1/K Σ w_k, or the sum over all codes of families that list them."""
    h = vae.encode(rows)
    listed = vae.latent.enumerate(h, vae.prior)
    if listed is not None:
        log_px = vae.log_px(listed.z, rows)
        return torch.logsumexp(log_px + listed.log_pz - listed.log_qz, 0)
    draw = vae.latent.draw(h, _noise(vae, n_draws), vae.prior)
    log_w = vae.log_px(draw.z, rows) + draw.log_pz - draw.log_qz
    return torch.logsumexp(log_w, 0) - math.log(n_draws)


def elbo(vae: VAE, rows: Rows, n_draws: int) -> Tensor:
    """1/K Σ log w_k."""
    draw = vae.latent.draw(vae.encode(rows), _noise(vae, n_draws), vae.prior)
    return (vae.log_px(draw.z, rows) + draw.log_pz - draw.log_qz).mean(0)


def reconstruction_probability(vae: VAE, rows: Rows, n_draws: int) -> Tensor:
    """E_q[log p(x | z)]."""
    log_px, _ = vae(rows, _noise(vae, n_draws))
    return log_px.mean(0)


def joint(vae: VAE, rows: Rows, n_draws: int) -> Tensor:
    """E_q[log p(x | z) + log p(z)]."""
    log_px, draw = vae(rows, _noise(vae, n_draws))
    return (log_px + draw.log_pz).mean(0)


def _noise(vae: VAE, n_draws: int) -> Tensor:
    return quasi_normal(n_draws, vae.latent.n_noise).double()


def _mean(each: Tensor) -> Tensor:
    return each.mean(0)


def _log_mean_exp(each: Tensor) -> Tensor:
    return torch.logsumexp(each, 0) - math.log(len(each))


# As in skvae._inference.scoring, whose functions split the rows: the score of one model, how those
# of several are combined, and whether it is per observed cell.
SCORES: dict[str, tuple[Any, Callable[[Tensor], Tensor], bool]] = {
    "density": (density, _log_mean_exp, False),
    "density_per_cell": (density, _log_mean_exp, True),
    "mean_log_density": (density, _mean, False),
    "elbo": (elbo, _mean, False),
    "joint": (joint, _mean, False),
    "reconstruction": (reconstruction_probability, _mean, False),
}
