"""Why a row is odd: a bar a column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ._canvas import COLORS, axes_or_new


class ExplanationDisplay:
    """What each column takes from the log-density of one row, as bars.

    Parameters
    ----------
    parts : Series
        Nats by column, counted from typical rows; the last is the latent part.
    cells : DataFrame
        The cells of the row beside what was expected, as ``explain_samples`` gives them.
    title : str
    max_columns : int, default=12
        Bars to draw; the columns with the least to say are drawn as one.

    Attributes
    ----------
    ax_, figure_ : matplotlib objects

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAEOutlierDetector
    >>> from skvae.plots import ExplanationDisplay
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> detector = VAEOutlierDetector(max_iter=3, random_state=0).fit(X)
    >>> display = ExplanationDisplay.from_estimator(detector, [[0.0, 9.0, 0.0, 0.0]])
    >>> display.cells["column"][0]
    'x1'
    """

    def __init__(
        self, parts: pd.Series, cells: pd.DataFrame, title: str, max_columns: int = 12
    ) -> None:
        self.parts, self.cells, self.title, self.max_columns = parts, cells, title, max_columns

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, row: int = 0, max_columns: int = 12, ax: Any = None
    ) -> ExplanationDisplay:
        """Explain and draw one row.

        Parameters
        ----------
        estimator : VAETransformer or VAEOutlierDetector
            Fitted.
        X : table of shape (n_samples, n_features)
        row : int, default=0
            Position of the row to draw.
        max_columns : int, default=12
            Bars to draw.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        ExplanationDisplay
        """
        n_cells = int(estimator.n_features_in_)
        parts, cells = estimator.explain_samples(
            X, relative=True, return_cells=True, n_cells=n_cells
        )
        label = parts.index[row]
        return cls(parts.iloc[row], cells[cells["row"] == label].reset_index(drop=True),
                   f"Row {label}", max_columns).plot(ax=ax)  # fmt: skip

    def plot(self, *, ax: Any = None) -> ExplanationDisplay:
        """Draw on `ax`, or on a new figure."""
        self.ax_ = ax = axes_or_new(ax)
        self.figure_ = ax.figure
        bars = self._bars()
        place = np.arange(len(bars))[::-1]
        colors = [COLORS[1] if value < 0 else COLORS[0] for value in bars]
        ax.barh(place, bars.to_numpy(), color=colors, height=0.7)
        ax.set_yticks(place, [self._label(name) for name in bars.index], fontsize=8)
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set(
            xlabel=f"Nats more than a typical row (together {self.parts.sum():.1f})",
            title=self.title,
        )
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
        return self

    def _bars(self) -> pd.Series:
        """The parts that cost most first, the small ones together."""
        order = self.parts.iloc[np.argsort(self.parts.to_numpy(), kind="stable")]
        if len(order) <= self.max_columns:
            return order
        large = order.abs().to_numpy().argsort(kind="stable")[::-1][: self.max_columns - 1]
        shown = order.iloc[np.sort(large)]
        rest = order.drop(shown.index)
        return pd.concat([shown, pd.Series({f"{len(rest)} others": rest.sum()})])

    def _label(self, name: Any) -> str:
        """A column with its value, and where that is odd what was expected."""
        found = self.cells[self.cells["column"] == name]
        if not len(found):
            return str(name)
        cell = found.iloc[0]
        label = f"{name} = {short(cell['value'])}"
        if self.parts[name] > -1 or cell["value"] == cell["expected"]:
            return label
        if cell["low"] is None or pd.isna(cell["low"]):
            return f"{label}\nexpected {short(cell['expected'])}"
        return f"{label}\nexpected {short(cell['low'])} to {short(cell['high'])}"


def short(value: Any) -> str:
    """A cell in a few characters."""
    if isinstance(value, pd.Timestamp):
        return str(value.date() if value == value.normalize() else value)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
        return str(value)
    number = float(value)
    return f"{number:.4g}" if abs(number) < 1e5 else f"{number:,.0f}"
