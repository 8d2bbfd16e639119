"""Rows along paths in the latent space."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from ._canvas import COLORS, pyplot


class PathDisplay:
    """Columns along a path in the latent space: a line between rows, or the move of one unit.

    Parameters
    ----------
    paths : list of DataFrame
        The rows along each path.
    title : str
    labels : list of str
        A name for each path.
    columns : list, default=None
        Columns to draw; None: the first nine that change.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAETransformer
    >>> from skvae.plots import PathDisplay
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> vae = VAETransformer(max_iter=3, random_state=0).fit(X)
    >>> PathDisplay.from_traversal(vae, X[:2], unit=0).axes_.size
    4
    """

    MAX_PATHS, MAX_COLUMNS = 6, 9
    MAX_STEPS = 12  # whole numbers up to which a path is drawn as steps

    def __init__(
        self, paths: list[pd.DataFrame], title: str, labels: list[str], columns: list | None = None
    ) -> None:
        self.paths, self.title, self.labels = paths, title, labels
        self.columns = self._that_change(columns)

    @classmethod
    def from_interpolation(
        cls, estimator: Any, A: Any, B: Any, *, n_steps: int = 20, columns: list | None = None
    ) -> PathDisplay:
        """Draw the lines from rows of A to rows of B; the first six.

        Parameters
        ----------
        estimator : VAETransformer
            Fitted.
        A, B : tables of shape (n_samples, n_features)
        n_steps : int, default=20
            Rows on each line.
        columns : list, default=None
            Names of columns to draw. None: the first nine that change.

        Returns
        -------
        PathDisplay
        """
        paths = cls._cut(estimator.interpolate(A, B, n_steps), n_steps)
        labels = [f"pair {i}" for i in range(len(paths))]
        return cls(paths, "Between rows, in the latent space", labels, columns).plot()

    @classmethod
    def from_traversal(
        cls, estimator: Any, X: Any, unit: Any, *, n_steps: int = 20, columns: list | None = None
    ) -> PathDisplay:
        """Draw what a unit does to rows; to the first six.

        Parameters
        ----------
        estimator : VAETransformer
            Fitted.
        X : table of shape (n_samples, n_features)
        unit : int or str
            The unit to move, as in ``traverse``.
        n_steps : int, default=20
            Values of the unit.
        columns : list, default=None
            Names of columns to draw. None: the first nine that change.

        Returns
        -------
        PathDisplay
        """
        paths = cls._cut(estimator.traverse(X, unit, n_steps), n_steps)
        labels = [f"row {i}" for i in range(len(paths))]
        name = estimator.get_feature_names_out()[unit] if not isinstance(unit, str) else unit
        return cls(paths, f"{name} moved over its range", labels, columns).plot()

    @classmethod
    def _cut(cls, table: Any, n_steps: int) -> list[pd.DataFrame]:
        """The paths of a table of rows, as pandas frames."""
        if isinstance(table, pd.DataFrame):
            frame = table
        elif hasattr(table, "shape") and not hasattr(table, "columns"):
            dense = table.toarray() if hasattr(table, "toarray") else table
            frame = pd.DataFrame(dense, columns=[f"x{j}" for j in range(dense.shape[1])])
        else:
            frame = nw.from_native(table, eager_only=True).to_pandas()
        starts = range(0, min(len(frame), cls.MAX_PATHS * n_steps), n_steps)
        return [frame.iloc[i : i + n_steps] for i in starts]

    def _that_change(self, columns: list | None) -> list:
        """The given columns, or the first nine that change along a path."""
        names = list(self.paths[0].columns)
        if columns is not None:
            unknown = [name for name in columns if name not in names]
            if unknown:
                raise ValueError(f"columns names {unknown}, which are none of {names}.")
            return list(columns)
        moving = [n for n in names if any(path[n].nunique(dropna=False) > 1 for path in self.paths)]
        return moving[: self.MAX_COLUMNS] or names[:1]

    def plot(self) -> PathDisplay:
        """Draw, one picture a column."""
        n_wide = min(3, len(self.columns))
        n_high = -(-len(self.columns) // n_wide)
        self.figure_, axes = pyplot().subplots(
            n_high, n_wide, figsize=(3.2 * n_wide, 2.2 * n_high), squeeze=False, sharex=True,
            layout="constrained",
        )  # fmt: skip
        self.axes_ = axes.ravel()[: len(self.columns)]
        for ax in axes.ravel()[len(self.columns) :]:
            ax.set_visible(False)
        for ax, name in zip(self.axes_, self.columns, strict=True):
            self._draw(ax, name)
        if len(self.paths) > 1:
            self.axes_[0].legend(frameon=False, fontsize=7)
        self.figure_.suptitle(self.title)
        self.figure_.supxlabel("Share of the way", fontsize=9)
        return self

    def _draw(self, ax: Any, name: Any) -> None:
        cells = pd.concat([path[name] for path in self.paths])
        is_number = pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells)
        is_time = pd.api.types.is_datetime64_any_dtype(cells)
        is_whole = pd.api.types.is_integer_dtype(cells) and cells.nunique() <= self.MAX_STEPS
        levels = [] if is_number or is_time else sorted(map(str, cells.dropna().unique()))
        for color, label, path in zip(COLORS, self.labels, self.paths, strict=False):
            y = path[name]
            if levels:
                place = {level: i for i, level in enumerate(levels)}
                y = y.astype(object).map(lambda v, place=place: place.get(str(v), np.nan))
            ax.plot(np.linspace(0, 1, len(y)), y.to_numpy(), color=color, label=label,
                    drawstyle="steps-mid" if levels or is_whole else "default")  # fmt: skip
        if is_whole:
            ax.yaxis.get_major_locator().set_params(integer=True)
        if levels:
            ax.set_yticks(range(len(levels)), levels, fontsize=7)
        ax.set_title(str(name), fontsize=9)
        ax.spines[["top", "right"]].set_visible(False)
