"""Rows in the latent plane."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import gaussian_kde

from ._canvas import COLORS, axes_or_new

REST = "other", "missing"
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
        Names of the dimensions.
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
            first, *others = np.argsort(-Z.var(0), kind="stable")
            components = (int(first), int(others[0]) if others else int(first))
        label = label if label is not None else getattr(color, "name", None)
        i, j = components
        names = (f"z{i}", f"z{j}")
        drawn = None
        if density and i != j:
            rows = estimator.sample(N_DRAWS, random_state=0)
            drawn = np.asarray(estimator.transform(rows), dtype=np.float64)[:, [i, j]]
        return cls(Z[:, [i, j]], color, names, label, drawn).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> LatentPlaneDisplay:
        """Draw on `ax`, or on a new figure."""
        self.ax_ = ax = axes_or_new(ax)
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
            shades, groups = [*COLORS[: len(top)], *COLORS[-2:]], [*sorted(top, key=str), *REST]
            for shade, group in zip(shades, groups, strict=True):
                chosen = (rest == group).to_numpy()
                if chosen.any():
                    ax.scatter(x[chosen], y[chosen], color=shade, label=str(group), **dots)
            ax.legend(title=self.label, frameon=False, markerscale=2)
        if self.drawn is not None:
            self._contours(self.drawn)
        ax.set(xlabel=self.names[0], ylabel=self.names[1], title="Latent plane")
        ax.spines[["top", "right"]].set_visible(False)
        return self

    def _contours(self, drawn: np.ndarray) -> None:
        """Lines of the highest density that hold half and nine tenths of the draws."""
        density = gaussian_kde(drawn.T)
        levels = np.quantile(density(drawn.T), [1 - proportion for proportion in HELD])
        low, high = drawn.min(0), drawn.max(0)
        x, y = np.linspace(low, high, N_GRID).T
        grid = np.stack(np.meshgrid(x, y)).reshape(2, -1)
        heights = density(grid).reshape(N_GRID, N_GRID)
        self.ax_.contour(x, y, heights, levels=levels, colors="#333333", linewidths=[0.7, 1.2])
