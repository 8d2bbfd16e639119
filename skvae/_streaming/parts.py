"""Parts of a source, and errors that name them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Part:
    """A part of a source that can be read by itself: a row group, a file, or the whole.

    Attributes
    ----------
    name : str
        For messages.
    read : callable
        From the number of rows of a batch to an iterator of frames; it can be called again.
    n_rows : int or None
        None: not known before it is read.
    size : float or None
        Bytes of its values, without compression; None: not known.
    """

    name: str
    read: Callable[[int], Iterator[Any]]
    n_rows: int | None = None
    size: float | None = None


@contextmanager
def named(name: str) -> Iterator[None]:
    """Errors name the part that was read.

    Raises
    ------
    ValueError
        For errors of reading and of values.
    TypeError
        For errors of types.
    """
    try:
        yield
    except (TypeError, NotImplementedError) as error:
        raise TypeError(f"{name}: {error}") from error
    except (ValueError, OSError, ArithmeticError) as error:
        raise ValueError(f"{name}: {error}") from error
