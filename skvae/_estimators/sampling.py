"""sample: new rows, and rows with some given cells."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted

from skvae._training.weights import random_seed
from skvae._validation import is_int

from .base import BaseVAE
from .constraining import relations_for
from .density import warn_of_weak_rows


class SamplingMixin(BaseVAE):
    """``sample``."""

    def sample(
        self, n_samples=1, random_state=None, *, given=None, missing="none", mean=False,
        constraints="fitted", return_ess=False, n_jobs=None,
    ):  # fmt: skip
        """Draw new rows: z from the prior p(z), then x from p(x | z).

        Given some cells, z is drawn from p(z | these cells) by importance resampling of codes
        from a posterior of the condition: a rare one costs no more than a frequent one.

        Parameters
        ----------
        n_samples : int, default=1
            Rows to draw; with `given` for each condition.
        random_state : int, RandomState instance, Generator or None, default=None
            None: other rows at every call.
        given : dict or table, default=None
            Cells of the rows to draw: a dict from columns (of arrays: "x0", "x1", …) to
            values for one condition; a table with some of the fitted columns for one condition a
            row, in which missing cells are not given.
        missing : {"none", "as_seen"}, default="none"
            Complete rows, or rows with missing values as the fitted table had them: a pattern of
            missing cells is drawn given the other cells by linear discriminant analysis (Fisher
            1936), or that of a random row where they tell nothing about it; for the columns of
            `informative_missing` with the probability given the drawn value.
        mean : bool, default=False
            Return what the decoder expects at z, as ``inverse_transform`` does, instead of draws.
        constraints : "fitted", None or list, default="fitted"
            What the rows keep: ``constraints_``, nothing, or a list of "fitted" and objects of
            :mod:`skvae.constraints`. Rows that break a constraint are drawn again given their
            codes, and repaired where that does not help. Given cells are never changed.
        return_ess : bool, default=False
            With `given`: also return how many draws from the true p(z | given) the weighted codes
            are worth.
        n_jobs : int or None, default=None
            Number of threads for tables of more than 8 192 rows; −1: one for each processor.
            None: one, unless in a :obj:`joblib.parallel_config` context. The answers are the same.

        Returns
        -------
        X : table like the fitted one, with `n_samples` rows, or that many for each condition
            The draws of the first condition, then those of the second, and so on. Numbers stay
            inside the bounds that were seen, given cells are as they were given. Columns that
            never had a value have none.
        ess : ndarray of shape (n_conditions,)
            Only with `return_ess`.

        Raises
        ------
        ValueError
            If a parameter is not valid, or `given` has a column that was not fitted or a value
            that the model gives probability zero, or given cells contradict a constraint, or rows
            cannot keep one that was declared.

        Warns
        -----
        ImportanceWarning
            If for more than a tenth of the conditions one or two codes carry all the weight.
        UserWarning
            If a given number or date is outside the bounds of the fitted ones. Such rows have a low
            density, and their other cells are extrapolated.

        References
        ----------
        Rubin (1987), A Noniterative Sampling/Importance Resampling Alternative.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from skvae import VAETransformer
        >>> size = np.random.default_rng(0).normal(size=300)
        >>> table = pd.DataFrame({"size": size, "is_large": size > 0})
        >>> vae = VAETransformer(1, random_state=0).fit(table)
        >>> vae.sample(3, random_state=0).shape
        (3, 2)
        >>> large = vae.sample(50, given={"is_large": True}, random_state=0)
        >>> bool((large["size"] > -0.5).mean() > 0.9)
        True
        """
        check_is_fitted(self)
        _check_sample(n_samples, missing, given, return_ess)
        generator = torch.Generator().manual_seed(random_seed(random_state))
        n, settings = int(n_samples), self._settings(n_jobs, "sample")
        work: Any = n, generator, settings
        relations = relations_for(constraints, self.fitted_model_)
        options: Any = {"missing": missing, "mean": mean, "relations": relations}
        if given is None:
            return self.fitted_model_.sample(*work, **options)
        X, ess = self.fitted_model_.sample_given(given, *work, **options)
        warn_of_weak_rows(ess, settings, "draws given the cells of")
        return (X, ess) if return_ess else X


def _check_sample(n_samples: Any, missing: Any, given: Any, return_ess: Any) -> None:
    if not is_int(n_samples, least=1):
        raise ValueError(
            f"The 'n_samples' parameter of sample must be an int in the range [1, inf). "
            f"Got {n_samples!r} instead."
        )
    if not (isinstance(missing, str) and missing in ("none", "as_seen")):
        raise ValueError(
            f"The 'missing' parameter of sample must be one of ['as_seen', 'none']. Got "
            f"{missing!r} instead."
        )
    if return_ess and given is None:
        raise ValueError("return_ess=True is for draws with 'given': others have no weights.")
