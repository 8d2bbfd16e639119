"""Rows of a table as tensors: subsets, chunks, masks, and a canonical order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass
class Rows:
    """Rows of a table as tensors.

    Attributes
    ----------
    values : Tensor of shape (n_rows, n_numeric)
        Scaled numbers, 0 where missing.
    codes : Tensor of shape (n_rows, n_categorical)
        Codes of levels, −1 where missing.
    missing : Tensor of shape (n_rows, n_numeric + n_categorical) or None
        None: no cell is missing.
    extras : Tensor of shape (n_rows, n_extras) or None
        Further numbers for the likelihoods of some columns: lower edge and width of the rounding
        cell, the count, the number of the atom.
    log_measure : Tensor of shape (n_rows,)
        The part of log p(x) that does not depend on z; see :mod:`skvae._table.columns`.
    marginalized : Tensor of shape (n_rows, n_numeric + n_categorical) or None
        Cells that were masked to marginalize them: that they are missing is not informative.
    """

    values: Tensor
    codes: Tensor
    missing: Tensor | None
    extras: Tensor | None
    log_measure: Tensor
    marginalized: Tensor | None = None

    def __len__(self) -> int:
        return len(self.values)

    def fields(self) -> list[Tensor | None]:
        """The tensors, in the order in which ``Rows`` takes them."""
        return [
            self.values,
            self.codes,
            self.missing,
            self.extras,
            self.log_measure,
            self.marginalized,
        ]

    def _map(self, function: Any) -> Rows:
        fields = [None if f is None else function(f) for f in self.fields()]
        return Rows(*fields)  # type: ignore[arg-type]

    def take(self, index: Tensor) -> Rows:
        index = index.to(self.values.device)
        return self._map(lambda tensor: tensor.index_select(0, index))

    def reorder(self, order: Tensor) -> None:
        """Reorder the rows in place, column by column, which needs no copy of the table."""
        for tensor in self.fields():
            for column in () if tensor is None else tensor.reshape(len(tensor), -1).T:
                column.copy_(column[order])

    def chunks(self, size: int) -> Iterator[Rows]:
        for start in range(0, len(self), size):
            yield self._map(lambda tensor, a=start: tensor[a : a + size])

    def to(self, device: torch.device) -> Rows:
        return self._map(lambda tensor: tensor.to(device))

    def float(self) -> Rows:
        """The rows in single precision, but for their measure."""
        single = self._map(lambda tensor: tensor.float() if tensor.is_floating_point() else tensor)
        return replace(single, log_measure=self.log_measure)

    def double(self) -> Rows:
        """The rows in double precision."""
        return self._map(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)

    def with_mask(self) -> Rows:
        """The rows with a mask of missing cells, also where none is missing."""
        if self.missing is not None:
            return self
        shape, device = (len(self), self.n_columns), self.values.device
        missing = torch.zeros(shape, dtype=torch.bool, device=device)
        return replace(self, missing=missing)

    @property
    def n_columns(self) -> int:
        return self.values.shape[1] + self.codes.shape[1]

    def mask(self, cells: Tensor) -> Rows:
        """The rows with cells masked; `log_measure` is not changed."""
        missing = cells if self.missing is None else cells | self.missing
        marginalized = cells if self.marginalized is None else cells | self.marginalized
        n_values = self.values.shape[1]
        values = self.values.masked_fill(missing[:, :n_values], 0.0)
        codes = self.codes.masked_fill(missing[:, n_values:], -1)
        return replace(self, values=values, codes=codes, missing=missing, marginalized=marginalized)


def patterns(rows: Rows) -> Tensor:
    """A number for each row, the same for equal rows, of rows in canonical order."""
    differs = torch.zeros(len(rows) - 1, dtype=torch.bool)
    for tensor in (rows.values, rows.codes, rows.missing):
        for column in () if tensor is None else tensor.T:
            differs |= column[1:] != column[:-1]
    return torch.cat([torch.zeros(1, dtype=torch.long), torch.cumsum(differs, 0)])


def canonical_order(rows: Rows) -> np.ndarray:
    """An order of the rows that depends on their contents alone, not on their order in the table.

    A shuffled table trains the same model, and equal rows are neighbors.
    """
    return np.argsort(row_hashes(rows), kind="stable")


def row_hashes(rows: Rows) -> np.ndarray:
    """A hash of the float32 contents of each row, (n_rows,) of uint64; equal for equal rows."""
    hashed = np.zeros(len(rows), dtype=np.uint64)
    numbers = [rows.values, rows.codes]
    if rows.missing is not None:
        numbers.append(rows.missing)
    with np.errstate(over="ignore"):
        for tensor in numbers:
            for column in tensor.to(torch.float32).numpy().T:
                bits = (column + 0.0).view(np.uint32).astype(np.uint64)  # −0.0 is 0.0
                hashed = (hashed ^ bits) * np.uint64(0x9E3779B97F4A7C15)
                hashed ^= hashed >> np.uint64(29)
    return hashed


def distinct_rows(
    rows: Rows, index: Tensor, weights: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct rows among some, of rows in canonical order.

    Parameters
    ----------
    index : Tensor of shape (n,)
        The rows to consider; a row may occur several times.
    weights : Tensor of shape (n,) or None
        None: 1 each.

    Returns
    -------
    first : Tensor of shape (n_distinct,)
        The position of the first of each.
    key : Tensor of int64 of shape (n_distinct,)
        A hash of its contents.
    weight : Tensor of shape (n_distinct,)
        The summed weight of the rows that equal it.
    """
    weights = torch.ones(len(index)) if weights is None else weights
    found, inverse = torch.unique(patterns(rows)[index], return_inverse=True)
    first = torch.full((len(found),), len(rows)).scatter_reduce(0, inverse, index, reduce="amin")
    weight = torch.zeros(len(found)).index_add(0, inverse, weights.float())
    return first, torch.from_numpy(row_hashes(rows.take(first)).view(np.int64)), weight
