"""The column of one number: how it is scaled, what likelihoods want of it, and the way back."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .columns import MIN_WIDTH, Column, EncodedColumn
from .layouts import TICKS_PER_DAY, Cells
from .scaling import Map, NumericMap

SNAP = 1e-6  # in scaled units


@dataclass
class NumericColumn(Column):
    """Continuous, integer, boolean or datetime: one number, scaled by a monotone map."""

    map: Map = field(default_factory=lambda: NumericMap(0.0, 1.0))
    origin: int = 0  # datetimes: tick of the first; integers that float64 cannot hold: the least
    minimum: float = 0.0
    maximum: float = 0.0
    resolution: float = 0.0  # smallest step between two values
    decimals: int | None = None  # None: as many as there are
    step: int = 1  # all values are whole steps apart, in units of the last decimal (or of a tick)
    target: str = "value"  # set when the likelihood is chosen: see `likelihoods.Likelihood`
    atoms: np.ndarray = field(default_factory=lambda: np.empty(0))  # likewise
    n_distinct: int = 2
    repeated: np.ndarray = field(default_factory=lambda: np.empty(0))  # most frequent, sorted
    shares: np.ndarray = field(default_factory=lambda: np.empty(0))  # of the cells
    prominence: np.ndarray = field(default_factory=lambda: np.empty(0))  # share / share around
    quantiles: np.ndarray = field(default_factory=lambda: np.empty(0))  # at equal steps of 0 … 1
    probability: float = 0.5  # booleans: share of True

    @property
    def n_levels(self) -> int | None:
        """Probabilities that the mean of a cell consists of; None: it is a number."""
        return 2 if self.kind == "boolean" else None

    @property
    def scaled_resolution(self) -> float:
        """Resolution in units of y, where the map is steepest: floors must hold there too."""
        if not len(self.quantiles):
            return self.resolution * self.map.slope
        steepest = self.map.log_derivative(self.quantiles).max()
        return self.resolution * max(float(np.exp(steepest)), self.map.slope)

    def cell_width(self, values: np.ndarray) -> np.ndarray:
        """Width of the rounding cells of some values, in units of y.

        A column of floats may have next to no resolution; among integers a cell is what it is.
        """
        cell = 1.0 if self.kind == "integer" else self.resolution
        width = np.exp(np.log(cell) + self.map.log_derivative(values))
        return width if self.kind == "integer" else np.maximum(width, MIN_WIDTH)

    def numbers(self, cells: Cells) -> np.ndarray:
        """Float64 with NaN; datetimes in days since the first."""
        cells = self.coerce(cells)
        if cells.type != "time":
            if self.origin and cells.exact is not None:
                offset = np.array([int(v) - self.origin for v in cells.exact], dtype=np.float64)
                return np.where(cells.missing, np.nan, offset)
            return np.asarray(cells.values - float(self.origin), dtype=np.float64)
        days = cells.days_since(self.origin, self.unit)
        return np.where(cells.missing, np.nan, days)

    def encode(self, cells: Cells) -> EncodedColumn:
        x = self.numbers(cells)
        missing = np.isnan(x)
        if self.kind == "boolean":
            x = np.where(missing, np.nan, x > 0.5)
        x = np.where(missing, self.map.center, x)
        y = np.where(missing, 0.0, self.map.forward(x))
        if not self.is_mass:
            measure = np.where(missing, 0.0, self.map.log_derivative(x))
        elif self.kind in ("continuous", "datetime"):
            measure = np.where(missing, 0.0, -np.log(self.resolution))
        else:
            measure = np.zeros(len(x))
        return EncodedColumn(y, missing, measure, self._extra(x, y, missing))

    def _extra(self, x: np.ndarray, y: np.ndarray, missing: np.ndarray) -> np.ndarray | None:
        """What the likelihood wants beside the scaled number: see `likelihoods.Likelihood`."""
        if self.target == "count":
            return self._counts(x, missing)[:, None]
        if self.target == "interval":
            return np.stack(self._interval(x), axis=-1)
        if self.target == "atoms":
            return np.stack([y, self._atom(y)], axis=-1)
        if self.target == "atoms_interval":
            return np.stack([*self._interval(x), self._atom(y)], axis=-1)
        return None

    def _counts(self, x: np.ndarray, missing: np.ndarray) -> np.ndarray:
        counts = np.where(missing, 0.0, x + float(self.origin))
        if (counts < 0).any():
            raise ValueError(
                f"Column {self.name!r} holds {counts.min():g}, but its likelihood describes "
                "counts, which are not negative. Make such cells missing, or choose "
                "likelihood='discretized_logistic' for the column."
            )
        return counts

    def _interval(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower edge and width of the rounding cell."""
        half = self.resolution / 2 if self.kind != "integer" else 0.5
        lower = self.map.forward(x - half)
        width = self.map.forward(x + half) - lower
        # Where the difference would cancel, the cell is so narrow that its slope is exact.
        narrow = width < 1e-6
        width[narrow] = 2 * half * np.exp(self.map.log_derivative(x[narrow]))
        return lower, np.maximum(width, 1e-30)  # of float32

    def _atom(self, y: np.ndarray) -> np.ndarray:
        """Number of the atom in whose cell a value lies, counted from 1; 0: in none."""
        positions, half = self.map.forward(self.atoms), self.cell_width(self.atoms) / 2
        nearest = np.searchsorted((positions[1:] + positions[:-1]) / 2, y)
        inside = np.abs(y - positions[nearest]) <= half[nearest]
        return np.where(inside, nearest + 1, 0)

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and greatest value seen, as the likelihood draws them; half a cell more."""
        if self.kind == "boolean":
            return -np.inf, np.inf
        ends = np.array([self.minimum, self.maximum])
        if self.target == "count":
            low, high = ends + float(self.origin)
            return float(low), float(high)
        half = self.resolution / 2 if self.decimals is not None else 0.0
        low, high = self.map.forward(ends + np.array([-half, half]))
        return float(low), float(high)

    @property
    def is_affine(self) -> bool:
        """Whether the map is a straight line over the values that were seen."""
        if self.kind == "boolean" or self.target == "count":
            return True
        return bool(np.ptp(self.map.log_derivative(self.quantiles)) < 1e-9)

    def unscaled(self, y: np.ndarray) -> np.ndarray:
        """Numbers as likelihoods draw them in the units of the table, inside the seen bounds.

        Booleans keep their sign; numbers count from `origin`.
        """
        if self.kind == "boolean":
            return y
        x = y - float(self.origin) if self.target == "count" else self.map.inverse(y)
        return np.clip(x, self.minimum, self.maximum)

    def rescaled(self, x: np.ndarray) -> np.ndarray:
        """The inverse of ``unscaled``."""
        if self.kind == "boolean":
            return x
        return x + float(self.origin) if self.target == "count" else self.map.forward(x)

    def decode(self, y: np.ndarray) -> Cells:
        """Back to the table: inside the seen bounds, rounded as the seen values were."""
        if self.kind == "boolean":
            return self.cells((y > 0).astype(np.float64))
        if self.target == "count":
            x = np.clip(y - float(self.origin), self.minimum, self.maximum)
        else:
            low, high = self.map.forward(np.array([self.minimum, self.maximum]))
            x = np.clip(self.map.inverse(np.clip(y, low, high)), self.minimum, self.maximum)
            x = self._snapped(x)
        if self.decimals is not None:
            step = self.step / 10.0**self.decimals
            x = self.minimum + np.round((x - self.minimum) / step) * step
            x = np.clip(np.round(x, self.decimals), self.minimum, self.maximum)
        if self.type == "time":
            steps = np.round(x * (TICKS_PER_DAY[self.unit] / self.step)).astype(np.uint64)
            return self.cells((steps * np.uint64(self.step)).view(np.int64) + self.origin)
        if not self.origin:
            return self.cells(x)
        offset = x.astype(np.uint64)  # a span may exceed int64
        return self.cells(
            offset + np.uint64(self.origin)
            if self.origin > 0
            else offset.view(np.int64) + np.int64(self.origin)
        )

    def _snapped(self, x: np.ndarray) -> np.ndarray:
        """A draw of a repeated value went through float32: back to the value itself."""
        if not len(self.repeated):
            return x
        middles = self.repeated[:-1] / 2 + self.repeated[1:] / 2
        nearest = self.repeated[np.searchsorted(middles, x)]
        y = self.map.forward(x)
        close = np.abs(y - self.map.forward(nearest)) < SNAP * np.maximum(np.abs(y), 1)
        return np.where(close, nearest, x)
