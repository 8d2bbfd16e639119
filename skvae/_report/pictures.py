"""Pictures of a report: drawn by matplotlib without pyplot, as SVG in the colors of the page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from skvae._html.text import Markup, escaped
from skvae._quality import Feature
from skvae.plots import LatentPlaneDisplay
from skvae.plots._style import COLORS, MISSING, NORMAL, OTHER, SMALL, bars, height, styled, words

MAX_UNITS, MAX_LEVELS, N_BINS = 30, 8, 30
# Colors of the pictures as variables of the page, which has others in the dark.
VARIABLES = {
    "#000000": "currentColor",
    "#333333": "currentColor",
    OTHER: "var(--other)",
    MISSING: "var(--missing)",
    **{color: f"var(--color{i})" for i, color in enumerate(COLORS)},
}


def check_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "matplotlib is required for reports. Install it with: pip install 'skvae[plot]'"
        ) from error


@contextmanager
def default_style() -> Iterator[None]:
    """The style of matplotlib itself, whatever the user set, which is there again afterwards."""
    import matplotlib.style

    ours = {"svg.fonttype": "none", "svg.hashsalt": "skvae", "figure.facecolor": "none",
            "axes.facecolor": "none", "savefig.facecolor": "none"}  # fmt: skip
    with warnings.catch_warnings(), matplotlib.style.context(["default", ours]):
        # The browser has fonts for the letters that matplotlib's own lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


class Pictures:
    """Draws pictures with identifiers that are unique on the page."""

    def __init__(self) -> None:
        self.n = 0

    def draw(self, draw: Callable[[Any], object], said: str, size: tuple[float, float]) -> Markup:
        """What `draw` draws on axes of some inches, as SVG; `said` is for screen readers."""
        from matplotlib.figure import Figure

        with default_style():
            figure = Figure(figsize=size, layout="constrained")
            draw(figure.subplots())
            buffer = io.StringIO()
            nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
            figure.savefig(buffer, format="svg", metadata=nothing)
        self.n += 1
        return _inlined(buffer.getvalue(), f"p{self.n}-", said, size)


def _inlined(svg: str, prefix: str, said: str, size: tuple[float, float]) -> Markup:
    """SVG as a part of a page: no namespaces, no metadata, own identifiers, colors of the page."""
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.S)
    body = svg[svg.index("<svg") :]
    body = re.sub(r'(?<= id=")(?=[^"])', prefix, body)
    body = re.sub(r"(?<=url\(#)", prefix, body)
    body = re.sub(r'xlink:href="#', f'href="#{prefix}', body).replace("xlink:href=", "href=")
    body = re.sub("#[0-9a-f]{6}", lambda found: VARIABLES.get(found[0], found[0]), body, flags=re.I)
    box = re.search(r'viewBox="[^"]*"', body)
    assert box is not None
    head = (
        f'<svg class="skvae-picture" role="img" {box[0]} style="max-width: {96 * size[0]:.0f}px" '
        f'aria-label="{escaped(said)}">'
    )
    return Markup(head + body[body.index(">") + 1 :].strip() + "\n")


# ------------------------------------------------------------------------------ what is drawn


def draw_plane(ax: Any, Z: np.ndarray, names: tuple[str, str], color: Any, label: Any) -> None:
    LatentPlaneDisplay(Z, color, names, label).plot(ax=ax)
    ax.set_title("")


def draw_units(ax: Any, names: Sequence[str], kl: np.ndarray, active: np.ndarray) -> None:
    """KL of the first units; those that are active in the first color."""
    shown = slice(MAX_UNITS)
    bars(ax, [words(name) for name in names[shown]], kl[shown], active[shown])
    styled(ax, "", "Mean KL, nats")
    ax.spines["left"].set_visible(False)


def units_size(n: int) -> tuple[float, float]:
    return 4.6, height(min(n, MAX_UNITS)) - 0.3


def draw_marginal(ax: Any, feature: Feature, names: Sequence[str] | None, column: Any) -> None:
    """The rows as an area, the drawn rows as a line; levels as pairs of bars."""
    real, drawn = (values[~np.isnan(values)] for values in feature.values[:2])
    if names is None:
        _histograms(ax, real, drawn, column)
        if column.type == "time" and not column.duration:
            ax.xaxis_date()
        ax.locator_params(axis="x", nbins=3) if column.type != "time" else _few_dates(ax)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
    else:
        _level_bars(ax, real, drawn, names)
    ax.set_title(words(feature.name, 24), fontsize=NORMAL)
    ax.tick_params(labelsize=SMALL, length=2)
    ax.spines[["top", "right"]].set_visible(False)


def _few_dates(ax: Any) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator

    if isinstance(ax.xaxis.get_major_locator(), AutoDateLocator):
        locator = AutoDateLocator(minticks=2, maxticks=4)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    else:
        ax.xaxis.set_major_locator(MaxNLocator(3))


def _histograms(ax: Any, real: np.ndarray, drawn: np.ndarray, column: Any) -> None:
    """Bins of whole steps of the column, so that none holds more of its values than others."""
    both = np.concatenate([real, drawn])
    low, high = np.quantile(both, [0.005, 0.995]) if len(both) else (0.0, 1.0)
    step, width = getattr(column, "resolution", 0.0), (high - low) / N_BINS
    if step > 0 and width < 1000 * step:
        width = step * max(1.0, np.ceil(width / step))
        low -= step / 2
    edges = low + (width or 1.0) * np.arange(N_BINS + 1)
    edges = edges[: np.searchsorted(edges, high) + 1]
    for values, options in (
        (real, {"color": COLORS[0], "alpha": 0.35}),
        (drawn, {"color": COLORS[1], "histtype": "step", "linewidth": 1.4}),
    ):
        if len(values):
            weights = np.full(len(values), 1 / len(values))
            ax.hist(values, edges, weights=weights, **options)


def _level_bars(ax: Any, real: np.ndarray, drawn: np.ndarray, names: Sequence[str]) -> None:
    shares = np.stack([
        np.bincount(values.astype(int), minlength=len(names)) / max(len(values), 1)
        for values in (real, drawn)
    ])  # fmt: skip
    most = np.argsort(-shares[0], kind="stable")[:MAX_LEVELS]
    places = np.arange(len(most))[::-1]
    ax.barh(places + 0.2, 100 * shares[0, most], height=0.4, color=COLORS[0], alpha=0.35)
    ax.barh(places - 0.2, 100 * shares[1, most], height=0.4, facecolor="none",
            edgecolor=COLORS[1], linewidth=1.4)  # fmt: skip
    ax.set_yticks(places, [words(names[i], 12) for i in most])
    ax.locator_params(axis="x", nbins=3)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g} %")
