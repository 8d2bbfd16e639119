"""Displays: pictures of a fitted model, by scikit-learn's convention.

``from_estimator`` computes and draws; the object keeps the numbers, the axes and the figure.
"""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

__all__ = ["LatentPlaneDisplay", "PathDisplay", "TrainingDisplay"]

COLORS = ("#3b6fb6", "#d9703c", "#4a9a6a", "#8a5fb0", "#b8a038", "#5aa7c7", "#c2557a", "#777777")


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "matplotlib is required to draw. Install it with: pip install 'skvae[plot]'"
        ) from error
    return plt


def _axes(ax: Any) -> Any:
    plt = _pyplot()
    return plt.subplots(figsize=(6, 4.2), layout="constrained")[1] if ax is None else ax


class TrainingDisplay:
    """The bound over the steps of training, with its two terms.

    Parameters
    ----------
    history : dict of lists
        ``history_`` of a fitted estimator.

    Attributes
    ----------
    ax_, figure_ : matplotlib objects

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAETransformer
    >>> from skvae.plots import TrainingDisplay
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> vae = VAETransformer(max_iter=3, random_state=0).fit(X)
    >>> display = TrainingDisplay.from_estimator(vae)
    >>> display.ax_.get_xlabel()
    'Training step'
    """

    def __init__(self, history: dict[str, list[float]]) -> None:
        self.history = history

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> TrainingDisplay:
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : VAETransformer
            Fitted.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        TrainingDisplay
        """
        check_is_fitted(estimator)
        return cls(estimator.history_).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> TrainingDisplay:
        """Draw on `ax`, or on a new figure."""
        self.ax_ = ax = _axes(ax)
        self.figure_ = ax.figure
        step = self.history["step"]
        style = {"marker": "o", "markersize": 3} if len(step) < 5 else {}
        lines = [("bound", "training bound", "-"), ("validation_bound", "held-out bound", "--")]
        for color, (name, label, line) in zip(COLORS, lines, strict=False):
            if name in self.history:
                ax.plot(step, self.history[name], line, color=color, label=label, **style)
        shown = np.concatenate([self.history[n] for n, _, _ in lines if n in self.history])
        finite = shown[np.isfinite(shown)]
        if len(finite):  # the first rounds of a bad start would hide all that follows
            low, high = np.quantile(finite, [0.02, 1.0])
            ax.set_ylim(low - 0.1 * (high - low) - 1e-3, high + 0.08 * (high - low) + 1e-3)
        ax.set(xlabel="Training step", ylabel="Nats per row", title="Training")
        twin = ax.twinx()
        twin.plot(step, self.history["kl"], ":", color=COLORS[2], label="KL (right axis)", **style)
        twin.set_ylabel("KL, nats per row")
        twin.set_ylim(0, 1.15 * max([*self.history["kl"], 1e-3]))
        handles = [*ax.get_lines(), *twin.get_lines()]
        ax.legend(handles, [h.get_label() for h in handles], frameon=False, loc="lower right")
        ax.spines["top"].set_visible(False)
        twin.spines["top"].set_visible(False)
        return self


class LatentPlaneDisplay:
    """Rows in two of the latent dimensions, coloured by groups or by a number.

    Parameters
    ----------
    Z : ndarray of shape (n_samples, 2)
        Codes.
    color : array-like of shape (n_samples,) or None
        Numbers are drawn on a colour scale, anything else as groups.
    names : tuple of two str
        Names of the dimensions.
    label : str or None
        What the colours mean.

    Attributes
    ----------
    ax_, figure_ : matplotlib objects

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAETransformer
    >>> from skvae.plots import LatentPlaneDisplay
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> vae = VAETransformer(max_iter=3, random_state=0).fit(X)
    >>> display = LatentPlaneDisplay.from_estimator(vae, X, color=X[:, 0] > 0)
    >>> display.Z.shape
    (200, 2)
    """

    def __init__(self, Z: np.ndarray, color: Any, names: tuple[str, str], label: str | None):
        self.Z, self.color, self.names, self.label = Z, color, names, label

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        color: Any = None,
        components: tuple[int, int] | None = None,
        label: str | None = None,
        ax: Any = None,
    ) -> LatentPlaneDisplay:
        """Embed rows and draw them.

        Parameters
        ----------
        estimator : VAETransformer
            Fitted.
        X : table of shape (n_samples, n_features)
        color : array-like of shape (n_samples,) or str, default=None
            Group or number of each row, or the name of a column of X.
        components : tuple of two int, default=None
            The dimensions to draw. None: the two that vary most over the rows.
        label : str, default=None
            Title of the colours; None takes the name of `color` if it has one.
        ax : matplotlib Axes or None, default=None

        Returns
        -------
        LatentPlaneDisplay
        """
        Z = np.asarray(estimator.transform(X), dtype=np.float64)
        if isinstance(color, str):
            label, color = label or color, X[color]
        if color is not None and len(color) != len(Z):
            raise ValueError(f"color has {len(color)} values, but X has {len(Z)} rows.")
        k = Z.shape[1]
        if components is not None and not (len(components) == 2 and max(components) < k):
            raise ValueError(
                f"components must be two numbers below {k}, the latent dimensions. "
                f"Got {components!r} instead."
            )
        if components is None:
            first, *others = np.argsort(-Z.var(0), kind="stable")
            components = (int(first), int(others[0]) if others else int(first))
        label = label if label is not None else getattr(color, "name", None)
        i, j = components
        names = (f"z{i}", f"z{j}")
        return cls(Z[:, [i, j]], color, names, label).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> LatentPlaneDisplay:
        """Draw on `ax`, or on a new figure."""
        self.ax_ = ax = _axes(ax)
        self.figure_ = ax.figure
        x, y = self.Z.T
        dots = {"s": 9, "alpha": 0.6, "linewidths": 0}
        color = None if self.color is None else pd.Series(np.asarray(self.color))
        if color is None:
            ax.scatter(x, y, color=COLORS[0], **dots)
        elif pd.api.types.is_numeric_dtype(color) and color.nunique() > len(COLORS):
            points = ax.scatter(x, y, c=color, cmap="viridis", **dots)
            self.figure_.colorbar(points, ax=ax, label=self.label)
        else:
            top = color.value_counts().index[: len(COLORS) - 2]
            rest = color.astype(object).where(color.isin(top), "other")
            rest = rest.where(color.notna(), "missing")
            for shade, group in zip(COLORS, [*top, "other", "missing"], strict=False):
                chosen = (rest == group).to_numpy()
                if chosen.any():
                    ax.scatter(x[chosen], y[chosen], color=shade, label=str(group), **dots)
            ax.legend(title=self.label, frameon=False, markerscale=2)
        ax.set(xlabel=self.names[0], ylabel=self.names[1], title="Latent plane")
        ax.spines[["top", "right"]].set_visible(False)
        return self


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
        """The columns asked for, or the first nine that change along a path."""
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
        self.figure_, axes = _pyplot().subplots(
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
