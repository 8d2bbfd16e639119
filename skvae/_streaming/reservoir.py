"""A uniform sample of the rows of a stream."""

from __future__ import annotations

from dataclasses import dataclass, field

import narwhals.stable.v2 as nw
import numpy as np

from .frames import concatenate, take

SEED = 0x5EED  # the sample is the same in each fit of a source


def priorities(positions: np.ndarray) -> np.ndarray:
    """A random number for each row, by its place in the stream: the finalizer of SplitMix64."""
    with np.errstate(over="ignore"):
        x = positions.astype(np.uint64) + np.uint64(SEED) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(x ^ (x >> np.uint64(31)))


@dataclass
class Reservoir:
    """The rows with the lowest priorities, which are a uniform sample without replacement.

    A priority depends on the place of the row alone, and not on the batches or the order in which
    parts are read. It does not depend on what the row holds: of equal rows either all or none would
    be taken, so that in a table of few patterns the sample would not be one of the table.

    Attributes
    ----------
    size : int
        The number of rows to keep; up to twice as many are held until they are sorted out.
    """

    size: int
    frames: list[nw.DataFrame] = field(default_factory=list)
    positions: list[np.ndarray] = field(default_factory=list)
    least_left_out: int = 2**64 - 1
    n_held: int = 0

    def update(self, frame: nw.DataFrame, first: int) -> None:
        """Add a batch whose first row has a place in the stream."""
        positions = np.arange(first, first + len(frame))
        if self.least_left_out < 2**64 - 1:
            kept = np.flatnonzero(priorities(positions) < np.uint64(self.least_left_out))
            if not len(kept):
                return
            frame, positions = take(frame, kept), positions[kept]
        self._add(frame, positions)

    def merge(self, other: Reservoir) -> None:
        """Add the sample of other rows of the stream."""
        self.least_left_out = min(self.least_left_out, other.least_left_out)
        for frame, positions in zip(other.frames, other.positions, strict=True):
            self._add(frame, positions)

    def sample(self) -> tuple[nw.DataFrame, np.ndarray]:
        """The rows of the sample in the order of the stream, and their places in it."""
        self._sort_out()
        frame, positions = self.frames[0], self.positions[0]
        if (np.diff(positions) >= 0).all():
            return frame, positions
        order = np.argsort(positions)
        return take(frame, order), positions[order]

    def _add(self, frame: nw.DataFrame, positions: np.ndarray) -> None:
        self.frames.append(frame)
        self.positions.append(positions)
        self.n_held += len(positions)
        if self.n_held > 2 * self.size:
            self._sort_out()

    def _sort_out(self) -> None:
        """Keep the rows with the lowest priorities, in one frame."""
        frame, positions = concatenate(self.frames), np.concatenate(self.positions)
        if len(positions) > self.size:
            each = priorities(positions)
            order = np.argpartition(each, self.size)
            self.least_left_out = min(self.least_left_out, int(each[order[self.size]]))
            kept = np.sort(order[: self.size])
            frame, positions = take(frame, kept), positions[kept]
        self.frames, self.positions, self.n_held = [frame], [positions], len(positions)
