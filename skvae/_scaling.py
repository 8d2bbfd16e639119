"""The monotone map of a numeric column: affine in the core, logarithmic in the tails.

With u = (x − centre) / scale,

    v = u                                   where |u| ≤ core,
    v = sign(u) · core · (1 + log(|u| / core))  beyond,
    y = (v − shift) / spread,

so that dy/dx is continuous and known: densities stay in the units of the table. For a
well-behaved column the core is so wide that the map is the textbook standardisation; for a
heavy-tailed one it starts at a few robust standard deviations, and neither an outlier of 1e9
standard deviations nor a range of 1e-12 … 1e30 can overflow or drown the other values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HEAVY = 30.0  # robust standard deviations of the extreme value from which a column is heavy
MAX_FLOAT = 1e300
HEAVY_CORE, WIDE_CORE = 3.0, 1e3


@dataclass(frozen=True)
class NumericMap:
    """x → y with exact inverse and log-derivative; see the module."""

    center: float
    scale: float
    core: float = WIDE_CORE
    shift: float = 0.0
    spread: float = 1.0

    def forward(self, x: np.ndarray) -> np.ndarray:
        u = self._standardise(x)
        size = np.maximum(np.abs(u), self.core)
        v = np.where(np.abs(u) <= self.core, u,
                     np.sign(u) * self.core * (1 + np.log(size / self.core)))  # fmt: skip
        return (v - self.shift) / self.spread

    def _standardise(self, x: np.ndarray) -> np.ndarray:
        """u, held inside the float range."""
        with np.errstate(over="ignore"):
            return np.clip(x / self.scale - self.center / self.scale, -MAX_FLOAT, MAX_FLOAT)

    def inverse(self, y: np.ndarray) -> np.ndarray:
        v = y * self.spread + self.shift
        beyond = np.minimum(np.maximum(np.abs(v) / self.core, 1) - 1, 650.0)  # exp stays finite
        u = np.where(np.abs(v) <= self.core, v, np.sign(v) * self.core * np.exp(beyond))
        with np.errstate(over="ignore"):
            return u * self.scale + self.center

    def log_derivative(self, x: np.ndarray) -> np.ndarray:
        """log dy/dx at x."""
        u = self._standardise(x)
        tail = np.log(np.maximum(np.abs(u) / self.core, 1))
        return -np.log(self.scale) - np.log(self.spread) - tail


def moments(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Weighted mean and standard deviation, safe from overflow."""
    size = 2.0 ** min(np.frexp(np.abs(values).max())[1], 1000)  # a power of two loses no digit
    total = weights.sum()
    mean = (values / size * weights).sum() / total
    variance = ((values / size - mean) ** 2 * weights).sum() / total
    return float(mean * size), float(np.sqrt(variance) * size)


def quantile(values: np.ndarray, weights: np.ndarray, q: float) -> float:
    """Weighted quantile of sorted values."""
    cumulated = np.cumsum(weights)
    return float(values[np.searchsorted(cumulated, q * cumulated[-1])])


def choose_map(values: np.ndarray, weights: np.ndarray) -> NumericMap:
    """The map of a column with the given distinct sorted values and their weights."""
    center = quantile(values, weights, 0.5)
    scale = (quantile(values, weights, 0.75) / 1.349) - (quantile(values, weights, 0.25) / 1.349)
    if not scale > 0:  # more than half of the cells are one value: look at the others
        distance = np.abs(values / 2 - center / 2)
        order = np.argsort(distance, kind="stable")
        order = order[distance[order] > 0]
        scale = 2 * quantile(distance[order], weights[order], 0.5)
    extreme = np.abs(NumericMap(center, scale)._standardise(values[[0, -1]])).max()
    if extreme <= HEAVY:
        mean, spread = moments(values, weights)
        return NumericMap(mean, spread)
    shape = NumericMap(center, scale, HEAVY_CORE)
    shift, spread = moments(shape.forward(values), weights)
    return NumericMap(center, scale, HEAVY_CORE, shift, spread)
