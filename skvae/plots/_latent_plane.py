"""Rows in the latent plane."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import gaussian_kde

from ._style import (
    COLORS,
    MISSING,
    NORMAL,
    OTHER,
    SCALE,
    SMALL,
    axes_or_new,
    legend_beside,
    styled,
    words,
)

MAX_DOTS = 20_000  # rows that are drawn one by one
N_COLORS = len(COLORS)  # at most, with those of the pool and of missing values
N_DRAWS, HELD, N_GRID = 2000, (0.9, 0.5), 80  # draws, proportions of them inside the contours


class LatentPlaneDisplay:
    """Rows in two of the latent dimensions, colored by groups or by a number.

    Parameters
    ----------
    Z : ndarray of shape (n_samples, 2)
        Codes.
    color : array-like of shape (n_samples,) or None
        Numbers are drawn on a color scale, anything else as groups.
    names : tuple of two str
        Names of the dimensions, as ``get_feature_names_out`` gives them.
    label : str or None
        What the colors mean.
    drawn : ndarray of shape (n_draws, 2), default=None
        Codes of rows that the model draws, to be shown by contours around half and nine tenths
        of them.

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

    def __init__(
        self, Z: np.ndarray, color: Any, names: tuple[str, str], label: str | None,
        drawn: np.ndarray | None = None,
    ):  # fmt: skip
        self.Z, self.color, self.names, self.label, self.drawn = Z, color, names, label, drawn

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        color: Any = None,
        components: tuple[int, int] | None = None,
        label: str | None = None,
        density: bool = False,
        ax: Any = None,
    ) -> LatentPlaneDisplay:
        """Embed rows and draw them.

        Parameters
        ----------
        estimator : VAETransformer
            Fitted.
        X : table of shape (n_samples, n_features)
            Rows with the fitted columns; cells may be missing.
        color : array-like of shape (n_samples,) or str, default=None
            Group or number of each row, or the name of a column of X.
        components : tuple of two int, default=None
            The dimensions to draw. None: the two that vary most over the rows.
        label : str, default=None
            Title of the colors; None takes the name of `color` if it has one.
        density : bool, default=False
            Whether to draw contours around half and nine tenths of the rows that the model draws.
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
            most = np.argsort(-Z.var(0), kind="stable")[:2]
            components = (int(most.min()), int(most.max()))  # the earlier unit on the x axis
        label = label if label is not None else getattr(color, "name", None)
        i, j = components
        names = estimator.get_feature_names_out()
        drawn = None
        if density and i != j:
            rows = estimator.sample(N_DRAWS, random_state=0)
            drawn = np.asarray(estimator.transform(rows), dtype=np.float64)[:, [i, j]]
        return cls(Z[:, [i, j]], color, (names[i], names[j]), label, drawn).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> LatentPlaneDisplay:
        """Draw on `ax`, or on a new figure."""
        self.ax_ = ax = axes_or_new(ax)
        self.figure_ = ax.figure
        color = None if self.color is None else pd.Series(np.asarray(self.color))
        is_number = color is not None and pd.api.types.is_numeric_dtype(color)
        title = "Latent plane"
        if color is not None and not (is_number and color.nunique() > N_COLORS):
            title = self._groups(color, title)
        elif len(self.Z) > MAX_DOTS:
            self._hexagons(color)
        elif color is None:
            ax.scatter(*self.Z.T, color=COLORS[0], **_dots(len(self.Z)))
        else:
            points = ax.scatter(*self.Z.T, c=color, cmap=SCALE, **_dots(len(self.Z)))
            self._color_bar(points, self.label)
        if self.drawn is not None:
            self._contours(self.drawn)
        styled(ax, title, *(words(name) for name in self.names))
        return self

    def _groups(self, color: pd.Series, title: str) -> str:
        """Dots in the colors of groups; the title, which says so where only some are drawn."""
        places = np.arange(len(color))
        if len(places) > MAX_DOTS:
            places = np.random.default_rng(0).choice(places, MAX_DOTS, replace=False)
            title = f"{title}, {MAX_DOTS:,} of {len(color):,} rows"
        counts = color.value_counts()
        most = N_COLORS - bool(color.isna().any())
        top = sorted(counts.index[: most if len(counts) <= most else most - 1], key=str)
        group = pd.Index(top, dtype=object).get_indexer(color.astype(object))[places]  # or -1
        is_missing = color.isna().to_numpy()[places]
        n_pooled = len(counts) - len(top)
        found = [
            *((words(level), shade, group == i)
              for i, (level, shade) in enumerate(zip(top, COLORS, strict=False))),
            (f"{n_pooled} others", OTHER, (group < 0) & ~is_missing),
            ("missing", MISSING, is_missing),
        ]  # fmt: skip
        dots = _dots(len(places))
        x, y = self.Z[places].T
        handles, labels = [], []
        for label, shade, chosen in found:
            if chosen.any():
                order = 2 if shade in COLORS else 1  # groups over the pool
                points = (x[chosen], y[chosen])
                handles.append(self.ax_.scatter(*points, color=shade, zorder=order, **dots))
                labels.append(label)
        legend_beside(self.ax_, handles, labels, self.label)
        for handle in self.ax_.get_legend().legend_handles:
            handle.set(alpha=1.0, sizes=[24])
        return title

    def _hexagons(self, color: pd.Series | None) -> None:
        """How many rows are where, or their mean color: so many dots would cover each other."""
        x, y = self.Z.T
        options: dict[str, Any] = {"gridsize": 60, "cmap": SCALE, "mincnt": 1, "linewidths": 0.1}
        if color is None:
            self._color_bar(self.ax_.hexbin(x, y, bins="log", **options), "rows")
        else:
            seen = color.notna().to_numpy()
            values = color.to_numpy(float)[seen]
            points = self.ax_.hexbin(x[seen], y[seen], C=values, **options)
            self._color_bar(points, f"mean of {self.label}" if self.label else "mean")

    def _color_bar(self, points: Any, label: Any) -> None:
        bar = self.figure_.colorbar(points, ax=self.ax_)
        bar.set_label("" if label is None else words(label, 40), fontsize=NORMAL)
        bar.ax.tick_params(labelsize=SMALL)
        bar.outline.set_visible(False)

    def _contours(self, drawn: np.ndarray) -> None:
        """Lines of the highest density that hold half and nine tenths of the draws."""
        density = gaussian_kde(drawn.T)
        levels = np.quantile(density(drawn.T), [1 - proportion for proportion in HELD])
        low, high = drawn.min(0), drawn.max(0)
        x, y = np.linspace(low, high, N_GRID).T
        grid = np.stack(np.meshgrid(x, y)).reshape(2, -1)
        heights = density(grid).reshape(N_GRID, N_GRID)
        x_limits, y_limits = self.ax_.get_xlim(), self.ax_.get_ylim()
        self.ax_.contour(x, y, heights, levels=levels, colors="#333333", linewidths=[0.7, 1.2])
        # The contour would set limits that cut dots.
        self.ax_.set_xlim(min(x_limits[0], low[0]), max(x_limits[1], high[0]))
        self.ax_.set_ylim(min(y_limits[0], low[1]), max(y_limits[1], high[1]))


def _dots(n: int) -> dict[str, Any]:
    """Size and opacity of so many dots."""
    few = min(1.0, 500 / max(n, 1))
    return {"s": 3 + 11 * few, "alpha": 0.35 + 0.4 * few, "linewidths": 0, "rasterized": n > 5000}
