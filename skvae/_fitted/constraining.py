"""Constraints of decoded rows: what the model says about levels, and new draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from skvae._constraints.keeping import keep
from skvae._constraints.relations import Relation
from skvae._constraints.values import Values
from skvae._model.schema import Schema
from skvae._model.vae import VAE
from skvae._table.columns import CategoricalColumn
from skvae._table.layouts import Cells

# From codes z to cells of each column.
Decode = Callable[[Tensor], list[Cells]]


def constrained(
    model: VAE,
    schema: Schema,
    z: Tensor,
    cells: list[Cells],
    relations: Sequence[Relation],
    *,
    held: np.ndarray | None = None,
    rng: np.random.Generator | None = None,
    decode: Decode | None = None,
    new_codes: Callable[[Tensor], Tensor] | None = None,
) -> list[Cells]:
    """Decoded cells, changed so that the rows keep constraints.

    Parameters
    ----------
    z : Tensor of shape (n_rows, n_components)
        The codes of the rows. Those of rows that are drawn anew are replaced, in place.
    held : ndarray of bool of shape (n_rows, n_columns) or None
        Cells that must not be changed.
    rng : Generator or None
        Draws what there is to choose; None: the most probable is taken.
    decode : callable or None
        From codes to cells: draws them, if there is an `rng`.
    new_codes : callable or None
        From the codes of rows that nothing else repairs to others; None: codes are kept.
    """
    if not relations:
        return cells
    values = Values.of(schema.columns, cells)
    if held is not None:
        values.held |= held

    def scores(j: int, rows: np.ndarray) -> np.ndarray | None:
        return level_scores(model, schema, j, z[torch.from_numpy(rows)])

    def redraw(rows: np.ndarray) -> Values:
        assert decode is not None
        return Values.of(schema.columns, decode(z[torch.from_numpy(rows)]))

    def renew(rows: np.ndarray) -> Values:
        assert new_codes is not None
        at = torch.from_numpy(rows)
        z[at] = new_codes(z[at])
        return redraw(rows)

    again = None if decode is None or rng is None else redraw
    keep(values, relations, scores, rng, again, again if new_codes is None else renew)
    return values.written(cells)


@torch.no_grad()
def level_scores(model: VAE, schema: Schema, j: int, z: Tensor) -> np.ndarray | None:
    """log p(level | z) of a column, (n_rows, n_levels); None: it has no levels."""
    column = schema.columns[j]
    if not isinstance(column, CategoricalColumn):
        return None
    place = schema.places[j]
    size = model.chunk_size(1, most=8192)
    parts = (part.to(model.device) for part in z.split(size))
    by_code = torch.cat([_probabilities(model, place, part) for part in parts]).cpu()
    share = np.ones(len(column.levels))
    if column.pools:
        pooled = column.pooled
        share[pooled] = column.counts[pooled] / column.counts[pooled].sum()
    with np.errstate(divide="ignore"):
        found: np.ndarray = np.log(by_code.numpy()[:, column.codes]) + np.log(share)
    return found


def _probabilities(model: VAE, place: int, z: Tensor) -> Tensor:
    """Probabilities of the codes of a categorical column, by its place among these."""
    for group, outputs in model.outputs(z):
        cells = group.cells
        if group.likelihood.target == "code" and cells.start <= place < cells.stop:
            means = group.likelihood.mean(group.split(outputs), group)
            return means[:, place - cells.start]
    raise AssertionError(f"no group has column {place}")
