"""Stacked training of models of one shape: their parameters are the rows of one tensor.

A gradient step of M stacked models is that of one model, with each matrix product computed for all
M at once (:func:`torch.func.vmap`). For small networks most of the time is overhead, so that eight
models take much less than eight times the time of one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from skvae._model.rows import Rows
from skvae._model.vae import VAE
from skvae.objectives import Objective, divergence


class Terms(nn.Module):
    """The loss of a batch and its metrics."""

    def __init__(self, model: VAE, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, rows: Rows, noise: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """The loss and the metrics.

        Parameters
        ----------
        rows : Rows
        noise : Tensor of shape (K, n, n_noise)
        progress : float
            Proportion of the training that is done.

        Returns
        -------
        loss : Tensor of shape ()
            The function that training minimizes.
        metrics : Tensor of shape (3,)
            Means of bound, reconstruction and KL, in nats per row and in the units of the table.
        """
        log_px, draw = self.model(rows, noise, self.objective.detach_z)
        bound = self.objective.bound(log_px, draw, progress).mean()
        loss = -bound if draw.penalty is None else draw.penalty.mean() - bound
        with torch.no_grad():
            measure = rows.log_measure.mean()
            metrics = [bound + measure, log_px.mean() + measure, divergence(draw).mean()]
            return loss, torch.stack(metrics)


class FlatParameters:
    """The parameters of some modules as views of one tensor with a row for each module.

    For a single module, the gradients of its parameters are views of one tensor, too. Its buffers
    are copied and restored together with the parameters, since some change during training.
    """

    def __init__(self, *modules: nn.Module) -> None:
        self.shapes = {n: p.shape for n, p in modules[0].named_parameters() if p.numel()}
        self.sizes = [shape.numel() for shape in self.shapes.values()]
        rows = [dict(module.named_parameters()) for module in modules]
        self.named = rows[0]
        flat = [torch.cat([row[n].detach().reshape(-1) for n in self.shapes]) for row in rows]
        self.values = torch.stack(flat)
        self.grad = torch.zeros_like(self.values)
        for row, own, grad in zip(rows, self.values, self.grad, strict=True):
            parts = zip(self.shapes, own.split(self.sizes), grad.split(self.sizes), strict=True)
            for name, value, gradient in parts:
                row[name].data = value.view(self.shapes[name])
                if len(modules) == 1:
                    row[name].grad = gradient.view(self.shapes[name])
        self.buffers = list(modules[0].buffers()) if len(modules) == 1 else []
        self.leaf = self.values.requires_grad_(len(modules) > 1)
        self.values = self.leaf.detach()
        self.leaf.grad = self.grad

    def views(self) -> dict[str, Tensor]:
        """The parameters by name, stacked: differentiable views of ``leaf``."""
        parts = self.leaf.split(self.sizes, dim=1)
        shapes = self.shapes.items()
        return {n: p.unflatten(1, s) for (n, s), p in zip(shapes, parts, strict=True)}

    def pairs(self) -> dict[nn.Parameter, tuple[Tensor, Tensor]]:
        """Views of the values and the gradient of each parameter of the first module.

        For several modules they are stacked.
        """
        several = [len(self.values)] if len(self.values) > 1 else []
        parts = zip(*(t.split(self.sizes, dim=1) for t in (self.values, self.grad)), strict=True)
        pairs = {p: (p.detach().expand(*several, *p.shape),) * 2 for p in self.named.values()}
        for (name, shape), (value, grad) in zip(self.shapes.items(), parts, strict=True):
            pairs[self.named[name]] = tuple(t.view(*several, *shape) for t in (value, grad))
        return pairs

    def copy(self) -> list[Tensor]:
        return [tensor.clone() for tensor in (self.values, *self.buffers)]

    def keep(self, copies: list[Tensor], which: Tensor) -> None:
        """Update the copies of the modules that a mask selects."""
        if bool(which.any()):
            copies[0][which] = self.values[which]
            for kept, buffer in zip(copies[1:], self.buffers, strict=True):
                kept.copy_(buffer)

    @torch.no_grad()
    def restore(self, copies: list[Tensor]) -> None:
        for tensor, kept in zip((self.values, *self.buffers), copies, strict=True):
            tensor.copy_(kept)


class Stack:
    """Models that are trained together.

    Attributes
    ----------
    flat : FlatParameters
    models : sequence of VAE
        Their parameters are views of ``flat.values``.
    """

    def __init__(self, models: Sequence[VAE], objective: Objective) -> None:
        modules = [Terms(model, objective) for model in models]
        self.models, self.first, self.flat = models, modules[0], FlatParameters(*modules)
        self.generative = models[0].generative_parameters()
        ids = {id(p) for p in self.generative}
        named = self.first.named_parameters()
        self._generative_names: Collection[str] = {name for name, p in named if id(p) in ids}

    def __len__(self) -> int:
        return len(self.models)

    def terms(
        self, rows: Rows, noise: Tensor, progress: float, *, freeze_generative: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Losses and metrics of all models.

        Parameters
        ----------
        rows : Rows
            n rows for all models, or n rows for each model: first those of the first model, then of
            the second, and so on.
        noise : Tensor of shape (K, n, n_noise) or (M, K, n, n_noise)
            For all models, or for each model.
        progress : float
            Proportion of the training that is done.
        freeze_generative : bool, default=False
            Whether the parameters of p(x, z) get no gradient.

        Returns
        -------
        losses : Tensor of shape (M,)
        metrics : Tensor of shape (M, 3)
            Means of bound, reconstruction and KL, in nats per row and in the units of the table.
        """
        own = noise.dim() == 4
        if len(self) == 1:
            return self._single(rows, noise[0] if own else noise, progress, freeze_generative)
        parameters = self.flat.views()
        if freeze_generative:
            parameters = {
                n: p.detach() if n in self._generative_names else p for n, p in parameters.items()
            }
        fields: list[Any] = rows.fields()
        if own:
            fields = [None if f is None else f.unflatten(0, (len(self), -1)) for f in fields]

        def one(
            parameters: dict[str, Tensor], noise: Tensor, *fields: Tensor
        ) -> tuple[Tensor, Tensor]:
            return functional_call(self.first, parameters, (Rows(*fields), noise, progress))

        axis = 0 if own else None
        of_fields = [None if f is None else axis for f in fields]
        result: tuple[Tensor, Tensor] = vmap(one, (0, axis, *of_fields))(parameters, noise, *fields)
        return result

    def _single(
        self, rows: Rows, noise: Tensor, progress: float, freeze_generative: bool
    ) -> tuple[Tensor, Tensor]:
        frozen = self.generative if freeze_generative else []
        for p in frozen:
            p.requires_grad_(False)
        try:
            loss, metrics = self.first(rows, noise, progress)
        finally:
            for p in frozen:
                p.requires_grad_(True)
        return loss.unsqueeze(0), metrics.unsqueeze(0)
