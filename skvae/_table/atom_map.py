"""A map in which atoms far outside the other values are near them.

A code such as 99999999 is a value of its own: its distance from the numbers says nothing. The map
is fitted to the other values alone, and would put the code thousands of standard deviations away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .lookup import lookup
from .scaling import Map

# Draws and atoms are rounded to single precision. Tolerance, relative to max(|y|, 1), of every
# comparison of a drawn value with a fitted one.
ROUNDING = 1e-6
EXACT = 1e-12  # the same of values
MARGIN, STEP = 1.0, 0.5  # of remote atoms from the other values and from each other, in units of y


@dataclass(frozen=True, eq=False)
class AtomMap:
    """Another map, but for some atoms, whose y is near the y of the other values.

    Attributes
    ----------
    inner : Map
        That of all other values.
    remote : ndarray of shape (n_remote,)
        y of the atoms under the inner map, sorted.
    near : ndarray of shape (n_remote,)
        The y that they have instead, sorted.
    half : ndarray of shape (n_remote,)
        Half the width of their cells, in units of y: all values in a cell are the atom.
    """

    inner: Map
    remote: np.ndarray
    near: np.ndarray
    half: np.ndarray

    @property
    def center(self) -> float:
        return self.inner.center

    @property
    def derivative(self) -> float:
        return self.inner.derivative

    def forward(self, x: np.ndarray) -> np.ndarray:
        half = np.maximum(self.half, EXACT * np.abs(self.remote))
        return _moved(self.inner.forward(x), self.remote, self.near, half)

    def inverse(self, y: np.ndarray) -> np.ndarray:
        half = ROUNDING * np.maximum(np.abs(self.near), 1)
        return self.inner.inverse(_moved(y, self.near, self.remote, half))

    def log_derivative(self, x: np.ndarray) -> np.ndarray:
        return self.inner.log_derivative(x)


def _moved(y: np.ndarray, source: np.ndarray, target: np.ndarray, half: np.ndarray) -> np.ndarray:
    """y, with the targets in place of the sources and of what is less than `half` from them."""
    nearest = np.searchsorted((source[1:] + source[:-1]) / 2, y)
    is_near = np.abs(y - lookup(source, nearest)) <= lookup(half, nearest)
    return np.where(is_near, lookup(target, nearest), y)


def with_remote_atoms(inner: Map, atoms: np.ndarray, half: np.ndarray, rest: np.ndarray) -> Map:
    """The inner map, with atoms that are more than the margin outside the rest moved near it.

    Parameters
    ----------
    atoms, half : ndarray of shape (n_atoms,)
        Sorted values, and half the width of their cells in units of y.
    rest : ndarray of shape (n_rest,)
        The sorted other values, to which the inner map was fitted.
    """
    y = inner.forward(atoms)
    low, high = inner.forward(rest[[0, -1]])
    below, above = y < low - MARGIN, y > high + MARGIN
    if not (below | above).any():
        return inner
    near = np.concatenate([
        low - MARGIN - STEP * np.arange(below.sum())[::-1],
        high + MARGIN + STEP * np.arange(above.sum()),
    ])  # fmt: skip
    moved = below | above
    return AtomMap(inner, y[moved], near, half[moved])
