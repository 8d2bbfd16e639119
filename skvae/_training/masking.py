"""Masks: cells that training hides from the encoder, so that it learns incomplete rows.

The generative model p(x, z) is trained on the rows as they are. In addition, the encoder alone is
trained on rows of which more cells are masked: on the bound on log p(remaining cells), with the
generative model fixed. So q(z | any part of a row) is learned, and p(x | z) never sees a row with
fewer cells than it has (compare Mattei & Frellsen 2019, arXiv:1812.02633, where both are trained on
the observed cells). An encoder that represents both is a little worse for complete rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skvae._model.rows import Rows

EVERY = 3  # every third step also trains the encoder on masked rows
COPIED = 0.5  # proportion of the rows that take the missing cells of another row, if there are any


def masked_cells(rows: Rows, ratio: float, generator: torch.Generator) -> Tensor:
    """The cells to mask, (n_rows, n_columns) of bool.

    From each row a proportion between 0 and `ratio` is masked, cell by cell; or, where rows have
    missing values, the cells that are missing in another row.
    """
    n, device = len(rows), rows.values.device
    proportion = ratio * torch.rand((n, 1), generator=generator, device=device)
    shape = (n, rows.n_columns)
    masked = torch.rand(shape, generator=generator, device=device) < proportion
    if rows.missing is None:
        return masked
    other = rows.missing[torch.randperm(n, generator=generator, device=device)]
    copies = torch.rand((n, 1), generator=generator, device=device) < COPIED
    return torch.where(copies, other, masked)
