"""Moving in the latent space: tables along a line between rows, or along one unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted

from skvae._table.layouts import objects
from skvae._validation import is_int

RANGE = (0.02, 0.98)  # quantiles of a unit, over draws from the prior, between which it moves
N_PRIOR_DRAWS = 2000


class TraversalMixin:
    """``interpolate`` and ``traverse`` for an estimator with `model_`, `_rows` and `_decode`."""

    model_: Any
    schema_: Any
    _rows: Any
    _decode: Any
    get_feature_names_out: Any

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

    def component_effects(self, unit=None, n_steps=9):
        """What a component means: how each column changes along it.

        The unit moves from the 2 % to the 98 % quantile of the prior, the others stay at their
        means; as with the loadings of principal components, but the way need not be straight.

        Parameters
        ----------
        unit : int, str or None, default=None
            Position or name among the columns of ``transform``. None: all, as a table of effects.
        n_steps : int, default=9
            Values of the unit that are looked at.

        Returns
        -------
        effects : DataFrame
            One row a column, the strongest effects first. "effect": how far the expected value
            moves, in standard deviations of the column (in the scaled units of the model), with a
            minus sign if it falls; for levels the total variation distance of their
            probabilities, for booleans the change of the chance of True. "low" and "high": what
            the decoder expects at both ends. With ``unit=None`` one row a column of the table, in
            its order, and the effects on it in one column for each component.

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
        names = list(self.get_feature_names_out())
        if unit is None:
            each = [self._effects(self._path(i, n_steps)) for i in range(len(names))]
            return pd.DataFrame(dict(zip(names, each, strict=True)))
        path = self._path(self._position(unit), n_steps)
        ends = [[cell[0] for cell in self._expected(z)] for z in (path[:1], path[-1:])]
        effects = self._effects(path)
        table = pd.DataFrame({"effect": effects, "low": ends[0], "high": ends[1]}, effects.index)
        order = np.argsort(-effects.abs().to_numpy(), kind="stable")
        return table.iloc[order]

    def _path(self, position: int, n_steps: int) -> torch.Tensor:
        """Codes along a unit, all others at their means over the prior: (n_steps, k)."""
        latent, generator = self.model_.latent, torch.Generator().manual_seed(0)
        with torch.no_grad():
            center = latent.sample(N_PRIOR_DRAWS, self.model_.prior, generator).mean(0)
            column = latent.shown[position]
            layer = next(i for i, part in enumerate(latent.slices()) if column < part.stop)
            z = center.repeat(n_steps, 1)
            z[:, column] = torch.from_numpy(self._range(column, n_steps))
            return latent.snap(latent.fill(z, range(layer)))

    def _expected(self, z: torch.Tensor) -> list[list]:
        """The decoder's points, column by column."""
        with torch.no_grad():
            values, codes = self.model_.decode(z)
        return [objects(cells) for cells in self.schema_.cells(values.numpy(), codes.numpy())]

    def _effects(self, z: torch.Tensor) -> pd.Series:
        """How far each column moves along a path, by its position in the table."""
        schema = self.schema_
        effects = np.zeros(len(schema.columns))
        numbers, levels = [np.zeros(0)], [np.zeros(0)]
        with torch.no_grad():
            for group, outputs in self.model_.outputs(z):
                mean = group.likelihood.mean(group.split(outputs), group)
                if mean.ndim == 3 and group.likelihood.target != "code":
                    mean = mean[..., 1]
                if mean.ndim == 3:
                    levels.append(0.5 * (mean - mean[0]).abs().sum(-1).amax(0).numpy())
                else:
                    rise = torch.where(mean[-1] < mean[0], -1.0, 1.0)
                    numbers.append((rise * (mean.amax(0) - mean.amin(0))).numpy())
        order = [*schema.numeric, *schema.categorical]
        effects[order] = np.concatenate(numbers + levels)
        return pd.Series(effects, [column.name for column in schema.columns])

    def _range(self, column: int, n_steps: int) -> np.ndarray:
        """Values of a unit between two quantiles of the prior."""
        model, generator = self.model_, torch.Generator().manual_seed(0)
        with torch.no_grad():
            z = model.latent.sample(N_PRIOR_DRAWS, model.prior, generator)
        low, high = np.quantile(z[:, column].numpy(), RANGE)
        return np.linspace(low, high, n_steps)

    def _position(self, unit: Any) -> int:
        names = list(self.get_feature_names_out())
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
