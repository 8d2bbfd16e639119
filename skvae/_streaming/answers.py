"""Answers about the rows of a source, in files of Parquet that are written one after the other.

A part is written to a temporary name and renamed when it is complete, and its metadata says whose
answers it holds. Where a part is there already, its rows are counted and the checksums of its pages
are compared; then its rows are skipped in the source.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import narwhals.stable.v2 as nw

from skvae._progress import Progress

from .files import pyarrow
from .parts import named
from .sources import Source

KEY = b"skvae"  # of the metadata of a file
CHECKS = {"page_checksum_verification": True}


class RowReader:
    """The rows of a source in their order, in batches; rows can be skipped."""

    def __init__(self, source: Source, size: int) -> None:
        self.source, self.size = source, size
        self.part = 0
        self.frames: Iterator[nw.DataFrame] | None = None  # of the present part
        self.rest: nw.DataFrame | None = None  # of a batch of which rows were taken

    def batches(self, n_rows: int) -> Iterator[tuple[str, nw.DataFrame]]:
        """The next rows, so many or as many as there are, with the name of their part."""
        while n_rows > 0:
            frame = self._next()
            if frame is None:
                return
            if len(frame) > n_rows:
                frame, self.rest = frame[:n_rows], frame[n_rows:]
            n_rows -= len(frame)
            yield self.source.parts[self.part].name, frame

    def skip(self, n_rows: int) -> int:
        """Skip rows, whole parts of known size without reading them; how many there were."""
        left = n_rows
        while left > 0:
            size = None
            if self.frames is None and self.part < len(self.source.parts):
                size = self.source.parts[self.part].n_rows
            if size is not None and size <= left:
                self.part += 1
                left -= size
                continue
            before = left
            left -= sum(len(frame) for _, frame in self.batches(min(left, self.size)))
            if left == before:
                break
        return n_rows - left

    def _next(self) -> nw.DataFrame | None:
        if self.rest is not None:
            frame, self.rest = self.rest, None
            return frame
        while self.part < len(self.source.parts):
            frames = self.frames or self.source.frames(self.part, self.size)
            self.frames = frames
            for frame in frames:
                return frame
            self.frames, self.part = None, self.part + 1
        return None


@dataclass
class Target:
    """A folder of parts.

    Attributes
    ----------
    folder : Path
    identity : dict of str to str
        What must be equal for parts to belong together, by the name that errors use.
    """

    folder: Path
    identity: Mapping[str, str]

    def path(self, i: int) -> Path:
        """The file of a part."""
        return self.folder / f"part-{i:05}.parquet"

    def n_rows(self, i: int) -> int | None:
        """The rows of a part that is there and complete; None: it has to be written.

        Raises
        ------
        ValueError
            If it holds other answers.
        """
        path = self.path(i)
        if not path.exists():
            return None
        parquet = pyarrow().parquet
        try:
            file = parquet.ParquetFile(path, **CHECKS)
            found = json.loads((file.schema_arrow.metadata or {}).get(KEY, b"{}"))
        except (OSError, ValueError):
            return None  # it was damaged
        for name, value in self.identity.items():
            if found.get(name) != value:
                raise ValueError(
                    f"target={str(self.folder)!r} holds answers with another {name}: {path.name} "
                    f"has {found.get(name)}, not {value}. Choose another folder, or remove it."
                )
        try:
            n_rows = sum(len(batch) for batch in file.iter_batches())
        except OSError:
            return None
        return n_rows if n_rows == file.metadata.num_rows else None

    def write(self, i: int, tables: Iterator[Any]) -> None:
        """Write a part from tables of Arrow with the same columns."""
        parquet = pyarrow().parquet
        path = self.path(i)
        temporary = path.with_name(f"_{path.name}.writing")
        first = next(tables)
        metadata = {**(first.schema.metadata or {}), KEY: json.dumps(dict(self.identity))}
        schema = first.schema.with_metadata(metadata)
        try:
            with parquet.ParquetWriter(temporary, schema, write_page_checksum=True) as writer:
                for table in itertools.chain([first], tables):
                    writer.write_table(table.cast(schema))
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def remove_from(self, i: int) -> None:
        """Remove the parts behind the last, of an earlier call."""
        while self.path(i).exists():
            self.path(i).unlink()
            i += 1


def write_answers(
    source: Source,
    answer: Callable[[nw.DataFrame], Any],
    target: Target,
    batch_size: int,
    rows_per_part: int,
    title: str,
) -> list[Path]:
    """Write the answers about all rows of a source; the files.

    Parameters
    ----------
    answer : callable
        From a frame to a table of Arrow with as many rows.
    title : str
        Of the progress; empty: nothing is shown.

    Raises
    ------
    ValueError
        If the source has no rows, or fewer than the parts that are there; if it cannot be read.
    """
    target.folder.mkdir(parents=True, exist_ok=True)
    reader, n_done, i = RowReader(source, min(batch_size, rows_per_part)), 0, 0
    sizes = [part.n_rows for part in source.parts]
    total = 0 if None in sizes else sum(filter(None, sizes))

    def tables(batches: Iterator[tuple[str, nw.DataFrame]]) -> Iterator[Any]:
        nonlocal n_done
        for name, frame in batches:
            with named(name):
                table = answer(frame)
            n_done += len(frame)
            progress.update(n_done, total=max(total, n_done))
            yield table

    with Progress(title, max(1, total), "rows") as progress:
        while True:
            there = target.n_rows(i)
            if there is not None:
                if reader.skip(there) < there:
                    raise ValueError(
                        f"target={str(target.folder)!r} has answers about more rows than the "
                        "source has. Choose another folder, or remove it."
                    )
                n_done += there
                progress.update(n_done, total=max(total, n_done))
            else:
                batches = reader.batches(rows_per_part)
                first = next(batches, None)
                if first is None:
                    break
                target.write(i, tables(itertools.chain([first], batches)))
            i += 1
    if not i:
        raise ValueError("The source has no rows, so that there is nothing to answer about.")
    target.remove_from(i)
    return [target.path(j) for j in range(i)]
