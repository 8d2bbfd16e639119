"""The training curve as SVG, without matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .text import Markup, escaped, number

WIDTH, HEIGHT = 440, 200
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 26, 40  # margins
LINES = [("bound", "training", 1, ""), ("validation_bound", "held out", 2, "6 3")]
MAX_POINTS = 400  # of a line

Range = tuple[float, float]


def training_curve(history: dict[str, list[float]]) -> Markup:
    """The bound over the steps of training; empty if there is none.

    Parameters
    ----------
    history : dict of lists
        ``history_`` of a fitted estimator.
    """
    steps = _as_floats(history.get("step", ()))
    lines = [
        _Line(label, steps, _as_floats(history[key]), color, dash)
        for key, label, color, dash in LINES
        if key in history
    ]
    finite = np.concatenate([line.bounds[np.isfinite(line.bounds)] for line in lines] or [steps])
    if not len(steps) or not lines or not len(finite):
        return Markup("")
    # The first rounds of a bad start would hide all that follows.
    low, high = float(np.quantile(finite, 0.02)), float(finite.max())
    margin = 0.08 * (high - low) or max(0.05 * abs(high), 0.05)
    y_range = low - margin, high + margin
    x_range = (float(steps[0]), float(steps[-1])) if len(steps) > 1 else (0.0, 2 * steps[0])
    body = "\n".join([
        *_axes(x_range, y_range),
        *(line.drawn(x_range, y_range) for line in lines),
        *(line.key(LEFT + 110 * i) for i, line in enumerate(lines)),
    ])  # fmt: skip
    title = f"Bound in nats per row over {number(steps[-1])} training steps: " + " and ".join(
        line.said() for line in lines
    )
    return Markup(
        f'<svg class="skvae-curve" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'aria-label="{escaped(title)}">\n{body}\n</svg>\n'
    )


@dataclass(frozen=True)
class _Line:
    """A bound over the steps, and how it is drawn."""

    label: str
    steps: np.ndarray
    bounds: np.ndarray
    color: int
    dash: str

    @property
    def stroke(self) -> str:
        return f'stroke-dasharray="{self.dash}" ' if self.dash else ""

    def drawn(self, x_range: Range, y_range: Range) -> str:
        seen = np.flatnonzero(np.isfinite(self.bounds))
        some = np.linspace(0, len(seen) - 1, min(len(seen), MAX_POINTS)).round().astype(int)
        points = [
            (_x(self.steps[i], x_range), _y(self.bounds[i], y_range)) for i in seen[np.unique(some)]
        ]
        if len(points) == 1:
            ((x, y),) = points
            return f'<circle class="skvae-dot{self.color}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        return f'<polyline class="skvae-line{self.color}" {self.stroke}points="{joined}"/>'

    def key(self, x: float) -> str:
        return (
            f'<line class="skvae-line{self.color}" {self.stroke}x1="{x}" x2="{x + 24}" y1="12" '
            f'y2="12"/><text x="{x + 30}" y="16">{self.label}</text>'
        )

    def said(self) -> str:
        return f"{self.label} from {number(self.bounds[0])} to {number(self.bounds[-1])}"


def _as_floats(values: Sequence[Any]) -> np.ndarray:
    return np.asarray([np.nan if value is None else value for value in values], dtype=float)


def _x(step: float, x_range: Range) -> float:
    low, high = x_range
    return LEFT + (WIDTH - LEFT - RIGHT) * (step - low) / ((high - low) or 1.0)


def _y(value: float, y_range: Range) -> float:
    low, high = y_range
    place = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)
    return min(place, HEIGHT - BOTTOM)  # what is below the picture is drawn at its edge


def _axes(x_range: Range, y_range: Range) -> list[str]:
    """Lines at round values of the bound, with their numbers; round steps; what both mean."""
    parts, right, bottom = [], WIDTH - RIGHT, HEIGHT - BOTTOM
    for value in ticks(*y_range, 6):
        y = _y(value, y_range)
        parts.append(
            f'<line class="skvae-grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="skvae-end" x="{LEFT - 6}" y="{y + 4:.1f}">{number(value)}</text>'
        )
    for value in [step for step in ticks(*x_range, 7) if step == round(step)]:
        x = _x(value, x_range)
        parts.append(f'<text class="skvae-middle" x="{x:.1f}" y="{bottom + 15}">'
                     f"{number(value)}</text>")  # fmt: skip
    middle = (LEFT + right) / 2
    center = (TOP + bottom) / 2
    parts.append(
        f'<text class="skvae-middle" x="{middle}" y="{HEIGHT - 6}">Training step</text>'
        f'<text class="skvae-middle" transform="translate(12 {center}) rotate(-90)">'
        "Bound, nats per row</text>"
    )
    return parts


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most about `most` round values from `low` to `high`."""
    step = 10.0 ** math.floor(math.log10(max((high - low) / most, 1e-300)))
    step = next((step * k for k in (1, 2, 5, 10) if (high - low) / (step * k) <= most), step * 10)
    first = math.ceil(low / step)
    return [round(i * step, 12) for i in range(first, math.floor(high / step) + 1)]
