"""Objectives: log-densities → a bound on log p(x) for each row.

To add one: write one class, put it into :data:`OBJECTIVES`, and add a row to
``tests/components.py``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from ._component import Component
from ._nn.draw import Draw
from ._validation import a_real, an_int, one_of
from .likelihoods import Likelihood, Normal

__all__ = ["ELBO", "IWAE", "Embedding", "Objective", "Trimmed"]


class Objective(ABC, Component):
    """What training maximises."""

    n_samples: int  # draws of z for each row and step
    detach_z: bool = False  # whether no gradient may flow through z
    supports_codes: bool = False  # whether z may stand for integers
    supports_vmap: bool = False  # whether `bound` is a plain function of tensors, for vmap
    warmup: float = 0.0  # share of the training after which the objective is what it is to be
    trim: float = 0.0  # share of the rows, those with the lowest bounds, that do not count
    likelihood: Likelihood | None = None  # what likelihood="auto" stands for, if of its own

    def with_warmup(self, warmup):
        if hasattr(self, "beta"):
            self.warmup = warmup
        return self

    @abstractmethod
    def bound(self, log_px: Tensor, draw: Draw, progress: float) -> Tensor:
        """The bound of each row, shape (n_rows,).

        Parameters
        ----------
        log_px : Tensor of shape (n_samples, n_rows)
            log p(x | z).
        draw : Draw
            z with its log-densities.
        progress : float
            Share of the training done, in [0, 1]; 1 asks for the objective without warm-up.
        """


def divergence(draw: Draw) -> Tensor:
    """KL(q(z | x) ‖ p(z)) of each row: in closed form where known, else over the draws."""
    return draw.kl.sum(-1) if draw.kl is not None else (draw.log_qz - draw.log_pz).mean(0)


def score_function(signal: Tensor, log_qz: Tensor) -> Tensor:
    r"""Nothing, with the gradient :math:`\text{signal} \cdot \nabla_\phi \log q(z|x)`."""
    return signal.detach() * (log_qz - log_qz.detach())


def left_out_mean(signal: Tensor) -> Tensor:
    """The mean of the others, (n_samples, n_rows): other draws, or with one draw other rows.

    It knows nothing of the draw it stands beside, so as a baseline it leaves the mean alone.
    """
    dim = 0 if signal.shape[0] > 1 else 1
    n = signal.shape[dim]
    return (signal.sum(dim, keepdim=True) - signal) / max(n - 1, 1)


class ELBO(Objective):
    r"""Evidence lower bound,

    .. math:: L = E_{q(z|x)}[\log p(x|z)] - \beta\, KL(q(z|x) \| p(z)) \le \log p(x)
        \text{ for } \beta \ge 1.

    Parameters
    ----------
    beta : float, default=1.0
        Weight of the KL term. Above 1 the code is pressed to be simple (β-VAE), below 1
        reconstruction comes first.
    warmup : float, default=0.0
        Share of the training, in [0, 1], over which the weight rises linearly from 0 to `beta`.
    free_bits : float, default=0.0
        Nats of KL that every latent dimension may have for free: training counts no less, so
        that no dimension is pressed to say nothing. Counted by the mean over the batch; with a
        prior that ties the dimensions together, for their sum.
    n_samples : int, default=1
        Draws of z for each row and step.
    gradient : {"reparameterization", "score_function"}, default="reparameterization"
        How the encoder learns. "reparameterization" differentiates through z. "score_function"
        (REINFORCE) holds z fixed and weighs
        :math:`\nabla_\phi \log q(z|x)` by the bound of the draw less a baseline, the mean of
        the row's other draws, or with one draw of the other rows in the batch: unbiased too. With
        one draw it is far noisier; with several the baseline makes up for it where q is near the
        posterior. For integer codes it is the one without bias.

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
            return self._held_bound(log_px, draw, beta)
        return log_px.mean(0) - beta * self._divergence(draw)

    def weight(self, progress: float) -> float:
        """Of the KL term, at a share of the training."""
        return self.beta * min(1.0, progress / self.warmup) if self.warmup > 0 else self.beta

    def _held_bound(self, log_px: Tensor, draw: Draw, beta: float) -> Tensor:
        """The bound of draws with z held fixed, with the score function's gradient."""
        rate = draw.log_qz.detach() - draw.log_pz
        if self.free_bits:
            rate = torch.where(rate.mean() > self._free(draw), rate, self._free(draw))
        each = log_px - beta * rate
        signal = each.detach()
        return (each + score_function(signal - left_out_mean(signal), draw.log_qz)).mean(0)

    def _free(self, draw: Draw) -> float:
        return self.free_bits * draw.z.shape[-1]

    def _divergence(self, draw: Draw) -> Tensor:
        if self.free_bits == 0:
            return divergence(draw)
        each = draw.kl if draw.kl is not None else divergence(draw).unsqueeze(-1)
        return each.mean(0).clamp(min=self._free(draw) / each.shape[-1]).sum()


class Embedding(ELBO):
    r"""The bound of a nonlinear PCA, for codes to look at and to compute with,

    .. math:: L = E_{q(z|x)}[\log p(x|z)] - \beta\, KL(q(z|x) \| p(z)), \quad
        p(x_j|z) = N(x_j; \mu_j(z), \sigma^2),

    with one noise for all numbers, unless `likelihood` says otherwise, and a low weight of the KL.
    The default objective is to nonlinear factor analysis what this is to PCA: a density is served
    best by noise that fits each column, and spends the code on columns that can be told exactly;
    with one noise every column counts by its variance, so that k numbers give back as much of the
    table as they can, and distances between codes are distances between rows. The density is
    there too, but lower.

    Parameters
    ----------
    beta : float, default=0.2
        Weight of the KL term.
    warmup : float, default=0.0
    free_bits : float, default=0.0
    n_samples : int, default=1
    gradient : {"reparameterization", "score_function"}, default="reparameterization"
        As of :class:`ELBO`.

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
    r"""Importance-weighted bound, tighter with every draw,

    .. math:: L_K = E\Big[\log \tfrac1K \sum_k w_k\Big], \quad
        w_k = \frac{p(x, z_k)}{q(z_k|x)}, \quad
        \text{ELBO} = L_1 \le L_K \le L_{K+1} \le \log p(x).

    The plain gradient of the encoder is more noise than signal for many draws. For ``Gaussian``
    and ``Ladder`` it is replaced by the doubly reparameterised one, which has the same mean,

    .. math:: \nabla_\phi L_K = E\Big[\sum_k \tilde w_k^2\,
        \frac{\partial \log w_k}{\partial z_k} \nabla_\phi z_k\Big], \quad
        \tilde w_k = w_k / \textstyle\sum_l w_l.

    Parameters
    ----------
    n_samples : int, default=8
        K, the draws of z for each row and step.

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
        # The gradient of log mean w weighs ∂ log w_k by w̃_k; what flows on to the encoder
        # through z_k is weighed by w̃_k once more, and its parameters in log q stand still.
        log_qz = draw.log_qz if draw.path_log_qz is None else draw.path_log_qz()
        log_w = log_px + draw.log_pz - log_qz
        if draw.z.requires_grad and draw.path_log_qz is not None:
            share = torch.softmax(log_w.detach(), dim=0).unsqueeze(-1)
            draw.z.register_hook(lambda gradient: gradient * share)
        return torch.logsumexp(log_w, dim=0) - math.log(len(log_w))


class Trimmed(Objective):
    r"""Another objective without the rows that it fits worst, for tables with outliers in them,

    .. math:: \frac{1}{|S|} \sum_{n \in S} L(x_n), \quad
        S = \{n : L(x_n) \text{ is not among the lowest } \alpha \text{ of the batch}\}.

    A net learns the common rows first, and the odd ones last (the inlier-memorisation effect):
    what is left out of each batch are mostly these. Nor are they among the exemplars of the
    aggregated prior, where they would vouch for themselves.

    Parameters
    ----------
    fraction : float, default=0.1
        :math:`\alpha`, the share of the rows to leave out.
    objective : Objective, default=None
        What the other rows are trained on. None: ``ELBO()``.

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


OBJECTIVES: dict[str, type[Objective]] = {
    "elbo": ELBO,
    "embedding": Embedding,
    "iwae": IWAE,
    "trimmed": Trimmed,
}
