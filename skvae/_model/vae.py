r"""The variational autoencoder: the equations as one module.

======================  ===========================  ==============================
symbol                  meaning                      name in the code
======================  ===========================  ==============================
:math:`x, x_j`          a row, its j-th column       ``rows``
:math:`z`               latent code                  ``draw.z``
:math:`p(z)`            prior                        ``prior``, ``draw.log_pz``
:math:`q(z|x)`          posterior (encoder)          ``latent``, ``draw.log_qz``
:math:`p(x_j|z)`        likelihood (decoder)         ``groups``, ``log_px``
======================  ===========================  ==============================

Shapes: K draws of z, n rows, d columns of a group, k latent dimensions.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skvae._nn.networks import Inputs, Linear, Trunk
from skvae._nn.tracing import is_traced
from skvae._nn.zuko import ComesFirst, contains_zuko
from skvae.latents import Draw, Latent, LatentModule
from skvae.priors import Prior, PriorModule

from .filling import filled
from .missingness import Missingness
from .rows import Rows
from .schema import Group, Schema

MAX_INITIAL_ROWS = 5000  # rows that initialize a latent family
MAX_CHUNK = 2**22  # numbers in the widest tensor of a chunk of rows, on the CPU
MAX_CHUNK_ELSEWHERE = 2**25  # of which a GPU has to have some to be busy


class ColumnGroup(nn.Module):
    """Columns that share a likelihood, evaluated as one tensor.

    Attributes
    ----------
    resolution : Tensor of shape (d,)
        Smallest step between two values of a column, in scaled units.
    level_mask : Tensor of shape (d, n_levels) or None
        Which outputs are levels of the column; None: all.
    grid : Tensor of shape (d, n_rows, n_entries)
        Fixed numbers of the likelihood for each column; short rows are padded with +inf.
    constants : Tensor of shape (d, n_constants)
        Numbers that are learned for a column and are the same for every z.
    """

    resolution: Tensor
    grid: Tensor
    level_mask: Tensor | None

    def __init__(self, group: Group) -> None:
        super().__init__()
        self.likelihood, self.cells, self.extras = group.likelihood, group.cells, group.extras
        columns = group.columns
        sizes = [self.likelihood.n_outputs(column) for column in columns]
        self.n_columns, self.n_outputs = len(columns), max(sizes)
        self.register_buffer("resolution", _resolutions(group))
        mask = torch.arange(self.n_outputs) < torch.tensor(sizes).unsqueeze(-1)
        self.register_buffer("level_mask", None if bool(mask.all()) else mask)
        self.register_buffer("grid", _padded([self.likelihood.grid(column) for column in columns]))
        n_constants = self.likelihood.n_constants(columns[0])
        self.constants = nn.Parameter(torch.zeros(len(columns), n_constants))
        self.missingness = self._missingness(columns)

    def _missingness(self, columns: list[Any]) -> Missingness | None:
        rates = np.array([column.missing_rate for column in columns])
        if np.isnan(rates).all():
            return None
        n_levels = [column.n_levels for column in columns]
        counts = self.likelihood.target == "count"
        return Missingness(rates, None if None in n_levels else max(n_levels), counts)

    def split(self, outputs: Tensor) -> Tensor:
        """The decoder's outputs as (..., d, n_outputs)."""
        return outputs.unflatten(-1, (self.n_columns, self.n_outputs))

    def target(self, rows: Rows) -> Tensor:
        """The cells of the group in the form that the likelihood reads."""
        if self.likelihood.target == "code":
            return rows.codes[..., self.cells].clamp(min=0)
        if self.likelihood.target == "value":
            return rows.values[..., self.cells]
        assert rows.extras is not None
        extras = rows.extras[..., self.extras]
        return (
            extras
            if self.likelihood.target == "count"
            else extras.unflatten(-1, (self.n_columns, -1))
        )

    def log_prob(self, outputs: Tensor, rows: Rows, n_values: int) -> Tensor:
        """log p(x_j | z) of every cell, 0 where it is missing: (K, n, d).

        Informative columns add log P(m_j | z).
        """
        cells = self.likelihood.log_prob(self.target(rows), self.split(outputs), self)
        if rows.missing is not None:
            cells = cells.masked_fill(rows.missing[:, self.columns(n_values)], 0.0)
        log_missing = self.log_missing(outputs, rows, n_values)
        return cells if log_missing is None else cells + log_missing

    def columns(self, n_values: int) -> slice:
        """The columns of the group in the order of the model."""
        first = self.cells.start + (n_values if self.likelihood.target == "code" else 0)
        return slice(first, first + self.n_columns)

    def log_missing(self, outputs: Tensor, rows: Rows, n_values: int) -> Tensor | None:
        """log P(m_j | z) of the informative columns, (K, n, d); None: the group has none."""
        if self.missingness is None:
            return None
        columns = self.columns(n_values)
        mean = self.likelihood.mean(self.split(outputs), self)
        marginalized = None if rows.marginalized is None else rows.marginalized[:, columns]
        if rows.missing is None:
            missing = torch.zeros(len(rows), self.n_columns, dtype=torch.bool, device=mean.device)
        else:
            missing = rows.missing[:, columns]
        return self.missingness.log_prob(mean, missing, marginalized)


def _resolutions(group: Group) -> Tensor:
    steps = [getattr(column, "scaled_resolution", 0.0) for column in group.columns]
    return torch.tensor(steps, dtype=torch.float32)


def _padded(grids: list[np.ndarray]) -> Tensor:
    n_entries = max(grid.shape[1] for grid in grids)
    padded = [
        np.pad(grid, ((0, 0), (0, n_entries - grid.shape[1])), constant_values=np.inf)
        for grid in grids
    ]
    return torch.tensor(np.array(padded), dtype=torch.float32)


class VAE(nn.Module):
    r"""p(x, z) = p(z) ∏_j p(x_j | z) with the posterior q(z | x).

    .. math::

        h = \text{encoder}(x), \quad z \sim q(z|h), \quad
        \log p(x|z) = \sum_{j \text{ observed}} \log p(x_j | \text{decoder}(z)_j).
    """

    def __init__(
        self,
        schema: Schema,
        inputs: Inputs,
        encoder: Trunk,
        latent: LatentModule,
        prior: PriorModule,
        decoder: Trunk,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.inputs, self.encoder, self.latent = inputs, encoder, latent
        self.prior, self.decoder = prior, decoder
        self.names = [column.name for column in schema.modelled]
        self.knows_missing = schema.has_missing
        groups = [ColumnGroup(group) for group in schema.groups]
        self._groups = nn.ModuleList(groups)
        self.sizes = [group.n_columns * group.n_outputs for group in groups]
        self.head = Linear(decoder.n_outputs, sum(self.sizes), generator)

    def __getstate__(self) -> dict:
        """A pickle imports zuko as skvae does, without a trace on torch.distributions."""
        return {**({"_zuko": ComesFirst()} if contains_zuko(self) else {}), **self.__dict__}

    def __setstate__(self, state: dict) -> None:
        super().__setstate__({name: value for name, value in state.items() if name != "_zuko"})

    def update_schema(self, schema: Schema) -> None:
        """Follow an updated schema: the floors of scales go by the resolution."""
        self.knows_missing = schema.has_missing
        for group, fitted in zip(self.groups, schema.groups, strict=True):
            group.resolution.copy_(_resolutions(fitted))

    @property
    def groups(self) -> list[ColumnGroup]:
        return [group for group in self._groups if isinstance(group, ColumnGroup)]

    def generative_parameters(self) -> list[nn.Parameter]:
        """Those of p(z) and p(x | z)."""
        parts = (self.prior, self.decoder, self.head, self._groups)
        own = [p for part in parts for p in part.parameters()]
        return own + self.latent.generative_parameters()

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    @property
    def max_numbers(self) -> int:
        """In one tensor of a chunk of rows: 32 MB, or 256 MB on a GPU, about."""
        return MAX_CHUNK if self.device.type == "cpu" else MAX_CHUNK_ELSEWHERE

    def chunk_size(self, n_draws: int, most: int) -> int:
        """Rows that go through the decoder at once, so that no tensor has more numbers."""
        widest = max(
            self.head.weight.shape[0], self.decoder.n_outputs, self.prior.width, self.latent.width
        )
        return max(1, min(most, self.max_numbers // (n_draws * widest)))

    def encode(self, rows: Rows) -> Tensor:
        """h, the encoder output for each row: (n, n_hidden)."""
        if rows.missing is not None and not (self.knows_missing or self.training or is_traced()):
            rows = filled(self, rows)
        return self.encoder(self.inputs(rows.values, rows.codes, rows.missing))

    @torch.no_grad()
    def posteriors(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x) of each row, (n, k)."""
        chunks = rows.chunks(self.chunk_size(self.latent.n_moment_draws, most=8192))
        moments = [self.latent.moments(self.encode(chunk), self.prior) for chunk in chunks]
        mean, log_var = zip(*moments, strict=True)
        return torch.cat(mean), torch.cat(log_var)

    @torch.no_grad()
    def embeddings(self, rows: Rows) -> Tensor:
        """The deterministic code of each row, (n, k)."""
        chunks = rows.chunks(self.chunk_size(self.latent.n_moment_draws, most=8192))
        return torch.cat([self.latent.embed(self.encode(c), self.prior) for c in chunks])

    @torch.no_grad()
    def completed(self, shown: Tensor) -> Tensor:
        """z from the columns that ``transform`` gives: (n, k) of (n, n_shown)."""
        z = shown.new_zeros(len(shown), self.latent.n_components)
        z[:, self.latent.shown] = shown
        given = set(self.latent.shown)
        layers = enumerate(self.latent.slices())
        absent = [i for i, part in layers if part.start not in given]
        return self.latent.snap(self.latent.fill(z, absent))

    @torch.no_grad()
    def initialize_from_data(self, rows: Rows, generator: torch.Generator) -> None:
        """Initialize the latent family from the output of the untrained encoder for some rows."""
        some = rows.take(torch.arange(min(len(rows), MAX_INITIAL_ROWS)))
        self.latent.initialize_from_data(self.encode(some), self.prior, generator)

    @torch.no_grad()
    def finalize_latent(self, rows: Rows, continued: bool) -> None:
        """Finalize the latent family with the encoder output for the rows."""
        chunks = rows.chunks(self.chunk_size(1, most=8192))
        self.latent.finalize((self.encode(chunk) for chunk in chunks), continued)

    @property
    def supports_vmap(self) -> bool:
        """Whether several of these can be trained as one."""
        of_columns = all(group.likelihood.supports_vmap for group in self.groups)
        return self.latent.supports_vmap and self.prior.supports_vmap and of_columns

    @property
    def supports_reordering(self) -> bool:
        """Whether ``reorder_units`` is there for the latent family and the prior."""
        return self.latent.supports_reordering and self.prior.supports_reordering

    def reorder_units(self, order: Tensor, sign: Tensor) -> None:
        """Put the latent units in an order, with signs, and leave all densities as they are."""
        self.latent.reorder(order, sign)
        self.prior.reorder(order, sign)
        self.decoder.reorder_inputs(order, sign)
        self.head.reorder_inputs(order, sign)  # the skip path

    def outputs(self, z: Tensor) -> Iterator[tuple[ColumnGroup, Tensor]]:
        """The decoder's outputs for each group of columns."""
        return self.by_group(self.head(self.decoder(self.latent.decoded(z))))

    def outputs_and_jacobian(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs of the head, (n, n_outputs), and their derivatives by z, (k, n, n_outputs).

        For families whose z is the input of the decoder.
        """
        h, tangents = self.decoder.jacobian(z)
        return self.head(h), F.linear(tangents, self.head.weight)

    def by_group(self, outputs: Tensor) -> Iterator[tuple[ColumnGroup, Tensor]]:
        """The outputs of the head, split by group of columns."""
        yield from zip(self.groups, outputs.split(self.sizes, dim=-1), strict=True)

    def cells(self, z: Tensor, rows: Rows) -> Tensor:
        """log p(x_j | z) of every cell, in the order of the model: (K, n, n_columns)."""
        return self.cells_of(self.outputs(z), rows, z.new_zeros(*z.shape[:-1], 0))

    def cells_of(
        self, outputs: Iterable[tuple[ColumnGroup, Tensor]], rows: Rows, start: Tensor
    ) -> Tensor:
        """log p(x_j | z) of every cell from the decoder's outputs; numbers before levels."""
        n_values = self.inputs.n_values
        return _ordered([start], ((g, g.log_prob(o, rows, n_values)) for g, o in outputs))

    def log_px(self, z: Tensor, rows: Rows) -> Tensor:
        """log p(x | z), summed over the observed cells: (K, n)."""
        return self.log_px_of(self.outputs(z), rows, z.new_zeros(()).expand(z.shape[:-1]))

    def log_px_of(
        self, outputs: Iterable[tuple[ColumnGroup, Tensor]], rows: Rows, start: Tensor
    ) -> Tensor:
        """log p(x | z) from the decoder's outputs, added to `start`."""
        n_values = self.inputs.n_values
        return sum((g.log_prob(o, rows, n_values).sum(-1) for g, o in outputs), start=start)

    def forward(self, rows: Rows, noise: Tensor, detach_z: bool = False) -> tuple[Tensor, Draw]:
        """log p(x | z) for z drawn from q(z | x) with the given base noise.

        With `detach_z` no gradient flows through z: for the score-function estimator.
        """
        h = self.encode(rows)
        draw = self.latent.draw(h, noise, self.prior)
        if detach_z:
            draw = self.latent.detached(draw, h, self.prior)
        return self.log_px(draw.z, rows), draw

    def unobserved(self, rows: Rows) -> Tensor:
        """Rows without an observed cell and without an informative missing one: (n,)."""
        if rows.missing is None:
            return rows.values.new_full((len(rows),), rows.n_columns == 0, dtype=torch.bool)
        first = self.inputs.n_values
        parts = [(group, self._unobserved(group, rows, group.columns(first)))
                 for group in self.groups]  # fmt: skip
        return _ordered([rows.missing[:, :0]], parts).all(1)

    @staticmethod
    def _unobserved(group: ColumnGroup, rows: Rows, columns: slice) -> Tensor:
        """Cells of a group that say nothing: missing, and not informative for that."""
        assert rows.missing is not None
        missing = rows.missing[:, columns]
        if group.missingness is None:
            return missing
        ignored = ~group.missingness.informative
        if rows.marginalized is not None:
            ignored = ignored | rows.marginalized[:, columns]
        return missing & ignored

    def missing_probabilities(self, z: Tensor) -> Tensor:
        """P(m_j = 1 | z) of informative columns, NaN for the others: (n, n_columns)."""
        parts = []
        for group, outputs in self.outputs(z):
            probability = z.new_full((len(z), group.n_columns), torch.nan)
            if group.missingness is not None:
                mean = group.likelihood.mean(group.split(outputs), group)
                each = torch.sigmoid(group.missingness.logit(mean))
                probability = torch.where(group.missingness.informative, each, probability)
            parts.append((group, probability))
        return _ordered([z.new_zeros(len(z), 0)], parts)

    def decode(self, z: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Scaled numbers and codes for z of shape (n, k): points, or draws with a generator."""
        values, codes = [z.new_zeros(len(z), 0)], [z.new_zeros(len(z), 0, dtype=torch.long)]
        for group, o in ((group, group.split(outputs)) for group, outputs in self.outputs(z)):
            likelihood, args = group.likelihood, (o, group)
            x = likelihood.sample(*args, generator) if generator else likelihood.point(*args)
            (codes if likelihood.target == "code" else values).append(x)
        return torch.cat(values, dim=-1), torch.cat(codes, dim=-1)


def _ordered(start: list[Tensor], parts: Iterable[tuple[ColumnGroup, Tensor]]) -> Tensor:
    """Values of the groups in the order of the model's columns: numbers before levels."""
    values, codes = start, list[Tensor]()
    for group, part in parts:
        (codes if group.likelihood.target == "code" else values).append(part)
    return torch.cat(values + codes, dim=-1)


def build(
    schema: Schema,
    k: int,
    latent: Latent,
    prior: Prior,
    hidden_layer_sizes: Sequence[int],
    activation: str,
    generator: torch.Generator,
) -> VAE:
    """The untrained model of a table."""
    categorical = [schema.columns[j] for j in schema.categorical]
    inputs = Inputs(len(schema.numeric), categorical, generator)  # type: ignore[arg-type]
    encoder = Trunk(inputs.n_outputs, hidden_layer_sizes, activation, generator)
    posterior = latent.build(k, encoder.n_outputs, generator)
    decoder = Trunk(posterior.layers[0], hidden_layer_sizes[::-1], activation, generator)
    p_z = posterior.build_prior(prior, generator)
    return VAE(schema, inputs, encoder, posterior, p_z, decoder, generator)


def for_inference(model: VAE) -> VAE:
    """The model for inference: on the CPU, in float64, without gradients."""
    model = copy.deepcopy(model).cpu().double().requires_grad_(False).eval()
    model.zero_grad(set_to_none=True)
    return model
