"""From batches of rows, or numbers of rows to draw, to the answers of an estimator about them."""

from __future__ import annotations

import numbers
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import narwhals.stable.v2 as nw
import numpy as np
from sklearn.utils.validation import check_is_fitted

from .answers import Target, write_answers
from .files import pyarrow
from .parts import Part
from .sources import Source, as_source, is_source

MAX_SEED = 2**31


@dataclass(frozen=True)
class Files:
    """Where the answers are written, and how.

    Raises
    ------
    ValueError
        If a size is not a positive integer.
    """

    target: str | os.PathLike
    batch_size: int
    rows_per_part: int
    verbose: bool

    def __post_init__(self) -> None:
        for name in ("batch_size", "rows_per_part"):
            value = getattr(self, name)
            if not isinstance(value, numbers.Integral) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1. Got {value!r} instead.")

    @property
    def size(self) -> int:
        """Rows of a batch."""
        return int(min(self.batch_size, self.rows_per_part))

    def write(
        self, source: Source, answer: Callable[[nw.DataFrame], Any], identity: dict[str, Any]
    ) -> list[Path]:
        """Write the answers about the rows of a source; the files."""
        texts = {**identity, "source": source.fingerprint, "rows_per_part": self.rows_per_part}
        target = Target(Path(self.target), {name: str(text) for name, text in texts.items()})
        title = f"{identity['method']} to {os.fspath(self.target)}" if self.verbose else ""
        return write_answers(source, answer, target, self.size, int(self.rows_per_part), title)


def method_of(estimator: Any, name: str) -> str:
    """The name of the method of a fitted estimator.

    Raises
    ------
    TypeError
        If the estimator has no such method.
    """
    if not hasattr(estimator, name):
        owner = type(estimator).__name__
        raise TypeError(f"The estimator must have the method {name}, which {owner} has not.")
    check_is_fitted(estimator)
    return name


@dataclass
class Answer:
    """What a method says about some rows, as a table of Arrow.

    Attributes
    ----------
    estimator : estimator
    method : str
    keep : sequence of str
        Columns of the rows beside the answers.
    names : sequence of str or None
        Names of the columns of an answer that is an array; None: those of the rows.
    n_jobs : int or None
    """

    estimator: Any
    method: str
    keep: Sequence[str]
    names: Sequence[str] | None = None
    n_jobs: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.keep, str):
            raise ValueError(
                f"keep must be a sequence of names of columns. Got {self.keep!r} instead."
            )

    def __call__(self, frame: nw.DataFrame) -> Any:
        keep, fitted = list(self.keep), getattr(self.estimator, "feature_names_in_", None)
        given = frame.drop(keep).columns if fitted is None else list(fitted)
        check_columns(frame, [*keep, *given])
        rows = frame.select(given).to_native()
        options = {} if self.n_jobs is None else {"n_jobs": self.n_jobs}  # pipelines pass none on
        found = getattr(self.estimator, self.method)(rows, **options)
        table = as_arrow(found, given if self.names is None else self.names)
        return with_columns(frame.select(keep).to_arrow(), table)


def answer_rows(
    estimator: Any,
    method: str,
    source: Any,
    files: Files,
    keep: Sequence[str],
    n_jobs: int | None,
    names: Sequence[str] | None = None,
) -> list[Path]:
    """Write what a method says about the rows of a source.

    Parameters
    ----------
    keep : sequence of str
        Columns of the source to write beside the answers.
    names : sequence of str or None
        Names of the columns of an answer that is an array; None: those of the rows.
    """
    pyarrow()
    answer = Answer(estimator, method, keep, names, n_jobs)
    identity = {"method": method, "estimator": joblib.hash(estimator), "keep": list(keep)}
    return files.write(rows_of(source), answer, identity)


def draw_rows(
    estimator: Any, n_samples: int, files: Files, random_state: int, options: dict[str, Any]
) -> list[Path]:
    """Write rows that are drawn; each batch has a seed of its own."""
    for name, value, least in (("n_samples", n_samples, 1), ("random_state", random_state, 0)):
        if not isinstance(value, numbers.Integral) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}. Got {value!r}.")
    pa = pyarrow()
    names = getattr(estimator, "feature_names_in_", None)
    names = [f"x{j}" for j in range(estimator.n_features_in_)] if names is None else names

    def numbered(start: int, stop: int) -> Part:
        def read(size: int) -> Iterator[Any]:
            return iter([pa.table({"row": np.arange(start, stop)})])

        return Part("rows to draw", read, stop - start)

    def draw(frame: nw.DataFrame) -> Any:
        entropy = [int(random_state), int(frame["row"][0])]
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0]) % MAX_SEED
        return as_arrow(estimator.sample(len(frame), random_state=seed, **options), names)

    n = int(n_samples)
    source = Source([
        numbered(start, stop)
        for first, last in intervals(0, n, int(files.rows_per_part))
        for start, stop in intervals(first, last, files.size)
    ])  # fmt: skip
    identity = {
        "method": "sample", "estimator": joblib.hash(estimator), "random_state": random_state,
        "n_samples": n, "batch_size": files.size, **options,
    }  # fmt: skip
    return files.write(source, draw, identity)


def intervals(start: int, stop: int, size: int) -> list[tuple[int, int]]:
    """A range in pieces of a size; the last may be smaller."""
    return [(first, min(first + size, stop)) for first in range(start, stop, size)]


def rows_of(source: Any) -> Source:
    """What can be read in batches, or a table in memory, as a source.

    Raises
    ------
    TypeError
        If it is neither.
    """
    if is_source(source):
        return as_source(source)
    if not nw.dependencies.is_into_dataframe(source):
        raise TypeError(
            f"The source is a {type(source).__name__}, but must be a data frame or what can be "
            "read in batches: a path, a folder, a glob, a data set, a LazyFrame or a function."
        )
    frame = nw.from_native(source, eager_only=True)
    return Source([Part("the table", lambda size: iter([source]), len(frame))])


def check_columns(frame: nw.DataFrame, names: Sequence[str]) -> None:
    """Raise if a frame lacks some columns."""
    given = set(frame.columns)
    absent = [name for name in names if name not in given]
    if absent:
        raise ValueError(
            f"the columns {absent} are missing: the source has {frame.columns}. It needs those "
            "that were fitted and those to keep"
        )


def as_arrow(answer: Any, names: Sequence[str]) -> Any:
    """An answer as a table of Arrow; of an array with names for its columns."""
    if nw.dependencies.is_into_dataframe(answer):
        return nw.from_native(answer, eager_only=True).to_arrow()
    array = answer.toarray() if hasattr(answer, "toarray") else np.asarray(answer)
    columns = array.reshape(len(array), -1).T
    return pyarrow().table(dict(zip(map(str, names), columns, strict=True)))


def with_columns(kept: Any, table: Any) -> Any:
    """The columns to keep, then those of the answers.

    Raises
    ------
    ValueError
        If a name is among both.
    """
    both = [name for name in kept.column_names if name in table.column_names]
    if both:
        raise ValueError(f"the columns {both} to keep are among the answers, too; leave them out")
    for name in reversed(kept.column_names):
        table = table.add_column(0, name, kept[name])
    return table
