"""New rows: from the model as it is, or given some of their cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skvae._inference.conditional import conditionals
from skvae._table.layouts import Cells
from skvae._table.reading import Table, read_table
from skvae._training.weights import random_seed
from skvae._validation import check_columns, is_int

from .conditions import merged, possible

REDRAWS = 10


class SamplingMixin:
    """``sample`` for an estimator with `model_` and `schema_`."""

    model_: Any
    schema_: Any
    n_importance_samples: int
    n_refinement_steps: int
    _warn_of: Any

    def sample(
        self, n_samples=1, random_state=None, *, given=None, missing="none", mean=False,
        return_ess=False,
    ):  # fmt: skip
        """Draw new rows: z from the prior p(z), then x from p(x | z).

        Given some cells, z is drawn from p(z | these cells) by importance resampling of codes that
        the encoder and the prior propose: a rare condition costs no more than a common one.

        Parameters
        ----------
        n_samples : int, default=1
            Rows to draw; with `given` for each condition.
        random_state : int, RandomState instance, Generator or None, default=None
            None: other rows at every call.
        given : dict or table, default=None
            What is known of the rows to draw: a dict from columns (of arrays: "x0", "x1", …) to
            values for one condition; a table with some of the fitted columns for one condition a
            row, in which missing cells are left open.
        missing : {"none", "as_seen"}, default="none"
            Complete rows, or rows with holes as the fitted table had them: those of random rows,
            and for the columns of `informative_missing` as likely as the drawn value makes it.
        mean : bool, default=False
            Return what the decoder expects at z, as ``inverse_transform`` does, instead of draws.
        return_ess : bool, default=False
            With `given`: also return how many draws from the true p(z | given) the weighted codes
            are worth.

        Returns
        -------
        X : table like the fitted one, with `n_samples` rows, or that many for each condition
            The draws of the first condition, then those of the second, and so on. Numbers stay
            inside the bounds that were seen, given cells are as they were given. Columns that
            never had a value have none.
        ess : ndarray of shape (n_conditions,)
            Only with `return_ess`.

        Warns
        -----
        ImportanceWarning
            If for more than a tenth of the conditions one or two codes carry all the weight.
        """
        check_is_fitted(self)
        _check_sample(n_samples, missing, given, return_ess)
        generator = torch.Generator().manual_seed(random_seed(random_state))
        if given is None:
            with torch.no_grad():
                z = self.model_.latent.sample(int(n_samples), self.model_.prior, generator)
            return self._decode(z, generator, mean=mean, missing=missing)
        table = self._conditions(given)
        rows, ess = self._given_rows(table), []
        codes = []
        for conditional in self._conditionals(rows):
            codes.append(
                conditional.sample(int(n_samples), generator).double().transpose(0, 1).flatten(0, 1)
            )
            ess.append(conditional.ess)
        sizes = torch.cat(ess).double().numpy()
        self._warn_of(sizes, "draws given the cells of")
        repeated = table.take(np.repeat(np.arange(table.n_rows), int(n_samples)))
        X = self._decode(torch.cat(codes), generator, mean=mean, missing=missing, given=repeated)
        return (X, sizes) if return_ess else X

    def _conditionals(self, rows):
        return conditionals(self.model_, rows, self.n_importance_samples, self.n_refinement_steps)

    def _conditions(self, given: Any) -> Table:
        """What is given, as a table of all fitted columns with the others missing."""
        columns = self.schema_.columns
        names = [column.name for column in columns]
        if isinstance(given, Mapping):
            check_columns(list(given), names, "given")
            given = {name: [value] for name, value in given.items()}
            given = pd.DataFrame({n: pd.Series(v, dtype=_dtype(v[0])) for n, v in given.items()})
        table = read_table(given)
        if table.n_rows < 1:
            raise ValueError("'given' has no rows; pass at least one condition.")
        check_columns(table.names, names, "given")
        found = {name: j for j, name in enumerate(table.names)}
        empty = np.ones(table.n_rows, dtype=bool)

        def read(j: int, as_label: bool) -> Cells:
            name = columns[j].name
            if name not in found:
                return Cells("float", np.full(table.n_rows, np.nan), empty)
            likelihood = self.schema_.choices.get(name, (None,))[0]
            return possible(table.cells(found[name], as_label), columns[j], likelihood)

        return Table(names, table.n_rows, self.schema_.layout, read)

    def _given_rows(self, table: Table):
        """The rows of conditions: what is not given is hidden, not missing."""
        rows = self.schema_.encode(table)
        missing = torch.zeros(len(rows), rows.n_columns, dtype=torch.bool)
        return rows.mask(missing if rows.missing is None else rows.missing)

    def _decode(self, z, generator, *, mean=False, missing="none", given=None):
        """A table from codes: points, or draws with a generator."""
        size = self.model_.chunk_size(1, most=8192)
        draws_from = None if mean else generator
        with torch.no_grad():
            parts = [self._drawn(chunk, draws_from) for chunk in z.split(size)]
        values, codes = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
        rng = np.random.default_rng(None if generator is None else generator.initial_seed())
        cells = self.schema_.cells(values, codes, None if draws_from is None else rng)
        if missing == "as_seen":
            holes = self.schema_.patterns.sample(len(z), rng)
            holes = self._informed(holes, z, rng)
            cells = [c.emptied(hole) for c, hole in zip(cells, holes.T, strict=True)]
        if given is not None:
            cells = [
                merged(column, given.cells(j, column.type == "label"), drawn)
                for j, (column, drawn) in enumerate(zip(self.schema_.columns, cells, strict=True))
            ]
        return self.schema_.layout.write(cells)

    def _informed(self, holes: np.ndarray, z: Tensor, rng: np.random.Generator) -> np.ndarray:
        """Holes of the informative columns, drawn anew by the codes of the rows."""
        if all(group.missingness is None for group in self.model_.groups):
            return holes
        size = self.model_.chunk_size(1, most=8192)
        with torch.no_grad():
            chance = torch.cat(
                [self.model_.missing_probabilities(c) for c in z.split(size)]
            ).numpy()
        order = [*self.schema_.numeric, *self.schema_.categorical]
        drawn = rng.random(chance.shape) < chance
        holes = holes.copy()
        for i, j in enumerate(order):
            if np.isfinite(chance[:, i]).all():
                holes[:, j] = drawn[:, i]
        return holes

    def _drawn(self, z, generator):
        """Numbers and codes for z; draws beyond the seen bounds are drawn again.

        What is still beyond after a few times is set to the bound when it is decoded.
        """
        values, codes = self.model_.decode(z, generator)
        if generator is not None:
            low, high = self.schema_.bounds
            for _ in range(REDRAWS):
                beyond = (values < low) | (values > high)
                rows = beyond.any(1).nonzero().squeeze(1)
                if not len(rows):
                    break
                again, _ = self.model_.decode(z[rows], generator)
                values[rows] = torch.where(beyond[rows], again, values[rows])
        return values, codes


def _dtype(value: Any) -> Any:
    """Text and odd objects stay what they are; numbers, booleans and dates find their dtype."""
    return object if isinstance(value, (str, bytes)) or value is None else None


def _check_sample(n_samples: Any, missing: Any, given: Any, return_ess: Any) -> None:
    if not is_int(n_samples, least=1):
        raise ValueError(
            f"The 'n_samples' parameter of sample must be an int in the range [1, inf). "
            f"Got {n_samples!r} instead."
        )
    if missing not in ("none", "as_seen"):
        raise ValueError(
            f"The 'missing' parameter of sample must be one of ['as_seen', 'none']. Got "
            f"{missing!r} instead."
        )
    if return_ess and given is None:
        raise ValueError("return_ess=True is for draws with 'given': others have no weights.")
