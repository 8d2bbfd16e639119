"""The evidence lower bound."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from skvae._nn.draw import Draw
from skvae._nn.score_function import leave_one_out_mean, score_function
from skvae._validation import a_real, an_int, one_of

from ._base import Objective, divergence


class ELBO(Objective):
    r"""Evidence lower bound,

    .. math:: L = E_{q(z|x)}[\log p(x|z)] - \beta\, KL(q(z|x) \| p(z)) \le \log p(x)
        \text{ for } \beta \ge 1.

    Parameters
    ----------
    beta : float, default=1.0
        Weight of the KL term. Values above 1 favor a simple distribution of the codes (β-VAE),
        values below 1 favor reconstruction.
    warmup : float, default=0.0
        Proportion of the training, in [0, 1], over which the weight rises linearly from 0 to
        `beta`.
    free_bits : float, default=0.0
        Lower bound, in nats, of the KL of each latent dimension in the objective: below it there
        is no gradient towards an unused dimension. The bound applies to the mean over the batch
        and, if the KL of the prior is not a sum over dimensions, to the total of all dimensions.
    n_samples : int, default=1
        Draws of z for each row and gradient step.
    gradient : {"reparameterization", "score_function"}, default="reparameterization"
        Estimator of the gradient of the encoder. "reparameterization" differentiates through z.
        "score_function" (REINFORCE) holds z fixed and weights
        :math:`\nabla_\phi \log q(z|x)` by the bound of the draw minus a baseline, which is the
        mean over the other draws of the row or, with one draw, over the other rows of the batch.
        Both are unbiased for continuous z. The variance of the second is much higher with one
        draw; with several draws the baseline reduces it if q is close to the posterior. For
        integer codes only the second is unbiased.

    References
    ----------
    Kingma & Welling (2014), arXiv:1312.6114. Higgins et al. (2017), beta-VAE, ICLR.
    Sønderby et al. (2016), Ladder Variational Autoencoders, arXiv:1602.02282 (warm-up).
    Kingma et al. (2016), Improved Variational Inference with Inverse Autoregressive Flow,
    arXiv:1606.04934 (free bits). Mnih & Gregor (2014), Neural Variational Inference and Learning,
    arXiv:1402.0030 (score function). Mnih & Rezende (2016), Variational Inference for Monte Carlo
    Objectives, arXiv:1602.06725 (leave-one-out baseline).

    Examples
    --------
    >>> from skvae import ELBO
    >>> ELBO(beta=4.0)
    ELBO(beta=4.0)
    """

    supports_codes = True
    supports_vmap = True
    _constraints: ClassVar = {
        "beta": a_real("[0, inf)", least=0),
        "warmup": a_real("[0, 1]", least=0, most=1),
        "free_bits": a_real("[0, inf)", least=0),
        "n_samples": an_int(1),
        "gradient": one_of("reparameterization", "score_function"),
    }

    def __init__(
        self,
        beta: float = 1.0,
        *,
        warmup: float = 0.0,
        free_bits: float = 0.0,
        n_samples: int = 1,
        gradient: str = "reparameterization",
    ) -> None:
        self.beta = beta
        self.warmup = warmup
        self.free_bits = free_bits
        self.n_samples = n_samples
        self.gradient = gradient

    @property
    def detach_z(self) -> bool:  # type: ignore[override]
        return self.gradient == "score_function"

    def bound(self, log_px: Tensor, draw: Draw, progress: float) -> Tensor:
        beta = self.weight(progress)
        if self.detach_z:
            return self._score_function_bound(log_px, draw, beta)
        return log_px.mean(0) - beta * self._divergence(draw)

    def weight(self, progress: float) -> float:
        """Weight of the KL term at a proportion of the training."""
        return self.beta * min(1.0, progress / self.warmup) if self.warmup > 0 else self.beta

    def _score_function_bound(self, log_px: Tensor, draw: Draw, beta: float) -> Tensor:
        """The bound for fixed z, with the gradient of the score function."""
        rate = draw.log_qz.detach() - draw.log_pz
        if self.free_bits:
            rate = torch.where(rate.mean() > self._free(draw), rate, self._free(draw))
        each = log_px - beta * rate
        signal = each.detach()
        return (each + score_function(signal - leave_one_out_mean(signal), draw.log_qz)).mean(0)

    def _free(self, draw: Draw) -> float:
        return self.free_bits * draw.z.shape[-1]

    def _divergence(self, draw: Draw) -> Tensor:
        if self.free_bits == 0:
            return divergence(draw)
        each = draw.kl if draw.kl is not None else divergence(draw).unsqueeze(-1)
        return each.mean(0).clamp(min=self._free(draw) / each.shape[-1]).sum()
