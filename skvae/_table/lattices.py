"""Lattices: how finely people round the numbers and times of a column.

Prices are multiples of 100 in nine of ten rows, and of 1 in the others. With a density f that is
smooth over the spacings, the value x has the probability

    f(x) Σ_l π_l w_l 1[x is on lattice l],

where w_l is the spacing of lattice l and π_l the proportion of values that are rounded to it. The
sum does not depend on z: it is a part of the measure of the column, as the derivative of its map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .weighted import quantiles_of_sorted

DECIMAL = (1.0, 2.0, 2.5, 5.0)  # times powers of ten
SECONDS = (1, 5, 10, 15, 30, 60, 300, 600, 900, 1800, 3600, 21_600, 43_200, 86_400)
SECONDS_PER_DAY = 86_400
SMOOTH = 8.0  # least interquartile range of a column, in spacings
N_STEPS = 200  # of expectation-maximization, at most
CONVERGED = 1e-5  # change of a share; the likelihood is flat around its maximum
MIN_SHARE = 0.02  # of the values that are rounded to a lattice
MIN_GAIN, PER_LATTICE = 0.05, 3.0  # nats for a row; in all, for each lattice, times log n
TINY = 1e-9  # least share, so that the finest lattice stays possible
MAX_STEPS = 2**52  # between the extremes, so that float64 holds them


@dataclass(frozen=True, eq=False)
class Lattices:
    """The lattices of a column, from fine to coarse; numbers are those of the column.

    Attributes
    ----------
    start, unit : float
        A point of the finest lattice, and its spacing.
    spacing, offset : ndarray of shape (n_lattices,)
        In units; the points of a lattice are at offset, offset ± spacing, …, counted from `start`.
    share : ndarray of shape (n_lattices,)
        Proportions of the values that are rounded to each.
    reference : float
        Width, in units, of the cells whose probability is the density of the column.
    """

    start: float
    unit: float
    spacing: np.ndarray
    offset: np.ndarray
    share: np.ndarray
    reference: float

    def log_measure(self, x: np.ndarray) -> np.ndarray:
        """log Σ_l π_l w_l 1[x is on lattice l], in reference widths."""
        place = np.round((x - self.start) / self.unit)
        total = np.zeros_like(x)
        for spacing, offset, share in zip(self.spacing, self.offset, self.share, strict=True):
            distance = place - offset
            is_on = distance - spacing * np.round(distance / spacing) == 0
            total = total + np.where(is_on, share * spacing / self.reference, 0.0)
        return np.log(total)

    def rounded(
        self, x: np.ndarray, low: float, high: float, rng: np.random.Generator
    ) -> np.ndarray:
        """Each number at the closest point between bounds of a lattice that is drawn."""
        lattice = rng.choice(len(self.share), size=len(x), p=self.share)
        spacing, offset = self.spacing[lattice], self.offset[lattice]
        place, first, last = (
            ((end - self.start) / self.unit - offset) / spacing for end in (x, low, high)
        )
        first, last = np.ceil(first - 1e-9), np.floor(last + 1e-9)
        closest = offset + spacing * np.clip(np.round(place), first, last)
        return np.where(first <= last, self.start + self.unit * closest, x)

    def describe(self, is_time: bool) -> str:
        """Their spacings and shares in words; the finest is that of all other values."""
        scale, suffix = (SECONDS_PER_DAY, " s") if is_time else (1.0, "")
        pairs = zip(self.spacing[1:] * self.unit * scale, self.share[1:], strict=True)
        return "rounded: " + ", ".join(f"{share:.0%} to {at:g}{suffix}" for at, share in pairs)

    @property
    def coarsest(self) -> float:
        """The largest spacing, in units of the column."""
        return float(self.unit * self.spacing[-1])


def decimal_lattices(
    values: np.ndarray, weights: np.ndarray, decimals: int, step: int, *, is_integer: bool
) -> Lattices | None:
    """Those of sorted numbers with some decimals, whose distances are multiples of a step."""
    unit, start = 10.0**-decimals, float(values[0])
    first = round(start * 10.0**decimals)
    spans = [step, *(round(c * 10.0**e) for e in range(16) for c in DECIMAL if c * 10.0**e >= 1)]
    fine = 1 if is_integer else step
    return _fit(values, weights, start, unit * fine, fine, first, spans)


def time_lattices(
    values: np.ndarray, weights: np.ndarray, origin: int, step: int, per_day: int
) -> Lattices | None:
    """Those of sorted times in days since the tick `origin`, whose distances are whole steps."""
    spans = [s * per_day // SECONDS_PER_DAY for s in SECONDS if s * per_day % SECONDS_PER_DAY == 0]
    return _fit(values, weights, 0.0, step / per_day, step, origin, [step, *spans])


def _fit(
    values: np.ndarray,
    weights: np.ndarray,
    start: float,
    unit: float,
    fine: int,
    first: int,
    spans: list[int],
) -> Lattices | None:
    """The lattices among multiples of some spans that describe the values; None: the finest does.

    `fine` is the unit, `first` the position of `start` and `spans` are spacings in ticks or last
    decimals.
    """
    if not len(values) or (values[-1] - values[0]) / unit > MAX_STEPS:
        return None
    low, high = quantiles_of_sorted(values, weights, [0.25, 0.75])
    most = (high - low) / SMOOTH / unit
    spacing, offset = [1], [0]
    for span in sorted(set(spans)):
        wide, uneven = divmod(span, fine)
        # The step has the phase of the values; multiples of round numbers are counted from zero.
        phase, off_grid = (0, 0) if span == spans[0] else divmod(-first % span, fine)
        if 1 < wide <= most and not uneven and not off_grid:
            spacing.append(wide)
            offset.append(phase)
    spacings, share = np.array(spacing, dtype=np.float64), np.ones(len(spacing))
    each = Lattices(start, unit, spacings, np.array(offset, dtype=np.float64), share, 1.0)
    return _with_shares(each, values, weights)


def _with_shares(candidates: Lattices, values: np.ndarray, weights: np.ndarray) -> Lattices | None:
    """Those of the candidates that the likelihood of the values needs."""
    place = np.round((values - candidates.start) / candidates.unit)[:, None] - candidates.offset
    is_on, pattern = np.unique(place % candidates.spacing == 0, axis=0, return_inverse=True)
    width, count = is_on * candidates.spacing, np.bincount(pattern.ravel(), weights)
    n = float(count.sum())
    kept, share, value = [0], np.ones(1), 0.0
    while (best := _most_promising(width, count, kept, share)) is not None:
        more = _proportions(width[:, [*kept, best]], count)
        if more[1] - value < PER_LATTICE * np.log(n):
            break
        kept, (share, value) = [*kept, best], more
    kept = [i for i, each in zip(kept, share, strict=True) if i == 0 or each >= MIN_SHARE]
    kept.sort()
    share, value = _proportions(width[:, kept], count)
    if len(kept) == 1 or value < MIN_GAIN * n:
        return None
    share[0] = max(share[0], 1 / (n + 2))  # the finest stays possible
    return Lattices(
        candidates.start, candidates.unit, candidates.spacing[kept], candidates.offset[kept],
        share / share.sum(), candidates.reference,
    )  # fmt: skip


def _most_promising(
    width: np.ndarray, count: np.ndarray, kept: list[int], share: np.ndarray
) -> int | None:
    """The lattice that would add most to the log-likelihood, to second order; None: none would."""
    ratio = width / (width[:, kept] @ share)[:, None]
    gain = count @ ratio / count.sum() - 1
    spread = count @ np.square(ratio) / count.sum() - np.square(gain + 1)
    score = np.where(gain > 0, gain**2 / np.maximum(spread, 1e-12), 0.0)
    score[kept] = 0.0
    best = int(score.argmax())
    return best if score[best] > 0 else None


def _proportions(width: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, float]:
    """The most likely shares, by expectation-maximization, and the log-likelihood."""
    share = np.full(width.shape[1], 1 / width.shape[1])
    for _ in range(N_STEPS):
        before, part = share, width * share
        share = count @ (part / part.sum(1, keepdims=True)) / count.sum()
        share = np.maximum(share, TINY)
        if np.abs(share - before).max() < CONVERGED:
            break
    return share, float(count @ np.log(width @ share))
