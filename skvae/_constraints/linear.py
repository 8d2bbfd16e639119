"""Search: columns of numbers that are exact linear combinations of a few others.

Columns that others explain almost completely are found by the diagonal of the inverse of the
correlation matrix. For each, parts are added one at a time, as in orthogonal matching pursuit,
until what is left is below the resolution of the column; parts that are not needed are removed, and
coefficients become round numbers where they still explain the column.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

MAX_PARTS = 6
MAX_COLUMNS = 100
MIN_ROWS = 40
ROWS_PER_PART = 10
UNEXPLAINED = 4e-4  # variance, at most, of a column that others may explain
COARSE = 0.01  # standard deviations: the error that rounding may leave with free coefficients
RIDGE = 1e-13  # a rounding: larger ones would hide terms that are small next to others
NEGLIGIBLE = 1e-6  # coefficients in standard units


@dataclass(frozen=True)
class Combination:
    """Column `total` is `constant` + Σ coefficients · parts."""

    total: int
    parts: tuple[int, ...]
    coefficients: np.ndarray
    constant: float


def combinations(
    x: np.ndarray,
    decimals: list[int | None],
    tolerance: Callable[[int, np.ndarray], np.ndarray],
    pivot: Callable[[Combination], int],
    holds: Callable[[Combination], bool],
) -> list[Combination]:
    """Linear combinations that hold in all rows.

    Parameters
    ----------
    x : ndarray of shape (n_rows, n_columns)
        Complete rows.
    decimals : list of int or None
        Of each column; None: as many as there are.
    tolerance : callable
        From a column and the sizes of sums to how far it may be from them.
    pivot : callable
        The column that follows from the others: it takes no part in further combinations.
    holds : callable
        Whether a combination holds in other rows, too.
    """
    found: list[Combination] = []
    n = len(x)
    scale = x.std(0)
    usable = np.isfinite(scale) & (scale > 0)
    left = np.flatnonzero(usable)[:MAX_COLUMNS]
    while len(left) > 1 and n >= max(MIN_ROWS, 2 * len(left)):
        best = None
        explained = left[_explained(x[:, left], scale[left])]
        for j in explained if len(explained) > 1 else ():
            search = _Pursuit(x, j, explained[explained != j], decimals, tolerance)
            new = search.combination(MAX_PARTS if best is None else len(best.parts) - 1)
            if new is not None and holds(new):
                best = new
            if best is not None and len(best.parts) == 1:
                break
        if best is None:
            break
        found.append(best)
        left = left[left != pivot(best)]
    return found


def _explained(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Columns that all others explain almost completely."""
    standard = (x - x.mean(0)) / scale
    correlation = standard.T @ standard / len(x)
    inverse = np.linalg.inv(correlation + RIDGE * np.eye(len(scale)))
    return np.flatnonzero(np.diag(inverse) > 1 / UNEXPLAINED)


class _Pursuit:
    """The search for the parts of one column."""

    def __init__(self, x, total, others, decimals, tolerance) -> None:
        self.x, self.total, self.others = x, int(total), others
        self.decimals, self.tolerance = decimals, tolerance
        self.y = x[:, total]
        self.center = x.mean(0)
        self.scale = x.std(0)

    def combination(self, max_parts: int) -> Combination | None:
        """The first combination of at most so many parts that explains the column."""
        parts: list[int] = []
        standard = (self.x[:, self.others] - self.center[self.others]) / self.scale[self.others]
        residual = self.y - self.center[self.total]
        while len(parts) < min(max_parts, len(self.others), len(self.x) // ROWS_PER_PART):
            strength = np.abs(residual @ standard)
            strength[[i for i, j in enumerate(self.others) if j in parts]] = -1.0
            parts.append(int(self.others[strength.argmax()]))
            coefficients = self._fit(parts)
            residual = self.y - self._sum(parts, *coefficients)
            if self._explains(parts, *coefficients, slack=4.0):
                return self._simplest(parts)
        # The parts that are not needed have coefficients near 0 if all columns are taken.
        of_all, _ = self._fit(list(self.others))
        strength = np.abs(of_all) * self.scale[self.others] / self.scale[self.total]
        parts = self.others[strength > NEGLIGIBLE].tolist()
        return self._simplest(parts) if 0 < len(parts) <= max_parts else None

    def _fit(self, parts: list[int]) -> tuple[np.ndarray, float]:
        """Least squares, in standard units."""
        standard = (self.x[:, parts] - self.center[parts]) / self.scale[parts]
        y = self.y - self.center[self.total]
        coefficients = np.linalg.lstsq(standard, y, rcond=None)[0] / self.scale[parts]
        return coefficients, float(self.center[self.total] - coefficients @ self.center[parts])

    def _sum(self, parts: list[int], coefficients: np.ndarray, constant: float) -> np.ndarray:
        return np.asarray(self.x[:, parts] @ coefficients + constant)

    def _explains(
        self, parts: list[int], coefficients: np.ndarray, constant: float, slack: float = 1.0
    ) -> bool:
        """Whether what is left is below the resolution, and this is far below the deviation."""
        size = np.abs(self.x[:, parts] * coefficients).sum(1) + np.abs(self.y) + abs(constant)
        allowed = slack * self.tolerance(self.total, size)
        residual = np.abs(self.y - self._sum(parts, coefficients, constant))
        is_exact = (residual <= 1e-9 * slack * size).all()
        is_whole = bool((coefficients == np.round(coefficients)).all())
        is_fine = float(allowed.max()) <= slack * COARSE * self.scale[self.total]
        return bool((residual <= allowed).all()) and (is_fine or is_exact or is_whole)

    def _simplest(self, parts: list[int]) -> Combination | None:
        """Fewer parts and round coefficients, where they explain the column as well."""
        for part in list(parts):
            rest = [j for j in parts if j != part]
            if rest and self._explains(rest, *self._fit(rest)):
                parts = rest
        coefficients, constant = self._fit(parts)
        simple = self._rounded(parts, coefficients)
        if simple is not None:
            return self._oriented(simple)
        if self._explains(parts, coefficients, constant):
            is_part = coefficients != 0  # least squares may give 0 to one of equal columns
            some = tuple(np.array(parts)[is_part].tolist())
            return Combination(self.total, some, coefficients[is_part], constant) if some else None
        return None

    def _rounded(self, parts: list[int], coefficients: np.ndarray) -> Combination | None:
        """The combination with the roundest coefficients that explain the column."""
        for rounding in (_whole, _fractions, _digits):
            round_ones = rounding(coefficients)
            if (round_ones == 0).any():
                continue
            left = self.y - self.x[:, parts] @ round_ones
            low, high = float(left.min()), float(left.max())
            middle, decimals = (low + high) / 2, self.decimals[self.total]
            constants = [float(round(middle))]
            if decimals is not None:
                constants.append(round(middle, decimals))
            if decimals is None or high - low < (1 - 1e-9) * 10.0**-decimals:
                constants.append(middle)  # half a step off would allow two values
            for constant in constants:
                if self._explains(parts, round_ones, constant):
                    return Combination(self.total, tuple(parts), round_ones, constant)
        return None

    def _oriented(self, combination: Combination) -> Combination:
        """The combination solved for the column that gives the simplest coefficients.

        Those that are 1, then whole numbers, then those of the column with the largest deviation.
        """
        columns = [combination.total, *combination.parts]
        terms = np.array([-1.0, *combination.coefficients])
        best, best_rank = combination, None
        for i, total in enumerate(columns):
            others = [j for j in columns if j != total]
            other = _Pursuit(self.x, total, np.array(others), self.decimals, self.tolerance)
            new = other._rounded(others, np.delete(-terms / terms[i], i))
            if new is None:
                continue
            c = new.coefficients
            n_fractions = (np.abs(c - np.round(c)) > 1e-12).sum()
            rank = (c != 1).sum(), n_fractions, -self.scale[total] * (1 + 1e-9 * i)
            if best_rank is None or rank < best_rank:
                best, best_rank = new, rank
        return best


def _whole(values: np.ndarray) -> np.ndarray:
    return np.round(values)


def _fractions(values: np.ndarray) -> np.ndarray:
    return np.array([float(Fraction(v).limit_denominator(12)) for v in values])


def _digits(values: np.ndarray) -> np.ndarray:
    return np.array([float(f"{v:.6g}") for v in values])
