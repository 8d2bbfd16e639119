"""What each latent unit says of the rows, and a warning where it is nothing."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from skvae._model.rows import Rows
from skvae._model.vae import VAE
from skvae._nn.densities import log_normal

ACTIVE_VARIANCE = 0.01  # Burda et al. 2016, section 5.1
ACTIVE_KL = 0.01  # Sønderby et al. 2016
MIN_ROWS = 100  # different rows from which on a silent code is worth a warning
N_ROWS = 1000  # that the units are judged by
N_MARGINAL = 500  # of these, where the aggregated posterior stands for the prior


class CollapseWarning(UserWarning):
    """The posterior is the prior: the code says nothing of the rows.

    Examples
    --------
    >>> import warnings
    >>> from skvae import CollapseWarning
    >>> warnings.simplefilter("ignore", CollapseWarning)
    """


def active_units(mean: Tensor, weight: Tensor, kl: Tensor) -> Tensor:
    """Which units say something: (k,) bool.

    Their posterior means vary over the rows by more than 0.01, and not only because those of a
    layer above do: the mean KL is more than 0.01 nats.
    """
    share = (weight / weight.sum()).to(mean).unsqueeze(-1)
    center = (share * mean).sum(0)
    varies = (share * (mean - center).square()).sum(0) > ACTIVE_VARIANCE
    return varies & (kl > ACTIVE_KL)


@torch.no_grad()
def kl_per_unit(model: VAE, rows: Rows, mean: Tensor, log_var: Tensor, weight: Tensor) -> Tensor:
    """Mean KL(q(z_i | x) ‖ p(z_i)) in nats, (k,), with the prior that the nets are trained with.

    Where that has no closed form, the aggregated posterior's marginal stands for p(z_i).
    """
    generator = torch.Generator().manual_seed(0)
    some = torch.arange(min(len(rows), N_MARGINAL))
    rows, mean, log_var = rows.take(some), mean[some], log_var[some]
    share = (weight[some] / weight[some].sum()).to(mean)
    noise = torch.randn(1, len(rows), model.latent.n_noise, generator=generator)
    kl = model.latent.draw(model.encode(rows), noise.to(mean), model.prior).kl
    if kl is None or kl.shape[-1] != mean.shape[-1]:
        z = mean + torch.exp(0.5 * log_var) * torch.randn(mean.shape, generator=generator).to(mean)
        each = log_normal(z.unsqueeze(1), mean, log_var)  # of row n under the posterior of row m
        marginal = torch.logsumexp(each + share.log().reshape(1, -1, 1), 1)
        kl = each.diagonal().T - marginal
    return (share.unsqueeze(-1) * kl).sum(0).clamp(min=0)


def unit_attributes(
    model: VAE, rows: Rows, mean: Tensor, log_var: Tensor, weight: Tensor, stacklevel: int
) -> dict[str, object]:
    """The fitted attributes of the units, with a warning if a layer is silent."""
    kl = kl_per_unit(model, rows, mean, log_var, weight)
    active = active_units(mean, weight, kl)
    if len(rows) >= MIN_ROWS:
        _warn_of_collapse(active, model.latent.slices(), stacklevel + 1)
    return {"active_units_": active.numpy(), "kl_per_unit_": kl.double().numpy()}


def _warn_of_collapse(active: Tensor, layers: Sequence[slice], stacklevel: int) -> None:
    """Say so if no unit of a layer is active, and name the cures."""
    dead = [i for i, columns in enumerate(layers, 1) if not active[columns].any()]
    if dead:
        where = f"any unit of layer {dead[0]}" if len(layers) > 1 else "any latent unit"
        warnings.warn(
            f"Posterior collapse: for no row does {where} say more than the prior. Give the code "
            "room with objective=ELBO(free_bits=0.1) or a smaller beta, warm the KL up with "
            "ELBO(warmup=0.5), or start with init='pca'. If the columns have nothing to do with "
            "each other, there is nothing to say.",
            CollapseWarning,
            stacklevel=stacklevel,
        )
