"""Why a row is odd: its log-density as a sum over columns, and what its odd cells should be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import log_softmax, logsumexp
from sklearn.utils.validation import check_is_fitted

from skvae._inference.conditional import conditionals
from skvae._inference.log_density import attributions
from skvae._inference.scoring import left_out
from skvae._model.rows import Rows
from skvae._model.vae import VAE
from skvae._table.layouts import objects
from skvae._table.reading import Table, read_table
from skvae._validation import check_parameters, is_int, is_real

N_TYPICAL = 500  # rows of the model that tell what is usual
N_DRAWS = 200  # of a cell, for its median and interval
SEED = 20_261_124


class ExplanationMixin:
    """``explain_samples`` for an estimator with fitted models and `schema_`."""

    _models: Any
    schema_: Any
    n_importance_samples: int
    n_refinement_steps: int
    _read: Any
    _encode: Any

    def explain_samples(self, X, *, relative=False, return_cells=False, n_cells=3, coverage=0.9):
        r"""What each column adds to the log-density of each row, in nats.

        .. math:: \log p(x) = \sum_j E_{p(z|x)}[\log p(x_j | z)] - KL(p(z|x) \| p(z))

        A column with little adds what the model did not expect, even at the codes that suit the
        row best; the latent part is low where these codes themselves are rare: where each cell
        would do, but not together. An extreme cell drags the codes along, so that others suffer
        too; which cells are to blame, each given all others, is told by the table of cells.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows may have missing cells; they add nothing.
        relative : bool, default=False
            Count from typical rows, those that the model makes: what is left says how many nats
            each column costs, whatever its unit. A missing cell costs nothing.
        return_cells : bool, default=False
            Also return the oddest cells, and what the model would have expected there.
        n_cells : int, default=3
            Cells of each row to return.
        coverage : float, default=0.9
            Of the interval around the expected value, in (0, 1).

        Returns
        -------
        parts : DataFrame of shape (n_samples, n_features + 1)
            One column for each of X, and "latent" (with as many underscores behind it as make it
            a new name). Each row adds up to its log-density, what ``score_samples`` of a
            :class:`VAETransformer` gives; with `relative`, if it has no holes, to its distance
            from the mean log-density of typical rows. The index is that of a pandas X.
        cells : DataFrame of shape (n_samples * n_cells, 7)
            Only with `return_cells`. "row" (index label), "column", "value"; "surprise", by how
            many nats -log p(x_j | all other cells) is over what is usual for the column, largest
            first; "expected", the median of p(x_j | all other cells) or its most probable level;
            "low" and "high", its interval, None for levels.

        See Also
        --------
        skvae.plots.ExplanationDisplay : The same as bars.
        """
        check_is_fitted(self)
        check_parameters(self)
        _check_options(n_cells, coverage)
        table = self._read(X)
        rows = self._encode(table)
        index = X.index if isinstance(X, pd.DataFrame) else pd.RangeIndex(table.n_rows)
        names = [column.name for column in self.schema_.columns]
        parts = self._parts_of(table, rows)
        if relative or return_cells:
            typical = self._typical()
        if relative:
            parts = parts - self._parts_of(typical, self._encode(typical)).mean(0)
            parts[:, :-1][table.missing] = 0.0
        frame = pd.DataFrame(parts, index=index, columns=[*names, latent_name(names)])
        if not return_cells:
            return frame
        usual = self._left_out(self._encode(typical))[0].mean(0)
        return frame, self._odd_cells(table, rows, usual, index, n_cells, coverage)

    def _parts_of(self, table: Table, rows: Rows) -> np.ndarray:
        """The parts of log p(x), columns in the order of the table and the latent part last."""
        how = self.n_importance_samples, self.n_refinement_steps
        cells, log_px = zip(*(attributions(model, rows, *how) for model in self._models),
                            strict=True)  # fmt: skip
        each = np.stack([density.numpy() for density in log_px])
        share = np.exp(log_softmax(each, axis=0))[..., None]
        total = logsumexp(each, axis=0) - np.log(len(each))
        parts = np.zeros((len(rows), len(self.schema_.columns)))
        parts[:, self._order] = (share * np.stack([part.numpy() for part in cells])).sum(0)
        latent = total - parts.sum(1)
        return np.column_stack([parts + self.schema_.log_measures(table), latent])

    def _left_out(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """log p(x_j | all other cells), (n, d), and each model's log p(x_-j), (M, n, d)."""
        how = self.n_importance_samples, self.n_refinement_steps
        parts, log_px = zip(*(left_out(model, rows, *how) for model in self._models), strict=True)
        each, whole = torch.stack(parts).numpy(), torch.stack(log_px).numpy()[..., None]
        return logsumexp(whole, axis=0) - logsumexp(whole - each, axis=0), whole - each

    def _typical(self) -> Table:
        """Rows that the model makes, which tell what is usual."""
        generator = torch.Generator().manual_seed(SEED)
        per_model = -(-N_TYPICAL // len(self._models))
        drawn = []
        with torch.no_grad():
            for model in self._models:
                z = model.latent.sample(per_model, model.prior, generator)
                drawn.append(model.decode(z, generator))
        values, codes = (torch.cat(part).numpy() for part in zip(*drawn, strict=True))
        cells = self.schema_.cells(values, codes, np.random.default_rng(SEED))
        return read_table(self.schema_.layout.write(cells))

    def _odd_cells(
        self, table: Table, rows: Rows, usual: np.ndarray, index: pd.Index, n: int, coverage: float
    ) -> pd.DataFrame:
        """The cells of each row that surprise most, beside what was expected."""
        log_p, log_others = self._left_out(rows)
        surprise = usual - log_p
        if rows.missing is not None:
            surprise[rows.missing.numpy()] = -np.inf
        most = np.argsort(-surprise, axis=1, kind="stable")[:, :n]
        row, at = np.repeat(np.arange(len(rows)), most.shape[1]), most.ravel()
        seen = np.isfinite(surprise[row, at])
        row, at = row[seen], at[seen]
        found: list[tuple] = [()] * len(row)
        for position in np.unique(at):
            here = np.flatnonzero(at == position)
            i = row[here]
            some = rows.take(torch.from_numpy(i))
            draws = self._draws(some, int(position), log_others[:, i, position])
            column = self._column(position)
            cells = table.cells(self._order[position], column.type == "label").take(i)
            answers = zip(objects(cells), *_summary(column, draws, coverage), strict=True)
            for k, (value, *expected) in zip(here, answers, strict=True):
                r = row[k]
                found[k] = (index[r], column.name, value, surprise[r, position], *expected)
        names = ["row", "column", "value", "surprise", "expected", "low", "high"]
        columns = zip(*found, strict=True) if found else [()] * len(names)
        frame = pd.DataFrame(
            {n: pd.Series(c, dtype=object) for n, c in zip(names, columns, strict=True)}
        )
        return frame.astype({"row": index.dtype, "surprise": float})

    @property
    def _order(self) -> list[int]:
        """Positions in the table of the model's columns."""
        return [*self.schema_.numeric, *self.schema_.categorical]

    def _column(self, position: int) -> Any:
        return self.schema_.columns[self._order[position]]

    def _draws(self, rows: Rows, position: int, log_others: np.ndarray) -> np.ndarray:
        """Draws of p(x_j | all other cells) as scaled numbers or codes: (N_DRAWS, n_rows)."""
        cell = torch.zeros(len(rows), rows.n_columns, dtype=torch.bool)
        cell[:, position] = True
        generator = torch.Generator().manual_seed(SEED)
        how = self.n_importance_samples, self.n_refinement_steps
        each = [_drawn(m, rows.mask(cell), position, generator, *how) for m in self._models]
        share = torch.from_numpy(np.exp(log_softmax(log_others, axis=0)))
        which = torch.multinomial(share.T, N_DRAWS, replacement=True, generator=generator)
        return np.take_along_axis(np.stack(each), which.T.numpy()[None], axis=0)[0]


def latent_name(names: list) -> str:
    """The name of the latent part, one that no column has."""
    name = "latent"
    while name in names:
        name += "_"
    return name


@torch.no_grad()
def _drawn(
    model: VAE, rows: Rows, position: int, generator: torch.Generator, n_samples: int, n_steps: int
) -> np.ndarray:
    n_values, parts = model.inputs.n_values, []
    for conditional in conditionals(model, rows, n_samples, n_steps):
        z = conditional.sample(N_DRAWS, generator).double()
        values, codes = model.decode(z.flatten(0, 1), generator)
        of_column = values[:, position] if position < n_values else codes[:, position - n_values]
        parts.append(of_column.unflatten(0, z.shape[:2]).numpy())
    return np.concatenate(parts, axis=1)


def _summary(column: Any, draws: np.ndarray, coverage: float) -> tuple[list, list, list]:
    """What is expected of a column, and its interval; of levels the mode alone."""
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


def _check_options(n_cells: Any, coverage: Any) -> None:
    if not is_int(n_cells, least=1):
        raise ValueError(
            "The 'n_cells' parameter of explain_samples must be an int in the range [1, inf). "
            f"Got {n_cells!r} instead."
        )
    if not is_real(coverage, above=0, below=1):
        raise ValueError(
            "The 'coverage' parameter of explain_samples must be a number in the range (0, 1). "
            f"Got {coverage!r} instead."
        )
