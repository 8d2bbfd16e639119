"""posterior and impute: rows with missing values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skvae._fitted.fitted_model import FittedModel
from skvae._fitted.imputing import STRATEGIES
from skvae._inference.importance import InferenceSettings
from skvae._table.reading import Table
from skvae._training.weights import random_seed
from skvae._validation import is_int

from .base import BaseVAE
from .density import warn_of_weak_rows


class ImputationMixin(BaseVAE):
    """``posterior`` and ``impute``."""

    def posterior(self, X):
        """The posterior q(z | x) of rows: location and uncertainty in the latent space.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows may have missing cells: the fewer cells are observed, the wider is the posterior.

        Returns
        -------
        mean : ndarray of shape (n_samples, n_components_)
            In the units of the prior; ``transform`` gives it in units of what it explains.
        std : ndarray of shape (n_samples, n_components_)
            Standard deviation of each latent unit. A unit about which no cell is informative has
            that of the prior of the training, 1 for the standard normal one.

        Raises
        ------
        ValueError
            If X does not have the fitted columns.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAETransformer
        >>> X = np.random.default_rng(0).normal(size=(300, 4))
        >>> vae = VAETransformer(2, random_state=0, max_iter=5).fit(X)
        >>> mean, std = vae.posterior(X)
        >>> mean.shape, bool((std > 0).all())
        ((300, 2), True)
        """
        return self.fitted_model_.posterior(self._read(X), self._settings())

    def impute(
        self, X, n_draws=None, *, strategy="mean", random_state=None, return_ess=False, n_jobs=None
    ):
        r"""X with its missing cells filled, with what the model expects given the observed ones.

        .. math:: p(x_m | x_o) = \int p(x_m | z)\, p(z | x_o)\, dz

        by importance-weighted codes from the posterior of the row with a linearized decoder: half
        of `n_importance_samples`, and at least 128. Where the model has none (ladders, codes, a
        flow as prior, ``n_refinement_steps=0``), the encoder proposes the codes; for Gaussians and
        ladders half of them, and the prior up to sixteen times as many.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the fitted columns; cells may be missing.
        n_draws : int or None, default=None
            None: one table, with the expected value of each cell. A number: that many tables of
            draws from p(missing cells | observed cells), for multiple imputation; each is a
            plausible table, with the variance and the dependence between cells that a mean lacks.
        strategy : {"mean", "median", "most_frequent"}, default="mean"
            What is put in for a number, without `n_draws`: the conditional mean (of integers and
            dates rounded), median or mode. Levels and booleans are always the most probable.
            Medians, modes and the means of columns with a nonlinear map are taken over draws from
            one seed, and so depend a little on the other rows of the call.
        random_state : int, RandomState instance, Generator or None, default=None
            Of the draws. None: others at every call.
        return_ess : bool, default=False
            Also return the effective sample size of each row: how many draws from the true
            p(z | observed cells) its weighted codes are worth.
        n_jobs : int or None, default=None
            Number of threads for tables of more than 8 192 rows; −1: one for each processor.
            None: one, unless in a :obj:`joblib.parallel_config` context. The answers are the same.

        Returns
        -------
        X : table like the given one, or a list of `n_draws` of them
            Observed cells are unchanged, bit for bit. A column that never had a value
            in ``fit`` stays empty.
        ess : ndarray of shape (n_samples,)
            Only with `return_ess`.

        Raises
        ------
        ValueError
            If a parameter is not valid, or X does not have the fitted columns.

        Warns
        -----
        ImportanceWarning
            If in more than a tenth of the rows with missing values one or two codes carry all the
            weight.

        References
        ----------
        Mattei & Frellsen (2019), MIWAE: Deep Generative Modelling and Imputation of Incomplete
        Data Sets, arXiv:1812.02633. Rubin (1987), Multiple Imputation for Nonresponse in Surveys.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAETransformer
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(300, 1)) + 0.1 * rng.normal(size=(300, 3))
        >>> vae = VAETransformer(1, random_state=0).fit(X)
        >>> filled = vae.impute([[1.5, np.nan, 1.4]])
        >>> bool(abs(filled[0, 1] - 1.45) < 0.2)
        True
        """
        _check_impute(n_draws, strategy)
        settings = self._settings(n_jobs, "impute")
        options = n_draws, strategy, random_state, settings
        tables, ess = self._impute(X, self._read(X), *options)
        answer = tables[0] if n_draws is None else tables
        return (answer, ess) if return_ess else answer

    def _impute(
        self,
        X: Any,
        table: Table,
        n_draws: int | None,
        strategy: str,
        random_state: Any,
        settings: InferenceSettings,
        others: Sequence[FittedModel] = (),
    ) -> tuple[list, Any]:
        """X filled, once or for each draw, where the cells of `table` are missing.

        With other models of the same table, by the mean of what all say.
        """
        seed = 0 if n_draws is None else random_seed(random_state)
        tables, ess = self.fitted_model_.impute(
            X, settings, table=table, n_draws=n_draws, strategy=strategy, seed=seed, others=others
        )
        incomplete = table.missing.any(1)
        warn_of_weak_rows(ess[incomplete], settings, "imputed cells of")
        return tables, ess


def _check_impute(n_draws: Any, strategy: Any) -> None:
    if not (n_draws is None or is_int(n_draws, least=1)):
        raise ValueError(
            "The 'n_draws' parameter of impute must be None or an int in the range [1, inf). "
            f"Got {n_draws!r} instead."
        )
    if not (isinstance(strategy, str) and strategy in STRATEGIES):
        raise ValueError(
            f"The 'strategy' parameter of impute must be one of {sorted(STRATEGIES)}. Got "
            f"{strategy!r} instead."
        )
