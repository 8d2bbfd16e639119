"""Columns of numbers: statistics, encoding for the likelihoods, and decoding."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .atom_map import ROUNDING, AtomMap
from .columns import MIN_WIDTH, Column, ColumnSummary, EncodedColumn
from .lattices import Lattices
from .layouts import TICKS_PER_DAY, Cells
from .lookup import lookup
from .scaling import Map, NumericMap

MAX_DECIMALS = 12
LARGEST_DISTANCE = np.nextafter(2.0**64, 0)  # of float64 in uint64


def as_stored(values: np.ndarray) -> np.ndarray:
    """A copy as it is after a pickle, which changes the strides of empty arrays."""
    return np.frombuffer(values.tobytes(), values.dtype)


def _empty() -> np.ndarray:
    return as_stored(np.empty(0))


@dataclass(frozen=True, eq=False)
class NumericSummary(ColumnSummary):
    """The statistics of a column of numbers, by which its likelihood is chosen."""

    origin: int = 0  # datetimes: tick of the first; integers that float64 cannot hold: the least
    minimum: float = 0.0
    maximum: float = 0.0
    resolution: float = 0.0  # smallest step between two values
    decimals: int | None = None  # None: as many as there are
    single: bool = False  # whether the numbers are stored in float32
    step: int = 1  # all values are whole steps apart, in units of the last decimal (or of a tick)
    n_distinct: int = 2
    repeated: np.ndarray = field(default_factory=_empty)  # most frequent values, sorted
    shares: np.ndarray = field(default_factory=_empty)  # their proportions of the cells
    is_spike: np.ndarray = field(default_factory=_empty)  # far more frequent than others around
    has_codes: bool = False  # whether some of the spikes are far from all other values
    quantiles: np.ndarray = field(default_factory=_empty)  # at equal steps of 0 … 1
    probability: float = 0.5  # booleans: proportion of True
    # Values that are decoded exactly, sorted: the repeated ones and the bounds. Where there is an
    # origin, float64 may not represent them: they are stored as integers (or ticks) too.
    known: np.ndarray = field(default_factory=_empty)
    known_integers: np.ndarray = field(default_factory=lambda: as_stored(np.empty(0, np.int64)))

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


@dataclass(frozen=True, eq=False)
class NumericColumn(NumericSummary, Column):
    """Continuous, integer, boolean or datetime: one number, scaled by a monotone map."""

    map: Map = field(default_factory=lambda: NumericMap(0.0, 1.0))
    is_mass: bool = True  # whether the likelihood is a probability mass, not a density
    target: str = "value"  # form of the cells: see `likelihoods.Likelihood`
    atoms: np.ndarray = field(default_factory=_empty)  # values with a probability of their own
    low: float = -math.inf  # least and greatest value that is no atom
    high: float = math.inf
    lattices: Lattices | None = None  # of the values that are no atoms

    @property
    def map_of_rest(self) -> Map:
        """The map of the values that are no atoms."""
        return self.map.inner if isinstance(self.map, AtomMap) else self.map

    @property
    def n_levels(self) -> int | None:
        """Probabilities that the mean of a cell consists of; None: it is a number."""
        return 2 if self.kind == "boolean" else None

    @property
    def scaled_resolution(self) -> float:
        """Resolution in units of y, where the map is steepest: floors must hold there too.

        The noise must not be finer than the lattices, over whose spacings its density is smooth.
        """
        resolution = self.resolution
        if self.lattices is not None:
            resolution = max(resolution, self.lattices.coarsest)
        if not len(self.quantiles):
            return resolution * self.map.derivative
        steepest = self.map.log_derivative(self.quantiles).max()
        at_steepest = np.exp(np.log(resolution) + steepest)  # each alone may overflow
        return max(float(at_steepest), resolution * self.map.derivative)

    def cell_width(self, values: np.ndarray) -> np.ndarray:
        """Width of the rounding cells of some values, in units of y.

        The resolution of a column of floats may be close to 0: their cells have a minimum width.
        """
        cell = 1.0 if self.kind == "integer" else self.resolution
        width = np.exp(np.log(cell) + self.map.log_derivative(values))
        return width if self.kind == "integer" else np.maximum(width, MIN_WIDTH)

    def encode(self, cells: Cells) -> EncodedColumn:
        x = self.numbers(cells)
        if self.target == "count":
            self._check_counts(x)
        return self.encode_numbers(x)

    def encode_numbers(self, x: np.ndarray) -> EncodedColumn:
        """The encoded column of numbers in its own units; NaN is missing."""
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
            measure = np.zeros_like(x)
        if self.lattices is not None:
            own = missing if not len(self.atoms) else missing | (self._atom(x) > 0)
            measure = measure + np.where(own, 0.0, self.lattices.log_measure(x))
        return EncodedColumn(y, missing, measure, self._extra(x, y, missing))

    def _extra(self, x: np.ndarray, y: np.ndarray, missing: np.ndarray) -> np.ndarray | None:
        """Further numbers that the likelihood needs: see `likelihoods.Likelihood`."""
        if self.target == "count":
            return np.stack([np.where(missing, 0.0, x + float(self.origin))], axis=-1)
        if self.target == "interval":
            return np.stack(self._interval(x), axis=-1)
        if self.target == "atoms":
            return np.stack([y, self._atom(x)], axis=-1)
        if self.target == "atoms_interval":
            return np.stack([*self._interval(x), self._atom(x)], axis=-1)
        return None

    def _check_counts(self, x: np.ndarray) -> None:
        counts = x + float(self.origin)
        if (counts < 0).any():
            raise ValueError(
                f"Column {self.name!r} holds {np.nanmin(counts):g}, but its likelihood describes "
                "counts, which are not negative. Make such cells missing, or choose "
                "likelihood='discretized_logistic' for the column."
            )

    def _interval(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower edge and width of the rounding cell."""
        half = self.resolution / 2 if self.kind != "integer" else 0.5
        lower = self.map.forward(x - half)
        width = self.map.forward(x + half) - lower
        # Where the difference would cancel, the cell is so narrow that its derivative is exact.
        narrow = width < 1e-6
        width = np.where(narrow, 2 * half * np.exp(self.map.log_derivative(x)), width)
        return lower, np.maximum(width, 1e-30)  # of float32

    def _atom(self, x: np.ndarray) -> np.ndarray:
        """Number of the atom whose cell contains the value, counted from 1; 0: there is none."""
        positions, y = self.map_of_rest.forward(self.atoms), self.map_of_rest.forward(x)
        half = self.cell_width(self.atoms) / 2
        nearest = np.searchsorted((positions[1:] + positions[:-1]) / 2, y)
        inside = np.abs(y - lookup(positions, nearest)) <= lookup(half, nearest)
        return np.where(inside, nearest + 1, 0)

    def is_atom(self, y: np.ndarray) -> np.ndarray:
        """Which drawn numbers are an atom up to rounding."""
        if not len(self.atoms):
            return np.zeros_like(y, dtype=bool)
        positions = self.map.forward(self.atoms)
        nearest = lookup(positions, np.searchsorted((positions[1:] + positions[:-1]) / 2, y))
        is_atom: np.ndarray = np.abs(y - nearest) < ROUNDING * np.maximum(np.abs(y), 1)
        return is_atom

    @property
    def bounds(self) -> tuple[float, float]:
        """Bounds of what is no atom in the units of draws, extended by half a rounding cell."""
        if self.kind == "boolean":
            return -np.inf, np.inf
        ends = np.array([max(self.low, self.minimum), min(self.high, self.maximum)])
        if self.target == "count":
            low, high = ends + float(self.origin)
            return float(low), float(high)
        half = self.resolution / 2 if self.decimals is not None else 0.0
        low, high = self.map.forward(ends + np.array([-half, half]))
        return float(low), float(high)

    @property
    def is_affine(self) -> bool:
        """Whether the map is affine over the fitted values."""
        if self.kind == "boolean" or self.target == "count":
            return True
        return bool(np.ptp(self.map.log_derivative(self.quantiles)) < 1e-9)

    def unscaled(self, y: np.ndarray) -> np.ndarray:
        """Numbers as likelihoods draw them in the units of the table, inside the bounds.

        Booleans keep their sign; numbers count from `origin`.
        """
        if self.kind == "boolean":
            return y
        if self.target == "count":
            return np.clip(y - float(self.origin), self.minimum, self.maximum)
        return np.where(self.is_atom(y), self.map.inverse(y), self._within(y))

    def _within(self, y: np.ndarray) -> np.ndarray:
        """Numbers inside the bounds of what is no atom."""
        low, high = max(self.low, self.minimum), min(self.high, self.maximum)
        ends = self.map.forward(np.array([low, high]))
        return np.clip(self.map.inverse(np.clip(y, *ends)), low, high)

    def rescaled(self, x: np.ndarray) -> np.ndarray:
        """The inverse of ``unscaled``."""
        if self.kind == "boolean":
            return x
        return x + float(self.origin) if self.target == "count" else self.map.forward(x)

    def decode(self, y: np.ndarray, rng: np.random.Generator | None = None) -> Cells:
        """Values of the table: inside the bounds, and rounded as the fitted values are.

        With `rng` they are on lattices as often as these are.
        """
        x, place = self.decode_numbers(y)
        if self.lattices is not None and rng is not None:
            low, high = max(self.low, self.minimum), min(self.high, self.maximum)
            on_lattice = self.lattices.rounded(x, low, high, rng)
            if self.decimals is not None:  # start + unit · place is exact up to rounding only
                on_lattice = np.round(on_lattice, self.decimals)
            x = np.where(place < 0, np.clip(on_lattice, low, high), x)
        if not len(self.known_integers):
            return self.cells(x)
        return self.cells(np.where(place < 0, self._integers(x), self.known_integers[place]))

    def decode_numbers(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Numbers from the origin, and which known value each of them is; −1: none."""
        none = np.zeros_like(y, dtype=np.int64) - 1
        if self.kind == "boolean":
            return (y > 0).astype(np.float64), none
        place = none
        if self.target == "count":
            x = np.clip(y - float(self.origin), self.minimum, self.maximum)
        else:
            x = self.unscaled(y)
            place = self._place_of_known(x)
            x = np.where(place < 0, x, lookup(self.known, place))
        if self.decimals is not None:
            step = self.step / 10.0**self.decimals
            x = self.minimum + np.round((x - self.minimum) / step) * step
            x = np.clip(np.round(x, self.decimals), self.minimum, self.maximum)
        return x, place

    def _integers(self, x: np.ndarray) -> np.ndarray:
        """Integers (or ticks) at a distance from the origin, inside the bounds.

        A span may exceed int64, but not uint64, in which sums are modulo 2⁶⁴.
        """
        step, per_unit = 1, 1
        if self.type == "time":
            step, per_unit = self.step, TICKS_PER_DAY[self.unit]
        steps = np.round(np.abs(x) * (per_unit / step)).clip(max=LARGEST_DISTANCE)
        low, high = int(self.known_integers[0]), int(self.known_integers[-1])
        furthest = [np.uint64(max(self.origin - low, 0)), np.uint64(max(high - self.origin, 0))]
        distance = np.minimum(steps.astype(np.uint64) * np.uint64(step),
                              np.where(x < 0, *furthest))  # fmt: skip
        origin = np.uint64(self.origin % 2**64)
        integers = np.where(x < 0, origin - distance, origin + distance)
        return integers.astype(self.known_integers.dtype)

    def _place_of_known(self, x: np.ndarray) -> np.ndarray:
        """Index of the known value that equals x up to rounding; −1: there is none."""
        middles = self.known[:-1] / 2 + self.known[1:] / 2
        place = np.searchsorted(middles, x)
        y = self.map.forward(x)
        distance = np.abs(y - lookup(self.map.forward(self.known), place))
        return np.where(distance < ROUNDING * np.maximum(np.abs(y), 1), place, -1)

    def outside(self, cells: Cells) -> np.ndarray:
        """Which cells are outside the bounds of the fitted ones."""
        x, margin = self.numbers(cells), self.resolution / 2
        return (x < self.minimum - margin) | (x > self.maximum + margin)

    @property
    def ends(self) -> Cells:
        """The least and the greatest of the fitted cells."""
        exact = self.known_integers[[0, -1]] if len(self.known_integers) else None
        return self.cells(np.array([self.minimum, self.maximum]) if exact is None else exact)

    def updated(self, cells: Cells, weights: np.ndarray) -> NumericColumn:
        """The column with bounds, resolution, decimals, step and weight updated; the map stays."""
        cells = self.coerce(cells)
        x = self.numbers(cells)
        seen = ~np.isnan(x)
        if not seen.any():
            return self
        values, weight = np.unique(x[seen]), float(weights[seen].sum())
        total = self.weight + weight
        changes: dict[str, Any] = {"weight": total, **self._updated_bounds(cells, x)}
        if self.kind == "boolean":
            true = float(weights[seen][x[seen] > 0.5].sum())
            changes["probability"] = (self.probability * self.weight + true) / total
        elif self.type == "time":
            step = self._updated_ticks(cells.values[seen].astype(np.int64), cells.unit)
            changes |= {"step": step, "resolution": step / TICKS_PER_DAY[self.unit]}
        else:
            # Of earlier batches some values are known: their distance to new ones counts too.
            earlier = [self.minimum, self.maximum]
            gaps = np.diff(np.unique(np.concatenate([values, self.repeated, earlier])))
            changes["resolution"] = min(self.resolution, float(gaps.min()))
            changes |= self._updated_decimals(values)
        return replace(self, **changes)

    def beyond(self, cells: Cells) -> str:
        """In words, values further outside the fitted ones than these are from each other."""
        x = self.numbers(self.coerce(cells))
        x = x[~np.isnan(x)]
        if not len(x) or self.kind == "boolean" or not len(self.quantiles):
            return ""
        low, high = self.map.forward(self.quantiles[[0, -1]])
        ends = np.array([x.min(), x.max()])
        below, above = self.map.forward(ends)
        if max(low - below, above - high) <= high - low or self.is_known(ends):
            return ""
        return (
            f"holds values from {ends[0]:g} to {ends[1]:g}, but is scaled by those from "
            f"{self.quantiles[0]:g} to {self.quantiles[-1]:g}"
        )

    def is_known(self, ends: np.ndarray) -> bool:
        """Whether values are inside the bounds of all batches so far."""
        return bool((ends >= self.minimum).all() and (ends <= self.maximum).all())

    def _updated_bounds(self, cells: Cells, x: np.ndarray) -> dict[str, Any]:
        """Bounds; new ones are added to the known values."""
        seen = np.flatnonzero(~np.isnan(x))
        ends = seen[[x[seen].argmin(), x[seen].argmax()]]
        outside = ends[(x[ends] < self.minimum) | (x[ends] > self.maximum)]
        known, order = np.unique(np.append(self.known, x[outside]), return_index=True)
        changes = {"minimum": float(known[0]), "maximum": float(known[-1]), "known": known}
        rest = x[seen][~self.is_atom(self.map.forward(x[seen]))]
        if len(rest):
            changes["low"] = min(self.low, float(rest.min()))
            changes["high"] = max(self.high, float(rest.max()))
        if len(self.known_integers):
            new = cells.exact_values[outside].astype(self.known_integers.dtype)
            if self.type == "time":
                new = np.array([self._in_ticks(int(tick), cells.unit) for tick in new], np.int64)
            changes["known_integers"] = np.append(self.known_integers, new)[order]
        return changes

    def _in_ticks(self, tick: int, unit: str) -> int:
        """A tick of another unit in the unit of the column."""
        return tick * TICKS_PER_DAY[self.unit] // TICKS_PER_DAY[unit or self.unit]

    def _updated_decimals(self, values: np.ndarray) -> dict[str, Any]:
        finest = None if self.decimals is None else decimals_of(values, self.single)
        if self.decimals is None or finest is None:
            return {"decimals": None}
        decimals = max(self.decimals, finest)
        offsets = np.abs(values - self.minimum) * 10.0**decimals
        if offsets.max() >= 2**53:
            return {"decimals": decimals, "step": 1}
        common = int(np.gcd.reduce(np.round(offsets).astype(np.int64)))
        step = math.gcd(self.step * 10 ** (decimals - self.decimals), common)
        return {"decimals": decimals, "step": step}

    def _updated_ticks(self, ticks: np.ndarray, unit: str) -> int:
        """The greatest common divisor of the distances from the origin, in exact integers."""
        own, other = TICKS_PER_DAY[self.unit], TICKS_PER_DAY[unit or self.unit]
        finest = max(own, other)  # of which one tick of either unit is a whole number
        ticks = np.unique(ticks)
        offset = int(ticks[0]) * (finest // other) - self.origin * (finest // own)
        between = int(np.gcd.reduce(np.diff(ticks).view(np.uint64))) * (finest // other)
        step, rest = divmod(math.gcd(self.step * (finest // own), offset, between), finest // own)
        return step if step and not rest else 1


def decimals_of(values: np.ndarray, single: bool) -> int | None:
    """The fewest decimals that write all values, None if more than a user would type."""
    precision = np.float32 if single else np.float64
    values = values.astype(precision)
    if np.abs(values).max() >= 1e15:
        return None
    for decimals in range((MAX_DECIMALS if not single else 5) + 1):
        if np.array_equal(np.round(values.astype(np.float64), decimals).astype(precision), values):
            return decimals
    return None
