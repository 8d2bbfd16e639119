"""score_samples, decision_function and predict of the detector: rows by their scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from skvae._fitted.pool import Pool

from .base import BaseVAE


class RankingMixin(BaseVAE):
    """``score_samples``, ``decision_function`` and ``predict``."""

    score_method: str
    offset_: float
    pool_weights_: np.ndarray

    def score_samples(self, X, *, n_jobs=None):
        """Scores of rows by `score_method`, in nats; higher is more normal.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows may have missing values.
        n_jobs : int or None, default=None
            Number of threads for tables of more than 8 192 rows; −1: one for each processor.
            None: one, unless in a :obj:`joblib.parallel_config` context. The answers are the same.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            The score of a row does not depend on the other rows. A row without an observed cell
            has 0.

        Raises
        ------
        ValueError
            If X does not have the fitted columns.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAEOutlierDetector
        >>> X = np.random.default_rng(0).normal(size=(400, 2))
        >>> detector = VAEOutlierDetector(1, max_iter=20, random_state=0).fit(X)
        >>> scores = detector.score_samples([[0.0, 0.0], [9.0, -9.0]])
        >>> bool(scores[0] > scores[1])
        True
        """
        table, settings = self._read(X), self._settings(n_jobs, "score_samples")
        return self._scoring_model.score(table, self.score_method, settings)

    def decision_function(self, X):
        """Scores minus the threshold: negative for outliers.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the fitted columns; cells may be missing.

        Returns
        -------
        distances : ndarray of shape (n_samples,)
            In nats; at least 0 for inliers.

        Raises
        ------
        ValueError
            If X does not have the fitted columns.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAEOutlierDetector
        >>> X = np.random.default_rng(0).normal(size=(400, 2))
        >>> detector = VAEOutlierDetector(1, max_iter=20, random_state=0).fit(X)
        >>> bool(detector.decision_function([[9.0, -9.0]])[0] < 0)
        True
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Which rows are below the threshold of `contamination`.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the fitted columns; cells may be missing.

        Returns
        -------
        labels : ndarray of int of shape (n_samples,)
            −1 for outliers, 1 for the others.

        Raises
        ------
        ValueError
            If X does not have the fitted columns.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAEOutlierDetector
        >>> X = np.random.default_rng(0).normal(size=(400, 2))
        >>> detector = VAEOutlierDetector(1, max_iter=20, random_state=0).fit(X)
        >>> detector.predict([[0.0, 0.0], [9.0, -9.0]])
        array([ 1, -1])
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    @property
    def models_(self) -> list:
        return self.fitted_model_.models

    @property
    def _scoring_model(self) -> Any:
        fine = getattr(self, "fine_noise_", None)
        if fine is None:
            return self.fitted_model_
        return Pool([self.fitted_model_, fine.fitted_model_], self.pool_weights_)
