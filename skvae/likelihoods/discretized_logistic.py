"""An integer, as the mass of its rounding cell."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ._base import LocationScale, uniform


class DiscretizedLogistic(LocationScale):
    r"""Probability mass of an integer: a logistic density summed over its rounding cell,

    .. math:: P(x_j = k|z) = s((k^+ - \mu_j(z))/\sigma_j(z)) - s((k^- - \mu_j(z))/\sigma_j(z)),

    with :math:`s` the logistic function and :math:`k^\pm` the scaled images of k ± ½. It sums to
    one over the integers, whatever the scaling of the column.

    Parameters
    ----------
    scale : {"conditional", "column", "shared"} or float, default="conditional"
        :math:`\sigma`, as in :class:`Normal`; the standard deviation is 1.81 times as large.

    References
    ----------
    Kingma et al. (2016), Improved Variational Inference with Inverse Autoregressive Flow,
    arXiv:1606.04934. Salimans et al. (2017), PixelCNN++, arXiv:1701.05517.

    Examples
    --------
    >>> from skvae import DiscretizedLogistic
    >>> DiscretizedLogistic().is_mass
    True
    """

    target = "interval"
    is_mass = True
    resolution_share, min_scale = 0.05, 1e-4
    unit_std = math.pi / math.sqrt(3)

    def __init__(self, scale: str | float = "conditional") -> None:
        self.scale = scale

    def log_prob(self, x: Tensor, outputs: Tensor, columns: Any) -> Tensor:
        location, scale = self.location_scale(outputs, columns)
        lower, width = x.unbind(-1)
        below, above = (lower - location) / scale, (lower + width - location) / scale
        # s(a) − s(b) = s(a) s(−b) (1 − e^(b−a)), without cancellation
        log_width = torch.log(-torch.expm1(-width / scale))
        return F.logsigmoid(above) + F.logsigmoid(-below) + log_width

    def sample(self, outputs: Tensor, columns: Any, generator: torch.Generator) -> Tensor:
        location, scale = self.location_scale(outputs, columns)
        return location + scale * torch.logit(uniform(location, generator))
