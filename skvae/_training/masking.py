"""Which cells training hides from the encoder, so that it learns to read rows with holes.

The generative model p(x, z) is trained on the rows as they are. Beside it, the encoder alone is
trained on rows of which some more cells are hidden: on the bound on log p(left cells), with the
generative model held fixed. So q(z | any part of a row) is learned, and p(x | z) never sees a row
with less than it has (compare Mattei & Frellsen 2019, arXiv:1812.02633, where both are trained on
what is seen). An encoder that must read both is a little worse for whole rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skvae._model.rows import Rows

EVERY = 3  # steps from one that teaches the encoder to read rows with holes to the next
COPIED = 0.5  # share of the rows that take the holes of another row, where the table has some


def masked_cells(rows: Rows, ratio: float, generator: torch.Generator) -> Tensor:
    """The cells to hide, (n_rows, n_columns).

    From each row a share between nothing and `ratio` is hidden, cell by cell; or, where rows have
    holes, those of another row.
    """
    n, device = len(rows), rows.values.device
    share = ratio * torch.rand((n, 1), generator=generator, device=device)
    shape = (n, rows.n_columns)
    hidden = torch.rand(shape, generator=generator, device=device) < share
    if rows.missing is None:
        return hidden
    other = rows.missing[torch.randperm(n, generator=generator, device=device)]
    copies = torch.rand((n, 1), generator=generator, device=device) < COPIED
    return torch.where(copies, other, hidden)
