"""Posteriors by normalizing flows, with the transforms of zuko."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Transform, constraints
from torch.nn import functional as F

from skvae._nn.densities import LOG_2PI, inverse_softplus
from skvae._nn.draw import Draw
from skvae._nn.networks import Linear
from skvae._nn.zuko import autoregressive_flow, zuko_transforms
from skvae._validation import an_int, as_layers, layers, one_of, or_none
from skvae.priors import PriorModule

from ._base import Latent, LatentModule, LinearPosterior
from .gaussian import GaussianModule

N_CONTEXT = 32  # dimensions of the context of a row for the flow
BISECTIONS = 60  # to the precision of float64
IDENTITY = float(inverse_softplus(1.0))


class Flow(Latent):
    r"""Posterior by a conditional normalizing flow f of the base noise,

    .. math:: z = \mu(x) + \sigma(x)\, f(\epsilon; x), \quad \epsilon \sim N(0, I), \quad
        \log q(z|x) = \log N(\epsilon) - \log|\det \partial f / \partial \epsilon|
        - {\textstyle \sum_i \log \sigma_i(x)}.

    It can have dependent dimensions, nonlinear shapes and several modes, unlike the diagonal
    Gaussian. The flow is initialized as the identity, so that the posterior is initially that
    Gaussian. Draws and their log-densities take one evaluation of the flow; the density at other
    codes takes an inversion.

    Parameters
    ----------
    transform : {"affine", "spline", "planar"}, default="affine"
        "affine": inverse autoregressive flow, an affine map of each dimension given the previous
        ones. "spline": the same with rational-quadratic splines, slower. "planar":
        :math:`f(u) = u + \hat a \tanh(w^T u + b)`.
    n_transforms : int or None, default=None
        Number of transforms. Autoregressive transforms reverse the order of the dimensions from
        one to the next. None: 8 for "planar", 2 for the others.
    hidden_layer_sizes : int or tuple of int, default=(64,)
        Hidden layers of the networks of the autoregressive transforms.
    n_bins : int, default=8
        Number of bins of a spline.

    References
    ----------
    Rezende & Mohamed (2015), Variational Inference with Normalizing Flows, arXiv:1505.05770
    (planar). Kingma et al. (2016), Improved Variational Inference with Inverse Autoregressive
    Flow, arXiv:1606.04934. Durkan et al. (2019), Neural Spline Flows, arXiv:1906.04032.

    Examples
    --------
    >>> from skvae.latents import Flow
    >>> Flow("spline", n_transforms=3)
    Flow(n_transforms=3, transform='spline')
    """

    _constraints: ClassVar = {
        "transform": one_of("spline", "affine", "planar"),
        "n_transforms": or_none(an_int(1)),
        "hidden_layer_sizes": layers(),
        "n_bins": an_int(2),
    }

    def __init__(
        self,
        transform: str = "affine",
        *,
        n_transforms: int | None = None,
        hidden_layer_sizes: Any = (64,),
        n_bins: int = 8,
    ) -> None:
        self.transform = transform
        self.n_transforms = n_transforms
        self.hidden_layer_sizes = hidden_layer_sizes
        self.n_bins = n_bins

    def build(self, n_components: int, n_hidden: int, generator: torch.Generator) -> LatentModule:
        sizes = as_layers(self.hidden_layer_sizes)
        base = GaussianModule(n_components, n_hidden, generator)
        n_transforms = self.n_transforms or (8 if self.transform == "planar" else 2)
        if self.transform == "planar":
            planar = Planar(n_components, n_hidden, n_transforms, generator)
            return _FlowPosterior(base, nn.Identity(), planar, 4 * n_components)
        flow = autoregressive_flow(
            self.transform, n_components, n_transforms, sizes, self.n_bins, generator,
            n_context=N_CONTEXT,
        )  # fmt: skip
        context = Linear(n_hidden, N_CONTEXT, generator)
        n_each = 3 * self.n_bins if self.transform == "spline" else 2
        return _FlowPosterior(base, context, flow, n_each * n_components + sum(sizes) + N_CONTEXT)


class _FlowPosterior(LatentModule):
    supports_linearization = True

    def __init__(
        self, base: GaussianModule, context: nn.Module, flow: nn.Module, width: int
    ) -> None:
        super().__init__(base.layers)
        self.base, self.context, self.flow, self.width = base, context, flow, width

    def draw(self, h: Tensor, noise: Tensor, prior: PriorModule) -> Draw:
        mean, log_var = self.base.posterior(h)
        noise = noise.expand(len(noise), *mean.shape)
        u, log_det = self.flow(self.context(h)).call_and_ladj(noise)
        z = mean + torch.exp(0.5 * log_var) * u
        log_qz = -0.5 * (noise.square() + log_var + LOG_2PI).sum(-1) - log_det
        return Draw(z, lambda: prior.log_prob(z), log_qz)

    def log_prob(self, z: Tensor, h: Tensor, prior: PriorModule) -> Tensor:
        mean, log_var = self.base.posterior(h)
        u = (z - mean) * torch.exp(-0.5 * log_var)
        noise, log_det = self.flow(self.context(h)).inv.call_and_ladj(u)
        return log_det - 0.5 * (noise.square() + log_var + LOG_2PI).sum(-1)

    def initialize(self, posterior: LinearPosterior) -> None:
        self.base.initialize(posterior)


class Planar(nn.Module):
    """Planar transforms whose parameters depend on the row, initialized as the identity."""

    def __init__(
        self, n_features: int, n_hidden: int, n_transforms: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.sizes = [n_features, n_features, 1]
        self.n_transforms = n_transforms
        self.head = Linear(n_hidden, n_transforms * sum(self.sizes), generator)
        with torch.no_grad():
            self.head.weight.zero_()
            w = self.head.bias.view(n_transforms, -1)[:, :n_features]
            w.normal_(generator=generator).div_(w.norm(dim=-1, keepdim=True))

    def forward(self, h: Tensor) -> Transform:
        each = self.head(h).unflatten(-1, (self.n_transforms, -1)).unbind(-2)
        transforms = [PlanarTransform(*parameters.split(self.sizes, -1)) for parameters in each]
        return zuko_transforms().ComposedTransform(*transforms)


class PlanarTransform(Transform):
    """The transform f(u) = u + â tanh(wᵀu + b).

    The vector a is changed along w to â with wᵀâ = softplus(wᵀa + const) − 1 > −1, so that f is
    invertible.
    """

    domain = codomain = constraints.real_vector
    bijective = True

    def __init__(self, w: Tensor, a: Tensor, b: Tensor) -> None:
        super().__init__()
        along = (w * a).sum(-1, keepdim=True)
        constrained = F.softplus(along + IDENTITY) - 1
        self.w, self.b = w, b
        self.a = a + (constrained - along) * w / w.square().sum(-1, keepdim=True).clamp(min=1e-12)
        self.gain = constrained  # wᵀâ > −1

    def _call(self, x: Tensor) -> Tensor:
        return x + self.a * torch.tanh(self._along(x) + self.b)

    def _along(self, x: Tensor) -> Tensor:
        return (self.w * x).sum(-1, keepdim=True)

    def _inverse(self, y: Tensor) -> Tensor:
        """The root t of t + wᵀâ tanh(t + b) = wᵀy gives u = y − â tanh(t + b)."""
        goal = self._along(y)
        with torch.no_grad():
            low, high = goal - self.gain.abs(), goal + self.gain.abs()
            for _ in range(BISECTIONS):
                middle = (low + high) / 2
                above = middle + self.gain * torch.tanh(middle + self.b) > goal
                low, high = torch.where(above, low, middle), torch.where(above, middle, high)
            t = (low + high) / 2
            derivative = 1 + self.gain * (1 - torch.tanh(t + self.b).square())
        # One step of Newton's method has the gradient of the root.
        t = t - (t + self.gain * torch.tanh(t + self.b) - goal) / derivative
        return y - self.a * torch.tanh(t + self.b)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        derivative = 1 - torch.tanh(self._along(x) + self.b).square()
        return torch.log1p(self.gain * derivative).squeeze(-1)
