"""Imputation: conditional means, medians, modes and draws of the missing cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from skvae._inference.conditional import Conditional, conditionals
from skvae._inference.importance import InferenceSettings
from skvae._model.rows import Rows
from skvae._model.schema import Schema
from skvae._model.vae import VAE
from skvae._table.filling import fill
from skvae._table.layouts import Cells
from skvae._table.reading import Table
from skvae._table.scaling import LARGEST

from .blocks import by_ranges, generator_for
from .sampling import CHUNK, draw_in_bounds

STRATEGIES = ("mean", "median", "most_frequent")
N_DRAWS = 101  # of a cell, for its median or mode
N_CORRECTION = 256  # of a cell, for the mean of a column with a nonlinear map
MIN_CODES = 128  # weighted codes of a row, for an imputation
MAX_VALUES = 2**22  # draws of a model that are held at once


Fitted = tuple[VAE, Schema]


def impute(
    models: Sequence[Fitted],
    X: Any,
    table: Table,
    settings: InferenceSettings,
    n_draws: int | None,
    strategy: str,
    seed: int,
) -> tuple[list, np.ndarray]:
    """X with its missing cells filled, once or for each draw; effective sample sizes of rows.

    The distribution of a missing cell is the mean of what the models say, which were fitted to
    columns of the same names, kinds and levels.
    """
    missing = table.missing
    incomplete = np.flatnonzero(missing.any(1))
    ess = np.full(table.n_rows, np.inf)
    sources = [X] * (n_draws or 1)

    def answer(rows: slice) -> tuple[np.ndarray, ...]:
        block = table.part(rows)
        block = block.take(np.flatnonzero(missing[rows].any(1)))
        if not block.n_rows:
            return (np.empty(0),) * 3
        generator = generator_for(seed, rows)
        each = [Imputation(model, schema, strategy, generator) for model, schema in models]
        encoded = [settings.rows(schema.encode(block)) for _model, schema in models]
        if n_draws is None:
            return expected(each, encoded, settings)
        return mixed_draws(each, encoded, settings, n_draws)

    if len(incomplete):
        parts = [part for part in by_ranges(table.n_rows, answer, settings) if len(part[-1])]
        *decoded, sizes = zip(*parts, strict=True)
        ess[incomplete] = np.concatenate(sizes)
        axis = 0 if n_draws is None else 1
        values, codes = (np.concatenate(part, axis=axis) for part in decoded)
        schema = models[0][1]
        if n_draws is None:
            cells = [_cells(schema, values, codes)]
        else:
            rng = np.random.default_rng(seed)
            cells = [schema.cells(v, c, rng) for v, c in zip(values, codes, strict=True)]
        sources = [_aligned(schema, table, each, incomplete) for each in cells]
    dtype = getattr(table.layout, "dtype", None)
    return [fill(X, source, missing, dtype) for source in sources], ess


def _aligned(schema: Schema, table: Table, cells: list[Cells], incomplete: np.ndarray) -> Any:
    """A container like the given one, with imputed cells in the rows that are incomplete."""
    at = np.zeros(table.n_rows, dtype=np.int64)
    at[incomplete] = np.arange(len(incomplete))
    fitted, own = schema.layout, table.layout
    is_frame = own.container not in ("array", "sparse")
    layout = fitted if is_frame and fitted.container == own.container else own
    return layout.write([each.take(at) for each in cells])


def expected(
    imputations: Sequence[Imputation], rows: Sequence[Rows], settings: InferenceSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers in the units of the table and codes, (n_rows, …), and effective sample sizes.

    `rows` are those of each model. Numbers and codes have the order of the first one.
    """
    first = imputations[0]
    n_values = max(first.n_values * len(first.numeric), 1)
    pieces = torch.arange(len(rows[0])).split(max(1, MAX_VALUES // n_values))
    parts = []
    for piece in pieces:
        values, levels, sizes = [], [], []
        for imputation, part in zip(imputations, rows, strict=True):
            numbers, probabilities, ess = imputation.distributions(part.take(piece), settings)
            values.append(first.aligned_numbers(imputation, numbers))
            levels.append(first.aligned_levels(imputation, probabilities))
            sizes.append(ess)
        numbers = first.summary(np.concatenate(values, axis=-1))
        codes = np.zeros((len(piece), len(first.schema.categorical)), dtype=np.int64)
        for i, of_column in enumerate(zip(*levels, strict=True)):
            codes[:, i] = np.mean(of_column, axis=0).argmax(-1)
        parts.append((numbers, codes, np.mean(sizes, axis=0)))
    numbers, codes, ess = (np.concatenate(part) for part in zip(*parts, strict=True))
    return numbers, codes, ess


def mixed_draws(
    imputations: Sequence[Imputation],
    rows: Sequence[Rows],
    settings: InferenceSettings,
    n_draws: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scaled numbers and codes of the first model, (n_draws, n_rows, …), and effective sizes.

    Each row of each draw is that of a model chosen at random.
    """
    first, sizes, each = imputations[0], [], []
    for imputation, part in zip(imputations, rows, strict=True):
        *drawn, ess = imputation.all_draws(part, settings, n_draws)
        each.append(first.aligned_draws(imputation, *drawn))
        sizes.append(ess)
    if len(each) == 1:
        return *each[0], sizes[0]
    shape = n_draws, len(rows[0])
    which = torch.randint(len(each), shape, generator=first.generator).numpy()[..., np.newaxis]
    numbers, codes = (np.choose(which, part) for part in zip(*each, strict=True))
    return numbers, codes, np.mean(sizes, axis=0)


class Imputation:
    """What a model says of the missing cells of some rows."""

    def __init__(
        self, model: VAE, schema: Schema, strategy: str, generator: torch.Generator
    ) -> None:
        self.model, self.schema, self.strategy = model, schema, strategy
        self.generator = generator
        self.numeric = schema.numeric_columns

    @property
    def n_values(self) -> int:
        """Numbers that describe the distribution of a cell."""
        return 1 if self.strategy == "mean" else N_DRAWS

    def _conditionals(self, rows: Rows, settings: InferenceSettings) -> Iterator[Conditional]:
        n_codes = max(MIN_CODES, settings.n_samples // 2)
        return conditionals(self.model, rows, settings, n_codes)

    def distributions(
        self, rows: Rows, settings: InferenceSettings
    ) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
        """Numbers, probabilities of the levels of each column, and effective sample sizes.

        Numbers are in the units of the table: means or draws, (n_rows, n_numeric, n_values).
        """
        parts = []
        for conditional in self._conditionals(rows, settings):
            values, probabilities = self._means(conditional)
            numbers = self._numbers(conditional, values)
            parts.append((numbers, *probabilities, conditional.ess.cpu().numpy()))
        numbers, *levels, sizes = map(np.concatenate, zip(*parts, strict=True))
        return numbers, levels, sizes

    def all_draws(
        self, rows: Rows, settings: InferenceSettings, n_draws: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scaled numbers and codes, (n_draws, n_rows, …), and effective sample sizes."""
        each = self._conditionals(rows, settings)
        parts = [(*self.draws(conditional, n_draws), conditional.ess.cpu().numpy()[np.newaxis])
                 for conditional in each]  # fmt: skip
        numbers, codes, sizes = (np.concatenate(p, axis=1) for p in zip(*parts, strict=True))
        return numbers, codes, sizes[0]

    def draws(self, conditional: Conditional, n_draws: int) -> tuple[np.ndarray, np.ndarray]:
        """Scaled numbers and codes, (n_draws, n_rows, …)."""
        z = conditional.sample(n_draws, self.generator)
        parts = [
            draw_in_bounds(self.model, self.schema, each, self.generator)
            for each in z.flatten(0, 1).split(self.model.chunk_size(1, most=CHUNK))
        ]
        values, codes = (torch.cat(part) for part in zip(*parts, strict=True))
        shape = z.shape[:2]
        return values.double().unflatten(0, shape).numpy(), codes.unflatten(0, shape).numpy()

    def summary(self, x: np.ndarray) -> np.ndarray:
        """The numbers that replace missing cells, (n_rows, n_numeric), from the distributions."""
        is_boolean = np.array([column.kind == "boolean" for column in self.numeric], dtype=bool)
        with np.errstate(over="ignore"):  # the sum of two numbers near the largest
            means = x.mean(-1) if x.shape[-1] > 1 else x[..., 0]
            if self.strategy == "mean":
                return means.clip(-LARGEST, LARGEST)
            numbers = np.median(x, axis=-1) if self.strategy == "median" else half_sample_mode(x)
        return np.where(is_boolean, means, numbers.clip(-LARGEST, LARGEST))

    def _numbers(self, conditional: Conditional, values: np.ndarray) -> np.ndarray:
        """Means or draws in the units of the table, (n_rows, n_numeric, n_values)."""
        if self.strategy == "mean":
            return self._unscaled_means(conditional, values)[..., np.newaxis]
        x = np.moveaxis(self._unscaled(self.draws(conditional, N_DRAWS)[0]), 0, -1)
        for i, column in enumerate(self.numeric):
            if column.kind == "boolean":
                x[:, i] = values[:, i, np.newaxis]
        return x

    def _unscaled(self, y: np.ndarray) -> np.ndarray:
        """Scaled numbers, (..., n_numeric), in the units of the table."""
        x = np.empty_like(y)
        for i, column in enumerate(self.numeric):
            x[..., i] = column.unscaled(y[..., i])
        return x

    def _means(self, conditional: Conditional) -> tuple[np.ndarray, list[np.ndarray]]:
        """Scaled means, of booleans P(True) − P(False), and probabilities of levels."""
        n = conditional.weights.shape[1]
        values, levels = [torch.zeros(n, 0)], list[torch.Tensor]()
        means = [mean.cpu() for mean in conditional.mean()]
        for group, mean in zip(self.model.groups, means, strict=True):
            if group.likelihood.target == "code":
                levels.extend(mean.unbind(1))
            elif mean.ndim == 3:
                values.append(mean[..., 1] - mean[..., 0])
            else:
                values.append(mean)
        return torch.cat(values, -1).double().numpy(), [each.double().numpy() for each in levels]

    def _unscaled_means(self, conditional: Conditional, values: np.ndarray) -> np.ndarray:
        """Means in the units of the table; where the map is nonlinear, by draws.

        The known mean of the scaled draws serves as a control variate for the mean of the others.
        """
        means = self._unscaled(values)
        nonlinear = [i for i, column in enumerate(self.numeric) if not column.is_affine]
        if nonlinear:
            y, _ = self.draws(conditional, N_CORRECTION)
            for i in nonlinear:
                x = self.numeric[i].unscaled(y[..., i])
                with np.errstate(over="ignore", invalid="ignore"):  # of numbers near the largest
                    dy, dx = y[..., i] - y[..., i].mean(0), x - x.mean(0)
                    coefficient = (dx * dy).sum(0) / np.maximum((dy**2).sum(0), 1e-12)
                    mean = x.mean(0) - coefficient * (y[..., i].mean(0) - values[:, i])
                means[:, i] = np.where(np.isfinite(mean), mean, means[:, i])
        return means

    def aligned_numbers(self, other: Imputation, numbers: np.ndarray) -> np.ndarray:
        """Numbers of another model, (n_rows, n_numeric, …), in the order of this one."""
        return numbers[:, _places(self.schema.numeric, other.schema.numeric)]

    def aligned_levels(self, other: Imputation, levels: list[np.ndarray]) -> list[np.ndarray]:
        """Probabilities of another model in the order of this one."""
        n_codes = [self.schema.columns[j].n_codes for j in self.schema.categorical]  # type: ignore[attr-defined]
        places = _places(self.schema.categorical, other.schema.categorical)
        return [levels[i][:, :n] for i, n in zip(places, n_codes, strict=True)]

    def aligned_draws(
        self, other: Imputation, numbers: np.ndarray, codes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draws of another model in the order and the scales of this one."""
        if other is self:
            return numbers, codes
        x = other._unscaled(numbers)[..., _places(self.schema.numeric, other.schema.numeric)]
        scaled = [column.rescaled(x[..., i]) for i, column in enumerate(self.numeric)]
        numbers = np.stack(scaled, axis=-1) if scaled else x
        return numbers, codes[..., _places(self.schema.categorical, other.schema.categorical)]


def _places(order: Sequence[int], other: Sequence[int]) -> list[int]:
    """Where the columns of one order are in another one."""
    place = {j: i for i, j in enumerate(other)}
    return [place[j] for j in order]


def _cells(schema: Schema, numbers: np.ndarray, codes: np.ndarray) -> list[Cells]:
    """Cells from numbers in the units of the table, which need not be fitted values."""
    columns, scaled = schema.numeric_columns, np.zeros_like(numbers)
    for i, column in enumerate(columns):
        scaled[:, i] = column.rescaled(numbers[:, i])
    cells = schema.cells(scaled, codes)
    for i, (j, column) in enumerate(zip(schema.numeric, columns, strict=True)):
        if column.kind == "continuous":
            cells[j] = column.cells(numbers[:, i])
    return cells


def half_sample_mode(values: np.ndarray) -> np.ndarray:
    """The mode of each sample along the last axis: the densest half of the densest half of …

    Robertson & Cryer (1974), An Iterative Procedure for Estimating the Mode.
    """
    values = np.sort(values, axis=-1)
    while values.shape[-1] > 2:
        n = (values.shape[-1] + 1) // 2
        widths = values[..., n - 1 :] - values[..., : values.shape[-1] - n + 1]
        first = widths.argmin(-1)[..., None]
        values = np.take_along_axis(values, first + np.arange(n), axis=-1)
    return values.mean(-1)
