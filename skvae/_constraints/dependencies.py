"""Search: columns that are functions of one or two columns with few values.

Column C is a function of A if all rows with the same value of A have the same value of C. That is
evidence only where rows repeat values of A. Of r such repetitions a share s agrees in C, and of
random rows a share c: r KL(s ‖ c) is the log-odds that it is no coincidence. Equal rows may be
copies, by which every column with many values would determine all others: there they count once.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

EVIDENCE = 40.0  # nats
REPEATS = 5  # rows for each value of what determines a column, on average
EXCEPTIONS = 0.05  # pairs of rows that may disagree, in proportion to those of random rows
MAX_MISSING = 0.05  # rows in which only what determines the column is missing
FEW_VALUES = 20  # or the root of the number of rows: equal rows are no copies
MAX_PAIRED = 32  # columns of which pairs are tried
MAX_ROWS_OF_PAIRS = 2000


@dataclass
class Dependencies:
    """What determines which columns, (…, n_columns) of each.

    Attributes
    ----------
    exact, nearly : ndarray of bool
        Without and with exceptions.
    chance : ndarray
        The probability that two rows with the same arguments agree.
    """

    exact: np.ndarray
    nearly: np.ndarray
    chance: np.ndarray


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
    chance: np.ndarray = field(init=False)  # that two random rows agree in a column
    is_first: np.ndarray = field(init=False)  # which rows are not equal to an earlier one

    @classmethod
    def of(cls, arrays: list[np.ndarray], missing: np.ndarray) -> Search:
        codes = np.empty(missing.shape, dtype=np.int32)
        n_values = np.zeros(missing.shape[1], dtype=np.int64)
        for j, array in enumerate(arrays):
            seen = ~missing[:, j]
            codes[:, j] = -1
            values, codes[seen, j] = np.unique(array[seen], return_inverse=True)
            n_values[j] = len(values)
        return cls(codes, n_values)

    def __post_init__(self) -> None:
        self.is_first = _are_first(self.codes)
        self.chance = _share(*_neighbors(self.codes))

    def given(self, key: np.ndarray, n_values: int, known: np.ndarray) -> Dependencies:
        """What a key, −1 where missing, with so many values determines.

        Parameters
        ----------
        known : ndarray of shape (n_columns,)
            Probability that two rows agree in a column, by what is known without the key.
        """
        codes = self.codes
        if not self._are_few(n_values):
            codes, key = codes[self.is_first], key[self.is_first]
        order = np.argsort(key, kind="stable")
        order = order[key[order] >= 0]
        agree, both = _neighbors(codes[order], key[order])
        known = np.maximum(known, self.chance)
        if len(order) < len(key):  # where the key is missing, columns may differ from where it is
            known = np.maximum(known, _share(*_neighbors(codes[key >= 0])))
            seen = codes >= 0
            alone = (seen & (key < 0)[:, None]).sum(0) > MAX_MISSING * seen.sum(0)
        else:
            alone = np.zeros(len(both), dtype=bool)
        share = np.where(both > 0, agree / np.maximum(both, 1), 0.0)
        has_evidence = (both * _divergence(share, known) >= EVIDENCE) & (share > known) & ~alone
        nearly = has_evidence & (1 - share <= EXCEPTIONS * (1 - known))
        return Dependencies(has_evidence & (agree == both), nearly, _share(agree, both))

    def single(self) -> Dependencies:
        """Which column (row) determines which (column)."""
        p = len(self.n_values)
        nothing = np.zeros((p, p), dtype=bool)
        found = Dependencies(nothing, nothing.copy(), np.tile(self.chance, (p, 1)))
        for a in range(p):
            if self.can_determine(self.n_values[a]):
                of_one = self.given(self.codes[:, a], self.n_values[a], self.chance)
                found.exact[a], found.nearly[a] = of_one.exact, of_one.nearly
                found.chance[a] = np.maximum(of_one.chance, self.chance)
        for which in (found.exact, found.nearly):
            np.fill_diagonal(which, False)
            which &= self.n_values > 1
        return found

    def can_determine(self, n_values: int) -> bool:
        """Whether rows repeat values often enough."""
        n_rows = len(self.codes) if self._are_few(n_values) else self.is_first.sum()
        return bool(2 <= n_values <= n_rows / REPEATS)

    def _are_few(self, n_values: int) -> bool:
        return n_values <= max(FEW_VALUES, len(self.codes) ** 0.5)

    def pairs(
        self, targets: np.ndarray, keys: np.ndarray, chance: np.ndarray
    ) -> list[tuple[int, tuple[int, int], bool]]:
        """Columns that two others determine, these two, and whether there are no exceptions.

        Parameters
        ----------
        targets, keys : ndarray of int
            Columns that may be determined, and columns that may determine them.
        chance : ndarray of shape (n_columns, n_columns)
            As :meth:`single` gives it: what is known from one column is no evidence for two.
        """
        part = Search(np.ascontiguousarray(self.codes[:MAX_ROWS_OF_PAIRS]), self.n_values)
        can = [a for a in keys.tolist() if part.can_determine(self.n_values[a])]
        if len(can) > MAX_PAIRED or not len(targets):
            return []
        found = []
        for a, b in itertools.combinations(can, 2):
            first, second = part.codes[:, a].astype(np.int64), part.codes[:, b]
            key = np.where((first < 0) | (second < 0), -1, first * self.n_values[b] + second)
            n_keys = len(np.unique(key[key >= 0]))
            if not part.can_determine(n_keys):
                continue
            of_two = part.given(key, n_keys, np.maximum(chance[a], chance[b]))
            for c in targets[of_two.nearly[targets]].tolist():
                if c not in (a, b):
                    found.append((c, (a, b), bool(of_two.exact[c])))
        return found


def _neighbors(codes: np.ndarray, key: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of neighbors with equal keys that agree in each column, and how many there are."""
    both = (codes[1:] >= 0) & (codes[:-1] >= 0)
    if key is not None:
        both &= (key[1:] == key[:-1])[:, None]
    return (both & (codes[1:] == codes[:-1])).sum(0), both.sum(0)


def _share(agree: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Probability that two rows agree, by counts; never 0 or 1."""
    return np.asarray((agree + 1) / (both + 2))


def _divergence(share: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """KL of two Bernoulli distributions, in nats."""
    with np.errstate(divide="ignore", invalid="ignore"):
        yes = np.where(share > 0, share * np.log(share / chance), 0.0)
        no = np.where(share < 1, (1 - share) * np.log((1 - share) / (1 - chance)), 0.0)
    return np.asarray(yes + no)


def _are_first(codes: np.ndarray) -> np.ndarray:
    """Which rows are not equal to an earlier one."""
    weights = np.random.default_rng(0).integers(1, 2**62, codes.shape[1], dtype=np.uint64)
    with np.errstate(over="ignore"):
        keys = (codes.astype(np.uint64) * weights).sum(1, dtype=np.uint64)
    is_first = np.zeros(len(codes), dtype=bool)
    is_first[np.unique(keys, return_index=True)[1]] = True
    return is_first


def same_levels(a: tuple, b: tuple) -> np.ndarray | None:
    """The place in b of each level of a, −1 where it is not there; None: most are not there."""
    try:
        place = {level: i for i, level in enumerate(b)}
        there = np.array([place.get(level, -1) for level in a])
    except TypeError:  # levels that are not hashable
        return None
    return there if 2 * (there >= 0).sum() > max(len(a), len(b)) else None
