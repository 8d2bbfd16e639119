"""Imputation: conditional means, medians, modes and draws of the missing cells."""

from __future__ import annotations

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


def impute(
    model: VAE,
    schema: Schema,
    X: Any,
    table: Table,
    settings: InferenceSettings,
    n_draws: int | None,
    strategy: str,
    seed: int,
) -> tuple[list, np.ndarray]:
    """X with its missing cells filled, once or for each draw; effective sample sizes of rows."""
    missing = table.missing
    incomplete = np.flatnonzero(missing.any(1))
    ess = np.full(table.n_rows, np.inf)
    sources = [X] * (n_draws or 1)

    def answer(rows: slice) -> tuple[np.ndarray, ...]:
        block = table.part(rows)
        block = block.take(np.flatnonzero(missing[rows].any(1)))
        imputation = Imputation(model, schema, strategy, generator_for(seed, rows))
        encoded = settings.rows(schema.encode(block))
        return imputation.decoded(encoded, settings, n_draws)

    if len(incomplete):
        parts = [part for part in by_ranges(table.n_rows, answer, settings) if len(part[-1])]
        *decoded, sizes = zip(*parts, strict=True)
        ess[incomplete] = np.concatenate(sizes)
        axis = 0 if n_draws is None else 1
        values, codes = (np.concatenate(part, axis=axis) for part in decoded)
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


class Imputation:
    """The values that replace the missing cells of some rows."""

    def __init__(
        self, model: VAE, schema: Schema, strategy: str, generator: torch.Generator
    ) -> None:
        self.model, self.schema, self.strategy = model, schema, strategy
        self.generator = generator
        self.numeric = schema.numeric_columns

    def decoded(
        self, rows: Rows, settings: InferenceSettings, n_draws: int | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numbers and codes, and effective sample sizes of the rows.

        Expected numbers, in the units of the table, (n_rows, …), or draws of scaled numbers,
        (n_draws, n_rows, …).
        """
        parts, sizes = [], [np.empty(0)]
        n_codes = max(MIN_CODES, settings.n_samples // 2)
        answer = self.expected if n_draws is None else self.draws
        for conditional in conditionals(self.model, rows, settings, n_codes):
            parts.append(answer(conditional, n_draws or 1))
            sizes.append(conditional.ess.cpu().numpy())
        if not parts:
            return np.empty(0), np.empty(0), sizes[0]
        axis = 0 if n_draws is None else 1
        numbers, codes = (np.concatenate(part, axis=axis) for part in zip(*parts, strict=True))
        return numbers, codes, np.concatenate(sizes)

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

    def expected(self, conditional: Conditional, _: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers in the units of the table and codes, (n_rows, …)."""
        values, codes = self._means(conditional)
        if self.strategy == "mean":
            return self._unscaled_means(conditional, values), codes
        y, _codes = self.draws(conditional, N_DRAWS)
        x = np.moveaxis(self._unscaled(y), 0, -1)
        with np.errstate(over="ignore"):  # the sum of two numbers near the largest
            numbers = np.median(x, axis=-1) if self.strategy == "median" else half_sample_mode(x)
        numbers = numbers.clip(-LARGEST, LARGEST)
        is_boolean = np.array([column.kind == "boolean" for column in self.numeric], dtype=bool)
        return np.where(is_boolean, values, numbers), codes

    def _unscaled(self, y: np.ndarray) -> np.ndarray:
        """Scaled numbers, (..., n_numeric), in the units of the table."""
        x = np.empty_like(y)
        for i, column in enumerate(self.numeric):
            x[..., i] = column.unscaled(y[..., i])
        return x

    def _means(self, conditional: Conditional) -> tuple[np.ndarray, np.ndarray]:
        """Scaled means, and the most probable codes; of booleans the more probable sign."""
        n = conditional.weights.shape[1]
        values, codes = [torch.zeros(n, 0)], [torch.zeros(n, 0, dtype=torch.long)]
        means = [mean.cpu() for mean in conditional.mean()]
        for group, mean in zip(self.model.groups, means, strict=True):
            if group.likelihood.target == "code":
                codes.append(mean.argmax(-1))
            elif mean.ndim == 3:
                values.append(mean[..., 1] - mean[..., 0])
            else:
                values.append(mean)
        return torch.cat(values, -1).double().numpy(), torch.cat(codes, -1).numpy()

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
