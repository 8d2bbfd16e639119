"""Several stochastic layers: the ladder variational autoencoder."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from skvae._nn.densities import log_normal
from skvae._nn.draw import Draw
from skvae._nn.networks import Linear
from skvae._nn.noise import normal
from skvae._validation import a_bool, a_real, as_layers, is_int, layers, or_none
from skvae.priors import PriorModule

from ._base import Latent, LatentModule, LinearPosterior
from .gaussian import MAX_LOG_VAR, MIN_LOG_VAR

LINK = 0.7  # initial correlation of a unit with the corresponding unit of the layer above
MAX_LOG_PRECISION = 20.0
UNOBSERVED = 3.0  # minus the initial log-precision of a row without observed values


class Ladder(Latent):
    r"""Several stochastic layers, with a posterior that uses the generative model.

    .. math:: p(x, z) = p(x|z_1)\, p(z_1|z_2) \cdots p(z_{L-1}|z_L)\, p(z_L)

    A deterministic bottom-up pass computes the encoder outputs
    :math:`(\hat\mu_i, \hat\sigma_i)` of each layer. In the stochastic top-down pass they are
    combined with the conditional prior :math:`(\mu_i, \sigma_i)` given the layer above, weighted by
    precision,

    .. math:: q(z_i | z_{i+1}, x) = N\Bigl(\frac{\hat\mu_i \hat\sigma_i^{-2} + \mu_i
        \sigma_i^{-2}}{\hat\sigma_i^{-2} + \sigma_i^{-2}},\;
        \frac{1}{\hat\sigma_i^{-2} + \sigma_i^{-2}}\Bigr).

    The closed-form initialization has the same likelihood as with one layer, and uses all layers.

    Parameters
    ----------
    layers : tuple of int or None, default=None
        Sizes of the layers, from the input of the decoder upwards. None: two layers, the lower one
        with two thirds of `n_components`, or one layer if there is one component. If
        `n_components` is None too, the lower layer has the size of the other families.
    hidden_layer_sizes : int or tuple of int, default=(64,)
        Hidden layers of the networks between two stochastic layers, in both directions.
    normalization : bool, default=True
        Layer normalization in these networks. It replaces the batch normalization of the paper, so
        that the results for a row do not depend on other rows.
    warmup : float, default=0.2
        Proportion of the training over which the weight of the KL term rises from 0, if the
        objective is given by name. Objective objects have their own parameter.
    output_layers : tuple of int or None, default=None
        Layers that ``transform`` returns, counted from 1, the lowest. None: all. In
        ``inverse_transform`` the other layers are set to their conditional means given the layer
        above.

    References
    ----------
    Sønderby et al. (2016), Ladder Variational Autoencoders, arXiv:1602.02282. Ba, Kiros & Hinton
    (2016), Layer Normalization, arXiv:1607.06450.

    Examples
    --------
    >>> from skvae.latents import Ladder
    >>> Ladder(layers=(8, 4))
    Ladder(layers=(8, 4))
    """

    _constraints: ClassVar = {
        "layers": or_none((
            "a tuple of ints in the range [1, inf)",
            lambda v: isinstance(v, (tuple, list)) and len(v) > 0
            and all(is_int(size, least=1) for size in v),
        )),
        "hidden_layer_sizes": layers(),
        "normalization": a_bool(),
        "warmup": a_real("[0, 1]", least=0, most=1),
        "output_layers": or_none((
            "a tuple of different ints in the range [1, inf)",
            lambda v: isinstance(v, (tuple, list)) and len(v) > 0
            and all(is_int(layer, least=1) for layer in v) and len(set(v)) == len(v),
        )),
    }  # fmt: skip

    def __init__(
        self,
        layers: Any = None,
        *,
        hidden_layer_sizes: Any = (64,),
        normalization: bool = True,
        warmup: float = 0.2,
        output_layers: Any = None,
    ) -> None:
        self.layers = layers
        self.hidden_layer_sizes = hidden_layer_sizes
        self.normalization = normalization
        self.warmup = warmup
        self.output_layers = output_layers

    def size(self, n_components: int | None, default: int) -> int:
        if self.layers is None:
            return default + default // 2 if n_components is None else n_components
        total = sum(self.layers)
        if n_components not in (None, total):
            raise ValueError(
                f"n_components={n_components}, but {self!r} has {total} units. Leave "
                f"n_components=None, or give layers that add up to {n_components}."
            )
        return total

    def sizes(self, candidates: Sequence[int]) -> list[int]:
        if self.layers is not None:
            return [sum(self.layers)]
        least = 2 if max(self.output_layers or (1,)) > 1 else 1  # one component is one layer
        return [k for k in candidates if k >= least] or [least]

    def build(self, n_components: int, n_hidden: int, generator: torch.Generator) -> LatentModule:
        n_above = n_components // 3 if n_components > 2 else n_components - 1
        sizes = self.layers or tuple(n for n in (n_components - n_above, n_above) if n)
        widths = as_layers(self.hidden_layer_sizes)
        module = _LadderModule(sizes, n_hidden, widths, self.normalization, generator)
        if self.output_layers is not None:
            if max(self.output_layers) > len(sizes):
                raise ValueError(
                    f"output_layers={self.output_layers!r} of Ladder names layer "
                    f"{max(self.output_layers)}, but there are {len(sizes)}: {sizes}."
                )
            parts = [range(n_components)[module.slices()[n - 1]] for n in self.output_layers]
            module.shown = [column for part in parts for column in part]
        return module


class _LadderModule(LatentModule):
    n_moment_draws = 1
    supports_shared_codes = True
    supports_vmap = True

    def __init__(
        self,
        sizes: Sequence[int],
        n_hidden: int,
        widths: Sequence[int],
        normalization: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__(sizes)
        shape = (widths, normalization, generator)
        n_inputs = [n_hidden] + [n_hidden + (widths[-1] if widths else 0)] * (len(sizes) - 1)
        self.up = nn.ModuleList(Deterministic(n, *shape) for n in n_inputs[:-1])
        self.heads = nn.ModuleList(
            Linear(n, 2 * size, generator) for n, size in zip(n_inputs, sizes, strict=True)
        )
        self.down = nn.ModuleList(
            ConditionalLayer(above, below, *shape) for below, above in pairwise(sizes)
        )
        self.width = max(sum(widths), *sizes)

    def encoder_outputs(self, h: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Mean and log-precision of each layer from the encoder; of the top layer log-variance."""
        d, found = h, []
        for i, head in enumerate(self.heads):
            if i:
                d = self.up[i - 1](d, h)
            mean, log_precision = head(d).chunk(2, dim=-1)
            found.append((mean, log_precision.clamp(-MAX_LOG_PRECISION, MAX_LOG_PRECISION)))
        mean, log_var = found[-1]
        found[-1] = mean, log_var.clamp(MIN_LOG_VAR, MAX_LOG_VAR)
        return found

    def draw(self, h: Tensor, noise: Tensor, prior: PriorModule) -> Draw:
        encoded, columns = self.encoder_outputs(h), self.slices()
        mean, log_var = encoded[-1]
        zs = [mean + torch.exp(0.5 * log_var) * noise[..., columns[-1]]]
        kl = prior.kl(mean, log_var)
        if kl is None:
            # The KL has no terms for each unit: it is divided evenly among them.
            log_qz = log_normal(zs[0], mean, log_var).sum(-1)
            kl = (log_qz - prior.log_prob(zs[0])).mean(0).unsqueeze(-1)
            kl = (kl / self.layers[-1]).expand(-1, self.layers[-1])
        kls = [kl]
        for i in reversed(range(len(self.down))):
            expected = self.down[i](zs[0])
            mean, log_var = merged(encoded[i], expected)
            zs.insert(0, mean + torch.exp(0.5 * log_var) * noise[..., columns[i]])
            kls.insert(0, normal_kl(mean, log_var, *expected).mean(0))
        z = torch.cat(zs, dim=-1)

        def path_log_qz() -> Tensor:
            fixed = {name: parameter.detach() for name, parameter in self.named_parameters()}
            return functional_call(self, fixed, (z, h.detach(), prior))

        return Draw(
            z,
            log_pz=lambda: self.log_pz(z, prior),
            log_qz=lambda: self.log_prob(z, h, prior),
            kl=torch.cat(kls, dim=-1),
            path_log_qz=path_log_qz,
        )

    def log_prob(self, z: Tensor, h: Tensor, prior: PriorModule) -> Tensor:
        encoded, parts = self.encoder_outputs(h), self.parts(z)
        total = log_normal(parts[-1], *encoded[-1]).sum(-1)
        for i, down in enumerate(self.down):
            expected = down(parts[i + 1])
            total = total + log_normal(parts[i], *merged(encoded[i], expected)).sum(-1)
        return total

    forward = log_prob  # called by functional_call

    def log_pz(self, z: Tensor, prior: PriorModule) -> Tensor:
        parts = self.parts(z)
        total = prior.log_prob(parts[-1])
        for i, down in enumerate(self.down):
            total = total + log_normal(parts[i], *down(parts[i + 1])).sum(-1)
        return total

    def generative_parameters(self) -> list[nn.Parameter]:
        return list(self.down.parameters())

    def parts(self, z: Tensor) -> list[Tensor]:
        """z layer by layer."""
        return list(z.split(self.layers, dim=-1))

    def moments(self, h: Tensor, prior: PriorModule) -> tuple[Tensor, Tensor]:
        """Conditional moments of each layer given the mean of the layer above."""
        encoded = self.encoder_outputs(h)
        found = [encoded[-1]]
        for i in reversed(range(len(self.down))):
            found.insert(0, merged(encoded[i], self.down[i](found[0][0])))
        means, log_vars = zip(*found, strict=True)
        return torch.cat(means, -1), torch.cat(log_vars, -1)

    def sample(self, n_samples: int, prior: PriorModule, generator: torch.Generator) -> Tensor:
        zs = [prior.sample(n_samples, generator)]
        for down in reversed(self.down):
            mean, log_var = down(zs[0])
            noise = normal(mean.shape, generator, mean)
            zs.insert(0, mean + torch.exp(0.5 * log_var) * noise)
        return torch.cat(zs, -1)

    def fill(self, z: Tensor, layers: Collection[int]) -> Tensor:
        parts = self.parts(z)
        for i in reversed(range(len(self.down))):
            if i in layers:
                parts[i] = self.down[i](parts[i + 1])[0]
        return torch.cat(parts, -1)

    @torch.no_grad()
    def initialize(self, posterior: LinearPosterior) -> None:
        """Give each unit the correlation LINK with the corresponding unit of the layer above.

        The priors of all layers are then standard normal, the lowest layer has the given
        posterior, and the posterior of each higher layer follows from that of the layer below.
        """
        weight, bias, var = posterior.weight, posterior.bias, posterior.log_var.exp()
        proportion = posterior.missing / posterior.missing.sum(1, keepdim=True).clamp(min=1e-12)
        for i, (head, size) in enumerate(zip(self.heads, self.layers, strict=True)):
            assert isinstance(head, Linear)
            if i:
                down, n_linked = self.down[i - 1], min(size, len(bias))
                assert isinstance(down, ConditionalLayer)
                down.initialize(n_linked)
                weight = _rows(LINK * weight, n_linked, size)
                bias = _rows(LINK * bias, n_linked, size)
                var = 1 - _rows(LINK**2 * (1 - var), n_linked, size)
                proportion = _rows(proportion, n_linked, size)
            if i + 1 < len(self.layers):  # N(0, 1) times the encoder's density is N(bias, var)
                known = (1 - var).clamp(min=1e-6)
                log_precision = (known / var).log()
                start = weight / known[:, None], bias / known, log_precision
                missing = -proportion * (log_precision + UNOBSERVED)[:, None]
            else:
                start = weight, bias, var.log()
                missing = -proportion * var.log()[:, None]
            head.weight.zero_()
            head.weight[:size, : weight.shape[1]] = start[0]
            head.weight[size:, : weight.shape[1]] = missing
            head.bias.copy_(torch.cat(start[1:]))


def _rows(x: Tensor, n: int, size: int) -> Tensor:
    """The first n rows of x, and rows of zeros up to `size`."""
    return torch.cat([x[:n], x.new_zeros(size - n, *x.shape[1:])])


def merged(
    encoded: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of the normalized product of two normal densities."""
    (mean, log_precision), (prior_mean, prior_log_var) = encoded, expected
    log_total = torch.logaddexp(log_precision, -prior_log_var)
    weight = torch.exp(log_precision - log_total)
    return prior_mean + weight * (mean - prior_mean), -log_total


def normal_kl(mean: Tensor, log_var: Tensor, prior_mean: Tensor, prior_log_var: Tensor) -> Tensor:
    """KL(N(mean, exp(log_var)) ‖ N(prior_mean, exp(prior_log_var))) of each dimension."""
    ratio = log_var - prior_log_var
    return 0.5 * ((mean - prior_mean).square() * (-prior_log_var).exp() + ratio.exp() - ratio - 1)


class Deterministic(nn.Module):
    """Deterministic hidden layers with a skip connection: (skip, f(d))."""

    def __init__(
        self, n_inputs: int, widths: Sequence[int], normalization: bool, generator: torch.Generator
    ) -> None:
        super().__init__()
        sizes = [n_inputs, *widths]
        self.layers = nn.Sequential()
        for n_in, n_out in pairwise(sizes):
            self.layers.append(Linear(n_in, n_out, generator))
            if normalization:
                self.layers.append(nn.LayerNorm(n_out))
            self.layers.append(nn.SiLU())

    def forward(self, d: Tensor, skip: Tensor) -> Tensor:
        return torch.cat([skip, self.layers(d)], -1) if len(self.layers) else skip


class ConditionalLayer(nn.Module):
    """p(z_i | z_{i+1}): mean and log-variance as functions of the layer above."""

    def __init__(
        self,
        n_above: int,
        n_below: int,
        widths: Sequence[int],
        normalization: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.hidden = Deterministic(n_above, widths, normalization, generator)
        n_outputs = n_above + (widths[-1] if widths else 0)
        self.head = Linear(n_outputs, 2 * n_below, generator)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.head(self.hidden(z, z)).chunk(2, dim=-1)
        return mean, log_var.clamp(MIN_LOG_VAR, MAX_LOG_VAR)

    def initialize(self, n_linked: int) -> None:
        """z_i = LINK · z_{i+1} + noise, so that both are standard normal."""
        n_below = len(self.head.bias) // 2
        self.head.weight.zero_()
        self.head.bias.zero_()
        self.head.weight[:n_linked, :n_linked].fill_diagonal_(LINK)
        self.head.bias[n_below : n_below + n_linked] = math.log(1 - LINK**2)
