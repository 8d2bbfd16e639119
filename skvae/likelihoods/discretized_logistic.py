"""An integer, as the mass of its rounding cell."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ._base import LocationScale, Pullback, uniform


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
        return _log_mass(*_edges(x, location, scale))

    def vjp(self, x: Tensor, outputs: Tensor, columns: Any) -> tuple[Tensor, Pullback]:
        location, scale = self.location_scale(outputs, columns)
        below, above, width = _edges(x, location, scale)

        def pullback(weight: Tensor) -> tuple[Tensor, Tensor]:
            per_unit = weight / scale
            left, right = torch.sigmoid(below), torch.sigmoid(-above)
            of_location = (left - right) * per_unit
            of_scale = left.mul_(below) - right.mul_(above) - width / torch.expm1(width)
            return self.slopes(outputs, columns, of_location, of_scale.mul_(per_unit))

        return _log_mass(below, above, width), pullback

    def sample(self, outputs: Tensor, columns: Any, generator: torch.Generator) -> Tensor:
        location, scale = self.location_scale(outputs, columns)
        return location + scale * torch.logit(uniform(location, generator))


def _edges(x: Tensor, location: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lower edge, upper edge and width of the rounding cell, in standard units."""
    lower, width = x.unbind(-1)
    return (lower - location) / scale, (lower + width - location) / scale, width / scale


def _log_mass(below: Tensor, above: Tensor, width: Tensor) -> Tensor:
    # s(a) − s(b) = s(a) s(−b) (1 − e^(b−a)), without cancellation
    return F.logsigmoid(above) + F.logsigmoid(-below) + torch.log(-torch.expm1(-width))
