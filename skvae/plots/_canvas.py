"""The canvas of the displays: axes, and colors."""

from __future__ import annotations

from typing import Any

COLORS = (  # the last two, of grey, stand for what has no color of its own
    "#3b6fb6", "#d9703c", "#4a9a6a", "#8a5fb0", "#b8a038", "#5aa7c7",
    "#c2557a", "#8c6d4f", "#9fc14b", "#1f3f66", "#777777", "#b5b5b5",
)  # fmt: skip


def pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "matplotlib is required to draw. Install it with: pip install 'skvae[plot]'"
        ) from error
    return plt


def axes_or_new(ax: Any) -> Any:
    plt = pyplot()
    return plt.subplots(figsize=(6, 4.2), layout="constrained")[1] if ax is None else ax
