"""Values as JSON, with the arrays apart.

:class:`Writer` turns a value into what JSON can hold. Strings, numbers, booleans, None and lists
are themselves; an array of numbers is the name of a tensor; everything else is an object with its
type under "@", by a table of types that this package knows. :class:`Reader` turns it back: it
makes nothing but what is in the table, and imports nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

TAG = "@"
MAX_DEPTH = 64


class FileError(ValueError):
    """A file is damaged, too new, or holds what cannot be loaded."""


@dataclass(frozen=True)
class Codec:
    """How the values of a type are written and read.

    Attributes
    ----------
    matches : callable
        Whether a value is of the type.
    write : callable
        From a value, the writer and the place of the value to the fields, a dict.
    read : callable
        From the reader and the fields to the value.
    is_raw : bool
        Whether ``read`` takes the fields as they are in the file, and decodes them itself.
    """

    matches: Callable[[Any], bool]
    write: Callable[[Any, Writer, str], dict[str, Any]]
    read: Callable[..., Any]
    is_raw: bool = False


class Writer:
    """Collects the arrays of the values that are written.

    Attributes
    ----------
    arrays : dict of str to ndarray
    """

    def __init__(self, codecs: Mapping[str, Codec]) -> None:
        self.codecs, self.arrays = codecs, dict[str, np.ndarray]()

    def write(self, value: Any, place: str) -> Any:
        """The value as JSON; `place` names it in messages, and its arrays."""
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {TAG: "float", "value": repr(value)}
        if type(value) is list:
            return [self.write(item, f"{place}.{i}") for i, item in enumerate(value)]
        for name, codec in self.codecs.items():
            if codec.matches(value):
                return {TAG: name, **codec.write(value, self, place)}
        raise TypeError(
            f"{place} holds {value!r} of type {type(value).__module__}.{type(value).__qualname__}, "
            "which a .skvae file cannot hold. Use a plain value in its place; a component of your "
            "own is registered by skvae.register(its class) before it is saved and before it is "
            "loaded. pickle and joblib save everything."
        )

    def array(self, array: np.ndarray, place: str) -> str:
        """Keep an array of numbers, and return its name."""
        name, n = place, 1
        while name in self.arrays:
            n += 1
            name = f"{place}#{n}"
        self.arrays[name] = array
        return name


class Reader:
    """Makes values of JSON and arrays."""

    def __init__(self, codecs: Mapping[str, Codec], arrays: Mapping[str, np.ndarray]) -> None:
        self.codecs, self.arrays, self.depth = codecs, arrays, 0

    def read(self, tree: Any) -> Any:
        """The value of a tree.

        Raises
        ------
        FileError
            If it has a type or fields that are not known.
        """
        if self.depth > MAX_DEPTH:
            raise FileError("it is nested too deeply")
        if tree is None or isinstance(tree, (bool, int, str)):
            return tree
        if isinstance(tree, float):
            if not math.isfinite(tree):
                raise FileError("it holds a number that is not finite")
            return tree
        if isinstance(tree, list):
            return self._read_list(tree)
        kind = tree.get(TAG)
        codec = self.codecs.get(kind) if isinstance(kind, str) else None
        if codec is None:
            raise FileError(f"it holds a value of type {kind!r}, which is not known")
        fields = {name: item for name, item in tree.items() if name != TAG}
        self.depth += 1
        try:
            if not codec.is_raw:
                fields = {name: self.read(item) for name, item in fields.items()}
            return codec.read(self, **fields)
        except TypeError as error:  # other fields than those of the type
            raise FileError(f"a value of type {kind!r} is not legal ({error})") from error
        finally:
            self.depth -= 1

    def _read_list(self, tree: list) -> list:
        self.depth += 1
        try:
            return [self.read(item) for item in tree]
        finally:
            self.depth -= 1

    def array(self, name: Any) -> np.ndarray:
        """The array of a name."""
        if not isinstance(name, str) or name not in self.arrays:
            raise FileError(f"the tensor {name!r} is missing")
        return self.arrays[name]
