"""Displays: pictures of a fitted model, by scikit-learn's convention.

``from_estimator`` computes and draws; the object keeps the numbers, the axes and the figure.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

__all__ = ["LatentPlaneDisplay", "TrainingDisplay"]

COLORS = ("#3b6fb6", "#d9703c", "#4a9a6a", "#8a5fb0", "#b8a038", "#5aa7c7", "#c2557a", "#777777")


def _axes(ax: Any) -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "matplotlib is required to draw. Install it with: pip install 'skvae[plot]'"
        ) from error
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
