"""Explanations: the log-density as a sum over columns, and the expected value of a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import log_softmax, logsumexp

from skvae._inference.conditional import conditionals
from skvae._inference.importance import InferenceSettings
from skvae._inference.log_density import attributions
from skvae._inference.scoring import left_out
from skvae._model.rows import Rows
from skvae._model.schema import Schema
from skvae._model.vae import VAE
from skvae._table.layouts import objects
from skvae._table.reading import Table, read_table

N_TYPICAL = 500  # rows of the model that show what is usual
N_DRAWS = 200  # of a cell, for its median and interval
# Distributions of a cell given the others need a posterior that is right, which rankings do not.
MIN_CODES, MIN_REFINEMENT_STEPS = 64, 10
MIN_CANDIDATES = 6  # cells of a row that are scored by posteriors without them
MAX_MASKED = 8192  # rows at once
SEED = 20_261_124


def parts_of_log_density(
    models: Sequence[VAE], schema: Schema, table: Table, settings: InferenceSettings
) -> np.ndarray:
    """The parts of log p(x): columns in the order of the table, the latent part last."""
    rows = settings.rows(schema.encode(table))
    cells, log_px = zip(*(attributions(model, rows, settings) for model in models), strict=True)
    each = np.stack([density.double().numpy() for density in log_px])
    weight = np.exp(log_softmax(each, axis=0))[..., None]
    total = logsumexp(each, axis=0) - np.log(len(each))
    parts = np.zeros((len(rows), len(schema.columns)))
    parts[:, schema.order] = (weight * np.stack([part.numpy() for part in cells])).sum(0)
    latent = total - parts.sum(1)
    return np.column_stack([parts + schema.log_measures(table), latent])


@torch.no_grad()
def typical_rows(models: Sequence[VAE], schema: Schema) -> Table:
    """Rows drawn from the models, which show what is usual."""
    generator = torch.Generator().manual_seed(SEED)
    per_model = -(-N_TYPICAL // len(models))
    drawn = []
    for model in models:
        z = model.latent.sample(per_model, model.prior, generator)
        drawn.append([part.cpu() for part in model.decode(z, generator)])
    values, codes = (torch.cat(part).numpy() for part in zip(*drawn, strict=True))
    cells = schema.cells(values, codes, np.random.default_rng(SEED))
    return read_table(schema.layout.write(cells))


class Surprise:
    """The cells of rows that surprise most, with what was expected.

    The surprise of a cell is −log p(x_j | all other cells), less its mean over typical rows. In a
    pool it is the weighted sum of those of the models; what was expected is what this one expects.

    Posteriors of the whole row tell which cells may surprise. A cell that is far from what the
    others tell has moved them, so that log p(x_-j) of these cells is estimated anew, by posteriors
    of the other cells.

    Attributes
    ----------
    weight : float
    others : sequence of Surprise
        Of the other models of a pool.
    """

    def __init__(
        self,
        models: Sequence[VAE],
        schema: Schema,
        settings: InferenceSettings,
        n_cells: int,
        coverage: float,
        weight: float = 1.0,
        others: Sequence[Surprise] = (),
    ) -> None:
        settings = replace(
            settings,
            n_samples=max(settings.n_samples, MIN_CODES),
            n_refinement_steps=max(settings.n_refinement_steps, MIN_REFINEMENT_STEPS),
        )
        self.models, self.schema, self.settings = models, schema, settings
        self.n_cells, self.coverage = n_cells, coverage
        self.weight, self.others = weight, others
        typical = typical_rows(models, schema)
        self.usual = _left_out(models, settings.rows(schema.encode(typical)), settings).mean(0)

    def cells(self, table: Table) -> pd.DataFrame:
        """The `n_cells` most surprising cells of each row; rows by position."""
        row, column = self._candidates(table)
        if not len(row):
            return _frame_of_cells([])
        surprise, log_others = self._without_cells(table, row, column)
        for other in self.others:
            surprise = surprise + other._without_cells(table, row, column)[0]
        order = np.lexsort([-surprise, row])
        row, column, surprise = row[order], column[order], surprise[order]
        log_others, rank = log_others[:, order], np.arange(len(row))
        kept = rank - np.searchsorted(row, row) < self.n_cells
        return self._described(table, row[kept], column[kept], surprise[kept], log_others[:, kept])

    def _candidates(self, table: Table) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the cells that may be the most surprising ones of their rows."""
        surprise = self._by_whole_rows(table)
        for other in self.others:
            surprise = surprise + other._by_whole_rows(table)
        n = max(self.n_cells, MIN_CANDIDATES)
        column = np.argsort(-surprise, axis=1, kind="stable")[:, :n]
        row, column = np.repeat(np.arange(len(column)), column.shape[1]), column.ravel()
        observed = np.isfinite(surprise[row, column])
        return row[observed], column[observed]

    def _by_whole_rows(self, table: Table) -> np.ndarray:
        """The weighted surprise of each cell, (n, n_columns); −inf: there is none."""
        rows = self.settings.rows(self.schema.encode(table))
        surprise = self.weight * (self.usual - _left_out(self.models, rows, self.settings))
        if rows.missing is not None:
            surprise[rows.missing.cpu().numpy()] = -np.inf
        by_column = np.full((len(rows), len(self.schema.columns)), -np.inf)
        by_column[:, self.schema.order] = surprise
        return by_column

    def _without_cells(
        self, table: Table, row: np.ndarray, column: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The weighted surprise of some cells, (m,), and each model's log p(x_-j), (M, m)."""
        rows, at = self.settings.rows(self.schema.encode(table)), self._position(column)
        whole = self._log_px(rows)[:, row]
        parts = np.array_split(np.arange(len(row)), max(1, len(row) // MAX_MASKED))
        masked = [rows.take(torch.from_numpy(row[i])).mask(_cells(rows, at[i])) for i in parts]
        others = np.concatenate([self._log_px(part) for part in masked], axis=1)
        log_p = logsumexp(whole, axis=0) - logsumexp(others, axis=0)
        return self.weight * (self.usual[at] - log_p), others

    def _position(self, column: np.ndarray) -> np.ndarray:
        """Positions of columns of the table in the order of the model."""
        position = np.zeros(len(self.schema.columns), dtype=np.int64)
        position[self.schema.order] = np.arange(len(self.schema.order))
        return position[column]

    def _log_px(self, rows: Rows) -> np.ndarray:
        """Each model's log p(observed cells), (M, n)."""
        n_codes = self.settings.n_samples
        of_models = (
            torch.cat([c.log_px for c in conditionals(model, rows, self.settings, n_codes)])
            for model in self.models
        )
        return np.stack([log_px.double().cpu().numpy() for log_px in of_models])

    def _described(
        self,
        table: Table,
        row: np.ndarray,
        column: np.ndarray,
        surprise: np.ndarray,
        log_others: np.ndarray,
    ) -> pd.DataFrame:
        """One line for each cell, with the value and what was expected."""
        rows = self.settings.rows(self.schema.encode(table))
        found: list[tuple] = [()] * len(row)
        for j in map(int, np.unique(column)):
            here = np.flatnonzero(column == j)
            some, of_column = rows.take(torch.from_numpy(row[here])), self.schema.columns[j]
            (position,) = self._position(np.array([j])).tolist()
            draws = _draws(self.models, some, position, log_others[:, here], self.settings)
            cells = table.cells(j, of_column.type == "label").take(row[here])
            summary = _summary(of_column, draws, self.coverage)
            answers = zip(objects(cells), *summary, strict=True)
            for k, (value, *expected) in zip(here, answers, strict=True):
                found[k] = (row[k], of_column.name, value, surprise[k], *expected)
        return _frame_of_cells(found)


def _cells(rows: Rows, position: np.ndarray) -> torch.Tensor:
    """One cell of each row: a mask of shape (len(position), n_columns)."""
    every = torch.arange(rows.n_columns, device=rows.values.device)
    return every == torch.from_numpy(position).to(every).unsqueeze(1)


def _frame_of_cells(found: list[tuple]) -> pd.DataFrame:
    names = ["row", "column", "value", "surprise", "expected", "low", "high"]
    columns = zip(*found, strict=True) if found else [()] * len(names)
    frame = pd.DataFrame(
        {name: pd.Series(c, dtype=object) for name, c in zip(names, columns, strict=True)}
    )
    return frame.astype({"row": np.int64, "surprise": float})


def _left_out(models: Sequence[VAE], rows: Rows, settings: InferenceSettings) -> np.ndarray:
    """log p(x_j | all other cells), (n, d), by posteriors of whole rows."""
    parts, log_px = zip(*(left_out(model, rows, settings) for model in models), strict=True)
    each, whole = torch.stack(parts).numpy(), torch.stack(log_px).numpy()[..., None]
    return np.asarray(logsumexp(whole, axis=0) - logsumexp(whole - each, axis=0))


def _draws(
    models: Sequence[VAE],
    rows: Rows,
    position: int,
    log_others: np.ndarray,
    settings: InferenceSettings,
) -> np.ndarray:
    """Draws of p(x_j | all other cells) as scaled numbers or codes: (N_DRAWS, n_rows)."""
    generator = torch.Generator().manual_seed(SEED)
    masked = rows.mask(_cells(rows, np.full(len(rows), position)))
    each = [_model_draws(model, masked, position, generator, settings) for model in models]
    weight = torch.from_numpy(np.exp(log_softmax(log_others, axis=0)))
    which = torch.multinomial(weight.T, N_DRAWS, replacement=True, generator=generator)
    return np.take_along_axis(np.stack(each), which.T.numpy()[None], axis=0)[0]


@torch.no_grad()
def _model_draws(
    model: VAE,
    rows: Rows,
    position: int,
    generator: torch.Generator,
    settings: InferenceSettings,
) -> np.ndarray:
    n_values, parts = model.inputs.n_values, []
    for conditional in conditionals(model, rows, settings, settings.n_samples):
        z = conditional.sample(N_DRAWS, generator)
        values, codes = (part.cpu() for part in model.decode(z.flatten(0, 1), generator))
        values = values.double()  # the units of the table may be beyond single precision
        of_column = values[:, position] if position < n_values else codes[:, position - n_values]
        parts.append(of_column.unflatten(0, z.shape[:2]).numpy())
    return np.concatenate(parts, axis=1)


def _summary(column: Any, draws: np.ndarray, coverage: float) -> tuple[list, list, list]:
    """The expected value of a column and its interval; of levels the mode alone."""
    none = [None] * draws.shape[1]
    if draws.dtype.kind == "i":
        counts = np.stack([(draws == code).sum(0) for code in range(column.n_codes)])
        return objects(column.decode(counts.argmax(0))), none, none
    if column.kind == "boolean":
        return objects(column.decode((draws > 0).mean(0) - 0.5)), none, none
    tail = (1 - coverage) / 2
    # A monotone map takes quantiles to quantiles.
    quantiles = np.quantile(draws, [0.5, tail, 1 - tail], axis=0, method="inverted_cdf")
    expected, low, high = (objects(column.decode(each)) for each in quantiles)
    return expected, low, high
