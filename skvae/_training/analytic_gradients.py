r"""The ascent of the bound with the chain rule written out, for the family that is the default.

For a Gaussian posterior, a standard normal prior in training and the evidence lower bound,

.. math:: L = \frac1n \sum_n \Big[\frac1K \sum_k \log p(x_n|z_{nk}) - \beta\, KL_n\Big], \quad
    z_{nk} = \mu_n + \sigma_n \epsilon_{nk},

the slopes of the nets are a dozen products, and small nets are bound by the bookkeeping of
automatic differentiation as much as by these. Likelihoods have theirs in ``vjp``; those that do
not are differentiated. :mod:`skvae._training.stacking` has the general way, and a test holds the
gradients of
both equal.

Shapes are those of one model. Of M stacked models all tensors have a first axis more.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from skvae._model.rows import Rows
from skvae._model.vae import VAE, ColumnGroup
from skvae._nn.networks import Linear, Trunk
from skvae.latents.gaussian import GaussianModule
from skvae.objectives import ELBO, Objective

from .stacking import Stack

Pair = tuple[Tensor, Tensor]  # values and gradient
Pairs = dict[nn.Parameter, Pair]


def has_analytic_gradients(stack: Stack, objective: Objective) -> bool:
    """Whether the models and the objective are of the family that :class:`AnalyticGradients` knows."""
    model = stack.models[0]
    return (
        type(model.latent) is GaussianModule
        and model.prior.is_standard_normal
        and isinstance(objective, ELBO)
        and type(objective).bound is ELBO.bound
        and not (objective.detach_z or objective.free_bits)
        and (len(stack) == 1 or _is_all_written_out(model))
    )


def _is_all_written_out(model: VAE) -> bool:
    return all(map(_has_slopes, model.groups)) and not len(model.inputs.embeddings)


def _has_slopes(group: ColumnGroup) -> bool:
    # What missing cells say hangs on the outputs too.
    return group.likelihood.is_written_out and group.missingness is None


class AnalyticGradients:
    """The ascent for models of one shape.

    Parameters
    ----------
    stack : Stack
    objective : ELBO
    """

    def __init__(self, stack: Stack, objective: ELBO) -> None:
        self.model, self.objective, self.n_models = stack.models[0], objective, len(stack)
        self.pairs = stack.flat.pairs()
        model, latent = self.model, self.model.latent
        assert isinstance(latent, GaussianModule)
        self.encoder = _Net(model.encoder, latent.head, model.inputs.n_outputs, self.pairs)
        self.decoder = _Net(model.decoder, model.head, latent.n_components, self.pairs)
        self.split = latent.split

    def add_gradient(
        self, rows: Rows, noise: Tensor, progress: float, scale: int = 1,
        *, freeze_generative: bool = False,
    ) -> Tensor:  # fmt: skip
        """Add −`scale` times the gradient of the mean bound to that of the parameters.

        Parameters
        ----------
        rows : Rows
            n of each model: those of the first, then of the second …
        noise : Tensor of shape (M, K, n, k)
        freeze_generative : bool
            Whether p(x, z) gets none.

        Returns
        -------
        told : Tensor of shape (M, 3)
            Means of bound, reconstruction and KL, in nats per row and units of the table.
        """
        inputs = self.model.inputs.of_seen(rows.values, rows.codes, rows.missing)
        noise = noise if self.n_models > 1 else noise[0]
        K, n, k = noise.shape[-3:]
        beta = self.objective.weight(progress)
        with torch.no_grad():
            x, rows = self._by_model(inputs), self._of_models(rows)
            raw = self.encoder.forward(x)
            mean, log_var = self.split(raw)
            moved = torch.exp(0.5 * log_var).unsqueeze(-3) * noise
            z = mean.unsqueeze(-3) + moved
            outputs = self.decoder.forward(z.flatten(-3, -2)).unflatten(-2, (K, n))
            log_px, slope = self._slope_of_log_px(
                outputs, rows, -scale / (K * n), freeze_generative
            )
            self.decoder.backward(slope.flatten(-3, -2), hold=freeze_generative)
            slope = self.decoder.of_inputs().unflatten(-2, (K, n))
            # KL = ½ Σ (μ² + σ² − log σ² − 1), and ∂z/∂ log σ² = ½ σ ε
            var = log_var.exp()
            of_mean = slope.sum(-3).add_(mean, alpha=scale * beta / n)
            of_log_var = (slope * moved).sum(-3).add_(var - 1, alpha=scale * beta / n).mul_(0.5)
            of_log_var.masked_fill_(log_var != raw[..., k:], 0.0)  # it is clamped there
            self.encoder.backward(torch.cat([of_mean, of_log_var], dim=-1))
            kl = 0.5 * (mean.square() + var - log_var - 1).sum((-2, -1)) / n
            reconstruction = log_px.mean((-2, -1)) + rows.log_measure.mean(-1).squeeze(-1)
            metrics = torch.stack([reconstruction - beta * kl, reconstruction, kl], dim=-1)
        if inputs.requires_grad:  # embeddings of levels
            inputs.backward(self.encoder.of_inputs())
        return metrics.view(-1, 3)

    def _by_model(self, tensor: Tensor) -> Tensor:
        return tensor.unflatten(0, (self.n_models, -1)) if self.n_models > 1 else tensor

    def _of_models(self, rows: Rows) -> Rows:
        """The rows with an axis for the models, and one that goes along the draws of z."""
        if self.n_models == 1:
            return rows
        fields: list[Any] = [
            None if f is None else self._by_model(f).unsqueeze(1) for f in rows.fields()
        ]
        return Rows(*fields)

    def _slope_of_log_px(
        self, outputs: Tensor, rows: Rows, weight: float, hold: bool
    ) -> tuple[Tensor, Tensor]:
        """log p(x | z), (K, n), and `weight` times its slope in the decoder's outputs."""
        log_px, slopes = outputs.new_zeros(outputs.shape[:-1]), []
        for group, part in self.model.by_group(outputs):
            way = self._by_vjp if _has_slopes(group) else self._by_autograd
            cells, slope = way(group, part, rows, weight, hold)
            log_px += cells.sum(-1)
            slopes.append(slope)
        if not slopes:  # every column is constant
            return log_px, outputs
        return log_px, slopes[0] if len(slopes) == 1 else torch.cat(slopes, dim=-1)

    def _by_vjp(
        self, group: ColumnGroup, outputs: Tensor, rows: Rows, weight: float, hold: bool
    ) -> tuple[Tensor, Tensor]:
        constants, grad = self.pairs[group.constants]
        if self.n_models > 1:
            constants = constants[:, None, None]
        columns = SimpleNamespace(  # the group, with the constants of all models
            constants=constants, resolution=group.resolution, grid=group.grid,
            level_mask=group.level_mask,
        )  # fmt: skip
        x, outputs = group.target(rows), group.split(outputs)
        cells, pullback = group.likelihood.vjp(x, outputs, columns)
        share = outputs.new_full((), weight)
        if rows.missing is not None:
            missing = rows.missing[..., group.columns(self.model.inputs.n_values)]
            share = share.expand(missing.shape).masked_fill(missing, 0.0)
            cells = cells.masked_fill(missing, 0.0)
        of_outputs, of_constants = pullback(share)
        if not hold:
            grad.add_(of_constants.view_as(grad))
        return cells, of_outputs.flatten(-2)

    def _by_autograd(
        self, group: ColumnGroup, outputs: Tensor, rows: Rows, weight: float, hold: bool
    ) -> tuple[Tensor, Tensor]:
        leaf = outputs.detach().requires_grad_()
        wanted = [] if hold else [p for p in group.parameters() if p.numel()]
        with torch.enable_grad():
            cells = group.log_prob(leaf, rows, self.model.inputs.n_values)
            slope, *others = torch.autograd.grad(
                cells, [leaf, *wanted], torch.full_like(cells, weight), allow_unused=True
            )
        for parameter, each in zip(wanted, others, strict=True):
            if each is not None:
                self.pairs[parameter][1].add_(each)
        return cells.detach(), slope


class _Net:
    """A trunk and the affine map that reads it, y = V f(x) + S x + c, forward and back."""

    def __init__(self, trunk: Trunk, head: Linear, n_inputs: int, pairs: Pairs) -> None:
        self.with_derivative = trunk.activation_with_derivative
        layers = [_Affine(pairs[a.weight], pairs[a.bias]) for a in trunk.linear_layers]
        self.skip = None
        weight, of_weight = pairs[head.weight]
        if layers:
            self.skip = _Affine((weight[..., :n_inputs], of_weight[..., :n_inputs]))
            weight, of_weight = weight[..., n_inputs:], of_weight[..., n_inputs:]
        self.layers = [*layers, _Affine((weight, of_weight), pairs[head.bias])]

    def forward(self, x: Tensor) -> Tensor:
        self.read, self.slopes = [x], []  # what each layer reads, and f′ of those before the head
        *hidden, head = self.layers
        for layer in hidden:
            f, slope = self.with_derivative(layer.forward(self.read[-1]))
            self.read.append(f)
            self.slopes.append(slope)
        y = head.forward(self.read[-1])
        return y if self.skip is None else self.skip.forward(x, onto=y)

    def backward(self, slope: Tensor, *, hold: bool = False) -> None:
        """Add the slopes in the parameters, unless on hold, from that in y."""
        self.of_y = self.of_first = slope
        if self.skip is not None and not hold:
            self.skip.add_slopes(slope, self.read[0])
        for i in reversed(range(len(self.layers))):
            if not hold:
                self.layers[i].add_slopes(self.of_first, self.read[i])
            if i:
                of_read = self.layers[i].of_inputs(self.of_first, self.read[i])
                self.of_first = self.slopes[i - 1].mul_(of_read)

    def of_inputs(self) -> Tensor:
        """The slope in x."""
        x = self.read[0]
        slope = self.layers[0].of_inputs(self.of_first, x)
        return slope if self.skip is None else slope + self.skip.of_inputs(self.of_y, x)


class _Affine:
    """y = W x + b; the inputs that x lacks at its end are 0."""

    def __init__(self, weight: Pair, bias: Pair | None = None) -> None:
        self.weight, self.of_weight = weight
        self.bias = bias

    def forward(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """W x, onto the bias or what is there."""
        if onto is None:
            assert self.bias is not None
            onto = self.bias[0].unsqueeze(-2)
        plus_product = torch.addmm if x.dim() == 2 else torch.baddbmm
        return plus_product(onto, x, _read(self.weight, x).mT)

    def add_slopes(self, slope: Tensor, x: Tensor) -> None:
        of_weight = _read(self.of_weight, x)
        if x.dim() == 2:
            of_weight.addmm_(slope.T, x)
        else:  # baddbmm_ would go matrix by matrix: those of the models are not neighbours
            of_weight.add_(slope.mT @ x)
        if self.bias is not None:
            self.bias[1].add_(slope.sum(-2))

    def of_inputs(self, slope: Tensor, x: Tensor) -> Tensor:
        return slope @ _read(self.weight, x)


def _read(weight: Tensor, x: Tensor) -> Tensor:
    """The columns that x goes through."""
    n = x.shape[-1]
    return weight if weight.shape[-1] == n else weight[..., :n]
