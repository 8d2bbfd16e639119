"""The relations that hold in every row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from skvae._table.columns import CategoricalColumn, Column, ConstantColumn
from skvae._table.layouts import TICKS_PER_DAY
from skvae._table.numeric_column import NumericColumn
from skvae.constraints import Constraint, Determined, FixedCombinations, Inequality, Sum

from .combinations import FittedCombinations
from .dependencies import REPEATS, Search, same_levels
from .fitting import fit_constraint, in_order
from .linear import MIN_ROWS, Combination, combinations
from .order import ordered_pairs, reduced
from .relations import FittedSum, Relation, order_of_change
from .values import Values, bounds, is_number, kind_of_order, tolerance

MAX_ROWS = 5000  # on which relations are looked for; all rows must keep them
MAX_CELLS = 2_000_000, 200_000  # of a search for functions, and for inequalities
MIN_ROWS_OF_WIDE = 1000, 300  # rows of each, whatever the number of columns
MAX_ROWS_OF_SUMS = 1000
MAX_ROWS_OF_ORDER = 2000
MAX_TRIALS = 3  # of the search for sums, with rows that contradicted the last ones
MAX_CONTRADICTING = 20
MAX_COMBINATIONS = 2.0  # for each argument of a function with exceptions
ROUNDING = 1e-9
LARGEST = 1e100  # of a number in a sum, whose square is finite


def find_relations(columns: Sequence[Column], values: Values) -> list[Relation]:
    """Sums, functions and inequalities that hold in every row of a table, in order."""
    if values.n_rows < MIN_ROWS:
        return []
    return _Finder(columns, values).relations()


class _Finder:
    """The search in one table."""

    def __init__(self, columns: Sequence[Column], values: Values) -> None:
        self.columns, self.values = columns, values
        n_rows = _rows_of_search(0, len(columns), MAX_ROWS)
        order = np.random.default_rng(0).permutation(values.n_rows)[:n_rows]
        self.sample = values.take(order)
        self.found: list[Relation] = []
        self.computed: set[int] = set()  # columns that a sum sets
        self.determined: set[int] = set()
        self.keys: set[int] = set()  # columns that determine others

    def relations(self) -> list[Relation]:
        self._find_sums()
        self._find_times()
        self._find_same_levels()
        self._find_functions()
        self._find_inequalities()
        return in_order([self._settled(relation) for relation in self.found])

    def _settled(self, relation: Relation) -> Relation:
        """A sum does not change columns that are functions of others."""
        if not isinstance(relation, FittedSum):
            return relation
        order = [i for i in relation.order if relation.places[i] not in self.determined]
        return replace(relation, order=tuple(order))

    def _add(self, constraint: Constraint) -> Relation | None:
        """Keep a constraint if all rows of the table keep it."""
        try:
            relation = fit_constraint(constraint, self.columns, lambda: self.values, "constraints")
        except ValueError:  # a function on the sample that is none on all rows
            return None
        if relation.broken(self.values, np.arange(self.values.n_rows)).any():
            return None
        relation = replace(relation, found=True)
        self.found.append(relation)
        return relation

    def _name(self, j: int) -> Any:
        return self.columns[j].name

    # ------------------------------------------------------------------------------- sums

    def _find_sums(self) -> None:
        """Sums; rows that contradict one which the sample suggests are added to the sample."""
        numeric, complete = self._numeric_columns()
        if len(numeric) < 2:
            return
        own = [self.columns[j] for j in numeric]
        x = np.stack([self.sample.arrays[j][complete] for j in numeric], axis=1)
        for _ in range(MAX_TRIALS):
            contradicting: list[np.ndarray] = []

            def holds(combination: Combination, rows: list = contradicting) -> bool:
                rows.append(self._contradicting(combination, numeric))
                return not len(rows[-1])

            found = combinations(
                x,
                [getattr(column, "decimals", None) for column in own],
                lambda j, size: tolerance(own[j], size),
                lambda combination: _first_changed(combination, own),
                holds,
            )
            more = np.unique(np.concatenate([np.empty(0, dtype=int), *contradicting]))
            if not len(more):
                break
            x = np.vstack([x, np.stack([self.values.arrays[j][more] for j in numeric], axis=1)])
        for each in found:
            relation = self._add(self._sum(each, numeric))
            if isinstance(relation, FittedSum):
                self.computed.add(relation.places[relation.order[0]])

    def _numeric_columns(self) -> tuple[list[int], np.ndarray]:
        """Columns for sums and their complete rows; few of these: without the most incomplete."""
        share = self.sample.missing.mean(0)
        numeric = [j for j, c in enumerate(self.columns) if is_number(c) and self._is_float(j)]
        numeric.sort(key=lambda j: (share[j], j))
        while len(numeric) > 1:
            complete = np.flatnonzero(~self.sample.missing[:, numeric].any(1))
            if len(complete) >= max(MIN_ROWS, 2 * len(numeric)):
                return sorted(numeric), complete[:MAX_ROWS_OF_SUMS]
            numeric.pop()
        return [], np.empty(0, dtype=int)

    def _sum(self, combination: Combination, numeric: list[int]) -> Sum:
        is_plain = (combination.coefficients == 1).all()
        return Sum(
            self._name(numeric[combination.total]),
            [self._name(numeric[j]) for j in combination.parts],
            None if is_plain else [float(c) for c in combination.coefficients],
            combination.constant,
        )

    def _contradicting(self, combination: Combination, numeric: list[int]) -> np.ndarray:
        """Some complete rows of the table in which a sum does not hold."""
        constraint = self._sum(combination, numeric)
        relation = fit_constraint(constraint, self.columns, None, "constraints")
        wrong = np.flatnonzero(relation.broken(self.values, np.arange(self.values.n_rows)))
        is_complete = ~self.values.missing[wrong][:, numeric].any(1)
        return np.asarray(wrong[is_complete][:MAX_CONTRADICTING])

    def _is_float(self, j: int) -> bool:
        array = self.sample.arrays[j]
        return array.dtype.kind == "f" and bool((np.abs(array) < LARGEST).all())

    def _find_times(self) -> None:
        """Equal columns of times or of large integers, and ends that are a start and a duration."""
        whole = [j for j, c in enumerate(self.columns)
                 if isinstance(c, NumericColumn) and len(c.known_integers)]  # fmt: skip
        for i, a in enumerate(whole):
            for b in whole[i + 1 :]:
                if b not in self.computed and self._is_same_kind(a, b):
                    self._try_sum(b, [a])
        durations = [j for j in whole if self.columns[j].duration]
        times = [j for j in whole if self.columns[j].type == "time" and j not in durations]
        for start in times:
            for end in times:
                for duration in durations:
                    is_new = start != end and not self.computed & {start, end, duration}
                    if is_new and self._is_same_kind(start, end):
                        self._try_sum(end, [start, duration])

    def _is_same_kind(self, a: int, b: int) -> bool:
        kinds = [kind_of_order(self.columns[j]) for j in (a, b)]
        kinds += [self.sample.arrays[j].dtype.kind for j in (a, b)]
        return kinds[0] == kinds[1] and kinds[2] == kinds[3]

    def _try_sum(self, total: int, parts: list[int]) -> None:
        places = (total, *parts)
        constraint = Sum(self._name(total), [self._name(j) for j in parts])
        coefficients = np.array([-1.0] + [1.0] * len(parts))
        own = [self.columns[j] for j in places]
        trial = FittedSum(constraint, places, coefficients, order_of_change(own, coefficients))
        rows = np.flatnonzero(trial.complete(self.sample, np.arange(self.sample.n_rows)))
        if len(rows) >= MIN_ROWS and not trial.broken(self.sample, rows).any():
            relation = self._add(constraint)
            if isinstance(relation, FittedSum):
                self.computed.add(relation.places[relation.order[0]])

    # -------------------------------------------------------------------------- functions

    def _find_same_levels(self) -> None:
        """Equal columns of levels, however many there are."""
        levels = [j for j, c in enumerate(self.columns) if isinstance(c, CategoricalColumn)]
        for i, a in enumerate(levels):
            for b in levels[i + 1 :]:
                first, second = self.columns[a], self.columns[b]
                assert isinstance(first, CategoricalColumn)
                assert isinstance(second, CategoricalColumn)
                there = same_levels(first.levels, second.levels)
                if b in self.determined or there is None:
                    continue
                both = ~self.values.missing[:, [a, b]].any(1)
                x, y = self.values.arrays[a][both], self.values.arrays[b][both]
                if both.sum() >= MIN_ROWS and (there[x] == y).all():
                    self._add_function(b, [a])

    def _add_function(self, column: int, by: list[int]) -> None:
        if self._add(Determined(self._name(column), [self._name(j) for j in by])) is not None:
            self.determined.add(column)
            self.keys |= set(by)

    def _find_functions(self) -> None:
        """Each column by the one with the fewest values that determines it, or by two.

        Of columns that determine each other the first determines the others. What is computed
        determines nothing, and is not determined. Functions with exceptions come last.
        """
        free = [
            j for j, column in enumerate(self.columns)
            if not isinstance(column, ConstantColumn) and j not in self.computed | self.determined
        ]  # fmt: skip
        if len(free) < 2:
            return
        missing = self.sample.missing[:, free]
        search = Search.of([self.sample.arrays[j] for j in free], missing)
        single, n = search.single(), search.n_values
        roots = []
        for c in sorted(range(len(free)), key=lambda c: (n[c], c)):
            keys: list[int] = np.flatnonzero(single.exact[:, c]).tolist()
            same = [a for a in keys if single.exact[c, a]]
            earlier = [a for a in same if a < c]
            if not earlier:
                roots.append(c)
            coarser = sorted((a for a in keys if a not in same), key=lambda a: (n[a], a))
            self._try_keys(free, c, [(a,) for a in earlier[:1] or coarser[:2]])
        left = np.array([c for c, j in enumerate(free) if j not in self.determined], dtype=int)
        pairs = search.pairs(left, np.array(sorted(roots), dtype=int), single.chance)
        pairs.sort(key=lambda pair: n[pair[1][0]] * n[pair[1][1]])
        for c, of_two, is_exact in pairs:
            if is_exact:
                self._try_keys(free, c, [of_two])
        has_levels = np.array([isinstance(self.columns[j], CategoricalColumn) for j in free])
        nearly: list[tuple[int, tuple[int, ...]]]
        nearly = [(c, of_two) for c, of_two, _ in pairs if has_levels[list(of_two)].all()]
        nearly += [(c, (a,)) for a, c in np.argwhere(single.nearly).tolist() if 2 * n[a] >= n[c]]
        nearly.sort(key=lambda pair: (not has_levels[list(pair[1])].all(), n[list(pair[1])].prod()))
        for c, some in nearly:
            self._try_keys(free, c, [some], nearly=True)

    def _try_keys(
        self, free: list[int], c: int, keys: Sequence[tuple[int, ...]], nearly: bool = False
    ) -> None:
        """Take the first columns that determine another one; not if that would be a circle."""
        column = free[c]
        for each in keys:
            by = [free[a] for a in each]
            if column not in self.determined and column not in self._ancestors(by):
                (self._add_nearly if nearly else self._add_function)(column, by)

    def _add_nearly(self, column: int, by: list[int]) -> None:
        """A function with exceptions: the combinations that occur, if they are not many more."""
        places = (*by, column)
        constraint = FixedCombinations([self._name(j) for j in places])
        relation = FittedCombinations.of(constraint, places, self.values, len(by))
        n = float(relation.counts.sum())
        if len(relation.counts) <= min(n / REPEATS, MAX_COMBINATIONS * relation.n_arguments()):
            self.found.append(replace(relation, found=True))
            self.determined.add(column)
            self.keys |= set(by)

    def _ancestors(self, places: list[int]) -> set[int]:
        """Columns that determine some columns, and these."""
        known = set(places)
        while True:
            more = {
                j for r in self.found
                if isinstance(r, FittedCombinations) and r.places[-1] in known
                for j in r.places
            }  # fmt: skip
            if more <= known:
                return known
            known |= more

    # ------------------------------------------------------------------------- inequalities

    def _find_inequalities(self) -> None:
        for kind in ("number", "duration", "time", "time in a zone"):
            group = [
                j for j, column in enumerate(self.columns)
                if kind_of_order(column) == kind and column.kind != "constant"
                and j not in self.determined
            ]  # fmt: skip
            if len(group) < 2:
                continue
            n_rows = _rows_of_search(1, len(group), MAX_ROWS_OF_ORDER)
            x = np.stack([self._comparable(j)[:n_rows] for j in group], axis=1)
            is_below = ordered_pairs(x)
            for a, b in np.argwhere(is_below):
                if self._follows(group[a], group[b]):
                    is_below[a, b] = False
            for a, b in np.argwhere(reduced(is_below)):
                self._add(Inequality(self._name(group[a]), self._name(group[b])))

    def _comparable(self, j: int) -> np.ndarray:
        column, array = self.columns[j], self.sample.arrays[j].astype(np.float64)
        array = array / TICKS_PER_DAY.get(column.unit, 1)
        return np.where(self.sample.missing[:, j], np.nan, array)

    def _follows(self, low: int, high: int) -> bool:
        """Whether low ≤ high follows from a sum and the bounds of its columns."""
        for relation in self.found:
            if not isinstance(relation, FittedSum) or not {low, high} <= set(relation.places):
                continue
            c = dict(zip(relation.places, relation.coefficients, strict=True))
            for multiple in (-1 / c[high], 1 / c[low]):
                # high − low, plus a multiple of a sum that is 0, without one of both columns
                terms = {j: multiple * a + (j == high) - (j == low) for j, a in c.items()}
                terms = {j: a for j, a in terms.items() if abs(a) > ROUNDING}
                least = [multiple * relation.constraint.constant]
                for j, a in terms.items():
                    least.append(min(float(v) * a for v in bounds(self.columns[j])))
                if sum(least) >= -ROUNDING * sum(map(abs, least)):
                    return True
        return False


def _rows_of_search(search: int, n_columns: int, most: int) -> int:
    """How many rows a search takes, so that its time grows with the columns, not their square."""
    return min(most, max(MIN_ROWS_OF_WIDE[search], MAX_CELLS[search] // n_columns))


def _first_changed(combination: Combination, columns: Sequence[Column]) -> int:
    places = [combination.total, *combination.parts]
    coefficients = np.array([-1.0, *combination.coefficients])
    order = order_of_change([columns[j] for j in places], coefficients)
    return places[order[0]]
