"""What a component means: a bar a column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ._canvas import COLORS, axes_or_new
from ._explanation import short


class ComponentDisplay:
    """How each column changes along one component, as bars.

    Parameters
    ----------
    effects : DataFrame
        As ``component_effects`` gives them for one unit.
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
        self.ax_ = ax = axes_or_new(ax)
        self.figure_ = ax.figure
        shown = self.effects.iloc[: self.max_columns]
        place = np.arange(len(shown))[::-1]
        effect = shown["effect"].to_numpy(float)
        ax.barh(
            place, effect, color=[COLORS[0] if e >= 0 else COLORS[1] for e in effect], height=0.7
        )
        labels = [
            f"{name}: {short(row['low'])} \N{RIGHTWARDS ARROW} {short(row['high'])}"
            for name, row in shown.iterrows()
        ]
        ax.set_yticks(place, labels, fontsize=8)
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set(xlabel="Change (deviations, probabilities)", title=self.name)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
        return self
