"""The first pass over a data set: statistics and a sample of the rows, by a task for each block."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass
from typing import Any

from skvae._streaming.column_statistics import Statistics
from skvae._streaming.files import narwhals_schema
from skvae._streaming.frames import Schema, as_frame, matched, row_size, schema_of
from skvae._streaming.parts import named
from skvae._streaming.reservoir import Reservoir
from skvae._streaming.stream import Categorical, Marker, update
from skvae._table.reading import read_table

TITLE = "the Dataset"  # for errors
N_FIRST = 1000  # rows by which the size of a row is known
N_HASHED = 100  # rows by which blocks are told from each other
MARGIN = 6.0  # standard deviations of the number of rows with low priorities
LAST = 2**64 - 1


@dataclass
class Pass:
    """What is known of some rows."""

    statistics: Statistics
    reservoir: Reservoir

    def merge(self, other: Pass) -> None:
        """Add what is known of other rows."""
        self.statistics.merge(other.statistics)
        self.reservoir.merge(other.reservoir)


def first_pass(
    dataset: Any, schema: Schema, size: int, n_rows: int, categorical: Categorical, mark: Marker
) -> Pass:
    """Statistics of all rows of a data set, and `size` of the rows.

    Blocks are merged in their order, so that the pass comes out the same for the same data set.

    Parameters
    ----------
    n_rows : int
        Of the data set.
    """
    read = BlockPass(schema, size, highest_priority(size, n_rows), categorical, mark)
    blocks = dataset.map_batches(read, batch_size=None, batch_format="pyarrow")
    blocks.context.execution_options.preserve_order = True
    found = Pass(Statistics(), Reservoir(size))
    for table in blocks.iter_batches(batch_size=None, batch_format="pyarrow"):
        for value in table["pass"]:
            found.merge(pass_of(value.as_py()))
    return found


def pass_of(content: bytes) -> Pass:
    """What a task has found.

    Raises
    ------
    ValueError, TypeError
        If it could not read its block.
    """
    found: Pass | Exception = pickle.loads(content)
    if isinstance(found, Exception):
        raise found
    return found


def schema_and_row_size(dataset: Any) -> tuple[Schema, float]:
    """Names and types of the columns, and the bytes of a row.

    Raises
    ------
    TypeError
        If a column holds tensors.
    """
    first = dataset.take_batch(N_FIRST, batch_format="pyarrow")
    for field in first.schema:
        if "tensor" in str(field.type).lower():
            raise TypeError(
                f"Column {field.name!r} of {TITLE} holds tensors, as those of ray.data.from_numpy "
                "do. A column must hold one number, time or level a row: use ray.data.from_pandas "
                "or from_arrow, or give each number a column of its own."
            )
    frame, schema = as_frame(first), getattr(dataset.schema(), "base_schema", None)
    if hasattr(schema, "empty_table"):  # of Arrow, of all blocks
        return narwhals_schema(None, schema), row_size(frame)
    return schema_of(frame), row_size(frame)


def highest_priority(size: int, n_rows: int) -> int:
    """A bound on the priorities of the sample: rows above it need not leave their task."""
    share = (size + MARGIN * size**0.5) / max(n_rows, 1)
    return LAST if share >= 1 else int(share * LAST)


@dataclass
class BlockPass:
    """The pass over one block."""

    schema: Schema
    size: int
    highest: int
    categorical: Categorical
    mark: Marker

    def __call__(self, block: Any) -> Any:
        import pyarrow as pa

        found: Pass | Exception
        try:
            with named(TITLE):
                found = self._read(block)
        except (ValueError, TypeError) as error:  # Ray would wrap it in errors of its own
            found = error.with_traceback(None)
        return pa.table({"pass": pa.array([pickle.dumps(found)], type=pa.large_binary())})

    def _read(self, block: Any) -> Pass:
        found = Pass(Statistics(), Reservoir(self.size, least_left_out=self.highest))
        if len(block):
            frame = matched(as_frame(block), self.schema)
            update(found.statistics, self.mark(read_table(frame.to_native())), self.categorical)
            found.reservoir.update(frame, place_of(block))
        return found


def place_of(block: Any) -> int:
    """A place for the first row of a block, by what it holds, and far from those of others.

    Priorities of rows depend on their places alone, and tasks do not know which block they read.
    """
    ends = [block.slice(0, N_HASHED), block.slice(max(0, len(block) - N_HASHED))]
    text = pickle.dumps([len(block), *(end.to_pydict() for end in ends)], protocol=5)
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 2
