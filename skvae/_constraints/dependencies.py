"""Search: columns that are functions of one or two columns with few values.

Column C is a function of A if all rows with the same value of A have the same value of C. That is
evidence only where rows repeat values of A: with r such repetitions, and a probability c that two
random rows agree in C, r (−log c) is the log-odds that it is no coincidence.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

EVIDENCE = 40.0  # nats
REPEATS = 5  # rows for each value of what determines a column, on average
MAX_PAIRED = 32  # columns of which pairs are tried
MAX_ROWS_OF_PAIRS = 2000


@dataclass
class Search:
    """Codes of the distinct values of the columns of some rows, in random order.

    Attributes
    ----------
    codes : ndarray of shape (n_rows, n_columns)
        −1 where missing.
    n_values : ndarray of shape (n_columns,)
    """

    codes: np.ndarray
    n_values: np.ndarray

    @classmethod
    def of(cls, arrays: list[np.ndarray], missing: np.ndarray) -> Search:
        codes = np.empty(missing.shape, dtype=np.int32)
        n_values = np.zeros(missing.shape[1], dtype=np.int64)
        for j, array in enumerate(arrays):
            seen = ~missing[:, j]
            codes[:, j] = -1
            values, codes[seen, j] = np.unique(array[seen], return_inverse=True)
            n_values[j] = len(values)
        codes = _without_repeated_rows(codes)
        return cls(codes, n_values)

    def __post_init__(self) -> None:
        agree, both = self._neighbors(self.codes, np.ones(len(self.codes) - 1, dtype=bool))
        self.chance = _chance(agree, both)  # that two random rows agree in a column

    def _neighbors(self, codes: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many pairs of neighbors agree, and how many there are, (n_columns,)."""
        both = same[:, None] & (codes[1:] >= 0) & (codes[:-1] >= 0)
        agree = both & (codes[1:] == codes[:-1])
        return agree.sum(0), both.sum(0)

    def given(self, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of rows with the same key that agree in each column, and how many there are."""
        order = np.argsort(key, kind="stable")
        order = order[key[order] >= 0]
        key = key[order]
        return self._neighbors(self.codes[order], key[1:] == key[:-1])

    def single(self) -> tuple[np.ndarray, np.ndarray]:
        """Which column (row) determines which (column), and the chance that two rows agree."""
        p = len(self.n_values)
        determines = np.zeros((p, p), dtype=bool)
        chance = np.tile(self.chance, (p, 1))
        for a in range(p):
            if not self._can_determine(self.n_values[a]):
                continue
            agree, both = self.given(self.codes[:, a])
            determines[a] = (agree == both) & (-both * np.log(self.chance) >= EVIDENCE)
            determines[a, a] = False
            chance[a] = np.maximum(_chance(agree, both), self.chance)
        determines &= self.n_values > 1
        return determines, chance

    def _can_determine(self, n_values: int) -> bool:
        return 2 <= n_values <= len(self.codes) / REPEATS

    def pairs(
        self, targets: np.ndarray, keys: np.ndarray, chance: np.ndarray
    ) -> dict[int, list[tuple[int, int]]]:
        """Pairs of columns that determine another one, by that column.

        Parameters
        ----------
        targets, keys : ndarray of int
            Columns that may be determined, and columns that may determine them.
        chance : ndarray of shape (n_columns, n_columns)
            As :meth:`single` gives it: what is known from one column is no evidence for two.
        """
        found: dict[int, list[tuple[int, int]]] = {}
        part = Search(self.codes[:MAX_ROWS_OF_PAIRS], self.n_values)
        keys = np.array([a for a in keys if part._can_determine(self.n_values[a])], dtype=int)
        if len(keys) > MAX_PAIRED or len(targets) == 0:
            return found
        part.codes = np.ascontiguousarray(part.codes)
        for a, b in itertools.combinations(keys.tolist(), 2):
            first, second = part.codes[:, a].astype(np.int64), part.codes[:, b]
            key = np.where((first < 0) | (second < 0), -1, first * self.n_values[b] + second)
            agree, both = part.given(key)
            n_keys = (key >= 0).sum() - both.max(initial=0)
            of_one = np.maximum(chance[a], chance[b])
            is_function = (agree == both) & (-both * np.log(of_one) >= EVIDENCE)
            if not part._can_determine(n_keys):
                continue
            for c in targets[is_function[targets]].tolist():
                if c not in (a, b):
                    found.setdefault(c, []).append((a, b))
        return found


def _chance(agree: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Probability that two rows agree, by counts; never 0 or 1."""
    return np.asarray((agree + 1) / (both + 2))


def _without_repeated_rows(codes: np.ndarray) -> np.ndarray:
    """The distinct rows, in their order: equal rows are no evidence."""
    weights = np.random.default_rng(0).integers(1, 2**62, codes.shape[1], dtype=np.uint64)
    with np.errstate(over="ignore"):
        keys = (codes.astype(np.uint64) * weights).sum(1, dtype=np.uint64)
    _, first = np.unique(keys, return_index=True)
    return codes[np.sort(first)]


def same_levels(a: tuple, b: tuple) -> bool:
    """Whether two columns have the same levels."""
    try:
        return len(a) == len(b) and set(a) == set(b)
    except TypeError:  # levels that are not hashable
        return False
