"""One style for all displays: colors, sizes of text, axes, labels.

The colors are those of the "muted" scheme of Tol (2021), which readers who are color-blind can tell
apart, and an orange of his as the tenth. What has more groups than colors is pooled; numbers have
the color scale "viridis".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from skvae._html.text import shortened

COLORS = (
    "#332288", "#cc6677", "#117733", "#ddcc77", "#88ccee", "#882255", "#44aa99", "#aa4499",
    "#999933", "#ee7733",
)  # fmt: skip
OTHER, MISSING = "#bbbbbb", "#555555"
SCALE = "viridis"
SMALL, NORMAL, LARGE = 8, 9, 10.5  # points
MAX_CHARACTERS = 28


def pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "matplotlib is required to draw. Install it with: pip install 'skvae[plot]'"
        ) from error
    return plt


def axes_or_new(ax: Any, size: tuple[float, float] = (6, 4.2)) -> Any:
    """The given axes, or those of a new figure."""
    if ax is not None:
        return ax
    return pyplot().subplots(figsize=size, layout="constrained")[1]


def words(value: Any, most: int = MAX_CHARACTERS) -> str:
    """A name as text of a picture, on one line: shortened, and not read as a formula."""
    return shortened(" ".join(str(value).split()), most).replace("$", r"\$")


def short(value: Any) -> str:
    """A cell in a few characters."""
    if isinstance(value, pd.Timestamp):
        return str(value.date() if value == value.normalize() else value)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
        return str(value)
    number = float(value)
    return f"{number:.4g}" if abs(number) < 1e4 else f"{number:,.0f}"


def styled(ax: Any, title: str, xlabel: str, ylabel: str = "") -> None:
    """Title, labels, sizes, and no box around the picture."""
    ax.set_title(title, fontsize=LARGE)
    ax.set_xlabel(xlabel, fontsize=NORMAL)
    ax.set_ylabel(ylabel, fontsize=NORMAL)
    ax.tick_params(labelsize=SMALL)
    ax.spines[["top", "right"]].set_visible(False)


def bars(ax: Any, labels: Sequence[str], values: np.ndarray, first_if: np.ndarray) -> np.ndarray:
    """Horizontal bars from the top down, in the first color or in the second; their places."""
    places = np.arange(len(values))[::-1]
    ax.barh(places, values, color=[COLORS[0] if is_first else COLORS[1] for is_first in first_if],
            height=0.7)  # fmt: skip
    ax.set_yticks(places, labels)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return places


def height(n_bars: int, lines: int = 1) -> float:
    """Inches of a picture of bars with labels of so many lines."""
    return 1.1 + (0.14 + 0.14 * lines) * max(n_bars, 3)


def legend_beside(ax: Any, handles: Sequence[Any], labels: Sequence[str], title: Any) -> None:
    """A legend right of the axes, where it covers nothing."""
    legend = ax.legend(
        handles, ["\N{ZERO WIDTH SPACE}" * label.startswith("_") + label for label in labels],
        title=None if title is None else words(title), frameon=False, loc="upper left",
        bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, fontsize=SMALL, title_fontsize=NORMAL,
    )  # fmt: skip
    legend.set_in_layout(True)
