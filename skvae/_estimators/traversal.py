"""interpolate, traverse and component_effects: paths in the latent space."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from skvae._validation import is_int

from .base import BaseVAE


class TraversalMixin(BaseVAE):
    """``interpolate``, ``traverse`` and ``component_effects``."""

    def interpolate(self, A, B, n_steps=10):
        """Rows on the straight line in the latent space from rows of A to rows of B.

        Parameters
        ----------
        A, B : tables of shape (n_samples, n_features)
            Of the same length, or one of them with one row.
        n_steps : int, default=10
            Rows on each line, its ends included.

        Returns
        -------
        X : table like the fitted one, with n_samples · n_steps rows
            The line of the first pair, then that of the second, and so on. The ends are the
            reconstructions of the rows, not the rows themselves.

        Raises
        ------
        ValueError
            If a parameter is not valid, or X does not have the fitted columns.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAETransformer
        >>> X = np.random.default_rng(0).normal(size=(300, 4))
        >>> vae = VAETransformer(2, random_state=0, max_iter=5).fit(X)
        >>> vae.interpolate(X[:1], X[1:2]).shape
        (10, 4)
        """
        n_steps = _check_steps(n_steps, "interpolate")
        return self.fitted_model_.interpolate(self._read(A), self._read(B), n_steps)

    def traverse(self, X, unit, n_steps=10):
        """Rows with one latent unit moved, and the other units of its layer as they are.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the fitted columns; cells may be missing.
        unit : int or str
            Position of the unit among the columns of ``transform``, negative from the end, or
            its name there.
        n_steps : int, default=10
            Values of the unit, evenly spaced from the 2 % to the 98 % quantile of the prior.

        Returns
        -------
        X : table like the fitted one, with n_samples · n_steps rows
            The moves of the first row, then those of the second, and so on. Where a unit of a
            higher layer of a ladder moves, the layers below are set to their conditional means,
            which do not depend on the row.

        Raises
        ------
        ValueError
            If a parameter is not valid, or X does not have the fitted columns.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAETransformer
        >>> X = np.random.default_rng(0).normal(size=(300, 4))
        >>> vae = VAETransformer(2, random_state=0, max_iter=5).fit(X)
        >>> vae.traverse(X[:1], unit=0).shape
        (10, 4)
        """
        n_steps = _check_steps(n_steps, "traverse")
        table = self._read(X)
        return self.fitted_model_.traverse(table, self._position(unit), n_steps)

    def component_effects(self, unit=None, n_steps=9):
        """What a component means: how each column changes along it.

        The unit moves from the 2 % to the 98 % quantile of the prior, the others stay at their
        means; as with the loadings of principal components, but the path of a column need not be
        linear.

        Parameters
        ----------
        unit : int, str or None, default=None
            Position or name among the columns of ``transform``. None: all, as a table of effects.
        n_steps : int, default=9
            Values of the unit that are evaluated.

        Returns
        -------
        effects : DataFrame
            One row a column, the strongest effects first. "effect": how far the expected value
            moves, in standard deviations of the column (in the scaled units of the model), with a
            minus sign if it falls; for levels the total variation distance of their
            probabilities, for booleans the change of the probability of True. "unit":
            "deviations" or "probability". "low" and "high": what the decoder expects at both
            ends, rounded and inside the bounds of the column. With ``unit=None`` one row a column
            of the table, in its order, and the effects on it in one column for each component.

        Raises
        ------
        ValueError
            If there is no such unit, or `n_steps` is not valid.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAETransformer
        >>> rng = np.random.default_rng(0)
        >>> size = rng.normal(size=(400, 1))
        >>> X = np.hstack([size, -2 * size, rng.normal(size=(400, 1))]) + 0.1
        >>> vae = VAETransformer(1, random_state=0, max_iter=20).fit(X)
        >>> vae.component_effects(0)["effect"].round().tolist()[-1]
        0.0
        """
        check_is_fitted(self)
        n_steps = _check_steps(n_steps, "component_effects")
        names = self._unit_names()
        if unit is None:
            each = [self.fitted_model_.effects(i, n_steps)["effect"] for i in range(len(names))]
            return pd.DataFrame(dict(zip(names, each, strict=True)))
        effects = self.fitted_model_.effects(self._position(unit), n_steps)
        order = np.argsort(-effects["effect"].abs().to_numpy(), kind="stable")
        return effects.iloc[order]

    def _position(self, unit: Any) -> int:
        names = self._unit_names()
        if isinstance(unit, str) and unit in names:
            return names.index(unit)
        if is_int(unit) and -len(names) <= unit < len(names):
            return int(unit) % len(names)
        raise ValueError(
            f"unit={unit!r} is none of the latent units; pass a position below {len(names)} or "
            f"one of {names}."
        )


def _check_steps(n_steps: Any, method: str) -> int:
    if not is_int(n_steps, least=2):
        raise ValueError(
            f"The 'n_steps' parameter of {method} must be an int in the range [2, inf). Got "
            f"{n_steps!r} instead."
        )
    return int(n_steps)
