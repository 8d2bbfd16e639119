"""explain_samples: which columns and cells make a row likely or unlikely."""

from __future__ import annotations

from typing import Any

import pandas as pd

from skvae._validation import is_int, is_real

from .base import BaseVAE


class ExplanationMixin(BaseVAE):
    """``explain_samples``."""

    def explain_samples(
        self, X, *, relative=False, return_cells=False, n_cells=3, coverage=0.9, n_jobs=None
    ):
        r"""What each column adds to the log-density of each row, in nats.

        .. math:: \log p(x) = \sum_j E_{p(z|x)}[\log p(x_j | z)] - KL(p(z|x) \| p(z))

        A column with a low part holds what the model did not expect, even at the codes that fit
        the row best; the latent part is low where these codes themselves are rare: where each cell
        is usual, but not their combination. An extreme cell moves the codes, which lowers the parts
        of other columns too; the table of cells scores each cell given all others, by at least 64
        draws from the posterior of the others.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows may have missing cells; missing cells add 0.
        relative : bool, default=False
            Subtract the mean parts of typical rows, drawn from the model: the difference is what
            each column costs in nats, whatever its unit. The difference of a missing cell is 0.
        return_cells : bool, default=False
            Also return the most surprising cells, and what the model expects in their place.
        n_cells : int, default=3
            Cells of each row to return.
        coverage : float, default=0.9
            Of the interval around the expected value, in (0, 1).
        n_jobs : int or None, default=None
            Number of threads for tables of more than 8 192 rows; −1: one for each processor.
            None: one, unless in a :obj:`joblib.parallel_config` context. The answers are the same.

        Returns
        -------
        parts : DataFrame of shape (n_samples, n_features + 1)
            One column for each of X, and "latent" (with underscores appended until no column has
            that name). Each row adds up to its log-density, what ``score_samples`` of a
            :class:`VAETransformer` or, with the default `score_method`, of a
            :class:`VAEOutlierDetector` gives; with `relative`, if no cell is missing, to its
            distance from the mean of typical rows. The index is that of a pandas X.
        cells : DataFrame of shape (n_samples * n_cells, 7)
            Only with `return_cells`. "row" (index label), "column", "value"; "surprise", by how
            many nats -log p(x_j | all other cells) is above the mean for the column, largest
            first; "expected", the median of p(x_j | all other cells) or its most probable level;
            "low" and "high", its interval, None for levels.

        Raises
        ------
        ValueError
            If a parameter is not valid, or X does not have the fitted columns.

        See Also
        --------
        skvae.plots.ExplanationDisplay : The same as bars.

        References
        ----------
        Besag (1975), Statistical Analysis of Non-Lattice Data (p(x_j | all other cells)).

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAETransformer
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(300, 1)) + 0.1 * rng.normal(size=(300, 3))
        >>> vae = VAETransformer(1, random_state=0).fit(X)
        >>> parts, cells = vae.explain_samples([[1.0, 1.0, -1.0]], return_cells=True)
        >>> cells["column"].iloc[0]
        'x2'
        """
        table, settings = self._read(X), self._settings(n_jobs, "explain_samples")
        _check_options(n_cells, coverage)
        index = X.index if isinstance(X, pd.DataFrame) else pd.RangeIndex(table.n_rows)
        names = [column.name for column in self.schema_.columns]
        parts = self._scoring_model.explain(table, settings, relative=relative)
        frame = pd.DataFrame(parts, index=index, columns=[*names, latent_name(names)])
        if not return_cells:
            return frame
        cells = self._scoring_model.surprising_cells(table, settings, n_cells, coverage)
        cells["row"] = index[cells["row"]]
        return frame, cells


def latent_name(names: list) -> str:
    """The name of the latent part, which no column has."""
    name = "latent"
    while name in names:
        name += "_"
    return name


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
