"""score_samples and score: the log-density of rows, and its accuracy."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from skvae._inference.importance import InferenceSettings
from skvae._table.reading import Table
from skvae._validation import caller_stacklevel, positions

from .base import BaseVAE

WEAK, MAX_PROPORTION_WEAK = 2.0, 0.1  # effective draws of a row; proportion of rows to warn of
MIN_DRAWS_TO_WARN = 16
N_CHECKED, MAX_STD = 200, 0.1  # weak rows whose standard error is computed; nats


class ImportanceWarning(UserWarning):
    """One or two draws carry the importance weights of scores, which are likely too low.

    Examples
    --------
    >>> import warnings
    >>> from skvae import ImportanceWarning
    >>> warnings.simplefilter("ignore", ImportanceWarning)
    """


class DensityMixin(BaseVAE):
    """``score_samples`` and ``score``."""

    def score_samples(
        self, X, *, columns=None, given=None, return_std=False, return_ess=False, n_jobs=None
    ):
        r"""Log-density of each row, in nats and in the units of the table.

        .. math:: \log p(x) \approx \log \tfrac1K \sum_k p(x|z_k)\, p(z_k) / q(z_k|x)

        with quasi-random draws of the posterior of the row in the model with a decoder that is
        linearized around the code of the row (or, for models without one and with
        ``n_refinement_steps=0``, of q(z | x)). There are 16, and up to `n_importance_samples` where
        the score is not accurate to 0.15 nats. A row for which they are worth hardly one draw, such
        as an outlier, is also described by draws from p(z).
        Integers, booleans and levels are counted, continuous columns have densities (datetimes in
        days); a density that is put on integers explicitly counts as its value there. A row with
        missing values gets log p(observed cells); a row without an observed cell gets 0. A level or
        a constant that did not occur among n observed cells scores −log(n + 1), or −log(C + 1)
        where rare levels are pooled, which stand for C cells. Rows that were fitted score somewhat
        higher than new ones, as with any density; ``model_.prior.exemplar_bias`` is the part of
        it that is due to the aggregated prior. To rank outliers, :class:`VAEOutlierDetector` is
        the better choice: the noise of its models is chosen for that, not for the density.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the fitted columns; cells may be missing.
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
            posterior the K that were taken are worth, (Σ w)² / Σ w².
        n_jobs : int or None, default=None
            Number of threads for tables of more than 8 192 rows; −1: one for each processor.
            None: one, unless in a :obj:`joblib.parallel_config` context. The answers are the same.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            Higher is more normal. A lower bound on log p(x) that rises with K on average.
        std : ndarray of shape (n_samples,)
            Only with `return_std`.
        ess : ndarray of shape (n_samples,)
            Only with `return_ess`; at most K, and 0 where no draw has a weight.

        Raises
        ------
        ValueError
            If `columns` or `given` names a column that was not fitted, or both name the same.

        Warns
        -----
        ImportanceWarning
            If in more than a tenth of the rows one or two draws carry all the weight (ess < 2 of
            at least 16 draws) and the standard error of the score is over 0.1 nats.

        References
        ----------
        Burda, Grosse & Salakhutdinov (2016), Importance Weighted Autoencoders, arXiv:1509.00519.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAETransformer
        >>> X = np.random.default_rng(0).normal(size=(300, 2)) @ [[1.0, 0.9], [0.0, 0.4]]
        >>> vae = VAETransformer(1, random_state=0, max_iter=20).fit(X)
        >>> normal, outlier = vae.score_samples([[0.0, 0.0], [6.0, -6.0]])
        >>> bool(normal > outlier + 5)
        True
        """
        table, settings = self._read(X), self._settings(n_jobs, "score_samples")
        scored, condition = self._columns(columns, given)
        density = self.fitted_model_.log_density(
            table, settings, columns=scored, given=condition, with_std=return_std
        )
        warn_of_weak_rows(
            density.ess, settings, "scores of", lambda rows: self._std(table.take(rows), settings)
        )
        answers = [density.score]
        if return_std:
            answers.append(density.std)
        if return_ess:
            answers.append(density.ess)
        return answers[0] if len(answers) == 1 else tuple(answers)

    def _std(self, table: Table, settings: InferenceSettings) -> np.ndarray:
        """Monte-Carlo standard errors of scores."""
        return self.fitted_model_.log_density(table, settings, with_std=True).std

    def _columns(self, columns: Any, given: Any) -> tuple[list[int] | None, list[int] | None]:
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

    def score(self, X, y=None):
        """Mean of :meth:`score_samples`, so that model selection needs no scorer.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the fitted columns; cells may be missing.
        y : None
            Ignored.

        Returns
        -------
        score : float
            Mean log-density per row, in nats.

        Raises
        ------
        ValueError
            If X does not have the fitted columns.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAETransformer
        >>> X = np.random.default_rng(0).normal(size=(300, 2)) @ [[1.0, 0.9], [0.0, 0.4]]
        >>> vae = VAETransformer(1, random_state=0, max_iter=20).fit(X)
        >>> bool(vae.score(X) > vae.score(2 * X))
        True
        """
        return float(self.score_samples(X).mean())


def warn_of_weak_rows(
    ess: np.ndarray,
    settings: InferenceSettings,
    what: str,
    std: Callable[[np.ndarray], np.ndarray] | None = None,
) -> None:
    """Warn if in many rows one or two draws carry all the weight.

    With `std`, the standard errors of some rows by their positions, only rows with a large error
    count: a score may be accurate all the same.
    """
    weak = np.flatnonzero(ess < WEAK)
    few = max(1, MAX_PROPORTION_WEAK * len(ess))
    if settings.n_samples < MIN_DRAWS_TO_WARN or len(weak) <= few:
        return
    n_weak = len(weak)
    if std is not None:
        some = weak[np.linspace(0, len(weak) - 1, min(len(weak), N_CHECKED)).astype(int)]
        n_weak = round(n_weak * float((std(some) > MAX_STD).mean()))
        if n_weak <= few:
            return
    doubt = "likely too low" if what == "scores of" else "not reliable"
    more = "" if settings.n_refinement_steps else ", or set n_refinement_steps=10"
    warnings.warn(
        f"The {what} {n_weak} of {len(ess)} rows rest on one or two of {settings.n_samples} draws "
        f"and are {doubt}. Raise n_importance_samples{more}; return_ess=True shows which rows. "
        "Rows that are unlike all fitted rows have the same effect.",
        ImportanceWarning,
        stacklevel=caller_stacklevel(),
    )
