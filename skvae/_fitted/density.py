"""What the estimators answer about densities: one log-density a row, and how far to trust it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

from skvae._inference.log_density import N_SCRAMBLINGS, LogDensity, averaged, log_density
from skvae._model.rows import Rows
from skvae._table.reading import Table
from skvae._validation import check_parameters, positions

WEAK, MANY_WEAK = 2.0, 0.1  # effective draws of a row, and share of such rows that is warned of


class ImportanceWarning(UserWarning):
    """Scores whose importance weights are carried by one or two draws: likely too low.

    Examples
    --------
    >>> import warnings
    >>> from skvae import ImportanceWarning
    >>> warnings.simplefilter("ignore", ImportanceWarning)
    """


class DensityMixin:
    """``score_samples`` and ``score`` for an estimator with fitted models and `schema_`."""

    _at_precision: Any
    schema_: Any
    n_importance_samples: int
    n_refinement_steps: int
    _read: Any
    _encode: Any

    def score_samples(self, X, *, columns=None, given=None, return_std=False, return_ess=False):
        r"""Log-density of each row, in nats and in the units of the table.

        .. math:: \log p(x) \approx \log \tfrac1K \sum_k p(x|z_k)\, p(z_k) / q(z_k|x)

        with K = `n_importance_samples` quasi-random draws, the same for every row. Integers,
        booleans and levels are counted, continuous columns have densities (datetimes in days); a
        density that is put on integers by hand counts as its value at the integer. A row with
        holes gets log p(seen cells); a row without any seen cell gets 0. A level or a constant
        never seen in n seen cells scores −log(n + 1), or −log(C + 1) beside the pooled rare
        levels, which stand for C cells. Rows that were fitted score somewhat higher than new ones,
        as with any density; how much of it the aggregated prior adds is told by
        ``model_.prior.exemplar_bias``.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
        columns : column or list of columns, default=None
            Score these cells only: the marginal log p(x_a). None: all, or with `given` all others.
        given : column or list of columns, default=None
            Score the cells given those of these columns: log p(x_a | x_b), the difference of
            log p(x_a, x_b) and log p(x_b).
        return_std : bool, default=False
            Also return the Monte-Carlo standard error of each score, from the spread of eight
            independent scramblings of the draws; eight times the work.
        return_ess : bool, default=False
            Also return the effective sample size of each row: how many draws from the true
            posterior the K are worth, (Σ w)² / Σ w².

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            Higher is more normal. A lower bound on log p(x) that rises with K on average.
        std : ndarray of shape (n_samples,)
            Only with `return_std`.
        ess : ndarray of shape (n_samples,)
            Only with `return_ess`; between 1 and K.

        Warns
        -----
        ImportanceWarning
            If in more than a tenth of the rows one or two draws carry all the weight
            (ess < 2 of at least 16 draws).
        """
        check_parameters(self)
        table = self._read(X)
        result = self._log_density(table, *self._parts(columns, given), return_std)
        self._warn_of(result.ess)
        answers = [result.score]
        if return_std:
            answers.append(result.std)
        if return_ess:
            answers.append(result.ess)
        return answers[0] if len(answers) == 1 else tuple(answers)

    def _parts(self, columns: Any, given: Any) -> tuple[list[int] | None, list[int] | None]:
        """Positions of the columns that are scored, None for all, and of those that are given."""
        names = [column.name for column in self.schema_.columns]
        b = None if given is None else positions(given, names, "given")
        if columns is None:
            return (None if b is None else [j for j in range(len(names)) if j not in b]), b
        a = positions(columns, names, "columns")
        both = [names[j] for j in a if j in (b or ())]
        if both:
            raise ValueError(
                f"'columns' and 'given' both name {both}; a column is one or the other."
            )
        return a, b

    def _log_density(
        self, table: Table, scored: list[int] | None, given: list[int] | None, with_std: bool
    ) -> LogDensity:
        def of(part: list[int] | None) -> LogDensity:
            n_nets = N_SCRAMBLINGS if with_std else 1
            rows = self._encode(table) if part is None else self._part(table, part)
            how = self.n_importance_samples, n_nets, self.n_refinement_steps
            models, rows = self._at_precision(rows)
            return averaged([log_density(model, rows, *how) for model in models])

        if scored is None or given is None:
            return of(scored)
        both, condition = of(sorted([*scored, *given])), of(given)
        return LogDensity(
            both.score - condition.score,
            np.hypot(both.std, condition.std),
            np.minimum(both.ess, condition.ess),
        )

    def _part(self, table: Table, part: list[int]) -> Rows:
        """The rows with all other columns hidden."""
        rows = self._encode(table.only(part))
        order = [*self.schema_.numeric, *self.schema_.categorical]
        others = torch.tensor([j not in part for j in order], dtype=torch.bool)
        return rows.mask(others.expand(len(rows), -1))

    def _warn_of(self, ess: np.ndarray, what: str = "scores of") -> None:
        n_weak = int((ess < WEAK).sum())
        if self.n_importance_samples >= 16 and n_weak > max(1, MANY_WEAK * len(ess)):
            doubt = "likely too low" if what == "scores of" else "not to be relied on"
            more = "" if self.n_refinement_steps else ", or set n_refinement_steps=10"
            warnings.warn(
                f"The {what} {n_weak} of {len(ess)} rows rest on one or two of "
                f"{self.n_importance_samples} draws and are {doubt}. Raise "
                f"n_importance_samples{more}; return_ess=True tells which rows. "
                "Rows that are unlike all that were fitted show the same.",
                ImportanceWarning,
                stacklevel=3,
            )

    def score(self, X, y=None):
        """Mean of :meth:`score_samples`, so that model selection needs no scorer.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        float
            Mean log-density per row, in nats.
        """
        return float(self.score_samples(X).mean())
