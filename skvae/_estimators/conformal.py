"""pvalues and predict_fdr: outliers with a guarantee, from calibration rows."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from skvae._inference.conformal import conformal_pvalues, rejected
from skvae._validation import is_real

from .base import BaseVAE


class ConformalMixin(BaseVAE):
    """``pvalues`` and ``predict_fdr``, by the scores of rows that no model has seen."""

    calibration_scores_: np.ndarray

    @abstractmethod
    def score_samples(self, X, *, n_jobs=None):
        """Scores of rows; higher is more normal."""

    def pvalues(self, X):
        r"""Conformal p-value of each row: its rank among the calibration rows.

        .. math:: p(x) = \frac{1 + \#\{\text{calibration rows that score no higher}\}}{1 + n}

        If a row comes from the distribution of the calibration rows, then P(p ≤ α) ≤ α, whatever
        the model: among rows with p ≤ 0.01 that are called outliers, one normal row in a hundred
        is a false positive.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the fitted columns; cells may be missing.

        Returns
        -------
        pvalues : ndarray of shape (n_samples,)
            Between 1 / (n + 1) and 1.

        Raises
        ------
        ValueError
            If X does not have the fitted columns, or there are no calibration rows.

        References
        ----------
        Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World. Bates et al.
        (2023), Testing for Outliers with Conformal p-values, arXiv:2104.08279.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAEOutlierDetector
        >>> X = np.random.default_rng(0).normal(size=(400, 2))
        >>> detector = VAEOutlierDetector(
        ...     1, max_iter=20, calibration_fraction=0.25, random_state=0
        ... ).fit(X)
        >>> bool(detector.pvalues([[9.0, -9.0]])[0] < 0.02)
        True
        """
        scores = self.score_samples(X)
        if not len(self.calibration_scores_):
            raise ValueError(
                f"p-values need rows that the model has not seen, but the last fit of this "
                f"{type(self).__name__} held none out. Fit it with calibration_fraction=0.2."
            )
        return conformal_pvalues(scores, self.calibration_scores_)

    def predict_fdr(self, X, alpha=0.1):
        """Which rows to call outliers, so that at most a proportion `alpha` of them is normal.

        The procedure of Benjamini and Hochberg on the p-values of all rows together: on average
        over tables, at most `alpha` of the rows that are called outliers are normal. The answer
        for a row depends on the other rows of the call.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the fitted columns; cells may be missing.
        alpha : float, default=0.1
            False discovery rate, in (0, 1).

        Returns
        -------
        labels : ndarray of int of shape (n_samples,)
            −1 for outliers, 1 for the others.

        Raises
        ------
        ValueError
            If there are no calibration rows, or so few that no row could be called an outlier: a
            row that scores below all n of them has p = 1 / (n + 1), which must not be more than
            `alpha`.

        Warns
        -----
        UserWarning
            If rows score below all calibration rows, but these are too few to call them outliers
            among so many rows.

        References
        ----------
        Benjamini & Hochberg (1995), Controlling the False Discovery Rate.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAEOutlierDetector
        >>> X = np.random.default_rng(0).normal(size=(400, 2))
        >>> detector = VAEOutlierDetector(
        ...     1, max_iter=20, calibration_fraction=0.25, random_state=0
        ... ).fit(X)
        >>> detector.predict_fdr([[0.0, 0.0], [9.0, -9.0]], alpha=0.1)
        array([ 1, -1])
        """
        if not is_real(alpha, above=0, below=1):
            raise ValueError(
                "The 'alpha' parameter of predict_fdr must be a number in the range (0, 1). Got "
                f"{alpha!r} instead."
            )
        outliers = rejected(self.pvalues(X), len(self.calibration_scores_), alpha)
        return np.where(outliers, -1, 1)
