"""The importance-weighted bound."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from skvae._nn.draw import Draw
from skvae._validation import an_int

from ._base import Objective


class IWAE(Objective):
    r"""Importance-weighted bound, which is tighter with more draws,

    .. math:: L_K = E\Bigl[\log \tfrac1K \sum_k w_k\Bigr], \quad
        w_k = \frac{p(x, z_k)}{q(z_k|x)}, \quad
        \text{ELBO} = L_1 \le L_K \le L_{K+1} \le \log p(x).

    The signal-to-noise ratio of its gradient for the encoder falls with the number of draws. For
    ``Gaussian`` and ``Ladder`` the doubly reparameterized gradient is used, which has the same mean
    and lower variance,

    .. math:: \nabla_\phi L_K = E\Bigl[\sum_k \tilde w_k^2\,
        \frac{\partial \log w_k}{\partial z_k} \nabla_\phi z_k\Bigr], \quad
        \tilde w_k = w_k / {\textstyle \sum_l w_l}.

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
