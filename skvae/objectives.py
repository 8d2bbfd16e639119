"""Objectives of training: from log-densities to a bound on log p(x) for each row.

To add one: write one class, put it into :data:`OBJECTIVES`, and add a row to
``tests/components.py``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from sklearn.base import clone
from torch import Tensor

from ._component import Component
from ._nn.draw import Draw
from ._nn.score_function import leave_one_out_mean, score_function
from ._validation import a_real, an_int, one_of
from .likelihoods import Likelihood, Normal
from .priors import Aggregated, Prior, StandardNormal

__all__ = ["ELBO", "IWAE", "Embedding", "Objective", "Trimmed"]


class Objective(ABC, Component):
    """The function that training maximizes.

    Attributes
    ----------
    n_samples : int
        Draws of z for each row and gradient step.
    detach_z : bool
        Whether the gradient through z is stopped.
    supports_codes, supports_vmap : bool
        Whether it can be used with integer codes, and ``bound`` with ``torch.func.vmap``.
    warmup, trim : float
        Proportion of the training after which the objective has its final form; proportion of the
        rows, those with the lowest bounds, that are left out.
    likelihood : Likelihood or None
        The likelihood that ``likelihood="auto"`` stands for. None: it depends on the column.
    prior : Prior or None
        The same for ``prior="auto"``, in families whose default is an aggregated posterior.
    """

    n_samples: int
    detach_z: bool = False
    supports_codes: bool = False
    supports_vmap: bool = False
    warmup: float = 0.0
    trim: float = 0.0
    likelihood: Likelihood | None = None
    prior: Prior | None = None

    @abstractmethod
    def bound(self, log_px: Tensor, draw: Draw, progress: float) -> Tensor:
        """The bound on log p(x) of each row.

        Parameters
        ----------
        log_px : Tensor of shape (n_samples, n_rows)
            log p(x | z).
        draw : Draw
            z with its log-densities.
        progress : float
            Proportion of the training that is done, in [0, 1]. With 1 there is no warm-up.

        Returns
        -------
        bound : Tensor of shape (n_rows,)
        """

    def with_warmup(self, warmup: float) -> Objective:
        """The objective with another warm-up.

        Parameters
        ----------
        warmup : float
            Proportion of the training, in [0, 1].

        Returns
        -------
        objective : Objective
            A copy with the parameter `warmup`, or the object itself if it has no such parameter.
        """
        if "warmup" not in self.get_params(deep=False):
            return self
        objective: Objective = clone(self)
        return objective.set_params(warmup=warmup)


def divergence(draw: Draw) -> Tensor:
    """KL(q(z | x) ‖ p(z)) of each row, in closed form if it is known, else by Monte Carlo."""
    return draw.kl.sum(-1) if draw.kl is not None else (draw.log_qz - draw.log_pz).mean(0)


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


class Embedding(ELBO):
    r"""Evidence lower bound with the noise of PCA, for embedding and visualization,

    .. math:: L = E_{q(z|x)}[\log p(x|z)] - \beta\, KL(q(z|x) \| p(z)), \quad
        p(x_j|z) = N(x_j; \mu_j(z), \sigma^2),

    with one noise variance for all numbers, unless `likelihood` is given, and a low weight of the
    KL term. The default objective fits the noise of each column, which gives higher densities, but
    codes that represent columns with little noise. With equal noise every column counts by its
    variance: codes reconstruct as much of the total variance as they can, and distances between
    codes approximate distances between rows.

    Parameters
    ----------
    beta : float, default=0.2
        Weight of the KL term.
    warmup : float, default=0.0
        As in :class:`ELBO`.
    free_bits : float, default=0.0
        As in :class:`ELBO`.
    n_samples : int, default=1
        As in :class:`ELBO`.
    gradient : {"reparameterization", "score_function"}, default="reparameterization"
        As in :class:`ELBO`.

    References
    ----------
    Kramer (1991), Nonlinear Principal Component Analysis Using Autoassociative Neural Networks.
    Rolinek, Zietlow & Martius (2019), Variational Autoencoders Pursue PCA Directions (by
    Accident), arXiv:1812.06775. Nakagawa et al. (2021), Quantitative Understanding of VAE as a
    Non-linearly Scaled Isometric Embedding, arXiv:2007.15190.

    Examples
    --------
    >>> from skvae import VAETransformer
    >>> VAETransformer(n_components=2, objective="embedding")
    VAETransformer(n_components=2, objective='embedding')
    """

    likelihood = Normal("shared")
    prior = Aggregated(guard=StandardNormal())  # a mixture rotates the units from seed to seed

    def __init__(
        self,
        beta: float = 0.2,
        *,
        warmup: float = 0.0,
        free_bits: float = 0.0,
        n_samples: int = 1,
        gradient: str = "reparameterization",
    ) -> None:
        super().__init__(
            beta, warmup=warmup, free_bits=free_bits, n_samples=n_samples, gradient=gradient
        )


class IWAE(Objective):
    r"""Importance-weighted bound, which is tighter with more draws,

    .. math:: L_K = E\Big[\log \tfrac1K \sum_k w_k\Big], \quad
        w_k = \frac{p(x, z_k)}{q(z_k|x)}, \quad
        \text{ELBO} = L_1 \le L_K \le L_{K+1} \le \log p(x).

    The signal-to-noise ratio of its gradient for the encoder falls with the number of draws. For
    ``Gaussian`` and ``Ladder`` the doubly reparameterized gradient is used, which has the same mean
    and lower variance,

    .. math:: \nabla_\phi L_K = E\Big[\sum_k \tilde w_k^2\,
        \frac{\partial \log w_k}{\partial z_k} \nabla_\phi z_k\Big], \quad
        \tilde w_k = w_k / \textstyle\sum_l w_l.

    Parameters
    ----------
    n_samples : int, default=8
        K, the draws of z for each row and gradient step.

    References
    ----------
    Burda, Grosse & Salakhutdinov (2016), Importance Weighted Autoencoders, arXiv:1509.00519.
    Tucker et al. (2019), Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives,
    arXiv:1810.04152.

    Examples
    --------
    >>> from skvae import IWAE
    >>> IWAE(n_samples=16)
    IWAE(n_samples=16)
    """

    _constraints: ClassVar = {"n_samples": an_int(1)}

    def __init__(self, n_samples: int = 8) -> None:
        self.n_samples = n_samples

    def bound(self, log_px: Tensor, draw: Draw, progress: float) -> Tensor:
        # The gradient of log mean w weights ∂ log w_k by w̃_k. The gradient of the encoder through
        # z_k is weighted by w̃_k once more, with the parameters of log q held fixed.
        log_qz = draw.log_qz if draw.path_log_qz is None else draw.path_log_qz()
        log_w = log_px + draw.log_pz - log_qz
        if draw.z.requires_grad and draw.path_log_qz is not None:
            weight = torch.softmax(log_w.detach(), dim=0).unsqueeze(-1)
            draw.z.register_hook(lambda gradient: gradient * weight)
        return torch.logsumexp(log_w, dim=0) - math.log(len(log_w))


class Trimmed(Objective):
    r"""Objective without the rows that have the lowest bounds, for tables with outliers,

    .. math:: \frac{1}{|S|} \sum_{n \in S} L(x_n), \quad
        S = \{n : L(x_n) \text{ is not among the lowest } \alpha \text{ of the batch}\}.

    Networks learn common rows first and outliers last (the inlier memorization effect), so that
    most of the rows that are left out of each batch are outliers. The rows that are fitted worst
    are not used as exemplars of the aggregated prior either, because an exemplar increases the
    density at its own position.

    Parameters
    ----------
    fraction : float, default=0.1
        :math:`\alpha`, the proportion of the rows that are left out.
    objective : Objective, default=None
        The objective of the other rows. None: ``ELBO()``.

    References
    ----------
    Rousseeuw (1984), Least Median of Squares Regression (trimmed squares). Kim et al. (2023),
    ODIM: Outlier Detection via Likelihood of Under-Fitted Generative Models, arXiv:2301.04257.
    Cho et al. (2024), ALTBI: Constructing Improved Outlier Detection Models via Optimization of
    Inlier-Memorization Effect, arXiv:2408.09791.

    Examples
    --------
    >>> from skvae import Trimmed
    >>> Trimmed(0.05)
    Trimmed(fraction=0.05)
    """

    _constraints: ClassVar = {
        "fraction": a_real("[0, 1)", least=0, below=1),
        "objective": ("None or an ELBO or IWAE object",
                      lambda v: v is None or (isinstance(v, Objective)
                                              and not isinstance(v, Trimmed))),
    }  # fmt: skip

    def __init__(self, fraction: float = 0.1, *, objective: Objective | None = None) -> None:
        self.fraction = fraction
        self.objective = objective

    @property
    def inner(self) -> Objective:
        """The objective of the other rows, with its default resolved."""
        return ELBO() if self.objective is None else self.objective

    @property
    def n_samples(self) -> int:  # type: ignore[override]
        return self.inner.n_samples

    @property
    def detach_z(self) -> bool:  # type: ignore[override]
        return self.inner.detach_z

    @property
    def supports_codes(self) -> bool:  # type: ignore[override]
        return self.inner.supports_codes

    @property
    def supports_vmap(self) -> bool:  # type: ignore[override]
        return self.inner.supports_vmap

    @property
    def warmup(self) -> float:  # type: ignore[override]
        return self.inner.warmup

    @property
    def trim(self) -> float:  # type: ignore[override]
        return self.fraction

    @property
    def likelihood(self) -> Likelihood | None:  # type: ignore[override]
        return self.inner.likelihood

    def bound(self, log_px: Tensor, draw: Draw, progress: float) -> Tensor:
        bound = self.inner.bound(log_px, draw, progress)
        worst_kept = bound.detach().sort().values[int(self.fraction * len(bound))]
        kept = bound.detach() >= worst_kept
        return torch.where(kept, bound, 0.0) / kept.to(bound).mean()

    def with_warmup(self, warmup: float) -> Trimmed:
        if warmup == self.inner.warmup:
            return self
        objective: Trimmed = clone(self)
        return objective.set_params(objective=self.inner.with_warmup(warmup))


OBJECTIVES: dict[str, type[Objective]] = {
    "elbo": ELBO,
    "embedding": Embedding,
    "iwae": IWAE,
    "trimmed": Trimmed,
}
