"""What can be read in batches, more than once: a source of parts, each a sequence of frames."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np

from . import files
from .frames import Schema, as_frame, matched, schema_of
from .parts import Part, named


def is_source(X: Any) -> bool:
    """Whether X is read in batches, and is no table in memory.

    Raises
    ------
    TypeError
        If it is an iterator, which can be read only once.
    """
    if isinstance(X, (str, os.PathLike, OwnPass)):
        return True
    if _is_in_memory(X):
        return False
    if hasattr(X, "__next__"):
        raise TypeError(
            f"X is a {type(X).__name__}, which can be read only once, but rows may be read more "
            "often. Pass a function without arguments that makes it: "
            "lambda: (read(part) for part in parts)."
        )
    return _is_lazy(X) or hasattr(X, "__arrow_c_stream__") or _is_function(X)


def _is_in_memory(X: Any) -> bool:
    kinds = nw.dependencies
    return (
        isinstance(X, (np.ndarray, list, tuple, dict))
        or kinds.is_into_dataframe(X)
        or kinds.is_into_series(X)
        or hasattr(X, "__array__")
        or hasattr(X, "toarray")
    )


def _is_lazy(X: Any) -> bool:
    return _is_polars_lazy(X) or files.is_dataset(X)


def _is_polars_lazy(X: Any) -> bool:
    return type(X).__module__.partition(".")[0] == "polars" and hasattr(X, "collect_batches")


def _is_function(X: Any) -> bool:
    return callable(X) and not isinstance(X, type) and not hasattr(X, "shape")


def as_source(X: Any) -> Source:
    """The source of what :func:`is_source` accepts."""
    if isinstance(X, (str, os.PathLike)):
        return Source(*files.of_paths(X))
    if files.is_dataset(X):
        return Source(*files.of_dataset(X))
    if _is_polars_lazy(X):
        return Source([Part("the LazyFrame", lambda size: X.collect_batches(chunk_size=size))])
    if hasattr(X, "__arrow_c_stream__"):
        name = f"the {type(X).__name__}"
        return Source([Part(name, lambda size: files.stream_of(X))])
    return Source([Part("the function's result", lambda size: _made_by(X))])


def _made_by(function: Callable[[], Any]) -> Iterator[Any]:
    """The batches of an iterator that is made by a function, or of a stream of Arrow."""
    made = function()
    if hasattr(made, "__arrow_c_stream__") and not hasattr(made, "__next__"):
        return iter([made]) if nw.dependencies.is_into_dataframe(made) else files.stream_of(made)
    if not hasattr(made, "__iter__"):
        raise TypeError(
            f"the function returned a {type(made).__name__}, but must return an iterator of data "
            "frames"
        )
    return iter(made)


class OwnPass(ABC):
    """A source that makes the first pass itself, as by the tasks of a cluster."""

    @abstractmethod
    def read_stream(self, max_memory: float, categorical: Any, mark: Any) -> Any:
        """The rows as a table, or a sample of them with its stream: see `read_stream`."""


@dataclass
class Source:
    """Batches of one table that can be read again.

    Attributes
    ----------
    parts : list of Part
        Parts that can be read in any order.
    fingerprint : str
        Names, sizes and times of files: equal where the same rows are read; empty if not known.
    schema : dict or None
        Names and types of the columns; None: those of the first batch.
    """

    parts: list[Part]
    fingerprint: str = ""
    schema: Schema | None = None

    def frames(self, i: int, size: int) -> Generator[nw.DataFrame, None, None]:
        """The batches of a part, of about `size` rows, with the columns in one order.

        Raises
        ------
        ValueError
            If the part cannot be read, or its columns are not those read first.
        """
        part = self.parts[i]
        with named(part.name):
            batches = part.read(size)
        for number in range(2**62):
            is_file = len(self.parts) > 1 or part.n_rows is not None
            name = part.name if is_file else f"{part.name}, batch {number}"
            with named(name):
                batch = next(batches, None)
                if batch is None:
                    return
                frame = as_frame(batch)
                if self.schema is None:
                    self.schema = schema_of(frame)
                frame = matched(frame, self.schema)
            for first in range(0, len(frame), size):
                yield frame[first : first + size] if len(frame) > size else frame
