"""How training went."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._style import COLORS, LARGE, NORMAL, SMALL, axes_or_new, styled


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
        self.ax_ = ax = axes_or_new(ax)
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
        styled(ax, "", "Training step", "Bound, nats per row")
        ax.set_title("Training", fontsize=LARGE, loc="left")  # beside the legend
        twin = ax.twinx()
        twin.plot(step, self.history["kl"], ":", color=COLORS[2], label="KL (right axis)", **style)
        twin.set_ylabel("KL, nats per row", fontsize=NORMAL)
        twin.tick_params(labelsize=SMALL)
        twin.set_ylim(0, 1.15 * max([*self.history["kl"], 1e-3]))
        twin.spines["top"].set_visible(False)
        handles = [*ax.get_lines(), *twin.get_lines()]
        ax.legend(handles, [h.get_label() for h in handles], frameon=False, fontsize=SMALL,
                  ncols=3, loc="lower right", bbox_to_anchor=(1.0, 1.0))  # fmt: skip
        return self
