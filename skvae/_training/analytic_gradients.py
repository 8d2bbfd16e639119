r"""The gradient of the evidence lower bound by hand-written derivatives, for the default family.

For a Gaussian posterior, a standard normal or mixture prior during training and the evidence lower
bound,

.. math:: L = \frac1n \sum_n \Bigl[\frac1K \sum_k \log p(x_n|z_{nk}) - \beta\, KL_n\Bigr], \quad
    z_{nk} = \mu_n + \sigma_n \epsilon_{nk},

the gradients of the networks are about a dozen matrix products, and for small networks the overhead
of autograd takes as long as the products. The derivatives of the likelihoods are in
:mod:`skvae._training.likelihood_gradients`, those of the priors in
:mod:`skvae._training.prior_gradients`; likelihoods without an entry there are differentiated by
autograd. :mod:`skvae._training.stacking` computes the same gradients by autograd for every
model, and a test compares both.

Shapes are those of one model. For M stacked models all tensors have a leading axis of size M.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from skvae._model.rows import Rows
from skvae._model.vae import VAE, ColumnGroup
from skvae._nn.networks import Linear, Trunk
from skvae.latents.gaussian import GaussianModule
from skvae.objectives import ELBO, Embedding, Objective

from .likelihood_gradients import has_likelihood_gradient, log_prob_and_pullback
from .prior_gradients import Pairs, Posterior, has_prior_gradient, prior_gradient
from .stacking import Stack

Pair = tuple[Tensor, Tensor]  # values and gradient


def _silu(a: Tensor) -> Pair:
    s = torch.sigmoid(a)
    f = a.mul_(s)
    return f, s.addcmul_(f, s, value=-1).add_(f)  # f′ = s + f (1 − s)


def _gelu(a: Tensor) -> Pair:
    below = 0.5 * (1 + torch.erf(a / math.sqrt(2)))  # Φ(a)
    density = torch.exp(-0.5 * a.square()) / math.sqrt(2 * math.pi)
    return a * below, below + a * density


def _relu(a: Tensor) -> Pair:
    return a.relu_(), (a > 0).to(a.dtype)


def _tanh(a: Tensor) -> Pair:
    f = a.tanh_()
    return f, 1 - f.square()


def _logistic(a: Tensor) -> Pair:
    f = a.sigmoid_()
    return f, f * (1 - f)


def _elu(a: Tensor) -> Pair:
    f = F.elu_(a)
    return f, torch.where(f > 0, 1.0, f + 1)


# f(a) and f′(a) of each activation; the argument may be overwritten.
ACTIVATION_DERIVATIVES: dict[str, Callable[[Tensor], Pair]] = {
    "identity": lambda a: (a, torch.ones_like(a)),
    "relu": _relu,
    "tanh": _tanh,
    "logistic": _logistic,
    "silu": _silu,
    "gelu": _gelu,
    "elu": _elu,
}


def has_analytic_gradients(stack: Stack, objective: Objective) -> bool:
    """Whether :class:`AnalyticGradients` supports the models and the objective."""
    model = stack.models[0]
    return (
        type(model.latent) is GaussianModule
        and has_prior_gradient(model.prior)
        and type(objective) in (ELBO, Embedding)  # subclasses may have bounds of their own
        and not (objective.detach_z or objective.free_bits)
        and model.encoder.activation in ACTIVATION_DERIVATIVES
        and (len(stack) == 1 or _is_fully_analytic(model))
    )


def _is_fully_analytic(model: VAE) -> bool:
    return all(map(_is_analytic, model.groups)) and not len(model.inputs.embeddings)


def _is_analytic(group: ColumnGroup) -> bool:
    # A model of missing values has the outputs of the decoder as inputs, too.
    return group.missingness is None and has_likelihood_gradient(group.likelihood)


class AnalyticGradients:
    """The gradients of models of one shape.

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
        self.encoder = _Network(model.encoder, latent.head, model.inputs.n_outputs, self.pairs)
        self.decoder = _Network(model.decoder, model.head, latent.n_components, self.pairs)
        self.prior = prior_gradient(model.prior, self.pairs)
        self.split = latent.split

    def add_gradient(
        self, rows: Rows, noise: Tensor, progress: float, scale: int = 1,
        *, freeze_generative: bool = False,
    ) -> Tensor:  # fmt: skip
        """Add −`scale` times the gradient of the mean bound to the gradient of the parameters.

        Parameters
        ----------
        rows : Rows
            n rows for each model: those of the first model, then of the second, and so on.
        noise : Tensor of shape (M, K, n, k)
        progress : float
            Proportion of the training that is done.
        scale : int, default=1
        freeze_generative : bool, default=False
            Whether the gradient of the parameters of p(x, z) is left out.

        Returns
        -------
        metrics : Tensor of shape (M, 3)
            Means of bound, reconstruction and KL, in nats per row and units of the table.
        """
        inputs = self.model.inputs.observed(rows.values, rows.codes, rows.missing)
        noise = noise if self.n_models > 1 else noise[0]
        K, n, k = noise.shape[-3:]
        beta = self.objective.weight(progress)
        with torch.no_grad():
            x, rows = self._by_model(inputs), self._rows_by_model(rows)
            raw = self.encoder.forward(x)
            mean, log_var = self.split(raw)
            deviation = torch.exp(0.5 * log_var).unsqueeze(-3) * noise
            z = mean.unsqueeze(-3) + deviation
            outputs = self.decoder.forward(z.flatten(-3, -2)).unflatten(-2, (K, n))
            log_px, grad_outputs = self._log_px(outputs, rows, -scale / (K * n), freeze_generative)
            self.decoder.backward(grad_outputs.flatten(-3, -2), freeze=freeze_generative)
            grad_z = self.decoder.grad_inputs().unflatten(-2, (K, n))
            q = Posterior(mean, log_var, noise, z)
            divergence = self.prior.divergence(q, scale * beta / n, freeze=freeze_generative)
            if divergence.grad_z is not None:
                grad_z = grad_z + divergence.grad_z
            grad_mean = grad_z.sum(-3)
            if divergence.grad_mean is not None:
                grad_mean += divergence.grad_mean
            grad_log_var = (grad_z * deviation).sum(-3).mul_(0.5)  # ∂z/∂ log σ² = ½ σ ε
            grad_log_var += divergence.grad_log_var
            grad_log_var.masked_fill_(log_var != raw[..., k:], 0.0)  # where it is clamped
            self.encoder.backward(torch.cat([grad_mean, grad_log_var], dim=-1))
            kl = divergence.kl.mean(-1)
            reconstruction = log_px.mean((-2, -1)) + rows.log_measure.mean(-1).squeeze(-1)
            metrics = torch.stack([reconstruction - beta * kl, reconstruction, kl], dim=-1)
        if inputs.requires_grad:  # embeddings of levels
            inputs.backward(self.encoder.grad_inputs())
        return metrics.view(-1, 3)

    def _by_model(self, tensor: Tensor) -> Tensor:
        return tensor.unflatten(0, (self.n_models, -1)) if self.n_models > 1 else tensor

    def _rows_by_model(self, rows: Rows) -> Rows:
        """The rows with an axis for the models, and an axis of size 1 for the draws of z."""
        if self.n_models == 1:
            return rows
        fields: list[Any] = [
            None if f is None else self._by_model(f).unsqueeze(1) for f in rows.fields()
        ]
        return Rows(*fields)

    def _log_px(
        self, outputs: Tensor, rows: Rows, weight: float, freeze: bool
    ) -> tuple[Tensor, Tensor]:
        """log p(x | z), (K, n), and `weight` times its gradient in the decoder's outputs."""
        log_px, gradients = outputs.new_zeros(outputs.shape[:-1]), []
        for group, part in self.model.by_group(outputs):
            method = self._analytic if _is_analytic(group) else self._by_autograd
            cells, gradient = method(group, part, rows, weight, freeze)
            log_px += cells.sum(-1)
            gradients.append(gradient)
        if not gradients:  # every column is constant
            return log_px, outputs
        return log_px, gradients[0] if len(gradients) == 1 else torch.cat(gradients, dim=-1)

    def _analytic(
        self, group: ColumnGroup, outputs: Tensor, rows: Rows, weight: float, freeze: bool
    ) -> tuple[Tensor, Tensor]:
        constants, grad = self.pairs[group.constants]
        if self.n_models > 1:
            constants = constants[:, None, None]
        columns = SimpleNamespace(  # the group, with the constants of all models
            constants=constants, resolution=group.resolution, grid=group.grid,
            level_mask=group.level_mask,
        )  # fmt: skip
        x, outputs = group.target(rows), group.split(outputs)
        cells, pullback = log_prob_and_pullback(group.likelihood, x, outputs, columns)
        weights = outputs.new_full((), weight)
        if rows.missing is not None:
            missing = rows.missing[..., group.columns(self.model.inputs.n_values)]
            weights = weights.expand(missing.shape).masked_fill(missing, 0.0)
            cells = cells.masked_fill(missing, 0.0)
        grad_outputs, grad_constants = pullback(weights)
        if not freeze:
            grad.add_(grad_constants.view_as(grad))
        return cells, grad_outputs.flatten(-2)

    def _by_autograd(
        self, group: ColumnGroup, outputs: Tensor, rows: Rows, weight: float, freeze: bool
    ) -> tuple[Tensor, Tensor]:
        leaf = outputs.detach().requires_grad_()
        parameters = [] if freeze else [p for p in group.parameters() if p.numel()]
        with torch.enable_grad():
            cells = group.log_prob(leaf, rows, self.model.inputs.n_values)
            grad_outputs, *others = torch.autograd.grad(
                cells, [leaf, *parameters], torch.full_like(cells, weight), allow_unused=True
            )
        for parameter, each in zip(parameters, others, strict=True):
            if each is not None:
                self.pairs[parameter][1].add_(each)
        return cells.detach(), grad_outputs


class _Network:
    """Trunk and linear head, y = V f(x) + S x + c, with their gradients."""

    def __init__(self, trunk: Trunk, head: Linear, n_inputs: int, pairs: Pairs) -> None:
        self.with_derivative = ACTIVATION_DERIVATIVES[trunk.activation]
        layers = [_Affine(pairs[a.weight], pairs[a.bias]) for a in trunk.linear_layers]
        self.skip = None
        weight, grad_weight = pairs[head.weight]
        if layers:
            self.skip = _Affine((weight[..., :n_inputs], grad_weight[..., :n_inputs]))
            weight, grad_weight = weight[..., n_inputs:], grad_weight[..., n_inputs:]
        self.layers = [*layers, _Affine((weight, grad_weight), pairs[head.bias])]

    def forward(self, x: Tensor) -> Tensor:
        self.read, self.derivatives = [x], []  # inputs of each layer; f′ of the hidden ones
        *hidden, head = self.layers
        for layer in hidden:
            f, derivative = self.with_derivative(layer.forward(self.read[-1]))
            self.read.append(f)
            self.derivatives.append(derivative)
        y = head.forward(self.read[-1])
        return y if self.skip is None else self.skip.forward(x, onto=y)

    def backward(self, grad_y: Tensor, *, freeze: bool = False) -> None:
        """Add the gradients of the parameters, unless frozen, from the gradient of y."""
        self.grad_y = self.grad_first = grad_y
        if self.skip is not None and not freeze:
            self.skip.add_gradients(grad_y, self.read[0])
        for i in reversed(range(len(self.layers))):
            if not freeze:
                self.layers[i].add_gradients(self.grad_first, self.read[i])
            if i:
                grad_read = self.layers[i].grad_inputs(self.grad_first, self.read[i])
                self.grad_first = self.derivatives[i - 1].mul_(grad_read)

    def grad_inputs(self) -> Tensor:
        """The gradient of x."""
        x = self.read[0]
        gradient = self.layers[0].grad_inputs(self.grad_first, x)
        return gradient if self.skip is None else gradient + self.skip.grad_inputs(self.grad_y, x)


class _Affine:
    """y = W x + b. If x is narrower than W, the absent last inputs are 0."""

    def __init__(self, weight: Pair, bias: Pair | None = None) -> None:
        self.weight, self.grad_weight = weight
        self.bias = bias

    def forward(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """W x plus the bias or, if given, `onto`."""
        if onto is None:
            assert self.bias is not None
            onto = self.bias[0].unsqueeze(-2)
        add_product = torch.addmm if x.dim() == 2 else torch.baddbmm
        return add_product(onto, x, _present(self.weight, x).mT)

    def add_gradients(self, grad_y: Tensor, x: Tensor) -> None:
        grad_weight = _present(self.grad_weight, x)
        if x.dim() == 2:
            grad_weight.addmm_(grad_y.T, x)
        else:  # baddbmm_ would loop over the models, whose matrices are not contiguous
            grad_weight.add_(grad_y.mT @ x)
        if self.bias is not None:
            self.bias[1].add_(grad_y.sum(-2))

    def grad_inputs(self, grad_y: Tensor, x: Tensor) -> Tensor:
        return grad_y @ _present(self.weight, x)


def _present(weight: Tensor, x: Tensor) -> Tensor:
    """The columns of the weight for the inputs that are present in x."""
    n = x.shape[-1]
    return weight if weight.shape[-1] == n else weight[..., :n]
