"""A normalizing flow as prior, with the transforms of zuko."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from skvae._nn.densities import LOG_2PI
from skvae._nn.noise import normal
from skvae._nn.zuko import autoregressive_flow
from skvae._validation import an_int, as_layers, layers

from ._base import Prior, PriorModule


class FlowPrior(Prior):
    r"""Neural spline flow, learned with the model,

    .. math:: p(z) = N(f(z); 0, I)\, |\det \partial f / \partial z|,

    where f consists of autoregressive rational-quadratic splines. It is initialized as the
    identity, so that p(z) is initially the standard normal.

    Parameters
    ----------
    n_transforms : int, default=2
        Number of splines; the order of the dimensions is reversed from one to the next.
    hidden_layer_sizes : tuple of int, default=(64, 64)
        Hidden layers of the networks that compute the parameters of the splines.
    n_bins : int, default=8
        Number of bins of a spline.

    References
    ----------
    Durkan et al. (2019), Neural Spline Flows, arXiv:1906.04032. Chen et al. (2017), Variational
    Lossy Autoencoder, arXiv:1611.02731 (a flow as the prior).

    Examples
    --------
    >>> from skvae.priors import FlowPrior
    >>> FlowPrior(n_transforms=3)
    FlowPrior(n_transforms=3)
    """

    _constraints: ClassVar = {
        "n_transforms": an_int(1),
        "hidden_layer_sizes": layers(),
        "n_bins": an_int(2),
    }

    def __init__(
        self,
        n_transforms: int = 2,
        *,
        hidden_layer_sizes: Any = (64, 64),
        n_bins: int = 8,
    ) -> None:
        self.n_transforms = n_transforms
        self.hidden_layer_sizes = hidden_layer_sizes
        self.n_bins = n_bins

    def build(self, n_components: int, generator: torch.Generator) -> PriorModule:
        sizes = as_layers(self.hidden_layer_sizes)
        flow = autoregressive_flow(
            "spline", n_components, self.n_transforms, sizes, self.n_bins, generator
        )
        return _FlowPriorModule(flow, n_components, 3 * self.n_bins * n_components + sum(sizes))


class _FlowPriorModule(PriorModule):
    def __init__(self, transform: torch.nn.Module, n_components: int, width: int) -> None:
        super().__init__()
        self.transform, self.n_components, self.width = transform, n_components, width

    def log_prob(self, z: Tensor) -> Tensor:
        u, log_determinant = self.transform().call_and_ladj(z)
        return log_determinant - 0.5 * (u.square() + LOG_2PI).sum(-1)

    def sample(self, n_samples: int, generator: torch.Generator) -> Tensor:
        noise = normal((n_samples, self.n_components), generator, next(self.parameters()))
        return self.transform().inv(noise)
