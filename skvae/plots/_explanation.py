"""What each column adds to the log-density of a row: a bar for each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from ._style import axes_or_new, bars, height, short, styled, words


class ExplanationDisplay:
    """How much each cell of a row surprises, given the row's other cells, as bars.

    The surprise of one cell does not color the bars of the others, as it does in the parts of
    the log-density: an extreme cell moves the code of the row.

    Parameters
    ----------
    cells : DataFrame
        The cells of the row, as ``explain_samples`` gives them.
    title : str
        Title of the picture.
    max_columns : int, default=12
        Bars to draw, of those that surprise most.

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

    def __init__(self, cells: pd.DataFrame, title: str, max_columns: int = 12) -> None:
        self.cells, self.title, self.max_columns = cells, title, max_columns

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
            Rows with the fitted columns; cells may be missing.
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
        check_is_fitted(estimator)
        table = estimator._read(X)
        position = range(table.n_rows)[row]
        label = X.index[position] if isinstance(X, pd.DataFrame) else position
        parts, cells = estimator.explain_samples(
            table.take(np.array([position])), return_cells=True, n_cells=len(table.names)
        )
        score = f"{parts.iloc[0].sum():.1f}".replace("-", "\N{MINUS SIGN}")
        title = f"Row {label}: log-density {score} nats"
        return cls(cells, title, max_columns).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> ExplanationDisplay:
        """Draw on `ax`, or on a new figure."""
        shown = self.cells.iloc[: self.max_columns]
        labels = [_label(cell) for _, cell in shown.iterrows()]
        lines = 2 if any("\n" in label for label in labels) else 1
        self.ax_ = ax = axes_or_new(ax, (6, height(len(shown), lines)))
        self.figure_ = ax.figure
        surprise = shown["surprise"].to_numpy(float)
        bars(ax, labels, surprise, surprise <= 0)
        xlabel = "Surprise given the other cells, nats"
        styled(ax, words(self.title, 60), xlabel)
        ax.spines["left"].set_visible(False)
        return self


def _label(cell: pd.Series) -> str:
    """A column with its value, and where that is surprising what was expected."""
    label = f"{words(cell['column'])} = {words(short(cell['value']), 20)}"
    if cell["surprise"] < 1 or cell["value"] == cell["expected"]:
        return label
    if pd.isna(cell["low"]):
        return f"{label}\nexpected {words(short(cell['expected']), 20)}"
    return f"{label}\nexpected {short(cell['low'])} to {short(cell['high'])}"
