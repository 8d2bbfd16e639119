"""Moving in the latent space: tables along a line between rows, or along one unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from ._validation import is_int

RANGE = (0.02, 0.98)  # quantiles of a unit, over draws from the prior, between which it moves
N_PRIOR_DRAWS = 2000


class TraversalMixin:
    """``interpolate`` and ``traverse`` for an estimator with `model_`, `_rows` and `_decode`."""

    model_: Any
    _rows: Any
    _decode: Any

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
            The line of the first pair, then that of the second, and so on. The ends are what the
            model makes of the rows, not the rows themselves.
        """
        check_is_fitted(self)
        n_steps = _check_steps(n_steps, "interpolate")
        start, end = (self.model_.embeddings(self._rows(X)) for X in (A, B))
        if len(start) != len(end) and 1 not in (len(start), len(end)):
            raise ValueError(
                f"A has {len(start)} rows and B has {len(end)}; interpolate needs as many of "
                "both, or one row on one side."
            )
        start, end = torch.broadcast_tensors(start, end)
        share = torch.linspace(0, 1, n_steps, dtype=start.dtype).reshape(1, -1, 1)
        z = torch.lerp(start.unsqueeze(1), end.unsqueeze(1), share).flatten(0, 1)
        return self._decode(self.model_.latent.snap(z), None)

    def traverse(self, X, unit, n_steps=10):
        """Rows with one latent unit moved, and the other units of its layer as they are.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
        unit : int or str
            Position of the unit among the columns of ``transform``, negative from the end, or
            its name there.
        n_steps : int, default=10
            Values of the unit, evenly spaced over the range that the prior gives it: from its
            2 % to its 98 % quantile.

        Returns
        -------
        X : table like the fitted one, with n_samples · n_steps rows
            The moves of the first row, then those of the second, and so on. Where a unit of a
            higher layer of a ladder moves, the layers below follow to their conditional means, and
            keep nothing of the row.
        """
        check_is_fitted(self)
        n_steps = _check_steps(n_steps, "traverse")
        latent = self.model_.latent
        column = latent.shown[self._position(unit)]
        layer = next(i for i, part in enumerate(latent.slices()) if column < part.stop)
        z = self.model_.embeddings(self._rows(X)).repeat_interleave(n_steps, 0)
        z[:, column] = torch.from_numpy(self._range(column, n_steps)).repeat(len(z) // n_steps)
        with torch.no_grad():
            z = latent.fill(z, range(layer))
        return self._decode(latent.snap(z), None)

    def _range(self, column: int, n_steps: int) -> np.ndarray:
        """Values of a unit between two quantiles of the prior."""
        model, generator = self.model_, torch.Generator().manual_seed(0)
        with torch.no_grad():
            z = model.latent.sample(N_PRIOR_DRAWS, model.prior, generator)
        low, high = np.quantile(z[:, column].numpy(), RANGE)
        return np.linspace(low, high, n_steps)

    def _position(self, unit: Any) -> int:
        names = list(self.get_feature_names_out())  # type: ignore[attr-defined]
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
