"""The discretized logistic likelihood of integers."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ._base import Columns, LocationScale, uniform


class DiscretizedLogistic(LocationScale):
    r"""Probability mass of an integer: a logistic density summed over its rounding cell,

    .. math:: P(x_j = k|z) = s((k^+ - \mu_j(z))/\sigma_j(z)) - s((k^- - \mu_j(z))/\sigma_j(z)),

    where :math:`s` is the logistic function and :math:`k^\pm` are the scaled images of k ± ½. The
    masses of all integers sum to one under any scaling of the column.

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
    resolution_factor, min_scale = 0.05, 1e-4
    unit_std = math.pi / math.sqrt(3)

    def __init__(self, scale: str | float = "conditional") -> None:
        self.scale = scale

    def log_prob(self, x: Tensor, outputs: Tensor, columns: Columns) -> Tensor:
        location, scale = self.location_scale(outputs, columns)
        return log_mass(*standardized_edges(x, location, scale))

    def sample(self, outputs: Tensor, columns: Columns, generator: torch.Generator) -> Tensor:
        location, scale = self.location_scale(outputs, columns)
        return location + scale * torch.logit(uniform(location, generator))


def standardized_edges(x: Tensor, location: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lower edge, upper edge and width of the rounding cell, in standard units."""
    lower, width = x.unbind(-1)
    return (lower - location) / scale, (lower + width - location) / scale, width / scale


def log_mass(below: Tensor, above: Tensor, width: Tensor) -> Tensor:
    """Logarithm of the mass of a standard logistic distribution between two edges."""
    # s(a) − s(b) = s(a) s(−b) (1 − e^(b−a)), without cancellation
    return F.logsigmoid(above) + F.logsigmoid(-below) + torch.log(-torch.expm1(-width))
