"""What a component means: a bar a column."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ._style import SMALL, axes_or_new, bars, height, short, styled, words


class ComponentDisplay:
    """How each column changes along one component, as bars.

    Parameters
    ----------
    effects : DataFrame
        As ``component_effects`` gives them for one unit. The bars are its "effect".
    name : str
        Of the component.
    max_columns : int, default=12
        Bars to draw, of the columns that change most.

    Attributes
    ----------
    ax_, figure_ : matplotlib objects

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAETransformer
    >>> from skvae.plots import ComponentDisplay
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> vae = VAETransformer(max_iter=3, random_state=0).fit(X)
    >>> ComponentDisplay.from_estimator(vae, 0).name
    'vaetransformer0'
    """

    def __init__(self, effects: pd.DataFrame, name: str, max_columns: int = 12) -> None:
        self.effects, self.name, self.max_columns = effects, name, max_columns

    @classmethod
    def from_estimator(
        cls, estimator: Any, unit: Any = 0, *, max_columns: int = 12, ax: Any = None
    ) -> ComponentDisplay:
        """Draw the effects of a unit.

        Parameters
        ----------
        estimator : VAETransformer
            Fitted.
        unit : int or str, default=0
            Position or name among the columns of ``transform``.
        max_columns : int, default=12
            Bars to draw.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        ComponentDisplay
        """
        effects = estimator.component_effects(unit)
        name = unit if isinstance(unit, str) else estimator.get_feature_names_out()[unit]
        return cls(effects, name, max_columns).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> ComponentDisplay:
        """Draw on `ax`, or on a new figure."""
        shown = self.effects.iloc[: self.max_columns]
        labels = [_label(name, row) for name, row in shown.iterrows()]
        lines = 2 if any("\n" in label for label in labels) else 1
        self.ax_ = ax = axes_or_new(ax, (6, height(len(shown), lines)))
        self.figure_ = ax.figure
        effect = shown["effect"].to_numpy(float)
        is_number = (shown["unit"] == "deviations").to_numpy()
        places = bars(ax, labels, effect, effect >= 0)
        for place, change, deviations in zip(places, effect, is_number, strict=True):
            text = f"{change:+.2f} SD" if deviations else f"{100 * change:+.0f} %"
            ax.annotate(
                text.replace("-", "\N{MINUS SIGN}"), (max(change, 0.0), place), xytext=(3, 0),
                textcoords="offset points", va="center", fontsize=SMALL,
            )  # fmt: skip
        ax.margins(x=0.15)
        name = words(self.name, 60)
        styled(ax, name, "Change (SD; of levels, probability)")
        ax.spines["left"].set_visible(False)
        return self


def _label(name: Any, row: pd.Series) -> str:
    """The column; where the most probable level changes, from which to which.

    The ends of a number are not shown: they are rounded and held inside the bounds of the column,
    and would contradict the bar.
    """
    if row["unit"] == "deviations" or row["low"] == row["high"]:
        return words(name)
    low, high = (words(short(row[end]), 14) for end in ("low", "high"))
    return f"{words(name)}\n{low} \N{RIGHTWARDS ARROW} {high}"
