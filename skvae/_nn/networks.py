"""Networks: the encoder's input layer and the trunks of encoder and decoder.

Initial parameters are drawn from the generator that is passed in, never from the global random
state of torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skvae._table.columns import MAX_INDICATORS, CategoricalColumn, indicator_spread

from .tracing import is_traced

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda a: a,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "logistic": torch.sigmoid,
    "silu": F.silu,
    "gelu": F.gelu,
    "elu": F.elu,
}


class Linear(nn.Module):
    """An affine map with the initialization of Glorot & Bengio (2010)."""

    def __init__(self, n_inputs: int, n_outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        limit = math.sqrt(6 / max(n_inputs + n_outputs, 1))
        weight = torch.empty(n_outputs, n_inputs).uniform_(-limit, limit, generator=generator)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    @torch.no_grad()
    def reorder_inputs(self, order: Tensor, sign: Tensor) -> None:
        """Permute the first inputs and change their signs."""
        first, others = self.weight.split([len(order), self.weight.shape[1] - len(order)], 1)
        self.weight.copy_(torch.cat([first[:, order] * sign, others], dim=1))


class Trunk(nn.Module):
    """Hidden layers with a skip connection: h = (x, f(x)), of which the head is a linear function.

    Without hidden layers h = x, and the head is a linear model.
    """

    def __init__(
        self, n_inputs: int, sizes: Sequence[int], activation: str, generator: torch.Generator
    ) -> None:
        super().__init__()
        widths = [n_inputs, *sizes]
        self.layers = nn.ModuleList([Linear(*pair, generator) for pair in pairwise(widths)])
        self.activation = activation
        self.n_outputs = n_inputs + (widths[-1] if sizes else 0)

    def reorder_inputs(self, order: Tensor, sign: Tensor) -> None:
        """Permute the inputs and change their signs."""
        for first in self.linear_layers[:1]:
            first.reorder_inputs(order, sign)

    @property
    def linear_layers(self) -> list[Linear]:
        return [layer for layer in self.layers if isinstance(layer, Linear)]

    def forward(self, x: Tensor) -> Tensor:
        h, activation = x, ACTIVATIONS[self.activation]
        for layer in self.linear_layers:
            h = activation(layer(h))
        return torch.cat([x, h], dim=-1) if len(self.layers) else x

    def jacobian(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """h, (n, n_outputs), and its derivatives by each input, (n_inputs, n, n_outputs)."""
        activation = ACTIVATIONS[self.activation]
        tangents = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        tangents = tangents.unsqueeze(1).expand(-1, len(x), -1)
        h, hidden = x, tangents
        for i, layer in enumerate(self.linear_layers):
            with torch.enable_grad():
                a = layer(h).detach().requires_grad_()
                value = activation(a)
                (derivative,) = torch.autograd.grad(value.sum(), a)
            h = value.detach()
            # The derivatives of the first layer are the same for all rows.
            product = F.linear(hidden, layer.weight) if i else layer.weight.T.unsqueeze(1)
            hidden = product * derivative
        if not len(self.layers):
            return x, tangents
        return torch.cat([x, h], dim=-1), torch.cat([tangents, hidden], dim=-1)


class Inputs(nn.Module):
    """Inputs of the encoder: scaled numbers, levels, and indicators of missing values.

    Columns with few levels are represented by scaled indicators, so that a linear model of them is
    multiple correspondence analysis, and columns with many levels by a learned embedding. A
    missing value is represented by zeros and by its indicator.
    """

    indicators: Tensor
    few_sizes: Tensor
    few_offsets: Tensor

    def __init__(
        self, n_values: int, categorical: Sequence[CategoricalColumn], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.n_values, self.n_columns = n_values, n_values + len(categorical)
        sizes = [column.n_codes for column in categorical]
        self.few = [i for i, size in enumerate(sizes) if size <= MAX_INDICATORS]
        self.many = [i for i, size in enumerate(sizes) if size > MAX_INDICATORS]
        self.many_sizes = [sizes[i] for i in self.many]
        # One table for all columns with few levels; after the levels of a column comes a row for
        # missing values.
        blocks = [_indicators(categorical[i].frequencies) for i in self.few]
        table = torch.block_diag(*blocks) if blocks else torch.zeros(0, 0)
        few_sizes = torch.tensor([sizes[i] for i in self.few], dtype=torch.long)
        self.register_buffer("indicators", table)
        self.register_buffer("few_sizes", few_sizes)
        self.register_buffer("few_offsets", torch.cumsum(few_sizes + 1, 0) - few_sizes - 1)
        self.embeddings = nn.ParameterList([
            nn.Parameter(0.1 * torch.randn(size + 1, _width(size), generator=generator))
            for size in self.many_sizes
        ])  # fmt: skip
        self.n_features = n_values + table.shape[1]  # without embeddings
        n_embedded = sum(_width(size) for size in self.many_sizes)
        self.n_outputs = self.n_features + n_embedded + self.n_columns

    def features(self, values: Tensor, codes: Tensor, stacked: bool = False) -> Tensor:
        """Scaled numbers and indicators, (n_rows, n_features)."""
        if not self.few:
            return values
        codes = codes[:, self.few] if self.many else codes
        rows = torch.where(codes < 0, self.few_sizes, codes) + self.few_offsets
        indicators = (_SumOfRows.apply if stacked else _sum_of_rows)(rows, self.indicators)
        return torch.cat([values, indicators], dim=-1) if self.n_values else indicators

    def observed(
        self, values: Tensor, codes: Tensor, missing: Tensor | None, stacked: bool = False
    ) -> Tensor:
        """The inputs, without the indicators of missing values if no value is missing.

        The indicators come last and would be 0. `stacked` must be true within
        ``torch.func.vmap``; it is slightly slower.
        """
        parts = [self.features(values, codes, stacked)]
        for i, size, embedding in zip(self.many, self.many_sizes, self.embeddings, strict=True):
            parts.append(F.embedding(torch.where(codes[:, i] < 0, size, codes[:, i]), embedding))
        if missing is not None:
            parts.append(missing.to(values.dtype))
        return torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]

    def forward(self, values: Tensor, codes: Tensor, missing: Tensor | None) -> Tensor:
        observed = self.observed(values, codes, missing, stacked=True)
        return F.pad(observed, (0, self.n_outputs - observed.shape[-1]))


def _sum_of_rows(rows: Tensor, table: Tensor) -> Tensor:
    if is_traced():
        return F.embedding(rows, table).sum(-2)
    return F.embedding_bag(rows, table, mode="sum")


class _SumOfRows(torch.autograd.Function):
    """``_sum_of_rows`` of a constant table with a rule for ``torch.func.vmap``."""

    @staticmethod
    def forward(rows: Tensor, table: Tensor) -> Tensor:
        return _sum_of_rows(rows, table)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None]:
        return None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple, rows: Tensor, table: Tensor) -> tuple[Tensor, int]:
        bags = rows.movedim(in_dims[0], 0)
        return _sum_of_rows(bags.flatten(0, 1), table).unflatten(0, bags.shape[:2]), 0


def _indicators(frequencies: np.ndarray) -> Tensor:
    """(1[l] − p_l) / d_l for each level, and a row of zeros for missing values."""
    block = (np.eye(len(frequencies)) - frequencies) / indicator_spread(frequencies)
    return torch.tensor(np.vstack([block, np.zeros(len(frequencies))]), dtype=torch.float32)


def _width(n_levels: int) -> int:
    """Number of dimensions of an embedding, by a common rule of thumb."""
    return min(32, round(1.6 * n_levels**0.56))
