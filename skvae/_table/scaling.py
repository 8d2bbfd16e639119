"""The monotone maps of a numeric column: x → y, with y in units of the column's spread.

Every map is a strictly increasing bijection of the real line with an exact inverse and a known
derivative, so that a density of y is a density of x. The names are those of ``transform``:

``"auto"`` (but see :mod:`skvae._table.transforms`), ``"standard"``, ``"robust"``:
:class:`NumericMap`, affine in the core and logarithmic in the tails. With
u = (x − center) / scale,

    v = u                                   where |u| ≤ core,
    v = sign(u) · core · (1 + log(|u| / core))  beyond,
    y = (v − shift) / spread,

so that dy/dx is continuous and known: densities stay in the units of the table. For a
well-behaved column the core is so wide that the map is the textbook standardization; for a
heavy-tailed one ``"auto"`` starts the tails at a few robust standard deviations, and neither an
outlier of 1e9 standard deviations nor a range of 1e-12 … 1e30 can overflow or compress the other
values. ``"standard"`` is mean and standard deviation whatever the column holds; ``"robust"`` is
median and interquartile range / 1.349, and the only map whose y does not have mean 0 and standard
deviation 1.

The others transform x to some v, and then standardize v as ``"standard"`` does. Beyond all fitted
values, the logarithmic tails of that last step keep |y| below 1e6 (or 1e3 times the largest |y|).

``"power"``: :class:`PowerMap`, of Yeo and Johnson (2000), "A new family of power transformations
to improve normality or symmetry", Biometrika 87. With u in robust units, as in ``"robust"``,

    v = ((1 + u)^λ − 1) / λ                 where u ≥ 0 (log(1 + u) for λ = 0),
    v = −((1 − u)^(2 − λ) − 1) / (2 − λ)    where u < 0 (−log(1 − u) for λ = 2),

and λ of maximum likelihood within [0, 2]: outside it v is bounded on one side, and densities of v
would lose mass there.

``"quantile"``: :class:`QuantileMap`, v = Φ⁻¹(F(x)) with F the distribution of the column, each
value at the middle of its step. v is linear between a few knots, and beyond the outermost ones it
has the mean derivative of the last unit of v, but is nowhere steeper than ``"robust"``.

``"log"``: :class:`LogMap`, of positive values. With c the minimum,

    v = log(x / c)                          where x ≥ c,
    v = x / c − 1                           below.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import ndtri

from .lookup import lookup
from .weighted import quantiles_of_sorted

HEAVY = 30.0  # robust standard deviations of the extreme value from which a column is heavy
MAX_FLOAT = 1e300
MIN_SCALE = 1e-300  # 1 / scale is finite: to the model subnormal numbers are equal
LARGEST = float(np.finfo(np.float64).max)
HEAVY_CORE, WIDE_CORE = 3.0, 1e3
MAX_UNITS = 1e307  # differences of two stay finite
MAX_EXPONENT = 708.0  # above log MAX_UNITS, and exp stays finite
MIN_KNOTS, MAX_KNOTS = 32, 256
MIN_GAP = 1e-3  # between knots, in robust units: bounds the density between them
MIN_PROPORTION = 1e-12  # of the weight of a value: normal scores of neighbors stay apart


class Map(Protocol):
    """x → y, for any finite float64 x and y; the inverse is held inside the float range."""

    @property
    def center(self) -> float: ...  # the x of some y near 0: the replacement of a missing value
    @property
    def derivative(self) -> float: ...  # a typical dy/dx: converts a resolution in x into one in y
    def forward(self, x: np.ndarray) -> np.ndarray: ...
    def inverse(self, y: np.ndarray) -> np.ndarray: ...
    def log_derivative(self, x: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class NumericMap:
    """Affine in the core, logarithmic in the tails."""

    center: float
    scale: float
    core: float = WIDE_CORE
    shift: float = 0.0
    spread: float = 1.0

    @property
    def derivative(self) -> float:
        return 1 / self.scale / self.spread

    def forward(self, x: np.ndarray) -> np.ndarray:
        u = self._standardize(x)
        size = np.maximum(np.abs(u), self.core)
        v = np.where(np.abs(u) <= self.core, u,
                     np.sign(u) * self.core * (1 + np.log(size / self.core)))  # fmt: skip
        return (v - self.shift) / self.spread

    def _standardize(self, x: np.ndarray) -> np.ndarray:
        """u, held inside the float range."""
        with np.errstate(over="ignore"):
            return np.clip(x / self.scale - self.center / self.scale, -MAX_FLOAT, MAX_FLOAT)

    def inverse(self, y: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            v = y * self.spread + self.shift
            beyond = np.minimum(np.maximum(np.abs(v) / self.core, 1) - 1, 650.0)  # exp stays finite
            u = np.where(np.abs(v) <= self.core, v, np.sign(v) * self.core * np.exp(beyond))
            return np.clip(u * self.scale + self.center, -LARGEST, LARGEST)

    def log_derivative(self, x: np.ndarray) -> np.ndarray:
        u = self._standardize(x)
        tail = np.log(np.maximum(np.abs(u) / self.core, 1))
        return -np.log(self.scale) - np.log(self.spread) - tail


@dataclass(frozen=True)
class NonlinearMap(ABC):
    """x is transformed to v, and v is standardized by `units`."""

    units: NumericMap = field(default=NumericMap(0.0, 1.0), kw_only=True)

    @abstractmethod
    def transformed(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """v and log dv/dx at x."""

    @abstractmethod
    def untransformed(self, v: np.ndarray) -> np.ndarray:
        """x at v; may overflow."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        return self.units.forward(self.transformed(x)[0])

    def inverse(self, y: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.clip(self.untransformed(self.units.inverse(y)), -LARGEST, LARGEST)

    def log_derivative(self, x: np.ndarray) -> np.ndarray:
        v, log_derivative = self.transformed(x)
        return log_derivative + self.units.log_derivative(v)

    def standardized(self, values: np.ndarray, weights: np.ndarray) -> Self:
        """The same transformation, in the units of the transformed values."""
        return replace(self, units=fit_standard(self.transformed(values)[0], weights))


@dataclass(frozen=True)
class PowerMap(NonlinearMap):
    """Yeo and Johnson's power of robust units."""

    center: float
    scale: float
    exponent: float

    @property
    def derivative(self) -> float:
        return 1 / self.scale / self.units.scale

    def transformed(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u = to_units(x, self.center, self.scale)
        p, log_size = self._side(u), np.log1p(np.abs(u))
        v = np.sign(u) * np.expm1(np.minimum(p * log_size, MAX_EXPONENT)) / p
        return v, (p - 1) * log_size - np.log(self.scale)

    def untransformed(self, v: np.ndarray) -> np.ndarray:
        p = self._side(v)
        log_size = np.minimum(np.log1p(p * np.abs(v)) / p, MAX_EXPONENT)
        return from_units(np.sign(v) * np.expm1(log_size), self.center, self.scale)

    def _side(self, u: np.ndarray) -> np.ndarray:
        """λ or 2 − λ by the sign of u; at the bound, (s^p − 1) / p is log s to the last digit."""
        return np.maximum(np.where(u < 0, 2 - self.exponent, self.exponent), 1e-16)


@dataclass(frozen=True, eq=False)
class QuantileMap(NonlinearMap):
    """Normal scores of robust units, linear between knots."""

    center: float
    scale: float
    knots: np.ndarray  # increasing, in robust units
    scores: np.ndarray  # increasing
    derivatives: np.ndarray  # below, between and beyond the knots

    @property
    def derivative(self) -> float:
        """The quartiles of robust units are those of normal scores: dv/du is about 1."""
        return 1 / self.scale / self.units.scale

    def transformed(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u = to_units(x, self.center, self.scale)
        below, beyond = np.minimum(u - self.knots[0], 0), np.maximum(u - self.knots[-1], 0)
        v = np.interp(u, self.knots, self.scores)
        derivative = lookup(self.derivatives, np.searchsorted(self.knots, u))
        v = v + below * self.derivatives[0] + beyond * self.derivatives[-1]
        return v, np.log(derivative) - np.log(self.scale)

    def untransformed(self, v: np.ndarray) -> np.ndarray:
        below, beyond = np.minimum(v - self.scores[0], 0), np.maximum(v - self.scores[-1], 0)
        u = np.interp(v, self.scores, self.knots)
        u = u + below / self.derivatives[0] + beyond / self.derivatives[-1]
        return from_units(u, self.center, self.scale)


@dataclass(frozen=True)
class LogMap(NonlinearMap):
    """Logarithm above the floor, linear below it."""

    floor: float

    @property
    def center(self) -> float:
        return float(self.inverse(np.zeros(1))[0])

    @property
    def derivative(self) -> float:
        return min(1 / self.center / self.units.scale, LARGEST)  # the center may be subnormal

    def transformed(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        excess = to_units(x, self.floor, self.floor)  # distinguishes neighbors, unlike x / floor
        logarithm = np.log(np.maximum(x, self.floor))
        v = np.where(excess < MAX_UNITS, np.log1p(np.maximum(excess, 0)),
                     logarithm - np.log(self.floor))  # fmt: skip
        return np.where(excess < 0, excess, v), -logarithm

    def untransformed(self, v: np.ndarray) -> np.ndarray:
        root = np.exp(np.clip(v, 0, 2 * MAX_EXPONENT) / 2)  # its square may be beyond the floats
        return np.where(v < 0, self.floor * (1 + v), self.floor * root * root)


def to_units(x: np.ndarray, center: float, scale: float) -> np.ndarray:
    """(x − center) / scale, held inside the float range: a difference of halves cannot overflow."""
    with np.errstate(over="ignore"):
        return np.clip((x / 2 - center / 2) / scale * 2, -MAX_UNITS, MAX_UNITS)


def from_units(u: np.ndarray, center: float, scale: float) -> np.ndarray:
    """The inverse of :func:`to_units`."""
    return (u / 2 * scale + center / 2) * 2


def moments(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Weighted mean and standard deviation, safe from overflow."""
    size = 2.0 ** min(np.frexp(np.abs(values).max())[1], 1000)  # a power of two loses no digit
    total = weights.sum()
    mean = (values / size * weights).sum() / total
    variance = ((values / size - mean) ** 2 * weights).sum() / total
    return float(mean * size), max(float(np.sqrt(variance) * size), MIN_SCALE)


def robust_units(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Median, and interquartile range relative to that of a standard normal distribution."""
    low, center, high = quantiles_of_sorted(values, weights, [0.25, 0.5, 0.75]).tolist()
    scale = high / 1.349 - low / 1.349
    if not scale > 0:  # more than half of the cells are one value: use the others
        distance = np.abs(values / 2 - center / 2)
        order = np.argsort(distance, kind="stable")
        order = order[distance[order] > 0]
        scale = 2 * float(quantiles_of_sorted(distance[order], weights[order], 0.5))
    return center, max(scale, MIN_SCALE)


def are_subnormal(values: np.ndarray) -> bool:
    """Whether the spread of sorted values is so small that no map can bring it to 1."""
    return bool(values[-1] / 2 - values[0] / 2 < MIN_SCALE)


def fit_standard(values: np.ndarray, weights: np.ndarray) -> NumericMap:
    """Mean and standard deviation, with a core that holds all values."""
    narrow = NumericMap(*moments(values, weights))
    extreme = float(np.abs(narrow._standardize(values[[0, -1]])).max())
    return replace(narrow, core=max(WIDE_CORE, extreme))


def fit_robust(values: np.ndarray, weights: np.ndarray) -> NumericMap:
    """Median and interquartile range."""
    return NumericMap(*robust_units(values, weights))


def fit_power(values: np.ndarray, weights: np.ndarray) -> Map:
    """λ of maximum likelihood, for v normal with any mean and variance."""
    if are_subnormal(values):
        return fit_standard(values, weights)
    center, scale = robust_units(values, weights)
    u = to_units(values, center, scale)

    def loss(exponent: float) -> float:
        v, log_derivative = PowerMap(0.0, 1.0, exponent).transformed(u)
        return float(np.log(moments(v, weights)[1]) - np.average(log_derivative, weights=weights))

    # Powers beyond these would overflow at the least or at the greatest value.
    left, right = MAX_EXPONENT / np.maximum(np.log1p(np.abs(u[[0, -1]])), 1)
    best = minimize_scalar(loss, bounds=(max(0, 2 - left), min(2, right)), method="bounded")
    return PowerMap(center, scale, float(best.x)).standardized(values, weights)


def fit_quantile(values: np.ndarray, weights: np.ndarray) -> Map:
    """Knots are about equally far apart in score, and fewer than values that are many."""
    if are_subnormal(values):
        return fit_standard(values, weights)
    center, scale = robust_units(values, weights)
    u = to_units(values, center, scale)
    proportions = np.maximum(weights / weights.sum(), MIN_PROPORTION)
    scores = _normal_scores(proportions)
    n_knots = min(MAX_KNOTS, max(MIN_KNOTS, int(2 * np.sqrt(len(values)))))
    step = (scores[-1] - scores[0]) / (n_knots - 1)
    first = np.flatnonzero(np.diff(np.round((scores - scores[0]) / step), prepend=-1))
    masses = np.add.reduceat(proportions, first)
    knots, masses = _merged(np.add.reduceat(u * proportions, first) / masses, masses)
    scores = _normal_scores(masses)
    one_up = min(int(np.searchsorted(scores, scores[0] + 1)), len(scores) - 1)
    one_down = max(int(np.searchsorted(scores, scores[-1] - 1, side="right")) - 1, 0)
    below = (scores[one_up] - scores[0]) / (knots[one_up] - knots[0])
    beyond = (scores[-1] - scores[one_down]) / (knots[-1] - knots[one_down])
    between = np.diff(scores) / np.diff(knots)
    derivatives = np.concatenate([[min(below, 1)], between, [min(beyond, 1)]])
    return QuantileMap(center, scale, knots, scores, derivatives).standardized(values, weights)


def _normal_scores(proportions: np.ndarray) -> np.ndarray:
    """Φ⁻¹ of the middle of each step of the distribution, from the nearer end."""
    below = np.cumsum(proportions) - proportions / 2
    above = np.cumsum(proportions[::-1])[::-1] - proportions / 2
    total = proportions.sum()
    return np.where(below < above, ndtri(below / total), -ndtri(above / total))


def _merged(positions: np.ndarray, masses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Knots and their masses; those too close together are merged."""
    knots = [positions[0]]
    merged = [masses[0]]
    for position, mass in zip(positions[1:], masses[1:], strict=True):
        gap = position - knots[-1]
        if gap < MIN_GAP:
            merged[-1] += mass
            knots[-1] += gap * mass / merged[-1]
        else:
            knots.append(position)
            merged.append(mass)
    return np.array(knots), np.array(merged)


def fit_log(values: np.ndarray, weights: np.ndarray) -> LogMap:
    """The logarithm of positive values; the ValueError of others does not name the column."""
    if not values[0] > 0:
        raise ValueError(
            f"numeric_transform='log' needs positive values, but the minimum is {values[0]:g}. "
            "Make such cells missing, or choose numeric_transform='power', for values of any sign."
        )
    return LogMap(float(values[0])).standardized(values, weights)
