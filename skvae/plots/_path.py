"""Rows along paths in the latent space."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from ._style import COLORS, LARGE, NORMAL, SMALL, legend_beside, pyplot, words


class PathDisplay:
    """Columns along a path in the latent space: a line between rows, or the move of one unit.

    Parameters
    ----------
    paths : list of DataFrame
        The rows along each path.
    title : str
        Title of the picture.
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
        cls, estimator: Any, A: Any, B: Any, *, n_steps: int = 20, columns: list | None = None,
        ax: Any = None,
    ) -> PathDisplay:  # fmt: skip
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
        ax : matplotlib Axes or array of them, default=None
            Where to draw: one for each column, or one whose place all of them share. None makes a
            figure.

        Returns
        -------
        PathDisplay
        """
        paths = cls._cut(estimator.interpolate(A, B, n_steps), n_steps)
        labels = [f"pair {i}" for i in range(len(paths))]
        return cls(paths, "Between rows, in the latent space", labels, columns).plot(ax=ax)

    @classmethod
    def from_traversal(
        cls, estimator: Any, X: Any, unit: Any, *, n_steps: int = 20, columns: list | None = None,
        ax: Any = None,
    ) -> PathDisplay:  # fmt: skip
        """Draw what a unit does to rows; to the first six.

        Parameters
        ----------
        estimator : VAETransformer
            Fitted.
        X : table of shape (n_samples, n_features)
            Rows with the fitted columns; cells may be missing.
        unit : int or str
            The unit to move, as in ``traverse``.
        n_steps : int, default=20
            Values of the unit.
        columns : list, default=None
            Names of columns to draw. None: the first nine that change.
        ax : matplotlib Axes or array of them, default=None
            Where to draw: one for each column, or one whose place all of them share. None makes a
            figure.

        Returns
        -------
        PathDisplay
        """
        paths = cls._cut(estimator.traverse(X, unit, n_steps), n_steps)
        labels = [f"row {i}" for i in range(len(paths))]
        name = estimator.get_feature_names_out()[unit] if not isinstance(unit, str) else unit
        return cls(paths, f"{name} moved over its range", labels, columns).plot(ax=ax)

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

    def plot(self, *, ax: Any = None) -> PathDisplay:
        """Draw, one picture a column: on `ax`, on as many axes as columns, or on a new figure."""
        n_wide = min(3, len(self.columns))
        n_high = -(-len(self.columns) // n_wide)
        self.axes_ = self._axes(ax, n_high, n_wide)
        self.figure_ = self.axes_[0].figure
        for each, name in zip(self.axes_, self.columns, strict=True):
            self._draw(each, name)
        if len(self.paths) > 1:
            corner = self.axes_[n_wide - 1]
            legend_beside(corner, corner.get_lines(), self.labels, None)
        for each in self.axes_[-n_wide:]:
            each.set_xlabel("Share of the way", fontsize=NORMAL)
            each.tick_params(labelbottom=True)
        if ax is None:
            self.figure_.suptitle(words(self.title, 80), fontsize=LARGE)
        return self

    def _axes(self, ax: Any, n_high: int, n_wide: int) -> np.ndarray:
        """One for each column."""
        n = len(self.columns)
        if ax is None:
            size = 3.2 * n_wide + 0.8, 2.2 * n_high + 0.4
            figure = pyplot().figure(figsize=size, layout="constrained")
            grid = figure.add_gridspec(n_high, n_wide)
        elif n == 1 or np.size(ax) > 1:
            axes = np.ravel(np.asarray(ax, dtype=object))
            if len(axes) != n:
                raise ValueError(
                    f"ax has {len(axes)} axes, but {n} columns are drawn; pass as many."
                )
            return axes
        else:
            figure, spec = ax.figure, ax.get_subplotspec()
            if spec is None:
                raise ValueError("ax has no place in a grid; pass one axes for each column.")
            ax.set_axis_off()
            grid = spec.subgridspec(n_high, n_wide)
        axes = np.empty(n, dtype=object)
        for i in range(n):
            axes[i] = figure.add_subplot(grid[i // n_wide, i % n_wide])
        return axes

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
            ax.set_yticks(range(len(levels)), [words(level, 18) for level in levels])
        ax.set_title(words(name), fontsize=NORMAL)
        ax.tick_params(labelsize=SMALL)
        ax.spines[["top", "right"]].set_visible(False)
