"""New rows: codes from the prior, or given some cells, and the tables that they decode to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from skvae._constraints.relations import Relation
from skvae._inference.conditional import conditionals
from skvae._inference.importance import InferenceSettings
from skvae._model.schema import Schema
from skvae._model.vae import VAE
from skvae._table.layouts import Cells
from skvae._table.reading import Table, read_table
from skvae._validation import check_columns

from .conditions import check_possible, merge, warn_outside
from .constraining import constrained

N_REDRAWS = 10
SHRINKAGE = 0.8  # of a code whose row cannot be repaired
CODES_EACH = 2  # weighted codes for each row that is drawn given others
CHUNK = 8192


def read_conditions(schema: Schema, given: Any) -> Table:
    """The given cells as a table of all fitted columns, with the others missing.

    Raises
    ------
    ValueError
        If a column was not fitted, or the model gives a cell no probability.

    Warns
    -----
    UserWarning
        If a number or date is outside the fitted ones.
    """
    columns = schema.columns
    names = [column.name for column in columns]
    if isinstance(given, Mapping):
        check_columns(list(given), names, "given")
        given = {name: [value] for name, value in given.items()}
        given = pd.DataFrame({n: pd.Series(v, dtype=_dtype(v[0])) for n, v in given.items()})
    table = read_table(given)
    if table.n_rows < 1:
        raise ValueError("'given' has no rows; pass at least one condition.")
    check_columns(table.names, names, "given")
    position = {name: j for j, name in enumerate(table.names)}
    missing = np.ones(table.n_rows, dtype=bool)

    def read(j: int, as_label: bool) -> Cells:
        name = columns[j].name
        if name not in position:
            return Cells("float", np.full(table.n_rows, np.nan), missing)
        likelihood = schema.choices.get(name, (None,))[0]
        return check_possible(table.cells(position[name], as_label), columns[j], likelihood)

    conditions = Table(names, table.n_rows, schema.layout, read)
    for j, column in enumerate(columns):
        if column.name in position:
            warn_outside(conditions.cells(j, column.type == "label"), column)
    return conditions


def _dtype(value: Any) -> Any:
    """Text and other objects keep their type; numbers, booleans and dates find their dtype."""
    return object if isinstance(value, (str, bytes)) or value is None else None


def conditional_codes(
    model: VAE,
    schema: Schema,
    conditions: Table,
    n_samples: int,
    generator: torch.Generator,
    settings: InferenceSettings,
) -> tuple[Tensor, Tensor]:
    """Codes drawn from p(z | given cells), `n_samples` for each condition in turn.

    Returns
    -------
    z : Tensor of shape (n_conditions * n_samples, n_components)
    ess : Tensor of shape (n_conditions,)
    """
    rows = schema.encode(conditions)
    missing = torch.zeros(len(rows), rows.n_columns, dtype=torch.bool)
    # Cells that are not given are marginalized: that they are missing is not informative.
    rows = settings.rows(rows.mask(missing if rows.missing is None else rows.missing))
    codes, ess = [], []
    n_codes = max(settings.n_samples, CODES_EACH * n_samples)
    for conditional in conditionals(model, rows, settings, n_codes):
        z = conditional.sample(n_samples, generator)
        codes.append(z.double().transpose(0, 1).flatten(0, 1).cpu())
        ess.append(conditional.ess.cpu())
    return torch.cat(codes), torch.cat(ess).double()


def decode(model: VAE, schema: Schema, z: Tensor, relations: Sequence[Relation] = ()) -> Any:
    """The table that the decoder expects for codes z, (n_rows, n_components)."""
    return as_table(model, schema, z, *decoded(model, schema, z), relations=relations)


@torch.no_grad()
def decoded(
    model: VAE, schema: Schema, z: Tensor, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Scaled numbers and codes for z: what the decoder expects, or draws with a generator."""
    parts = [draw_in_bounds(model, schema, part, generator) for part in z.split(_size(model))]
    values, codes = zip(*parts, strict=True)
    return torch.cat(values), torch.cat(codes)


def as_table(
    model: VAE,
    schema: Schema,
    z: Tensor,
    values: Tensor,
    codes: Tensor,
    *,
    generator: torch.Generator | None = None,
    mean: bool = False,
    missing: str = "none",
    given: Table | None = None,
    relations: Sequence[Relation] = (),
    new_codes: Callable[[int, torch.Generator], Tensor] | None = None,
) -> Any:
    """Decoded numbers and codes as a table; all tensors are on the CPU.

    Parameters
    ----------
    values, codes : Tensor of shape (n_rows, …)
        As :func:`decoded` gives them for z.
    generator : torch.Generator or None
        Gives the seed of the draws of pooled levels, of missing cells, and of rows that break
        constraints.
    mean : bool
        Whether pooled levels are the most frequent ones, not drawn.
    missing : {"none", "as_seen"}
        Complete rows, or rows with missing cells as the fitted table had them.
    given : Table or None
        Cells that are written over the decoded ones.
    relations : sequence of Relation
        Constraints that complete rows keep.
    new_codes : callable or None
        Draws codes for rows that can keep no constraints with theirs.
    """
    seed = None if generator is None else generator.initial_seed()
    rng = np.random.default_rng(seed)
    is_drawn = generator is not None and not mean
    cells = schema.cells(values.numpy(), codes.numpy(), rng if is_drawn else None)
    held = None
    if given is not None:
        pairs = enumerate(schema.columns)
        asked = [c.coerce(given.cells(j, c.type == "label")) for j, c in pairs]
        held = np.stack([~each.missing for each in asked], axis=1)
        cells = [merge(*each) for each in zip(schema.columns, asked, cells, strict=True)]
    if relations:
        draws = _draws(model, schema, seed, new_codes) if is_drawn else _nearer(model, schema)
        z = z.clone()
        cells = constrained(model, schema, z, cells, relations, held=held, **draws)
    if missing == "as_seen":
        masks = _missing_masks(model, schema, z, cells, rng)
        masks = masks if held is None else masks & ~held
        cells = [each.with_missing(mask) for each, mask in zip(cells, masks.T, strict=True)]
    return schema.layout.write(cells)


def _draws(
    model: VAE,
    schema: Schema,
    seed: int | None,
    new_codes: Callable[[int, torch.Generator], Tensor] | None,
) -> dict[str, Any]:
    """How rows that break constraints are drawn again."""
    rng = np.random.default_rng([0 if seed is None else seed, 1])
    own = torch.Generator().manual_seed(int(rng.integers(2**63)))

    def redrawn(z: Tensor) -> list[Cells]:
        values, codes = decoded(model, schema, z, own)
        return schema.cells(values.numpy(), codes.numpy(), rng)

    renewed = None if new_codes is None else lambda z: new_codes(len(z), own)
    return {"rng": rng, "decode": redrawn, "new_codes": renewed}


def _nearer(model: VAE, schema: Schema) -> dict[str, Any]:
    """How decoded rows that break constraints are decoded again: from codes closer to the origin.

    There the columns are at their means, which lie inside their bounds and keep every sum.
    """
    if not model.latent.supports_linearization:  # z is no vector that can be shorter
        return {}

    def expected(z: Tensor) -> list[Cells]:
        values, codes = decoded(model, schema, z)
        return schema.cells(values.numpy(), codes.numpy())

    return {"decode": expected, "new_codes": lambda z: SHRINKAGE * z}


def draw_in_bounds(
    model: VAE, schema: Schema, z: Tensor, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Scaled numbers and codes for z, on the CPU; those outside the bounds are drawn again.

    Numbers that are outside after a few draws are clipped when they are decoded.
    """
    z = z.to(model.device)
    values, codes = (part.cpu() for part in model.decode(z, generator))
    if generator is not None:
        for _ in range(N_REDRAWS):
            outside = schema.is_out_of_bounds(values)
            rows = outside.any(1).nonzero().squeeze(1)
            if not len(rows):
                break
            again = model.decode(z[rows.to(z.device)], generator)[0].cpu()
            # What is outside is not an atom. If it could become one, atoms would be too frequent.
            replaced = outside[rows] & ~schema.is_atom(again)
            values[rows] = torch.where(replaced, again, values[rows])
    return values, codes


def _missing_masks(
    model: VAE, schema: Schema, z: Tensor, cells: list[Cells], rng: np.random.Generator
) -> np.ndarray:
    """Masks given the drawn cells; those of informative columns are drawn from P(m | z)."""
    table = Table([c.name for c in schema.columns], len(z), schema.layout, lambda j, _: cells[j])
    rows = schema.encode(table, torch.float32).to(model.device)
    features = model.inputs.features(rows.values, rows.codes).detach().cpu().double().numpy()
    masks = schema.patterns.sample(features, rng)
    if all(group.missingness is None for group in model.groups):
        return masks
    with torch.no_grad():
        parts = [model.missing_probabilities(p.to(model.device)) for p in z.split(_size(model))]
    probability = torch.cat(parts).cpu().numpy()
    drawn = rng.random(probability.shape) < probability
    masks = masks.copy()
    for i, j in enumerate(schema.order):
        if np.isfinite(probability[:, i]).all():
            masks[:, j] = drawn[:, i]
    return masks


def _size(model: VAE) -> int:
    return model.chunk_size(1, most=CHUNK)
